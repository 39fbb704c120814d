# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that wait for their confirmation, with a real watchdog process on a machine on disk."""

import contextlib
import errno
import json
import os
import re
import select
import signal
import time
from pathlib import Path
from unittest import mock

import pytest
from machine import OURS, FakeProcFile, Machine, run
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host import host as host_host
from ansible_collections.oomkit.linux.plugins.module_utils._host import programs
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import sysctl_path
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import sysctls
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import (
    ADMIN_RESERVE,
    KBYTES,
    MEMORY,
    RATIO,
    USER_RESERVE,
)
from ansible_collections.oomkit.linux.plugins.module_utils._policy import apply, confirm, pending_change, watchdog
from ansible_collections.oomkit.linux.plugins.module_utils._policy.apply import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._policy.waiting import WATCHDOG
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import saved_values

# What others have set on the machine: an unconfirmed tightening is rolled back to it.
FIRST = {MEMORY: 1, RATIO: 70, KBYTES: 0, ADMIN_RESERVE: 6000}
REQUEST = {'mode': 'never', 'ratio': 80, 'confirm_within': 60}
LOG = '/dev/kmsg'


class ProcFile(FakeProcFile):
    """Seen by several processes: what counts is what lies on the disk."""

    def read(self):
        return (self.machine.get(sysctl_path(self.key)) or '').encode()

    def write(self, data):
        self.machine.reload()
        super().write(data)


class Live(Machine):
    """A machine whose processes are the real ones, and whose logins are what the test says."""

    login = 5_000_000  # above every PID that a real process can have (4194304)

    def open_proc(self, path):
        super().open_proc(path)
        return ProcFile(self, path)

    def reload(self):
        for key in self.state:
            if self.state[key] is not None:
                self.state[key] = sysctls.parse_value(self.get(sysctl_path(key)))

    def read_bytes(self, path):
        match = re.fullmatch(r'/proc/(self|[0-9]+)/stat', path)
        if match is None or match.group(1) != 'self' and int(match.group(1)) >= Live.login:
            return super().read_bytes(path)
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            return None
        return re.sub(rb'\) (.) [0-9]+', rb') \1 %d' % self.login, data) if match.group(1) == 'self' else data

    def connect(self):
        """Log in again."""
        self.login += 1
        self.put('/proc/%d/stat' % self.login, '%d (sshd-session) S 1 %s9 0\n' % (self.login, '0 ' * 17))

    def waiting(self):
        return pending_change.find_all(self)

    def ended(self, pending, within_s=20):
        """Wait for the end of the watchdog."""
        last = time.monotonic() + within_s
        while pending_change.is_watched(self, pending):
            assert time.monotonic() < last, 'the watchdog lives on'
            time.sleep(0.02)
        self.reload()


@pytest.fixture
def machine(tmp_path):
    one = Live(tmp_path)
    one.connect()
    one.put('/proc/sys/kernel/random/boot_id', 'b1\n')
    one.put(LOG, '')
    one.put('/sys/fs/cgroup/cgroup.procs', '')
    one.put('/proc/self/oom_score_adj', '0\n')
    yield one
    for pending in one.waiting():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pending.pid, signal.SIGKILL)


def go(machine, **params):
    return run(machine, 'overcommit', **params)


def wait(machine, **params):
    """Make a change that waits: (result, pending)."""
    result = go(machine, **dict(REQUEST, **params))
    assert result['changed'] and result['confirmation']['state'] == 'pending'
    (pending,) = machine.waiting()
    assert pending_change.is_watched(machine, pending)
    return result, pending


def originals(machine):
    """What is recorded of the values from before the first change."""
    return {key: value.original for key, value in saved_values.load(machine).values.items()}


def nothing_is_left(machine):
    assert not (machine.base / 'run/oomkit').exists()


# ------------------------------------------------------------------------ the options


@pytest.mark.parametrize('value', [True, -1, 3601, 1.5, '1m', None])
def test_bad_times_are_refused(machine, value):
    before = machine.tree()
    with pytest.raises(ConvertError, match='confirm_within'):
        go(machine, mode='never', confirm_within=value)
    assert machine.tree() == before


@pytest.mark.parametrize(
    'params, reason',
    [
        (dict(REQUEST, confirm_within=0), 'confirm_within is 0'),
        (dict(REQUEST, confirm_within='0'), 'confirm_within is 0'),
        (dict(REQUEST, runtime=False), 'nothing changes at runtime'),
        (dict(mode='always', confirm_within=60), 'nothing changes at runtime'),
        (dict(mode='heuristic', confirm_within=60, confirm_changes='tightening'), 'the change does not tighten'),
        (dict(ratio=10, confirm_within=60, confirm_changes='tightening'), 'the change does not tighten'),
    ],
)
def test_nothing_to_confirm(machine, params, reason):
    result = go(machine, **params)
    assert result['confirmation'] == {
        'state': 'not_needed', 'within_s': int(params['confirm_within']), 'until': None, 'reason': reason}
    assert result['changed'] and machine.get(OURS) is not None
    nothing_is_left(machine)


STRICT = {MEMORY: 2, RATIO: 80, KBYTES: 0, ADMIN_RESERVE: 8192, USER_RESERVE: 29898}


@pytest.mark.parametrize(
    'before, desired, tightens',
    [
        ({}, dict(mode='never', ratio=500), True),
        ({}, dict(mode='heuristic'), False),
        ({}, dict(ratio=1), False),
        (STRICT, dict(ratio=79), True),
        (STRICT, dict(ratio=81), False),
        (STRICT, dict(mode='heuristic', ratio=1), False),
        (STRICT, dict(kbytes=3 * 1024**2), True),
        (STRICT, dict(admin_reserve_kbytes=8193), True),
        (STRICT, dict(admin_reserve_kbytes=8191), False),
        (STRICT, dict(user_reserve_kbytes=29899), True),
        # As much for others as before, by taking it from root.
        (STRICT, dict(kbytes=4 * 1024**2 * 80 // 100 - 4, admin_reserve_kbytes=4096), True),
    ],
)
def test_what_tightens(machine, before, desired, tightens):
    machine.state.update(before)
    machine.show()
    result = go(machine, check=True, confirm_within=60, confirm_changes='tightening', **desired)
    assert result['confirmation']['state'] == ('pending' if tightens else 'not_needed')
    assert go(machine, check=True, confirm_within=60, **desired)['confirmation']['state'] == 'pending'


def test_panic_on_oom_has_no_such_result(machine):
    assert 'confirmation' not in run(machine, 'panic_on_oom', policy='kill')


# ------------------------------------------------------------------ waits, confirmed


def test_only_runtime_is_written_until_it_is_confirmed(machine):
    before = machine.tree()
    planned = go(machine, check=True, **REQUEST)
    assert machine.tree() == before and machine.log == []
    assert planned['confirmation'] == {
        'state': 'pending', 'within_s': 60, 'until': None, 'reason': 'check mode: nothing was started'}
    done, pending = wait(machine)
    for name in ('changed', 'changed_keys', 'before', 'after', 'diff', 'warnings'):
        assert planned[name] == done[name]
    assert re.fullmatch(r'20..-..-..T..:..:..Z', done['confirmation']['until'])
    assert machine.state[MEMORY] == 2 and machine.get(OURS) is None
    assert (machine.base / 'run/oomkit').stat().st_mode & 0o777 == 0o700

    machine.connect()
    now = go(machine, **REQUEST)
    assert now['changed'] and now['confirmation'] == {
        'state': 'confirmed', 'within_s': 60, 'until': None, 'reason': None}
    assert now['diff'][-1]['after_header'] == OURS and 'vm.overcommit_memory = 2' in machine.get(OURS)
    machine.ended(pending)
    assert machine.state[MEMORY] == 2 and machine.state[RATIO] == 80 and machine.get(LOG) == ''
    nothing_is_left(machine)
    again = go(machine, **REQUEST)
    assert not again['changed'] and again['confirmation']['state'] == 'not_needed'


def test_the_connection_that_made_the_change_confirms_nothing(machine):
    wait(machine)
    tree = machine.tree()
    for check in (True, False):
        result = go(machine, check=check, **REQUEST)
        assert not result['changed'] and result['diff'] == [] and result['changed_keys'] == []
        assert result['confirmation']['state'] == 'pending' and 'connection' in result['confirmation']['reason']
        assert result['after'] == result['before'] and machine.tree() == tree


def test_async_task_neither_makes_nor_confirms_a_change(machine):
    """Two of them over one connection would confirm each other. Where nothing has to be confirmed they may run."""
    login = machine.login
    machine.put('/proc/5000999/stat', '5000999 (python3) S 1 %s9 0\n' % ('0 ' * 17))
    machine.put('/proc/5000999/cmdline', '/usr/bin/python3\0/root/async_wrapper.py\0j1\0')
    machine.login, before = 5_000_999, machine.tree()
    with pytest.raises(Refusal, match='async'):
        go(machine, **REQUEST)
    assert machine.tree() == before and machine.log == []
    machine.login = login
    _result, pending = wait(machine)
    machine.login = 5_000_999
    with pytest.raises(Refusal, match='async'):
        go(machine, **REQUEST)
    assert machine.waiting() == [pending] and machine.get(OURS) is None
    assert go(machine, state='absent')['confirmation']['state'] == 'not_needed'
    machine.reload()
    assert go(machine, mode='heuristic')['changed']


def test_check_mode_confirms_nothing(machine):
    wait(machine)
    machine.connect()
    tree = machine.tree()
    result = go(machine, check=True, **REQUEST)
    assert result['changed'] and result['confirmation']['state'] == 'pending' and machine.tree() == tree


def test_the_time_is_no_part_of_the_request(machine):
    wait(machine)
    machine.connect()
    desired = {**REQUEST, 'confirm_within': 0}
    assert go(machine, **desired)['confirmation']['state'] == 'confirmed'


@pytest.mark.parametrize('persistent', [True, False])
def test_what_to_go_back_to_is_what_was_before_the_change(machine, persistent):
    wait(machine, admin_reserve_kbytes=9000, persistent=persistent)
    assert machine.get(saved_values.FILE) is None
    machine.connect()
    go(machine, **dict(REQUEST, admin_reserve_kbytes=9000, persistent=persistent))
    assert originals(machine) == FIRST
    assert (machine.get(OURS) is not None) is persistent
    go(machine, state='absent')
    assert machine.state[ADMIN_RESERVE] == 6000 and machine.get(saved_values.FILE) is None


# ------------------------------------------------------------------------- rolled back


def test_unconfirmed_is_rolled_back_and_logged(machine):
    before = machine.tree()
    _result, pending = wait(machine, kbytes=3 * 1024**2, ratio=None, confirm_within=2)
    assert machine.get('/sys/fs/cgroup/cgroup.procs') == '%d\n' % pending.pid
    assert machine.get('/proc/self/oom_score_adj').startswith('-1000')
    machine.ended(pending)
    assert (machine.state[MEMORY], machine.state[RATIO], machine.state[KBYTES]) == (1, 70, 0)
    assert machine.get(LOG) == (
        '<12>oomkit.linux.overcommit: not confirmed within 2 s; rolled back at runtime: '
        'vm.overcommit_memory = 1, vm.overcommit_ratio = 70 [OOMK-2211]\n')
    machine.put(LOG, '')
    machine.put('/sys/fs/cgroup/cgroup.procs', '')
    assert machine.tree() == before
    nothing_is_left(machine)


def test_sigterm_rolls_back_at_once(machine):
    _result, pending = wait(machine)
    os.kill(pending.pid, signal.SIGHUP)
    os.kill(pending.pid, signal.SIGINT)
    time.sleep(0.1)
    assert pending_change.is_watched(machine, pending)
    os.kill(pending.pid, signal.SIGTERM)
    machine.ended(pending)
    assert machine.state[MEMORY] == 1 and 'SIGTERM' in machine.get(LOG)


@pytest.mark.thorough
def test_what_somebody_else_sets_meanwhile_stays_his(machine):
    _result, pending = wait(machine, confirm_within=3)
    machine.kernel_write(RATIO, '66')
    machine.connect()
    with pytest.raises(Refusal, match='Not confirmed.*vm.overcommit_ratio = 66 now, and vm.overcommit_ratio = 80'):
        go(machine, **REQUEST)
    machine.ended(pending)
    assert (machine.state[MEMORY], machine.state[RATIO]) == (1, 66) and machine.get(OURS) is None
    assert 'left as somebody else has set it: vm.overcommit_ratio' in machine.get(LOG)


@pytest.mark.thorough
def test_a_confirmation_that_fails_leaves_it_waiting(machine):
    _result, pending = wait(machine, confirm_within=3)
    machine.connect()
    machine.put('/etc/sysctl.d/99-zz.conf', 'vm.overcommit_memory = 1\n')
    with pytest.raises(Refusal, match='99-zz.conf'):
        go(machine, **REQUEST)
    assert machine.get(OURS) is None
    machine.ended(pending)
    assert machine.state[MEMORY] == 1


def test_too_late_reverts_the_files(machine):
    """The watchdog wins between plan and last step: exactly one of both may."""
    _result, pending = wait(machine)
    machine.connect()
    simulated = machine.replace_file

    def slow(path, *args, **kwargs):
        simulated(path, *args, **kwargs)
        if pending_change.is_watched(machine, pending):
            os.kill(pending.pid, signal.SIGTERM)
            machine.ended(pending)

    machine.replace_file = slow
    with pytest.raises(ApplyError, match='came too late.*Everything was rolled back'):
        go(machine, **REQUEST)
    assert machine.get(OURS) is None and machine.state[MEMORY] == 1
    nothing_is_left(machine)


def test_one_of_many_wins(machine):
    _result, pending = wait(machine)
    os.kill(pending.pid, signal.SIGSTOP)
    children = []
    for _number in range(20):
        pid = os.fork()
        if pid == 0:
            os._exit(7 if pending_change.claim(machine, pending.name) else 0)
        children.append(pid)
    assert sum(os.WEXITSTATUS(os.waitpid(pid, 0)[1]) for pid in children) == 7
    os.kill(pending.pid, signal.SIGCONT)
    machine.ended(pending)
    assert machine.state[MEMORY] == 2 and machine.get(LOG) == ''


# ------------------------------------------------------------------------ other calls


def test_another_request_is_refused_while_one_waits(machine):
    wait(machine)
    tree = machine.tree()
    machine.connect()
    others = [dict(mode='heuristic'), dict(REQUEST, ratio=81), dict(REQUEST, force=True),
              dict(state='absent', runtime=False),
              dict(REQUEST, min_headroom='1%')]
    for other in others:
        with pytest.raises(Refusal, match='another change waits.*until 20.*vm.overcommit_memory = 2, vm.overcommit_ra'):
            go(machine, **other)
    assert machine.tree() == tree and machine.state[MEMORY] == 2


@pytest.mark.parametrize('again', [True, False])
def test_absent_reverts_what_waits(machine, again):
    _result, pending = wait(machine, admin_reserve_kbytes=9000)
    if again:
        machine.connect()
    planned = go(machine, check=True, state='absent')
    assert pending_change.is_watched(machine, pending)
    done = go(machine, state='absent')
    assert planned == done and done['changed'] and done['confirmation']['state'] == 'not_needed'
    assert (machine.state[MEMORY], machine.state[RATIO], machine.state[ADMIN_RESERVE]) == (1, 70, 6000)
    machine.ended(pending)
    assert machine.get(LOG) == '' and machine.get(saved_values.FILE) is None
    nothing_is_left(machine)
    assert not go(machine, state='absent')['changed']


def test_absent_can_be_confirmed_too(machine):
    go(machine, mode='heuristic')
    result, _pending = wait(machine, mode=None, ratio=None, state='absent')
    assert machine.state[MEMORY] == 1 and machine.get(OURS) is not None
    machine.connect()
    assert go(machine, state='absent', confirm_within=60)['confirmation']['state'] == 'confirmed'
    assert machine.get(OURS) is None and result['after']['boot'][MEMORY] == 0


def test_a_killed_watchdog_is_reported_and_the_run_goes_on(machine):
    _result, pending = wait(machine, admin_reserve_kbytes=9000)
    os.kill(pending.pid, signal.SIGKILL)
    machine.ended(pending)
    for check in (True, False):
        result = go(machine, check=check, **dict(REQUEST, admin_reserve_kbytes=9000))
        assert 'its watchdog is gone' in result['warnings'][0]
        assert result['confirmation']['state'] == 'not_needed'
    assert originals(machine) == FIRST
    nothing_is_left(machine)


def test_what_waited_in_another_boot_counts_for_nothing(machine):
    _result, pending = wait(machine)
    os.kill(pending.pid, signal.SIGKILL)
    machine.ended(pending)
    machine.put('/proc/sys/kernel/random/boot_id', 'b2\n')
    assert go(machine, check=True, **REQUEST)['warnings'] == []


@pytest.mark.parametrize('text', ['', '{', '[]', '{"connection": 5}', '\x00'])
def test_a_damaged_state_file_counts_for_nothing(machine, text):
    machine.put('/run/oomkit/overcommit-x', text)
    assert go(machine, check=True, **REQUEST)['confirmation']['state'] == 'pending'


NO_WATCHDOG = '5040077 (bash) S 1 ' + '0 ' * 17 + '9 0 0\n'


@pytest.mark.parametrize('text', ['', '{', '[]', None])
@pytest.mark.parametrize('name', ['overcommit-x', 'restoring-overcommit-x'])
@pytest.mark.parametrize('params', [dict(mode='heuristic'), dict(state='absent'), REQUEST])
def test_file_of_another_boot_or_damaged_is_removed(machine, text, name, params):
    """Where /run outlives a boot nobody else would ever do it."""
    pending = pending_change.Pending(
        name, 'b0', 5_040_077, 9, 3.0, 9, 'x', pending_change.Connection(None, None), {MEMORY: 0}, {MEMORY: 2}, {})
    machine.put('/run/oomkit/' + name, pending_change.dump(pending) if text is None else text)
    machine.put('/proc/5040077/stat', NO_WATCHDOG)
    go(machine, check=True, **params)
    assert machine.get('/run/oomkit/' + name) is not None
    go(machine, **params)
    assert machine.get('/run/oomkit/' + name) is None


@pytest.mark.parametrize('text', ['{', '{"of": "a later version"}', '{"boot": "b0"}'])
def test_the_file_of_a_living_watchdog_is_not_cleared_away(machine, monkeypatch, text):
    """It would take that for the confirmation."""
    _result, pending = wait(machine)
    path = '/run/oomkit/' + pending.name
    machine.put(path, text)  # into the same file, which the watchdog holds
    go(machine, mode='heuristic')
    assert machine.get(path) == text
    kill_watchdog(machine, pending)
    fails(monkeypatch, 'flock', lambda *_args: True, errno.ENOMEM, owner=pending_change.fcntl)
    go(machine, mode='heuristic')
    assert machine.get(path) == text  # whether it is in use is unknown
    monkeypatch.undo()
    go(machine, mode='heuristic')
    assert machine.get(path) is None


def test_process_named_like_watchdog_blocks_no_cleanup(machine):
    machine.put('/run/oomkit/overcommit-x', '{')
    machine.put('/proc/5040077/stat', NO_WATCHDOG.replace('bash', WATCHDOG))
    go(machine, mode='heuristic')
    assert machine.get('/run/oomkit/overcommit-x') is None


def test_without_a_boot_id_nothing_is_removed(machine):
    _result, pending = wait(machine)
    machine.put('/proc/sys/kernel/random/boot_id', '')
    assert pending_change.left_over(machine) == []
    kill_watchdog(machine, pending)


# --------------------------------------------------------------------------- failures


def test_a_refused_value_ends_the_watchdog_too(machine):
    machine.refuses[MEMORY] = errno.EINVAL
    before = machine.tree()
    with pytest.raises(ApplyError, match='Everything was rolled back'):
        go(machine, **REQUEST)
    machine.reload()
    assert machine.state[RATIO] == 70 and machine.get(LOG) == ''
    machine.put('/sys/fs/cgroup/cgroup.procs', '')
    assert machine.tree() == before
    nothing_is_left(machine)


def test_without_a_watchdog_nothing_is_changed(machine):
    machine.put('/run/oomkit', 'in the way')
    before = machine.tree()
    with pytest.raises(Refusal, match='watchdog.*could not be started.*Nothing was changed'):
        go(machine, **REQUEST)
    machine.put('/sys/fs/cgroup/cgroup.procs', '')
    assert machine.tree() == before and machine.log == []


def test_two_calls_at_once_stop_each_other(machine):
    """The second one starts before the first has written what it waits for."""
    first = confirm._new

    def both(plan, asked):
        confirm._new = first
        wait(machine)
        return first(plan, asked)

    confirm._new = both
    try:
        with pytest.raises(Refusal, match='at the same time'):
            go(machine, mode='heuristic', confirm_within=60)
    finally:
        confirm._new = first
    machine.reload()
    assert machine.state[MEMORY] == 2 and len(machine.waiting()) == 1


# ------------------------------------------------------- single calls that fail, and kills


def error(number=errno.EIO):
    return OSError(number, os.strerror(number))


def fails(monkeypatch, name, when, number=errno.EIO, times=1, owner=os):
    """Let the next calls for which this is true fail; the list says how many did."""
    real, done = getattr(owner, name), []

    def call(*args, **kwargs):
        if len(done) < times and when(*args):
            done.append(args)
            raise error(number)
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return done


def kill_watchdog(machine, pending):
    os.kill(pending.pid, signal.SIGKILL)
    machine.ended(pending)


def blocked(pid):
    """The signals that a process blocks, by their numbers. The C library keeps 32 and 33 to itself."""
    (mask,) = re.findall(r'^SigBlk:\s+([0-9a-f]+)$', Path(f'/proc/{pid}/status').read_text(), re.MULTILINE)
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1} - {32, 33}


@pytest.fixture
def started_so():
    """This process as somebody may start Ansible, with signals blocked that we use and that we do not."""
    ours = {signal.SIGTERM, signal.SIGUSR1, signal.SIGCONT, signal.SIGSEGV, signal.SIGRTMIN + 3}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ours)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGUSR2)}
    yield set(before) | ours
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize('error', [None, OSError(errno.ENOMEM, 'x')])
def test_the_mask_of_a_run_is_restored_and_no_child_inherits_it(machine, monkeypatch, started_so, error):
    """The watchdog blocks what it waits for, whatever was blocked before."""
    before = machine.state[MEMORY]
    if error:
        monkeypatch.setattr(watchdog, '_hear', mock.Mock(side_effect=error))
        with pytest.raises(Refusal, match='watchdog'):
            go(machine, **REQUEST)
    else:
        _result, pending = wait(machine)
        # While it waits for one, the kernel shows that as not blocked (sigtimedwait(2)).
        waited_for = {int(signal.SIGTERM), int(signal.SIGALRM)}
        assert blocked(pending.pid) | waited_for == set(map(int, watchdog._IGNORED))
    assert blocked('self') == set(map(int, started_so))
    _code, out, _errors = programs.run_program(['grep', '-E', '^Sig(Blk|Ign):', '/proc/self/status'])
    assert [int(line.split()[1], 16) & 0x7fffffff for line in out.decode().splitlines()] == [0, 0]
    if not error:
        os.kill(pending.pid, signal.SIGTERM)
        machine.ended(pending)
        assert machine.state[MEMORY] == before and blocked('self') == set(map(int, started_so))


@pytest.mark.parametrize('name, when, number', [
    ('kill', lambda _pid, number: number == signal.SIGTERM, errno.ESRCH),
    ('rmdir', lambda path: path.endswith('run/oomkit'), errno.EIO),
])
def test_once_it_is_confirmed_nothing_undoes_it(machine, monkeypatch, name, when, number):
    """Its file is gone then, so nothing would roll back runtime."""
    _result, pending = wait(machine)
    machine.connect()
    done = fails(monkeypatch, name, when, number)
    assert go(machine, **REQUEST)['confirmation']['state'] == 'confirmed' and done
    machine.ended(pending)
    assert machine.state[MEMORY] == 2 and machine.get(OURS) and machine.get(LOG) == ''


@pytest.mark.thorough
@pytest.mark.parametrize('name, when', [
    ('unlink', os.path.exists),
    ('rename', lambda _path, new: 'restoring-' in new),
    ('rmdir', lambda path: path.endswith('run/oomkit')),
    ('fstat', lambda _fd: True),
    ('pread', lambda *_args: True),
    ('write', lambda _fd, data: b'oomkit.linux' in data),
])
def test_the_watchdog_rolls_back_whatever_fails(machine, monkeypatch, name, when):
    me = os.getpid()
    begun = time.monotonic() + 1.5  # when it is ready and only waits
    fails(monkeypatch, name, lambda *args: os.getpid() != me and time.monotonic() > begun and when(*args),
          errno.ENOMEM, times=3)
    _result, pending = wait(machine, confirm_within=2)
    machine.ended(pending)
    assert (machine.state[MEMORY], machine.state[RATIO]) == (1, 70) and machine.waiting() == []
    assert ('not confirmed' in machine.get(LOG)) is (name != 'write')


@pytest.mark.thorough
def test_a_folder_that_stays_does_not_stop_the_watchdog(machine, monkeypatch):
    me = os.getpid()
    fails(monkeypatch, 'rmdir', lambda _path: os.getpid() != me, errno.ENOMEM, times=1000)
    _result, pending = wait(machine, confirm_within=1)
    machine.ended(pending)
    assert machine.state[MEMORY] == 1 and machine.waiting() == [] and 'not confirmed' in machine.get(LOG)


def test_file_that_is_being_renamed_is_watched(machine, monkeypatch):
    _result, pending = wait(machine)
    fails(monkeypatch, 'open', lambda path, *_rest: str(path).endswith(pending.name), errno.ENOENT)
    assert pending_change.is_watched(machine, pending)


def killed_while_writing(machine, written=(), **params):
    """A run that was killed when it had a watchdog and had written this much: what waits now."""
    def some(_plan, _pending):
        for key, value in written:
            machine.kernel_write(key, str(value))
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        try:
            confirm._apply_runtime = some
            go(machine, **dict(REQUEST, **params))
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    machine.reload()
    (pending,) = machine.waiting()
    assert pending_change.is_watched(machine, pending)
    return pending


@pytest.mark.parametrize('written', [(), [(RATIO, 80)], [(RATIO, 80), (ADMIN_RESERVE, 9000)]])
@pytest.mark.parametrize('again', [True, False])
@pytest.mark.parametrize('within_s', [60, 0])
def test_a_change_that_was_killed_half_way_is_made_again(machine, written, again, within_s):
    desired = dict(REQUEST, admin_reserve_kbytes=9000)
    first = killed_while_writing(machine, written, admin_reserve_kbytes=9000)
    if again:
        machine.connect()
    tree = machine.tree()
    desired['confirm_within'] = within_s
    assert go(machine, check=True, **desired)['confirmation']['state'] == ('pending' if within_s else 'not_needed')
    assert machine.tree() == tree and pending_change.is_watched(machine, first)
    result = go(machine, **desired)
    assert not pending_change.is_watched(machine, first)
    assert (machine.state[MEMORY], machine.state[RATIO], machine.state[ADMIN_RESERVE]) == (2, 80, 9000)
    if within_s:
        assert result['confirmation']['state'] == 'pending' and machine.get(OURS) is None
        (second,) = machine.waiting()
        assert second.name != first.name and second.before[RATIO] == 70
        machine.connect()
        assert go(machine, **desired)['confirmation']['state'] == 'confirmed'
    assert machine.get(OURS) and originals(machine) == FIRST
    assert not go(machine, **desired)['changed']


def test_wait_for_a_stuck_watchdog_is_limited(machine, monkeypatch):
    pending = killed_while_writing(machine)
    os.kill(pending.pid, signal.SIGSTOP)
    monkeypatch.setattr(confirm, '_END_S', 0.2)
    with pytest.raises(Refusal, match=r'watchdog \(PID %d\) has not rolled runtime back.*Nothing was' % pending.pid):
        go(machine, **REQUEST)


@pytest.mark.parametrize('owner, name, when, reported', [
    (os, 'read', lambda _fd, size: size == 4096, 'the pipe of the watchdog: '),
    (select, 'select', lambda *_args: True, 'the pipe of the watchdog: '),
    (os, 'waitpid', lambda *_args: True, 'waitpid: '),
    (os, 'pipe', lambda: True, 'pipe: '),
    (os, 'fork', lambda: True, 'fork: '),
    (json, 'loads', lambda text: 'warnings' in text, 'the pipe of the watchdog: '),
])
def test_a_start_that_fails_leaves_no_watchdog(machine, monkeypatch, owner, name, when, reported):
    me = os.getpid()
    done = fails(monkeypatch, name, lambda *args: os.getpid() == me and when(*args), owner=owner)
    with pytest.raises(Refusal, match='could not be started .%sInput/output error' % reported):
        go(machine, **REQUEST)
    assert done and machine.state[MEMORY] == 1
    for _time in range(20):
        nothing_is_left(machine)
        time.sleep(0.02)
    assert go(machine, mode='never', ratio=90)['confirmation']['state'] == 'not_needed'


@pytest.mark.thorough
def test_one_that_is_ready_too_late_is_none(machine, monkeypatch):
    monkeypatch.setattr(watchdog, '_hear', lambda _reader: time.sleep(1) or {'error': 'it was not ready within 30 s'})
    with pytest.raises(Refusal, match='it was not ready within 30 s'):
        go(machine, **REQUEST)
    nothing_is_left(machine)


def test_children_that_nobody_waits_for(machine):
    """An ignored SIGCHLD is inherited."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert go(machine, mode='heuristic', confirm_within=60)['confirmation']['state'] == 'pending'
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_record_of_killed_watchdog_survives_failed_run(machine, monkeypatch):
    _result, pending = wait(machine, admin_reserve_kbytes=9000)
    kill_watchdog(machine, pending)
    fails(monkeypatch, 'rename', lambda _path, new: new.endswith(OURS), errno.ENOSPC)
    with pytest.raises(ApplyError, match='No space.*Everything was rolled back'):
        go(machine, **{**REQUEST, 'confirm_within': 0, 'admin_reserve_kbytes': 9000})
    result = go(machine, **{**REQUEST, 'confirm_within': 0, 'admin_reserve_kbytes': 9500})
    assert 'its watchdog is gone' in result['warnings'][0]
    assert originals(machine) == FIRST
    nothing_is_left(machine)


@pytest.mark.parametrize('confirmed', [True, False])
def test_record_of_killed_watchdog_survives_pending_change(machine, confirmed):
    _result, stale = wait(machine, admin_reserve_kbytes=9000)
    kill_watchdog(machine, stale)
    desired = {**REQUEST, 'ratio': 90, 'admin_reserve_kbytes': 10000}
    assert go(machine, **desired)['confirmation']['state'] == 'pending'
    machine.connect()
    if not confirmed:
        (pending,) = [one for one in machine.waiting() if one.name != stale.name]
        os.kill(pending.pid, signal.SIGTERM)
        machine.ended(pending)
        assert machine.state[ADMIN_RESERVE] == 9000
        desired['confirm_within'] = 0
    assert go(machine, **desired)['confirmation']['state'] == ('confirmed' if confirmed else 'not_needed')
    assert originals(machine) == FIRST and machine.waiting() == []


def test_two_killed_watchdogs(machine):
    for value in (9000, 10000):
        go(machine, **dict(REQUEST, admin_reserve_kbytes=value))
        for pending in machine.waiting():
            with contextlib.suppress(ProcessLookupError):
                kill_watchdog(machine, pending)
    go(machine, state='absent')
    assert machine.state[ADMIN_RESERVE] == 6000 and machine.waiting() == []


def test_for_root_what_cannot_be_looked_at_is_not_nothing(machine, monkeypatch):
    wait(machine)
    machine.connect()
    fails(monkeypatch, '_content', lambda path: '/overcommit-' in path, errno.EPERM, owner=host_host)
    with pytest.raises(PermissionError):
        go(machine, **REQUEST)
    assert machine.get(OURS) is None
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    fails(monkeypatch, '_content', lambda path: '/overcommit-' in path, errno.EACCES, owner=host_host)
    assert pending_change.find_all(machine) == []


def test_a_watchdog_that_cannot_be_looked_at_is_not_gone(machine, monkeypatch):
    _result, pending = wait(machine)
    fails(monkeypatch, 'read_bytes', lambda path: path == '/proc/%d/stat' % pending.pid, errno.ENOMEM, owner=machine)
    with pytest.raises(OSError, match='memory'):
        go(machine, **REQUEST)
    assert machine.get(OURS) is None and pending_change.is_watched(machine, pending)


def test_reverted_wholly_or_not_at_all(machine, monkeypatch):
    _result, pending = wait(machine)
    fails(monkeypatch, 'unlink', lambda path: '/overcommit-' in path)
    with pytest.raises(ApplyError, match='Everything was rolled back'):
        go(machine, state='absent')
    assert machine.state[MEMORY] == 2 and pending_change.is_watched(machine, pending)
    assert machine.waiting() == [pending]
    go(machine, state='absent')
    assert machine.state[MEMORY] == 1
    nothing_is_left(machine)


def faster_watchdog(machine, patch):
    """It read a value before, and writes it after the run that reverts the change did."""
    go(machine, admin_reserve_kbytes=9000)
    files = machine.get(OURS), machine.get(saved_values.FILE)
    _result, pending = wait(machine, admin_reserve_kbytes=10000)
    real = confirm._end

    def late(host, which):
        os.kill(pending.pid, signal.SIGTERM)
        machine.ended(pending)
        machine.kernel_write(ADMIN_RESERVE, '9000')
        return real(host, which)

    patch.setattr(confirm, '_end', late)
    return files


def all_is_reverted(machine):
    assert machine.state[ADMIN_RESERVE] == 6000 and machine.state[MEMORY] == 1
    assert machine.get(saved_values.FILE) is None and machine.get(OURS) is None
    assert not go(machine, state='absent')['changed']


def test_reverted_although_the_watchdog_was_faster(machine, monkeypatch):
    faster_watchdog(machine, monkeypatch)
    go(machine, state='absent')
    all_is_reverted(machine)


@pytest.mark.parametrize('error', [OSError(errno.EIO, 'Input/output error'), Refusal('Refused.')])
def test_rollback_by_a_faster_watchdog_stays_whole(machine, monkeypatch, error):
    def failing(*_args):
        raise error

    with monkeypatch.context() as patch:
        files = faster_watchdog(machine, patch)
        late = confirm._end

        def then_fail(*args):
            won = late(*args)
            owner, name = (confirm, 'look_and_plan') if isinstance(error, Refusal) else (apply, '_write_one')
            patch.setattr(owner, name, failing)
            return won

        patch.setattr(confirm, '_end', then_fail)
        with pytest.raises(ApplyError, match='(Input|Refused).*Everything was rolled back'):
            go(machine, state='absent')
    assert (machine.state[MEMORY], machine.state[RATIO], machine.state[ADMIN_RESERVE]) == (1, 70, 9000)
    assert (machine.get(OURS), machine.get(saved_values.FILE)) == files and machine.waiting() == []
    assert go(machine, state='absent')['changed']
    all_is_reverted(machine)


def killed_when(machine, act, patched):
    """A run that is killed where ``patched`` changes it to."""
    pid = os.fork()
    if pid == 0:
        try:
            patched()
            act()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    machine.reload()


def test_next_run_completes_after_a_faster_watchdog(machine, monkeypatch):
    with monkeypatch.context() as patch:
        faster_watchdog(machine, patch)
        killed_when(machine, lambda: go(machine, state='absent'), lambda: setattr(
            confirm, '_as_rolled_back', lambda *_args: os.kill(os.getpid(), signal.SIGKILL)))
    assert machine.state[ADMIN_RESERVE] == 9000
    go(machine, state='absent')
    all_is_reverted(machine)


def test_next_run_completes_a_killed_confirm_of_absent(machine):
    go(machine, admin_reserve_kbytes=9000)
    _result, pending = wait(machine, mode=None, ratio=None, state='absent')
    machine.connect()
    killed_when(machine, lambda: go(machine, state='absent'), lambda: setattr(
        confirm, '_end', lambda *_args: os.kill(os.getpid(), signal.SIGKILL)))
    os.kill(pending.pid, signal.SIGTERM)
    machine.ended(pending)
    assert machine.state[ADMIN_RESERVE] == 9000
    go(machine, state='absent')
    all_is_reverted(machine)


def test_a_record_that_stays_undoes_nothing_that_is_decided(machine, monkeypatch):
    go(machine, admin_reserve_kbytes=9000)
    wait(machine, admin_reserve_kbytes=10000)
    fails(monkeypatch, 'unlink', lambda path: path.endswith(saved_values.FILE))
    go(machine, state='absent')
    assert machine.get(saved_values.FILE) is not None
    assert not go(machine, state='absent')['changed']
    all_is_reverted(machine)


@pytest.mark.parametrize('waits, desired', [
    (False, dict(REQUEST, confirm_within=0)), (False, REQUEST), (True, REQUEST), (True, {'state': 'absent'})])
def test_no_memory_for_the_result_comes_before_anything_is_done(machine, monkeypatch, waits, desired):
    """Otherwise the run would say that nothing was changed."""
    def none(*_args):
        raise MemoryError

    if waits:
        wait(machine)
        machine.connect()
    before, state = machine.tree(), dict(machine.state)
    monkeypatch.setattr(confirm, 'build_result', none)
    with pytest.raises(MemoryError):
        go(machine, **desired)
    machine.reload()
    assert machine.tree() == before and machine.state == state and len(machine.waiting()) == int(waits)


def test_out_of_memory_in_watchdog_report_precedes_change(machine, monkeypatch):
    _result, pending = wait(machine)
    kill_watchdog(machine, pending)
    fails(monkeypatch, 'describe', lambda _pending: True, owner=pending_change)
    with pytest.raises(OSError, match='Input'):
        go(machine, mode='heuristic')
    assert machine.get(OURS) is None and machine.state[MEMORY] == 2


def test_what_a_watchdog_leaves_that_is_killed_before_it_is_seen(machine, monkeypatch):
    me, real = os.getpid(), os.rename
    with monkeypatch.context() as patch:
        patch.setattr(os, 'rename', lambda old, new: (
            real(old, new) if os.getpid() == me or not os.path.exists(old) else os.kill(os.getpid(), signal.SIGKILL)))
        with pytest.raises(Refusal, match='it ended before it was ready'):
            go(machine, **REQUEST)
    assert len(os.listdir(machine.base / 'run/oomkit')) == 1
    go(machine, check=True, mode='heuristic')
    assert len(os.listdir(machine.base / 'run/oomkit')) == 1
    go(machine, mode='heuristic')
    assert not (machine.base / 'run/oomkit').exists() or os.listdir(machine.base / 'run/oomkit') == []


def begun_to_roll_back(machine, monkeypatch):
    """A watchdog in the middle of its work, which then takes a second."""
    real, me = watchdog.roll_back, os.getpid()

    def slow(*args):
        if os.getpid() != me and any('restoring-' in name for name in os.listdir(machine.base / 'run/oomkit')):
            time.sleep(1)
        return real(*args)

    monkeypatch.setattr(watchdog, 'roll_back', slow)
    _result, pending = wait(machine)
    os.kill(pending.pid, signal.SIGTERM)
    while machine.waiting() == [pending]:
        time.sleep(0.01)
    return pending


@pytest.mark.thorough
@pytest.mark.parametrize('check', [True, False])
def test_a_run_waits_while_another_change_is_rolled_back(machine, monkeypatch, check):
    pending = begun_to_roll_back(machine, monkeypatch)
    result = go(machine, check=check, mode='heuristic', ratio=80)
    machine.ended(pending)
    assert result['before']['runtime'][RATIO] == 70 and result['warnings'] == []
    assert (machine.state[MEMORY], machine.state[RATIO]) == ((1, 70) if check else (0, 80))
    nothing_is_left(machine)


def test_one_killed_while_it_rolls_back_is_reported(machine, monkeypatch):
    kill_watchdog(machine, begun_to_roll_back(machine, monkeypatch))
    assert 'its watchdog is gone' in go(machine, mode='heuristic', ratio=80)['warnings'][0]
    assert (machine.state[MEMORY], machine.state[RATIO]) == (0, 80) and machine.waiting() == []


@pytest.mark.thorough
def test_what_the_watchdog_could_not_rolled_back_stays_known(machine, monkeypatch):
    me = os.getpid()
    monkeypatch.setattr(watchdog, '_RETRIES', 2)
    fails(monkeypatch, 'kernel_write', lambda *_args: os.getpid() != me, errno.EINVAL, times=1000, owner=machine)
    _result, pending = wait(machine, admin_reserve_kbytes=9000, confirm_within=3)
    machine.ended(pending)
    assert 'NOT rolled back' in machine.get(LOG) and machine.state[ADMIN_RESERVE] == 9000
    assert 'its watchdog is gone' in go(machine, state='absent')['warnings'][0]
    assert machine.state[ADMIN_RESERVE] == 6000 and machine.waiting() == []


def test_rollback_that_starts_during_observation_is_seen(machine, monkeypatch):
    _result, pending = wait(machine)
    real = machine.names

    def slow(path):
        names = real(path)
        if path == '/run/oomkit':
            pending_change.claim_rollback(machine, pending.name)
        return names

    monkeypatch.setattr(machine, 'names', slow)
    assert [one.pid for one in machine.waiting()] == [pending.pid]
    kill_watchdog(machine, pending)


# ---------------------------------------------------------------------- refusal codes


def test_refusals_have_a_code(machine):
    with pytest.raises(Refusal) as other:
        go(machine, mode='never', ratio=1)
    machine.put('/run/systemd/container', 'lxc\n')
    with pytest.raises(Refusal) as container:
        go(machine, mode='heuristic')
    assert (other.value.code, container.value.code) == ('other', 'container')


@pytest.mark.parametrize('damage', [
    {'deadline_s': None}, {'deadline_s': 'x'}, {'deadline_s': 1e300}, {'deadline_s': float('nan')}, {'pid': 'x'},
    {'started': None}, {'within_s': 1.5}, {'desired': 3}, {'before': None}, {'before': []},
    {'after': {'vm.swappiness': 1}}, {'after': {MEMORY: 'x'}}, {'originals': 'x'}, {'boot': 1}, {'connection': None}])
def test_a_file_that_somebody_damaged_is_no_change_that_waits(damage):
    nobody = pending_change.Connection(None, None)
    pending = pending_change.Pending('overcommit-1', 'boot', 1, 2, 3.0, 9, 'x', nobody, {MEMORY: 0}, {MEMORY: 2}, {})
    data = json.loads(pending_change.dump(pending))
    assert pending_change.parse('overcommit-1', json.dumps(data).encode()) == pending
    assert pending_change.parse('overcommit-1', json.dumps(dict(data, **damage)).encode()) is None


# ------------------------------------------------------------------- a change of several modules


def whole(machine, **params):
    """A run of oom_policy without services; panic_on_oom is 0 at first."""
    return ServiceMachine.policy(machine, **{'conflicts': 'comment_out', 'parts': ['overcommit', 'panic'], **params})


@pytest.fixture
def whole_waits(machine):
    """A change of overcommit and of the panic policy waits."""
    before = dict(machine.state)
    result = whole(machine, overcommit={'mode': 'never', 'ratio': 80}, panic={'policy': 'panic', 'reboot_after': 10},
                   confirm_within=60)
    assert result['confirmation']['state'] == 'pending' and machine.state['vm.panic_on_oom'] == 1
    (pending,) = machine.waiting()
    machine.put(f'/proc/{pending.pid}/comm', 'oomkit-watchdog\n')
    return pending, before


def test_a_part_of_what_waits_is_not_dropped(machine, whole_waits):
    pending, before = whole_waits
    for act in (lambda: go(machine, state='absent'), lambda: whole(machine, state='absent', parts=['panic']),
                lambda: run(machine, 'panic_on_oom', policy='panic', reboot_after=10, conflicts='comment_out')):
        with pytest.raises(Refusal, match='waits for its confirmation'):
            act()
    assert machine.waiting() == [pending]
    assert whole(machine, state='absent')['changed'] and machine.state == before
    nothing_is_left(machine)


def test_an_unwatched_change_is_kept_for_its_other_sysctls(machine, whole_waits):
    pending, before = whole_waits
    os.kill(pending.pid, signal.SIGKILL)
    machine.ended(pending)
    machine.put(f'/proc/{pending.pid}/comm', 'something else\n')
    go(machine, ratio=75)
    assert machine.waiting() == [pending]
    whole(machine, state='absent')
    assert machine.state == before
    nothing_is_left(machine)
