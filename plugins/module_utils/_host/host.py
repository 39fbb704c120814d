# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door to the machine: every read and write below a root directory.

The root is C(/) in a real run and a small tree on disk in a test. All paths given to L(Host) are absolute paths as the
machine itself names them; symbolic links, absolute ones too, are resolved inside the root.
"""

import contextlib
import errno
import os
import re
import stat
from typing import Any, Callable, Iterator, List, Optional, Tuple

from .._core.text import to_bytes, to_text
from . import file_access
from .mounts import parse_mountinfo

# What "is not there" looks like: a process that exits between two reads answers ESRCH.
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESRCH)
_NO_LINK = ABSENT + (errno.EINVAL,)
# Ours until the next boot, and for root alone.
RUN_FOLDER, RUN_FOLDER_MODE = '/run/oomkit', 0o700
_MAX_LINKS = 40  # as the kernel (MAXSYMLINKS, fs/namei.c)
# No file of configuration, and none of the kernel's that is read whole, is nearly as long.
_MOST_BYTES, _CHUNK_BYTES = 1 << 24, 1 << 16
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_KERNEL_FOLDERS = ('/proc', '/sys')
# File systems without a block device that store files. All others of /proc/filesystems that are marked nodev show what
# the kernel makes up when a file is opened or read.
_STORES = frozenset((
    '9p', 'afs', 'aufs', 'beegfs', 'ceph', 'cifs', 'coda', 'drvfs', 'ecryptfs', 'fuse', 'gpfs', 'jffs2', 'lustre',
    'nfs', 'nfs4', 'orangefs', 'overlay', 'overlayfs', 'ramfs', 'rootfs', 'shiftfs', 'smb3', 'tmpfs', 'ubifs', 'vboxsf',
    'virtiofs', 'zfs'))


def sysctl_path(key: str) -> str:
    """``vm.overcommit_ratio`` as the file below /proc/sys that holds it (our keys have no dots inside a part)."""
    return '/proc/sys/' + key.replace('.', '/')


def _reading(path: str) -> file_access.Reading:
    """Note that this is about to be read. Raises OSError for a process that is not read any more."""
    stall = file_access.parse_stall(path) if path.startswith('/proc/') else None
    if stall is not None and stall.pid and not file_access.current.allows(stall.pid, stall.name):
        raise OSError(errno.ETIMEDOUT, file_access.NO_ANSWER, path)
    return file_access.Reading(path)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Errors of calls that know no name, such as read(2) and fsetxattr(2), say which file it was."""
    try:
        yield
    except OSError as exc:
        if not isinstance(exc.filename, (str, bytes)):  # a descriptor's number where the call was given one
            exc.filename = path
        raise


@contextlib.contextmanager
def _unless_absent(path: str, absent: Tuple[int, ...] = ABSENT) -> Iterator[None]:
    """Suppress the errors of a file that is not there; name the file in all others."""
    try:
        with naming(path):
            yield
    except OSError as exc:
        if exc.errno not in absent:
            raise


class Host:
    """A machine, seen through the files below ``root``.

    Reads answer ``None`` (or an empty list) for what is not there and raise OSError for anything else, EACCES included.
    """

    # The process that reads what others control, see L(_host.helper.Helper); without one this process reads it.
    helper: Any = None

    def __init__(self, root: str = '/') -> None:
        self.root = os.path.abspath(root)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of a function that reads what others control, called in the helper where there is one."""
        return function(*args) if self.helper is None else self.helper.call(function, *args)

    def unread(self) -> List[str]:
        """What could not be read because it does not answer, a sentence each."""
        return [] if self.helper is None else self.helper.unread()

    # ------------------------------------------------------------------ names

    def _join(self, path: str) -> str:
        return _native(path if self.root == '/' else self.root + path)

    def real(self, path: str) -> str:
        """The path after all links, as the machine names it; parts that do not exist stay as they are.

        Raises OSError (ELOOP) for links that lead in circles.
        """
        return self.walk(path)[0]

    def walk(self, path: str) -> Tuple[str, List[str]]:
        """(The path after all links, each name looked up on the way, in order.) As L(real) else."""
        done: List[str] = []
        passed: List[str] = []
        todo = [part for part in path.split('/') if part][::-1]
        links = 0
        while todo:
            part = todo.pop()
            if part == '.':
                continue
            if part == '..':
                done = done[:-1]
                continue
            passed.append('/' + '/'.join(done + [part]))
            target = self._readlink(passed[-1])
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith('/'):
                done = []
            todo.extend([piece for piece in target.split('/') if piece][::-1])
        return '/' + '/'.join(done), passed

    def _readlink(self, path: str) -> Optional[str]:
        try:  # no _unless_absent: each part of each path comes here, and a generator costs more than the call
            with _reading(path):
                return os.readlink(self._join(path))
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
        return None

    def locate(self, path: str) -> str:
        """Where the file lies for this Python process: below the root, links resolved inside it."""
        return _native(path) if self.root == '/' else self._join(self.real(path))

    # ------------------------------------------------------------------ reads

    def read_bytes(self, path: str) -> Optional[bytes]:
        """The whole file, or None when there is none; empty for a pipe, a socket or a device, which is never opened.

        A name below /proc or /sys must be one that this code has chosen. Any other name may not lead there. For what
        somebody else has named there is L(read_named_file). Raises OSError, also for a file that is too long (EFBIG).
        """
        with _unless_absent(path), _reading(path):
            place = self.locate(path)
            ours = _is_below(path, _KERNEL_FOLDERS) and '..' not in path.split('/')
            return _kernel_content(place) if ours else _content(place)
        return None

    def read_named_file(self, path: str) -> Optional[bytes]:
        """The whole file at a path that somebody else has named, or can replace; None when there is none.

        For paths in arguments, PID files and configuration. Only a regular file is opened, and only on a file system
        that stores files: opening a device, or reading /proc/kmsg, has effects. Raises OSError for anything else.
        """
        with _unless_absent(path):
            real, passed = self.walk(path)
            if any(_is_below(one, _KERNEL_FOLDERS) for one in [real] + passed):
                raise OSError(errno.EINVAL, _NOT_STORED % 'proc/sysfs')
            with _reading(path):
                return _named_content(self.locate(path))
        return None

    def read_text(self, path: str) -> Optional[str]:
        """The whole file as text (see L(to_text)), or None when there is none."""
        data = self.read_bytes(path)
        return None if data is None else to_text(data)

    def names(self, path: str) -> List[str]:
        """The names in a directory, sorted by bytes; empty when there is no such directory."""
        with _unless_absent(path, ABSENT + (errno.ELOOP,)), _reading(path):
            return sorted(os.listdir(self.locate(path)), key=os.fsencode)
        return []

    def folders(self, path: str) -> List[str]:
        """The names of the directories in a directory, links left out; empty when there is no such directory."""
        with _unless_absent(path), _reading(path), os.scandir(self.locate(path)) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return []

    def stat(self, path: str) -> Optional[os.stat_result]:
        """stat(2) of what the path leads to, or None when that is not there."""
        with _unless_absent(path), _reading(path):
            return os.stat(self.locate(path))
        return None

    def look(self, path: str) -> Optional[os.stat_result]:
        """lstat(2) of what has this name, be it a link; None where nothing has it."""
        with _unless_absent(path), _reading(path):
            return os.lstat(self._named(path))
        return None

    def _named(self, path: str) -> str:
        folder, name = os.path.split(path)
        return self._join(f"{self.real(folder).rstrip('/')}/{name}")

    def exists(self, path: str) -> bool:
        """Whether the path, followed, leads to something."""
        return self.stat(path) is not None

    def opens(self, path: str) -> bool:
        """Whether a file could be read there, be it missing: not so a folder, nor links that lead in circles."""
        try:
            info = self.stat(path)
        except OSError as exc:
            if exc.errno == errno.ELOOP:
                return False
            raise
        return info is None or not stat.S_ISDIR(info.st_mode)

    def link_target(self, path: str) -> Optional[str]:
        """What the last part of the path says as a symbolic link, None when it is none. Raises OSError."""
        return self._readlink(self.real(os.path.dirname(path)).rstrip('/') + '/' + os.path.basename(path))

    def read_link(self, path: str) -> Optional[str]:
        """The same for what is only told: None also where it may not be read."""
        try:
            return self.link_target(path)
        except OSError:
            return None

    def write_refusal(self, path: str) -> Optional[int]:
        """The errno that opening the file for writing gives, None where it may be written. Writes nothing."""
        try:
            os.close(os.open(self.locate(path), os.O_WRONLY | os.O_CLOEXEC))
        except OSError as exc:
            return exc.errno
        return None


def _native(path: str) -> str:
    """The path as Python turns it into the bytes that are meant, in the locale C too. Raises OSError for no path."""
    try:
        if '\0' not in path:
            return os.fsdecode(to_bytes(path))
    except UnicodeError:
        pass
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)


_NOT_REGULAR = 'Not a regular file'
_NOT_STORED = 'Not a stored file, but one of the kernel (file system %s)'


def _is_below(path: str, folders: Tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + '/') for folder in folders)


def _kernel_content(path: str) -> bytes:
    """A file of procfs or sysfs, by a name that this code has chosen."""
    fd = os.open(path, _READ)
    try:
        return _read_all(fd, os.fstat(fd))
    finally:
        with contextlib.suppress(OSError):  # close(2) closes whatever it says, and all is read
            os.close(fd)


def _content(path: str) -> bytes:
    """A file's bytes. What is not a regular file is not opened, and counts as empty, as /dev/null does in a mask."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        info = os.fstat(found)
        if info.st_dev in _kernel_devices():
            raise OSError(errno.EINVAL, _NOT_STORED % 'proc/sysfs')
        return b'' if not _has_content(info) else _read_same(found, info, path)
    finally:
        os.close(found)


def _named_content(path: str) -> bytes:
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        info = os.fstat(found)
        if not _has_content(info):
            raise OSError(errno.EINVAL, _NOT_REGULAR)
        kind = _file_system(found)
        if not _is_stored(kind, info):
            raise OSError(errno.EINVAL, _NOT_STORED % (kind or 'unknown'))
        return _read_same(found, info, path)
    finally:
        os.close(found)


def _has_content(info: os.stat_result) -> bool:
    """Whether it is a regular file. Raises IsADirectoryError."""
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return stat.S_ISREG(info.st_mode)


def _read_same(found: int, info: os.stat_result, path: str) -> bytes:
    """The content of the very file that the O_PATH descriptor is of: its name may lead elsewhere by now.

    By procfs the descriptor is opened itself. Without procfs (a chroot) the name is, and the two are compared.
    """
    try:
        fd = os.open(f'/proc/self/fd/{found}', _READ)
    except FileNotFoundError:
        fd = os.open(path, _READ)
    try:
        again = os.fstat(fd)
        if (again.st_dev, again.st_ino) != (info.st_dev, info.st_ino):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return _read_all(fd, again)
    finally:
        os.close(fd)


def _read_all(fd: int, info: os.stat_result) -> bytes:
    """All bytes of a regular file; none of anything else, which could let us wait, or read, for ever."""
    pieces = []
    left = _MOST_BYTES if _has_content(info) else 0
    while left > 0:
        piece = os.read(fd, _CHUNK_BYTES)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
        if left <= 0:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return b''.join(pieces)


def _kernel_devices() -> List[int]:
    """The device numbers of procfs and sysfs, as far as they are mounted."""
    numbers = []
    for folder in _KERNEL_FOLDERS:
        with contextlib.suppress(OSError):
            numbers.append(os.stat(folder).st_dev)
    root = os.stat('/').st_dev
    return [number for number in numbers if number != root]  # an empty folder in a chroot


def _file_system(fd: int) -> Optional[str]:
    """The type of the file system that an open file is on; None where none of our mounts has it.

    By the number of its mount (proc_pid_fdinfo(5), proc_pid_mountinfo(5)): a device number tells one procfs only, and
    others can have one of their own that a path through /proc/PID/root leads to.
    """
    try:
        mount = re.search(br'^mnt_id:\s+([0-9]+)$', _kernel_content(f'/proc/self/fdinfo/{fd}'), re.MULTILINE)
        mounts = to_text(_kernel_content('/proc/self/mountinfo'))
    except OSError:
        return None
    number = to_text(mount.group(1)) if mount else ''
    return next((one.fs_type for one in parse_mountinfo(mounts) if one.number == number), None)


def _is_stored(kind: Optional[str], info: os.stat_result) -> bool:
    """Whether a file system of this type stores what is in its files."""
    if kind is None:
        # In a chroot the mount of / itself is not listed. A mount of another namespace must be one of a block device.
        return info.st_dev == os.stat('/').st_dev or os.major(info.st_dev) != 0
    if kind.partition('.')[0] in _STORES:  # fuse.sshfs
        return True
    try:
        return b'nodev\t%s' % to_bytes(kind) not in _kernel_content('/proc/filesystems').split(b'\n')
    except OSError:
        return False
