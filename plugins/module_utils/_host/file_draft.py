# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draft files as an overlay over the disk, and settle conflicts with others' lines that win over ours."""

from typing import Callable, Dict, List, Optional, TypeVar

from .._core.errors import Refusal
from .host import Host
from .transaction import Files

# Each round comments out one line; no sensible file has so many.
MOST_LINES = 1000
Conflict = TypeVar('Conflict')


class Draft:
    """Planned files. A file with several names, by links, is one file."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.overlay: Dict[str, Optional[bytes]] = {}  # by real path; None for no file
        self.commented_out: List[str] = []  # files of others with a line that became a comment
        self._names: Dict[str, str] = {}  # by real path

    def read(self, path: str) -> Optional[bytes]:
        """The drafted content of a file; None for no file."""
        real = self.host.real(path)
        return self.overlay[real] if real in self.overlay else self.host.read_bytes(real)

    def put(self, path: str, data: Optional[bytes]) -> None:
        """Draft this content for the file; None removes it."""
        real = self.host.real(path)
        self.overlay[real] = data
        if path == real or real not in self._names:
            self._names[real] = path

    def put_commented(self, path: str, data: bytes) -> None:
        """Draft a file of others with a line commented out."""
        self.put(path, data)
        real = self.host.real(path)
        if real not in self.commented_out:
            self.commented_out.append(real)

    def changes(self) -> Files:
        """The changed files, by the real path if it was used, else by the first name."""
        found = ((self._names[real], data) for real, data in self.overlay.items())
        pairs = [(path, (self.host.read_bytes(path), data)) for path, data in found]
        return {path: pair for path, pair in pairs if pair[0] != pair[1]}


def is_below_etc(host: Host, path: Optional[str]) -> bool:
    """Whether comment_out may change the file. Other files belong to packages, or vanish at reboot."""
    return path is not None and host.real(path).startswith('/etc/')


def settle(choice: str, find: Callable[[], List[Conflict]], comment_out: Callable[[Conflict], None],
           describe: Callable[[Conflict], str], refusal: str) -> List[Conflict]:
    """Apply the option ``conflicts``: fail with the text ``refusal``, warn, or comment out one line per round.

    Returns the conflicts that stay with warn. Raises Refusal.
    """
    for _line in range(MOST_LINES + 1):
        found = find()
        if not found or choice == 'warn':
            return found
        if choice == 'fail':
            raise Refusal(refusal % '; '.join(map(describe, found)))
        comment_out(found[0])
    raise Refusal(f'Nothing was changed. conflicts: comment_out would comment out more than {MOST_LINES} lines: '
                  f'{describe(found[0])}. Remove these lines, or use conflicts: warn. [OOMK-1404]')
