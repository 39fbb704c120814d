# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set oom_score_adj of the running processes of a group, and roll that back.

A child forked between scan and write has the old value. So the scan repeats until it finds nothing to change.
"""

import errno
import time
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from .._core.sanitize import sanitize
from .._host import file_access
from .._host.host import Host
from .groups import Group, look_at_group
from .handle import ProcessHandle, ProcessIdentity, is_same
from .inheritance import Skipped, Split, split_processes

# The scopes of the module.
INHERITED, MAIN, ALL = 'inherited', 'main', 'all'
_LIMIT_S = 30


class Given(NamedTuple):
    """A value that a unit gave its processes."""

    value: int
    until_ticks: Optional[int]  # for processes started until then; None: for all


def is_given(one: ProcessIdentity, values: Iterable[Given]) -> bool:
    """Whether the unit gave the process its value."""
    return any(one.score_adj == given.value and (given.until_ticks is None or one.start_ticks <= given.until_ticks)
               for given in values)


class ScoreAdjError(Exception):
    """oom_score_adj of a process could not be set. The message says why."""


class Target:
    """A group of processes and their desired value."""

    def __init__(self, label: str, group: Group, wanted: int, scope: str = ALL, given: Iterable[Given] = (),
                 main_pid: int = 0, found: Optional[Iterable[ProcessIdentity]] = None) -> None:
        """``found`` are the processes at plan time; some may have the value already."""
        self.label, self.group, self.wanted, self.scope = label, group, wanted, scope
        self.given = list(given)
        self.main_pid = main_pid
        self.changed: Dict[int, Tuple[int, int]] = {}
        # Called with the processes before each round of writes.
        self.before_round: Optional[Callable[[List[ProcessIdentity]], None]] = None
        self._had_it = None if found is None else self._with_it(found)

    def _with_it(self, processes: Iterable[ProcessIdentity]) -> Set[Tuple[int, int]]:
        return {one.key for one in processes if one.score_adj == self.wanted}

    def _is_given(self, one: ProcessIdentity) -> bool:
        return one.score_adj == self.wanted or is_given(one, self.given)

    def split(self, processes: List[ProcessIdentity]) -> Split:
        """Split processes into those in the scope, and the skipped."""
        if self.scope == INHERITED:
            return split_processes(processes, self._is_given)
        if self.scope == MAIN:
            processes = [one for one in processes if one.pid == self.main_pid]
        return Split(processes, [])

    def find_to_change(self, processes: List[ProcessIdentity]) -> List[ProcessIdentity]:
        """The processes in the scope without the value."""
        return [one for one in self.split(processes).inherited if one.score_adj != self.wanted]

    def find_skipped(self, processes: List[ProcessIdentity]) -> List[Skipped]:
        """The skipped processes with another value."""
        return [left for left in self.split(processes).skipped if left.process.score_adj != self.wanted]

    # ---------------------------------------------------------------- writing

    def apply(self, host: Host) -> None:
        """Set the value until a scan finds no process without it. Raises ScoreAdjError."""
        end = time.monotonic() + _LIMIT_S
        while True:
            processes = self._look(host)
            if self._had_it is None:
                self._had_it = self._with_it(processes)
            left = self.find_to_change(processes)
            if not left:
                return
            self._check_time(end, self.wanted, left)
            if self.before_round is not None:
                self.before_round(left)
            for one in left:
                self._set(host, one, self.wanted)

    def _look(self, host: Host) -> List[ProcessIdentity]:
        processes: List[ProcessIdentity]
        self.group, processes = host.call(look_at_group, self.group, host)
        return processes

    def _check_time(self, end: float, value: int, left: List[ProcessIdentity]) -> None:
        if time.monotonic() > end:
            raise ScoreAdjError(f'{self.label}: after {_LIMIT_S} s there are still processes with another value than '
                                f'{value} ({len(left)} of them): it starts new ones faster than they can be set'
                                ' [OOMK-2315]')

    def _set(self, host: Host, one: ProcessIdentity, value: int) -> None:
        """Set a process that is as in the scan."""
        was_changed = one.pid in self.changed
        # Before the write, which can take effect and fail: the rollback reads the present value.
        self.changed.setdefault(one.pid, (one.start_ticks, one.score_adj))
        try:
            written = host.call(write_score_adj, host, one, value, self.group)
        except OSError as exc:
            raise ScoreAdjError(_explain(self.label, one, value, exc)) from exc
        if not written and not was_changed:
            del self.changed[one.pid]

    def rollback(self, host: Host) -> None:
        """Restore changed processes, and set those started with the value. Raises OSError, ScoreAdjError."""
        if self._had_it is None:
            return  # nothing was changed
        failed = self._restore(host)
        before = self._find_value_before()
        end = time.monotonic() + _LIMIT_S
        while before is not None and before != self.wanted:
            born = self._find_born(host)
            if not born:
                break
            self._check_time(end, before, born)
            for one in born:
                self._set(host, one, before)
        if failed:
            raise failed[0]

    def _restore(self, host: Host) -> List[OSError]:
        """Restore the value of each changed process, also after a failure; returns the failures."""
        failed = []
        for pid, (start_ticks, value) in self.changed.items():
            try:
                host.call(restore_score_adj, host, ProcessIdentity(pid, 0, start_ticks, b'', self.wanted), value)
            except OSError as exc:
                failed.append(exc)
        return failed

    def _find_value_before(self) -> Optional[int]:
        """The most common original value. If none was changed, the unit's value, because it may have restarted.

        None if processes had the value before: new ones may have set it themselves.
        """
        values = [value for _start, value in self.changed.values()]
        if values:
            return _most_common(values)
        return self.given[0].value if self.given and not self._had_it else None

    def _find_born(self, host: Host) -> List[ProcessIdentity]:
        """The processes that have the value now, did not have it before, and did not set it themselves."""
        processes = self._look(host)
        if self.scope == INHERITED:
            processes = self.split(processes).inherited
        return [one for one in processes
                if one.score_adj == self.wanted and one.key not in (self._had_it or ())]


def write_score_adj(host: Host, one: ProcessIdentity, value: int, group: Optional[Group] = None) -> bool:
    """Set a process that is as in the scan; False if it is gone or changed. Raises OSError."""
    with ProcessHandle(host, one.pid) as handle:
        now = handle.look() if group is None or group.holds(handle) else None
        if now is None or not is_same(now, one) or now.score_adj not in (one.score_adj, value):
            return False
        # A helper that was killed before it answered may have set it.
        return now.score_adj == value or handle.write_score_adj(value)


def restore_score_adj(host: Host, one: ProcessIdentity, value: int) -> None:
    """Set a process in a rollback. Raises OSError, also for a process that does not answer."""
    written = write_score_adj(host, one, value)
    if not written and not file_access.current.allows(one.pid):
        raise OSError(errno.ETIMEDOUT, file_access.NO_ANSWER, f'/proc/{one.pid}')


def _explain(label: str, one: ProcessIdentity, value: int, exc: OSError) -> str:
    why = exc.strerror or ''
    if exc.errno in (errno.EACCES, errno.EPERM) and value > one.score_adj:
        # Raising it takes no capability, but only the owner can open the file for writing (proc_pid_oom_score_adj(5)).
        why += '; the process is not of this user: run the task as root (become: true)'
    elif exc.errno in (errno.EACCES, errno.EPERM):
        why += ('; lowering oom_score_adj needs CAP_SYS_RESOURCE: run the task as root (become: true), and not '
                'inside a container without that capability')
    return (f'{label}: oom_score_adj of process {one.pid} ({sanitize(one.name)}) was to become {value} and is '
            f'{one.score_adj}: {why} [OOMK-2314]')


def _most_common(values: List[int]) -> int:
    return max(sorted(set(values)), key=values.count)
