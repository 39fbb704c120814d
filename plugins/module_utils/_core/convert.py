# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert the values of options: modes, policies, integers and sizes.

Options are declared C(type: raw), so that the value arrives as YAML gave it: with C(choices) of numeric strings
YAML's C(yes) turns into ``'1'``, and C(type: int) takes C(true) as 1. These functions refuse booleans, floats and text
that is not a plain decimal number.
"""

import re
from typing import Any, Dict, NamedTuple, Optional

_DECIMAL = re.compile(r'-?(0|[1-9][0-9]{0,29})\Z')
_SIZE = re.compile(r'(0|[1-9][0-9]{0,29})[ ]?([KMGTP])(i?B)?\Z', re.IGNORECASE)
_PERCENT = re.compile(r'(0|[1-9][0-9]{0,29})(\.[0-9]+)?[ ]?%\Z')
# No option takes a longer number, and Python itself converts only some thousand digits.
_TOO_LARGE = 10 ** 30
_MOST_CHARACTERS = 100
_UNIT_KB = {'K': 1, 'M': 1024, 'G': 1024 ** 2, 'T': 1024 ** 3, 'P': 1024 ** 4}

INT_MIN, INT_MAX = -2 ** 31, 2 ** 31 - 1  # int of the kernel
SCORE_ADJ_MIN, SCORE_ADJ_MAX = -1000, 1000  # OOM_SCORE_ADJ_MIN and _MAX, include/uapi/linux/oom.h

# The words for the values of vm.overcommit_memory and vm.panic_on_oom.
MODES = {'heuristic': 0, 'always': 1, 'never': 2}
POLICIES = {'kill': 0, 'panic': 1, 'panic_always': 2}


class ConvertError(ValueError):
    """A value that its option does not accept. The message names the option, the value and what is accepted."""


def quote(value: Any) -> str:
    """The value for a message: on one line, sanitized and shortened."""
    kind = {bool: 'the boolean ', float: 'the float '}.get(type(value), '')
    try:
        text = repr(str(value) if isinstance(value, str) else value)
    except ValueError:  # Python converts no number of thousands of digits
        text = 'a number of thousands of digits'
    return kind + (text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + '...')


def _as_integer(value: Any) -> Optional[int]:
    """The value as an integer; None for other types and text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value) if abs(value) < _TOO_LARGE else None
    if isinstance(value, str) and _DECIMAL.match(value.strip()):
        return int(value.strip())
    return None


def to_integer(name: str, value: Any, minimum: Optional[int] = INT_MIN, maximum: Optional[int] = INT_MAX) -> int:
    """The value of option ``name`` as an integer within the bounds.

    Raises ConvertError for booleans, floats, non-decimal text (``0x10``, ``010``, ``1e3``) and numbers out of range.
    """
    number = _as_integer(value)
    if number is None:
        raise ConvertError(f'{name}: {quote(value)} is not a decimal integer; give a plain number such as 50'
                           ' [OOMK-1101]')
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise ConvertError(f'{name}: {number} is out of range; {_range_text(minimum, maximum)} [OOMK-1102]')
    return number


def _range_text(minimum: Optional[int], maximum: Optional[int]) -> str:
    if maximum is None:
        return f'it must be {minimum} or more'
    if minimum is None:
        return f'it must be {maximum} or less'
    return f'it must be from {minimum} to {maximum}'


def to_score_adj(name: str, value: Any) -> int:
    """The oom_score_adj that option ``name`` asks for. Raises ConvertError."""
    return to_integer(name, value, SCORE_ADJ_MIN, SCORE_ADJ_MAX)


def to_choice(name: str, value: Any, choices: Dict[str, int]) -> int:
    """The kernel's number for a name in ``choices``, or for that number itself.

    Raises ConvertError for anything else, YAML's C(yes) included.
    """
    if isinstance(value, str) and value.strip() in choices:
        return choices[value.strip()]
    number = _as_integer(value)
    if number is None or number not in choices.values():
        allowed = ', '.join(f'{name} ({number})' for name, number in sorted(choices.items(), key=lambda pair: pair[1]))
        raise ConvertError(f'{name}: {quote(value)} is not one of {allowed} [OOMK-1103]')
    return number


class Amount(NamedTuple):
    """A size in kB or a percentage; exactly one of both is not None."""

    size_kb: Optional[int] = None
    percent: Optional[float] = None

    def to_kb(self, whole_kb: int) -> int:
        """The size in kB, or the percentage of ``whole_kb`` rounded down."""
        if self.size_kb is not None:
            return self.size_kb
        return int(whole_kb * (self.percent or 0) / 100)


def to_amount(name: str, value: Any) -> Amount:
    """A size with its unit (``28G``, ``512 MiB``, ``1048576K``) or a percentage (``80%``).

    Raises ConvertError, also for a number without a unit other than 0: it could mean bytes, kB or percent.
    """
    text = value.strip() if isinstance(value, str) else ''
    if _as_integer(value) == 0:
        return Amount(size_kb=0)
    if _PERCENT.match(text):
        return Amount(percent=float(text.rstrip('% ')))
    size = _SIZE.match(text)
    if size is None:
        raise ConvertError(f'{name}: {quote(value)} is neither a size with a unit such as 28G nor a percentage such '
                           'as 80% [OOMK-1104]')
    return Amount(size_kb=int(size.group(1)) * _UNIT_KB[size.group(2).upper()])
