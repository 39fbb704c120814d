# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot of this machine for a forecast, without the thousands of processes that the forecast does not need.

It reads only the likeliest victims. It looks up the relations of a process when a forecast first needs them. So the
caller makes forecasts and completes the snapshot in turns, until nothing is missing.
"""

import os
from typing import Dict, Iterable, List, Optional, Set, Tuple

from .._core.sanitize import explain, sanitize, sanitize_optional
from .._core.text import to_number, to_text
from .._host import container, total_memory
from .._host.host import Host, sysctl_path
from .._host.meminfo import get_page_kb
from .._kernel import badness
from .._process import scan
from .._process.table import Holding, ProcessTable
from .._systemd.manager import Manager
from . import calibrate, memcg, numa
from .relations import HIDING_ERRNOS, RelationReader
from .snapshot import INIT, NO_MEMORY, SCORE_ZERO, Domain, Missing, Process, Settings, Snapshot

_MORE = 4          # times as many processes in each further round
_COUNTERS = 4      # in the margin: file, anonymous, shared and swapped pages
_TRIES = 3         # readings of a process with changing numbers


class Unreadable(Exception):
    """Input of a forecast that cannot be read; the message says what."""


class Observer:
    """The readings of the machine for one forecast."""

    def __init__(self, host: Host, processes: ProcessTable, cgroup: Optional[str] = None,
                 manager: Optional[Manager] = None, nodes: Optional[List[int]] = None) -> None:
        """Raises Unreadable, and Refusal for a missing cgroup or NUMA node, or a cgroup without limit."""
        sizes = total_memory.read_sizes(host)
        if sizes is None:
            raise Unreadable('how much memory the machine has cannot be read (/proc/meminfo)')
        self._host, self._processes = host, processes
        self._cgroup, self._nodes = cgroup, nodes
        self._tree = memcg.Tree(host)
        self._nested = container.find_pid_namespace(host) == 'nested'
        self._total_pages = sum(sizes)
        self._process_scan = scan.ProcessScan(processes, self._total_pages, not self._nested)
        self._domain = self._find_domain(sizes[1])
        # This process ends before anybody reads the forecast.
        self._own_pid = os.getpid() if host.root == '/' else 0
        self._relations = RelationReader(host, processes, self._process_scan, self._tree, manager, cgroup,
                                         self._own_pid)
        self._seen: Dict[int, Optional[Process]] = {}
        self._swapped: Set[int] = set()
        # Whether the two counts of resident pages differ (kernels from 6.2 on), as any process shows.
        self._approximate = False
        self._used_count: Optional[str] = None
        self._calibrated = False
        self._hidden: Optional[str] = None  # why the cgroup that runs out is not fully visible
        self._left_out_pages: Optional[int] = None
        self._wanted = 0

    def _find_domain(self, swap_pages: int) -> Domain:
        if self._cgroup is not None:
            return memcg.find_domain(self._tree, self._cgroup, swap_pages)
        if self._nodes is not None:
            return numa.find_domain(self._host, self._nodes, swap_pages)
        return Domain(None, self._total_pages, False, None)

    # ------------------------------------------------------------------- rounds

    def look(self, wanted: int, also: Iterable[int] = ()) -> Snapshot:
        """The ``wanted`` likeliest victims and ``also``; for a cgroup or NUMA nodes all processes that count."""
        self._wanted = wanted + 1
        if self._cgroup is not None:
            self._see(pid for pid in self._list_pids(self._cgroup) if pid)
        elif self._nodes is not None:
            self._see(self._process_scan.pids())
        else:
            self._see_likeliest()
        self._see(also)
        return self._build_snapshot()

    def complete(self, missing: Missing) -> Optional[Snapshot]:
        """The snapshot with what a forecast missed in it; None if nothing was missing."""
        pids = sorted(missing.relations - self._relations.looked_up)
        needs_counts = missing.exact_counts and self._approximate and not self._calibrated
        if not (pids or missing.more_processes or needs_counts):
            return None
        if needs_counts:
            self._calibrate()
        if missing.more_processes:
            self._wanted *= _MORE
            self._see_likeliest()
        self._see(pids)
        for related in self._relations.look_up({pid: self._seen.get(pid) for pid in pids}):
            self._see(related.sharers + related.group_members + related.unit_members)
        return self._build_snapshot()

    def _calibrate(self) -> None:
        """Find out which count of resident pages the kernel uses, and read all processes again."""
        self._calibrated = True
        self._used_count = calibrate.find_used_count(self._host, self._processes, self._total_pages)
        if self._used_count is not None:
            self._seen = {pid: self._read_process(pid) for pid in self._seen}

    def _see_likeliest(self) -> None:
        victims = self._process_scan.victims(self._wanted)
        self._left_out_pages = None
        if len(victims) == self._wanted:
            # /proc shows at most this of the others, and the kernel may count more by the margin.
            self._left_out_pages = victims[-1].badness_pages + self._process_scan.kernel.margin_pages
        self._see(victim.pid for victim in victims)

    def _see(self, pids: Iterable[int]) -> None:
        for pid in pids:
            if pid not in self._seen and pid != self._own_pid:
                self._seen[pid] = self._read_process(pid)

    # ----------------------------------------------------------------- snapshot

    def _build_snapshot(self) -> Snapshot:
        processes = {pid: self._add_swap_error(one) for pid, one in self._seen.items() if one is not None}
        return Snapshot(
            settings=self._read_settings(), processes=processes, relations=dict(self._relations.found),
            domain=self._domain if self._cgroup is None else self._domain._replace(cgroup=sanitize(self._cgroup)),
            left_out=0 if self._left_out_pages is None else max(1, self._process_scan.count - len(processes)),
            left_out_pages=self._left_out_pages, unknown=self._find_unseen(), notes=self._relations.list_unknown())

    def _add_swap_error(self, process: Process) -> Process:
        """Add the error of the counter of swapped pages, which has no second reading."""
        if not self._approximate or process.pid not in self._swapped:
            return process
        return process._replace(error_pages=process.error_pages + self._process_scan.kernel.margin_pages // _COUNTERS)

    def _read_settings(self) -> Settings:
        panic, allocating_task = self._read_sysctl('vm.panic_on_oom'), self._read_sysctl('vm.oom_kill_allocating_task')
        return Settings(get_page_kb(), self._total_pages, self._process_scan.kernel.scale, panic,
                        None if allocating_task is None else bool(allocating_task))

    def _read_sysctl(self, key: str) -> Optional[int]:
        try:
            return to_number(self._host.read_text(sysctl_path(key)))
        except OSError:
            return None

    def _find_unseen(self) -> Optional[str]:
        """Why some relevant processes cannot be seen."""
        if self._cgroup is not None:
            pids = self._list_pids(self._cgroup)
            if 0 in pids:
                return 'the cgroup holds processes of other PID namespaces, which are not seen here [OOMK-2401]'
            # Anybody can read the cgroup's list: a process that is still in it but unreadable is hidden.
            hidden = sum(pid in self._seen and self._seen[pid] is None for pid in pids)
            return self._hidden or (scan.explain_unseen(self._host, hidden) if hidden else None)
        if self._nested:
            return ('this is a nested PID namespace (a container): the processes outside are not seen, and are '
                    'candidates as well; ask on the host, or for one cgroup [OOMK-2401]')
        return scan.explain_unseen(self._host, self._process_scan.denied)

    def _list_pids(self, cgroup: str) -> List[int]:
        """The processes of the cgroup that runs out; none if it cannot be seen."""
        try:
            return self._tree.pids(cgroup)
        except OSError as exc:
            if exc.errno not in HIDING_ERRNOS:
                raise
            self._hidden = f'not all that is in the cgroup can be seen ({explain(exc)}) [OOMK-2401]'
            return []

    # ---------------------------------------------------------------- processes

    def _read_process(self, pid: int) -> Optional[Process]:
        """Read a process until its numbers are consistent; None when it is gone."""
        score, holding, adj = self._read_numbers(pid)
        start_ticks, name = self._processes.read_start_ticks(pid), self._processes.read_name(pid)
        if score is None or adj is None or start_ticks is None or name is None:
            return None
        cgroup, unit = self._processes.find_cgroup_and_unit(pid)
        if cgroup is not None:
            self._relations.cgroups[pid] = to_text(cgroup)
        pages, error_pages, freed_pages = self._count_pages(pid, holding, adj, score)
        return Process(
            pid=pid, start_ticks=start_ticks, name=sanitize(name), cgroup=sanitize_optional(cgroup),
            unit=sanitize_optional(unit), oom_score=score, oom_score_adj=adj, memory_pages=pages,
            error_pages=error_pages, freed_pages=freed_pages,
            never=NO_MEMORY if holding is None else self._explain_never(pid, pages, adj, score),
            nodes=None if self._nodes is None else numa.parse_allowed(self._processes.read(f'{pid}/status') or b''))

    def _read_numbers(self, pid: int) -> Tuple[Optional[int], Optional[Holding], Optional[int]]:
        """(oom_score, memory, oom_score_adj)"""
        score = self._processes.read_score(pid)
        for _try in range(_TRIES):
            holding, adj = self._processes.read_holding(pid), self._processes.read_score_adj(pid)
            before, score = score, self._processes.read_score(pid)
            if before == score:
                break
        return score, holding, adj

    def _count_pages(self, pid: int, holding: Optional[Holding], adj: int, score: int) -> Tuple[int, int, int]:
        """(pages of the badness, possible error of the kernel's own number, pages that its end frees).

        From 6.2 on /proc/PID/status has the exact sum of the counters, /proc/PID/stat what the processors have added up
        so far. The kernel chooses by the latter up to 6.12 at least, and by the sum in 7.3 [run]. Its number is between
        both, unless a calibration has shown which one it is.
        """
        if holding is None:
            return 0, 0, 0
        page_kb = get_page_kb()
        readings = {calibrate.BY_STAT: holding.stat_pages, calibrate.BY_STATUS: holding.rss_kb // page_kb}
        low, high = sorted(readings.values())
        rest = holding.swap_kb // page_kb + holding.tables_kb // page_kb
        self._approximate = self._approximate or low < high
        if self._used_count is not None:
            low = high = readings[self._used_count]
        error = (high - low + 1) // 2
        if holding.swap_kb:
            self._swapped.add(pid)
        pages, error = fit_to_score(high - error + rest, error, adj, score, self._process_scan.kernel)
        return pages, error, holding.own_kb // page_kb + rest

    def _explain_never(self, pid: int, pages: int, adj: int, score: int) -> Optional[str]:
        if pid == 1 and not self._nested:
            return INIT
        terms = badness.Terms((pages, 0, 0), adj)
        if adj != badness.ADJ_MIN and badness.is_never_chosen(score, terms, self._process_scan.kernel):
            return SCORE_ZERO
        return None


def fit_to_score(pages: int, error_pages: int, adj: int, score: int, kernel: badness.Kernel) -> Tuple[int, int]:
    """(pages, error), corrected if the kernel's own score contradicts them.

    The score includes what is not modelled: kernels up to 4.16 take 3 % off for processes with CAP_SYS_ADMIN. It is
    coarse: one step is about a thousandth of the memory.
    """
    if kernel.scale is None or adj == badness.ADJ_MIN or score == 0:
        return pages, error_pages
    least, most = badness.find_badness_range(score, kernel.total_pages, kernel.scale)
    by_adj = badness.weigh_adj(adj, kernel.total_pages)
    low = 0 if least is None else max(0, least - by_adj)
    high = most - by_adj
    slack = kernel.margin_pages
    if low - slack <= pages + error_pages and pages - error_pages <= high + slack or high < low:
        return pages, error_pages
    return (low + high) // 2, (high - low + 1) // 2
