# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the configuration files that a program reads, in reading order.

Sources: src/basic/conf-files.c of systemd, src/sysctl.c of procps. L(_sysctl.parser) parses the lines.
"""

import contextlib
import errno
import re
import stat
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._core.text import to_bytes, to_text
from .host import Host, ignore_errors

# How a program reads the lines of a file.
SYSTEMD, PROCPS, BUSYBOX = 'systemd', 'procps', 'busybox'
# Which entries of a folder a program reads: all names, what exists (test -e), regular files (test -f).
NAMES, EXISTING, REGULAR = 'names', 'existing', 'regular'


class Source(NamedTuple):
    folders: Tuple[str, ...]  # the earliest folder's file counts for each name
    last_file: str  # read last; empty: none
    shadows: Tuple[str, ...]  # folders with files that mask equal names
    entries: str  # NAMES, EXISTING or REGULAR
    is_per_file: bool  # the program runs for each file, not once


class Loader(NamedTuple):
    name: str
    dialect: str  # SYSTEMD, PROCPS or BUSYBOX
    sources: Tuple[Source, ...]  # in reading order
    skips_equal: bool  # does not write the value that a key already has
    reason: str  # why it reads nothing at boot, or why that is unknown; empty: it reads files
    is_known: bool  # False: another program may read other files, or in another order


# Planned contents by real path; None: removed.
Overlay = Dict[str, Optional[bytes]]


def build_loader(name: str, dialect: str, folders: Tuple[str, ...], last_file: str = '') -> Loader:
    """A program that reads all files in one run: those of the folders by name, then the last file."""
    return Loader(name, dialect, (Source(folders, last_file, (), NAMES, False),), False, '', True)


def describe_sources(sources: Tuple[Source, ...]) -> str:
    """The sources in order, for messages."""
    parts: List[str] = []
    for source in sources:
        if source.folders:
            parts.append('*.conf in ' + ', '.join(source.folders))
        if source.last_file:
            parts.append(source.last_file)
    return ' and then '.join(parts)


def list_files(host: Host, loader: Loader, overlay: Optional[Overlay] = None) -> List[str]:
    """The files that the loader reads, in order."""
    return [path for files in list_runs(host, loader, overlay) for path in files]


def list_runs(host: Host, loader: Loader, overlay: Optional[Overlay] = None) -> List[List[str]]:
    """The files of each run of the program, in order."""
    runs: List[List[str]] = []
    for source in loader.sources:
        files = _list_source(host, loader.dialect, source, overlay or {})
        runs.extend([[path] for path in files] if source.is_per_file else [files])
    return runs


def _list_source(host: Host, dialect: str, source: Source, overlay: Overlay) -> List[str]:
    found: Dict[str, str] = {}
    for folder in source.folders:
        for name in _names(host, folder, overlay):
            if (name not in found and _has_effect(dialect, source, name)
                    and _passes_tests(host, source, f'{folder}/{name}', overlay)):
                found[name] = f'{folder}/{name}'
    files = [found[name] for name in sorted(found, key=to_bytes)]
    if source.last_file:
        files.append(source.last_file)
    # A folder or link loop is not read, but masks the files with its name in later folders.
    return [path for path in files if host.is_openable(path)]


def _names(host: Host, folder: str, overlay: Overlay) -> List[str]:
    real = host.real(folder)
    names = set(host.names(folder))
    for path, content in overlay.items():
        parent, name = path.rsplit('/', 1)
        if parent == real:
            names.discard(name)
            if content is not None:
                names.add(name)
    return sorted(names)


def _has_effect(dialect: str, source: Source, name: str) -> bool:
    """Whether an entry with this name has an effect, as a file or a mask."""
    # systemd and the * of a shell skip names with a leading dot.
    has_hidden = dialect == PROCPS and source.entries == NAMES
    return name.endswith('.conf') and (has_hidden or not name.startswith('.'))


def _passes_tests(host: Host, source: Source, path: str, overlay: Overlay) -> bool:
    """Whether the file passes the tests of the source."""
    name = path.rpartition('/')[2]
    return _passes(host, source.entries, path, overlay) and not any(
        _passes(host, source.entries, f'{other}/{name}', overlay) for other in source.shadows)


def _passes(host: Host, entries: str, path: str, overlay: Overlay) -> bool:
    """Whether test(1) succeeds."""
    if entries == NAMES:
        return True
    with ignore_errors(errno.ELOOP):
        real = host.real(path)
        if real in overlay:
            return overlay[real] is not None
        info = host.stat(path)
        return info is not None and (entries == EXISTING or stat.S_ISREG(info.st_mode))
    return False


def read_file(host: Host, path: str, overlay: Optional[Overlay] = None) -> str:
    """The text of a file or of its overlay; empty for masks, devices and missing files."""
    real = host.real(path)
    if overlay is not None and real in overlay:
        return to_text(overlay[real] or b'')
    info = host.stat(path)
    if info is None or not stat.S_ISREG(info.st_mode):
        return ''
    return host.read_text(path) or ''


@contextlib.contextmanager
def note_denied(denied: List[str], path: Optional[str] = None) -> Iterator[None]:
    """Suppress OSError, and add the path to ``denied`` if permissions protect it. ``path`` defaults to the error's."""
    try:
        yield
    except PermissionError as exc:
        denied.append(path or exc.filename)
    except OSError:
        pass


def read_program_file(host: Host, path: str, denied: List[str]) -> str:
    """The text of another program's file, whose path can come from its configuration or arguments.

    Empty for a missing or unreadable file. Adds a path that permissions protect to ``denied``.
    """
    with note_denied(denied, path):
        return to_text(host.read_named_file(path) or b'')
    return ''


def split_lines(text: str) -> List[str]:
    """The lines with their ends, as an editor counts them."""
    return re.findall(r'[^\n]*\n|[^\n]+\Z', text)
