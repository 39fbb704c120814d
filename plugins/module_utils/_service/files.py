# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the drop-ins: edit ours, find lines of others that would win at the next start, and settle these conflicts."""

import itertools
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from .._core.errors import Refusal
from .._core.sanitize import sanitize
from .._core.text import to_bytes, to_text
from .._host.file_draft import Draft, is_below_etc, settle
from .._host.transaction import LINE_LEFT, MARKER
from .._systemd import drop_in, unit_files, unit_names
from .._systemd.unit_files import LOADED, UNSET, Cause, Unit, UnitFiles
from .model import Plan, Service


class Conflict(NamedTuple):
    unit: str
    setting: str
    wanted: Union[int, str, None]
    next_start: Union[int, str, None]
    file: Optional[str]
    line: Optional[int]


def plan_files(plan: Plan) -> UnitFiles:
    """Fill in the files and conflicts of the plan. Returns the unit files as they will be. Raises Refusal."""
    host = plan.host_state.host
    draft = Draft(host)
    _join_linked(plan)
    staying = _list_staying(plan)
    for service in plan.services:
        if service.is_reverted:
            _draft_removal(plan, service, draft, staying)
        elif not service.is_transient:
            _draft_settings(plan, service, draft)
    _settle(plan, draft)
    plan.files = draft.changes()
    plan.commented_out = [path for path in plan.files if host.real(path) in draft.commented_out]
    return plan.host_state.files.with_overlay(draft.overlay)


def _join_linked(plan: Plan) -> None:
    """Plan drop-ins that are links to one file as one. Raises Refusal for different settings."""
    real = plan.host_state.host.real
    listed: Dict[str, Service] = {}
    for service in plan.services:
        if service.is_reverted or service.is_transient:
            continue
        path = real(drop_in.build_path(service.name))
        other = listed.setdefault(path, service)
        if other.build_settings() != service.build_settings():
            raise Refusal(f'The drop-ins of {other.desired.asked} and {service.desired.asked} are one file, as links '
                          f'lead from both to {sanitize(path)}, and different settings are asked for. Nothing was '
                          'changed. Ask for the same ones for both, or replace the link of one of them by a folder of '
                          'its own. [OOMK-1806]')
    plan.services = [one for one in plan.services if not one.is_reverted or one.name not in plan.host_state.ours
                     or real(drop_in.build_path(one.name)) not in listed]


def _draft_settings(plan: Plan, service: Service, draft: Draft) -> None:
    path = drop_in.build_path(service.name)
    data, settings = plan.host_state.host.read_bytes(path), service.build_settings()
    if data is not None and not drop_in.is_ours(data):
        raise Refusal(f'{path} is there and was not made by this collection (its first line does not say so). Nothing '
                      'was changed. Move it to another name, or remove it. [OOMK-1805]')
    if data is None or not _has_settings(data, settings):
        draft.put(path, drop_in.edit(data, settings))


def _has_settings(data: bytes, settings: Dict[str, Any]) -> bool:
    """Whether the drop-in sets these values, in any spelling, and records them as ours, not as others'."""
    causes, ours = unit_files.parse_settings(data), drop_in.parse_recorded(data)
    return all(causes[key].value == ours.get(key) == value for key, value in settings.items())


def _draft_removal(plan: Plan, service: Service, draft: Draft, staying: List[str]) -> None:
    """Remove our drop-in and restore lines of others, also after a run that was killed halfway."""
    for path in _list_commented(plan, service, staying):
        draft.put(path, _restore(plan.host_state.files.read(path)))
    data = plan.host_state.ours.get(service.name)
    if data is not None:
        path = drop_in.build_path(service.name)
        rest, changed = drop_in.without_ours(data)
        draft.put(path, rest)
        plan.warnings += [LINE_LEFT % (path, sanitize(line)) for line in changed]


# -------------------------------------------------------------------- conflicts

def _settle(plan: Plan, draft: Draft) -> None:
    """Find the lines that would win over ours, and apply the option ``conflicts``. Raises Refusal."""
    unit_files_before = plan.host_state.files

    def find_conflicts() -> List[Conflict]:
        files = unit_files_before.with_overlay(draft.overlay)
        return [conflict for service in plan.services for conflict in _find_conflicts(plan, service, files)]

    def comment_out(conflict: Conflict) -> None:
        path = conflict.file or ''
        if not is_below_etc(draft.host, conflict.file):
            raise Refusal(f'Nothing was changed. {_describe(conflict)}. Only files below /etc are changed by '
                          f'conflicts: comment_out: put a file of the same name below {unit_files.ETC}, or use '
                          'conflicts: warn. [OOMK-1803]')
        draft.put_commented(path, _comment_out_line(draft.read(path) or b'', conflict, unit_files_before.version))

    found = settle(plan.request.conflicts, find_conflicts, comment_out, _describe, _WOULD_WIN)
    plan.conflicts = [dict(conflict._asdict()) for conflict in found]
    plan.warnings += [f'{_describe(conflict)} [OOMK-1801]' for conflict in found]


_WOULD_WIN = ('Nothing was changed, because other drop-ins would win at the next start. %s. Remove or rename them, or '
              'use conflicts: comment_out (comments the lines out) or warn. [OOMK-1801]')


def _find_conflicts(plan: Plan, service: Service, files: UnitFiles) -> List[Conflict]:
    """List a conflict for each winning line. L(_policy.service_plan) warns of settings unknown to systemd."""
    found: Dict[Tuple[Any, Any], Conflict] = {}
    if service.is_transient or service.unit.state != LOADED:
        return []
    settings = [(key, value) for key, value in sorted(service.build_settings().items()) if files.knows(key)]
    for unit in _list_units(plan, service):
        causes = files.read_settings(unit)
        for key, value in settings:
            if causes[key].value != value and not _is_for_instance(plan, service, unit, causes[key]):
                conflict = Conflict(unit.name, key, value, *causes[key])
                found.setdefault((conflict.file, conflict.line), conflict)
    return list(found.values())


def _is_for_instance(plan: Plan, service: Service, unit: Unit, cause: Cause) -> bool:
    """Whether our drop-in for the unit itself decides. One that hides the template's is reported elsewhere."""
    hides = cause == UNSET and unit.name != service.name and unit.name in plan.host_state.ours
    return hides or cause.file == drop_in.build_path(unit.name)


def _list_units(plan: Plan, service: Service) -> List[Unit]:
    """List the unit and a template's running or enabled instances; for a revert also those with drop-ins."""
    if not unit_names.is_template(service.name):
        return [service.unit]
    names = {state['Id'] for state in service.states}
    names.update(plan.host_state.files.list_enabled_instances(service.name.partition('@')[0]))
    if service.is_reverted:
        names.update(plan.host_state.files.list_instances_with_drop_ins(service.name))
    return [service.unit] + [service.unit._replace(name=name) for name in sorted(names)]


def _describe(conflict: Conflict) -> str:
    value = 'nothing (a reset)' if conflict.next_start is None else conflict.next_start
    return (f"{sanitize(conflict.file or 'something')} line {conflict.line} sets {conflict.setting} of {conflict.unit} "
            f"to {value}, and {conflict.wanted} was asked for")


# -------------------------------------------------------- lines that are commented out

def _list_commented(plan: Plan, service: Service, staying: List[str]) -> List[str]:
    """List drop-ins with a line that we commented out and that conflicts with none of our other drop-ins."""
    files = plan.host_state.files
    found: List[str] = []
    for unit in _list_units(plan, service):
        for path in files.list_drop_ins(unit) if unit_names.parse_template(unit.name) not in staying else ():
            data = files.read(path)
            if path not in found and _restore(data) != data and is_below_etc(plan.host_state.host, path):
                found.append(path)
    return [path for path in found if not any(_needs_comment(plan, name, path) for name in staying)]


def _list_staying(plan: Plan) -> List[str]:
    """List the units that keep our drop-in. Links can make it the same file as a removed one."""
    real, ours = plan.host_state.host.real, plan.host_state.ours
    removed = {real(drop_in.build_path(one.name)) for one in plan.services if one.is_reverted and one.name in ours}
    return [name for name in ours if real(drop_in.build_path(name)) not in removed]


def _needs_comment(plan: Plan, name: str, path: str) -> bool:
    """Whether our drop-in of the unit would lose a setting to the commented lines of the file."""
    files = plan.host_state.files
    then = files.with_overlay({plan.host_state.host.real(path): _restore(files.read(path))})
    own = unit_files.parse_settings(plan.host_state.ours[name])
    keys = [key for key in unit_files.SETTINGS if own[key].value is not None]
    return any(files.read_settings(unit)[key].value != then.read_settings(unit)[key].value
               for unit in map(files.find_unit, [name] + files.list_instances_with_drop_ins(name)) for key in keys)


def _comment_out_line(data: bytes, conflict: Conflict, version: int) -> bytes:
    """Comment out the winning line and its continuations. One editor line may be several lines for systemd."""
    winner = (conflict.line, conflict.setting)
    return to_bytes(''.join((MARKER if (line.number, unit_files.parse_key(line)) == winner else '') + raw
                            for line in unit_files.split_logical_lines(data, version) for raw in line.raws))


def _restore(data: bytes) -> bytes:
    """Remove the comment marks of L(_comment_out_line)."""
    result: List[str] = []
    lines = unit_files.split_physical_lines(data) if to_bytes(MARKER) in data else [to_text(data)]
    for is_marked, group in itertools.groupby(lines, key=lambda raw: raw.startswith(MARKER)):
        for line in unit_files.join_lines([raw[len(MARKER):] for raw in group]) if is_marked else ():
            is_setting = unit_files.parse_key(line) in unit_files.SETTINGS
            result += [raw if is_setting else MARKER + raw for raw in line.raws]
        if not is_marked:
            result += group
    return to_bytes(''.join(result))
