# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy is there at once: without a restart, and without touching what manages its own score."""

import pytest

INHERITED = {'redis-server.service': -500, 'nginx.service': 200, 'oomkit-job.service': 500}
DIRECTIVES = dict(INHERITED, **{'postgresql@17-main.service': -900, 'ssh.service': 100})


def test_strict_overcommit_is_in_force(machine):
    sysctl, memory = machine.now()['sysctl'], machine.meminfo_kb()
    assert sysctl['vm.overcommit_memory'] == 2
    assert memory['CommitLimit'] == pytest.approx(memory['MemTotal'] * 0.95, abs=8)


def test_the_next_boot_sets_the_same(machine):
    lines = machine.host.file('/etc/sysctl.d/99-oomkit.conf').content_string.splitlines()
    sysctl = machine.now()['sysctl']
    for key in ('vm.overcommit_memory', 'vm.overcommit_kbytes'):
        assert f'{key} = {sysctl[key]}' in lines


@pytest.mark.parametrize('unit', DIRECTIVES)
def test_the_next_start_gives_the_same(machine, unit):
    dropin = machine.host.file(f'/etc/systemd/system/{unit}.d/90-oomkit.conf')
    assert dropin.content_string.startswith('# Made by the Ansible collection oomkit.linux')
    assert machine.show(unit, 'OOMScoreAdjust', 'NeedDaemonReload') == {
        'OOMScoreAdjust': str(DIRECTIVES[unit]), 'NeedDaemonReload': 'no'}


@pytest.mark.parametrize('unit', INHERITED)
def test_main_and_children_have_it_now(machine, unit):
    scores = machine.scores(unit)
    assert scores and set(scores.values()) == {INHERITED[unit]}


def test_the_postmaster_has_it_and_its_back_ends_keep_theirs(machine):
    main = machine.main_pid('postgresql@17-main.service')
    scores = machine.scores('postgresql@17-main.service')
    children = {score for (_name, pid), score in scores.items() if pid != main}
    assert scores['postgres', main] == -900 and children == {0}
    assert machine.host.check_output('pgrep -c -f "postgres: 17/main: postgres postgres"') == '1'


def test_sshd_and_its_sessions_keep_theirs(machine):
    assert set(machine.scores('ssh.service').values()) == {-1000}
    sessions = [process['score'] for found in machine.now()['processes'].values() for process in found
                if process['name'] == 'sshd-session']
    assert sessions and set(sessions) == {0}


def test_nothing_was_restarted(machine):
    assert set(machine.kept_processes()) >= set(DIRECTIVES)


@pytest.mark.parametrize('unit', [*INHERITED, 'ssh.service'])
def test_the_processes_are_the_same(machine, unit):
    kept = len(machine.kept_processes()[unit])
    assert kept == len(machine.prepared()['processes'][unit]) == len(machine.scores(unit))


def test_what_manages_itself_was_reported(machine):
    left = {one['unit']: {process['oom_score_adj'] for process in one['skipped']}
            for one in machine.said('changed')['services']}
    assert left['ssh.service'] == {-1000} and left['postgresql@17-main.service'] == {0}


def test_the_role_said_the_same_in_check_mode(machine):
    planned, changed, again = (machine.said(when) for when in ('planned', 'changed', 'unchanged'))
    assert planned['changed'] and planned['changed_keys'] == changed['changed_keys'] != []
    assert changed['applied'] and changed['restart_needed'] == changed['conflicts'] == []
    assert changed['confirmation']['state'] == 'confirmed' and again['confirmation']['state'] == 'not_needed'


def test_no_watchdog_is_left(machine):
    assert machine.host.run('ls -A /run/oomkit').stdout == 'oom_score_adj.json\n'


def test_people_can_log_in(machine):
    assert machine.host.check_output('su tester -c whoami') == 'tester'
