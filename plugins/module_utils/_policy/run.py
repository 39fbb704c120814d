# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a module that sets sysctls: check the options, make and apply the plan, build the result."""

from typing import Any, Callable, Dict, List, Type

from .._core.convert import ConvertError
from .._core.request import Request, parse_request
from .._host.file_diff import describe_files
from .._host.transaction import Done
from .._host.writable import WritableHost
from .._kernel import sysctls
from .._sysctl import saved_values
from .._sysctl.records import ALL_KEYS
from .apply import apply_plan
from .plan import Plan, Policy
from .planning import look_and_plan
from .waiting import check_nothing_waits

# One run, see L(run_at_once).
Runner = Callable[[WritableHost, Dict[str, Any], Type[Policy], bool], Dict[str, Any]]


def run_at_once(host: WritableHost, params: Dict[str, Any], policy: Type[Policy], check_mode: bool) -> Dict[str, Any]:
    """Run a module once. Returns the result with its warnings. Raises ConvertError, Refusal, ApplyError, OSError."""
    request, desired = parse_options(params, policy, check_mode), policy.parse(params)
    check_nothing_waits(host, desired.keys)
    plan = host.call(look_and_plan, host, request, desired)
    result = build_result(plan)  # before any change, because it may fail
    if plan.to_do and not check_mode:
        add_done(result, apply_plan(plan))
    return result


def parse_options(params: Dict[str, Any], policy: Type[Policy], check_mode: bool) -> Request:
    """Check the shared options, and that something is requested. Raises ConvertError."""
    _check_options(params, policy.list_options(), params['state'] == 'absent')
    return parse_request(params, check_mode)


def _check_options(params: Dict[str, Any], values: List[str], absent: bool) -> None:
    given = [name for name in values if params[name] is not None]
    if absent and given:
        raise ConvertError("state: absent takes away all settings of this module and takes no value; remove "
                           f"{', '.join(given)} [OOMK-1106]")
    if not absent and not given:
        raise ConvertError(f"nothing is asked for: give at least one of {', '.join(values)}, or state: absent"
                           " [OOMK-1105]")


def build_result(plan: Plan) -> Dict[str, Any]:
    """Build what the module returns, with its warnings.

    The diff holds configured values and files only, so that check mode and the real run agree.
    L(_module.runner) returns it in diff mode only.
    """
    keys = [key for key in plan.policy.keys if key in plan.changed_keys()]
    diff = describe_files(plan.host_state.host, plan.files, ALL_KEYS)
    if plan.writes:
        diff.insert(0, {
            'before_header': 'runtime', 'after_header': 'runtime',
            'before': sysctls.render(plan.runtime_before, keys), 'after': sysctls.render(plan.runtime_after, keys)})
    result = {
        'changed': plan.changed,
        'changed_keys': keys,
        'before': {'runtime': plan.runtime_before, 'boot': plan.boot_before},
        'after': {'runtime': plan.runtime_after, 'boot': plan.boot_after},
        'conflicts': plan.conflicts,
        'warnings': list(plan.warnings),
        'diff': diff,
    }
    if plan.request.absent:
        result['managed'] = plan.managed
        if not plan.managed:
            result['msg'] = _NOT_MANAGED % saved_values.FILE
    return result


_NOT_MANAGED = ('Nothing was changed: %s holds no sysctl of this module, and no file below /etc holds a line that this '
                'collection wrote [OOMK-1308]')


def add_done(result: Dict[str, Any], done: Done) -> None:
    """Add what L(apply_plan) returned."""
    result['warnings'] += done.warnings
    if done.backups:
        result['backup_files'] = result.get('backup_files', []) + done.backups
