# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module oom_policy: sysctls and services in one plan and one transaction."""

from typing import Any, Dict, List, Optional, Type

from .._core.convert import to_integer
from .._core.errors import Refusal
from .._core.request import Request, parse_request
from .._core.sanitize import explain
from .._forecast.before_after import forecast_before_and_after, parse_forecast_options
from .._forecast.simulate import NOTHING
from .._host.container import detect_container
from .._host.transaction import Rollback, rollback_on_failure
from .._host.writable import WritableHost
from .._kernel.sysctls import KILL_ALLOCATING_TASK, PANIC_ON_OOM, State
from .._policy import confirm
from .._policy.combined import CombinedPolicy
from .._policy.overcommit import OvercommitPolicy
from .._policy.panic import PanicPolicy
from .._policy.plan import Part, Policy
from .._policy.service_apply import apply_within
from .._process.score_adj import ScoreAdjError
from .._service.model import Plan
from .._sysctl.records import list_sysctls
from .._systemd.manager import Manager, ManagerError
from . import service

SYSCTL_PARTS: Dict[str, Type[Policy]] = {'overcommit': OvercommitPolicy, 'panic': PanicPolicy}
SERVICES = 'services'
PARTS = list(SYSCTL_PARTS) + [SERVICES]
_KILLS = 5  # forecast for protect
_TOP = 10  # candidates in the facts
_MISSING = dict(type='str', choices=['fail', 'warn', 'ignore'])


def _build_options(policy: Type[Policy]) -> Dict[str, Dict[str, Any]]:
    return {sysctl.option: dict(type='bool' if sysctl.is_switch else 'raw') for sysctl in list_sysctls(policy.module)}


# The options beside those of the action group.
OPTIONS: Dict[str, Dict[str, Any]] = dict(
    overcommit=dict(type='dict', options=dict(
        _build_options(OvercommitPolicy), commit_limit=dict(type='raw'), min_headroom=dict(type='raw')),
        mutually_exclusive=[('ratio', 'kbytes', 'commit_limit')]),
    panic=dict(type='dict', options=_build_options(PanicPolicy)),
    services=dict(type='list', elements='dict', options=dict(
        name=dict(type='str', required=True), score_adj=dict(type='raw'), missing=_MISSING,
        oom_policy=dict(type='str', choices=['stop', 'continue', 'kill']))),
    exclusive=dict(type='bool', default=False),
    missing=dict(_MISSING, default='fail'),
    scope=dict(type='str', choices=['inherited', 'main', 'all'], default='inherited'),
    profile=dict(type='str', choices=['none', 'database', 'cache', 'kubernetes_node', 'java', 'desktop'],
                 default='none'),
    parts=dict(type='list', elements='str', choices=PARTS, default=PARTS),
    protect=dict(type='list', elements='str'),
    forecast=dict(type='raw', default=0),
    confirm_within=dict(type='raw'),
    confirm_changes=dict(type='str', choices=['all', 'tightening'], default='tightening'),
    facts=dict(type='bool', default=False),
)


def run(params: Dict[str, Any], check_mode: bool, host: WritableHost, manager: Optional[Manager]) -> Dict[str, Any]:
    """The result of a run, with its warnings. Raises ConvertError, Refusal, ApplyError, OSError."""
    params = _complete(params)
    request, policies = parse_request(params, check_mode), _parse_policies(params)
    services = _parse_services(params, request, host, manager)
    call = confirm.Call(request, CombinedPolicy(policies), services or Part(), confirm.parse_asked(params))
    container = detect_container(host) if params['runtime'] and not params['force'] else None
    if not policies and not call.part.sets_something:
        result = _say_undone(_apply_alone(host, call), services, _NO_SETTINGS % ', '.join(params['parts']))
    elif container:
        result = _say_undone(_build_empty(), None, _CONTAINER % container)
    else:
        sysctls = confirm.carry_out(host, call).result if policies else _apply_alone(host, call)
        result = dict(_merge(sysctls, services, call.request.absent), applied=True, reason=None)
    return dict(result, **_gather_facts(host, result)) if params['facts'] else result


_NO_SETTINGS = ('this policy sets nothing, so nothing was changed: give settings of %s, a profile, or state: absent'
                ' [OOMK-3011]')
_CONTAINER = ('this is a container (%s), and the policy belongs to its host, so nothing was changed: run the task there'
              ' [OOMK-3004]')


def _say_undone(sysctls: Dict[str, Any], services: 'Optional[ServicePart]', reason: str) -> Dict[str, Any]:
    """The result of a run that sets nothing; it may hold a forecast."""
    result = _merge(sysctls, services, False)
    return dict(result, applied=False, reason=reason, warnings=result['warnings'] + [reason])


def _apply_alone(host: WritableHost, call: confirm.Call) -> Dict[str, Any]:
    """Plan and apply the services without any sysctl. Returns the result of the sysctls."""
    part = call.part
    part.plan({})
    if part.has_work and not call.request.check_mode:
        with rollback_on_failure(Refusal, *part.errors) as rollback:
            part.apply(rollback)
    return _build_empty()


def _gather_facts(host: WritableHost, result: Dict[str, Any]) -> Dict[str, Any]:
    """The facts, or a warning: a failure here must not look like a failure of the change."""
    try:
        return _look(host)
    except Exception as exc:
        return {'warnings': result['warnings'] + [_NO_FACTS % explain(exc)]}


_NO_FACTS = 'the facts could not be gathered (%s), and the rest of the task was done [OOMK-3014]'


def _look(host: WritableHost) -> Dict[str, Any]:
    # Imported here, because few runs gather facts.
    from .._facts.gather import KEYS, Request, gather_facts
    facts: Dict[str, Any] = host.call(gather_facts, host, Request(set(KEYS), _TOP, False))
    return {'ansible_facts': {'oom': facts}}


# ----------------------------------------------------------------------- options

def _parse_policies(params: Dict[str, Any]) -> List[Policy]:
    """The policies of sysctls that the call is about. Raises ConvertError."""
    policies = []
    for name, policy in SYSCTL_PARTS.items():
        values = params[name] or {}
        is_given = any(values.get(option) is not None for option in policy.list_options())
        if name in params['parts'] and (is_given or _is_absent(params)):
            policies.append(policy.parse(_flatten(params, policy, {} if _is_absent(params) else values)))
    return policies


def _flatten(params: Dict[str, Any], policy: Type[Policy], values: Dict[str, Any]) -> Dict[str, Any]:
    """The parameters as the module of this policy takes them."""
    headroom = values.get('min_headroom')
    return dict(params, min_headroom='5%' if headroom is None else headroom,
                **{name: values.get(name) for name in policy.list_options()})


def _is_absent(params: Dict[str, Any]) -> bool:
    return bool(params['state'] == 'absent')


def _complete(params: Dict[str, Any]) -> Dict[str, Any]:
    """The options with what follows from others. Raises ConvertError."""
    chosen = dict(params, services=params['services'] or [])
    if _is_absent(params):
        chosen.update(services=[], exclusive=True, protect=None)
    if SERVICES not in params['parts']:
        chosen.update(services=[], exclusive=False)
    kills = to_integer('forecast', params['forecast'], 0) or (_KILLS if chosen['protect'] else 0)
    # The action plugin decides on a default that depends on the connection.
    within_s = params['confirm_within']
    return dict(chosen, forecast=kills, confirm_within=0 if within_s is None else within_s)


def _parse_services(params: Dict[str, Any], request: Request, host: WritableHost,
                    manager: Optional[Manager]) -> 'Optional[ServicePart]':
    """The part of the services; None if the call does not concern them. Raises ConvertError."""
    if not (params['services'] or params['exclusive'] or params['forecast']):
        return None
    return ServicePart(params, request, host, manager)


# ---------------------------------------------------------------------- services

class ServicePart(Part):
    """The services of a policy."""

    errors = (ManagerError, ScoreAdjError)

    def __init__(self, params: Dict[str, Any], request: Request, host: WritableHost,
                 manager: Optional[Manager]) -> None:
        """Parse the options. Raises ConvertError."""
        self._host, self._manager = host, manager
        self._desired_states = [service.parse_desired_state(f'services[{number}].', item, params['state'])
                                for number, item in enumerate(params['services'])]
        self._request = request
        self._forecast = parse_forecast_options(params)
        self.sets_something = bool(self._desired_states or self._request.exclusive)
        self._plan: Optional[Plan] = None
        self.diff: List[Dict[str, str]] = []
        self.forecasts: Dict[str, Any] = {}
        self.result: Dict[str, Any] = {}

    def describe(self) -> Any:
        """See Part."""
        return [list(one) for one in self._desired_states]

    def plan(self, runtime_after: State) -> None:
        """See Part. The forecast sees the planned panic policy."""
        plan = self._plan = self._host.call(service.plan_services, self._host, self._manager, self._request,
                                            self._desired_states)
        kill_allocating_task = runtime_after.get(KILL_ALLOCATING_TASK)
        planned = NOTHING._replace(
            score_adj=plan.score_adj, panic_on_oom=runtime_after.get(PANIC_ON_OOM),
            kill_allocating_task=None if kill_allocating_task is None else bool(kill_allocating_task))
        self.forecasts = self._host.call(forecast_before_and_after, self._host, plan.host_state.manager, self._forecast,
                                         planned)
        self.diff = service.build_diff(plan)  # before any change: files can lose their mode, or be removed
        self.result = service.build_result(plan)
        self.has_work = plan.has_work

    def apply(self, rollback: Rollback) -> None:
        """See Part."""
        if self._plan is not None and self.has_work:
            self.result = service.build_result(self._plan, apply_within(self._host, self._plan, rollback))


# ------------------------------------------------------------------------ result

def _build_empty() -> Dict[str, Any]:
    """The result of a run without sysctls."""
    return {
        'changed': False, 'changed_keys': [], 'before': {'runtime': {}, 'boot': {}},
        'after': {'runtime': {}, 'boot': {}}, 'conflicts': [], 'warnings': [], 'diff': [],
        'confirmation': {'state': confirm.NOT_NEEDED, 'within_s': 0, 'until': None,
                         'reason': 'nothing changes at runtime'},
    }


def _merge(sysctls: Dict[str, Any], services: Optional[ServicePart], absent: bool) -> Dict[str, Any]:
    """The result of all parts."""
    if services is None:
        found, more, diff = _NO_SERVICES, _NO_FORECASTS, []
    else:
        found, more, diff = services.result, dict(_NO_FORECASTS, **services.forecasts), services.diff
    joined = {name: sysctls.get(name, []) + found.get(name, [])
              for name in ('conflicts', 'warnings', 'backup_files')}
    result = dict(
        sysctls, changed=sysctls['changed'] or found['changed'], services=found['services'], orphans=found['orphans'],
        restart_needed=[one['unit'] for one in found['services'] if one['restart_needed']],
        diff=sysctls['diff'] + diff, **dict(joined, **more))
    if not result['backup_files']:
        del result['backup_files']
    result['managed'] = not absent or bool(sysctls.get('managed') or found.get('managed'))
    if absent:
        result.pop('msg', None)
    return result


_NO_FORECASTS: Dict[str, Any] = {'forecast_before': None, 'forecast_after': None}
_NO_SERVICES: Dict[str, Any] = {'changed': False, 'services': [], 'orphans': []}
