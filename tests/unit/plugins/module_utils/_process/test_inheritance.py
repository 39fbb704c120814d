# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import time

from ansible_collections.oomkit.linux.plugins.module_utils._process.handle import ProcessIdentity
from ansible_collections.oomkit.linux.plugins.module_utils._process.inheritance import OWN_PARENT, split_processes


def processes(*rows):
    """(pid, parent, oom_score_adj)"""
    return [ProcessIdentity(pid, parent, 100 + pid, b'x', adj) for pid, parent, adj in rows]


def followers(rows, *given):
    result = split_processes(processes(*rows), lambda one: one.score_adj in given)
    return [one.pid for one in result.inherited], {left.process.pid: left.reason for left in result.skipped}


def test_those_with_the_units_value_follow_it():
    assert followers([(10, 1, 0), (11, 10, 0), (12, 11, 0)], 0) == ([10, 11, 12], {})


def test_sshd_and_its_sessions_do_not():
    rows = [(10, 1, -1000), (11, 10, 0), (12, 11, 0)]
    own = 'it sets its own value [OOMK-1906]'
    child = 'it descends from process 10, which sets its own value [OOMK-1906]'
    assert followers(rows, 0) == ([], {10: own, 11: child, 12: child})


def test_postgres_back_ends_do_not_and_their_parent_does():
    assert followers([(10, 1, -900), (11, 10, 0), (12, 10, 0)], -900)[0] == [10]


def test_orphans_are_their_units():
    assert followers([(10, 1, 0), (11, 1, 0), (12, 99, 0)], 0)[0] == [10, 11, 12]


def test_a_circle_of_parents_ends():
    assert followers([(10, 11, 0), (11, 10, 0)], 0)[0] == [10, 11]


def test_a_long_chain_takes_linear_time():
    """The owner of a service may nest its processes."""
    chain = [ProcessIdentity(pid, pid - 1, 1, b'x', 5 if pid == 2 else 0) for pid in range(2, 4002)]
    began_s = time.process_time()
    found = split_processes(chain, lambda one: one.score_adj != 5)
    assert time.process_time() - began_s < 1
    assert found.inherited == [] and {left.reason for left in found.skipped[1:]} == {OWN_PARENT % 2}
