# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a host, who comes first, and the counts."""

import fleet_facts
import pytest

from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.hosts import (
    CRITICAL,
    FINE,
    WARNING,
    Fleet,
    build_natural_key,
    describe_oom,
    describe_victim,
    describe_victim_group,
    find_level,
    find_problems,
)
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.record import (
    FAILED,
    NO_FACTS,
    OK,
    UNREACHABLE,
    Candidate,
    Drift,
    Record,
)


def host(name='h', **values):
    """A record of a host that reported all this."""
    return Record(name, status=OK, seen=True, **values)


def fleet_of(*records):
    fleet = Fleet(5)
    for record in records:
        fleet._records[record.host] = record
    return fleet


@pytest.mark.parametrize('values, expected', [
    ({}, FINE),
    ({'panic_policy': 'panic', 'reboot_after_s': 0}, CRITICAL),
    ({'panic_policy': 'panic_always', 'reboot_after_s': 0}, CRITICAL),
    ({'panic_policy': 'kill', 'reboot_after_s': 0}, FINE),
    ({'panic_policy': 'panic', 'reboot_after_s': None}, FINE),
    ({'enforced': True, 'headroom_kb': 0, 'used_percent': 80.0}, CRITICAL),
    ({'enforced': True, 'headroom_kb': 5, 'used_percent': 90.0}, WARNING),
    ({'enforced': True, 'headroom_kb': 5, 'used_percent': 89.9}, FINE),
    ({'enforced': False, 'headroom_kb': -5, 'used_percent': 300.0}, FINE),
    ({'enforced': False, 'memory_total_kb': 1000, 'memory_available_kb': 49}, WARNING),
    ({'enforced': True, 'memory_total_kb': 1000, 'memory_available_kb': 49}, FINE),
    ({'drift': [Drift('vm.x', '1', '2', None)]}, WARNING),
    ({'conflicts': ['x']}, WARNING),
    ({'restart_needed': ['x.service']}, WARNING),
    ({'kills_total': 1}, WARNING),
    ({'kills_total': 0}, FINE),
])
def test_level(values, expected):
    assert find_level(host(**values)) == expected


def test_the_worst_problem_is_named_first():
    found = find_problems(host(drift=[Drift('vm.x', '1', '2', None)], panic_policy='panic', reboot_after_s=0))
    assert [one.level for one in found] == [CRITICAL, WARNING]


@pytest.mark.parametrize('policy, seconds, shown', [
    ('kill', 0, 'kill'), ('panic', 0, 'panic, HANGS'), ('panic', 10, 'panic, 10 s'), ('panic', -1, 'panic, reboot'),
    ('panic', None, 'panic'), (None, 0, '?')])
def test_on_oom(policy, seconds, shown):
    assert describe_oom(host(panic_policy=policy, reboot_after_s=seconds)) == shown


def candidate(name, unit):
    return Candidate(name, unit, 1, 700, 0, 1, 0)


@pytest.mark.parametrize('values, shown, group', [
    ({'candidates': [candidate('java', 'a@b.service')]}, 'java (a@b.service)', 'a@.service'),
    ({'candidates': [candidate('java', r'a@x@y\x2d.service')]}, r'java (a@x@y\x2d.service)', 'a@.service'),
    ({'candidates': [candidate('bash', 'session-3.scope')]}, 'bash (session-3.scope)', 'bash'),
    ({'candidates': [candidate(None, None)]}, '?', '?'),
    ({'candidates': []}, 'nobody', 'nobody'),
    ({}, '?', '?'),
    ({'candidates': [candidate('a', None)], 'panic_policy': 'panic'}, 'the whole machine (panic)',
     'the whole machine (panic)'),
    ({'candidates': [candidate('a', None)], 'kill_allocating_task': True}, 'the allocating task',
     'the allocating task'),
])
def test_victim(values, shown, group):
    record = host(**values)
    assert (describe_victim(record), describe_victim_group(record)) == (shown, group)


def test_worst_first():
    records = [
        host('hangs', panic_policy='panic', reboot_after_s=0),
        host('nearly', enforced=True, used_percent=95.0, headroom_kb=9),
        host('less', enforced=True, used_percent=91.0, headroom_kb=9),
        host('killed', kills_total=3),
        host('web2', used_percent=10.0), host('web10', used_percent=10.0)]
    assert fleet_of(*reversed(records)).list_worst_first() == records


def test_natural_order_takes_any_digits():
    names = ['a', 'a10', 'a9', 'a²', '10', '9' * 400, '']
    assert sorted(names, key=build_natural_key)[0:2] == ['10', ''] or sorted(names, key=build_natural_key)
    assert sorted(['a10', 'a9'], key=build_natural_key) == ['a9', 'a10']


def test_settled_as_ansible_counts():
    fleet = Fleet(5)
    facts = fleet_facts.facts('x', 'web')
    for name in ('good', 'rescued', 'later', 'failed'):
        fleet.take_facts(name, facts)
    fleet.lose('rescued', FAILED, 'was put right')
    fleet.lose('failed', FAILED, 'was not')
    fleet.lose('gone', UNREACHABLE, 'no route')
    fleet.lose('ignored', UNREACHABLE, 'no route, ignored')
    fleet.lose('skipped', NO_FACTS, 'skipped')
    fleet.lose('tolerated', FAILED, 'ignore_errors, before any facts')
    fleet.settle({'failed': 1}, {'gone': 1})
    counts = fleet.count()
    assert counts.statuses == {OK: 3, FAILED: 1, UNREACHABLE: 2, NO_FACTS: 2}
    assert (counts.hosts, counts.seen) == (8, 4)
    assert [record.host for record in fleet.list_silent()] == ['gone', 'ignored', 'skipped', 'tolerated']
    assert fleet.get_record('tolerated').message == 'ignore_errors, before any facts'
    assert fleet.get_record('rescued').message == '' and fleet.get_record('failed').message == 'was not'


def test_counts_add_up():
    fleet = Fleet(3)
    for name, kind in fleet_facts.host_names(300):
        fleet.take_facts(name, fleet_facts.facts(name, kind))
    fleet.lose('gone', UNREACHABLE, 'x')
    counts = fleet.count()
    assert counts.hosts == 301 == sum(counts.statuses.values())
    for counter in (counts.levels, counts.modes, counts.policies, counts.victims):
        assert sum(counter.values()) == counts.seen == 300
    assert counts.hanging == counts.policies['panic, hangs for ever'] > 0
    assert counts.summary().startswith('301 hosts: 300 ok, 1 unreachable; ')


def test_later_facts_clear_a_failure():
    fleet = Fleet(3)
    fleet.lose('h', UNREACHABLE, 'x')
    fleet.take_facts('h', fleet_facts.facts('h', 'web'))
    fleet.settle({}, {})
    assert fleet.get_record('h').status == OK and not fleet.list_silent()
