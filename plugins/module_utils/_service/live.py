# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the running processes of services, and decide which get the requested value.

A forecast uses this part of a plan too: it assumes values and writes nothing.
"""

from typing import Dict, Iterable, List, Optional

from .._core.errors import NO_SYSTEMD, NO_UNIT_FILES, NeedsAdvice, Refusal
from .._core.request import Request
from .._core.text import to_number
from .._host import file_access
from .._process.groups import UnitGroup
from .._process.score_adj import INHERITED, MAIN, Given, Target
from .._systemd import drop_in, unit_names
from .._systemd.manager import Manager, ManagerError, State
from .._systemd.unit_files import LOADED, OOM_POLICY, SCORE_ADJ, TRANSIENT, UnitFiles, parse_score_adj
from . import saved_scores
from .model import DesiredState, HostState, OomGroup, Plan, Running, Service
from .resolve import resolve, settle_missing
from .revert import list_our_values, plan_revert

_MOST_NAMED = 10


def make_live_plan(host_state: HostState, request: Request, desired_states: List[DesiredState]) -> Plan:
    """Plan running processes only, with the current unit files. Raises ConvertError and Refusal."""
    plan = Plan(host_state, request)
    find_services(plan, desired_states)
    if host_state.manager is not None:
        for service in plan.services:
            plan_live(plan, service, host_state.files)
    return plan


def find_services(plan: Plan, desired_states: List[DesiredState]) -> None:
    """Add the services and their running processes to the plan. Raises ConvertError and Refusal.

    For inits other than systemd this also decides which processes to set.
    """
    _check_init(plan.host_state, plan.request)
    if plan.host_state.is_other_init(plan.request):
        # Imported late: few hosts need it.
        from . import other_init
        settle_missing(plan, other_init.plan_services(plan, desired_states))
    else:
        resolve(plan, desired_states)
        _observe(plan)


def _check_init(host_state: HostState, request: Request) -> None:
    if host_state.manager is not None or (not request.runtime and host_state.has_unit_files()):
        return
    if host_state.init == 'openrc' and request.persistent:
        return
    if host_state.init == 'systemd' or not request.runtime:
        raise NeedsAdvice(f'There is no systemd here whose unit files could be written (init: {host_state.init})',
                          NO_UNIT_FILES)
    if host_state.has_unit_files() and not host_state.host.exists('/proc/1/stat'):
        raise NeedsAdvice('systemd does not run here (a chroot or an image?), so no service runs either', NO_SYSTEMD)


# ---------------------------------------------------------------------- observe

def _observe(plan: Plan) -> None:
    """Ask the manager once about all units, and read their processes."""
    host_state = plan.host_state
    recorded = saved_scores.list_units(host_state.record)
    # The record has separate entries for instances.
    recorded.update(filter(None, map(unit_names.parse_template, list(recorded))))
    for service in plan.services:
        service.is_owned = service.name in host_state.ours or service.name in recorded
        service.is_transient = (service.unit.fragment or '').startswith(TRANSIENT + '/')
    if host_state.manager is not None:
        by_id = _ask_manager(host_state.manager, host_state.files, plan.services)
        for service in plan.services:
            _look_at_processes(host_state, service, by_id)


def _ask_manager(manager: Manager, files: UnitFiles, services: List[Service]) -> Dict[str, State]:
    """The states of all units by name. Raises ManagerError."""
    states = manager.show(sorted({one for service in services for one in _build_patterns(service, files)}))
    known = {name for state in states for name in state.get('Names', state['Id']).split(' ')}
    for service in services:
        if not unit_names.is_template(service.name) and service.name not in known:
            raise ManagerError(f'systemctl show failed: it did not report {service.name}')
    return {state['Id']: state for state in states}


def _build_patterns(service: Service, files: UnitFiles) -> List[str]:
    """Build the patterns for a unit: its name, or all instances of a template, also of one that does its work."""
    if unit_names.is_template(service.name):
        return [unit_names.build_instance(service.name, '*')]
    template = unit_names.build_template(service.name)
    if template and files.find_unit(template).state == LOADED:
        return [service.name, unit_names.build_instance(template, '*')]
    return [service.name]


def _look_at_processes(host_state: HostState, service: Service, by_id: Dict[str, State]) -> None:
    service.states = _find_states(service, by_id)
    service.is_transient = service.is_transient or any(state.get('Transient') == 'yes' for state in service.states)
    unseen: List[str] = []
    looked = [_look_at_unit(host_state, state, unseen) for state in service.states]
    _note_unread(service, looked)
    service.running = [one for one in looked if one.processes]
    if unseen:
        service.notes.append(f'{service.name} has cgroups that are nested deeper than a path may be long; their '
                             'processes are skipped [OOMK-1808]')


def _find_states(service: Service, by_id: Dict[str, State]) -> List[State]:
    """Find the states of the service or of a template's instances. Units that do its work become ``related``."""
    if unit_names.is_template(service.name):
        names = [name for name in _list_instances(service.name, by_id) if name not in service.listed_separately]
    else:
        names = [service.name] if service.name in by_id else []
        service.related = _list_instances(unit_names.build_template(service.name) or '', by_id)
    return [by_id[name] for name in names if by_id[name].get('LoadState') in ('loaded', 'masked')]


def _list_instances(template: str, names: Iterable[str]) -> List[str]:
    return [name for name in sorted(names) if unit_names.parse_template(name) == template]


def _look_at_unit(host_state: HostState, state: State, unseen: List[str]) -> Running:
    group = UnitGroup(host_state.host, state.get('ControlGroup', ''), unseen)
    main_pid = to_number(state.get('MainPID')) or 0
    return Running(state['Id'], group, group.look(host_state.host), main_pid, state)


def _note_unread(service: Service, looked: List[Running]) -> None:
    """Note processes that could not be read. Raises Refusal where the helper process is missing."""
    service.unread = [pid for one in looked for pid in one.group.pids() if pid and not file_access.current.allows(pid)]
    if service.unread and file_access.current.restriction:
        raise Refusal(f'{service.name}: {file_access.current.restriction}. Nothing was changed. Remove the cause and '
                      'run the task again. [OOMK-3105]')
    if service.unread:
        named = ', '.join(map(str, service.unread[:_MOST_NAMED]))
        service.notes.append(f'{len(service.unread)} of its processes are not set, because they or other processes of '
                             f'their user do not answer: {named} [OOMK-3105]')


# ------------------------------------------------------------------------- live

def plan_live(plan: Plan, service: Service, files_after: UnitFiles) -> None:
    """Decide which running processes of a service to set, given the planned unit files."""
    host_state = plan.host_state
    for one in service.running:
        unit = service.unit._replace(name=one.unit)
        one.next_start_before, one.next_start = host_state.files.read_settings(unit), files_after.read_settings(unit)
        one.ours = list_our_values(host_state, one.unit, service.name)
        values = (host_state.find_score_at_start(one.next_start_before),) + one.ours
        one.known_values = [Given(value, None) for value in values] + _list_recorded_values(host_state, service, one)
        if plan.request.runtime and (service.is_owned or not service.is_reverted):
            _plan_unit(plan, service, one, files_after)


def _plan_unit(plan: Plan, service: Service, one: Running, files_after: UnitFiles) -> None:
    """Decide which processes of a running unit to set, and memory.oom.group."""
    own = drop_in.build_path(one.unit)
    one.has_own_drop_in = one.unit != service.name and drop_in.is_ours(files_after.read(own))
    if one.has_own_drop_in and one.next_start[SCORE_ADJ].file == own:
        service.notes.append(f'{one.unit} has a drop-in of its own and follows that [OOMK-1808]')
        return
    if service.is_reverted and not is_asked_beside(plan, service, one.unit, 'score_adj'):
        plan_revert(plan.host_state.record, one, one.unit, plan.host_state.find_score_at_start(one.next_start))
    elif not service.is_reverted and service.desired.score_adj is not None:
        _set_target(plan, service, one, service.desired.score_adj)
    # The template's whole drop-in does not apply to the instance: both have the same name.
    one.oom_group = None if one.has_own_drop_in else _plan_oom_group(plan, service, one)


def _list_recorded_values(host_state: HostState, service: Service, one: Running) -> List[Given]:
    units = host_state.record.units
    return list(units.get(one.unit, ()) + units.get(service.name, ()))


def _set_target(plan: Plan, service: Service, one: Running, wanted: int) -> None:
    """Decide which processes of a running unit get the value."""
    values = (plan.host_state.find_score_at_start(one.next_start_before),
              parse_score_adj(one.state.get('OOMScoreAdjust') or ''))
    given = [Given(value, None) for value in values if value is not None]
    given += _list_recorded_values(plan.host_state, service, one)
    one.set_target(Target(one.unit, one.group, wanted, plan.request.scope, given, one.main_pid, one.processes))
    if plan.request.scope == MAIN:
        inherited = Target(one.unit, one.group, wanted, INHERITED, given).split(one.processes).inherited
        if any(process.score_adj != wanted and process.pid != one.main_pid for process in inherited):
            service.restart_needed = True
            service.notes.append('only the main process is set; its children keep their value until a restart'
                                 ' [OOMK-1909]')


def _plan_oom_group(plan: Plan, service: Service, one: Running) -> Optional[OomGroup]:
    """Plan memory.oom.group, which systemd sets only at start."""
    wanted = _find_wanted_group(plan, service, one)
    folder = getattr(one.group, 'folder', None)
    if wanted is None or folder is None:
        return None
    path = folder + '/memory.oom.group'
    text = plan.host_state.host.read_text(path)
    found = to_number(text) or 0
    if text is None:
        service.notes.append('memory.oom.group is not there (cgroup v1, or no memory controller), so OOMPolicy counts '
                             'without it [OOMK-1910]')
    elif found != wanted and not (service.is_reverted and _is_skipped(plan, service, one, found)):
        original = wanted if service.is_reverted else found
        return OomGroup(path, found, wanted, None if service.hides_policy else original)
    return None


def _is_skipped(plan: Plan, service: Service, one: Running, found: int) -> bool:
    """Whether memory.oom.group stays, with a note: it matches neither the unit files nor the record."""
    policy = one.next_start_before[OOM_POLICY].value
    if policy is None or found == int(policy == 'kill') or one.unit in plan.host_state.record.groups:
        return False
    service.notes.append(f'memory.oom.group of {one.unit} is skipped: something else has changed it since this module '
                         'set it [OOMK-1907]')
    return True


def is_asked_beside(plan: Plan, service: Service, unit: str, key: str) -> bool:
    """Whether the same call sets what this service reverts, for the instance or its template."""
    follows = unit == service.name and not _keeps_own(plan, unit, key)
    names = (unit, unit_names.parse_template(unit) if follows else unit)
    setting = [other for other in plan.services if not other.is_reverted and getattr(other.desired, key) is not None]
    return service.is_reverted and any(other.name in names for other in setting)


def _keeps_own(plan: Plan, unit: str, key: str) -> bool:
    """Whether our drop-in for the instance alone stays and wins over its template's."""
    own, files = drop_in.build_path(unit), plan.host_state.files
    return not plan.request.persistent and drop_in.is_ours(files.read(own)) and (
        key == 'oom_policy' or files.read_settings(files.find_unit(unit)._replace(name=unit))[SCORE_ADJ].file == own)


def _find_wanted_group(plan: Plan, service: Service, one: Running) -> Optional[int]:
    """Find the new value of memory.oom.group; None for no change.

    The first drop-in of an instance hides its template's. This reverts a policy that only the template's had.
    """
    policy = service.build_settings().get(OOM_POLICY)
    if policy is not None:
        return int(policy == 'kill')
    if is_asked_beside(plan, service, one.unit, 'oom_policy'):
        return None
    recorded = plan.host_state.record.groups.get(one.unit)
    before, after = one.next_start_before[OOM_POLICY].value, one.next_start[OOM_POLICY].value
    if recorded is not None and (after is None or not service.is_reverted):
        return recorded if service.is_reverted else None  # the value set at runtime stays
    if before == after and recorded is None:
        return None
    files = plan.host_state.files
    return int((files.find_default_policy(files.find_unit(one.unit)) if after is None else after) == 'kill')
