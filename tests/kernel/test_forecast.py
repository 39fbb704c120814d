# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""oom_forecast_info and the forecasts of a change, rule by rule against the kernel. Any populations: see beside."""

import json
from pathlib import Path

import pytest
from service_units import install
from test_facts import let_the_kernel_choose, start_hog, wait_until_gone

HERE = Path(__file__).parent
# By rule: (victims of each rank, what is killed with them, whom the kernel killed, who of the letters was dead then).
# ``a.child`` is a child of a. A question mark is a process of the machine.
EXPECTED = {
    'dead_leader': ([['a'], ['b']], [[], []], ['a', 'b'], ['a', 'b']),
    'group_of_the_machine': ([['a']], [['b:oom_group']], ['a'], ['a', 'b']),
    'group_in_a_cgroup': ([['a']], [['b:oom_group']], ['a'], ['a', 'b']),
    'vfork_child': ([['a']], [['a.child:shares_memory']], ['a'], ['a', 'a.child']),
    'huge_pages': ([['b']], [[]], ['b'], ['b']),
    'first_of_a_pid_namespace': ([['a.child']], [[]], ['a.child'], ['a.child']),
}


@pytest.fixture(scope='module')
def rules(machine):
    """What became of every rule."""
    machine.restore('fresh')
    machine.module('oom_forecast_info', kills=1)  # brings the code
    machine._drop_connections()
    for name in ('populations.py', 'rules.py'):
        machine.write_file('/root/' + name, (HERE / name).read_bytes())
    done = machine.run('cd /root && PYTHONPATH=/opt/oomkit-lab python3 rules.py', timeout=600)
    return {row['rule']: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize('rule', EXPECTED)
def test_the_kernel_follows_the_rule_and_the_forecast_knew(rules, rule):
    victims, collateral, killed, dead = EXPECTED[rule]
    found = rules[rule]
    assert found['outcome'] == 'kill', found
    assert (found['victims'], found['collateral'], found['killed']) == (victims, collateral, killed), found
    assert found['dead'] == dead, found


def test_of_equals_any_may_be_the_one(rules):
    """Three that are made alike, which are equal to the page or nearly so: whoever dies was among those named."""
    found = rules['equals']
    assert sorted(found['killed']) == found['dead'] == ['a', 'b', 'c'], found
    assert all(killed in victims for killed, victims in zip(found['killed'], found['victims'], strict=True)), found


def test_in_a_cgroup_the_one_with_the_lower_score_dies(rules):
    """60 MB: A with 40 MB at 0 dies before B with 5 MB at 300, although its oom_score is the lower one.

    At 600 B has 9000 pages for that, and dies: with 6 MB, since the page tables of A outweigh the rest.
    """
    at_300, at_600 = rules['cgroup_300'], rules['cgroup_600']
    assert at_300['victims'] == [['a']] and at_300['killed'][:1] == ['a'], at_300
    assert int(at_300['scores']['a']) < int(at_300['scores']['b'])
    assert at_600['victims'] == [['b']] and at_600['killed'][:1] == ['b'], at_600


def test_who_shares_memory_goes_down_together(rules):
    found = rules['shared_memory']
    assert found['victims'] == [['a', 'a.child']] and found['dead'] == ['a', 'a.child'], found
    assert found['collateral'][0] in (['a:shares_memory'], ['a.child:shares_memory']), found


def test_nobody_can_be_killed_in_a_cgroup(rules):
    found = rules['nobody_in_a_cgroup']
    assert (found['outcome'], found['victims'], found['killed'], found['dead']) == ('deadlock', [], [], [])


def test_kill_allocating_task_kills_the_allocating_task(rules):
    found = rules['allocating_task']
    assert found['unasked'] == 'unknown'
    assert found['victims'] == [['e']] and found['killed'] == ['e'], found


# ------------------------------------------------------------------------ services


def test_a_service_is_killed_with_the_process_that_is_killed(fresh):
    """OOMPolicy=stop, and a main process that is killed."""
    install(fresh, 'family', 'plain')
    result = fresh.module('oom_forecast_info', kills=1, score_adj=[{'service': 'family', 'value': 1000}])
    kill = result['kill_order'][0]
    assert kill['service'] == 'family.service' and not result.get('changed')
    doomed = {one['pid'] for one in kill['victims'] + kill['collateral'] if one['unit'] == 'family.service'}
    pids = {int(pid) for pid in fresh.run('cat /sys/fs/cgroup/system.slice/family.service/cgroup.procs').stdout.split()}
    assert len(pids) > 1 and doomed == pids
    fresh.module('oom_score_adj', name='family', score_adj=1000)
    let_the_kernel_choose(fresh)
    for pid in pids:
        wait_until_gone(fresh, pid)


def test_the_forecast_of_a_change_is_what_the_change_brings(fresh):
    install(fresh, 'family', 'plain')
    start_hog(fresh, 'large', 100)
    planned = fresh.module('oom_score_adj', check=True, name='plain', score_adj=900)
    assert 'large' in planned['forecast_before']['summary'][0]
    assert 'plain.service' in planned['forecast_after']['summary'][0]
    fresh.module('oom_score_adj', name='plain', score_adj=900)
    now = fresh.module('oom_forecast_info')
    assert now['kill_order'][0]['service'] == planned['forecast_after']['kill_order'][0]['service'] == 'plain.service'
    refused = fresh.module('oom_score_adj', name='family', score_adj=950, protect=['family'], forecast=2)
    assert refused['failed'] and 'would end family (victim of kill ' in refused['msg'], refused
    assert 'Nothing was changed' in refused['msg']
    assert fresh.module('oom_score_adj', check=True, name='family', score_adj=950)['changed']


def test_a_snapshot_of_one_machine_is_asked_on_another(fresh):
    start_hog(fresh, b'\n\x1b[31m', 80)
    result = fresh.module('oom_forecast_info', protect=['ssh'])
    again = fresh.module('oom_forecast_info', protect=['ssh'], snapshot=result['snapshot'], user='tester')
    for key in ('outcome', 'kill_order', 'violations', 'summary'):
        assert again[key] == result[key]
    assert result['kill_order'][0]['victims'][0]['name'] == '\\x0a\\x1b[31m'
    growing = fresh.module('oom_forecast_info', snapshot=result['snapshot'], policy='panic')
    assert growing['outcome'] == 'panic'


def test_who_may_not_see_everything_says_so(fresh):
    start_hog(fresh, 'large', 80)
    seen = fresh.module('oom_forecast_info', user='tester')
    assert seen['outcome'] == 'kill' and any('kcmp' in text for text in seen['notes'])
    fresh.run('mount -o remount,hidepid=2 /proc')
    hidden = fresh.module('oom_forecast_info', user='tester')
    assert hidden['outcome'] == 'unknown' and 'hidepid' in hidden['reason'] and hidden['kill_order'] == []
    nested = fresh.module_under('unshare --pid --fork --mount-proc sh -c \'"$@"; exit $?\' -', 'oom_forecast_info')
    assert nested['outcome'] == 'unknown' and 'PID namespace' in nested['reason']
