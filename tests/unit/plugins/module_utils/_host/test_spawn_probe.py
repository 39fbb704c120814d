# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that programs still start, with real processes; and what an outcome means for a change."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
from machine import run

from ansible_collections.oomkit.linux.plugins.module_utils._host import spawn_probe
from ansible_collections.oomkit.linux.plugins.module_utils._host.spawn_probe import (
    ERRNO,
    EXIT,
    NO_ANSWER,
    OTHERS,
    PRIVILEGED,
    ROOT,
    SIGNAL,
    STARTED,
    SpawnOutcome,
)
from ansible_collections.oomkit.linux.plugins.module_utils._host.transaction import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._policy import apply

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='an ordinary user has no rights to give up')
NO_MEMORY = SpawnOutcome(ERRNO, errno.ENOMEM)
NOT_THERE = SpawnOutcome(ERRNO, errno.ENOENT)


@pytest.fixture
def program(tmp_path):
    """Make a program of a shell script; the result is the list of programs for the probe."""
    def make(script):
        path = tmp_path / 'program'
        path.write_text('#!/bin/sh\n' + script)
        path.chmod(0o755)
        return [(str(path), 'program')]
    return make


# ------------------------------------------------------------------- the child

def test_programs_start_here():
    assert spawn_probe.probe_spawns() == {ROOT: STARTED, OTHERS: STARTED}


@needs_root
def test_the_child_keeps_uid_0_and_no_capability(program, tmp_path):
    assert set(spawn_probe.probe_spawns(program(f'cat /proc/self/status > {tmp_path}/$$')).values()) == {STARTED}
    seen = [dict(line.split(':\t', 1) for line in path.read_text().splitlines())
            for path in tmp_path.iterdir() if path.name.isdigit()]
    assert len(seen) == 2 and all(status['Uid'].split() == ['0'] * 4 for status in seen)
    sets = [[int(status['Cap' + name], 16) for name in ('Eff', 'Prm', 'Inh', 'Bnd', 'Amb')] for status in seen]
    assert [0] * 5 in sets and any(one[0] for one in sets)


@needs_root
def test_without_cap_setpcap_execve_gives_no_capability_back(program, tmp_path):
    """The bounding set stays then."""
    code = ('import sys; from ansible_collections.oomkit.linux.plugins.module_utils._host import spawn_probe as p;'
            'print(p.probe_spawns([(sys.argv[1], "x")])[p.OTHERS])')
    command = program(f'grep -E "^Cap(Eff|Prm|Bnd)" /proc/self/status >> {tmp_path}/seen')[0][0]
    drop = ['setpriv', '--bounding-set=-setpcap', '--inh-caps=-setpcap']
    done = subprocess.run([*drop, sys.executable, '-c', code, command], capture_output=True, text=True, check=False,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.stdout == f'{STARTED}\n', done.stderr
    lines = (tmp_path / 'seen').read_text().split('\n')
    assert [int(line.split()[1], 16) for line in lines[:2]] == [0, 0] and int(lines[2].split()[1], 16)


def test_the_child_has_an_empty_environment_and_no_file_of_ours(program, tmp_path, monkeypatch):
    monkeypatch.setenv('PLAY_SECRET', 'secret')
    with open(tmp_path / 'lock', 'w') as lock:
        os.set_inheritable(lock.fileno(), True)
        script = f'cat /proc/$$/environ > {tmp_path}/environment; ls -l /proc/$$/fd > {tmp_path}/files'
        assert set(spawn_probe.probe_spawns(program(script)).values()) == {STARTED}
        assert os.fstat(lock.fileno())
    assert (tmp_path / 'environment').read_bytes() == b''
    files = (tmp_path / 'files').read_text()
    assert 'pipe:' not in files and 'lock' not in files and 'pts' not in files
    assert files.count('/dev/null') >= 2


def test_stdin_stdout_and_stderr_may_be_closed(tmp_path):
    """The pipe of the probe then gets their numbers."""
    code = ('import os, sys; [os.close(fd) for fd in (0, 1, 2)];'
            'from ansible_collections.oomkit.linux.plugins.module_utils._host import spawn_probe as p;'
            'text = repr(set(p.probe_spawns().values())); open(sys.argv[1], "w").write(text)')
    subprocess.run([sys.executable, '-c', code, str(tmp_path / 'said')], check=True,
                   env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert (tmp_path / 'said').read_text() == repr({STARTED})


def test_the_child_has_a_session_of_its_own_and_default_signals(program, tmp_path):
    """So that no terminal sends it a signal, and none is ignored or blocked because we do that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        # Without a child, for which the shell blocks signals.
        script = (f'for file in status stat; do while read -r line; do echo "$line" >> {tmp_path}/seen; '
                  'done < /proc/$$/$file; done')
        assert set(spawn_probe.probe_spawns(program(script)).values()) == {STARTED}
    finally:
        signal.signal(signal.SIGHUP, old)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    lines = (tmp_path / 'seen').read_text().split('\n')
    # The C library keeps signals 32 and 33 to itself, whatever they were when Python started.
    masks = [int(line.split()[1], 16) & 0x7fffffff for line in lines if line.startswith(('SigBlk', 'SigIgn'))]
    assert masks == [0] * 4
    sessions = [int(line.rpartition(')')[2].split()[3]) for line in lines if 'program)' in line]
    assert len(sessions) == 2 and os.getsid(0) not in sessions


# ------------------------------------------------- deadlines, signals from others

@pytest.mark.parametrize('script', ['kill -STOP $$', 'exec sleep 60', 'trap "" TERM; while :; do :; done'])
def test_a_child_that_does_not_end_is_no_answer_and_is_ended(program, tmp_path, script):
    """Stopped, or just slow."""
    programs, began = program(f'echo $$ >> {tmp_path}/pids; {script}'), time.monotonic()
    assert spawn_probe.probe_spawns(programs, wait_s=0.3) == dict.fromkeys([ROOT, OTHERS], SpawnOutcome(NO_ANSWER, 0))
    assert time.monotonic() - began < 5
    assert not [pid for pid in (tmp_path / 'pids').read_text().split() if os.path.exists(f'/proc/{pid}')]


ATTACK = '''
import os, signal, sys, time
folder = sys.argv[1]
while not os.path.exists(folder + '/pids'):
    time.sleep(0.01)
with open(folder + '/pids') as file:
    pids = [int(word) for word in file.read().split()]
answers, tried = open(folder + '/answers', 'w'), open(folder + '/tried', 'w')
os.setgroups([])
os.setuid(65534)
for pid in pids:
    for number in (signal.SIGSTOP, signal.SIGKILL):
        try:
            os.kill(pid, number)
            answers.write('done ')
        except OSError as exc:
            answers.write('%d ' % exc.errno)
answers.close()
tried.write('yes')
'''


@needs_root
def test_an_ordinary_user_cannot_stop_or_end_the_child(program, tmp_path):
    """Others have the uid 65534, too: one of them could keep the run waiting, or excuse the proof."""
    script = f'''echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pids
while [ ! -s {tmp_path}/tried ]; do sleep 0.02; done'''
    with subprocess.Popen([sys.executable, '-c', ATTACK, str(tmp_path)]):
        assert spawn_probe.probe_spawns(program(script), wait_s=15) == {ROOT: STARTED, OTHERS: STARTED}
    assert (tmp_path / 'answers').read_text().split() == [str(errno.EPERM)] * 2


@pytest.mark.thorough
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSEGV])
def test_death_by_a_signal_is_not_a_lack_of_memory(program, tmp_path, number):
    """Only root and the kernel can send one."""
    programs = program(f'echo x >> {tmp_path}/count; kill -{int(number)} $$; exec sleep 60')
    assert spawn_probe.probe_spawns(programs) == dict.fromkeys([ROOT, OTHERS], SpawnOutcome(SIGNAL, number))
    assert (tmp_path / 'count').read_text().count('x') == 6


def test_after_a_signal_the_program_is_started_again(program, tmp_path):
    programs = program(f'mkdir {tmp_path}/first 2>/dev/null && kill -KILL $$; exit 0')
    assert spawn_probe.probe_spawns(programs) == {ROOT: STARTED, OTHERS: STARTED}


# ------------------------------------------------------------- what a start answers

def test_an_exit_status_is_one_and_127_is_no_lack_of_memory(program):
    assert set(spawn_probe.probe_spawns(program('exit 127')).values()) == {SpawnOutcome(EXIT, 127)}


def test_without_any_program_the_answer_is_that_there_is_none(tmp_path):
    assert set(spawn_probe.probe_spawns([(str(tmp_path / 'true'), 'true')]).values()) == {NOT_THERE}


def test_the_first_program_that_is_there_is_taken(program, tmp_path):
    """NixOS has no /bin/true."""
    not_allowed = tmp_path / 'text'
    not_allowed.write_text('')
    programs = [(str(tmp_path / 'true'), 'true'), (str(not_allowed), 'true')] + program('exit 3')
    assert set(spawn_probe.probe_spawns(programs).values()) == {SpawnOutcome(EXIT, 3)}


@pytest.mark.parametrize('one', spawn_probe.PROGRAMS[3:])
def test_programs_that_every_host_with_python_has(one):
    assert spawn_probe.probe_spawns([one]) == {ROOT: STARTED, OTHERS: STARTED}


LIMITED = '''
import resource, sys
from ansible_collections.oomkit.linux.plugins.module_utils._host import spawn_probe as p
p.probe_spawns()
kind, number = getattr(resource, sys.argv[1]), int(sys.argv[2])
resource.setrlimit(kind, (number, resource.getrlimit(kind)[1]))
print(sorted(set(p.probe_spawns(wait_s=5).values())))
'''


def limited(kind, number):
    """What the probe says in a process with this limit."""
    done = subprocess.run([sys.executable, '-c', LIMITED, kind, str(number)], capture_output=True, text=True,
                          check=False, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_too_many_files_is_an_error_before_any_fork():
    code = ('import resource; from ansible_collections.oomkit.linux.plugins.module_utils._host import spawn_probe as p;'
            'resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); p.probe_spawns()')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert 'Too many open files' in done.stderr


def test_an_address_space_too_small_for_a_program_is_no_success():
    """execve(2) fails past the point of no return, or the loader finds no memory."""
    assert limited('RLIMIT_AS', 1 << 16) not in ('', str([STARTED]))


@pytest.mark.parametrize('error, times, answer', [
    (errno.EAGAIN, 2, STARTED), (errno.EINTR, 2, STARTED), (errno.EAGAIN, 3, SpawnOutcome(ERRNO, errno.EAGAIN)),
    (errno.EIO, 1, SpawnOutcome(ERRNO, errno.EIO)), (errno.ENOMEM, 1, NO_MEMORY)])
def test_what_may_pass_is_tried_again(monkeypatch, error, times, answer):
    real, left, parent = os.fork, [error] * times, os.getpid()

    def fork():
        if left and os.getpid() == parent:
            raise OSError(left.pop(), 'no')
        return real()

    monkeypatch.setattr(os, 'fork', fork)
    assert spawn_probe.probe_spawns()[OTHERS] == answer and not left


def test_arguments_that_find_no_memory_are_a_lack_of_it(monkeypatch):
    def execve(_program, _arguments, _environment):
        raise OSError(errno.E2BIG, 'Argument list too long')

    monkeypatch.setattr(os, 'execve', execve)
    assert set(spawn_probe.probe_spawns().values()) == {NO_MEMORY}


def test_a_child_without_memory_for_python_says_so(monkeypatch):
    def execve(_program, _arguments, _environment):
        raise MemoryError

    monkeypatch.setattr(os, 'execve', execve)
    assert set(spawn_probe.probe_spawns().values()) == {NO_MEMORY}


@pytest.mark.parametrize('error', [RecursionError, KeyboardInterrupt, SystemExit])
def test_whatever_fails_in_the_child_ends_it(monkeypatch, error):
    """Nothing of the parent's work may run on in it, and it is no success."""
    def execve(_program, _arguments, _environment):
        raise error

    monkeypatch.setattr(os, 'execve', execve)
    assert STARTED not in spawn_probe.probe_spawns().values()


# ---------------------------------------------------------------- giving up rights

SHOW = [('/bin/sh', 'sh', '-c', 'test "$(id -u)" = 0')]


@needs_root
def test_without_ctypes_the_probe_uses_an_unused_uid(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ctypes', None)
    assert spawn_probe.probe_spawns() == {ROOT: STARTED, OTHERS: STARTED}
    assert spawn_probe.probe_spawns(SHOW) == {ROOT: STARTED, OTHERS: SpawnOutcome(EXIT, 1)}
    assert os.getresuid() == (0, 0, 0)


@needs_root
@pytest.mark.parametrize('without_ctypes', [False, True])
def test_the_fork_is_tried_without_cap_sys_admin_too(monkeypatch, without_ctypes):
    """For fork(2) and for execve(2), and we have it again afterwards."""
    if without_ctypes:
        monkeypatch.setitem(sys.modules, 'ctypes', None)
    real, seen = os.fork, []

    def fork():
        seen.append(effective() >> 21 & 1)
        return real()

    monkeypatch.setattr(os, 'fork', fork)
    before = effective()
    assert spawn_probe.probe_spawns() == {ROOT: STARTED, OTHERS: STARTED}
    assert seen == [0, before >> 21 & 1] and effective() == before


def effective():
    with open('/proc/self/status') as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith('CapEff'))


@needs_root
def test_rights_come_back_where_the_fork_fails(monkeypatch):
    def fork():
        raise OSError(errno.ENOMEM, 'no')

    monkeypatch.setattr(os, 'fork', fork)
    before = effective()
    assert spawn_probe.probe_spawns() == {ROOT: NO_MEMORY, OTHERS: NO_MEMORY} and effective() == before


def refuse():
    raise OSError(errno.EPERM, 'a seccomp filter says no')


def die():
    os.kill(os.getpid(), signal.SIGSYS)


def nothing():
    pass


@needs_root
@pytest.mark.parametrize('lower, drop', [(refuse, nothing), (nothing, refuse), (nothing, die)])
def test_a_filter_that_forbids_capset_leads_to_the_other_way(monkeypatch, lower, drop):
    monkeypatch.setattr(spawn_probe, '_without_capabilities', lambda: spawn_probe._Way(lower, nothing, drop))
    assert spawn_probe.probe_spawns(SHOW) == {ROOT: STARTED, OTHERS: SpawnOutcome(EXIT, 1)}


@needs_root
def test_who_may_give_up_nothing_says_so(monkeypatch):
    monkeypatch.setattr(spawn_probe, '_AS_OTHER_USER', spawn_probe._Way(refuse, nothing, nothing))
    monkeypatch.setitem(sys.modules, 'ctypes', None)
    assert spawn_probe.probe_spawns() == {ROOT: STARTED, OTHERS: SpawnOutcome(PRIVILEGED, errno.EPERM)}


# ------------------------------------------------------------- what it means for a run

def outcomes(monkeypatch, *answers):
    """Let the probe answer this for others than root, one after the other."""
    left = list(answers)
    monkeypatch.setattr(apply, 'probe_spawns', lambda: {ROOT: STARTED, OTHERS: left.pop(0)})
    return left


FAILURES = [NO_MEMORY, NOT_THERE, SpawnOutcome(EXIT, 127), SpawnOutcome(SIGNAL, signal.SIGKILL),
            SpawnOutcome(NO_ANSWER, 20), SpawnOutcome(PRIVILEGED, errno.EPERM)]


@pytest.mark.parametrize('after', FAILURES)
@pytest.mark.parametrize('before', [STARTED] + FAILURES)
def test_only_the_very_same_failure_before_excuses_one_after(machine, monkeypatch, before, after):
    """A signal and no answer show nothing, so that they excuse nothing."""
    excused = before == after and before.kind not in (SIGNAL, NO_ANSWER)
    twice = before != STARTED and before.kind not in (SIGNAL, NO_ANSWER)
    left = outcomes(monkeypatch, *[before] * (1 + twice), after)
    tree, state = machine.tree(), dict(machine.state)
    if excused:
        warnings = run(machine, 'overcommit', mode='never', ratio=90)['warnings']
        assert machine.state['vm.overcommit_ratio'] == 90
        assert any('is unknown, because' in text for text in warnings) is (before.kind == PRIVILEGED)
    else:
        with pytest.raises(ApplyError, match='a user without CAP_SYS_ADMIN.*Everything was rolled back'):
            run(machine, 'overcommit', mode='never', ratio=90)
        assert machine.tree() == tree and machine.state == state
    assert not left


@pytest.mark.parametrize('before', FAILURES)
def test_a_host_that_could_not_start_programs_may_be_mended(machine, monkeypatch, before):
    outcomes(monkeypatch, before, STARTED, STARTED)
    run(machine, 'overcommit', mode='never', ratio=90)
    assert machine.state['vm.overcommit_ratio'] == 90


def test_failure_that_has_passed_excuses_nothing(machine, monkeypatch):
    left = outcomes(monkeypatch, NO_MEMORY, STARTED, NO_MEMORY)
    with pytest.raises(ApplyError, match='cannot start a program any more.*Everything was rolled back'):
        run(machine, 'overcommit', mode='never', ratio=90)
    assert not left


@pytest.mark.parametrize('outcome, said', [
    (NO_MEMORY, 'Committed_AS is too near to CommitLimit'),
    (SpawnOutcome(ERRNO, errno.EAGAIN), 'Resource temporarily unavailable.*not for lack of memory'),
    (SpawnOutcome(EXIT, 127), 'it ended with status 127'),
    (SpawnOutcome(SIGNAL, 9), 'signal 9 ended it'),
    (SpawnOutcome(NO_ANSWER, 20), 'no answer within 20 s')])
def test_the_message_says_what_has_happened(machine, monkeypatch, outcome, said):
    outcomes(monkeypatch, STARTED, outcome)
    with pytest.raises(ApplyError, match=said):
        run(machine, 'overcommit', mode='never', ratio=90)
