# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is being read right now, and what is not read any more because an earlier read of it did not return.

A user with a file system of his own (FUSE) can leave a read of /proc/PID unanswered, and so can a file server that is
down. A helper process (_helper) therefore reads, and notes here, in memory that it shares with its parent, what it is
about to read. Everywhere else L(current) notes nothing and allows everything.
"""

import errno
import os
import re
import struct
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

BOARD_BYTES = 4096
# How often something was noted, the length of the path that follows (0 while nothing is being read), and the seconds
# of all slow reads so far.
_HEAD = struct.Struct('QHd')
_MOST_BYTES = 2000
# A read takes a few microseconds. A user who makes each of thousands take longer loses the rest.
SLOW_S, MOST_SLOW_S = 0.002, 8.0
_PID = re.compile(r'/?(?:proc/)?([0-9]{1,10})(?:/|\Z)')
_UIDS = re.compile(br'^Uid:\s+([0-9]{1,10})\s+([0-9]{1,10})\s+([0-9]{1,10})\s', re.MULTILINE)
NO_ANSWER = 'it does not answer (a file system of a user, or a file server that is down)'
# Noted in the place of a path, while a directory service may be asked.
USER_DATABASE = 'the user database'

# Whose processes are read.
ALL, TRUSTED, NONE = 'all', 'trusted', 'none'

# What needs the right to trace a process waits for locks that the process may hold; kcmp stands for kcmp(2).
TRACED = ('cmdline', 'environ', 'exe', 'kcmp', 'ns')

# A read that did not return.
Stall = NamedTuple('Stall', [
    ('path', str),
    ('pid', int),   # 0 for a file outside of /proc
    ('name', str),  # the last part of the path
])


def stall_of(path: str) -> Stall:
    """The stall of a read of this path, below / or below /proc."""
    match = _PID.match(path)
    return Stall(path, int(match.group(1)) if match else 0, path.rpartition('/')[2])


def noted(board: Any) -> Tuple[int, str]:
    """(How often something was noted, the path that is being read, empty for none.)"""
    count, length, _slow_s = _HEAD.unpack_from(board)
    return count, bytes(board[_HEAD.size:_HEAD.size + length]).decode('utf-8', 'surrogateescape')


def slow_s(board: Any) -> float:
    """The seconds of all slow reads so far."""
    return float(_HEAD.unpack_from(board)[2])


def parse_uids(status: bytes) -> Optional[Tuple[int, int, int]]:
    """The real, effective and saved user ID of /proc/PID/status: they differ in set-user-ID programs."""
    match = _UIDS.search(status)
    return (int(match.group(1)), int(match.group(2)), int(match.group(3))) if match else None


class Access(object):
    """Notes nothing, and allows everything."""

    def note(self, path: str) -> None:
        """This is about to be read. Raises OSError for a file that is not read any more."""

    def clear(self) -> None:
        """The read has returned."""

    def allows(self, pid: Any, name: str = '') -> bool:
        """Whether files of this process may be read, and the one of this name."""
        return True

    def reasons(self) -> List[str]:
        """Why some processes are not read, a sentence each."""
        return []

    def notes(self) -> List[str]:
        """What else is not read, a sentence each: folders, and the traced part of processes."""
        return []

    @property
    def restriction(self) -> str:
        """Why the processes of all ordinary users are not read; empty where they are."""
        return ''


class Limited(Access):
    """Notes on a board what is read, and leaves out what did not answer."""

    def __init__(self, proc: str, stalls: Sequence[Stall] = (), whose: str = ALL, why: str = '',
                 board: Any = None, slow_s: float = 0) -> None:
        """``proc`` is where /proc lies; ``why`` is the reason for any other ``whose`` than ALL, which has none.

        ``slow_s`` are the seconds of slow reads before.
        """
        self._proc, self._board, self._whose, self._why = proc, board, whose, why
        self._count, self._slow_s, self._path, self._since = 0, slow_s, '', 0.0
        self._own = frozenset((0, os.geteuid()))
        self._folders = [_folder_of(stall.path) for stall in stalls if not stall.pid]
        self._silent = self._with_users(stall for stall in stalls if stall.pid and stall.name not in TRACED)
        self._traced = self._with_users(stall for stall in stalls if stall.pid and stall.name in TRACED)

    def _with_users(self, stalls: Iterable[Stall]) -> Dict[int, Set[int]]:
        """By PID its user IDs, without those that are trusted; none where this is what did not answer."""
        return dict((stall.pid, set() if stall.name == 'status' else set(self._uids(stall.pid)) - self._own)
                    for stall in stalls)

    def note(self, path: str) -> None:
        """See Access."""
        if self._folders and any((path + '/').startswith(folder + '/') for folder in self._folders):
            raise OSError(errno.ETIMEDOUT, NO_ANSWER, path)
        if self._board is None:
            return
        now = time.monotonic()
        if self._path:
            self._has_taken(now - self._since)
        data = path.encode('utf-8', 'surrogateescape')[:_MOST_BYTES]
        self._count, self._path, self._since = self._count + 1, path, now
        self._board[_HEAD.size:_HEAD.size + len(data)] = data
        _HEAD.pack_into(self._board, 0, self._count, len(data), self._slow_s)

    def clear(self) -> None:
        """See Access."""
        if self._board is None:
            return
        self._count += 1
        _HEAD.pack_into(self._board, 0, self._count, 0, self._slow_s)
        if self._path:
            self._has_taken(time.monotonic() - self._since)

    def _has_taken(self, seconds: float) -> None:
        """The last read has. One too many that is slow costs its process and its user the rest."""
        path, self._path = self._path, ''
        if seconds < SLOW_S:
            return
        self._slow_s += seconds
        stall = stall_of(path)
        if self._slow_s > MOST_SLOW_S and stall.pid and stall.name != 'status':
            users = self._with_users([stall])[stall.pid]
            if users:
                self._silent[stall.pid] = users

    def allows(self, pid: Any, name: str = '') -> bool:
        """See Access."""
        traced = bool(self._traced) and name in TRACED
        if not (traced or self._silent or self._whose != ALL) or not str(pid).isdigit():  # self
            return True
        if int(pid) in self._silent or self._whose == NONE or traced and int(pid) in self._traced:
            return False
        uids = self._uids(int(pid))
        if self._whose == TRUSTED:
            return bool(uids) and self._own.issuperset(uids)
        return not (_is_of(uids, self._silent) or traced and _is_of(uids, self._traced))

    def reasons(self) -> List[str]:
        """See Access."""
        found = ['no file of process %d is read, since it does not answer%s' % (pid, _others(users))
                 for pid, users in sorted(self._silent.items())]
        return found + ([self._why] if self._why else [])

    def notes(self) -> List[str]:
        """See Access."""
        return (['%s does not answer and is not read' % folder for folder in sorted(set(self._folders))]
                + ['the command line and the memory map of process %d are not read, since it does not answer%s'
                   % (pid, _others(users)) for pid, users in sorted(self._traced.items())])

    @property
    def restriction(self) -> str:
        """See Access."""
        return self._why

    def _uids(self, pid: int) -> Tuple[int, ...]:
        """Read directly: this file waits for nothing that a user can hold."""
        self.note('/proc/%d/status' % pid)
        try:
            fd = os.open('%s/%d/status' % (self._proc, pid), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return parse_uids(os.read(fd, 4096)) or ()
            finally:
                os.close(fd)
        except OSError:
            return ()
        finally:
            self.clear()


def _is_of(uids: Tuple[int, ...], known: Dict[int, Set[int]]) -> bool:
    return any(users.intersection(uids) for users in known.values())


def _others(users: Set[int]) -> str:
    return ', nor of any other process of user %s' % ', '.join(map(str, sorted(users))) if users else ''


def _folder_of(path: str) -> str:
    """What is not read any more: the folder, where it is none that the whole system uses."""
    folder = os.path.dirname(path)
    return folder if folder.count('/') > 1 else path


class Reading(object):
    """While a file is read, with C(with). Raises OSError for one that is not read any more."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        current.note(self._path)

    def __exit__(self, *_exc: Any) -> None:
        current.clear()


current = Access()  # type: Access


def use(access: Access) -> Access:
    """Make this the one that counts; the one before."""
    global current
    before, current = current, access
    return before
