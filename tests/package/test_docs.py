# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of every module, as ansible-doc sees it."""

import importlib
import json
import sys

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.plugins.action import ActionBase


@pytest.fixture(scope='module')
def documents(command, module_names):
    """By module, what ansible-doc knows."""
    names = ['oomkit.linux.' + name for name in module_names]
    return json.loads(command('ansible-doc', '-t', 'module', '--json', *names).stdout)


def test_every_module_reads_well(command, module_names):
    for name in module_names:
        shown = command('ansible-doc', '-t', 'module', 'oomkit.linux.' + name)
        assert 'EXAMPLES:' in shown.stdout
        assert 'RETURN VALUES:' in shown.stdout
        assert shown.stderr == ''


def test_every_module_is_listed_with_a_line(command, module_names):
    listed = command('ansible-doc', '-t', 'module', '--list', 'oomkit.linux').stdout
    for name in module_names:
        line, = [line for line in listed.splitlines() if line.split()[0] == 'oomkit.linux.' + name]
        assert len(line.split()) > 2


def test_the_callback_reads_well(command):
    shown = command('ansible-doc', '-t', 'callback', 'oomkit.linux.fleet_report')
    assert 'OPTIONS' in shown.stdout and 'OOMKIT_FLEET_REPORT_HTML' in shown.stdout and shown.stderr == ''
    document = json.loads(command('ansible-doc', '-t', 'callback', '--json', 'oomkit.linux.fleet_report').stdout)
    options = document['oomkit.linux.fleet_report']['doc']['options']
    assert options
    for name, option in options.items():
        assert option['description'] and option['env'] and option['ini'] and option['vars'], name


def test_the_callback_and_the_module_have_the_same_options(command, documents):
    shown = command('ansible-doc', '-t', 'callback', '--json', 'oomkit.linux.fleet_report').stdout
    callback = json.loads(shown)['oomkit.linux.fleet_report']['doc']['options']
    module = documents['oomkit.linux.fleet_report']['doc']['options']
    assert {name: (option['type'], option['default']) for name, option in callback.items()} == {
        name: (option['type'], option['default']) for name, option in module.items() if name != 'hosts'}


class SpecFound(Exception):
    """A module passes this argument_spec to Ansible."""


def stop(*_arguments, argument_spec, **_more):
    """Stand in for what takes the argument_spec."""
    raise SpecFound(argument_spec)


def find_spec(name, monkeypatch):
    """The argument_spec of a module, or of the action that has the module's name."""
    base = 'ansible_collections.oomkit.linux.plugins.'
    monkeypatch.setattr(AnsibleModule, '__init__', stop)
    monkeypatch.setattr(ActionBase, 'run', lambda *_arguments: {})
    monkeypatch.setattr(ActionBase, 'validate_argument_spec', stop)
    with pytest.raises(SpecFound) as found:
        if name == 'fleet_report':
            action = importlib.import_module(base + 'action.fleet_report').ActionModule
            action.run(action.__new__(action))
        else:
            importlib.import_module(base + 'modules.' + name).main()
    return found.value.args[0]


def list_options(options, nested):
    """By option, what an argument_spec and a documentation both say of it; ``nested`` is the key of suboptions."""
    return {name: {**{key: one.get(key) for key in ('elements', 'default', 'choices', 'aliases')},
                   'type': one.get('type', 'str'), 'required': one.get('required', False),
                   'options': list_options(one.get(nested, {}), nested)} for name, one in options.items()}


def test_code_and_documentation_have_the_same_options(documents, module_names, monkeypatch):
    for name in module_names:
        documented = documents['oomkit.linux.' + name]['doc'].get('options', {})
        spec = find_spec(name, monkeypatch)
        assert list_options(spec, 'options') == list_options(documented, 'suboptions'), name


def test_every_option_and_result_is_described(documents):
    for name, document in documents.items():
        described = dict(document['doc'].get('options', {}), **document['return'])
        assert described, name
        for key, value in described.items():
            assert value.get('description'), (name, key)


def test_examples_are_tasks_of_the_module(documents):
    for name, document in documents.items():
        tasks = yaml.safe_load(document['examples'])
        assert any(name in task for task in tasks), name


def test_check_mode_and_diff_mode_are_declared(documents):
    for name, document in documents.items():
        attributes = document['doc']['attributes']
        assert attributes['check_mode']['support'] == 'full', name
        assert 'diff_mode' in attributes, name


@pytest.mark.parametrize('name', ['badness', 'commit_limit'])
def test_every_filter_reads_well(command, name):
    shown = command('ansible-doc', '-t', 'filter', '--json', 'oomkit.linux.' + name)
    document = json.loads(shown.stdout)['oomkit.linux.' + name]
    assert shown.stderr == '' and document['return']['_value']['description'] and name in document['examples']
    options = document['doc']['options']
    assert set(document['doc']['positional'].split(', ')) == set(options) - {'_input'}
    assert all(option['description'] for option in options.values())


def test_what_is_made_from_the_code_is_up_to_date():
    for path, text in importlib.import_module('generated').pages():
        assert path.read_text(encoding='utf-8') == text, 'run .venv/bin/python tools/generated.py'


def test_a_changed_page_is_noticed(checkout):
    pages = dict(importlib.import_module('generated').pages())
    facts = pages[checkout / 'docs' / 'facts.md']
    assert '"used_percent": 26.2' in facts and '## environment' in facts
    assert '24 GiB' in pages[checkout / 'docs' / 'images' / 'commit_limit.svg']


def test_the_samples_of_the_facts_have_every_field(command, tmp_path):
    command('ansible', 'localhost', '-i', 'localhost,', '-c', 'local', '-m', 'oomkit.linux.oom_facts', '-t', tmp_path,
            '-e', 'ansible_python_interpreter=' + sys.executable)
    facts = json.loads((tmp_path / 'localhost').read_text())['ansible_facts']['oom']
    samples = {name: key['sample'] for name, key in importlib.import_module('generated').facts_documentation().items()}
    assert set(facts) == set(samples)
    for name, sample in samples.items():
        assert fields(facts[name]) <= fields(sample), name
        if isinstance(sample, dict) and facts[name]:
            assert fields(facts[name]) == fields(sample) or name in ('boot', 'kills'), name


def fields(value):
    """The fields of a fact: its keys, or those of what it lists. Sysctls are names, and no fields."""
    if isinstance(value, list):
        return set().union(*map(fields, value))
    return {key for key in value if not key.startswith(('vm.', 'kernel.'))} if isinstance(value, dict) else set()
