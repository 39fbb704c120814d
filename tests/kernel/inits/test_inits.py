# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian without systemd: OOMKIT_LAB_FLAVOUR=sysvinit or openrc, which ``make lab-matrix`` has both of."""

import time

import pytest
from conftest import FLAVOUR
from test_services import warnings
from test_sysctls import good

MODULE = 'oom_score_adj'
SET = ('vm.overcommit_memory', 'vm.overcommit_ratio', 'kernel.panic')
CRON = 'cat /proc/$(cat /run/crond.pid)/oom_score_adj'
SERVICE = """#!/sbin/openrc-run
command=/bin/sleep
command_args={seconds}
pidfile=/run/{name}.pid
{how}
"""
BACKGROUND, SUPERVISED = 'command_background=yes', 'supervisor=supervise-daemon'

pytestmark = pytest.mark.skipif(FLAVOUR not in ('sysvinit', 'openrc'), reason=f'{FLAVOUR} runs systemd')
only_openrc = pytest.mark.skipif(FLAVOUR != 'openrc', reason=f'{FLAVOUR} is not OpenRC, which has files for the boot')


def number(machine, command):
    return int(machine.run(command).stdout)


@pytest.fixture
def services(fresh):
    """A service of each way to start one."""
    for name, seconds, how in (('plain', 1000001, BACKGROUND), ('super', 1000002, SUPERVISED)):
        fresh.write_file(f'/etc/init.d/{name}', SERVICE.format(name=name, seconds=seconds, how=how).encode())
        fresh.run(f'chmod +x /etc/init.d/{name}; rc-update -q add {name} default; rc-service {name} start')
    return fresh


def score(machine, name):
    """Of the service's own process."""
    seconds = {'plain': 1000001, 'super': 1000002}[name]
    end = time.monotonic() + 30
    while True:
        found = machine.run(f'cat /proc/$(pgrep -f "^/bin/sleep {seconds}")/oom_score_adj', check=False)
        if not found.returncode:
            return int(found.stdout)
        assert time.monotonic() < end, f'{name} does not run'
        time.sleep(0.3)


def test_facts_and_forecast(fresh):
    facts = good(fresh.module('oom_facts'))['ansible_facts']['oom']
    assert facts['environment']['init'] == {'openrc': 'openrc', 'sysvinit': 'other'}[FLAVOUR]
    assert facts['commit'] and facts['candidates'] and 'internal error' not in str(facts['warnings'])
    (kill,) = good(fresh.module('oom_forecast_info', kills=1))['kill_order']
    assert kill['victims'][0]['pid'] in [one['pid'] for one in facts['candidates'][:3]]


def test_sysctls_hold_at_boot(fresh):
    good(fresh.module('overcommit', mode='never', ratio=222))
    good(fresh.module('panic_on_oom', reboot_after=17))
    assert not good(fresh.module('overcommit', mode='never', ratio=222))['changed']
    fresh.reboot('reboot')
    assert [fresh.sysctl(key) for key in SET] == [2, 222, 17]
    assert not good(fresh.module('overcommit', mode='never', ratio=222))['changed']
    for module in ('overcommit', 'panic_on_oom'):
        good(fresh.module(module, state='absent'))
        assert not good(fresh.module(module, state='absent'))['changed']
    assert [fresh.sysctl(key) for key in SET] == [0, 50, 0]


def test_a_script_of_sysvinit_is_set_live_and_says_why_only_live(fresh):
    result = good(fresh.module(MODULE, name='cron', score_adj=-123))
    assert number(fresh, CRON) == -123 and 'its next start will lose it' in warnings(result)
    assert not good(fresh.module(MODULE, name='cron', score_adj=-123))['changed']
    assert fresh.run('ls /etc/conf.d/cron /etc/systemd/system/cron.service.d', check=False).stdout == ''
    fresh.run('/etc/init.d/cron restart')
    assert number(fresh, CRON) == 0
    good(fresh.module(MODULE, name='cron', score_adj=5))
    good(fresh.module(MODULE, name='cron', state='absent'))
    assert number(fresh, CRON) == 0 and fresh.run('ls /run/oomkit', check=False).returncode


@only_openrc
@pytest.mark.parametrize('name', ['plain', 'super'])
def test_openrc_keeps_it_at_the_next_start_and_boot(services, name):
    services.run(f'printf "FOO=1" > /etc/conf.d/{name}')
    result = good(services.module(MODULE, name=name, score_adj=-300))
    assert result['changed'] and not warnings(result) and score(services, name) == -300
    assert result['services'][0]['next_start'] == {'score_adj': -300, 'oom_policy': None, 'line': 2,
                                                   'file': f'/etc/conf.d/{name}'}
    for again in ('true', f'rc-service {name} restart', None):
        services.reboot('reboot') if again is None else services.run(again)
        assert score(services, name) == -300
        assert not good(services.module(MODULE, name=name, score_adj=-300))['changed']
    # After the boot nothing is remembered, and what comes back is what OpenRC would give.
    assert good(services.module(MODULE, name=name, state='absent'))['changed']
    assert score(services, name) == 0 and services.read_file(f'/etc/conf.d/{name}') == b'FOO=1'
    assert not good(services.module(MODULE, name=name, state='absent'))['changed']
    services.run(f'rc-service {name} restart')
    assert score(services, name) == 0


@only_openrc
def test_openrc_for_the_next_start_alone(services):
    services.run('rc-service plain stop')
    result = good(services.module(MODULE, name='plain', score_adj=44))
    assert result['changed'] and 'next start' in result['services'][0]['notes'][0]
    services.run('rc-service plain start')
    assert score(services, 'plain') == 44
    result = good(services.module(MODULE, name='plain', score_adj=55, runtime=False))
    assert result['services'][0]['restart_needed'] and score(services, 'plain') == 44
    services.run('rc-service plain restart')
    assert score(services, 'plain') == 55
    good(services.module(MODULE, state='absent', exclusive=True))
    assert score(services, 'plain') == 0 and services.run('ls /etc/conf.d/plain', check=False).returncode


@only_openrc
@pytest.mark.parametrize('how, line', [
    ("echo 'supervise_daemon_args=\"--oom-score-adj 9\"' >> /etc/conf.d/super", '/etc/conf.d/super line 1'),
    ("echo 'export SSD_OOM_SCORE_ADJ=9' >> /etc/init.d/super", '/etc/init.d/super line 6'),
    ("echo 'export SSD_OOM_SCORE_ADJ=9' > /etc/conf.d/super.default", '/etc/conf.d/super.default line 1'),
])
def test_what_decides_instead_is_named(services, how, line):
    services.run(how)
    result = services.module(MODULE, name='super', score_adj=-7)
    assert result['failed'] and line in result['msg'] and 'Nothing was changed' in result['msg']
    services.run('rc-service super restart')
    assert score(services, 'super') == 9
    result = good(services.module(MODULE, name='super', score_adj=-7, conflicts='warn'))
    assert line in warnings(result) and score(services, 'super') == -7
    services.run('rc-service super restart')
    assert score(services, 'super') == 9, 'what was named decides indeed'
