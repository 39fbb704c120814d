# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who dies next: a function from a snapshot to a list of kills. Pure.

Sources: out_of_memory(), oom_evaluate_task(), oom_badness(), oom_kill_process() in mm/oom_kill.c, and
mem_cgroup_get_oom_group() in mm/memcontrol.c.

The kernel chooses by numbers that /proc shows with an error, so what is known of each process is a range. Where the
ranges of several overlap at the top any of them may die, and what comes next depends on which one did: all those
courses are followed, and the victims of a rank are those of all courses.
"""

from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Set, Tuple

from .._kernel.badness import ADJ_MIN, SCALE_OLD
from .snapshot import Domain, Process, Settings, Snapshot

KILL, PANIC, DEADLOCK, NO_KILL, UNKNOWN = 'kill', 'panic', 'deadlock', 'no_kill', 'unknown'
# Why a process goes down with another one.
SHARES_MEMORY, OOM_GROUP, SERVICE_ENDS = 'shares_memory', 'oom_group', 'service_ends'

# So many courses are followed. More arise only from many equals, whose courses are all alike.
_MOST_COURSES, _FEWEST_COURSES = 40, 4
_MOST_STEPS = 40000
# Of so many equals it is looked up what goes down with them.
_MOST_LOOKED = 20
_PAGES_PER_TABLE = 512


class WhatIf(NamedTuple):
    score_adj: Dict[int, int]  # by PID
    growth_pages: Dict[int, int]  # by PID
    panic_on_oom: Optional[int]  # None: as it is
    kill_allocating_task: Optional[bool]


NOTHING = WhatIf({}, {}, None, None)


# A process as the kernel weighs it.
class Weighed(NamedTuple):
    process: Process
    badness_pages: int


class Victim(NamedTuple):
    process: Process
    badness_pages: int


class Fellow(NamedTuple):
    process: Process
    why: str


class Kill(NamedTuple):
    victims: List[Victim]  # any of them; the likeliest first
    margin_pages: Optional[int]
    error_pages: int
    collateral: List[Fellow]  # of the likeliest
    doomed: FrozenSet[int]  # whoever may go down in this kill, in any course
    freed_pages: int


class Forecast(NamedTuple):
    outcome: str
    reason: Optional[str]
    kills: List[Kill]
    unlooked: Set[int]  # possible victims of which it is not known who goes down with them
    short: bool  # whether processes that were left out may be among the victims


def simulate(snapshot: Snapshot, kills: int, what_if: WhatIf = NOTHING) -> Forecast:
    """The next ``kills`` kills, fewer where the machine panics or nobody is left."""
    snapshot = assumed(snapshot, what_if)
    outcome, reason = _without_choice(snapshot, what_if)
    if outcome is not None:
        return Forecast(outcome, reason, [], set(), False)
    return _Simulation(snapshot, what_if).run(kills)


def assumed(snapshot: Snapshot, what_if: WhatIf) -> Snapshot:
    """The snapshot with the settings that are assumed."""
    settings = snapshot.settings
    if what_if.panic_on_oom is not None:
        settings = settings._replace(panic_on_oom=what_if.panic_on_oom)
    if what_if.kill_allocating_task is not None:
        settings = settings._replace(kill_allocating_task=what_if.kill_allocating_task)
    return snapshot._replace(settings=settings)


def _without_choice(snapshot: Snapshot, what_if: WhatIf) -> Tuple[Optional[str], Optional[str]]:
    """What happens without any look at the processes: (outcome, reason), (None, None) where they are looked at."""
    settings, domain = snapshot.settings, snapshot.domain
    in_cgroup = domain.cgroup is not None
    everywhere = not in_cgroup and domain.nodes is None
    if domain.kill_disabled:
        return NO_KILL, f'memory.oom_control of {domain.cgroup} says oom_kill_disable 1: who asks for memory waits'
    if settings.panic_on_oom == 2 or (settings.panic_on_oom == 1 and everywhere):
        return PANIC, f'vm.panic_on_oom is {settings.panic_on_oom}'
    if snapshot.unknown is not None:
        return UNKNOWN, snapshot.unknown
    if settings.kill_allocating_task and not in_cgroup and not what_if.growth_pages:
        return UNKNOWN, ('vm.oom_kill_allocating_task is 1, so that whoever asks for the memory that is not there is '
                         'killed, however little it has; growing tells who that would be for one process')
    return None, None


class _Simulation:
    """One snapshot with what is assumed of it, and what was found to be missing in it."""

    def __init__(self, snapshot: Snapshot, what_if: WhatIf) -> None:
        self.snapshot, self.what_if = snapshot, what_if
        self.unlooked: Set[int] = set()
        self.short = False
        self.weighed = _in_order(snapshot, what_if)
        self._deaths: Dict[int, Dict[int, str]] = {}
        self._most_courses = max(_FEWEST_COURSES, min(_MOST_COURSES, _MOST_STEPS // max(1, len(self.weighed))))

    def run(self, kills: int) -> Forecast:
        """Follow the courses, rank by rank."""
        found: List[Kill] = []
        branches: List[FrozenSet[int]] = [frozenset()]
        for _rank in range(kills):
            kill, branches = self._next(branches, first=not found)
            if kill is None:
                break
            found.append(kill)
        if found:
            return Forecast(KILL, None, found, self.unlooked, self.short)
        return Forecast(DEADLOCK, _deadlock_reason(self.snapshot), [], set(), self.short)

    def _next(self, branches: List[FrozenSet[int]], first: bool) -> Tuple[Optional[Kill], List[FrozenSet[int]]]:
        """The kill of one rank and the courses after it. The first course is the likeliest all along."""
        choices = [(course, self._choose(course, first)) for course in branches]
        likeliest = choices[0][1]
        if likeliest is None:
            return None, []
        victims: Dict[int, Weighed] = {}
        after: Dict[FrozenSet[int], None] = {}
        doomed: Set[int] = set()
        for course, choice in choices:
            for number, one in enumerate(choice.victims if choice else ()):
                victims.setdefault(one.process.pid, one)
                if number >= _MOST_LOOKED:
                    continue
                deaths = frozenset(self.deaths(one.process.pid))
                doomed.update(deaths)
                if len(after) < self._most_courses:
                    after[course | deaths] = None
        best = likeliest.victims[0]
        fellows = self.deaths(best.process.pid)
        kill = Kill(
            victims=[Victim(*one) for one in victims.values()],
            margin_pages=likeliest.margin_pages, error_pages=likeliest.error_pages,
            collateral=[Fellow(self.snapshot.processes[pid], why) for pid, why in sorted(fellows.items())
                        if pid != best.process.pid and pid not in branches[0] and pid in self.snapshot.processes],
            doomed=frozenset(doomed),
            freed_pages=self._freed_pages(set(fellows) - branches[0], best.process.pid))
        return kill, list(after)

    def _choose(self, dead: FrozenSet[int], first: bool) -> Optional['_Choice']:
        """Those among whom the kernel chooses when ``dead`` are gone."""
        if first and self.snapshot.settings.kill_allocating_task and self.snapshot.domain.cgroup is None:
            asker = self._asker()
            if asker is not None:
                return _Choice([asker], None, asker.process.error_pages)
        alive = [one for one in self.weighed if one.process.pid not in dead]
        if not alive:
            self._mark_short(None)
            return None
        victims = _overlapping(alive)
        self._mark_short(_lowest(victims[0]))
        second = alive[1] if len(alive) > 1 else None
        margin = None if second is None else victims[0].badness_pages - second.badness_pages
        error = victims[0].process.error_pages + (second.process.error_pages if second else 0)
        return _Choice(self._with_sacrifice(victims, dead), margin, error)

    def _mark_short(self, lowest: Optional[int]) -> None:
        """Note that a process that was left out may be the one."""
        bound = self.snapshot.left_out_pages
        if bound is not None and (lowest is None or bound >= lowest):
            self.short = True

    def _asker(self) -> Optional[Weighed]:
        """The process that grows: with vm.oom_kill_allocating_task it is killed if it can be at all."""
        return next((one for one in self.weighed if one.process.pid in self.what_if.growth_pages), None)

    def _with_sacrifice(self, victims: List[Weighed], dead: FrozenSet[int]) -> List[Weighed]:
        """Kernels up to 5.0 kill the worst child with memory of its own instead.

        No number in /proc tells them from 5.2 to 5.8, which share the scale of oom_score: either may be the one.
        """
        if self.snapshot.settings.scale != SCALE_OLD:
            return victims
        known = {one.process.pid: one for one in self.weighed if one.process.pid not in dead}
        found = list(victims)
        pids = {one.process.pid for one in found}
        for one in victims:
            ties = self.snapshot.ties.get(one.process.pid)
            children = [known[pid] for pid in (ties.children if ties else ()) if pid in known]
            children = [child for child in children if child.process.pid not in (ties.sharers if ties else ())]
            if children:
                best = _overlapping(sorted(children, key=_rank_key(self.snapshot.settings)))
                found += [child for child in best if child.process.pid not in pids]
                pids.update(child.process.pid for child in best)
        return found

    def deaths(self, pid: int) -> Dict[int, str]:
        """Who goes down when this one is chosen, itself included, and why."""
        if pid not in self._deaths:
            self._deaths[pid] = self._find_deaths(pid)
        return self._deaths[pid]

    def _find_deaths(self, pid: int) -> Dict[int, str]:
        deaths = {pid: ''}
        ties = self._ties(pid)
        if ties is None:
            return deaths
        for other in ties.sharers:
            deaths.setdefault(other, SHARES_MEMORY)
        for other in ties.group_members:
            if self._adj(other) != ADJ_MIN:
                deaths.setdefault(other, OOM_GROUP)
        # systemd sees each of these deaths, whatever the kernel's reason was.
        for dead in list(deaths):
            ties = self.snapshot.ties.get(dead)
            for other in ties.unit_members if ties is not None and ties.unit_ends else ():
                deaths.setdefault(other, SERVICE_ENDS)
        return deaths

    def _ties(self, pid: int) -> Any:
        """What is known of its company. Whoever may die with it is to be looked at as well."""
        ties = self.snapshot.ties.get(pid)
        if ties is None:
            self.unlooked.add(pid)
            return None
        self.unlooked.update(other for other in ties.sharers + ties.group_members if other not in self.snapshot.ties)
        return ties

    def _adj(self, pid: int) -> Optional[int]:
        process = self.snapshot.processes.get(pid)
        return self.what_if.score_adj.get(pid, None if process is None else process.oom_score_adj)

    def _freed_pages(self, pids: Iterable[int], victim: int) -> int:
        """What is free afterwards; memory that several share is counted once."""
        ties = self.snapshot.ties.get(victim)
        shared = set(ties.sharers) if ties is not None else set()
        return sum(self.snapshot.processes[pid].freed_pages + self.what_if.growth_pages.get(pid, 0)
                   for pid in pids if pid in self.snapshot.processes and pid not in shared)


class _Choice:
    """Among whom the kernel chooses, in one course."""

    def __init__(self, victims: List[Weighed], margin_pages: Optional[int], error_pages: int) -> None:
        self.victims, self.margin_pages, self.error_pages = victims, margin_pages, error_pages


# ---------------------------------------------------------------------- badness

def _in_order(snapshot: Snapshot, what_if: WhatIf) -> List[Weighed]:
    """Those that can be chosen, the likeliest first."""
    weighed = []
    for process in snapshot.processes.values():
        adj = what_if.score_adj.get(process.pid, process.oom_score_adj)
        if not can_be_chosen(process, adj) or not is_within(process, snapshot.domain):
            continue
        memory = process.memory_pages + growth_with_tables(what_if.growth_pages.get(process.pid, 0))
        badness = memory + adj * (snapshot.domain.total_pages // 1000)
        if snapshot.settings.scale == SCALE_OLD:
            badness = max(badness, 1)  # kernels before 5.9 know no negative badness
        weighed.append(Weighed(process._replace(oom_score_adj=adj), badness))
    return sorted(weighed, key=_rank_key(snapshot.settings))


def can_be_chosen(process: Process, adj: int) -> bool:
    """Whether the kernel may choose it with this oom_score_adj."""
    return process.never is None and adj != ADJ_MIN


def is_within(process: Process, domain: Domain) -> bool:
    """Whether a process is in the cgroup that runs out of memory, or below it, or may use one of the nodes that do."""
    cgroup, nodes = domain.cgroup, domain.nodes
    if nodes is not None and process.nodes is not None and not set(nodes) & set(process.nodes):
        return False
    if cgroup is None:
        return True
    return process.cgroup is not None and (process.cgroup == cgroup or process.cgroup.startswith(cgroup + '/'))


def growth_with_tables(pages: int) -> int:
    """Pages with the page tables that map them."""
    return pages + -(-pages // _PAGES_PER_TABLE)


def _rank_key(settings: Settings) -> Any:
    """Of equals the last in fork order comes first on newer kernels, see _badness.rank."""
    sign = 1 if settings.scale == SCALE_OLD else -1
    return lambda one: (-one.badness_pages, sign * one.process.start_ticks, sign * one.process.pid)


def _lowest(one: Weighed) -> int:
    return one.badness_pages - one.process.error_pages


def _overlapping(ranked: List[Weighed]) -> List[Weighed]:
    """Those that may be the worst: whose badness may reach what every other one has at the least."""
    floor = max(_lowest(one) for one in ranked)
    return [one for one in ranked if one.badness_pages + one.process.error_pages >= floor]


# ---------------------------------------------------------------------- reasons

def _deadlock_reason(snapshot: Snapshot) -> str:
    if snapshot.domain.cgroup is not None:
        return (f'no process in {snapshot.domain.cgroup} can be killed: who asks for memory there fails or waits')
    return 'no process can be killed, so that the kernel panics ("System is deadlocked on memory")'
