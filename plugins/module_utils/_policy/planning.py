# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a request into a plan of all changes, before anything is changed."""

import os
from typing import Dict, List, Optional

from .._core.errors import Refusal
from .._core.request import Request
from .._host import conf_files, file_trust, leftovers
from .._host.host import sysctl_path
from .._host.sysctl_access import check_place, check_writable
from .._host.writable import WritableHost
from .._kernel.sysctls import State
from .._sysctl import competing_writers, saved_values
from .._sysctl.boot_plan import BootPlan, plan_boot
from .._sysctl.records import SYSCTLS
from .._sysctl.state import HostState, Unconfirmed
from . import revert
from .plan import Plan, Policy, writes_between


def look_and_plan(host: WritableHost, request: Request, policy: Policy,
                  unconfirmed: Optional[Unconfirmed] = None) -> Plan:
    """Plan a run for the present host state, for L(Host.call). Raises Refusal and OSError."""
    return make_plan(HostState(host, unconfirmed), request, policy)


def make_plan(host_state: HostState, request: Request, policy: Policy) -> Plan:
    """Plan the whole run. Raises Refusal."""
    plan = Plan(host_state, request, policy)
    if saved_values.is_damaged(host_state.originals_data):
        plan.warnings.append(_DAMAGED % saved_values.FILE)
    if request.runtime:
        check_place(host_state.host, policy.keys, host_state.container, request.force)
    asked = _plan_absent(plan) if request.absent else _plan_present(plan)
    check_writable(host_state.host, plan.written_keys(), request.check_mode)
    plan.leftovers = _plan_leftovers(host_state, request)
    file_trust.check_files(host_state.host, plan.files)
    policy.guard(plan)
    if asked:
        overlay = {path: after for path, (_before, after) in plan.files.items()}
        found = competing_writers.find_writers(host_state.host, overlay=overlay)
        plan.warnings += competing_writers.contradictions(found, _said(asked), request.persistent)
    return plan


_DAMAGED = ('%s is damaged: unreadable entries count as never recorded, so values from before the first change may be '
            'lost. Compare the sysctls with what this host should have, then remove that file [OOMK-1307]')


def _plan_present(plan: Plan) -> Dict[str, int]:
    """Plan what the options request. Returns the requested values."""
    host_state, request = plan.host_state, plan.request
    asked: Dict[str, int] = {}
    files = settled = host_state.record.files
    if request.persistent:
        target = plan.policy.boot_target(host_state, request)
        asked.update(target)
        plan.boot_asked = target
        boot_plan = plan_boot(host_state, request, plan.policy.keys, target)
        _take_boot_plan(plan, boot_plan)
        files, settled = boot_plan.record_meanwhile, boot_plan.record
    target = plan.policy.runtime_target(host_state, request) if request.runtime else {}
    asked.update(target)
    _take_runtime(plan, target)
    values = revert.values_after_present(plan, target)
    plan.record_meanwhile = saved_values.Record(values, files)
    plan.record_after = saved_values.Record(revert.without_earlier(values, target), settled)
    return asked


def _plan_absent(plan: Plan) -> Dict[str, int]:
    """Plan to revert what is recorded. Returns no requested values."""
    # Needed with persistent=false too: sysctls can be reverted to the boot value without our lines.
    boot_plan = plan_boot(plan.host_state, plan.request, plan.policy.keys, {})
    reverted = revert.revert_runtime(plan, boot_plan)
    plan.managed = reverted.managed or bool(boot_plan.files)
    files = plan.host_state.record.files
    if plan.request.persistent:
        _take_boot_plan(plan, boot_plan)
        files = boot_plan.record
    if plan.request.runtime:
        plan.warnings += reverted.warnings
        _take_runtime(plan, reverted.target)
    plan.record_after = saved_values.Record(reverted.values, files)
    return {}


def _take_runtime(plan: Plan, target: Dict[str, int]) -> None:
    _check_known(plan.host_state, target)
    plan.runtime_after.update((key, value) for key, value in target.items() if plan.runtime_before[key] is not None)
    plan.writes = plan.policy.order(writes_between(plan.runtime_before, plan.runtime_after),
                                    plan.runtime_before, plan.runtime_after, plan.host_state)


def values_after_boot(host_state: HostState, request: Request) -> State:
    """The values of the sysctls after the next boot, for L(Host.call). Raises OSError."""
    return host_state.boot(request).values


def _plan_leftovers(host_state: HostState, request: Request) -> List[str]:
    """Leftovers of killed runs next to our file and the other files that the loader reads."""
    host = host_state.host
    paths = [request.sysctl_file] + conf_files.list_files(host, host_state.loader)
    folders = {os.path.dirname(host.real(path)) for path in paths}
    etc = [folder for folder in sorted(folders) if folder == '/etc' or folder.startswith('/etc/')]
    own = os.path.dirname(host.real(request.sysctl_file))
    found = [path for folder in sorted(set(etc + [own])) for path in leftovers.list_files(host, folder)]
    return found + leftovers.list_with_folder(host, saved_values.FOLDER)


def _said(asked: Dict[str, int]) -> Dict[str, int]:
    """The requested values, without the 0 of a ratio or kbytes whose counterpart is set."""
    return {key: value for key, value in asked.items()
            if value or not asked.get(SYSCTLS[key].counterpart or key)}


def _take_boot_plan(plan: Plan, boot_plan: BootPlan) -> None:
    plan.files = boot_plan.files
    plan.commented_out = boot_plan.commented_out
    plan.conflicts = boot_plan.conflicts
    plan.warnings += boot_plan.warnings
    plan.boot_after = {key: boot_plan.outcome.values.get(key) for key in plan.policy.keys}


def _check_known(host_state: HostState, target: Dict[str, int]) -> None:
    for key, value in sorted(target.items()):
        # A counterpart that the kernel lacks (kbytes before 3.14) counts as 0.
        if host_state.runtime.get(key) is None and not (value == 0 and SYSCTLS[key].counterpart):
            raise Refusal(f'{key} was to be set to {value}, but this kernel shows no {sysctl_path(key)}. Use runtime: '
                          'false to write the boot configuration only. [OOMK-1204]')
