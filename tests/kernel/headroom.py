# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest as root: from which headroom on root, an ordinary user and the spawn probe can start a program.

Prints one line of JSON for each headroom. The ordinary user is a fork of this process, so that its memory is the same.
"""

import json
import os
import sys

from ansible_collections.oomkit.linux.plugins.module_utils._host import spawn_probe

PROGRAMS = [('/bin/true', 'true')]
ATTEMPTS = 3
MEMORY, KBYTES, ADMIN_RESERVE, USER_RESERVE = ['/proc/sys/vm/' + name for name in (
    'overcommit_memory', 'overcommit_kbytes', 'admin_reserve_kbytes', 'user_reserve_kbytes')]


def write(path, number):
    with open(path, 'w') as file:
        file.write('%d\n' % number)


def start():
    """Whether fork and execve work for this process."""
    try:
        pid = os.fork()
    except (OSError, MemoryError):
        return False
    if pid == 0:
        try:
            os.execve('/bin/true', ['true'], {})
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


class User:
    """A process of user 65534 that starts programs when it is asked to."""

    def __init__(self):
        asked, self.ask = os.pipe()
        self.answer, answers = os.pipe()
        if os.fork() == 0:
            os.close(self.ask)
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            while os.read(asked, 1):
                os.write(answers, b'1' if start() else b'0')
            os._exit(0)
        os.close(asked)
        os.close(answers)  # so that the end of that process is seen

    def start(self):
        os.write(self.ask, b'?')
        return os.read(self.answer, 1) == b'1'


def committed_kb():
    with open('/proc/meminfo') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('Committed_AS'))


def limit(headroom_kb):
    """So much above what is committed. Writing the mode adds up what each processor counts for itself (from 5.9 on)."""
    write(KBYTES, committed_kb() + headroom_kb)
    write(MEMORY, 2)


def probe(who):
    return spawn_probe.probe_spawns(PROGRAMS)[who] == spawn_probe.STARTED


def main(reserve_kb, last_kb, step_kb):
    probe(spawn_probe.ROOT)  # loads what it needs, so that the user's process has the same size
    user, found = User(), []
    starters = {'user': user.start, 'root': start, 'probe_others': lambda: probe(spawn_probe.OTHERS),
                'probe_root': lambda: probe(spawn_probe.ROOT)}
    write(USER_RESERVE, 0)
    write(ADMIN_RESERVE, reserve_kb)
    try:
        for headroom_kb in range(0, last_kb, step_kb):
            counts = dict.fromkeys(starters, 0)
            for _attempt in range(ATTEMPTS):
                for who, starter in starters.items():
                    limit(headroom_kb)
                    counts[who] += starter()
            found.append(dict(counts, headroom_kb=headroom_kb))
    finally:
        write(MEMORY, 0)
    for line in found:
        print(json.dumps(line))


if __name__ == '__main__':
    main(*[int(word) for word in sys.argv[1:]])
