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

# What badness is made of, in pages, and oom_score_adj.
Terms = NamedTuple('Terms', [
    ('rss_pages', int),
    ('swap_pages', int),
    ('tables_pages', int),
    ('adj', int),
])

# What a look at /proc/PID/statm tells.
Rough = NamedTuple('Rough', [
    ('size_pages', int),  # all mappings
    ('rss_pages', int),
])

# A process that can be chosen.
Victim = NamedTuple('Victim', [
    ('pid', int),
    ('score', int),
    ('badness_pages', int),
    ('terms', Terms),
    ('start_ticks', int),
])

# The kernel as far as its choice depends on it.
Kernel = NamedTuple('Kernel', [
    ('total_pages', int),      # RAM and swap
    ('scale', Optional[str]),  # None: could not be told
    ('swap_in_use', bool),
    ('margin_pages', int),     # how far /proc and the kernel's own counters may differ
    ('table_levels', int),     # pages of page tables that one mapped page may need
])


def badness_pages(terms: Terms, total_pages: int) -> int:
    """Badness of a process that can be chosen. The division comes first, as in the kernel."""
    return terms.rss_pages + terms.swap_pages + terms.tables_pages + terms.adj * (total_pages // 1000)


def _toward_zero(number: int, divisor: int) -> int:
    """Division of C: towards zero."""
    return number // divisor if number >= 0 else -(-number // divisor)


def score_of(badness: int, total_pages: int, scale: str) -> int:
    """What /proc/PID/oom_score reads for a process of this badness that can be chosen."""
    if scale == SCALE_OLD:
        return max(badness, 0) * 1000 // total_pages
    return max(0, 1000 + _toward_zero(badness * 1000, total_pages)) * 2 // 3


def highest_badness(score: int, total_pages: int, scale: str) -> int:
    """The highest badness, in pages, that reads as this score."""
    if scale == SCALE_OLD:
        return ((score + 1) * total_pages - 1) // 1000
    per_mille = (3 * score + 2) // 2 - 1000
    if per_mille < 0:
        return per_mille * total_pages // 1000
    return ((per_mille + 1) * total_pages - 1) // 1000


def scale_from(terms: Terms, score: int, total_pages: int) -> Optional[str]:
    """Which scale the score of a process with these terms is on; None where it fits both or neither."""
    if terms.adj == ADJ_MIN or total_pages < 1000:
        return None
    badness = badness_pages(terms, total_pages)
    far = dict((scale, abs(score - score_of(badness, total_pages, scale))) for scale in (SCALE_OLD, SCALE_NEW))
    if far[SCALE_OLD] == far[SCALE_NEW]:
        return None
    return min(far, key=lambda scale: far[scale])


def never_chosen(score: int, terms: Terms, kernel: Kernel) -> bool:
    """Whether the kernel passes over this process, whatever happens.

    Besides -1000: it says 0 although the numbers say more for those already reaped, and for children of vfork that
    still use their parent's memory.
    """
    if terms.adj == ADJ_MIN:
        return True
    if score or kernel.scale is None:
        return False
    return score_of(badness_pages(terms, kernel.total_pages), kernel.total_pages, kernel.scale) >= 2


def upper_bound(score: int, rough: Rough, kernel: Kernel) -> Optional[int]:
    """A badness, in pages, that a process of this score and size cannot exceed; None where nothing can be said.

    oom_score_adj is not known yet, but badness is at most the highest of the score and at least RSS and oom_score_adj
    together, which bounds oom_score_adj. Swapped pages are mapped; every page of tables serves a mapped page.
    """
    unit = kernel.total_pages // 1000
    if kernel.scale is None or unit < 1:
        return None
    highest = highest_badness(score, kernel.total_pages, kernel.scale) + kernel.margin_pages
    adj = min((highest - rough.rss_pages) // unit, ADJ_MAX)
    pages = rough.size_pages if kernel.swap_in_use else rough.rss_pages
    return min(highest, pages + kernel.table_levels * rough.size_pages + adj * unit + kernel.margin_pages)


def rank(victims: Iterable[Victim], scale: Optional[str]) -> List[Victim]:
    """The victims, most likely first.

    Of equals the kernel takes the last in fork order from 5.3 on, the first before; start time and PID stand for that
    order. The new scale is younger than that change.
    """
    sign = 1 if scale == SCALE_OLD else -1
    return sorted(victims, key=lambda it: (-it.badness_pages, sign * it.start_ticks, sign * it.pid))


# Where L(select) learns about a process by its PID; None is one that is gone or has no memory of its own.
Source = NamedTuple('Source', [
    ('rough', Callable[[int], Optional[Rough]]),       # the cheap look: one small file
    ('terms', Callable[[int], Optional[Terms]]),       # what badness is made of
    ('start_ticks', Callable[[int], Optional[int]]),   # when it started, in clock ticks since boot
])


def bands_of(scores: Iterable[Tuple[int, int]]) -> List[Tuple[int, List[int]]]:
    """Processes of (score, pid) by score, highest first."""
    bands: Dict[int, List[int]] = {}
    for score, pid in scores:
        bands.setdefault(score, []).append(pid)
    return sorted(bands.items(), reverse=True)


def select(scores: Iterable[Tuple[int, int]], top: int, source: Source, kernel: Kernel) -> List[Victim]:
    """The ``top`` most likely victims in order, all of them for 0, out of (score, pid).

    Scores never fall as badness rises, so only the highest bands of equal score are looked at until there are enough.
    """
    chosen: List[Victim] = []
    for score, pids in bands_of(scores):
        missing = top - len(chosen) if top else len(pids)
        if missing <= 0:
            break
        chosen.extend(_top_of_band(score, pids, missing, source, kernel))
    return rank(chosen, kernel.scale)[:top or None]


def _top_of_band(score: int, pids: List[int], missing: int, source: Source, kernel: Kernel) -> List[Victim]:
    """The ``missing`` worst of processes that share a score, and any equal to the last of them."""
    known = _Worst(missing)
    for bound, pid in _by_promise(score, pids, missing, source, kernel):
        if bound is not None and known.is_below(bound):
            continue
        terms = source.terms(pid)
        if terms is not None and not never_chosen(score, terms, kernel):
            known.add(badness_pages(terms, kernel.total_pages), pid, terms)
    victims = []
    for badness, pid, terms in known.with_ties():
        start_ticks = source.start_ticks(pid)
        if start_ticks is not None:
            victims.append(Victim(pid, score, badness, terms, start_ticks))
    return victims


def _by_promise(score: int, pids: List[int], missing: int, source: Source,
                kernel: Kernel) -> List[Tuple[Optional[int], int]]:
    """(bound, pid) of a band in the order that lets most of it be passed over; no bounds where they would not pay."""
    if len(pids) <= 2 * missing or kernel.scale is None:
        return [(None, pid) for pid in pids]
    looks: List[Tuple[int, Optional[int], int]] = []
    for pid in pids:
        rough = source.rough(pid)
        if rough is None:
            continue
        # No size at all: a kernel thread, or a leader that ended before its threads: only the closer look tells.
        bound = upper_bound(score, rough, kernel) if rough.size_pages else None
        looks.append((rough.rss_pages, bound, pid))
    looks.sort(reverse=True, key=lambda look: look[0])
    return [(bound, pid) for _rss_pages, bound, pid in looks]


class _Worst(object):
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

    def is_below(self, bound: int) -> bool:
        """Whether a process of at most this badness is out of the running."""
        return len(self._highest) == self._wanted and bound < self._highest[0]

    def with_ties(self) -> List[Tuple[int, int, Terms]]:
        """The worst ``wanted`` and any that equal the last of them."""
        return [found for found in self._found if not self.is_below(found[0])]
