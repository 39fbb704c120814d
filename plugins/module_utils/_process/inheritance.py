# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell processes with the value of their unit from those that set their own value. Pure.

After a restart all processes have the unit's new value, except those that set their own again. So a change at runtime
sets the first and skips the second. The value alone does not distinguish them: sshd sets -1000 on itself and 0 on its
sessions, and 0 is the value of many units. If a process set its own value, its descendants within the unit inherited
it.
"""

from typing import Callable, Dict, Iterable, List, NamedTuple, Set

from .handle import ProcessIdentity

OWN_VALUE = 'it sets its own value [OOMK-1906]'
OWN_PARENT = 'it descends from process %d, which sets its own value [OOMK-1906]'


class Skipped(NamedTuple):
    process: ProcessIdentity
    reason: str


class Split(NamedTuple):
    inherited: List[ProcessIdentity]
    skipped: List[Skipped]


def split_processes(processes: Iterable[ProcessIdentity], given: Callable[[ProcessIdentity], bool]) -> Split:
    """Split processes; ``given`` returns whether a process has a value that the unit gave."""
    by_pid = {one.pid: one for one in processes}
    own = {pid for pid, one in by_pid.items() if not given(one)}
    result = Split([], [])
    known: Dict[int, int] = {}
    for pid, one in sorted(by_pid.items()):
        source = pid if pid in own else _find_own_ancestor(one, by_pid, own, known)
        if source:
            result.skipped.append(Skipped(one, OWN_VALUE if source == pid else OWN_PARENT % source))
        else:
            result.inherited.append(one)
    return result


def _find_own_ancestor(one: ProcessIdentity, by_pid: Dict[int, ProcessIdentity], own: Set[int],
                       known: Dict[int, int]) -> int:
    """The nearest ancestor within the unit that set its own value; 0 for none. ``known`` caches results by PID."""
    line: List[int] = []
    seen: Set[int] = set()
    found = 0
    while one.pid not in seen:
        if one.pid in known:
            found = known[one.pid]
            break
        line.append(one.pid)
        seen.add(one.pid)
        if one.parent in own:
            found = one.parent
            break
        one = by_pid.get(one.parent, one)
    known.update((pid, found) for pid in line)
    return found
