# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change files so that a failure rolls all changes back."""

import contextlib
import functools
import os
import stat
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, Type

from .._core.sanitize import explain, internal_error
from . import signals
from .writable import Attributes, WritableHost

# Marks a line of another program's file that the collection commented out, for a later revert.
MARKER = '# oomkit.linux: '

LINE_LEFT = ('%s: the line "%s" stays, because something else changed it after this collection wrote it. Remove it if '
             'it is not wanted [OOMK-1309]')

# The content before and after, by path; None for no file.
Files = Dict[str, Tuple[Optional[bytes], Optional[bytes]]]


# What applying a plan adds to the result: backups of files of others, and warnings.
class Done(NamedTuple):
    backups: List[str]
    warnings: List[str]


NOTHING_DONE = Done([], [])


class ApplyError(Exception):
    """A change failed; the message says why, and whether the rollback was complete."""


class Rollback:
    """The steps that undo the changes of a run, newest first."""

    def __init__(self) -> None:
        self._steps: List[Tuple[str, Callable[[], object]]] = []
        self.failed: List[str] = []

    def add(self, what: str, step: Callable[[], object]) -> None:
        """Add the step that undoes the next change."""
        self._steps.append((what, step))

    def replace_last(self, what: str, step: Callable[[], object]) -> None:
        """Replace the step for the last change."""
        self._steps[-1] = (what, step)

    def run(self) -> None:
        """Undo everything. ``failed`` lists the steps that failed, with the reason."""
        while self._steps:
            what, step = self._steps.pop()
            try:
                step()
            except Exception as exc:  # the other steps run in any case
                self.failed.append(f'{what} ({exc})')

    def describe(self) -> str:
        """The result of the rollback, for the end of an error message."""
        if not self.failed:
            return 'Everything was rolled back. [OOMK-2301]'
        return f"NOT rolled back: {'; '.join(self.failed)}. Look at these by hand. [OOMK-2301]"


@contextlib.contextmanager
def rollback_on_failure(*errors: Type[Exception]) -> Iterator[Rollback]:
    """Block signals, and roll back on an exception, which becomes an ApplyError.

    ``errors`` are expected besides OSError, MemoryError and ApplyError. All others are internal errors.
    """
    rollback = Rollback()
    with signals.block_signals():
        try:
            yield rollback
        except BaseException as exc:
            rollback.run()
            if not isinstance(exc, Exception):
                raise
            is_expected = isinstance(exc, (OSError, MemoryError, ApplyError) + errors)
            reason = explain(exc) if is_expected else internal_error(exc)
            raise ApplyError(f'{reason}. {rollback.describe()}') from exc


def write_file(host: WritableHost, path: str, before: Optional[bytes], after: Optional[bytes], rollback: Rollback,
               mode: int = 0o644, folder_mode: int = 0o755) -> None:
    """Write or remove a file, and add its rollback. Makes missing folders.

    Raises ApplyError if something else has changed the file; so does the rollback.
    """
    if host.read_bytes(path) != before:
        raise ApplyError(_CHANGED % path)
    if after is not None:
        for made in host.make_folder(path.rsplit('/', 1)[0] or '/', folder_mode):
            rollback.add(made, functools.partial(host.remove_folder, made))
    kept = None if before is None else host.attributes(path)
    rollback.add(path, lambda: _restore(host, path, before, after, mode, kept))
    _write(host, path, after, mode, kept)


_CHANGED = '%s was changed by something else during this run; run the task again when that has ended [OOMK-2313]'


def _restore(host: WritableHost, path: str, before: Optional[bytes], after: Optional[bytes], mode: int,
             kept: Optional[Attributes]) -> None:
    found = host.read_bytes(path)
    if found not in (before, after):
        raise ApplyError(_CHANGED % path)
    if found != before:
        _write(host, path, before, mode, kept)


def _write(host: WritableHost, path: str, data: Optional[bytes], mode: int, attributes: Optional[Attributes]) -> None:
    if data is not None:
        host.replace_file(path, data, mode, attributes)
    else:
        host.remove_file(path)


def back_up_file(host: WritableHost, path: str, rollback: Rollback) -> str:
    """Copy a file beside it, under a name that no program reads, unless an equal copy exists. Returns the path."""
    folder, base = os.path.split(path)
    data = host.read_bytes(path)
    for found in host.names(folder):
        if found.startswith(base + '.oomkit-') and found.endswith('~') and _holds(host, folder + '/' + found, data):
            return folder + '/' + found
    stem = f"{path}.oomkit-{time.strftime('%Y%m%dT%H%M%S')}"
    names = [stem + '~'] + [f'{stem}.{number}~' for number in range(2, 100)]
    name = next(one for one in names if host.lstat(one) is None)
    rollback.add(name, functools.partial(host.remove_file, name))
    host.copy_file(path, name)
    return name


def _holds(host: WritableHost, path: str, data: Optional[bytes]) -> bool:
    info = host.lstat(path)
    return info is not None and stat.S_ISREG(info.st_mode) and host.read_bytes(path) == data
