# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that waits for its confirmation, as a file in /run/oomkit, which a reboot clears.

The file also decides between confirming and rolling back. A run unlinks it to confirm, and the watchdog renames it to
roll back. unlink(2) and rename(2) let exactly one win. Each name is used once, so no run mistakes a later change for
its own. The renamed file shows that a rollback is in progress.
"""

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .._host import file_trust
from .._host.host import RUN_FOLDER
from .._host.writable import WritableHost
from .._kernel import sysctls
from .._sysctl.records import SYSCTLS
from .connection import Connection, process
from .waiting import PREFIX

_ROLLING_BACK = 'restoring-'
_BOOT_ID = '/proc/sys/kernel/random/boot_id'
_LATEST_S = 1e10  # centuries
_LOOKS = 100  # far more than the names that a file gets
# Includes suspended time and cannot be set (clock_gettime(2)). Python names it from 3.7 on.
_CLOCK_BOOTTIME = 7
_DENIED = (errno.EACCES, errno.EPERM)


class Pending(NamedTuple):
    name: str  # file name
    boot: str  # boot ID
    pid: int  # of the watchdog
    started: int  # start of the watchdog, in clock ticks since boot
    deadline_s: float  # on the clock of read_uptime_s()
    within_s: int
    desired: str
    connection: Connection
    before: sysctls.State  # runtime values of all keys of the module
    after: sysctls.State
    originals: sysctls.State  # values before earlier unconfirmed changes, if different


def read_uptime_s() -> float:
    """Seconds since boot, suspended time included."""
    return time.clock_gettime(_CLOCK_BOOTTIME)


def boot_id(host: WritableHost) -> str:
    """The kernel's boot ID; empty if it has none."""
    return (host.read_text(_BOOT_ID) or '').strip()


def new_name() -> str:
    """Build a file name that was never used before."""
    return PREFIX + ''.join(f'{byte:02x}' for byte in bytearray(os.urandom(8)))


def dump(pending: Pending) -> bytes:
    """The file's content."""
    return (json.dumps(pending._asdict(), sort_keys=True) + '\n').encode('ascii')


def parse(name: str, data: Optional[bytes]) -> Optional[Pending]:
    """Parse the output of L(dump); None for incomplete data."""
    try:
        found: Dict[str, Any] = json.loads((data or b'').decode('ascii'))
        found['connection'] = Connection(*found['connection'])
        pending = Pending(**dict(found, name=name))
        return pending if _is_sound(pending) else None
    except (ValueError, RecursionError, OverflowError, TypeError, KeyError):
        return None


def _is_sound(pending: Pending) -> bool:
    """Whether every field is valid."""
    numbers = (pending.pid, pending.started, pending.within_s)
    states = (pending.before, pending.after, pending.originals)
    return (all(map(_is_int, numbers)) and isinstance(pending.boot, str)
            and (_is_int(pending.deadline_s) or isinstance(pending.deadline_s, float))
            and abs(pending.deadline_s) < _LATEST_S
            and isinstance(pending.desired, str) and all(map(_is_state, states)))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_state(state: Any) -> bool:
    return isinstance(state, dict) and all(
        key in SYSCTLS and (value is None or _is_int(value)) for key, value in state.items())


def find_all(host: WritableHost) -> List[Pending]:
    """The changes of this boot that wait or are being rolled back, including those of a killed watchdog.

    Users without permission get none. Root gets the OSError.
    """
    found = [parse(name, data) for name, data in _seen(host).items()]
    this_boot = boot_id(host)
    return [pending for pending in found if pending is not None and pending.boot == this_boot]


def _seen(host: WritableHost) -> Dict[str, Optional[bytes]]:
    """Read L(_files); nothing for users without permission."""
    try:
        return _files(host)
    except OSError as exc:
        if exc.errno in _DENIED and os.geteuid() != 0:
            return {}
        raise


def _files(host: WritableHost) -> Dict[str, Optional[bytes]]:
    """Read the files by name, again if one was renamed or removed between listing and reading."""
    files: Dict[str, Optional[bytes]] = {}
    for _attempt in range(_LOOKS):
        names = [name for name in host.names(RUN_FOLDER) if name.startswith((PREFIX, _ROLLING_BACK))]
        files = {name: file_trust.read_record(host, RUN_FOLDER + '/' + name) for name in names}
        if None not in files.values():
            break
    return files


def left_over(host: WritableHost) -> List[str]:
    """Files without a change: those of another boot (if /run survives a reboot), and damaged ones.

    A file that a live watchdog locks is skipped. The watchdog takes a missing file for its confirmation. A file that is
    unreadable here may come from another version.
    """
    this_boot = boot_id(host)
    found = [(name, parse(name, data)) for name, data in _seen(host).items() if data is not None]
    names = [name for name, pending in found if pending is None or this_boot and pending.boot != this_boot]
    return [f'{RUN_FOLDER}/{name}' for name in names if _is_free(host, name)]


def _is_free(host: WritableHost, name: str) -> bool:
    """Whether the file is there and no live watchdog locks it. Only root can open it, and so lock it."""
    try:
        fd = os.open(_locate(host, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(fd)
    except OSError:
        return False  # A missing file tells nothing: a watchdog that rolls back renames it.
    return True


def is_watched(host: WritableHost, pending: Pending) -> bool:
    """Whether the watchdog is alive. Raises OSError.

    It locks its file until it ends. After that, its PID may belong to another process.
    """
    if _is_free(host, pending.name):
        return False
    found = host.call(process, host, str(pending.pid))
    return found is not None and found.start_ticks == pending.started


def claim(host: WritableHost, name: str) -> bool:
    """Remove the file of a change, and the folder with the last one; False if somebody else was first."""
    if not _is_first(lambda: os.unlink(_locate(host, name))):
        return False
    # The claim has succeeded: a folder that cannot be removed must not count as a failure.
    with contextlib.suppress(OSError, MemoryError):
        host.remove_folder(RUN_FOLDER)
    return True


def claim_rollback(host: WritableHost, name: str) -> bool:
    """Claim a change for rollback. The renamed file tells later runs that the rollback is in progress."""
    return _is_first(lambda: os.rename(_locate(host, name), _locate(host, rollback_name(name))))


def rollback_name(name: str) -> str:
    """The file's name after L(claim_rollback)."""
    return _ROLLING_BACK + name


def is_rolled_back(pending: Pending) -> bool:
    """Whether its watchdog has begun to roll back."""
    return pending.name.startswith(_ROLLING_BACK)


def _locate(host: WritableHost, name: str) -> str:
    return host.locate(RUN_FOLDER + '/' + name)


def _is_first(take: Callable[[], None]) -> bool:
    try:
        take()
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return False
    return True


def until(pending: Pending) -> str:
    """The deadline in UTC, by the host's present clock."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + pending.deadline_s - read_uptime_s()))


def describe(pending: Pending) -> str:
    """Describe what it changed at runtime."""
    changed = [key for key in sorted(pending.after) if pending.after[key] != pending.before.get(key)]
    return ', '.join(f'{key} = {pending.after[key]}' for key in changed)
