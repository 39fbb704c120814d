# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real OOM: the kernel's own log says that the job died for its 500, and redis lives with its -500."""

import re

import pytest


@pytest.fixture(scope='module')
def log(machine):
    """The kernel's log of this boot."""
    return machine.host.check_output('dmesg')


def test_the_kernel_killed_the_job_and_nobody_else(machine, log):
    killed = re.findall(r'Out of memory: Killed process (\d+) \((.*)\) .*oom_score_adj:(-?\d+)', log)
    jobs = {one['pid'] for one in machine.prepared()['processes']['oomkit-job.service']}
    assert [(name, score) for _pid, name, score in killed] == [('python3', '500')]
    assert int(killed[0][0]) in jobs
    assert machine.show('oomkit-job', 'Result') == {'Result': 'oom-kill'}


def test_the_kernel_knew_redis_by_its_score(machine, log):
    pid = machine.main_pid('redis-server.service')
    row = re.search(r'\[ *%d\] +\d+ +%d .* (-?\d+) redis-server$' % (pid, pid), log, re.MULTILINE)
    assert row and row[1] == '-500'


@pytest.mark.parametrize('unit', ['redis-server.service', 'postgresql@17-main.service', 'nginx.service', 'ssh.service'])
def test_the_others_live(machine, unit):
    before, now = ({(one['pid'], one['start']) for one in state['processes'][unit]}
                   for state in (machine.prepared(), machine.now()))
    assert now and now <= before
    assert machine.main_pid(unit) in {pid for pid, _start in now}


def test_redis_answers(machine):
    assert machine.host.check_output('redis-cli ping') == 'PONG'
