# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""NUMA nodes that run out of memory, for processes that may use no others (cpuset, memory policy).

Source: constrained_alloc() in mm/oom_kill.c.
"""

import re
from typing import Dict, List, Optional

from .._core.errors import Refusal
from .._host.host import Host
from .snapshot import Domain

_ALLOWED = re.compile(br'^Mems_allowed_list:\s+([0-9]{1,4}(?:-[0-9]{1,4})?(?:,[0-9]{1,4}(?:-[0-9]{1,4})?)*)$',
                      re.MULTILINE)
_ZONE = re.compile(r'^Node ([0-9]{1,4}), zone +\S+\n(?:(?!Node ).*\n)*? +present +([0-9]{1,18})$', re.MULTILINE)


def find_domain(host: Host, nodes: List[int], total_swap_pages: int) -> Domain:
    """The nodes as the place where memory runs out. Raises Refusal for a missing node."""
    present_pages = parse_present_pages(host.read_text('/proc/zoneinfo') or '')
    missing = sorted(set(nodes) - set(present_pages))
    if missing:
        raise Refusal(f"nodes: there is no NUMA node {', '.join(map(str, missing))} here; there are "
                      f"{', '.join(map(str, sorted(present_pages))) or 'none'} [OOMK-2411]")
    total_pages = total_swap_pages + sum(present_pages[node] for node in set(nodes))
    return Domain(None, total_pages or 1, False, sorted(set(nodes)))


def parse_present_pages(zoneinfo: str) -> Dict[int, int]:
    """The pages of each node (node_present_pages())."""
    pages: Dict[int, int] = {}
    for node, count in _ZONE.findall(zoneinfo):
        pages[int(node)] = pages.get(int(node), 0) + int(count)
    return pages


def parse_allowed(status: bytes) -> Optional[List[int]]:
    """The nodes that a process may use, from /proc/PID/status; None if it does not say."""
    match = _ALLOWED.search(status)
    if match is None:
        return None
    nodes: List[int] = []
    for part in match.group(1).decode('ascii').split(','):
        first, _dash, last = part.partition('-')
        nodes += range(int(first), int(last or first) + 1)
    return nodes
