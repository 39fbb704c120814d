# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a forecast is made from, as plain data that JSON holds: a user's bug report can be run again anywhere.

Names in it are harmless text. Sizes are in pages of ``page_kb``.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Type

from .._core.convert import ConvertError, quote
from .._core.sanitize import sanitize

FORMAT = 1
_COUNTS = ('memory_pages', 'error_pages', 'freed_pages')  # of a process
_LARGEST = 2 ** 63  # no kernel counts so far; Python shows only some thousand digits, and a product has more


# Where memory runs out.
class Domain(NamedTuple):
    cgroup: Optional[str]  # below the root of the tree of cgroups; None for the whole machine
    total_pages: int  # what oom_score_adj is measured against
    kill_disabled: bool  # memory.oom_control of cgroup v1
    nodes: Optional[List[int]]  # the NUMA nodes that run out, None for all


# The kernel and its settings, as far as its choice depends on them.
class Settings(NamedTuple):
    page_kb: int
    total_pages: int  # RAM and swap: what oom_score is measured against, in a cgroup too
    scale: Optional[str]
    panic_on_oom: Optional[int]  # None where it cannot be read, here and in the next line
    kill_allocating_task: Optional[bool]


# Why a process is never chosen, besides an oom_score_adj of -1000.
INIT = 'init'           # PID 1 of the machine
SCORE_ZERO = 'score_0'  # its oom_score says so: reaped already, or a child of vfork in its parent's memory
NO_MEMORY = 'no_memory'  # a kernel thread, or dead and not waited for


class Process(NamedTuple):
    pid: int
    start_ticks: int
    name: str
    cgroup: Optional[str]
    unit: Optional[str]
    oom_score: int
    oom_score_adj: int
    memory_pages: int  # resident, swapped and page tables
    error_pages: int  # by how much the kernel's own number may be more, or less
    freed_pages: int  # what no other process has: anonymous, swapped and page tables
    never: Optional[str]
    nodes: Optional[List[int]]  # the NUMA nodes that it may use; None where that is not asked


# What goes down together with a process. Looked up for those that may be chosen only.
class Ties(NamedTuple):
    sharers: List[int]  # processes that use the same memory
    sharers_known: bool  # whether that could be told
    children: List[int]  # of which kernels up to 5.0 sacrifice one
    group: Optional[str]  # the highest cgroup with memory.oom.group up to where memory runs out
    group_members: List[int]
    unit_ends: bool  # whether systemd ends the whole unit then
    unit_members: List[int]


class Snapshot(NamedTuple):
    settings: Settings
    domain: Domain
    processes: Dict[int, Process]
    ties: Dict[int, Ties]
    left_out: int  # processes that were not looked at closely
    left_out_pages: Optional[int]  # the highest badness that one of those can have; None without any
    unknown: Optional[str]  # why the processes cannot all be seen
    notes: List[str]  # what else could not be seen


def to_json(snapshot: Snapshot) -> Dict[str, Any]:
    """The snapshot as JSON can hold it."""
    return {
        'format': FORMAT,
        'settings': dict(snapshot.settings._asdict()),
        'domain': dict(snapshot.domain._asdict()),
        'processes': [dict(snapshot.processes[pid]._asdict()) for pid in sorted(snapshot.processes)],
        'ties': [dict(snapshot.ties[pid]._asdict(), pid=pid) for pid in sorted(snapshot.ties)],
        'left_out': snapshot.left_out,
        'left_out_pages': snapshot.left_out_pages,
        'unknown': snapshot.unknown,
        'notes': snapshot.notes,
    }


def from_json(data: Any) -> Snapshot:
    """The inverse of L(to_json). Raises ConvertError for what is none, naming the place."""
    _check(data, dict, 'the snapshot')
    if data.get('format') != FORMAT:
        raise ConvertError(f"snapshot: format {quote(data.get('format'))} is not known; this version reads format "
                           f"{FORMAT}")
    processes = [_process(one, f'processes[{number}]')
                 for number, one in enumerate(_check(data.get('processes'), list, 'processes'))]
    ties = [_pid_and_ties(one, f'ties[{number}]')
            for number, one in enumerate(_check(data.get('ties'), list, 'ties'))]
    settings = _record(Settings, data.get('settings'), 'settings')
    domain = _record(Domain, data.get('domain'), 'domain')
    if domain.total_pages < 1 or settings.total_pages < 1 or settings.page_kb < 1:
        raise ConvertError('snapshot: total_pages and page_kb must be positive')
    return Snapshot(
        settings, domain, {one.pid: one for one in processes}, dict(ties), _field(data, 'left_out', int, ''),
        _field(data, 'left_out_pages', Optional[int], ''), _field(data, 'unknown', Optional[str], ''),
        _field(data, 'notes', List[str], ''))


def _process(data: Any, where: str) -> Process:
    process = _record(Process, data, where)
    for name in _COUNTS:
        if getattr(process, name) < 0:
            raise ConvertError(f'snapshot: {where}.{name} must be 0 or more, and is {quote(getattr(process, name))}')
    return process


def _pid_and_ties(data: Any, where: str) -> Tuple[int, Ties]:
    return _field(_check(data, dict, where), 'pid', int, where), _record(Ties, data, where)


def _record(kind: Type[Any], data: Any, where: str) -> Any:
    _check(data, dict, where)
    types = kind.__annotations__
    return kind(**{name: _field(data, name, types[name], where) for name in kind._fields})


def _field(data: Dict[str, Any], name: str, wanted: Any, where: str) -> Any:
    """A field with the type that it is declared with."""
    place = '.'.join(part for part in (where, name) if part)
    if name not in data:
        raise ConvertError(f'snapshot: {place} is missing')
    value = data[name]
    if wanted == Optional[List[int]] and value is None:
        return None
    if wanted in (List[int], Optional[List[int]], List[str]):
        return [_check(item, str if wanted == List[str] else int, place) for item in _check(value, list, place)]
    kinds = {Optional[int]: (int, True), Optional[str]: (str, True), Optional[bool]: (bool, True)}
    kind, optional = kinds.get(wanted, (wanted, False))
    return None if value is None and optional else _check(value, kind, place)


def _check(value: Any, kind: Type[Any], place: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise ConvertError(f'snapshot: {place} must be of type {kind.__name__}, and is {quote(value)}')
    if kind is int and abs(value) >= _LARGEST:
        raise ConvertError(f'snapshot: {place} must be smaller, and is {quote(value)}')
    return sanitize(value) if isinstance(value, str) else value
