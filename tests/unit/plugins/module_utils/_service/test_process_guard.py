# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option process: whom a name or an expression may mean, and which processes a negative value must not protect."""

import os
import pickle

import pytest
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._module import score_adj as module
from ansible_collections.oomkit.linux.plugins.module_utils._process import selector as process_selector
from ansible_collections.oomkit.linux.plugins.module_utils._process.handle import ProcessHandle
from ansible_collections.oomkit.linux.plugins.module_utils._service import process_guard

REDIS, ALICE = 999, 1000
SESSION = '/user.slice/user-1000.slice/session-3.scope'


@pytest.fixture
def machine(tmp_path):
    """Redis, and a program of user 1000 that calls itself so; sshd, and a session that it has started."""
    machine = ServiceMachine(tmp_path)
    machine.process(60, name='redis-server', uid=REDIS, unit='redis.service', cmdline='redis-server *:6379')
    machine.process(50, name='sshd', unit='ssh.service')
    machine.process(51, name='bash', parent=50, uid=ALICE)
    machine.put('/proc/51/cgroup', f'0::{SESSION}\n')
    machine.process(70, name='smartd', unit='smartd.service', rss_kb=1000000)
    return machine


def of_alice(machine, name='redis-server', uid=ALICE, cgroup=SESSION):
    machine.process(61, name=name, parent=51, uid=uid, cmdline=f'{name} *:6379')
    machine.put('/proc/61/cgroup', f'0::{cgroup}\n')


def adjs(machine):
    pids = [int(name) for name in machine.folders('/proc') if name.isdigit()]
    return {pid: machine.adj(pid) for pid in pids if machine.adj(pid)}


@pytest.mark.parametrize('process', [{'comm': 'redis-server'}, {'cmdline_regex': '^redis-server '}, {'pid': 61}])
def test_negative_score_for_login_user_is_refused(machine, process):
    of_alice(machine)
    with pytest.raises(Refusal, match=r'Process 61 \(redis-server\) belongs to user 1000.*Nothing was changed'):
        machine.run(process=process, score_adj=-500)
    assert adjs(machine) == {}
    machine.run(process=process, score_adj=500)
    assert machine.adj(61) == 500
    machine.run(process=process, score_adj=-500, force=True)
    assert machine.adj(61) == -500


@pytest.mark.parametrize('uids', ['1000 0 0 0', '0 1000 0 0', '0 0 1000 0', '9 9 100000 9'])
def test_each_user_id_counts(machine, uids):
    of_alice(machine, cgroup='/system.slice/x.service')
    status = machine.get('/proc/61/status')
    machine.put('/proc/61/status', status.replace('\t'.join(['1000'] * 4), '\t'.join(uids.split())))
    with pytest.raises(Refusal, match='not a system account'):
        machine.run(process={'comm': 'redis-server'}, score_adj=-1)


def test_a_link_to_sudo_is_of_the_user_who_runs_it(machine):
    """sudo sets all of its user IDs, and its name is that of the link."""
    of_alice(machine, uid=0)
    with pytest.raises(Refusal, match=r'Process 61 \(redis-server\) belongs to user 1000'):
        machine.run(process={'comm': 'redis-server'}, score_adj=-1)


@pytest.mark.parametrize('uid', [0, 999, 65534, 61184, 65519])
def test_system_accounts_are_set(machine, uid):
    machine.process(62, name='worker', uid=uid, unit='worker.service')
    machine.run(process={'comm': 'worker'}, score_adj=-500)
    assert adjs(machine) == {62: -500}


@pytest.mark.parametrize('selector', [{'comm': 'redis-server'}, {'cmdline_regex': '^redis-server '}])
def test_user_and_name_select_processes_of_that_user(machine, selector):
    of_alice(machine)
    result = machine.run(process=dict(selector, user=str(REDIS)), score_adj=-500)
    assert [one['pid'] for one in result['processes']] == [60] and adjs(machine) == {60: -500}
    machine.run(process=dict(selector, user=str(ALICE)), score_adj=-5)  # a request that names a user means him
    assert adjs(machine) == {60: -500, 61: -5}


def test_a_user_is_the_real_and_the_effective_one(machine):
    """su and sudo of others act as root, and are started by anybody."""
    machine.process(62, name='su', uid=0)
    machine.put('/proc/62/status', machine.get('/proc/62/status').replace('Uid:\t0\t', f'Uid:\t{ALICE}\t'))
    for user in ('0', str(ALICE)):
        found = machine.run(process={'user': user}, score_adj=1, check=True)['processes']
        assert 62 not in [one['pid'] for one in found] and len(found) > 0


@pytest.mark.parametrize('process', [
    {'pid': 60, 'user': '0'}, {'pidfile': '/x', 'user': '0'}, {'comm': 'x', 'cmdline_regex': 'y'},
    {'comm': 'x', 'cmdline_regex': 'y', 'user': '0'}, {'pid': 60, 'comm': 'x'}, {}])
def test_other_combinations_are_refused(machine, process):
    with pytest.raises(ConvertError, match='user together with comm or cmdline_regex; found '):
        machine.run(process=process, score_adj=1)


@pytest.mark.parametrize('process', [{'comm': 'sshd'}, {'user': '0'}, {'pid': 50}, {'comm': 'sshd', 'user': '0'}])
def test_what_starts_logins_is_never_exempt_without_force(machine, process):
    with pytest.raises(Refusal, match=r'Every new login session .* process (50 \(sshd\)|1 \(systemd\))'):
        machine.run(process=process, score_adj=-1000)
    assert adjs(machine) == {}
    result = machine.run(process=process, score_adj=-999)
    assert 'every new login session inherits this from process ' in result['warnings'][0] and machine.adj(50) == -999
    assert machine.run(process=process, score_adj=500)['warnings'] == []
    machine.run(process=process, score_adj=-1000, force=True)
    assert machine.adj(50) == -1000


@pytest.mark.parametrize('name, unit', [
    ('sshd', None), ('sshd-session', None), ('dropbear', None), ('login', None), ('agetty', None),
    ('systemd-logind', None), ('systemd', None), ('(sd-pam)', None), ('mine', 'sshd.service'),
    ('mine', 'getty@tty1.service'), ('mine', 'dropbear.service')])
def test_what_starts_logins_is_known_by_its_name_and_by_its_unit(machine, name, unit):
    machine.process(63, name=name, unit=unit)
    with pytest.raises(Refusal, match='Every new login session inherits'):
        machine.run(process={'pid': 63}, score_adj=-1000)


def test_what_has_started_a_login_session_is_known_by_it(machine):
    """Such as a display manager."""
    machine.process(64, name='greeter', unit='kiosk.service')
    machine.process(65, name='worker', parent=64, unit='kiosk.service')
    machine.run(process={'pid': 64}, score_adj=-1000)
    machine.process(66, name='gnome', parent=65, uid=ALICE)
    machine.put('/proc/66/cgroup', '0::/user.slice/user-1000.slice/user@1000.service/app.slice\n')
    machine.run(process={'pid': 64}, score_adj=0)
    with pytest.raises(Refusal, match=r'process 64 \(greeter\)'):
        machine.run(process={'pid': 64}, score_adj=-1000)
    machine.put('/proc/66/cgroup', '0::/docker/x/user.slice/user-1000.slice/session-1.scope\n')  # a container's own
    machine.run(process={'pid': 64}, score_adj=-1000)


def test_exempting_all_that_hold_memory_is_warned_of(machine):
    (warning,) = machine.run(process={'comm': 'smartd'}, score_adj=-1000, check=True)['warnings']
    assert 'can be killed any more' in warning
    assert machine.run(process={'comm': 'redis-server'}, score_adj=-1000)['warnings'] == []


@pytest.mark.parametrize('value', [-1000, -5])
def test_who_joins_later_is_held_to_the_same_rules(machine, monkeypatch, value):
    """Between the plan and the last write another process may take the name."""
    plan = module.forecast_before_and_after

    def then(*arguments):
        of_alice(machine)
        return plan(*arguments)

    monkeypatch.setattr(module, 'forecast_before_and_after', then)
    machine.run(process={'comm': 'redis-server'}, score_adj=value)
    assert adjs(machine) == {60: value}


def test_only_the_beginning_of_a_command_line_is_searched(machine):
    machine.put('/proc/60/cmdline', 'a' * 4000 + '\0near\0' + 'b' * 100 + '\0far\0')
    for pattern, found in (('near', [60]), ('far', [])):
        result = machine.run(process={'cmdline_regex': f'\\b{pattern}\\b'}, score_adj=1, check=True, missing='ignore')
        assert [one['pid'] for one in result['processes']] == found


def test_a_long_expression_is_refused(machine):
    with pytest.raises(ConvertError, match='has 1025 bytes, and an expression that long') as caught:
        machine.run(process={'cmdline_regex': 'a|' * 512 + 'b'}, score_adj=1)
    assert len(str(caught.value)) < 300
    machine.run(process={'cmdline_regex': 'a|' * 511 + 'b'}, score_adj=1, missing='ignore')


def test_rules_can_be_sent_to_another_process():
    """A look at processes of others is made by a helper that can be killed."""
    groups = [process_selector.build_group(Host(), process) for process in (
        {'cmdline_regex': 'python', 'user': str(os.getuid())}, {'pid': os.getpid()})]
    groups.append(process_guard.restrict_group(groups[0], process_guard.Asked('x', -1000, False, False), Host()))
    with ProcessHandle(Host(), os.getpid()) as held:
        answers = [group.holds(held) for group in groups]
        assert [group.holds(held) for group in pickle.loads(pickle.dumps(groups))] == answers
    assert answers[0]
