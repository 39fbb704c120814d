# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan all changes to services, before anything is changed."""

from typing import Dict, List, Optional, Set

from .._core.request import Request
from .._host import file_trust, leftovers
from .._host.host import RUN_FOLDER
from .._host.writable import WritableHost
from .._process.score_adj import MAIN, Given, is_given
from .._service import guard, saved_scores
from .._service.files import plan_files
from .._service.live import find_services, is_asked_beside, plan_live
from .._service.model import DesiredState, HostState, Plan, Running, Service
from .._service.resolve import build_unlisted
from .._service.revert import plan_other_processes
from .._systemd import drop_in, unit_names
from .._systemd.manager import Manager
from .._systemd.unit_files import ETC, LOADED, MASKED, MISSING, OOM_POLICY, SCORE_ADJ, SINCE, UnitFiles

# The last systemd versions before a change in how it reads unit files.
_VERSIONS = (249, 245, 243, 241, 240, 238, 235)


def make_plan(host: WritableHost, manager: Optional[Manager], request: Request,
              desired_states: List[DesiredState]) -> Plan:
    """Make the plan. Raises ConvertError, Refusal and ManagerError, before anything is changed."""
    plan = Plan(HostState(host, manager), request)
    marked = leftovers.list_drop_ins(host, ETC)
    plan.leftovers = marked + leftovers.list_files(host, '/etc/conf.d') + leftovers.list_files(host, RUN_FOLDER)
    find_services(plan, desired_states)
    everything = request.absent and request.exclusive and request.runtime and not desired_states
    if everything:
        plan.other_processes = plan_other_processes(host, plan.host_state.record, plan.services)
    if plan.host_state.is_other_init(request):
        # Imported here, because few hosts need it.
        from .._service import other_init
        other_init.plan_next_starts(plan)
    else:
        _plan_units(plan, bool(marked))
    _forget_processes(plan, everything)
    file_trust.check_files(host, plan.files)
    guard.guard(plan)
    return plan


def _plan_units(plan: Plan, is_marked: bool) -> None:
    """Plan drop-ins and processes under systemd. ``is_marked``: a killed run has left its mark."""
    host_state, request = plan.host_state, plan.request
    plan.orphans = [drop_in.build_path(name) for name in sorted(host_state.ours)
                    if host_state.files.find_unit(name).state == MISSING]
    if request.persistent:
        guard.guard_instances(plan)
    files_after = plan_files(plan) if request.persistent else host_state.files
    for service in plan.services:
        service.next_start_before = host_state.files.read_settings(service.unit)
        service.next_start = files_after.read_settings(service.unit)
        plan_live(plan, service, files_after)
        _correct_originals(plan, service)
        _note(plan, service)
    if host_state.manager is not None:
        plan.is_stale = _is_stale(plan)
        # A killed run may have changed files of any unit without a reload.
        plan.needs_reload = bool(plan.files or plan.is_stale or is_marked)
    _plan_record(plan)
    if host_state.has_unit_files():
        _warn_of_version(plan)


def _warn_of_version(plan: Plan) -> None:
    """Warn of settings that this systemd lacks, and of an unknown version if it matters."""
    files = plan.host_state.files
    names = [one.desired.asked for one in plan.services if OOM_POLICY in one.build_settings()]
    if names and plan.request.persistent and not files.knows(OOM_POLICY):
        plan.warnings.append(f"systemd {files.version} of this host does not know OOMPolicy=, which came with systemd "
                             f"{SINCE[OOM_POLICY]}: what oom_policy sets for {', '.join(names)} ends with the next "
                             "restart of the service. Leave oom_policy out, or update systemd [OOMK-1810]")
    if not files.is_version_known:
        _warn_of_unknown_version(plan, [_find_score_at_start(service, files) for service in plan.services])


def _warn_of_unknown_version(plan: Plan, newest: List[int]) -> None:
    """Warn of the first version whose values differ from ``newest``, which is in the order of services."""
    for version in _VERSIONS:
        files = UnitFiles(plan.host_state.host, version=version)
        names = [service.desired.asked for service, value in zip(plan.services, newest)
                 if _find_score_at_start(service, files) != value]
        if names:
            plan.warnings.append("the version of systemd is unknown, because no file of this host names it. A "
                                 f"systemd up to {version} gives {', '.join(names)} another oom_score_adj than a "
                                 "newer one. The newest is assumed. Compare with systemctl show "
                                 "--property=OOMScoreAdjust [OOMK-1811]")
            return


def _find_score_at_start(service: Service, files: UnitFiles) -> int:
    value = files.read_settings(service.unit)[SCORE_ADJ].value
    return int(files.find_default_score_adj().value if value is None else value)


def _is_stale(plan: Plan) -> bool:
    # A unit that is neither set nor reverted is not ours to reload.
    return any(state.get('NeedDaemonReload') == 'yes' for service in plan.services
               if service.is_owned or not service.is_reverted for state in service.states)


def _correct_originals(plan: Plan, service: Service) -> None:
    """Replace an original memory.oom.group that comes from a drop-in of ours."""
    for one in service.running:
        if one.oom_group is not None and one.oom_group.original is not None and _is_policy_ours(plan, one):
            one.oom_group = one.oom_group._replace(original=_find_group_without_us(plan, one))


def _is_policy_ours(plan: Plan, one: Running) -> bool:
    file = one.next_start_before[OOM_POLICY].file
    return file is not None and drop_in.is_ours(plan.host_state.files.read(file))


def _find_group_without_us(plan: Plan, one: Running) -> int:
    """memory.oom.group of the unit after a start without our drop-ins."""
    without = Plan(plan.host_state, plan.request)
    without.services = [build_unlisted(plan.host_state, name)
                        for name in (one.unit, unit_names.parse_template(one.unit)) if name is not None]
    files = plan_files(without)
    return int(files.find_policy_at_start(without.services[0].unit) == 'kill')


# ------------------------------------------------------------------------ notes

def _note(plan: Plan, service: Service) -> None:
    """Note settings that apply only later, or only now."""
    name = service.desired.asked
    if service.unit.state == MASKED:
        service.notes.append(f'{name} is masked: the drop-in counts once it is unmasked and started [OOMK-1808]')
    if service.is_transient and not service.is_reverted:
        service.notes.append(f'{name} is a transient unit: only its running processes are set, and no drop-in is '
                             'written, because the unit ends with its processes [OOMK-1808]')
    if plan.host_state.manager is not None and not service.is_reverted:
        _note_processes(plan, service)


def _note_processes(plan: Plan, service: Service) -> None:
    name = service.desired.asked
    if not service.running and not service.unread:
        _note_stopped(plan, service)
    elif any(left.process == one.find_leader() for one in service.running for left in one.skipped):
        service.notes.append(f'the main process of {name} sets its own value: the requested value applies to it and '
                             'its children after a restart [OOMK-1906]')
    elif not plan.request.runtime and any(service.desired.score_adj not in (None, one.before)
                                          for one in service.running):
        service.restart_needed = True
        service.notes.append(f'{name} runs on with its old value until it is restarted (runtime: false) [OOMK-1909]')


def _note_stopped(plan: Plan, service: Service) -> None:
    """Note that a service does not run, or warn that other units do its work."""
    if service.unit.state != LOADED:
        return
    name, template = service.desired.asked, unit_names.build_template(service.name)
    enabled = plan.host_state.files.list_enabled_instances(template.partition('@')[0]) if template else []
    related = sorted(set(service.related).union(enabled))
    if related:
        plan.warnings.append(f"{name} has no processes of its own; its work is done by {', '.join(related)}. Name "
                             f"those, or the template {template} [OOMK-1707]")
    else:
        service.notes.append(f'{name} is not running: it counts from its next start [OOMK-1808]')


# ----------------------------------------------------------------------- record

def _plan_record(plan: Plan) -> None:
    """Record what unit files do not hold: runtime-only values, and values before a file was changed."""
    record = plan.host_state.record
    for service in plan.services:
        units = _list_units(plan, service)
        running = {one.unit: one for one in service.running if not one.is_reverted}
        for unit in units:
            if not is_asked_beside(plan, service, unit, 'score_adj'):
                one = running.get(unit)
                record = saved_scores.with_unit(record, unit, [] if one is None else _list_values(plan, one))
                record = saved_scores.with_ours(record, unit, [] if one is None else _list_ours(plan, service, one))
        record = record._replace(groups=_plan_groups(plan, service, units, record.groups))
        record = _with_originals(service, record)
    plan.record_after = record


def _forget_processes(plan: Plan, everything: bool) -> None:
    """Remove processes outside of services once they are reverted, and those that have ended."""
    record = saved_scores.without_processes(plan.record_after, [process.key for one in plan.other_processes
                                                                for process in one.processes])
    if everything or record != plan.host_state.record:
        record = saved_scores.without_ended(plan.host_state.host, record)
    plan.record_after = record


def _with_originals(service: Service, record: saved_scores.Record) -> saved_scores.Record:
    """Add originals of processes that are set or already have the value; remove those of reverted ones."""
    wanted = service.build_settings().get(SCORE_ADJ)
    for one in service.running:
        if one.is_reverted:
            record = saved_scores.without_processes(record, [process.key for process in one.processes])
        elif wanted is not None:
            record = saved_scores.with_processes(record, one.list_to_record(wanted), one.known_values, wanted)
    return record


def _list_ours(plan: Plan, service: Service, one: Running) -> List[int]:
    """Our values that running processes of the unit have or get now."""
    recorded = plan.host_state.record.ours.get(one.unit, ())
    wanted = service.build_settings().get(SCORE_ADJ)
    if not plan.request.runtime:
        return one.list_ours_left(service.desired.score_adj)
    if wanted is None or not one.targets or not (one.goals or recorded or _has_own_value(one, wanted)):
        return list(recorded)
    return one.list_ours_left(wanted) + [wanted]


def _has_own_value(one: Running, value: int) -> bool:
    """Whether a process had the value before we set it."""
    return any(process.score_adj == value and not is_given(process, one.known_values) for process in one.processes)


def _list_units(plan: Plan, service: Service) -> Set[str]:
    """The service's units that may be in the record: running ones, and recorded instances."""
    units = {one.unit for one in service.running}.union([service.name])
    units.update(unit for unit in saved_scores.list_units(plan.host_state.record)
                 if unit_names.parse_template(unit) == service.name)
    return units - service.listed_separately


def _plan_groups(plan: Plan, service: Service, units: Set[str], groups: Dict[str, int]) -> Dict[str, int]:
    """Original memory.oom.group of units that still run with another value and whose files do not set it."""
    running = {one.unit: one for one in service.running}
    kept = {unit: value for unit, value in groups.items() if unit not in units or unit in running}
    for unit, one in running.items():
        if not is_asked_beside(plan, service, unit, 'oom_policy'):
            _plan_group(plan, service, one, kept)
    return kept


def _plan_group(plan: Plan, service: Service, one: Running, groups: Dict[str, int]) -> None:
    """Add the original of a running unit to the groups, or remove it."""
    policy = one.next_start[OOM_POLICY].value
    is_set = policy is not None and policy == service.desired.oom_policy
    if not plan.request.runtime:
        if policy != one.next_start_before[OOM_POLICY].value and _is_policy_ours(plan, one):
            groups.setdefault(one.unit, _find_group_without_us(plan, one))
    elif not one.has_own_drop_in and (service.is_reverted or is_set):
        groups.pop(one.unit, None)
    elif one.oom_group is not None and one.oom_group.original is not None:
        groups.setdefault(one.unit, one.oom_group.original)


def _list_values(plan: Plan, one: Running) -> List[Given]:
    """The values that the unit's processes may have from before a change of unit files."""
    known = list(plan.host_state.record.units.get(one.unit, ()))
    target = one.targets[0] if one.targets else None
    if target is not None and target.scope != MAIN:
        is_in_files = target.wanted == plan.host_state.find_score_at_start(one.next_start)
        return [] if is_in_files else [Given(target.wanted, None)]
    old = plan.host_state.find_score_at_start(one.next_start_before)
    is_known = old in [given.value for given in known]
    if is_known or one.next_start_before[SCORE_ADJ].value == one.next_start[SCORE_ADJ].value:
        return known
    return known + [Given(old, saved_scores.read_now_ticks(plan.host_state.host))]
