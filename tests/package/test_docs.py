# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of every module, as ansible-doc sees it."""

import json

import pytest
import yaml


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
