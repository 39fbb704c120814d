# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole policy as one task over ssh: confirmed by itself, all or nothing, and reverted."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import collection
import pytest
import yaml
from service_units import install, scores

POLICY = {
    'overcommit': {'mode': 'never', 'ratio': 90},
    'panic': {'policy': 'panic', 'reboot_after': 20},
    'services': [{'name': 'family', 'score_adj': -500}, {'name': 'plain.service', 'score_adj': 500}],
    'confirm_within': 300,  # an emulated machine on a busy computer is slow
}
KEYS = ('vm.overcommit_memory', 'vm.overcommit_ratio', 'vm.panic_on_oom', 'kernel.panic')
FILES = '/etc/sysctl.d /etc/systemd/system /run/oomkit /var/lib/oomkit'
# An ssh that finds no way to the host for 75 s after the connection was reset.
SSH = """#!/bin/sh
case "$*" in
*"-O stop"*) touch {0}/closed; (sleep 75; rm {0}/closed) >/dev/null 2>&1 & exec ssh "$@";;
*"-O "*) exec ssh "$@";;
esac
[ -e {0}/closed ] && exit 255
exec ssh "$@"
"""


class Controller:
    """Plays one task against the machine."""

    def __init__(self, machine, folder):
        self.machine, self.folder = machine, folder
        (folder / 'ansible.cfg').write_text('')  # nobody's own settings

    def task(self, policy, expect=0, more='', **words):
        """The result of the task as Ansible registers it, and the modules that ran on the machine."""
        save = {'content': '{{ result | to_json }}', 'dest': str(self.folder / 'result.json'), 'mode': '0644'}
        local = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable}
        tasks = [{'oomkit.linux.oom_policy': policy, 'register': 'result', 'ignore_errors': bool(expect), **words},
                 {'ansible.builtin.copy': save, 'delegate_to': 'localhost', 'vars': local, 'become': False}]
        book = [{'hosts': 'all', 'gather_facts': False, 'become': True, 'tasks': tasks}]
        (self.folder / 'play.yml').write_text(yaml.safe_dump(book))
        inventory = self.machine.inventory()
        (self.folder / 'hosts').write_text(f'{inventory} {more}\n')
        env = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(collection.root()), ANSIBLE_HOME=str(self.folder / 'home'),
                   ANSIBLE_CONFIG=str(self.folder / 'ansible.cfg'), ANSIBLE_LOCALHOST_WARNING='0')
        self.machine.run('logger -t oomkit-test play')
        command = [Path(sys.executable).parent / 'ansible-playbook', '-i', 'hosts', 'play.yml']
        done = subprocess.run(command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=550, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads((self.folder / 'result.json').read_text())
        assert bool(result.get('failed')) == bool(expect), result
        text = self.machine.run('journalctl -q -o short').stdout.rpartition('oomkit-test')[2]
        return result, re.findall(r' ansible-(?:oomkit\.linux\.)?([\w.]+)\[\d+\]: Invoked with', text)

    def state(self):
        """All that a policy could leave on the machine."""
        files = self.machine.run(f'find {FILES} -type f -exec md5sum {{}} + 2>/dev/null | sort').stdout
        return files, {key: self.machine.sysctl(key) for key in KEYS}, scores(self.machine, 'family')


@pytest.fixture
def controller(fresh, tmp_path):
    """The fresh machine with two services."""
    install(fresh, 'family', 'plain')
    return Controller(fresh, tmp_path)


def test_one_task_sets_confirms_and_reverts_a_policy(controller):
    machine, before = controller.machine, controller.state()
    result, ran = controller.task(POLICY)
    assert ran == ['oom_policy'] * 2 and result['changed'] and result['confirmation']['state'] == 'confirmed'
    assert result['before']['runtime']['vm.overcommit_memory'] == before[1]['vm.overcommit_memory']
    assert [machine.sysctl(key) for key in KEYS] == [2, 90, 1, 20]
    assert set(scores(machine, 'family').values()) == {-500} and set(scores(machine, 'plain').values()) == {500}
    assert machine.run('pgrep -c oomkit-watchdog', check=False).stdout.strip() == '0'

    result, ran = controller.task(dict(POLICY, facts=True))
    assert ran == ['oom_policy'] and not result['changed'] and result['ansible_facts']['oom']['candidates']

    result, ran = controller.task({'state': 'absent'})
    assert ran == ['oom_policy'] and result['changed'] and controller.state() == before


def test_a_conflict_in_another_file_stops_the_whole_policy(controller):
    controller.machine.write_file('/etc/sysctl.d/zz.conf', b'kernel.panic=0\n')
    before = controller.state()
    result, ran = controller.task(POLICY, expect=2)
    assert ran == ['oom_policy'] and '/etc/sysctl.d/zz.conf' in result['msg'] and controller.state() == before


@pytest.mark.long
def test_a_delegated_task_without_controlpersist_confirms(controller):
    result, ran = controller.task(POLICY, more='ansible_ssh_args="-o ControlMaster=no -o ControlPersist=no"',
                                  delegate_to='{{ inventory_hostname }}')
    assert ran == ['oom_policy'] * 2 and result['confirmation']['state'] == 'confirmed'


@pytest.mark.long
def test_a_lost_connection_is_reported_after_the_rollback(controller):
    ssh = controller.folder / 'ssh'
    ssh.write_text(SSH.format(controller.folder))
    ssh.chmod(0o755)
    before = controller.state()
    result, ran = controller.task(dict(POLICY, confirm_within=40), expect=2, more=f'ansible_ssh_executable={ssh}')
    assert ran == ['oom_policy', 'oom_facts'] and controller.state() == before
    assert 'vm.overcommit_memory is 0 now' in result['msg'], result
