# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The assumptions of a forecast by process.

On this machine a service's value goes to the processes where oom_score_adj would set it. In a snapshot it goes to all
processes of the unit.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .._core.errors import NO_SERVICE, NO_SYSTEMD, NO_UNIT_FILES, NeedsAdvice, Refusal
from .._core.request import Request
from .._core.sanitize import sanitize
from .._forecast.simulate import NOTHING, WhatIf
from .._forecast.snapshot import Process, Snapshot
from .._host.host import Host
from .._process import selector
from .._process.score_adj import INHERITED
from .._process.table import ProcessTable
from .._service.live import make_live_plan
from .._service.model import DesiredState, HostState, Plan
from .._systemd.manager import Manager
from .._systemd.unit_names import serves


class Subject(NamedTuple):
    kind: str  # service, pid or comm
    value: Any  # a unit with its suffix, a number, a name


class Assumption(NamedTuple):
    subject: Subject
    score_adj: int


REQUEST = Request(absent=False, runtime=True, persistent=False, conflicts='warn', force=True, check_mode=True,
                  scope=INHERITED, missing='fail')


class Growth(NamedTuple):
    subject: Subject
    pages: int


# ------------------------------------------------------------------ this machine

def resolve_on_machine(host: Host, processes: ProcessTable, manager: Optional[Manager], assumptions: List[Assumption],
                       growth: Optional[Growth]) -> WhatIf:
    """The assumptions by PID. Raises Refusal for a missing subject."""
    desired_states = [DesiredState(one.subject.value, one.subject.value, one.score_adj, None, None)
                      for one in assumptions if one.subject.kind == 'service']
    score_adj = _make_live_plan(host, manager, desired_states).score_adj if desired_states else {}
    for one in assumptions:
        if one.subject.kind != 'service':
            score_adj.update((pid, one.score_adj) for pid in _find_pids(host, processes, one.subject))
    growing: Dict[int, int] = {}
    if growth is not None:
        growing[_find_largest(host, processes, manager, growth.subject)] = growth.pages
    return NOTHING._replace(score_adj=score_adj, growth_pages=growing)


def _make_live_plan(host: Host, manager: Optional[Manager], desired_states: List[DesiredState]) -> Plan:
    """The module's plan with its defaults, live only and without guards, since nothing is applied."""
    try:
        return make_live_plan(HostState(host, manager), REQUEST, desired_states)
    except NeedsAdvice as exc:
        raise exc.add_advice(_ADVICE) from exc


_ADVICE = {
    NO_SERVICE: 'Correct the name, or leave the service out. [OOMK-1701]',
    NO_UNIT_FILES: 'Name processes by their pid. [OOMK-1809]',
    NO_SYSTEMD: 'Name processes by their pid. [OOMK-1809]',
}


def _find_pids(host: Host, processes: ProcessTable, subject: Subject) -> List[int]:
    """The processes of the assumption. Raises Refusal for none."""
    if subject.kind == 'pid':
        found = [subject.value] if processes.read_score_adj(subject.value) is not None else []
    else:
        found = [one.pid for one in selector.build_group(host, {'comm': subject.value}).look(host)]
    if not found:
        raise Refusal(f'There is no process with {subject.kind} {sanitize(str(subject.value))} on this machine, so '
                      'nothing can be assumed of it. Correct it, or leave it out. [OOMK-2413]')
    return found


def _find_largest(host: Host, processes: ProcessTable, manager: Optional[Manager], subject: Subject) -> int:
    """The growing process: of a service, the one with the most memory. Raises Refusal."""
    if subject.kind == 'pid':
        return _find_pids(host, processes, subject)[0]
    plan = _make_live_plan(host, manager, [DesiredState(subject.value, subject.value, 0, None, None)])
    pids = [process.pid for one in plan.running for process in one.processes]
    all_terms = [(pid, processes.read_terms(pid)) for pid in pids]
    found = [(sum(terms.memory), pid) for pid, terms in all_terms if terms is not None]
    if not found:
        raise Refusal(f'growing: {subject.value} has no processes now, so none of them can grow. Start it, or name a '
                      'process by its pid. [OOMK-2413]')
    return max(found)[1]


# -------------------------------------------------------------------- a snapshot

def resolve_in_snapshot(snapshot: Snapshot, assumptions: List[Assumption], growth: Optional[Growth]) -> WhatIf:
    """The assumptions by PID, for all processes of a service. Raises Refusal for a missing subject."""
    score_adj: Dict[int, int] = {}
    for one in assumptions:
        score_adj.update((pid, one.score_adj) for pid in _find_in_snapshot(snapshot, one.subject))
    growing: Dict[int, int] = {}
    if growth is not None:
        largest = max(_find_in_snapshot(snapshot, growth.subject), key=lambda pid: snapshot.processes[pid].memory_pages)
        growing[largest] = growth.pages
    return NOTHING._replace(score_adj=score_adj, growth_pages=growing)


def _find_in_snapshot(snapshot: Snapshot, subject: Subject) -> List[int]:
    matches: Callable[[Process], bool] = {
        'pid': lambda one: one.pid == subject.value,
        'comm': lambda one: one.name == sanitize(str(subject.value)),
        'service': lambda one: serves(one.unit or '', subject.value),
    }[subject.kind]
    found = [one.pid for one in snapshot.processes.values() if matches(one)]
    if not found:
        raise Refusal(f'The snapshot holds no process with {subject.kind} {sanitize(str(subject.value))}, so nothing '
                      'can be assumed of it. It holds the likeliest victims only: take one with more kills.'
                      ' [OOMK-2413]')
    return found
