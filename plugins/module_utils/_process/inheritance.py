# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes of a unit have the value that the unit gave them, and which have set their own. Pure.

A restart would give every process its unit's new value, and those that set their own would set it again: so exactly
the first are to be changed. A value alone does not tell: sshd sets -1000 on itself and 0 on its sessions, which is
what many units give. What descends, within the unit, from a process that set its own value was given its value by that
process and not by the unit.
"""

from typing import Callable, Dict, Iterable, List, NamedTuple, Set

from .handle import ProcessIdentity

OWN_VALUE = 'it sets its own value'
OWN_PARENT = 'it descends from process %d, which sets its own value'


class Skipped(NamedTuple):
    process: ProcessIdentity
    reason: str


class Split(NamedTuple):
    inherited: List[ProcessIdentity]
    skipped: List[Skipped]


def split_processes(processes: Iterable[ProcessIdentity], given: Callable[[ProcessIdentity], bool]) -> Split:
    """Tell those apart whose value is the unit's; ``given`` says whether a process has a value that the unit gave."""
    by_pid = {one.pid: one for one in processes}
    own = {pid for pid, one in by_pid.items() if not given(one)}
    inherited, skipped = [], []
    known: Dict[int, int] = {}
    for pid in sorted(by_pid):
        one = by_pid[pid]
        if pid in own:
            skipped.append(Skipped(one, OWN_VALUE))
            continue
        source = _own_ancestor(one, by_pid, own, known)
        if source:
            skipped.append(Skipped(one, OWN_PARENT % source))
        else:
            inherited.append(one)
    return Split(inherited, skipped)


def _own_ancestor(one: ProcessIdentity, by_pid: Dict[int, ProcessIdentity], own: Set[int],
                  known: Dict[int, int]) -> int:
    """The nearest ancestor within the unit that set its own value, 0 for none. ``known`` are the answers so far."""
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
