# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What starts login sessions, or whatever else users run: all of that inherits its oom_score_adj.

By the name of the unit, by the name of the process, or because login sessions descend from it. A host may call the
units of its login servers as it likes, so their processes are looked at too. Sources: units of OpenSSH, systemd
(systemd-ssh-generator(8), user@.service(5)), and of the display managers of Debian, Fedora, openSUSE and Arch.
"""

import re
from typing import Dict, List, Set, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils._held import Held, Seen, pids
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, to_text
from ansible_collections.oomkit.linux.plugins.module_utils._proc import parse_cgroup_paths
from ansible_collections.oomkit.linux.plugins.module_utils._processes import parse_cgroup
from ansible_collections.oomkit.linux.plugins.module_utils._unit_names import unit_of_system

_LOGIN = re.compile(r'''(?:
    (?: sshd?(?:-vsock|-unix-local)? | opensshd? | openssh-server | dropbear | tinysshd? | telnetd? )(?:@.*)?
    | (?: serial-|container-)?getty@.* | autovt@.* | a?getty[.-].+ | console-getty
    | display-manager | gdm3? | lightdm | sddm | lxdm | xdm | wdm | kdm | slim | nodm | greetd | ly(?:@.*)?
    | xrdp-sesman | (?:openbsd-|x)?inetd
    )\.service\Z''', re.VERBOSE)
# All that a user runs, or all jobs of users.
_OF_USERS = re.compile(r'(?:user@.*|crond?|cronie|fcron|atd)\.service\Z')
_INIT = 1
# By comm: they start logins, or everything that a user runs (systemd --user), or a container's init.
_LOGIN_NAMES = (b'sshd', b'sshd-session', b'sshd-auth', b'dropbear', b'tinysshd', b'login', b'getty', b'agetty',
                b'mingetty', b'systemd', b'systemd-logind', b'(sd-pam)', b'gdm', b'gdm3', b'gdm-session-wor',
                b'lightdm', b'sddm', b'sddm-helper', b'lxdm', b'xdm', b'wdm', b'kdm', b'slim', b'nodm', b'greetd',
                b'xrdp-sesman', b'inetd', b'xinetd', b'in.telnetd', b'telnetd', b'cron', b'crond', b'fcron', b'atd')
OF_USER = re.compile(br'/user\.slice/user-([0-9]{1,10})\.slice(?:/|\Z)')
_SESSION = re.compile(OF_USER.pattern + br'(?:session-[^/]+\.scope|user@[^/]+\.service)(?:/|\Z)')


def is_login_unit(unit: str) -> bool:
    """Whether what a unit of this name starts is what users run."""
    return bool(_LOGIN.match(unit) or _OF_USERS.match(unit))


def cgroups_of(held: Held) -> List[bytes]:
    """The cgroups of a process, one for each hierarchy."""
    return list(parse_cgroup_paths(held.read_thread('cgroup') or held.read('cgroup') or b'').values())


def starts_logins(held: Held) -> bool:
    """Whether this is known for starting login sessions, by its name or its unit."""
    if held.pid == _INIT or (held.read('comm') or b'')[:-1] in _LOGIN_NAMES:
        return True
    cgroup, unit = parse_cgroup(held.read('cgroup') or b'')
    if unit is None:
        return False
    return bool(_LOGIN.match(unit_of_system(to_text(unit), None if cgroup is None else to_text(cgroup)) or ''))


def login_processes(host: Host, found: List[Seen]) -> List[Seen]:
    """Those that start login sessions, by what they are or by what they have started."""
    if not found:
        return []
    parents = _parents_of_sessions(host)
    return [one for one in found if one.pid in parents or _starts_logins(host, one.pid)]


def _starts_logins(host: Host, pid: int) -> bool:
    with Held(host, pid) as held:
        return starts_logins(held)


def _parents_of_sessions(host: Host) -> Set[int]:
    """The processes outside of login sessions that sessions descend from."""
    tree: Dict[int, Tuple[int, bool]] = {}
    for pid in pids(host):
        with Held(host, pid) as held:
            seen, in_session = held.look(), any(map(_SESSION.match, cgroups_of(held)))
        if seen is not None:
            tree[pid] = (seen.parent, in_session)
    found: Set[int] = set()
    passed: Set[int] = set()
    for pid in [one for one in tree if tree[one][1]]:
        while pid in tree and pid not in passed:
            passed.add(pid)
            if not tree[pid][1]:
                found.add(pid)
            pid = tree[pid][0]
    return found
