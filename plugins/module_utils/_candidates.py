# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts about processes: who would be chosen, who never, and which daemons kill from user space."""

import os
import pwd
import re
import time
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils import _badness, _sysinfo
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._names import harmless
from ansible_collections.oomkit.linux.plugins.module_utils._processes import Processes

_CMDLINE_BYTES = 4096
_MOST_ASKED = 20
KILLERS = {b'earlyoom\n': 'earlyoom', b'systemd-oomd\n': 'systemd-oomd', b'nohang\n': 'nohang'}


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))


def boot_time_s(host: Host) -> Optional[int]:
    """When the machine booted, in seconds since 1970."""
    match = re.search(r'^btime ([0-9]+)$', host.read_text('/proc/stat') or '', re.MULTILINE)
    return int(match.group(1)) if match else None


class Census(object):
    """One look at all processes, from which several facts are made."""

    def __init__(self, host: Host, processes: Processes, total_pages: int, init_namespace: bool) -> None:
        self._processes = processes
        self._boot_time_s = boot_time_s(host)
        self._ticks_per_s = os.sysconf('SC_CLK_TCK')
        scores = processes.scores()
        self.denied = scores.denied
        # The global init is never chosen; the PID 1 of a container is as good as any.
        self._scores = [pair for pair in scores.found if pair[1] != 1 or not init_namespace]
        self._scored_zero = sorted(pid for score, pid in scores.found if score == 0)
        self.kernel = self._look_at_kernel(total_pages)

    def _look_at_kernel(self, total_pages: int) -> _badness.Kernel:
        processors = os.sysconf('SC_NPROCESSORS_CONF')
        return _badness.Kernel(
            total_pages=total_pages,
            scale=self._scale(total_pages),
            # percpu_counter_batch for each of four counters (lib/percpu_counter.c), from 6.2 on.
            margin_pages=4 * processors * max(32, 2 * processors))

    def _scale(self, total_pages: int) -> Optional[str]:
        """Which oom_score this kernel has, as our own shows, or that of others where ours is always 0 (at -1000)."""
        others = [pid for score, pid in self._scores if score][:_MOST_ASKED]
        for pid in ['self'] + others:  # type: ignore[operator, list-item]
            score, terms = self._processes.score(pid), self._processes.terms(pid)
            scale = None if score is None or terms is None else _badness.scale_from(terms, score, total_pages)
            if scale is not None:
                return scale
        return None

    @property
    def count(self) -> int:
        """The processes that were seen, without the machine's init."""
        return len(self._scores)

    def pids(self) -> List[int]:
        """All of them."""
        return [pid for _score, pid in self._scores]

    def with_score(self, score: int) -> List[int]:
        """Those whose oom_score this is."""
        return [pid for one, pid in self._scores if one == score]

    def victims(self, top: int) -> List[_badness.Victim]:
        """The ``top`` most likely ones, 0: all."""
        return _badness.select(self._scores, top, self._processes.source(), self.kernel)

    def candidates(self, top: int, cmdline: bool) -> List[Dict[str, Any]]:
        """The facts of key C(candidates). A process that ended meanwhile is left out."""
        users: Dict[int, Optional[str]] = {}
        facts = []
        for victim in self.victims(top):
            name, uid = self._processes.name(victim.pid), self._processes.effective_uid(victim.pid)
            if name is None or uid is None:
                continue
            if uid not in users:
                users[uid] = _user_name(uid)
            fact = dict(self._identity(victim.pid, name), rank=len(facts) + 1, user=users[uid], uid=uid)
            fact.update(self._numbers(victim))
            if cmdline:
                fact['cmdline'] = self._cmdline(victim.pid)
            facts.append(fact)
        return facts

    def _identity(self, pid: int, name: bytes) -> Dict[str, Any]:
        cgroup, unit = self._processes.cgroup_and_unit(pid)
        return {'pid': pid, 'name': harmless(name), 'cgroup': None if cgroup is None else harmless(cgroup),
                'unit': None if unit is None else harmless(unit)}

    def _numbers(self, victim: _badness.Victim) -> Dict[str, Any]:
        page_kb = _sysinfo.page_kb()
        started = None
        if self._boot_time_s is not None:
            started = iso_time(self._boot_time_s + victim.start_ticks / float(self._ticks_per_s))
        rss_pages, swap_pages, tables_pages = victim.terms.memory
        return {'badness_pages': victim.badness_pages, 'oom_score': victim.score, 'oom_score_adj': victim.terms.adj,
                'rss_kb': rss_pages * page_kb, 'swap_kb': swap_pages * page_kb,
                'pagetables_kb': tables_pages * page_kb, 'started': started}

    def _cmdline(self, pid: int) -> Optional[str]:
        data = self._processes.read('%d/cmdline' % pid, _CMDLINE_BYTES)
        return harmless(data.rstrip(b'\0').replace(b'\0', b' ')) if data else None

    def unkillable(self) -> List[Dict[str, Any]]:
        """The facts of key C(unkillable): those at -1000, by PID. They all score 0."""
        facts = []
        for pid in self._scored_zero:
            if self._processes.adj(pid) != _badness.ADJ_MIN or self._processes.terms(pid) is None:
                continue
            name = self._processes.name(pid)
            if name is not None:
                who = self._identity(pid, name)
                facts.append(dict((key, who[key]) for key in ('pid', 'name', 'unit')))
        return facts


def userspace_killers(processes: Processes, running: List[Tuple[int, str]]) -> List[Dict[str, Any]]:
    """The facts of key C(userspace_killers): daemons that kill before the kernel has to.

    ``running`` are the processes of KILLERS as L(Processes.named) gives them.
    """
    facts = []
    for pid, name in running:
        unit = processes.cgroup_and_unit(pid)[1]
        facts.append({'name': name, 'pid': pid, 'unit': None if unit is None else harmless(unit)})
    return facts


def _user_name(uid: int) -> Optional[str]:
    """The user's name; may ask a directory service, and is therefore asked for the few candidates only."""
    try:
        return harmless(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return None


def unseen(host: Host, denied: int) -> Optional[str]:
    """Why some processes of this PID namespace cannot be seen, None when all are."""
    if denied:
        return '%d processes may not be read (hidepid or a security module), so the list is incomplete' % denied
    if not host.exists('/proc/1'):
        return '/proc shows only own processes (hidepid), so the list is incomplete; become root to see all'
    return None
