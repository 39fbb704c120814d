# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters' arithmetic: numbers that kernels gave, and every way to say them."""

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.filter.badness import FilterModule as BadnessFilter
from ansible_collections.oomkit.linux.plugins.filter.commit_limit import FilterModule as CommitLimitFilter
from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.plugin_utils._planning import badness_pages, commit_limit_kb

RAM_KB = 4029312  # of a machine on which the limits below were read


@pytest.mark.parametrize('settings, limit_kb', [
    ({}, 2014656),
    ({'ratio': 50}, 2014656),
    ({'ratio': 100}, 4029312),
    ({'ratio': 0}, 0),
    ({'ratio': 0, 'swap': 524284}, 524284),
    ({'kbytes': 900000}, 900000),
    ({'kbytes': 900003, 'swap': 4}, 900004),
    ({'kbytes': 3}, 0),
    ({'kbytes': 0}, 2014656),
    ({'kbytes': 0, 'ratio': 80}, 3223448),
    ({'kbytes': 900000, 'ratio': 0}, 900000),
    ({'hugepages': 40960}, 2014656 - 20480),
    ({'hugepages': 40960, 'kbytes': 900000}, 900000),
    ({'ratio': 50, 'page_kb': 64}, 2014656),
    ({'ratio': '50', 'swap': '1 GiB', 'hugepages': '0'}, 2014656 + 1048576),
])
def test_commit_limit_is_the_kernels(settings, limit_kb):
    assert commit_limit_kb(RAM_KB, **settings) == limit_kb


def test_facts_hold_swap_and_huge_pages():
    facts = {'total_kb': RAM_KB, 'swap_total_kb': 1000, 'hugetlb_kb': 40960, 'available_kb': 5, 'swap_free_kb': 7}
    assert commit_limit_kb(facts) == 2014656 - 20480 + 1000
    assert commit_limit_kb(facts, swap='0', hugepages=0) == 2014656


@given(st.integers(1, 2 ** 40), st.integers(0, 2 ** 30), st.integers(1, 200))
def test_sizes_are_the_same_however_they_are_said(total_mb, swap_kb, ratio):
    plain = commit_limit_kb(total_mb * 1024, swap=swap_kb, ratio=ratio)
    assert commit_limit_kb('%dM' % total_mb, swap='%d kB' % swap_kb, ratio=str(ratio)) == plain
    assert commit_limit_kb({'total_kb': total_mb * 1024, 'swap_total_kb': swap_kb}, ratio=ratio) == plain


@pytest.mark.parametrize('memory, settings, words', [
    ('80%', {}, ['memory', '80%', '64G']),
    (True, {}, ['memory', 'True']),
    (1.5, {}, ['memory', '1.5']),
    (-1, {}, ['memory', '-1', '0']),
    (None, {}, ['memory', 'None']),
    ('', {}, ['memory', "''"]),
    ({}, {}, ['memory', 'total_kb', 'nothing']),
    ({'ram': 4}, {}, ['memory', 'total_kb', 'ram']),
    ('99999999P', {}, ['memory', '99999999P']),
    ('9' * 5000 + 'G', {}, ['memory', '...']),
    (['\x1b' * 5000], {}, ['memory', '...']),
    ({'\x1b[2J': 1, 'x' * 5000: 3}, {}, ['total_kb', 'x1b[2J', '...']),
    (RAM_KB, {'ratio': -1}, ['ratio', '-1']),
    (RAM_KB, {'ratio': '0x10'}, ['ratio', '0x10']),
    (RAM_KB, {'ratio': 50, 'kbytes': 4000}, ['ratio', 'kbytes', '50', '4000']),
    (RAM_KB, {'hugepages': '8G'}, ['hugepages', str(RAM_KB)]),
    (RAM_KB, {'page_kb': 3}, ['page_kb', '3', '64']),
])
def test_what_cannot_be_is_refused(memory, settings, words):
    with pytest.raises(ConvertError) as refused:
        commit_limit_kb(memory, **settings)
    assert not [word for word in words if word not in str(refused.value)], refused.value
    assert len(str(refused.value)) < 400 and str(refused.value).isprintable()


def test_numbers_that_python_does_not_show_are_refused():
    for memory, settings in ((10 ** 5000, {}), (RAM_KB, {'swap': 10 ** 5000}), ({10 ** 5000: 1}, {})):
        with pytest.raises(ConvertError, match='thousands of digits'):
            commit_limit_kb(memory, **settings)
    with pytest.raises(ConvertError, match='rss: a number of thousands of digits'):
        badness_pages(10 ** 5000, RAM_KB)


def test_badness_is_the_kernels():
    # 32 GiB: 8388608 pages. An adj of 1 is worth 8388 of them.
    assert badness_pages('2G', '32G', score_adj=500) == 524288 + 500 * 8388
    assert badness_pages(4, 33554432, score_adj=-500) == 1 - 500 * 8388
    assert badness_pages(7, 4000, swap=8, page_tables=5, score_adj=1) == 1 + 2 + 1 + 1
    assert badness_pages(128, 64 * 2000, page_kb=64, score_adj=3) == 2 + 3 * 2


def test_a_candidate_of_the_facts_brings_all_but_the_total():
    candidate = {'rss_kb': 2001332, 'swap_kb': 0, 'pagetables_kb': 7120, 'oom_score_adj': 10, 'pid': 4242}
    memory = {'total_kb': RAM_KB, 'swap_total_kb': 4000}
    pages = 500333 + 1780
    assert badness_pages(candidate, memory) == pages + 10 * 1008
    assert badness_pages(candidate, memory, score_adj=300) == pages + 300 * 1008
    assert badness_pages(dict(candidate, swap_kb=None), RAM_KB, score_adj=0) == pages


@pytest.mark.parametrize('rss, total, settings, words', [
    ('2G', '32G', {'score_adj': 1001}, ['score_adj', '1001', '1000']),
    ('2G', '50%', {}, ['total', '50%']),
    ('2G', {'total_kb': 'x'}, {}, ['total', 'x']),
    ({'pid': 1}, '32G', {}, ['rss_kb', 'pid']),
])
def test_no_badness_of_what_cannot_be(rss, total, settings, words):
    with pytest.raises(ConvertError) as refused:
        badness_pages(rss, total, **settings)
    assert not [word for word in words if word not in str(refused.value)], refused.value


@pytest.mark.parametrize('module, name', [(CommitLimitFilter, 'commit_limit'), (BadnessFilter, 'badness')])
def test_a_filter_says_which_it_is_when_it_fails(module, name):
    called = module().filters()[name]
    for arguments in ({'nonsense': 1}, {'page_kb': 3, **({'total': 4} if name == 'badness' else {})}):
        with pytest.raises(AnsibleFilterError, match='oomkit.linux.' + name):
            called(4000, **arguments)
