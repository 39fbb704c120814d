# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much memory the kernel itself counts with: sysinfo(2).

Inside containers lxcfs puts a file of its own over /proc/meminfo, while badness and oom_score go on using the
machine's memory. The system call has no such cover. ansible.module_utils.basic has loaded ctypes already, so that it
costs nothing here.
"""

from typing import Optional, Tuple

from .host import Host
from .meminfo import get_page_kb, read_memory

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]


def read_total_pages(host: Host) -> Optional[int]:
    """RAM and swap, see L(read_sizes)."""
    found = read_sizes(host)
    return None if found is None else sum(found)


def read_sizes(host: Host) -> Optional[Tuple[int, int]]:
    """(RAM, swap) in pages.

    From sysinfo(2), or from /proc/meminfo where that cannot be called and for a tree on disk.
    """
    found = _from_system_call() if host.root == '/' else None
    return found or _from_meminfo(host)


def _from_meminfo(host: Host) -> Optional[Tuple[int, int]]:
    try:
        memory = read_memory(host)
    except OSError:
        return None
    if memory is None:
        return None
    return memory.total_kb // get_page_kb(), memory.swap_total_kb // get_page_kb()


def _from_system_call() -> Optional[Tuple[int, int]]:
    if ctypes is None:
        return None

    class Sysinfo(ctypes.Structure):
        """struct sysinfo of sysinfo(2), with room for its padding."""

        _fields_ = [(name, ctypes.c_ulong) for name in (
            'uptime', 'load_1', 'load_5', 'load_15', 'totalram', 'freeram', 'sharedram', 'bufferram', 'totalswap',
            'freeswap')
        ] + [('procs', ctypes.c_ushort), ('pad', ctypes.c_ushort), ('totalhigh', ctypes.c_ulong),
             ('freehigh', ctypes.c_ulong), ('mem_unit', ctypes.c_uint), ('room', ctypes.c_char * 64)]

    info = Sysinfo()
    try:
        failed = ctypes.CDLL(None).sysinfo(ctypes.byref(info))
    except (OSError, AttributeError):
        return None
    if failed:
        return None
    unit_bytes = info.mem_unit or 1
    page_bytes = get_page_kb() * 1024
    return info.totalram * unit_bytes // page_bytes, info.totalswap * unit_bytes // page_bytes
