# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option protect: find units and processes by name, as the option services does."""

from typing import Any, Dict, List, NamedTuple, Optional, Set

from .._core.errors import Refusal
from .._host.host import Host
from .._service.model import HostState
from .._service.resolve import add_near_matches, refuse_user_unit
from .._systemd import unit_files, unit_names
from .._systemd.manager import Manager


class Protected(NamedTuple):
    asked: str  # as the user wrote it
    unit: str  # the real one
    pids: Set[int]  # its processes, for other inits than systemd, where cgroups do not name services


def from_names(names: List[str]) -> List[Protected]:
    """The names unchanged, for a snapshot, which holds no aliases."""
    return [Protected(name, unit_names.to_unit('protect', name), set()) for name in sorted(set(names))]


def resolve(host: Host, manager: Optional[Manager], names: List[str]) -> List[Protected]:
    """The services of this host. Raises Refusal for an unknown one, and ManagerError."""
    if not names:
        return []
    host_state = HostState(host, manager)
    found = {one.asked: _find(host_state, one) for one in from_names(names)}
    missing = [name for name, one in sorted(found.items()) if one is None]
    if missing:
        known = host_state.files.list_services()
        raise Refusal("protect: there is no such service on this machine: "
                      f"{', '.join(add_near_matches(name, known) for name in missing)}. Nothing was changed. "
                      "Correct the name, or leave it out. [OOMK-1702]")
    return [one for _name, one in sorted(found.items()) if one is not None]


def _find(host_state: HostState, one: Protected) -> Optional[Protected]:
    if host_state.init == 'systemd':
        return _find_unit(host_state, one)
    return _find_other(host_state, one) or (_find_unit(host_state, one) if host_state.has_unit_files() else None)


def _find_unit(host_state: HostState, one: Protected) -> Optional[Protected]:
    files = host_state.files
    unit = files.find_unit(one.unit)
    if unit.state in (unit_files.LOADED, unit_files.MASKED):
        return one._replace(unit=unit.name)
    umbrella = unit_names.build_template(unit.name)
    if umbrella is not None and files.find_unit(umbrella).state == unit_files.LOADED:
        return one._replace(unit=files.find_unit(umbrella).name)
    if unit.state == unit_files.USER:
        raise refuse_user_unit('protect: ' + one.asked)
    states: List[Dict[str, Any]] = host_state.manager.show([one.unit]) if host_state.manager is not None else []
    loaded = [state['Id'] for state in states if state.get('LoadState') == 'loaded']
    return one._replace(unit=loaded[0]) if loaded else None


def _find_other(host_state: HostState, one: Protected) -> Optional[Protected]:
    # Imported late: few hosts need it.
    from .._service import other_init
    name = one.unit[:-len(unit_names.SERVICE)]
    main = other_init.find_main_process(host_state.host, name, [])
    if main is None:
        return one if other_init.has_script(host_state.host, name) else None
    return one._replace(pids=set(other_init.TreeGroup(host_state.host, main).pids()))
