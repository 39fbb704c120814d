# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's keys without a constant default held before our first change, kept in /var/lib/oomkit.

The reserves are computed at boot from free memory and kernel.panic comes from the kernel's configuration: once changed,
nothing on the machine tells their old value any more.
"""

import json
from typing import Dict, Iterable, Optional

from ansible_collections.oomkit.linux.plugins.module_utils import _knobs, _trust
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal

FOLDER = '/var/lib/oomkit'
FILE = FOLDER + '/originals.json'


def parse(data: Optional[bytes]) -> Dict[str, int]:
    """The recorded values; what is damaged or not ours counts as not recorded."""
    try:
        found = json.loads((data or b'').decode('utf-8'))
    except (ValueError, RecursionError, OverflowError):
        return {}
    if not isinstance(found, dict):
        return {}
    return dict((key, value) for key, value in found.items()
                if key in _knobs.KNOBS and isinstance(value, int) and not isinstance(value, bool)
                and _knobs.KNOBS[key].minimum <= value <= _knobs.KNOBS[key].maximum)


def load(host: Host) -> Dict[str, int]:
    """The recorded values of this machine; empty where they may not be read, or are not root's alone."""
    try:
        return parse(read(host))
    except (OSError, Refusal):
        return {}


def read(host: Host) -> Optional[bytes]:
    """The file's content, None where there is none. Raises Refusal where others could have written it, and OSError."""
    return _trust.read_record(host, FILE)


def doubt(host: Host) -> Optional[str]:
    """Why the record is not believed; None where it is, is not there, or may not be read."""
    try:
        return _trust.doubt_record(host, FILE)
    except OSError:
        return None


def dump(originals: Dict[str, int]) -> bytes:
    """The file's content."""
    return (json.dumps(originals, sort_keys=True, indent=1) + '\n').encode('utf-8')


def updated(originals: Dict[str, int], runtime: _knobs.State, touched: Iterable[str],
            ours_already: Iterable[str]) -> Dict[str, int]:
    """The record with the present value of each key that is about to be changed for the first time.

    ``ours_already`` are the keys that our file sets: their present value is no original.
    """
    result = dict(originals)
    for key in touched:
        value = runtime.get(key)
        if not _knobs.KNOBS[key].constant and key not in result and key not in ours_already and value is not None:
            result[key] = value
    return result
