# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of OpenRC at their next start."""

import pytest
from services_machine import ETC, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._service import openrc

SCRIPT = '#!/sbin/openrc-run\ncommand=/bin/x\n'
LINE = 'export SSD_OOM_SCORE_ADJ=%d  # oomkit.linux\n'
PROGRAM = '/usr/lib/rc/sbin/start-stop-daemon'
CONF = '/etc/conf.d/x'


@pytest.fixture
def machine(tmp_path):
    """A service x that runs, under an OpenRC that knows the variable."""
    machine = ServiceMachine(tmp_path, init='openrc')
    machine.put('/run/openrc/softlevel', 'default')
    machine.process(50, name='x', start=5)
    machine.put('/run/x.pid', '50\n')
    machine.put('/etc/init.d/x', SCRIPT)
    machine.put(PROGRAM, 'ELF SSD_OOM_SCORE_ADJ')
    return machine


@pytest.mark.parametrize('before', [
    '', 'A=1\n', 'A=1', 'A=1\n\n', 'A="\\\n', 'A=1 \\', '\n', ' ', '\n\n', 'B=\xe9\n', LINE % 3 + 'A=1\n'])
def test_edit_is_the_last_line_and_leaves_the_rest(before):
    data = before.encode('utf-8', 'surrogateescape')
    edited = openrc.edit(data, -5)
    line, last = (LINE % -5)[:-1], edited.decode('utf-8', 'surrogateescape').split('\n')[-3:]
    assert last[-1] == '' and last[-2].startswith(line) and (len(last) == 2 or not last[-3].endswith('\\'))
    assert openrc.edit(edited, -5) == edited and openrc.is_ours(edited)
    assert openrc.find_cause('x', edited).value == -5
    back = openrc.edit(edited, None)
    assert back == data.replace((LINE % 3).encode(), b'') and not openrc.is_ours(back)
    for value in (7, -9):  # the line is changed as often as wanted
        edited = openrc.edit(edited, value)
    assert openrc.edit(edited, None) == back


def test_a_file_that_was_not_there_goes_with_our_line():
    assert openrc.edit(openrc.edit(openrc.edit(None, 5), 6), None) is None and openrc.edit(None, None) is None


@pytest.mark.parametrize('before', ['', 'A=1', 'A=1\n', 'A=1 \\'])
def test_what_somebody_adds_after_our_line_stays_a_line(before):
    edited = openrc.edit(before.encode(), -5) + b'B=2'
    back = openrc.edit(edited, None)
    assert back.startswith(before.encode()) and back.split(b'\n')[-1] == b'B=2' and not openrc.is_ours(back)


def test_what_a_file_says():
    assert openrc.find_cause('x', None).value is None
    assert openrc.find_cause('x', b'# SSD_OOM_SCORE_ADJ=4\n').value is None
    assert openrc.find_cause('x', b'export SSD_OOM_SCORE_ADJ="-7"\nSSD_OOM_SCORE_ADJ=8\n')[::2] == (8, 2)
    assert openrc.find_cause('x', b'SSD_OOM_SCORE_ADJ=$OTHER\n')[::2] == (None, 1)


def test_live_and_for_the_next_start(machine):
    result = machine.run(name='x', score_adj=-4)
    assert result['changed'] and result['warnings'] == [] and machine.adj(50) == -4 and not machine.exists(ETC)
    assert machine.get(CONF) == LINE % -4
    assert result['services'][0]['next_start_before']['score_adj'] is None
    assert result['services'][0]['next_start'] == {'score_adj': -4, 'oom_policy': None, 'file': CONF, 'line': 1}
    assert not machine.run(name='x', score_adj=-4)['changed']
    assert machine.run(name='x', state='absent')['changed']
    assert machine.adj(50) == 0 and not machine.exists(CONF) and machine.exists('/etc/conf.d')
    assert not machine.run(name='x', state='absent')['changed']


def test_check_mode_shows_the_same_and_does_nothing(machine):
    planned = machine.run(check=True, name='x', score_adj=-4)
    assert planned['changed'] and not machine.exists(CONF) and machine.adj(50) == 0
    assert planned['diff'] == machine.run(name='x', score_adj=-4)['diff']


def test_one_of_both(machine):
    assert machine.run(name='x', score_adj=6, persistent=False)['warnings'] == []
    assert machine.adj(50) == 6 and not machine.exists(CONF)
    result = machine.run(name='x', score_adj=7, runtime=False)
    assert result['services'][0]['restart_needed'] and machine.adj(50) == 6 and machine.get(CONF) == LINE % 7
    machine.run(state='absent', exclusive=True)
    assert machine.adj(50) == 0 and not machine.exists(CONF)


def test_a_service_that_does_not_run(machine):
    machine.end(50)
    result = machine.run(name='x', score_adj=3)
    assert result['changed']
    assert result['services'][0]['notes'] == ['x is not running: it counts from its next start [OOMK-1808]']


@pytest.mark.parametrize('between', [[], [-4], [-3]])
def test_reverted_after_a_boot_when_nothing_is_remembered(machine, between):
    machine.run(name='x', score_adj=-4)
    (machine.base / 'run/oomkit/oom_score_adj.json').unlink()
    for value in between:
        machine.run(name='x', score_adj=value)
    machine.put(CONF, 'SSD_OOM_SCORE_ADJ=9\n' + LINE % -4)
    assert machine.run(name='x', state='absent')['changed']
    assert machine.adj(50) == 9 and machine.get(CONF) == 'SSD_OOM_SCORE_ADJ=9\n'


@pytest.mark.parametrize('path, text, why', [
    ('/etc/init.d/x', '#!/bin/sh\n', 'is not a script of openrc-run'),
    (PROGRAM, 'ELF', 'does not know SSD_OOM_SCORE_ADJ'),
    ('/etc/init.d/x', SCRIPT + 'supervisor=supervise-daemon\n', 'supervise-daemon here does not know'),
])
def test_where_the_file_would_be_in_vain_it_is_said(machine, path, text, why):
    machine.put(path, text)
    result = machine.run(name='x', score_adj=-4)
    assert why in result['warnings'][0] and 'its next start will lose it' in result['warnings'][0]
    assert machine.adj(50) == -4 and not machine.exists(CONF)


@pytest.mark.parametrize('path, text', [
    (CONF, 'start_stop_daemon_args="--oom-score-adj 7"\n'), ('/etc/init.d/x', SCRIPT + 'SSD_OOM_SCORE_ADJ=3\n'),
    ('/etc/rc.conf', 'start_stop_daemon_args="--oom-score-adj=7"\n'), ('/etc/conf.d/x.default', ''),
])
def test_what_decides_instead(machine, path, text):
    machine.put('/etc/runlevels/default/y', '')
    machine.put(path, text)
    with pytest.raises(Refusal, match='decides about the next start of x'):
        machine.run(name='x', score_adj=-4)
    assert machine.adj(50) == 0
    result = machine.run(name='x', score_adj=-4, conflicts='warn')
    assert path in result['warnings'][0] and result['conflicts'][0]['file'] == path and machine.adj(50) == -4


def test_a_file_that_others_can_write_is_refused(machine):
    machine.put(CONF, 'A=1\n')
    (machine.base / CONF[1:]).chmod(0o666)
    with pytest.raises(Refusal, match='can be written by others'):
        machine.run(name='x', score_adj=-4)
