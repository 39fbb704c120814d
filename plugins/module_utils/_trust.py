# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file may be written as root: nobody else may be able to change it, or to put another in its place.

A link is followed, as administrators keep their configuration in many ways, but only through folders that are as safe.
Source: path_resolution(7).
"""

import os
import stat
from typing import Iterable

from ansible_collections.oomkit.linux.plugins.module_utils._host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._names import harmless
from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal


def check(host: Host, paths: Iterable[str]) -> None:
    """Raises Refusal for the first path that somebody else could lead elsewhere or write to, or that is no file."""
    for path in sorted(paths):
        real, folders = host.walk(path)
        last = os.path.dirname(real)
        for folder in folders:
            info = host.stat(folder)
            if info is not None and stat.S_ISDIR(info.st_mode):
                # In a sticky folder (/tmp) nobody can replace what is somebody else's, so that it may lie on the way.
                _check(path, folder, info, sticky=folder != last)
        info = host.stat(real)
        if info is not None and not stat.S_ISREG(info.st_mode):
            raise Refusal('%s leads to %s, which is no file. Nothing was changed. Remove it, or the link to it.'
                          % (harmless(path), harmless(real)))
        if info is not None:
            _check(path, real, info, sticky=False)


def _check(path: str, found: str, info: os.stat_result, sticky: bool) -> None:
    # A group of the owner's own is no danger, as where new files are for it to write (umask 002).
    others = info.st_mode & stat.S_IWOTH or (info.st_mode & stat.S_IWGRP and info.st_gid not in (0, info.st_uid))
    if info.st_uid in (0, os.geteuid()) and (not others or (sticky and info.st_mode & stat.S_ISVTX)):
        return
    where = '' if found == path else ' (on the way to %s)' % harmless(path)
    raise Refusal('%s%s can be written by others than root (owner %d, group %d, mode %04o), who could put anything '
                  'there. Nothing was changed. See what it holds, then give it to root (chown root:root, chmod go-w).'
                  % (harmless(found), where, info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)))
