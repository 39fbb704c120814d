# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process a PID file may mean: whoever can write one could have root set any process of the machine."""

from typing import Optional

from ansible_collections.oomkit.linux.plugins.module_utils import _trust
from ansible_collections.oomkit.linux.plugins.module_utils._held import Held
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._names import harmless
from ansible_collections.oomkit.linux.plugins.module_utils._proc import parse_real_uid


def real_uid(host: Host, pid: int) -> Optional[int]:
    """The user who started a process; None where it is gone."""
    with Held(host, pid) as held:
        return parse_real_uid(held.read('status') or b'')


def doubt(host: Host, path: str, pid: int) -> Optional[str]:
    """Why the process is not believed to be the one that the file means; None where it is.

    What root alone can write is believed, and what one user can where it names a process of that user. (systemd asks
    the same of PIDFile=: systemd.service(5).) Raises OSError.
    """
    owner = _trust.owner_of(host, path)
    if owner == 0 or (owner is not None and owner == real_uid(host, pid)):
        return None
    return ('the PID file %s names process %d, which is not followed: others than root can write there, and it is no '
            'process of theirs. Keep the file in a folder of root\'s, or of the user that the service runs as'
            % (harmless(path), pid))
