# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host answers, before Ansible makes variables of it and shows it."""

import dataclasses

import pytest

from ansible_collections.oomkit.linux.plugins.plugin_utils._result import check_answer, sanitize_answer, sanitize_output

STEERING = '\x1b[31m\x9b\x7f\u202e\r'
WORDS = 'The host answered with facts that this module does not return'


@pytest.mark.parametrize('facts, allowed', [
    ({'oom': {}, 'demo_report': '/x'}, 'oom'), ({'oom': {}}, None), ({'inventory_hostname': 'other'}, 'oom'),
    (['oom'], 'oom'), ('oom', 'oom'), ({'OOM': 1}, 'oom'), ({'discovered': 1}, None),
])  # fmt: skip
def test_unexpected_facts_are_a_failure(facts, allowed):
    reported = check_answer({'changed': True, 'ansible_facts': facts}, allowed)
    assert reported['failed'] is True and reported['msg'].startswith(WORDS) and 'ansible_facts' not in reported


@pytest.mark.parametrize('facts, allowed', [
    ({'oom': {'a': 1}}, 'oom'), ({}, None), ({'discovered_interpreter_python': '/usr/bin/python3'}, None),
    ({'oom': {}, 'discovered_interpreter_python': '/usr/bin/python3'}, 'oom')])
def test_facts_of_the_module_stay(facts, allowed):
    reported = check_answer({'changed': False, 'ansible_facts': facts}, allowed)
    assert reported == {'changed': False, 'ansible_facts': facts}


def test_the_message_is_short_and_can_be_printed():
    facts = {STEERING + 'x' * 9000 + str(number): 1 for number in range(1000)}
    reported = check_answer({'ansible_facts': facts}, 'oom')
    assert reported['msg'].isprintable() and len(reported['msg']) < 600


def test_nothing_in_an_answer_steers_a_terminal():
    reported = sanitize_answer({'msg': STEERING + '\n', STEERING: [STEERING, {'a': (STEERING,)}], 'n': 5, 'b': None})
    assert reported == {'msg': r'\x1b[31m\u009b\x7f\u202e\x0d\x0a', r'\x1b[31m\u009b\x7f\u202e\x0d': [
        r'\x1b[31m\u009b\x7f\u202e\x0d', {'a': [r'\x1b[31m\u009b\x7f\u202e\x0d']}], 'n': 5, 'b': None}


def test_texts_with_lines_keep_them():
    for key in ('before', 'after', 'module_stderr', 'exception'):
        assert sanitize_answer({key: 'a\r\n\tb\x1b\n'}) == {key: 'a\r\n\tb\\x1b\n'}


@pytest.mark.parametrize('printed, reported', [
    ('{"warnings": ["a\\u001b\\u202e"]}', r'{"warnings": ["a\\x1b\\u202e"]}'),
    ('\x1b]0;before\n{"a": 1}\n\x1b]0;behind\n', '{"a": 1}'),
    ('no\x1b answer\n', 'no\\x1b answer\n'), ('{"a": ' * 100000, '{"a": ' * 100000),
], ids=['escapes', 'around it', 'none', 'deep'])
def test_what_ansible_shows_by_itself_is_printable(printed, reported):
    assert sanitize_output(printed) == reported


@dataclasses.dataclass(frozen=True)
class Event:
    """As ansible-core 2.19 and later make it of warnings and errors."""

    msg: str
    events: tuple = ()


def test_errors_and_warnings_of_newer_cores():
    reported = sanitize_answer({'warnings': [Event('a\x1b\nb', (Event('\x9b'),))]})
    assert reported == {'warnings': [Event('a\\x1b\nb', (Event('\\u009b'),))]}
