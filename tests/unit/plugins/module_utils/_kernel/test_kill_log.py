# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OOM kills out of records of /dev/kmsg, as kernels of several ages write them."""

import errno
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.module_utils._core.sanitize import sanitize
from ansible_collections.oomkit.linux.plugins.module_utils._host import kmsg
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import kill_log

GLOBAL = [
    b'4,1001,5000000,-;stress invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0\n',
    b'6,1002,5000001,-;[    412]     0   412   262144   240000   1966080        0             0 stress\n',
    b'6,1003,5000002,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,'
    b'task_memcg=/system.slice/batch.service,task=stress,pid=412,uid=1000\n',
    b'3,1004,5000003,-;Out of memory: Killed process 412 (stress) total-vm:1048576kB, anon-rss:960000kB, '
    b'file-rss:128kB, shmem-rss:4kB, UID:1000 pgtables:1920kB oom_score_adj:300\n',
]
MEMCG = [
    b'6,2003,7000002,c;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,b,'
    b'task_memcg=/a,b/c,task=worker,pid=77,uid=0\n',
    b'3,2004,7000003,-;Memory cgroup out of memory: Killed process 77 (worker) total-vm:9000kB, anon-rss:8000kB, '
    b'file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:40kB oom_score_adj:-5\n SUBSYSTEM=x\n',
]


def only(records):
    kills = kill_log.parse_kills(records)
    assert len(kills) == 1
    return kills[0]


def test_a_kill_of_the_whole_machine():
    assert only(GLOBAL) == kill_log.LoggedKill(
        5000003, 412, b'stress', b'/system.slice/batch.service', 'none', 300, 960132)


def test_a_kill_in_a_cgroup():
    assert only(MEMCG) == kill_log.LoggedKill(7000003, 77, b'worker', b'/a,b/c', 'memcg', -5, 8000)


def test_a_process_whose_first_thread_has_ended():
    """The summary names the process, the kill one of the threads that were left (6.12)."""
    kill = only([GLOBAL[2], GLOBAL[3].replace(b'process 412', b'process 415')])
    assert (kill.pid, kill.constraint, kill.cgroup) == (412, 'none', b'/system.slice/batch.service')


def test_a_name_that_looks_like_the_end_of_a_cgroup():
    kill = only([record.replace(b'task=stress', b'task=a,task=b').replace(b'(stress)', b'(a,task=b)')
                 for record in GLOBAL[2:]])
    assert (kill.name, kill.cgroup) == (b'a,task=b', b'/system.slice/batch.service')


def test_other_lines_in_between_and_two_kills_at_once():
    mixed = [MEMCG[0], GLOBAL[0], GLOBAL[2], b'6,1,1,-;usb 1-1: new device\n', MEMCG[1], GLOBAL[3]]
    assert [(kill.pid, kill.constraint) for kill in kill_log.parse_kills(mixed)] == [(77, 'memcg'), (412, 'none')]


@pytest.mark.parametrize('first, constraint', [(MEMCG, 'memcg'), ([GLOBAL[2], GLOBAL[3]], 'none')])
def test_a_group_that_is_killed_as_a_whole(first, constraint):
    """The victim is killed first, then the group is named and its members follow (oom_kill_process)."""
    group = [
        *first,
        b'6,3,7000002,-;Tasks in /a,b are going to be killed due to memory.oom.group set\n',
        b'3,5,7000009,-;Memory cgroup out of memory: Killed process 78 (helper) total-vm:9000kB, anon-rss:10kB, '
        b'file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:40kB oom_score_adj:0\n',
    ]
    _victim, member = kill_log.parse_kills(group)
    assert (member.pid, member.cgroup, member.constraint) == (78, b'/a,b', constraint)


@pytest.mark.parametrize('lines, constraint, cgroup, adj', [
    # 4.18 and before: a line of its own says which was chosen and why
    ([b'Out of memory: Kill process 9 (old) score 900 or sacrifice child',
      b'Killed process 9 (old) total-vm:100kB, anon-rss:80kB, file-rss:20kB, shmem-rss:0kB'], 'none', None, None),
    ([b'Task in /docker/abc killed as a result of limit of /docker/abc',
      b'Memory cgroup out of memory: Kill process 9 (old) score 900 or sacrifice child',
      b'Killed process 9 (old) total-vm:100kB, anon-rss:80kB, file-rss:20kB, shmem-rss:0kB'],
     'memcg', b'/docker/abc', None),
    # 3.10 of RHEL 7
    ([b'Out of memory: Kill process 9 (old) score 900 or sacrifice child',
      b'Killed process 9 (old), UID 0, total-vm:100kB, anon-rss:80kB, file-rss:20kB, shmem-rss:0kB'],
     'none', None, None),
    ([b'Out of memory (oom_kill_allocating_task): Killed process 9 (old) total-vm:100kB, anon-rss:80kB, '
      b'file-rss:20kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:7'], None, None, 7),
])
def test_older_kernels(lines, constraint, cgroup, adj):
    kill = only([b'6,%d,5,-;%s\n' % (number, line) for number, line in enumerate(lines)])
    assert (kill.name, kill.rss_kb) == (b'old', 100)
    assert (kill.constraint, kill.cgroup, kill.oom_score_adj) == (constraint, cgroup, adj)


def test_a_name_with_control_characters_and_brackets():
    name = br'x) (\x0a\x1b[31m'
    records = [GLOBAL[3].replace(b'(stress)', b'(' + name + b')')]
    kill = only(records)
    assert kill.name == b'x) (\n\x1b[31m'
    fact = kill_log.build_kill_fact(kill, 1000.0, str, sanitize)
    assert (fact['name'], fact['when']) == ('x) (\\x0a\\x1b[31m', '1005.000003')


def test_what_programs_write_to_the_log_is_not_believed():
    """Facility 1 and above: never written by the kernel itself."""
    assert kill_log.parse_kills([b'11' + record[1:] for record in GLOBAL]) == []


def test_a_line_that_only_quotes_a_kill_is_none():
    assert kill_log.parse_kills([b'3,1,1,-;say: ' + GLOBAL[3].partition(b';')[2]]) == []


def test_only_the_last_ones_are_kept():
    records = [GLOBAL[3].replace(b'412', b'%d' % pid) for pid in range(1, 100)]
    assert [kill.pid for kill in kill_log.parse_kills(records)] == list(range(80, 100))


@given(st.lists(st.one_of(st.binary(max_size=80), st.sampled_from(GLOBAL + MEMCG)), max_size=20))
def test_no_record_breaks_it(records):
    assert len(kill_log.parse_kills(records)) <= records.count(GLOBAL[3]) + records.count(MEMCG[1])


def test_reading_ends_where_nothing_more_is_there(tmp_path):
    """A pipe without a writer's data answers as /dev/kmsg at its end does: EAGAIN."""
    (tmp_path / 'dev').mkdir()
    os.mkfifo(tmp_path / 'dev/kmsg')
    writer = os.open(tmp_path / 'dev/kmsg', os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(writer, GLOBAL[0])
        assert list(kmsg.read_records(Host(str(tmp_path)))) == [GLOBAL[0]]
    finally:
        os.close(writer)


def test_a_log_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError) as caught:
        list(kmsg.read_records(Host(str(tmp_path))))
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize('offsets, ahead_s', [
    (None, 0), ('monotonic           0         0\nboottime            0         0\n', 0),
    ('monotonic     1000000 500000000\nboottime      2000000         0\n', 1000000.5),
    ('monotonic         -50         0\nboottime            0         0\n', -50),
    ('monotonic ' + '9' * 5000 + ' 0\n', 0)])
def test_a_time_namespace_does_not_move_the_kills(tmp_path, offsets, ahead_s):
    if offsets is not None:
        (tmp_path / 'proc/self').mkdir(parents=True)
        (tmp_path / 'proc/self/timens_offsets').write_text(offsets)
    expected = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + ahead_s
    assert abs(kmsg.compute_log_start_s(Host(str(tmp_path))) - expected) < 5


@pytest.mark.parametrize('place', ['/dev/null', '/dev/zero', 'a pipe', 'a file'])
def test_what_stands_in_the_place_of_the_log_is_no_log(tmp_path, place):
    """As in containers, where /dev/kmsg is bound to something else: nothing was killed would be a guess."""
    path = str(tmp_path / 'kmsg') if ' ' in place else place
    if place == 'a pipe':
        os.mkfifo(path)
    elif place == 'a file':
        (tmp_path / 'kmsg').write_bytes(GLOBAL[0])
    with pytest.raises(OSError) as caught:
        list(kmsg.read_records(Host(), path))
    assert caught.value.errno == errno.ENODEV


@pytest.mark.parametrize('text, total', [('pgfault 1\noom_kill 7\nx 1\n', 7), ('drop_oom_kill 3\n', None), ('', None)])
def test_total(text, total):
    assert kill_log.parse_kill_count(text) == total


@pytest.mark.parametrize('number', [
    b'pid=412', b'process 412', b'anon-rss:960000', b'file-rss:128', b'shmem-rss:4', b'adj:300'])
def test_a_number_without_end_is_none(number):
    """Python refuses to read more than 4300 digits."""
    name, mark, _digits = number.rpartition(b':' if b':' in number else number[-4:-3])
    forged = [record.replace(number, name + mark + b'9' * 5000) for record in GLOBAL]
    assert forged != GLOBAL
    for kill in kill_log.parse_kills(forged):
        assert kill.pid == 412
