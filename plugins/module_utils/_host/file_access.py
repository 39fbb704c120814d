# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restrict reads of other users' files: skip those whose earlier read did not return.

A user's FUSE file system, or a file server that is down, can block a read of /proc/PID without end. So a helper process
(L(_host.helper)) makes such reads. It writes the path of each read to the board: memory that it shares with its parent.
In all other processes L(current) writes nothing and allows everything.
"""

import contextlib
import errno
import mmap
import os
import re
import struct
import time
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

BOARD_BYTES = 4096
# Number of reads so far, length of the path that follows (0 between two reads), seconds of all slow reads.
_HEAD = struct.Struct('QHd')
_MOST_BYTES = 2000
# A read takes a few microseconds. After MOST_SLOW_S of slow reads, further slow processes and users are skipped.
SLOW_S, MOST_SLOW_S = 0.002, 8.0
_PID = re.compile(r'/?(?:proc/)?([0-9]{1,10})(?:/|\Z)')
_UIDS = re.compile(br'^Uid:\s+([0-9]{1,10})\s+([0-9]{1,10})\s+([0-9]{1,10})\s', re.MULTILINE)
NO_ANSWER = 'it does not answer (a file system of a user, or a file server that is down) [OOMK-3103]'
# Replaces the path in a request to a directory service (nsswitch.conf(5)).
USER_DATABASE = 'the user database'

# Whose processes are read.
ALL, TRUSTED, NONE = 'all', 'trusted', 'none'

# Reads of these check ptrace(2) access, and wait for locks that the process may hold. kcmp stands for kcmp(2).
TRACED = ('cmdline', 'environ', 'exe', 'kcmp', 'ns')


class Stall(NamedTuple):
    """A read that did not return."""

    path: str
    pid: int  # 0 for a file outside of /proc
    name: str  # the last part of the path


@contextlib.contextmanager
def open_fd(path: str, flags: int, dir_fd: Optional[int] = None) -> Iterator[int]:
    """A descriptor, closed at the end. Ignores errors of close(2), which closes even then."""
    fd = os.open(path, flags | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        yield fd
    finally:
        with contextlib.suppress(OSError):
            os.close(fd)


def parse_stall(path: str) -> Stall:
    """The stall of a read of this path, absolute or relative to /proc."""
    match = _PID.match(path)
    return Stall(path, int(match.group(1)) if match else 0, path.rpartition('/')[2])


def read_board(board: mmap.mmap) -> Tuple[int, str]:
    """(Number of reads so far, path of the read in progress or an empty text.)"""
    count, length, _slow_s = _HEAD.unpack_from(board)
    return count, bytes(board[_HEAD.size:_HEAD.size + length]).decode('utf-8', 'surrogateescape')


def read_slow_s(board: mmap.mmap) -> float:
    """The seconds of all slow reads so far."""
    return float(_HEAD.unpack_from(board)[2])


def parse_uids(status: bytes) -> Optional[Tuple[int, int, int]]:
    """Real, effective and saved user ID of /proc/PID/status; they differ in set-user-ID programs."""
    match = _UIDS.search(status)
    return (int(match.group(1)), int(match.group(2)), int(match.group(3))) if match else None


class Access:
    """Access to everything, for a process that nobody watches."""

    path = ''  # of the read in progress

    def begin(self, path: str) -> None:
        """Announce a read. Raises OSError for a file that is skipped."""

    def end(self) -> None:
        """Report that the read has returned."""

    def allows(self, pid: Union[int, str], name: str = '') -> bool:
        """Whether this file of the process may be read; without a name, whether any may."""
        return True

    def unread_processes(self) -> List[str]:
        """The skipped processes and why, as sentences."""
        return []

    def other_unread(self) -> List[str]:
        """The skipped folders, command lines and memory maps and why, as sentences."""
        return []

    @property
    def restriction(self) -> str:
        """Why all ordinary users' processes are skipped; empty if they are not."""
        return ''


class RestrictedAccess(Access):
    """Access that skips files after reads that did not return; writes each path to a board."""

    def __init__(self, proc: str, stalls: Sequence[Stall] = (), whose: str = ALL, why: str = '',
                 board: Optional[mmap.mmap] = None, slow_s: float = 0) -> None:
        """``proc`` is the path of /proc. ``why`` explains a ``whose`` other than ALL.

        ``slow_s`` are the seconds of earlier helpers' slow reads.
        """
        self._proc, self._board, self._whose, self._why = proc, board, whose, why
        self._count, self._slow_s, self._since = 0, slow_s, 0.0
        self._trusted = frozenset((0, os.geteuid()))
        self._folders = [_unread_path(stall.path) for stall in stalls if not stall.pid]
        self._silent = self._read_users(stall for stall in stalls if stall.pid and stall.name not in TRACED)
        self._traced = self._read_users(stall for stall in stalls if stall.pid and stall.name in TRACED)

    def _read_users(self, stalls: Iterable[Stall]) -> Dict[int, Set[int]]:
        """The untrusted user IDs of each process, by PID; empty if its status did not answer."""
        return {stall.pid: set() if stall.name == 'status' else set(self._uids(stall.pid)) - self._trusted
                for stall in stalls}

    def begin(self, path: str) -> None:
        """See Access."""
        if self._folders and any((path + '/').startswith(folder + '/') for folder in self._folders):
            raise OSError(errno.ETIMEDOUT, NO_ANSWER, path)
        if self._board is None:
            return
        now = time.monotonic()
        if self.path:
            self._add_duration(now - self._since)
        data = path.encode('utf-8', 'surrogateescape')[:_MOST_BYTES]
        self._count, self.path, self._since = self._count + 1, path, now
        self._board[_HEAD.size:_HEAD.size + len(data)] = data
        _HEAD.pack_into(self._board, 0, self._count, len(data), self._slow_s)

    def end(self) -> None:
        """See Access."""
        if self._board is None:
            return
        self._count += 1
        _HEAD.pack_into(self._board, 0, self._count, 0, self._slow_s)
        if self.path:
            self._add_duration(time.monotonic() - self._since)

    def _add_duration(self, seconds: float) -> None:
        """Count a slow read. Past the limit, skip its process and its user from now on."""
        path, self.path = self.path, ''
        if seconds < SLOW_S:
            return
        self._slow_s += seconds
        stall = parse_stall(path)
        if self._slow_s > MOST_SLOW_S and stall.pid and stall.name != 'status':
            users = self._read_users([stall])[stall.pid]
            if users:
                self._silent[stall.pid] = users

    def allows(self, pid: Union[int, str], name: str = '') -> bool:
        """See Access."""
        traced = self._traced if name in TRACED else {}
        if not (traced or self._silent or self._whose != ALL) or not str(pid).isdigit():  # self
            return True
        return self._whose != NONE and self._allows_process(int(pid), (self._silent, traced))

    def _allows_process(self, pid: int, skipped: Sequence[Dict[int, Set[int]]]) -> bool:
        if any(pid in known for known in skipped):
            return False
        uids = self._uids(pid)
        if self._whose == TRUSTED:
            return bool(uids) and self._trusted.issuperset(uids)
        return not any(users.intersection(uids) for known in skipped for users in known.values())

    def unread_processes(self) -> List[str]:
        """See Access."""
        found = _describe('process %d is skipped', 'all', self._silent)
        return found + ([self._why] if self._why else [])

    def other_unread(self) -> List[str]:
        """See Access."""
        found = [f'{folder} is skipped because it does not answer [OOMK-3103]' for folder in sorted(set(self._folders))]
        return found + _describe('the command line and memory map of process %d are skipped', 'those of all',
                                 self._traced)

    @property
    def restriction(self) -> str:
        """See Access."""
        return self._why

    def _uids(self, pid: int) -> Tuple[int, ...]:
        """Read /proc/PID/status here: it takes no lock that a user can hold."""
        self.begin(f'/proc/{pid}/status')
        try:
            with open_fd(f'{self._proc}/{pid}/status', os.O_RDONLY) as fd:
                return parse_uids(os.read(fd, 4096)) or ()
        except OSError:
            return ()
        finally:
            self.end()


def _describe(text: str, others: str, known: Dict[int, Set[int]]) -> List[str]:
    """A sentence for each process, with the users whose processes are all skipped."""
    return [text % pid + ' because it does not answer'
            + (f", and so are {others} processes of user {', '.join(map(str, sorted(users)))}" if users else '')
            + ' [OOMK-3101]' for pid, users in sorted(known.items())]


def _unread_path(path: str) -> str:
    """The skipped path: its folder, or the path alone if the folder is / or one level below."""
    folder = os.path.dirname(path)
    return folder if folder.count('/') > 1 else path


class Reading:
    """Context of one read, which can be nested. Raises OSError for a skipped file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._outer = ''

    def __enter__(self) -> None:
        self._outer = current.path
        current.begin(self._path)

    def __exit__(self, *_exc: Any) -> None:
        current.end()
        if self._outer:
            current.begin(self._outer)


current: Access = Access()


def set_current(access: Access) -> Access:
    """Replace L(current); returns the previous one."""
    global current
    before, current = current, access
    return before
