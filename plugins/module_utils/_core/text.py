# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of the machine as text, and the numbers in them."""

from typing import Optional, Union

_MOST_DIGITS = 30  # of 64 bits 20, with blanks around them


def to_text(data: bytes) -> str:
    """Bytes as text that turns back into the same bytes, whatever they are."""
    return data.decode('utf-8', 'surrogateescape')


def to_bytes(text: str) -> bytes:
    """The inverse of L(to_text)."""
    return text.encode('utf-8', 'surrogateescape')


def to_number(text: Union[bytes, str, None]) -> Optional[int]:
    """The decimal number that a file of the kernel holds; None for anything else, such as another file system shows."""
    try:
        return int(text) if text and len(text) <= _MOST_DIGITS else None
    except ValueError:
        return None
