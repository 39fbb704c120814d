# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check by its credentials that a process is the program of its name, which any user can choose.

The collection reads neither the arguments of a doubtful process nor files that they name.
Sources: credentials(7), capabilities(7), user_namespaces(7), cgroups(7), proc_pid_status(5), proc_pid_exe(5).
"""

import re
import stat
from typing import Optional, Tuple

from .._core.sanitize import sanitize
from .._core.text import to_text
from .._host import file_access
from .._host.file_access import parse_uids
from .cgroup_unit import list_manager_paths
from .procfs import Proc

_CAP_KILL = 1 << 5  # may signal processes of all users
_CAPABILITIES = re.compile(br'^CapEff:\s+([0-9a-fA-F]{1,16})$', re.MULTILINE)
# The cgroup of a service of the system manager, but not one that the service made below it. Processes of users are in
# user.slice, and containers in machine.slice. Only root puts services into other slices.
_SYSTEM_SERVICE = re.compile(br'/(?:(?!user\.slice/|machine\.slice/)[^/]+\.slice/)*[^/]+\.service\Z')


def doubt_root(processes: Proc, pid: int) -> Optional[str]:
    """Why root did not start the process; None if root did.

    For programs that set sysctls or read configuration as root (kubelet, TuneD).
    """
    status = processes.read(f'{pid}/status') or b''
    return _doubt_uids(status) or _doubt_root(processes, pid, status)


def doubt_oom_daemon(processes: Proc, pid: int) -> Optional[str]:
    """Why the process may not kill those of all users; None if it may.

    earlyoom and systemd-oomd have users of their own: these are services of the system with CAP_KILL.
    """
    status = processes.read(f'{pid}/status') or b''
    doubt = _doubt_uids(status)
    if doubt is not None:
        return doubt
    uid = parse_uids(status)
    if uid is not None and uid[0] == 0:
        return _doubt_root(processes, pid, status)
    return _doubt_service(processes, pid, status)


def _doubt_uids(status: bytes) -> Optional[str]:
    uids = parse_uids(status)
    if uids is None:
        return 'it has ended, or may not be read'
    others = [uid for uid in uids if uid != uids[0]]
    if others:
        return (f'user {uids[0]} runs it with the rights of user {others[0]}: any user can start a set-user-ID '
                'program such as su under this name')
    return None


def _doubt_root(processes: Proc, pid: int, status: bytes) -> Optional[str]:
    uids = parse_uids(status)
    if uids is None or uids[0] != 0:
        return f'it runs as user {uids[0] if uids else -1}, not root'
    if not file_access.current.allows(pid, 'exe'):
        return 'it does not answer, so that its program is unknown'
    if not _is_in_our_user_namespace(processes, pid):
        return 'it runs in another user namespace, whose root has no privileges on this host'
    if _is_set_uid(processes, pid):
        return 'its program is set-user-ID: any user can start such a program, like sudo, under this name'
    return None


def _doubt_service(processes: Proc, pid: int, status: bytes) -> Optional[str]:
    user = f'it runs as user {(parse_uids(status) or (-1,))[0]}'
    capabilities = _CAPABILITIES.search(status)
    # Read the namespace after the status: a process cannot return from one.
    if (capabilities is None or not int(capabilities.group(1), 16) & _CAP_KILL
            or not _is_in_our_user_namespace(processes, pid)):
        return f'{user}, not root, and without CAP_KILL in our user namespace: it can kill processes of that user only'
    paths = list_manager_paths(processes.read(f'{pid}/cgroup') or b'', processes.read_init_cgroup())
    other = next((path for path in paths or [b'unknown'] if not _SYSTEM_SERVICE.match(path)), None)
    if other is None:
        return None
    return f'{user} in the cgroup {sanitize(to_text(other))}, which is not that of a system service'


def _is_in_our_user_namespace(processes: Proc, pid: int) -> bool:
    """Whether its capabilities are valid here: any user has all of them in a new user namespace.

    If the link ns/user is unreadable, it compares the maps of user IDs, which every user can read. Only a process with
    capabilities here can give another namespace the same map.
    """
    ours, its = _user_namespace(processes, 'self'), _user_namespace(processes, f'{pid}')
    if ours is not None and its is not None:
        return ours == its
    return processes.read(f'{pid}/uid_map') == processes.read('self/uid_map')


def _user_namespace(processes: Proc, pid: str) -> Optional[Tuple[int, int]]:
    info = processes.stat(pid, 'ns/user')
    return None if info is None else (info.st_dev, info.st_ino)


def _is_set_uid(processes: Proc, pid: int) -> bool:
    """Whether its program is set-user-ID: all user IDs of sudo are 0 while it asks for a password."""
    info = processes.stat(f'{pid}', 'exe')
    return info is not None and bool(info.st_mode & stat.S_ISUID)
