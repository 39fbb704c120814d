# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From wishes about services to a plan: everything a run would do, decided once, before anything is touched."""

import difflib
from typing import Any, Dict, Iterable, List, Optional

from ansible_collections.oomkit.linux.plugins.module_utils import (
    _adj_record,
    _drop_in,
    _other_init,
    _service_guard,
    _unit_files,
    _unit_names,
)
from ansible_collections.oomkit.linux.plugins.module_utils._convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._groups import UnitGroup
from ansible_collections.oomkit.linux.plugins.module_utils._live import INHERITED, MAIN, Given, Target
from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._service_files import plan_files
from ansible_collections.oomkit.linux.plugins.module_utils._services import (
    OomGroup,
    Request,
    Running,
    Service,
    Situation,
    Wish,
    patterns_of,
)
from ansible_collections.oomkit.linux.plugins.module_utils._systemctl import State
from ansible_collections.oomkit.linux.plugins.module_utils._undo import Files
from ansible_collections.oomkit.linux.plugins.module_utils._unit_files import (
    LOADED,
    MASKED,
    MISSING,
    OOM_POLICY,
    SCORE_ADJ,
)


class Plan(object):
    """What a run would do."""

    def __init__(self, situation: Situation, request: Request) -> None:
        self.situation = situation
        self.request = request
        self.services: List[Service] = []
        self.files: Files = {}
        self.taken_over: List[str] = []
        self.conflicts: List[Dict[str, Any]] = []
        self.warnings: List[str] = []
        self.orphans: List[str] = []
        self.reload = False
        self.record_after = situation.record

    def running(self) -> Iterable[Running]:
        """All running units of the plan."""
        return [one for service in self.services for one in service.running]

    @property
    def targets(self) -> List[Target]:
        """The groups of processes that are to be set."""
        return [one.target for one in self.running() if one.target is not None]

    @property
    def changed(self) -> bool:
        """Whether the real run would touch anything that the user sees."""
        return bool(self.files or self.reload or any(one.to_change or one.oom_group for one in self.running()))

    @property
    def to_do(self) -> bool:
        """Whether the real run has anything to write, our own record included."""
        return self.changed or self.record_after != self.situation.record


def make_plan(situation: Situation, request: Request, wishes: List[Wish]) -> Plan:
    """Decide everything. Raises ConvertError and Refusal, before anything is touched."""
    _check_init(situation, request)
    plan = Plan(situation, request)
    if situation.manager is None and request.runtime:
        _settle_missing(plan, _other_init.plan_services(plan, wishes))
        _service_guard.guard(plan)
        return plan
    _resolve(plan, wishes)
    _observe(plan)
    files_after = plan_files(plan) if request.persistent else situation.files
    for service in plan.services:
        service.boot_before = situation.files.settings(service.unit)
        service.boot_after = files_after.settings(service.unit)
        if request.runtime:
            _plan_live(plan, service, files_after)
        _note(plan, service)
    plan.reload = situation.manager is not None and (bool(plan.files) or _is_stale(plan))
    _plan_record(plan)
    _service_guard.guard(plan)
    return plan


def planned_score_adj(plan: Plan) -> Dict[int, int]:
    """oom_score_adj by PID, of the running processes that the plan would set."""
    return dict((process.pid, one.target.wanted) for one in plan.running() if one.target is not None
                for process in one.to_change)


def _check_init(situation: Situation, request: Request) -> None:
    if situation.manager is not None or (not request.runtime and situation.has_unit_files()):
        return
    if situation.init == 'systemd' or not request.runtime:
        raise Refusal('There is no systemd here whose unit files could be written (init: %s). Use runtime: true to set '
                      'running processes only.' % situation.init)
    if situation.has_unit_files() and not situation.host.exists('/proc/1/stat'):
        raise Refusal('systemd does not run here (a chroot or an image?), so no service runs either. Use runtime: '
                      'false to write the drop-ins only.')


def _is_stale(plan: Plan) -> bool:
    return any(state.get('NeedDaemonReload') == 'yes' for service in plan.services for state in service.states)


# ---------------------------------------------------------------------- resolve

def _resolve(plan: Plan, wishes: List[Wish]) -> None:
    """Find the units; what is not there is settled as the option ``missing`` says."""
    situation, request = plan.situation, plan.request
    missing = []
    by_name: Dict[str, Service] = {}
    for wish in wishes:
        unit = situation.files.find(wish.unit)
        service = Service(wish, unit, request.absent)
        same = by_name.get(unit.name)
        if same is not None and same.wish[2:4] == wish[2:4]:
            continue  # by two of its names, and for the same
        if same is not None:
            raise ConvertError('%s and %s are the same service (%s), and different values are asked for; name it '
                               'once' % (same.wish.asked, wish.asked, unit.name))
        by_name[unit.name] = service
        if unit.state == _unit_files.USER:
            raise Refusal('%s is a unit of users (found in the folders of user units only): its processes belong to '
                          'each user\'s own manager, which is not managed here. Nothing was changed.' % wish.asked)
        if unit.state == MISSING and not _left_behind(situation, unit.name):
            missing.append(wish)
        else:
            plan.services.append(service)
    _settle_missing(plan, missing)
    _add_unlisted(plan, by_name)
    plan.orphans = [_drop_in.path_of(name) for name in sorted(situation.ours)
                    if situation.files.find(name).state == MISSING]


def _left_behind(situation: Situation, unit: str) -> bool:
    """Whether something of ours is left of a unit that is not there any more."""
    return unit in situation.ours


def _settle_missing(plan: Plan, missing: List[Wish]) -> None:
    """Fail, warn or go on for services that are not there, each as it says itself or as the request says for all."""
    if not missing or plan.request.absent:
        return
    known = sorted(name[:-len(_unit_names.SERVICE)] for name in plan.situation.files.all_services())
    texts: Dict[str, List[str]] = {}
    for wish in missing:
        near = difflib.get_close_matches(wish.asked, known, 3, 0.7)
        texts.setdefault(wish.missing or plan.request.missing, []).append(
            wish.asked + (' (is %s meant?)' % ' or '.join(near) if near else ''))
    text = 'There is no such service on this machine: %s'
    if 'fail' in texts:
        raise Refusal((text + '. Nothing was changed. Correct the name, or use missing: warn or ignore.')
                      % ', '.join(texts['fail']))
    if 'warn' in texts:
        plan.warnings.append(text % ', '.join(texts['warn']))


def _add_unlisted(plan: Plan, listed: Dict[str, Service]) -> None:
    """With ``exclusive`` everything of ours that is not listed is taken back."""
    situation = plan.situation
    if not plan.request.exclusive:
        return
    for name in sorted(set(situation.ours) | set(situation.record.units)):
        if name not in listed:
            unit = situation.files.find(name)._replace(name=name)
            plan.services.append(Service(Wish(name, name, None, None, None), unit, True, listed=False))


# ---------------------------------------------------------------------- observe

def _observe(plan: Plan) -> None:
    """Ask the manager once about all units, and look at their processes."""
    situation = plan.situation
    for service in plan.services:
        service.owned = service.name in situation.ours or service.name in situation.record.units
        service.transient = (service.unit.fragment or '').startswith(_unit_files.TRANSIENT + '/')
    if situation.manager is None:
        return
    patterns = dict((service.name, patterns_of(service, situation.files)) for service in plan.services)
    states = situation.manager.show(sorted(set(one for names in patterns.values() for one in names)))
    by_id = dict((state['Id'], state) for state in states)
    for service in plan.services:
        if _unit_names.is_template(service.name):
            names = [name for name in sorted(by_id) if _unit_names.template_of(name) == service.name]
        else:
            names = [service.name] if service.name in by_id else []
            template = _unit_names.umbrella_of(service.name)
            service.related = [name for name in sorted(by_id) if template and _unit_names.template_of(name) == template]
        service.states = [by_id[name] for name in names if by_id[name].get('LoadState') in ('loaded', 'masked')]
        service.transient = service.transient or any(state.get('Transient') == 'yes' for state in service.states)
        service.running = [one for one in (_running(situation, state) for state in service.states) if one.processes]


def _running(situation: Situation, state: State) -> Running:
    group = UnitGroup(situation.host, state.get('ControlGroup', ''))
    main_pid = state.get('MainPID', '')
    return Running(state['Id'], group, group.look(situation.host), int(main_pid) if main_pid.isdigit() else 0, state)


# ------------------------------------------------------------------------- live

def _plan_live(plan: Plan, service: Service, files_after: _unit_files.UnitFiles) -> None:
    if service.remove and not service.owned:
        return
    for one in service.running:
        unit = service.unit._replace(name=one.unit)
        before, after = plan.situation.files.settings(unit), files_after.settings(unit)
        if _overruled(service, one.unit, after[SCORE_ADJ].file):
            service.notes.append('%s has a drop-in of its own and follows that' % one.unit)
            continue
        wanted = service.wish.score_adj
        if service.remove:
            wanted = plan.situation.default.value if after[SCORE_ADJ].value is None else after[SCORE_ADJ].value
        if wanted is not None:
            _aim(plan, service, one, wanted, before[SCORE_ADJ].value)
        one.oom_group = _oom_group(plan, service, one, before[OOM_POLICY].value, after[OOM_POLICY].value)


def _overruled(service: Service, unit: str, file: Optional[str]) -> bool:
    """Whether an instance of a template has a drop-in of ours for itself alone."""
    return unit != service.name and file == _drop_in.path_of(unit)


def _aim(plan: Plan, service: Service, one: Running, wanted: int, before: Optional[int]) -> None:
    """Decide which processes of a running unit get the value."""
    given = [Given(value, None) for value in (
        plan.situation.default.value if before is None else before, _number(one.state.get('OOMScoreAdjust')))
        if value is not None]
    given += plan.situation.record.units.get(one.unit, ())
    given += plan.situation.record.units.get(service.name, ())
    one.target = Target(one.unit, one.group, wanted, plan.request.scope, given, one.main_pid)
    one.to_change = one.target.to_change(one.processes)
    one.left_alone = one.target.left_alone(one.processes)
    if one.leader() in one.to_change:
        one.after = wanted
    if plan.request.scope == MAIN and any(process.score_adj != wanted and process.pid != one.main_pid
                                          for process in _followers(one, wanted, given)):
        service.restart_needed = True
        service.notes.append('only the main process is set; its children keep their value until a restart')


def _followers(one: Running, wanted: int, given: List[Given]) -> List[Any]:
    return Target(one.unit, one.group, wanted, INHERITED, given).sort(one.processes).inherited


def _number(text: Optional[str]) -> Optional[int]:
    return None if text is None else _unit_files.parse_score_adj(text)


def _oom_group(plan: Plan, service: Service, one: Running, before: Optional[str],
               after: Optional[str]) -> Optional[OomGroup]:
    """What to write to memory.oom.group: systemd sets it at a start only (``unit_apply_oom_group``... cgroup.c)."""
    asked = service.wish.oom_policy if not service.remove else (after or 'stop') if before != after else None
    folder = getattr(one.group, 'folder', None)
    if asked is None or folder is None:
        return None
    path = folder + '/memory.oom.group'
    text = plan.situation.host.read_text(path)
    if text is None:
        service.notes.append('memory.oom.group is not there (cgroup v1, or no memory controller), so OOMPolicy counts '
                             'without it')
        return None
    wanted = 1 if asked == 'kill' else 0
    return OomGroup(path, int(text), wanted) if int(text) != wanted else None


# ------------------------------------------------------------------------ notes

def _note(plan: Plan, service: Service) -> None:
    """Say what does not count now, or not later."""
    name = service.wish.asked
    if service.unit.state == MASKED:
        service.notes.append('%s is masked: the drop-in counts once it is unmasked and started' % name)
    if service.transient and not service.remove:
        service.notes.append('%s is a transient unit: only its running processes are set, and no drop-in is written, '
                             'because the unit ends with its processes' % name)
    if plan.situation.manager is None or service.remove:
        return
    if not service.running:
        _note_stopped(plan, service)
    elif any(left.process == one.leader() for one in service.running for left in one.left_alone):
        service.notes.append('the main process of %s sets its own value: what is asked for counts for it and for what '
                             'it starts from the next start on' % name)
    elif not plan.request.runtime and any(_differs(service, one) for one in service.running):
        service.restart_needed = True
        service.notes.append('%s runs on with its old value until it is restarted (runtime: false)' % name)


def _differs(service: Service, one: Running) -> bool:
    return service.wish.score_adj is not None and one.before != service.wish.score_adj


def _note_stopped(plan: Plan, service: Service) -> None:
    files, name = plan.situation.files, service.wish.asked
    template = _unit_names.umbrella_of(service.name)
    stem = (template or '').partition('@')[0]
    related = sorted(set(service.related) | set(files.enabled_instances(stem) if template else ()))
    if related and service.unit.state == LOADED:
        plan.warnings.append('%s has no processes of its own; its work is done by %s. Name those, or the template %s'
                             % (name, ', '.join(related), template))
    elif service.unit.state == LOADED:
        service.notes.append('%s is not running: it counts from its next start' % name)


# ----------------------------------------------------------------------- record

def _plan_record(plan: Plan) -> None:
    """Keep what no unit file tells: values set live only, and those of processes that a file was changed behind."""
    record = plan.situation.record
    for service in plan.services:
        for unit in set([one.unit for one in service.running] + [service.name]):
            record = _adj_record.with_unit(record, unit, _values_to_keep(plan, service, unit))
    plan.record_after = record


def _values_to_keep(plan: Plan, service: Service, unit: str) -> List[Given]:
    running = [one for one in service.running if one.unit == unit]
    known = list(plan.situation.record.units.get(unit, ()))
    if not running:
        return []
    target = running[0].target
    if target is None or target.scope == MAIN:
        value = service.boot_before[SCORE_ADJ].value
        now = _adj_record.now_ticks(plan.situation.host)
        old = Given(plan.situation.default.value if value is None else value, now)
        if service.boot_before[SCORE_ADJ].value == service.boot_after[SCORE_ADJ].value:
            return known
        return known + ([] if old.value in [given.value for given in known] else [old])
    after = service.boot_after[SCORE_ADJ].value
    after = plan.situation.default.value if after is None else after
    return [] if target.wanted == after else [Given(target.wanted, None)]
