# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say how a run changes the host, whatever it sets."""

import os
from typing import Any, Dict, NamedTuple

from .convert import ConvertError


class Request(NamedTuple):
    """A module that lacks an option has its default."""

    absent: bool
    runtime: bool
    persistent: bool
    conflicts: str
    force: bool
    check_mode: bool
    sysctl_file: str = ''
    scope: str = ''
    missing: str = ''
    exclusive: bool = False


def parse_request(params: Dict[str, Any], check_mode: bool) -> Request:
    """Parse the options. Raises ConvertError."""
    if not params['runtime'] and not params['persistent']:
        raise ConvertError('runtime and persistent are both false, so there is nothing to do; leave at least one true'
                           ' [OOMK-1107]')
    given = {name: params[name] for name in Request._fields if name in params}
    _check_path(given.get('sysctl_file', '/'))
    return Request(absent=params['state'] == 'absent', check_mode=check_mode, **given)


def _check_path(path: str) -> None:
    if not path.startswith('/') or path != os.path.normpath(path):
        raise ConvertError(f'sysctl_file: {path!r} is not an absolute, plain path such as /etc/sysctl.d/99-oomkit.conf'
                           ' [OOMK-1411]')
