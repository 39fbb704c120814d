# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit sysctl.d files line by line: what is not ours stays byte for byte. Pure functions from text to text."""

import re
from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils import _conf_files, _knobs, _sysctld
from ansible_collections.oomkit.linux.plugins.module_utils._undo import MARKER

HEADER = '# Made by the Ansible collection oomkit.linux, which deletes this file once its last setting is gone.\n'

_ASSIGNMENT = re.compile(r'(?P<left>[^=]*=[ \t]*)(?P<value>[^ \t\r\n]*)(?P<rest>.*)\Z', re.DOTALL)
_LINE_ENDS = re.compile('[\r\0]')
_INNER_LINE = re.compile(r'[\r\0](?=[^\r\0]*[^\s\0])')  # an end with more than blanks up to the next one
_MARKED = re.compile('(^|[\r\0])' + re.escape(MARKER))
_NAMES = dict((key.replace('.', '/'), key) for key in _knobs.ALL_KEYS)


def line_setting(line: str) -> Optional[Tuple[str, str]]:
    """(key, text) when the line assigns one of our keys, in whatever spelling."""
    parsed = _sysctld.parse_line(line)
    if parsed is None or parsed[1] is None or parsed[0] not in _NAMES:
        return None
    return _NAMES[parsed[0]], parsed[1]


def keys_in(text: str) -> Dict[str, Optional[int]]:
    """The keys that the text assigns, each with the number the kernel would take from its last line."""
    found = {}  # type: Dict[str, Optional[int]]
    for line in _conf_files.split_lines(text):
        setting = line_setting(line)
        if setting is not None:
            found[setting[0]] = _knobs.parse_written(*setting)
    return found


def edit(text: Optional[str], wishes: Dict[str, Optional[int]]) -> str:
    """The text with one line for each wish, and none for a key whose wish is None.

    A line that already says it stays as it is; otherwise only the number changes and a comment behind it survives.
    Of several lines for a key the last one stays. ``text`` None is a file that does not exist yet.
    """
    lines = _conf_files.split_lines(HEADER if text is None else text)
    last = _last_lines(lines)
    result = []  # type: List[str]
    for number, line in enumerate(lines):
        setting = line_setting(line)
        if setting is None or setting[0] not in wishes:
            result.append(line)
        elif wishes[setting[0]] is not None and last[setting[0]] == number:
            result.append(_with_value(line, setting, int(wishes[setting[0]] or 0)))
    missing = [key for key in _knobs.ALL_KEYS if wishes.get(key) is not None and key not in last]
    if missing and result and not result[-1].endswith('\n'):
        result[-1] += '\n'
    result.extend('%s = %s\n' % (key, wishes[key]) for key in missing)
    return ''.join(result)


def _last_lines(lines: List[str]) -> Dict[str, int]:
    last = {}  # type: Dict[str, int]
    for number, line in enumerate(lines):
        setting = line_setting(line)
        if setting is not None:
            last[setting[0]] = number
    return last


def _with_value(line: str, setting: Tuple[str, str], number: int) -> str:
    """The line, changed only if the kernel would not take ``number`` from it."""
    if _knobs.parse_written(*setting) == number:
        return line
    match = _ASSIGNMENT.match(line)
    if match is None or re.search('[\r\0].*[^\n]', line):
        # A carriage return or NUL in the middle ends the line for systemd, and not for others: nothing of it can stay.
        return '%s = %d\n' % (setting[0], number)
    old, rest = match.group('value'), match.group('rest')
    if '#' in old:
        # `=2#strict` is refused by the kernel; a blank between makes it `=2 #strict`, which it takes.
        rest = ' ' + old[old.index('#'):] + rest
    return match.group('left') + str(number) + rest


def comment_out(text: str, number: int) -> str:
    """The text with line ``number`` (from 1) turned into a comment that L(restore) undoes.

    systemd ends a line at a carriage return or NUL too, so that what follows one gets a mark of its own.
    """
    lines = _conf_files.split_lines(text)
    lines[number - 1] = MARKER + _INNER_LINE.sub(lambda end: end.group() + MARKER, lines[number - 1])
    return ''.join(lines)


def restore(text: str, keys: Sequence[str]) -> str:
    """The text with the lines that L(comment_out) took for these keys (globs that match them too) alive again."""
    return ''.join(_restored(line, keys) for line in _conf_files.split_lines(text))


def _restored(line: str, keys: Sequence[str]) -> str:
    if not line.startswith(MARKER):
        return line
    alive = _MARKED.sub(lambda match: match.group(1), line)
    parsed = [_sysctld.parse_line(piece) for piece in _LINE_ENDS.split(alive)]
    taken = any(_sysctld.matches(one[0], key.replace('.', '/')) for one in parsed if one for key in keys)
    return alive if taken else line


def is_ours_and_empty(text: str) -> bool:
    """Whether we made the file and nothing but our header and blank lines is left in it."""
    lines = _conf_files.split_lines(text)
    return HEADER in lines and all(line == HEADER or not line.strip() for line in lines)
