# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc: programs found by their names, and the files of a process.

Sources: proc_pid_stat(5), proc_pid_status(5).
A process may end at any moment: every read answers None then.
"""

import contextlib
import errno
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .._core.text import to_number
from .._host import file_access
from .._host.host import Host

CHUNK_BYTES = 4096
DENIED = (errno.EPERM, errno.EACCES)


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
    denied: int  # processes that are seen but may not be read


def parse_cgroup_paths(text: bytes) -> Dict[bytes, bytes]:
    """The path of /proc/PID/cgroup by each controller of v1, by C(name=systemd), and by C(v2) (proc_pid_cgroup(5))."""
    paths = {}
    for line in filter(None, text.split(b'\n')):
        number, _colon, rest = line.partition(b':')
        controllers, _colon, path = rest.partition(b':')
        for controller in controllers.split(b','):
            paths[b'v2' if number == b'0' and not controller else controller] = path
    return paths


class Proc:
    """/proc read through one descriptor of it. Closes with C(with)."""

    def __init__(self, host: Host) -> None:
        self.fd = os.open(host.locate('/proc'), os.O_RDONLY | os.O_DIRECTORY)
        self._init_cgroup: Optional[bytes] = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, _kind: Any = None, error: Any = None, _place: Any = None) -> None:
        os.close(self.fd)
        if isinstance(error, OSError) and not isinstance(error.filename, (str, bytes)):
            error.filename = '/proc'  # what is called for each process names none, for speed

    def named(self, names: Dict[bytes, str]) -> Named:
        """The processes whose comm is one of ``names``."""
        proc_fd, open_file, read, close, access = self.fd, os.open, os.read, os.close, file_access.current
        found = []
        denied = 0
        for name in os.listdir(proc_fd):
            if not name.isdigit() or not access.allows(name):
                continue
            access.begin(name + '/comm')
            try:
                fd = open_file(name + '/comm', 0, dir_fd=proc_fd)
            except OSError as exc:
                denied += exc.errno in DENIED
                continue
            try:
                comm = read(fd, 64)
            except OSError:
                comm = b''
            close(fd)
            if comm in names:
                found.append((int(name), names[comm]))
        access.end()
        return Named(sorted(found), denied)

    def read(self, path: str, limit_bytes: int = 1 << 20) -> Optional[bytes]:
        """A file below /proc, at most so much of it; None when it is gone or may not be read."""
        pid, _slash, name = path.partition('/')
        if not file_access.current.allows(pid, name):
            return None
        with file_access.Reading(path):
            return self._read(path, limit_bytes)

    def _read(self, path: str, limit_bytes: int) -> Optional[bytes]:
        try:
            fd = os.open(path, os.O_RDONLY, dir_fd=self.fd)
        except OSError:
            return None
        try:
            # These files come as one record, so that a short read is the last one.
            data = more = os.read(fd, CHUNK_BYTES)
            while len(more) == CHUNK_BYTES and len(data) < limit_bytes:
                more = os.read(fd, CHUNK_BYTES)
                data += more
        except OSError:
            return None
        finally:
            with contextlib.suppress(OSError):  # close(2) closes whatever it says
                os.close(fd)
        return data[:limit_bytes]

    def stat(self, pid: str, name: str) -> Optional[os.stat_result]:
        """stat(2) of what a link of a process leads to; None where that may not be seen."""
        if not file_access.current.allows(pid, name.partition('/')[0]):
            return None
        try:
            with file_access.Reading(f"{pid}/{name.partition('/')[0]}"):
                return os.stat(f'{pid}/{name}', dir_fd=self.fd)
        except OSError:
            return None

    def init_cgroup(self) -> bytes:
        """/proc/1/cgroup, read once; empty where it cannot be read."""
        if self._init_cgroup is None:
            self._init_cgroup = self.read('1/cgroup') or b''
        return self._init_cgroup

    def effective_uid(self, pid: int) -> Optional[int]:
        """The user that the process acts as."""
        uids = file_access.parse_uids(self.read(f'{pid}/status') or b'')
        return uids[1] if uids else None
