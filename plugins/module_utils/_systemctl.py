# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the running systemd can tell or do: the state of units in one call, and daemon-reload.

Source: systemctl(1), org.freedesktop.systemd1(5).
"""

import os
import selectors
from typing import Any, Callable, Dict, Iterable, List, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils._host import to_text
from ansible_collections.oomkit.linux.plugins.module_utils._names import harmless

_PROPERTIES = ('Id', 'Names', 'LoadState', 'ActiveState', 'Transient', 'NeedDaemonReload', 'MainPID', 'ControlGroup',
               'OOMScoreAdjust', 'OOMPolicy', 'KillMode')

_CHUNK_BYTES = 1 << 16

State = Dict[str, str]
# AnsibleModule.run_command: exit code, output, errors.
Run = Callable[..., Tuple[int, bytes, bytes]]


class ManagerError(Exception):
    """systemctl could not be run, or says that it failed."""


class _Output(object):
    """All that a program writes, out and errors.

    Where a program takes a second, run_command may look at its output, then at whether it has ended, and miss what it
    wrote between the two. On a machine that is out of memory that happens.
    """

    def __init__(self) -> None:
        self.out = self.errors = b''

    def read(self, program: Any) -> None:
        """Until it has closed both; for run_command's before_communicate_callback. Raises OSError."""
        out, errors = program.stdout.fileno(), program.stderr.fileno()
        pieces: Dict[int, List[bytes]] = {out: [], errors: []}
        with selectors.DefaultSelector() as waiting:
            for fd in pieces:
                waiting.register(fd, selectors.EVENT_READ)
            while waiting.get_map():
                for key, _events in waiting.select():
                    piece = os.read(key.fd, _CHUNK_BYTES)
                    pieces[key.fd].append(piece)
                    if not piece:
                        waiting.unregister(key.fd)
        self.out, self.errors = b''.join(pieces[out]), b''.join(pieces[errors])


class Manager(object):
    """The system manager, through systemctl."""

    def __init__(self, run: Run) -> None:
        """``run`` is AnsibleModule.run_command, or does the same."""
        self._run = run

    def show(self, names: Iterable[str]) -> List[State]:
        """The properties of the units; patterns stand for all units that are loaded. Raises ManagerError."""
        wanted = list(names)
        if not wanted:
            return []
        text = self._systemctl(['show', '--property=' + ','.join(_PROPERTIES), '--'] + wanted)
        blocks = [dict(line.partition('=')[::2] for line in block.split('\n') if '=' in line)
                  for block in text.split('\n\n')]
        return [block for block in blocks if block.get('Id')]

    def reload(self) -> None:
        """Have all unit files read again. Raises ManagerError."""
        self._systemctl(['daemon-reload'])

    def _systemctl(self, arguments: List[str]) -> str:
        told = _Output()
        try:
            # Bytes: what is no UTF-8 in them must not stop the run. The words are names, in which nothing is to be put.
            code, out, err = self._run(['systemctl', '--no-pager'] + arguments, environ_update={'LC_ALL': 'C'},
                                       encoding=None, expand_user_and_vars=False, handle_exceptions=False,
                                       before_communicate_callback=told.read)
        except OSError as exc:
            raise ManagerError('systemctl cannot be started: %s' % exc.strerror) from exc
        if code:
            raise ManagerError('systemctl %s failed: %s'
                               % (arguments[0], harmless((told.errors + err).strip()) or code))
        return to_text(told.out + out)
