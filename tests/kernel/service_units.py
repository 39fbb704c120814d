# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services for the tests: small units that behave as real ones do, on every machine of the lab."""

# Two children that keep what they were given, as nginx's workers do.
FAMILY = r"""
import os, time
for _ in range(2):
    if os.fork() == 0:
        break
time.sleep(1e6)
"""

# As postgres: the parent keeps the unit's value, each child gives itself 0.
DATABASE = r"""
import os, time
for _ in range(3):
    if os.fork() == 0:
        open('/proc/self/oom_score_adj', 'w').write('0')
        break
time.sleep(1e6)
"""

# Two hundred short-lived children a second, each with a child of its own.
BUSY = r"""
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(1.0)
        time.sleep(0.5)
        os._exit(0)
    time.sleep(0.005)
"""

PROGRAMS = {'family': FAMILY, 'database': DATABASE, 'busy': BUSY, 'plain': 'import time; time.sleep(1e6)'}


def install(machine, *names, start=True, directives=''):
    """Units of these names, each a program of PROGRAMS or else a plain one; a name with @ is a template."""
    for name in names:
        program = PROGRAMS.get(name.rstrip('@'), PROGRAMS['plain'])
        machine.write_file(f'/srv/{name}.py', program.encode())
        service = f'[Service]\nExecStart=/usr/bin/python3 /srv/{name}.py\n{directives}'
        unit = service + '[Install]\nWantedBy=multi-user.target\n'
        machine.write_file(f'/etc/systemd/system/{name}.service', unit.encode())
    machine.run('systemctl daemon-reload')
    plain = [name for name in names if not name.endswith('@')]
    if start and plain:
        machine.run('systemctl enable --now --quiet ' + ' '.join(plain))
        settle(machine, *plain)


def settle(machine, *units):
    """Wait until the programs have made their children."""
    wanted = {'family': 3, 'database': 4, 'busy': 50}
    for unit in units:
        least = wanted.get(unit.partition('@')[0], 1)
        machine.run(f'until [ $(wc -l < {procs(unit)}) -ge {least} ]; do sleep 0.1; done; sleep 0.2', timeout=60)


def procs(unit):
    """The list of a unit's processes."""
    name = unit if unit.endswith('.service') else unit + '.service'
    template = name.partition('@')[0] if '@' in name else None
    folder = f'/sys/fs/cgroup/system.slice/system-{template}.slice' if template else '/sys/fs/cgroup/system.slice'
    return f'{folder}/{name}/cgroup.procs'


def scores(machine, unit):
    """By PID, the oom_score_adj of a unit's processes, once systemd has set up all that it has forked."""
    names = f'for p in $(cat {procs(unit)}); do cat /proc/$p/comm 2>/dev/null; done'
    machine.run(f"while {names} | grep -qE '^(\\(|systemd)'; do sleep 0.1; done", timeout=60)
    script = f'for p in $(cat {procs(unit)}); do echo $p $(cat /proc/$p/oom_score_adj 2>/dev/null); done'
    lines = [line.split() for line in machine.run(script).stdout.splitlines()]
    return {int(line[0]): int(line[1]) for line in lines if len(line) == 2}
