# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module oom_forecast_info: check the options, forecast, build the result."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .._core.convert import POLICIES, ConvertError, quote, to_amount, to_choice, to_integer, to_score_adj
from .._core.errors import Refusal
from .._core.sanitize import sanitize, sanitize_result
from .._core.text import to_bytes
from .._daemon.thresholds import read_thresholds
from .._forecast import protection, report
from .._forecast.before_after import MOST_KILLS, check_protect
from .._forecast.observe import Observer, Unreadable
from .._forecast.simulate import NOTHING, Forecast, WhatIf, assume_settings
from .._forecast.snapshot import Snapshot, from_json, to_json
from .._host import file_access
from .._host.environment import find_init
from .._host.host import Host
from .._host.meminfo import get_page_kb
from .._process import scan, selector
from .._process.table import ProcessTable
from .._systemd import unit_names
from .._systemd.manager import Manager, ManagerError
from .what_if import Assumption, Growth, Subject, resolve_in_snapshot, resolve_on_machine


class Request(NamedTuple):
    kills: int
    assumptions: List[Assumption]
    growth: Optional[Growth]
    protect: List[str]  # as the user wrote them
    cgroup: Optional[str]
    nodes: Optional[List[int]]
    panic_on_oom: Optional[int]
    kill_allocating_task: Optional[bool]


_DEEPEST = 20  # levels of lists and dictionaries; the fact about a daemon has four


def run(params: Dict[str, Any], host: Optional[Host] = None, manager: Optional[Manager] = None) -> Dict[str, Any]:
    """The result of a run, with its warnings. Raises ConvertError, Refusal, OSError."""
    request = parse_request(params)
    if params['snapshot'] is not None:
        return _replay(request, params['snapshot'])
    host = host or Host()
    try:
        result: Dict[str, Any] = host.call(_forecast_host, request, host,
                                           manager if find_init(host) == 'systemd' else None)
    except ManagerError as exc:
        raise Refusal(f'{exc}. Nothing was changed. [OOMK-2316]') from exc
    return result


# ---------------------------------------------------------------------- options

def parse_request(params: Dict[str, Any]) -> Request:
    """Parse the options. Raises ConvertError."""
    assumptions = [_parse_assumption(f'score_adj[{number}]', item)
                   for number, item in enumerate(params['score_adj'] or [])]
    growth, growing, policy = None, params['growing'], params['policy']
    if growing is not None:
        growth = Growth(_parse_subject('growing', growing, ('service', 'pid')), _parse_pages(growing['size']))
    return Request(to_integer('kills', params['kills'], 1, MOST_KILLS), assumptions, growth,
                   check_protect(params['protect']), _parse_cgroup(params['cgroup']), _parse_nodes(params),
                   None if policy is None else to_choice('policy', policy, POLICIES), params['kill_allocating_task'])


def _parse_cgroup(path: Optional[str]) -> Optional[str]:
    """The cgroup as /proc/PID/cgroup names it. Raises ConvertError."""
    if path is None:
        return None
    parts = path.split('/')
    if not path.startswith('/') or '..' in parts or set('\n\0') & set(path):
        raise ConvertError(f'cgroup: {sanitize(repr(path))} is not the path of a cgroup; give it as /proc/PID/cgroup '
                           'shows it, such as /system.slice/redis-server.service [OOMK-2409]')
    names = [part for part in parts if part not in ('', '.')]
    for tree in (['sys', 'fs', 'cgroup', 'memory'], ['sys', 'fs', 'cgroup']):
        if names[:len(tree)] == tree:
            names = names[len(tree):]
    if not names:
        raise ConvertError('cgroup: the root has no limit of its own; leave cgroup out for the whole machine'
                           ' [OOMK-2410]')
    return '/' + '/'.join(names)


def _parse_nodes(params: Dict[str, Any]) -> Optional[List[int]]:
    """The NUMA nodes, None for all. Raises ConvertError."""
    if params['nodes'] is None:
        return None
    if params['cgroup'] is not None or not params['nodes']:
        raise ConvertError('nodes: give at least one, and no cgroup, whose limit is for its memory on all nodes'
                           ' [OOMK-2411]')
    return [to_integer(f'nodes[{number}]', node, 0) for number, node in enumerate(params['nodes'])]


def _parse_assumption(place: str, item: Dict[str, Any]) -> Assumption:
    subject = _parse_subject(place, item, ('service', 'pid', 'comm'))
    return Assumption(subject, to_score_adj(place + '.value', item['value']))


def _parse_subject(place: str, item: Dict[str, Any], kinds: Sequence[str]) -> Subject:
    """The process or service of an assumption, named in exactly one way."""
    given = [kind for kind in kinds if item.get(kind) is not None]
    if len(given) != 1:
        raise ConvertError(f"{place}: give exactly one of {', '.join(kinds)} (found {', '.join(given) or 'none'})"
                           " [OOMK-2412]")
    kind, value = given[0], item[given[0]]
    if kind == 'pid':
        return Subject(kind, to_integer(place + '.pid', value, 1))
    if kind == 'service':
        return Subject(kind, unit_names.to_unit(place + '.service', value))
    try:
        length = len(to_bytes(value))
    except UnicodeError:
        length = 0
    if not length:
        raise ConvertError(f'{place}.comm: {quote(value)} cannot be the name of a process [OOMK-2412]')
    if length > selector.COMM_BYTES:
        raise ConvertError(f'{place}.comm: {quote(value)} has more than {selector.COMM_BYTES} bytes, and the kernel '
                           f'cuts names there; give the first {selector.COMM_BYTES} [OOMK-2412]')
    return Subject(kind, value)


def _parse_pages(size: Any) -> int:
    amount = to_amount('growing.size', size)
    if amount.size_kb is None:
        raise ConvertError('growing.size: a size with a unit such as 2G is wanted, not a percentage [OOMK-2412]')
    return amount.size_kb // get_page_kb()


# ---------------------------------------------------------------------- forecasts

def _forecast_host(request: Request, host: Host, manager: Optional[Manager]) -> Dict[str, Any]:
    protect = protection.resolve(host, manager, request.protect)
    with ProcessTable(host) as processes:
        assumed = resolve_on_machine(host, processes, manager, request.assumptions, request.growth)
        try:
            observer = Observer(host, processes, request.cgroup, manager, request.nodes)
        except Unreadable as exc:
            raise Refusal(f'No forecast is possible: {exc}. [OOMK-2408]') from exc
        snapshot, forecasts = report.forecast_host(observer, request.kills, [_with_policy(request, assumed)])
        running = processes.find_programs(scan.OOM_DAEMONS)
        oom_daemons = read_thresholds(host, processes, running.found)
    snapshot.notes.extend('oom_daemons: ' + reason for reason in scan.list_gaps(host, running.denied))
    snapshot.notes.extend(file_access.current.other_unread())
    return _build_result(request, snapshot, forecasts[0], protect, oom_daemons)


def _replay(request: Request, data: Any) -> Dict[str, Any]:
    snapshot = from_json(data)
    if request.cgroup is not None and sanitize(request.cgroup) != snapshot.domain.cgroup:
        raise ConvertError(f"cgroup: the snapshot was taken for {snapshot.domain.cgroup or 'the whole machine'} and "
                           'holds no other one [OOMK-2414]')
    if request.nodes is not None and request.nodes != snapshot.domain.nodes:
        raise ConvertError('nodes: the snapshot was not taken for these NUMA nodes [OOMK-2414]')
    what_if = _with_policy(request, resolve_in_snapshot(snapshot, request.assumptions, request.growth))
    return _build_result(request, snapshot, report.forecast_snapshot(snapshot, request.kills, what_if),
                         protection.from_names(request.protect), _read_oom_daemons(data))


def _read_oom_daemons(data: Dict[str, Any]) -> Any:
    """The snapshot's daemons, which the result only repeats. Raises ConvertError."""
    daemons = data.get('oom_daemons', [])
    level = [daemons]
    for _depth in range(_DEEPEST):
        level = [inner for one in level if isinstance(one, (dict, list)) for inner in (
            one.values() if isinstance(one, dict) else one)]
    # A RecursionError would depend on the Python version, and on what prints the result.
    if level:
        raise ConvertError('snapshot: oom_daemons is nested too deeply [OOMK-2415]')
    return sanitize_result(daemons)


def _with_policy(request: Request, what_if: WhatIf) -> WhatIf:
    return what_if._replace(panic_on_oom=request.panic_on_oom, kill_allocating_task=request.kill_allocating_task)


def _build_result(request: Request, snapshot: Snapshot, forecast: Forecast, protect: List[protection.Protected],
                  oom_daemons: Any) -> Dict[str, Any]:
    result = report.describe(assume_settings(snapshot, _with_policy(request, NOTHING)), forecast, protect)
    return dict(result, changed=False, oom_daemons=oom_daemons,
                snapshot=dict(to_json(snapshot), oom_daemons=oom_daemons))
