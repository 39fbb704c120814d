# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services in a module: check the options, make the plan, build the result."""

from typing import Any, Dict, List, Optional

from .._core.convert import ConvertError, to_score_adj
from .._core.errors import NO_POLICY, NO_SERVICE, NO_SYSTEMD, NO_UNIT_FILES, NeedsAdvice, Refusal
from .._core.request import Request
from .._core.sanitize import sanitize
from .._host.file_diff import describe_files
from .._host.transaction import NOTHING_DONE, Done
from .._host.writable import WritableHost
from .._policy.service_plan import make_plan
from .._process.inheritance import Skipped
from .._service.model import Causes, DesiredState, Plan, Running, Service
from .._systemd import unit_files, unit_names
from .._systemd.manager import Manager, ManagerError
from .._systemd.unit_files import OOM_POLICY, SCORE_ADJ

_MOST_SKIPPED = 100
_NOTHING_RECORDED = 'This module has set nothing here that it could revert, so nothing was changed. [OOMK-1908]'


def plan_services(host: WritableHost, manager: Optional[Manager], request: Request,
                  desired_states: List[DesiredState]) -> Plan:
    """Plan the services, for L(Host.call). Raises ConvertError and Refusal."""
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

def parse_desired_state(prefix: str, item: Dict[str, Any], state: str, advice: str = '') -> DesiredState:
    """Parse the request of one service. Raises ConvertError.

    ``prefix`` stands before an option in the message. ``advice`` follows the reason if the unit is another than a
    service.
    """
    unit = unit_names.to_unit(prefix + 'name', item.get('name'), advice)
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


# ----------------------------------------------------------------------- result

def build_diff(plan: Plan) -> List[Dict[str, str]]:
    """The changes, without PIDs: check mode and the real run agree."""
    diff = [build_live_diff(one.unit, sorted({process.score_adj for process in one.to_change}),
                            sorted(set(one.goals.values()))) for one in plan.running if one.goals]
    diff += [build_live_diff(one.unit, [one.oom_group.before], [one.oom_group.after], 'memory.oom.group')
             for one in plan.running if one.oom_group]
    return diff + describe_files(plan.host_state.host, plan.files)


def build_result(plan: Plan, done: Done = NOTHING_DONE) -> Dict[str, Any]:
    """The result besides the diff, and the warnings."""
    result = {
        'changed': plan.has_changes,
        'services': [_describe(plan, service) for service in plan.services],
        'conflicts': [dict(conflict, file=_sanitize_path(conflict['file'])) for conflict in plan.conflicts],
        'orphans': [sanitize(path) for path in plan.orphans],
        'warnings': plan.warnings + done.warnings,
    }
    if plan.request.absent:
        result.update(describe_managed(plan.is_managed))
    if plan.other_processes:
        result['processes'] = [process for one in plan.other_processes for process in describe_processes(one)]
    if done.backups:
        result['backup_files'] = done.backups
    return result


def describe_managed(managed: Optional[bool]) -> Dict[str, Any]:
    """The result keys that say whether state absent had anything to revert; None for unknown."""
    return {'managed': managed} if managed is not False else {'managed': False, 'msg': _NOTHING_RECORDED}


def describe_processes(one: Running) -> List[Dict[str, Any]]:
    """The processes of a group, with their values before and after."""
    return [{'pid': process.pid, 'name': sanitize(process.name), 'before': process.score_adj,
             'after': one.goals.get(process.pid, process.score_adj)} for process in one.processes]


def build_live_diff(what: str, before: List[Any], after: List[Any], setting: str = 'oom_score_adj') -> Dict[str, str]:
    """The diff of running processes."""
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
