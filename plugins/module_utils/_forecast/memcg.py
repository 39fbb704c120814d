# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cgroups that limit memory: their limits as an OOM kill counts them, and memory.oom.group.

Sources: mem_cgroup_get_max() and mem_cgroup_get_oom_group() in mm/memcontrol.c; Documentation/admin-guide/cgroup-v2.rst
and cgroup-v1/memory.rst.
"""

import re
from typing import Dict, List, NamedTuple, Optional

from .._core.errors import Refusal
from .._core.sanitize import sanitize
from .._core.text import to_number
from .._host.host import Host
from .._host.meminfo import get_page_kb
from .._host.mounts import Mount, parse_mountinfo
from .._process.groups import list_pids_below
from .snapshot import Domain

# cgroup v1 writes "no limit" as the highest number of whole pages in a long.
_NO_LIMIT_BYTES = 1 << 60


class Limit(NamedTuple):
    memory_pages: Optional[int]  # None for no limit
    swap_pages: Optional[int]  # None for as much as there is
    swappiness: int
    kill_disabled: bool


class Tree:
    """Where cgroups with the memory controller are mounted."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.folder: Optional[str] = None
        self._root = ''
        self._oom_groups: Dict[str, bool] = {}  # the cgroup tree may be deep
        self.version = 2
        for mount in parse_mountinfo(host.read_text('/proc/self/mountinfo') or ''):
            if mount.fs_type == 'cgroup' and 'memory' in mount.options.split(','):
                self._use(mount, 1)
                return
            if mount.fs_type == 'cgroup2' and self.folder is None:
                self._use(mount, 2)

    def _use(self, mount: Mount, version: int) -> None:
        self.folder, self.version, self._root = mount.path, version, mount.root.rstrip('/')

    def find_folder(self, cgroup: str) -> Optional[str]:
        """The folder of a cgroup that /proc/PID/cgroup names; None if missing."""
        inner = cgroup[len(self._root):] if (cgroup + '/').startswith(self._root + '/') else cgroup
        if self.folder is None or '..' in cgroup.split('/'):
            return None
        folder = (self.folder.rstrip('/') + '/' + inner.strip('/')).rstrip('/')
        return folder if self._host.exists(folder + '/cgroup.procs') else None

    def pids(self, cgroup: str) -> List[int]:
        """The processes in it and below."""
        folder = self.find_folder(cgroup)
        return list_pids_below(self._host, folder) if folder else []

    def read_limit(self, cgroup: str) -> Limit:
        """The cgroup's own limit."""
        read = self._read_files(cgroup)
        if self.version == 1:
            return _parse_limit_v1(read)
        return Limit(_parse_pages(read.get('memory.max')), _parse_pages(read.get('memory.swap.max')),
                     _parse_swappiness(self._host.read_text('/proc/sys/vm/swappiness')), False)

    def free_kb(self, cgroup: str) -> Optional[int]:
        """The memory below the limits of the cgroup and its ancestors; None for no limit. Page cache is not free."""
        usage = 'memory.current' if self.version == 2 else 'memory.usage_in_bytes'
        free = []
        for outer in list_ancestors(cgroup):
            limit_pages = self.read_limit(outer).memory_pages
            if limit_pages is not None:
                used_bytes = to_number(self._host.read_text(f'{self.find_folder(outer)}/{usage}')) or 0
                free.append(limit_pages * get_page_kb() - used_bytes // 1024)
        return min(free) if free else None

    def _read_files(self, cgroup: str) -> Dict[str, str]:
        folder = self.find_folder(cgroup)
        if folder is None:
            return {}
        names = (('memory.max', 'memory.swap.max') if self.version == 2 else
                 ('memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'memory.swappiness', 'memory.oom_control'))
        texts = [(name, self._host.read_text(f'{folder}/{name}')) for name in names]
        return {name: text for name, text in texts if text is not None}

    def is_oom_group(self, cgroup: str) -> bool:
        """Whether memory.oom.group is set; cgroup v1 has none."""
        if cgroup not in self._oom_groups:
            folder = self.find_folder(cgroup) if self.version == 2 else None
            text = self._host.read_text(f'{folder}/memory.oom.group') if folder else None
            self._oom_groups[cgroup] = (text or '').strip() == '1'
        return self._oom_groups[cgroup]

    def reports_kills(self, cgroup: str) -> bool:
        """Whether systemd can see kills there: it watches memory.events, which cgroup v1 lacks."""
        folder = self.find_folder(cgroup) if self.version == 2 else None
        return bool(folder) and self._host.exists(f'{folder}/memory.events')


def _parse_limit_v1(read: Dict[str, str]) -> Limit:
    memory, both = [_parse_pages(read.get(name)) for name in ('memory.limit_in_bytes', 'memory.memsw.limit_in_bytes')]
    disabled = re.search(r'^oom_kill_disable 1$', read.get('memory.oom_control', ''), re.MULTILINE)
    return Limit(memory, None if memory is None or both is None else both - memory,
                 _parse_swappiness(read.get('memory.swappiness')), bool(disabled))


def _parse_swappiness(text: Optional[str]) -> int:
    number = to_number(text)
    return 60 if number is None else number


def _parse_pages(text: Optional[str]) -> Optional[int]:
    """A limit in pages; None for no limit."""
    number = to_number(text)  # none for max
    return None if number is None or not 0 <= number < _NO_LIMIT_BYTES else number // (get_page_kb() * 1024)


def find_domain(tree: Tree, cgroup: str, total_swap_pages: int) -> Domain:
    """The cgroup as the place where memory runs out. Raises Refusal if it has no limit."""
    if tree.find_folder(cgroup) is None:
        raise Refusal(f'cgroup: there is no {sanitize(cgroup)} with the memory controller here; give its path as '
                      '/proc/PID/cgroup shows it, such as /system.slice/redis-server.service [OOMK-2409]')
    limit = tree.read_limit(cgroup)
    if limit.memory_pages is None:
        outer = next((one for one in list_ancestors(cgroup)[1:] if tree.read_limit(one).memory_pages is not None), None)
        advice = (f'the next one around it that has is {sanitize(outer)}' if outer else
                  'none around it has either, so that only the whole machine can run out: leave cgroup out')
        raise Refusal(f'cgroup: {sanitize(cgroup)} has no limit of its own to run into (memory.max); {advice} '
                      '[OOMK-2410]')
    swap_pages = 0
    if limit.swappiness:
        swap_pages = total_swap_pages if limit.swap_pages is None else min(limit.swap_pages, total_swap_pages)
    # The kernel takes 1 for a limit of 0.
    return Domain(cgroup, limit.memory_pages + swap_pages or 1, limit.kill_disabled, None)


def list_ancestors(cgroup: str, last: Optional[str] = None) -> List[str]:
    """The cgroup and its ancestors without the root, up to ``last``."""
    parts = cgroup.strip('/').split('/')
    line = ['/' + '/'.join(parts[:count]) for count in range(len(parts), 0, -1) if parts[0]]
    return line[:line.index(last) + 1] if last in line else line


def find_oom_group(tree: Tree, cgroup: str, domain: Optional[str]) -> Optional[str]:
    """The highest cgroup with memory.oom.group, up to the one that runs out of memory; None for none."""
    return next((outer for outer in reversed(list_ancestors(cgroup, domain)) if tree.is_oom_group(outer)), None)
