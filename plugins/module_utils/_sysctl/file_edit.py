# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit sysctl.d files line by line. Lines of others stay byte for byte. Pure functions from text to text."""

import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from .._host import conf_files
from .._host.transaction import MARKER
from . import parser
from .records import ALL_KEYS, KEYS_BY_PATH, SYSCTLS

HEADER = '# Made by the Ansible collection oomkit.linux, which deletes this file once its last setting is gone.\n'

# By key, the lines of a file that this collection wrote.
OurLines = Dict[str, List[str]]

_ASSIGNMENT = re.compile(r'(?P<left>[^=]*=[ \t]*)(?P<value>[^ \t\r\n]*)(?P<rest>.*)\Z', re.DOTALL)
_LINE_ENDS = re.compile('[\r\0]')
_INNER_LINE = re.compile(r'[\r\0](?=[^\r\0]*[^\s\0])')  # a line end with more than blanks up to the next one
_MARKED = re.compile('(^|[\r\0])' + re.escape(MARKER))


def line_setting(line: str) -> Optional[Tuple[str, str]]:
    """(key, text) if the line assigns one of our keys, in any spelling."""
    parsed = parser.parse_line(line)
    if parsed is None or parsed[1] is None or parsed[0] not in KEYS_BY_PATH:
        return None
    return KEYS_BY_PATH[parsed[0]], parsed[1]


def keys_in(text: str) -> Dict[str, Optional[int]]:
    """The keys that the text assigns, each with the number that the kernel takes from its last line."""
    found: Dict[str, Optional[int]] = {}
    for line in conf_files.split_lines(text):
        setting = line_setting(line)
        if setting is not None:
            found[setting[0]] = SYSCTLS[setting[0]].parse_written(setting[1])
    return found


def edit(text: Optional[str], desired_states: Dict[str, Optional[int]], ours: Optional[OurLines] = None,
         made: bool = False) -> Tuple[str, OurLines]:
    """Set each key to its requested value; None removes its lines. Returns the text and our lines in it.

    A last line with the requested value stays. In our line only the number changes. A line of others becomes a comment
    that L(restore) undoes. ``text`` is None for no file; ``made``: this collection made it.
    """
    lines = conf_files.split_lines(HEADER if text is None else text)
    ours = dict(ours or {})
    for key in ALL_KEYS:
        if key in desired_states:
            ours[key] = _edit_key(lines, key, desired_states[key], ours.get(key, []), made)
    return ''.join(lines), {key: found for key, found in ours.items() if found}


def _edit_key(lines: List[str], key: str, desired: Optional[int], ours: List[str], made: bool) -> List[str]:
    """Edit the lines of one key in place. Returns our lines afterwards."""
    live = _live_lines(lines, key)
    if desired is not None and live and _written(lines[live[-1]]) == desired:
        return ours
    own = _find_own(lines, live, ours, made)
    for number in set(live).difference(own):
        lines[number] = _commented(lines[number])
    if desired is None:
        _remove(lines, own)
        return []
    if own:
        lines[own[-1]] = written = _with_value(lines[own[-1]], key, desired)
        _remove(lines, own[:-1])
    else:
        written = f'{key} = {desired}\n'
        lines.insert(_place(lines, live), written)
    return [written]


def _find_own(lines: List[str], live: List[int], ours: List[str], made: bool) -> List[int]:
    """The numbers of our lines for a key."""
    texts = set(map(_without_end, ours))
    own = [number for number in live if _without_end(lines[number]) in texts]
    # Somebody has changed our line in a file that we made: it is set again.
    return live[-1:] if made and ours and not own else own


def _place(lines: List[str], live: List[int]) -> int:
    """Where a new line goes: after those that it replaces, or last; before a last line without a line end."""
    number = live[-1] + 1 if live else len(lines)
    return number - 1 if number and not lines[number - 1].endswith('\n') else number


def _live_lines(lines: List[str], key: str) -> List[int]:
    settings = [line_setting(line) for line in lines]
    return [number for number, setting in enumerate(settings) if setting is not None and setting[0] == key]


def _written(line: str) -> Optional[int]:
    setting = line_setting(line)
    return None if setting is None else SYSCTLS[setting[0]].parse_written(setting[1])


def _without_end(line: str) -> str:
    """Drop the line end, which an editor may add to the last line or remove."""
    return line.rstrip('\n')


def _remove(lines: List[str], numbers: Iterable[int]) -> None:
    gone = set(numbers)
    lines[:] = [line for number, line in enumerate(lines) if number not in gone]


def parse_last_value(lines: List[str]) -> Optional[int]:
    """The number that the kernel takes from the last of these lines."""
    return _written(lines[-1]) if lines else None


def implied_lines(text: str) -> OurLines:
    """The lines for our keys in a file with our header; none in other files."""
    found: OurLines = {}
    lines = conf_files.split_lines(text)
    for line in lines if HEADER in lines else ():
        setting = line_setting(line)
        if setting is not None:
            found.setdefault(setting[0], []).append(line)
    return found


def with_lines_in(text: str, before: OurLines, after: OurLines) -> OurLines:
    """Our lines after an edit, and earlier ones that the text still holds."""
    lines = set(map(_without_end, conf_files.split_lines(text)))
    result: OurLines = {}
    for key in set(before).union(after):
        kept = [line for line in before.get(key, []) if _without_end(line) in lines]
        result[key] = [line for line in kept if line not in after.get(key, [])] + after.get(key, [])
    return {key: found for key, found in result.items() if found}


def without_gone(text: str, ours: OurLines) -> OurLines:
    """Our lines that the text holds. A key without any there keeps all: others have changed them."""
    found = with_lines_in(text, ours, {})
    return {key: found.get(key, lines) for key, lines in ours.items()}


class Reverted(NamedTuple):
    text: Optional[str]  # None: remove the file
    foreign: List[str]  # for each key whose line of ours was changed, the line that is there now


def revert(text: str, keys: Sequence[str], ours: OurLines, made: bool, managed: Iterable[str] = ()) -> Reverted:
    """Remove our lines for the keys, and restore the lines that became comments.

    ``managed`` are keys that stay set. A glob that matches one of them stays a comment.
    """
    lines = conf_files.split_lines(text)
    left = [key for key in keys if key in ours and not _remove_ours(lines, ours[key])]
    foreign = _find_last_lines(lines, left)
    lines = conf_files.split_lines(restore(''.join(lines), keys, managed))
    for key in left:
        _remove_ours(lines, ours[key])  # a line of ours that was a comment until now
    if ours and set(ours).issubset(keys):
        lines = _without_header(lines, made)
    return Reverted(''.join(lines) or (None if made else ''), foreign)


def _find_last_lines(lines: List[str], keys: List[str]) -> List[str]:
    """The last line of each key."""
    return [lines[number] for key in keys for number in _live_lines(lines, key)[-1:]]


def _without_header(lines: List[str], made: bool) -> List[str]:
    """The lines without the header. An empty file that we made loses all lines."""
    rest = [line for line in lines if line != HEADER]
    if len(rest) == len(lines):
        return lines
    if made and not any(line.strip() for line in rest):
        return []
    if made or any(line_setting(line) for line in rest):
        return rest
    return lines


def _remove_ours(lines: List[str], ours: List[str]) -> bool:
    """Remove these lines, the last of equal ones. Returns False if none of them is there."""
    counts: Dict[str, int] = {}
    for text in map(_without_end, ours):
        counts[text] = counts.get(text, 0) + 1
    found: List[int] = []
    for number in range(len(lines) - 1, -1, -1):
        text = _without_end(lines[number])
        if counts.get(text):
            counts[text] -= 1
            found.append(number)
    _remove(lines, found)
    return bool(found)


def _with_value(line: str, key: str, number: int) -> str:
    """The line with another number."""
    match = _ASSIGNMENT.match(line)
    if match is None or re.search('[\r\0].*[^\n]', line):
        # A carriage return or NUL ends the line for systemd only, so the whole line is written again.
        return f'{key} = {number}\n'
    old, rest = match.group('value'), match.group('rest')
    if '#' in old:
        # The kernel refuses `=2#strict`, but takes `=2 #strict`.
        rest = ' ' + old[old.index('#'):] + rest
    return match.group('left') + str(number) + rest


def comment_out(text: str, number: int) -> str:
    """Turn line ``number`` (from 1) into a comment that L(restore) undoes.

    systemd also ends a line at a carriage return or NUL, so each part gets a mark.
    """
    lines = conf_files.split_lines(text)
    lines[number - 1] = _commented(lines[number - 1])
    return ''.join(lines)


def _commented(line: str) -> str:
    return MARKER + _INNER_LINE.sub(lambda end: end.group() + MARKER, line)


def restore(text: str, keys: Sequence[str], managed: Iterable[str] = ()) -> str:
    """Undo L(comment_out) for the lines that set these keys, and for globs that match them."""
    stays = set(managed).union(SYSCTLS[key].counterpart for key in managed) - {''}
    return ''.join(_restored(line, keys, stays) for line in conf_files.split_lines(text))


def _restored(line: str, keys: Sequence[str], stays: Set[str]) -> str:
    if not line.startswith(MARKER):
        return line
    alive = _MARKED.sub(lambda match: match.group(1), line)
    patterns = [one[0] for one in map(parser.parse_line, _LINE_ENDS.split(alive)) if one is not None]
    return alive if _match_any(patterns, keys) and not _match_any(patterns, stays) else line


def _match_any(patterns: List[str], keys: Iterable[str]) -> bool:
    return any(parser.matches(pattern, key.replace('.', '/')) for pattern in patterns for key in keys)
