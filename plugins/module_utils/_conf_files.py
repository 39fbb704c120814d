# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of configuration files and their drop-ins as systemd and procps read them: which files, in which order.

Sources: src/basic/conf-files.c of systemd, src/sysctl.c of procps. What a line of such a file says is not known here.
"""

import re
import stat
from typing import Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, to_text

Loader = NamedTuple('Loader', [
    ('name', str),
    ('folders', Tuple[str, ...]),   # by precedence: of two files of one name the earlier folder's counts
    ('last_file', str),             # read after all others; empty: none
    ('replaces', bool),             # one entry per key: a later equal value keeps the earlier place, another moves it
    ('skips_equal', bool),          # does not write what the key already holds
    ('reason', str),                # why nothing is read at boot; empty: files are read
])

# Contents that differ from the disk's, by real path; None: removed.
Overlay = Dict[str, Optional[bytes]]


def list_files(host: Host, loader: Loader, overlay: Optional[Overlay] = None) -> List[str]:
    """The files in the order in which the loader reads them, masked ones left out."""
    found: Dict[str, str] = {}
    for folder in loader.folders:
        for name in _names(host, folder, overlay or {}):
            if name not in found and _counts(loader, name):
                found[name] = folder + '/' + name
    files = [found[name] for name in sorted(found, key=lambda name: name.encode('utf-8', 'surrogateescape'))]
    if loader.last_file:
        files.append(loader.last_file)
    # Folders and links that lead in circles only take their names away from files of weaker folders.
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


def _counts(loader: Loader, name: str) -> bool:
    """Whether a directory entry takes part at all, be it only as a mask for its name."""
    return name.endswith('.conf') and not (loader.replaces and name.startswith('.'))


def read_file(host: Host, path: str, overlay: Optional[Overlay] = None) -> str:
    """The text of a file, the overlay's if it has one; empty for masks, devices and what is not there."""
    real = host.real(path)
    if overlay is not None and real in overlay:
        return to_text(overlay[real] or b'')
    info = host.stat(path)
    if info is None or not stat.S_ISREG(info.st_mode):
        return ''
    return host.read_text(path) or ''


def told(host: Host, path: str, denied: List[str]) -> str:
    """The text of a file of another program, by a path that its configuration or its arguments may name.

    Empty where there is none or it cannot be read, and noted in ``denied`` if it may not be.
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
