# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints as JSON what a policy may change on this machine: sysctls, files, and the score of every service's processes.

Runs on the lab machine.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

PROC_SYS = Path('/proc/sys')
SYSCTLS = ('kernel/panic', 'vm/panic_on_oom', 'vm/oom_*', 'vm/overcommit_*', 'vm/*_reserve_kbytes')
FOLDERS = ('/etc', '/run/sysctl.d', '/run/systemd/system', '/usr/lib/sysctl.d', '/usr/lib/systemd', '/usr/local',
           '/var/lib/oomkit', '/run/oomkit')


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def files():
    """Each file, link and folder with what is in it."""
    found = {}
    for folder in FOLDERS:
        for parent, _folders, names in os.walk(folder):
            found[parent] = 'folder'
            for path in (os.path.join(parent, name) for name in names):
                link = os.path.islink(path)
                found[path] = 'to ' + os.readlink(path) if link else hashlib.sha256(read(path)).hexdigest()
    return found


def processes():
    """By unit, each process: number, start, name and score. Kernel threads are in no unit."""
    units = {}
    for number in filter(str.isdigit, os.listdir('/proc')):
        folder = '/proc/%s/' % number
        try:
            group = read(folder + 'cgroup').decode().strip().partition('::')[2]
            stat = read(folder + 'stat').decode(errors='replace')
            score = int(read(folder + 'oom_score_adj'))
        except (FileNotFoundError, ProcessLookupError):
            continue
        unit = group.rpartition('/')[2]
        if unit:
            name = stat[stat.index('(') + 1:stat.rindex(')')]
            start = stat.rpartition(')')[2].split()[19]
            units.setdefault(unit, []).append({'pid': int(number), 'start': start, 'name': name, 'score': score})
    return {unit: sorted(found, key=lambda process: process['pid']) for unit, found in units.items()}


if __name__ == '__main__':
    json.dump({
        'sysctl': {str(path.relative_to(PROC_SYS)).replace('/', '.'): int(path.read_text())
                   for pattern in SYSCTLS for path in PROC_SYS.glob(pattern)},
        'files': files(),
        'processes': processes(),
        'boot': read('/proc/sys/kernel/random/boot_id').decode().strip(),
    }, sys.stdout)
