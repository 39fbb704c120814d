# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job with two workers. On SIGUSR1 it leaks until it is refused memory, which it says, or killed."""

import os
import signal

LEAK = b'\1' * (4 << 20)


def leak(_number, _frame):
    """Take memory and use it, without end."""
    held = []
    try:
        while True:
            held.append(bytes(bytearray(LEAK)))
    except MemoryError:
        megabytes = len(held) * 4
        held.clear()
        print('refused after %d MB' % megabytes, flush=True)


for _worker in range(2):
    if os.fork() == 0:
        signal.pause()
signal.signal(signal.SIGUSR1, leak)
while True:
    signal.pause()
