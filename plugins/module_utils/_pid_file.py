# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process a PID file may mean: whoever can write one could have root set any process of the machine."""

import errno
import re
import stat
from typing import Optional

from ansible_collections.oomkit.linux.plugins.module_utils import _trust
from ansible_collections.oomkit.linux.plugins.module_utils._access import parse_uids
from ansible_collections.oomkit.linux.plugins.module_utils._held import Held
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._names import explain, harmless

_FAULTS = (errno.EIO, errno.ENOMEM, errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.EPERM, errno.EROFS)
_PID_MAX = 2 ** 22  # PID_MAX_LIMIT of 64-bit kernels


class PidFileError(Exception):
    """Why a file is no PID file, or cannot be read."""


def read(host: Host, path: str) -> Optional[int]:
    """The number that the file begins with, None where there is no file. Raises PidFileError for anything else.

    The owner of a service can put anything in its place: a device, a pipe, a link into /proc, a file without end.
    Raises OSError where root alone can write there, and the system fails: what runs is unknown then.
    """
    if not path.startswith('/'):
        raise PidFileError('%s is not an absolute path' % harmless(path))
    try:
        data = host.read_named_file(path)
    except OSError as exc:
        if is_fault(host, path, exc):
            raise
        raise PidFileError('the PID file cannot be read: %s' % explain(exc)) from exc
    if data is None:
        return None
    first = (data.split() or [b''])[0]
    pid = int(first) if re.match(b'[0-9]{1,10}\\Z', first) else None
    if pid is None or pid > _PID_MAX:
        raise PidFileError('%s does not begin with a process number' % harmless(path))
    return pid


def is_fault(host: Host, path: str, exc: OSError) -> bool:
    """Whether the system fails, and nobody has made it so: a file system of a user can answer with any error."""
    try:
        return exc.errno in _FAULTS and _trust.owner_of(host, path) == 0
    except OSError:
        return False


def user_of(host: Host, pid: int) -> Optional[int]:
    """The one user whose rights the process has; None where it is gone, has those of several or may have, or is stuck.

    A set-user-ID program such as su has the rights of two users. sudo has root's alone while it asks for a password.
    """
    with Held(host, pid) as held:
        uids = parse_uids(held.read('status') or b'')
    if uids is None or len(set(uids)) > 1:
        return None
    try:
        program = host.stat('/proc/%d/exe' % pid) if uids[0] == 0 else None
    except OSError as exc:
        if exc.errno != errno.ETIMEDOUT:
            raise
        return None
    return None if program is not None and program.st_mode & stat.S_ISUID else uids[0]


def doubt(host: Host, path: str, pid: int) -> Optional[str]:
    """Why the process is not believed to be the one that the file means; None where it is.

    What root alone can write is believed, and what one user can where it names a process of that user. (systemd asks
    the same of PIDFile=: systemd.service(5).)
    """
    try:
        owner = _trust.owner_of(host, path)
        if owner == 0 or (owner is not None and owner == user_of(host, pid)):
            return None
    except OSError as exc:
        return 'the PID file cannot be read: %s' % explain(exc)
    return ('the PID file %s names process %d, which is not followed: others than root can write there, and it is no '
            'process of theirs. Keep the file in a folder of root\'s, or of the user that the service runs as'
            % (harmless(path), pid))
