# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All processes as one look shows them: the kernel's likeliest victims among them, and what of them cannot be seen."""

import os
from typing import List, Optional

from .._host import container, file_access
from .._host.host import Host
from .._kernel import badness
from .table import ProcessTable

_MOST_ASKED = 20
# Daemons that kill from user space, by comm as L(Proc.named) takes them.
OOM_DAEMONS = {b'earlyoom\n': 'earlyoom', b'systemd-oomd\n': 'systemd-oomd', b'nohang\n': 'nohang'}


class ProcessScan:
    """One look at all processes."""

    def __init__(self, processes: ProcessTable, total_pages: int, init_namespace: bool) -> None:
        self._processes = processes
        scores = processes.scores()
        self.denied = scores.denied
        # The global init is never chosen; the PID 1 of a container is as good as any.
        self._scores = [pair for pair in scores.found if pair[1] != 1 or not init_namespace]
        self._scored_zero = sorted(pid for score, pid in scores.found if score == 0)
        self.kernel = self._look_at_kernel(total_pages)

    def _look_at_kernel(self, total_pages: int) -> badness.Kernel:
        processors = os.sysconf('SC_NPROCESSORS_CONF')
        return badness.Kernel(
            total_pages=total_pages,
            scale=self._scale(total_pages),
            # percpu_counter_batch for each of four counters (lib/percpu_counter.c), from 6.2 on.
            margin_pages=4 * processors * max(32, 2 * processors))

    def _scale(self, total_pages: int) -> Optional[str]:
        """Which oom_score this kernel has, as our own shows, or that of others where ours is always 0 (at -1000)."""
        others = [pid for score, pid in self._scores if score][:_MOST_ASKED]
        for pid in ['self'] + others:  # type: ignore[operator, list-item]
            score, terms = self._processes.score(pid), self._processes.terms(pid)
            scale = None if score is None or terms is None else badness.detect_scale(terms, score, total_pages)
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

    def victims(self, top: int) -> List[badness.Victim]:
        """The ``top`` most likely ones, 0: all."""
        return badness.select(self._scores, top, self._processes.source(), self.kernel)


def explain_unseen(host: Host, denied: int) -> Optional[str]:
    """Why some processes of this PID namespace cannot be seen, None when all are."""
    unread = file_access.current.unread_processes()
    if unread:
        return ', and '.join(unread)
    if denied:
        return f'{denied} processes may not be read (hidepid or a security module), so the list is incomplete'
    if not host.exists('/proc/1'):
        return '/proc shows only own processes (hidepid), so the list is incomplete; become root to see all'
    return None


def list_gaps(host: Host, denied: int) -> List[str]:
    """Why some processes of this machine cannot be seen, a reason each; none when all are."""
    reasons = [explain_unseen(host, denied)]
    if container.find_pid_namespace(host) == 'nested':
        reasons.append('only the processes of this PID namespace are seen, not those of the rest of the machine')
    return [reason for reason in reasons if reason]
