# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel does with a text written to a sysctl. The sysctls themselves are in L(_sysctl.records).

Sources: kernel/sysctl.c and mm/util.c (``proc_dointvec_minmax``, ``overcommit_ratio_handler``,
``overcommit_kbytes_handler``).
"""

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

# The keys that the code treats in a special way.
MEMORY = 'vm.overcommit_memory'
RATIO = 'vm.overcommit_ratio'
KBYTES = 'vm.overcommit_kbytes'
ADMIN_RESERVE = 'vm.admin_reserve_kbytes'
USER_RESERVE = 'vm.user_reserve_kbytes'
PANIC_ON_OOM = 'vm.panic_on_oom'
PANIC = 'kernel.panic'
KILL_ALLOCATING_TASK = 'vm.oom_kill_allocating_task'

INT_MIN, INT_MAX = -2 ** 31, 2 ** 31 - 1
# unsigned long on 64 bits. A 32-bit kernel refuses more than 2**32-1; the module reads back what it writes.
ULONG_MAX = 2 ** 64 - 1
# TMPBUFLEN - 1 (kernel/sysctl.c): the kernel refuses a number of this length.
_LONGEST = 21
# The kernel's isspace() includes the byte 0xa0, which Python decodes to \udca0.
_BLANKS = '[ \\t\\n\\v\\f\\r\udca0]*'
_NUMBER = re.compile(_BLANKS + r'(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)(.?)', re.DOTALL)

State = Dict[str, Optional[int]]


class Sysctl(NamedTuple):
    """A sysctl: what the kernel accepts, and what this collection calls it."""

    key: str
    module: str
    option: str
    fact: str
    minimum: int = INT_MIN
    maximum: int = INT_MAX
    default: int = 0  # as documented
    is_constant: bool = True  # False: the kernel computes the default at boot or takes it from its configuration
    counterpart: str = ''  # writing this key sets that one to 0
    least: int = INT_MIN  # the smallest value that the option takes
    is_switch: bool = False  # the option is a boolean; every number but 0 means on
    names: Optional[Dict[str, int]] = None  # the words that the option takes for the values
    word_fact: str = ''  # the fact that holds the word

    def parse_written(self, text: str) -> Optional[int]:
        """The number that the kernel reads from ``text`` written to the sysctl, None where it returns EINVAL.

        It parses base 0 (``010`` is 8, ``080`` an error) and stops at the first blank: ``2 # strict`` is 2.
        """
        number = _parse_number(text)
        if number is None or (number[0] and self._is_unsigned()):
            return None
        value = -number[1] if number[0] else number[1]
        return value if self.minimum <= value <= self.maximum else None

    def apply_write(self, state: State, text: str, skips_negative: bool = False) -> bool:
        """Change ``state`` as the kernel does when ``text`` is written to the sysctl; False where it refuses.

        ``skips_negative``: kernels before 6.0 accept a negative number for an unsigned sysctl and do not set it, but
        set its counterpart to 0.
        """
        number = self.parse_written(text)
        if number is not None:
            state[self.key] = number
        elif not (skips_negative and self._is_skipped(text)):
            return False
        if self.counterpart:
            # Also when 0 is written: with both 0 the CommitLimit is swap alone (mm/util.c).
            state[self.counterpart] = 0
        return True

    def _is_unsigned(self) -> bool:
        return self.maximum > INT_MAX

    def _is_skipped(self, text: str) -> bool:
        number = _parse_number(text)
        return self._is_unsigned() and number is not None and number[0] and number[1] <= ULONG_MAX


def _parse_number(text: str) -> Optional[Tuple[bool, int]]:
    """(has a minus, number) as proc_get_long() (kernel/sysctl.c) parses it, None where it returns EINVAL."""
    match = _NUMBER.match(text)
    if match is None or match.group(3) not in ('', ' ', '\t', '\n'):
        return None
    minus, digits = match.group(1), match.group(2)
    if len(minus) + len(digits) >= _LONGEST:
        return None
    number = int(digits, 16) if digits[:2] in ('0x', '0X') else int(digits, 8 if digits.startswith('0') else 10)
    return bool(minus), number


def parse_value(text: Optional[str]) -> Optional[int]:
    """The number in a file of /proc/sys, None for other text."""
    try:
        return int((text or '').strip())
    except ValueError:
        return None


def render(state: State, keys: List[str]) -> str:
    """Lines ``key = value`` for diffs."""
    return ''.join(f'{key} = {state[key]}\n' for key in keys if state.get(key) is not None)
