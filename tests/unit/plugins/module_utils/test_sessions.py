# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Negative values for services that start sessions or programs of others, known by what they are."""

import pytest
from services_machine import ETC, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal

LOGIN, OTHERS = 'every new login session inherits', 'what it runs for others inherits this'
ALICE = 1000
UNIT = '/system.slice/some.service'


@pytest.fixture
def machine(tmp_path):
    """A service whose name says nothing, with a main process and a worker."""
    machine = ServiceMachine(tmp_path)
    machine.unit('some.service')
    machine.process(50, name='some', unit='some.service')
    machine.process(51, name='worker', parent=50, unit='some.service')
    for pid in (50, 51):
        machine.put(f'/proc/{pid}/loginuid', '4294967295')
    machine.process(70, name='big', rss_kb=1000000)
    return machine


def change_stat(machine, pid, number, value):
    """``number`` is that of proc_pid_stat(5)."""
    head, _bracket, tail = machine.get(f'/proc/{pid}/stat').rpartition(')')
    fields = tail.split()
    fields[number - 3] = str(value)
    machine.put(f'/proc/{pid}/stat', f'{head}) {" ".join(fields)}\n')


def check(machine, sign, reason, name='some'):
    """``sign`` is what a warning says; None for no warning."""
    for value in (-1, -999, -1000):
        if sign == LOGIN and value == -1000:
            with pytest.raises(Refusal, match='Every new login session inherits the value of') as refusal:
                machine.run(name=name, score_adj=value, check=True)
            assert reason in str(refusal.value)
        told = inherited(machine.run(name=name, score_adj=value, check=True, force=value == -1000))
        assert len(told) == (sign is not None) and all(sign in text and reason in text for text in told), told
    assert inherited(machine.run(name=name, score_adj=5, check=True)) == []


def inherited(result):
    return [text for text in result['warnings'] if 'inherits' in text]


@pytest.mark.parametrize('lines, sign, reason', [
    ('PAMName=login', LOGIN, 'PAMName= in '), ('PAMName=login\nPAMName=', None, ''),
    ('Delegate=yes', OTHERS, 'Delegate= in '), ('Delegate=true', OTHERS, 'Delegate= in '),
    ('Delegate=cpu memory pids', OTHERS, 'Delegate= in '), ('Delegate=memory\nDelegate=pids', OTHERS, 'Delegate= in '),
    ('Delegate=pids', None, ''), ('Delegate=no', None, ''), ('Delegate=yes\nDelegate=no', None, ''),
    ('Delegate=yes\nPAMName=login', LOGIN, 'PAMName= in '),
    ('ExecStart=-/usr/local/sbin/sshd -D', LOGIN, 'it runs sshd'),
    ('ExecStart=!!/opt/teleport start', LOGIN, 'teleport'),
    ('ExecStart=/usr/bin/amazon-ssm-agent', LOGIN, 'it runs amazon-ssm-agen'),
    ('ExecStart=/usr/bin/dockerd -H fd://', OTHERS, 'it runs dockerd'), ('ExecStart=\nExecStart=/bin/y', None, ''),
])  # fmt: skip
@pytest.mark.parametrize('drop_in', [False, True])
def test_by_its_unit_file(machine, lines, sign, reason, drop_in):
    path = f'{ETC}/some.service.d/a.conf' if drop_in else '/usr/lib/systemd/system/some.service'
    machine.put(path, f'[Service]\n{lines}\n[Install]\nPAMName=x\nDelegate=yes\n')
    machine.end(50)
    machine.end(51)
    check(machine, sign, reason if reason in ('', 'teleport') or 'runs' in reason else reason + path)


def test_by_being_the_display_manager(machine):
    (machine.base / 'etc/systemd/system').mkdir(parents=True, exist_ok=True)
    (machine.base / 'etc/systemd/system/display-manager.service').symlink_to('/usr/lib/systemd/system/some.service')
    check(machine, LOGIN, 'display-manager.service is an alias of it')
    check(machine, LOGIN, '', name='display-manager')


@pytest.mark.parametrize('name', ['containerd', 'docker', 'crio', 'podman', 'kubelet', 'k3s', 'gitlab-runner',
                                  'jenkins-agent', 'actions.runner.org-repo.host', 'lxc@web', 'slurmd'])  # fmt: skip
def test_by_its_name(machine, name):
    machine.unit((name.partition('@')[0] + '@' if '@' in name else name) + '.service')
    check(machine, OTHERS, 'known by name', name=name)


@pytest.mark.parametrize('name', ['docker-cleanup', 'jenkins-backup', 'lxcfs', 'atop', 'cronolog', 'cage-data'])
def test_a_name_that_only_begins_so_is_none(machine, name):
    machine.unit(name + '.service')
    check(machine, None, '', name=name)


def in_session(machine):
    machine.put('/proc/51/cgroup', '0::/user.slice/user-1000.slice/session-3.scope\n')


def with_login(machine):
    machine.put('/proc/51/loginuid', '0')


def with_terminal(machine):
    change_stat(machine, 51, 7, 34817)


def of_alice(machine):
    machine.put('/proc/51/status', machine.get('/proc/51/status').replace('\t0', f'\t{ALICE}'))


def elsewhere(machine):
    machine.put('/proc/51/cgroup', '0::/kubepods/pod1\n')
    with_terminal(machine)  # such as docker run -it
    with_login(machine)


def below(machine):
    machine.put('/proc/51/cgroup', f'0::{UNIT}/job\n')


SIGNS = [(in_session, LOGIN, 'is in a login session'), (with_login, LOGIN, 'has the login user ID 0'),
         (with_terminal, LOGIN, 'has a terminal'), (of_alice, OTHERS, 'belongs to user 1000'),
         (elsewhere, OTHERS, 'is in another cgroup'), (below, OTHERS, 'is in another cgroup')]  # fmt: skip


@pytest.mark.parametrize('change, sign, reason', SIGNS)
@pytest.mark.parametrize('parent', [50, 1, 60], ids=['child', 'orphan', 'grandchild'])
def test_by_what_it_has_started(machine, change, sign, reason, parent):
    machine.process(60, name='between', parent=50, unit='some.service')
    machine.put('/proc/60/loginuid', '4294967295')
    change_stat(machine, 51, 4, parent)
    change(machine)
    if parent == 1 and change in (in_session, elsewhere):
        sign = None  # nothing tells any more who started it
    check(machine, sign, f'process 51 (worker) {reason}')


@pytest.mark.parametrize('change, sign, reason', SIGNS)
def test_by_what_it_has_started_under_another_init(tmp_path, change, sign, reason):
    machine = ServiceMachine(tmp_path, init='openrc')
    machine.put('/run/openrc/softlevel', 'default')
    machine.put('/etc/init.d/some', '#!/sbin/openrc-run\n')
    machine.put('/run/some.pid', '50\n')
    machine.process(50, name='some')
    machine.process(51, name='worker', parent=50)
    machine.process(70, name='big', rss_kb=1000000)
    for pid in (50, 51):
        machine.put(f'/proc/{pid}/cgroup', f'0::{UNIT}\n')
    check(machine, None, '')
    change(machine)
    check(machine, sign, f'process 51 (worker) {reason}')


@pytest.mark.parametrize('change, sign, reason', SIGNS)
def test_by_what_a_process_has_started(machine, change, sign, reason):
    change(machine)
    (warning,) = machine.run(process={'pid': 50}, score_adj=-5, check=True)['warnings']
    assert sign in warning and f'process 51 (worker) {reason}' in warning
    if sign == LOGIN:
        with pytest.raises(Refusal, match='Every new login session inherits'):
            machine.run(process={'pid': 50}, score_adj=-1000)
    else:
        assert machine.run(process={'pid': 50}, score_adj=-1000)['changed']


def test_what_is_so_from_the_start_shows_nothing(machine):
    """A service restarted by hand without systemd has the login of the admin, and one may have a terminal."""
    for pid in (50, 51):
        machine.put(f'/proc/{pid}/loginuid', str(ALICE))
        change_stat(machine, pid, 7, 1025)
        machine.put(f'/proc/{pid}/status', machine.get(f'/proc/{pid}/status').replace('\t0', f'\t{ALICE}'))
        machine.put(f'/proc/{pid}/cgroup', f'0::{UNIT}/udev\n')  # as systemd-udevd does
    machine.process(52, name='reload', unit='some.service')
    machine.put('/proc/52/cgroup', f'0::{UNIT}/.control\n')
    check(machine, None, '')
