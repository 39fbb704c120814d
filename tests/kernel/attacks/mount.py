# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: a file system of an ordinary user that root can look into, as fusermount3 -o allow_other makes it.

``mount.py FOLDER REQUEST NAME...``: the folder lists these names, and the request (lookup, open, ...) is not answered.
"""

import os
import sys

import fuse

USER = 1000

server = fuse.Server(sys.argv[1], [fuse.NAMES[sys.argv[2]]], names=sys.argv[3:], options=',allow_other', owner=USER)
os.setgroups([])
os.setgid(USER)
os.setuid(USER)
while True:
    server.serve_one()
