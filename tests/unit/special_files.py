# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets, devices and access control lists for tests. Each skips the test where it cannot be made."""

import errno
import os
import stat
import struct

import pytest

USER, GROUP = 2, 8  # tags of named entries (acl(5))


def a_socket(path):
    os.mknod(path, 0o666 | stat.S_IFSOCK)


def a_device(path):
    """/dev/ptmx: each open makes a terminal below /dev/pts, so that it shows whether it was opened."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(5, 2))
    except PermissionError:
        pytest.skip('no devices can be made here (CAP_MKNOD)')


def set_acl(path, tag, who, rights=7, kind='access'):
    """Give a user or a group rights, as setfacl does: the group's bits of the mode become the mask."""
    entries = sorted([(1, 7, -1), (4, 5, -1), (16, 7, -1), (32, 5, -1), (tag, rights, who)])
    data = struct.pack('<I', 2) + b''.join(struct.pack('<HHi', *entry) for entry in entries)
    try:
        os.setxattr(path, 'system.posix_acl_' + kind, data)
    except OSError as exc:
        if exc.errno != errno.ENOTSUP:
            raise
        pytest.skip(f'the file system of {path} has no access control lists')
