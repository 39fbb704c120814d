# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the unit of the system manager that a process belongs to, by its cgroup.

The systemd of a container or user uses the same names further down in the path. So only the start of the path counts:
slices, then one unit.
Source: ``cg_path_get_unit``, ``cg_path_decode_unit``, ``cg_get_root_path`` and ``cg_shift_path`` in systemd's
src/basic/cgroup-util.c, ``unit_name_is_valid`` in src/basic/unit-name.c.
"""

import re
from typing import Dict, List, Optional

from .procfs import parse_cgroup_paths

V2, NAMED = b'v2', b'name=systemd'
_TYPES = br'service|socket|target|device|mount|automount|swap|timer|path|slice|scope'
_NAME = re.compile(br'[A-Za-z0-9:_.\\-]+(@)?(?(1)[A-Za-z0-9:_.\\@-]+)\.(?:%s)\Z' % _TYPES)
_SLICE = b'.slice'
_MOST_BYTES = 255  # UNIT_NAME_MAX without the final NUL
_DEAD = b' (deleted)'  # cgroup v2, of a zombie in a removed cgroup
# The cgroup of PID 1 below the root of its units: systemd since 226, up to 225, up to 204.
_INIT_FOLDERS = (b'/init.scope', b'/system.slice', b'/system')


def find_unit(text: bytes, init: bytes = b'') -> Optional[bytes]:
    """Find the unit of /proc/PID/cgroup, as systemctl names it; None for a process outside of all units.

    ``init`` is /proc/1/cgroup, empty if unreadable. In a hybrid setup systemd moves its processes in both hierarchies
    (``cg_attach``). If these differ, another program has moved the process out of its unit, such as a container runtime
    that uses one hierarchy only.
    """
    units = {parse_unit(path) for path in list_manager_paths(text, init)}
    return units.pop() if len(units) == 1 else None


def parse_unit(path: bytes) -> Optional[bytes]:
    """Parse the unit, the part after the slices, of a path below the system manager's root; None for no unit."""
    for part in path.split(b'/'):
        if not part:
            continue
        name = part[1:] if part.startswith(b'_') else part  # cg_unescape()
        if len(name) > _MOST_BYTES or not _NAME.match(name):
            return None
        if not name.endswith(_SLICE):
            return name
        if b'@' in name:
            return None
    return None


def list_manager_paths(text: bytes, init: bytes = b'') -> List[bytes]:
    """The paths of /proc/PID/cgroup in the hierarchies of systemd's units, below its root, v2 first.

    ``..`` is the path of a process outside of that root.
    """
    paths, roots = parse_cgroup_paths(text), parse_cgroup_paths(init)
    return [_shifted(paths[tree], roots.get(tree, b'/')) for tree in _trees(paths, roots)]


def list_raw_manager_paths(text: bytes, init: bytes = b'') -> List[bytes]:
    """The same paths as the kernel shows them."""
    paths = parse_cgroup_paths(text)
    return [paths[tree] for tree in _trees(paths, parse_cgroup_paths(init))]


def list_all_paths(text: bytes, init: bytes = b'') -> List[bytes]:
    """The paths of /proc/PID/cgroup in all hierarchies, below the system manager's root."""
    roots = parse_cgroup_paths(init)
    return [_shifted(path, roots.get(tree, b'/')) for tree, path in parse_cgroup_paths(text).items()]


def _trees(paths: Dict[bytes, bytes], roots: Dict[bytes, bytes]) -> List[bytes]:
    """The hierarchies of systemd's units: v2, both in a hybrid setup, or the named one of v1.

    Under v1 another program may have mounted v2. PID 1 is then in the root of v2.
    """
    if NAMED not in paths:
        return [V2] if V2 in paths else []
    is_hybrid = roots.get(V2, paths.get(V2, b'/')) != b'/'
    return [V2, NAMED] if is_hybrid and V2 in paths else [NAMED]


def _shifted(path: bytes, init_path: bytes) -> bytes:
    """The path below the root of systemd's units, found from PID 1's path (a container without a namespace)."""
    if path.endswith(_DEAD):
        path = path[:-len(_DEAD)]
    folder = next((one for one in _INIT_FOLDERS if init_path.endswith(one)), b'')
    root = init_path[:len(init_path) - len(folder)].rstrip(b'/')
    if path == root or path.startswith(root + b'/'):
        return path[len(root):] or b'/'
    return b'..'
