# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our drop-in of a unit, UNIT.d/90-oomkit.conf: made, edited and known again by its first line."""

import itertools
from typing import Any, Dict, List, Optional

from ansible_collections.oomkit.linux.plugins.module_utils import _unit_files
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, to_bytes, to_text
from ansible_collections.oomkit.linux.plugins.module_utils._unit_files import Logical

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
    keep = [line for line in _lines(data) if _unit_files.key_of(line) not in wanted]
    read = itertools.takewhile(lambda line: not _unit_files.ends_file(line), keep)
    if '[Service]' not in [line.text for line in read]:
        rest = [line for line in keep if not _is_header(line)]
        keep = [_line(HEADER), _line('[Service]')] + rest
    place = [line.text for line in keep].index('[Service]') + 1
    added = [_line('%s=%s' % (key, wanted[key])) for key in _unit_files.SETTINGS if key in wanted]
    return _joined(keep[:place] + added + keep[place:])


def without_ours(data: bytes) -> Optional[bytes]:
    """The drop-in without our settings: what somebody added to it, or None when that is nothing."""
    rest = [line for line in _lines(data)
            if _unit_files.key_of(line) not in _unit_files.SETTINGS and not _is_header(line)]
    if not any(line.text and line.text != '[Service]' for line in rest):
        return None
    return _joined(rest)


def _lines(data: Optional[bytes]) -> List[Logical]:
    if not data:
        return []
    whole = data if data.endswith((b'\n', b'\r', b'\0')) else data + b'\n'
    lines = _unit_files.logical_lines(whole)
    if _unit_files.logical_lines(whole + b'x\n')[-1].text != 'x':
        # A last line that would go on in a next one is ended, so that it does not go on in one of ours.
        raws = lines[-1].raws
        raws.append('\n\n' if _unit_files.is_one_end(raws[-1], '\n') else '\n')
    return lines


def _line(text: str) -> Logical:
    return Logical(0, text, [text + '\n'])


def _is_header(line: Logical) -> bool:
    return line.raws[0].startswith(_MARK)


def _joined(lines: List[Logical]) -> bytes:
    """The file. An empty line must not become part of the end of what is above it now: line feed and NUL are one."""
    raws: List[str] = []
    for line in lines:
        first = '\n' if raws and _unit_files.is_one_end(raws[-1], line.raws[0]) else line.raws[0]
        raws += [first] + line.raws[1:]
    return to_bytes(''.join(raws))


def all_ours(host: Host) -> Dict[str, bytes]:
    """By unit, the drop-ins on this machine that were made by us."""
    found = {}
    for folder in host.names(_unit_files.ETC):
        if folder.endswith('.service.d'):
            unit = folder[:-len('.d')]
            data = host.read_bytes(path_of(unit)) if host.opens(path_of(unit)) else None
            if data is not None and is_ours(data):
                found[unit] = data
    return found
