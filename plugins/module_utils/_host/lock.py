# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock that lets one run at a time change the host. It ends with its process.

Source: flock(2). Every user who can open a file can lock it, so only root can enter the file's folder. The holder
removes the file with the lock. So a waiting run then checks that its file is still at the path.
"""

import contextlib
import errno
import fcntl
import os
import time
from typing import Iterator, List, Tuple

from .._core.errors import Refusal
from .._core.sanitize import explain
from . import file_trust
from .host import RUN_FOLDER, RUN_FOLDER_MODE, naming
from .writable import WritableHost

FILE = RUN_FOLDER + '/lock'
WAIT_S = 60.0
_LOOK_S = 0.05
# A user who may not make the lock may not write what it protects. Root may, unless an image is mounted read-only.
_FORBIDDEN = (errno.EACCES, errno.EPERM)
# Errors of a folder, socket, link, pipe or device at the path of the file, and of a deleted folder.
_IN_THE_WAY = (errno.EISDIR, errno.ENXIO, errno.ELOOP, errno.EINVAL, errno.ENOTDIR, errno.ENOENT, errno.EEXIST)


@contextlib.contextmanager
def hold_lock(host: WritableHost, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the lock. Raises Refusal if another run or something else blocks it for too long; and OSError."""
    try:
        made, fd = _take(host, wait_s)
    except OSError as exc:
        if exc.errno in _IN_THE_WAY:
            raise Refusal(_NO_FILE % explain(exc)) from exc
        if exc.errno != errno.EROFS and (exc.errno not in _FORBIDDEN or os.geteuid() == 0):
            raise
        made, fd = [], -1
    try:
        yield
    finally:
        if fd >= 0:
            _release(host, made, fd)


def _take(host: WritableHost, wait_s: float) -> Tuple[List[str], int]:
    """(Folders that were made, descriptor of the locked file.) Raises Refusal and OSError."""
    end_s = time.monotonic() + wait_s
    made: List[str] = []
    while True:
        try:
            made += [folder for folder in host.make_folder(RUN_FOLDER, RUN_FOLDER_MODE) if folder not in made]
            _check_folder(host)
            fd = host.open_private(FILE)
        except (FileNotFoundError, FileExistsError):
            if time.monotonic() > end_s:
                _remove(host, made)
                raise
            time.sleep(_LOOK_S)  # its holder is removing it
            continue
        except BaseException:
            _remove(host, made)
            raise
        try:
            with naming(FILE):
                if _lock(host, fd):
                    return made, fd
                if time.monotonic() > end_s:
                    raise Refusal(_BUSY % (_read_holder(fd), wait_s))
        except BaseException:
            _give_up(host, made, fd)
            raise
        os.close(fd)
        time.sleep(_LOOK_S)


def _check_folder(host: WritableHost) -> None:
    """Raise Refusal where another user can hold or replace the lock."""
    danger = file_trust.find_danger(host, FILE)
    if danger is not None:
        file_trust.raise_refusal(FILE, *danger)


def _give_up(host: WritableHost, made: List[str], fd: int) -> None:
    """After a failure, remove the file unless another run has the lock."""
    with contextlib.suppress(OSError):
        if _flock(fd) and host.is_at(FILE, fd):
            os.unlink(host.locate(FILE))
    _remove(host, made)
    os.close(fd)


def _lock(host: WritableHost, fd: int) -> bool:
    """Lock the file; False if that fails, or if the path leads to another file now."""
    if not _flock(fd) or not host.is_at(FILE, fd):
        return False
    os.ftruncate(fd, 0)
    os.pwrite(fd, b'%d\n' % os.getpid(), 0)
    return True


def _flock(fd: int) -> bool:
    """Lock the file; False if another process holds the lock."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(fd: int) -> str:
    words = os.pread(fd, 20, 0).split()
    return words[0].decode('ascii', 'replace') if words else 'unknown'


_BUSY = ('Another run of this collection (PID %s) is changing this machine, and has not ended within %d s. Nothing was '
         'changed. Try again when it has ended. [OOMK-2305]')
_NO_FILE = ('%s. Nothing was changed. One run at a time changes a machine, and the lock for that is a file. Remove, or '
            'umount, what is in its place. [OOMK-2306]')


def _release(host: WritableHost, made: List[str], fd: int) -> None:
    """Remove the file before the lock ends. A file that stays does no harm."""
    try:
        with contextlib.suppress(OSError):
            os.unlink(host.locate(FILE))
        _remove(host, [RUN_FOLDER] + made)
    finally:
        with contextlib.suppress(OSError):  # close(2) closes also when it fails
            os.close(fd)


def _remove(host: WritableHost, folders: List[str]) -> None:
    """Remove the folders that are empty, the innermost first."""
    for folder in sorted(set(folders), reverse=True):
        with contextlib.suppress(OSError):
            host.remove_folder(folder)
