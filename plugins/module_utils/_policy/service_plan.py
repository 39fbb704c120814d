# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the plan for services: everything that a run would do, decided once, before anything is changed."""

from typing import Any, Dict, List, Optional, Set

from .._host import file_trust, leftovers
from .._host.host import RUN_FOLDER
from .._host.transaction import Files
from .._process.score_adj import MAIN, Given, is_given
from .._service import guard, saved_scores
from .._service.files import plan_files
from .._service.live import LivePlan, find, is_asked_beside, plan_live, unlisted
from .._service.model import DesiredState, HostState, Request, Running, Service
from .._service.revert import plan_other_processes
from .._systemd import drop_in, unit_names
from .._systemd.unit_files import ETC, LOADED, MASKED, MISSING, OOM_POLICY, SCORE_ADJ, SINCE, UnitFiles

# The last versions before a change in how unit files are read.
_VERSIONS = (249, 245, 243, 241, 240, 238, 235)


class Plan(LivePlan):
    """What a run would do."""

    def __init__(self, host_state: HostState, request: Request) -> None:
        super().__init__(host_state, request)
        self.files: Files = {}
        self.commented_out: List[str] = []
        self.conflicts: List[Dict[str, Any]] = []
        self.orphans: List[str] = []
        self.leftovers: List[str] = []
        self.needs_reload = False
        self.is_stale = False

    @property
    def changed(self) -> bool:
        """Whether the real run would touch anything that the user sees."""
        return bool(self.files or self.is_stale or any(one.to_change or one.oom_group for one in self.running()))

    @property
    def managed(self) -> bool:
        """Whether this collection has set anything that the plan is about, as far as recorded."""
        return self.changed or bool(self.other_processes) or any(one.is_owned for one in self.services)

    @property
    def to_do(self) -> bool:
        """Whether the real run has anything to write, our own record included."""
        return self.changed or self.record_after != self.host_state.record or bool(self.leftovers)


def make_plan(host_state: HostState, request: Request, desired_states: List[DesiredState]) -> Plan:
    """Decide everything. Raises ConvertError and Refusal, before anything is changed."""
    plan = Plan(host_state, request)
    marked = leftovers.list_drop_ins(host_state.host, ETC)
    plan.leftovers = (marked + leftovers.list_files(host_state.host, '/etc/conf.d')
                   + leftovers.list_files(host_state.host, RUN_FOLDER))
    find(plan, desired_states)
    everything = request.absent and request.exclusive and request.runtime and not desired_states
    if everything:
        plan.other_processes = plan_other_processes(host_state.host, host_state.record, plan.services)
    if host_state.is_other_init(request):
        # Not at the top: few hosts need it, and an import takes time on every host.
        from .._service import other_init
        other_init.plan_boot(plan)
    else:
        _plan_units(plan, bool(marked))
    _forget_processes(plan, everything)
    file_trust.check_files(host_state.host, plan.files)
    guard.guard(plan)
    return plan


def _plan_units(plan: Plan, is_marked: bool) -> None:
    """Decide about drop-ins and processes of systemd. ``is_marked``: a killed run has left its mark."""
    host_state, request = plan.host_state, plan.request
    plan.orphans = [drop_in.build_path(name) for name in sorted(host_state.ours)
                    if host_state.files.find(name).state == MISSING]
    if request.persistent:
        guard.guard_instances(plan)
    files_after = plan_files(plan) if request.persistent else host_state.files
    for service in plan.services:
        service.next_start_before = host_state.files.settings(service.unit)
        service.next_start = files_after.settings(service.unit)
        plan_live(plan, service, files_after)
        _see_originals(plan, service)
        _note(plan, service)
    plan.is_stale = host_state.manager is not None and _is_stale(plan)
    # A killed run may have changed files of any unit, and systemd may not have read them since.
    plan.needs_reload = host_state.manager is not None and bool(plan.files or plan.is_stale or is_marked)
    _plan_record(plan)
    if host_state.has_unit_files():
        _warn_of_version(plan)


def _warn_of_version(plan: Plan) -> None:
    """Warn of settings that this version of systemd lacks, and of an unknown version where it makes a difference."""
    files = plan.host_state.files
    unknown = [one.desired.asked for one in plan.services if not one.remove and one.desired.oom_policy is not None]
    if unknown and plan.request.persistent and not files.knows(OOM_POLICY):
        plan.warnings.append(f"systemd {files.version} of this host does not know OOMPolicy=, which came with systemd "
                             f"{SINCE[OOM_POLICY]}: what oom_policy sets for {', '.join(unknown)} ends with the next "
                             "restart of the service. Leave oom_policy out, or update systemd")
    if files.is_version_known:
        return
    newest = [_score_at_start(service, files) for service in plan.services]
    for version in _VERSIONS:
        others = UnitFiles(plan.host_state.host, version=version)
        names = [service.desired.asked for service, value in zip(plan.services, newest)
                 if _score_at_start(service, others) != value]
        if names:
            plan.warnings.append("the version of systemd is unknown, because no file of this host names it. A "
                                 f"systemd up to {version} gives {', '.join(names)} another oom_score_adj than a "
                                 "newer one. The newest is assumed. Compare with systemctl show "
                                 "--property=OOMScoreAdjust")
            return


def _score_at_start(service: Service, files: UnitFiles) -> Any:
    value = files.settings(service.unit)[SCORE_ADJ].value
    return files.default_score_adj().value if value is None else value


def _is_stale(plan: Plan) -> bool:
    # A unit that is neither set nor reverted is not ours to reload.
    return any(state.get('NeedDaemonReload') == 'yes' for service in plan.services
               if service.is_owned or not service.remove for state in service.states)


def _see_originals(plan: Plan, service: Service) -> None:
    """Where memory.oom.group comes from a drop-in of ours, replace it as the original."""
    for one in service.running:
        if one.oom_group is not None and one.oom_group.original is not None and _is_policy_ours(plan, one):
            one.oom_group = one.oom_group._replace(original=_group_without_us(plan, one))


def _is_policy_ours(plan: Plan, one: Running) -> bool:
    file = one.next_start_before[OOM_POLICY].file
    return file is not None and drop_in.is_ours(plan.host_state.files.read(file))


def _group_without_us(plan: Plan, one: Running) -> int:
    """memory.oom.group of the unit after a start without any drop-in of ours."""
    without = Plan(plan.host_state, plan.request)
    without.services = [unlisted(plan.host_state, name)
                        for name in (one.unit, unit_names.parse_template(one.unit)) if name is not None]
    files = plan_files(without)
    return int(files.policy_at_start(without.services[0].unit) == 'kill')


# ------------------------------------------------------------------------ notes

def _note(plan: Plan, service: Service) -> None:
    """Note settings that do not apply now, or not later."""
    name = service.desired.asked
    if service.unit.state == MASKED:
        service.notes.append(f'{name} is masked: the drop-in counts once it is unmasked and started')
    if service.is_transient and not service.remove:
        service.notes.append(f'{name} is a transient unit: only its running processes are set, and no drop-in is '
                             'written, because the unit ends with its processes')
    if plan.host_state.manager is None or service.remove:
        return
    if not service.running and not service.unread:
        _note_stopped(plan, service)
    elif any(left.process == one.leader() for one in service.running for left in one.skipped):
        service.notes.append(f'the main process of {name} sets its own value: the requested value applies to it and '
                             'its children after a restart')
    elif not plan.request.runtime and any(_differs(service, one) for one in service.running):
        service.restart_needed = True
        service.notes.append(f'{name} runs on with its old value until it is restarted (runtime: false)')


def _differs(service: Service, one: Running) -> bool:
    return service.desired.score_adj is not None and one.before != service.desired.score_adj


def _note_stopped(plan: Plan, service: Service) -> None:
    files, name = plan.host_state.files, service.desired.asked
    template = unit_names.build_template(service.name)
    stem = (template or '').partition('@')[0]
    related = sorted(set(service.related) | set(files.enabled_instances(stem) if template else ()))
    if related and service.unit.state == LOADED:
        plan.warnings.append(f"{name} has no processes of its own; its work is done by {', '.join(related)}. Name "
                             f"those, or the template {template}")
    elif service.unit.state == LOADED:
        service.notes.append(f'{name} is not running: it counts from its next start')


# ----------------------------------------------------------------------- record

def _plan_record(plan: Plan) -> None:
    """Record what unit files do not hold: values set at runtime only, and values from before a file was changed."""
    record = plan.host_state.record
    for service in plan.services:
        for unit in _list_units(plan, service):
            if is_asked_beside(plan, service, unit, 'score_adj'):
                continue
            record = saved_scores.with_unit(record, unit, _values_to_keep(plan, service, unit))
            record = saved_scores.with_ours(record, unit, _ours_to_keep(plan, service, unit))
        record = record._replace(groups=_groups_to_keep(plan, service, record.groups))
        record = _with_originals(plan, service, record)
    plan.record_after = record


def _forget_processes(plan: Plan, everything: bool) -> None:
    """Remove processes outside of services once they are reverted, and those that have ended."""
    record = saved_scores.without_processes(plan.record_after, [process.key for one in plan.other_processes
                                                               for process in one.processes])
    if everything or record != plan.host_state.record:
        record = saved_scores.without_ended(plan.host_state.host, record)
    plan.record_after = record


def _with_originals(plan: Plan, service: Service, record: saved_scores.Record) -> saved_scores.Record:
    """Add originals of processes that are set or already have the value; remove those of reverted ones."""
    for one in service.running:
        if one.is_reverted:
            record = saved_scores.without_processes(record, (process.key for process in one.processes))
        elif not service.remove and service.desired.score_adj is not None:
            wanted = service.desired.score_adj
            record = saved_scores.with_processes(record, one.to_record(wanted), one.known_values, wanted)
    return record


def _has_own(one: Running, value: Optional[int]) -> bool:
    """Whether a process had the value before us."""
    return any(not is_given(process, one.known_values)
               for process in one.processes if process.score_adj == value)


def _ours_to_keep(plan: Plan, service: Service, unit: str) -> List[int]:
    """Our values that running processes of the unit have, or get now."""
    running = [one for one in service.running if one.unit == unit]
    if not running or running[0].is_reverted:
        return []
    one, recorded, wanted = running[0], plan.host_state.record.ours.get(unit, ()), service.desired.score_adj
    is_set = plan.request.runtime and not service.remove and wanted is not None
    if plan.request.runtime and not (is_set and one.targets and (one.to_change or recorded or _has_own(one, wanted))):
        return list(recorded)
    return one.ours_left(wanted) + ([wanted] if is_set and wanted is not None else [])


def _list_units(plan: Plan, service: Service) -> Set[str]:
    """The service's units that may be in the record: running ones, and recorded instances."""
    recorded = saved_scores.list_units(plan.host_state.record)
    units = set([one.unit for one in service.running] + [service.name]
                + [unit for unit in recorded if unit_names.parse_template(unit) == service.name])
    return units - service.listed_separately


def _groups_to_keep(plan: Plan, service: Service, groups: Dict[str, int]) -> Dict[str, int]:
    """Original memory.oom.group of units that still run with another value and whose files do not set it."""
    running = {one.unit: one for one in service.running}
    kept = dict(item for item in groups.items() if item[0] not in _list_units(plan, service) or item[0] in running)
    for unit, one in running.items():
        if is_asked_beside(plan, service, unit, 'oom_policy'):
            continue
        policy = one.next_start[OOM_POLICY].value
        if not plan.request.runtime:
            if policy != one.next_start_before[OOM_POLICY].value and _is_policy_ours(plan, one):
                kept.setdefault(unit, _group_without_us(plan, one))
        elif not one.is_own and (service.remove or (policy is not None and policy == service.desired.oom_policy)):
            kept.pop(unit, None)
        elif one.oom_group is not None and one.oom_group.original is not None:
            kept.setdefault(unit, one.oom_group.original)
    return kept


def _values_to_keep(plan: Plan, service: Service, unit: str) -> List[Given]:
    running = [one for one in service.running if one.unit == unit]
    known = list(plan.host_state.record.units.get(unit, ()))
    if not running or running[0].is_reverted:
        return []
    target = running[0].targets[0] if running[0].targets else None
    before, after = running[0].next_start_before[SCORE_ADJ], running[0].next_start[SCORE_ADJ]
    default = plan.host_state.default.value
    if target is None or target.scope == MAIN:
        if before.value == after.value:
            return known
        old = default if before.value is None else before.value
        now = saved_scores.now_ticks(plan.host_state.host)
        return known + ([] if old in [given.value for given in known] else [Given(old, now)])
    return [] if target.wanted == (default if after.value is None else after.value) else [Given(target.wanted, None)]
