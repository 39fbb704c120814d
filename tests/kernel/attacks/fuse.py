# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: the smallest FUSE file system, which leaves chosen requests unanswered for ever.

Source: include/uapi/linux/fuse.h. The folder holds every name that is asked for, each an executable file of one page.
"""

import collections
import ctypes
import errno
import os
import stat
import struct
import time

LIBC = ctypes.CDLL(None, use_errno=True)
LOOKUP, GETATTR, OPEN, READ, STATFS, RELEASE, GETXATTR, LISTXATTR = 1, 3, 14, 15, 17, 18, 22, 23
INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT = 26, 27, 28, 29, 36
FORGETS = (2, 42)  # FORGET and BATCH_FORGET have no answer
NAMES = {'lookup': LOOKUP, 'getattr': GETATTR, 'open': OPEN, 'read': READ, 'readdir': READDIR}
ROOT, PAGE = 1, 4096
_HEADER = struct.Struct('=IIQQIIII')
_BUFFER_BYTES = 1 << 18
LATE, LATE_S = '.late', 3  # a file whose first page comes so late: a script that does nothing
_SCRIPT = b'#!/bin/true\n'


def call(name, *arguments):
    """A function of the C library that answers -1 for a failure. Raises OSError."""
    answer = getattr(LIBC, name)(*arguments)
    if answer == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return answer


class Server:
    """A mount and its unanswered requests.

    Where ``slow_s`` is set, they fail after so many seconds. Where ``faults`` is set, every other read fails at once:
    a page fault drops mmap_lock for its first read of a page and holds it for the second (filemap_fault).
    """

    slow_s, faults = 0, False

    def __init__(self, folder, hang=(), content=b'', names=(), options='', owner=None):
        """Mount on ``folder``.

        ``hang`` are the requests without an answer, ``names`` is what a listing shows, ``owner`` is the user who
        serves it, by default the one of this process.
        """
        self.hang, self.content, self.names = frozenset(hang), content, names
        self.hung = collections.Counter()  # how many of each request were left without an answer
        self._reads = collections.Counter()
        self._nodes, self._late_nodes, self._late = {}, set(), []
        self.fd = os.open('/dev/fuse', os.O_RDWR | os.O_CLOEXEC)
        data = 'fd=%d,rootmode=40000,user_id=%d,group_id=%d%s' % (
            self.fd, owner or os.geteuid(), owner or os.getegid(), options)
        LIBC.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
        call('mount', b'attack', os.fsencode(folder), b'fuse', 0, data.encode())

    def serve_one(self):
        """Take one request, and answer it unless it is one to hang."""
        data = os.read(self.fd, _BUFFER_BYTES)
        _length, number, unique, node = _HEADER.unpack_from(data)[:4]
        body = data[_HEADER.size:]
        if number in FORGETS or number == INTERRUPT:
            return
        if number == READ and node in self._late_nodes:
            self._late.append((time.monotonic() + LATE_S, unique, 0, _SCRIPT))
            return
        if number == READ and self.faults:
            self._reads[node] += 1
            if self._reads[node] % 2:
                self._answer(unique, errno.EIO)
                return
        if number in self.hang:
            self.hung[number] += 1
            if self.slow_s:
                self._late.append((time.monotonic() + self.slow_s, unique, errno.EIO, b''))
            return
        error, reply = self._reply(number, node, body)
        self._answer(unique, error, reply)

    def answer_late(self):
        """Answer what is due."""
        due = [one for one in self._late if one[0] < time.monotonic()]
        for one in due:
            self._late.remove(one)
            self._answer(*one[1:])

    def _answer(self, unique, error, reply=b''):
        os.write(self.fd, struct.pack('=IiQ', 16 + len(reply), -error, unique) + reply)

    def _reply(self, number, node, body):
        if number == INIT:
            return 0, struct.pack('=IIIIHHIIHHI28x', 7, 31, 0, 0, 12, 9, 1 << 16, 1, 1, 0, 0)
        if number == LOOKUP:
            name = body.rstrip(b'\0')
            child = self._nodes.setdefault((node, name), len(self._nodes) + 2)
            if name.endswith(LATE.encode()):
                self._late_nodes.add(child)
            return 0, struct.pack('=QQQQII', child, 1, 0, 0, 0, 0) + self._attributes(child)
        if number == GETATTR:
            return 0, struct.pack('=QII', 0, 0, 0) + self._attributes(node)
        if number in (OPEN, OPENDIR):
            return 0, struct.pack('=QII', 0, 0, 0)
        if number == READ:
            offset, = struct.unpack_from('=Q', body, 8)
            return 0, self.content[offset:offset + PAGE]
        if number == READDIR:
            return 0, self._listing(struct.unpack_from('=Q', body, 8)[0])
        if number in (RELEASE, RELEASEDIR):
            return 0, b''
        if number == STATFS:
            return 0, struct.pack('=QQQQQIIII24x', 0, 0, 0, 0, 0, PAGE, 255, PAGE, 0)
        return errno.ENOSYS, b''

    def _listing(self, offset):
        reply = b''
        for position, name in list(enumerate(self.names, 1))[offset:]:
            raw = os.fsencode(name)
            reply += struct.pack('=QQII', position + 1, position, len(raw), stat.S_IFREG >> 12) + raw
            reply += b'\0' * (-len(reply) % 8)
        return reply

    def _attributes(self, node):
        mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o755, len(self.content) or PAGE)
        return struct.pack('=6Q3I7I', node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, os.geteuid(), os.getegid(), 0, PAGE, 0)
