# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remote login that a module came by. A second call over the same connection proves nothing.

Ansible keeps a connection open for many tasks (ssh's ControlPersist). It keeps working where a new login would fail.
Sources: proc_pid_stat(5); audit session IDs: proc_pid_sessionid(5).
"""

import re
from typing import List, NamedTuple, Optional, Tuple

from .._core.errors import Refusal
from .._core.text import to_number
from .._host.host import Host
from .._process.procfs import Stat, parse_stat

# Servers with one process for each connection, from which all its commands descend. OpenSSH's is named sshd-session
# since 9.8. The listening sshd is never the nearest ancestor.
_SERVERS = (b'sshd', b'sshd-session', b'dropbear', b'tinysshd')
_UNSET_SESSION = 2 ** 32 - 1
# The wrapper that runs a task with C(async), in its command line.
_ASYNC = re.compile(br'(?:^|[/\0])(?:AnsiballZ_)?async_wrapper(?:\.py)?(?:\0|$)')
_MOST_ANCESTORS = 1000


class Connection(NamedTuple):
    server: Optional[List[int]]  # PID and start time of the process that serves the login, None for none
    session: Optional[int]  # audit session ID, which a daemonized process keeps


def process(host: Host, pid: str) -> Optional[Stat]:
    """Read a process; None if it is gone or a zombie.

    Raises OSError: an unreadable process may be alive.
    """
    found = parse_stat(host.read_bytes(f'/proc/{pid}/stat') or b'')
    return None if found is None or found.has_ended() else found


def connection(host: Host) -> Connection:
    """Find the connection of this process.

    Raises OSError if it is unreadable, and Refusal if C(async) has cut it off.
    """
    ancestors = _ancestors(host)
    server = _server(ancestors)
    if server is None and _is_async(host, ancestors):
        raise Refusal(_CUT_OFF)
    return Connection(server, _session(host))


_CUT_OFF = ('confirm_within: a task with async leaves the connection that it came by, so that nothing tells whether it '
            'is a new one. Nothing was changed. Run the task without async. [OOMK-2203]')


def _ancestors(host: Host) -> List[Tuple[int, Stat]]:
    """The ancestors with their PIDs, parent first."""
    ancestors: List[Tuple[int, Stat]] = []
    found = process(host, 'self')
    # A PID namespace ends at parent 0. Parents that die meanwhile lead to init, never in circles.
    while found is not None and found.parent > 0 and len(ancestors) < _MOST_ANCESTORS:
        pid = found.parent
        found = process(host, str(pid))
        if found is not None:
            ancestors.append((pid, found))
    return ancestors


def _server(ancestors: List[Tuple[int, Stat]]) -> Optional[List[int]]:
    """The nearest ancestor that serves remote logins. sudo and su in between do not matter."""
    for pid, found in ancestors:
        if found.name in _SERVERS:
            return [pid, found.start_ticks]
    return None


def _is_async(host: Host, ancestors: List[Tuple[int, Stat]]) -> bool:
    """Whether the parent is Ansible's wrapper for background tasks. Raises OSError.

    A wrapper further up has started something else, such as ansible-pull, whose tasks are not async.
    """
    return any(_ASYNC.search(host.read_bytes(f'/proc/{pid}/cmdline') or b'') for pid, _found in ancestors[:1])


def _session(host: Host) -> Optional[int]:
    number = to_number(host.read_text('/proc/self/sessionid'))
    return None if number == _UNSET_SESSION else number


def is_same(one: Connection, other: Connection) -> bool:
    """Whether both calls came by the same login.

    Without remote logins (ansible-pull, connection local, docker exec) every call counts as new. The audit session
    identifies processes that left their ancestors (nohup and setsid in a script).
    """
    if one.server is not None and other.server is not None:
        return one.server == other.server
    either = one.server is not None or other.server is not None
    return either and one.session is not None and one.session == other.session
