# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Badness and oom_score as the kernel computes them, and the victims that it prefers.

Sources: ``oom_badness`` and ``oom_evaluate_task`` in mm/oom_kill.c, ``proc_oom_score`` in fs/proc/base.c. Our own score
shows which formula a kernel uses; its version does not, because vendors backport changes. Not modelled: kernels up to
4.16 subtract 3 % from the badness of processes with CAP_SYS_ADMIN.
"""

import heapq
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

ADJ_MIN, ADJ_MAX = -1000, 1000

# Scales of /proc/PID/oom_score.
SCALE_OLD = 'old'  # badness * 1000 / T, never negative
SCALE_NEW = 'new'  # (1000 + badness * 1000 / T) * 2 / 3, from 5.9 and in 5.4.x

# By how many points of the score a process may grow between two reads.
_NEAR = 50

# Memory of a process in pages: resident, swapped, page tables. A plain tuple is faster for ten thousand processes.
Memory = Tuple[int, int, int]


class Terms(NamedTuple):
    """The terms of badness."""

    memory: Memory
    adj: int  # oom_score_adj


class Victim(NamedTuple):
    """A process that the kernel can choose."""

    pid: int
    score: int
    badness_pages: int
    terms: Terms
    start_ticks: int


class Kernel(NamedTuple):
    """What the choice depends on besides the processes."""

    total_pages: int  # RAM and swap
    scale: Optional[str]  # None: unknown
    margin_pages: int  # /proc may show this much more than the kernel counts


def weigh_adj(adj: int, total_pages: int) -> int:
    """The pages that oom_score_adj adds to the badness; negative for a negative one.

    ``total_pages`` are RAM and swap of the domain that runs out of memory. Divides first, as ``oom_badness`` in
    mm/oom_kill.c does: ``adj *= totalpages / 1000``.
    """
    return adj * (total_pages // 1000)


def compute_badness_pages(terms: Terms, total_pages: int) -> int:
    """Badness of a process that can be chosen."""
    return sum(terms.memory) + weigh_adj(terms.adj, total_pages)


def _toward_zero(number: int, divisor: int) -> int:
    """Divide as C does."""
    return number // divisor if number >= 0 else -(-number // divisor)


def compute_score(badness: int, total_pages: int, scale: str) -> int:
    """The value of /proc/PID/oom_score for this badness."""
    if scale == SCALE_OLD:
        return max(badness, 0) * 1000 // total_pages
    return max(0, 1000 + _toward_zero(badness * 1000, total_pages)) * 2 // 3


def compute_highest_badness(score: int, total_pages: int, scale: str) -> int:
    """The highest badness in pages with this score."""
    if scale == SCALE_OLD:
        return ((score + 1) * total_pages - 1) // 1000
    per_mille = (3 * score + 2) // 2 - 1000
    if per_mille < 0:
        return per_mille * total_pages // 1000
    return ((per_mille + 1) * total_pages - 1) // 1000


def find_badness_range(score: int, total_pages: int, scale: str) -> Tuple[Optional[int], int]:
    """The lowest and the highest badness in pages with this score; None for a lowest without bound."""
    lowest = compute_highest_badness(score - 1, total_pages, scale) + 1 if score else None
    return lowest, compute_highest_badness(score, total_pages, scale)


def detect_scale(terms: Terms, score: int, total_pages: int) -> Optional[str]:
    """The scale of a process's score; None if both or none fit its terms."""
    if terms.adj == ADJ_MIN or total_pages < 1000:
        return None
    badness = compute_badness_pages(terms, total_pages)
    far = {scale: abs(score - compute_score(badness, total_pages, scale)) for scale in (SCALE_OLD, SCALE_NEW)}
    nearest, other = sorted(far, key=lambda scale: far[scale])
    return nearest if far[nearest] <= _NEAR < far[other] else None


def is_never_chosen(score: int, terms: Terms, kernel: Kernel) -> bool:
    """Whether the kernel skips this process.

    Besides those at -1000: a reaped process, and a child of vfork that uses its parent's memory, have the score 0
    although their memory says more.
    """
    if terms.adj == ADJ_MIN:
        return True
    if score or kernel.scale is None:
        return False
    return compute_score(compute_badness_pages(terms, kernel.total_pages), kernel.total_pages, kernel.scale) >= 2


def build_upper_bound(score: int, kernel: Kernel) -> Callable[[Memory], Optional[int]]:
    """A function from memory to the highest badness of a process with this score; it returns None for unknown.

    oom_score_adj is unknown, but memory and oom_score_adj together are below the next score. The kernel counts page
    tables exactly, and up to the margin less of the rest than /proc shows.
    """
    unit = weigh_adj(1, kernel.total_pages)
    if kernel.scale is None or unit < 1:
        return lambda memory: None
    highest = compute_highest_badness(score, kernel.total_pages, kernel.scale)
    margin_pages = kernel.margin_pages

    def bound(memory: Memory) -> Optional[int]:
        rss_pages, swap_pages, tables_pages = memory
        counted = rss_pages + swap_pages - margin_pages
        adj = (highest - tables_pages - (counted if counted > 0 else 0)) // unit
        return rss_pages + swap_pages + tables_pages + (adj if adj < ADJ_MAX else ADJ_MAX) * unit

    return bound


def rank(victims: Iterable[Victim], scale: Optional[str]) -> List[Victim]:
    """The victims, most likely first.

    Of equals the kernel takes the last in fork order since 5.3, the first before. Start time and PID stand for that
    order. The new scale is newer than that change.
    """
    sign = 1 if scale == SCALE_OLD else -1
    return sorted(victims, key=lambda it: (-it.badness_pages, sign * it.start_ticks, sign * it.pid))


class ProcessReader(NamedTuple):
    """What L(select) reads of processes, by PID. Omits, or returns None for, those without memory of their own."""

    memories: Callable[[List[int]], List[Tuple[Memory, int]]]  # (memory, pid)
    adj: Callable[[int], Optional[int]]  # oom_score_adj
    start_ticks: Callable[[int], Optional[int]]  # when it started, in clock ticks since boot


def group_by_score(scores: Iterable[Tuple[int, int]]) -> List[Tuple[int, List[int]]]:
    """The PIDs of (score, pid) by score, highest first."""
    bands: Dict[int, List[int]] = {}
    for score, pid in scores:
        bands.setdefault(score, []).append(pid)
    return sorted(bands.items(), reverse=True)


def select(scores: Iterable[Tuple[int, int]], top: int, reader: ProcessReader, kernel: Kernel) -> List[Victim]:
    """The ``top`` most likely victims (0: all) of these (score, pid), in order.

    A higher badness never has a lower score, so it reads the processes of the highest scores until there are enough.
    """
    chosen: List[Victim] = []
    for score, pids in group_by_score(scores):
        missing = top - len(chosen) if top else len(pids)
        if missing <= 0:
            break
        chosen.extend(_top_of_band(score, pids, missing, reader, kernel))
    return rank(chosen, kernel.scale)[:top or None]


def _top_of_band(score: int, pids: List[int], missing: int, reader: ProcessReader, kernel: Kernel) -> List[Victim]:
    """The ``missing`` worst processes with this score, and those equal to the last of them.

    It starts with the most memory, so that it need not read oom_score_adj of most others.
    """
    worst = _Worst(missing)
    upper_bound = build_upper_bound(score, kernel)
    for memory, pid in sorted(reader.memories(pids), key=lambda found: sum(found[0]), reverse=True):
        if worst.is_below(upper_bound(memory)):
            continue
        adj = reader.adj(pid)
        terms = None if adj is None else Terms(memory, adj)
        if terms is not None and not is_never_chosen(score, terms, kernel):
            worst.add(compute_badness_pages(terms, kernel.total_pages), pid, terms)
    victims = []
    for badness, pid, terms in worst.with_equals():
        start_ticks = reader.start_ticks(pid)
        if start_ticks is not None:
            victims.append(Victim(pid, score, badness, terms, start_ticks))
    return victims


class _Worst:
    """The processes with the highest badness, at least ``wanted`` of them."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._found: List[Tuple[int, int, Terms]] = []
        self._highest: List[int] = []

    def add(self, badness: int, pid: int, terms: Terms) -> None:
        """Add a process."""
        self._found.append((badness, pid, terms))
        if len(self._highest) < self._wanted:
            heapq.heappush(self._highest, badness)
        else:
            heapq.heappushpop(self._highest, badness)

    def is_below(self, bound: Optional[int]) -> bool:
        """Whether a process of at most this badness is not among them; False for None, which is unknown."""
        return bound is not None and len(self._highest) == self._wanted and bound < self._highest[0]

    def with_equals(self) -> List[Tuple[int, int, Terms]]:
        """The worst ``wanted``, and those equal to the last of them."""
        return [found for found in self._found if not self.is_below(found[0])]
