# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sysctls of this collection, and how the kernel parses a text that is written to one of them.

Sources: kernel/sysctl.c and mm/util.c (``proc_dointvec_minmax``, ``overcommit_ratio_handler``,
``overcommit_kbytes_handler``), Documentation/admin-guide/sysctl/vm.rst and kernel.rst.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

MEMORY = 'vm.overcommit_memory'
RATIO = 'vm.overcommit_ratio'
KBYTES = 'vm.overcommit_kbytes'
ADMIN_RESERVE = 'vm.admin_reserve_kbytes'
USER_RESERVE = 'vm.user_reserve_kbytes'
PANIC_ON_OOM = 'vm.panic_on_oom'
PANIC = 'kernel.panic'
KILL_ALLOCATING_TASK = 'vm.oom_kill_allocating_task'
DUMP_TASKS = 'vm.oom_dump_tasks'

OVERCOMMIT_KEYS = (MEMORY, RATIO, KBYTES, ADMIN_RESERVE, USER_RESERVE)
PANIC_KEYS = (PANIC_ON_OOM, PANIC, KILL_ALLOCATING_TASK, DUMP_TASKS)
ALL_KEYS = OVERCOMMIT_KEYS + PANIC_KEYS
# By path below /proc/sys.
KEY_OF_PATH = {key.replace('.', '/'): key for key in ALL_KEYS}

_INT_MIN, _INT_MAX = -2 ** 31, 2 ** 31 - 1
# unsigned long on 64 bits. A 32-bit kernel refuses more than 2**32-1; the module reads back what it writes.
_ULONG_MAX = 2 ** 64 - 1
# TMPBUFLEN - 1 (kernel/sysctl.c): the kernel refuses a number of this length.
_LONGEST = 21

State = Dict[str, Optional[int]]


class Sysctl(NamedTuple):
    key: str
    minimum: int  # what the kernel accepts
    maximum: int
    default: int  # as documented
    constant: bool = True  # False: the kernel computes the default at boot or takes it from its configuration
    counterpart: str = ''  # the kernel sets this one to 0 when the key is written


SYSCTLS = {sysctl.key: sysctl for sysctl in (
    Sysctl(MEMORY, 0, 2, 0),
    Sysctl(RATIO, _INT_MIN, _INT_MAX, 50, counterpart=KBYTES),
    Sysctl(KBYTES, 0, _ULONG_MAX, 0, counterpart=RATIO),
    Sysctl(ADMIN_RESERVE, 0, _ULONG_MAX, 8192, constant=False),
    Sysctl(USER_RESERVE, 0, _ULONG_MAX, 131072, constant=False),
    Sysctl(PANIC_ON_OOM, 0, 2, 0),
    Sysctl(PANIC, _INT_MIN, _INT_MAX, 0, constant=False),
    Sysctl(KILL_ALLOCATING_TASK, _INT_MIN, _INT_MAX, 0),
    Sysctl(DUMP_TASKS, _INT_MIN, _INT_MAX, 1),
)}

_SIGNED = frozenset(key for key, sysctl in SYSCTLS.items()
                    if sysctl.maximum == _INT_MAX or key in (MEMORY, PANIC_ON_OOM))
# The kernel's isspace() includes the byte 0xa0, which Python decodes to \udca0.
_BLANKS = '[ \\t\\n\\v\\f\\r\udca0]*'
_NUMBER = re.compile(_BLANKS + r'(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(.?)', re.DOTALL)


def parse_written(key: str, text: str) -> Optional[int]:
    """The number that the kernel reads from ``text`` written to the key, None where it returns EINVAL.

    It parses base 0 (``010`` is 8, ``080`` an error) and stops at the first blank: ``2 # strict`` is 2.
    """
    number = _number(text)
    if number is None or (number[0] and key not in _SIGNED):
        return None
    sysctl = SYSCTLS[key]
    value = -number[1] if number[0] else number[1]
    return value if sysctl.minimum <= value <= sysctl.maximum else None


def _number(text: str) -> Optional[Tuple[bool, int]]:
    """(has a minus, number) as proc_get_long() (kernel/sysctl.c) parses it, None where it returns EINVAL."""
    match = _NUMBER.match(text)
    if match is None or match.group(3) not in ('', ' ', '\t', '\n'):
        return None
    minus, digits = match.group(1), match.group(2)
    if len(minus) + len(digits) >= _LONGEST:
        return None
    number = int(digits, 16) if digits[:2] in ('0x', '0X') else int(digits, 8 if digits.startswith('0') else 10)
    return bool(minus), number


def apply_write(state: State, key: str, text: str, skips_negative: bool = False) -> bool:
    """Change ``state`` as the kernel does when ``text`` is written to the key; False where it refuses.

    ``skips_negative``: kernels before 6.0 accept a negative number for an unsigned key and do not set the key, but set
    its counterpart to 0.
    """
    number = parse_written(key, text)
    if number is not None:
        state[key] = number
    elif not (skips_negative and _is_negative_for_unsigned(key, text)):
        return False
    if SYSCTLS[key].counterpart:
        # Also when 0 is written: with both 0 the CommitLimit is swap alone (mm/util.c).
        state[SYSCTLS[key].counterpart] = 0
    return True


def _is_negative_for_unsigned(key: str, text: str) -> bool:
    number = _number(text)
    return key not in _SIGNED and number is not None and number[0] and number[1] <= _ULONG_MAX


def parse_value(text: Optional[str]) -> Optional[int]:
    """The number in a file of /proc/sys, None for other text."""
    try:
        return int((text or '').strip())
    except ValueError:
        return None


def render(state: State, keys: List[str]) -> str:
    """Lines ``key = value`` for diffs."""
    return ''.join(f'{key} = {state[key]}\n' for key in keys if state.get(key) is not None)
