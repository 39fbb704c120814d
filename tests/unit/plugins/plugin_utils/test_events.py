# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source: kills out of records and out of files, one event each, whatever happens to the log."""

import asyncio
import importlib.util
import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.plugin_utils import _events
from ansible_collections.oomkit.linux.plugins.plugin_utils._events import EventsError, Hosts, LogFile, Wish, wish_of

FIELDS = {'when', 'pid', 'name', 'cgroup', 'constraint', 'oom_score_adj', 'rss_kb', 'host', 'lost_records'}
SOURCE = Path(__file__).parents[4] / 'extensions' / 'eda' / 'plugins' / 'event_source' / 'oom_kills.py'


def messages(pid, name=b'stress', cgroup=b'/batch.slice'):
    """What the kernel says of one kill."""
    return [
        b'%s invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0' % name,
        b'oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=%s,task_memcg=%s,'
        b'task=%s,pid=%d,uid=0' % (cgroup, cgroup, name, pid),
        b'Memory cgroup out of memory: Killed process %d (%s) total-vm:99999kB, anon-rss:4000kB, file-rss:80kB, '
        b'shmem-rss:16kB, UID:0 pgtables:100kB oom_score_adj:7' % (pid, name),
    ]


def records(pid, **more):
    """The same, as records of /dev/kmsg."""
    return [b'4,%d,%d,-;%s\n' % (pid, 1000000 + pid, message) for message in messages(pid, **more)]


def lines(pid, host=b'web1', stamp=b'2026-11-23T10:00:00.123456+01:00', **more):
    """The same, as lines of a log."""
    return b''.join(b'%s %s kernel: [ 1234.500000] %s\n' % (stamp, host, one) for one in messages(pid, **more))


def append(path, data):
    with open(path, 'ab') as log:
        log.write(data)


# ------------------------------------------------------------------------ /dev/kmsg

class Kernel:
    """A socket that keeps records apart as /dev/kmsg does, and the events that come of them."""

    def __init__(self, read=os.read):
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self._following = _events.follow_records(theirs.detach(), False, read)

    def write(self, *some):
        for record in some:
            self.ours.send(record)

    async def event(self):
        return await asyncio.wait_for(self._following.__anext__(), 2)

    async def end(self):
        self.ours.close()
        await self._following.aclose()


def test_a_kill_is_one_event_with_all_fields():
    async def scene():
        kernel = Kernel()
        waiting = asyncio.ensure_future(kernel.event())
        await asyncio.sleep(0.05)
        kernel.write(*records(42))
        (event,) = await waiting
        await kernel.end()
        return event

    event = asyncio.run(scene())
    assert set(event) == FIELDS
    assert (event['pid'], event['name'], event['cgroup']) == (42, 'stress', '/batch.slice')
    assert (event['constraint'], event['oom_score_adj'], event['rss_kb']) == ('memcg', 7, 4096)
    assert event['lost_records'] is False
    assert event['host'] == socket.gethostname() and event['when'].endswith('Z')


def test_a_burst_comes_in_order_and_each_once():
    async def scene():
        kernel, got = Kernel(), []
        for start in range(1, 301, 20):
            kernel.write(*(record for pid in range(start, start + 20) for record in records(pid)))
            while len(got) < start + 19:
                got += [event['pid'] for event in await kernel.event()]
        await kernel.end()
        return got

    assert asyncio.run(scene()) == list(range(1, 301))


def test_records_that_were_overwritten_are_told_with_the_next_kill():
    broken = iter([False, True, True, False])

    def read(fd, size):
        if next(broken, False):
            raise BrokenPipeError
        return os.read(fd, size)

    async def scene():
        kernel = Kernel(read)
        kernel.write(*records(1), *records(2), *records(3))
        got = [event for _kill in range(3) for event in await kernel.event()]
        await kernel.end()
        return [(event['pid'], event['lost_records']) for event in got]

    assert asyncio.run(scene()) == [(1, True), (2, False), (3, False)]


def test_what_a_program_writes_to_kmsg_is_no_kill():
    async def scene():
        kernel = Kernel()
        kernel.write(*(record.replace(b'4,', b'12,', 1) for record in records(1)), *records(2))
        (event,) = await kernel.event()
        await kernel.end()
        return event['pid']

    assert asyncio.run(scene()) == 2


def test_the_end_of_the_log_is_an_error_and_the_descriptor_is_closed():
    async def scene():
        kernel = Kernel()
        kernel.ours.close()
        with pytest.raises(EventsError, match='ended'):
            await kernel.event()

    before = len(os.listdir('/proc/self/fd'))
    asyncio.run(scene())
    assert len(os.listdir('/proc/self/fd')) == before


@pytest.mark.parametrize('name, text', [
    (b'\\x0a\\x1b[31m', '\\x0a\\x1b[31m'), (b'a) Killed process 1 (b', 'a) Killed process 1 (b'), (b'\xff', '\\xff')])
def test_hostile_names_are_harmless(name, text):
    async def scene():
        kernel = Kernel()
        kernel.write(*records(9, name=name))
        (event,) = await kernel.event()
        await kernel.end()
        return event

    event = asyncio.run(scene())
    assert event['name'] == text and event['pid'] == 9
    assert json.loads(json.dumps(event)) == event and event['name'].isprintable()


# ----------------------------------------------------------------------- a log file

def pids(hosts, log):
    return [event['pid'] for line in log.lines() for event in hosts.feed(line)]


def test_a_file_is_followed_over_rotation(tmp_path):
    path, hosts = tmp_path / 'kern.log', Hosts()
    append(path, lines(1))
    log = LogFile(str(path), False)
    assert pids(hosts, log) == []  # what was there before
    append(path, lines(2)[:-40])
    assert pids(hosts, log) == []
    append(path, lines(2)[-40:] + lines(3))
    assert pids(hosts, log) == [2, 3]
    path.rename(tmp_path / 'kern.log.1')
    append(tmp_path / 'kern.log.1', lines(4))  # the daemon still writes to the old one
    assert pids(hosts, log) == [4]
    append(tmp_path / 'kern.log.1', lines(5))
    append(path, lines(6))
    assert pids(hosts, log) == [5, 6]
    path.write_bytes(b'')  # copytruncate
    assert pids(hosts, log) == []
    append(path, lines(7))
    assert pids(hosts, log) == [7]
    path.unlink()
    assert pids(hosts, log) == []
    append(path, lines(8))
    assert pids(hosts, log) == [8]
    log.close()


def test_a_file_that_is_not_there_yet(tmp_path):
    log, hosts = LogFile(str(tmp_path / 'kern.log'), False), Hosts()
    assert pids(hosts, log) == []
    append(tmp_path / 'kern.log', lines(1))
    assert pids(hosts, log) == [1]


def test_replay_begins_with_what_the_log_holds(tmp_path):
    append(tmp_path / 'kern.log', lines(1) + lines(2))
    assert pids(Hosts(), LogFile(str(tmp_path / 'kern.log'), True)) == [1, 2]


def events_of(data):
    hosts = Hosts()
    return [event for line in data.split(b'\n') for event in hosts.feed(line)]


def test_lines_of_many_hosts_are_kept_apart():
    mixed = [one for pair in zip(lines(1, b'a').splitlines(), lines(2, b'b').splitlines(), strict=True) for one in pair]
    told = [(event['host'], event['pid'], event['constraint']) for event in events_of(b'\n'.join(mixed))]
    assert told == [('a', 1, 'memcg'), ('b', 2, 'memcg')]


@pytest.mark.parametrize('stamp, when', [
    (b'2026-11-23T10:00:00.123456+01:00', '2026-11-23T09:00:00Z'),
    (b'2026-11-23T10:00:00Z', '2026-11-23T10:00:00Z'),
    (b'Nov 23 10:00:00', None),
    (b'9999-12-31T23:59:59-14:00', None),
])
def test_times_are_in_utc(stamp, when):
    (event,) = events_of(lines(1, stamp=stamp))
    assert event['when'] == when if when else event['when'].endswith('Z')


@pytest.mark.parametrize('line', [
    b'Nov 23 10:00:00 web1 kernel-x: ', b'Nov 23 10:00:00 web1 bash[1]: kernel: ', b'kernel: ', b'web1 kernel: '])
def test_only_lines_of_the_kernel_count(line):
    assert events_of(b'\n'.join(line + message for message in messages(1))) == []


def test_what_never_ends_is_cut(tmp_path):
    path = tmp_path / 'kern.log'
    log, hosts = LogFile(str(path), True), Hosts()
    append(path, b'x' * 300000)
    assert pids(hosts, log) == []
    append(path, b'\n' + lines(1))
    assert pids(hosts, log) == [1]


@given(st.binary())
def test_no_line_breaks_it(data):
    events_of(data)
    events_of(b'Nov 23 10:00:00 web1 kernel: ' + data + b'\n' + lines(1))


# -------------------------------------------------------------------------- options

def test_options_and_their_defaults():
    assert wish_of({}) == Wish('/dev/kmsg', False, 0.5)
    assert wish_of({'path': '/x', 'replay': True, 'poll_interval_s': 2}) == Wish('/x', True, 2.0)


@pytest.mark.parametrize('args, words', [
    ({'pth': '/x'}, ['pth', 'replay']), ({'path': 'kern.log'}, ['path', 'kern.log']), ({'path': 7}, ['path', '7']),
    ({'replay': 'yes'}, ['replay', 'yes']), ({'poll_interval_s': 0}, ['poll_interval_s', '0']),
    ({'poll_interval_s': True}, ['poll_interval_s', 'True']), ({'poll_interval_s': float('nan')}, ['nan'])])
def test_bad_options_are_refused(args, words):
    with pytest.raises(EventsError) as refused:
        wish_of(args)
    assert not [word for word in words if word not in str(refused.value)]


def test_a_log_that_cannot_be_is_an_error_at_once(tmp_path):
    async def first(path):
        await _events.follow(Wish(path)).__anext__()

    with pytest.raises(EventsError, match='folder'):
        asyncio.run(first(str(tmp_path / 'no' / 'kern.log')))
    with pytest.raises(EventsError, match='cannot be read'):
        asyncio.run(first(str(tmp_path / ('y' * 300))))


# ----------------------------------------------------------------------- the source

def test_the_source_fills_the_queue_until_it_is_cancelled(tmp_path):
    spec = importlib.util.spec_from_file_location('oom_kills', SOURCE)
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    path = tmp_path / 'kern.log'
    append(path, lines(1))

    async def scene():
        queue = asyncio.Queue()
        args = {'path': str(path), 'poll_interval_s': 0.05, 'eda_feedback_queue': queue}
        running = asyncio.ensure_future(source.main(queue, args))
        await asyncio.sleep(0.2)
        append(path, lines(2) + lines(3))
        got = [(await asyncio.wait_for(queue.get(), 2))['pid'] for _kill in range(2)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return got, queue.empty()

    before = len(os.listdir('/proc/self/fd'))
    assert asyncio.run(scene()) == ([2, 3], True)
    assert len(os.listdir('/proc/self/fd')) == before
