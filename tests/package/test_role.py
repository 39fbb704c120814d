# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role oom_policy and the playbooks, as far as they can be tried without changing the machine."""

import json
import re
import sys

import pytest
import task_log
import yaml

ROLE = 'roles/oom_policy'
PROFILES = ('database', 'cache', 'kubernetes_node', 'java', 'desktop')


@pytest.fixture(scope='module')
def options(checkout):
    """The options of the argument spec."""
    return load(checkout, 'meta/argument_specs.yml')['argument_specs']['main']['options']


def load(checkout, path):
    return yaml.safe_load((checkout / ROLE / path).read_text())


SHOW = {'ansible.builtin.debug': {'msg': {'result': '{{ oom_policy_result }}', 'facts': '{{ ansible_facts.oom }}'}}}


@pytest.fixture
def play(command, tmp_path):
    """Plays the role on this machine in check mode: the tasks that ran, and what was printed."""

    def run(*inclusions, expect=0):
        role = {'name': 'oomkit.linux.oom_policy'}
        tasks = [*({'ansible.builtin.include_role': role, 'vars': wish} for wish in inclusions), SHOW]
        book = [{'hosts': 'all', 'gather_facts': False, 'connection': 'local', 'tasks': tasks}]
        (tmp_path / 'play.yml').write_text(yaml.safe_dump(book))
        python = json.dumps({'ansible_python_interpreter': sys.executable})
        log = tmp_path / 'tasks.log'
        done = command('ansible-playbook', '-i', 'localhost,', '--check', tmp_path / 'play.yml', '-e', python,
                       check=False, **task_log.variables(log))  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return task_log.read(log), done.stdout + done.stderr

    return run


def test_arguments_defaults_and_documentation_agree(checkout, options):
    defaults = load(checkout, 'defaults/main.yml')
    documented = re.findall(r'^\| `(oom_policy_\w+)` \|', (checkout / 'docs/oom_policy.md').read_text(), re.MULTILINE)
    assert sorted(options) == sorted(defaults) == sorted(documented)
    for name, option in options.items():
        assert option.get('default') == defaults[name], name
        assert name.startswith('oom_policy_') and option['description']


def test_every_option_reaches_a_module(checkout, options):
    """None is declared and then forgotten."""
    paths = [path for folder in ('tasks', 'vars') for path in (checkout / ROLE / folder).glob('*.yml')]
    text = ''.join(path.read_text() for path in paths)
    for name in options:
        assert name in text, name


@pytest.mark.parametrize('name', PROFILES)
def test_every_profile_is_data_and_says_why(checkout, options, name):
    path = checkout / ROLE / 'profiles' / f'{name}.yml'
    profile = yaml.safe_load(path.read_text())
    assert profile and set(profile) <= set(options), set(profile) - set(options)
    above = None
    for line in path.read_text().splitlines():
        if re.match(r'oom_policy_\w+:', line):
            assert above, f'{name}: no comment above {line}'
        else:
            above = line.startswith('#') or (above and bool(line.strip()))
    assert 'Source' in path.read_text()
    for service in profile.get('oom_policy_services', []):
        assert service['missing'] == 'ignore'
        assert not (service['name'].startswith(('ssh', 'user@', 'gdm')) and service.get('score_adj', 0) < 0)


def test_the_profiles_are_those_of_the_argument_spec(checkout, options):
    files = sorted(path.stem for path in (checkout / ROLE / 'profiles').glob('*.yml'))
    assert sorted(options['oom_policy_profile']['choices']) == sorted([*files, 'none']) and files == sorted(PROFILES)


def test_without_variables_it_reports_and_changes_nothing(play):
    tasks, _text = play({})
    assert task_log.on_the_host(tasks) == ['oom_facts']
    message = task_log.last_message(tasks)
    result = message['result']
    assert not result['changed'] and result['confirmation'] == 'not_needed' and result['services'] == []
    assert message['facts']['overcommit'] and message['facts']['candidates']


def test_nothing_leaks_from_one_inclusion_to_the_next(play):
    """The second one asks for nothing, so that nothing may be left of the first one's wish and profile."""
    wish = {'oom_policy_profile': 'java', 'oom_policy_reboot_after': 5}
    last = task_log.last_message(play(wish, {})[0])['result']
    assert last['profile'] is None and last['changed_keys'] == [] and last['reason'] is None and last['applied']


@pytest.mark.parametrize('wish, message', [
    ({'oom_policy_state': 'gone'}, 'oom_policy_state'),
    ({'oom_policy_profile': 'nope'}, 'oom_policy_profile'),
    ({'oom_policy_services': [{'score_adj': 5}]}, 'name'),
    ({'oom_policy_runtime': 'perhaps'}, 'oom_policy_runtime'),
    ({'oom_policy_overcommit_mode': True, 'oom_policy_runtime': False}, 'mode: '),
    ({'oom_policy_overcommit_ratio': 50, 'oom_policy_commit_limit': '1G'}, 'mutually exclusive'),
])  # fmt: skip
def test_bad_variables_end_the_play(play, wish, message):
    assert message in play(wish, expect=2)[1]


@pytest.mark.parametrize('name', ['audit', 'apply', 'rollback', 'demo'])
def test_playbooks_are_found_by_their_full_name(command, name):
    command('ansible-playbook', '-i', 'localhost,', '--syntax-check', f'oomkit.linux.{name}')


def test_the_audit_shows_the_host_in_a_few_lines(command):
    done = command('ansible-playbook', '-i', 'localhost,', '-c', 'local', 'oomkit.linux.audit', '-e', 'oom_top=2', '-e',
                   json.dumps({'ansible_python_interpreter': sys.executable}))  # fmt: skip
    assert 'overcommit: ' in done.stdout and 'out of memory: ' in done.stdout and '"2. ' in done.stdout
    assert 'changed=0' in done.stdout and '3. ' not in done.stdout
