# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process held by its directory; the reuse of a number is played by a new folder of the same name."""

import os
import signal

import pytest
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils import _groups, _live
from ansible_collections.oomkit.linux.plugins.module_utils._held import Held, ancestors


@pytest.fixture
def machine(tmp_path):
    return ServiceMachine(tmp_path)


def test_who_it_is(machine):
    machine.process(7, parent=5, adj=-3, name='a) b (c\n', start=77)
    with Held(machine, 7) as held:
        assert held.look() == (7, 5, 77, b'a) b (c\n', -3)


def test_the_dead_are_none(machine):
    machine.process(7)
    machine.put('/proc/7/stat', '7 (x) Z 1 ' + '0 ' * 40)
    with Held(machine, 7) as held, Held(machine, 8) as never:
        assert held.look() is None and never.look() is None and never.write_score_adj(1) is False


def test_a_number_used_again_is_another_process(machine):
    machine.process(7, start=77)
    with Held(machine, 7) as held:
        machine.end(7)
        machine.process(7, start=999)
        assert held.look() is None and held.write_score_adj(500) is False
    assert machine.adj(7) == 0


def test_between_the_look_and_the_write_the_number_may_go_to_another(machine):
    """The target saw process 7 of the unit; by the time it writes, 7 is somebody else's."""
    machine.process(7, start=77, unit='a.service')
    target = _live.Target('a', _groups.UnitGroup(machine, '/system.slice/a.service'), 500)
    seen = target.group.look(machine)
    machine.end(7)
    machine.process(7, start=999, unit='b.service')
    for one in seen:
        target._set(machine, one, 500)
    assert machine.adj(7) == 0 and target.changed == {}


def test_of_another_unit_with_the_same_start_it_is_left_alone(machine):
    machine.process(7, start=77, unit='a.service')
    target = _live.Target('a', _groups.UnitGroup(machine, '/system.slice/a.service'), 500)
    seen = target.group.look(machine)
    machine.put('/proc/7/cgroup', '0::/system.slice/a.service.d\n')
    target._set(machine, seen[0], 500)
    assert machine.adj(7) == 0


def test_its_ancestors(machine):
    machine.process(5, parent=1)
    machine.process(7, parent=5)
    assert ancestors(machine, 7) == [7, 5, 1]
    machine.process(5, parent=7)
    assert ancestors(machine, 7) == [7, 5]


def test_a_real_process():
    from ansible_collections.oomkit.linux.plugins.module_utils._host import Host

    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        with Held(Host(), child) as held:
            seen = held.look()
            assert seen.parent == os.getpid() and held.write_score_adj(max(seen.score_adj, 1))
            assert held.look().score_adj == max(seen.score_adj, 1)
            os.kill(child, 9)
            os.waitpid(child, 0)
            assert held.look() is None and held.write_score_adj(1000) is False
            child = 0
    finally:
        if child:
            os.kill(child, 9)
            os.waitpid(child, 0)
