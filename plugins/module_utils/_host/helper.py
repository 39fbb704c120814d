# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A helper process that reads what other users control: their processes, and files in folders that they can write.

Such a read may never return, not even after SIGKILL, but the module can abandon the helper. The helper keeps only its
two pipes, because Ansible waits for each process that holds the module's output. If a read takes too long
(L(_host.file_access)), the module kills the helper without waiting. Another helper repeats the work without that
process or folder. If fork(2) fails, the module reads only processes of root and of its own user.
"""

import contextlib
import errno
import io
import mmap
import os
import pickle
import select
import signal
import struct
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .._core.sanitize import InternalError, internal_error
from . import file_access, signals

DEADLINE_S = 4.0  # for one read
# All reads longer than a poll share BUDGET_S; after that, LEAST_S is the deadline. Otherwise a user could let each of a
# hundred reads return just before the deadline.
BUDGET_S, LEAST_S = 12.0, 0.5
# After so many reads that did not return, only trusted processes are read, then none, then the run fails.
_UNTIL_TRUSTED, _UNTIL_NONE, _UNTIL_END = 2, 4, 6
_LOST = 2  # helpers of one call that something else killed, such as the OOM killer, until the run fails
_END_S = 1.0  # from the close of its pipes to its end, which waitpid(2) reports
_POLL_MS = 200
_PIPE_BYTES = 4096  # PIPE_BUF: poll(2) reports a pipe as writable when it takes this much
_LENGTH = struct.Struct('Q')
_CHUNK_BYTES = 1 << 16
_FOLLOWS = {file_access.TRUSTED: 'only processes of root and of this user are read, because %s',
            file_access.NONE: 'no process is read, because %s'}


class HelperError(OSError):
    """Too many reads did not return, or something killed the helper twice."""


class Helper:
    """Calls functions in a helper process; replaces the process if a read does not return."""

    def __init__(self, shared: Dict[str, Any]) -> None:
        """``shared``: objects, by name, that both processes have. Only the name is sent. C(host) is one."""
        self._shared = shared
        self._stalls: List[file_access.Stall] = []
        self._child = 0
        self._requests = self._answers = -1
        self._board: mmap.mmap  # of the helper in C(_child)
        self._fork_error: Optional[str] = None
        self._unread: List[str] = []
        self._waited_s = self._slow_s = 0.0
        self._start()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of a module in the helper, and return its result.

        Raises what the function raises, and HelperError.
        """
        lost = 0
        while lost < _LOST:
            if not self._child:
                self._start()
            if not self._child:
                return self._call_here(function, args)
            answer = self._request(function, args)
            if answer is None:
                lost += not self._add_stall()
                continue
            returned, value, self._unread = _load(answer, self._shared)
            if returned:
                return value
            raise value
        raise HelperError(errno.ENOMEM, 'the helper process that reads processes and files was killed twice'
                                        ' [OOMK-3104]')

    def unread(self) -> List[str]:
        """What the last call skipped, with the reasons."""
        return self._unread

    def close(self) -> None:
        """Kill the helper without waiting for it: its read may never end.

        An idle helper also exits with this process, because its pipe closes.
        """
        if self._requests < 0:
            return
        if self._child and not self._has_ended():
            os.kill(self._child, signal.SIGKILL)
            self._has_ended()
        _close(self._requests, self._answers)
        self._child, self._requests, self._answers = 0, -1, -1

    # ------------------------------------------------------------------ processes

    def _start(self) -> None:
        """Start a helper. On failure C(_fork_error) says why."""
        pipes: List[int] = []
        try:
            self._board = mmap.mmap(-1, file_access.BOARD_BYTES)
            for _pipe in range(2):
                pipes += os.pipe()
            self._child = os.fork()
        except OSError as exc:
            self._fork_error = exc.strerror
            _close(*pipes)
            return
        if not self._child:
            _serve(pipes[0], pipes[3], self._shared, lambda: self._make_access(self._board))
        _close(pipes[0], pipes[3])
        os.set_blocking(pipes[1], False)
        self._requests, self._answers, self._fork_error = pipes[1], pipes[2], None

    def _has_ended(self) -> bool:
        """Whether the helper has exited. The kernel may reuse its PID then, so forget it."""
        try:
            if self._child and os.waitpid(self._child, os.WNOHANG)[0]:
                self._child = 0
        except ChildProcessError:  # if SIGCHLD is ignored
            self._child = 0
        return not self._child

    def _await_end(self) -> None:
        """Wait until waitpid(2) reports its end. Otherwise it looks like a read that did not return."""
        last = time.monotonic() + _END_S
        while not self._has_ended() and time.monotonic() < last:
            time.sleep(0.001)

    def _call_here(self, function: Callable[..., Any], args: Tuple[Any, ...]) -> Any:
        before = file_access.set_current(self._make_access(None))
        try:
            return function(*args)
        finally:
            self._unread = _unread()
            file_access.set_current(before)

    # --------------------------------------------------------------------- stalls

    def _make_access(self, board: Optional[mmap.mmap]) -> file_access.Access:
        whose, why = file_access.ALL, ''
        if len(self._stalls) >= _UNTIL_TRUSTED:
            whose, why = file_access.TRUSTED, f'{len(self._stalls)} reads did not return [OOMK-3102]'
        if len(self._stalls) >= _UNTIL_NONE:
            whose = file_access.NONE
        if self._fork_error:
            whose, why = file_access.TRUSTED, f'no helper process could be started ({self._fork_error}) [OOMK-3102]'
        proc, reason = self._shared['host'].locate('/proc'), _FOLLOWS[whose] % why if why else ''
        return file_access.RestrictedAccess(proc, self._stalls, whose, reason, board, self._slow_s)

    def _add_stall(self) -> bool:
        """Close a helper that did not answer. True if its read did not return; False if something killed it."""
        path = '' if self._has_ended() else file_access.read_board(self._board)[1]
        self._slow_s = file_access.read_slow_s(self._board)
        self.close()
        if path:
            self._stalls.append(file_access.parse_stall(path))
            if len(self._stalls) >= _UNTIL_END:
                raise HelperError(errno.ETIMEDOUT, 'too many processes or files do not answer [OOMK-3104]', path)
        return bool(path)

    # ------------------------------------------------------------------- exchange

    def _request(self, function: Callable[..., Any], args: Tuple[Any, ...]) -> Optional[bytes]:
        """Send a call and return the answer; None if it does not come in time. Raises HelperError."""
        try:
            return self._exchange(_dump((function, args), self._shared))
        except OSError as exc:
            self.close()
            raise HelperError(exc.errno or errno.EIO, f'{exc.strerror} [OOMK-3104]',
                              'the pipe to the helper process') from exc
        except BaseException:
            self.close()
            raise

    def _exchange(self, request: bytes) -> Optional[bytes]:
        """Send a request and return the answer; None if it does not come in time."""
        left = memoryview(_LENGTH.pack(len(request)) + request)
        try:
            while left and self._is_ready(self._requests, select.POLLOUT):
                left = left[os.write(self._requests, left[:_PIPE_BYTES]):]
        except BrokenPipeError:
            self._await_end()
            return None
        head = None if left else self._read(_LENGTH.size)
        return self._read(_LENGTH.unpack(head)[0]) if head else None

    def _read(self, count: int) -> Optional[bytes]:
        """Read so many bytes of the answer; None if they do not come in time."""
        pieces: List[bytes] = []
        while count and self._is_ready(self._answers, select.POLLIN):
            piece = os.read(self._answers, min(count, _CHUNK_BYTES))
            if not piece:
                self._await_end()
                break
            pieces.append(piece)
            count -= len(piece)
        return None if count else b''.join(pieces)

    def _is_ready(self, fd: int, event: int) -> bool:
        """Wait for the pipe; False if one read of the helper takes too long."""
        poll = select.poll()
        poll.register(fd, event)
        seen, since = file_access.read_board(self._board), time.monotonic()
        while not poll.poll(_POLL_MS):
            found, now = file_access.read_board(self._board), time.monotonic()
            if found != seen or not found[1]:
                seen, since = found, now
                continue
            self._waited_s += _POLL_MS / 1000.0
            if now - since > (DEADLINE_S if self._waited_s < BUDGET_S else LEAST_S):
                return False
        return True


def _serve(requests: int, answers: int, shared: Dict[str, Any], access: Callable[[], file_access.Access]) -> None:
    """Answer requests in the helper. Never returns."""
    try:
        keep_only(requests, answers)
        for one in shared.values():
            one.helper = None
        signals.reset()
        file_access.set_current(access())
        while True:
            head = _read_all(requests, _LENGTH.size)
            function, args = _load(_read_all(requests, _LENGTH.unpack(head)[0]), shared)
            _write_all(answers, _answer(function, args, shared))
    finally:
        os._exit(0)  # skips the parent's exit handlers, and flushes no buffer twice


def _answer(function: Callable[..., Any], args: Tuple[Any, ...], shared: Dict[str, Any]) -> bytes:
    """Pickle (whether the function returned, its result or exception, what was skipped)."""
    try:
        returned, value = True, function(*args)
    except Exception as exc:
        returned, value = False, exc if _is_expected(exc) else InternalError(internal_error(exc))
    file_access.current.end()
    try:
        return _dump((returned, value, _unread()), shared)
    except Exception as exc:  # a result that cannot be pickled
        return _dump((False, InternalError(internal_error(exc)), []), shared)


def _unread() -> List[str]:
    return file_access.current.unread_processes() + file_access.current.other_unread()


def _is_expected(exc: Exception) -> bool:
    """Whether the system or this collection raises it on purpose."""
    return isinstance(exc, (OSError, MemoryError)) or type(exc).__module__.startswith(__name__.rpartition('._host.')[0])


def _close(*descriptors: int) -> None:
    """Close them. Ignores errors, because close(2) closes even then."""
    for fd in descriptors:
        with contextlib.suppress(OSError):
            os.close(fd)


def keep_only(*kept: int) -> None:
    """Close all descriptors except these, and open /dev/null as 0, 1 and 2."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        if fd not in kept:
            os.dup2(null, fd)
    try:
        found = [int(name) for name in os.listdir('/proc/self/fd')]
    except OSError:
        found = list(range(3, 1024))
    _close(*(fd for fd in found if fd > 2 and fd not in kept))  # the listing's own is closed already


def _read_all(fd: int, count: int) -> bytes:
    """Read so many bytes. Raises EOFError when the other end is closed."""
    pieces = []
    while count:
        piece = os.read(fd, min(count, _CHUNK_BYTES))
        if not piece:
            raise EOFError
        pieces.append(piece)
        count -= len(piece)
    return b''.join(pieces)


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(_LENGTH.pack(len(data)) + data)
    while left:
        left = left[os.write(fd, left):]


class _Pickler(pickle.Pickler):
    """Pickles shared objects as their names."""

    def __init__(self, file: Any, shared: Dict[str, Any]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._names = {id(one): name for name, one in shared.items()}

    def persistent_id(self, obj: Any) -> Optional[str]:
        """The name of a shared object."""
        return self._names.get(id(obj))


class _Unpickler(pickle.Unpickler):
    """Unpickles shared objects from their names. Only this program writes what it reads."""

    def __init__(self, file: Any, shared: Dict[str, Any]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: str) -> Any:
        """The object of that name."""
        return self._shared[pid]


def _dump(value: Any, shared: Dict[str, Any]) -> bytes:
    file = io.BytesIO()
    _Pickler(file, shared).dump(value)
    return file.getvalue()


def _load(data: bytes, shared: Dict[str, Any]) -> Any:
    return _Unpickler(io.BytesIO(data), shared).load()
