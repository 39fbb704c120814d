# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test whether this host can start programs as root and without CAP_SYS_ADMIN.

Under strict overcommit fork(2) and execve(2) fail with ENOMEM once Committed_AS reaches CommitLimit. A task with
CAP_SYS_ADMIN may use admin_reserve_kbytes in addition (``__vm_enough_memory``, mm/util.c), so the two results differ.

For an ordinary user CAP_SYS_ADMIN is not effective at fork(2), and the child drops all capabilities before execve(2).
The kernel checks nothing else. The child keeps uid 0, so that no user can send it a signal. Every wait has a deadline.
All preparation precedes the fork, because the child may find no memory.
"""

import contextlib
import errno
import fcntl
import os
import signal
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import signals

ROOT = 'root'
OTHERS = 'a user without CAP_SYS_ADMIN'


class SpawnOutcome(NamedTuple):
    kind: str
    number: int


STARTED = SpawnOutcome('started', 0)
ERRNO = 'errno'              # fork(2) or execve(2) failed with this errno
EXIT = 'exit'                # the program ended with this status: 127 where the dynamic loader could map no library
SIGNAL = 'signal'            # this signal ended it
NO_ANSWER = 'no answer'      # it has not ended after so many seconds
PRIVILEGED = 'privileged'    # we or the child could not give up rights, with this errno

# NixOS has only sh below /bin. Python is there, but comes last because it is the largest.
PROGRAMS = tuple((path, 'true') for path in ('/bin/true', '/usr/bin/true', '/run/current-system/sw/bin/true')) + (
    ('/bin/sh', 'sh', '-c', ':'), ('/proc/self/exe', 'python', '-V'))
_NO_PROGRAM = (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP, errno.EPERM, errno.ELIBBAD)

WAIT_S = 20  # for one start, on a host that is swapping
_AFTER_KILL_S = 1
# Temporary and not due to memory: too many processes (pids.max), or a signal.
_PASSING = (errno.EAGAIN, errno.EINTR)
_ATTEMPTS = 3
_PAUSE_S = 0.2
_NOT_EXECUTED = 125

# An unassigned uid of systemd's table, and the overflow uid if the first is not mapped.
_UNUSED, _NOBODY = 0x70000000, 65534
# linux/prctl.h, linux/capability.h
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _CAPABILITY_VERSION_3, _MOST_CAPABILITIES = 24, 38, 0x20080522, 64
_CAP_SYS_ADMIN = 1 << 21

Step = Callable[[], None]
Program = Tuple[str, ...]  # its path, and its arguments from argv[0] on


class _Way(NamedTuple):
    """Steps to get the rights of an ordinary user. Each step raises OSError."""

    lower: Step  # before the fork
    restore: Step  # in the parent, after it
    drop: Step  # in the child, before execve(2)


class _Child(NamedTuple):
    program: Program
    drop: Step
    report: int  # a pipe for one SpawnOutcome; execve(2) closes it
    null: Optional[int]
    inherited: List[int]  # descriptors to close


def probe_spawns(programs: Sequence[Program] = PROGRAMS, wait_s: float = WAIT_S) -> Dict[str, SpawnOutcome]:
    """Start a program as root and without rights, and return both outcomes. Raises OSError."""
    others = SpawnOutcome(PRIVILEGED, errno.ENOSYS)
    for way in _ways():
        others = _start(programs, way, wait_s)
        # A seccomp filter answers with an error, or with SIGSYS.
        if others.kind != PRIVILEGED and others != (SIGNAL, signal.SIGSYS):
            break
    return {ROOT: _start(programs, _AS_WE_ARE, wait_s), OTHERS: others}


def describe_outcome(outcome: SpawnOutcome) -> str:
    """The outcome for a message."""
    texts = {EXIT: 'it ended with status %d', SIGNAL: 'signal %d ended it', NO_ANSWER: 'no answer within %d s'}
    return texts[outcome.kind] % outcome.number if outcome.kind in texts else os.strerror(outcome.number)


# ------------------------------------------------------------------- the parent

def _start(programs: Sequence[Program], way: _Way, wait_s: float) -> SpawnOutcome:
    """The outcome of the first program that exists."""
    outcome = SpawnOutcome(ERRNO, errno.ENOENT)
    for program in programs:
        outcome = _start_again(program, way, wait_s)
        if outcome.kind != ERRNO or outcome.number not in _NO_PROGRAM:
            break
    return outcome


def _start_again(program: Program, way: _Way, wait_s: float) -> SpawnOutcome:
    """The outcome, after up to two retries if it may be temporary.

    The kernel also ends a process with a signal if execve(2) runs out of memory too late to return.
    """
    for attempt in range(_ATTEMPTS):
        outcome = _start_once(program, way, wait_s)
        passing = outcome.number in _PASSING if outcome.kind == ERRNO else outcome.kind == SIGNAL
        if not passing or attempt == _ATTEMPTS - 1:
            break
        time.sleep(_PAUSE_S)
    return outcome


def _start_once(program: Program, way: _Way, wait_s: float) -> SpawnOutcome:
    with _pipe() as (reader, writer), _dev_null() as null:
        child = _Child(program, way.drop, writer, null, [int(name) for name in os.listdir('/proc/self/fd')])
        try:
            way.lower()
        except OSError as exc:
            return SpawnOutcome(PRIVILEGED, exc.errno or errno.EPERM)
        try:
            pid = os.fork()
            if pid == 0:
                _run_child(child)
        except OSError as exc:
            return SpawnOutcome(ERRNO, exc.errno or errno.ENOMEM)
        finally:
            way.restore()
        return _answer(pid, reader, wait_s)


@contextlib.contextmanager
def _pipe() -> Iterator[Tuple[int, int]]:
    """A non-blocking pipe whose ends are not 0, 1 or 2, even if these are closed."""
    ends = list(os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK))
    try:
        for number, end in enumerate(ends):
            ends[number] = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3)
            os.close(end)
        yield ends[0], ends[1]
    finally:
        for end in ends:
            os.close(end)


@contextlib.contextmanager
def _dev_null() -> Iterator[Optional[int]]:
    """A descriptor of /dev/null; None if missing."""
    try:
        fd = os.open('/dev/null', os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _answer(pid: int, reader: int, wait_s: float) -> SpawnOutcome:
    """The outcome of the child. Kills it if it does not end in time."""
    in_time = _has_ended(pid, wait_s)
    if not in_time:
        os.kill(pid, signal.SIGKILL)  # the kernel does not reuse its PID until it is reaped
        if _has_ended(pid, _AFTER_KILL_S):
            os.waitpid(pid, os.WNOHANG)
        return SpawnOutcome(NO_ANSWER, int(wait_s))
    _pid, status = os.waitpid(pid, os.WNOHANG)
    with contextlib.suppress(BlockingIOError):
        report = os.read(reader, 2)
        if len(report) == 2:
            return SpawnOutcome(_KINDS[report[:1]], report[1])
    if os.WIFSIGNALED(status):
        return SpawnOutcome(SIGNAL, os.WTERMSIG(status))
    return SpawnOutcome(EXIT, os.WEXITSTATUS(status)) if os.WEXITSTATUS(status) else STARTED


def _has_ended(pid: int, wait_s: float) -> bool:
    """Wait for the end of the child, without reaping it. A stopped child has not ended."""
    last, pause_s = time.monotonic() + wait_s, 0.001
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        left_s = last - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, 0.05)
    return True


# -------------------------------------------------------------------- the child

_KINDS = {b'e': ERRNO, b'p': PRIVILEGED}
_LETTERS = {kind: letter for letter, kind in _KINDS.items()}
_NO_MEMORY = b'e' + bytes((errno.ENOMEM,))


def _run_child(child: _Child) -> None:
    """In the child: start the program. Never returns."""
    try:
        _forget_parent(child)
        _drop(child)
        os.execve(child.program[0], child.program[1:], {})
    except OSError as exc:
        # execve(2) answers E2BIG where the new stack cannot grow for its few arguments (get_arg_page, fs/exec.c).
        _report(child, ERRNO, errno.ENOMEM if exc.errno == errno.E2BIG else exc.errno or errno.ENOMEM)
    except MemoryError:
        os.write(child.report, _NO_MEMORY)
    finally:
        os._exit(_NOT_EXECUTED)


def _forget_parent(child: _Child) -> None:
    """Give up terminal, signal handlers and files of the parent, such as its lock and Ansible's stdout."""
    os.setsid()
    signals.reset()
    for fd in child.inherited:
        if fd not in (child.report, child.null):
            with contextlib.suppress(OSError):
                os.close(fd)
    if child.null is not None:
        for fd in (0, 1, 2):
            os.dup2(child.null, fd)


def _drop(child: _Child) -> None:
    try:
        child.drop()
    except OSError as exc:
        _report(child, PRIVILEGED, exc.errno or errno.EPERM)
        os._exit(_NOT_EXECUTED)


def _report(child: _Child, kind: str, number: int) -> None:
    os.write(child.report, _LETTERS[kind] + bytes((number,)))


# ------------------------------------------------------------------- the rights

def _nothing() -> None:
    """No step is needed."""


_AS_WE_ARE = _Way(_nothing, _nothing, _nothing)


def _ways() -> List[_Way]:
    """The ways to have the rights of an ordinary user, best first."""
    if os.geteuid():
        return [_AS_WE_ARE]
    way = _without_capabilities()
    return [way, _AS_OTHER_USER] if way else [_AS_OTHER_USER]


def _without_capabilities() -> Optional[_Way]:
    """Keep uid 0 and give up capabilities; None if impossible, such as without ctypes.

    With an empty bounding set execve(2) gives uid 0 no capabilities (capabilities(7)). Without CAP_SETPCAP it cannot be
    emptied, but no_new_privs has the same effect (cap_bprm_creds_from_file, security/commoncap.c).
    """
    try:
        # Imported late: most runs start no program.
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        prctl, capset, capget = libc.prctl, libc.capset, libc.capget
        # Effective, permitted and inheritable: the low words, then the high ones.
        header, now = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
        if capget(header, now):
            return None
    except (ImportError, OSError, AttributeError):
        return None
    number_of = [ctypes.c_ulong(number) for number in range(_MOST_CAPABILITIES)]
    lower, none = (ctypes.c_uint32 * 6)(*now), (ctypes.c_uint32 * 6)()
    lower[0] &= ~_CAP_SYS_ADMIN

    def check(answer: int) -> None:
        if answer:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def drop() -> None:
        zero, one = number_of[:2]
        for number in number_of:
            if prctl(_PR_CAPBSET_DROP, number, zero, zero, zero):
                if ctypes.get_errno() != errno.EINVAL:  # EINVAL: this kernel has no more of them
                    check(prctl(_PR_SET_NO_NEW_PRIVS, one, zero, zero, zero))
                break
        check(capset(header, none))

    return _Way(lambda: check(capset(header, lower)), lambda: check(capset(header, now)), drop)


def _change_user() -> None:
    """Become an unused user; nobody can signal it. This clears the effective capabilities."""
    try:
        os.seteuid(_UNUSED)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        os.seteuid(_NOBODY)


def _stay_user() -> None:
    """Make the change permanent, which needs no rights."""
    uid = os.geteuid()
    os.setresuid(uid, uid, uid)


_AS_OTHER_USER = _Way(_change_user, lambda: os.seteuid(0), _stay_user)
