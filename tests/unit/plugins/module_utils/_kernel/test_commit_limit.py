# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._kernel import commit_limit, meminfo

# A machine with swap and ten huge pages. CommitLimit: (1003828 - 20480) kB in pages * 50 % + swap, as the kernel
# counts it; tests/kernel asks real ones.
MEMINFO = """\
MemTotal:        1003828 kB
MemFree:          785948 kB
MemAvailable:     838212 kB
SwapTotal:        262140 kB
SwapFree:         262140 kB
CommitLimit:      753812 kB
Committed_AS:     119028 kB
HugePages_Total:      10
Hugepagesize:       2048 kB
Hugetlb:           20480 kB
"""


def test_meminfo_is_read():
    memory = meminfo.parse_meminfo(MEMINFO)
    assert memory == (1003828, 838212, 262140, 262140, 20480, 753812, 119028)


def test_huge_pages_of_an_old_kernel():
    assert meminfo.parse_meminfo(MEMINFO.replace('Hugetlb:', 'Other:')).hugetlb_kb == 20480


def test_no_meminfo():
    assert meminfo.parse_meminfo('') is None


def test_the_limit_is_the_kernels_own():
    memory = meminfo.parse_meminfo(MEMINFO)
    assert commit_limit.compute_limit_kb(memory, 50, 0) == memory.commit_limit_kb


@pytest.mark.parametrize(
    'ratio, kbytes, limit_kb', [(50, 0, 2014656), (100, 0, 4029312), (0, 0, 0), (0, 3, 0), (0, 900001, 900000)]
)
def test_the_classic_example(ratio, kbytes, limit_kb):
    memory = meminfo.Memory(4029312, None, 0, 0, 0, None, 0)
    assert commit_limit.compute_limit_kb(memory, ratio, kbytes) == limit_kb


def test_the_smallest_ratio_that_gives_a_limit():
    memory = meminfo.parse_meminfo(MEMINFO)
    for wanted_kb in (262140, 262141, 500000, 753812, 2000000):
        ratio = commit_limit.compute_ratio(memory, wanted_kb)
        assert commit_limit.compute_limit_kb(memory, ratio, 0, page_kb=1) >= wanted_kb
        assert ratio == 0 or commit_limit.compute_limit_kb(memory, ratio - 1, 0, page_kb=1) < wanted_kb
