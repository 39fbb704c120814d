# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scan all processes: the most likely victims, and why some processes are not visible."""

import os
from typing import List, Optional, Union

from .._core.sanitize import to_message
from .._host import container, file_access
from .._host.host import Host
from .._kernel import badness
from .table import ProcessTable

_MOST_READ = 20
# By comm, as L(Proc.find_programs) takes it.
OOM_DAEMONS = {b'earlyoom\n': 'earlyoom', b'systemd-oomd\n': 'systemd-oomd', b'nohang\n': 'nohang'}


class ProcessScan:
    """One scan of all processes."""

    def __init__(self, processes: ProcessTable, total_pages: int, init_namespace: bool) -> None:
        self._processes = processes
        scores = processes.read_scores()
        self.denied = scores.denied
        # The kernel never chooses the global init, but does choose a container's PID 1.
        self._scores = [pair for pair in scores.found if pair[1] != 1 or not init_namespace]
        self._scored_zero = sorted(pid for score, pid in scores.found if score == 0)
        self.kernel = self._read_kernel(total_pages)

    def _read_kernel(self, total_pages: int) -> badness.Kernel:
        processors = os.sysconf('SC_NPROCESSORS_CONF')
        return badness.Kernel(
            total_pages=total_pages,
            scale=self._detect_scale(total_pages),
            # percpu_counter_batch for each of four counters (lib/percpu_counter.c), since 6.2.
            margin_pages=4 * processors * max(32, 2 * processors))

    def _detect_scale(self, total_pages: int) -> Optional[str]:
        """The scale of oom_score by our own score, or by others if ours is always 0 (at -1000)."""
        others: List[Union[int, str]] = [pid for score, pid in self._scores if score]
        for pid in ['self'] + others[:_MOST_READ]:
            score, terms = self._processes.read_score(pid), self._processes.read_terms(pid)
            scale = None if score is None or terms is None else badness.detect_scale(terms, score, total_pages)
            if scale is not None:
                return scale
        return None

    @property
    def count(self) -> int:
        """The number of processes, without the init of the host."""
        return len(self._scores)

    def pids(self) -> List[int]:
        """Their PIDs."""
        return [pid for _score, pid in self._scores]

    def with_score(self, score: int) -> List[int]:
        """The PIDs with this oom_score."""
        return [pid for one, pid in self._scores if one == score]

    def victims(self, top: int) -> List[badness.Victim]:
        """The ``top`` most likely victims; all for 0."""
        return badness.select(self._scores, top, self._processes.build_reader(), self.kernel)


def explain_unseen(host: Host, denied: int) -> Optional[str]:
    """Why some processes of this PID namespace are not visible; None if all are."""
    unread = file_access.current.unread_processes()
    if unread:
        return to_message(', and '.join(unread))
    if denied:
        return (f'{denied} processes may not be read (hidepid or a security module), so the list is incomplete '
                '[OOMK-2501]')
    if not host.exists('/proc/1'):
        return '/proc shows only own processes (hidepid), so the list is incomplete; become root to see all [OOMK-2501]'
    return None


def list_gaps(host: Host, denied: int) -> List[str]:
    """The reasons why some processes of this host are not visible."""
    reasons = [explain_unseen(host, denied)]
    if container.find_pid_namespace(host) == 'nested':
        reasons.append('only the processes of this PID namespace are seen, not those of the rest of the machine '
                       '[OOMK-2501]')
    return [reason for reason in reasons if reason]
