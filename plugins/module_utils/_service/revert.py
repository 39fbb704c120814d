# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""State absent for running processes: revert those with our values.

A recorded process gets its own original. An unrecorded one with our value inherited it, or had its unit's: it gets the
value that a start of the unit gives now. A process with another value is skipped.
"""

from typing import Dict, Iterable, List, Set, Tuple

from .._host.host import Host
from .._process.groups import Group, Restricted, TheseProcesses
from .._process.handle import ProcessIdentity, identify
from .._process.inheritance import Skipped
from .._process.score_adj import ALL, Given, Target
from .._systemd import drop_in, unit_files, unit_names
from . import saved_scores
from .model import HostState, Running, Service

CHANGED_MEANWHILE = 'something else has changed its value since this module set it [OOMK-1907]'
NOT_OURS = 'this module did not set its value [OOMK-1907]'
NO_UNIT = 'process'


class Unrecorded(Restricted):
    """The processes of a group with one of these values and no recorded original."""

    def __init__(self, group: Group, values: Iterable[int], recorded: Iterable[saved_scores.Key]) -> None:
        super().__init__(group, ())
        self._values, self._recorded = set(values), set(recorded)

    def look(self, host: Host) -> List[ProcessIdentity]:
        """See Group."""
        return [one for one in self._group.look(host)
                if one.score_adj in self._values and one.key not in self._recorded]


def list_our_values(host_state: HostState, unit: str, service: str) -> Tuple[int, ...]:
    """List our values that processes of a unit may have: those set at runtime, and those of our drop-ins."""
    found: List[int] = []
    for name in (unit, service, unit_names.parse_template(unit) or ''):
        values = host_state.record.ours.get(name, ())
        if name in host_state.ours:
            in_file = drop_in.parse_recorded(host_state.ours[name]).get(unit_files.SCORE_ADJ)
            values += () if in_file is None else (in_file,)
        found += [value for value in values if value not in found]
    return tuple(found)


def plan_revert(record: saved_scores.Record, one: Running, label: str, start: int) -> None:
    """Decide which processes of a running unit get which value; ``start`` is the value of a start now."""
    one.is_reverted = True
    for process in one.processes:
        original = record.processes.get(process.key)
        goal = start if original is None else original.value
        if process.score_adj == goal:
            continue
        if process.score_adj in one.ours + (() if original is None else original.ours):
            one.goals[process.pid] = goal
        else:
            one.skipped.append(Skipped(process, NOT_OURS if original is None else CHANGED_MEANWHILE))
    recorded = set(record.processes)
    one.targets = _build_targets(one, label, recorded)
    if set(one.ours) - {start}:
        rest = Unrecorded(one.group, one.ours + (start,), recorded)
        given = [Given(value, None) for value in one.ours]
        one.targets.append(Target(label, rest, start, ALL, given, found=one.processes))


def _build_targets(one: Running, label: str, recorded: Set[saved_scores.Key]) -> List[Target]:
    """One target for each original value."""
    by_value: Dict[int, List[ProcessIdentity]] = {}
    for process in one.to_change:
        if process.key in recorded:
            by_value.setdefault(one.goals[process.pid], []).append(process)
    return [Target(label, TheseProcesses(found), value, ALL, found=found) for value, found in sorted(by_value.items())]


def plan_other_processes(host: Host, record: saved_scores.Record, services: List[Service]) -> List[Running]:
    """Plan the revert of recorded processes outside these services."""
    known = {process.key for service in services for one in service.running for process in one.processes}
    found = [seen for seen in (identify(host, pid) for pid, _ticks in sorted(record.processes))
             if seen is not None and seen.key in record.processes and seen.key not in known]
    if not found:
        return []
    one = Running(NO_UNIT, TheseProcesses(found), found, 0, {})
    plan_revert(record, one, NO_UNIT, 0)
    return [one]
