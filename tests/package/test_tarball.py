# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball: what is in it, and that it works where it is installed."""

import json
import tarfile

import pytest
import yaml

TOP = {'FILES.json', 'MANIFEST.json', 'LICENSES', 'README.md', 'CHANGELOG.md', 'CODE_OF_CONDUCT.md', 'CONTRIBUTING.md',
       'SECURITY.md', 'changelogs', 'docs', 'extensions', 'meta', 'playbooks', 'plugins', 'roles'}
MOST_BYTES = 1000000


def test_holds_only_what_a_user_needs(tarball):
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    assert {name.split('/')[0] for name in names} <= TOP
    assert not [name for name in names if '__pycache__' in name or name.endswith('.pyc')]
    assert not [name for name in names if name.startswith(('docs/conf.py', 'docs/_static', 'extensions/molecule'))]
    assert tarball.stat().st_size < MOST_BYTES


def test_holds_every_plugin(tarball, checkout):
    with tarfile.open(tarball) as archive:
        names = set(archive.getnames())
    plugins = list((checkout / 'plugins').rglob('*.py'))
    assert plugins
    assert {str(path.relative_to(checkout)) for path in plugins} <= names


def test_facts_work_from_it(command, installed, tmp_path):
    play = [{'hosts': 'localhost', 'gather_facts': False, 'tasks': [
        {'oomkit.linux.oom_facts': {'top': 3}},
        {'ansible.builtin.copy': {'content': '{{ ansible_facts.oom | to_json }}', 'dest': str(tmp_path / 'oom.json')}},
    ]}]
    (tmp_path / 'play.yml').write_text(json.dumps(play))
    command('ansible-playbook', '-i', 'localhost,', '-c', 'local', '-e',
            'ansible_python_interpreter={{ ansible_playbook_python }}', tmp_path / 'play.yml', cwd=tmp_path,
            ANSIBLE_COLLECTIONS_PATH=str(installed))
    facts = json.loads((tmp_path / 'oom.json').read_text())
    meminfo = dict(line.split(':') for line in open('/proc/meminfo', encoding='ascii').read().splitlines())
    assert facts['memory']['total_kb'] == int(meminfo['MemTotal'].split()[0])
    assert len(facts['candidates']) <= 3


def test_the_fleet_report_works_from_it(command, installed, tmp_path):
    done = command('ansible', 'localhost', '-i', 'localhost,', '-c', 'local', '-m', 'oomkit.linux.oom_facts', '-e',
                   'ansible_python_interpreter={{ ansible_playbook_python }}', cwd=tmp_path,
                   ANSIBLE_COLLECTIONS_PATH=str(installed), ANSIBLE_LOAD_CALLBACK_PLUGINS='1',
                   ANSIBLE_CALLBACKS_ENABLED='oomkit.linux.fleet_report')
    assert '1 host: 1 ok; ' in done.stdout
    assert '</html>' in (tmp_path / 'oom-fleet-report.html').read_text()


def test_playbook_is_found_by_its_full_name(command, installed, tmp_path):
    shown = command('ansible-playbook', '--syntax-check', '-i', 'localhost,', 'oomkit.linux.demo', cwd=tmp_path,
                    ANSIBLE_COLLECTIONS_PATH=str(installed))
    assert 'demo.yml' in shown.stdout


def test_role_and_filters_work_from_it_in_any_directory(command, installed, tmp_path):
    local = {'ansible_connection': 'local', 'ansible_python_interpreter': '{{ ansible_playbook_python }}'}
    play = [{'hosts': 'localhost', 'gather_facts': False, 'vars': local, 'tasks': [
        {'ansible.builtin.include_role': {'name': 'oomkit.linux.oom_policy'}},
        {'ansible.builtin.assert': {'that': [
            "oom_policy_result is defined",
            "4029312 | oomkit.linux.commit_limit == 2014656",
            "ansible_facts.oom.memory | oomkit.linux.commit_limit(ratio=0) == ansible_facts.oom.memory.swap_total_kb",
            "'2G' | oomkit.linux.badness('32G') == 524288",
        ]}},
    ]}]
    (tmp_path / 'play.yml').write_text(json.dumps(play))
    shown = command('ansible-playbook', '-i', 'localhost,', tmp_path / 'play.yml', cwd='/',
                    ANSIBLE_COLLECTIONS_PATH=str(installed))
    assert 'failed=0' in shown.stdout and 'changed=0' in shown.stdout


@pytest.mark.parametrize('kind, name', [
    ('role', 'oom_policy'), ('callback', 'fleet_report'), ('filter', 'commit_limit'), ('filter', 'badness')])
def test_its_documentation_is_found(command, installed, tmp_path, kind, name):
    shown = command('ansible-doc', '-t', kind, 'oomkit.linux.' + name, cwd=tmp_path,
                    ANSIBLE_COLLECTIONS_PATH=str(installed))
    assert name in shown.stdout and shown.stderr == ''


def test_make_build_says_where_it_is(command, checkout, tmp_path):
    reported = command('make', '-n', 'build').stdout
    assert 'ansible-galaxy collection build --force --output-path .cache/build' in reported
    version = yaml.safe_load((checkout / 'galaxy.yml').read_text())['version']
    assert '.cache/build/oomkit-linux-%s.tar.gz' % version in (checkout / 'docs' / 'install.md').read_text()
