# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as a user drives it: ansible and ansible-playbook over ssh against the lab."""

import json
import os
import subprocess
import sys
from pathlib import Path

import collection
import pytest
import yaml

BIN = Path(sys.executable).parent


@pytest.fixture
def ansible(fresh, tmp_path):
    """Runs an Ansible command against the fresh machine; its standard output."""
    (tmp_path / 'hosts').write_text(fresh.inventory() + '\n')
    (tmp_path / 'ansible.cfg').write_text('')  # nobody's own settings

    def run(program, *arguments, expect=0):
        env = dict(
            os.environ,
            ANSIBLE_COLLECTIONS_PATH=str(collection.root()),
            ANSIBLE_HOME=str(tmp_path / 'home'),
            ANSIBLE_CONFIG=str(tmp_path / 'ansible.cfg'),
            PATH=f'{BIN}:{os.environ["PATH"]}',
        )
        done = subprocess.run(
            [BIN / program, '-i', tmp_path / 'hosts', *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    run.machine = fresh
    run.folder = tmp_path
    return run


def playbook(ansible, tasks, **play):
    """Write a playbook; each task's result lands in results.json on this side."""
    names = []
    for number, task in enumerate(tasks):
        task.update(name=f'Task {number}', register=f'result_{number}')
        names.append(f'result_{number}')
    save = {
        'name': 'Save',
        'ansible.builtin.copy': {
            'content': '{{ [' + ', '.join(names) + '] | to_json }}',
            'dest': str(ansible.folder / 'results.json'),
            'mode': '0644',
        },
        'delegate_to': 'localhost',
        'vars': {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable},
        'check_mode': False,
    }
    text = yaml.safe_dump([dict({'hosts': 'all', 'gather_facts': False, 'tasks': [*tasks, save]}, **play)])
    (ansible.folder / 'play.yml').write_text(text)


def results(ansible):
    return json.loads((ansible.folder / 'results.json').read_text())


@pytest.mark.long
def test_a_play_with_group_defaults(ansible):
    """Every option meant for the group is taken by every member, and the second run is unchanged."""
    defaults = {
        'group/oomkit.linux.oom': {
            'state': 'present',
            'runtime': True,
            'persistent': True,
            'conflicts': 'warn',
            'force': False,
        }
    }
    tasks = [
        {'oomkit.linux.overcommit': {'mode': 'never', 'ratio': 90}},
        {'oomkit.linux.panic_on_oom': {'policy': 'panic', 'reboot_after': 10}},
        {'oomkit.linux.oom_facts': {'top': 3}},
    ]
    playbook(ansible, tasks, module_defaults=defaults)
    planned_text = ansible('ansible-playbook', 'play.yml', '--check', '--diff')
    planned = results(ansible)
    done_text = ansible('ansible-playbook', 'play.yml', '--diff')
    done = results(ansible)
    for number in (0, 1):
        assert planned[number]['changed'] and done[number]['changed']
        for key in ('before', 'after', 'changed_keys'):
            assert planned[number][key] == done[number][key]
    # Both modules share the file, so that the second one's diff shows what the first one has written meanwhile.
    assert planned[0]['diff'] == done[0]['diff'] and planned[1]['diff'][0] == done[1]['diff'][0]
    assert '+vm.overcommit_memory = 2' in planned_text and '+vm.overcommit_memory = 2' in done_text
    assert done[2]['ansible_facts']['oom']['overcommit']['mode_name'] == 'never'
    ansible('ansible-playbook', 'play.yml')
    assert [result['changed'] for result in results(ansible)] == [False, False, False]


def test_yaml_that_means_something_else_is_refused(ansible):
    desired_states = [{'mode': True}, {'ratio': 1.5}, {'kbytes': '0x1000'}]
    playbook(ansible, [{'oomkit.linux.overcommit': desired, 'ignore_errors': True} for desired in desired_states])
    ansible('ansible-playbook', 'play.yml')
    for desired, result in zip(desired_states, results(ansible), strict=True):
        assert result['failed'] and result['msg'].startswith(next(iter(desired)) + ': '), result
    assert ansible.machine.sysctl('vm.overcommit_memory') == 0


def test_ad_hoc_by_an_unprivileged_user(ansible):
    text = ansible('ansible', 'all', '-u', 'tester', '-m', 'oomkit.linux.oom_facts', '-e', 'ansible_user=tester')
    facts = json.loads(text.partition('=> ')[2])['ansible_facts']
    assert list(facts) == ['oom'] or set(facts) == {'oom', 'discovered_interpreter_python'}
    assert facts['oom']['candidates'] and facts['oom']['environment']['init'] == 'systemd'
