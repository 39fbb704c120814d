# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make text safe to print and to send: names that any user may choose, whole results, and exceptions.

ansible-core takes no result with bytes that are not UTF-8: it would report a change that was made as a failure.
"""

import os
import re
from typing import Any, Optional, Union

from .text import to_bytes, to_text

_CODE = re.compile(r' \[OOMK-[0-9]{4}\]')
_FIRST_ESCAPED_BYTE, _LAST_ESCAPED_BYTE = 0xdc80, 0xdcff  # PEP 383: a byte that is not UTF-8, as a surrogate


def sanitize(name: Union[bytes, str]) -> str:
    """The name as printable text that is valid in JSON and cannot control a terminal.

    Control characters and bytes that are not UTF-8 become ``\\x1b``; other characters that are invisible or change the
    direction of text become ``\\u202e``. A backslash stays, because names of systemd units contain them (``\\x2d``), so
    that the result cannot be converted back.
    """
    text = to_text(name) if isinstance(name, bytes) else name
    if text.isprintable():
        return text
    try:
        # In the locale C Python decodes names of files with surrogates.
        text = to_text(to_bytes(text))
    except UnicodeError:
        pass
    return ''.join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def sanitize_optional(name: Union[bytes, str, None]) -> Optional[str]:
    """See L(sanitize). None stays None."""
    return None if name is None else sanitize(name)


def _escaped(code: int) -> str:
    if _FIRST_ESCAPED_BYTE <= code <= _LAST_ESCAPED_BYTE:
        return f'\\x{code - 56320:02x}'
    if code < 0x80:
        return f'\\x{code:02x}'
    return f'\\u{code:04x}' if code <= 0xffff else f'\\U{code:08x}'


def sanitize_lines(text: str) -> str:
    """The text without other control characters than its line ends and tabs."""
    return ''.join(piece if piece in ('\r\n', '\n', '\t') else sanitize(piece)
                   for piece in re.split('(\r?\n|\t)', text))


def sanitize_result(value: Any, has_lines: bool = False) -> Any:
    """A result with each text in it sanitized. ``has_lines``: a text keeps its line ends and tabs, as in a diff."""
    if isinstance(value, str):
        return sanitize_lines(value) if has_lines else sanitize(value)
    if isinstance(value, dict):
        return {sanitize_result(key): sanitize_result(item, key in ('before', 'after')) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [sanitize_result(item) for item in value]
    return value


def explain(exc: BaseException) -> str:
    """Describe an expected exception: the file, and what the system answered. Without a full stop."""
    if isinstance(exc, MemoryError):
        return 'Python found no memory'
    reason = (exc.strerror if isinstance(exc, OSError) else str(exc).rstrip('.')) or type(exc).__name__
    file = exc.filename if isinstance(exc, OSError) and isinstance(exc.filename, (str, bytes)) else ''
    if file:
        reason = f'{sanitize(file)}: {reason}'
    if isinstance(exc, PermissionError) and os.geteuid() != 0:
        reason += '. Run the task as root (become: true)'
    return reason


def to_message(text: str) -> str:
    """An error or warning for the user: sanitized, each code of an error of docs/errors.md once, and at the end."""
    sanitized = sanitize(text)
    return _CODE.sub('', sanitized) + ''.join(dict.fromkeys(_CODE.findall(sanitized)))


class InternalError(Exception):
    """An unexpected exception in the helper process; the text is that of L(internal_error) there."""


def internal_error(exc: BaseException) -> str:
    """Describe an unexpected exception, without a full stop.

    Not by its text, which can quote what was read from a file or a command line.
    """
    if isinstance(exc, InternalError):
        return str(exc)
    file, line = '', 0
    place = exc.__traceback__
    while place is not None:
        file, line, place = place.tb_frame.f_code.co_filename, place.tb_lineno, place.tb_next
    file = '/'.join(file.split('/')[-2:])  # some packages have files of the same name
    return (f'this is an internal error of the collection, please report it: {type(exc).__name__} in {file} '
            f'line {line} [OOMK-2317]')
