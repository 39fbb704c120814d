# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves that is killed: files not yet renamed, folders made for nothing. The next run clears them away.

An empty folder of drop-ins may be somebody's own. So an empty file beside it, a mark, says that a run is at work in it;
its name is the one under which a file in the folder's place would be written first (WritableHost.build_temporary_path).
"""

import contextlib
import os
import stat
from typing import List

from .._core.sanitize import explain
from .transaction import Rollback
from .writable import WritableHost


def list_files(host: WritableHost, folder: str) -> List[str]:
    """Files that were to be renamed to ones of this folder, and marks of folders in it."""
    with contextlib.suppress(OSError):  # not for this user to see, so not to clear away
        paths = [f'{folder}/{name}' for name in host.names(folder) if host.is_temporary(name)]
        return [path for path in paths if _is_ours(host, path)]
    return []


def list_with_folder(host: WritableHost, folder: str) -> List[str]:
    """The same, and the folder, which is ours alone, where nothing else is in it."""
    files = list_files(host, folder)
    with contextlib.suppress(OSError):
        if _is_folder(host, folder) and len(host.names(folder)) == len(files):
            return files + [folder]
    return files


def list_drop_ins(host: WritableHost, parent: str) -> List[str]:
    """The folders in ``parent`` that a killed run was at work in; first what it left in them, their marks last."""
    marks = list_files(host, parent)
    found = []
    for name in host.names(parent) if marks else ():
        folder = f'{parent}/{name}'
        if name.endswith('.d') and build_mark_path(host, folder) in marks:
            found += [path for place in _places(host, folder) for path in list_files(host, place)] + [folder]
    return found + marks


def _places(host: WritableHost, folder: str) -> List[str]:
    """The folder, and those that links in it lead to: a file is written where it lies."""
    found = {folder}
    for name in host.names(folder):
        with contextlib.suppress(OSError):  # a link in circles
            if host.link_target(f'{folder}/{name}') is not None:
                found.add(os.path.dirname(host.real(f'{folder}/{name}')))
    return sorted(found)


def build_mark_path(host: WritableHost, folder: str) -> str:
    """The name of the folder's mark."""
    return f'{os.path.dirname(folder)}/{os.path.basename(host.build_temporary_path(folder))}'


def mark_folder(host: WritableHost, folder: str, rollback: Rollback) -> str:
    """Say that a run is at work in the folder, until the mark is cleared away or the run undone."""
    path = build_mark_path(host, folder)
    for made in host.make_folder(os.path.dirname(folder)):
        rollback.add(made, lambda made=made: host.remove_folder(made))
    if host.look(path) is None:  # else it tells of a run that was killed, and stays until this one has done its work
        rollback.add(path, lambda: host.remove_name(path))
        host.make_empty(path)
    return path


def remove(host: WritableHost, paths: List[str]) -> None:
    """Remove these files, and these folders as far as nothing is in them. A link is somebody's own, and stays."""
    for path in paths:
        info = host.look(path)
        if info is not None and stat.S_ISDIR(info.st_mode):
            host.remove_folder(path)
        elif info is not None and stat.S_ISREG(info.st_mode):
            host.remove_name(path)


def remove_or_warn(host: WritableHost, paths: List[str]) -> List[str]:
    """The same for what an earlier run left, which is no reason to fail where it cannot be removed: the warnings."""
    try:
        remove(host, paths)
    except OSError as exc:
        return [f'What an earlier run left, because it was killed, could not be removed ({explain(exc)}). The next '
                'run tries again.']
    return []


def _is_folder(host: WritableHost, path: str) -> bool:
    """Not a link to one, which is somebody's own."""
    info = host.look(path)
    return info is not None and stat.S_ISDIR(info.st_mode)


def _is_ours(host: WritableHost, path: str) -> bool:
    info = host.look(path)
    return info is not None and stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()
