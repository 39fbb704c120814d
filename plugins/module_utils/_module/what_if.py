# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a forecast assumes, by process.

Of this machine: what the module oom_score_adj would set. Of a snapshot: all processes of a unit.
"""

from typing import Any, Dict, Iterable, List, NamedTuple, Optional

from .._core.errors import NO_SERVICE, NO_SYSTEMD, NO_UNIT_FILES, NeedsAdvice, Refusal
from .._core.sanitize import sanitize
from .._forecast.simulate import NOTHING, WhatIf
from .._forecast.snapshot import Snapshot
from .._host.host import Host
from .._process import selector
from .._process.score_adj import INHERITED
from .._process.table import ProcessTable
from .._service.live import LivePlan, make_live_plan
from .._service.model import DesiredState, HostState, Request
from .._systemd.manager import Manager
from .._systemd.unit_names import serves


class Subject(NamedTuple):
    kind: str  # service, pid or comm
    value: Any  # a unit with its suffix, a number, a name


class Assumption(NamedTuple):
    subject: Subject
    score_adj: int


REQUEST = Request(absent=False, runtime=True, persistent=False, scope=INHERITED, missing='fail', exclusive=False,
                  conflicts='warn', force=True, check_mode=True)


class Growth(NamedTuple):
    subject: Subject
    pages: int


# ------------------------------------------------------------------ this machine

def on_machine(host: Host, processes: ProcessTable, manager: Optional[Manager], assumptions: Iterable[Assumption],
               growth: Optional[Growth]) -> WhatIf:
    """By PID. Raises Refusal for what is not there."""
    assumed = list(assumptions)
    services = [one for one in assumed if one.subject.kind == 'service']
    desired_states = [DesiredState(one.subject.value, one.subject.value, one.score_adj, None, None) for one in services]
    score_adj = _planned(host, manager, desired_states) if desired_states else {}
    for one in assumed:
        if one.subject.kind != 'service':
            score_adj.update((pid, one.score_adj) for pid in _pids(host, processes, one.subject))
    growing: Dict[int, int] = {}
    if growth is not None:
        growing[_largest(host, processes, manager, growth.subject)] = growth.pages
    return NOTHING._replace(score_adj=score_adj, growth_pages=growing)


def _planned(host: Host, manager: Optional[Manager], desired_states: List[DesiredState]) -> Dict[int, int]:
    """As the module would with its defaults, but live only; nothing is dangerous, since nothing is done."""
    return _live_plan(host, manager, desired_states).score_adj()


def _live_plan(host: Host, manager: Optional[Manager], desired_states: List[DesiredState]) -> LivePlan:
    try:
        return make_live_plan(HostState(host, manager), REQUEST, desired_states)
    except NeedsAdvice as exc:
        raise exc.advised(_ADVICE) from exc


_ADVICE = {
    NO_SERVICE: 'Correct the name, or leave the service out.',
    NO_UNIT_FILES: 'Name processes by their pid.',
    NO_SYSTEMD: 'Name processes by their pid.',
}


def _pids(host: Host, processes: ProcessTable, subject: Subject) -> List[int]:
    """The processes that are meant. Raises Refusal for none."""
    if subject.kind == 'pid':
        found = [subject.value] if processes.adj(subject.value) is not None else []
    else:
        found = [one.pid for one in selector.build_group(host, {'comm': subject.value}).look(host)]
    if not found:
        raise Refusal(f'There is no process with {subject.kind} {sanitize(str(subject.value))} on this machine, so '
                      'nothing can be assumed of it. Correct it, or leave it out.')
    return found


def _largest(host: Host, processes: ProcessTable, manager: Optional[Manager], subject: Subject) -> int:
    """The process that grows: of a service the one that holds most. Raises Refusal."""
    if subject.kind == 'pid':
        return _pids(host, processes, subject)[0]
    plan = _live_plan(host, manager, [DesiredState(subject.value, subject.value, 0, None, None)])
    found = [(terms.memory, process.pid) for one in plan.running() for process in one.processes
             for terms in [processes.terms(process.pid)] if terms is not None]
    if not found:
        raise Refusal(f'growing: {subject.value} has no processes now, so none of them can grow. Start it, or name a '
                      'process by its pid.')
    return max(found, key=lambda one: (sum(one[0]), one[1]))[1]


# -------------------------------------------------------------------- a snapshot

def in_snapshot(snapshot: Snapshot, assumptions: Iterable[Assumption], growth: Optional[Growth]) -> WhatIf:
    """By PID: of a service all its processes that the snapshot holds. Raises Refusal."""
    score_adj: Dict[int, int] = {}
    for one in assumptions:
        score_adj.update((pid, one.score_adj) for pid in _in_snapshot(snapshot, one.subject))
    growing: Dict[int, int] = {}
    if growth is not None:
        largest = max(_in_snapshot(snapshot, growth.subject), key=lambda pid: snapshot.processes[pid].memory_pages)
        growing[largest] = growth.pages
    return NOTHING._replace(score_adj=score_adj, growth_pages=growing)


def _in_snapshot(snapshot: Snapshot, subject: Subject) -> List[int]:
    matches = {
        'pid': lambda one: one.pid == subject.value,
        'comm': lambda one: one.name == sanitize(str(subject.value)),
        'service': lambda one: serves(one.unit or '', subject.value),
    }[subject.kind]
    found = [one.pid for one in snapshot.processes.values() if matches(one)]
    if not found:
        raise Refusal(f'The snapshot holds no process with {subject.kind} {sanitize(str(subject.value))}, so nothing '
                      'can be assumed of it. It holds the likeliest victims only: take one with more kills.')
    return found
