# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuse a negative oom_score_adj for processes of login users, and for processes that start logins.

Any user can choose a program's name and arguments, so a rule by name can match any process. L(_service.guard) has the
same rules for services.
Sources: login.defs(5), "Users, groups, UIDs and GIDs on systemd systems".
"""

import functools
import os
from typing import List, NamedTuple, Optional, Tuple

from .._core.errors import Refusal
from .._core.sanitize import sanitize
from .._host.file_access import parse_uids
from .._host.host import Host
from .._process.groups import Group, Restricted, Rule
from .._process.handle import ProcessHandle, ProcessIdentity
from .guard import NEVER_KILLED, guard_inheritance, warn_of_consumers
from .login_guard import OF_USER, Evidence, is_of_login_user, pick_strongest, read_cgroups, read_unit, starts_logins
from .session_scan import SessionScan
from .session_units import LoginUnits


class Asked(NamedTuple):
    label: str
    value: int
    has_user: bool
    force: bool


def is_of_system_account(handle: ProcessHandle) -> bool:
    """Whether no user ID and no login session of the process is a login user's."""
    return find_login_uid(handle) is None


def starts_no_login(units: LoginUnits, handle: ProcessHandle) -> bool:
    """Whether neither name nor unit shows that the process starts login sessions."""
    evidence = _find_unit_evidence(units, handle)
    return not (starts_logins(handle) or (evidence is not None and evidence.is_login))


def _find_unit_evidence(units: LoginUnits, handle: ProcessHandle) -> Optional[Evidence]:
    unit = read_unit(handle)
    return None if unit is None else units.find_evidence(unit)


def find_login_uid(handle: ProcessHandle) -> Optional[int]:
    """Find the login user who owns the process; None for system accounts.

    All user IDs and the login session count: sudo and su set all user IDs, and run under the name of a link.
    """
    uids = list(parse_uids(handle.read('status') or b'') or ())
    uids += [int(match.group(1)) for match in map(OF_USER.match, read_cgroups(handle)) if match]
    return next((uid for uid in uids if is_of_login_user(uid)), None)


def restrict_group(group: Group, asked: Asked, host: Host) -> Group:
    """Apply the rules of L(guard) to processes that join the group later."""
    rules: List[Rule] = []
    if asked.value < 0 and not (asked.force or asked.has_user):
        rules.append(is_of_system_account)
    if asked.value == NEVER_KILLED and not asked.force:
        rules.append(functools.partial(starts_no_login, LoginUnits(host)))
    return Restricted(group, rules) if rules else group


def guard(host: Host, found: List[ProcessIdentity], changes: List[ProcessIdentity], asked: Asked) -> List[str]:
    """Warn of a negative value of these processes. Raises Refusal if it protects users or their logins."""
    if asked.value >= 0 or not found:
        return []
    if not (asked.has_user or asked.force):
        _refuse_users(host, found, asked)
    return _guard_logins(host, found, asked) + warn_of_consumers(host, {one.pid: asked.value for one in changes})


def _refuse_users(host: Host, found: List[ProcessIdentity], asked: Asked) -> None:
    for one in found:
        with ProcessHandle(host, one.pid) as handle:
            uid = find_login_uid(handle)
        if uid is not None:
            raise Refusal(f'Refused: {sanitize(asked.label)} at {asked.value}. Process {one.pid} '
                          f'({sanitize(one.name)}) belongs to user {uid}, who is not a system account: any user can '
                          'choose this name. Add user to the process option, or set force: true. Nothing was changed.'
                          ' [OOMK-2102]')


def _find_evidence(host: Host, found: List[ProcessIdentity]) -> List[Tuple[ProcessIdentity, Evidence]]:
    # Unprivileged users set only their own processes; no other user's login descends from those.
    if os.geteuid() != 0:
        return []
    scan, units = SessionScan(host, [one.pid for one in found]), LoginUnits(host)
    pairs: List[Tuple[ProcessIdentity, Evidence]] = []
    for one in found:
        with ProcessHandle(host, one.pid) as handle:
            evidence = pick_strongest([scan.find_evidence([one.pid], one.pid), _find_unit_evidence(units, handle)])
        if evidence is not None:
            pairs.append((one, evidence))
    return pairs


def _guard_logins(host: Host, found: List[ProcessIdentity], asked: Asked) -> List[str]:
    pairs = _find_evidence(host, found)
    if not pairs:
        return []
    first, evidence = next((pair for pair in pairs if pair[1].is_login), pairs[0])
    source = f'process {first.pid} ({sanitize(first.name)}), {evidence.reason}'
    advice = '' if asked.force else 'Choose other processes'
    return [guard_inheritance(sanitize(asked.label), asked.value, source, evidence.is_login, advice)]
