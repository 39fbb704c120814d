# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test which of two counts of resident pages the kernel uses to choose a victim.

From 6.2 on each processor keeps a part of the counters. Some readers see the exact sum, others the part added up so
far, and this changes between releases. So a child grows page by page until the two counts give different values of
oom_score, and reads its own.
"""

import contextlib
import mmap
import os
import signal
from typing import Optional, Tuple

from .._core.text import to_text
from .._host import signals
from .._host.host import Host, sysctl_path
from .._host.meminfo import get_page_kb, read_memory
from .._kernel.badness import compute_highest_badness, compute_score, detect_scale
from .._process.table import ProcessTable
from .memcg import Tree

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

BY_STAT, BY_STATUS = 'stat', 'status'

_MOST_PAGES = 10000   # 40 MB: enough to reach the next score on machines of up to 26 GB
_NEAR_PAGES = 150     # before the next score, where the steps are single pages
_STEPS = 500
_ENOUGH_KB = 256 * 1024  # the child takes up to 40 MB
_PR_SET_THP_DISABLE = 41
_LIMIT_S = 10


def find_used_count(host: Host, processes: ProcessTable, total_pages: int) -> Optional[str]:
    """BY_STAT or BY_STATUS; None if the test does not start or gives no answer, as on large hosts."""
    if _read_free_kb(host, processes) < _ENOUGH_KB:
        return None  # other processes need that memory
    try:
        reader, writer = os.pipe()
    except OSError:
        return None
    try:
        child = _fork_child(processes, total_pages, reader, writer)
        os.close(writer)
        writer = -1
        answer = os.read(reader, 16) if child else b''
        if child:
            os.waitpid(child, 0)
    except OSError:
        return None
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    return {b'stat': BY_STAT, b'status': BY_STATUS}.get(answer)


def _read_free_kb(host: Host, processes: ProcessTable) -> int:
    """The memory that a child can use, in kB: on the host, in our cgroups, and below the CommitLimit."""
    memory = read_memory(host)
    if memory is None:
        return 0
    free_kb = [memory.available_kb or 0]
    with contextlib.suppress(OSError):  # an unreadable limit counts as none
        if (host.read_text(sysctl_path('vm.overcommit_memory')) or '').strip() == '2':
            free_kb.append((memory.commit_limit_kb or 0) - (memory.committed_kb or 0))
        cgroup = processes.find_cgroup_and_unit(os.getpid())[0]
        inside_kb = None if cgroup is None else Tree(host).free_kb(to_text(cgroup))
        free_kb += [] if inside_kb is None else [inside_kb]
    return min(free_kb)


def _fork_child(processes: ProcessTable, total_pages: int, reader: int, writer: int) -> int:
    """The child's PID, 0 without memory for one. The child never returns."""
    try:
        child = os.fork()
    except OSError:
        return 0
    if child:
        return child
    try:
        os.close(reader)
        signals.reset()
        signal.alarm(_LIMIT_S)
        os.write(writer, (_grow_and_compare(processes, total_pages) or '').encode('ascii'))
    finally:
        os._exit(0)  # runs and flushes nothing of the parent twice


def _grow_and_compare(processes: ProcessTable, total_pages: int) -> Optional[str]:
    """In the child: grow until the two counts give different scores, and find the kernel's count."""
    _make_eligible()
    scale = _find_scale(processes, total_pages)
    badness = _read_badness(processes)
    if scale is None or badness is None:
        return None
    score = compute_score(max(badness), total_pages, scale)
    missing = compute_highest_badness(score, total_pages, scale) - min(badness)
    if missing > _MOST_PAGES:
        return None
    page_bytes = mmap.PAGESIZE
    memory = mmap.mmap(-1, (missing + _STEPS) * page_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    first = max(0, missing - _NEAR_PAGES)
    for page in range(first):
        memory[page * page_bytes] = 1
    for page in range(first, missing + _STEPS):
        memory[page * page_bytes] = 1
        found = _compare(processes, total_pages, scale)
        if found is not None:
            return found
    return None


def _compare(processes: ProcessTable, total_pages: int, scale: str) -> Optional[str]:
    """The count that gives the score; None if both do, or if a number changed meanwhile."""
    before, score, after = _read_badness(processes), processes.read_score('self'), _read_badness(processes)
    if before is None or before != after or score is None:
        return None
    by_stat, by_status = (compute_score(badness, total_pages, scale) for badness in before)
    if by_stat == by_status or score not in (by_stat, by_status):
        return None
    return BY_STAT if score == by_stat else BY_STATUS


def _read_badness(processes: ProcessTable) -> Optional[Tuple[int, int]]:
    """(badness by stat, badness by status) of this process at oom_score_adj 0."""
    holding = processes.read_holding('self')
    if holding is None or processes.read_score_adj('self') != 0:
        return None
    page_kb = get_page_kb()
    rest = holding.swap_kb // page_kb + holding.tables_kb // page_kb
    return holding.stat_pages + rest, holding.rss_kb // page_kb + rest


def _find_scale(processes: ProcessTable, total_pages: int) -> Optional[str]:
    score, terms = processes.read_score('self'), processes.read_terms('self')
    return None if score is None or terms is None else detect_scale(terms, score, total_pages)


def _make_eligible() -> None:
    """Leave -1000, which has no score, and disable huge pages, which are steps of 512."""
    with open('/proc/self/oom_score_adj', 'r+b', buffering=0) as stream:
        if int(stream.read(16)) != 0:
            stream.write(b'0\n')
    if ctypes is not None:
        ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)
