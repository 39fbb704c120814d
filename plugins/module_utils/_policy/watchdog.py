# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog: a process that rolls runtime back when nobody has confirmed the change in time.

The module forks it before the first write. It opens the sysctls, the system log and its state file, locks its memory
and rehearses every step. So it works when nothing can be forked or allocated any more. It leaves the connection
(terminal, pipes, session). It also leaves the cgroup, because logind and systemd would kill it with the login.

SIGTERM makes it decide at once: it rolls back, or ends if its state file is gone.
"""

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, TypeVar

try:
    import ctypes
except ImportError:  # missing in some small installations
    ctypes = None  # type: ignore[assignment]

from .._core.convert import MODES
from .._core.sanitize import explain
from .._core.text import to_text
from .._host import file_trust, signals
from .._host.host import RUN_FOLDER, RUN_FOLDER_MODE, naming, sysctl_path
from .._host.mounts import parse_mountinfo
from .._host.writable import WritableHost
from .._kernel import sysctls
from .connection import process
from .pending_change import Pending, claim, claim_rollback, dump, read_uptime_s, rollback_name
from .waiting import WATCHDOG

T = TypeVar('T')

_START_S = 30             # forking is slow on a machine that swaps
_SLICE_S = 1.0            # sigtimedwait(2) does not count suspended time: look at the clock this often
_RETRY_S = 0.2
_RETRIES = 150
_MCL_CURRENT = 1          # mman-common.h; 8192 on some old architectures, where mlockall(2) then answers EINVAL
# user.warning, so that log readers see a program's message, not the kernel's.
_PRIORITY = b'<12>'
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGALRM,
            signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD,
            signal.SIGXCPU, signal.SIGXFSZ, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR)


# One setting: ratio and kbytes together are one.
class Step(NamedTuple):
    key: str  # written to roll back
    value: int
    keys: Tuple[str, ...]  # read to see who set the value
    ours: Tuple[Optional[int], ...]  # values that the change wrote
    was: Tuple[Optional[int], ...]  # values before the change


# Keys by result of the rollback.
class RollbackOutcome(NamedTuple):
    back: List[str]
    left: List[str]
    failed: List[str]


class WatchdogError(Exception):
    """The watchdog could not be started."""


def build_steps(writes_back: List[Tuple[str, int]], before: sysctls.State, after: sysctls.State) -> List[Step]:
    """Build the writes that undo a change, in order, with the values that show whether it is still ours."""
    steps = []
    for key, value in writes_back:
        keys = tuple(name for name in (sysctls.RATIO, sysctls.KBYTES) if before.get(name) is not None)
        keys = keys if key in keys else (key,)
        steps.append(Step(key, value, keys, tuple(after[name] for name in keys), tuple(before[name] for name in keys)))
    return steps


# ---------------------------------------------------------------------- rollback

def roll_back(steps: List[Step], read: Callable[[str], Optional[int]],
              write: Callable[[Step], object]) -> RollbackOutcome:
    """Undo what is still as the change left it. Values that somebody else has set since are skipped.

    Strict mode is not entered again with somebody else's limit or reserve: that could lock people out.
    """
    found = {step.key: tuple(map(read, step.keys)) for step in steps}
    foreign = [step.key for step in steps if found[step.key] not in (step.ours, step.was)]
    outcome = RollbackOutcome([], [], [])
    for step in steps:
        if found[step.key] == step.was:
            continue
        if step.key in foreign or (foreign and _enters_strict_mode(step)):
            outcome.left.append(step.key)
        elif _wrote(step, write):
            outcome.back.append(step.key)
        else:
            outcome.failed.append(step.key)
    return outcome


def _enters_strict_mode(step: Step) -> bool:
    return step.key == sysctls.MEMORY and step.value == MODES['never']


def _wrote(step: Step, write: Callable[[Step], object]) -> bool:
    def work() -> bool:
        write(step)
        return True
    return _insist(work, False)


def _insist(work: Callable[[], T], otherwise: T) -> T:
    """Retry ``work``, because a lack of memory passes. Returns ``otherwise`` if it never works."""
    for _attempt in range(_RETRIES):
        try:
            return work()
        except (OSError, MemoryError):
            signal.sigtimedwait([signal.SIGALRM], _RETRY_S)
    return otherwise


def log_line(outcome: RollbackOutcome, steps: List[Step], why: str) -> bytes:
    """Describe the rollback in one line for the system log."""
    values = {step.key: step.value for step in steps}
    rolled_back = ', '.join(f'{key} = {values[key]}' for key in outcome.back) or 'nothing'
    text = f'oomkit.linux.overcommit: {why}; rolled back at runtime: {rolled_back}'
    if outcome.left:
        text += '; left as somebody else has set it: ' + ', '.join(outcome.left)
    if outcome.failed:
        text += '; NOT rolled back, the kernel refused it: ' + ', '.join(outcome.failed)
    return _PRIORITY + (text + ' [OOMK-2211]').encode('ascii', 'replace') + b'\n'


# ------------------------------------------------------------------------- start

def start(host: WritableHost, pending: Pending, steps: List[Step]) -> Tuple[Pending, List[str]]:
    """Fork the watchdog and wait until it is ready. Returns the change in /run/oomkit, and warnings.

    Raises WatchdogError, and then leaves nothing behind.
    """
    host.make_folder(RUN_FOLDER, RUN_FOLDER_MODE)
    try:
        file_trust.check_record(host, f'{RUN_FOLDER}/{pending.name}')
        answer = _asked(host, pending, steps)
        if 'error' in answer:
            raise WatchdogError(answer['error'])
        return pending._replace(pid=answer['pid'], started=answer['started']), answer['warnings']
    except BaseException as exc:
        # The watchdog may be alive. The pipe is closed by now: one that is not ready sees that and ends. A ready one
        # ends because its file is gone.
        _insist(lambda: claim(host, pending.name), False)
        with contextlib.suppress(OSError):
            host.remove_folder(RUN_FOLDER)
        if isinstance(exc, (OSError, MemoryError, ValueError)):
            raise WatchdogError(explain(exc)) from exc
        raise


def _asked(host: WritableHost, pending: Pending, steps: List[Step]) -> Dict[str, Any]:
    """Fork the watchdog and return its answer."""
    with naming('pipe'):
        reader, writer = os.pipe()
    try:
        try:
            pid = _forked(lambda: _first_child(host, pending, steps, writer))
        finally:
            os.close(writer)
        # If SIGCHLD is ignored, which is inherited, there is no child to wait for.
        with naming('waitpid'), contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        with naming('the pipe of the watchdog'):
            return _hear(reader)
    finally:
        os.close(reader)


def _forked(work: Callable[[], None]) -> int:
    """Fork a child that runs ``work`` and exits. No signal or error may return it to the module's code."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
    pid = -1
    try:
        with naming('fork'):
            pid = os.fork()
        if pid == 0:
            work()
        return pid
    finally:
        if pid == 0:
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hear(reader: int) -> Dict[str, Any]:
    """Read the one line that the watchdog sends."""
    data = b''
    while b'\n' not in data:
        if not select.select([reader], [], [], _START_S)[0]:
            return {'error': f'it was not ready within {_START_S} s'}
        piece = os.read(reader, 4096)
        if not piece:
            return {'error': 'it ended before it was ready'}
        data += piece
    found: Dict[str, Any] = json.loads(data.partition(b'\n')[0].decode('ascii'))
    return found


def _first_child(host: WritableHost, pending: Pending, steps: List[Step], writer: int) -> None:
    """Run in the child, with signals blocked. Init becomes the parent of its own child."""
    try:
        os.setsid()
        if os.fork() == 0:
            _second_child(host, pending, steps, writer)
    except BaseException as exc:  # the child must not go on with the module's work
        _say(writer, {'error': f'{type(exc).__name__}: {exc}'})


def _second_child(host: WritableHost, pending: Pending, steps: List[Step], writer: int) -> None:
    name = pending.name
    try:
        signals.reset(_IGNORED)
        watchdog = _Watchdog(host, pending, steps, writer)
        watchdog.rehearse()
        # From here on other runs find the watchdog.
        watchdog.publish()
        if not _say(writer, {'pid': watchdog.pending.pid, 'started': watchdog.pending.started,
                             'warnings': watchdog.warnings}):
            _insist(lambda: claim(host, name), False)  # the module has given up
            return
        os.close(writer)
    except BaseException as exc:
        _say(writer, {'error': f'{type(exc).__name__}: {exc}'})
        _insist(lambda: claim(host, name), False)
        return
    watchdog.watch()


def _say(writer: int, message: Dict[str, Any]) -> bool:
    try:
        os.write(writer, json.dumps(message).encode('ascii') + b'\n')
    except OSError:
        return False
    return True


class _Watchdog:
    """The watchdog process and its open files."""

    def __init__(self, host: WritableHost, pending: Pending, steps: List[Step], writer: int) -> None:
        """Leave the connection and open everything. Raises OSError."""
        gc.disable()
        _leave_files(writer)
        os.chdir('/')
        os.umask(0o077)
        _set_own(host, 'comm', WATCHDOG.encode('ascii'))
        _set_own(host, 'oom_score_adj', b'-1000')
        self.warnings = leave_cgroups(host)
        self.host, self.steps = host, steps
        me = process(host, 'self')
        self.pending = pending._replace(pid=os.getpid(), started=me.start_ticks if me else 0)
        self._files = {key: host.open_proc(sysctl_path(key)) for step in steps for key in step.keys}
        self._data = {step.key: b'%d\n' % step.value for step in steps}
        self._log = _open_log(host)
        self._state = -1
        _lock_memory()

    def rehearse(self) -> None:
        """Do every later step without effect, so that Python has allocated what it needs."""
        ours = {key: value for step in self.steps for key, value in zip(step.keys, step.ours)}
        for step in self.steps:
            self._read(step.key)
        outcome = roll_back(self.steps, ours.get, lambda step: None)
        log_line(outcome._replace(left=outcome.back, failed=outcome.back), self.steps, self._why(0))
        signal.sigtimedwait([signal.SIGALRM], 0)
        self._claim()
        self._forget()

    def publish(self) -> None:
        """Write the state file, complete from the moment that it becomes visible."""
        path = RUN_FOLDER + '/' + self.pending.name
        # If this process is killed before the rename, the next run removes the temporary file.
        made = self.host.locate(self.host.build_temporary_path(path))
        self._state = os.open(made, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Held until this process ends: the lock tells the next run that it is alive.
            fcntl.flock(self._state, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(self._state, dump(self.pending))
            os.rename(made, self.host.locate(path))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise

    def watch(self) -> None:
        """Wait, then roll back unless the state file is gone. A failure must not end the process earlier."""
        left_s = _insist(self._wait, 0.0)
        # Roll back even if the claim fails: an unconfirmed limit must not stay.
        if not _insist(self._claim, True):
            return
        outcome = _insist(lambda: roll_back(self.steps, self._read, self._write),
                          RollbackOutcome([], [], [step.key for step in self.steps]))
        if not outcome.failed:  # else the file keeps the earlier values for the next run
            _insist(self._forget, False)
        with contextlib.suppress(OSError, MemoryError):
            if self._log is not None:
                os.write(self._log, log_line(outcome, self.steps, self._why(left_s)))

    def _wait(self) -> float:
        """Wait for the deadline, SIGTERM, or the removal of the state file. Returns the seconds left."""
        left_s = self.pending.deadline_s - read_uptime_s()
        while left_s > 0 and os.fstat(self._state).st_nlink:
            if signal.sigtimedwait([signal.SIGTERM], min(left_s, _SLICE_S)) is not None:
                break
            left_s = self.pending.deadline_s - read_uptime_s()
        return left_s

    def _claim(self) -> bool:
        return claim_rollback(self.host, self.pending.name)

    def _forget(self) -> bool:
        return claim(self.host, rollback_name(self.pending.name)) or claim(self.host, self.pending.name)

    def _why(self, left_s: float) -> str:
        return (f'not confirmed within {self.pending.within_s} s' if left_s <= 0
                else 'ended by SIGTERM before it was confirmed')

    def _read(self, key: str) -> Optional[int]:
        return sysctls.parse_value(to_text(self._files[key].read()))

    def _write(self, step: Step) -> None:
        self._files[step.key].write(self._data[step.key])


def _leave_files(*kept: int) -> None:
    """Close the files that the connection waits for."""
    null = os.open('/dev/null', os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for name in os.listdir('/proc/self/fd'):
        if int(name) > 2 and int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                pass  # the descriptor of the listing itself


def _set_own(host: WritableHost, name: str, value: bytes) -> None:
    """Write one of our own files in /proc. The watchdog also works without it."""
    try:
        _write_existing(host.locate('/proc/self/' + name), value)
    except OSError:
        pass


def _write_existing(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _open_log(host: WritableHost) -> Optional[int]:
    """Open the kernel log, or else syslog's socket; None if neither works."""
    try:
        return os.open(host.locate('/dev/kmsg'), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        pass
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        link.connect(host.locate('/dev/log'))
    except OSError:
        link.close()
        return None
    return link.detach()


def _lock_memory() -> None:
    """Keep the process out of swap if possible."""
    try:
        if ctypes is not None:
            ctypes.CDLL(None).mlockall(_MCL_CURRENT)
    except (OSError, AttributeError):
        pass


# -------------------------------------------------------------------------- cgroups

def leave_cgroups(host: WritableHost) -> List[str]:
    """Move this process to the root of every cgroup hierarchy. Returns warnings if systemd's own cannot be left.

    The root needs no new cgroup, and systemd kills nothing in it before shutdown. Under v2 the root is exempt from the
    rule that only leaves hold processes. A cgroup namespace hides the root, so systemd's init.scope serves there.
    """
    warnings = []
    mounts = cgroup_mounts(host.read_text('/proc/self/mountinfo') or '')
    for kind, path in mounts:
        error = _move(host, path)
        # systemd keeps its services and sessions in v2, or in a v1 hierarchy of its own.
        if error and (kind == 'cgroup2' or path.endswith('/systemd')):
            warnings.append(f'the watchdog that rolls the change back stays in the cgroup of this login ({path}: '
                            f'{error}): where logind ends what a login leaves behind, it rolls back when the '
                            'connection ends [OOMK-2209]')
    return warnings


def _move(host: WritableHost, path: str) -> str:
    """Move this process to the cgroup or its init.scope. Returns the error, empty on success."""
    error = ''
    for folder in (path, path + '/init.scope'):
        try:
            _write_existing(host.locate(folder + '/cgroup.procs'), b'%d\n' % os.getpid())
            return ''
        except OSError as exc:
            error = error or exc.strerror or str(exc)
    return error


def cgroup_mounts(mountinfo: str) -> List[Tuple[str, str]]:
    """(kind, mount point) of each hierarchy in /proc/PID/mountinfo; proc_pid_mountinfo(5).

    Of several mounts of a hierarchy, take the one that shows most of it. A bind mount of one cgroup would lead back
    into that cgroup.
    """
    best: Dict[str, Tuple[Tuple[int, int], str, str]] = {}
    for mount in parse_mountinfo(mountinfo):
        depth = _depth(mount.root)
        if mount.fs_type in ('cgroup', 'cgroup2') and (mount.device not in best or depth < best[mount.device][0]):
            best[mount.device] = (depth, mount.fs_type, mount.path)
    return [(kind, path) for _depth_of_it, kind, path in best.values()]


def _depth(root: str) -> Tuple[int, int]:
    """Depth of a mount's root below the top. Cgroups above a cgroup namespace appear as C(/../..)."""
    return len([name for name in root.split('/') if name not in ('', '..')]), len(root)
