# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read /proc/meminfo and the size of a page."""

import os
from typing import Optional

from .._kernel.meminfo import Memory, parse_meminfo
from .host import Host


def get_page_kb() -> int:
    """The size of a page in kB."""
    return os.sysconf('SC_PAGE_SIZE') // 1024


def read_memory(host: Host) -> Optional[Memory]:
    """The machine's memory now; None without /proc/meminfo."""
    text = host.read_text('/proc/meminfo')
    return None if text is None else parse_meminfo(text)
