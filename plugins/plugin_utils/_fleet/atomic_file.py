# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a file whole or not at all, through no link of another user.

Folders are opened one after the other, and names are looked up in open folders only. So no other user can replace a
folder or the file by a link between the check and the write. In a folder that others can write to, sticky or not, a
link and a file of another user are refused.
Sources: path_resolution(7), openat(2), proc_sys_fs(5) on protected_symlinks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import typing as t

# Our own descriptors, such as the standard output, by their names on Linux and the BSDs.
_DESCRIPTOR = re.compile(r'/dev/(stdout|stderr|fd/[0-9]{1,9})\Z|/proc/self/fd/[0-9]{1,9}\Z')
_NAMED = {'stdout': 1, 'stderr': 2}
_MOST_LINKS = 40  # as the kernel
_OTHERS = stat.S_IWGRP | stat.S_IWOTH  # an access control list shows as S_IWGRP
_PIECE = 1 << 20
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, 'O_PATH', os.O_RDONLY)

Fill = t.Callable[[t.TextIO], None]


def write(path: str, fill: Fill) -> bool:
    """Write a file, and replace an existing one in one step. Returns whether the content changed. Raises OSError.

    A pipe, a terminal and an open descriptor (/dev/stdout) are written to as they are.
    """
    path = os.path.expanduser(path)
    if _DESCRIPTOR.match(path):
        name = path.rpartition('/')[2]
        with open(os.dup(_NAMED.get(name) or int(name)), 'w', encoding='utf-8', newline='') as file:
            fill(file)
        return True
    with _Place(path) as place:
        return _write_at(place, fill)


class _Place:
    """An open folder, and the name of a file in it that is not a link."""

    def __init__(self, path: str) -> None:
        self.folder = -1
        self.name = ''
        self.shared = False  # whether others can put or replace something in the folder
        self._above_shared = False  # whether others can put another folder in the place of this one
        self._path = path

    def __enter__(self) -> _Place:
        try:
            self._start(self._path)
            self._walk(self._path)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.folder >= 0:
            os.close(self.folder)
            self.folder = -1

    def look(self) -> os.stat_result | None:
        """lstat(2) of the name, None if it is not there."""
        return _look(self.folder, self.name)

    def _start(self, path: str) -> None:
        self._above_shared = False
        self._enter(os.open('/' if path.startswith('/') else '.', _FOLDER))

    def _walk(self, path: str) -> None:
        """Go down to the folder of the last name, through links that are safe."""
        todo = _parts(path)
        links = 0
        while True:
            name = todo.pop(0) if todo else '.'
            info = None if name in ('.', '..') else _look(self.folder, name)
            if info is not None and stat.S_ISLNK(info.st_mode):
                links += 1
                target = self._target(name, info, links)
                if target.startswith('/'):
                    self._start(target)
                todo = _parts(target) + todo
            elif todo:
                self._enter(os.open(name, _FOLDER, dir_fd=self.folder))
            else:
                self.name = name
                return

    def _enter(self, folder: int) -> None:
        """Go on in this open folder."""
        if self.folder >= 0:
            os.close(self.folder)
        self.folder = folder
        info = os.fstat(folder)
        strange = info.st_uid not in (0, os.geteuid())
        self.shared = self._above_shared or strange or bool(info.st_mode & _OTHERS)
        if strange or info.st_mode & _OTHERS and not info.st_mode & stat.S_ISVTX:
            self._above_shared = True

    def _target(self, name: str, info: os.stat_result, links: int) -> str:
        """Where a link leads to. Raises OSError."""
        if self.shared or info.st_uid not in (0, os.geteuid()):
            raise OSError(errno.ELOOP, 'a link on the way is of somebody else, or in a folder that others can write '
                                       'to; name the place that it leads to')
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.readlink(name, dir_fd=self.folder)


def _parts(path: str) -> list[str]:
    """The names of a path; one that ends with a slash means a folder."""
    parts = [part for part in path.split('/') if part]
    return [*parts, '.'] if path.endswith('/') else parts


def _look(folder: int, name: str) -> os.stat_result | None:
    with contextlib.suppress(FileNotFoundError):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    return None


def _write_at(place: _Place, fill: Fill) -> bool:
    if place.name in ('.', '..'):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    info = place.look()
    if info is not None and place.shared and info.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, 'the file there is of somebody else, in a folder that others can write to; '
                                           'name a folder of your own')
    if info is not None and not stat.S_ISREG(info.st_mode):
        _write_into(place, info, fill)
        return True
    return _replace(place, info, fill)


def _write_into(place: _Place, info: os.stat_result, fill: Fill) -> None:
    """Write to a pipe or a terminal, if it is still the one that was looked at."""
    handle = os.open(place.name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=place.folder)
    with open(handle, 'w', encoding='utf-8', newline='') as file:
        if not os.path.samestat(os.fstat(handle), info):
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        fill(file)


def _replace(place: _Place, info: os.stat_result | None, fill: Fill) -> bool:
    """Write beside the file, and put it in its place unless nothing differs."""
    name = '.fleet-report-' + secrets.token_hex(8)
    handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600,
                     dir_fd=place.folder)
    try:
        with open(handle, 'w+', encoding='utf-8', newline='') as file:
            fill(file)
            file.flush()
            # The mode of a file of somebody else is theirs to choose.
            os.fchmod(handle, stat.S_IMODE(info.st_mode) & 0o777 if info and info.st_uid == os.geteuid() else _mode())
            if info is not None and _is_same(place, info, handle):
                os.unlink(name, dir_fd=place.folder)
                return False
        os.rename(name, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=place.folder)
        raise
    return True


def _is_same(place: _Place, info: os.stat_result, fresh: int) -> bool:
    """Whether the file that is there holds what was written."""
    if info.st_size != os.fstat(fresh).st_size:
        return False
    try:
        there = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place.folder)
    except OSError:  # it cannot be read, or a link came in its place: it is replaced
        return False
    with open(there, 'rb') as old, open(fresh, 'rb', closefd=False) as new:
        new.seek(0)
        if not os.path.samestat(os.fstat(there), info):
            return False
        while piece := new.read(_PIECE):
            if piece != old.read(len(piece)):
                return False
        return not old.read(1)


def _mode() -> int:
    """The permissions of any new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
