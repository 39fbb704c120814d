# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The change that waits for its confirmation, as a file in /run/oomkit: a reset of the machine forgets it.

The file also decides between confirming and rolling back: who confirms unlinks it, who rolls back renames it, and
unlink(2) and rename(2) let exactly one win. Its name is used once only, so that nobody can take a later change for the
one he knows. Under the other name it says that runtime is being rolled back, until that is done.
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

WATCHDOG = 'oomkit-watchdog'  # the process's name: 15 bytes, the most that the kernel keeps
_PREFIX, _ROLLING_BACK = 'overcommit-', 'restoring-'
_BOOT_ID = '/proc/sys/kernel/random/boot_id'
_LATEST_S = 1e10  # centuries
_LOOKS = 100  # far more than names that a file gets
# Goes on while the machine is suspended, and nobody can set it (clock_gettime(2)); Python names it from 3.7 on.
_CLOCK_BOOTTIME = 7
_DENIED = (errno.EACCES, errno.EPERM)


class Pending(NamedTuple):
    name: str  # of the file
    boot: str  # the boot it belongs to
    pid: int  # the watchdog's
    started: int  # its start, in clock ticks from boot
    deadline_s: float  # on the clock of read_uptime_s()
    within_s: int
    desired: str
    connection: Connection
    before: sysctls.State  # runtime of all keys of the module
    after: sysctls.State
    originals: sysctls.State  # from before earlier changes that nobody confirmed, where they differ from before


def read_uptime_s() -> float:
    """Seconds since boot, suspended time included."""
    return time.clock_gettime(_CLOCK_BOOTTIME)


def boot_id(host: WritableHost) -> str:
    """What tells this boot from all others; empty on a kernel that does not say."""
    return (host.read_text(_BOOT_ID) or '').strip()


def new_name() -> str:
    """A file name that was never used before."""
    return _PREFIX + ''.join(f'{byte:02x}' for byte in bytearray(os.urandom(8)))


def dump(pending: Pending) -> bytes:
    """The file's content."""
    return (json.dumps(pending._asdict(), sort_keys=True) + '\n').encode('ascii')


def parse(name: str, data: Optional[bytes]) -> Optional[Pending]:
    """The inverse of L(dump); None for what is not complete."""
    try:
        found: Dict[str, Any] = json.loads((data or b'').decode('ascii'))
        found['connection'] = Connection(*found['connection'])
        pending = Pending(**dict(found, name=name))
        return pending if _is_sound(pending) else None
    except (ValueError, RecursionError, OverflowError, TypeError, KeyError):
        return None


def _is_sound(pending: Pending) -> bool:
    """Whether everything in it is what L(dump) writes."""
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
    """The changes of this boot that wait, are being rolled back, or were until their watchdog was killed.

    Empty for users who may not look. Root may, so that an error is none of those.
    """
    found = [parse(name, data) for name, data in _seen(host).items()]
    this_boot = boot_id(host)
    return [pending for pending in found if pending is not None and pending.boot == this_boot]


def _seen(host: WritableHost) -> Dict[str, Optional[bytes]]:
    """As L(_files), and none for users who may not look."""
    try:
        return _files(host)
    except OSError as exc:
        if exc.errno in _DENIED and os.geteuid() != 0:
            return {}
        raise


def _files(host: WritableHost) -> Dict[str, Optional[bytes]]:
    """By name; once more where one has got another name, or none, between the look at the folder and that into it."""
    files: Dict[str, Optional[bytes]] = {}
    for _attempt in range(_LOOKS):
        names = [name for name in host.names(RUN_FOLDER) if name.startswith((_PREFIX, _ROLLING_BACK))]
        files = {name: file_trust.read_record(host, RUN_FOLDER + '/' + name) for name in names}
        if None not in files.values():
            break
    return files


def left_over(host: WritableHost) -> List[str]:
    """The files of no change any more: those of another boot, where /run outlives one, and damaged ones.

    Without that of a watchdog that lives: it takes a file that is gone for its confirmation, and what this version
    cannot read may be what another one has written.
    """
    this_boot = boot_id(host)
    found = [(name, parse(name, data)) for name, data in _seen(host).items() if data is not None]
    names = [name for name, pending in found if pending is None or this_boot and pending.boot != this_boot]
    return [f'{RUN_FOLDER}/{name}' for name in names if not _is_locked(host, name)]


def _is_locked(host: WritableHost, name: str) -> bool:
    """Whether a watchdog that lives holds the file, or that cannot be told. Only root can open it, so only root can."""
    try:
        fd = os.open(_locate(host, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(fd)
    except OSError as exc:
        return exc.errno != errno.ENOENT
    return False


def is_watched(host: WritableHost, pending: Pending) -> bool:
    """Whether its watchdog lives. Raises OSError.

    It holds a lock on its file until it ends. Once it has, its number may be that of a process that does not answer.
    """
    if host.lstat(f'{RUN_FOLDER}/{pending.name}') is not None and not _is_locked(host, pending.name):
        return False
    found = host.call(process, host, str(pending.pid))
    return found is not None and found.start_ticks == pending.started


def claim(host: WritableHost, name: str) -> bool:
    """Take the change out of the waiting ones; False for whoever comes second. The folder goes with the last one."""
    if not _is_first(lambda: os.unlink(_locate(host, name))):
        return False
    # What was won stays won: a folder that cannot be removed must not look like a failure.
    with contextlib.suppress(OSError, MemoryError):
        host.remove_folder(RUN_FOLDER)
    return True


def claim_rollback(host: WritableHost, name: str) -> bool:
    """The same for the watchdog: whoever comes meanwhile must see that runtime is not back yet."""
    return _is_first(lambda: os.rename(_locate(host, name), _locate(host, rollback_name(name))))


def rollback_name(name: str) -> str:
    """The file's name from L(claim_rollback) on."""
    return _ROLLING_BACK + name


def is_rolled_back(pending: Pending) -> bool:
    """Whether its watchdog has begun to put it back."""
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
    """The end of its time as people and playbooks read it, by the machine's clock of now (UTC)."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + pending.deadline_s - read_uptime_s()))


def describe(pending: Pending) -> str:
    """What it changed at runtime."""
    changed = [key for key in sorted(pending.after) if pending.after[key] != pending.before.get(key)]
    return ', '.join(f'{key} = {pending.after[key]}' for key in changed)
