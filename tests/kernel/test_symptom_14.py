# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Symptom 14: a daemon sets its own value again, and nobody says so. Here the facts do, and the modules."""

import pytest
from test_facts import gather
from test_services import warnings
from test_sysctls import good

# What TuneD does at its start: the active profile's values first; then, with reapply_sysctl, those of /etc/sysctl.d.
STAND_IN = r'''#!/usr/bin/python3
import configparser, glob, time
def write(key, value):
    with open('/proc/sys/' + key.strip().replace('.', '/'), 'w') as stream:
        stream.write(value.strip())
main = open('/etc/tuned/tuned-main.conf').read()
profile = configparser.ConfigParser(delimiters='=')
profile.read('/etc/tuned/%s/tuned.conf' % open('/etc/tuned/active_profile').read().strip())
for key, value in profile['sysctl'].items():
    write(key, value)
for path in sorted(glob.glob('/etc/sysctl.d/*.conf')) if 'reapply_sysctl=1' in main else []:
    for line in open(path):
        if '=' in line and line[0] != '#':
            write(*line.split('=', 1))
print('done', flush=True)
time.sleep(100000)
'''
UNIT = '[Service]\nExecStart=/usr/sbin/tuned\n'
PROFILE = '/etc/tuned/database/tuned.conf'


def start_tuned(machine, reapply):
    """The stand-in as a service, with a profile that asks for a panic."""
    machine.write_file('/usr/sbin/tuned', STAND_IN.encode())
    machine.write_file('/etc/systemd/system/tuned.service', UNIT.encode())
    machine.write_file('/etc/tuned/active_profile', b'database\n')
    machine.write_file('/etc/tuned/tuned-main.conf', b'reapply_sysctl=%d\n' % reapply)
    machine.write_file(PROFILE, b'[main]\ninclude=-base\n[sysctl]\nvm.panic_on_oom=1\n')
    machine.run('chmod 755 /usr/sbin/tuned; systemctl daemon-reload')
    restart_tuned(machine)


def restart_tuned(machine):
    """As an update of it does. Returns when it has written."""
    machine.run('systemctl restart tuned; pid=$(systemctl show --value -p MainPID tuned); for i in $(seq 600); do '
                'journalctl -q _PID=$pid | grep -q done && exit 0; sleep 0.1; done; journalctl -u tuned >&2; exit 1')


def start_kubelet(machine, how=''):
    """A process of that name. Returns when it has it: between fork and exec it has another."""
    machine.run('cp /bin/sleep /usr/local/bin/kubelet; systemd-run -q %s /usr/local/bin/kubelet 100000; '
                'for i in $(seq 600); do pgrep -x kubelet >/dev/null && exit 0; sleep 0.1; done; exit 1' % how)


def competing_writers(machine, user='root'):
    return gather(machine, 'competing_writers', user=user)['competing_writers']


@pytest.mark.parametrize('user', ['root', 'tester'])
def test_a_tuned_that_restores_its_value_is_named(fresh, user):
    assert competing_writers(fresh, user) == []
    start_tuned(fresh, reapply=False)
    reported = [{'key': 'vm.panic_on_oom', 'value': '1', 'by': 'tuned', 'how': 'sets', 'file': PROFILE}]
    assert competing_writers(fresh, user) == reported
    for check in (True, False):
        result = good(fresh.module('panic_on_oom', check=check, policy='kill'))
        assert 'tuned sets it to 1 whenever it starts (%s)' % PROFILE in warnings(result)
        assert len(result['warnings']) == 1
    assert fresh.sysctl('vm.panic_on_oom') == 0
    restart_tuned(fresh)
    assert fresh.sysctl('vm.panic_on_oom') == 1  # the symptom itself
    assert competing_writers(fresh, user) == reported
    assert warnings(good(fresh.module('panic_on_oom', check=True, policy='panic', reboot_after=10))) == ''
    fresh.run('systemctl stop tuned')
    assert competing_writers(fresh, user) == []


def test_a_tuned_that_lets_files_win_is_named_until_one_does(fresh):
    start_tuned(fresh, reapply=True)
    assert [(one['key'], one['how']) for one in competing_writers(fresh)] == [('vm.panic_on_oom', 'yields')]
    assert 'persistent: true' in warnings(good(fresh.module('panic_on_oom', policy='kill', persistent=False)))
    restart_tuned(fresh)
    assert fresh.sysctl('vm.panic_on_oom') == 1
    assert warnings(good(fresh.module('panic_on_oom', policy='kill'))) == ''
    assert {(one['how'], one['file']) for one in competing_writers(fresh)} == {
        ('reapplies', '/etc/sysctl.d/99-oomkit.conf')}
    restart_tuned(fresh)
    assert fresh.sysctl('vm.panic_on_oom') == 0


def test_a_kubelet_is_named(fresh):
    start_kubelet(fresh)
    reported = [('vm.overcommit_memory', '1'), ('vm.panic_on_oom', '0'), ('kernel.panic', '10')]
    assert [(one['key'], one['value']) for one in competing_writers(fresh)] == reported
    assert {(one['by'], one['how'], one['file']) for one in competing_writers(fresh)} == {('kubelet', 'sets', None)}
    desired = {'mode': 'heuristic', 'check': True}
    assert 'kubelet sets it to 1' in warnings(good(fresh.module('overcommit', **desired)))
    assert warnings(good(fresh.module('overcommit', mode='always', check=True))) == ''
    config = '/var/lib/kubelet/config.yaml'
    fresh.write_file(config, b'kind: KubeletConfiguration\nprotectKernelDefaults: true\n')
    assert {(one['by'], one['how'], one['file']) for one in competing_writers(fresh)} == {
        ('kubelet', 'requires', config)}
    assert 'kubelet does not start unless it is 1' in warnings(good(fresh.module('overcommit', **desired)))


@pytest.mark.long
def test_a_kubelet_of_an_ordinary_user_is_no_kubelet(fresh):
    start_kubelet(fresh, '--uid tester')
    assert competing_writers(fresh) == []
