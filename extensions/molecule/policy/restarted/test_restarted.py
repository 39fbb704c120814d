# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a restart of every service the policy is the same."""

import pytest

SCORES = {'redis-server.service': {-500}, 'nginx.service': {200}, 'oomkit-job.service': {500}, 'ssh.service': {-1000}}
UNITS = [*SCORES, 'postgresql@17-main.service']


@pytest.mark.parametrize('unit', SCORES)
def test_every_process_has_it(machine, unit):
    assert set(machine.scores(unit).values()) == SCORES[unit]


def test_the_postmaster_has_it_and_its_back_ends_set_their_own(machine):
    main = machine.main_pid('postgresql@17-main.service')
    scores = machine.scores('postgresql@17-main.service')
    assert scores.pop(('postgres', main)) == -900
    assert len(scores) > 4 and set(scores.values()) == {0}


def test_a_new_login_inherits_from_ssh(machine):
    assert machine.host.check_output('cat /proc/self/oom_score_adj') == '100'


@pytest.mark.parametrize('unit', UNITS)
def test_they_are_other_processes(machine, unit):
    before, now = ({(one['pid'], one['start']) for one in state['processes'][unit]}
                   for state in (machine.prepared(), machine.now()))
    assert now and not now & before


def test_strict_overcommit_is_in_force(machine):
    memory = machine.meminfo_kb()
    assert machine.now()['sysctl']['vm.overcommit_memory'] == 2
    assert memory['CommitLimit'] == pytest.approx(memory['MemTotal'] * 0.95, abs=8)
