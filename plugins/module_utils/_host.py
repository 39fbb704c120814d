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
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

# What "is not there" looks like: a process that exits between two reads answers ESRCH.
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ESRCH)
# Ours until the next boot, and for root alone.
RUN_FOLDER, RUN_FOLDER_MODE = '/run/oomkit', 0o700
# Where a file system or a security policy keeps an extended attribute to itself, the one it gave the new file stands.
# An ACL is none of these: who may read a file must not depend on whether it was ever replaced.
_NONE_HERE = (errno.ENOTSUP, errno.ENODATA)
_OF_POLICY = ('security.', 'trusted.')
_MAX_LINKS = 40  # as the kernel (MAXSYMLINKS, fs/namei.c)
# No file of configuration, and none of the kernel's that is read whole, is nearly as long.
_MOST_BYTES, _CHUNK_BYTES = 1 << 24, 1 << 16
_MOST_DIGITS = 30  # of 64 bits 20, with blanks around them
_NAME_CHARACTERS = 60  # of a temporary name, which has at most 255 bytes (NAME_MAX)
_TEMPORARY = '.oomkit-%s~'  # with another end than .conf: procps before 4.0 reads names that begin with a dot too


# What a file has besides its content: owner, mode, and extended attributes such as its SELinux context and ACL.
Attributes = NamedTuple('Attributes', [('uid', int), ('gid', int), ('mode', int), ('extended', Dict[str, bytes])])


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


class ProcFile(object):
    """One open file of procfs, where every write(2) is a command and a read shows the present value."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def write(self, data: bytes) -> None:
        """One write at offset 0. Raises OSError with what the kernel answers."""
        with naming(self._path):
            os.pwrite(self._fd, data, 0)

    def read(self) -> bytes:
        """The value as the kernel shows it now, 127 bytes at most."""
        with naming(self._path):
            return os.pread(self._fd, 127, 0)

    def close(self) -> None:
        """Give the descriptor back. Each write has had its answer, and close(2) closes whatever it says."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


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
        """(The path after all links, each folder that was looked into on the way there.) As L(real) otherwise."""
        done = []  # type: List[str]
        folders = []  # type: List[str]
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
                folders.append(folder)
            target = self._readlink('/' + '/'.join(done + [part]))
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith('/'):
                done = []
            todo.extend([piece for piece in target.split('/') if piece][::-1])
        return '/' + '/'.join(done), folders

    def _readlink(self, path: str) -> Optional[str]:
        try:
            return os.readlink(self._join(path))
        except OSError as exc:
            if exc.errno in _ABSENT or exc.errno == errno.EINVAL:
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
            if exc.errno in _ABSENT:
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
            if exc.errno in _ABSENT:
                return []
            raise

    def folders(self, path: str) -> List[str]:
        """The names of the directories in a directory, links left out; empty when there is no such directory."""
        try:
            with naming(path), os.scandir(self.locate(path)) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError as exc:
            if exc.errno in _ABSENT:
                return []
            raise

    def stat(self, path: str) -> Optional[os.stat_result]:
        """stat(2) of what the path leads to, or None when that is not there."""
        try:
            return os.stat(self.locate(path))
        except OSError as exc:
            if exc.errno in _ABSENT:
                return None
            raise

    def exists(self, path: str) -> bool:
        """Whether the path, followed, leads to something."""
        return self.stat(path) is not None

    def link_target(self, path: str) -> Optional[str]:
        """What the last part of the path says as a symbolic link, None when it is none. Raises OSError."""
        return self._readlink(self.real(os.path.dirname(path)).rstrip('/') + '/' + os.path.basename(path))

    def read_link(self, path: str) -> Optional[str]:
        """The same for what is only told: None also where it may not be read."""
        try:
            return self.link_target(path)
        except OSError:
            return None

    # ----------------------------------------------------------------- writes

    def open_proc(self, path: str) -> 'ProcFile':
        """The file of procfs kept open, to be written and read again even when nothing can be opened any more."""
        return ProcFile(self.locate(path))

    def write_refusal(self, path: str) -> Optional[int]:
        """The errno that opening the file for writing gives, None where it may be written. Writes nothing."""
        try:
            os.close(os.open(self.locate(path), os.O_WRONLY | os.O_CLOEXEC))
        except OSError as exc:
            return exc.errno
        return None

    def attributes(self, path: str) -> Optional[Attributes]:
        """Owner, mode and extended attributes of what the path leads to, None where that is not there."""
        with naming(path):
            return _attributes(self.locate(path))

    def replace_file(self, path: str, data: bytes, mode: int = 0o644, attributes: Optional[Attributes] = None,
                     named_after: Optional[str] = None) -> None:
        """Give the file this content in one step: readers see the old or the new, after a crash too.

        A symbolic link stays one and its target is replaced. ``attributes``, or those of the existing file, are kept;
        ``mode`` is for a new one. Until it is whole it has the name L(temporary_of) ``named_after``, or of the path.
        """
        target = self._join(self.real(path))
        folder = os.path.dirname(target)
        temporary = os.path.join(folder, os.path.basename(self._join(self.temporary_of(named_after or path))))
        fd = _new_file(temporary)
        try:
            with naming(path), os.fdopen(fd, 'wb') as stream:
                stream.write(data)
                stream.flush()
                _give_attributes(stream.fileno(), attributes or self.attributes(path), mode)
                os.fsync(stream.fileno())
            os.rename(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)

    def temporary_of(self, path: str) -> str:
        """The name under which L(replace_file) first writes the file: nothing reads it, and it is the same each time.

        The next run clears away what a run leaves that is killed in there.
        """
        folder, name = os.path.split(self.real(path))
        return '%s/%s' % (folder.rstrip('/'), _TEMPORARY % name[:_NAME_CHARACTERS])

    @staticmethod
    def is_temporary(name: str) -> bool:
        """Whether a file of this name may have come from L(temporary_of)."""
        before, after = _TEMPORARY.split('%s')
        return name.startswith(before) and name.endswith(after)

    def look(self, path: str) -> Optional[os.stat_result]:
        """lstat(2) of what has this name, be it a link; None where nothing has it."""
        try:
            return os.lstat(self._named(path))
        except OSError as exc:
            if exc.errno in _ABSENT:
                return None
            raise

    def make_empty(self, path: str) -> None:
        """An empty file, or the one that is there."""
        os.close(os.open(self._named(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    def remove_name(self, path: str) -> None:
        """Remove what has this name, a link itself and not what it leads to; nothing happens where there is none."""
        try:
            os.unlink(self._named(path))
        except OSError as exc:
            if exc.errno not in _ABSENT:
                raise

    def _named(self, path: str) -> str:
        folder, name = os.path.split(path)
        return self._join('%s/%s' % (self.real(folder).rstrip('/'), name))

    def copy_file(self, source: str, path: str) -> None:
        """A new file with the source's content, owner, mode and attributes. Raises OSError when the source is gone."""
        with naming(source), open(self.locate(source), 'rb') as stream:
            data = stream.read()
        self.replace_file(path, data, attributes=self.attributes(source), named_after=source)

    def open_private(self, path: str) -> int:
        """A descriptor of a file for this user alone, made if it is not there; never that of a link. Raises OSError."""
        return os.open(self.locate(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def is_at(self, path: str, fd: int) -> bool:
        """Whether the path leads to this open file (still)."""
        there, ours = self.stat(path), os.fstat(fd)
        return there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def remove_file(self, path: str) -> None:
        """Remove the file the path leads to; nothing happens when there is none."""
        target = self._join(self.real(path))
        try:
            os.unlink(target)
        except OSError as exc:
            if exc.errno not in _ABSENT:
                raise
            return
        _sync_folder(os.path.dirname(target))

    def make_folder(self, path: str, mode: int = 0o755) -> List[str]:
        """Make the directory and its parents; the ones that were made, outermost first, for an undo.

        Where one of them cannot be made, none is.
        """
        made = []  # type: List[str]
        parts = self.real(path).strip('/').split('/')
        try:
            for depth in range(1, len(parts) + 1):
                folder = '/' + '/'.join(parts[:depth])
                if not self.exists(folder):
                    os.mkdir(self._join(folder), mode)
                    made.append(folder)
        except BaseException:
            for folder in reversed(made):
                with contextlib.suppress(OSError):
                    self.remove_folder(folder)
            raise
        return made

    def make_folder_again(self, path: str, attributes: Attributes) -> None:
        """The directory, if it is not there, with what it had besides what was in it."""
        if self.make_folder(path, 0o700):
            fd = os.open(self.locate(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with naming(path):
                    _give_attributes(fd, attributes, attributes.mode)
            finally:
                os.close(fd)

    def remove_folder(self, path: str) -> None:
        """Remove a directory if it is there and empty."""
        try:
            os.rmdir(self._join(self.real(path)))
        except OSError as exc:
            if exc.errno not in _ABSENT + (errno.ENOTEMPTY, errno.EEXIST):
                raise


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


def _new_file(path: str) -> int:
    """A descriptor of a file that was not there; an old one of the name is removed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o600)


def _attributes(path: str) -> Optional[Attributes]:
    try:
        info = os.stat(path)
        return Attributes(info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode), _extended(path))
    except OSError as exc:
        if exc.errno in _ABSENT:
            return None
        raise


def _give_attributes(fd: int, attributes: Optional[Attributes], mode: int) -> None:
    """Owner, mode and extended attributes for the open file; ``mode`` alone where there are none."""
    if attributes is None:
        os.fchmod(fd, mode)
        return
    os.fchown(fd, attributes.uid, attributes.gid)
    os.fchmod(fd, attributes.mode)
    for name, value in attributes.extended.items():
        try:
            os.setxattr(fd, name, value)
        except OSError as exc:
            if not _kept_to_itself(name, exc):
                raise


def _extended(path: str) -> Dict[str, bytes]:
    """The extended attributes that a file system has, and lets this user see."""
    found = {}  # type: Dict[str, bytes]
    try:
        names = os.listxattr(path)
    except OSError as exc:
        if exc.errno in (errno.ENOTSUP, errno.ENOSYS):
            return found
        raise
    for name in names:
        try:
            found[name] = os.getxattr(path, name)
        except OSError as exc:
            if not _kept_to_itself(name, exc):
                raise
    return found


def _kept_to_itself(name: str, exc: OSError) -> bool:
    return exc.errno in _NONE_HERE or (exc.errno in (errno.EPERM, errno.EACCES) and name.startswith(_OF_POLICY))


def _sync_folder(folder: str) -> None:
    """Make a rename or unlink in the folder last through a crash (rename(2), fsync(2))."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with naming(folder):
            os.fsync(fd)
    finally:
        os.close(fd)
