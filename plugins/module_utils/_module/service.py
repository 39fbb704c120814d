# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module oom_score_adj: check the options, make and apply the plan, build the result."""

from typing import Any, Dict, List, Optional, Tuple

from .._core.convert import ConvertError, to_score_adj
from .._core.errors import NO_POLICY, NO_SERVICE, NO_SYSTEMD, NO_UNIT_FILES, NeedsAdvice, Refusal
from .._core.sanitize import sanitize
from .._forecast.before_after import ForecastRequest, forecast_before_and_after, parse_forecast_options
from .._host import leftovers
from .._host.environment import find_init
from .._host.file_diff import describe_files
from .._host.host import RUN_FOLDER
from .._host.transaction import Rollback
from .._host.writable import WritableHost
from .._policy.service_apply import apply_plan, put_record, rollback_services, set_live
from .._policy.service_plan import make_plan
from .._process import selector
from .._process.groups import Group
from .._process.handle import ProcessIdentity
from .._process.inheritance import Skipped
from .._process.score_adj import ALL, Target
from .._service import process_guard, saved_scores
from .._service.model import Causes, DesiredState, Plan, Request, Running, Service
from .._service.revert import CHANGED_MEANWHILE, plan_revert
from .._systemd import unit_files, unit_names
from .._systemd.manager import Manager, ManagerError
from .._systemd.unit_files import OOM_POLICY, SCORE_ADJ

_MOST_SKIPPED = 100
_NOTHING_RECORDED = 'This module has set nothing here that it could revert, so nothing was changed. [OOMK-1908]'
_NOT_RECORDED = ('%s is accessible for root only, so state: absent cannot restore the original value; '
                 'set become: true [OOMK-2106]')
_NOT_REVERTED = '%s is accessible for root only, so nothing is reverted; set become: true [OOMK-2106]'
_SCOPE_ADVICE = '; use process with pid, user or cmdline_regex'


def run(params: Dict[str, Any], check_mode: bool, host: Optional[WritableHost] = None,
        manager: Optional[Manager] = None) -> Dict[str, Any]:
    """The result of a run, with its warnings. Raises ConvertError, Refusal, ApplyError, ManagerError, OSError."""
    host = host or WritableHost()
    desired_states = parse_desired_states(params)
    request = parse_request(params, check_mode)
    asked = parse_forecast_options(params)
    if params['process'] is not None:
        return _run_processes(host, manager if find_init(host) == 'systemd' else None, params, request, asked)
    plan = host.call(_plan, host, manager, request, desired_states)
    forecasts = host.call(forecast_before_and_after, host, plan.host_state.manager, asked, plan.score_adj)
    diff = build_diff(plan)  # before any change: files can lose their mode, or be removed
    result = (apply_plan(host, plan, lambda backups: build_result(plan, backups)) if plan.has_work and not check_mode
              else build_result(plan, []))
    return dict(result, diff=diff, **forecasts)


def _plan(host: WritableHost, manager: Optional[Manager], request: Request, desired_states: List[DesiredState]) -> Plan:
    try:
        return make_plan(host, manager, request, desired_states)
    except ManagerError as exc:
        raise Refusal(f'{exc}. Nothing was changed. [OOMK-2316]') from exc
    except NeedsAdvice as exc:
        raise exc.add_advice(_ADVICE) from exc


_ADVICE = {
    NO_SERVICE: 'Nothing was changed. Correct the name, or use missing: warn or ignore. [OOMK-1701]',
    NO_UNIT_FILES: 'Use runtime: true to set running processes only. [OOMK-1809]',
    NO_SYSTEMD: 'Use runtime: false to write the drop-ins only. [OOMK-1809]',
    NO_POLICY: 'Nothing was changed. Leave it out, or use missing: warn to go without it. [OOMK-2005]',
}


# ---------------------------------------------------------------------- options

def parse_desired_states(params: Dict[str, Any]) -> List[DesiredState]:
    """Parse the requests of all services. Raises ConvertError."""
    _check_subject(params)
    if params['process'] is not None:
        return []
    if params['name'] is not None:
        item = {key: params[key] for key in ('name', 'score_adj', 'oom_policy')}
        return [_parse_desired_state('', item, params['state'])]
    return [_parse_desired_state(f'services[{number}].', item, params['state'])
            for number, item in enumerate(params['services'] or [])]


def _check_subject(params: Dict[str, Any]) -> None:
    """Require exactly one of name, services and process; none only to revert everything."""
    given = [name for name in ('name', 'services', 'process') if params[name] is not None]
    least = 0 if params['state'] == 'absent' and params['exclusive'] else 1
    if not least <= len(given) <= 1:
        raise ConvertError(f"give exactly one of name, services and process (found {', '.join(given) or 'none'}); only "
                           'state: absent with exclusive: true, which reverts everything, needs none [OOMK-1108]')
    _check_list(params)
    is_for_services = params['exclusive'] or params['oom_policy'] is not None
    if params['process'] is not None and is_for_services:
        raise ConvertError('process: exclusive and oom_policy are for services only [OOMK-1108]')


def _check_list(params: Dict[str, Any]) -> None:
    if params['services'] is None:
        return
    if not params['services'] and not (params['exclusive'] or params['protect']):
        raise ConvertError('services: the list is empty, so nothing is requested; list a service, or revert all others '
                           'with exclusive: true [OOMK-1105]')
    if params['score_adj'] is not None or params['oom_policy'] is not None:
        raise ConvertError('score_adj and oom_policy belong to name or process; with services each item has its own'
                           ' [OOMK-1108]')


def _parse_desired_state(prefix: str, item: Dict[str, Any], state: str) -> DesiredState:
    unit = unit_names.to_unit(prefix + 'name', item.get('name'), _SCOPE_ADVICE)
    values = [name for name in ('score_adj', 'oom_policy') if item.get(name) is not None]
    if state == 'present' and not values:
        raise ConvertError(f"{prefix}name: nothing is asked for {item['name']}; give score_adj, oom_policy or both"
                           " [OOMK-1105]")
    if state == 'absent' and prefix == '' and values:
        raise ConvertError(f"state: absent takes no {' and no '.join(values)}: it reverts what was set. Leave that out"
                           " [OOMK-1106]")
    score_adj = item.get('score_adj')
    if score_adj is not None:
        score_adj = to_score_adj(prefix + 'score_adj', score_adj)
    return DesiredState(item['name'], unit, score_adj, item.get('oom_policy'), item.get('missing'))


def parse_request(params: Dict[str, Any], check_mode: bool) -> Request:
    """Check the other options against each other. Raises ConvertError."""
    if not params['runtime'] and not params['persistent']:
        raise ConvertError('runtime and persistent are both false, so there is nothing to do; leave at least one true'
                           ' [OOMK-1107]')
    if params['process'] is not None and not params['runtime']:
        raise ConvertError('process: only running processes can be set, so runtime: false leaves nothing to do'
                           ' [OOMK-1107]')
    same = ('runtime', 'persistent', 'scope', 'missing', 'exclusive', 'conflicts', 'force')
    return Request(absent=params['state'] == 'absent', check_mode=check_mode, **{
        name: params[name] for name in same})


# -------------------------------------------------------------------- processes

def _run_processes(host: WritableHost, manager: Optional[Manager], params: Dict[str, Any], request: Request,
                   asked: ForecastRequest) -> Dict[str, Any]:
    """Set processes that are not services."""
    wanted = _parse_wanted(params, request)
    label = selector.describe_selection(params['process'])
    limits = process_guard.Asked(label, wanted or 0, params['process']['user'] is not None, request.force)
    group, found = host.call(_find, host, params['process'], limits)
    warnings = [] if found else _warn_of_none(label, request)
    record, is_recorded = saved_scores.parse(saved_scores.read(host)), saved_scores.may_write(host)
    one = Running(label, group, found, 0, {})
    if wanted is None:
        plan_revert(record, one, label, 0)
    else:
        one.set_target(Target(label, group, wanted, ALL))
    warnings += _warn_of_changes(one) + host.call(process_guard.guard, host, found, one.to_change, limits)
    forecasts = host.call(forecast_before_and_after, host, manager, asked, one.goals)
    if not is_recorded:
        warnings += _warn_of_record(one)
    result = dict(_build_process_result(one, warnings), **forecasts)
    if one.is_reverted:
        # Only root can read the record.
        is_managed = any(process.key in record.processes for process in found)
        result.update(_describe_managed(is_managed if is_recorded else None))
    if not request.check_mode:
        _apply_processes(host, one, is_recorded)
    return result


def _parse_wanted(params: Dict[str, Any], request: Request) -> Optional[int]:
    if not request.absent:
        return to_score_adj('score_adj', params['score_adj'])
    if params['score_adj'] is not None:
        raise ConvertError('state: absent takes no score_adj: it reverts what was set. Leave that out [OOMK-1106]')
    return None


def _warn_of_record(one: Running) -> List[str]:
    """Warn of what this user cannot record or revert."""
    if one.is_reverted:
        return [_NOT_REVERTED % saved_scores.FILE]
    return [_NOT_RECORDED % saved_scores.FILE] if one.goals else []


def _warn_of_changes(one: Running) -> List[str]:
    """Warn of processes that something else has set since."""
    return [f'process {process.pid} ({sanitize(process.name)}) keeps its oom_score_adj {process.score_adj}: something '
            'else has changed it since this module set it [OOMK-1907]'
            for process, reason in one.skipped if reason == CHANGED_MEANWHILE]


def _describe_managed(managed: Optional[bool]) -> Dict[str, Any]:
    """The result keys that say whether state absent had anything to revert; None for unknown."""
    return {'managed': managed} if managed is not False else {'managed': False, 'msg': _NOTHING_RECORDED}


def _find(host: WritableHost, process: Dict[str, Any],
          asked: process_guard.Asked) -> Tuple[Group, List[ProcessIdentity]]:
    """The group of processes to set, and the processes that the option names, for L(Host.call)."""
    everything = selector.build_group(host, process)
    return process_guard.restrict_group(everything, asked, host), everything.look(host)


def _apply_processes(host: WritableHost, one: Running, is_recorded: bool) -> None:
    """Set and record them, or revert them and remove their records. Raises ApplyError."""
    with rollback_services() as rollback:
        for target in one.targets if one.goals else ():
            if is_recorded and not one.is_reverted:  # reverted processes are recorded already
                target.before_round = lambda left, target=target: _put_originals(host, left, target.wanted, rollback)
            set_live(host, target, rollback)
        if is_recorded:
            data = saved_scores.read(host)
            record = saved_scores.parse(data)
            rest = saved_scores.without_processes(record, [process.key for process in one.processes])
            if one.is_reverted and rest != record:
                put_record(host, data, rest, rollback)
            leftovers.remove(host, leftovers.list_files(host, RUN_FOLDER))


def _put_originals(host: WritableHost, changes: List[ProcessIdentity], wanted: int, rollback: Rollback) -> None:
    """Record processes just before they are set: the rule may match more than at plan time."""
    data = saved_scores.read(host)
    record = host.call(saved_scores.without_ended, host, saved_scores.parse(data))
    put_record(host, data, saved_scores.with_processes(record, changes, [], wanted), rollback)


def _warn_of_none(label: str, request: Request) -> List[str]:
    text = f'{sanitize(label)} matches no process'
    if request.missing == 'fail' and not request.absent:
        raise Refusal(f'{text}. Nothing was changed. Use missing: warn or ignore where that is to be expected.'
                      ' [OOMK-2104]')
    return [f'{text} [OOMK-2104]'] if request.missing == 'warn' else []


def _build_process_result(one: Running, warnings: List[str]) -> Dict[str, Any]:
    processes = _describe_processes(one)
    before, after = (sorted({process[key] for process in processes}) for key in ('before', 'after'))
    return {'changed': bool(one.goals), 'processes': processes, 'warnings': warnings,
            'diff': [_build_live_diff(sanitize(one.unit), before, after)] if one.goals else []}


def _describe_processes(one: Running) -> List[Dict[str, Any]]:
    return [{'pid': process.pid, 'name': sanitize(process.name), 'before': process.score_adj,
             'after': one.goals.get(process.pid, process.score_adj)} for process in one.processes]


# ----------------------------------------------------------------------- result

def build_diff(plan: Plan) -> List[Dict[str, str]]:
    """The changes, without PIDs: check mode and the real run agree."""
    diff = [_build_live_diff(one.unit, sorted({process.score_adj for process in one.to_change}),
                             sorted(set(one.goals.values()))) for one in plan.running if one.goals]
    diff += [_build_live_diff(one.unit, [one.oom_group.before], [one.oom_group.after], 'memory.oom.group')
             for one in plan.running if one.oom_group]
    return diff + describe_files(plan.host_state.host, plan.files)


def build_result(plan: Plan, backups: List[str]) -> Dict[str, Any]:
    """The result besides the diff, and the warnings."""
    result = {
        'changed': plan.has_changes,
        'services': [_describe(plan, service) for service in plan.services],
        'conflicts': [dict(conflict, file=_sanitize_path(conflict['file'])) for conflict in plan.conflicts],
        'orphans': [sanitize(path) for path in plan.orphans],
        'warnings': plan.warnings,
    }
    if plan.request.absent:
        result.update(_describe_managed(plan.is_managed))
    if plan.other_processes:
        result['processes'] = [process for one in plan.other_processes for process in _describe_processes(one)]
    if backups:
        result['backup_files'] = backups
    return result


def _build_live_diff(what: str, before: List[Any], after: List[Any], setting: str = 'oom_score_adj') -> Dict[str, str]:
    header = what + ' (running)'
    return {'before_header': header, 'after_header': header,
            'before': ''.join(f'{setting}: {value}\n' for value in before),
            'after': ''.join(f'{setting}: {value}\n' for value in after)}


def _describe(plan: Plan, service: Service) -> Dict[str, Any]:
    """One service of the result."""
    left = [item for one in service.running for item in one.skipped]
    running = service.running[0] if service.running else None
    return {
        'name': service.desired.asked,
        'unit': service.name,
        'before': running.before if running else None,
        'after': running.after if running else None,
        'running': [one.unit for one in service.running],
        'next_start_before': _describe_start(plan, service.next_start_before),
        'next_start': _describe_start(plan, service.next_start),
        'restart_needed': service.restart_needed,
        'changed_pids': sorted({pid for one in service.running for pid in _list_changed_pids(one)}),
        'skipped': [_describe_skipped(item) for item in left[:_MOST_SKIPPED]],
        'skipped_count': len(left),
        'notes': service.notes,
    }


def _list_changed_pids(one: Running) -> List[int]:
    return [process.pid for process in one.to_change] + [pid for target in one.targets for pid in target.changed]


def _describe_skipped(item: Skipped) -> Dict[str, Any]:
    return {'pid': item.process.pid, 'name': sanitize(item.process.name), 'oom_score_adj': item.process.score_adj,
            'reason': item.reason}


def _describe_start(plan: Plan, causes: Causes) -> Dict[str, Any]:
    cause = causes.get(SCORE_ADJ, unit_files.UNSET)
    if cause.value is None and plan.host_state.init != 'openrc' and plan.host_state.has_unit_files():
        cause = plan.host_state.default
    policy = causes.get(OOM_POLICY, unit_files.UNSET).value
    return {'score_adj': cause.value, 'oom_policy': policy, 'file': _sanitize_path(cause.file), 'line': cause.line}


def _sanitize_path(path: Optional[str]) -> Optional[str]:
    return None if path is None else sanitize(path)
