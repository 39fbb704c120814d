# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Others are at work on the same machine: a second run, loaders, editors, services that restart, processes that die."""

import contextlib
import re
import threading
import time
from collections import Counter

import pytest
from oomlab.guest import Runner
from test_sysctls import good

SYSCTL_FILE = '/etc/sysctl.d/99-oomkit.conf'
UNIT = '/etc/systemd/system/family.service'
FAMILY = 'import os, time; [os.fork() for _ in range(2)]; time.sleep(1e6)'
# Both are above what the machine has committed by far.
REQUESTS = [{'mode': 'never', 'ratio': 300}, {'mode': 'never', 'kbytes': 4000000}]
STORM = """\
import os
while True:
    [os._exit(0) for _ in range(50) if not os.fork()]
    [os.wait() for _ in range(50)]
"""


@contextlib.contextmanager
def meanwhile(machine, command):
    """The command again and again in the guest, until the end of the block."""
    loop = f'while :; do {command}; done'
    pid = machine.run(f"setsid sh -c '{loop}' >/dev/null 2>&1 </dev/null & echo $!").stdout.strip()
    try:
        yield
    finally:
        machine.run(f'kill -- -{pid}; sleep 0.5; kill -9 -- -{pid} 2>/dev/null; true')


@contextlib.contextmanager
def family(machine):
    """A service of four processes."""
    machine.write_file(UNIT, f"[Service]\nExecStart=/usr/bin/python3 -c '{FAMILY}'\nTimeoutStopSec=1\n".encode())
    machine.run('systemctl daemon-reload && systemctl restart family && sleep 1')
    yield
    machine.run(f'systemctl stop family; rm -rf {UNIT} {UNIT}.d; systemctl daemon-reload')


def values(machine, unit='family.service'):
    """oom_score_adj of the processes of a service."""
    procs = f'/sys/fs/cgroup/system.slice/{unit}/cgroup.procs'
    return set(machine.run(f'for p in $(cat {procs}); do cat /proc/$p/oom_score_adj; done 2>/dev/null').stdout.split())


def settled(machine, **desired):
    """Once nobody else is at work the next run brings what is wanted, and the one after is unchanged."""
    good(machine.module('overcommit', **desired))
    assert not good(machine.module('overcommit', **desired))['changed']
    for key in ('mode', 'ratio', 'kbytes'):
        if key in desired and key != 'mode':
            assert machine.sysctl(f'vm.overcommit_{key}') == desired[key]


def consistent(machine):
    """Runtime is one request whole, and the file is the same one."""
    found = {key: machine.sysctl(f'vm.overcommit_{key}') for key in ('ratio', 'kbytes')}
    assert found in ({'ratio': 300, 'kbytes': 0}, {'ratio': 0, 'kbytes': 4000000})
    text = machine.read_file(SYSCTL_FILE).decode()
    lines = re.findall(r'^vm\.overcommit_(ratio|kbytes) = ([0-9]+)$', text, re.MULTILINE)
    said = {key: int(value) for key, value in lines}
    assert {key: value for key, value in said.items() if value} == {key: value for key, value in found.items() if value}


def test_two_runs_with_different_requests_take_turns(fresh):
    runners = [Runner(fresh._ssh('root')) for _request in REQUESTS]
    results = [[], []]

    def repeat(number):
        for _time in range(8):
            results[number].append(runners[number].module('overcommit', REQUESTS[number], False, False, 'root'))
    threads = [threading.Thread(target=repeat, args=(number,)) for number in range(2)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        for runner in runners:
            runner.close()
    for result in results[0] + results[1]:
        good(result)
    assert len(results[0]) == len(results[1]) == 8
    consistent(fresh)
    assert fresh.run('ls /run/oomkit', check=False).returncode
    settled(fresh, **REQUESTS[0])


def test_whoever_holds_the_lock_is_waited_for(fresh):
    fresh.run('mkdir -m 700 /run/oomkit; (flock -x 9; touch /srv/held; until test -e /srv/go; do sleep 0.2; done) '
              '9>/run/oomkit/lock >/dev/null 2>&1 & until test -e /srv/held; do sleep 0.1; done')
    results = []
    waiting = threading.Thread(target=lambda: results.append(fresh.module('overcommit', ratio=60)))
    waiting.start()
    waiting.join(5)
    assert not results and fresh.sysctl('vm.overcommit_ratio') == 50
    fresh.run('touch /srv/go')
    waiting.join(60)
    assert good(results[0])['changed'] and fresh.sysctl('vm.overcommit_ratio') == 60
    assert good(fresh.module('overcommit', check=True, ratio=70))['changed']


def test_the_loader_of_the_boot_at_the_same_time(fresh):
    """Either the request, whole, or a message and everything as it was."""
    outcomes = Counter()
    with meanwhile(fresh, 'sysctl --system'):
        for number in range(10):
            result = fresh.module('overcommit', **REQUESTS[number % 2])
            outcomes[result.get('msg', 'done')] += 1
            if result.get('failed'):
                assert 'Everything was rolled back' in result['msg'] or 'Nothing was changed' in result['msg']
    print(dict(outcomes))
    consistent(fresh)
    settled(fresh, **REQUESTS[0])


@pytest.mark.parametrize('edit', [
    pytest.param(f'echo "# mine $(date +%N)" >> {SYSCTL_FILE}', marks=pytest.mark.long),
    f'cp {SYSCTL_FILE} /srv/new && echo "# mine $(date +%N)" >> /srv/new && mv /srv/new {SYSCTL_FILE}',
], ids=['in place', 'by a new file'])
def test_an_editor_at_the_same_time_loses_nothing_that_we_saw(fresh, edit):
    good(fresh.module('overcommit', ratio=55))
    with meanwhile(fresh, f'{edit}; sleep 0.05'):
        for number in range(10):
            result = fresh.module('overcommit', ratio=60 + number)
            if result.get('failed'):
                assert 'changed by something else' in result['msg'] or 'Everything was rolled back' in result['msg']
    assert b'# mine' in fresh.read_file(SYSCTL_FILE)
    settled(fresh, ratio=90)
    assert fresh.run('ls -A /etc/sysctl.d | grep oomkit-', check=False).stdout == ''


@pytest.mark.long
def test_daemon_reload_at_the_same_time(fresh):
    with family(fresh):
        with meanwhile(fresh, 'systemctl daemon-reload'):
            for number in range(2):
                good(fresh.module('oom_score_adj', name='family', score_adj=100 + number))
                assert values(fresh) == {str(100 + number)}
        assert not good(fresh.module('oom_score_adj', name='family', score_adj=101))['changed']


@pytest.mark.long
def test_a_service_that_restarts_in_the_middle(fresh):
    with family(fresh):
        with meanwhile(fresh, 'systemctl restart family'):
            for number in range(4):
                result = fresh.module('oom_score_adj', name='family', score_adj=200 + number)
                if result.get('failed'):
                    assert 'rolled back' in result['msg'] or 'Nothing was changed' in result['msg']
        fresh.run('systemctl reset-failed family; systemctl restart family; sleep 1')
        good(fresh.module('oom_score_adj', name='family', score_adj=300))
        assert values(fresh) == {'300'}
        assert not good(fresh.module('oom_score_adj', name='family', score_adj=300))['changed']


@pytest.mark.long
def test_processes_die_and_are_born_by_the_hundred(fresh):
    fresh.write_file('/srv/storm.py', STORM.encode())
    with family(fresh), meanwhile(fresh, 'python3 /srv/storm.py'):
        time.sleep(1)
        for number in range(2):
            facts = good(fresh.module('oom_facts'))['ansible_facts']['oom']
            assert not [text for text in facts['warnings'] if 'internal error' in text] and facts['candidates']
            assert good(fresh.module('oom_forecast_info'))['outcome'] in ('kill', 'unknown')
            good(fresh.module('oom_score_adj', name='family', score_adj=number))
            good(fresh.module('oom_score_adj', process={'comm': 'systemd-udevd'}, score_adj=number))
        assert values(fresh) == {'1'}
