# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module oom_score_adj: services, or processes that are not services."""

from typing import Any, Dict, List, Optional, Tuple

from .._core.convert import ConvertError, to_score_adj
from .._core.errors import Refusal
from .._core.request import Request, parse_request
from .._core.sanitize import sanitize
from .._forecast.before_after import ForecastRequest, forecast_before_and_after, parse_forecast_options
from .._forecast.simulate import NOTHING
from .._host import leftovers
from .._host.environment import find_init
from .._host.host import RUN_FOLDER
from .._host.transaction import Rollback
from .._host.writable import WritableHost
from .._policy.service_apply import apply_plan, put_record, rollback_services, set_live
from .._process import selector
from .._process.groups import Group
from .._process.handle import ProcessIdentity
from .._process.score_adj import ALL, Target
from .._service import process_guard, saved_scores
from .._service.model import DesiredState, Running
from .._service.revert import CHANGED_MEANWHILE, plan_revert
from .._systemd.manager import Manager
from .service import (
    build_diff,
    build_live_diff,
    build_result,
    describe_managed,
    describe_processes,
    parse_desired_state,
    plan_services,
)

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
    if params['process'] is not None and not request.runtime:
        raise ConvertError('process: only running processes can be set, so runtime: false leaves nothing to do'
                           ' [OOMK-1107]')
    asked = parse_forecast_options(params)
    if params['process'] is not None:
        return _run_processes(host, manager if find_init(host) == 'systemd' else None, params, request, asked)
    plan = host.call(plan_services, host, manager, request, desired_states)
    forecasts = host.call(forecast_before_and_after, host, plan.host_state.manager, asked,
                          NOTHING._replace(score_adj=plan.score_adj))
    diff = build_diff(plan)  # before any change: files can lose their mode, or be removed
    result = (apply_plan(host, plan, lambda done: build_result(plan, done)) if plan.has_work and not check_mode
              else build_result(plan))
    return dict(result, diff=diff, **forecasts)


# ---------------------------------------------------------------------- options

def parse_desired_states(params: Dict[str, Any]) -> List[DesiredState]:
    """Parse the requests of all services. Raises ConvertError."""
    _check_subject(params)
    if params['process'] is not None:
        return []
    if params['name'] is not None:
        item = {key: params[key] for key in ('name', 'score_adj', 'oom_policy')}
        return [parse_desired_state('', item, params['state'], _SCOPE_ADVICE)]
    return [parse_desired_state(f'services[{number}].', item, params['state'], _SCOPE_ADVICE)
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
    forecasts = host.call(forecast_before_and_after, host, manager, asked, NOTHING._replace(score_adj=one.goals))
    if not is_recorded:
        warnings += _warn_of_record(one)
    result = dict(_build_process_result(one, warnings), **forecasts)
    if one.is_reverted:
        # Only root can read the record.
        is_managed = any(process.key in record.processes for process in found)
        result.update(describe_managed(is_managed if is_recorded else None))
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
    processes = describe_processes(one)
    before, after = (sorted({process[key] for process in processes}) for key in ('before', 'after'))
    return {'changed': bool(one.goals), 'processes': processes, 'warnings': warnings,
            'diff': [build_live_diff(sanitize(one.unit), before, after)] if one.goals else []}
