# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: processes of an unprivileged user that nobody can look at without waiting for ever.

``stuck.py KIND COUNT [nodump] [subuids]`` prints a JSON list of the PIDs once they are stuck, and stays. It needs no
privilege: a FUSE mount in a user namespace of its own leaves reads unanswered.

slow: one page fault after the other holds mmap_lock for 3.5 s.
fault: a thread waits in a page fault with mmap_lock held, another one waits for that lock to write.
exec: the process waits in execve(2) for the program's first page.
shared: a child that shares the memory of a stuck one waits in execve(2) with exec_update_lock held.
argv: the page that holds the arguments is one of the file system.
``subuids`` gives each process a uid of its own. Root has to start it: it writes the map that newuidmap(1) would write.
"""

import ctypes
import json
import os
import select
import signal
import struct
import sys
import tempfile
import threading
import time

import fuse

CLONE_VM, CLONE_NEWNS, CLONE_NEWUSER = 0x100, 0x20000, 0x10000000
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MADV_RANDOM = 1, 2, 0x10, 0x20, 1
PR_SET_DUMPABLE = 4
USER, FIRST_SUBUID, SUBUIDS = 1000, 100000, 1000
AT_ONCE, SETTLE_S = 5, fuse.LATE_S + 1
SLOW_S = 3.5
SCORE_ADJ = 500  # the first to be chosen, so that a forecast looks closely

# x86-64: execve(rdi, rsi, NULL), and an invalid instruction.
EXECVE = b'\x48\xbf%s\x48\xbe%s\x31\xd2\xb8\x3b\0\0\0\x0f\x05\x0f\x0b'

LIBC = fuse.LIBC
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


def write(path, text):
    with open(path, 'w') as stream:
        stream.write(text)


def enter_namespaces():
    """A user and a mount namespace of our own, in which we are root."""
    uid, gid = os.getuid(), os.getgid()
    fuse.call('unshare', CLONE_NEWUSER | CLONE_NEWNS)
    write('/proc/self/setgroups', 'deny')
    write('/proc/self/uid_map', '0 %d 1' % uid)
    write('/proc/self/gid_map', '0 %d 1' % gid)


def enter_with_subuids():
    """The same, with many uids: root's part is done by a parent that stays root. The child goes on as the user."""
    ask, asked = os.pipe()
    go, gone = os.pipe()
    pid = os.fork()
    if pid:
        os.read(ask, 1)
        for name in ('uid_map', 'gid_map'):
            write('/proc/%d/%s' % (pid, name), '0 %d 1\n1 %d %d' % (USER, FIRST_SUBUID, SUBUIDS))
        os.write(gone, b'x')
        os._exit(os.waitpid(pid, 0)[1] != 0)
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    fuse.call('unshare', CLONE_NEWUSER | CLONE_NEWNS)
    os.write(asked, b'x')
    os.read(go, 1)


def map_file(path, address=0, flags=MAP_SHARED):
    fd = os.open(path, os.O_RDONLY)
    found = LIBC.mmap(address or None, fuse.PAGE, PROT_READ, flags, fd, 0)
    if found is None or found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), 'mmap')
    LIBC.madvise(found, fuse.PAGE, MADV_RANDOM)
    return found


def fault(path, ready):
    """Never returns."""
    page, buffer = map_file(path), ctypes.create_string_buffer(1)
    threading.Thread(target=LIBC.memcpy, args=(buffer, page, 1)).start()
    time.sleep(1)
    ready()
    LIBC.mmap(None, fuse.PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)


def slow(path, ready):
    """Never returns. The page is the buffer of write(2), so that a fault that fails is EFAULT and no signal."""
    page, (_source, sink) = map_file(path), os.pipe()
    LIBC.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]

    def again():
        while True:
            LIBC.write(sink, page, 1)
    threading.Thread(target=again).start()
    time.sleep(1)
    ready()
    while True:
        LIBC.mmap(None, fuse.PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        time.sleep(0.01)


def wait_in_exec(path, ready):
    """Never returns."""
    ready()
    os.execv(path, [path])


def exec_shared(path, ready):
    """Never returns. The child's exec_mmap() holds exec_update_lock and waits for mmap_lock of the memory it leaves."""
    program, arguments = ctypes.c_char_p(os.fsencode(path + fuse.LATE)), (ctypes.c_char_p * 2)(b'true', None)
    code = EXECVE % (struct.pack('Q', ctypes.cast(program, ctypes.c_void_p).value),
                     struct.pack('Q', ctypes.addressof(arguments)))
    page = LIBC.mmap(None, fuse.PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    ctypes.memmove(page, code, len(code))
    stack = ctypes.create_string_buffer(1 << 16)
    top = (ctypes.addressof(stack) + len(stack)) & ~15
    child = LIBC.clone(ctypes.c_void_p(page), ctypes.c_void_p(top), CLONE_VM | signal.SIGCHLD, None)
    fault(path, lambda: ready(child))


def argv(path, ready):
    """Never returns. Started once more with arguments of many pages. The second page is replaced."""
    ready()
    os.execv(sys.executable, [sys.executable, *sys.argv, path + '\n' + 'x' * (1 << 16)])


def replace_argv():
    """The second life of L(argv)."""
    path = sys.argv[-1].partition('\n')[0]
    with open('/proc/self/stat') as stat:
        start = int(stat.read().rpartition(')')[2].split()[45])
    map_file(path, (start // fuse.PAGE + 2) * fuse.PAGE, MAP_PRIVATE | MAP_FIXED)
    time.sleep(1e6)


KINDS = {'slow': slow, 'fault': fault, 'exec': wait_in_exec, 'shared': exec_shared, 'argv': argv}


def victim(kind, path, words, number, out):
    """In the child: never returns."""
    if 'subuids' in words:
        os.setgid(number + 1)
        os.setuid(number + 1)
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # after setuid(2), so that its files below /proc are its own
    os.set_inheritable(out, False)
    write('/proc/self/comm', 'stuck')
    write('/proc/self/oom_score_adj', str(SCORE_ADJ))
    LIBC.prctl(PR_SET_DUMPABLE, int('nodump' not in words), 0, 0, 0)
    KINDS[kind](path, lambda pid=0: os.write(out, b'%d\n' % (pid or os.getpid())))


def main():
    if len(sys.argv[-1]) >= 1 << 15:
        replace_argv()
    kind, count, words = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    enter_with_subuids() if 'subuids' in words else enter_namespaces()
    folder = tempfile.mkdtemp()
    server = fuse.Server(folder, hang=[fuse.READ], options=',allow_other')
    server.faults = kind != 'exec'
    server.slow_s = SLOW_S if kind == 'slow' else 0
    reported, out = os.pipe()
    text, started, settled = b'', 0, None
    while True:
        ready = text.count(b'\n')
        if started < count and started < ready + AT_ONCE:
            if os.fork() == 0:
                victim(kind, '%s/%d' % (folder, started), words, started, out)
            started += 1
        if ready == count and settled is None:
            settled = time.monotonic() + SETTLE_S
        elif settled and time.monotonic() > settled:
            print(json.dumps([int(pid) for pid in text.split()]), flush=True)
            settled = float('inf')
        server.answer_late()
        found = select.select([server.fd, reported], [], [], 0.1)[0]
        if server.fd in found:
            server.serve_one()
        if reported in found:
            text += os.read(reported, 4096)


main()
