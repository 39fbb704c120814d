# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All read access to the host, below a root directory.

The root is C(/) in a real run and a small tree on disk in a test. L(Host) takes absolute paths of the host and resolves
symbolic links inside the root.
"""

import contextlib
import errno
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Tuple

from .._core.text import to_bytes, to_text
from . import file_access
from .mounts import parse_mountinfo

if TYPE_CHECKING:
    from .helper import Helper

# Errors of what does not exist: a process that exits between two reads returns ESRCH.
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESRCH)
_NO_LINK = ABSENT + (errno.EINVAL,)
# Files of this collection until the next boot, only for root.
RUN_FOLDER, RUN_FOLDER_MODE = '/run/oomkit', 0o700
_MAX_LINKS = 40  # as the kernel (MAXSYMLINKS, fs/namei.c)
# All files of the kernel and of configurations are much shorter.
_MOST_BYTES, _CHUNK_BYTES = 1 << 24, 1 << 16
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_KERNEL_FOLDERS = ('/proc', '/sys')
# File systems that store files without a block device. For all others that are nodev in /proc/filesystems, the kernel
# makes the content at open or read.
_STORES = frozenset((
    '9p', 'afs', 'aufs', 'beegfs', 'ceph', 'cifs', 'coda', 'drvfs', 'ecryptfs', 'fuse', 'gpfs', 'jffs2', 'lustre',
    'nfs', 'nfs4', 'orangefs', 'overlay', 'overlayfs', 'ramfs', 'rootfs', 'shiftfs', 'smb3', 'tmpfs', 'ubifs', 'vboxsf',
    'virtiofs', 'zfs'))


def sysctl_path(key: str) -> str:
    """The path below /proc/sys of a sysctl whose parts have no dots."""
    return '/proc/sys/' + key.replace('.', '/')


def _reading(path: str) -> file_access.Reading:
    """Announce a read. Raises OSError for a skipped process."""
    stall = file_access.parse_stall(path) if path.startswith('/proc/') else None
    if stall is not None and stall.pid and not file_access.current.allows(stall.pid, stall.name):
        raise OSError(errno.ETIMEDOUT, file_access.NO_ANSWER, path)
    return file_access.Reading(path)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Add the path to errors of calls without one, such as read(2) and fsetxattr(2)."""
    try:
        yield
    except OSError as exc:
        if not isinstance(exc.filename, (str, bytes)):  # the number of a descriptor
            exc.filename = path
        raise


@contextlib.contextmanager
def ignore_errors(*numbers: int) -> Iterator[None]:
    """Suppress OSError with these numbers."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in numbers:
            raise


@contextlib.contextmanager
def _unless_absent(path: str, absent: Tuple[int, ...] = ABSENT) -> Iterator[None]:
    """Suppress the errors of a file that does not exist; add the path to all others."""
    with ignore_errors(*absent), naming(path):
        yield


class Host:
    """The files of a host below ``root``.

    Reads return None or an empty list for missing files, and raise OSError for other errors such as EACCES.
    """

    # Reads what other users control, see L(_host.helper.Helper). Without it this process does.
    helper: 'Optional[Helper]' = None

    def __init__(self, root: str = '/') -> None:
        self.root = os.path.abspath(root)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function that reads what other users control, in the helper if there is one."""
        return function(*args) if self.helper is None else self.helper.call(function, *args)

    def unread(self) -> List[str]:
        """What was skipped because it does not answer, as sentences."""
        return [] if self.helper is None else self.helper.unread()

    # ------------------------------------------------------------------ names

    def _join(self, path: str) -> str:
        return _native(path if self.root == '/' else self.root + path)

    def real(self, path: str) -> str:
        """The path with all links resolved, below the root. Missing parts stay.

        Raises OSError, ELOOP for a loop.
        """
        return self.walk(path)[0]

    def walk(self, path: str) -> Tuple[str, List[str]]:
        """(The path with all links resolved, each path looked up, in order.) Like L(real)."""
        done: List[str] = []
        passed: List[str] = []
        todo = _split_reversed(path)
        links = 0
        while todo:
            part = todo.pop()
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
            todo.extend(_split_reversed(target))
        return '/' + '/'.join(done), passed

    def _readlink(self, path: str) -> Optional[str]:
        try:  # no _unless_absent: each path part comes here, and a generator costs more than the call
            with _reading(path):
                return os.readlink(self._join(path))
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
        return None

    def locate(self, path: str) -> str:
        """The path for Python calls: below the root, with links resolved inside it."""
        return _native(path) if self.root == '/' else self._join(self.real(path))

    # ------------------------------------------------------------------ reads

    def read_bytes(self, path: str) -> Optional[bytes]:
        """The whole file; None if missing. Never opens a pipe, socket or device, which count as empty.

        For paths that this code chooses; they may lead to /proc or /sys only from below one of them. For paths that
        other users choose there is L(read_named_file). Raises OSError, EFBIG for a file that is too long.
        """
        with _unless_absent(path), _reading(path):
            place = self.locate(path)
            ours = _is_below(path, _KERNEL_FOLDERS) and '..' not in path.split('/')
            return _kernel_content(place) if ours else _content(place)
        return None

    def read_named_file(self, path: str) -> Optional[bytes]:
        """The whole file at a path that another user chose, or can replace; None if missing.

        For paths in arguments, PID files and configuration. Opens only regular files on a file system that stores
        files: opening a device or reading /proc/kmsg has effects. Raises OSError for anything else.
        """
        with _unless_absent(path):
            real, passed = self.walk(path)
            if any(_is_below(one, _KERNEL_FOLDERS) for one in [real] + passed):
                raise OSError(errno.EINVAL, _NOT_STORED % 'proc/sysfs')
            with _reading(path):
                return _named_content(self.locate(path))
        return None

    def read_text(self, path: str) -> Optional[str]:
        """The whole file as text; None if missing."""
        data = self.read_bytes(path)
        return None if data is None else to_text(data)

    def names(self, path: str) -> List[str]:
        """The names in a directory, sorted by bytes; empty if missing."""
        with _unless_absent(path, ABSENT + (errno.ELOOP,)), _reading(path):
            return sorted(os.listdir(self.locate(path)), key=os.fsencode)
        return []

    def folders(self, path: str) -> List[str]:
        """The names of directories in a directory, without links; empty if missing."""
        with _unless_absent(path), _reading(path), os.scandir(self.locate(path)) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return []

    def stat(self, path: str) -> Optional[os.stat_result]:
        """stat(2) of the path; None if missing."""
        with _unless_absent(path), _reading(path):
            return os.stat(self.locate(path))
        return None

    def lstat(self, path: str) -> Optional[os.stat_result]:
        """lstat(2) of the path; None if missing."""
        with _unless_absent(path), _reading(path):
            return os.lstat(self._named(path))
        return None

    def _named(self, path: str) -> str:
        folder, name = os.path.split(path)
        return self._join(f"{self.real(folder).rstrip('/')}/{name}")

    def exists(self, path: str) -> bool:
        """Whether the path exists; follows links."""
        return self.stat(path) is not None

    def is_openable(self, path: str) -> bool:
        """Whether the path is neither a folder nor a loop of links."""
        with ignore_errors(errno.ELOOP):
            info = self.stat(path)
            return info is None or not stat.S_ISDIR(info.st_mode)
        return False

    def link_target(self, path: str) -> Optional[str]:
        """The target of a symbolic link, None for anything else. Raises OSError."""
        return self._readlink(self.real(os.path.dirname(path)).rstrip('/') + '/' + os.path.basename(path))

    def read_link(self, path: str) -> Optional[str]:
        """The same; None also if it may not be read."""
        try:
            return self.link_target(path)
        except OSError:
            return None

    def write_refusal(self, path: str) -> Optional[int]:
        """The errno of opening the file for writing, None for success. Writes nothing."""
        try:
            os.close(os.open(self.locate(path), os.O_WRONLY | os.O_CLOEXEC))
        except OSError as exc:
            return exc.errno
        return None


def _split_reversed(path: str) -> List[str]:
    return [part for part in reversed(path.split('/')) if part not in ('', '.')]


def _native(path: str) -> str:
    """The path that Python encodes to the right bytes, also in the locale C. Raises OSError for NUL and surrogates."""
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
    """The content of a file of procfs or sysfs."""
    with file_access.open_fd(path, _READ) as fd:
        return _read_all(fd, os.fstat(fd))


def _content(path: str) -> bytes:
    """The content of a regular file. Others stay closed and count as empty, like the /dev/null of a mask."""
    with file_access.open_fd(path, os.O_PATH) as found:
        info = os.fstat(found)
        if info.st_dev in _kernel_devices():
            raise OSError(errno.EINVAL, _NOT_STORED % 'proc/sysfs')
        return b'' if not _has_content(info) else _read_same(found, info, path)


def _named_content(path: str) -> bytes:
    with file_access.open_fd(path, os.O_PATH) as found:
        info = os.fstat(found)
        if not _has_content(info):
            raise OSError(errno.EINVAL, _NOT_REGULAR)
        kind = _file_system(found)
        if not _is_stored(kind, info):
            raise OSError(errno.EINVAL, _NOT_STORED % (kind or 'unknown'))
        return _read_same(found, info, path)


def _has_content(info: os.stat_result) -> bool:
    """Whether it is a regular file. Raises IsADirectoryError."""
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return stat.S_ISREG(info.st_mode)


def _read_same(found: int, info: os.stat_result, path: str) -> bytes:
    """Read the file of an O_PATH descriptor. Its path may lead to another file by now.

    With procfs it opens the descriptor. Without (a chroot) it opens the path, and compares both files.
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
    """All bytes of a regular file; none of others, which can block or never end."""
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
    """The device numbers of mounted procfs and sysfs."""
    numbers = []
    for folder in _KERNEL_FOLDERS:
        with contextlib.suppress(OSError):
            numbers.append(os.stat(folder).st_dev)
    root = os.stat('/').st_dev
    return [number for number in numbers if number != root]  # an empty folder in a chroot


def _file_system(fd: int) -> Optional[str]:
    """The file system type of an open file; None if it is not on our mounts.

    It compares mount numbers (proc_pid_fdinfo(5), proc_pid_mountinfo(5)): a path through /proc/PID/root can lead to
    another procfs with another device number.
    """
    try:
        mount = re.search(br'^mnt_id:\s+([0-9]+)$', _kernel_content(f'/proc/self/fdinfo/{fd}'), re.MULTILINE)
        mounts = to_text(_kernel_content('/proc/self/mountinfo'))
    except OSError:
        return None
    number = to_text(mount.group(1)) if mount else ''
    return next((one.fs_type for one in parse_mountinfo(mounts) if one.number == number), None)


def _is_stored(kind: Optional[str], info: os.stat_result) -> bool:
    """Whether a file system of this type stores files."""
    if kind is None:
        # A chroot does not list the mount of /. A mount of another namespace must be a block device's.
        return info.st_dev == os.stat('/').st_dev or os.major(info.st_dev) != 0
    if kind.partition('.')[0] in _STORES:  # fuse.sshfs
        return True
    try:
        return b'nodev\t%s' % to_bytes(kind) not in _kernel_content('/proc/filesystems').split(b'\n')
    except OSError:
        return False
