# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of inits other than systemd: found by PID file or name, set at runtime, with OpenRC for the next start too.

Sources: openrc-run(8) and /run/openrc/daemons, start-stop-daemon(8), runsv(8) (supervise/pid), the Linux Standard
Base (/run/NAME.pid).
"""

import contextlib
import re
from typing import Dict, Iterator, List, Optional, Set, Tuple

from .._core.convert import ConvertError
from .._core.errors import NO_POLICY, NeedsAdvice, Refusal
from .._core.sanitize import explain, sanitize
from .._core.text import to_number, to_text
from .._host.host import Host
from .._process import pid_file
from .._process.groups import Group
from .._process.handle import ProcessHandle, ProcessIdentity, identify, is_same, list_pids
from .._process.score_adj import Given, Target
from .._systemd import unit_files, unit_names
from . import openrc, saved_scores
from .model import DesiredState, HostState, Plan, Running, Service
from .revert import plan_revert

_SCRIPTS = ('/etc/init.d/%s', '/etc/sv/%s', '/etc/service/%s', '/var/service/%s', '/etc/s6/sv/%s')
_PID_FILES = ('/run/%s.pid', '/run/%s/%s.pid', '/run/%sd.pid', '/run/%s/pid')
_SUPERVISED = ('/etc/service/%s/supervise/pid', '/var/service/%s/supervise/pid', '/run/service/%s/supervise/pid',
               '/run/openrc/options/%s/child_pid')  # of supervise-daemon; the PID file has its own PID
_DAEMONS = '/run/openrc/daemons'
_INIT = 1  # every process descends from it


class TreeGroup(Group):
    """A process and its descendants. The start time identifies the process: PIDs are reused."""

    def __init__(self, host: Host, top: ProcessIdentity) -> None:
        self.host, self.top = host, top

    def pids(self) -> List[int]:
        """See Group."""
        return sorted(one.pid for one in self.look(self.host))

    def look(self, host: Host) -> List[ProcessIdentity]:
        """See Group. Reads each process once.

        Skips children of a process that has ended: init is their parent now, and the PID may be reused.
        """
        children: Dict[int, List[ProcessIdentity]] = {}
        for seen in _identify_all(host):
            children.setdefault(seen.parent, []).append(seen)
        top = identify(host, self.top.pid)
        todo = [top] if top is not None and is_same(top, self.top) else []
        found: List[ProcessIdentity] = []
        while todo:
            one = todo.pop()
            found.append(one)
            born = children.pop(one.pid, [])
            if born and is_same(one, identify(host, one.pid)):
                todo += born
        return sorted(found)

    def holds(self, handle: ProcessHandle) -> bool:
        """See Group: a descendant stays one, and the start time identifies it."""
        return True


def _identify_all(host: Host) -> Iterator[ProcessIdentity]:
    for pid in list_pids(host):
        seen = identify(host, pid)
        if seen is not None:
            yield seen


def plan_services(plan: Plan, desired_states: List[DesiredState]) -> List[DesiredState]:
    """Fill the plan. Returns the requests of unknown services. Raises ConvertError and Refusal."""
    host_state = plan.host_state
    missing: List[DesiredState] = []
    seen: Set[str] = set()
    for desired in desired_states:
        name = desired.unit[:-len(unit_names.SERVICE)]
        if name in seen:
            raise ConvertError(f'{name} is named twice; name it once [OOMK-1705]')
        seen.add(name)
        main = _warn_and_find(plan, name)
        if main is None and not has_script(host_state.host, name):
            missing.append(desired)
            continue
        desired = _without_policy(plan, desired, name)
        if desired.score_adj is not None or plan.request.absent:
            plan.services.append(_plan_service(plan, desired, plan.request.absent, main))
    if plan.request.exclusive:
        for name in sorted(_list_ours(host_state) - seen):
            desired = DesiredState(name, name + unit_names.SERVICE, None, None, None)
            plan.services.append(_plan_service(plan, desired, True, _warn_and_find(plan, name)))
    _plan_record(plan)
    return missing


def _without_policy(plan: Plan, desired: DesiredState, name: str) -> DesiredState:
    """The request without oom_policy. Raises Refusal with ``missing`` fail."""
    if desired.oom_policy is None:
        return desired
    text = f'{name}: oom_policy is a setting of systemd, and the init here is {plan.host_state.init}'
    if (desired.missing or plan.request.missing) == 'fail':
        raise NeedsAdvice(text, NO_POLICY)
    plan.warnings.append(text + ', so that it is not set [OOMK-2005]')
    return desired._replace(oom_policy=None)


def has_script(host: Host, name: str) -> bool:
    """Whether this host has a script for the service."""
    return any(host.exists(path % name) for path in _SCRIPTS)


def read_scripts(host: Host, name: str) -> List[bytes]:
    """The readable scripts that start a service: its script, or C(run) in its folder."""
    found: List[bytes] = []
    for path in [path % name + more for path in _SCRIPTS for more in ('', '/run')]:
        with contextlib.suppress(OSError):
            found.append((host.read_bytes(path) or b'') if host.is_openable(path) else b'')
    return found


def _list_ours(host_state: HostState) -> Set[str]:
    configured = openrc.list_ours(host_state.host) if host_state.init == 'openrc' else []
    return set(host_state.record.originals).union(configured)


def _is_configured(host_state: HostState, name: str) -> bool:
    """Whether it started with our value, which is not an original."""
    return host_state.init == 'openrc' and openrc.is_ours(host_state.host.read_bytes(openrc.build_path(name)))


def _plan_service(plan: Plan, desired: DesiredState, is_reverted: bool, main: Optional[ProcessIdentity]) -> Service:
    """Plan one service and its processes."""
    host_state = plan.host_state
    service = Service(desired, unit_files.Unit(desired.unit, unit_files.LOADED, None), is_reverted)
    service.is_owned = service.short_name in _list_ours(host_state)
    if main is not None:
        group = TreeGroup(host_state.host, main)
        processes = group.look(host_state.host)
        service.running = [Running(desired.unit, group, processes, main.pid, {})] if processes else []
    for one in service.running:
        one.ours = _list_our_values(host_state, service.short_name, one)
        if plan.request.runtime:
            _plan_running(plan, service, one)
    return service


def _plan_running(plan: Plan, service: Service, one: Running) -> None:
    record, name = plan.host_state.record, service.short_name
    wanted = _find_value_before_us(plan.host_state, name) if service.is_reverted else service.desired.score_adj
    if wanted is None:
        return
    if service.is_reverted:
        plan_revert(record, one, name, wanted)
    else:
        value = one.find_leader().score_adj
        given = (Given(value, None),) + record.units.get(one.unit, ())
        one.known_values = [Given(known, None) for known in (record.originals.get(name, value),) + one.ours]
        one.set_target(Target(name, one.group, wanted, plan.request.scope, given, one.main_pid, one.processes))


def _list_our_values(host_state: HostState, name: str, one: Running) -> Tuple[int, ...]:
    """List our values that its processes may have: those set at runtime, and our line's in its file."""
    values = host_state.record.ours.get(one.unit, ())
    if _is_configured(host_state, name):
        configured = openrc.find_cause(name, host_state.host.read_bytes(openrc.build_path(name))).value
        values += () if configured is None or configured in values else (configured,)
    return values


def _find_value_before_us(host_state: HostState, name: str) -> Optional[int]:
    """Find the value of a running service after a revert; None if nothing is ours.

    Until the next boot the record holds the original. After that it is the value of a start without our line.
    """
    original = host_state.record.originals.get(name)
    if original is not None or name not in _list_ours(host_state):
        return original
    rest = openrc.edit(host_state.host.read_bytes(openrc.build_path(name)), None)
    configured = openrc.find_cause(name, rest).value
    return to_number(host_state.host.read_text('/proc/1/oom_score_adj')) if configured is None else int(configured)


def _plan_record(plan: Plan) -> None:
    """Record the value from before our first change, for state absent."""
    record = plan.host_state.record
    originals, units = dict(record.originals), dict(record.units)
    for service in plan.services if plan.request.runtime else ():
        units.pop(service.name, None)  # left by a killed run
        name = service.short_name
        if service.is_reverted:
            originals.pop(name, None)
        elif service.running and service.running[0].goals and not _is_configured(plan.host_state, name):
            originals.setdefault(name, service.running[0].find_leader().score_adj)
        record = _with_processes(record, service)
    plan.record_after = record._replace(originals=originals, units=units)


def _with_processes(record: saved_scores.Record, service: Service) -> saved_scores.Record:
    """Update the entries of its processes, and of our values that they have."""
    wanted = service.desired.score_adj
    for one in service.running:
        keys = [process.key for process in one.processes]
        if service.is_reverted or wanted is None:
            record = saved_scores.with_ours(saved_scores.without_processes(record, keys), one.unit, ())
        elif one.goals or one.unit in record.ours:
            record = saved_scores.with_processes(record, one.list_to_record(wanted), one.known_values, wanted)
            record = saved_scores.with_ours(record, one.unit, one.list_ours_left(wanted) + [wanted])
    return record


# -------------------------------------------------------------------- the next start

def plan_next_starts(plan: Plan) -> None:
    """Plan the next starts with OpenRC, and warn where a start loses the value. Raises Refusal."""
    for service in plan.services:
        is_openrc = plan.host_state.init == 'openrc'
        lost = _plan_conf(plan, service) if is_openrc else f'the init here is {plan.host_state.init}'
        if not service.is_reverted:
            _note_next_start(plan, service, lost)


def _plan_conf(plan: Plan, service: Service) -> str:
    """Plan the service's file below /etc/conf.d. Returns why it has no effect, or an empty text."""
    host, name = plan.host_state.host, service.short_name
    path = openrc.build_path(name)
    data = after = host.read_bytes(path)
    lost = '' if service.is_reverted else openrc.explain_no_effect(host, name) or ''
    if plan.request.persistent and not lost:
        if service.is_reverted:
            after = openrc.edit(data, None) if openrc.is_ours(data) else data
        else:
            _guard_conflicts(plan, service, name)
            after = openrc.edit(data, service.desired.score_adj)
    service.next_start_before = {unit_files.SCORE_ADJ: openrc.find_cause(name, data)}
    service.next_start = {unit_files.SCORE_ADJ: openrc.find_cause(name, after)}
    if after != data:
        plan.files[path] = (data, after)
    return lost


def _guard_conflicts(plan: Plan, service: Service, name: str) -> None:
    """Refuse lines that win over ours, or warn if ``conflicts`` is warn."""
    found = openrc.find_winning_lines(plan.host_state.host, name)
    plan.conflicts += [{'unit': service.name, 'setting': unit_files.SCORE_ADJ, 'wanted': service.desired.score_adj,
                        'next_start': None, **one._asdict()} for one in found]
    if not found:
        return
    places = ', '.join(f'{sanitize(one.file)} line {one.line}' for one in found)
    text = f'{places} decides about the next start of {name}, and not SSD_OOM_SCORE_ADJ of {openrc.build_path(name)}'
    if plan.request.conflicts != 'warn':
        raise Refusal(f'Nothing was changed: {text}. Take that out, or use conflicts: warn. [OOMK-2004]')
    plan.warnings.append(f'{text} [OOMK-2004]')


def _note_next_start(plan: Plan, service: Service, lost: str) -> None:
    """Note settings that do not apply now, or not later."""
    name, request, running = service.desired.asked, plan.request, service.running
    if lost and not running:
        service.notes.append(f'{name} does not run, and only running processes can be set: {lost} [OOMK-2002]')
    elif lost and request.persistent:
        plan.warnings.append(f'{name}: only its running processes are set; its next start will lose it: {lost}. '
                             f'Starting it by "choom -n {service.desired.score_adj} -- COMMAND" keeps it [OOMK-2001]')
    elif not running and request.persistent:
        service.notes.append(f'{name} is not running: it counts from its next start [OOMK-1808]')
    elif running and not request.runtime and running[0].before != service.desired.score_adj:
        service.restart_needed = True
        service.notes.append(f'{name} runs on with its old value until it is restarted (runtime: false) [OOMK-1909]')


# ------------------------------------------------------------------------ processes

def _warn_and_find(plan: Plan, name: str) -> Optional[ProcessIdentity]:
    """The main process; warn of doubts if there is none."""
    doubts: List[str] = []
    main = find_main_process(plan.host_state.host, name, doubts)
    if main is None:
        plan.warnings += doubts
    return main


def find_main_process(host: Host, name: str, doubts: List[str]) -> Optional[ProcessIdentity]:
    """Find the main process of a service by the files of its supervisor, its PID file or its name.

    The owner of a service may write any PID there. So only the owner's processes count; ``doubts`` reports others.
    """
    paths = [path.replace('%s', name) for path in _SUPERVISED] + _list_openrc_pid_files(host, name, doubts)
    paths += [path.replace('%s', name) for path in _PID_FILES]
    for path in paths:
        try:
            pid = pid_file.read_pid_file(host, path) or 0
        except pid_file.PidFileError as exc:
            doubts.append(f'{name}: {exc} [OOMK-2003]')
            continue
        seen = identify(host, pid) if pid > _INIT else None
        if seen is None:
            continue
        doubt = pid_file.explain_doubt(host, path, pid)
        if doubt is not None:
            doubts.append(f'{name}: {doubt} [OOMK-2003]')
        elif is_same(seen, identify(host, pid)):  # the checks were about this process
            return seen
    return _find_by_name(host, name, doubts)


def _list_openrc_pid_files(host: Host, name: str, doubts: List[str]) -> List[str]:
    """List the PID files in start-stop-daemon's records. An unreadable record is a doubt."""
    folder, texts = f'{_DAEMONS}/{name}', []
    try:
        for entry in host.names(folder):
            texts.append(to_text(host.read_named_file(folder + '/' + entry) or b''))
    except OSError as exc:
        if pid_file.is_fault(host, folder, exc):
            raise
        doubts.append(f'{name}: what OpenRC has noted of its daemons cannot be read: {explain(exc)} [OOMK-2003]')
    return [match for text in texts for match in re.findall(r'^pidfile=(/.+)$', text, re.MULTILINE)]


def _find_by_name(host: Host, name: str, doubts: List[str]) -> Optional[ProcessIdentity]:
    """Find the only process of that name with a differently named parent; None for none or several.

    Any user can choose this name, so processes of login users do not count.
    """
    named: Dict[int, ProcessIdentity] = {}
    for seen, uid in _find_named(host, name.encode('utf-8', 'surrogateescape')[:15]):
        if uid is not None and uid <= pid_file.MOST_SYSTEM_UID:
            named[seen.pid] = seen
        elif not doubts:
            doubts.append(f"{name}: process {seen.pid} has this name and is skipped: it belongs to user "
                          f"{'unknown' if uid is None else uid}, who is not a system account. Select it with the "
                          "option process, or keep a PID file in a folder of root's [OOMK-2003]")
    tops = [one for one in named.values() if one.parent not in named]
    return tops[0] if len(tops) == 1 else None


def _find_named(host: Host, name: bytes) -> Iterator[Tuple[ProcessIdentity, Optional[int]]]:
    """Find processes of that name, each with its user; None for an unreadable user."""
    for seen in _identify_all(host):
        if seen.pid > _INIT and seen.name == name:
            uid = pid_file.find_user(host, seen.pid)
            if is_same(seen, identify(host, seen.pid)):
                yield seen, uid
