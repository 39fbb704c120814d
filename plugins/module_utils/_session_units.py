# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services start login sessions, or run programs of others, by what their unit files say.

Sources: PAMName= in systemd.exec(5), Delegate= in systemd.resource-control(5), ExecStart= in systemd.service(5),
display-manager.service in systemd.special(7).
"""

from typing import Dict, Optional

from ansible_collections.oomkit.linux.plugins.module_utils._host import to_bytes
from ansible_collections.oomkit.linux.plugins.module_utils._login_guard import Evidence, known_program, known_unit
from ansible_collections.oomkit.linux.plugins.module_utils._names import harmless
from ansible_collections.oomkit.linux.plugins.module_utils._unit_files import FALSE, LOADED, Unit, UnitFiles

_DISPLAY_MANAGER = 'display-manager.service'
_TRUE = ('1', 'yes', 'y', 'true', 't', 'on')
_PREFIXES = '@-:+!|'  # of a command in ExecStart=


def unit_evidence(files: UnitFiles, unit: Unit) -> Optional[Evidence]:
    """What the name and the files of a unit show; None for nothing."""
    named = known_unit(unit.name)
    if named is not None and named.is_login:
        return named
    if unit.state != LOADED or unit.fragment is None:
        return named
    if files.find(_DISPLAY_MANAGER).name == unit.name:
        return Evidence(True, '%s is an alias of it' % _DISPLAY_MANAGER)
    return _from_settings(files, unit, named)


def _from_settings(files: UnitFiles, unit: Unit, named: Optional[Evidence]) -> Optional[Evidence]:
    found: Dict[str, Evidence] = {}
    delegated = False
    for path, one in files.service_assignments(unit):
        if one.key == 'PAMName':
            _note(found, one.key, Evidence(True, 'PAMName= in %s' % harmless(path)) if one.value else None)
        elif one.key == 'ExecStart':
            program = one.value.lstrip(_PREFIXES).partition(' ')[0].rpartition('/')[2]
            _note(found, one.key, known_program(to_bytes(program)[:15]))
        elif one.key == 'Delegate':
            delegated = delegates_memory(one.value, delegated)
            _note(found, one.key, Evidence(False, 'Delegate= in %s' % harmless(path)) if delegated else None)
    logins = [one for one in found.values() if one.is_login]
    return (logins + ([named] if named else []) + list(found.values()) + [None])[0]


def _note(found: Dict[str, Evidence], key: str, evidence: Optional[Evidence]) -> None:
    if evidence is None:
        found.pop(key, None)
    else:
        found[key] = evidence


def delegates_memory(value: str, before: bool) -> bool:
    """Whether Delegate= lets the service make cgroups with limits of memory, as for containers and jobs.

    It takes a boolean, or a list that adds to the one before. systemd-udevd has C(pids) only, for itself.
    """
    if not value or value.lower() in FALSE:
        return False
    return value.lower() in _TRUE or before or 'memory' in value.split()
