# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the drop-ins: edit ours, see which line of which file would win at the next start, and settle conflicts."""

import itertools
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .._core.errors import Refusal
from .._core.sanitize import sanitize
from .._core.text import to_bytes, to_text
from .._host.file_draft import Draft, is_below_etc, settle
from .._host.transaction import LINE_LEFT, MARKER
from .._systemd import drop_in, unit_files, unit_names
from .._systemd.unit_files import LOADED, UNSET, Unit, UnitFiles
from .model import Service


class Conflict(NamedTuple):
    unit: str
    setting: str
    wanted: Any
    next_start: Any
    file: Optional[str]
    line: Optional[int]


def plan_files(plan: Any) -> UnitFiles:
    """Fill the plan's files, conflicts and what is commented out; the unit files as they will be. Raises Refusal."""
    host = plan.host_state.host
    draft = Draft(host)
    _join(plan)
    keeping = _keeping(plan)
    for service in plan.services:
        if service.is_transient and not service.remove:
            continue
        if service.remove:
            _draft_removal(plan, service, draft, keeping)
        else:
            _draft_settings(plan, service, draft)
    _settle(plan, draft)
    plan.files = draft.changes()
    plan.commented_out = [path for path in plan.files if host.real(path) in draft.commented_out]
    return plan.host_state.files.with_overlay(draft.overlay)


def _join(plan: Any) -> None:
    """Services of which links make our drop-ins one file get the same: what is asked for counts for all of them."""
    real, listed = plan.host_state.host.real, {}  # type: Any, Dict[str, Service]
    for service in plan.services:
        if service.remove or service.is_transient:
            continue
        path = real(drop_in.build_path(service.name))
        other = listed.setdefault(path, service)
        if other.wanted() != service.wanted():
            raise Refusal(f'The drop-ins of {other.desired.asked} and {service.desired.asked} are one file, as links '
                          'lead '
                          f'from both to {sanitize(path)}, and different settings are asked for. Nothing was changed. '
                          'Ask for the same ones for both, or replace the link of one of them by a folder of its own.')
    plan.services = [one for one in plan.services if not one.remove or one.name not in plan.host_state.ours
                     or real(drop_in.build_path(one.name)) not in listed]


def _draft_settings(plan: Any, service: Service, draft: Draft) -> None:
    path = drop_in.build_path(service.name)
    data = plan.host_state.host.read_bytes(path)
    if data is not None and not drop_in.is_ours(data):
        raise Refusal(f'{path} is there and was not made by this collection (its first line does not say so). Nothing '
                      'was changed. Move it to another name, or remove it.')
    if data is None or not _says(data, service.wanted()) or not _is_recorded(data, service.wanted()):
        draft.put(path, drop_in.edit(data, service.wanted()))


def _says(data: bytes, wanted: Dict[str, Any]) -> bool:
    """Whether the drop-in gives these settings already, however they are spelled."""
    causes = unit_files.parse_settings(data)
    return all(causes[key].value == value for key, value in wanted.items())


def _is_recorded(data: bytes, wanted: Dict[str, Any]) -> bool:
    """Whether these are the settings that the drop-in keeps as ours: somebody else may have changed it to them."""
    ours = drop_in.recorded(data)
    return all(ours.get(key) == value for key, value in wanted.items())


def _draft_removal(plan: Any, service: Service, draft: Draft, keeping: List[str]) -> None:
    """Our drop-in goes, and what was commented out comes back, also where a run ended between the two."""
    for path in _taken_files(plan, service, keeping):
        draft.put(path, _restored(plan.host_state.files.read(path)))
    data = plan.host_state.ours.get(service.name)
    if data is not None:
        path = drop_in.build_path(service.name)
        rest, changed = drop_in.without_ours(data)
        draft.put(path, rest)
        plan.warnings += [LINE_LEFT % (path, sanitize(line)) for line in changed]


# -------------------------------------------------------------------- conflicts

def _settle(plan: Any, draft: Draft) -> None:
    """Find the lines that would win over ours, and do with them what the option says. Raises Refusal."""
    plan_files = plan.host_state.files

    def find() -> List[Conflict]:
        files = plan_files.with_overlay(draft.overlay)
        return [conflict for service in plan.services for conflict in _conflicts(plan, service, files)]

    def comment_out(conflict: Conflict) -> None:
        path = conflict.file or ''
        if not is_below_etc(draft.host, conflict.file):
            raise Refusal(f'Nothing was changed. {_text(conflict)}. Only files below /etc are changed by conflicts: '
                          f'comment_out: put a file of the same name below {unit_files.ETC}, or use conflicts: warn.')
        draft.put_commented(path, _commented_out(draft.read(path) or b'', conflict, plan_files.version))

    found = settle(plan.request.conflicts, find, comment_out, _text, _WOULD_WIN)
    plan.conflicts = [dict(conflict._asdict()) for conflict in found]
    plan.warnings += map(_text, found)


_WOULD_WIN = ('Nothing was changed, because other drop-ins would win at the next start. %s. Remove or rename them, or '
              'use conflicts: comment_out (comments the lines out) or warn.')


def _conflicts(plan: Any, service: Service, files: UnitFiles) -> List[Conflict]:
    found: Dict[Tuple[Any, Any], Conflict] = {}
    if service.is_transient or service.unit.state != LOADED:
        return []
    for unit in _list_units(plan, service):
        causes = files.settings(unit)
        for key, value in sorted(service.wanted().items()):
            if not files.knows(key):
                continue  # no file sets it, and L(_policy.service_plan) warns
            cause = causes[key]
            # An instance of ours that hides what its template gives is told elsewhere.
            hidden = cause == UNSET and unit.name != service.name and unit.name in plan.host_state.ours
            if cause.value != value and not hidden and not _is_own(cause.file, unit):
                found.setdefault((cause.file, cause.line), Conflict(unit.name, key, value, *cause))
    return list(found.values())


def _list_units(plan: Any, service: Service) -> List[Unit]:
    """The unit, and of a template the instances that run or are enabled; where it is reverted, those that did, too.
    """
    if not unit_names.is_template(service.name):
        return [service.unit]
    names = {state['Id'] for state in service.states}
    names.update(plan.host_state.files.enabled_instances(service.name.partition('@')[0]))
    if service.remove:
        names.update(plan.host_state.files.instances_with_drop_ins(service.name))
    return [service.unit] + [service.unit._replace(name=name) for name in sorted(names)]


def _is_own(path: Optional[str], unit: Unit) -> bool:
    """Whether it is a drop-in of this collection, for this one instance of a template."""
    return path == drop_in.build_path(unit.name)


def _text(conflict: Conflict) -> str:
    value = 'nothing (a reset)' if conflict.next_start is None else conflict.next_start
    return (f"{sanitize(conflict.file or 'something')} line {conflict.line} sets {conflict.setting} of {conflict.unit} "
            f"to {value}, and {conflict.wanted} was asked for")


def _taken_files(plan: Any, service: Service, keeping: List[str]) -> List[str]:
    """Drop-ins of the unit in which a line of ours stands commented out, but for those that one of others needs so."""
    files, found = plan.host_state.files, []  # type: Tuple[UnitFiles, List[str]]
    for unit in _list_units(plan, service):
        for path in files.drop_ins(unit) if unit_names.parse_template(unit.name) not in keeping else ():
            data = files.read(path)
            if path not in found and _restored(data) != data and is_below_etc(plan.host_state.host, path):
                found.append(path)
    return [path for path in found if not any(_needs(plan, name, path) for name in keeping)]


def _keeping(plan: Any) -> List[str]:
    """The units whose drop-ins of ours stay. One that links make the same as a drop-in that goes is gone with it."""
    real, ours = plan.host_state.host.real, plan.host_state.ours
    gone = {real(drop_in.build_path(one.name)) for one in plan.services if one.remove and one.name in ours}
    return [name for name in ours if real(drop_in.build_path(name)) not in gone]


def _needs(plan: Any, name: str, path: str) -> bool:
    """Whether our drop-in of the unit would lose a setting to the lines that were taken out of the file."""
    files = plan.host_state.files
    then = files.with_overlay({plan.host_state.host.real(path): _restored(files.read(path))})
    own = unit_files.parse_settings(plan.host_state.ours[name])
    return any(own[key].value is not None and files.settings(unit)[key].value != then.settings(unit)[key].value
               for unit in map(files.find, [name] + files.instances_with_drop_ins(name))
               for key in unit_files.SETTINGS)


def _commented_out(data: bytes, conflict: Conflict, version: int) -> bytes:
    """The winning line, and those that continue it, as comments. What an editor shows as one may be several."""
    taken = (conflict.line, conflict.setting)
    return to_bytes(''.join((MARKER if (line.number, unit_files.parse_key(line)) == taken else '') + raw
                            for line in unit_files.logical_lines(data, version) for raw in line.raws))


def _restored(data: bytes) -> bytes:
    """What L(_commented_out) took is alive again."""
    result: List[str] = []
    lines = unit_files.physical_lines(data) if to_bytes(MARKER) in data else [to_text(data)]
    for marked, group in itertools.groupby(lines, key=lambda raw: raw.startswith(MARKER)):
        for line in unit_files.join_lines([raw[len(MARKER):] for raw in group]) if marked else ():
            taken = unit_files.parse_key(line) in unit_files.SETTINGS
            result += [raw if taken else MARKER + raw for raw in line.raws]
        if not marked:
            result += group
    return to_bytes(''.join(result))
