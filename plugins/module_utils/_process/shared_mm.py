# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out by kcmp(2) whether two processes share their memory, which /proc does not show.

C libraries have no function for it, so it is called by number. It needs the right to trace both processes.
"""

import os
from typing import Optional

from .._host import file_access

try:
    import ctypes
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]

# __NR_kcmp. New architectures have the number of include/uapi/asm-generic/unistd.h.
_NUMBERS = {'x86_64': 312, 'i386': 349, 'i686': 349, 'aarch64': 272, 'riscv64': 272, 'loongarch64': 272,
            'ppc64': 354, 'ppc64le': 354, 's390x': 343, 'armv7l': 378}
_KCMP_VM = 1


def share_memory(pid: int, other: int) -> Optional[bool]:
    """Whether both processes share memory; None if that is unknown, or if one is gone."""
    number = _NUMBERS.get(os.uname().machine)
    if ctypes is None or number is None or not all(file_access.current.allows(one, 'kcmp') for one in (pid, other)):
        return None
    try:
        with file_access.Reading(f'{other}/kcmp'):
            answer = _compare(number, pid, other)
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else answer == 0


def _compare(number: int, pid: int, other: int) -> int:
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), ctypes.c_long(pid), ctypes.c_long(other),
                                         ctypes.c_long(_KCMP_VM), ctypes.c_ulong(0), ctypes.c_ulong(0)))
