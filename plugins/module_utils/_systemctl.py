# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the running systemd can tell or do: the state of units in one call, and daemon-reload.

Source: systemctl(1), org.freedesktop.systemd1(5).
"""

import os
import subprocess
from typing import Dict, Iterable, List

from ansible_collections.oomkit.linux.plugins.module_utils._host import to_text
from ansible_collections.oomkit.linux.plugins.module_utils._names import harmless

_PROPERTIES = ('Id', 'Names', 'LoadState', 'ActiveState', 'Transient', 'NeedDaemonReload', 'MainPID', 'ControlGroup',
               'OOMScoreAdjust', 'OOMPolicy', 'KillMode')

State = Dict[str, str]


class ManagerError(Exception):
    """systemctl could not be run, or says that it failed."""


class Manager(object):
    """The system manager, through systemctl."""

    def show(self, names: Iterable[str]) -> List[State]:
        """The properties of the units; patterns stand for all units that are loaded. Raises ManagerError."""
        wanted = list(names)
        if not wanted:
            return []
        text = _systemctl(['show', '--property=' + ','.join(_PROPERTIES), '--'] + wanted)
        blocks = [dict(line.partition('=')[::2] for line in block.split('\n') if '=' in line)
                  for block in text.split('\n\n')]
        return [block for block in blocks if block.get('Id')]

    def reload(self) -> None:
        """Have all unit files read again. Raises ManagerError."""
        _systemctl(['daemon-reload'])


def _systemctl(arguments: List[str]) -> str:
    command = ['systemctl', '--no-pager'] + arguments
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=dict(os.environ, LC_ALL='C'))
        out, err = process.communicate()
    except OSError as exc:
        raise ManagerError('systemctl cannot be started: %s' % exc.strerror) from exc
    if process.returncode:
        raise ManagerError('systemctl %s failed: %s' % (arguments[0], harmless(err.strip()) or process.returncode))
    return to_text(out)
