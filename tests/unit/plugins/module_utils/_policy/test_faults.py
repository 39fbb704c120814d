# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A call of a run fails, or the run is killed there: the state before or the desired one remains, and nothing else.

tests/kernel/test_faults.py does it with strace on real machines. Here are rarer requests and files, on machines on
disk: links, modes, owners, extended attributes, templates, files of others. Only calls of our own code count.
OOMKIT_DISK_FAULTS is the number of injections for each request (0: all), and OOMKIT_FAULTS_SEED chooses others, as
make fuzz does.
"""

import contextlib
import errno
import os
import random
import re
import shutil
import struct
import sys
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Optional

import amounts
import pytest
from machine import OURS, FakeProcFile, Machine, run
from services_machine import ETC, FakeFile, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host import lock, transaction
from ansible_collections.oomkit.linux.plugins.module_utils._host.transaction import ApplyError

INJECTIONS = int(os.environ.get('OOMKIT_DISK_FAULTS', '2' if amounts.is_quick else '3'))
SEED = os.environ.get('OOMKIT_FAULTS_SEED', '1')
SYSCTL, CGROUP, RELOAD, CREATE = 'write of a sysctl', 'write to a cgroup', 'daemon-reload', 'open for writing'
READING = ('open', 'read', 'stat', 'lstat', 'fstat', 'listdir', 'scandir', 'readlink', 'listxattr', 'getxattr', 'pread')
WRITING = ('write', 'pwrite', 'rename', 'unlink', 'mkdir', 'rmdir', 'fsync', 'fchmod', 'fchown', 'setxattr',
           'ftruncate')
CHANGING = (CREATE, *WRITING, SYSCTL, CGROUP, RELOAD)
# Calls whose errors have the name of the file.
NAMED = ('open', CREATE, 'stat', 'lstat', 'listdir', 'scandir', 'readlink', 'listxattr', 'getxattr', 'rename', 'unlink',
         'mkdir', 'rmdir')
# No EINTR: Python itself calls again (PEP 475). tests/kernel has it.
ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EPERM, errno.ENOMEM)
KILL = 'KILL'
OUR_CODE = os.sep + os.path.join('plugins', 'module_utils') + os.sep
SEEN = ('etc', 'run', 'var', 'srv', 'proc', 'sys')
RECORDS = ('run/oomkit', 'var/lib/oomkit')
# What a killed run may leave half-way: what only we read, what systemd has read, and the two sysctls that erase each
# other (their limit counts).
LEFT = re.compile(r'^run/oomkit|^var/lib/oomkit|/\.oomkit-|oomkit-TIME~|overcommit_(ratio|kbytes)$|proc/meminfo$|\.d$'
                  '|^is read by systemd$')
MARK = 'user.oomkit.test'
LONG = 'x' * 200
# Cases that differ from another one only by what their files are have every fifth change fail.
VARIANT_STEP = 5


class Killed(BaseException):
    """Stands for SIGKILL: nothing is done after it."""


class Injector:
    """Lets one call of our code fail, by its number."""

    def __init__(self, monkeypatch, number=None, error=None):
        self.number, self.error, self.calls, self.over = number, error, [], False
        self.truncated = {}
        monkeypatch.setattr(os, 'fsync', lambda _fd: None)
        for name in (*READING, *WRITING, 'close'):
            monkeypatch.setattr(os, name, self._guarded(name, getattr(os, name)))
        for name, owner, method in ((SYSCTL, FakeProcFile, 'write'), (CGROUP, FakeFile, 'write'),
                                    (RELOAD, ServiceMachine, 'reload')):
            monkeypatch.setattr(owner, method, self._guarded(name, getattr(owner, method)))
        if error == KILL:
            monkeypatch.setattr(transaction.Rollback, 'run', lambda rollback: None)

    def _guarded(self, call, real):
        def guard(*args, **options):
            if OUR_CODE not in sys._getframe(1).f_code.co_filename:
                return real(*args, **options)
            name = CREATE if call == 'open' and args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else call
            if self.over:
                if name in CHANGING:
                    raise Killed
                return real(*args, **options)
            self.calls.append(name)
            if len(self.calls) - 1 == self.number:
                self._fail(name, real, args)
            return self._opened(real, args, options) if call == 'open' else real(*args, **options)
        return guard

    def _opened(self, real, args, options):
        """As on procfs, where nothing is cut off by opening it: what was there is remembered for a write that fails."""
        kept = None
        if args[1] & os.O_TRUNC:
            with open(real(args[0], os.O_RDONLY, dir_fd=options.get('dir_fd')), 'rb') as stream:
                kept = stream.read()
        fd = real(*args, **options)
        self.truncated[fd] = kept
        return fd

    def _fail(self, name, real, args):
        if name == 'write' and self.truncated.get(args[0]) is not None:
            os.pwrite(args[0], self.truncated[args[0]], 0)
        if self.error == KILL:
            self.over = True
            raise Killed
        if name == 'close':
            real(*args)  # close(2) gives the descriptor back whatever it answers
        where = args[:1] if name in NAMED or name == 'setxattr' else ()
        raise OSError(self.error, os.strerror(self.error), *where)


def release_locks(machine):
    """What the end of a killed process does: its descriptors of the lock are closed."""
    for name in os.listdir('/proc/self/fd'):
        with contextlib.suppress(OSError):
            if os.readlink('/proc/self/fd/' + name).startswith(str(machine.base / 'run/oomkit/lock')):
                os.close(int(name))


def locked(act, machine, params):
    with lock.hold_lock(machine, wait_s=1):
        return act(machine, **params)


def outcome(act, machine, params):
    """(how it ended, what it said.)"""
    try:
        return 'done', locked(act, machine, params)
    except Killed:
        release_locks(machine)
        return 'killed', None
    except Exception as exc:
        return 'failed', exc


def state(machine):
    """All that a run can change, by path: kind, mode, owner, attributes, content."""
    found = {}
    for top in SEEN:
        for path in sorted((machine.base / top).rglob('*')):
            name = re.sub(r'\.oomkit-[0-9T]+~$', '.oomkit-TIME~', str(path.relative_to(machine.base)))
            if path.is_symlink():
                found[name] = os.readlink(path)
                continue
            info = path.stat()
            extended = {one: os.getxattr(path, one) for one in os.listxattr(path) if not one.startswith('security.')}
            content = path.read_bytes() if path.is_file() else None
            found[name] = (info.st_mode, info.st_uid, info.st_gid, extended, content)
    if isinstance(machine, ServiceMachine) and machine.init == 'systemd':
        found['is read by systemd'] = machine.known == unit_texts(machine)
    return found


def unit_texts(machine):
    """What systemd reads at a daemon-reload."""
    paths = [path for top in (ETC[1:], 'etc/cm', 'srv') for path in (machine.base / top).rglob('*.conf')]
    return {path: path.read_bytes() for path in paths if not path.is_symlink()}


def note_reload(machine):
    machine.known = unit_texts(machine)


def limit_kb(found):
    """What would be promised at most: infinite unless strict."""
    memory = found.get('proc/sys/vm/overcommit_memory')
    if memory is None or memory[-1] != b'2\n':
        return float('inf')
    text = found['proc/meminfo'][-1].decode()
    return int(re.search('CommitLimit: ([0-9]+)', text).group(1))


def differences(found, wanted, but=()):
    return ['%s: %r, not %r' % (path, found.get(path), wanted.get(path)) for path in sorted(set(found) | set(wanted))
            if found.get(path) != wanted.get(path) and not path.startswith(tuple(but))]


# ------------------------------------------------------------------------- the requests


def own(machine, path):
    """Give it an owner, a mode and an attribute of its own, as far as this user and this file system can."""
    target = machine.base / path.lstrip('/')
    target.chmod(0o750 if target.is_dir() else 0o640)
    if os.geteuid() == 0:
        os.chown(target, 0, 0)
    try:
        os.setxattr(target, MARK, b'theirs')
    except OSError as exc:
        assert exc.errno in (errno.ENOTSUP, errno.EPERM)


def give_list(machine, folder):
    """A default access control list, as far as this file system has any: what is made there is user 1234's to read."""
    entries = [(1, 7, -1), (2, 5, 1234), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    data = struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *entry) for entry in entries)
    try:
        os.setxattr(machine.base / folder.lstrip('/'), 'system.posix_acl_default', data)
    except OSError as exc:
        assert exc.errno in (errno.ENOTSUP, errno.EPERM)


def sysctl_machine(root):
    machine = Machine(root, **{'vm.overcommit_memory': 1, 'vm.overcommit_ratio': 70, 'kernel.panic': 5})
    machine.put('/etc/sysctl.d/50-theirs.conf', '# theirs\nvm.overcommit_memory = 1\n')
    own(machine, '/etc/sysctl.d/50-theirs.conf')
    machine.put('/etc/sysctl.d/zz-later.conf', '# later\nvm.overcommit_ratio = 70\nkernel.panic = 5\n')
    own(machine, '/etc/sysctl.d/zz-later.conf')
    return machine


def listed_machine(root):
    """A folder whose access control list would open to a user what is not his to see."""
    machine = sysctl_machine(root)
    give_list(machine, '/etc/sysctl.d')
    return machine


def linked_machine(root):
    machine = sysctl_machine(root)
    machine.put('/srv/data/.keep', '')
    (machine.base / 'srv/data/.keep').unlink()
    (machine.base / 'var/lib').mkdir(parents=True, exist_ok=True)
    (machine.base / 'var/lib/oomkit').symlink_to('/srv/data')
    machine.put('/srv/config/oom.conf', '# mine\n')
    own(machine, '/srv/config/oom.conf')
    (machine.base / OURS.lstrip('/')).symlink_to('/srv/config/oom.conf')
    return machine


def overcommit(machine, **params):
    machine.show()
    return run(machine, 'overcommit', **params)


def panic(machine, **params):
    machine.show()
    return run(machine, 'panic_on_oom', **params)


def start_again(machine):
    """All processes have the value that their unit files give at a start."""
    for path in machine.base.glob('sys/fs/cgroup/system.slice/*/cgroup.procs'):
        for pid in path.read_text().split():
            value = machine.at_start(path.parent.name, 'OOMScoreAdjust') or 0
            machine.put(f'/proc/{pid}/oom_score_adj', f'{value}\n')


def service_machine(root, init='systemd'):
    machine = ServiceMachine(root, init=init, defaults=True)  # others' drop-ins and links are made below
    for name in ('a.service', 'b.service', 'foo@.service'):
        machine.unit(name)
    machine.process(100, unit='a.service')
    machine.process(99, parent=100, unit='a.service')
    machine.process(110, unit='b.service')
    machine.process(120, unit='foo@1.service')
    machine.process(121, unit='foo@2.service')
    machine.put(f'{ETC}/b.service.d/theirs.conf', '[Service]\nOOMScoreAdjust=7\nOOMPolicy=continue\n')
    machine.put(f'{ETC}/b.service.d/zz.conf', '[Service]\n# last\nOOMScoreAdjust=8\n')
    for path in ('', '/theirs.conf', '/zz.conf'):
        own(machine, f'{ETC}/b.service.d{path}')
    start_again(machine)
    return machine


def linked_service_machine(root):
    """Folders and files of drop-ins that are links, as GNU stow makes them."""
    machine = service_machine(root)
    machine.put('/srv/dropins/a/50-theirs.conf', '[Service]\nMemoryMax=1G\n')
    own(machine, '/srv/dropins/a')
    (machine.base / f'{ETC}/a.service.d'.lstrip('/')).symlink_to('/srv/dropins/a')
    machine.put('/etc/cm/zz.conf', '[Service]\nOOMScoreAdjust=6\n')
    own(machine, '/etc/cm/zz.conf')
    (machine.base / f'{ETC}/b.service.d/zzz.conf'.lstrip('/')).symlink_to('/etc/cm/zz.conf')
    start_again(machine)
    return machine


def sharing_service_machine(root):
    """Services that have a file, and two that have all their drop-ins, in common: links lead from each to it."""
    machine = service_machine(root)
    machine.unit('c.service')
    machine.process(130, unit='c.service')
    machine.put('/srv/dropins/50-theirs.conf', '[Service]\nOOMScoreAdjust=5\n')
    machine.put('/etc/cm/zz.conf', '[Service]\nOOMScoreAdjust=6\n')
    own(machine, '/etc/cm/zz.conf')
    for link, target in ((f'{ETC}/a.service.d', '/srv/dropins'), (f'{ETC}/c.service.d', '/srv/dropins'),
                         (f'{ETC}/b.service.d/zzz.conf', '/etc/cm/zz.conf'),
                         ('/srv/dropins/zzz.conf', '/etc/cm/zz.conf')):
        (machine.base / link.lstrip('/')).symlink_to(target)
    start_again(machine)
    return machine


def openrc_machine(root):
    machine = service_machine(root, init='openrc')
    shutil.rmtree(machine.base / 'usr/lib/systemd')
    for name in ('a', 'b', LONG):
        machine.put(f'/etc/init.d/{name}', '#!/sbin/openrc-run\n')
    machine.put('/run/a.pid', '100\n')
    machine.put('/run/b.pid', '110\n')
    machine.put('/proc/110/oom_score_adj', '0\n')  # OpenRC reads no drop-in
    machine.put('/etc/conf.d/a', 'x=1\n')
    own(machine, '/etc/conf.d/a')
    machine.put('/sbin/start-stop-daemon', 'SSD_OOM_SCORE_ADJ')
    machine.put('/run/openrc/softlevel', 'default')
    return machine


def services(machine, **params):
    machine.loaded = {}
    return machine.run(**params)


def whole(machine, **params):
    machine.loaded = {}
    return machine.policy(**params)


def stop_a(machine):
    """Service a ends."""
    shutil.rmtree(machine.base / 'sys/fs/cgroup/system.slice/a.service')
    for pid in (99, 100):
        machine.end(pid)


def forget_run(machine):
    """A reboot empties /run; the processes are those of a host whose services started alike."""
    shutil.rmtree(machine.base / 'run/oomkit')


def long_name_machine(root):
    """Temporary names are no longer than a file system allows."""
    machine = service_machine(root)
    machine.unit(f'{LONG}.service')
    return machine


def two_process_machine(root):
    """Another process is recorded beside the one of the request."""
    machine = service_machine(root)
    machine.run(process={'pid': 110}, score_adj=5)
    return machine


STRICT = {'mode': 'never', 'kbytes': 3000000, 'admin_reserve_kbytes': 9000, 'conflicts': 'comment_out'}
BOTH = {'services': [{'name': 'a', 'score_adj': -5, 'oom_policy': 'kill'},
                     {'name': 'b', 'score_adj': 9, 'oom_policy': 'kill'}], 'conflicts': 'comment_out'}
SHARED = {'services': BOTH['services'] + [{'name': 'c', 'score_adj': -5, 'oom_policy': 'kill'}],
          'conflicts': 'comment_out'}
OPENRC = {'services': [{'name': 'a', 'score_adj': -5}, {'name': 'b', 'score_adj': 9}, {'name': LONG, 'score_adj': 9}]}
LONG_NAME = {'name': LONG, 'score_adj': 9}
INSTANCES = {'name': 'foo@', 'score_adj': -300, 'oom_policy': 'kill'}
PROCESS = {'process': {'pidfile': '/run/target.pid'}, 'score_adj': 77}
POLICY = {'name': 'a', 'oom_policy': 'kill'}
WHOLE = {'overcommit': {'mode': 'never', 'kbytes': 3000000}, 'panic': {'policy': 'panic', 'reboot_after': 30}, **BOTH}
ABSENT, NOTHING = {'state': 'absent'}, {'state': 'absent', 'exclusive': True}
NO_INSTANCES, NO_A = {'name': 'foo@', 'state': 'absent'}, {'name': 'a', 'state': 'absent'}
NO_PROCESS = {'process': PROCESS['process'], 'state': 'absent'}


class Case(NamedTuple):
    """What is requested of which machine, after which requests and events, and what reverts all of it."""

    make: Callable
    act: Callable
    earlier: Optional[dict]
    desired: dict
    back: dict
    meanwhile: Optional[Callable] = None


CASES = {
    'overcommit': Case(sysctl_machine, overcommit, None, STRICT, ABSENT),
    'overcommit, absent': Case(sysctl_machine, overcommit, STRICT, ABSENT, ABSENT),
    'overcommit through a link': Case(linked_machine, overcommit, None, STRICT, ABSENT),
    'overcommit through a link, absent': Case(linked_machine, overcommit, STRICT, ABSENT, ABSENT),
    'overcommit, with an access control list': Case(listed_machine, overcommit, None, STRICT, ABSENT),
    'overcommit, with an access control list, absent': Case(listed_machine, overcommit, STRICT, ABSENT, ABSENT),
    'overcommit, from kbytes to ratio': Case(sysctl_machine, overcommit, STRICT,
                                             {'ratio': 90, 'conflicts': 'comment_out'}, ABSENT),
    'overcommit, runtime only': Case(sysctl_machine, overcommit, None, dict(STRICT, persistent=False), ABSENT),
    'overcommit, boot only': Case(sysctl_machine, overcommit, None, dict(STRICT, runtime=False), ABSENT),
    'panic': Case(sysctl_machine, panic, None, {'policy': 'panic', 'reboot_after': 10, 'kill_allocating_task': False,
                                                'conflicts': 'comment_out'}, ABSENT),
    'services': Case(service_machine, services, None, BOTH, NOTHING),
    'services, absent': Case(service_machine, services, BOTH, NOTHING, NOTHING),
    'services, absent, one has stopped': Case(service_machine, services, BOTH, NOTHING, NOTHING, stop_a),
    'services through links': Case(linked_service_machine, services, None, BOTH, NOTHING),
    'services through links, absent': Case(linked_service_machine, services, BOTH, NOTHING, NOTHING),
    'services that share files': Case(sharing_service_machine, services, None, SHARED, NOTHING),
    'services that share files, absent': Case(sharing_service_machine, services, SHARED, NOTHING, NOTHING),
    'services, one of them no longer': Case(service_machine, services, BOTH, {
        'services': [{'name': 'a', 'score_adj': -7}], 'exclusive': True}, NOTHING),
    'a policy, absent': Case(service_machine, services, POLICY, NOTHING, NOTHING),
    'a policy until a restart, absent': Case(service_machine, services, dict(POLICY, persistent=False), NO_A, NO_A),
    'instances': Case(service_machine, services, None, INSTANCES, NO_INSTANCES),
    'instances, absent': Case(service_machine, services, INSTANCES, NO_INSTANCES, NO_INSTANCES),
    'a service with a long name': Case(long_name_machine, services, None, LONG_NAME, NOTHING),
    'a service with a long name, absent': Case(long_name_machine, services, LONG_NAME, NOTHING, NOTHING),
    'openrc': Case(openrc_machine, services, None, OPENRC, NOTHING),
    'openrc, absent': Case(openrc_machine, services, OPENRC, NOTHING, NOTHING),
    'openrc, absent after a reboot': Case(openrc_machine, services, OPENRC, NOTHING, NOTHING, forget_run),
    'a whole policy': Case(service_machine, whole, None, WHOLE, ABSENT),
    'a whole policy, absent': Case(service_machine, whole, WHOLE, ABSENT, ABSENT),
    'a process': Case(service_machine, services, None, PROCESS, NO_PROCESS),
    'a process, absent': Case(service_machine, services, PROCESS, NO_PROCESS, NO_PROCESS),
    'one of two processes, absent': Case(two_process_machine, services, PROCESS, NO_PROCESS, NO_PROCESS),
}


class Trial:
    """A request, tried again and again from the same state."""

    def __init__(self, tmp_path, monkeypatch, case):
        make, self.act, earlier, self.desired, self.back, meanwhile = CASES[case]
        self.base, self.monkeypatch = tmp_path / 'machine', monkeypatch
        machine = make(self.base)
        machine.life.is_compared = False  # this is done below, and reading would count as calls of the run
        if isinstance(machine, ServiceMachine):
            machine.process(200, name='target')
            machine.after_reload = lambda: note_reload(machine)
            note_reload(machine)
        machine.put('/run/target.pid', '200\n')
        self.untouched = state(machine)
        if earlier:
            locked(self.act, machine, earlier)
            # Others may have made these theirs since.
            for path in (OURS, f'{ETC}/a.service.d', f'{ETC}/a.service.d/90-oomkit.conf'):
                if (self.base / path.lstrip('/')).exists():
                    own(machine, path)
        self.machine = machine
        if meanwhile:
            done = state(machine)
            meanwhile(machine)
            ended = done.keys() - state(machine).keys()
            self.untouched = {path: value for path, value in self.untouched.items() if path not in ended}
        self.tried = set()
        self.kept, self.before = self._copy(tmp_path / 'kept'), state(machine)
        _how, result, self.calls = self.run()
        self.after = state(machine)
        self.left = tmp_path / 'left'
        assert result['changed'] and differences(self.after, self.before)

    def _copy(self, folder):
        """The whole machine as it is now, for L(_restore)."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.base, folder, symlinks=True)
        return folder, dict(self.machine.state), getattr(self.machine, 'known', None)

    def _restore(self, copy):
        folder, self.machine.state, self.machine.known = copy[0], dict(copy[1]), copy[2]
        shutil.rmtree(self.base)
        shutil.copytree(folder, self.base, symlinks=True)

    def run(self, number=None, error=None):
        """One run from the state before."""
        self._restore(self.kept)
        with self.monkeypatch.context() as patched:
            injector = Injector(patched, number, error)
            how, result = outcome(self.act, self.machine, self.desired)
        return how, result, injector.calls

    def violations(self, number, error):
        how, said, calls = self.run(number, error)
        problems = []
        if how == 'killed':
            problems += self.between(state(self.machine))
        elif how == 'failed':
            problems += message_faults(said, calls[number])
            problems += differences(state(self.machine), self.before, but=self.locks(calls, number))
        elif how == 'done':
            problems += differences(state(self.machine), self.after, but=self.locks(calls, number))
        if not problems and how == 'killed' and self._is_new('at once'):
            problems += self.reverted_at_once()
        if not problems and self._is_new('next', how == 'killed'):
            problems += self.next_ones(how)
        return how, problems

    def _is_new(self, *purpose):
        """Whether what follows has not been tried from this state: runs depend on nothing else."""
        key = (*purpose, repr(sorted(state(self.machine).items())))
        is_new = key not in self.tried
        self.tried.add(key)
        return is_new

    def reverted_at_once(self):
        """A killed run need not be completed first; what it left is there again for the next ones."""
        copy = self._copy(self.left)
        problems = self.reverted()
        self._restore(copy)
        return ['at once ' + one for one in problems]

    def between(self, found):
        """What a killed run may leave: every file and value old or new, and never stricter than both."""
        problems = ['%s: %r is neither old nor new' % (path, value) for path, value in found.items()
                    if value not in (self.before.get(path), self.after.get(path)) and not LEFT.search(path)]
        problems += ['%s is gone' % path for path in self.before if path in self.after and path not in found]
        limits = [limit_kb(one) for one in (found, self.before, self.after)]
        return problems + (['stricter than before and than wanted: %r' % limits] if limits[0] < min(limits[1:]) else [])

    def locks(self, calls, number):
        """The lock may be left where its removal is what failed; the next run removes it."""
        return ('run/oomkit',) if calls[number] in ('unlink', 'rmdir', 'close', 'stat', 'readlink') else ()

    def next_ones(self, how):
        """The next run brings what is wanted, the one after changes nothing, and then all can be reverted."""
        but = RECORDS if how == 'killed' else ()
        ended, said = outcome(self.act, self.machine, self.desired)
        problems = ['the next run: %r' % said] if ended != 'done' else differences(state(self.machine), self.after, but)
        if not problems and not self._is_new('desired'):
            return []
        ended, said = outcome(self.act, self.machine, self.desired)
        if ended != 'done' or said['changed']:
            problems.append('the run after the next: %r' % said)
        return problems + self.reverted()

    def reverted(self):
        """Everything is as it was before anything was ever asked for."""
        ended, said = outcome(self.act, self.machine, self.back)
        if ended == 'done' and not self._is_new('reverted'):
            return []
        ended, said = outcome(self.act, self.machine, self.back)
        if ended != 'done' or said['changed']:
            return ['reverted twice: %r' % said]
        # A copy of what was theirs stays, and what they did to files of ours since.
        found = {path: value for path, value in state(self.machine).items() if not path.endswith('.oomkit-TIME~')}
        theirs = ETC[1:] + '/a.service.d'
        but = () if theirs in self.untouched else (theirs,)
        return ['reverted: ' + one for one in differences(found, self.untouched, but)]


def message_faults(exc, call):
    text = str(exc)
    if not isinstance(exc, (ApplyError, Refusal, ConvertError, OSError)):
        return ['no message: %r' % exc]
    if isinstance(exc, OSError) and not exc.filename:
        return ['names nothing: %r' % exc]
    if isinstance(exc, ApplyError) and call in CHANGING and 'Everything was rolled back.' not in text:
        return [text]
    return [text] if 'internal error' in text or 'NOT rolled back' in text or 'None:' in text else []


def sample(calls):
    """Pairs of a call and an error: all of them, or a part. Most of the part change something, and one is a kill."""
    every = [(number, error) for number in range(len(calls)) for error in (*ERRORS, KILL)]
    if not INJECTIONS or INJECTIONS >= len(every):
        return every
    dice = random.Random(SEED)
    changing = [pair for pair in every if calls[pair[0]] in CHANGING]
    parts = ([pair for pair in changing if pair[1] == KILL], changing, every)
    return [pair for count, part in enumerate(parts) for pair in dice.sample(part, (INJECTIONS + 2 - count) // 3)]


def each_change(calls, step):
    """A failure or a kill, in turn, at every ``step``-th call that changes something; with OOMKIT_LONG both at each.

    No kill at fsync: it is as one at the next call.
    """
    changing = [number for number, name in enumerate(calls) if name in CHANGING][::step]
    errors = {place: (errno.EIO, KILL) if os.environ.get('OOMKIT_LONG') else ((errno.EIO, KILL)[place % 2],)
              for place in range(len(changing))}
    return [(number, error) for place, number in enumerate(changing) for error in errors[place]
            if error != KILL or calls[number] != 'fsync']


def inject(trial, pairs):
    """Assert that none of these faults, one in each run, leaves or says what it should not."""
    found, outcomes = [], Counter()
    for number, error in pairs:
        how, problems = trial.violations(number, error)
        outcomes[how] += 1
        if problems:
            name = error if error == KILL else errno.errorcode[error]
            found.append(f'{name} at call {number} ({trial.calls[number]}): ' + '\n    '.join(problems))
    print(len(trial.calls), 'calls,', dict(outcomes))
    assert not found, f'{len(found)} of {len(pairs)}:\n' + '\n'.join(found[:12])


@pytest.mark.parametrize('case', CASES)
def test_any_call_may_fail(tmp_path, monkeypatch, case):
    trial = Trial(tmp_path, monkeypatch, case)
    inject(trial, sample(trial.calls))


@pytest.mark.thorough
@pytest.mark.parametrize('case', CASES)
def test_each_change_may_fail_or_be_the_last(tmp_path, monkeypatch, case):
    trial = Trial(tmp_path, monkeypatch, case)
    inject(trial, each_change(trial.calls, VARIANT_STEP if re.search('through|share|list|long', case) else 1))
