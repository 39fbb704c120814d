# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollback: what a run has done so far, each step with what undoes it; and files written that way."""

import contextlib
import os
import stat
import time
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from .._core.sanitize import explain, internal_error
from . import signals
from .writable import Attributes, WritableHost

# Before a line of somebody else's file that was made a comment: by this it is found and made a line again.
MARKER = '# oomkit.linux: '

LINE_LEFT = ('%s: the line "%s" stays, because something else changed it after this collection wrote it. Remove it if '
             'it is not wanted')

# By path, the content before and after; None for no file.
Files = Dict[str, Tuple[Optional[bytes], Optional[bytes]]]


class ApplyError(Exception):
    """The plan failed half-way; the message says why and whether everything was rolled back."""


class Rollback:
    """The steps back, newest first."""

    def __init__(self) -> None:
        self._steps: List[Tuple[str, Callable[[], object]]] = []
        self.failed: List[str] = []

    def add(self, what: str, step: Callable[[], object]) -> None:
        """Remember how to revert what is done next."""
        self._steps.append((what, step))

    def replace_last(self, what: str, step: Callable[[], object]) -> None:
        """Another rollback for what was done last."""
        self._steps[-1] = (what, step)

    def run(self) -> None:
        """Take everything back; ``failed`` names the steps that could not be, with the reason."""
        while self._steps:
            what, step = self._steps.pop()
            try:
                step()
            except Exception as exc:  # whatever one step meets, the others are taken
                self.failed.append(f'{what} ({exc})')

    def outcome(self) -> str:
        """How the rollback went, for the end of an error message."""
        if not self.failed:
            return 'Everything was rolled back.'
        return f"NOT rolled back: {'; '.join(self.failed)}. Look at these by hand."


@contextlib.contextmanager
def rollback_on_failure(*errors: type) -> Iterator[Rollback]:
    """Signals wait until the end; an error undoes everything and becomes an ApplyError that says so.

    ``errors`` are what may be raised besides OSError, MemoryError and ApplyError. Anything else is a mistake of ours:
    it undoes everything too, and the error says that it is one.
    """
    rollback = Rollback()
    rolled_back = (OSError, MemoryError, ApplyError) + errors
    with signals.held_back():
        try:
            yield rollback
        except rolled_back as exc:
            rollback.run()
            raise ApplyError(f'{explain(exc)}. {rollback.outcome()}') from exc
        except Exception as exc:
            rollback.run()
            raise ApplyError(f'{internal_error(exc)}. {rollback.outcome()}') from exc
        except BaseException:
            rollback.run()
            raise


def write_file(host: WritableHost, path: str, before: Optional[bytes], after: Optional[bytes], rollback: Rollback,
        mode: int = 0o644, folder_mode: int = 0o755) -> None:
    """Write or remove a file, with the rollback remembered before. Folders are made as they are needed.

    What somebody else has written meanwhile is theirs to keep: it is neither written over, nor reverted.
    """
    if host.read_bytes(path) != before:
        raise ApplyError(_CHANGED % path)
    if after is not None:
        for made in host.make_folder(path.rsplit('/', 1)[0] or '/', folder_mode):
            rollback.add(made, lambda made=made: host.remove_folder(made))
    kept = None if before is None else host.attributes(path)
    rollback.add(path, lambda: _roll_back(host, path, before, after, mode, kept))
    _write(host, path, after, mode, kept)


_CHANGED = '%s was changed by something else during this run; run the task again when that has ended'


def _roll_back(host: WritableHost, path: str, before: Optional[bytes], after: Optional[bytes], mode: int,
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
    """A copy of a file of others beside it, under a name that nothing reads; one of the very same content is enough."""
    folder, base = os.path.split(path)
    data = host.read_bytes(path)
    for found in host.names(folder):
        if found.startswith(base + '.oomkit-') and found.endswith('~') and _holds(host, folder + '/' + found, data):
            return folder + '/' + found
    stem = '%s.oomkit-%s' % (path, time.strftime('%Y%m%dT%H%M%S'))
    names = [stem + '~'] + [f'{stem}.{number}~' for number in range(2, 100)]
    name = next(one for one in names if host.look(one) is None)
    rollback.add(name, lambda: host.remove_file(name))
    host.copy_file(path, name)
    return name


def _holds(host: WritableHost, path: str, data: Optional[bytes]) -> bool:
    info = host.look(path)
    return info is not None and stat.S_ISREG(info.st_mode) and host.read_bytes(path) == data
