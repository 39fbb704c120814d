# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are no service, found by PID, PID file, name, command line or user.

Sources: proc_pid_comm(5), proc_pid_cmdline(5), proc_pid_status(5).
"""

import os
import pwd
import re
import warnings
from typing import Any, Callable, Dict, Iterable, List

from ansible_collections.oomkit.linux.plugins.module_utils import _pid_file
from ansible_collections.oomkit.linux.plugins.module_utils._convert import ConvertError, to_integer
from ansible_collections.oomkit.linux.plugins.module_utils._groups import MatchGroup
from ansible_collections.oomkit.linux.plugins.module_utils._held import Held, ancestors
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, to_bytes
from ansible_collections.oomkit.linux.plugins.module_utils._proc import parse_effective_uid
from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal

SELECTORS = ('pid', 'pidfile', 'comm', 'cmdline_regex', 'user')
COMM_BYTES = 15  # TASK_COMM_LEN without its final NUL
_MOST_SHOWN = 100
_PID_MAX = 2 ** 22  # PID_MAX_LIMIT of 64-bit kernels

Matches = Callable[[Held], bool]


def group_of(host: Host, process: Dict[str, Any]) -> MatchGroup:
    """The processes that the option ``process`` names, without this module and what it descends from.

    Raises ConvertError, and Refusal.
    """
    given = [name for name in SELECTORS if process.get(name) is not None]
    if len(given) != 1:
        raise ConvertError('process: give exactly one of %s; found %s'
                           % (', '.join(SELECTORS), ', '.join(given) or 'none of them'))
    name = given[0]
    never = ancestors(host, os.getpid())
    if name in ('pid', 'pidfile'):
        pid = _pid(host, name, process[name])
        return MatchGroup(lambda: [pid] if pid else [], _has_memory, never)
    rule = _RULES[name](process[name])
    return MatchGroup(lambda: _all_pids(host), lambda held: _has_memory(held) and rule(held), never)


def _all_pids(host: Host) -> Iterable[int]:
    return [int(name) for name in host.names('/proc') if name.isdigit()]


def _has_memory(held: Held) -> bool:
    """Kernel threads have no memory and no value that counts."""
    return b'\nVmRSS:' in (held.read('status') or b'')


def _pid(host: Host, name: str, value: Any) -> int:
    """The process number that is meant; 0 when the file names none."""
    if name == 'pid':
        return to_integer('process.pid', value, 1, _PID_MAX)
    try:
        pid = _pid_file.read(host, value)
    except _pid_file.PidFileError as exc:
        raise ConvertError('process.pidfile: %s' % exc) from exc
    doubt = _pid_file.doubt(host, value, pid) if pid and host.exists('/proc/%d' % pid) else None
    if doubt is not None:
        raise Refusal('process.pidfile: %s. Nothing was changed.' % doubt)
    return pid or 0


def _bytes(option: str, value: str) -> bytes:
    try:
        return to_bytes(value)
    except UnicodeError:
        raise ConvertError('process.%s: %r is no text' % (option, value)) from None


def _comm_rule(value: str) -> Matches:
    wanted = _bytes('comm', value)
    if not wanted or len(wanted) > COMM_BYTES:
        raise ConvertError('process.comm: %r has %d bytes, and the kernel keeps the first %d only, so nothing could '
                           'match; give those, or use cmdline_regex' % (value, len(wanted), COMM_BYTES))
    return lambda held: (held.read('comm') or b'')[:-1] == wanted  # a name may end with a line end of its own


def _cmdline_rule(value: str) -> Matches:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of what another version of Python may read differently
            pattern = re.compile(_bytes('cmdline_regex', value))
    except (re.error, ValueError, OverflowError, RecursionError) as exc:
        raise ConvertError('process.cmdline_regex: %s is no regular expression: %s' % (_cut(value), exc)) from exc
    if not value:
        raise ConvertError('process.cmdline_regex: an empty expression matches everything')
    return lambda held: bool(pattern.search((held.read('cmdline') or b'').rstrip(b'\0').replace(b'\0', b' ')))


def _cut(value: str) -> str:
    shown = repr(value)
    return shown if len(shown) <= _MOST_SHOWN else shown[:_MOST_SHOWN] + '...'


def _user_rule(value: str) -> Matches:
    try:
        uid = int(value) if re.match('[0-9]{1,10}\\Z', value) else pwd.getpwnam(value).pw_uid
    except (KeyError, ValueError) as exc:
        raise ConvertError('process.user: there is no user %r on this machine' % value) from exc
    return lambda held: parse_effective_uid(held.read('status') or b'') == uid


_RULES: Dict[str, Callable[[str], Matches]] = {'comm': _comm_rule, 'cmdline_regex': _cmdline_rule, 'user': _user_rule}


def describe(process: Dict[str, Any]) -> str:
    """The selection as text, for messages."""
    names: List[str] = [name for name in SELECTORS if process.get(name) is not None]
    return 'process %s %s' % (names[0], process[names[0]]) if names else 'process'
