# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Negative values for services that start sessions or programs of others, known by what they are."""

import pytest
from services_machine import ETC, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._process import selector
from ansible_collections.oomkit.linux.plugins.module_utils._service import process_guard
from ansible_collections.oomkit.linux.plugins.module_utils._service.guard import NEVER_KILLED

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
        texts = inherited(machine.run(name=name, score_adj=value, check=True, force=value == -1000))
        assert len(texts) == (sign is not None) and all(sign in text and reason in text for text in texts), texts
    assert inherited(machine.run(name=name, score_adj=5, check=True)) == []


def inherited(result):
    return [text for text in result['warnings'] if 'inherits' in text]


@pytest.mark.parametrize('lines, sign, reason', [
    ('PAMName=login', LOGIN, 'PAMName= in '), ('PAMName=login\nPAMName=', None, ''),
    ('Delegate=yes', OTHERS, 'Delegate= in '), ('Delegate=true', OTHERS, 'Delegate= in '),
    ('Delegate=cpu memory pids', OTHERS, 'Delegate= in '), ('Delegate=memory\nDelegate=pids', OTHERS, 'Delegate= in '),
    ('Delegate=pids', None, ''), ('Delegate=no', None, ''), ('Delegate=yes\nDelegate=no', None, ''),
    ('Delegate=yes\nPAMName=login', LOGIN, 'PAMName= in '),
    ('KillMode=process', OTHERS, 'KillMode= in '), ('KillMode=process\nKillMode=mixed', None, ''),
    ('KillMode=none', None, ''),
    ('ExecStart=/usr/bin/perl /usr/share/webmin/miniserv.pl /etc/webmin/miniserv.conf', LOGIN, 'it runs miniserv.pl'),
    ('ExecStart=/usr/share/usermin/miniserv.pl /etc/usermin/miniserv.conf', LOGIN, 'it runs miniserv.pl'),
    ('ExecStart=/usr/bin/supervisord -n -c /etc/supervisor/supervisord.conf', OTHERS, 'it runs supervisord'),
    ('ExecStart=/opt/gitlab/embedded/bin/runsvdir-start', OTHERS, 'it runs runsvdir-start'),
    ('ExecStart=/opt/sge/bin/lx-amd64/sge_execd', OTHERS, 'it runs sge_execd'),
    ('ExecStart=-/usr/sbin/in.rlogind\nStandardInput=socket', LOGIN, 'it runs in.rlogind'),
    ('ExecStart=-/usr/local/sbin/sshd -D', LOGIN, 'it runs sshd'),
    ('ExecStart=!!/opt/teleport start', LOGIN, 'teleport'),
    ('ExecStart=/usr/bin/amazon-ssm-agent', LOGIN, 'it runs amazon-ssm-agen'),
    ('UtmpIdentifier=%I', LOGIN, 'UtmpIdentifier= in '), ('UtmpIdentifier=tty1\nUtmpIdentifier=', None, ''),
    ('StandardInput=tty', LOGIN, 'StandardInput= in '), ('StandardInput=tty-force', LOGIN, 'StandardInput= in '),
    ('StandardInput=tty\nStandardInput=null', None, ''), ('StandardInput=data\nStandardOutput=tty', None, ''),
    ('ExecStart="/usr/sbin/sshd" -D', LOGIN, 'it runs sshd'), ('ExecStart=/x\tsshd', None, ''),
    ('ExecStart=/usr/bin/env LANG=C nice -n 5 /usr/sbin/sshd -D', LOGIN, 'it runs sshd'),
    ("ExecStart=/bin/sh -c 'cd /srv && exec ./teleport start'", LOGIN, 'it runs teleport'),
    ('ExecStart=/bin/busybox telnetd -F', LOGIN, 'it runs telnetd'),
    ('ExecStart=/sbin/mgetty ttyS1', LOGIN, 'it runs mgetty'), ('ExecStart=/sbin/widgetty', None, ''),
    ('ExecStart=/usr/bin/python3 -u /usr/sbin/waagent -daemon', OTHERS, 'it runs waagent'),
    ('Type=oneshot\nExecStart=/usr/sbin/sshd\nExecStart=/bin/true', LOGIN, 'it runs sshd'),
    ('Type=oneshot\nExecStart=/bin/true ; -/usr/sbin/crond', LOGIN, 'it runs crond'),
    ('ExecStart=/usr/bin/backup --of cron /usr/bin/login', None, ''),
    ("ExecStart=/bin/sh -c 'exec /usr/bin/php artisan cron'", None, ''),
    ('ExecStart=/usr/sbin/sshd\nExecStart=', None, ''),
    ('ExecStart=/usr/bin/dockerd -H fd://', OTHERS, 'it runs dockerd'), ('ExecStart=\nExecStart=/bin/y', None, ''),
])  # fmt: skip
@pytest.mark.parametrize('drop_in', [False, True])
def test_by_its_unit_file(machine, lines, sign, reason, drop_in):
    path = f'{ETC}/some.service.d/a.conf' if drop_in else '/usr/lib/systemd/system/some.service'
    machine.put(path, f'[Service]\n{lines}\n[Install]\nPAMName=x\nDelegate=yes\n')
    machine.end(50)
    machine.end(51)
    check(machine, sign, reason if reason in ('', 'teleport') or 'runs' in reason else reason + path)


@pytest.mark.parametrize('lines, reason', [
    ('[Install]\nAlias=display-manager.service', 'Alias= in '),
    ('[Install]\nAlias=some.service display-manager.service', 'Alias= in '),
    ('[Unit]\nConflicts=plymouth-quit.service getty@tty1.service', 'Conflicts= in '),
    ('[Unit]\nConflicts=getty@tty7.service\nConflicts=x.service', 'Conflicts= in '),
    ('[Unit]\nConflicts=getty@tty7.service\nConflicts=', 'Conflicts= in '),
    ('[Install]\nAlias=display-manager.service\nAlias=', None), ('[Unit]\nAfter=getty@tty1.service', None),
    ('[Unit]\nAlias=display-manager.service', None), ('[Install]\nConflicts=getty@tty1.service', None),
])  # fmt: skip
def test_by_the_other_sections_of_its_unit_file(machine, lines, reason):
    """Display managers that are installed and not enabled, and what takes the terminal of a getty."""
    path = '/usr/lib/systemd/system/some.service'
    machine.put(path, f'[Service]\nExecStart=/bin/x\n{lines}\n')
    check(machine, LOGIN if reason else None, reason + path if reason else '')


def test_by_being_the_display_manager(machine):
    machine.link('/etc/systemd/system/display-manager.service', '/usr/lib/systemd/system/some.service')
    check(machine, LOGIN, 'display-manager.service is an alias of it')
    check(machine, LOGIN, '', name='display-manager')


LOGIN_UNITS = [
    'gdm', 'gdm3', 'lightdm', 'sddm', 'lxdm', 'ly', 'ly@tty2', 'greetd', 'xrdp', 'xrdp-sesman',
    'teleport', 'tailscaled',
    'amazon-ssm-agent', 'snap.amazon-ssm-agent.amazon-ssm-agent', 'snap.tailscale.tailscaled', 'ssh', 'sshd',
    'sshd@1-10.0.0.1:22-10.0.0.2:5000', 'dropbear', 'dropbear@0', 'user@1000', 'getty@tty1', 'serial-getty@ttyS0',
    'container-getty@1', 'mgetty@ttyS1', 'console-getty', 'autovt@tty3', 'debug-shell', 'rescue', 'emergency',
    'cron', 'crond', 'cronie',
    'anacron', 'fcron', 'dcron', 'vixie-cron', 'incrond', 'atd', 'vncserver@:1', 'kmsconvt@tty1', 'jupyterhub',
    'webmin', 'usermin', 'rsh@1', 'rlogin@1', 'pvedaemon', 'code-server@alice', 'anydesk', 'meshagent',
]  # fmt: skip
UNITS_FOR_OTHERS = [
    'containerd', 'docker', 'cri-o', 'crio', 'podman', 'kubelet', 'k3s', 'k3s-agent', 'libvirtd', 'virtqemud', 'incus',
    'lxd', 'snap.lxd.daemon', 'systemd-nspawn@web', 'gitlab-runner', 'jenkins-agent', 'actions.runner.org-repo.host',
    'vsts.agent.org.pool.host', 'supervisor', 'supervisord', 'pm2-root', 'gridengine-exec', 'sgeexecd.p6444',
    'rc-local', 'mesos-slave', 'chef-client', 'puppet-agent', 'gitlab-runsvdir',
    'lxc@web', 'slurmd', 'google-guest-agent', 'google-osconfig-agent', 'walinuxagent', 'qemu-guest-agent',
]  # fmt: skip
INITS = ['systemd', 'openrc', 'runit', 'sysvinit']


def with_init(tmp_path, init, name):
    """A machine whose service of this name is stopped."""
    machine = ServiceMachine(tmp_path, init=init)
    machine.process(70, name='big', rss_kb=1000000)
    if init == 'systemd':
        machine.unit((name.partition('@')[0] + '@' if '@' in name else name) + '.service')
    elif init == 'runit':
        machine.put(f'/etc/sv/{name}/run', '#!/bin/sh\nexec /bin/x\n')
        machine.put('/run/runit/x', '')
    else:
        machine.put(f'/etc/init.d/{name}', '#!/sbin/openrc-run\n')
        if init == 'openrc':
            machine.put('/run/openrc/softlevel', 'default')
    return machine


@pytest.mark.parametrize('init', INITS)
@pytest.mark.parametrize('name, sign', [
    *((one, LOGIN) for one in LOGIN_UNITS), *((one, OTHERS) for one in UNITS_FOR_OTHERS)])  # fmt: skip
def test_by_its_name(tmp_path, name, sign, init):
    check(with_init(tmp_path, init, name), sign, 'known by name', name=name)


@pytest.mark.parametrize('init, path, text', [
    ('openrc', '/etc/init.d/some', '#!/sbin/openrc-run\ncommand="/usr/local/bin/teleport"\ncommand_args=start\n'),
    ('runit', '/etc/sv/some/run', '#!/bin/sh\nexec 2>&1\nexec chpst -o 1024 /opt/teleport start\n'),
    ('sysvinit', '/etc/init.d/some', '#!/bin/sh\nDAEMON=/opt/teleport\n'),
])  # fmt: skip
def test_by_its_script(tmp_path, init, path, text):
    machine = with_init(tmp_path, init, 'some')
    check(machine, None, '')
    machine.put(path, text)
    check(machine, LOGIN, 'it runs teleport')
    machine.put(path, text.replace('teleport', 'web').replace('start', 'teleport'))
    check(machine, None, '')


@pytest.mark.parametrize('name', ['user-runtime-dir@1000', 'cron-failure@x', 'crony', 'chronyd', 'sshguard',
                                  'sddm-theme', 'rescue-disk', 'atop', 'lyrics', 'incus-ui', 'teleport-exporter',
                                  'snap.docker', 'google-cloud-ops-agent', 'puppetserver', 'slurmctld',
                                  'webmin-stats', 'supervisor-exporter', 'monitoring', 'ecs-exporter'])  # fmt: skip
def test_a_name_that_resembles_one_is_none(tmp_path, name):
    check(with_init(tmp_path, 'systemd', name), None, '', name=name)


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
        sign = None  # nothing shows any more who started it
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


@pytest.mark.parametrize('lines, sign, reason', [
    ('PAMName=login', LOGIN, 'PAMName= in '), ('UtmpIdentifier=%I', LOGIN, 'UtmpIdentifier= in '),
    ('Delegate=yes', OTHERS, 'Delegate= in '), ('Nice=5', None, '')])  # fmt: skip
@pytest.mark.parametrize('pid', [50, 51])
def test_by_the_unit_of_a_process(machine, lines, sign, reason, pid):
    """Before it has started a session, and for its workers too."""
    machine.unit('some.service', f'[Service]\nExecStart=/bin/x\n{lines}\n')
    before = machine.adj(pid)
    if sign == LOGIN:
        with pytest.raises(Refusal, match='Every new login session inherits'):
            machine.run(process={'pid': pid}, score_adj=-1000)
        assert machine.adj(pid) == before
    warnings = machine.run(process={'pid': pid}, score_adj=-5, check=True)['warnings']
    assert [sign in text and reason in text for text in warnings] == [True] * (sign is not None)


def test_who_joins_later_is_looked_up_by_its_unit_too(machine):
    machine.unit('login.service', '[Service]\nExecStart=/bin/x\nPAMName=login\n')
    machine.process(60, name='late', unit='login.service')
    machine.process(61, name='late', unit='some.service')
    asked = process_guard.Asked('x', NEVER_KILLED, False, False)
    group = process_guard.restrict_group(selector.build_group(machine, {'comm': 'late'}), asked, machine)
    assert [one.pid for one in group.look(machine)] == [61]


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
