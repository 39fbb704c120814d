# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that are added to a log file while logrotate and a syslog daemon rename, cut, remove and recreate it.

After a rename the daemon goes on writing to the file it has open until logrotate's postrotate script makes it open
the new one, so that both are read for a while. Sources: logrotate(8), ``create`` and ``copytruncate``.
"""

from __future__ import annotations

import os
import stat
import time
import typing as t

_CHUNK_BYTES = 65536
LONGEST_LINE_BYTES = 8192  # longer than any line of the kernel, with each of its bytes written as an escape
QUIET_S = 10.0  # a renamed file to which nothing was added for so long is done
PATIENCE_S = 30.0  # a new file may belong to somebody else until logrotate has given it away
_MOST_OLD_FILES = 4
NO_LOG = "is neither the kernel's log device nor a regular file [OOMK-2902]"


class LogError(Exception):
    """Why the file cannot be followed (any more)."""


Select = t.Callable[[bytes], list[t.Any]]  # what is wanted of whole lines


def split(block: bytes) -> list[bytes]:
    """All lines that are not too long."""
    return [line for line in block.split(b'\n')[:-1] if len(line) <= LONGEST_LINE_BYTES]


class _Tail:
    """One open file: what is added to it, in whole lines."""

    def __init__(self, path: str, select: Select) -> None:
        """Raises OSError, and LogError for what is not a file: a read might never end."""
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise LogError(NO_LOG)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b''
        self._too_long = False
        self._select = select
        status = os.fstat(self._fd)
        self.inode = status.st_dev, status.st_ino

    def close(self) -> None:
        os.close(self._fd)

    def skip(self) -> None:
        """Skip what the file holds now."""
        os.lseek(self._fd, 0, os.SEEK_END)

    def is_empty(self) -> bool:
        return os.fstat(self._fd).st_size == 0

    def restart_if_cut(self) -> bool:
        """Whether the file has become shorter than what was read of it."""
        if os.fstat(self._fd).st_size >= os.lseek(self._fd, 0, os.SEEK_CUR):
            return False
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._rest, self._too_long = b'', False
        return True

    def read_chunks(self) -> t.Iterator[list[t.Any]]:
        """The lines that were added, a list for each piece of the file. Raises OSError."""
        while True:
            chunk = os.read(self._fd, _CHUNK_BYTES)
            if not chunk:
                return
            whole, end, rest = chunk.rpartition(b'\n')
            block = self._rest + whole + end if end else b''
            self._rest = rest if end else self._rest + chunk
            if end and self._too_long:
                block = block[block.index(b'\n') + 1:]
                self._too_long = False
            if len(self._rest) > LONGEST_LINE_BYTES:
                self._rest, self._too_long = b'', True
            yield self._select(block)

    def take_unfinished(self) -> list[t.Any]:
        """The last line of a finished file, without a line end; none for the end of a line that is too long."""
        return self._select(self._rest + b'\n') if self._rest and not self._too_long else []


class LogFile:
    """The lines that are added to the file at a path, in order, over its rotation."""

    def __init__(self, path: str, replay: bool, clock: t.Callable[[], float] = time.monotonic,
                 select: Select = split) -> None:
        """Begins at the end of the file, or with ``replay`` at its start. Raises LogError."""
        self._path, self._clock, self._select = path, clock, select
        self._old: list[tuple[_Tail, float]] = []  # with the time of the last read that found lines
        self._tail: _Tail | None = None
        self._refused_since_s: float | None = None
        self._cut = False
        try:
            self._tail = _Tail(path, select)
            if not replay:
                self._tail.skip()
        except FileNotFoundError:
            pass
        except OSError as exc:
            self.close()
            raise LogError(f'cannot be read ({exc.strerror}) [OOMK-2904]') from exc

    def close(self) -> None:
        """Close all files."""
        for tail, _read_s in self._old:
            tail.close()
        if self._tail is not None:
            self._tail.close()
        self._old, self._tail = [], None

    def was_cut(self) -> bool:
        """Whether a file was cut since the last call: what was added just before may be missing."""
        cut, self._cut = self._cut, False
        return cut

    def read_chunks(self) -> t.Iterator[list[t.Any]]:
        """The lines that were added since the last call, a list for each piece of the file. Raises LogError."""
        try:
            self._reopen()
            yield from self._read_old()
            if self._tail is not None:
                # A file that is renamed is kept open, so that one that is cut is cut in place (copytruncate).
                self._cut = self._tail.restart_if_cut() or self._cut
                yield from self._tail.read_chunks()
        except OSError as exc:
            raise LogError(f'cannot be read any more ({exc.strerror}) [OOMK-2905]') from exc

    def _reopen(self) -> None:
        """Open the file at the path if it is another one now. While there is none, keep the old one."""
        try:
            status = os.stat(self._path)
            if self._tail is not None and (status.st_dev, status.st_ino) == self._tail.inode:
                self._refused_since_s = None
                return
            tail = _Tail(self._path, self._select)
        except FileNotFoundError:
            self._refused_since_s = None
            return
        except PermissionError:
            self._refused_since_s = self._refused_since_s or self._clock()
            if self._clock() - self._refused_since_s > PATIENCE_S:
                raise
            return
        self._refused_since_s = None
        if self._tail is not None:
            self._old.append((self._tail, self._clock()))
        self._tail = tail

    def _read_old(self) -> t.Iterator[list[t.Any]]:
        """The lines added to renamed files. Quiet ones are closed once the new file is in use."""
        in_use = self._tail is not None and not self._tail.is_empty()
        kept = []
        for tail, read_s in self._old:
            self._cut = tail.restart_if_cut() or self._cut
            for lines in tail.read_chunks():
                read_s = self._clock()
                yield lines
            kept.append((tail, read_s))
        self._old = kept
        while self._old and (len(self._old) > _MOST_OLD_FILES or in_use and self._clock() - self._old[0][1] > QUIET_S):
            tail, _read_s = self._old.pop(0)
            lines = tail.take_unfinished()
            tail.close()  # first: the consumer of the lines may never return
            yield lines
