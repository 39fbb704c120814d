# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes that are killed with a victim: they share its memory, its OOM group or its unit."""

import errno
from typing import Dict, List, Optional, Set

from .._core.sanitize import sanitize, sanitize_optional
from .._core.text import to_number
from .._host import environment
from .._host.host import Host
from .._kernel import badness
from .._process import scan, shared_mm
from .._process.groups import UnitGroup
from .._process.table import ProcessTable
from .._systemd.manager import Manager, ManagerError, State
from . import memcg
from .snapshot import Process, Relations

_FEW = 500  # with more processes of one score, ended first threads are not searched
# A user can nest and close cgroups below his own to hide them. A removed cgroup returns ENODEV.
HIDING_ERRNOS = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENODEV, errno.ENOENT)
_NO_RELATIONS = Relations([], True, [], None, [], [])
_ENDS_ALL = ('control-group', 'mixed')  # KillMode= with which no process outlives its service


class RelationReader:
    """Looks up relations and caches them."""

    def __init__(self, host: Host, processes: ProcessTable, process_scan: scan.ProcessScan, tree: memcg.Tree,
                 manager: Optional[Manager], domain: Optional[str], own_pid: int) -> None:
        """``domain`` is the cgroup that runs out of memory."""
        self._host, self._processes, self._process_scan = host, processes, process_scan
        self._tree, self._manager, self._domain, self._own_pid = tree, manager, domain, own_pid
        self.cgroups: Dict[int, str] = {}  # not sanitized, unlike in the snapshot
        self.found: Dict[int, Relations] = {}
        self.looked_up: Set[int] = set()  # also those with hidden relations
        self._units: Dict[str, State] = {}
        self._no_cgroups = environment.find_cgroup_version(host) is None
        self._unknown: Dict[str, Set[str]] = {}  # units and cgroups with unknown relations, by reason

    def look_up(self, wanted: Dict[int, Optional[Process]]) -> List[Relations]:
        """The relations of these processes, None for one that is gone. Skips those that a cgroup hides."""
        self._ask_manager({one.unit for one in wanted.values() if one is not None})
        self.looked_up.update(wanted)
        for pid, process in wanted.items():
            try:
                self.found[pid] = _NO_RELATIONS if process is None else self._read_relations(process)
            except OSError as exc:
                if exc.errno not in HIDING_ERRNOS:
                    raise
        return [self.found[pid] for pid in wanted if pid in self.found]

    def list_unknown(self) -> List[str]:
        """Notes on the units and cgroups with unknown relations."""
        return [f"which processes of {', '.join(sorted(names))} are killed with a victim is unknown: {reason}"
                " [OOMK-2406]"
                for reason, names in sorted(self._unknown.items())]

    def _read_relations(self, process: Process) -> Relations:
        children = self._processes.list_children(process.pid)
        sharers = self._find_sharers(process, children)
        group = self._find_group(process.pid)
        return Relations(
            sharers=sharers or [], sharers_known=sharers is not None,
            children=children if self._process_scan.kernel.scale != badness.SCALE_NEW else [],
            group=sanitize_optional(group),
            group_members=[pid for pid in self._tree.pids(group) if pid not in (0, 1)] if group else [],
            unit_members=self._find_unit_members(process))

    def _find_group(self, pid: int) -> Optional[str]:
        cgroup = self.cgroups.get(pid)
        if not cgroup:
            return None
        if self._no_cgroups and cgroup != '/':
            self._unknown.setdefault('no cgroups are mounted here', set()).add(sanitize(cgroup))
        return memcg.find_oom_group(self._tree, cgroup, self._domain)

    def _find_sharers(self, process: Process, children: List[int]) -> Optional[List[int]]:
        """The processes with the same memory; None if kcmp does not answer.

        They have the same score, except for children of vfork.
        """
        suspects = set(self._process_scan.with_score(process.oom_score)) | set(children)
        suspects.discard(process.pid)
        # kcmp takes two ended threads, which have no memory, for sharing.
        thread = self._processes.find_living_thread(process.pid)
        if shared_mm.share_memory(thread, thread) is None and self._processes.read_score(process.pid) is not None:
            return None
        living_thread = self._processes.find_living_thread if len(suspects) <= _FEW else lambda pid: pid
        found: Set[int] = set()
        while suspects:
            more = [pid for pid in sorted(suspects) if shared_mm.share_memory(thread, living_thread(pid))]
            found.update(more)
            suspects = {child for pid in more for child in self._processes.list_children(pid)} - found - {process.pid}
        return sorted(found)

    # -------------------------------------------------------------------- units

    def _ask_manager(self, units: Set[Optional[str]]) -> None:
        """Ask systemd about the units in one call."""
        missing = sorted(unit for unit in units if unit is not None and unit not in self._units)
        if self._manager is None or not missing:
            return
        states: List[State] = []
        try:
            states = self._manager.show(missing)
        except ManagerError as exc:
            self._unknown.setdefault(str(exc), set()).update(map(sanitize, missing))
        found = {state['Id']: state for state in states}
        self._units.update((unit, found.get(unit, {})) for unit in missing)

    def _find_unit_members(self, process: Process) -> List[int]:
        """The other processes of its unit, if systemd ends the unit after the kernel has killed this one."""
        state = self._units.get(process.unit or '', {})
        cgroup = state.get('ControlGroup')
        if not cgroup or process.cgroup is None:
            return []
        main = to_number(state.get('MainPID')) or 0
        if main != process.pid and not self._stops_after_kills(state, cgroup):
            return []
        members = set(UnitGroup(self._host, cgroup).pids())
        if process.pid not in members:
            return []  # a user can name a cgroup below his user manager like a system unit
        if state.get('KillMode', _ENDS_ALL[0]) not in _ENDS_ALL:
            members = {main}
        return sorted(members - {0, process.pid, self._own_pid})

    def _stops_after_kills(self, state: State, cgroup: str) -> bool:
        """Whether systemd stops the unit after the kernel has killed any of its processes."""
        return state.get('OOMPolicy') in ('stop', 'kill') and self._tree.reports_kills(cgroup)
