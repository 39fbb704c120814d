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
import stat
from typing import Iterator, List, Optional, Set, Tuple, Union

# What "is not there" looks like: a process that exits between two reads answers ESRCH.
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESRCH)
# Ours until the next boot, and for root alone.
RUN_FOLDER, RUN_FOLDER_MODE = '/run/oomkit', 0o700
_MAX_LINKS = 40  # as the kernel (MAXSYMLINKS, fs/namei.c)
# No file of configuration, and none of the kernel's that is read whole, is nearly as long.
_MOST_BYTES, _CHUNK_BYTES = 1 << 24, 1 << 16
_MOST_DIGITS = 30  # of 64 bits 20, with blanks around them


def to_text(data: bytes) -> str:
    """Bytes as text that turns back into the same bytes, whatever they are."""
    return data.decode('utf-8', 'surrogateescape')


def to_bytes(text: str) -> bytes:
    """The inverse of L(to_text)."""
    return text.encode('utf-8', 'surrogateescape')


def to_number(text: Union[bytes, str, None]) -> Optional[int]:
    """The decimal number that a file of the kernel holds; None for anything else, such as another file system shows."""
    try:
        return int(text) if text and len(text) <= _MOST_DIGITS else None
    except ValueError:
        return None


def sysctl_path(key: str) -> str:
    """``vm.overcommit_ratio`` as the file below /proc/sys that holds it (our keys have no dots inside a part)."""
    return '/proc/sys/' + key.replace('.', '/')


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Errors of calls that know no name, such as read(2) and fsetxattr(2), say which file it was."""
    try:
        yield
    except OSError as exc:
        if not isinstance(exc.filename, (str, bytes)):  # a descriptor's number where the call was given one
            exc.filename = path
        raise


class Host(object):
    """A machine, seen through the files below ``root``.

    Reads answer ``None`` (or an empty list) for what is not there and raise OSError for anything else, EACCES included.
    """

    def __init__(self, root: str = '/') -> None:
        self.root = os.path.abspath(root)

    # ------------------------------------------------------------------ names

    def _join(self, path: str) -> str:
        return _native(path if self.root == '/' else self.root + path)

    def real(self, path: str) -> str:
        """The path after all links, as the machine names it; parts that do not exist stay as they are.

        Raises OSError (ELOOP) for links that lead in circles.
        """
        return self.walk(path)[0]

    def walk(self, path: str) -> Tuple[str, List[str]]:
        """(The path after all links, each folder looked into and each link followed on the way.) As L(real) else."""
        done = []  # type: List[str]
        passed = []  # type: List[str]
        folders: Set[str] = set()
        todo = [part for part in path.split('/') if part][::-1]
        links = 0
        while todo:
            part = todo.pop()
            if part == '.':
                continue
            if part == '..':
                done = done[:-1]
                continue
            folder = '/' + '/'.join(done)
            if folder not in folders:
                folders.add(folder)
                passed.append(folder)
            target = self._readlink('/' + '/'.join(done + [part]))
            if target is None:
                done.append(part)
                continue
            passed.append('/' + '/'.join(done + [part]))
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith('/'):
                done = []
            todo.extend([piece for piece in target.split('/') if piece][::-1])
        return '/' + '/'.join(done), passed

    def _readlink(self, path: str) -> Optional[str]:
        try:
            return os.readlink(self._join(path))
        except OSError as exc:
            if exc.errno in ABSENT or exc.errno == errno.EINVAL:
                return None
            raise

    def locate(self, path: str) -> str:
        """Where the file lies for this Python process: below the root, links resolved inside it."""
        return _native(path) if self.root == '/' else self._join(self.real(path))

    # ------------------------------------------------------------------ reads

    def read_bytes(self, path: str) -> Optional[bytes]:
        """The whole file, or None when there is none. Raises OSError, also for one that is too long (EFBIG)."""
        try:
            with naming(path):
                return _content(self.locate(path))
        except OSError as exc:
            if exc.errno in ABSENT:
                return None
            raise

    def read_text(self, path: str) -> Optional[str]:
        """The whole file as text (see L(to_text)), or None when there is none."""
        data = self.read_bytes(path)
        return None if data is None else to_text(data)

    def names(self, path: str) -> List[str]:
        """The names in a directory, sorted by bytes; empty when there is no such directory."""
        try:
            with naming(path):
                return sorted(os.listdir(self.locate(path)), key=os.fsencode)
        except OSError as exc:
            if exc.errno in ABSENT or exc.errno == errno.ELOOP:
                return []
            raise

    def folders(self, path: str) -> List[str]:
        """The names of the directories in a directory, links left out; empty when there is no such directory."""
        try:
            with naming(path), os.scandir(self.locate(path)) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError as exc:
            if exc.errno in ABSENT:
                return []
            raise

    def stat(self, path: str) -> Optional[os.stat_result]:
        """stat(2) of what the path leads to, or None when that is not there."""
        try:
            return os.stat(self.locate(path))
        except OSError as exc:
            if exc.errno in ABSENT:
                return None
            raise

    def look(self, path: str) -> Optional[os.stat_result]:
        """lstat(2) of what has this name, be it a link; None where nothing has it."""
        try:
            return os.lstat(self._named(path))
        except OSError as exc:
            if exc.errno in ABSENT:
                return None
            raise

    def _named(self, path: str) -> str:
        folder, name = os.path.split(path)
        return self._join('%s/%s' % (self.real(folder).rstrip('/'), name))

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


def _content(path: str) -> bytes:
    """A file's bytes. A pipe or a device has none: whoever owns one could let us wait, or read, for ever."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        pieces = []
        left = _MOST_BYTES if stat.S_ISREG(mode) else 0
        while left > 0:
            piece = os.read(fd, _CHUNK_BYTES)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
            if left <= 0:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return b''.join(pieces)
    finally:
        os.close(fd)
