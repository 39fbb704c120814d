# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts about processes: the likeliest victims, processes that are never chosen, and OOM daemons."""

import os
import pwd
import re
import time
from typing import Any, Dict, List, Optional, Tuple

from .._core.sanitize import sanitize, sanitize_optional
from .._host.file_access import USER_DATABASE, Reading
from .._host.host import Host
from .._host.meminfo import get_page_kb
from .._kernel import badness
from .._process import credentials
from .._process.scan import ProcessScan
from .._process.table import ProcessTable

_CMDLINE_BYTES = 4096


def format_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))


def _read_boot_epoch_s(host: Host) -> Optional[int]:
    """The time of the boot, in seconds since 1970."""
    match = re.search(r'^btime ([0-9]{1,11})$', host.read_text('/proc/stat') or '', re.MULTILINE)
    return int(match.group(1)) if match else None


class Candidates(ProcessScan):
    """A process scan from which several facts are made."""

    def __init__(self, host: Host, processes: ProcessTable, total_pages: int, init_namespace: bool) -> None:
        super().__init__(processes, total_pages, init_namespace)
        self._boot_epoch_s = _read_boot_epoch_s(host)
        self._ticks_per_s = os.sysconf('SC_CLK_TCK')

    def gather_candidates(self, top: int, cmdline: bool) -> List[Dict[str, Any]]:
        """The facts of key C(candidates). A process that ended meanwhile is left out."""
        users: Dict[int, Optional[str]] = {}
        facts: List[Dict[str, Any]] = []
        for victim in self.victims(top):
            name, uid = self._processes.read_name(victim.pid), self._processes.read_effective_uid(victim.pid)
            if name is None or uid is None:
                continue
            if uid not in users:
                users[uid] = _find_user_name(uid)
            fact = dict(self._identify(victim.pid, name), rank=len(facts) + 1, user=users[uid], uid=uid)
            fact.update(self._describe_numbers(victim))
            if cmdline:
                fact['cmdline'] = self._read_cmdline(victim.pid)
            facts.append(fact)
        return facts

    def _identify(self, pid: int, name: bytes) -> Dict[str, Any]:
        cgroup, unit = self._processes.find_cgroup_and_unit(pid)
        return {'pid': pid, 'name': sanitize(name), 'cgroup': sanitize_optional(cgroup),
                'unit': sanitize_optional(unit)}

    def _describe_numbers(self, victim: badness.Victim) -> Dict[str, Any]:
        page_kb = get_page_kb()
        started = None
        if self._boot_epoch_s is not None:
            started = format_time(self._boot_epoch_s + victim.start_ticks / float(self._ticks_per_s))
        rss_pages, swap_pages, tables_pages = victim.terms.memory
        return {'badness_pages': victim.badness_pages, 'oom_score': victim.score, 'oom_score_adj': victim.terms.adj,
                'rss_kb': rss_pages * page_kb, 'swap_kb': swap_pages * page_kb,
                'pagetables_kb': tables_pages * page_kb, 'started': started}

    def _read_cmdline(self, pid: int) -> Optional[str]:
        data = self._processes.read(f'{pid}/cmdline', _CMDLINE_BYTES)
        return sanitize(data.rstrip(b'\0').replace(b'\0', b' ')) if data else None

    def gather_unkillable(self) -> List[Dict[str, Any]]:
        """The facts of key C(unkillable): those at -1000, by PID. They all score 0."""
        facts = []
        for pid in self._scored_zero:
            if self._processes.read_score_adj(pid) != badness.ADJ_MIN or self._processes.read_terms(pid) is None:
                continue
            name = self._processes.read_name(pid)
            if name is not None:
                who = self._identify(pid, name)
                facts.append({key: who[key] for key in ('pid', 'name', 'unit')})
        return facts


def gather_oom_daemons(processes: ProcessTable,
                       running: List[Tuple[int, str]]) -> Tuple[List[Dict[str, Any]], List[str]]:
    """The facts of key C(oom_daemons), and why other processes of these names are not daemons.

    ``running`` are the processes of L(_process.scan.OOM_DAEMONS) as L(Proc.find_programs) finds them.
    """
    facts = []
    doubts: Dict[str, List[str]] = {}
    for pid, name in running:
        doubt = credentials.doubt_oom_daemon(processes, pid)
        if doubt is not None:
            doubts.setdefault(name, []).append(f'process {pid}: {doubt}')
            continue
        unit = processes.find_cgroup_and_unit(pid)[1]
        facts.append({'name': name, 'pid': pid, 'unit': sanitize_optional(unit)})
    return facts, [f'{len(found)} processes called {name} are not counted; {found[0]} [OOMK-2603]'
                   for name, found in sorted(doubts.items())]


def _find_user_name(uid: int) -> Optional[str]:
    """The user's name. This may ask a directory service, so it is looked up for the few candidates only."""
    try:
        with Reading(USER_DATABASE):
            return sanitize(pwd.getpwuid(uid).pw_name)
    except (KeyError, OSError):
        return None
