# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All write access to the host: atomic replacement of files, folders, open sysctls.

Separate from L(_host.host), so that Ansible does not send it for facts and forecasts.
"""

import contextlib
import errno
import os
import stat
from typing import Dict, List, NamedTuple, Optional

from .file_access import open_fd
from .host import ABSENT, Host, ignore_errors, naming

# A file system or security policy may refuse an attribute. The new file then keeps its initial one. An ACL must be set,
# because it decides who may read the file.
_NONE_HERE = (errno.ENOTSUP, errno.ENODATA)
_OF_POLICY = ('security.', 'trusted.')
# A new file inherits these from its folder's default list (acl(5)).
_INHERITED = ('system.posix_acl_access', 'system.posix_acl_default')
_NAME_CHARACTERS = 60  # of the original name, because a name has at most 255 bytes (NAME_MAX)
_TEMPORARY = '.oomkit-%s~'  # does not end with .conf, because procps before 4.0 reads names with a leading dot


class Attributes(NamedTuple):
    """Owner, mode and extended attributes of a file, such as SELinux context and ACL."""

    uid: int
    gid: int
    mode: int
    extended: Dict[str, bytes]


class ProcFile:
    """An open file of procfs: write(2) sets the value, a read returns the present one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def write(self, data: bytes) -> None:
        """Write at offset 0. Raises OSError."""
        with naming(self._path):
            os.pwrite(self._fd, data, 0)

    def read(self) -> bytes:
        """The present value, up to 127 bytes."""
        with naming(self._path):
            return os.pread(self._fd, 127, 0)

    def close(self) -> None:
        """Close the descriptor. Ignores errors, because close(2) closes even then."""
        with contextlib.suppress(OSError):
            os.close(self._fd)


class WritableHost(Host):
    """A host that may be changed."""

    def open_proc(self, path: str) -> 'ProcFile':
        """Open a procfs file, which stays usable when nothing can be opened any more."""
        return ProcFile(self.locate(path))

    def attributes(self, path: str) -> Optional[Attributes]:
        """The attributes of the file that the path leads to; None for no file."""
        with naming(path):
            return _attributes(self.locate(path))

    def replace_file(self, path: str, data: bytes, mode: int = 0o644, attributes: Optional[Attributes] = None,
                     named_after: Optional[str] = None) -> None:
        """Replace the content atomically, also in a crash.

        Replaces the target of a symbolic link. Keeps ``attributes``, or those of the existing file; ``mode`` is for a
        new one. The incomplete file has the name L(build_temporary_path) of ``named_after``, or of the path.
        """
        target = self._join(self.real(path))
        folder = os.path.dirname(target)
        temporary = os.path.join(folder, os.path.basename(self._join(self.build_temporary_path(named_after or path))))
        fd = _new_file(temporary)
        try:
            with naming(path), os.fdopen(fd, 'wb') as stream:
                stream.write(data)
                stream.flush()
                _set_attributes(stream.fileno(), attributes or self.attributes(path), mode)
                os.fsync(stream.fileno())
            os.rename(temporary, target)
        except BaseException as exc:
            _remove_after(temporary, exc)
            raise
        _sync_folder(folder)

    def build_temporary_path(self, path: str) -> str:
        """The name of the incomplete file in L(replace_file): always the same, and read by no program.

        The next run removes the file of a killed run.
        """
        folder, name = os.path.split(self.real(path))
        return f"{folder.rstrip('/')}/{_TEMPORARY % name[:_NAME_CHARACTERS]}"

    @staticmethod
    def is_temporary(name: str) -> bool:
        """Whether L(build_temporary_path) can have returned this name."""
        before, after = _TEMPORARY.split('%s')
        return name.startswith(before) and name.endswith(after)

    def make_empty(self, path: str) -> None:
        """Make an empty file, unless there is a file."""
        os.close(os.open(self._named(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    def remove_name(self, path: str) -> None:
        """Remove the file or link of this name, if there is one."""
        with ignore_errors(*ABSENT):
            os.unlink(self._named(path))

    def copy_file(self, source: str, path: str) -> None:
        """Copy content and attributes. Raises OSError, also if the source is gone."""
        data = self.read_bytes(source)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
        self.replace_file(path, data, attributes=self.attributes(source), named_after=source)

    def open_private(self, path: str) -> int:
        """Open a file for this user alone, and make it if necessary. Refuses links. Raises OSError."""
        return os.open(self.locate(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def is_at(self, path: str, fd: int) -> bool:
        """Whether the path leads to this open file."""
        there, ours = self.stat(path), os.fstat(fd)
        return there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def remove_file(self, path: str) -> None:
        """Remove the file that the path leads to, if there is one."""
        target = self._join(self.real(path))
        with ignore_errors(*ABSENT):
            os.unlink(target)
            _sync_folder(os.path.dirname(target))

    def make_folder(self, path: str, mode: int = 0o755) -> List[str]:
        """Make the directory and its parents, or none if one fails. Returns those made, outermost first."""
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
        """Make the directory with these attributes, unless it exists."""
        if self.make_folder(path, 0o700):
            with open_fd(self.locate(path), os.O_RDONLY | os.O_DIRECTORY) as fd, naming(path):
                _set_attributes(fd, attributes, attributes.mode)

    def remove_folder(self, path: str) -> None:
        """Remove a directory if it exists and is empty. Never the target of a link."""
        if self.link_target(path) is not None:
            return
        with ignore_errors(*ABSENT, errno.ENOTEMPTY, errno.EEXIST):
            os.rmdir(self._join(self.real(path)))


def _new_file(path: str) -> int:
    """Open a new file. Removes an old one with the name."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o600)


def _remove_after(temporary: str, cause: BaseException) -> None:
    """Remove the file after an error. Its message reports a failure (chattr +a)."""
    try:
        os.unlink(temporary)
    except OSError:
        if isinstance(cause, OSError) and cause.strerror:
            cause.strerror += f'; {temporary} is left, and could not be removed either [OOMK-2302]'


def _attributes(path: str) -> Optional[Attributes]:
    with ignore_errors(*ABSENT):
        info = os.stat(path)
        return Attributes(info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode), _extended(path))
    return None


def _set_attributes(fd: int, attributes: Optional[Attributes], mode: int) -> None:
    """Set the attributes of an open file, or ``mode`` if these are None."""
    if attributes is None:
        os.fchmod(fd, mode)
        return
    os.fchown(fd, attributes.uid, attributes.gid)
    for name in _INHERITED:
        if name not in attributes.extended:
            with ignore_errors(*_NONE_HERE):
                os.removexattr(fd, name)
    os.fchmod(fd, attributes.mode)
    for name, value in attributes.extended.items():
        try:
            os.setxattr(fd, name, value)
        except OSError as exc:
            if not _is_refused(name, exc):
                raise


def _extended(path: str) -> Dict[str, bytes]:
    """The extended attributes that this user may read."""
    found: Dict[str, bytes] = {}
    names: List[str] = []
    with ignore_errors(errno.ENOTSUP, errno.ENOSYS):
        names = os.listxattr(path)
    for name in names:
        try:
            found[name] = os.getxattr(path, name)
        except OSError as exc:
            if not _is_refused(name, exc):
                raise
    return found


def _is_refused(name: str, exc: OSError) -> bool:
    return exc.errno in _NONE_HERE or (exc.errno in (errno.EPERM, errno.EACCES) and name.startswith(_OF_POLICY))


def _sync_folder(folder: str) -> None:
    """Make a rename or unlink in the folder survive a crash (rename(2), fsync(2))."""
    with open_fd(folder, os.O_RDONLY | os.O_DIRECTORY) as fd, naming(folder):
        os.fsync(fd)
