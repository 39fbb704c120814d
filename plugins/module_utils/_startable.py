# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Can this machine still start programs? As root, and as somebody for whom the admin reserve is not there.

Under strict overcommit fork(2) and execve(2) answer ENOMEM once Committed_AS reaches CommitLimit; whoever has
CAP_SYS_ADMIN may use up admin_reserve_kbytes on top (``__vm_enough_memory``, mm/util.c), so the two differ.
"""

import errno
import os
import time
from typing import Dict

ROOT = 'root'
OTHERS = 'a user without CAP_SYS_ADMIN'

_NOBODY = 65534
_PROGRAMS = ('/bin/true', '/usr/bin/true')
# Says nothing of memory, and may pass: there are too many processes just now (pids.max), or a signal came.
_PASSING = (errno.EAGAIN, errno.EINTR)
_WAIT_S = 0.2
# What ends a child that finds no memory, besides ENOMEM: execve(2) answers E2BIG where the new stack cannot grow for
# its arguments (get_arg_page, fs/exec.c), and the dynamic loader ends with 127 where it can map no library.
_NO_MEMORY = (errno.E2BIG, 127)


def probe() -> Dict[str, int]:
    """For each kind of user the errno of starting a program, 0 where it works."""
    return {ROOT: _start(False), OTHERS: _start(True)}


def _start(unprivileged: bool) -> int:
    error = _start_once(unprivileged)
    if error in _PASSING:
        time.sleep(_WAIT_S)
        error = _start_once(unprivileged)
    return error


def _start_once(unprivileged: bool) -> int:
    try:
        pid = os.fork()
    except OSError as exc:
        return exc.errno or errno.ENOMEM
    if pid == 0:
        _child(unprivileged)
    return _answer(pid)


def _answer(pid: int) -> int:
    """The child's errno; a child killed within execve(2) ran out of memory past the point of no return."""
    _pid, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) not in _NO_MEMORY:
        return os.WEXITSTATUS(status)
    return errno.ENOMEM


def _child(unprivileged: bool) -> None:
    """In the child: never returns. Its exit status is the errno of what failed."""
    answer = errno.ENOMEM
    try:
        if unprivileged and os.geteuid() == 0:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        if unprivileged:
            # The fork itself must be tried without the capability too.
            pid = os.fork()
            if pid:
                os._exit(_answer(pid))
        program = _PROGRAMS[0] if os.path.exists(_PROGRAMS[0]) else _PROGRAMS[1]
        os.execv(program, ['true'])
    except OSError as exc:
        answer = exc.errno or answer
    finally:
        # MemoryError included: nothing of the parent's work may run on in here.
        os._exit(answer)
