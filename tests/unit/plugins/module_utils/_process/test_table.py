# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of /proc/PID: recorded texts, a tree on disk, and real processes of this machine."""

import os
import subprocess
import sys
import threading

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._host import file_access, meminfo, total_memory
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.badness import Terms
from ansible_collections.oomkit.linux.plugins.module_utils._process import procfs, table

# Debian 13, kernel 6.12, shortened where nothing is read.
STATUS = (
    b'Name:\tdbus-daemon\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t588\nUid:\t0\t990\t990\t990\n'
    b'VmPeak:\t    8520 kB\nVmSize:\t    8516 kB\nVmLck:\t       0 kB\nVmHWM:\t    4832 kB\nVmRSS:\t    4828 kB\n'
    b'RssAnon:\t     552 kB\nRssFile:\t    4276 kB\nVmData:\t     640 kB\nVmLib:\t    4700 kB\nVmPTE:\t      56 kB\n'
    b'VmSwap:\t      12 kB\nHugetlbPages:\t       0 kB\nThreads:\t1\n')
KERNEL_THREAD = b'Name:\tkthreadd\nState:\tS (sleeping)\nUid:\t0\t0\t0\t0\nThreads:\t1\n'


@pytest.mark.parametrize('status, memory_kb', [
    (STATUS, (4828, 12, 56)),
    (STATUS.replace(b'VmSwap', b'VmPMD:\t       8 kB\nVmSwap'), (4828, 12, 64)),   # 4.0 to 4.14
    (KERNEL_THREAD, None),
    (KERNEL_THREAD.replace(b'kthreadd', b'VmRSS:\t1 kB'), None),
    (b'', None),
])
def test_memory(status, memory_kb):
    assert table.parse_memory_kb(status) == memory_kb


def test_user():
    assert file_access.parse_uids(STATUS) == (0, 990, 990)
    assert file_access.parse_uids(b'') is None


@pytest.mark.parametrize('name', [b'bash', b') R 1 2 3', b'a b', b'\n\x1b[31m', b'\xff('])
def test_start(name):
    stat = b'77 (%s) S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 9000 200' % name
    assert procfs.parse_stat(stat).start_ticks == 123456
    assert procfs.parse_stat(b'77 (') is None


@pytest.mark.parametrize('text, cgroup, unit', [
    (b'0::/system.slice/ssh.service\n', b'/system.slice/ssh.service', b'ssh.service'),
    (b'4:memory:/limited\n1:name=systemd:/system.slice/ssh.service\n', b'/limited', b'ssh.service'),
    (b'2:cpu,memory:/\n1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n', b'/', b'a.service'),
    (b'1:name=systemd:/a.scope\n', b'/a.scope', b'a.scope'),
    (b'0::/a:b/cd.service\n', b'/a:b/cd.service', None),
    (b'3:cpu:/x\n', None, None),
    (b'', None, None),
])
def test_cgroup(text, cgroup, unit):
    assert table.parse_cgroup(text) == (cgroup, unit)


@pytest.fixture
def tree(tmp_path):
    """A machine on disk with processes 1, 2 (kernel thread), 77, and 78, whose first thread has ended."""
    def put(path, data):
        target = tmp_path / 'proc' / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    for pid, score, adj, status in ((1, 0, 0, STATUS), (2, 0, 0, KERNEL_THREAD), (77, 700, 50, STATUS),
                                    (78, 666, 0, KERNEL_THREAD.replace(b'S (sleeping)', b'Z (zombie)'))):
        put('%d/oom_score' % pid, b'%d\n' % score)
        put('%d/oom_score_adj' % pid, b'%d\n' % adj)
        put('%d/status' % pid, status)
        put('%d/comm' % pid, b'name%d\n' % pid)
    put('78/task/78/status', KERNEL_THREAD)
    put('78/task/79/status', STATUS)
    put('meminfo', b'MemTotal: 4000000 kB\nSwapTotal: 1000000 kB\n')
    put('99/comm', b'half gone\n')
    return tmp_path


def test_scan_of_a_tree(tree):
    page_kb = meminfo.get_page_kb()
    pages = (4828 // page_kb, 12 // page_kb, 56 // page_kb)
    with table.ProcessTable(Host(str(tree))) as processes:
        scores = processes.read_scores()
        assert sorted(scores.found) == [(0, 1), (0, 2), (666, 78), (700, 77)]
        assert scores.denied == 0
        assert sorted(processes.read_memories([2, 77, 78, 99, 100])) == [(pages, 77), (pages, 78)]
        assert processes.read_terms(77) == Terms(pages, 50)
        assert processes.read_terms(2) is None
        assert processes.read_name(77) == b'name77'
        assert processes.read_name(100) is None
        assert processes.find_programs({b'name77\n': 'seventy-seven'}) == ([(77, 'seventy-seven')], 0)
    assert total_memory.read_total_pages(Host(str(tree))) == 5000000 // page_kb


def test_a_status_longer_than_one_read(tree):
    """Membership in thousands of groups comes before the memory."""
    groups = b'Groups:\t' + b' '.join(b'%d' % gid for gid in range(100000, 103000)) + b' \n'
    (tree / 'proc/77/status').write_bytes(STATUS.replace(b'VmPeak', groups + b'VmPeak'))
    with table.ProcessTable(Host(str(tree))) as processes:
        assert [pid for _memory, pid in processes.read_memories([77])] == [77]
        assert processes.read_terms(77).adj == 50


def test_ourselves_on_this_machine():
    with table.ProcessTable(Host()) as processes:
        scores = {pid: score for score, pid in processes.read_scores().found}
        assert os.getpid() in scores
        resident_pages = int(open('/proc/self/statm').read().split()[1])
        terms = processes.read_terms('self')
        assert abs(terms.memory[0] - resident_pages) < 1024
        assert terms.memory[2] > 0
        assert terms.adj == int(open('/proc/self/oom_score_adj').read())
        assert processes.read_effective_uid(os.getpid()) == os.geteuid()
        assert processes.read_start_ticks(os.getpid()) > 0


def test_a_process_whose_first_thread_has_ended_is_still_seen():
    """Its own status shows no memory any more, yet the kernel can choose it."""
    code = ('import ctypes, os, sys, threading, time\n'
            'def stay():\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n'
            'threading.Thread(target=stay).start()\ntime.sleep(0.2)\n'
            'ctypes.CDLL(None).pthread_exit(None)\n')
    child = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    try:
        pid = int(child.stdout.readline())
        with table.ProcessTable(Host()) as processes:
            ended = threading.Event()
            for _attempt in range(100):
                if b'\nState:\tZ' in processes.read('%d/status' % pid):
                    break
                ended.wait(0.05)
            assert table.parse_memory_kb(processes.read('%d/status' % pid)) is None
            assert processes.read_terms(pid).memory[0] > 500
            assert processes.read_score(pid) > 0
    finally:
        child.kill()
        child.wait()
