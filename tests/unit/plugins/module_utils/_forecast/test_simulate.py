# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulation of the kernel's choice, on snapshots made by hand: every rule that a snapshot can show."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import TOTAL_PAGES, process, snapshot
from snapshots import relations as related_to

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._forecast import snapshot as forecast_snapshot
from ansible_collections.oomkit.linux.plugins.module_utils._forecast.simulate import NOTHING, simulate
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import badness

UNIT = TOTAL_PAGES // 1000


def order(forecast):
    """The possible victims of each rank, by PID."""
    return [[one.process.pid for one in kill.victims] for kill in forecast.kills]


def forecast(world, kills=5, **what_if):
    return simulate(world, kills, NOTHING._replace(**what_if))


# --------------------------------------------------------------------- the choice


def test_the_most_memory_first_and_no_more_than_there_are():
    found = forecast(snapshot(process(10, 100), process(11, 300), process(12, 200)))
    assert (found.outcome, order(found)) == ('kill', [[11], [12], [10]])
    assert [kill.margin_pages for kill in found.kills] == [100, 100, None]
    assert [kill.freed_pages for kill in found.kills] == [300, 200, 100]
    assert not found.missing.relations and not found.missing.more_processes


def test_score_adj_counts_in_thousandths_of_memory():
    world = snapshot(process(10, 1000), process(11, 0, 4), total_pages=250_999)
    assert forecast(world, 1).kills[0].victims[0].badness_pages == 1000
    assert order(forecast(world, 1)) == [[11, 10]]  # 4 * (250999 // 1000) = 1000: equal


@pytest.mark.parametrize('kept', [
    process(11, 9000, -1000),
    process(11, 9000, never=forecast_snapshot.INIT),
    process(11, 9000, never=forecast_snapshot.SCORE_ZERO),
    process(11, 0, 1000, never=forecast_snapshot.NO_MEMORY),
])
def test_some_are_never_chosen(kept):
    assert order(forecast(snapshot(process(10, 1), kept))) == [[10]]


def test_equals_are_a_set_the_youngest_likeliest():
    found = forecast(snapshot(process(10, 100), process(11, 100), process(12, 100), process(13, 99)), 4)
    assert order(found) == [[12, 11, 10], [11, 10, 12], [10, 11, 12], [13]]
    assert [kill.margin_pages for kill in found.kills] == [0, 0, 1, None]


def test_oldest_of_equals_is_likeliest_before_5_9():
    found = forecast(snapshot(process(10, 100), process(11, 100), scale=badness.SCALE_OLD), 1)
    assert order(found) == [[10, 11]]


def test_what_is_closer_than_the_kernel_counts_is_a_set():
    world = snapshot(process(10, 1000, error_pages=10), process(11, 1015, error_pages=5), process(12, 999))
    found = forecast(world, 3)
    assert order(found)[0] == [11, 10]
    assert (found.kills[0].margin_pages, found.kills[0].error_pages) == (15, 15)
    assert set(order(found)[1]) == {10, 11, 12}  # 10 may have been first, and 12 is as near to it
    assert set(order(found)[2]) == {12, 10}


def test_later_ranks_follow_every_course():
    """Who is second depends on who was first; the group is killed only in one of the branches."""
    world = snapshot(process(10, 1000, error_pages=10), process(11, 1005), process(12, 500), process(13, 400),
                     related={11: related_to(group='/g', group_members=[11, 12])})
    found = forecast(world, 3)
    assert order(found) == [[11, 10], [10, 11], [13]]
    assert found.kills[0].collateral[0].process.pid == 12


def test_many_equals_do_not_explode():
    found = forecast(snapshot(*[process(pid, 100) for pid in range(10, 210)]), 20)
    assert len(found.kills) == 20
    assert all(len(kill.victims) == 200 for kill in found.kills[:2])


def test_negative_badness_is_ordered_only_on_new_kernels():
    processes = process(10, 100, -500), process(11, 200, -600), process(12, 100, -500 + 1)
    assert order(forecast(snapshot(*processes))) == [[12], [10], [11]]
    old = forecast(snapshot(*processes, scale=badness.SCALE_OLD), 1)
    assert sorted(order(old)[0]) == [10, 11, 12]


# -------------------------------------------------------------------- what if


def test_what_if_the_value_were_another():
    world = snapshot(process(10, 1000), process(11, 900), process(12, 100, -1000))
    assert order(forecast(world, 3, score_adj={11: 100, 12: 0})) == [[11], [10], [12]]
    assert order(forecast(world, 3, score_adj={10: -1000})) == [[11]]


def test_what_if_it_grew_with_its_page_tables():
    world = snapshot(process(10, 10_000), process(11, 5_000))
    found = forecast(world, 1, growth_pages={11: 5_120})
    assert order(found) == [[11]]
    assert found.kills[0].victims[0].badness_pages == 5_000 + 5_120 + 10
    assert found.kills[0].freed_pages == 5_000 + 5_120


# ----------------------------------------------------------------- no choice


def test_what_if_the_policy_were_another():
    world = snapshot(process(10, 10), panic_on_oom=1)
    assert forecast(world).outcome == 'panic'
    assert order(forecast(world, panic_on_oom=0)) == [[10]]
    assert forecast(world, panic_on_oom=0, kill_allocating_task=True).outcome == 'unknown'


@pytest.mark.parametrize('panic_on_oom, cgroup, outcome', [
    (0, None, 'kill'), (1, None, 'panic'), (2, None, 'panic'), (0, '/c', 'kill'), (1, '/c', 'kill'), (2, '/c', 'panic'),
])
def test_panic_on_oom(panic_on_oom, cgroup, outcome):
    world = snapshot(process(10, 10, cgroup='/c'), panic_on_oom=panic_on_oom, cgroup=cgroup)
    found = forecast(world)
    assert found.outcome == outcome
    assert bool(found.kills) == (outcome == 'kill')


@pytest.mark.parametrize('cgroup', [None, '/c'])
def test_nobody_is_left_to_be_killed(cgroup):
    found = forecast(snapshot(process(10, 10, -1000, cgroup='/c'), cgroup=cgroup))
    assert (found.outcome, found.kills) == ('deadlock', [])
    assert ('panics' in found.reason) == (cgroup is None)


def test_cgroup_v1_may_disable_kills():
    assert forecast(snapshot(process(10, 10, cgroup='/c'), cgroup='/c', kill_disabled=True)).outcome == 'no_kill'


def test_what_cannot_be_seen_is_unknown():
    found = forecast(snapshot(process(10, 10), unknown='hidepid'))
    assert (found.outcome, found.reason, found.kills) == ('unknown', 'hidepid', [])


def test_kill_allocating_task_chooses_the_allocating_task():
    world = snapshot(process(10, 100), process(11, 5), process(12, 50, -1000), kill_allocating_task=True)
    assert forecast(world).outcome == 'unknown' and 'the task that triggers the OOM' in forecast(world).reason
    assert order(forecast(world, 2, growth_pages={11: 1})) == [[11], [10]]
    assert order(forecast(world, 1, growth_pages={12: 1})) == [[10]]  # it may not be killed: the scan decides
    in_cgroup = snapshot(process(10, 100, cgroup='/c'), kill_allocating_task=True, cgroup='/c')
    assert order(forecast(in_cgroup)) == [[10]]


# ------------------------------------------------------------------- cgroups


@pytest.mark.parametrize('adj, victim', [(300, 10), (600, 11)])
def test_a_cgroup_measures_by_its_own_limit(adj, victim):
    """60 MB, A with 40 MB, B with 5 MB: 300 thousandths of 60 MB are less than what A has more, 600 are not."""
    a, b = process(10, 10_240, cgroup='/c/a'), process(11, 1_280, adj, cgroup='/c')
    world = snapshot(a, b, process(12, 90_000, 1000, cgroup='/cc'), cgroup='/c', limit_pages=15_360)
    assert order(forecast(world, 1)) == [[victim]]
    everywhere = snapshot(a, b)
    assert order(forecast(everywhere, 1)) == [[11]]  # by the machine's measure B comes first in both cases


# ------------------------------------------------------------------- NUMA nodes


@pytest.mark.parametrize('panic_on_oom, outcome', [(0, 'kill'), (1, 'kill'), (2, 'panic')])
def test_nodes_that_run_out_by_themselves(panic_on_oom, outcome):
    """Only who may use them can be chosen, by the measure of those nodes; panic_on_oom 1 is for the whole machine."""
    world = snapshot(process(10, 9000, nodes=[0]), process(11, 2000, nodes=[0, 1]), process(12, 1000, 50, nodes=[1]),
                     nodes=[1], limit_pages=10_000, panic_on_oom=panic_on_oom)
    found = forecast(world)
    assert found.outcome == outcome
    assert order(found) == ([[11], [12]] if outcome == 'kill' else [])


# ------------------------------------------------------------------- related


def test_who_shares_the_memory_dies_too():
    world = snapshot(process(10, 900), process(11, 900), process(12, 100, -1000), process(13, 300),
                     related={10: related_to(sharers=[11, 12]), 11: related_to(sharers=[10, 12])})
    found = forecast(world, 2)
    assert order(found) == [[11, 10], [13]]
    assert [(one.process.pid, one.why) for one in found.kills[0].collateral] == [
        (10, 'shares_memory'), (12, 'shares_memory')]
    assert found.kills[0].freed_pages == 900  # once


def test_the_group_dies_and_spares_those_at_minus_1000():
    related = {10: related_to(group='/g', group_members=[10, 11, 12])}
    world = snapshot(process(10, 900), process(11, 5), process(12, 5, -1000), process(13, 300), related=related)
    found = forecast(world, 3)
    assert order(found) == [[10], [13]]
    assert [(one.process.pid, one.why) for one in found.kills[0].collateral] == [(11, 'oom_group')]
    assert found.kills[0].freed_pages == 905
    raised = forecast(world, 1, score_adj={12: 0})
    assert [one.process.pid for one in raised.kills[0].collateral] == [11, 12]


def test_systemd_ends_the_service_of_every_one_that_dies():
    related = {10: related_to(group='/g', group_members=[10, 11]), 11: related_to(unit_members=[12])}
    world = snapshot(process(10, 900), process(11, 5), process(12, 500, -1000), process(13, 300), related=related)
    found = forecast(world, 2)
    assert [(one.process.pid, one.why) for one in found.kills[0].collateral] == [
        (11, 'oom_group'), (12, 'service_ends')]


def test_kernels_up_to_5_1_may_kill_a_child_instead():
    related = {10: related_to(children=[11, 12, 13], sharers=[13])}
    processes = process(10, 900), process(11, 5), process(12, 50), process(13, 800), process(14, 850)
    old = forecast(snapshot(*processes, related=related, scale=badness.SCALE_OLD), 1)
    assert order(old) == [[10, 12]]
    assert order(forecast(snapshot(*processes, related=related), 1)) == [[10]]


# ------------------------------------------------------------- what is missing


def test_missing_relations_are_named():
    world = snapshot(process(10, 900), process(11, 800))._replace(relations={})
    assert forecast(world, 1).missing.relations == {10}
    known = {10: related_to(group='/g', group_members=[10, 11])}
    members = snapshot(process(10, 900), process(11, 800))._replace(relations=known)
    assert forecast(members, 1).missing.relations == {11}


@pytest.mark.parametrize('left_out_pages, kills, short', [(None, 3, False), (799, 2, False), (799, 3, True),
                                                          (800, 2, True), (800, 1, False), (900, 1, True)])
def test_it_says_when_one_that_was_left_out_may_be_the_victim(left_out_pages, kills, short):
    world = snapshot(process(10, 900), process(11, 800), left_out=7, left_out_pages=left_out_pages)
    assert forecast(world, kills).missing.more_processes is short


# ---------------------------------------------------------------------- JSON

PROCESSES = st.lists(st.builds(
    process, st.integers(2, 40), st.integers(0, 5000), st.integers(-1000, 1000), error_pages=st.integers(0, 50),
    never=st.sampled_from([None, None, None, 'init'])), max_size=8)


@given(PROCESSES, st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_snapshot_survives_json_and_each_kill_is_new(processes, kills):
    world = snapshot(*processes)
    again = forecast_snapshot.from_json(json.loads(json.dumps(forecast_snapshot.to_json(world))))
    assert again == world
    found = forecast(world, kills)
    assert found == forecast(again, kills)
    likeliest = [kill.victims[0].process.pid for kill in found.kills]
    assert len(set(likeliest)) == len(likeliest)
    possible = {one.pid for one in world.processes.values() if one.never is None and one.oom_score_adj != -1000}
    assert len(found.kills) == min(kills, len(possible))
    assert {pid for rank in order(found) for pid in rank} <= possible


@given(PROCESSES, st.integers(1, 4), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_victim_within_the_error_is_in_the_set(processes, kills, random):
    world = snapshot(*processes)
    found = forecast(world, kills)
    counted = {one.pid: one.memory_pages + random.randint(-one.error_pages, one.error_pages) + one.oom_score_adj * UNIT
               for one in world.processes.values() if one.never is None and one.oom_score_adj != -1000}
    for kill in found.kills:
        worst = max(counted.values())
        victim = random.choice([pid for pid in counted if counted[pid] == worst])
        assert victim in [one.process.pid for one in kill.victims]
        del counted[victim]


@pytest.mark.parametrize('change, text', [
    ({'format': 2}, 'format'), ({'settings': None}, 'settings'), ({'processes': {}}, 'processes'),
    ({'left_out_pages': 'x'}, 'left_out_pages'), ({'relations': [{}]}, 'relations[0].pid'),
    ({'relations': [-1]}, 'relations[0] must be of type dict'),
    ({'relations': [[]]}, 'relations[0] must be of type dict'),
    ({'format': '\x1b\ud800'}, r"format '\\x1b\\ud800' is not known"), ({'unknown': ['\x1b' * 2000]}, r'\.\.\. '),
    ({'processes': [{'pid': True}]}, 'pid'),
    ({'domain': {'cgroup': None, 'total_pages': 0, 'kill_disabled': False, 'nodes': None}}, 'positive'),
])
def test_what_is_no_snapshot_is_refused_by_the_place(change, text):
    data = dict(forecast_snapshot.to_json(snapshot(process(10, 5))), **change)
    with pytest.raises(ConvertError, match=text.replace('[', r'\[')) as caught:
        forecast_snapshot.from_json(data)
    assert str(caught.value).isprintable()
    with pytest.raises(ConvertError):
        forecast_snapshot.from_json([])


@pytest.mark.parametrize('name, number, text', [
    ('page_kb', 2 ** 63, 'settings.page_kb must be smaller, and is 922'),
    ('total_pages', -2 ** 63, 'settings.total_pages must be smaller'), ('total_pages', 1e9, 'must be of type int'),
    ('page_kb', float('inf'), 'must be of type int'), ('panic_on_oom', float('nan'), 'must be of type int'),
])
def test_a_number_that_no_kernel_counts_to_is_refused(name, number, text):
    """A product of two had more digits than Python shows: the result was a traceback."""
    data = forecast_snapshot.to_json(snapshot(process(10, 5)))
    data['processes'][0]['freed_pages'] = 2 ** 63 - 1
    forecast_snapshot.from_json(data)
    data['settings'][name] = number
    with pytest.raises(ConvertError, match=text):
        forecast_snapshot.from_json(data)
    data['settings'].update(forecast_snapshot.to_json(snapshot())['settings'], page_kb=10 ** 4000)
    data['processes'][0]['freed_pages'] = 10 ** 4000
    with pytest.raises(ConvertError, match=r'processes\[0\].freed_pages must be smaller'):
        forecast_snapshot.from_json(data)


@pytest.mark.parametrize('name', ['memory_pages', 'error_pages', 'freed_pages'])
def test_a_process_that_holds_less_than_nothing_is_refused(name):
    """With an error below 0 nobody was the worst, and the simulation had nobody to choose."""
    data = forecast_snapshot.to_json(snapshot(process(10, 5), process(11, 5)))
    data['processes'][1][name] = -1
    with pytest.raises(ConvertError, match=r'processes\[1\].%s must be 0 or more, and is -1' % name):
        forecast_snapshot.from_json(data)
