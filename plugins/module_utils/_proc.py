# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""/proc/PID: reading the files of processes, and who they are.

Sources: proc_pid_status(5), proc_pid_stat(5), cgroups(7); fs/proc/array.c.
A process may end at any moment: every read answers None then.
"""

import os
import re
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils._host import Host

CHUNK_BYTES = 4096
# Units that hold processes. A systemd inside a container names its own below the container's.
_UNIT = re.compile(br'[^/]+\.(?:service|scope|mount|socket|swap)\Z')
_USER_MANAGER = re.compile(br'user@[^/]*\.service\Z')


def parse_effective_uid(status: bytes) -> Optional[int]:
    """The effective user ID of /proc/PID/status."""
    match = re.search(br'^Uid:\s+\d+\s+(\d+)', status, re.MULTILINE)
    return int(match.group(1)) if match else None


def parse_start_ticks(stat: bytes) -> Optional[int]:
    """Field 22 of /proc/PID/stat: clock ticks from boot to the start. The name may hold blanks and brackets."""
    fields = stat.rpartition(b')')[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def parse_cgroup(text: bytes) -> Tuple[Optional[bytes], Optional[bytes]]:
    """(cgroup, unit) of /proc/PID/cgroup.

    The cgroup is the one that limits memory: of the v1 memory hierarchy where there is one, else of v2, else systemd's.
    The unit is looked up where systemd keeps them, since under v1 the memory hierarchy may not have them all.
    """
    paths: Dict[bytes, bytes] = {}
    for line in text.splitlines():
        number, _colon, rest = line.partition(b':')
        controllers, _colon, path = rest.partition(b':')
        for controller in controllers.split(b','):
            paths[b'v2' if number == b'0' and not controller else controller] = path
    cgroup = paths.get(b'memory', paths.get(b'v2', paths.get(b'name=systemd')))
    units = [unit_of(paths[name]) for name in (b'name=systemd', b'v2', b'memory') if name in paths]
    return cgroup, next((unit for unit in units if unit), None)


def unit_of(path: bytes) -> Optional[bytes]:
    """The systemd unit that a cgroup belongs to, as systemctl names it; below a user manager the user's own unit.

    Units of a systemd inside a container are not ours: the container's own unit is told. A leading underscore is
    systemd's escape for names that would look like a file of the cgroup (cg_escape, src/basic/cgroup-util.c).
    """
    unit: Optional[bytes] = None
    for part in path.split(b'/'):
        if not _UNIT.match(part):
            continue
        name = part[1:] if part.startswith(b'_') else part
        if not _USER_MANAGER.match(name):
            return name
        unit = name
    return unit


class Proc(object):
    """/proc read through one descriptor of it. Closes with C(with)."""

    def __init__(self, host: Host) -> None:
        self.fd = os.open(host.locate('/proc'), os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_exc: Any) -> None:
        os.close(self.fd)

    def named(self, names: Dict[bytes, str]) -> List[Tuple[int, str]]:
        """(pid, name) of the processes whose comm is one of ``names``, by PID."""
        proc_fd, open_file, read, close = self.fd, os.open, os.read, os.close
        found = []
        for name in os.listdir(proc_fd):
            if not name.isdigit():
                continue
            try:
                fd = open_file(name + '/comm', 0, dir_fd=proc_fd)
            except OSError:
                continue
            try:
                comm = read(fd, 64)
            except OSError:
                comm = b''
            close(fd)
            if comm in names:
                found.append((int(name), names[comm]))
        return sorted(found)

    def read(self, path: str, limit_bytes: int = 1 << 20) -> Optional[bytes]:
        """A file below /proc, at most so much of it; None when it is gone or may not be read."""
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
            os.close(fd)
        return data[:limit_bytes]

    def start_ticks(self, pid: int) -> Optional[int]:
        """When the process started, in clock ticks since boot."""
        stat = self.read('%d/stat' % pid)
        return parse_start_ticks(stat) if stat else None

    def name(self, pid: int) -> Optional[bytes]:
        """comm: at most 15 bytes, which any program may set for itself."""
        comm = self.read('%d/comm' % pid)
        return comm[:-1] if comm and comm.endswith(b'\n') else comm

    def cgroup_and_unit(self, pid: int) -> Tuple[Optional[bytes], Optional[bytes]]:
        """See L(parse_cgroup)."""
        return parse_cgroup(self.read('%d/cgroup' % pid) or b'')

    def effective_uid(self, pid: int) -> Optional[int]:
        """The user that the process acts as."""
        return parse_effective_uid(self.read('%d/status' % pid) or b'')
