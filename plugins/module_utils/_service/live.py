# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the running processes of services, and decide which of them get the requested value.

A forecast needs this part of a plan as well: it assumes values and writes nothing.
"""

import difflib
from typing import Any, Dict, Iterable, List, Optional

from .._core.convert import ConvertError
from .._core.errors import NO_SERVICE, NO_SYSTEMD, NO_UNIT_FILES, NeedsAdvice, Refusal
from .._core.text import to_number
from .._host import file_access
from .._process.groups import UnitGroup
from .._process.score_adj import INHERITED, MAIN, Given, Target
from .._systemd import drop_in, unit_names
from .._systemd.manager import ManagerError, State
from .._systemd.unit_files import MISSING, OOM_POLICY, SCORE_ADJ, TRANSIENT, USER, UnitFiles, parse_score_adj
from . import saved_scores
from .model import DesiredState, HostState, OomGroup, Request, Running, Service, build_patterns

_MOST_NAMED = 10


class LivePlan:
    """What a run would do to running processes."""

    def __init__(self, host_state: HostState, request: Request) -> None:
        self.host_state = host_state
        self.request = request
        self.services: List[Service] = []
        self.other_processes: List[Running] = []  # processes that are no service
        self.warnings: List[str] = []
        self.record_after = host_state.record

    def running(self) -> Iterable[Running]:
        """All running units of the plan."""
        return [one for service in self.services for one in service.running] + self.other_processes

    @property
    def targets(self) -> List[Target]:
        """The groups of processes that are to be set."""
        return [target for one in self.running() for target in one.targets]

    def score_adj(self) -> Dict[int, int]:
        """oom_score_adj by PID, of the running processes that the plan would set."""
        return dict(item for one in self.running() for item in one.goals.items())


def make_live_plan(host_state: HostState, request: Request, desired_states: List[DesiredState]) -> LivePlan:
    """Decide about running processes alone, with the unit files as they are. Raises ConvertError and Refusal."""
    plan = LivePlan(host_state, request)
    find(plan, desired_states)
    if host_state.manager is not None:
        for service in plan.services:
            plan_live(plan, service, host_state.files)
    return plan


def find(plan: LivePlan, desired_states: List[DesiredState]) -> None:
    """Fill the plan with the services and their running processes. Raises ConvertError and Refusal.

    For other inits than systemd this also decides which processes are set.
    """
    _check_init(plan.host_state, plan.request)
    if plan.host_state.is_other_init(plan.request):
        # Not at the top: few hosts need it, and an import takes time on every host.
        from . import other_init
        _settle_missing(plan, other_init.plan_services(plan, desired_states))
    else:
        _resolve(plan, desired_states)
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


# ---------------------------------------------------------------------- resolve

def _resolve(plan: LivePlan, desired_states: List[DesiredState]) -> None:
    """Find the units; the option ``missing`` decides about unknown ones."""
    host_state, request = plan.host_state, plan.request
    missing = []
    by_name: Dict[str, Service] = {}
    for desired in desired_states:
        unit = host_state.files.find(desired.unit)
        service = Service(desired, unit, request.absent)
        same = by_name.get(unit.name)
        if same is not None and same.desired[2:4] == desired[2:4]:
            continue  # two names of one unit, with the same values
        if same is not None:
            raise ConvertError(f'{same.desired.asked} and {desired.asked} are the same service ({unit.name}), and '
                               'different '
                               'values are asked for; name it once')
        by_name[unit.name] = service
        if unit.state == USER:
            raise refuse_user_unit(desired.asked)
        if unit.state == MISSING and unit.name not in host_state.ours:
            missing.append(desired)
        else:
            plan.services.append(service)
    _settle_missing(plan, missing)
    _set_apart({service.name: service for service in plan.services if not service.remove})
    _add_unlisted(plan, by_name)


def refuse_user_unit(asked: str) -> Refusal:
    """The refusal of a unit of user managers."""
    return Refusal(f'{asked} is a unit of users (found in the folders of user units only): its processes belong to '
                   'each user\'s own manager, which is not managed here. Nothing was changed.')


def _settle_missing(plan: LivePlan, missing: List[DesiredState]) -> None:
    """Fail, warn or go on for unknown services, by their own ``missing`` or that of the request."""
    if not missing or plan.request.absent:
        return
    known = plan.host_state.files.all_services()
    texts: Dict[str, List[str]] = {}
    for desired in missing:
        texts.setdefault(desired.missing or plan.request.missing, []).append(add_near_matches(desired.asked, known))
    text = 'There is no such service on this machine: %s'
    if 'fail' in texts:
        raise NeedsAdvice(text % ', '.join(texts['fail']), NO_SERVICE)
    if 'warn' in texts:
        plan.warnings.append(text % ', '.join(texts['warn']))


def add_near_matches(name: str, services: List[str]) -> str:
    """The name of an unknown service, with similar names of known ones."""
    known = sorted(one[:-len(unit_names.SERVICE)] for one in services)
    near = difflib.get_close_matches(name, known, 3, 0.7)
    return name + (f" (is {' or '.join(near)} meant?)" if near else '')


def _set_apart(asked: Dict[str, Service]) -> None:
    """An instance listed beside its template is handled separately, and inherits values that it does not set."""
    for name, service in asked.items():
        template = asked.get(unit_names.parse_template(name) or '')
        if template is not None:
            template.listed_separately.add(name)
            service.desired = service.desired._replace(**{
                key: getattr(template.desired, key) for key in ('score_adj', 'oom_policy')
                if getattr(service.desired, key) is None})


def _add_unlisted(plan: LivePlan, listed: Dict[str, Service]) -> None:
    """With ``exclusive``, revert everything of ours that is not listed."""
    host_state = plan.host_state
    if not plan.request.exclusive:
        return
    known = set(host_state.ours).union(listed)
    # A recorded instance is part of its template, unless it has a drop-in of its own.
    recorded = {unit for unit in saved_scores.list_units(host_state.record)
                   if unit_names.parse_template(unit) not in known}
    for name in sorted(recorded.union(host_state.ours)):
        if name not in listed:
            plan.services.append(unlisted(host_state, name))


def unlisted(host_state: HostState, name: str) -> Service:
    """A service that reverts everything of ours for this unit."""
    unit = host_state.files.find(name)._replace(name=name)
    return Service(DesiredState(name, name, None, None, None), unit, True, listed=False)


# ---------------------------------------------------------------------- observe

def _observe(plan: LivePlan) -> None:
    """Ask the manager once about all units, and look at their processes."""
    host_state = plan.host_state
    for service in plan.services:
        service.is_owned = service.name in host_state.ours or _is_recorded(host_state, service.name)
        service.is_transient = (service.unit.fragment or '').startswith(TRANSIENT + '/')
    if host_state.manager is None:
        return
    patterns = {service.name: build_patterns(service, host_state.files) for service in plan.services}
    states = host_state.manager.show(sorted({one for names in patterns.values() for one in names}))
    by_id = {state['Id']: state for state in states}
    known = {name for state in states for name in state.get('Names', state['Id']).split(' ')}
    for service in plan.services:
        if not unit_names.is_template(service.name) and service.name not in known:
            raise ManagerError(f'systemctl show failed: it did not report {service.name}')
        service.states = _states(service, by_id)
        service.is_transient = service.is_transient or any(state.get('Transient') == 'yes' for state in service.states)
        unseen: List[str] = []
        looked = [_running(host_state, state, unseen) for state in service.states]
        _note_unread(service, looked)
        service.running = [one for one in looked if one.processes]
        if unseen:
            service.notes.append(f'{service.name} has cgroups that are nested deeper than a path may be long; their '
                                 'processes are skipped')


def _states(service: Service, by_id: Dict[str, State]) -> List[State]:
    """The states of the service, or of the instances of a template; units that do its work become ``related``."""
    if unit_names.is_template(service.name):
        names = [name for name in _instances(service.name, by_id) if name not in service.listed_separately]
    else:
        names = [service.name] if service.name in by_id else []
        service.related = _instances(unit_names.build_template(service.name) or '', by_id)
    return [by_id[name] for name in names if by_id[name].get('LoadState') in ('loaded', 'masked')]


def _instances(template: str, names: Iterable[str]) -> List[str]:
    return [name for name in sorted(names) if unit_names.parse_template(name) == template]


def _note_unread(service: Service, looked: List[Running]) -> None:
    """Note processes that could not be read. Raises Refusal where the helper process is missing."""
    service.unread = [pid for one in looked for pid in one.group.pids() if pid and not file_access.current.allows(pid)]
    if service.unread and file_access.current.restriction:
        raise Refusal(f'{service.name}: {file_access.current.restriction}. Nothing was changed. Remove the cause and '
                      'run the task again.')
    if service.unread:
        named = ', '.join(map(str, service.unread[:_MOST_NAMED]))
        service.notes.append(f'{len(service.unread)} of its processes are not set, because they or other processes of '
                             f'their user do not answer: {named}')


def _is_recorded(host_state: HostState, name: str) -> bool:
    """Whether the unit or an instance of it is recorded: instances have entries of their own."""
    return any(name in (unit, unit_names.parse_template(unit)) for unit in saved_scores.list_units(host_state.record))


def _running(host_state: HostState, state: State, unseen: List[str]) -> Running:
    group = UnitGroup(host_state.host, state.get('ControlGroup', ''), unseen)
    main_pid = state.get('MainPID', '')
    return Running(state['Id'], group, group.look(host_state.host), int(main_pid) if main_pid.isdigit() else 0, state)


# ------------------------------------------------------------------------- live

def plan_live(plan: LivePlan, service: Service, files_after: UnitFiles) -> None:
    """Decide which running processes of a service are set, with the planned unit files."""
    # Not at the top: a circular import.
    from .revert import ours_of_unit, plan_revert
    host_state = plan.host_state
    for one in service.running:
        unit = service.unit._replace(name=one.unit)
        before = one.next_start_before = host_state.files.settings(unit)
        after = one.next_start = files_after.settings(unit)
        one.ours = ours_of_unit(host_state, one.unit, service.name)
        one.known_values = _explained(host_state, service, one)
        if not plan.request.runtime or (service.remove and not service.is_owned):
            continue
        own = drop_in.build_path(one.unit)
        one.is_own = one.unit != service.name and drop_in.is_ours(files_after.read(own))
        if one.is_own and after[SCORE_ADJ].file == own:
            service.notes.append(f'{one.unit} has a drop-in of its own and follows that')
            continue
        if service.remove and not is_asked_beside(plan, service, one.unit, 'score_adj'):
            plan_revert(host_state.record, one, one.unit, _or_default(host_state, after[SCORE_ADJ].value))
        elif not service.remove and service.desired.score_adj is not None:
            _aim(plan, service, one, service.desired.score_adj, before[SCORE_ADJ].value)
        # The whole drop-in of the template does not count for it, since both have the same name.
        one.oom_group = None if one.is_own else _oom_group(plan, service, one)


def _or_default(host_state: HostState, value: Optional[int]) -> int:
    return int((host_state.default.value or 0) if value is None else value)


def _explained(host_state: HostState, service: Service, one: Running) -> List[Given]:
    """Values that need no original: the unit's value at a start, and ours."""
    values = (_or_default(host_state, one.next_start_before[SCORE_ADJ].value),) + one.ours
    return [Given(value, None) for value in values] + _recorded_values(host_state, service, one)


def _recorded_values(host_state: HostState, service: Service, one: Running) -> List[Given]:
    units = host_state.record.units
    return list(units.get(one.unit, ()) + units.get(service.name, ()))


def _aim(plan: LivePlan, service: Service, one: Running, wanted: int, before: Optional[int]) -> None:
    """Decide which processes of a running unit get the value."""
    given = [Given(value, None) for value in (
        plan.host_state.default.value if before is None else before, _number(one.state.get('OOMScoreAdjust')))
        if value is not None]
    given += _recorded_values(plan.host_state, service, one)
    one.aim(Target(one.unit, one.group, wanted, plan.request.scope, given, one.main_pid, one.processes))
    if plan.request.scope == MAIN and any(process.score_adj != wanted and process.pid != one.main_pid
                                          for process in _followers(one, wanted, given)):
        service.restart_needed = True
        service.notes.append('only the main process is set; its children keep their value until a restart')


def _followers(one: Running, wanted: int, given: List[Given]) -> List[Any]:
    return Target(one.unit, one.group, wanted, INHERITED, given).split(one.processes).inherited


def _number(text: Optional[str]) -> Optional[int]:
    return None if text is None else parse_score_adj(text)


def _oom_group(plan: LivePlan, service: Service, one: Running) -> Optional[OomGroup]:
    """What to write to memory.oom.group, which systemd sets at a start only."""
    wanted = _group_wanted(plan, service, one)
    folder = getattr(one.group, 'folder', None)
    if wanted is None or folder is None:
        return None
    path = folder + '/memory.oom.group'
    text = plan.host_state.host.read_text(path)
    if text is None:
        service.notes.append('memory.oom.group is not there (cgroup v1, or no memory controller), so OOMPolicy counts '
                             'without it')
        return None
    found = to_number(text) or 0
    before = one.next_start_before[OOM_POLICY].value
    if service.remove and before is not None and found != int(before == 'kill') and (
            one.unit not in plan.host_state.record.groups):
        if found != wanted:
            service.notes.append(f'memory.oom.group of {one.unit} is skipped: something else has changed it since '
                                 'this module set it')
        return None
    original = wanted if service.remove else found
    return OomGroup(path, found, wanted, None if service.hides_policy else original) if found != wanted else None


def is_asked_beside(plan: LivePlan, service: Service, unit: str, key: str) -> bool:
    """Whether the same call sets what this service reverts, for the instance itself or by its template."""
    follows = unit == service.name and not _keeps_own(plan, unit, key)
    names = (unit, unit_names.parse_template(unit) if follows else unit)
    return service.remove and any(other.name in names and not other.remove and getattr(other.desired, key) is not None
                                  for other in plan.services)


def _keeps_own(plan: LivePlan, unit: str, key: str) -> bool:
    """Whether a drop-in of ours for the instance alone stays and wins over that of its template."""
    own, files = drop_in.build_path(unit), plan.host_state.files
    return not plan.request.persistent and drop_in.is_ours(files.read(own)) and (
        key == 'oom_policy' or files.settings(files.find(unit)._replace(name=unit))[SCORE_ADJ].file == own)


def _group_wanted(plan: LivePlan, service: Service, one: Running) -> Optional[int]:
    """The new value of memory.oom.group; None for no change.

    The first drop-in for one instance hides that of its template, and reverts a policy that only the template's had.
    """
    if service.desired.oom_policy is not None and not service.remove:
        return int(service.desired.oom_policy == 'kill')
    if is_asked_beside(plan, service, one.unit, 'oom_policy'):
        return None
    recorded = plan.host_state.record.groups.get(one.unit)
    before, after = one.next_start_before[OOM_POLICY].value, one.next_start[OOM_POLICY].value
    if recorded is not None and (after is None or not service.remove):
        return recorded if service.remove else None  # what was set until the restart stays
    if before == after and recorded is None:
        return None
    files = plan.host_state.files
    return int((files.default_policy(files.find(one.unit)) if after is None else after) == 'kill')
