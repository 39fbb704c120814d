# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change after change on a machine that is out of memory all the time: one processor, swap full, the kernel killing.

OOMKIT_SOAK is the number of changes, 5 by default, and 1,000 on Debian 13 in ``make lab-matrix``.
"""

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import started
from test_at_once import family, values
from test_sysctls import good

CHANGES = int(os.environ.get('OOMKIT_SOAK', '5'))
HOG = Path(__file__).with_name('soak') / 'hog.py'
LEFT = ('find /etc /run /var/lib -xdev -name ".oomkit-*" -o -name "*.oomkit-*~" -o -path "/run/oomkit*" '
        '-o -path "/var/lib/oomkit*" -o -name "*oomkit*.conf"')
KILLS = "kills=$(sed -n 's/^oom_kill //p' /proc/vmstat)"
SET = ('vm.overcommit_memory', 'vm.overcommit_ratio', 'kernel.panic')


@pytest.fixture(scope='module')
def small():
    """640 MB, 64 MB of swap, one processor."""
    yield from started('soak', memory_mb=640, cpus=1, swap_mb=64)


class Caller(threading.Thread):
    """A user who logs in again and again."""

    def __init__(self, machine):
        super().__init__(daemon=True)
        self.command = ['ssh', '-F', str(machine.folder / 'ssh_config'), '-o', 'ControlMaster=no',
                        '-o', 'ControlPath=none', '-o', 'ConnectTimeout=100', '-l', 'root', 'lab', 'true']
        self.over, self.times_s, self.failed = threading.Event(), [], []

    def run(self):
        while not self.over.is_set():
            begin = time.monotonic()
            try:
                done = subprocess.run(self.command, capture_output=True, text=True, timeout=120, check=False)
                said = done.stderr.strip() or str(done.returncode) if done.returncode else ''
            except subprocess.TimeoutExpired:
                said = 'no answer'
            self.times_s.append(time.monotonic() - begin)
            if said:
                self.failed.append(said)
            self.over.wait(3)


def desired(dice):
    """A module and its options: what somebody may ask for."""
    module = dice.choice(['overcommit', 'overcommit', 'panic_on_oom', 'oom_score_adj'])
    if module == 'overcommit':
        # Where nothing is overcommitted root needs 128 MB to log in and look (kernel: admin-guide/sysctl/vm.rst).
        limit = dice.choice([{'ratio': dice.randrange(80, 300)}, {'kbytes': dice.randrange(500000, 3000000)},
                             {'commit_limit': '90%'}])
        return module, dice.choice([
            {'mode': 'heuristic', 'ratio': dice.randrange(40, 90)}, {'mode': 'always'}, {'state': 'absent'},
            dict(limit, mode='never', admin_reserve_kbytes=dice.randrange(128, 160) * 1024)])
    if module == 'panic_on_oom':
        # Never one that would panic here.
        return module, dice.choice([{'policy': 'kill', 'reboot_after': dice.randrange(1, 90)},
                                    {'kill_allocating_task': True}, {'state': 'absent'}])
    return module, dice.choice([{'name': 'family', 'score_adj': dice.randrange(-999, 0)},
                                {'name': 'family', 'state': 'absent'}])


def descriptors(machine):
    """Open files of the whole machine."""
    return int(machine.run('cut -f1 /proc/sys/fs/file-nr').stdout)


@pytest.mark.long
def test_a_thousand_changes_under_pressure(small):
    small.run('mkswap /dev/vdb >/dev/null && swapon /dev/vdb')
    small.write_file('/srv/hog.py', HOG.read_bytes())
    dice, outcomes = random.Random(7), Counter()
    with family(small):
        untouched, files = small.run(LEFT, check=False).stdout, descriptors(small)
        # A unit of its own: systemd stops the unit of a process that the kernel killed, and that must not be sshd's.
        small.run('systemd-run -q --unit=hog -p OOMPolicy=continue python3 /srv/hog.py')
        caller = Caller(small)
        caller.start()
        try:
            small.run(f'for _ in $(seq 600); do {KILLS}; test $kills -gt 0 && exit; sleep 0.2; done; exit 1')
            for number in range(1, CHANGES + 1):
                module, params = desired(dice)
                outcomes[change(small, module, params)] += 1
                if not number % 50:
                    print(f'{number} changes so far: {dict(outcomes)}; {len(caller.times_s)} logins', flush=True)
        finally:
            caller.over.set()
            small.run('systemctl kill -s KILL hog', check=False)
            caller.join(130)
        kills = int(small.run(f'{KILLS}; echo $kills').stdout)
        print(f'{CHANGES} changes: {dict(outcomes)}; {kills} OOM kills; {len(caller.times_s)} logins, the slowest '
              f'{max(caller.times_s):.1f} s, {len(caller.failed)} failed')
        if caller.failed:
            print(small.run('journalctl -b -n 200 --no-pager', check=False).stdout)
        assert caller.failed == []
        assert kills >= max(1, CHANGES // 25) and outcomes['changed'] > CHANGES // 3
        final(small)
        small.run('sleep 2')
        assert small.run(LEFT, check=False).stdout == untouched
        assert small.run('pgrep -c oomkit-watchdog', check=False).stdout.strip() == '0'
        assert descriptors(small) < files + 200


def change(machine, module, params):
    """How it ended: changed, unchanged, or a message that says that everything is as it was."""
    result = machine.module(module, **params)
    if not result.get('failed'):
        holds(machine, params, result)
        return 'changed' if result['changed'] else 'unchanged'
    assert 'internal error' not in result['msg'] and 'NOT rolled back' not in result['msg'], result['msg']
    if 'Everything was rolled back' in result['msg']:
        print(result['msg'], flush=True)
        return 'rolled back'
    return 'refused'


def holds(machine, params, result):
    """What was said to be done is so: of services, whose processes are easily overlooked."""
    if 'name' not in params:
        return
    found, wanted = values(machine), {str(params.get('score_adj', 0))}
    if found != wanted:
        print(json.dumps(result, indent=1))
        print(machine.run('systemctl show family; systemctl cat family; journalctl -b -n 200 --no-pager '
                          '-u init.scope -u family; dmesg | tail -n 30', check=False).stdout)
    assert found == wanted


def final(machine):
    """The last requests hold, and everything can be reverted."""
    good(machine.module('overcommit', mode='never', ratio=200))
    good(machine.module('oom_score_adj', name='family', score_adj=-77))
    good(machine.module('panic_on_oom', reboot_after=33))
    assert [machine.sysctl(key) for key in SET] == [2, 200, 33]
    assert values(machine) == {'-77'}
    for module, params in (('overcommit', {}), ('panic_on_oom', {}), ('oom_score_adj', {'name': 'family'})):
        good(machine.module(module, state='absent', **params))
        assert not good(machine.module(module, state='absent', **params))['changed']
    assert [machine.sysctl(key) for key in SET] == [0, 50, 0]
    assert values(machine) == {'0'}
