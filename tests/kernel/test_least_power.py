# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users who are not root can do and see, who could lead root's writing elsewhere, and what stays secret."""

import json

import pytest
from test_processes import score, start
from test_sysctls import failed, good

OURS = '/etc/sysctl.d/99-oomkit.conf'
TESTER = 'setpriv --reuid tester --regid tester --clear-groups'
RESOURCE = TESTER + ' --inh-caps +sys_resource --ambient-caps +sys_resource --'
NOBODY = 'setpriv --reuid nobody --regid nogroup --clear-groups --'


def test_user_with_cap_sys_resource_sets_own_processes(fresh):
    pid = start(fresh, user='tester')
    result = good(fresh.module_under(RESOURCE, 'oom_score_adj', process={'pid': pid}, score_adj=-400))
    assert result['changed'] and score(fresh, pid) == -400
    assert 'cannot restore the original value' in json.dumps(result['warnings'])
    again = good(fresh.module_under(RESOURCE, 'oom_score_adj', process={'pid': pid}, score_adj=-400))
    assert not again['changed'] and 'warnings' not in again, again['warnings']
    absent = good(fresh.module_under(RESOURCE, 'oom_score_adj', process={'pid': pid}, state='absent'))
    assert not absent['changed'] and 'nothing is reverted' in json.dumps(absent['warnings'])
    assert score(fresh, pid) == -400


def test_without_the_capability_he_may_only_raise(fresh):
    pid = start(fresh, user='tester')
    good(fresh.module('oom_score_adj', user='tester', process={'pid': pid}, score_adj=300))
    assert score(fresh, pid) == 300
    fresh.run(f'echo 200 > /proc/{pid}/oom_score_adj')
    result = fresh.module('oom_score_adj', user='tester', process={'pid': pid}, score_adj=100)
    assert result['failed'] and 'CAP_SYS_RESOURCE' in result['msg'] and score(fresh, pid) == 200


def test_processes_of_others_are_not_his_to_set(fresh):
    pid = start(fresh)
    result = fresh.module_under(RESOURCE, 'oom_score_adj', process={'pid': pid}, score_adj=-400)
    assert result['failed'] and 'ermission denied' in result['msg'] and score(fresh, pid) == 0


@pytest.mark.parametrize('module, params', [
    ('overcommit', {'mode': 'always'}), ('panic_on_oom', {'policy': 'panic'}),
    ('oom_score_adj', {'name': 'cron', 'score_adj': 5, 'missing': 'ignore'})])
def test_the_settings_of_the_machine_are_not_his(fresh, module, params):
    look = 'cat /proc/sys/vm/overcommit_memory /proc/sys/vm/panic_on_oom; ls -lR /etc /run/oomkit 2>&1 | md5sum'
    before = fresh.run(look).stdout
    result = fresh.module_under(RESOURCE, module, **params)
    if module != 'oom_score_adj':
        assert result['failed'] and 'become: true' in result['msg']
    assert fresh.run(look).stdout == before


@pytest.mark.parametrize('hidepid', [0, 2])
def test_facts_and_forecast_of_nobody_say_what_is_hidden(fresh, hidepid):
    fresh.run(f'mount -o remount,hidepid={hidepid} /proc')
    facts = good(fresh.module_under(NOBODY, 'oom_facts'))['ansible_facts']['oom']
    assert facts['commit']['limit_kb'] > 0 and facts['overcommit']['mode'] == 0
    forecast = good(fresh.module_under(NOBODY, 'oom_forecast_info'))
    if hidepid:
        assert 'candidates' in ' '.join(facts['warnings'])
        assert forecast['outcome'] == 'unknown' and 'hidepid' in forecast['reason']
    else:
        assert facts['candidates'] and forecast['outcome'] in ('kill', 'unknown')
    assert [text for text in facts['warnings'] if text.startswith('kills')]


@pytest.mark.parametrize('prepare, said', [
    (f'ln -s /home/tester/x {OURS}', 'on the way to'),
    (f'touch /home/tester/x; chown tester /home/tester/x; ln -s /home/tester/x {OURS}', 'can be written by others'),
    (f'touch {OURS}; chown tester {OURS}', 'can be written by others'),
    (f'touch {OURS}; chmod 666 {OURS}', 'can be written by others'),
    ('chmod 777 /etc/sysctl.d', 'on the way to'),
    (f'mkfifo {OURS}', 'is not a regular file'),
    (f'ln -s /tmp/x {OURS}', 'on the way to'),
], ids=['link into a home', 'link to a file of his', 'his file', 'mode 666', 'folder', 'pipe', 'link into /tmp'])
def test_nobody_leads_our_writing_elsewhere(fresh, prepare, said):
    fresh.run(prepare)
    before = fresh.run('ls -lR /etc/sysctl.d /home/tester /tmp | md5sum').stdout
    assert said in failed(fresh, 'overcommit', ratio=60)
    assert fresh.sysctl('vm.overcommit_ratio') == 50
    assert fresh.run('ls -lR /etc/sysctl.d /home/tester /tmp | md5sum').stdout == before


def test_a_link_between_folders_of_root_is_followed(fresh):
    fresh.run(f'mkdir /srv/conf && touch /srv/conf/oom.conf && ln -s /srv/conf/oom.conf {OURS}')
    good(fresh.module('overcommit', ratio=60))
    assert fresh.run(f'readlink {OURS}').stdout.strip() == '/srv/conf/oom.conf'
    assert b'vm.overcommit_ratio = 60' in fresh.read_file('/srv/conf/oom.conf')


def test_secrets_of_command_lines_are_nowhere(fresh):
    """In no result, invocation and diff included, and in no log."""
    pid = start(fresh, '--password=hunter2')
    results = [
        fresh.module('oom_facts'), fresh.module('oom_forecast_info'),
        fresh.module('oom_score_adj', process={'pid': pid}, score_adj=700),
        fresh.module('oom_score_adj', process={'comm': 'worker'}, score_adj=701),
        fresh.module('oom_score_adj', process={'pid': pid}, state='absent'),
        fresh.module('oom_score_adj', process={'pid': pid, 'comm': 'x'}, score_adj=1)]
    assert 'hunter2' not in json.dumps(results)
    assert 'hunter2' not in fresh.run('journalctl -b --no-pager; cat /run/oomkit/* 2>/dev/null; dmesg').stdout
    assert 'hunter2' in json.dumps(good(fresh.module('oom_facts', cmdline=True, top=0)))
