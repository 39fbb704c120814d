# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot of this machine for a forecast: no more of it than the forecast needs, since there may be thousands.

The likeliest victims are looked at closely, as many as may be chosen; what goes down together with a process is looked
up when a forecast first names it. So a forecast is made, and made again with more, until nothing is missing in it.
"""

import errno
import os
from typing import Dict, Iterable, List, Optional, Set, Tuple

from .._core.sanitize import explain, sanitize
from .._core.text import to_number, to_text
from .._host import container, environment, total_memory
from .._host.host import Host, sysctl_path
from .._host.meminfo import get_page_kb
from .._kernel import badness
from .._process import scan, shared_mm
from .._process.groups import UnitGroup
from .._process.table import Holding, ProcessTable
from .._systemd.manager import Manager, ManagerError, State
from . import calibrate, memcg, numa
from .simulate import Forecast
from .snapshot import INIT, NO_MEMORY, SCORE_ZERO, Domain, Process, Settings, Snapshot, Ties

_FEW = 500         # processes of one score of which more than the number is looked at
_MORE = 4          # times as many processes in each further look
_COUNTERS = 4      # that a margin is the error of: file, anonymous, shared and swapped pages
_TRIES = 3         # looks at a process whose numbers change meanwhile
# What hides a cgroup from us: whoever may make some below his own can nest them as deep, and close them, as he likes;
# and one that is just being removed answers ENODEV.
_HIDES = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENODEV, errno.ENOENT)
_KILLS_ALL = ('control-group', 'mixed')  # KillMode= with which no process outlives its service


class Unreadable(Exception):
    """What the forecast is made from cannot be read; the message says what."""


class Observer:
    """One forecast's looks at the machine."""

    def __init__(self, host: Host, processes: ProcessTable, cgroup: Optional[str] = None,
                 manager: Optional[Manager] = None, nodes: Optional[List[int]] = None) -> None:
        """Raises Unreadable, and Refusal for a cgroup or a NUMA node that is not there or a cgroup without limit."""
        sizes = total_memory.read_sizes(host)
        if sizes is None:
            raise Unreadable('how much memory the machine has cannot be read (/proc/meminfo)')
        self._host, self._processes, self._manager = host, processes, manager
        self._tree = memcg.Tree(host)
        self._nested = container.find_pid_namespace(host) == 'nested'
        self._process_scan = scan.ProcessScan(processes, sum(sizes), not self._nested)
        self._total_pages = sum(sizes)
        self._cgroup = cgroup
        self._nodes = nodes
        if cgroup is not None:
            self._domain = memcg.domain_of(self._tree, cgroup, sizes[1])
        elif nodes is not None:
            self._domain = numa.domain_of(host, nodes, sizes[1])
        else:
            self._domain = Domain(None, sum(sizes), False, None)
        # This process is gone before anybody reads the forecast.
        self._own_pid = os.getpid() if host.root == '/' else 0
        self._seen: Dict[int, Optional[Process]] = {}
        # Whether this kernel's counters and what it shows of them differ (from 6.2 on), as any process shows.
        self._approximate = False
        self._counted_by: Optional[str] = None
        self._tried = False
        self._swapped: Set[int] = set()
        self._cgroups: Dict[int, str] = {}  # as they are; in the snapshot they are harmless
        self._ties: Dict[int, Ties] = {}
        self._looked_up: Set[int] = set()  # those whose ties could not be seen, too
        self._hidden: Optional[str] = None  # why the cgroup that runs out cannot be seen in full
        self._left_out_pages: Optional[int] = None
        self._wanted = 0
        self._units: Dict[str, State] = {}
        self._no_cgroups = environment.find_cgroup_version(host) is None
        # Units and cgroups of which is not known what goes down with a victim, by the reason.
        self._untold: Dict[str, Set[str]] = {}

    # ------------------------------------------------------------------- rounds

    def look(self, wanted: int, also: Iterable[int] = ()) -> Snapshot:
        """The ``wanted`` likeliest victims, and ``also`` these; all of them where a cgroup's limit is what counts."""
        self._wanted = wanted + 1
        if self._cgroup is not None:
            self._see(pid for pid in self._pids_in(self._cgroup) if pid)
        elif self._nodes is not None:
            self._see(self._process_scan.pids())
        else:
            self._see_likeliest()
        self._see(also)
        return self._snapshot()

    def complete(self, forecast: Forecast) -> Optional[Snapshot]:
        """The snapshot with what was missing in it for this forecast; None when nothing was."""
        unlooked = [pid for pid in sorted(forecast.unlooked) if pid not in self._looked_up]
        doubtful = self._approximate and not self._tried and any(
            len(kill.victims) > 1 and any(one.process.error_pages for one in kill.victims) for kill in forecast.kills)
        if not unlooked and not forecast.short and not doubtful:
            return None
        if doubtful:
            self._calibrate()
        if forecast.short:
            self._wanted *= _MORE
            self._see_likeliest()
        self._look_up(unlooked)
        return self._snapshot()

    def _calibrate(self) -> None:
        """Find out by which of its numbers the kernel chooses, and look at all again with that."""
        self._tried = True
        self._counted_by = calibrate.counted_by(self._host, self._processes, self._total_pages)
        if self._counted_by is not None:
            self._seen = {pid: self._process(pid) for pid in self._seen}

    def _see_likeliest(self) -> None:
        victims = self._process_scan.victims(self._wanted)
        self._left_out_pages = None
        if len(victims) == self._wanted:
            # What /proc shows of the others is at most this, and the kernel may count more by the margin.
            self._left_out_pages = victims[-1].badness_pages + self._process_scan.kernel.margin_pages
        self._see(victim.pid for victim in victims)

    def _snapshot(self) -> Snapshot:
        processes = {pid: self._with_error(one) for pid, one in self._seen.items() if one is not None}
        return Snapshot(
            settings=self._settings(), domain=self._harmless_domain(), processes=processes, ties=dict(self._ties),
            left_out=0 if self._left_out_pages is None else max(1, self._process_scan.count - len(processes)),
            left_out_pages=self._left_out_pages, unknown=self._unknown(), notes=[
                f"what else of {', '.join(sorted(names))} goes down with a victim is not known: {reason}"
                for reason, names in sorted(self._untold.items())])

    def _with_error(self, process: Process) -> Process:
        """With the error of the counter of swapped pages, of which there is no second reading."""
        if not self._approximate or process.pid not in self._swapped:
            return process
        return process._replace(error_pages=process.error_pages + self._process_scan.kernel.margin_pages // _COUNTERS)

    def _harmless_domain(self) -> Domain:
        return self._domain if self._cgroup is None else self._domain._replace(cgroup=sanitize(self._cgroup))

    def _settings(self) -> Settings:
        asker = self._sysctl('vm.oom_kill_allocating_task')
        return Settings(get_page_kb(), self._total_pages, self._process_scan.kernel.scale,
                        self._sysctl('vm.panic_on_oom'), None if asker is None else bool(asker))

    def _sysctl(self, key: str) -> Optional[int]:
        try:
            return to_number(self._host.read_text(sysctl_path(key)))
        except OSError:
            return None

    def _unknown(self) -> Optional[str]:
        """Why not all processes that count can be seen."""
        if self._cgroup is not None:
            pids = self._pids_in(self._cgroup)
            if 0 in pids:
                return 'the cgroup holds processes of other PID namespaces, which are not seen here'
            # Its list of processes is anybody's to read, so that what is still in it and could not be looked at is
            # there. What is hidden elsewhere does not matter.
            hidden = sum(pid in self._seen and self._seen[pid] is None for pid in pids)
            return self._hidden or (scan.explain_unseen(self._host, hidden) if hidden else None)
        if self._nested:
            return ('this is a nested PID namespace (a container): the processes outside are not seen, and are '
                    'candidates as well; ask on the host, or for one cgroup')
        return scan.explain_unseen(self._host, self._process_scan.denied)

    def _pids_in(self, cgroup: str) -> List[int]:
        """The processes of the cgroup that runs out; none where that cannot be seen."""
        try:
            return self._tree.pids(cgroup)
        except OSError as exc:
            if exc.errno not in _HIDES:
                raise
            self._hidden = f'not all that is in the cgroup can be seen ({explain(exc)})'
            return []

    # ---------------------------------------------------------------- processes

    def _see(self, pids: Iterable[int]) -> None:
        for pid in pids:
            if pid not in self._seen and pid != self._own_pid:
                self._seen[pid] = self._process(pid)

    def _process(self, pid: int) -> Optional[Process]:
        """A process, looked at until its numbers belong together; None when it is gone."""
        score = self._processes.score(pid)
        for _try in range(_TRIES):
            holding, adj = self._processes.holding(pid), self._processes.adj(pid)
            before, score = score, self._processes.score(pid)
            if before == score:
                break
        start_ticks, name = self._processes.start_ticks(pid), self._processes.name(pid)
        if score is None or adj is None or start_ticks is None or name is None:
            return None
        cgroup, unit = self._processes.cgroup_and_unit(pid)
        if cgroup is not None:
            self._cgroups[pid] = to_text(cgroup)
        pages, error = self._pages(pid, holding, adj, score)
        page_kb = get_page_kb()
        return Process(
            pid=pid, start_ticks=start_ticks, name=sanitize(name), cgroup=None if cgroup is None else sanitize(cgroup),
            unit=None if unit is None else sanitize(unit), oom_score=score, oom_score_adj=adj, memory_pages=pages,
            error_pages=error, never=self._never(pid, pages, adj, score, holding),
            nodes=None if self._nodes is None else numa.allowed(self._processes.read(f'{pid}/status') or b''),
            freed_pages=0 if holding is None else (
                holding.own_kb // page_kb + holding.swap_kb // page_kb + holding.tables_kb // page_kb))

    def _pages(self, pid: int, holding: Optional[Holding], adj: int, score: int) -> Tuple[int, int]:
        """(pages that count, by how much the kernel's own number may differ).

        Of the two readings of the RSS from 6.2 on, one is the exact sum of the counters (status), the other one what
        the processors have handed in so far (stat). The kernel chooses by the latter up to 6.12 at least, and by the
        sum in 7.3 [run]: its number is between both, unless a try has shown which one it is.
        """
        if holding is None:
            return 0, 0
        page_kb = get_page_kb()
        readings = {calibrate.BY_STAT: holding.stat_pages, calibrate.BY_STATUS: holding.rss_kb // page_kb}
        low, high = sorted(readings.values())
        rest = holding.swap_kb // page_kb + holding.tables_kb // page_kb
        self._approximate = self._approximate or low < high
        if self._counted_by is not None:
            low = high = readings[self._counted_by]
        error = (high - low + 1) // 2
        if holding.swap_kb:
            self._swapped.add(pid)
        return fitted(high - error + rest, error, adj, score, self._process_scan.kernel)

    def _never(self, pid: int, pages: int, adj: int, score: int, holding: Optional[Holding]) -> Optional[str]:
        if holding is None:
            return NO_MEMORY
        if pid == 1 and not self._nested:
            return INIT
        terms = badness.Terms((pages, 0, 0), adj)
        if adj != badness.ADJ_MIN and badness.is_never_chosen(score, terms, self._process_scan.kernel):
            return SCORE_ZERO
        return None

    # --------------------------------------------------------------------- ties

    def _look_up(self, pids: List[int]) -> None:
        """Who goes down together with these."""
        self._see(pids)
        self._ask_manager(pids)
        self._looked_up.update(pids)
        for pid in pids:
            ties = self._visible_ties_of(pid)
            if ties is not None:
                self._ties[pid] = ties
                self._see(ties.sharers + ties.group_members + ties.unit_members)

    def _visible_ties_of(self, pid: int) -> Optional[Ties]:
        """None where its cgroup hides them: the forecast goes on, and says so (L(_forecast.report))."""
        try:
            return self._ties_of(pid, self._seen.get(pid))
        except OSError as exc:
            if exc.errno not in _HIDES:
                raise
            return None

    def _ties_of(self, pid: int, process: Optional[Process]) -> Ties:
        if process is None:
            return Ties([], True, [], None, [], False, [])
        children = self._processes.children(pid)
        sharers = self._sharers(process, children)
        cgroup = self._cgroups.get(pid)
        if self._no_cgroups and cgroup not in (None, '/'):
            self._untold.setdefault('no cgroups are mounted here', set()).add(sanitize(cgroup or ''))
        group = memcg.group_of(self._tree, cgroup, self._cgroup) if cgroup else None
        members = [one for one in self._tree.pids(group) if one not in (0, 1)] if group else []
        unit_members = self._unit_members(process)
        return Ties(
            sharers=sharers or [], sharers_known=sharers is not None,
            children=children if self._process_scan.kernel.scale != badness.SCALE_NEW else [],
            group=None if group is None else sanitize(group), group_members=members,
            unit_ends=bool(unit_members), unit_members=unit_members)

    def _sharers(self, process: Process, children: List[int]) -> Optional[List[int]]:
        """Processes with the same memory: they read the same score, but for children of vfork. None: not to be told."""
        suspects = set(self._process_scan.with_score(process.oom_score)) | set(children)
        suspects.discard(process.pid)
        # Two that have ended have no memory, which kcmp takes for the same.
        thread = self._processes.living_thread(process.pid)
        if shared_mm.share_memory(thread, thread) is None and self._processes.score(process.pid) is not None:
            return None
        living_thread = self._processes.living_thread if len(suspects) <= _FEW else lambda pid: pid
        found: Set[int] = set()
        while suspects:
            more = [pid for pid in sorted(suspects) if shared_mm.share_memory(thread, living_thread(pid))]
            found.update(more)
            suspects = {child for pid in more for child in self._processes.children(pid)} - found - {process.pid}
        return sorted(found)

    # -------------------------------------------------------------------- units

    def _ask_manager(self, pids: List[int]) -> None:
        """Ask systemd about the units of these processes, in one call."""
        processes = [self._seen.get(pid) for pid in pids]
        units = {one.unit for one in processes if one is not None and one.unit is not None}
        missing = sorted(unit for unit in units if unit not in self._units)
        if self._manager is None or not missing:
            return
        try:
            states = self._manager.show(missing)
        except ManagerError as exc:
            states = []
            self._untold.setdefault(str(exc), set()).update(map(sanitize, missing))
        found = {state['Id']: state for state in states}
        self._units.update((unit, found.get(unit, {})) for unit in missing)

    def _unit_members(self, process: Process) -> List[int]:
        """The other processes of its unit where systemd ends the unit when the kernel has killed this one."""
        state = self._units.get(process.unit or '', {})
        cgroup = state.get('ControlGroup', '')
        if not cgroup or process.cgroup is None:
            return []
        told = self._tree.tells_of_kills(cgroup) and state.get('OOMPolicy') in ('stop', 'kill')
        is_main = state.get('MainPID') == str(process.pid)
        if not (told or is_main):
            return []
        members = UnitGroup(self._host, cgroup).pids()
        if process.pid not in members:
            return []  # anybody may call a cgroup below his own user manager as a unit of the system
        if state.get('KillMode', _KILLS_ALL[0]) not in _KILLS_ALL:
            main = to_number(state.get('MainPID'))
            return [main] if told and not is_main and main else []
        return [pid for pid in members if pid not in (0, process.pid, self._own_pid)]


def fitted(pages: int, error_pages: int, adj: int, score: int, kernel: badness.Kernel) -> Tuple[int, int]:
    """(pages, error) as they are, or, where the kernel's own score contradicts them, as the score says.

    The score is the kernel's answer and holds whatever it does that is not modelled: kernels up to 4.16 take 3 % off
    for processes with CAP_SYS_ADMIN. It is coarse: one step of it is about a thousandth of the memory.
    """
    if kernel.scale is None or adj == badness.ADJ_MIN or score == 0:
        return pages, error_pages
    least, most = badness.find_badness_range(score, kernel.total_pages, kernel.scale)
    by_adj = adj * (kernel.total_pages // 1000)
    low = max(0, (0 if least is None else least) - by_adj) if least is not None else 0
    high = most - by_adj
    slack = kernel.margin_pages
    if low - slack <= pages + error_pages and pages - error_pages <= high + slack or high < low:
        return pages, error_pages
    return (low + high) // 2, (high - low + 1) // 2
