# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that anybody may choose, of processes, cgroups or users, as text that is safe to print and to send."""

import os
from typing import Union

from .text import to_bytes, to_text

_FIRST_ESCAPED_BYTE, _LAST_ESCAPED_BYTE = 0xdc80, 0xdcff  # PEP 383: a byte that is no UTF-8, as a lone surrogate


def sanitize(name: Union[bytes, str]) -> str:
    """The name as printable text that is valid in JSON and cannot steer a terminal.

    Control characters and bytes that are no UTF-8 come out as ``\\x1b``; other characters that cannot be seen or that
    turn the text around them (C1, format and bidirectional marks, line separators) as ``\\u202e``. A backslash stays as
    it is, because names of systemd units hold them (``\\x2d``): the result is for reading, not for turning back.
    """
    text = to_text(name) if isinstance(name, bytes) else name
    if text.isprintable():
        return text
    try:
        # Where the locale is C, Python has names of files as bytes that it could not read.
        text = to_text(to_bytes(text))
    except UnicodeError:
        pass
    return ''.join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    if _FIRST_ESCAPED_BYTE <= code <= _LAST_ESCAPED_BYTE:
        return f'\\x{code - 56320:02x}'
    if code < 0x80:
        return f'\\x{code:02x}'
    return f'\\u{code:04x}' if code <= 0xffff else f'\\U{code:08x}'


def explain(exc: BaseException) -> str:
    """What the system answered, and to what, without a full stop."""
    if isinstance(exc, MemoryError):
        return 'Python found no memory'
    reason = (exc.strerror if isinstance(exc, OSError) else str(exc).rstrip('.')) or type(exc).__name__
    # The number of a descriptor says nothing to anybody.
    file = exc.filename if isinstance(exc, OSError) and isinstance(exc.filename, (str, bytes)) else ''
    if file:
        reason = f'{sanitize(file)}: {reason}'
    if isinstance(exc, PermissionError) and os.geteuid() != 0:
        reason += '. Run the task as root (become: true)'
    return reason


class InternalError(Exception):
    """An exception that nobody foresaw, in another process of ours; the text is what L(mistake) says there."""


def internal_error(exc: BaseException) -> str:
    """What to say of an exception that nobody foresaw, without a full stop.

    Not its text, which can quote what was read from a file or a command line.
    """
    if isinstance(exc, InternalError):
        return str(exc)
    file, line = '', 0
    place = exc.__traceback__
    while place is not None:
        file, line, place = place.tb_frame.f_code.co_filename, place.tb_lineno, place.tb_next
    return (f'this is a mistake in the collection, please report it: {type(exc).__name__} in {os.path.basename(file)} '
            f'line {line}')
