# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process is the program that its name says. Anybody can give a process any name, so its credentials decide.

What is not believed is not acted on: neither its arguments nor a file that they name is opened.
Sources: credentials(7), capabilities(7), user_namespaces(7), cgroups(7), proc_pid_status(5), proc_pid_exe(5).
"""

import re
import stat
from typing import Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils import _access
from ansible_collections.oomkit.linux.plugins.module_utils._access import parse_uids
from ansible_collections.oomkit.linux.plugins.module_utils._host import to_text
from ansible_collections.oomkit.linux.plugins.module_utils._names import harmless
from ansible_collections.oomkit.linux.plugins.module_utils._proc import Proc

_CAP_KILL = 1 << 5  # may signal processes of all users
_CAPABILITIES = re.compile(br'^CapEff:\s+([0-9a-fA-F]{1,16})$', re.MULTILINE)
# The cgroup of a service of the system's own manager, and of nothing that the service has made below it. Users have
# user.slice and containers machine.slice; other slices are root's to fill.
_SYSTEM_SERVICE = re.compile(br'/(?:(?!user\.slice/|machine\.slice/)[^/]+\.slice/)*[^/]+\.service\Z')


def doubt_root(processes: Proc, pid: int) -> Optional[str]:
    """Why the process is not one that root has started; None where it is.

    For programs that set sysctls or read configuration as root (kubelet, TuneD).
    """
    status = processes.read('%d/status' % pid) or b''
    return _doubt_uids(status) or _doubt_root(processes, pid, status)


def doubt_oom_daemon(processes: Proc, pid: int) -> Optional[str]:
    """Why the process is not one that may kill those of all users; None where it is.

    earlyoom and systemd-oomd have a user of their own: these are services of the system that hold CAP_KILL.
    """
    status = processes.read('%d/status' % pid) or b''
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
        return 'it has ended, or may not be looked at'
    others = [uid for uid in uids if uid != uids[0]]
    if others:
        return ('user %d runs it with the rights of user %d, as su is run, and anybody may call a link to such '
                'a program so' % (uids[0], others[0]))
    return None


def _doubt_root(processes: Proc, pid: int, status: bytes) -> Optional[str]:
    uids = parse_uids(status)
    if uids is None or uids[0] != 0:
        return 'it runs as user %d, not root' % (uids[0] if uids else -1)
    if not _access.current.allows(pid, 'exe'):
        return 'it does not answer, so that nothing tells which program it is'
    if not _is_in_our_user_namespace(processes, pid):
        return 'it runs in a user namespace of its own, where root has no rights here'
    if _is_set_uid(processes, pid):
        return 'its program is set-user-ID, as sudo is, and anybody may call a link to such a program so'
    return None


def _doubt_service(processes: Proc, pid: int, status: bytes) -> Optional[str]:
    uids, held = parse_uids(status), _CAPABILITIES.search(status)
    uid = uids[0] if uids else -1
    # The namespace is read after the status: nobody comes back out of one.
    if not held or not int(held.group(1), 16) & _CAP_KILL or not _is_in_our_user_namespace(processes, pid):
        return ('it runs as user %d, not root, and without CAP_KILL in our user namespace: it can only kill processes '
                'of that user, and anybody may call a program so' % uid)
    path = _system_cgroup(processes.read('%d/cgroup' % pid) or b'')
    if not _SYSTEM_SERVICE.match(path):
        return 'it runs as user %d in the cgroup %s, which is not that of a system service' % (
            uid, harmless(to_text(path)) or 'unknown')
    return None


def _system_cgroup(text: bytes) -> bytes:
    """The path in the hierarchy in which systemd keeps its units: its own of v1, else v2 (proc_pid_cgroup(5))."""
    paths = {}
    for line in text.split(b'\n'):
        number, _colon, rest = line.partition(b':')
        controllers, _colon, path = rest.partition(b':')
        paths[b'v2' if number == b'0' and not controllers else controllers] = path
    return paths.get(b'name=systemd', paths.get(b'v2', b''))


def _is_in_our_user_namespace(processes: Proc, pid: int) -> bool:
    """Whether rights that it holds count here: in a user namespace of his own anybody holds all of them.

    Where the link may not be read, by the map of users, which everybody may read. That of another namespace is the same
    only where somebody with rights here has made it so.
    """
    ours, its = _user_namespace(processes, 'self'), _user_namespace(processes, '%d' % pid)
    if ours is not None and its is not None:
        return ours == its
    return processes.read('%d/uid_map' % pid) == processes.read('self/uid_map')


def _user_namespace(processes: Proc, pid: str) -> Optional[Tuple[int, int]]:
    info = processes.stat(pid, 'ns/user')
    return None if info is None else (info.st_dev, info.st_ino)


def _is_set_uid(processes: Proc, pid: int) -> bool:
    """Whether anybody can have started its program with these rights: sudo has all user IDs 0 while it asks."""
    info = processes.stat('%d' % pid, 'exe')
    return info is not None and bool(info.st_mode & stat.S_ISUID)
