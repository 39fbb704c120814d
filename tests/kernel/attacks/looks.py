# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: which looks at a process never return. ``looks.py PID`` prints a line for each kind of look.

Each look is made by a child of its own. One that has not ended after two seconds is sent SIGKILL.
"""

import ctypes
import os
import signal
import sys
import time
from functools import partial

PID = int(sys.argv[1])
WAIT_S = 2
FILES = ('stat', 'status', 'statm', 'cmdline', 'environ', 'comm', 'cgroup', 'oom_score', 'oom_score_adj', 'maps',
         'smaps', 'smaps_rollup', 'numa_maps', 'limits', 'wchan', 'uid_map', 'mountinfo', 'stack', 'io', 'cpuset')
LINKS = ('ns/user', 'exe', 'root', 'cwd', 'fd/0')
FOLDERS = ('task', 'fd', 'ns', 'map_files')


def read(name):
    with open('/proc/%d/%s' % (PID, name), 'rb') as stream:
        return stream.read(1 << 16)


def thread(name):
    for tid in os.listdir('/proc/%d/task' % PID):
        read('task/%s/%s' % (tid, name))


def kcmp():
    number = {'x86_64': 312, 'aarch64': 272}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.syscall(ctypes.c_long(number), ctypes.c_long(os.getpid()), ctypes.c_long(PID), ctypes.c_long(1),
                          ctypes.c_ulong(0), ctypes.c_ulong(0))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write_adj():
    with open('/proc/%d/oom_score_adj' % PID, 'r+') as stream:
        text = stream.read()
        stream.seek(0)
        stream.write(text)


def look(name, action):
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            action()
        except OSError as exc:
            code = exc.errno
        os._exit(code)
    status, seconds = wait(pid)
    answer = 'blocks'
    if status is not None:
        code = os.WEXITSTATUS(status)
        answer = '%.2f s%s' % (seconds, ', ' + os.strerror(code) if code else '')
    else:
        os.kill(pid, signal.SIGKILL)
        status, seconds = wait(pid)
        answer += ', SIGKILL ends it' if status is not None else ', SIGKILL does not end it'
    print('%-24s %s' % (name, answer), flush=True)


def wait(pid):
    begin = time.monotonic()
    while time.monotonic() < begin + WAIT_S:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status, time.monotonic() - begin
        time.sleep(0.005)
    return None, WAIT_S


for one in FILES:
    look(one, partial(read, one))
for one in ('stat', 'status', 'comm', 'children'):
    look('task/TID/' + one, partial(thread, one))
for one in LINKS:
    look('readlink ' + one, partial(os.readlink, '/proc/%d/%s' % (PID, one)))
for one in LINKS:
    look('stat of ' + one, partial(os.stat, '/proc/%d/%s' % (PID, one)))
for one in FOLDERS:
    look('list ' + one, partial(os.listdir, '/proc/%d/%s' % (PID, one)))
look('open /proc/PID', lambda: os.close(os.open('/proc/%d' % PID, os.O_RDONLY)))
look('pidfd_open', lambda: os.close(os.pidfd_open(PID)))
look('kill 0', lambda: os.kill(PID, 0))
look('kcmp', kcmp)
look('write oom_score_adj', write_adj)
