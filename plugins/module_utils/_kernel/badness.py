# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's choice of a victim, as arithmetic: badness in pages, oom_score, and which processes can be at the top.

Sources: ``oom_badness`` and ``oom_evaluate_task`` in mm/oom_kill.c, ``proc_oom_score`` in fs/proc/base.c. Which formula
a kernel uses is found by looking at our own score, not at its version: vendors carry changes over to older versions.
Kernels up to 4.16 take 3 % off the badness of processes with CAP_SYS_ADMIN; those 3 % are not modelled here.
"""

import heapq
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

ADJ_MIN, ADJ_MAX = -1000, 1000

# Scales of /proc/PID/oom_score.
SCALE_OLD = 'old'  # badness * 1000 / T, never negative
SCALE_NEW = 'new'  # (1000 + badness * 1000 / T) * 2 / 3, from 5.9 and in 5.4.x

# How far, in steps of the score, a process may have grown between two looks at it.
_NEAR = 50

# Memory of a process in pages: resident, swapped, page tables. A plain tuple, since ten thousand are made in a row.
Memory = Tuple[int, int, int]


# What badness is made of.
class Terms(NamedTuple):
    memory: Memory
    adj: int  # oom_score_adj


# A process that can be chosen.
class Victim(NamedTuple):
    pid: int
    score: int
    badness_pages: int
    terms: Terms
    start_ticks: int


# The kernel as far as its choice depends on it.
class Kernel(NamedTuple):
    total_pages: int  # RAM and swap
    scale: Optional[str]  # None: could not be told
    margin_pages: int  # by how much /proc may show more memory than the kernel counted for the score


def compute_badness_pages(terms: Terms, total_pages: int) -> int:
    """Badness of a process that can be chosen. The division comes first, as in the kernel."""
    return sum(terms.memory) + terms.adj * (total_pages // 1000)


def _toward_zero(number: int, divisor: int) -> int:
    """Division of C: towards zero."""
    return number // divisor if number >= 0 else -(-number // divisor)


def compute_score(badness: int, total_pages: int, scale: str) -> int:
    """What /proc/PID/oom_score reads for a process of this badness that can be chosen."""
    if scale == SCALE_OLD:
        return max(badness, 0) * 1000 // total_pages
    return max(0, 1000 + _toward_zero(badness * 1000, total_pages)) * 2 // 3


def compute_highest_badness(score: int, total_pages: int, scale: str) -> int:
    """The highest badness, in pages, that reads as this score."""
    if scale == SCALE_OLD:
        return ((score + 1) * total_pages - 1) // 1000
    per_mille = (3 * score + 2) // 2 - 1000
    if per_mille < 0:
        return per_mille * total_pages // 1000
    return ((per_mille + 1) * total_pages - 1) // 1000


def find_badness_range(score: int, total_pages: int, scale: str) -> Tuple[Optional[int], int]:
    """The lowest and the highest badness, in pages, that read as this score; None: there is no lowest."""
    lowest = compute_highest_badness(score - 1, total_pages, scale) + 1 if score else None
    return lowest, compute_highest_badness(score, total_pages, scale)


def detect_scale(terms: Terms, score: int, total_pages: int) -> Optional[str]:
    """Which scale the score of a process with these terms is on; None where it fits both or neither."""
    if terms.adj == ADJ_MIN or total_pages < 1000:
        return None
    badness = compute_badness_pages(terms, total_pages)
    far = {scale: abs(score - compute_score(badness, total_pages, scale)) for scale in (SCALE_OLD, SCALE_NEW)}
    nearest, other = sorted(far, key=lambda scale: far[scale])
    return nearest if far[nearest] <= _NEAR < far[other] else None


def is_never_chosen(score: int, terms: Terms, kernel: Kernel) -> bool:
    """Whether the kernel passes over this process, whatever happens.

    Besides -1000: it says 0 although the numbers say more for those already reaped, and for children of vfork that
    still use their parent's memory.
    """
    if terms.adj == ADJ_MIN:
        return True
    if score or kernel.scale is None:
        return False
    return compute_score(compute_badness_pages(terms, kernel.total_pages), kernel.total_pages, kernel.scale) >= 2


def build_upper_bound(score: int, kernel: Kernel) -> Callable[[Memory], Optional[int]]:
    """From memory to the highest badness that a process with this score can have; None where nothing can be said.

    Its oom_score_adj is not known, but memory and oom_score_adj together stay below the next score. The kernel counts
    tables exactly, and less of the rest than /proc shows by no more than the margin.
    """
    unit = kernel.total_pages // 1000
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

    Of equals the kernel takes the last in fork order from 5.3 on, the first before; start time and PID stand for that
    order. The new scale is younger than that change.
    """
    sign = 1 if scale == SCALE_OLD else -1
    return sorted(victims, key=lambda it: (-it.badness_pages, sign * it.start_ticks, sign * it.pid))


# Where L(select) learns about processes, by PID. One that is gone, or has no memory of its own, is left out or None.
class ProcessReader(NamedTuple):
    memories: Callable[[List[int]], List[Tuple[Memory, int]]]  # (memory, pid)
    adj: Callable[[int], Optional[int]]  # oom_score_adj
    start_ticks: Callable[[int], Optional[int]]  # when it started, in clock ticks since boot


def group_by_score(scores: Iterable[Tuple[int, int]]) -> List[Tuple[int, List[int]]]:
    """Processes of (score, pid) by score, highest first."""
    bands: Dict[int, List[int]] = {}
    for score, pid in scores:
        bands.setdefault(score, []).append(pid)
    return sorted(bands.items(), reverse=True)


def select(scores: Iterable[Tuple[int, int]], top: int, source: ProcessReader, kernel: Kernel) -> List[Victim]:
    """The ``top`` most likely victims in order, all of them for 0, out of (score, pid).

    Scores never fall as badness rises, so only the highest bands of equal score are looked at until there are enough.
    """
    chosen: List[Victim] = []
    for score, pids in group_by_score(scores):
        missing = top - len(chosen) if top else len(pids)
        if missing <= 0:
            break
        chosen.extend(_top_of_band(score, pids, missing, source, kernel))
    return rank(chosen, kernel.scale)[:top or None]


def _top_of_band(score: int, pids: List[int], missing: int, source: ProcessReader, kernel: Kernel) -> List[Victim]:
    """The ``missing`` worst of processes that share a score, and any equal to the last of them.

    Those with the most memory come first, so that oom_score_adj of most others need not be read.
    """
    worst = _Worst(missing)
    upper_bound = build_upper_bound(score, kernel)
    for memory, pid in sorted(source.memories(pids), key=_pages, reverse=True):
        if worst.is_below(upper_bound(memory)):
            continue
        adj = source.adj(pid)
        if adj is None or is_never_chosen(score, Terms(memory, adj), kernel):
            continue
        terms = Terms(memory, adj)
        worst.add(compute_badness_pages(terms, kernel.total_pages), pid, terms)
    victims = []
    for badness, pid, terms in worst.with_ties():
        start_ticks = source.start_ticks(pid)
        if start_ticks is not None:
            victims.append(Victim(pid, score, badness, terms, start_ticks))
    return victims


def _pages(found: Tuple[Memory, int]) -> int:
    return sum(found[0])


class _Worst:
    """Processes by badness, and the mark that one has to reach to be among the first ``wanted``."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._found: List[Tuple[int, int, Terms]] = []
        self._highest: List[int] = []

    def add(self, badness: int, pid: int, terms: Terms) -> None:
        """One more process."""
        self._found.append((badness, pid, terms))
        if len(self._highest) < self._wanted:
            heapq.heappush(self._highest, badness)
        else:
            heapq.heappushpop(self._highest, badness)

    def is_below(self, bound: Optional[int]) -> bool:
        """Whether a process of at most this badness is out of the running; never for None, which is no bound."""
        return bound is not None and len(self._highest) == self._wanted and bound < self._highest[0]

    def with_ties(self) -> List[Tuple[int, int, Terms]]:
        """The worst ``wanted`` and any that equal the last of them."""
        return [found for found in self._found if not self.is_below(found[0])]
