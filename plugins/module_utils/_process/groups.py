# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of processes: those of a unit, found by their cgroup, and others.

Sources: cgroups(7); Documentation/admin-guide/cgroup-v2.rst.
"""

import errno
import os
import re
import time
from typing import Callable, List, Optional, Sequence, Tuple

from .._core.text import to_bytes, to_number
from .._host.host import Host
from .cgroup_unit import list_raw_manager_paths
from .handle import ProcessHandle, ProcessIdentity, is_same, list_ancestors, list_pids, read_init_cgroup

# Mount points of the hierarchy with systemd's units: cgroup v2, v1, hybrid.
_TREES = ('/sys/fs/cgroup', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified')
_SETUP_S, _PAUSE_S = 5.0, 0.02
# The domain of a threaded cgroup lists its processes.
_NO_LIST = (errno.EOPNOTSUPP, errno.ENODEV)

Rule = Callable[[ProcessHandle], bool]  # a function that can be pickled


class Group:
    """The processes of one request."""

    def pids(self) -> List[int]:
        """The PIDs of its processes now."""
        raise NotImplementedError

    def holds(self, handle: ProcessHandle) -> bool:
        """Whether it contains the process. Reads through the descriptor, because PIDs are reused."""
        raise NotImplementedError

    def look(self, host: Host) -> List[ProcessIdentity]:
        """The identity of each process, read through a descriptor. Raises OSError."""
        found = []
        for pid in self.pids():
            with ProcessHandle(host, pid) as handle:
                seen = handle.look() if self.holds(handle) else None
            if seen is not None:
                found.append(seen)
        return found


def look_at_group(group: Group, host: Host) -> Tuple[Group, List[ProcessIdentity]]:
    """Scan a group in the helper. Returns the group after that, and its processes. Raises OSError."""
    return group, group.look(host)


class TheseProcesses(Group):
    """Exactly these processes, even if their PIDs are reused."""

    def __init__(self, processes: List[ProcessIdentity]) -> None:
        self._processes = {one.pid: one for one in processes}

    def pids(self) -> List[int]:
        """See Group."""
        return list(self._processes)

    def holds(self, handle: ProcessHandle) -> bool:
        """See Group."""
        return is_same(self._processes.get(handle.pid), handle.look())


class UnitGroup(Group):
    """The processes in the cgroup of a unit and below. ``unseen``: see L(list_pids_below)."""

    def __init__(self, host: Host, cgroup: str, unseen: Optional[List[str]] = None) -> None:
        self.host, self._unseen = host, unseen
        self.cgroup = cgroup
        self.folder = find_cgroup_folder(host, cgroup)
        self._init_cgroup: Optional[bytes] = None
        self._patience_s = _SETUP_S  # for all looks together: any process can have such a name

    def pids(self) -> List[int]:
        """See Group."""
        return list_pids_below(self.host, self.folder, self._unseen) if self.folder else []

    def look(self, host: Host) -> List[ProcessIdentity]:
        """See Group. Waits up to _SETUP_S for processes that systemd has forked and not yet set up.

        Such a process is in the cgroup already, and systemd will replace its value with the unit's.
        """
        while True:
            begin = time.monotonic()
            found = super().look(host)
            if self._patience_s <= 0 or not any(self._is_being_set_up(one) for one in found):
                return found
            time.sleep(_PAUSE_S)
            self._patience_s -= time.monotonic() - begin

    def _is_being_set_up(self, one: ProcessIdentity) -> bool:
        """Whether this is systemd between fork and the program of the service (src/core/exec-invoke.c)."""
        if one.parent != 1 or not _is_young(self.host, one):
            return False
        if one.name == b'systemd':
            return not os.path.basename(self.cgroup).startswith('user@')
        return one.name == b'systemd-executo' or (one.name[:1] == b'(' and not one.name.startswith(b'(sd-'))

    def holds(self, handle: ProcessHandle) -> bool:
        """See Group."""
        try:
            # Cgroup v1 shows the root for an ended first thread (proc_cgroup_show() in kernel/cgroup).
            return any(self._is_in(read('cgroup') or b'') for read in (handle.read, handle.read_thread))
        except OSError as exc:
            if exc.errno != errno.ENAMETOOLONG:
                raise
            return False  # its path is too long to read

    def _is_in(self, cgroups: bytes) -> bool:
        if self._init_cgroup is None:
            self._init_cgroup = read_init_cgroup(self.host)
        prefix, paths = to_bytes(self.cgroup), list_raw_manager_paths(cgroups, self._init_cgroup)
        return bool(paths) and all((path + b'/').startswith(prefix + b'/') for path in paths)


def _is_young(host: Host, one: ProcessIdentity) -> bool:
    """Whether it has just started, or at an unknown time."""
    uptime = re.match(r'[0-9]{1,12}', host.read_text('/proc/uptime') or '')
    return uptime is None or one.start_ticks / os.sysconf('SC_CLK_TCK') > int(uptime.group()) - 2 * _SETUP_S


class MatchGroup(Group):
    """All processes that match these rules, except this one and its ancestors."""

    def __init__(self, host: Host, rules: Sequence[Rule]) -> None:
        self._host, self._rules = host, rules

    def pids(self) -> List[int]:
        """See Group."""
        return sorted(set(list_pids(self._host)) - set(list_ancestors(self._host, os.getpid())))

    def holds(self, handle: ProcessHandle) -> bool:
        """See Group."""
        return all(rule(handle) for rule in self._rules)


class Restricted(Group):
    """The processes of a group that match these rules."""

    def __init__(self, group: Group, rules: Sequence[Rule]) -> None:
        self._group, self._rules = group, rules

    def pids(self) -> List[int]:
        """See Group."""
        return self._group.pids()

    def holds(self, handle: ProcessHandle) -> bool:
        """See Group."""
        return self._group.holds(handle) and all(rule(handle) for rule in self._rules)


def list_pids_below(host: Host, folder: str, unseen: Optional[List[str]] = None) -> List[int]:
    """The processes of a cgroup and of those below it. 0 stands for processes outside this PID namespace.

    A user with a delegated cgroup can nest cgroups until the path is too long. ``unseen`` collects such folders. Raises
    OSError.
    """
    found: List[int] = []
    folders = [folder]
    while folders:
        folder = folders.pop()
        try:
            listed = (host.read_bytes(folder + '/cgroup.procs') or b'').split()
            found += [pid for pid in map(to_number, listed) if pid is not None]
        except OSError as exc:
            if exc.errno == errno.ENAMETOOLONG and unseen is not None:
                unseen.append(folder)
                continue
            if exc.errno not in _NO_LIST:
                raise
        folders += [folder + '/' + name for name in host.folders(folder)]
    return sorted(set(found))


def find_cgroup_folder(host: Host, cgroup: str) -> Optional[str]:
    """The folder of a cgroup as systemd names it; None if missing."""
    if not cgroup.startswith('/') or cgroup == '/':
        return None
    for tree in _TREES:
        if host.exists(tree + cgroup + '/cgroup.procs'):
            return tree + cgroup
    return None
