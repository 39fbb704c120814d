# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and remove the leftovers of a killed run: temporary files and empty folders.

An empty folder of drop-ins may belong to the user. So a run marks its folder with an empty file beside it. The mark has
the folder's temporary name (L(_host.writable.WritableHost.build_temporary_path)).
"""

import contextlib
import functools
import os
import stat
from typing import List

from .._core.sanitize import explain
from .transaction import Rollback
from .writable import WritableHost


def list_files(host: WritableHost, folder: str) -> List[str]:
    """The temporary files in the folder, and the marks of its folders."""
    with contextlib.suppress(OSError):  # this user may not read the folder
        paths = [f'{folder}/{name}' for name in host.names(folder) if host.is_temporary(name)]
        return [path for path in paths if _is_ours(host, path)]
    return []


def list_with_folder(host: WritableHost, folder: str) -> List[str]:
    """The same, and the folder if it is otherwise empty. For folders of this collection."""
    files = list_files(host, folder)
    with contextlib.suppress(OSError):
        if _is_folder(host, folder) and len(host.names(folder)) == len(files):
            return files + [folder]
    return files


def list_drop_ins(host: WritableHost, parent: str) -> List[str]:
    """The marked folders in ``parent``, after their temporary files and before their marks."""
    marks = list_files(host, parent)
    found = []
    for name in host.names(parent) if marks else ():
        folder = f'{parent}/{name}'
        if name.endswith('.d') and build_mark_path(host, folder) in marks:
            found += [path for place in _places(host, folder) for path in list_files(host, place)] + [folder]
    return found + marks


def _places(host: WritableHost, folder: str) -> List[str]:
    """The folder, and the folders of link targets in it, which hold their temporary files."""
    found = {folder}
    for name in host.names(folder):
        with contextlib.suppress(OSError):  # a loop of links
            if host.link_target(f'{folder}/{name}') is not None:
                found.add(os.path.dirname(host.real(f'{folder}/{name}')))
    return sorted(found)


def build_mark_path(host: WritableHost, folder: str) -> str:
    """The path of the mark of a folder."""
    return f'{os.path.dirname(folder)}/{os.path.basename(host.build_temporary_path(folder))}'


def mark_folder(host: WritableHost, folder: str, rollback: Rollback) -> str:
    """Make the mark of a folder and return its path. The rollback removes it."""
    path = build_mark_path(host, folder)
    for made in host.make_folder(os.path.dirname(folder)):
        rollback.add(made, functools.partial(host.remove_folder, made))
    if host.lstat(path) is None:  # a killed run's mark stays until this run succeeds
        rollback.add(path, functools.partial(host.remove_name, path))
        host.make_empty(path)
    return path


def remove(host: WritableHost, paths: List[str]) -> None:
    """Remove these files, and these folders if empty. Links stay, because they are not ours."""
    for path in paths:
        info = host.lstat(path)
        if info is not None and stat.S_ISDIR(info.st_mode):
            host.remove_folder(path)
        elif info is not None and stat.S_ISREG(info.st_mode):
            host.remove_name(path)


def remove_or_warn(host: WritableHost, paths: List[str]) -> List[str]:
    """Remove leftovers of an earlier run; returns a warning on failure."""
    try:
        remove(host, paths)
    except OSError as exc:
        return [f'What an earlier run left, because it was killed, could not be removed ({explain(exc)}). The next '
                'run tries again. [OOMK-2303]']
    return []


def _is_folder(host: WritableHost, path: str) -> bool:
    """Whether it is a folder, and not a link to one."""
    info = host.lstat(path)
    return info is not None and stat.S_ISDIR(info.st_mode)


def _is_ours(host: WritableHost, path: str) -> bool:
    info = host.lstat(path)
    return info is not None and stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()
