# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse /proc/meminfo; all values are in kB.

Source: proc_meminfo(5).
"""

import re
from typing import Dict, NamedTuple, Optional


class Memory(NamedTuple):
    total_kb: int
    available_kb: Optional[int]
    swap_total_kb: int
    swap_free_kb: int
    hugetlb_kb: int
    commit_limit_kb: Optional[int]
    committed_kb: Optional[int]


_FIELD = re.compile(r'^([A-Za-z0-9_()]+):\s+(-?[0-9]{1,18})(?![0-9])', re.MULTILINE)


def parse_meminfo(text: str) -> Optional[Memory]:
    """The fields of /proc/meminfo; None without MemTotal."""
    fields = {name: int(number) for name, number in _FIELD.findall(text)}
    if 'MemTotal' not in fields:
        return None
    return Memory(
        total_kb=fields['MemTotal'],
        available_kb=fields.get('MemAvailable'),
        swap_total_kb=fields.get('SwapTotal', 0),
        swap_free_kb=fields.get('SwapFree', 0),
        hugetlb_kb=_hugetlb_kb(fields),
        commit_limit_kb=fields.get('CommitLimit'),
        committed_kb=fields.get('Committed_AS'),
    )


def _hugetlb_kb(fields: Dict[str, int]) -> int:
    """Memory in huge pages of all sizes; before 4.19 the kernel reports those of the default size only."""
    if 'Hugetlb' in fields:
        return fields['Hugetlb']
    return fields.get('HugePages_Total', 0) * fields.get('Hugepagesize', 0)
