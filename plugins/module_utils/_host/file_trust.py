# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that other users cannot change or replace a file that root writes or reads.

It follows links only through folders that other users cannot change either.
Sources: path_resolution(7), acl(5), include/uapi/linux/posix_acl_xattr.h.
"""

import errno
import os
import stat
import struct
from typing import Iterable, Iterator, List, Optional, Tuple

from .._core.errors import Refusal
from .._core.sanitize import sanitize
from .host import Host, ignore_errors

# What another user can change, and its lstat(2).
Danger = Tuple[str, os.stat_result]

_ACL_USER, _ACL_GROUP = 0x02, 0x08


def check_files(host: Host, paths: Iterable[str]) -> None:
    """Raise Refusal for the first path that another user can write or replace, or that is not a regular file."""
    for path in sorted(paths):
        real = host.real(path)
        danger = find_danger(host, path)
        info = host.stat(real)
        if danger is None and info is not None and not stat.S_ISREG(info.st_mode):
            raise Refusal(f'{sanitize(path)} leads to {sanitize(real)}, which is not a regular file. Nothing was '
                          'changed. Remove it, or the link to it. [OOMK-1412]')
        if danger is not None:
            raise_refusal(path, *danger)


def find_danger(host: Host, path: str) -> Optional[Danger]:
    """The first folder, link or file on the path that users other than root can change."""
    return next(_dangers(host, path), None)


def find_owner(host: Host, path: str) -> Optional[int]:
    """The user who can write the file: 0 for root alone, None for several users."""
    owners = set()
    for _found, info in _dangers(host, path):
        if info.st_uid == 0 or info.st_mode & stat.S_IWOTH:
            return None
        owners.add(info.st_uid)
    return owners.pop() if len(owners) == 1 else None if owners else 0


def read_record(host: Host, path: str) -> Optional[bytes]:
    """Read one of our records; None if missing. Raises Refusal if others can write it, and OSError."""
    check_record(host, path)
    return host.read_bytes(path)


def check_record(host: Host, path: str) -> None:
    """Raise Refusal if non-root users can write or replace the record."""
    doubt = doubt_record(host, path)
    if doubt is not None:
        raise Refusal(f'{doubt}. Nothing was changed. See what it holds; then remove it, or give it to root (chown -h '
                      'root:root, chmod go-w). [OOMK-1414]')


def check_record_again(host: Host, path: str) -> None:
    """Check again right before the write. Raises OSError, which rolls the run back."""
    doubt = doubt_record(host, path)
    if doubt is not None:
        raise OSError(errno.EINVAL, f'{doubt} [OOMK-1414]')


def doubt_record(host: Host, path: str) -> Optional[str]:
    """Why our record is not trusted; None if it is, or is missing. Raises OSError."""
    danger = find_danger(host, path)
    if danger is not None:
        return f'{sanitize(danger[0])}, which leads to the record {sanitize(path)}, {_why(danger[1])}'
    info = host.stat(path)
    if info is not None and not stat.S_ISREG(info.st_mode):
        return f'the record {sanitize(path)} is not a regular file'
    return None


def _dangers(host: Host, path: str) -> Iterator[Danger]:
    real, passed = host.walk(path)
    for name in passed:
        danger = _find_replaceable(host, name)
        if danger is not None:
            yield danger
    info = host.lstat(real)
    if info is not None and stat.S_ISREG(info.st_mode) and _is_writable(host, real, info):
        yield real, info


def _find_replaceable(host: Host, name: str) -> Optional[Danger]:
    """What lets other users replace or create this name: its folder, or its owner in a sticky folder."""
    folder = os.path.dirname(name)
    around, info = host.lstat(folder), host.lstat(name)
    if around is None or not stat.S_ISDIR(around.st_mode) or not _is_writable(host, folder, around):
        return None
    if info is None or not _is_sticky(around):
        return folder, around
    if info.st_uid not in (0, os.geteuid()):
        return name, info
    # Users can move root's links and files there from their own folders, but not root's folders (/tmp).
    return None if stat.S_ISDIR(info.st_mode) else (folder, around)


def _is_sticky(info: os.stat_result) -> bool:
    """Whether only owner and root can rename or remove other users' files in the folder."""
    return bool(info.st_mode & stat.S_ISVTX) and info.st_uid in (0, os.geteuid())


def _is_writable(host: Host, path: str, info: os.stat_result) -> bool:
    """Whether users other than root can write it. (They can create names in a sticky folder too.)"""
    if info.st_uid not in (0, os.geteuid()):
        return True
    others = info.st_mode & stat.S_IWOTH
    if info.st_mode & stat.S_IWGRP:
        # The owner's own group is no danger (umask 002).
        others = others or info.st_gid not in (0, info.st_uid) or _is_shared(host.locate(path))
    return bool(others)


def _is_shared(path: str) -> bool:
    """Whether an access control list lets another user or group write, if the mode allows it (acl(5))."""
    return any(tag == _ACL_USER and who not in (0, os.geteuid()) or tag == _ACL_GROUP and who != 0
               for tag, rights, who in acl_entries(path) if rights & stat.S_IWOTH)


def acl_entries(path: str) -> List[Tuple[int, int, int]]:
    """(Tag, rights as S_IRWXO, user or group ID) of each entry of an access control list; none without a list."""
    with ignore_errors(errno.ENODATA, errno.ENOTSUP, errno.ENOSYS):
        return list(struct.iter_unpack('<HHI', os.getxattr(path, 'system.posix_acl_access')[4:]))
    return []


def _why(info: os.stat_result) -> str:
    return (f'can be written by others than root (owner {info.st_uid}, group {info.st_gid}, mode '
            f'{stat.S_IMODE(info.st_mode):04o})')


def raise_refusal(path: str, found: str, info: os.stat_result) -> None:
    """Raise Refusal for the result of L(find_danger)."""
    where = '' if found == path else f' (on the way to {sanitize(path)})'
    if stat.S_ISDIR(info.st_mode) and _is_sticky(info):
        raise Refusal(f'{sanitize(found)}{where} {_why(info)}, who can create files there. Nothing was changed. '
                      'Keep the file, or what the link leads to, in a folder of root\'s. [OOMK-1413]')
    raise Refusal(f'{sanitize(found)}{where} {_why(info)}, who could put anything there. Nothing was changed. See '
                  'what it holds, and its access list (getfacl); then give it to root (chown -h root:root, chmod '
                  'go-w). [OOMK-1413]')
