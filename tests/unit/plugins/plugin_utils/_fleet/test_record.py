# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a host, whatever the host says."""

import json
import tracemalloc

import fleet_facts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.files import build_csv_rows, build_json_lines
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.hosts import Fleet, find_problems
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.page import render_html
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.record import (
    MESSAGE_LENGTH,
    NO_FACTS,
    OK,
    Record,
    clean,
    to_json,
)
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.text import build_lines

KEYS = ('overcommit', 'commit', 'memory', 'panic', 'candidates', 'drift', 'kills', 'competing_writers', 'oom_daemons',
        'environment', 'warnings')
NAMES = ('mode_name', 'limit_kb', 'used_percent', 'headroom_kb', 'enforced', 'policy', 'reboot_after_s', 'name', 'unit',
         'pid', 'oom_score', 'key', 'runtime', 'boot', 'file', 'total', 'recent', 'when', 'container', 'gathered_at')
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4)
                        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5), max_leaves=12)


def recorded(facts, candidates=5):
    record = Record('h')
    record.take_facts(facts, candidates)
    return record


def test_takes_what_counts():
    reported = to_json(recorded(fleet_facts.facts('db-1', 'db')))
    assert (reported['mode'], reported['enforced'], reported['status']) == ('never', True, OK)
    assert reported['panic_policy'] == 'panic'
    assert [one['name'] in ('postgres', 'mysqld') for one in reported['candidates']] == [True] * 5
    json.dumps(reported)


REAPPLIED = {'key': 'vm.overcommit_ratio', 'value': '80', 'by': 'tuned', 'how': 'reapplies', 'file': '/etc/sysctl.d/a'}
DRIFT = {'key': 'vm.overcommit_ratio', 'runtime': 50, 'boot': 80, 'file': '/etc/sysctl.d/a'}


@pytest.mark.parametrize('drift, listed', [
    ([], False), (None, False), ([DRIFT], True), ([dict(DRIFT, key='kernel.panic')], False),
])
def test_tuned_reapplied_line_is_listed_only_with_drift(drift, listed):
    others = [dict(REAPPLIED, how=how) for how in ('sets', 'yields', 'requires', None)]
    record = recorded({'drift': drift, 'competing_writers': [REAPPLIED, *others]})
    shown = 'tuned reapplies vm.overcommit_ratio = 80'
    assert [one for one in record.competing_writers if 'reapplies' in one] == [shown] * listed
    assert len(record.competing_writers) == 4 + listed and 'reapplied' not in to_json(record)


def test_drift_may_be_reported_before_or_after_what_is_reapplied():
    record = recorded({'competing_writers': [REAPPLIED]})
    assert record.competing_writers == []
    record.take_facts({'drift': [DRIFT]}, 5)
    record.take_facts({'drift': [DRIFT]}, 5)
    assert record.competing_writers == ['tuned reapplies vm.overcommit_ratio = 80']
    record.take_facts({'drift': []}, 5)
    assert record.competing_writers == []


def test_an_absent_key_leaves_what_was_there():
    record = recorded(fleet_facts.facts('db-1', 'db'))
    record.take_facts({'panic': {'policy': 'kill'}}, 5)
    assert (record.mode, record.panic_policy, record.reboot_after_s) == ('never', 'kill', None)


def test_the_memory_for_a_host_does_not_grow_with_its_report():
    """With all processes asked for (top: 0) a host reports thousands, and the record holds a few."""
    facts = fleet_facts.facts('db-1', 'db')
    facts['candidates'] = facts['candidates'] * 500
    texts = [json.dumps(facts) for _host in range(5)]
    fleet = Fleet(5)
    tracemalloc.start()
    for number, sent in enumerate(texts):
        fleet.take_facts('host%d' % number, json.loads(sent))
    held_bytes, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes / len(texts) < 5000


def test_null_candidates_are_unknown_and_none_is_none():
    assert recorded({'candidates': None}).candidates is None
    assert recorded({'candidates': []}).candidates == []


def test_a_record_is_small_whatever_the_host_sends():
    one = {'name': 'x' * 10 ** 5, 'unit': '\n' * 10 ** 5, 'key': 'k' * 10 ** 5, 'pid': 10 ** 30, 'rss_kb': True}
    record = recorded({'candidates': [one] * 10 ** 4, 'drift': [one] * 10 ** 4, 'warnings': ['w' * 10 ** 5] * 10 ** 4,
                       'competing_writers': [one] * 10 ** 4,
                       'commit': {'limit_kb': 1e400, 'used_percent': float('nan')}})
    assert len(json.dumps(to_json(record))) < 32000
    assert (record.candidates[0].pid, record.candidates[0].rss_kb, record.used_percent) == (None, None, None)


@settings(deadline=None)  # how long it takes depends on what else the machine does
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING), ANYTHING)
def test_nothing_that_a_host_says_breaks_a_report(facts, policy):
    fleet = Fleet(3)
    fleet.take_facts('h', facts)
    fleet.take_policy('h', policy)
    reported = build_lines(fleet, 0, 100, lambda shown, look: shown)
    assert all(line.isprintable() for line in reported)
    page = ''.join(render_html(fleet, 'x'))
    assert page.count('<details class=h ') == 1
    json.loads(''.join(build_json_lines(fleet)))
    assert len(list(build_csv_rows(fleet))) == 2
    find_problems(fleet.list_worst_first()[0])


@given(ANYTHING)
def test_facts_of_any_shape_are_taken(facts):
    record = recorded(facts)
    assert record.seen


def test_a_number_that_python_does_not_show_is_unknown():
    assert clean(10 ** 5000) is None and clean(-10 ** 5000) is None and clean(2 ** 63) == str(2 ** 63)


@pytest.mark.parametrize('value, shown', [
    ('\x1b[31mred\n', r'\x1b[31mred\x0a'), (7, '7'), (1.5, '1.5'), (True, None), (None, None), ({}, None),
    ('x' * 1000, 'x' * (MESSAGE_LENGTH - 1) + '…')])
def test_text(value, shown):
    assert clean(value, MESSAGE_LENGTH) == shown


def test_the_role_reports_conflicts_in_sysctls_and_services():
    record = Record('h')
    assert record.status == NO_FACTS
    record.take_policy({'changed': True, 'reason': None, 'restart_needed': ['a.service'], 'conflicts': [
        {'key': 'vm.overcommit_memory', 'wanted': 2, 'boot': 1, 'file': '/etc/sysctl.d/99-x.conf', 'line': 3},
        {'unit': 'a.service', 'setting': 'OOMScoreAdjust', 'wanted': 5, 'next_start': None, 'file': '/x', 'line': 2}]})
    assert record.conflicts == ['vm.overcommit_memory will be 1, not 2 (/etc/sysctl.d/99-x.conf:3)',
                                'a.service OOMScoreAdjust will be reset, not 5 (/x:2)']
    assert record.restart_needed == ['a.service'] and record.policy_changed is True and record.seen
