# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find processes that start login sessions or run programs of others, by their descendants, not by name.

Descendants inherit oom_score_adj. The scan compares each process with its parent.
Sources: pam_loginuid(8), proc_pid_loginuid(5), tty_nr in proc_pid_stat(5), cgroups(7).
"""

from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Set

from .._core.sanitize import sanitize
from .._core.text import to_number
from .._host.file_access import parse_uids
from .._host.host import Host
from .._process.handle import ProcessHandle, list_pids, read_init_cgroup
from .._process.procfs import parse_stat
from .login_guard import Evidence, is_of_login_user, is_session, match_process, pick_strongest, read_cgroups

_NO_LOGIN = 4294967295
_CONTROL = b'/.control'  # where systemd runs ExecStartPost= and ExecReload= of a service


class _Look(NamedTuple):
    parent: int
    name: bytes
    terminal: int
    login: Optional[int]  # of loginuid
    users: FrozenSet[int]  # login users among its user IDs
    cgroups: FrozenSet[bytes]


class SessionScan:
    """The descendants of some processes, each read once."""

    def __init__(self, host: Host, asked: Iterable[int]) -> None:
        self._host = host
        self._looks = _look_below(host, set(asked))
        self._found: Dict[int, Evidence] = {}
        passed: Dict[bool, Set[int]] = {True: set(), False: set()}
        for pid in sorted(self._looks):
            one = self._looks[pid]
            parent = self._looks.get(one.parent)
            found = None if parent is None else _find_difference(parent, one, pid)
            if found is not None:
                self._mark_ancestors(one.parent, found, passed[found.is_login])

    def _mark_ancestors(self, pid: int, found: Evidence, passed: Set[int]) -> None:
        while pid in self._looks and pid not in passed:
            passed.add(pid)
            if found.is_login or pid not in self._found:
                self._found[pid] = found
            pid = self._looks[pid].parent

    def find_evidence(self, members: List[int], leader: int) -> Optional[Evidence]:
        """Find the strongest evidence for related processes, such as those of a service.

        The leader stands in for a parent that is not among them.
        """
        found: List[Optional[Evidence]] = [self._found.get(pid) for pid in members]
        found += [match_process(self._host, pid) for pid in members]
        first, inside = self._looks.get(leader), set(members)
        for pid in members:
            one = self._looks.get(pid)
            if first is not None and one is not None and pid != leader and one.parent not in inside:
                found.append(_find_difference(first, one, pid))
        return pick_strongest(found)


def _look_below(host: Host, asked: Set[int]) -> Dict[int, _Look]:
    """Read the processes and their descendants."""
    children: Dict[int, List[int]] = {}
    for pid in list_pids(host):
        with ProcessHandle(host, pid) as handle:
            stat = parse_stat(handle.read('stat') or b'')
        if stat is not None:
            children.setdefault(stat.parent, []).append(pid)
    looks: Dict[int, _Look] = {}
    todo, known, init = list(asked), set(asked), read_init_cgroup(host)
    while todo:
        pid = todo.pop()
        with ProcessHandle(host, pid) as handle:
            one = _look(handle, init)
        if one is not None:
            looks[pid] = one
        born = [child for child in children.get(pid, []) if child not in known]
        known.update(born)
        todo += born
    return looks


def _look(handle: ProcessHandle, init: bytes) -> Optional[_Look]:
    stat = parse_stat(handle.read('stat') or b'')
    if stat is None:
        return None
    login = to_number(handle.read('loginuid'))
    uids = parse_uids(handle.read('status') or b'') or ()
    return _Look(stat.parent, stat.name, stat.terminal, None if login == _NO_LOGIN else login,
                 frozenset(filter(is_of_login_user, uids)), frozenset(read_cgroups(handle, init)))


def _find_difference(parent: _Look, one: _Look, pid: int) -> Optional[Evidence]:
    """Find evidence that a process runs for another user or container than its parent; None for none."""
    who = f'process {pid} ({sanitize(one.name)})'
    login = _find_login(parent, one)
    if login:
        return Evidence(True, f'{who} {login}')
    users = sorted(one.users - parent.users)
    if users:
        return Evidence(False, f'{who} belongs to user {users[0]}')
    if one.cgroups != parent.cgroups and not any(path.endswith(_CONTROL) for path in one.cgroups):
        return Evidence(False, f'{who} is in another cgroup')
    return None


def _find_login(parent: _Look, one: _Look) -> str:
    """Find the sign of a login that the parent lacks; empty for none."""
    if any(map(is_session, one.cgroups)) and not any(map(is_session, parent.cgroups)):
        return 'is in a login session'
    # A process with a terminal or a login in an unrelated cgroup is in a container.
    if _is_inside(one, parent) and one.login not in (None, parent.login):
        return f'has the login user ID {one.login}'
    return 'has a terminal' if _is_inside(one, parent) and one.terminal not in (0, parent.terminal) else ''


def _is_inside(one: _Look, parent: _Look) -> bool:
    """Whether its cgroups are the parent's, or below them."""
    return all(any(path == outer or path.startswith(outer.rstrip(b'/') + b'/') for outer in parent.cgroups)
               for path in one.cgroups)
