# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of runtime changes for state absent, in /run/oomkit until the next boot.

For a unit: our values, values that unit files gave its processes before our changes, and memory.oom.group of its cgroup
before our first change. For a process: its value before our first change, unless its unit gives that at start. So a
service of 10,000 processes takes one entry, plus one for each process that differs.
"""

import json
import os
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from .._host import file_trust
from .._host.host import RUN_FOLDER, Host
from .._process.handle import ProcessIdentity, identify
from .._process.score_adj import Given, is_given

FILE = RUN_FOLDER + '/oom_score_adj.json'
FILE_MODE = 0o600

Key = Tuple[int, int]  # PID and start time


class Original(NamedTuple):
    value: int  # oom_score_adj before our first change
    ours: Tuple[int, ...]  # what we have set since, the newest last


class Record(NamedTuple):
    units: Dict[str, Tuple[Given, ...]]
    originals: Dict[str, int]  # by service of other inits, its value at start
    processes: Dict[Key, Original]
    groups: Dict[str, int]  # by unit
    ours: Dict[str, Tuple[int, ...]]  # by unit, our values on running processes


EMPTY = Record({}, {}, {}, {}, {})


def parse(data: Optional[bytes]) -> Record:
    """Parse the record; a damaged one counts as empty."""
    try:
        found = json.loads((data or b'').decode('utf-8'))
        return Record(
            {str(unit): tuple(_parse_given(*pair) for pair in pairs) for unit, pairs in found['units'].items()},
            {str(name): int(value) for name, value in found['originals'].items()},
            {(int(pid), int(ticks)): Original(int(value), tuple(map(int, ours)))
             for pid, ticks, value, ours in found['processes']},
            {str(unit): int(bool(value)) for unit, value in found['groups'].items()},
            {str(unit): tuple(map(int, values)) for unit, values in found['ours'].items()})
    except (ValueError, RecursionError, OverflowError, KeyError, TypeError, AttributeError):
        return EMPTY


def read(host: Host) -> Optional[bytes]:
    """Read the file; None if it is missing, or if the user is not root and may not read it.

    Raises Refusal if other users than root could have written it, and OSError.
    """
    try:
        return file_trust.read_record(host, FILE)
    except PermissionError:
        if os.geteuid() == 0:
            raise  # without it the originals would be lost
        return None


def may_write(host: Host) -> bool:
    """Whether this user may write the record, which is in root's folder."""
    folder = RUN_FOLDER if host.exists(RUN_FOLDER) else os.path.dirname(RUN_FOLDER)
    return os.access(host.locate(folder), os.W_OK)


def _parse_given(value: Any, until_ticks: Any) -> Given:
    return Given(int(value), None if until_ticks is None else int(until_ticks))


def dump(record: Record) -> Optional[bytes]:
    """The file's content; None for an empty record."""
    if record == EMPTY:
        return None
    data = {
        'units': {unit: [list(given) for given in values] for unit, values in record.units.items()},
        'originals': record.originals,
        'processes': [list(key) + [one.value, list(one.ours)] for key, one in sorted(record.processes.items())],
        'groups': record.groups,
        'ours': {unit: list(values) for unit, values in record.ours.items()},
    }
    return (json.dumps(data, sort_keys=True) + '\n').encode('utf-8')


def read_now_ticks(host: Host) -> int:
    """The time since boot in clock ticks, as in /proc/PID/stat, rounded up."""
    uptime_s = float((host.read_text('/proc/uptime') or '0').split()[0])
    return int(uptime_s * os.sysconf('SC_CLK_TCK')) + 1


def with_processes(record: Record, changes: Iterable[ProcessIdentity], known_values: Iterable[Given],
                   wanted: int) -> Record:
    """Add these processes before they get the value ``wanted``. Recorded originals stay.

    Values in ``known_values`` need no original: they are ours, or the unit's own.
    """
    processes, values = dict(record.processes), list(known_values)
    for one in changes:
        old = processes.get(one.key)
        if old is not None:
            processes[one.key] = old._replace(ours=_append(old.ours, wanted))
        elif not is_given(one, values):
            processes[one.key] = Original(one.score_adj, (wanted,))
    return record._replace(processes=processes)


def without_processes(record: Record, keys: Iterable[Key]) -> Record:
    """The record without these processes."""
    gone = set(keys)
    return record._replace(processes={key: original for key, original in record.processes.items() if key not in gone})


def without_ended(host: Host, record: Record) -> Record:
    """The record without ended processes, which limits its size."""
    found = (identify(host, pid) for pid, _start_ticks in record.processes)
    living = {one.key for one in found if one is not None}
    return without_processes(record, set(record.processes) - living)


def with_unit(record: Record, unit: str, values: List[Given]) -> Record:
    """The record with these values for the unit; no values remove the unit."""
    return record._replace(units=_with(record.units, unit, values))


def with_ours(record: Record, unit: str, values: Iterable[int]) -> Record:
    """The record with these values as ours; no values remove the unit."""
    return record._replace(ours=_with(record.ours, unit, values))


def _with(entries: Dict[str, Tuple[Any, ...]], unit: str, values: Iterable[Any]) -> Dict[str, Tuple[Any, ...]]:
    others = {key: value for key, value in entries.items() if key != unit}
    return {**others, unit: tuple(values)} if values else others


def merge(one: Record, other: Record) -> Record:
    """Merge two records; the originals of ``one`` win."""
    units, ours = dict(one.units), dict(one.ours)
    for unit, values in other.units.items():
        units[unit] = tuple(units.get(unit, ())) + tuple(value for value in values if value not in units.get(unit, ()))
    for unit, numbers in other.ours.items():
        for number in numbers:
            ours[unit] = _append(ours.get(unit, ()), number)
    processes = dict(one.processes)
    for key, original in other.processes.items():
        known = processes.setdefault(key, original)
        for number in original.ours:
            known = known._replace(ours=_append(known.ours, number))
        processes[key] = known
    return Record(units, {**other.originals, **one.originals}, processes, {**other.groups, **one.groups}, ours)


def list_units(record: Record) -> Set[str]:
    """The systemd units with an entry."""
    return set(record.units) | set(record.groups) | set(record.ours)


def _append(values: Tuple[int, ...], value: int) -> Tuple[int, ...]:
    """The values with this one as the last."""
    return tuple(one for one in values if one != value) + (value,)
