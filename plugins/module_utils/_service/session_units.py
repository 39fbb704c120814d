# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find services that start login sessions or run programs of others, by their unit files.

Sources: PAMName=, UtmpIdentifier= and StandardInput= in systemd.exec(5), Delegate= in systemd.resource-control(5),
KillMode= in systemd.kill(5), ExecStart= in systemd.service(5), display-manager.service in systemd.special(7). Its units
in Debian, Fedora, openSUSE and Arch have Alias=, and most have Conflicts=getty@tty1.service.
"""

import re
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from .._core.sanitize import sanitize
from .._core.text import to_bytes, to_text
from .._host.host import Host
from .._systemd.unit_files import FALSE, LOADED, Assignment, Unit, UnitFiles
from .login_guard import Evidence, match_program, match_unit, pick_strongest

_DISPLAY_MANAGER = 'display-manager.service'
_TRUE = ('1', 'yes', 'y', 'true', 't', 'on')
_PREFIXES = '@-:+!|'  # of a command in ExecStart=
_IS_LOGIN: Dict[Tuple[str, str], Callable[[str], bool]] = {
    ('Service', 'PAMName'): bool,
    ('Service', 'UtmpIdentifier'): bool,
    ('Service', 'StandardInput'): lambda value: value in ('tty', 'tty-force', 'tty-fail'),
    ('Install', 'Alias'): lambda value: _DISPLAY_MANAGER in value.split(),
    ('Unit', 'Conflicts'): lambda value: any(one.startswith('getty@') for one in value.split()),
}
# Settings that are lists. For others the last value counts.
_LISTS = ('Alias', 'Conflicts', 'ExecStart')
# Programs that start the one that their command line names.
_STARTER = re.compile(r'(?:(?:ba|da|k|z|a)?sh|exec|env|nice|ionice|chrt|taskset|numactl|setsid|nohup|timeout|prlimit'
                      r'|choom|chpst|setpriv|unshare|stdbuf|busybox|toybox|run|snap|tini|dumb-init|catatonit|dbus-run-session'
                      r'|softlimit|s6-setuidgid|execlineb|perl|node|python[0-9.]*|start-stop-daemon)\Z')
_TOKEN = re.compile(r'[;&|(){}]+|[^\s;&|(){}]+')
_SEPARATORS = ';&|(){}'
_NO_PROGRAM = re.compile(r'[-+](?!/)|[0-9]|[A-Za-z_][A-Za-z0-9_]*=')  # options, numbers, assignments
_QUOTES = re.compile(r'["\'`\\]')
_SCRIPT_LINE = re.compile(r'\s*(?:(?:export\s+)?(?:command|procname|daemon|DAEMON|prog)=|exec\s)(.*)')


class LoginUnits:
    """Units of a host that start logins, each looked up once."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._files: Optional[UnitFiles] = None
        self._found: Dict[bytes, Optional[Evidence]] = {}

    def find_evidence(self, unit: bytes) -> Optional[Evidence]:
        """Find evidence for a unit, see L(find_unit_evidence); None for units that are not services."""
        if unit not in self._found:
            self._files = self._files or UnitFiles(self._host)
            is_service = unit.endswith(b'.service')
            found = find_unit_evidence(self._files, self._files.find_unit(to_text(unit))) if is_service else None
            self._found[unit] = found
        return self._found[unit]


def find_unit_evidence(files: UnitFiles, unit: Unit) -> Optional[Evidence]:
    """Find evidence in the name and the files of a unit."""
    named = match_unit(unit.name)
    if named is not None and named.is_login:
        return named
    if unit.state != LOADED or unit.fragment is None:
        return named
    if files.find_unit(_DISPLAY_MANAGER).name == unit.name:
        return Evidence(True, f'{_DISPLAY_MANAGER} is an alias of it')
    return _find_in_settings(files, unit, named)


def find_script_evidence(data: bytes) -> Optional[Evidence]:
    """Find evidence in the script of a service, for inits other than systemd."""
    lines = (_SCRIPT_LINE.match(line) for line in to_text(data).split('\n'))
    return pick_strongest(_find_in_command(match.group(1)) for match in lines if match)


def _find_in_settings(files: UnitFiles, unit: Unit, named: Optional[Evidence]) -> Optional[Evidence]:
    found: Dict[str, List[Evidence]] = {}
    delegated = False
    for path, one in files.read_assignments(unit):
        is_login = _IS_LOGIN.get((one.section, one.key))
        if is_login is not None:
            _note(found, one, _build_evidence(True, one, path) if is_login(one.value) else None)
        elif one.section == 'Service' and one.key in ('ExecStart', 'KillMode', 'Delegate'):
            delegated = delegates_memory(one.value, delegated) if one.key == 'Delegate' else delegated
            _note(found, one, _find_in_setting(one, path, delegated))
    return pick_strongest([named] + [one for several in found.values() for one in several])


def _find_in_setting(one: Assignment, path: str, delegated: bool) -> Optional[Evidence]:
    if one.key == 'ExecStart':
        return _find_in_command(one.value)
    # With KillMode=process, children outlive the service: sessions, jobs, containers.
    is_for_others = delegated if one.key == 'Delegate' else one.value == 'process'
    return _build_evidence(False, one, path) if is_for_others else None


def _build_evidence(is_login: bool, one: Assignment, path: str) -> Evidence:
    return Evidence(is_login, f'{one.key}= in {sanitize(path)}')


def _note(found: Dict[str, List[Evidence]], one: Assignment, evidence: Optional[Evidence]) -> None:
    if one.key not in _LISTS or not (one.value or one.key == 'Conflicts'):  # systemd.unit(5): no reset of dependencies
        found[one.key] = []
    if evidence is not None:
        found.setdefault(one.key, []).append(evidence)


def _find_in_command(text: str) -> Optional[Evidence]:
    return pick_strongest(match_program(to_bytes(name)[:15]) for name in parse_programs(text))


def parse_programs(command: str) -> Iterator[str]:
    """Parse the names of the programs that a command line starts, also through a shell, env or the like."""
    is_next = True
    for token in _TOKEN.findall(_QUOTES.sub(' ', command.lstrip(_PREFIXES))):
        if token[0] in _SEPARATORS:
            is_next = True
        elif is_next and not _NO_PROGRAM.match(token):
            name = token.rpartition('/')[2]
            yield name
            is_next = _STARTER.match(name) is not None


def delegates_memory(value: str, before: bool) -> bool:
    """Whether Delegate= allows cgroups with memory limits, as container runtimes and job runners make them.

    The value is a boolean, or a list that adds to the one before. systemd-udevd delegates C(pids) only.
    """
    if not value or value.lower() in FALSE:
        return False
    return value.lower() in _TRUE or before or 'memory' in value.split()
