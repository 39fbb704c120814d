# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Predict which processes the kernel kills next: a pure function of a snapshot.

Sources: out_of_memory(), oom_evaluate_task(), oom_badness(), oom_kill_process() in mm/oom_kill.c, and
mem_cgroup_get_oom_group() in mm/memcontrol.c.

/proc shows the kernel's numbers with an error, so a process's badness is a range. If ranges overlap at the top, any of
these processes may be killed, and the next kill depends on which one. The simulation follows all these branches. A rank
lists the victims of all branches.
"""

from typing import Callable, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Set, Tuple

from .._kernel.badness import ADJ_MIN, SCALE_OLD, weigh_adj
from .snapshot import Domain, Missing, Process, Relations, Settings, Snapshot

KILL, PANIC, DEADLOCK, NO_KILL, UNKNOWN = 'kill', 'panic', 'deadlock', 'no_kill', 'unknown'
# Why a process is killed with another one.
SHARES_MEMORY, OOM_GROUP, SERVICE_ENDS = 'shares_memory', 'oom_group', 'service_ends'

# More branches arise only from many equal processes, and are alike.
_MOST_BRANCHES, _FEWEST_BRANCHES = 40, 4
_MOST_STEPS = 40000
_MOST_LOOKED_UP = 20  # equal victims with a relations look-up
_PAGES_PER_TABLE = 512


class WhatIf(NamedTuple):
    score_adj: Dict[int, int]  # by PID
    growth_pages: Dict[int, int]  # by PID
    panic_on_oom: Optional[int]  # None: as it is
    kill_allocating_task: Optional[bool]


NOTHING = WhatIf({}, {}, None, None)


class Victim(NamedTuple):
    process: Process
    badness_pages: int


class Collateral(NamedTuple):
    process: Process
    why: str


class Kill(NamedTuple):
    victims: List[Victim]  # any of them; the likeliest first
    margin_pages: Optional[int]
    error_pages: int
    collateral: List[Collateral]  # of the likeliest
    may_die: FrozenSet[int]  # the processes that this kill may end, in any branch
    freed_pages: int


class Forecast(NamedTuple):
    outcome: str
    reason: Optional[str]
    kills: List[Kill]
    missing: Missing


class _Choice(NamedTuple):
    """The kernel's choice in one branch."""

    victims: List[Victim]
    margin_pages: Optional[int]
    error_pages: int


def simulate(snapshot: Snapshot, kills: int, what_if: WhatIf = NOTHING) -> Forecast:
    """The next ``kills`` kills, fewer if the machine panics or no process is left."""
    snapshot = assume_settings(snapshot, what_if)
    outcome, reason = _decide_without_choice(snapshot, what_if)
    if outcome is not None:
        return Forecast(outcome, reason, [], Missing(set(), False, False))
    return _Simulation(snapshot, what_if).run(kills)


def assume_settings(snapshot: Snapshot, what_if: WhatIf) -> Snapshot:
    """The snapshot with the assumed settings."""
    changes = {name: getattr(what_if, name) for name in ('panic_on_oom', 'kill_allocating_task')
               if getattr(what_if, name) is not None}
    return snapshot._replace(settings=snapshot.settings._replace(**changes))


def _decide_without_choice(snapshot: Snapshot, what_if: WhatIf) -> Tuple[Optional[str], Optional[str]]:
    """(outcome, reason) if the kernel does not compare processes, else (None, None)."""
    settings, domain = snapshot.settings, snapshot.domain
    is_whole_machine = domain.cgroup is None and domain.nodes is None
    if domain.kill_disabled:
        return NO_KILL, f'memory.oom_control of {domain.cgroup} says oom_kill_disable 1: tasks that need memory wait'
    if settings.panic_on_oom == 2 or (settings.panic_on_oom == 1 and is_whole_machine):
        return PANIC, f'vm.panic_on_oom is {settings.panic_on_oom}'
    if snapshot.unknown is not None:
        return UNKNOWN, snapshot.unknown
    if settings.kill_allocating_task and domain.cgroup is None and not what_if.growth_pages:
        return UNKNOWN, ('vm.oom_kill_allocating_task is 1, so the kernel kills the task that triggers the OOM, '
                         'however little memory it has; name that process with growing [OOMK-2402]')
    return None, None


class _Simulation:
    """One snapshot with its assumptions, and what it lacks."""

    def __init__(self, snapshot: Snapshot, what_if: WhatIf) -> None:
        self._snapshot, self._what_if = snapshot, what_if
        self._missing_relations: Set[int] = set()
        self._needs_more = False
        self._ranked = _rank_processes(snapshot, what_if)
        self._deaths: Dict[int, Dict[int, str]] = {}
        self._most_branches = max(_FEWEST_BRANCHES, min(_MOST_BRANCHES, _MOST_STEPS // max(1, len(self._ranked))))

    def run(self, kills: int) -> Forecast:
        """Follow the branches, rank by rank. The first branch is the likeliest in each rank."""
        found: List[Kill] = []
        branches: List[FrozenSet[int]] = [frozenset()]
        while len(found) < kills:
            choices = [self._choose(branch, is_first=not found) for branch in branches]
            if choices[0] is None:
                break
            found.append(self._build_kill(choices[0], [one for one in choices if one is not None], branches[0]))
            branches = self._follow(branches, choices)
        # A kill with several victims may be certain with exact counts.
        needs_counts = any(len(kill.victims) > 1 and any(one.process.error_pages for one in kill.victims)
                           for kill in found)
        missing = Missing(self._missing_relations, self._needs_more, needs_counts)
        if found:
            return Forecast(KILL, None, found, missing)
        return Forecast(DEADLOCK, _explain_deadlock(self._snapshot), [], missing)

    def _build_kill(self, likeliest: _Choice, choices: List[_Choice], dead: FrozenSet[int]) -> Kill:
        """The kill of one rank; ``dead`` are gone in the likeliest branch."""
        processes, victim = self._snapshot.processes, likeliest.victims[0].process.pid
        deaths = self._find_deaths(victim)
        return Kill(
            victims=list({one.process.pid: one for choice in choices for one in choice.victims}.values()),
            margin_pages=likeliest.margin_pages, error_pages=likeliest.error_pages,
            collateral=[Collateral(processes[pid], why) for pid, why in sorted(deaths.items())
                        if pid != victim and pid not in dead and pid in processes],
            may_die=frozenset(pid for choice in choices for one in choice.victims[:_MOST_LOOKED_UP]
                              for pid in self._find_deaths(one.process.pid)),
            freed_pages=self._count_freed_pages(set(deaths) - dead, victim))

    def _follow(self, branches: List[FrozenSet[int]], choices: List[Optional[_Choice]]) -> List[FrozenSet[int]]:
        """The branches after one rank: one for each victim of each branch, up to the limit."""
        after: Dict[FrozenSet[int], None] = {}
        for branch, choice in zip(branches, choices):
            for victim in choice.victims[:_MOST_LOOKED_UP] if choice else ():
                if len(after) < self._most_branches:
                    after[branch.union(self._find_deaths(victim.process.pid))] = None
        return list(after)

    def _choose(self, dead: FrozenSet[int], is_first: bool) -> Optional[_Choice]:
        """The processes among which the kernel chooses when ``dead`` are gone."""
        task = self._find_allocating_task() if is_first else None
        if task is not None:
            return _Choice([task], None, task.process.error_pages)
        alive = [one for one in self._ranked if one.process.pid not in dead]
        bound = self._snapshot.left_out_pages
        if bound is not None and (not alive or bound >= _least_badness(alive[0])):
            self._needs_more = True
        if not alive:
            return None
        victims = self._add_children(_select_overlapping(alive), alive)
        return _Choice(victims, _find_margin(alive), sum(one.process.error_pages for one in alive[:2]))

    def _find_allocating_task(self) -> Optional[Victim]:
        """The process that grows: with vm.oom_kill_allocating_task the kernel kills it if it can."""
        if not self._snapshot.settings.kill_allocating_task or self._snapshot.domain.cgroup is not None:
            return None
        return next((one for one in self._ranked if one.process.pid in self._what_if.growth_pages), None)

    def _add_children(self, victims: List[Victim], alive: List[Victim]) -> List[Victim]:
        """Add, for kernels up to 5.0, the victims' worst children with memory of their own.

        These kernels kill such a child instead. Kernels from 5.2 to 5.8 do not, but share the scale of oom_score, and
        /proc shows no other difference: either process may be the victim.
        """
        if self._snapshot.settings.scale != SCALE_OLD:
            return victims
        known = {one.process.pid: one for one in alive}
        found = {one.process.pid: one for one in victims}
        for one in victims:
            relations = self._snapshot.relations.get(one.process.pid)
            if relations is not None:
                children = [known[pid] for pid in relations.children if pid in known and pid not in relations.sharers]
                ranked = sorted(children, key=_rank_key(self._snapshot.settings))
                found.update((child.process.pid, child) for child in _select_overlapping(ranked))
        return list(found.values())

    def _find_deaths(self, pid: int) -> Dict[int, str]:
        """The processes that end with this victim, itself included, and why."""
        if pid not in self._deaths:
            self._deaths[pid] = self._look_up_deaths(pid)
        return self._deaths[pid]

    def _look_up_deaths(self, pid: int) -> Dict[int, str]:
        deaths = {pid: ''}
        relations = self._look_up_relations(pid)
        if relations is None:
            return deaths
        for other in relations.sharers:
            deaths.setdefault(other, SHARES_MEMORY)
        for other in relations.group_members:
            if self._score_adj(other) != ADJ_MIN:
                deaths.setdefault(other, OOM_GROUP)
        # systemd sees each of these deaths, whatever the kernel's reason.
        for dead in list(deaths):
            relations = self._snapshot.relations.get(dead)
            for other in relations.unit_members if relations is not None else ():
                deaths.setdefault(other, SERVICE_ENDS)
        return deaths

    def _look_up_relations(self, pid: int) -> Optional[Relations]:
        """The relations of a process. Notes missing ones, also of processes that may die with it."""
        relations = self._snapshot.relations.get(pid)
        related = [pid] if relations is None else relations.sharers + relations.group_members
        self._missing_relations.update(other for other in related if other not in self._snapshot.relations)
        return relations

    def _score_adj(self, pid: int) -> Optional[int]:
        process = self._snapshot.processes.get(pid)
        return self._what_if.score_adj.get(pid, None if process is None else process.oom_score_adj)

    def _count_freed_pages(self, pids: Iterable[int], victim: int) -> int:
        """The memory that a kill frees; shared memory counts once."""
        relations = self._snapshot.relations.get(victim)
        shared = set(relations.sharers) if relations is not None else set()
        return sum(self._snapshot.processes[pid].freed_pages + self._what_if.growth_pages.get(pid, 0)
                   for pid in pids if pid in self._snapshot.processes and pid not in shared)


# ---------------------------------------------------------------------- badness

def _rank_processes(snapshot: Snapshot, what_if: WhatIf) -> List[Victim]:
    """The processes that the kernel can choose, the likeliest first."""
    found = []
    for process in snapshot.processes.values():
        adj = what_if.score_adj.get(process.pid, process.oom_score_adj)
        if not _can_be_chosen(process, adj) or not _is_within(process, snapshot.domain):
            continue
        memory_pages = process.memory_pages + _add_tables(what_if.growth_pages.get(process.pid, 0))
        badness_pages = memory_pages + weigh_adj(adj, snapshot.domain.total_pages)
        if snapshot.settings.scale == SCALE_OLD:
            badness_pages = max(badness_pages, 1)  # kernels before 5.9 know no negative badness
        found.append(Victim(process._replace(oom_score_adj=adj), badness_pages))
    return sorted(found, key=_rank_key(snapshot.settings))


def _can_be_chosen(process: Process, adj: int) -> bool:
    """Whether the kernel may choose it with this oom_score_adj."""
    return process.never is None and adj != ADJ_MIN


def _is_within(process: Process, domain: Domain) -> bool:
    """Whether a process is in or below the cgroup that runs out of memory, or may use a NUMA node that does."""
    cgroup, nodes = domain.cgroup, domain.nodes
    if nodes is not None and process.nodes is not None and not set(nodes) & set(process.nodes):
        return False
    return cgroup is None or ((process.cgroup or '') + '/').startswith(cgroup + '/')


def _add_tables(pages: int) -> int:
    """Pages with the page tables that map them."""
    return pages + -(-pages // _PAGES_PER_TABLE)


def _rank_key(settings: Settings) -> Callable[[Victim], Tuple[int, int, int]]:
    """Newer kernels choose the last of equal processes in fork order, see L(_kernel.badness.rank)."""
    sign = 1 if settings.scale == SCALE_OLD else -1
    return lambda one: (-one.badness_pages, sign * one.process.start_ticks, sign * one.process.pid)


def _least_badness(one: Victim) -> int:
    return one.badness_pages - one.process.error_pages


def _find_margin(ranked: List[Victim]) -> Optional[int]:
    """The lead of the first in pages."""
    return ranked[0].badness_pages - ranked[1].badness_pages if len(ranked) > 1 else None


def _select_overlapping(ranked: List[Victim]) -> List[Victim]:
    """The processes that may be the worst: their highest badness reaches the lowest one of every other."""
    floor = max(map(_least_badness, ranked), default=0)
    return [one for one in ranked if one.badness_pages + one.process.error_pages >= floor]


def _explain_deadlock(snapshot: Snapshot) -> str:
    if snapshot.domain.cgroup is not None:
        return f'no process in {snapshot.domain.cgroup} can be killed: tasks that need memory there fail or wait'
    return 'no process can be killed, so that the kernel panics ("System is deadlocked on memory")'
