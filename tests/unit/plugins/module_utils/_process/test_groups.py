# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a unit, and for which of them a look waits."""

import errno
import os

import pytest
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._process import groups

TICKS = 100


@pytest.fixture
def waits(tmp_path, monkeypatch):
    """How many times a look at a.service waits, by what its process is."""
    def count(**about):
        machine, slept = ServiceMachine(tmp_path), []
        machine.unit('a.service')
        machine.process(10, unit='a.service', **about)
        monkeypatch.setattr(groups.time, 'sleep', slept.append)
        monkeypatch.setattr(groups.time, 'monotonic', lambda: float(len(slept)))
        monkeypatch.setattr(groups.os, 'sysconf', lambda _name: TICKS)
        group = groups.UnitGroup(machine, '/system.slice/a.service')
        for _look in range(3):
            assert [one.pid for one in group.look(machine)] == [10]
        return len(slept)
    return count


def test_one_that_systemd_sets_up_is_waited_for_once_only(waits):
    """It is 1000 s since the boot there; five seconds are for all looks together."""
    assert waits(name='(x)', start=998 * TICKS) == int(groups._SETUP_S)


@pytest.mark.parametrize('about', [
    {'name': '(x', 'start': 100 * TICKS}, {'name': '(x', 'start': 998 * TICKS, 'parent': 7}, {'name': 'x'}])
def test_one_that_only_calls_itself_so_is_not(waits, about):
    assert waits(**about) == 0


def test_too_deep_cgroups_are_skipped_and_reported(tmp_path):
    machine = ServiceMachine(tmp_path)
    machine.unit('a.service')
    machine.process(10, unit='a.service')
    fd = os.open(tmp_path / 'sys/fs/cgroup/system.slice/a.service', os.O_RDONLY)
    for _depth in range(20):
        os.mkdir('x' * 250, dir_fd=fd)
        inner = os.open('x' * 250, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    result = machine.run(name='a', score_adj=-7)
    assert machine.adj(10) == -7 and any('deeper than a path' in note for note in result['services'][0]['notes'])
    assert not machine.run(name='a', score_adj=-7)['changed']
    with pytest.raises(OSError) as caught:
        groups.UnitGroup(machine, '/system.slice/a.service').pids()
    assert caught.value.errno == errno.ENAMETOOLONG


class Hidden:
    """A process that went into a cgroup whose name is longer than the kernel reports."""

    def read(self, name):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)

    read_thread = read


def test_who_goes_where_nobody_can_look_is_no_member(tmp_path):
    assert not groups.UnitGroup(ServiceMachine(tmp_path), '/system.slice/a.service').holds(Hidden())
