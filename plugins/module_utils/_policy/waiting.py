# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""For modules that confirm nothing: whether a change of their sysctls waits for its confirmation.

L(pending_change) has the rest, which those modules need not send.
"""

import contextlib
import json
from typing import Any, Dict, Iterable

from .._core.errors import Refusal
from .._host import file_trust
from .._host.host import RUN_FOLDER
from .._host.writable import WritableHost

WATCHDOG = 'oomkit-watchdog'  # process name; the kernel keeps at most 15 bytes
PREFIX = 'overcommit-'  # of the file of a change that waits


def check_nothing_waits(host: WritableHost, keys: Iterable[str]) -> None:
    """Refuse while the watchdog of a change of these sysctls runs: it would roll back what this run sets."""
    wanted = set(keys)
    # Only root can read the files, and only root can change sysctls.
    with contextlib.suppress(PermissionError):
        for name in host.names(RUN_FOLDER):
            if name.startswith(PREFIX) and wanted.intersection(_list_changed(host, f'{RUN_FOLDER}/{name}')):
                raise Refusal(_WAITS % ', '.join(sorted(wanted)))


_WAITS = ('Refused, because a change of one of these sysctls waits for its confirmation: %s. Nothing was changed. '
          'Confirm it by the call that made it over a new connection, wait until it is rolled back, or revert it by '
          'state: absent of the module that made it. [OOMK-2205]')


def _list_changed(host: WritableHost, path: str) -> Iterable[str]:
    """The sysctls that a change with a live watchdog set at runtime."""
    try:
        found: Dict[str, Any] = json.loads((file_trust.read_record(host, path) or b'').decode('ascii'))
        before, after, pid = found['before'], found['after'], int(found['pid'])
        changed = [key for key in after if after[key] != before.get(key)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []  # a file of another version, or not complete
    return changed if (host.read_text(f'/proc/{pid}/comm') or '').strip() == WATCHDOG else []
