# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CommitLimit, and the headroom that it leaves.

Sources: ``vm_commit_limit`` and ``__vm_enough_memory`` in mm/util.c. All in kB.
"""

from typing import Optional

from . import sysctls
from .meminfo import Memory


def compute_limit_kb(memory: Memory, ratio: Optional[int], kbytes: Optional[int], page_kb: int = 4) -> int:
    """CommitLimit as the kernel computes it: whole pages, plus swap; a ratio does not count huge pages."""
    if kbytes:
        allowed_pages = kbytes // page_kb
    else:
        allowed_pages = (memory.total_kb - memory.hugetlb_kb) // page_kb * (ratio or 0) // 100
    return (allowed_pages + memory.swap_total_kb // page_kb) * page_kb


def compute_state_limit_kb(memory: Memory, state: sysctls.State, page_kb: int = 4) -> int:
    """CommitLimit under these sysctls."""
    return compute_limit_kb(memory, state.get(sysctls.RATIO), state.get(sysctls.KBYTES), page_kb)


def compute_reserves_kb(state: sysctls.State) -> int:
    """What mode 2 reserves from ordinary users."""
    return (state.get(sysctls.ADMIN_RESERVE) or 0) + (state.get(sysctls.USER_RESERVE) or 0)


def compute_headroom_kb(memory: Memory, state: sysctls.State, page_kb: int = 4) -> int:
    """How much more memory an ordinary user can commit under these sysctls; negative if too much is committed."""
    return compute_state_limit_kb(memory, state, page_kb) - compute_reserves_kb(state) - (memory.committed_kb or 0)


def compute_ratio(memory: Memory, wanted_kb: int) -> int:
    """The smallest overcommit_ratio whose CommitLimit is at least ``wanted_kb``."""
    ram_kb = max(memory.total_kb - memory.hugetlb_kb, 1)
    return max(0, -(-(wanted_kb - memory.swap_total_kb) * 100 // ram_kb))
