# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""State absent gives each process exactly what it had before this collection set it, and touches nothing else."""

import os

import pytest
from services_machine import ETC, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._policy import service_apply
from ansible_collections.oomkit.linux.plugins.module_utils._service import saved_scores
from ansible_collections.oomkit.linux.plugins.module_utils._systemd import drop_in

SSHD, SESSION, CHILD = 10, 11, 12
DROP_IN = f'{ETC}/ssh.service.d/90-oomkit.conf'
WAYS = [
    {'scope': 'inherited'}, {'scope': 'main'}, {'scope': 'all'}, {'scope': 'all', 'persistent': False},
    {'scope': 'main', 'persistent': False}, {'scope': 'all', 'runtime': False},
]  # fmt: skip


@pytest.fixture
def machine(tmp_path):
    """sshd at -1000, set by sshd, a session at the 15 of the unit, and a process that somebody has set to 77."""
    return made(tmp_path)


def made(folder, init='systemd'):
    machine = ServiceMachine(folder, init=init)
    machine.unit('ssh.service')
    machine.unit('other.service')
    machine.process(SSHD, name='sshd', adj=-1000, unit='ssh.service')
    machine.process(SESSION, parent=SSHD, unit='ssh.service')
    machine.process(CHILD, parent=1, adj=77, unit='ssh.service')
    machine.process(20, adj=300, unit='other.service')
    return machine


def values(machine, *pids):
    return [machine.adj(pid) for pid in pids or (SSHD, SESSION, CHILD)]


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('value', [500, 77, 15, 0, -1000])
def test_each_process_gets_back_its_own(machine, way, value):
    before = machine.tree()
    machine.run(name='ssh', score_adj=value, force=True, **way)
    machine.run(name='ssh', state='absent')
    assert values(machine) == [-1000, 15, 77] and machine.tree() == before
    again = machine.run(name='ssh', state='absent')
    assert not again['changed'] and again['managed'] is False


def test_whether_there_was_a_record_is_said(machine):
    machine.run(process={'pid': 20}, score_adj=700)
    machine.run(name='ssh', score_adj=500)
    assert 'managed' not in machine.run(name='ssh', score_adj=500)
    for desired, managed in (({'name': 'other'}, False), ({'process': {'pid': SSHD}}, False), ({'name': 'no'}, False),
                             ({'process': {'pid': 20}}, True), ({'name': 'ssh'}, True), ({'exclusive': True}, False)):
        for check in (True, False):
            assert machine.run(check=check, state='absent', **desired)['managed'] is managed, desired


def test_there_was_one_though_others_have_changed_all_of_it(machine):
    machine.run(process={'pid': 20}, score_adj=700)
    machine.put('/proc/20/oom_score_adj', '9\n')
    for desired in ({'process': {'pid': 20}}, {'exclusive': True}):
        result = machine.run(check=True, state='absent', **desired)
        assert result['managed'] is True and not result['changed'] and 'msg' not in result


def test_who_may_not_read_the_record_does_not_know(machine, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda *_args: False)
    result = machine.run(process={'pid': 20}, state='absent')
    assert result['managed'] is None and 'for root only' in result['warnings'][0] and 'msg' not in result


def test_the_plan_can_be_sent_to_the_helper_process_at_any_time(machine, monkeypatch):
    """A round that is recorded hangs a function on a target, which cannot be sent."""
    real = service_apply._check_next_start
    seen = []
    monkeypatch.setattr(service_apply, '_check_next_start', lambda plan: seen.extend(
        target.before_round for target in plan.targets) or real(plan))
    machine.run(name='ssh', score_adj=500, scope='all')
    assert seen and set(seen) == {None}


@pytest.mark.parametrize('way', WAYS)
def test_the_first_original_stays(machine, way):
    before = machine.tree()
    for value in (500, 600, 77):
        machine.run(name='ssh', score_adj=value, scope='all')
        machine.run(name='ssh', score_adj=value + 1, **way)
    machine.run(state='absent', exclusive=True)
    assert values(machine) == [-1000, 15, 77] and machine.tree() == before


def test_what_has_started_since_gets_what_a_start_gives_now(machine):
    machine.run(name='ssh', score_adj=500, scope='all')
    machine.process(13, parent=SSHD, adj=500, unit='ssh.service', start=900)
    machine.put(f'{ETC}/ssh.service.d/30-admin.conf', '[Service]\nOOMScoreAdjust=100\n')
    machine.run(name='ssh', state='absent')
    # The session had what a start gave when it was set first, so it follows the unit; the others have originals.
    assert values(machine, SSHD, SESSION, CHILD, 13) == [-1000, 100, 77, 100]


def test_change_by_others_stays_and_is_reported(machine):
    machine.run(name='ssh', score_adj=500, scope='all')
    machine.put(f'/proc/{SSHD}/oom_score_adj', '-5\n')
    machine.put(f'/proc/{SESSION}/oom_score_adj', '6\n')
    service = machine.run(name='ssh', state='absent')['services'][0]
    assert values(machine) == [-5, 6, 77]
    assert {one['pid'] for one in service['skipped']} == {SSHD, SESSION}


def test_process_that_reused_the_pid_is_not_reverted(machine):
    machine.run(name='ssh', score_adj=500, scope='all')
    machine.end(SSHD)
    machine.process(SSHD, adj=42, unit='ssh.service', start=9999)
    machine.run(name='ssh', state='absent')
    assert values(machine) == [42, 15, 77]


@pytest.mark.parametrize('params', [{'name': 'ssh'}, {'exclusive': True}, {'process': {'pid': SSHD}}])
def test_without_a_record_nothing_changes_and_is_reported(machine, params):
    machine.put('/etc/systemd/system/ssh.service.d/30-admin.conf', '[Service]\nOOMScoreAdjust=-20\n')
    machine.stale.add('ssh.service')  # which is for him to reload
    before = machine.tree()
    for check in (True, False):
        result = machine.run(check=check, state='absent', **params)
        assert not result['changed'] and result['managed'] is False and 'has set nothing' in result['msg']
        assert result['warnings'] == [] and result['diff'] == [] and machine.reloads == 0
    assert values(machine) == [-1000, 15, 77] and machine.tree() == before


def test_our_drop_in_alone_is_a_record_of_its_values(machine):
    """As after a reboot, or in an image made with runtime: false."""
    machine.put(DROP_IN, drop_in.edit(None, {'OOMScoreAdjust': 400}))
    machine.put(f'/proc/{CHILD}/oom_score_adj', '400\n')
    result = machine.run(name='ssh', state='absent')
    assert result['changed'] and 'msg' not in result
    assert values(machine) == [-1000, 15, 15] and machine.get(DROP_IN) is None


@pytest.mark.parametrize('init', ['systemd', 'sysvinit'])
def test_everything_means_processes_that_are_no_service_too(tmp_path, init):
    machine = made(tmp_path, init=init)
    if init != 'systemd':
        machine.put('/etc/init.d/ssh', '')
        machine.put('/run/ssh.pid', f'{SSHD}\n')
        machine.process(CHILD, parent=SSHD, adj=77)
    before = machine.tree()
    machine.run(process={'pid': 20}, score_adj=700)
    machine.run(name='ssh', score_adj=500, scope='all')
    result = machine.run(state='absent', exclusive=True)
    assert [(one['pid'], one['before'], one['after']) for one in result['processes']] == [(20, 700, 300)]
    assert values(machine, SSHD, SESSION, CHILD, 20) == [-1000, 15, 77, 300] and machine.tree() == before


@pytest.mark.parametrize('init', ['systemd', 'sysvinit'])
def test_processes_that_have_ended_leave_no_record(tmp_path, init):
    machine = made(tmp_path, init=init)
    machine.run(process={'pid': 20}, score_adj=700)
    machine.end(20)
    assert machine.run(state='absent', exclusive=True)['managed'] is False and not machine.exists('/run/oomkit')


def test_a_process_that_somebody_else_has_changed_is_skipped(machine):
    machine.run(process={'pid': 20}, score_adj=700)
    machine.put('/proc/20/oom_score_adj', '9\n')
    result = machine.run(process={'pid': 20}, state='absent')
    assert not result['changed'] and machine.adj(20) == 9
    assert any('something else has changed it' in warning for warning in result['warnings'])


@pytest.mark.thorough
def test_the_record_stays_small_where_a_service_forks_busily(machine):
    for pid in range(100, 400):
        machine.process(pid, parent=SESSION, unit='other.service', adj=300 if pid < 110 else None)
    machine.run(name='other', score_adj=500, scope='all')
    record = saved_scores.parse(machine.read_bytes(saved_scores.FILE))
    assert len(record.processes) == 11
    for pid in range(100, 110):
        machine.end(pid)
    machine.run(name='other', score_adj=501, scope='all')
    record = saved_scores.parse(machine.read_bytes(saved_scores.FILE))
    assert list(record.processes) == [(20, 100)]


def test_with_another_init_too(tmp_path):
    machine = made(tmp_path, init='sysvinit')
    machine.put('/etc/init.d/ssh', '')
    machine.put('/run/ssh.pid', f'{SSHD}\n')
    machine.process(CHILD, parent=SSHD, adj=77)
    machine.run(name='ssh', score_adj=500, scope='all')
    assert values(machine) == [500] * 3
    machine.run(name='ssh', score_adj=600, scope='all')
    machine.run(name='ssh', state='absent')
    assert values(machine) == [-1000, 15, 77]


@pytest.mark.parametrize(('present', 'by_hand'), [('kill', '0'), ('continue', '1')])
def test_a_group_that_somebody_else_has_changed_is_skipped(machine, present, by_hand):
    group = '/sys/fs/cgroup/system.slice/ssh.service/memory.oom.group'
    machine.run(name='ssh', oom_policy='stop' if present == 'continue' else 'kill')
    machine.run(name='ssh', oom_policy=present)
    machine.put(group, by_hand + '\n')
    machine.run(name='ssh', state='absent')
    assert machine.get(group).strip() == by_hand


@pytest.mark.parametrize(('unit', 'manager', 'group'), [
    ('', '', '0'), ('', 'DefaultOOMPolicy=kill\n', '1'), ('', 'DefaultOOMPolicy=continue\n', '0'),
    ('Delegate=yes\n', 'DefaultOOMPolicy=kill\n', '0'), ('OOMPolicy=stop\n', 'DefaultOOMPolicy=kill\n', '0'),
])
@pytest.mark.parametrize('desired_states', [
    [{'oom_policy': 'continue'}], [{'oom_policy': 'kill'}], [{'oom_policy': 'kill'}, {'oom_policy': 'stop'}],
])
def test_group_reverts_to_the_default_oom_policy(machine, unit, manager, group, desired_states):
    """The services were started with ours, as after a boot, so that no original is recorded."""
    machine.unit('ssh.service', '[Service]\nExecStart=/bin/x\n' + unit)
    machine.put('/etc/systemd/system.conf', '[Manager]\n' + manager)
    path = '/sys/fs/cgroup/system.slice/ssh.service/memory.oom.group'
    machine.put(path, group + '\n')
    machine.run(name='ssh', runtime=False, **desired_states[0])
    machine.put(path, '%d\n' % (desired_states[0]['oom_policy'] == 'kill'))
    for desired in desired_states[1:]:
        machine.run(name='ssh', **desired)
    machine.run(name='ssh', state='absent')
    assert machine.get(path).strip() == group
