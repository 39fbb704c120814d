# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one door to the machine for what changes it: files replaced in one step, folders, sysctls kept open.

Apart from what only looks (_host), so that facts and forecasts do not carry it to every host.
"""

import contextlib
import errno
import os
import stat
from typing import Dict, List, NamedTuple, Optional

from .host import ABSENT, Host, naming

# Where a file system or a security policy keeps an extended attribute to itself, the one it gave the new file stands.
# An ACL is none of these: who may read a file must not depend on whether it was ever replaced.
_NONE_HERE = (errno.ENOTSUP, errno.ENODATA)
_OF_POLICY = ('security.', 'trusted.')
# A folder's default list gives these to whatever is made in it (acl(5)).
_INHERITED = ('system.posix_acl_access', 'system.posix_acl_default')
_NAME_CHARACTERS = 60  # of a temporary name, which has at most 255 bytes (NAME_MAX)
_TEMPORARY = '.oomkit-%s~'  # with another end than .conf: procps before 4.0 reads names that begin with a dot too


# What a file has besides its content: owner, mode, and extended attributes such as its SELinux context and ACL.
class Attributes(NamedTuple):
    uid: int
    gid: int
    mode: int
    extended: Dict[str, bytes]


class ProcFile:
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


class WritableHost(Host):
    """A machine that may be changed."""

    def open_proc(self, path: str) -> 'ProcFile':
        """The file of procfs kept open, to be written and read again even when nothing can be opened any more."""
        return ProcFile(self.locate(path))

    def attributes(self, path: str) -> Optional[Attributes]:
        """Owner, mode and extended attributes of what the path leads to, None where that is not there."""
        with naming(path):
            return _attributes(self.locate(path))

    def replace_file(self, path: str, data: bytes, mode: int = 0o644, attributes: Optional[Attributes] = None,
                     named_after: Optional[str] = None) -> None:
        """Give the file this content in one step: readers see the old or the new, after a crash too.

        Replaces the target of a symbolic link. Keeps ``attributes``, or those of the existing file; ``mode`` is for a
        new one. Until it is complete its name is L(build_temporary_path) of ``named_after``, or of the path.
        """
        target = self._join(self.real(path))
        folder = os.path.dirname(target)
        temporary = os.path.join(folder, os.path.basename(self._join(self.build_temporary_path(named_after or path))))
        fd = _new_file(temporary)
        try:
            with naming(path), os.fdopen(fd, 'wb') as stream:
                stream.write(data)
                stream.flush()
                _give_attributes(stream.fileno(), attributes or self.attributes(path), mode)
                os.fsync(stream.fileno())
            os.rename(temporary, target)
        except BaseException as exc:
            _take_away(temporary, exc)
            raise
        _sync_folder(folder)

    def build_temporary_path(self, path: str) -> str:
        """The name under which L(replace_file) first writes the file: nothing reads it, and it is the same each time.

        The next run clears away what a run leaves that is killed in there.
        """
        folder, name = os.path.split(self.real(path))
        return f"{folder.rstrip('/')}/{_TEMPORARY % name[:_NAME_CHARACTERS]}"

    @staticmethod
    def is_temporary(name: str) -> bool:
        """Whether a file of this name may have come from L(build_temporary_path)."""
        before, after = _TEMPORARY.split('%s')
        return name.startswith(before) and name.endswith(after)

    def make_empty(self, path: str) -> None:
        """An empty file, or the one that is there."""
        os.close(os.open(self._named(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    def remove_name(self, path: str) -> None:
        """Remove what has this name, a link itself and not what it leads to; nothing happens where there is none."""
        try:
            os.unlink(self._named(path))
        except OSError as exc:
            if exc.errno not in ABSENT:
                raise

    def copy_file(self, source: str, path: str) -> None:
        """A new file with the source's content, owner, mode and attributes. Raises OSError when the source is gone."""
        data = self.read_bytes(source)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
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
            if exc.errno not in ABSENT:
                raise
            return
        _sync_folder(os.path.dirname(target))

    def make_folder(self, path: str, mode: int = 0o755) -> List[str]:
        """Make the directory and its parents; the ones that were made, outermost first, for an undo.

        Where one of them cannot be made, none is.
        """
        made: List[str] = []
        parts = self.real(path).strip('/').split('/')
        try:
            for depth in range(1, len(parts) + 1):
                folder = '/' + '/'.join(parts[:depth])
                if not self.exists(folder):
                    os.mkdir(self._join(folder), mode)
                    made.append(folder)
                    os.chmod(self._join(folder), mode)  # whatever the umask is
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
        """Remove a directory if it is there and empty. What a link leads to is somebody's own, and stays."""
        if self.link_target(path) is not None:
            return
        try:
            os.rmdir(self._join(self.real(path)))
        except OSError as exc:
            if exc.errno not in ABSENT + (errno.ENOTEMPTY, errno.EEXIST):
                raise


def _new_file(path: str) -> int:
    """A descriptor of a file that was not there; an old one of the name is removed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o600)


def _take_away(temporary: str, cause: BaseException) -> None:
    """Remove the file after an error, which says where that cannot be done (chattr +a)."""
    try:
        os.unlink(temporary)
    except OSError:
        if isinstance(cause, OSError) and cause.strerror:
            cause.strerror += f'; {temporary} is left, and could not be removed either'


def _attributes(path: str) -> Optional[Attributes]:
    try:
        info = os.stat(path)
        return Attributes(info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode), _extended(path))
    except OSError as exc:
        if exc.errno in ABSENT:
            return None
        raise


def _give_attributes(fd: int, attributes: Optional[Attributes], mode: int) -> None:
    """Owner, mode and extended attributes for the open file; ``mode`` alone where there are none."""
    if attributes is None:
        os.fchmod(fd, mode)
        return
    os.fchown(fd, attributes.uid, attributes.gid)
    for name in _INHERITED:
        if name not in attributes.extended:
            _remove_attribute(fd, name)
    os.fchmod(fd, attributes.mode)
    for name, value in attributes.extended.items():
        try:
            os.setxattr(fd, name, value)
        except OSError as exc:
            if not _kept_to_itself(name, exc):
                raise


def _remove_attribute(fd: int, name: str) -> None:
    try:
        os.removexattr(fd, name)
    except OSError as exc:
        if exc.errno not in _NONE_HERE:
            raise


def _extended(path: str) -> Dict[str, bytes]:
    """The extended attributes that a file system has, and lets this user see."""
    found: Dict[str, bytes] = {}
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
