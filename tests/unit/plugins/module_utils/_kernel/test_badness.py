# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's arithmetic, and that looking at the highest bands only finds what looking at everything finds."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.module_utils._kernel.badness import (
    ADJ_MIN,
    SCALE_NEW,
    SCALE_OLD,
    Kernel,
    ProcessReader,
    Terms,
    build_upper_bound,
    compute_badness_pages,
    compute_highest_badness,
    compute_score,
    detect_scale,
    is_never_chosen,
    select,
    weigh_adj,
)

SCALES = st.sampled_from([SCALE_OLD, SCALE_NEW])
TOTALS = st.integers(1000, 2 ** 28)


@pytest.mark.parametrize('memory, adj, total_pages, expected', [
    ((1000, 0, 0), 0, 262144, 1000),
    ((1000, 200, 30), 0, 262144, 1230),
    ((1000, 200, 30), 100, 262144, 1230 + 100 * 262),   # 262144 // 1000 comes first
    ((1000, 200, 30), -1, 262144, 1230 - 262),
    ((5, 0, 0), 1000, 999, 5),                          # a machine of less than 1000 pages gives adj no weight
])
def test_badness(memory, adj, total_pages, expected):
    assert compute_badness_pages(Terms(memory, adj), total_pages) == expected


@pytest.mark.parametrize('adj, total_pages, pages', [
    (1, 262144, 262),
    (-1000, 262144, -262000),
    (100, 262144, 26200),   # 262144 // 1000 comes first
    (1000, 999, 0),
])
def test_weight_of_oom_score_adj(adj, total_pages, pages):
    assert weigh_adj(adj, total_pages) == pages


@pytest.mark.parametrize('badness, scale, score', [
    (100, SCALE_NEW, 666),       # every idle process of a modern kernel
    (100, SCALE_OLD, 0),
    (-261, SCALE_NEW, 666),      # C cuts towards zero
    (-263, SCALE_NEW, 666),      # 999 * 2 / 3
    (-525, SCALE_NEW, 665),
    (262144, SCALE_NEW, 1333),
    (262144, SCALE_OLD, 1000),
    (-262144, SCALE_NEW, 0),
    (-262144, SCALE_OLD, 0),
])
def test_score(badness, scale, score):
    assert compute_score(badness, 262144, scale) == score


@given(SCALES, TOTALS, st.integers(0, 2000))
def test_highest_badness_is_the_last_before_the_next_score(scale, total_pages, score):
    highest = compute_highest_badness(score, total_pages, scale)
    assert compute_score(highest, total_pages, scale) <= score
    assert compute_score(highest + 1, total_pages, scale) > score


@given(SCALES, TOTALS, st.integers(-2 ** 28, 2 ** 28), st.integers(0, 2 ** 20))
def test_scores_never_fall_as_badness_rises(scale, total_pages, badness, more):
    assert compute_score(badness, total_pages, scale) <= compute_score(badness + more, total_pages, scale)


@pytest.mark.parametrize('score, adj, expected', [
    (666, 0, SCALE_NEW), (667, 0, SCALE_NEW), (0, 0, SCALE_OLD), (1, 0, SCALE_OLD), (100, 100, SCALE_OLD),
    (733, 100, SCALE_NEW), (0, ADJ_MIN, None), (0, -999, None), (2000, 0, None),
])
def test_our_own_score_shows_the_scale(score, adj, expected):
    assert detect_scale(Terms((3000, 0, 20), adj), score, 6_000_000) == expected


def test_zero_score_against_the_numbers_is_unkillable():
    """Reaped already, or a child of vfork with its parent's memory."""
    kernel = Kernel(262144, SCALE_NEW, 0)
    assert is_never_chosen(0, Terms((100, 0, 5), 0), kernel)
    assert not is_never_chosen(666, Terms((100, 0, 5), 0), kernel)
    assert not is_never_chosen(0, Terms((100, 0, 5), -999), kernel)
    assert is_never_chosen(0, Terms((100, 0, 5), ADJ_MIN), kernel)
    assert not is_never_chosen(0, Terms((100, 0, 5), 0), kernel._replace(scale=SCALE_OLD))


class Crowd:
    """Processes as the kernel has them: {pid: (memory, adj, start)}; counts what is looked at."""

    def __init__(self, processes, kernel):
        self.processes, self.kernel = processes, kernel
        self.looks = {'memory': 0, 'adj': 0, 'start_ticks': 0}

    def scores(self):
        return [(self.score(pid), pid) for pid in self.processes]

    def score(self, pid):
        memory, adj, _start = self.processes[pid]
        if adj == ADJ_MIN:
            return 0
        badness = compute_badness_pages(Terms(memory, adj), self.kernel.total_pages)
        return compute_score(badness, self.kernel.total_pages, self.kernel.scale or SCALE_NEW)

    def source(self):
        return ProcessReader(self._memories, self._adj, self._start_ticks)

    def _memories(self, pids):
        self.looks['memory'] += len(pids)
        return [(self.processes[pid][0], pid) for pid in pids]

    def _adj(self, pid):
        self.looks['adj'] += 1
        return self.processes[pid][1]

    def _start_ticks(self, pid):
        self.looks['start_ticks'] += 1
        return self.processes[pid][2]

    def full_ranking(self):
        """Every process, by the rules of the kernel written down once more in the plainest way."""
        sign = 1 if self.kernel.scale == SCALE_OLD else -1
        able = [pid for pid, (_memory, adj, _start) in self.processes.items() if adj != ADJ_MIN]
        return sorted(able, key=lambda pid: (
            -(sum(self.processes[pid][0]) + self.processes[pid][1] * (self.kernel.total_pages // 1000)),
            sign * self.processes[pid][2], sign * pid))


def crowds():
    """Machines with processes that gather in few scores, so that bands are crowded and equal processes are common."""
    memory = st.tuples(st.sampled_from([1, 50, 300, 301, 4000, 20000, 200000]), st.sampled_from([0, 0, 7, 9000]),
                       st.sampled_from([3, 4, 30, 700]))
    adj = st.one_of(st.just(0), st.sampled_from([-1000, -999, -500, -3, -2, -1, 1, 2, 3, 100, 1000]),
                    st.integers(-1000, 1000))
    process = st.tuples(memory, adj, st.integers(0, 3))
    kernel = st.builds(Kernel, st.sampled_from([1000, 1999, 65536, 262144, 6171023, 268435456]),
                       st.sampled_from([SCALE_NEW, SCALE_NEW, SCALE_OLD, None]), st.sampled_from([0, 64, 4096]))
    return st.builds(lambda kernel, processes: Crowd(dict(enumerate(processes, 2)), kernel), kernel,
                     st.lists(process, max_size=60))


@settings(max_examples=400, deadline=None)
@given(crowds(), st.integers(0, 12))
@example(Crowd({pid: ((300 + pid % 5, 0, 10), 0, pid) for pid in range(2, 300)}, Kernel(6171023, SCALE_NEW, 256)), 10)
def test_the_highest_bands_give_the_same_as_the_full_ranking(crowd, top):
    chosen = select(crowd.scores(), top, crowd.source(), crowd.kernel)
    assert [victim.pid for victim in chosen] == crowd.full_ranking()[:top or None]
    assert [victim.badness_pages for victim in chosen] == sorted(
        (victim.badness_pages for victim in chosen), reverse=True)


@given(st.tuples(st.integers(0, 10 ** 7), st.integers(0, 10 ** 7), st.integers(3, 10 ** 5)), st.integers(-999, 1000),
       TOTALS, SCALES, st.integers(0, 5000), st.integers(0, 5000))
def test_bound_holds_if_the_kernel_counts_less(memory, adj, total_pages, scale, margin, hidden):
    """The score comes from what the kernel counted, the bound from what /proc shows: up to the margin more."""
    shown = memory[0] + min(hidden, margin), memory[1], memory[2]
    score = compute_score(compute_badness_pages(Terms(memory, adj), total_pages), total_pages, scale)
    bound = build_upper_bound(score, Kernel(total_pages, scale, margin))(shown)
    assert bound >= compute_badness_pages(Terms(shown, adj), total_pages)


def test_only_what_can_decide_is_looked_at():
    """A hundred idle processes below twelve large ones cost nothing but their scores."""
    kernel = Kernel(6171023, SCALE_NEW, 256)
    idle = {pid: ((100 + pid, 0, 10), 0, pid) for pid in range(100, 200)}
    large = {pid: ((13000 * pid, 0, 60), 0, pid) for pid in range(2, 14)}
    crowd = Crowd({**idle, **large}, kernel)
    assert [victim.pid for victim in select(crowd.scores(), 10, crowd.source(), kernel)] == list(range(13, 3, -1))
    assert crowd.looks == {'memory': 10, 'adj': 10, 'start_ticks': 10}


def test_in_a_crowded_band_few_adjustments_are_read():
    """A thousand processes of one score: their memory is read, oom_score_adj only of those that can still win."""
    kernel = Kernel(6171023, SCALE_NEW, 256)
    crowd = Crowd({pid: ((100 + pid, 0, 10), 0, pid) for pid in range(2, 1002)}, kernel)
    assert len({crowd.score(pid) for pid in crowd.processes}) == 1
    select(crowd.scores(), 10, crowd.source(), kernel)
    assert crowd.looks == {'memory': 1000, 'adj': 10, 'start_ticks': 10}


def test_ended_processes_are_left_out_and_others_move_up():
    kernel = Kernel(262144, SCALE_NEW, 0)
    crowd = Crowd({pid: ((1000 * pid, 0, 10), 0, pid) for pid in range(2, 12)}, kernel)
    source = crowd.source()._replace(adj=lambda pid: None if pid in (11, 10) else 0)
    assert [victim.pid for victim in select(crowd.scores(), 3, source, kernel)] == [9, 8, 7]
