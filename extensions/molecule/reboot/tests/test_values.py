# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked for is in force: right after the call, and after the reboot."""


from pathlib import Path

import yaml

CONVERGE = Path(__file__).resolve().parents[1] / 'converge.yml'


def test_the_kernel_has_it(machine, role_sysctls):
    play, = yaml.safe_load(CONVERGE.read_text(encoding='utf-8'))
    wanted = role_sysctls(play['tasks'][0]['vars'])
    assert len(wanted) > 6 and machine.now()['sysctl'].items() >= {**wanted, 'vm.overcommit_kbytes': 0}.items()


def test_nginx_has_it_and_dies_as_a_whole(machine):
    scores = machine.scores('nginx.service')
    assert len(scores) > 1 and set(scores.values()) == {300}  # a worker for each processor
    assert machine.show('nginx', 'OOMPolicy') == {'OOMPolicy': 'kill'}
    group = machine.show('nginx', 'ControlGroup')['ControlGroup']
    assert machine.host.check_output(f'cat /sys/fs/cgroup{group}/memory.oom.group') == '1'


def test_the_instances_have_what_their_template_has(machine):
    for name in ('one', 'two'):
        assert set(machine.scores(f'oomkit-worker@{name}.service').values()) == {-700}


def test_stopped_and_masked_service_get_it_at_next_start(machine):
    assert machine.show('redis-server', 'OOMScoreAdjust') == {'OOMScoreAdjust': '-500'}
    assert machine.host.file('/etc/systemd/system/cron.service.d/90-oomkit.conf').contains('^OOMScoreAdjust=10$')
    assert machine.show('cron', 'LoadState', 'ActiveState') == {'LoadState': 'masked', 'ActiveState': 'inactive'}


def test_a_new_process_can_be_started_by_anybody(machine):
    assert machine.host.check_output('su tester -c whoami') == 'tester'
