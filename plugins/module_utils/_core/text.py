# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert between bytes, text and numbers."""

from typing import Optional, Union

_MOST_DIGITS = 30  # 64 bits have 20, and blanks may surround them


def to_text(data: bytes) -> str:
    """Decode bytes so that L(to_bytes) restores them, also those that are not UTF-8."""
    return data.decode('utf-8', 'surrogateescape')


def to_bytes(text: str) -> bytes:
    """The inverse of L(to_text)."""
    return text.encode('utf-8', 'surrogateescape')


def to_number(text: Union[bytes, str, None]) -> Optional[int]:
    """The decimal number that a file of the kernel contains; None for anything else."""
    try:
        return int(text) if text and len(text) <= _MOST_DIGITS else None
    except ValueError:
        return None
