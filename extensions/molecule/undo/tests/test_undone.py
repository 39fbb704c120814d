# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing of it is left, and nobody was restarted."""


def test_the_kernel_has_the_old_values(machine):
    assert machine.now()['sysctl'] == machine.before()['sysctl']


def test_every_file_is_as_it_was_and_none_is_left(machine):
    assert machine.now()['files'] == machine.before()['files']


def test_the_processes_have_their_old_scores_and_are_the_same(machine):
    now = machine.now()['processes']
    for unit in ('redis-server.service', 'nginx.service', 'cron.service', 'ssh.service'):
        assert now[unit] == machine.before()['processes'][unit]
    main = machine.main_pid('postgresql@17-main.service')
    assert machine.scores('postgresql@17-main.service')['postgres', main] == -900


def test_systemd_knows_the_old_ones_too(machine):
    wanted = {'redis-server': '0', 'cron': '7', 'postgresql@17-main': '-900'}
    for unit, score in wanted.items():
        assert machine.show(unit, 'OOMScoreAdjust', 'NeedDaemonReload') == {
            'OOMScoreAdjust': score, 'NeedDaemonReload': 'no'}


def test_the_role_said_so(machine):
    said = machine.said('changed')
    assert said['applied'] and said['managed'] and said['orphans'] == []
