# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole results that are safe to print and to send.

Names of files may be anything, and ansible-core takes no result with bytes in it that are no UTF-8: the task would be
told as failed and unchanged after it has changed the host.
"""

import re
from typing import Any

from .sanitize import sanitize


def shown(value: Any, lines: bool = False) -> Any:
    """The result with every text in it harmless.

    ``lines``: a text that has lines, such as the content of a file in a diff. It keeps their ends and its tabs.
    """
    if isinstance(value, str):
        return sanitize_lines(value) if lines else sanitize(value)
    if isinstance(value, dict):
        return {shown(key): shown(item, key in ('before', 'after')) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    return value


def sanitize_lines(text: str) -> str:
    """The text without other control characters than its line ends and tabs."""
    return ''.join(piece if piece in ('\r\n', '\n', '\t') else sanitize(piece)
                   for piece in re.split('(\r?\n|\t)', text))
