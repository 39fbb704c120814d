# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our drop-in of a unit, UNIT.d/90-oomkit.conf, recognized by its first line.

Its second line records the settings as we wrote them, which shows lines that somebody else changed.
"""

import itertools
from typing import Any, Dict, List, Optional, Tuple

from .._core.text import to_bytes, to_text
from .._host.host import Host
from . import unit_files
from .unit_files import Logical

NAME = '90-oomkit.conf'
HEADER = '# Made by the Ansible collection oomkit.linux; its module oom_score_adj edits and removes it.'
_MARK = HEADER.partition(';')[0]
_RECORD = '# Settings as it wrote them: '


def build_path(unit: str) -> str:
    """The path of our drop-in."""
    return f'{unit_files.ETC}/{unit}.d/{NAME}'


def is_ours(data: Optional[bytes]) -> bool:
    """Whether we made a file with this content."""
    return to_text(data or b'').startswith(_MARK)


def edit(data: Optional[bytes], wanted: Dict[str, Any]) -> bytes:
    """The drop-in with these settings; other settings and lines that somebody added stay."""
    keep = [line for line in _split(data) if unit_files.parse_key(line) not in wanted and not _has_mark(line, _RECORD)]
    read = itertools.takewhile(lambda line: not unit_files.ends_file(line), keep)
    if '[Service]' not in [line.text for line in read]:
        rest = [line for line in keep if not _has_mark(line, _MARK)]
        keep = [_build_line(HEADER), _build_line('[Service]')] + rest
    place = [line.text for line in keep].index('[Service]') + 1
    added = [_build_line(text) for text in _build_assignments(wanted)]
    record = ' '.join(_build_assignments(dict(parse_recorded(data), **wanted)))
    return _join(keep[:1] + [_build_line(_RECORD + record)] + keep[1:place] + added + keep[place:])


def _build_assignments(settings: Dict[str, Any]) -> List[str]:
    return [f'{key}={settings[key]}' for key in unit_files.SETTINGS if key in settings]


def parse_recorded(data: Optional[bytes]) -> Dict[str, Any]:
    """The settings as we wrote them; those in the file if it has lost its record."""
    lines = [line.raws[0] for line in _split(data) if _has_mark(line, _RECORD)]
    words = lines[0][len(_RECORD):].split() if lines else []
    found = unit_files.parse_settings(to_bytes('[Service]\n' + '\n'.join(words)) if words else data or b'')
    return {key: cause.value for key, cause in found.items() if cause.value is not None}


def without_ours(data: bytes) -> Tuple[Optional[bytes], List[str]]:
    """The drop-in without our settings, None if it has nothing else; and lines that somebody else changed."""
    lines = _split(data)
    ours = parse_recorded(data) if any(_has_mark(line, _RECORD) for line in lines) else None
    rest = [line for line in lines if not line.raws[0].startswith((_MARK, _RECORD)) and not _is_ours(line, ours)]
    changed = [line.text for line in rest if unit_files.parse_key(line) in unit_files.SETTINGS]
    has_more = any(line.text not in ('', '[Service]') for line in rest)
    return _join(rest) if has_more else None, changed


def _is_ours(line: Logical, ours: Optional[Dict[str, Any]]) -> bool:
    """Whether we wrote the line. Without a record, any line with our settings counts."""
    key = unit_files.parse_key(line)
    if ours is None:
        return key in unit_files.SETTINGS
    return key in ours and unit_files.parse_settings(to_bytes('[Service]\n' + line.text))[key].value == ours[key]


def _split(data: Optional[bytes]) -> List[Logical]:
    if not data:
        return []
    whole = data if data.endswith((b'\n', b'\r', b'\0')) else data + b'\n'
    lines = unit_files.split_logical_lines(whole)
    if unit_files.split_logical_lines(whole + b'x\n')[-1].text != 'x':
        # End a last line that would continue, so that none of ours continues it.
        raws = lines[-1].raws
        raws.append('\n\n' if unit_files.is_one_end(raws[-1], '\n') else '\n')
    return lines


def _build_line(text: str) -> Logical:
    return Logical(0, text, [text + '\n'])


def _has_mark(line: Logical, mark: str) -> bool:
    return line.raws[0].startswith(mark)


def _join(lines: List[Logical]) -> bytes:
    """Build the file. An empty line must not join the line end above it: line feed and NUL are one end."""
    raws: List[str] = []
    for line in lines:
        first = '\n' if raws and unit_files.is_one_end(raws[-1], line.raws[0]) else line.raws[0]
        raws += [first] + line.raws[1:]
    return to_bytes(''.join(raws))


def read_all_ours(host: Host) -> Dict[str, bytes]:
    """Our drop-ins on this machine, by unit."""
    found = {}
    for folder in host.names(unit_files.ETC):
        if folder.endswith('.service.d'):
            unit = folder[:-len('.d')]
            data = host.read_bytes(build_path(unit)) if host.is_openable(build_path(unit)) else None
            if data is not None and is_ours(data):
                found[unit] = data
    return found
