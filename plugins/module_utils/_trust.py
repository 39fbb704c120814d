# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file may be written as root: nobody else may be able to change it, or to put another in its place.

A link is followed, as administrators keep their configuration in many ways, but only through folders that are as safe.
Sources: path_resolution(7), acl(5), include/uapi/linux/posix_acl_xattr.h.
"""

import errno
import os
import stat
import struct
from typing import Iterable, Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils._host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._names import harmless
from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal

# What somebody else can change, and its lstat(2).
Danger = Tuple[str, os.stat_result]

_ACL_USER, _ACL_GROUP, _ACL_WRITE = 0x02, 0x08, 0x02


def check(host: Host, paths: Iterable[str]) -> None:
    """Raises Refusal for the first path that somebody else could lead elsewhere or write to, or that is no file."""
    for path in sorted(paths):
        real = host.real(path)
        danger = unsafe(host, path)
        info = host.stat(real)
        if danger is None and info is not None and not stat.S_ISREG(info.st_mode):
            raise Refusal('%s leads to %s, which is no file. Nothing was changed. Remove it, or the link to it.'
                          % (harmless(path), harmless(real)))
        if danger is not None:
            _refuse(path, *danger)


def unsafe(host: Host, path: str) -> Optional[Danger]:
    """What others than root can change, of the file and all that is passed on the way to it, whatever comes first."""
    real, passed = host.walk(path)
    last = os.path.dirname(real)
    for found in passed:
        info = host.look(found)
        # In a sticky folder (/tmp) nobody can replace what is somebody else's, so that it may lie on the way.
        if info is not None and stat.S_ISDIR(info.st_mode) and _is_others(host, found, info, sticky=found != last):
            return found, info
        if info is not None and stat.S_ISLNK(info.st_mode) and _is_strange(host, found, info):
            return found, info
    info = host.look(real)
    if info is not None and stat.S_ISREG(info.st_mode) and _is_others(host, real, info, sticky=False):
        return real, info
    return None


def owner_of(host: Host, path: str) -> Optional[int]:
    """Who decides what the file holds: 0 where only root can, else the one user who can, None for anybody."""
    danger = unsafe(host, path)
    if danger is None:
        return 0
    info = danger[1]
    return None if info.st_mode & stat.S_IWOTH else info.st_uid or None


def _is_others(host: Host, path: str, info: os.stat_result, sticky: bool) -> bool:
    if info.st_uid not in (0, os.geteuid()):
        return True
    others = info.st_mode & stat.S_IWOTH
    if info.st_mode & stat.S_IWGRP:
        # A group of the owner's own is no danger, as where new files are for it to write (umask 002).
        others = others or info.st_gid not in (0, info.st_uid) or _is_shared(host.locate(path))
    return bool(others) and not (sticky and info.st_mode & stat.S_ISVTX)


def _is_strange(host: Host, link: str, info: os.stat_result) -> bool:
    """Whether a link is of a user who may make links there, such as in /tmp (proc_sys_fs(5): protected_symlinks)."""
    folder = os.path.dirname(link)
    around = host.look(folder)
    return around is not None and info.st_uid not in (0, os.geteuid()) and _is_others(host, folder, around, False)


def _is_shared(path: str) -> bool:
    """Whether an access control list lets another user or group write, where the mode lets the group (acl(5))."""
    try:
        entries = os.getxattr(path, 'system.posix_acl_access')[4:]
    except OSError as exc:
        if exc.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOSYS):
            return False
        raise
    return any(rights & _ACL_WRITE and (tag == _ACL_USER and who not in (0, os.geteuid()) or tag == _ACL_GROUP and who)
               for tag, rights, who in struct.iter_unpack('<HHI', entries))


def _refuse(path: str, found: str, info: os.stat_result) -> None:
    where = '' if found == path else ' (on the way to %s)' % harmless(path)
    raise Refusal('%s%s can be written by others than root (owner %d, group %d, mode %04o), who could put anything '
                  'there. Nothing was changed. See what it holds, and its access list (getfacl); then give it to root '
                  '(chown -h root:root, chmod go-w).'
                  % (harmless(found), where, info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)))
