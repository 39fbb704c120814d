# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the drop-ins: edit ours, see which line of which file would win at the next start, and settle conflicts."""

import itertools
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from .._core.errors import Refusal
from .._core.sanitize import sanitize
from .._core.text import to_bytes, to_text
from .._host.host import Host
from .._host.transaction import LINE_LEFT, MARKER, Files
from .._systemd import drop_in, unit_files, unit_names
from .._systemd.unit_files import LOADED, UNSET, Overlay, Unit, UnitFiles
from .model import Service

# Each round takes a line out of a file, and no sensible file has so many.
_MAX_ROUNDS = 1000


class Conflict(NamedTuple):
    unit: str
    setting: str
    wanted: Any
    next_start: Any
    file: Optional[str]
    line: Optional[int]


class _Draft:
    """Files as they will be. One that links give several names is one: what is planned for it counts for all of them.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._names: Dict[str, str] = {}
        self.overlay: Overlay = {}

    def put(self, path: str, data: Optional[bytes]) -> None:
        """Plan this content for the file."""
        real = self._host.real(path)
        self.overlay[real] = data
        if path == real or real not in self._names:
            self._names[real] = path

    def changes(self) -> Files:
        """What differs from what is there, each file by the first of its names, or by that which is no link."""
        found = ((self._names[real], data) for real, data in self.overlay.items())
        pairs = [(path, (self._host.read_bytes(path), data)) for path, data in found]
        return {path: pair for path, pair in pairs if pair[0] != pair[1]}


def plan_files(plan: Any) -> UnitFiles:
    """Fill the plan's files, conflicts and what is taken over; the unit files as they will be. Raises Refusal."""
    host = plan.host_state.host
    draft = _Draft(host)
    _join(plan)
    keeping = _keeping(plan)
    for service in plan.services:
        if service.transient and not service.remove:
            continue
        if service.remove:
            _draft_removal(plan, service, draft, keeping)
        else:
            _draft_settings(plan, service, draft)
    taken = _settle(plan, draft)
    plan.files = draft.changes()
    plan.commented_out = [path for path in plan.files if host.real(path) in taken]
    return plan.host_state.files.with_overlay(draft.overlay)


def _join(plan: Any) -> None:
    """Services of which links make our drop-ins one file get the same: what is asked for counts for all of them."""
    real, listed = plan.host_state.host.real, {}  # type: Any, Dict[str, Service]
    for service in plan.services:
        if service.remove or service.transient:
            continue
        path = real(drop_in.path_of(service.name))
        other = listed.setdefault(path, service)
        if other.wanted() != service.wanted():
            raise Refusal(f'The drop-ins of {other.desired.asked} and {service.desired.asked} are one file, as links '
                          'lead '
                          f'from both to {sanitize(path)}, and different settings are asked for. Nothing was changed. '
                          'Ask for the same ones for both, or replace the link of one of them by a folder of its own.')
    plan.services = [one for one in plan.services if not one.remove or one.name not in plan.host_state.ours
                     or real(drop_in.path_of(one.name)) not in listed]


def _draft_settings(plan: Any, service: Service, draft: _Draft) -> None:
    path = drop_in.path_of(service.name)
    data = plan.host_state.host.read_bytes(path)
    if data is not None and not drop_in.is_ours(data):
        raise Refusal(f'{path} is there and was not made by this collection (its first line does not say so). Nothing '
                      'was changed. Move it to another name, or remove it.')
    if data is None or not _says(data, service.wanted()) or not _is_recorded(data, service.wanted()):
        draft.put(path, drop_in.edit(data, service.wanted()))


def _says(data: bytes, wanted: Dict[str, Any]) -> bool:
    """Whether the drop-in gives these settings already, however they are spelled."""
    causes = unit_files.settings_of(data)
    return all(causes[key].value == value for key, value in wanted.items())


def _is_recorded(data: bytes, wanted: Dict[str, Any]) -> bool:
    """Whether these are the settings that the drop-in keeps as ours: somebody else may have changed it to them."""
    ours = drop_in.recorded(data)
    return all(ours.get(key) == value for key, value in wanted.items())


def _draft_removal(plan: Any, service: Service, draft: _Draft, keeping: List[str]) -> None:
    """Our drop-in goes, and what was taken over comes back, also where a run ended between the two."""
    for path in _taken_files(plan, service, keeping):
        draft.put(path, _restored(plan.host_state.files.read(path)))
    data = plan.host_state.ours.get(service.name)
    if data is not None:
        path = drop_in.path_of(service.name)
        rest, changed = drop_in.without_ours(data)
        draft.put(path, rest)
        plan.warnings += [LINE_LEFT % (path, sanitize(line)) for line in changed]


# -------------------------------------------------------------------- conflicts

def _settle(plan: Any, draft: _Draft) -> Set[str]:
    """Find the lines that would win over ours, and do with them what the option says. Raises Refusal.

    Where the files lie of which lines were taken over.
    """
    taken: Set[str] = set()
    for _round in range(_MAX_ROUNDS):
        files = plan.host_state.files.with_overlay(draft.overlay)
        found = [conflict for service in plan.services for conflict in _conflicts(plan, service, files)]
        if not found or plan.request.conflicts != 'comment_out':
            break
        taken.add(_take_over(plan, found[0], files, draft))
    else:
        raise Refusal(f'Nothing was changed. conflicts: comment_out would comment out more than {_MAX_ROUNDS} lines: '
                      f'{_text(found[0])}. Remove these lines, or use conflicts: warn.')
    plan.conflicts = [dict(conflict._asdict()) for conflict in found]
    if found and plan.request.conflicts == 'fail':
        raise Refusal("Nothing was changed, because other drop-ins would win at the next start. "
                      f"{'. '.join(_text(conflict) for conflict in found)}. Remove or rename them, or use "
                      "conflicts: comment_out (comments the lines out) or warn.")
    plan.warnings += [_text(conflict) for conflict in found]
    return taken


def _conflicts(plan: Any, service: Service, files: UnitFiles) -> List[Conflict]:
    found: Dict[Tuple[Any, Any], Conflict] = {}
    if service.transient or service.unit.state != LOADED:
        return []
    for unit in _units_of(plan, service):
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


def _units_of(plan: Any, service: Service) -> List[Unit]:
    """The unit, and of a template the instances that run or are enabled; where it is taken back, those that did, too.
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
    return path == drop_in.path_of(unit.name)


def _text(conflict: Conflict) -> str:
    value = 'nothing (a reset)' if conflict.next_start is None else conflict.next_start
    return (f"{sanitize(conflict.file or 'something')} line {conflict.line} sets {conflict.setting} of {conflict.unit} "
            f"to {value}, and {conflict.wanted} was asked for")


def _take_over(plan: Any, conflict: Conflict, files: UnitFiles, draft: _Draft) -> str:
    """Turn the winning line into a comment; where its file lies."""
    path = plan.host_state.host.real(conflict.file or '/')
    if not path.startswith('/etc/'):
        raise Refusal(f'Nothing was changed. {_text(conflict)}. Only files below /etc are changed by conflicts: '
                      f'comment_out: put a file of the same name below {unit_files.ETC}, or use conflicts: warn.')
    draft.put(conflict.file or '', _commented_out(files.read(path), conflict, files.version))
    return path


def _taken_files(plan: Any, service: Service, keeping: List[str]) -> List[str]:
    """Drop-ins of the unit in which a line of ours stands commented out, but for those that one of others needs so."""
    files, found = plan.host_state.files, []  # type: Tuple[UnitFiles, List[str]]
    for unit in _units_of(plan, service):
        for path in files.drop_ins(unit) if unit_names.template_of(unit.name) not in keeping else ():
            data = files.read(path)
            if path not in found and _restored(data) != data and plan.host_state.host.real(path).startswith('/etc/'):
                found.append(path)
    return [path for path in found if not any(_needs(plan, name, path) for name in keeping)]


def _keeping(plan: Any) -> List[str]:
    """The units whose drop-ins of ours stay. One that links make the same as a drop-in that goes is gone with it."""
    real, ours = plan.host_state.host.real, plan.host_state.ours
    gone = {real(drop_in.path_of(one.name)) for one in plan.services if one.remove and one.name in ours}
    return [name for name in ours if real(drop_in.path_of(name)) not in gone]


def _needs(plan: Any, name: str, path: str) -> bool:
    """Whether our drop-in of the unit would lose a setting to the lines that were taken out of the file."""
    files = plan.host_state.files
    then = files.with_overlay({plan.host_state.host.real(path): _restored(files.read(path))})
    own = unit_files.settings_of(plan.host_state.ours[name])
    return any(own[key].value is not None and files.settings(unit)[key].value != then.settings(unit)[key].value
               for unit in map(files.find, [name] + files.instances_with_drop_ins(name))
               for key in unit_files.SETTINGS)


def _commented_out(data: bytes, conflict: Conflict, version: int) -> bytes:
    """The winning line, and those that continue it, as comments. What an editor shows as one may be several."""
    taken = (conflict.line, conflict.setting)
    return to_bytes(''.join((MARKER if (line.number, unit_files.key_of(line)) == taken else '') + raw
                            for line in unit_files.logical_lines(data, version) for raw in line.raws))


def _restored(data: bytes) -> bytes:
    """What L(_commented_out) took is alive again."""
    result: List[str] = []
    lines = unit_files.physical_lines(data) if to_bytes(MARKER) in data else [to_text(data)]
    for marked, group in itertools.groupby(lines, key=lambda raw: raw.startswith(MARKER)):
        for line in unit_files.join_lines([raw[len(MARKER):] for raw in group]) if marked else ():
            taken = unit_files.key_of(line) in unit_files.SETTINGS
            result += [raw if taken else MARKER + raw for raw in line.raws]
        if not marked:
            result += group
    return to_bytes(''.join(result))
