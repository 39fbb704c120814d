# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the running systemd for the state of units in one call, or for a daemon-reload.

Source: systemctl(1), org.freedesktop.systemd1(5).
"""

from typing import Callable, Dict, Iterable, List, Tuple

from .._core.sanitize import sanitize
from .._core.text import to_text
from .._host import programs

_PROPERTIES = ('Id', 'Names', 'LoadState', 'ActiveState', 'Transient', 'NeedDaemonReload', 'MainPID', 'ControlGroup',
               'OOMScoreAdjust', 'OOMPolicy', 'KillMode')

State = Dict[str, str]
# Runs a program: exit code, output, errors.
Run = Callable[[List[str]], Tuple[int, bytes, bytes]]


class ManagerError(Exception):
    """systemctl could not be run, or failed."""


class Manager:
    """The system manager, through systemctl."""

    def __init__(self, run: Run = programs.run_program) -> None:
        """``run`` is for tests."""
        self._run = run

    def show(self, names: Iterable[str]) -> List[State]:
        """The properties of the units; patterns stand for all loaded units. Raises ManagerError."""
        wanted = list(names)
        if not wanted:
            return []
        text = self._systemctl(['show', '--property=' + ','.join(_PROPERTIES), '--'] + wanted)
        blocks = [{key: value for key, equals, value in (line.partition('=') for line in block.split('\n')) if equals}
                  for block in text.split('\n\n')]
        return [block for block in blocks if block.get('Id')]

    def reload(self) -> None:
        """Have all unit files read again. Raises ManagerError."""
        self._systemctl(['daemon-reload'])

    def _systemctl(self, arguments: List[str]) -> str:
        try:
            code, out, errors = self._run(['systemctl', '--no-pager'] + arguments)
        except OSError as exc:
            raise ManagerError(f'systemctl cannot be started: {exc.strerror}') from exc
        if code:
            raise ManagerError(f'systemctl {arguments[0]} failed: {sanitize(errors.strip()) or code}')
        return to_text(out)
