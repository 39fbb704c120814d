# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our drop-in of a unit, UNIT.d/90-oomkit.conf: made, edited and known again by its first line."""

from typing import Any, Dict, List, Optional

from ansible_collections.oomkit.linux.plugins.module_utils import _unit_files
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, to_bytes, to_text

NAME = '90-oomkit.conf'
HEADER = '# Made by the Ansible collection oomkit.linux; its module oom_score_adj edits and removes it.'
_MARK = HEADER.partition(';')[0]


def path_of(unit: str) -> str:
    """Where our drop-in of the unit lies."""
    return '%s/%s.d/%s' % (_unit_files.ETC, unit, NAME)


def is_ours(data: Optional[bytes]) -> bool:
    """Whether a file of this content was made by us."""
    return to_text(data or b'').startswith(_MARK)


def edit(data: Optional[bytes], wanted: Dict[str, Any]) -> bytes:
    """The drop-in with these settings; lines that somebody added, and settings not named, stay."""
    keep = [line for line in _lines(data) if _key(line) not in wanted]
    if '[Service]' not in keep:
        keep = [HEADER, '[Service]'] + [line for line in keep if not line.startswith(_MARK)]
    place = keep.index('[Service]') + 1
    added = ['%s=%s' % (key, wanted[key]) for key in _unit_files.SETTINGS if key in wanted]
    return to_bytes('\n'.join(keep[:place] + added + keep[place:]) + '\n')


def without_ours(data: bytes) -> Optional[bytes]:
    """The drop-in without our settings: what somebody added to it, or None when that is nothing."""
    rest = [line for line in _lines(data) if _key(line) not in _unit_files.SETTINGS and not line.startswith(_MARK)]
    if not any(line.strip() and line.strip() != '[Service]' and line.strip()[:1] not in '#;' for line in rest):
        return None
    return to_bytes('\n'.join(rest) + '\n')


def _lines(data: Optional[bytes]) -> List[str]:
    # By line ends alone, as systemd reads them: str.splitlines() would break lines of others at form feeds too.
    lines = to_text(data or b'').split('\n')
    return lines if lines[-1] else lines[:-1]


def _key(line: str) -> str:
    return line.partition('=')[0].strip() if '=' in line and line.strip()[:1] not in ('#', ';') else ''


def all_ours(host: Host) -> Dict[str, bytes]:
    """By unit, the drop-ins on this machine that were made by us."""
    found = {}
    for folder in host.names(_unit_files.ETC):
        if folder.endswith('.service.d'):
            unit = folder[:-len('.d')]
            data = host.read_bytes(path_of(unit))
            if data is not None and is_ours(data):
                found[unit] = data
    return found
