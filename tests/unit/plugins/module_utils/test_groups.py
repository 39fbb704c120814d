# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a unit, and for which of them a look waits."""

import pytest
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils import _groups

TICKS = 100


@pytest.fixture
def waits(tmp_path, monkeypatch):
    """How many times a look at a.service waits, by what its process is."""
    def count(**about):
        machine, slept = ServiceMachine(tmp_path), []
        machine.unit('a.service')
        machine.process(10, unit='a.service', **about)
        monkeypatch.setattr(_groups.time, 'sleep', slept.append)
        monkeypatch.setattr(_groups.time, 'monotonic', lambda: float(len(slept)))
        monkeypatch.setattr(_groups.os, 'sysconf', lambda _name: TICKS)
        group = _groups.UnitGroup(machine, '/system.slice/a.service')
        for _look in range(3):
            assert [one.pid for one in group.look(machine)] == [10]
        return len(slept)
    return count


def test_one_that_systemd_sets_up_is_waited_for_once_only(waits):
    """It is 1000 s since the boot there; five seconds are for all looks together."""
    assert waits(name='(x)', start=998 * TICKS) == int(_groups._SETUP_S)


@pytest.mark.parametrize('about', [
    {'name': '(x', 'start': 100 * TICKS}, {'name': '(x', 'start': 998 * TICKS, 'parent': 7}, {'name': 'x'}])
def test_one_that_only_calls_itself_so_is_not(waits, about):
    assert waits(**about) == 0
