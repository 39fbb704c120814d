# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: fails one system call of a module's run after the other, and looks at what is left.

``python3 campaign.py CASES.json``: a JSON line for each case, and one for each violation. strace(1) attaches to a
child that has everything imported and waits, so that calls are numbered from the module's own first one on.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib import import_module
from typing import NamedTuple

HOME = '/opt/oomkit-lab'
sys.path.insert(0, HOME)

from ansible.module_utils.testing import patch_module_args  # noqa: E402  pylint: disable=wrong-import-position

MODULES = {name: import_module('ansible_collections.oomkit.linux.plugins.modules.' + name)
           for name in ('overcommit', 'panic_on_oom', 'oom_score_adj')}
# Needed by few runs and imported there; reading our own code is not what is to fail.
for late in ('_service.other_init', '_process.shared_mm', '_sysctl.tuned', '_sysctl.competing_writers',
             '_forecast.numa', '_policy.watchdog'):
    import_module('ansible_collections.oomkit.linux.plugins.module_utils.' + late)

CALLS = (
    'openat', 'read', 'pread64', 'write', 'pwrite64', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'mkdir',
    'mkdirat', 'rmdir', 'ftruncate', 'fsync', 'fdatasync', 'chmod', 'fchmod', 'fchmodat', 'chown', 'fchown', 'stat',
    'lstat', 'fstat', 'newfstatat', 'statx', 'readlink', 'readlinkat', 'getdents64', 'listxattr', 'flistxattr',
    'getxattr', 'setxattr', 'fsetxattr', 'flock', 'clone', 'clone3', 'fork', 'vfork', 'pidfd_open', 'kcmp')
ERRORS = ('EIO', 'ENOSPC', 'EROFS', 'EPERM', 'ENOMEM', 'EINTR')
KILL = 'KILL'
# Python and this program, not the machine.
NOT_THE_MACHINE = re.compile(HOME + r'|/usr/lib/python3|/usr/local/lib/python3|/memfd:|/srv/faults|/usr/share/zoneinfo')
LIVE = re.compile('oom_score_adj", O_WRONLY|^p?write.*/proc/')
NAMES = re.compile('(mkdir|rmdir|rename|unlink)|.*O_CREAT')
FEW = 100
TREES = ('/etc/sysctl.d', '/etc/systemd/system', '/var/lib/oomkit', '/run/oomkit')
SYSCTLS = tuple(import_module('ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records').KEYS_BY_PATH)
LIMIT_S = 60


class Call(NamedTuple):
    """A system call of a run, as strace(1) shows it."""

    name: str
    number: int  # among those of this name, from 1 on
    text: str


class Done(NamedTuple):
    """A run that has ended."""

    status: int  # of waitpid(2)
    answer: dict
    errors: str  # stderr
    seconds: float


class State(NamedTuple):
    """What a run can change."""

    files: dict  # path: (mode or 'link', content)
    sysctls: dict[str, int]
    live: dict[int, int]  # PID: oom_score_adj
    groups: dict
    manager: bytes  # properties of the units, from systemctl show


# ----------------------------------------------------------------------------- one run

def child(name, params, out, err):
    """Never returns."""
    code = 1
    try:
        null = os.open('/dev/null', os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        with patch_module_args(dict(params, _ansible_diff=True, _ansible_module_name='oomkit.linux.' + name)):
            os.kill(os.getpid(), signal.SIGSTOP)
            MODULES[name].main()
    except SystemExit as exc:
        code = exc.code or 0
    except BaseException:  # pylint: disable=broad-except
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def text_of(fd):
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(fd, 'rb') as stream:
        return stream.read().decode('utf-8', 'replace')


def attached(pid, log, arguments):
    """strace at a stopped process."""
    tracer = subprocess.Popen(['strace', '-qq', '-y', '-s', '300', '-o', log, *arguments, '-p', str(pid)],
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        with open('/proc/%d/status' % pid) as status:
            if '\nTracerPid:\t0\n' not in status.read():
                return tracer
        if tracer.poll() is not None:
            raise RuntimeError('strace could not attach')
        time.sleep(0.002)


def run(name, params, strace=None, log='/srv/faults/log'):
    """Fork, attach strace where its arguments are given, go, wait."""
    begin = time.monotonic()
    out, err = os.memfd_create('out'), os.memfd_create('err')
    pid = os.fork()
    if pid == 0:
        child(name, params, out, err)
    os.waitpid(pid, os.WUNTRACED)
    tracer = attached(pid, log, strace) if strace else None
    os.kill(pid, signal.SIGCONT)
    signal.alarm(LIMIT_S)
    status = os.waitpid(pid, 0)[1]
    signal.alarm(0)
    if tracer:
        tracer.wait()
    answer, errors = text_of(out), text_of(err)
    try:
        answer = json.loads(answer)
    except ValueError:
        answer = {'no JSON': answer}
    return Done(status, answer, errors, time.monotonic() - begin)


def recorded(name, params):
    """The calls of a run that touch the machine, each with its number among those of its name."""
    log, counts, calls = '/srv/faults/record', Counter(), []
    done = run(name, params, ['-e', 'trace=' + ','.join('?' + call for call in CALLS)], log)
    with open(log, errors='replace') as lines:
        for line in lines:
            call = line.partition('(')[0]
            if call in CALLS:
                counts[call] += 1
                if not NOT_THE_MACHINE.search(line):
                    calls.append(Call(call, counts[call], line.strip()))
    return done, calls


def injected(name, params, call, error):
    fault = 'signal=KILL' if error == KILL else 'error=' + error
    inject = 'inject=%s:%s:when=%d' % (call.name, fault, call.number)
    return run(name, params, ['-e', 'trace=' + call.name, '-e', inject])


# --------------------------------------------------------------------------- the machine

def tree():
    """Everything configured, and what we keep: by path, mode and content."""
    found = {}
    for top in TREES:
        for folder, folders, names in os.walk(top):
            found[folder] = (os.stat(folder).st_mode, None)
            for name in names + folders:
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    found[path] = ('link', os.readlink(path).encode())
                elif name in names:
                    with open(path, 'rb') as stream:
                        found[path] = (os.fstat(stream.fileno()).st_mode, stream.read())
    return found


def read(path):
    with open(path) as stream:
        return stream.read()


def settle():
    """Wait until each watchdog has its file: one that was started in vain, or lost its file, ends within a second."""
    last = time.monotonic() + 20
    time.sleep(0.2)
    while True:
        names = os.listdir('/run/oomkit') if os.path.isdir('/run/oomkit') else []
        watchdogs = subprocess.run(['pgrep', '-cx', 'oomkit-watchdog'], stdout=subprocess.PIPE, check=False).stdout
        if int(watchdogs) == len([name for name in names if name.startswith('overcommit-')]):
            return
        if time.monotonic() > last:
            raise RuntimeError('%d watchdogs, and files %s' % (int(watchdogs), names))
        time.sleep(0.1)


def state(case):
    if case.get('watchdog'):
        settle()
    live = {}
    for pid in pids(case):
        live[pid] = int(read('/proc/%d/oom_score_adj' % pid))
    groups = {path: int(read(path)) for path in (folder + '/memory.oom.group' for folder in cgroups(case))
              if os.path.exists(path)}
    return State(tree(), {key: int(read('/proc/sys/' + key)) for key in SYSCTLS}, live, groups, manager(units(case)))


def units(case):
    """The units whose processes are looked at, and that systemd is asked about."""
    return case.get('units', ())


def manager(names):
    """What systemd knows of the units."""
    if not names:
        return b''
    asked = ['systemctl', 'show', '-p', 'OOMScoreAdjust,OOMPolicy,NeedDaemonReload', *names]
    return subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout


def cgroups(case):
    """The folders of the units that run."""
    return folders_of(tuple(units(case))) if units(case) else []


@functools.lru_cache(maxsize=None)  # they run all the time
def folders_of(names):
    """By systemd itself: instances have a slice of their own for their template."""
    asked = ['systemctl', 'show', '-p', 'ControlGroup', '--value', *names]
    paths = subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout.decode().split()
    return ['/sys/fs/cgroup' + path for path in paths]


def pids(case):
    if units(case):
        return [int(pid) for folder in cgroups(case) for pid in read(folder + '/cgroup.procs').split()]
    return [int(read('/run/target.pid'))] if case.get('process') else []


def plain(one):
    """A state without what differs from run to run: times in names and in the record, which change waits."""
    files = {}
    for path, (mode, data) in one.files.items():
        if path == '/run/oomkit/oom_score_adj.json':
            record = json.loads(data.decode())
            data = json.dumps([{unit: [value for value, _ticks in values] for unit, values in record['units'].items()},
                               record['originals'], record['processes'], record.get('groups', {})], sort_keys=True)
        if path.startswith('/run/oomkit/overcommit-'):
            path, data = '/run/oomkit/overcommit-NAME', b''
        files[re.sub(r'\.oomkit-[0-9T]+~$', '.oomkit-TIME~', path)] = (mode, data)
    return one._replace(files=files)


def differences(found, wanted):
    """What of two states differs, by name."""
    problems = []
    for field in State._fields:
        one, other = getattr(found, field), getattr(wanted, field)
        if field == 'manager' and one != other:
            problems.append('systemd: %r, not %r' % (one, other))
        elif one != other:
            problems += ['%s: %r, not %r' % (key, one.get(key), other.get(key))
                         for key in sorted(set(one) | set(other), key=str) if one.get(key) != other.get(key)]
    return problems


def roll_back(case, wanted):
    """The machine as it was, by hand."""
    restore_files(wanted.files)
    restore_sysctls(wanted.sysctls)
    for pid, value in wanted.live.items():
        restore_number('/proc/%d/oom_score_adj' % pid, value)
    for path, value in wanted.groups.items():
        restore_number(path, value)
    if units(case) and state(case).manager != wanted.manager:
        subprocess.run(['systemctl', 'daemon-reload'], check=True)
    left = differences(state(case), wanted)
    if left:
        raise RuntimeError('cannot go back: %s' % left)


def restore_files(wanted):
    now = tree()
    for path in sorted(set(now) - set(wanted), reverse=True):
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    for path, (mode, data) in sorted(wanted.items()):
        if now.get(path) == (mode, data):
            continue
        if mode == 'link':
            raise RuntimeError('%s: no run changes a link' % path)
        if data is None:
            os.makedirs(path, exist_ok=True)
        else:
            with open(path, 'wb') as stream:
                stream.write(data)
        os.chmod(path, mode & 0o7777)


def restore_sysctls(values):
    order = ['vm/overcommit_memory'] if values['vm/overcommit_memory'] != 2 else []
    order.append('vm/overcommit_kbytes' if values['vm/overcommit_kbytes'] else 'vm/overcommit_ratio')
    order += [key for key in SYSCTLS if not key.startswith('vm/overcommit')] + ['vm/overcommit_memory']
    for key in order:
        restore_number('/proc/sys/' + key, values[key])


def restore_number(path, value):
    if int(read(path)) != value:
        with open(path, 'w') as stream:
            stream.write(str(value))


# ------------------------------------------------------------------------------ judgement

def commit_limit_kb(sysctls):
    """What the kernel would promise at most with these: infinite unless strict."""
    if sysctls['vm/overcommit_memory'] != 2:
        return float('inf')
    if sysctls['vm/overcommit_kbytes']:
        return sysctls['vm/overcommit_kbytes']
    total_kb = int(re.search('MemTotal: +([0-9]+)', read('/proc/meminfo')).group(1))
    return total_kb * sysctls['vm/overcommit_ratio'] // 100


def between(found, before, after):
    """What a killed run may leave: each part old or new, and never stricter than both."""
    problems = []
    for path in set(found.files) | set(before.files) | set(after.files):
        one = found.files.get(path)
        known = one in (before.files.get(path), after.files.get(path))
        if not known and not is_temporary(path) and not is_record(path):
            problems.append('%s: %r is neither old nor new' % (path, one))
    for key, value in found.sysctls.items():
        if key == 'vm/overcommit_ratio' or key == 'vm/overcommit_kbytes':
            continue  # the one erases the other; what follows from both is looked at
        if value not in (before.sysctls[key], after.sysctls[key]):
            problems.append('%s: %r is neither old nor new' % (key, value))
    if commit_limit_kb(found.sysctls) < min(commit_limit_kb(before.sysctls), commit_limit_kb(after.sysctls)):
        problems.append('stricter than before and than wanted: %r' % found.sysctls)
    for pid, value in found.live.items():
        if value not in (before.live.get(pid), after.live.get(pid)):
            problems.append('oom_score_adj of %d: %r is neither old nor new' % (pid, value))
    problems += ['%s: %r is neither old nor new' % (path, value) for path, value in found.groups.items()
                 if value not in (before.groups.get(path), after.groups.get(path))]
    return problems


def is_temporary(path):
    return os.path.basename(path).startswith('.oomkit-')


def is_record(path):
    """What we remember may hold old and new at once; only we read it."""
    return path.startswith(('/run/oomkit', '/var/lib/oomkit'))


def is_kept_lock(difference, call):
    """Whether the file of the lock is still there because its removal is what failed; the next run removes it."""
    path = difference.partition(':')[0]
    return path in ('/run/oomkit', '/run/oomkit/lock') and re.search('["<]/run', call.text) is not None


def message_faults(done, call, error):
    """What is wrong with the message of a failure."""
    message = str(done.answer.get('msg'))
    problems = []
    if done.errors or 'Traceback' in json.dumps(done.answer) or 'no JSON' in done.answer:
        problems.append('a traceback: %s %s' % (done.answer.get('no JSON'), done.errors[-1500:]))
    elif not re.search(r'(?i)/\w|systemctl|vm\.|kernel\.panic|oom_score_adj|helper process|fork|start', message):
        problems.append('the message names nothing: %r' % message)
    elif 'None:' in message:
        problems.append('the message names None: %r' % message)
    elif 'NOT rolled back' in message:
        problems.append('not rolled back: %r' % message)
    return problems


def judge(case, done, call, error, before, after):
    """The violations after one injected fault; the machine is then as wanted, and converged."""
    now = plain(state(case))
    problems = []
    if os.WIFSIGNALED(done.status):
        problems += between(now, before, after) if error == KILL else ['ended by signal %d' % os.WTERMSIG(done.status)]
    elif done.answer.get('failed') or 'no JSON' in done.answer:
        problems += message_faults(done, call, error) + differences(now, before)
    else:
        problems += [one for one in differences(now, after) if not is_kept_lock(one, call)]
    again = run(case['module'], case['params'])
    if again.answer.get('failed') or 'no JSON' in again.answer:
        problems.append('the next run failed: %s %s' % (again.answer, again.errors[-1500:]))
    else:
        left = plain(state(case))
        killed = os.WIFSIGNALED(done.status)
        problems += ['after the next run: ' + one for one in differences(left, after)
                     if not (killed and is_record(one.partition(':')[0]))]
    last = run(case['module'], case['params'])
    if last.answer.get('failed') or last.answer.get('changed') is not False:
        problems.append('the run after the next is not unchanged: %s %s' % (last.answer, last.errors[-1500:]))
    return problems


# ------------------------------------------------------------------------------ the campaign

def chosen(case, calls):
    """Pairs of a call and an error: all of them, or as many as are asked for, spread over the run."""
    every = [(call, error) for call in calls for error in (*ERRORS, KILL)]
    most = case['injections']
    if not most or most >= len(every):
        return every
    dice = random.Random(case['seed'])
    # What changes the machine is a small part of all calls, and half of the sample.
    looking = re.compile('read|pread|openat.*O_RDONLY|.*stat|getdents|.*xattr')
    writing = [pair for pair in every if not looking.match(pair[0].text)]
    # A kill between two things that are set at runtime is what is hardest to come back from: always all of them. Then
    # one between two names that are made or removed, where there is time for it.
    live = [pair for pair in writing if pair[1] == KILL and (
        LIVE.search(pair[0].text) or (most >= FEW and NAMES.match(pair[0].text)))]
    others = [pair for pair in writing if pair not in set(live)]
    half = live + dice.sample(others, min(len(others), max(0, most // 2 - len(live))))
    rest = [pair for pair in every if pair not in set(half)]
    return half + dice.sample(rest, max(0, most - len(half)))


def prepared(case):
    for step in case.get('setup', ()):
        if isinstance(step, str):
            subprocess.run(step, shell=True, check=True)
        else:
            done = run(step['module'], step['params'])
            if done.answer.get('failed') or 'no JSON' in done.answer:
                raise RuntimeError('setup: %r' % (done,))


def campaign(case):
    begin = time.monotonic()
    prepared(case)
    untouched = state(case)
    done, calls = recorded(case['module'], case['params'])
    if done.answer.get('failed') or not done.answer.get('changed'):
        raise RuntimeError('%s: the run without faults: %s %s' % (case['name'], done.answer, done.errors))
    after, before = plain(state(case)), plain(untouched)
    outcomes, violations = Counter(), 0
    for call, error in chosen(case, calls):
        roll_back(case, untouched)
        done = injected(case['module'], case['params'], call, error)
        problems = judge(case, done, call, error, before, after)
        outcomes['killed' if os.WIFSIGNALED(done.status) else 'failed' if done.answer.get('failed') else 'done'] += 1
        violations += bool(problems)
        if problems:
            say(violation=case['name'], call=call.text[:300], number=call.number, error=error, problems=problems,
                msg=done.answer.get('msg'))
    roll_back(case, untouched)
    for step in case.get('teardown', ()):
        subprocess.run(step, shell=True, check=True)
    say(case=case['name'], calls=len(calls), injections=sum(outcomes.values()), outcomes=outcomes,
        violations=violations, seconds=round(time.monotonic() - begin))


def say(**record):
    print(json.dumps(record), flush=True)


def main():
    os.makedirs('/srv/faults', exist_ok=True)
    # strace and what it watches wait for each other at every call: twice as fast where neither wakes another processor.
    os.sched_setaffinity(0, {0})
    if not shutil.which('strace'):
        raise SystemExit('strace is missing')
    with open(sys.argv[1]) as cases:
        for case in json.load(cases):
            campaign(case)


if __name__ == '__main__':
    main()
