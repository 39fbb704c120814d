# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process table: identity, memory and score of processes, read fast enough for ten thousand of them.

Sources: proc_pid_status(5), proc_pid_stat(5), proc_pid_statm(5), cgroups(7); fs/proc/array.c and task_mmu.c.
A process can end at any time: each read returns None then.
"""

import contextlib
import os
import re
from typing import List, NamedTuple, Optional, Tuple, Union

from .._core.text import to_number
from .._host.file_access import open_fd
from .._host.host import Host
from .._host.meminfo import get_page_kb
from .._kernel.badness import Memory, ProcessReader, Terms
from .cgroup_unit import NAMED, V2, find_unit
from .procfs import CHUNK_BYTES, Proc, parse_cgroup_paths, parse_stat

_MEMORY = re.compile(br'\nVmRSS:\s+([0-9]{1,18}) kB.*?\nVmPTE:\s+([0-9]{1,18}) kB\n(?:VmPMD:\s+([0-9]{1,18}) kB\n)?'
                     br'VmSwap:\s+([0-9]{1,18}) kB\n', re.DOTALL)


_FIRST_HAS_ENDED = b'\nState:\tZ'  # other threads may run, and the kernel can choose the process


class Scores(NamedTuple):
    found: List[Tuple[int, int]]  # (oom_score, pid)
    denied: int  # processes that /proc lists but that may not be read


def parse_memory_kb(status: bytes) -> Optional[Tuple[int, int, int]]:
    """RSS, swap and page tables of /proc/PID/status in kB; None without memory (kernel threads, zombies).

    Kernels 4.0 to 4.14 list the middle level of page tables separately, in VmPMD. The name in the first line cannot
    imitate these lines, because the kernel escapes its line ends.
    """
    match = _MEMORY.search(status)
    if match is None:
        return None
    rss_kb, tables_kb, middle_kb, swap_kb = match.groups()
    return int(rss_kb), int(swap_kb), int(tables_kb) + int(middle_kb or 0)


class Holding(NamedTuple):
    """The memory of a process as /proc shows it."""

    rss_kb: int
    swap_kb: int
    tables_kb: int
    own_kb: int  # anonymous RSS; all RSS on kernels before 4.5, which do not report it
    stat_pages: int  # RSS in /proc/PID/stat, which can differ from that in status


def parse_holding(status: bytes, stat: bytes) -> Optional[Holding]:
    """The memory of a process, from its status and stat; None for a process without memory."""
    memory_kb = parse_memory_kb(status)
    found = parse_stat(stat)
    if memory_kb is None or found is None or found.rss_pages is None:
        return None
    rss_kb, swap_kb, tables_kb = memory_kb
    own = re.search(br'\nRssAnon:\s+([0-9]{1,18}) kB\n', status)
    return Holding(rss_kb, swap_kb, tables_kb, int(own.group(1)) if own else rss_kb, found.rss_pages)


def parse_cgroup(text: bytes, init: bytes = b'') -> Tuple[Optional[bytes], Optional[bytes]]:
    """(cgroup, unit) of /proc/PID/cgroup, with /proc/1/cgroup as ``init``.

    The cgroup is the one that limits memory: in the v1 memory hierarchy, else in v2, else in systemd's. The unit comes
    from systemd's hierarchy, because the v1 memory hierarchy may lack units.
    """
    paths = parse_cgroup_paths(text)
    cgroup = paths.get(b'memory', paths.get(V2, paths.get(NAMED)))
    return cgroup, find_unit(text, init)


class ProcessTable(Proc):
    """The processes that /proc shows."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._page_kb = get_page_kb()

    def build_reader(self) -> ProcessReader:
        """The functions that read what a selection needs."""
        return ProcessReader(self.read_memories, self.read_score_adj, self.read_start_ticks)

    def read_scores(self) -> Scores:
        """oom_score of all processes."""
        found = []
        denied = 0
        for pid, score in self._read_each(os.listdir(self.fd), 'oom_score', 32):
            number = to_number(score)
            denied += score is None
            if number is not None:  # else it has just ended
                found.append((number, pid))
        return Scores(found, denied)

    def read_score(self, pid: Union[int, str]) -> Optional[int]:
        """oom_score."""
        return to_number(self.read(f'{pid}/oom_score'))

    def read_score_adj(self, pid: Union[int, str]) -> Optional[int]:
        """oom_score_adj."""
        return to_number(self.read(f'{pid}/oom_score_adj'))

    def read_terms(self, pid: Union[int, str]) -> Optional[Terms]:
        """The terms of its badness; None for kernel threads, zombies and ended processes."""
        status = self.read(f'{pid}/status')
        memory = self._memory(pid, status) if status else None
        adj = self.read_score_adj(pid) if memory else None
        return None if memory is None or adj is None else Terms(memory, adj)

    def read_memories(self, pids: List[int]) -> List[Tuple[Memory, int]]:
        """(memory, pid) of the processes that have memory."""
        found = []
        for pid, status in self._read_each(map(str, pids), 'status', CHUNK_BYTES):
            if status and len(status) == CHUNK_BYTES:  # thousands of groups precede the memory
                status = self.read(f'{pid}/status')
            memory = self._memory(pid, status or b'')
            if memory is not None:
                found.append((memory, pid))
        return found

    def _memory(self, pid: Union[int, str], status: bytes) -> Optional[Memory]:
        """The memory in this status in pages; another thread's if the first has ended."""
        memory_kb = parse_memory_kb(status)
        if memory_kb is None and _FIRST_HAS_ENDED in status:
            texts = (self.read(thread + '/status') or b'' for thread in self.list_threads(pid))
            memory_kb = next((one for one in map(parse_memory_kb, texts) if one is not None), None)
        if memory_kb is None:
            return None
        page_kb = self._page_kb
        return memory_kb[0] // page_kb, memory_kb[1] // page_kb, memory_kb[2] // page_kb

    def read_holding(self, pid: Union[int, str]) -> Optional[Holding]:
        """Its memory; None for kernel threads, zombies and ended processes."""
        found = self._holding(f'{pid}')
        if found is None and _FIRST_HAS_ENDED in (self.read(f'{pid}/status') or b''):
            found = next((one for one in map(self._holding, self.list_threads(pid)) if one is not None), None)
        return found

    def find_living_thread(self, pid: int) -> int:
        """The ID of a thread that has its memory: the first, or another if that has ended."""
        if _FIRST_HAS_ENDED not in (self.read(f'{pid}/status') or b''):
            return pid
        alive = (int(path.rpartition('/')[2]) for path in self.list_threads(pid) if self._holding(path) is not None)
        return next(alive, pid)

    def _holding(self, path: str) -> Optional[Holding]:
        return parse_holding(self.read(path + '/status') or b'', self.read(path + '/stat') or b'')

    def list_threads(self, pid: Union[int, str]) -> List[str]:
        """The folders of its threads below /proc; none if it is gone."""
        folder = f'{pid}/task'
        with contextlib.suppress(OSError), open_fd(folder, os.O_RDONLY | os.O_DIRECTORY, self.fd) as fd:
            return [f'{folder}/{name}' for name in os.listdir(fd)]
        return []

    def list_children(self, pid: int) -> List[int]:
        """Its children (proc_pid_tid_children(5)); none also if the kernel does not list them."""
        return [int(child) for thread in self.list_threads(pid)
                for child in (self.read(thread + '/children') or b'').split() if to_number(child)]

    def read_start_ticks(self, pid: int) -> Optional[int]:
        """Its start time in clock ticks since boot."""
        stat = parse_stat(self.read(f'{pid}/stat') or b'')
        return None if stat is None else stat.start_ticks

    def read_name(self, pid: int) -> Optional[bytes]:
        """comm: at most 15 bytes, which any program can set for itself."""
        comm = self.read(f'{pid}/comm')
        return comm[:-1] if comm and comm.endswith(b'\n') else comm

    def find_cgroup_and_unit(self, pid: int) -> Tuple[Optional[bytes], Optional[bytes]]:
        """See L(parse_cgroup). Cgroup v1 shows the root for an ended first thread."""
        cgroup, unit = parse_cgroup(self.read(f'{pid}/cgroup') or b'', self.read_init_cgroup())
        thread = self.find_living_thread(pid) if cgroup == b'/' else pid
        if thread == pid:
            return cgroup, unit
        return parse_cgroup(self.read(f'{pid}/task/{thread}/cgroup') or b'', self.read_init_cgroup())
