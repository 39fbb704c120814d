# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of a forecast, as JSON can hold it: anybody can replay the snapshot of a bug report.

Names are sanitized. Sizes are in pages of ``page_kb``.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple, Type, TypeVar

from .._core.convert import ConvertError, quote
from .._core.sanitize import sanitize

FORMAT = 1
_COUNTS = ('memory_pages', 'error_pages', 'freed_pages')  # of a process
_PLAIN = ('left_out', 'left_out_pages', 'unknown', 'notes')  # of a snapshot
_LARGEST = 2 ** 63  # more than a kernel counts; Python refuses to print thousands of digits


class Domain(NamedTuple):
    """Where memory runs out."""

    cgroup: Optional[str]  # below the root of the tree of cgroups; None for the whole machine
    total_pages: int  # what oom_score_adj is measured against
    kill_disabled: bool  # memory.oom_control of cgroup v1
    nodes: Optional[List[int]]  # the NUMA nodes that run out, None for all


class Settings(NamedTuple):
    """The kernel and its settings, as far as its choice depends on them."""

    page_kb: int
    total_pages: int  # RAM and swap: what oom_score is measured against, in a cgroup too
    scale: Optional[str]
    panic_on_oom: Optional[int]  # None if unreadable, also in the next line
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
    error_pages: int  # how much the kernel's own number may differ
    freed_pages: int  # what no other process has: anonymous, swapped and page tables
    never: Optional[str]  # why it is never chosen, see above
    nodes: Optional[List[int]]  # the NUMA nodes that it may use; None if not needed


class Relations(NamedTuple):
    """The processes that are killed with a process. Looked up only for possible victims."""

    sharers: List[int]  # processes that use the same memory
    sharers_known: bool  # whether this could be read
    children: List[int]  # kernels up to 5.0 sacrifice one
    group: Optional[str]  # the highest cgroup with memory.oom.group, up to where memory runs out
    group_members: List[int]
    unit_members: List[int]  # the processes that systemd ends then


class Snapshot(NamedTuple):
    settings: Settings
    domain: Domain
    processes: Dict[int, Process]
    relations: Dict[int, Relations]
    left_out: int  # processes that were not read closely
    left_out_pages: Optional[int]  # the highest possible badness of those; None without any
    unknown: Optional[str]  # why not all processes are visible
    notes: List[str]  # what else is not visible


class Missing(NamedTuple):
    """What a forecast needs and a snapshot lacks."""

    relations: Set[int]  # possible victims with unknown relations
    more_processes: bool  # whether a left-out process may be a victim
    exact_counts: bool  # whether the error of the counts leaves several victims possible


_Item = TypeVar('_Item')
# By annotation: the type, the type of a list's items, and whether it may be None.
_TYPES: Dict[Any, Tuple[Type[Any], Optional[Type[Any]], bool]] = {
    int: (int, None, False), Optional[int]: (int, None, True), bool: (bool, None, False),
    Optional[bool]: (bool, None, True), str: (str, None, False), Optional[str]: (str, None, True),
    List[int]: (list, int, False), Optional[List[int]]: (list, int, True), List[str]: (list, str, False)}


def to_json(snapshot: Snapshot) -> Dict[str, Any]:
    """The snapshot as JSON can hold it."""
    return {
        'format': FORMAT,
        'settings': dict(snapshot.settings._asdict()),
        'domain': dict(snapshot.domain._asdict()),
        'processes': [dict(snapshot.processes[pid]._asdict()) for pid in sorted(snapshot.processes)],
        'relations': [dict(snapshot.relations[pid]._asdict(), pid=pid) for pid in sorted(snapshot.relations)],
        **{name: getattr(snapshot, name) for name in _PLAIN},
    }


def from_json(data: Any) -> Snapshot:
    """The inverse of L(to_json). Raises ConvertError, which names the place, for anything but a snapshot."""
    _check(data, dict, 'the snapshot')
    if data.get('format') != FORMAT:
        raise ConvertError(f"snapshot: format {quote(data.get('format'))} is not known; this version reads format "
                           f"{FORMAT} [OOMK-2415]")
    processes = _read_list(data, 'processes', _read_process)
    relations = _read_list(data, 'relations', _read_relations)
    settings: Settings = _read_record(Settings, data.get('settings'), 'settings')
    domain: Domain = _read_record(Domain, data.get('domain'), 'domain')
    if domain.total_pages < 1 or settings.total_pages < 1 or settings.page_kb < 1:
        raise ConvertError('snapshot: total_pages and page_kb must be positive [OOMK-2415]')
    return Snapshot(
        settings, domain, {one.pid: one for one in processes}, dict(relations),
        *[_read_field(data, name, Snapshot.__annotations__[name], '')
          for name in _PLAIN])


def _read_process(data: Any, place: str) -> Process:
    process: Process = _read_record(Process, data, place)
    for name in _COUNTS:
        if getattr(process, name) < 0:
            raise ConvertError(f'snapshot: {place}.{name} must be 0 or more, and is {quote(getattr(process, name))}'
                               ' [OOMK-2415]')
    return process


def _read_relations(data: Any, place: str) -> Tuple[int, Relations]:
    return _read_field(_check(data, dict, place), 'pid', int, place + '.'), _read_record(Relations, data, place)


def _read_list(data: Dict[str, Any], name: str, read: Callable[[Any, str], _Item]) -> List[_Item]:
    return [read(one, f'{name}[{number}]') for number, one in enumerate(_check(data.get(name), list, name))]


def _read_record(kind: Type[Any], data: Any, place: str) -> Any:
    _check(data, dict, place)
    return kind(**{name: _read_field(data, name, kind.__annotations__[name], place + '.') for name in kind._fields})


def _read_field(data: Dict[str, Any], name: str, annotation: Any, prefix: str) -> Any:
    """A field with the type that it is declared with."""
    place = prefix + name
    if name not in data:
        raise ConvertError(f'snapshot: {place} is missing [OOMK-2415]')
    value, (kind, item_kind, is_optional) = data[name], _TYPES[annotation]
    if value is None and is_optional:
        return None
    value = _check(value, kind, place)
    return value if item_kind is None else [_check(item, item_kind, place) for item in value]


def _check(value: Any, kind: Type[Any], place: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise ConvertError(f'snapshot: {place} must be of type {kind.__name__}, and is {quote(value)} [OOMK-2415]')
    if kind is int and abs(value) >= _LARGEST:
        raise ConvertError(f'snapshot: {place} must be smaller, and is {quote(value)} [OOMK-2415]')
    return sanitize(value) if isinstance(value, str) else value
