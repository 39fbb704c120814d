# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Select processes by PID, PID file, name, command line or user.

Sources: proc_pid_comm(5), proc_pid_cmdline(5), proc_pid_status(5).
"""

import functools
import os
import pwd
import re
import warnings
from typing import Any, Callable, Dict, List, Pattern

from .._core.convert import ConvertError, quote, to_integer
from .._core.errors import Refusal
from .._core.text import to_bytes
from .._host.file_access import USER_DATABASE, Reading, parse_uids
from .._host.host import Host
from . import pid_file
from .groups import Group, MatchGroup, Restricted, Rule, TheseProcesses
from .handle import ProcessHandle, identify, is_same, list_ancestors

SELECTORS = ('pid', 'pidfile', 'comm', 'cmdline_regex', 'user')
_WITH_USER = ('comm', 'cmdline_regex')
COMM_BYTES = 15  # TASK_COMM_LEN without its final NUL
# Users choose the arguments of their programs, and a search can take quadratic time or longer.
_CMDLINE_BYTES = 4096
_MOST_PATTERN_BYTES = 1024


# ------------------------------------------------------------------- rules

def has_memory(handle: ProcessHandle) -> bool:
    """Whether the process has memory, unlike kernel threads."""
    return any(b'\nVmRSS:' in (read('status') or b'') for read in (handle.read, handle.read_thread))


def has_name(name: bytes, handle: ProcessHandle) -> bool:
    """Whether the process has this name, which can end with a line end."""
    return (handle.read('comm') or b'')[:-1] == name


def has_cmdline(pattern: Pattern[bytes], handle: ProcessHandle) -> bool:
    """Whether the start of the command line matches."""
    cmdline = (handle.read('cmdline') or handle.read_thread('cmdline') or b'')[:_CMDLINE_BYTES]
    with Reading(f'/proc/{handle.pid}/cmdline'):  # this has a deadline
        return bool(pattern.search(cmdline.rstrip(b'\0').replace(b'\0', b' ')))


def has_only_uid(uid: int, handle: ProcessHandle) -> bool:
    """Whether all user IDs of the process are this one. This excludes set-user-ID programs."""
    return set(parse_uids(handle.read('status') or b'') or ()) == {uid}


# ------------------------------------------------------------------------------------------------ groups

def build_group(host: Host, process: Dict[str, Any]) -> Group:
    """The group of the option ``process``, without this process and its ancestors. Raises ConvertError and Refusal."""
    name, *others = _list_given(process)
    if name in ('pid', 'pidfile'):
        return Restricted(_build_single(host, name, process[name]), [has_memory])
    return MatchGroup(host, [_RULES[one](process[one]) for one in [name] + others] + [has_memory])


def _build_single(host: Host, name: str, value: Any) -> Group:
    """The group of the process that has this PID now."""
    pid = to_integer('process.pid', value, 1, pid_file.PID_MAX) if name == 'pid' else _read_pid(host, value)
    seen = identify(host, pid) if pid and pid not in list_ancestors(host, os.getpid()) else None
    if seen is None:
        return TheseProcesses([])
    doubt = pid_file.explain_doubt(host, value, pid) if name == 'pidfile' else None
    if doubt is not None:
        raise Refusal(f'process.pidfile: {doubt}. Nothing was changed. [OOMK-2003]')
    # The checks count only if the process still has the PID.
    return TheseProcesses([seen] if is_same(seen, identify(host, pid)) else [])


def _read_pid(host: Host, path: str) -> int:
    """The PID in a PID file; 0 without a file."""
    try:
        return pid_file.read_pid_file(host, path) or 0
    except pid_file.PidFileError as exc:
        raise ConvertError(f'process.pidfile: {exc} [OOMK-2105]') from exc


def _list_given(process: Dict[str, Any]) -> List[str]:
    """The given selectors: one, or one and the user. Raises ConvertError."""
    given = [name for name in SELECTORS if process.get(name) is not None]
    if len(given) != 1 and not (len(given) == 2 and given[0] in _WITH_USER and given[1] == 'user'):
        raise ConvertError(f"process: give exactly one of {', '.join(SELECTORS)}, or user together with comm or "
                           f"cmdline_regex; found {', '.join(given) or 'none of them'} [OOMK-2101]")
    return given


def _bytes(option: str, value: str) -> bytes:
    try:
        return to_bytes(value)
    except UnicodeError:
        raise ConvertError(f'process.{option}: {value!r} is not text [OOMK-2105]') from None


def _build_comm_rule(value: str) -> Rule:
    wanted = _bytes('comm', value)
    if not wanted:
        raise ConvertError('process.comm: an empty name matches nothing; give the name of a process [OOMK-2105]')
    if len(wanted) > COMM_BYTES:
        raise ConvertError(f'process.comm: {quote(value)} has {len(wanted)} bytes, and the kernel keeps the first '
                           f'{COMM_BYTES} only, so nothing could match; give those, or use cmdline_regex [OOMK-2105]')
    return functools.partial(has_name, wanted)


def _build_cmdline_rule(value: str) -> Rule:
    text = _bytes('cmdline_regex', value)
    if len(text) > _MOST_PATTERN_BYTES:
        raise ConvertError(f'process.cmdline_regex: {quote(value)} has {len(text)} bytes, and an expression that long '
                           f'takes too much time; give at most {_MOST_PATTERN_BYTES} [OOMK-2105]')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # FutureWarning and DeprecationWarning about the syntax
            pattern = re.compile(text)
    except (re.error, ValueError, OverflowError, RecursionError) as exc:
        raise ConvertError(f'process.cmdline_regex: {quote(value)} is not a regular expression: {exc}'
                           ' [OOMK-2105]') from exc
    if not value:
        raise ConvertError('process.cmdline_regex: an empty expression matches everything [OOMK-2105]')
    return functools.partial(has_cmdline, pattern)


def _build_user_rule(value: str) -> Rule:
    try:
        with Reading(USER_DATABASE):
            uid = int(value) if re.match('[0-9]{1,10}\\Z', value) else pwd.getpwnam(value).pw_uid
            return functools.partial(has_only_uid, uid)
    except (KeyError, ValueError) as exc:
        raise ConvertError(f'process.user: there is no user {quote(value)} on this machine [OOMK-2105]') from exc


_RULES: Dict[str, Callable[[str], Rule]] = {
    'comm': _build_comm_rule, 'cmdline_regex': _build_cmdline_rule, 'user': _build_user_rule}


def describe_selection(process: Dict[str, Any]) -> str:
    """The selection as text, for messages."""
    given = [name for name in SELECTORS if process.get(name) is not None]
    return 'process ' + ' '.join(f'{name} {process[name]}' for name in given) if given else 'process'
