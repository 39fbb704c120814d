# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
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
from .._policy.service_apply import apply_plan, put_record, set_live, undone
from .._policy.service_plan import Plan, make_plan
from .._process import selector
from .._process.groups import Group, TheseProcesses
from .._process.handle import ProcessIdentity
from .._process.inheritance import Skipped
from .._process.score_adj import ALL, Target
from .._service import process_guard, saved_scores
from .._service.model import Causes, DesiredState, HostState, Request, Service
from .._systemd import unit_files, unit_names
from .._systemd.manager import Manager, ManagerError
from .._systemd.unit_files import OOM_POLICY, SCORE_ADJ

_MOST_SKIPPED = 100
_NOTHING_RECORDED = 'This module has set nothing here that it could revert, so nothing was changed.'
_NOT_RECORDED = ('%s is accessible for root only, so state: absent cannot restore the original value; '
                 'set become: true')
_NOT_REVERTED = '%s is accessible for root only, so nothing is reverted; set become: true'
_SCOPE_ADVICE = '; use process with pid, user or cmdline_regex'


def run(params: Dict[str, Any], check_mode: bool, host: Optional[WritableHost] = None,
        manager: Optional[Manager] = None) -> Dict[str, Any]:
    """One run: the result, with its warnings. Raises ConvertError, Refusal, ApplyError, ManagerError, OSError."""
    host = host or WritableHost()
    desired_states = parse_desired_states(params)
    request = parse_request(params, check_mode)
    asked = parse_forecast_options(params)
    if params['process'] is not None:
        return _run_processes(host, manager if find_init(host) == 'systemd' else None, params, request, asked)
    plan = host.call(_plan, host, manager, request, desired_states)
    forecasts = host.call(forecast_before_and_after, host, plan.host_state.manager, asked, plan.score_adj())
    diff = build_diff(plan)  # before anything is done: files can lose their mode, or be removed
    result = (apply_plan(plan, lambda backups: build_result(plan, backups)) if plan.to_do and not check_mode
              else build_result(plan, []))
    return dict(result, diff=diff, **forecasts)


def _plan(host: WritableHost, manager: Optional[Manager], request: Request, desired_states: List[DesiredState]) -> Plan:
    try:
        return make_plan(HostState(host, manager), request, desired_states)
    except ManagerError as exc:
        raise Refusal(f'{exc}. Nothing was changed.') from exc
    except NeedsAdvice as exc:
        raise exc.add_advice(_ADVICE) from exc


_ADVICE = {
    NO_SERVICE: 'Nothing was changed. Correct the name, or use missing: warn or ignore.',
    NO_UNIT_FILES: 'Use runtime: true to set running processes only.',
    NO_SYSTEMD: 'Use runtime: false to write the drop-ins only.',
    NO_POLICY: 'Nothing was changed. Leave it out, or use missing: warn to go without it.',
}


# ---------------------------------------------------------------------- options

def parse_desired_states(params: Dict[str, Any]) -> List[DesiredState]:
    """The requests of all services, checked. Raises ConvertError."""
    _check_subject(params)
    if params['process'] is not None:
        return []
    if params['name'] is not None:
        return [_request('', {key: params[key] for key in ('name', 'score_adj', 'oom_policy')}, params['state'])]
    return [_request(f'services[{number}].', item, params['state'])
            for number, item in enumerate(params['services'] or [])]


def _check_subject(params: Dict[str, Any]) -> None:
    """Exactly one of name, services and process; none only where everything of ours is meant."""
    given = [name for name in ('name', 'services', 'process') if params[name] is not None]
    everything = params['state'] == 'absent' and params['exclusive']
    if len(given) > 1 or (not given and not everything):
        raise ConvertError('give exactly one of name, services and process (found %s); only state: absent with '
                           'exclusive: true, which reverts everything, needs none' % (', '.join(given) or 'none'))
    if params['services'] is not None and not params['services'] and not (params['exclusive'] or params['protect']):
        raise ConvertError('services: the list is empty, so nothing is requested; list a service, or revert all others '
                           'with exclusive: true')
    if params['services'] is not None and (params['score_adj'] is not None or params['oom_policy'] is not None):
        raise ConvertError('score_adj and oom_policy belong to name or process; with services each item has its own')
    if params['process'] is not None and (params['exclusive'] or params['oom_policy'] is not None):
        raise ConvertError('process: exclusive and oom_policy are for services only')


def _request(prefix: str, item: Dict[str, Any], state: str) -> DesiredState:
    unit = unit_names.to_unit(prefix + 'name', item.get('name'), _SCOPE_ADVICE)
    values = [name for name in ('score_adj', 'oom_policy') if item.get(name) is not None]
    if state == 'present' and not values:
        raise ConvertError(f"{prefix}name: nothing is asked for {item['name']}; give score_adj, oom_policy or both")
    if state == 'absent' and prefix == '' and values:
        raise ConvertError(f"state: absent takes no {' and no '.join(values)}: it reverts what was set. Leave that out")
    score_adj = item.get('score_adj')
    if score_adj is not None:
        score_adj = to_score_adj(prefix + 'score_adj', score_adj)
    return DesiredState(item['name'], unit, score_adj, item.get('oom_policy'), item.get('missing'))


def parse_request(params: Dict[str, Any], check_mode: bool) -> Request:
    """The other options, checked against each other. Raises ConvertError."""
    if not params['runtime'] and not params['persistent']:
        raise ConvertError('runtime and persistent are both false, so there is nothing to do; leave at least one true')
    if params['process'] is not None and not params['runtime']:
        raise ConvertError('process: only running processes can be set, so runtime: false leaves nothing to do')
    same = ('runtime', 'persistent', 'scope', 'missing', 'exclusive', 'conflicts', 'force')
    return Request(absent=params['state'] == 'absent', check_mode=check_mode, **{
        name: params[name] for name in same})


# -------------------------------------------------------------------- processes

def _run_processes(host: WritableHost, manager: Optional[Manager], params: Dict[str, Any], request: Request,
                   asked: ForecastRequest) -> Dict[str, Any]:
    """Set processes that are not services."""
    wanted = None if request.absent else to_score_adj('score_adj', params['score_adj'])
    if request.absent and params['score_adj'] is not None:
        raise ConvertError('state: absent takes no score_adj: it reverts what was set. Leave that out')
    label = selector.describe_selection(params['process'])
    values = process_guard.Asked(label, wanted or 0, params['process']['user'] is not None, request.force)
    group, found = host.call(_find, host, params['process'], values)
    warnings = _nothing_found(label, request) if not found else []
    record = saved_scores.parse(saved_scores.read(host))
    goals = {one.key: _original(record, one) if wanted is None else wanted for one in found}
    changes = [one for one in found if goals[one.key] != one.score_adj]
    warnings += _changed_meanwhile(record, found) if wanted is None else []
    warnings += host.call(process_guard.guard, host, found, changes, values)
    planned = {one.pid: goals[one.key] for one in changes}
    forecasts = host.call(forecast_before_and_after, host, manager, asked, planned)
    recorded = saved_scores.may_write(host)
    if not recorded and (changes or wanted is None):
        warnings.append((_NOT_REVERTED if wanted is None else _NOT_RECORDED) % saved_scores.FILE)
    result = dict(_process_result(label, found, goals, changes, warnings), **forecasts)
    if wanted is None:
        # Only root can read the record.
        result.update(_whether_managed(any(key in record.processes for key in goals) if recorded else None))
    if not request.check_mode:
        _apply_processes(host, _process_targets(host, label, group, wanted, changes, record), recorded,
                         list(goals) if wanted is None else [])
    return result


def _whether_managed(managed: Optional[bool]) -> Dict[str, Any]:
    """The keys of state absent that say whether there was anything to revert; None for unknown."""
    return {'managed': managed} if managed is not False else {'managed': False, 'msg': _NOTHING_RECORDED}


def _original(record: saved_scores.Record, one: ProcessIdentity) -> int:
    """The value that state absent gives a process."""
    original = record.processes.get(one.key)
    return one.score_adj if original is None or one.score_adj not in original.ours else original.value


def _changed_meanwhile(record: saved_scores.Record, found: List[ProcessIdentity]) -> List[str]:
    """Warn of processes that something else has set since."""
    pairs = [(one, record.processes.get(one.key)) for one in found]
    return [f'process {one.pid} ({sanitize(one.name)}) keeps its oom_score_adj {one.score_adj}: something else has '
            'changed it since this module set it' for one, original in pairs
            if original is not None and one.score_adj not in original.ours + (original.value,)]


def _find(host: WritableHost, process: Dict[str, Any],
          asked: process_guard.Asked) -> Tuple[Group, List[ProcessIdentity]]:
    """The group of processes that may be set, and the processes that the option names, for L(Host.call)."""
    everything = selector.build_group(host, process)
    return process_guard.guarded(everything, asked, host), everything.look(host)


def _apply_processes(host: WritableHost, targets: List[Target], recorded: bool, forgotten: List[Any]) -> None:
    """Set them and record their originals; remove those of ``forgotten``. Raises ApplyError."""
    with undone() as rollback:
        for target in targets:
            if recorded and not forgotten:  # reverted processes are recorded already
                target.before_round = lambda left, target=target: _put_originals(host, left, target.wanted, rollback)
            set_live(host, target, rollback)
        if recorded:
            data = saved_scores.read(host)
            record = saved_scores.parse(data)
            if any(key in record.processes for key in forgotten):
                put_record(host, data, saved_scores.without_processes(record, forgotten), rollback)
            leftovers.remove(host, leftovers.list_files(host, RUN_FOLDER))


def _put_originals(host: WritableHost, changes: List[ProcessIdentity], wanted: int, rollback: Rollback) -> None:
    """Record processes just before they are set: the rule may match more than when the plan was made."""
    data = saved_scores.read(host)
    record = host.call(saved_scores.without_ended, host, saved_scores.parse(data))
    put_record(host, data, saved_scores.with_processes(record, changes, [], wanted), rollback)


def _process_targets(host: WritableHost, label: str, group: Any, wanted: Optional[int], changes: List[ProcessIdentity],
                     record: saved_scores.Record) -> List[Target]:
    if wanted is not None:
        return [Target(label, group, wanted, ALL)] if changes else []
    return [Target(label, TheseProcesses([one]), record.processes[one.key].value, ALL)
            for one in changes]


def _nothing_found(label: str, request: Request) -> List[str]:
    text = f'{sanitize(label)} matches no process'
    if request.missing == 'fail' and not request.absent:
        raise Refusal(f'{text}. Nothing was changed. Use missing: warn or ignore where that is to be expected.')
    return [text] if request.missing == 'warn' else []


def _process_result(label: str, found: List[ProcessIdentity], goals: Dict[Any, int], changes: List[ProcessIdentity],
                    warnings: List[str]) -> Dict[str, Any]:
    befores = sorted({one.score_adj for one in found})
    afters = sorted(set(goals.values()))
    diff = [_live_diff(sanitize(label), befores, afters)] if changes else []
    return {
        'changed': bool(changes),
        'processes': [{'pid': one.pid, 'name': sanitize(one.name), 'before': one.score_adj,
                       'after': goals[one.key]} for one in found],
        'warnings': warnings,
        'diff': diff,
    }


# ----------------------------------------------------------------------- result

def build_diff(plan: Plan) -> List[Dict[str, str]]:
    """The changes, without process numbers, so that check mode and the real run agree."""
    diff = [_live_diff(one.unit, sorted({process.score_adj for process in one.to_change}),
                       sorted(set(one.goals.values()))) for one in plan.running() if one.to_change]
    diff += [_live_diff(one.unit, [one.oom_group.before], [one.oom_group.after], 'memory.oom.group')
             for one in plan.running() if one.oom_group]
    return diff + describe_files(plan.host_state.host, plan.files)


def build_result(plan: Plan, backups: List[str]) -> Dict[str, Any]:
    """What the module returns besides the diff, and its warnings."""
    result = {
        'changed': plan.changed,
        'services': [_describe(plan, service) for service in plan.services],
        'conflicts': [dict(conflict, file=_harmless_or_none(conflict['file'])) for conflict in plan.conflicts],
        'orphans': [sanitize(path) for path in plan.orphans],
        'warnings': plan.warnings,
    }
    if plan.request.absent:
        result.update(_whether_managed(plan.managed))
    if plan.other_processes:
        result['processes'] = [{'pid': process.pid, 'name': sanitize(process.name), 'before': process.score_adj,
                                'after': one.goals.get(process.pid, process.score_adj)}
                               for one in plan.other_processes for process in one.processes]
    if backups:
        result['backup_files'] = backups
    return result


def _live_diff(what: str, before: List[Any], after: List[Any], setting: str = 'oom_score_adj') -> Dict[str, str]:
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
        'changed_pids': sorted({pid for one in service.running for pid in _changed_pids(one)}),
        'skipped': [_left(item) for item in left[:_MOST_SKIPPED]],
        'skipped_count': len(left),
        'notes': service.notes,
    }


def _changed_pids(one: Any) -> List[int]:
    return [process.pid for process in one.to_change] + [pid for target in one.targets for pid in target.changed]


def _left(item: Skipped) -> Dict[str, Any]:
    return {'pid': item.process.pid, 'name': sanitize(item.process.name), 'oom_score_adj': item.process.score_adj,
            'reason': item.reason}


def _describe_start(plan: Plan, causes: Causes) -> Dict[str, Any]:
    cause = causes.get(SCORE_ADJ, unit_files.UNSET)
    if cause.value is None and plan.host_state.init != 'openrc' and plan.host_state.has_unit_files():
        cause = plan.host_state.default
    policy = causes.get(OOM_POLICY, unit_files.UNSET).value
    return {'score_adj': cause.value, 'oom_policy': policy, 'file': _harmless_or_none(cause.file), 'line': cause.line}


def _harmless_or_none(path: Optional[str]) -> Optional[str]:
    return None if path is None else sanitize(path)
