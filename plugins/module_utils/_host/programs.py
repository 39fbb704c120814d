# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program, without the signal mask and ignored signals of this process.

With posix_spawn(3) the child uses its parent's memory until execve(2), which matters on a host without free memory.
Python before 3.8 has only fork(2).
"""

import errno
import os
import selectors
import signal
from typing import Any, Dict, List, Sequence, Tuple

from . import signals

_CHUNK_BYTES = 1 << 16
_NOT_STARTED = 127


def run_program(arguments: Sequence[str]) -> Tuple[int, bytes, bytes]:
    """Run a program of PATH in the locale C to its end: exit code, output, errors. Raises OSError."""
    program, environment = _find(arguments[0]), dict(os.environ, LC_ALL='C')
    pipes = [*os.pipe(), *os.pipe()]
    try:
        start = _spawn if hasattr(os, 'posix_spawn') else _fork
        pid = start(program, arguments, environment, pipes[1], pipes[3])
        os.close(pipes.pop(3))
        os.close(pipes.pop(1))
        out, errors = _read(pipes[0], pipes[1])
    finally:
        for fd in pipes:
            os.close(fd)
    status = os.waitpid(pid, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status), out, errors


def _find(name: str) -> str:
    """The path of a program. Raises OSError."""
    for folder in os.environ.get('PATH', os.defpath).split(os.pathsep):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _spawn(program: str, arguments: Sequence[str], environment: Dict[str, str], out: int, errors: int) -> int:
    """Start it in its own process group. A signal to our group, which we may block, does not end it."""
    every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    actions: List[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, out, 1),
                          (os.POSIX_SPAWN_DUP2, errors, 2)]
    return os.posix_spawn(program, list(arguments), environment, file_actions=actions, setpgroup=0, setsigmask=(),
                          setsigdef=every)


def _fork(program: str, arguments: Sequence[str], environment: Dict[str, str], out: int, errors: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        signals.reset()
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (errors, 2)):
            os.dup2(source, target)
        os.execve(program, list(arguments), environment)
    finally:
        os._exit(_NOT_STARTED)


def _read(out: int, errors: int) -> Tuple[bytes, bytes]:
    """The output of both pipes to the end. Raises OSError."""
    pieces: Dict[int, List[bytes]] = {out: [], errors: []}
    with selectors.DefaultSelector() as waiting:
        for fd in pieces:
            waiting.register(fd, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _events in waiting.select():
                piece = os.read(key.fd, _CHUNK_BYTES)
                pieces[key.fd].append(piece)
                if not piece:
                    waiting.unregister(key.fd)
    return b''.join(pieces[out]), b''.join(pieces[errors])
