# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read PID files, and check which process one may name: a user who can write the file can name any."""

import errno
import re
import stat
from typing import Optional

from .._core.sanitize import explain, sanitize
from .._host import file_trust
from .._host.file_access import parse_uids
from .._host.host import Host
from .handle import ProcessHandle

_FAULTS = (errno.EIO, errno.ENOMEM, errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.EPERM, errno.EROFS)
PID_MAX = 2 ** 22  # PID_MAX_LIMIT of 64-bit kernels
MOST_SYSTEM_UID = 999  # login.defs(5): SYS_UID_MAX


class PidFileError(Exception):
    """A file that is not a PID file, or is unreadable."""


def read_pid_file(host: Host, path: str) -> Optional[int]:
    """The number at the start of the file; None without a file. Raises PidFileError.

    A service's owner can replace the file with a device, a pipe, a link into /proc or an endless file. Raises OSError
    if the system cannot read a file that only root can write: then it is unknown what runs.
    """
    if not path.startswith('/'):
        raise PidFileError(f'{sanitize(path)} is not an absolute path')
    try:
        data = host.read_named_file(path)
    except OSError as exc:
        if is_fault(host, path, exc):
            raise
        raise PidFileError(f'the PID file cannot be read: {explain(exc)}') from exc
    if data is None:
        return None
    first = (data.split() or [b''])[0]
    pid = int(first) if re.match(b'[0-9]{1,10}\\Z', first) else None
    if pid is None or pid > PID_MAX:
        raise PidFileError(f'{sanitize(path)} does not begin with a process number')
    return pid


def is_fault(host: Host, path: str, exc: OSError) -> bool:
    """Whether the system caused the error: a user's file system can return any error."""
    try:
        return exc.errno in _FAULTS and file_trust.find_owner(host, path) == 0
    except OSError:
        return False


def find_user(host: Host, pid: int) -> Optional[int]:
    """The user of all rights of the process; None for several users, or if it is gone or does not answer.

    A set-user-ID program such as su has the rights of two users. sudo has only root's while it asks for a password.
    """
    with ProcessHandle(host, pid) as handle:
        uids = parse_uids(handle.read('status') or b'')
    if uids is None or len(set(uids)) > 1:
        return None
    try:
        program = host.stat(f'/proc/{pid}/exe') if uids[0] == 0 else None
    except OSError as exc:
        if exc.errno != errno.ETIMEDOUT:
            raise
        return None
    return None if program is not None and program.st_mode & stat.S_ISUID else uids[0]


def explain_doubt(host: Host, path: str, pid: int) -> Optional[str]:
    """Why the file may not name this process; None if it may.

    A file that only root can write may name any process. A user's file may name only that user's, as PIDFile= of
    systemd.service(5).
    """
    try:
        owner = file_trust.find_owner(host, path)
        if owner == 0 or (owner is not None and owner == find_user(host, pid)):
            return None
    except OSError as exc:
        return f'the PID file cannot be read: {explain(exc)}'
    return (f'the PID file {sanitize(path)} names process {pid}, which is skipped: a user who does not own the '
            'process can write the file. Keep it in a folder of root\'s, or of the user that the service runs as')
