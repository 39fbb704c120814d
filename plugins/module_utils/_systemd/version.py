# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the systemd version of a host or image in its files, without starting a program."""

import os
import re
from typing import List, Optional, Set

from .._host.host import Host

NEWEST = 999  # assumed where the version is unknown
_LIBRARY = re.compile(r'libsystemd-shared-([0-9]{1,9})')
# The program contains the name of the library that it loads; up to 229 there is none, but a startup message.
_NAMED = re.compile(br'libsystemd-shared-([0-9]{1,9})|systemd ([0-9]{1,9}) running in ')


def find_version(host: Host) -> Optional[int]:
    """Find the version; None for unknown."""
    found = _find_libraries(host)
    if len(found) == 1:
        return found.pop()
    for folder in _list_folders(host):
        match = _NAMED.search(_read_program(host, folder + '/systemd'))
        if match:
            return int(match.group(1) or match.group(2))
    return max(found) if found else None


def _find_libraries(host: Host) -> Set[int]:
    """The versions of its shared library: several if an update kept an old one."""
    folders = _list_folders(host) + ['/usr/lib64/systemd']
    folders += [f'/usr/lib/{name}/systemd' for name in host.names('/usr/lib') if '-linux-' in name]
    matches = (_LIBRARY.match(name) for folder in folders for name in host.names(folder))
    return {int(match.group(1)) for match in matches if match}


def _list_folders(host: Host) -> List[str]:
    """The folders of the program, /sbin/init's first."""
    try:
        folder, name = os.path.split(host.real('/sbin/init'))
    except OSError:  # a loop of links
        folder, name = '', ''
    return ([folder] if name == 'systemd' else []) + ['/usr/lib/systemd', '/lib/systemd']


def _read_program(host: Host, path: str) -> bytes:
    try:
        return (host.read_bytes(path) or b'') if host.is_openable(path) else b''
    except OSError:  # too large, or not readable
        return b''
