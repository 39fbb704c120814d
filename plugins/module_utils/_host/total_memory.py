# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the memory of the host from sysinfo(2).

lxcfs mounts its own /proc/meminfo in containers, but badness and oom_score depend on the host's memory.
ansible.module_utils.basic has loaded ctypes already.
"""

import struct
from typing import Optional, Tuple

from .host import Host
from .meminfo import get_page_kb, read_memory

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

# struct sysinfo: uptime, three loads, totalram, freeram, sharedram, bufferram, totalswap, freeswap, procs, pad,
# totalhigh, freehigh, mem_unit.
_SYSINFO = struct.Struct('@10L2H2LI')


def read_total_pages(host: Host) -> Optional[int]:
    """RAM and swap together, see L(read_sizes)."""
    found = read_sizes(host)
    return None if found is None else sum(found)


def read_sizes(host: Host) -> Optional[Tuple[int, int]]:
    """(RAM, swap) in pages: from sysinfo(2), else from /proc/meminfo, as for a tree on disk. None for unknown."""
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
    info = ctypes.create_string_buffer(_SYSINFO.size + 64)  # the kernel pads it
    try:
        if ctypes.CDLL(None).sysinfo(info):
            return None
    except (OSError, AttributeError):
        return None
    fields = _SYSINFO.unpack_from(info)
    unit_bytes, page_bytes = fields[14] or 1, get_page_kb() * 1024
    return fields[4] * unit_bytes // page_bytes, fields[8] * unit_bytes // page_bytes
