# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: ``nested.py COUNT FILE`` makes processes that are each the child of the one before.

The first one's PID is in the file once all are there.
"""

import os
import sys
import time

first = os.getpid()
for _ in range(int(sys.argv[1])):
    if os.fork():
        time.sleep(1e6)
with open(sys.argv[2], 'w') as stream:
    stream.write('%d\n' % first)
time.sleep(1e6)
