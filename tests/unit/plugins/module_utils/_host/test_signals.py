# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals: masks and handlers are restored, and children start with default handlers and an empty mask."""

import os
import signal

import pytest
from module_stub import Failed, Module
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._forecast import calibrate
from ansible_collections.oomkit.linux.plugins.module_utils._host import programs, transaction
from ansible_collections.oomkit.linux.plugins.module_utils._host.helper import Helper
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._module import runner
from ansible_collections.oomkit.linux.plugins.module_utils._process.table import ProcessTable


@pytest.fixture
def started_so():
    """This process as somebody may start Ansible: SIGTERM blocked, SIGHUP and SIGCHLD ignored."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGCHLD)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def own_status():
    """Of the process that reads it."""
    with open('/proc/self/status') as stream:
        return stream.read()


def masks(status):
    """Blocked and ignored signals. The C library keeps 32 and 33 to itself."""
    rows = dict(line.split(':', 1) for line in status.splitlines())
    return [int(rows[name], 16) & 0x7fffffff for name in ('SigBlk', 'SigIgn')]


@pytest.mark.parametrize('error', [None, OSError, KeyboardInterrupt])
def test_the_mask_is_what_it_was(started_so, error):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        with transaction.rollback_on_failure():
            assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
            if error:
                raise error
    except (transaction.ApplyError, KeyboardInterrupt):
        assert error
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert signal.SIGTERM in before


def test_the_handler_is_what_it_was(started_so):
    seen = []

    def work(_host):
        seen.append(signal.getsignal(signal.SIGCHLD))
        raise OSError(5, 'stop here')

    with pytest.raises(Failed):
        runner.run_and_exit(Module(), work)
    assert seen == [signal.SIG_DFL] and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN


@pytest.mark.parametrize('way', ['_spawn', '_fork'])
def test_programs_inherit_neither_mask_nor_ignored_signals(started_so, monkeypatch, way):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if way == '_fork':
        monkeypatch.delattr(os, 'posix_spawn')
    with transaction.rollback_on_failure():
        code, out, errors = programs.run_program(['cat', '/proc/self/status'])
    assert (code, masks(out.decode()), errors) == (0, [0, 0], b'')
    assert programs.run_program(['sh', '-c', 'echo $LC_ALL; echo no >&2; exit 3']) == (3, b'C\n', b'no\n')
    assert programs.run_program(['sh', '-c', 'kill -9 $$']) == (-9, b'', b'')
    with pytest.raises(FileNotFoundError):
        programs.run_program(['no-such-program-of-oomkit'])


def test_the_helper_inherits_neither_mask_nor_ignored_signals(started_so):
    host = Host()
    with transaction.rollback_on_failure():
        helper = Helper({'host': host})
        assert masks(helper.call(own_status)) == [0, 0]
        helper.close()


# ------------------------------------------------------------------- short of memory

@pytest.fixture
def forks(monkeypatch):
    """The calls of fork(2). Each one fails."""
    calls = []

    def fork():
        calls.append('fork')
        raise OSError(12, 'Cannot allocate memory')

    monkeypatch.setattr(os, 'fork', fork)
    return calls


@pytest.mark.parametrize('available_kb, tried', [(100_000, []), (0, []), (1_000_000, ['fork'])])
def test_no_child_takes_memory_where_there_is_little(tmp_path, forks, available_kb, tried):
    machine = ServiceMachine(tmp_path)
    machine.put('/proc/meminfo', f'MemTotal: 4000000 kB\nMemAvailable: {available_kb} kB\n')
    with ProcessTable(machine) as processes:
        assert calibrate.find_used_count(machine, processes, 1_000_000) is None
    assert forks == tried


V2, V1 = '0::/user.slice/x', '3:memory:/user.slice/x\n0::/y'
V1_MOUNT = '26 1 0:24 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n'


@pytest.mark.parametrize('cgroup, limit, used', [
    (V2, 'memory.max', 'memory.current'), (V1, 'memory.limit_in_bytes', 'memory.usage_in_bytes')])
@pytest.mark.parametrize('place', ['user.slice', 'user.slice/x'])
@pytest.mark.parametrize('limit_bytes, used_bytes, tries', [
    (1 << 30, 900 << 20, False), (1 << 30, 100 << 20, True), ('max', 1 << 40, True)])
def test_no_child_grows_where_a_limit_of_our_cgroups_is_near(
        tmp_path, forks, cgroup, limit, used, place, limit_bytes, used_bytes, tries):
    """Such as MemoryMax= of user.slice: the kernel would kill something of this login."""
    machine = ServiceMachine(tmp_path)
    machine.put('/proc/meminfo', 'MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n')
    machine.process(os.getpid())
    machine.put(f'/proc/{os.getpid()}/cgroup', cgroup + '\n')
    tree = '/sys/fs/cgroup'
    if cgroup == V1:
        machine.put('/proc/self/mountinfo', V1_MOUNT)
        tree += '/memory'
    for folder in ('user.slice', 'user.slice/x'):
        machine.put(f'{tree}/{folder}/cgroup.procs', '')
    machine.put(f'{tree}/{place}/{limit}', f'{limit_bytes}\n')
    machine.put(f'{tree}/{place}/{used}', f'{used_bytes}\n')
    with ProcessTable(machine) as processes:
        assert calibrate.find_used_count(machine, processes, 1_000_000) is None
    assert forks == (['fork'] if tries else [])


@pytest.mark.parametrize('mode, tried', [(0, ['fork']), (1, ['fork']), (2, [])])
def test_no_child_grows_where_the_commit_limit_is_near(tmp_path, forks, mode, tried):
    machine = ServiceMachine(tmp_path)
    machine.put('/proc/meminfo', 'MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\nCommitLimit: 2000000 kB\n'
                                 'Committed_AS: 1900000 kB\n')
    machine.put('/proc/sys/vm/overcommit_memory', f'{mode}\n')
    with ProcessTable(machine) as processes:
        assert calibrate.find_used_count(machine, processes, 1_000_000) is None
    assert forks == tried


@pytest.mark.skipif(not hasattr(os, 'posix_spawn'), reason='Python 3.6 and 3.7 can only fork')
def test_systemctl_is_started_without_a_copy_of_this_process(forks):
    assert programs.run_program(['true']) == (0, b'', b'') and forks == []
