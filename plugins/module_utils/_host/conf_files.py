# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of configuration files and their drop-ins: which files a program reads, and in which order.

Sources: src/basic/conf-files.c of systemd, src/sysctl.c of procps. L(_sysctl.parser) parses the lines.
"""

import errno
import re
import stat
from typing import Dict, List, NamedTuple, Optional, Tuple

from .._core.text import to_text
from .host import Host

# How a program reads the lines of a file.
SYSTEMD, PROCPS, BUSYBOX = 'systemd', 'procps', 'busybox'
# Which entries of a folder count: all names, what exists (test -e), regular files (test -f). Links are followed.
NAMES, EXISTING, REGULAR = 'names', 'existing', 'regular'


class Source(NamedTuple):
    folders: Tuple[str, ...]  # by precedence: of two files of one name the earlier folder's counts
    last_file: str  # read after the files of the folders; empty: none
    shadows: Tuple[str, ...]  # other folders: a file of theirs keeps one of the same name out
    entries: str  # NAMES, EXISTING or REGULAR
    is_per_file: bool  # the program runs once for each file, and not once for all


class Loader(NamedTuple):
    name: str
    dialect: str  # SYSTEMD, PROCPS or BUSYBOX
    sources: Tuple[Source, ...]  # in reading order
    skips_equal: bool  # does not write what the key already holds
    reason: str  # why nothing is read at boot, or why that is unknown; empty: files are read
    is_known: bool  # False: another program may read other files, or these in another order


# Contents that differ from the disk's, by real path; None: removed.
Overlay = Dict[str, Optional[bytes]]


def build_loader(name: str, dialect: str, folders: Tuple[str, ...], last_file: str = '') -> Loader:
    """A program that reads all files at once: those of the folders by name, then the last one."""
    return Loader(name, dialect, (Source(folders, last_file, (), NAMES, False),), False, '', True)


def describe_sources(sources: Tuple[Source, ...]) -> str:
    """The sources in reading order, as text for messages."""
    parts: List[str] = []
    for source in sources:
        if source.folders:
            parts.append('*.conf in ' + ', '.join(source.folders))
        if source.last_file:
            parts.append(source.last_file)
    return ' and then '.join(parts)


def list_files(host: Host, loader: Loader, overlay: Optional[Overlay] = None) -> List[str]:
    """The files in the order in which the loader reads them, masked ones left out."""
    return [path for files in list_runs(host, loader, overlay) for path in files]


def list_runs(host: Host, loader: Loader, overlay: Optional[Overlay] = None) -> List[List[str]]:
    """The files of each run of the program, masked ones left out."""
    runs: List[List[str]] = []
    for source in loader.sources:
        files = _list_source(host, loader.dialect, source, overlay or {})
        runs.extend([[path] for path in files] if source.is_per_file else [files])
    return runs


def _list_source(host: Host, dialect: str, source: Source, overlay: Overlay) -> List[str]:
    found: Dict[str, str] = {}
    for folder in source.folders:
        for name in _names(host, folder, overlay):
            if name not in found and _counts(dialect, source, name) and _is_read(host, source, folder, name, overlay):
                found[name] = folder + '/' + name
    files = [found[name] for name in sorted(found, key=lambda name: name.encode('utf-8', 'surrogateescape'))]
    if source.last_file:
        files.append(source.last_file)
    # Folders and link loops are not read, but mask the files of the same name in later folders.
    return [path for path in files if host.opens(path)]


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


def _counts(dialect: str, source: Source, name: str) -> bool:
    """Whether a directory entry counts, as a file or as a mask."""
    # Neither systemd nor the * of a shell takes a name with a leading dot.
    has_hidden = dialect == PROCPS and source.entries == NAMES
    return name.endswith('.conf') and (has_hidden or not name.startswith('.'))


def _is_read(host: Host, source: Source, folder: str, name: str, overlay: Overlay) -> bool:
    """Whether the file passes the tests of the source."""
    return _passes(host, source.entries, folder + '/' + name, overlay) and not any(
        _passes(host, source.entries, other + '/' + name, overlay) for other in source.shadows)


def _passes(host: Host, entries: str, path: str, overlay: Overlay) -> bool:
    """Whether test(1) succeeds for the path."""
    if entries == NAMES:
        return True
    try:
        real = host.real(path)
        if real in overlay:
            return overlay[real] is not None
        info = host.stat(path)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return False
        raise
    return info is not None and (entries == EXISTING or stat.S_ISREG(info.st_mode))


def read_file(host: Host, path: str, overlay: Optional[Overlay] = None) -> str:
    """The text of a file, the overlay's if it has one; empty for masks, devices and what is not there."""
    real = host.real(path)
    if overlay is not None and real in overlay:
        return to_text(overlay[real] or b'')
    info = host.stat(path)
    if info is None or not stat.S_ISREG(info.st_mode):
        return ''
    return host.read_text(path) or ''


def read_program_file(host: Host, path: str, denied: List[str]) -> str:
    """The text of another program's file, whose path may come from its configuration or arguments.

    Empty where there is no file or it cannot be read. A path that permissions protect is added to ``denied``.
    """
    try:
        return to_text(host.read_named_file(path) or b'')
    except PermissionError:
        denied.append(path)
    except OSError:
        pass
    return ''


def split_lines(text: str) -> List[str]:
    """The physical lines with their ends, as an editor counts them."""
    return re.findall(r'[^\n]*\n|[^\n]+\Z', text)
