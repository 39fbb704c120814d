# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball: what is in it, and that it works where it is installed."""

import json
import tarfile

import pytest

TOP = {'FILES.json', 'MANIFEST.json', 'LICENSES', 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'changelogs', 'docs',
       'extensions', 'meta', 'playbooks', 'plugins', 'roles'}


@pytest.fixture(scope='module')
def tarball(command, tmp_path_factory):
    """The built tarball."""
    folder = tmp_path_factory.mktemp('build')
    command('ansible-galaxy', 'collection', 'build', '--output-path', folder)
    path, = folder.glob('*.tar.gz')
    return path


@pytest.fixture(scope='module')
def installed(command, tarball, tmp_path_factory):
    """A folder for ANSIBLE_COLLECTIONS_PATH with the tarball installed in it."""
    folder = tmp_path_factory.mktemp('installed')
    command('ansible-galaxy', 'collection', 'install', '--offline', '-p', folder, tarball,
            ANSIBLE_COLLECTIONS_PATH=str(folder))
    assert (folder / 'ansible_collections' / 'oomkit' / 'linux' / 'MANIFEST.json').is_file()
    return folder


def test_holds_only_what_a_user_needs(tarball):
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    assert {name.split('/')[0] for name in names} <= TOP
    assert not [name for name in names if '__pycache__' in name or name.endswith('.pyc')]


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
