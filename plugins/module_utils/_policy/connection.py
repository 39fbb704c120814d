# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which remote login a module came by: two calls over one connection prove no more than one of them does.

Ansible keeps a connection open for many tasks (ssh's ControlPersist), and what is open already goes on working where a
new login would fail. Sources: proc_pid_stat(5); audit session IDs as in proc_pid_sessionid(5).
"""

import re
from typing import List, NamedTuple, Optional, Tuple

from .._core.errors import Refusal
from .._core.text import to_number
from .._host.host import Host
from .._process.procfs import Stat, parse_stat

# They serve one connection with one process, which all commands sent over that connection descend from. OpenSSH has
# called it sshd-session since 9.8; the listening sshd is never the nearest ancestor.
_SERVERS = (b'sshd', b'sshd-session', b'dropbear', b'tinysshd')
_UNSET_SESSION = 2 ** 32 - 1
# What Ansible runs a task with C(async) by, in the command line of that process.
_ASYNC = re.compile(br'(?:^|[/\0])(?:AnsiballZ_)?async_wrapper(?:\.py)?(?:\0|$)')
_MOST_ANCESTORS = 1000


class Connection(NamedTuple):
    server: Optional[List[int]]  # PID and start time of the process that serves the login, None for none
    session: Optional[int]  # the audit session, which a daemon that left its parents still has


def process(host: Host, pid: str) -> Optional[Stat]:
    """The process, None for one that is gone or dead (a zombie).

    Raises OSError: what could not be looked at may well live.
    """
    found = parse_stat(host.read_bytes(f'/proc/{pid}/stat') or b'')
    return None if found is None or found.has_ended() else found


def connection(host: Host) -> Connection:
    """The connection that this process came by.

    Raises OSError rather than to take it for another one, and Refusal where C(async) has cut it off from its own.
    """
    ancestors = _ancestors(host)
    server = _server(ancestors)
    if server is None and _is_async(host, ancestors):
        raise Refusal(_CUT_OFF)
    return Connection(server, _session(host))


_CUT_OFF = ('confirm_within: a task with async leaves the connection that it came by, so that nothing tells whether it '
            'is a new one. Nothing was changed. Run the task without async.')


def _ancestors(host: Host) -> List[Tuple[int, Stat]]:
    """From the parent upwards, with their PIDs."""
    ancestors: List[Tuple[int, Stat]] = []
    found = process(host, 'self')
    # A PID namespace ends at parent 0. Parents that die while we look lead to init, never in circles.
    while found is not None and found.parent > 0 and len(ancestors) < _MOST_ANCESTORS:
        pid = found.parent
        found = process(host, str(pid))
        if found is not None:
            ancestors.append((pid, found))
    return ancestors


def _server(ancestors: List[Tuple[int, Stat]]) -> Optional[List[int]]:
    """The nearest ancestor that serves remote logins: sudo and su in between do not matter."""
    for pid, found in ancestors:
        if found.name in _SERVERS:
            return [pid, found.start_ticks]
    return None


def _is_async(host: Host, ancestors: List[Tuple[int, Stat]]) -> bool:
    """Whether the parent is what Ansible runs tasks in the background by. Raises OSError.

    One further up has started something of its own, such as ansible-pull, whose tasks are no such tasks.
    """
    return any(_ASYNC.search(host.read_bytes(f'/proc/{pid}/cmdline') or b'') for pid, _found in ancestors[:1])


def _session(host: Host) -> Optional[int]:
    number = to_number(host.read_text('/proc/self/sessionid'))
    return None if number == _UNSET_SESSION else number


def is_same(one: Connection, other: Connection) -> bool:
    """Whether both calls came by the same login.

    Where neither came by a remote login (ansible-pull, connection local, docker exec) every call counts as a new one.
    What has left its ancestors (nohup and setsid in a script) is told by the audit session.
    """
    if one.server is not None and other.server is not None:
        return one.server == other.server
    either = one.server is not None or other.server is not None
    return either and one.session is not None and one.session == other.session
