# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was set on running processes and stands in no file of systemd's, kept in /run/oomkit until the next boot.

For each unit the values that it may have given to processes which run now, although no unit file says so (any more),
and for what is set live only the value from before, so that state absent can put it back. The same for
memory.oom.group of its cgroup.
"""

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils import _trust
from ansible_collections.oomkit.linux.plugins.module_utils._held import Held
from ansible_collections.oomkit.linux.plugins.module_utils._host import RUN_FOLDER, Host
from ansible_collections.oomkit.linux.plugins.module_utils._live import Given

FILE = RUN_FOLDER + '/oom_score_adj.json'
FILE_MODE = 0o600

Record = NamedTuple('Record', [
    ('units', Dict[str, Tuple[Given, ...]]),
    ('originals', Dict[str, int]),                       # by service of other inits
    ('processes', Dict[Tuple[int, int], int]),           # by PID and start time
    ('groups', Dict[str, int]),                          # by unit; older records have none
])
EMPTY = Record({}, {}, {}, {})


def parse(data: Optional[bytes]) -> Record:
    """The record; one that is damaged or not ours counts as none."""
    try:
        found = json.loads((data or b'').decode('utf-8'))
        return Record(
            dict((str(unit), tuple(_given(*pair) for pair in pairs)) for unit, pairs in found['units'].items()),
            dict((str(name), int(value)) for name, value in found['originals'].items()),
            dict(((int(pid), int(ticks)), int(value)) for pid, ticks, value in found['processes']),
            dict((str(unit), int(bool(value))) for unit, value in found.get('groups', {}).items()))
    except (ValueError, RecursionError, OverflowError, KeyError, TypeError, AttributeError):
        return EMPTY


def read(host: Host) -> Optional[bytes]:
    """The file's content, None where there is none or it may not be read: root only sees it.

    Raises Refusal where others than root could have written it, and OSError.
    """
    try:
        return _trust.read_record(host, FILE)
    except PermissionError:
        if os.geteuid() == 0:
            raise  # to go on without would be to forget what is in it
        return None


def may_write(host: Host) -> bool:
    """Whether this user may keep the record: the folder is root's own."""
    folder = RUN_FOLDER if host.exists(RUN_FOLDER) else os.path.dirname(RUN_FOLDER)
    return os.access(host.locate(folder), os.W_OK)


def _given(value: Any, until_ticks: Any) -> Given:
    return Given(int(value), None if until_ticks is None else int(until_ticks))


def dump(record: Record) -> Optional[bytes]:
    """The file's content, None for an empty record."""
    if record == EMPTY:
        return None
    data = {
        'units': dict((unit, [list(given) for given in values]) for unit, values in record.units.items()),
        'originals': record.originals,
        'processes': [list(key) + [value] for key, value in sorted(record.processes.items())],
        'groups': record.groups,
    }
    return (json.dumps(data, sort_keys=True) + '\n').encode('utf-8')


def now_ticks(host: Host) -> int:
    """The time as /proc/PID/stat counts it: clock ticks since boot, rounded up."""
    uptime_s = float((host.read_text('/proc/uptime') or '0').split()[0])
    return int(uptime_s * os.sysconf('SC_CLK_TCK')) + 1


def is_alive(host: Host, pid: int, start_ticks: int) -> bool:
    """Whether that very process still runs."""
    with Held(host, pid) as held:
        seen = held.look()
    return seen is not None and seen.start_ticks == start_ticks


def with_unit(record: Record, unit: str, values: List[Given]) -> Record:
    """The record with these values for the unit; none forgets the unit."""
    units = dict(record.units)
    units.pop(unit, None)
    if values:
        units[unit] = tuple(values)
    return record._replace(units=units)


def both(one: Record, other: Record) -> Record:
    """A record that counts what either says; ``one`` is right about what was before."""
    units = dict(one.units)
    for unit, values in other.units.items():
        units[unit] = tuple(units.get(unit, ())) + tuple(value for value in values if value not in units.get(unit, ()))
    return Record(units, _over(other.originals, one.originals), _over(other.processes, one.processes),
                  _over(other.groups, one.groups))


def names_of(record: Record) -> Set[str]:
    """The units of systemd of which something is recorded."""
    return set(record.units) | set(record.groups)


def _over(below: Dict[Any, int], above: Dict[Any, int]) -> Dict[Any, int]:
    return dict(list(below.items()) + list(above.items()))
