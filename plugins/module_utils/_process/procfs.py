# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and parse the files of processes, and find programs by their names.

Sources: proc_pid_stat(5), proc_pid_status(5).
A process can end at any time: each read returns None then.
"""

import contextlib
import errno
import os
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, TypeVar

from .._core.text import to_number
from .._host import file_access
from .._host.host import Host

CHUNK_BYTES = 4096
_DENIED = (errno.EPERM, errno.EACCES)


class Stat(NamedTuple):
    name: bytes
    state: bytes
    parent: int
    terminal: int
    threads: int
    start_ticks: int  # clock ticks from boot
    rss_pages: Optional[int]

    def has_ended(self) -> bool:
        """Whether it is a zombie or dead. Other threads of a zombie may run."""
        return self.state in (b'Z', b'X')

    def has_lost_first_thread(self) -> bool:
        """Whether only the first thread has ended: it stays as a zombie, and the process runs on."""
        return self.state == b'Z' and self.threads > 1


def parse_stat(text: bytes) -> Optional[Stat]:
    """The fields of /proc/PID/stat; None for anything else. The name may hold blanks and brackets."""
    head, _bracket, tail = text.rpartition(b')')
    fields = tail.split()
    numbers = [to_number(fields[index]) for index in (1, 4, 17, 19)] if len(fields) > 19 else []
    if not numbers or None in numbers:
        return None
    parent, terminal, threads, start_ticks = (number or 0 for number in numbers)
    return Stat(head.partition(b'(')[2], fields[0], parent, terminal, threads, start_ticks,
                to_number(fields[21]) if len(fields) > 21 else None)


class Named(NamedTuple):
    found: List[Tuple[int, str]]  # (pid, name), by PID
    denied: int  # processes that /proc lists but that may not be read


def parse_cgroup_paths(text: bytes) -> Dict[bytes, bytes]:
    """The paths in /proc/PID/cgroup by controller of v1, C(name=systemd) and C(v2) (proc_pid_cgroup(5))."""
    paths = {}
    for line in filter(None, text.split(b'\n')):
        number, _colon, rest = line.partition(b':')
        controllers, _colon, path = rest.partition(b':')
        for controller in controllers.split(b','):
            paths[b'v2' if number == b'0' and not controller else controller] = path
    return paths


_ProcType = TypeVar('_ProcType', bound='Proc')


class Proc:
    """/proc, read through one descriptor. C(with) closes it."""

    def __init__(self, host: Host) -> None:
        self.fd = os.open(host.locate('/proc'), os.O_RDONLY | os.O_DIRECTORY)
        self._init_cgroup: Optional[bytes] = None

    def __enter__(self: _ProcType) -> _ProcType:
        return self

    def __exit__(self, _kind: Any = None, error: Any = None, _place: Any = None) -> None:
        os.close(self.fd)
        if isinstance(error, OSError) and not isinstance(error.filename, (str, bytes)):
            error.filename = '/proc'  # for speed the calls for each process name no file

    def find_programs(self, names: Dict[bytes, str]) -> Named:
        """The processes whose comm is one of ``names``."""
        found = []
        denied = 0
        for pid, comm in self._read_each(os.listdir(self.fd), 'comm', 64):
            if comm is None:
                denied += 1
            elif comm in names:
                found.append((pid, names[comm]))
        return Named(sorted(found), denied)

    def _read_each(self, pids: Iterable[str], name: str, limit_bytes: int) -> Iterator[Tuple[int, Optional[bytes]]]:
        """(PID, start of the file) of each process; None if it may not be read.

        Written for speed: three system calls and little else for each process.
        """
        proc_fd, open_file, read, close, access = self.fd, os.open, os.read, os.close, file_access.current
        for pid in pids:
            if not pid.isdigit() or not access.allows(pid):
                continue
            path = f'{pid}/{name}'
            access.begin(path)
            try:
                fd = open_file(path, 0, dir_fd=proc_fd)
            except OSError as exc:
                if exc.errno in _DENIED:
                    yield int(pid), None
                continue
            try:
                data = read(fd, limit_bytes)
            except OSError:
                data = b''
            close(fd)
            yield int(pid), data
        access.end()

    def read(self, path: str, limit_bytes: int = 1 << 20) -> Optional[bytes]:
        """A file below /proc, up to the limit; None if it is gone or may not be read."""
        pid, _slash, name = path.partition('/')
        if not file_access.current.allows(pid, name):
            return None
        with file_access.Reading(path):
            return self._read(path, limit_bytes)

    def _read(self, path: str, limit_bytes: int) -> Optional[bytes]:
        with contextlib.suppress(OSError), file_access.open_fd(path, os.O_RDONLY, self.fd) as fd:
            # The kernel writes these files as one record, so a short read is the last one.
            data = more = os.read(fd, CHUNK_BYTES)
            while len(more) == CHUNK_BYTES and len(data) < limit_bytes:
                more = os.read(fd, CHUNK_BYTES)
                data += more
            return data[:limit_bytes]
        return None

    def stat(self, pid: str, name: str) -> Optional[os.stat_result]:
        """stat(2) of the target of a link of a process; None if not allowed."""
        link = name.partition('/')[0]
        if not file_access.current.allows(pid, link):
            return None
        try:
            with file_access.Reading(f'{pid}/{link}'):
                return os.stat(f'{pid}/{name}', dir_fd=self.fd)
        except OSError:
            return None

    def read_init_cgroup(self) -> bytes:
        """/proc/1/cgroup, read once; empty if unreadable."""
        if self._init_cgroup is None:
            self._init_cgroup = self.read('1/cgroup') or b''
        return self._init_cgroup

    def read_effective_uid(self, pid: int) -> Optional[int]:
        """The effective user ID of a process."""
        uids = file_access.parse_uids(self.read(f'{pid}/status') or b'')
        return uids[1] if uids else None
