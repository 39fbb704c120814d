# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and write one process through a directory descriptor of /proc/PID.

The kernel can reuse a PID between a scan and a write. The descriptor belongs to the process, not to the PID: when the
process is gone, each use returns ESRCH (fs/proc/base.c). PID and start time identify a process across descriptors.
L(ProcessHandle.look) waits for the end of the clock tick in which the process started. So a later process with its PID
has a later start time.
"""

import contextlib
import errno
import os
import time
from typing import Any, List, NamedTuple, Optional, Set, Tuple

from .._core.text import to_number
from .._host import file_access
from .._host.file_access import open_fd
from .._host.host import Host
from .procfs import parse_stat

_GONE = (errno.ENOENT, errno.ESRCH, errno.ENOTDIR)
_CHUNK_BYTES = 65536
_INIT = 1
_CLOCK_BOOTTIME = 7  # linux/time.h, the clock of start times (fs/proc/array.c); Python has the name since 3.7


class ProcessIdentity(NamedTuple):
    pid: int
    parent: int
    start_ticks: int
    name: bytes
    score_adj: int

    @property
    def key(self) -> Tuple[int, int]:
        """PID and start time, which identify the process even if its PID is reused."""
        return self.pid, self.start_ticks


class ProcessHandle:
    """A process, used with C(with). Each read returns None once it is gone."""

    def __init__(self, host: Host, pid: int) -> None:
        """Raises OSError if a running process cannot be opened."""
        self.pid = pid
        self.host = host
        self._is_real = host.root == '/'
        self._fd: Optional[int] = None
        if not file_access.current.allows(pid):
            return
        path = f'/proc/{pid}'
        try:
            with file_access.Reading(path):
                self._fd = os.open(host.locate(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            if exc.errno not in _GONE:
                raise

    def __enter__(self) -> 'ProcessHandle':
        return self

    def __exit__(self, *_exc: Any) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # close(2) closes also when it fails
                os.close(self._fd)

    def read(self, name: str) -> Optional[bytes]:
        """A file of the process, up to 64 KiB; None if the process is gone. Raises OSError."""
        if self._fd is None or not file_access.current.allows(self.pid, name.rpartition('/')[2]):
            return None
        try:
            with file_access.Reading(f'/proc/{self.pid}/{name}'), open_fd(name, os.O_RDONLY, self._fd) as fd:
                return os.read(fd, _CHUNK_BYTES)
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            raise self._named(exc, name) from exc

    def read_thread(self, name: str) -> Optional[bytes]:
        """The file of another thread if only the first has ended and lost its memory.

        None if the first thread runs, or no thread does. Raises OSError.
        """
        stat = parse_stat(self.read('stat') or b'')
        if stat is None or not stat.has_lost_first_thread():
            return None
        for thread in self._threads():
            stat = parse_stat(self.read(f'task/{thread}/stat') or b'')
            if stat is not None and not stat.has_ended():
                return self.read(f'task/{thread}/{name}')
        return None

    def _threads(self) -> List[str]:
        """The IDs of its threads; none if it is gone."""
        with contextlib.suppress(OSError), open_fd('task', os.O_RDONLY | os.O_DIRECTORY, self._fd) as fd:
            return [name for name in os.listdir(fd) if name.isdigit()]
        return []

    def look(self) -> Optional[ProcessIdentity]:
        """Its identity and oom_score_adj; None if it is gone or dead. Waits a clock tick if it has just started."""
        seen = self._look()
        if seen is not None and self._is_real:
            wait_s = (seen.start_ticks + 1) / os.sysconf('SC_CLK_TCK') - time.clock_gettime(_CLOCK_BOOTTIME)
            if wait_s > 0:
                time.sleep(wait_s)
                seen = self._look()
        return seen

    def _look(self) -> Optional[ProcessIdentity]:
        stat, adj = parse_stat(self.read('stat') or b''), to_number(self.read('oom_score_adj'))
        if stat is None or adj is None or (stat.has_ended() and not stat.has_lost_first_thread()):
            return None
        return ProcessIdentity(self.pid, stat.parent, stat.start_ticks, stat.name, adj)

    def write_score_adj(self, value: int) -> bool:
        """Set oom_score_adj. False if the process is gone.

        Raises OSError: EACCES without CAP_SYS_RESOURCE (proc_pid_oom_score_adj(5)).
        """
        if self._fd is None:
            return False
        try:
            with open_fd('oom_score_adj', os.O_WRONLY | os.O_TRUNC, self._fd) as fd:
                os.write(fd, b'%d\n' % value)
        except OSError as exc:
            if exc.errno in _GONE:
                return False
            raise self._named(exc, 'oom_score_adj') from exc
        return True

    def _named(self, exc: OSError, name: str) -> OSError:
        """The error with the complete path. Calls with a descriptor have no path, or its last part."""
        return OSError(exc.errno, exc.strerror, f'/proc/{self.pid}/{name}')


def read_init_cgroup(host: Host) -> bytes:
    """/proc/1/cgroup; empty if unreadable."""
    try:
        with ProcessHandle(host, _INIT) as init:
            return init.read('cgroup') or b''
    except OSError:
        return b''


def list_ancestors(host: Host, pid: int) -> List[int]:
    """The process and its ancestors, up to PID 1 or to one that is not visible."""
    line: List[int] = []
    known: Set[int] = set()
    while pid > 0 and pid not in known:
        line.append(pid)
        known.add(pid)
        seen = identify(host, pid)
        pid = seen.parent if seen is not None else 0
    return line


def list_pids(host: Host) -> List[int]:
    """The PIDs of all processes. Raises OSError."""
    return [int(name) for name in host.names('/proc') if name.isdigit()]


def identify(host: Host, pid: int) -> Optional[ProcessIdentity]:
    """The process that has this PID now; None for none. Raises OSError."""
    with ProcessHandle(host, pid) as handle:
        return handle.look()


def is_same(one: Optional[ProcessIdentity], other: Optional[ProcessIdentity]) -> bool:
    """Whether both are the same process; False for None."""
    return one is not None and other is not None and one.key == other.key
