# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: keeps its memory and swap full, its kernel killing, and CommitLimit nearly reached.

One child commits memory that it never touches, so that little is left to CommitLimit; others, one after the other,
take what they can until the kernel kills them. All are the first victims (oom_score_adj 1000), and none is
root: what the kernel holds back for administrators (vm.admin_reserve_kbytes) is not theirs.
"""

import mmap
import os
import re
import time

SPARE_KB = 160 * 1024
STEP_KB = 8 * 1024
NOBODY = 65534
PAUSE_S = 1
EAT_BYTES = 16 * 1024 * 1024
MAP_POPULATE = 0x8000  # named by Python from 3.10 on


def score_adj(value):
    with open('/proc/self/oom_score_adj', 'w') as stream:
        stream.write(str(value))


def meminfo_kb(name):
    with open('/proc/meminfo') as stream:
        return int(re.search('^%s: +([0-9]+)' % name, stream.read(), re.MULTILINE).group(1))


def commit():
    """Never returns."""
    maps = []
    while True:
        spare_kb = meminfo_kb('CommitLimit') - meminfo_kb('Committed_AS')
        if spare_kb > SPARE_KB + STEP_KB:
            try:
                maps.append(mmap.mmap(-1, STEP_KB * 1024, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
            except OSError:
                pass
        elif spare_kb < SPARE_KB and maps:
            maps.pop().close()
        else:
            time.sleep(0.2)


def eat():
    """Until it is killed, or the kernel commits no more.

    The kernel itself fills the pages: a slow eater would only have the machine read its programs again and again.
    """
    eaten = []
    while True:
        try:
            eaten.append(mmap.mmap(-1, EAT_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_POPULATE))
        except OSError:
            time.sleep(1)
            return


def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
        finally:
            os._exit(0)
    return pid


def main():
    score_adj(1000)
    committer, eater = child(commit), 0
    while True:
        try:
            eater = eater or child(eat)
            ended = os.wait()[0]
            committer = child(commit) if ended == committer else committer
            eater = 0 if ended == eater else eater
        except OSError:
            time.sleep(0.5)  # no memory is left for a fork just now
        time.sleep(PAUSE_S)


if __name__ == '__main__':
    main()
