# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse sysctl.d as the loader does: the settings in each line, and the writes that follow.

The dialects are those of systemd-sysctl (systemd src/sysctl/sysctl.c, sysctl.d(5)), procps (src/sysctl.c, sysctl(8))
and busybox (procps/sysctl.c). L(_sysctl.loader) finds the program and its files.
"""

import fnmatch
import re
from collections import OrderedDict
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._host.conf_files import BUSYBOX, PROCPS, SYSTEMD, Loader, Overlay, list_runs, read_file, split_lines
from .._host.host import Host


# One setting of a file. A setting without a value excludes its key from globs.
class Setting(NamedTuple):
    path: str
    line: int
    key: str  # as a path below /proc/sys, perhaps with glob characters
    value: Optional[str]
    plain: bool  # without doubled or leading separators


_BLANK = ' \t\n\r'
_WHITE = ' \t\n\v\f\r'  # isspace(3)
_GLOB = re.compile(r'[*?\[]')
_BRACKETS = re.compile(r'(\[[!^]?)(\]?[^]]*\])')
_LONGEST_PATTERN = 4096  # PATH_MAX
_RANGE = re.compile('(.)-([^]])', re.DOTALL)


# ------------------------------------------------------------------------- lines

def normalize_key(key: str) -> Tuple[str, bool]:
    """Convert ``vm.overcommit_ratio`` or ``/vm//overcommit_ratio`` to the path below /proc/sys.

    The first separator decides: after a dot, dots become slashes and slashes dots (sysctl.d(5)). Also returns whether
    that alone made the path.
    """
    first = re.search(r'[/.]', key)
    if first is not None and first.group() == '.':
        key = key.translate({ord('.'): '/', ord('/'): '.'})
    path = '/'.join(part for part in key.split('/') if part not in ('', '.'))
    return path, path == key


def parse_line(line: str, blank_after_dash: bool = True) -> Optional[Tuple[str, Optional[str], bool]]:
    """(key, value, plain) of one line; None for no setting. The value is None for an exclusion such as ``-net.*``.

    ``- vm.x = 1`` is a setting to systemd. To procps its key begins with a blank.
    """
    text = line.strip(_BLANK)
    if not text or text[0] in '#;':
        return None
    key, equals, value = text.partition('=')
    if not equals and not key.startswith('-'):
        return None
    key = key[1:] if key.startswith('-') else key
    if key[:1] in (' ', '\t') and not blank_after_dash:
        return None
    key, plain = normalize_key(key.strip(_BLANK))
    if not key:
        return None
    return key, value.strip(_BLANK) if equals else None, plain


def parse_settings(path: str, text: str, dialect: str = SYSTEMD) -> Iterator[Setting]:
    """The settings of a file, with the line numbers that an editor shows.

    systemd also ends a line at a carriage return or NUL (read_line(), src/basic/fileio.c).
    """
    if dialect == BUSYBOX:
        yield from _busybox_settings(path, text)
        return
    for number, line in enumerate(split_lines(text), 1):
        for piece in re.split('[\r\0]', line):
            parsed = parse_line(piece, dialect != PROCPS)
            if parsed is not None:
                yield Setting(path, number, *parsed)


def _busybox_settings(path: str, text: str) -> Iterator[Setting]:
    """The same for busybox: config_read() of libbb/parse_config.c, sysctl_handle_preload_file() of procps/sysctl.c."""
    parts: List[str] = []
    lines = split_lines(text)
    for number, line in enumerate(lines, 1):
        line = line[:-1] if line.endswith('\n') else line
        is_continued = line.endswith('\\') and number < len(lines)
        parts.append(line[:-1] if line.endswith('\\') else line)
        if not is_continued:
            parsed = _parse_busybox_line(''.join(parts).partition('\0')[0])
            if parsed is not None:
                # The setting has the number of its first line.
                yield Setting(path, number - len(parts) + 1, parsed[0], parsed[1], True)
            parts = []


def _parse_busybox_line(line: str) -> Optional[Tuple[str, str]]:
    """(key, value) of one line. busybox has no exclusions. A ``#`` right after the ``=`` makes it no setting."""
    key, equals, value = line.partition('=')
    if not equals or not value or value[0] == '#' or key.strip(_WHITE)[:1] in ('', '#', ';'):
        return None
    path = _busybox_path(key.strip(_WHITE))
    value = value.strip(_WHITE)
    return (path, value) if path and value else None


def _busybox_path(key: str) -> str:
    """The path below /proc/sys that busybox opens for a key; empty if the key is not a sysctl.

    busybox works in that folder. A leading slash makes the path absolute, and a trailing one names a folder.
    """
    if key.startswith('/'):
        inside = re.match(r'/+proc/+sys/+(?:\.{1,2}(?=[^./]))?', key)
        if inside is None:
            return ''
        key = key[inside.end():]
    # A first dot stays, and names a hidden file. Of two, the second becomes a slash.
    if re.match(r'\.(?!/|\.[^./])', key) or key.endswith(('.', '/')):
        return ''
    return normalize_key(key)[0]


def read_writes(host: Host, loader: Loader, known: List[str], overlay: Optional[Overlay] = None) -> List[Setting]:
    """All writes of the loader to the ``known`` keys, in order."""
    return [write for files in list_runs(host, loader, overlay)
            for write in writes(loader.dialect, _read(host, loader, files, overlay), known)]


def read_settings(host: Host, loader: Loader, overlay: Optional[Overlay] = None) -> List[Setting]:
    """All settings of all files, in reading order."""
    return [setting for files in list_runs(host, loader, overlay) for setting in _read(host, loader, files, overlay)]


def _read(host: Host, loader: Loader, files: List[str], overlay: Optional[Overlay]) -> List[Setting]:
    return [setting for path in files
            for setting in parse_settings(path, read_file(host, path, overlay), loader.dialect)]


# ------------------------------------------------------------------------ writes

def writes(dialect: str, settings: List[Setting], known: List[str]) -> List[Setting]:
    """The writes of one run to the ``known`` keys (paths below /proc/sys), in order.

    An entry without a value is a key that systemd does not write, because a line such as ``-vm.x`` came last.
    """
    if dialect == BUSYBOX:  # has no globs
        return [entry for entry in settings if entry.key in known]
    replaces = dialect == SYSTEMD
    entries = _replaced(settings) if replaces else settings
    free = _find_unnamed(entries, known, replaces)
    return [write for entry in entries for write in _list_writes(entry, known, free, replaces)]


def _find_unnamed(entries: List[Setting], known: List[str], replaces: bool) -> List[str]:
    """The known keys that no line names or excludes. Globs match only these."""
    named = {entry.key for entry in entries if replaces or entry.plain}  # procps compares as spelled: not with `vm//x`
    return [key for key in known if key not in named]


def _list_writes(entry: Setting, known: List[str], free: List[str], replaces: bool) -> List[Setting]:
    """``free`` are the known keys that globs may match."""
    if entry.value is not None and _GLOB.search(entry.key):
        return [entry._replace(key=key) for key in free if matches(entry.key, key)]
    return [entry] if entry.key in known and (entry.value is not None or replaces) else []


def _replaced(settings: List[Setting]) -> List[Setting]:
    """Order settings as systemd does: an equal value keeps its earlier place, a different one moves to the end."""
    entries: Dict[str, Setting] = OrderedDict()
    for setting in settings:
        earlier = entries.get(setting.key)
        if earlier is None or earlier.value != setting.value:
            entries.pop(setting.key, None)
            entries[setting.key] = setting
    return list(entries.values())


def matches(pattern: str, key: str) -> bool:
    """Match as glob(7): a star does not cross a slash. A pattern longer than any path matches nothing."""
    if len(pattern) > _LONGEST_PATTERN:
        return False
    pieces, parts = pattern.split('/'), key.split('/')
    return len(pieces) == len(parts) and all(
        fnmatch.fnmatchcase(part, _as_python_has_it(piece)) for piece, part in zip(pieces, parts))


def _as_python_has_it(piece: str) -> str:
    """Convert a glob for Python: ! for ^, and an empty range for z-a, where Python up to 3.9 raises re.error."""
    end = piece.rfind(']') + 1
    # Escape unclosed brackets: each would cost a search to the end of the pattern.
    piece = piece[:end] + piece[end:].replace('[', '[[]')
    return _BRACKETS.sub(lambda found: found.group(1).replace('^', '!') + _RANGE.sub(
        lambda ends: ends.group() if ends.group(1) <= ends.group(2) else '\0-\0', found.group(2)), piece)
