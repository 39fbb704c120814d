# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sysctls of this collection, one record each: options, facts, policies and the role's variables follow from them.

Their order is that of options, facts and results.
Sources: Documentation/admin-guide/sysctl/vm.rst and kernel.rst.
"""

from typing import Dict, List

from .._core.convert import MODES, POLICIES
from .._host.meminfo import get_page_kb
from .._kernel.sysctls import (
    ADMIN_RESERVE,
    KBYTES,
    KILL_ALLOCATING_TASK,
    MEMORY,
    PANIC,
    PANIC_ON_OOM,
    RATIO,
    ULONG_MAX,
    USER_RESERVE,
    Sysctl,
)


def _reserve(key: str, name: str, default: int) -> Sysctl:
    return Sysctl(key, 'overcommit', name, name, 0, ULONG_MAX, default, is_constant=False, least=0)


SYSCTLS: Dict[str, Sysctl] = {sysctl.key: sysctl for sysctl in (
    Sysctl(MEMORY, 'overcommit', 'mode', 'mode', 0, 2, names=MODES, word_fact='mode_name'),
    Sysctl(RATIO, 'overcommit', 'ratio', 'ratio', default=50, counterpart=KBYTES, least=0),
    Sysctl(KBYTES, 'overcommit', 'kbytes', 'kbytes', 0, ULONG_MAX, counterpart=RATIO,
           least=get_page_kb()),
    _reserve(ADMIN_RESERVE, 'admin_reserve_kbytes', 8192),
    _reserve(USER_RESERVE, 'user_reserve_kbytes', 131072),
    Sysctl(PANIC_ON_OOM, 'panic_on_oom', 'policy', 'panic_on_oom', 0, 2, names=POLICIES, word_fact='policy'),
    Sysctl(PANIC, 'panic_on_oom', 'reboot_after', 'reboot_after_s', is_constant=False),
    Sysctl(KILL_ALLOCATING_TASK, 'panic_on_oom', 'kill_allocating_task', 'kill_allocating_task',
           is_switch=True),
    Sysctl('vm.oom_dump_tasks', 'panic_on_oom', 'dump_tasks', 'dump_tasks', default=1, is_switch=True),
)}

ALL_KEYS = tuple(SYSCTLS)
# By path below /proc/sys.
KEYS_BY_PATH = {key.replace('.', '/'): key for key in ALL_KEYS}


def list_sysctls(module: str) -> List[Sysctl]:
    """The sysctls that a module sets."""
    return [sysctl for sysctl in SYSCTLS.values() if sysctl.module == module]
