# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process held by its directory; the reuse of a number is played by a new folder of the same name."""

import os
import signal
import subprocess
import sys
import time

import pytest
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._module import score_adj as module
from ansible_collections.oomkit.linux.plugins.module_utils._process import groups, score_adj, selector
from ansible_collections.oomkit.linux.plugins.module_utils._process.handle import (
    ProcessHandle,
    identify,
    list_ancestors,
)
from ansible_collections.oomkit.linux.plugins.module_utils._service import guard, other_init


@pytest.fixture
def machine(tmp_path):
    return ServiceMachine(tmp_path)


def test_who_it_is(machine):
    machine.process(7, parent=5, adj=-3, name='a) b (c\n', start=77)
    with ProcessHandle(machine, 7) as held:
        assert held.look() == (7, 5, 77, b'a) b (c\n', -3)


def test_the_dead_are_none(machine):
    machine.process(7)
    machine.put('/proc/7/stat', '7 (x) Z 1 ' + '0 ' * 40)
    with ProcessHandle(machine, 7) as held, ProcessHandle(machine, 8) as never:
        assert held.look() is None and never.look() is None and never.write_score_adj(1) is False


def test_a_number_used_again_is_another_process(machine):
    machine.process(7, start=77)
    with ProcessHandle(machine, 7) as held:
        machine.end(7)
        machine.process(7, start=999)
        assert held.look() is None and held.write_score_adj(500) is False
    assert machine.adj(7) == 0


def test_pid_may_be_reused_between_read_and_write(machine):
    """The target saw process 7 of the unit; by the time it writes, 7 is somebody else's."""
    machine.process(7, start=77, unit='a.service')
    target = score_adj.Target('a', groups.UnitGroup(machine, '/system.slice/a.service'), 500)
    seen = target.group.look(machine)
    machine.end(7)
    machine.process(7, start=999, unit='b.service')
    for one in seen:
        target._set(machine, one, 500)
    assert machine.adj(7) == 0 and target.changed == {}


def test_of_another_unit_with_the_same_start_it_is_skipped(machine):
    machine.process(7, start=77, unit='a.service')
    target = score_adj.Target('a', groups.UnitGroup(machine, '/system.slice/a.service'), 500)
    seen = target.group.look(machine)
    machine.put('/proc/7/cgroup', '0::/system.slice/a.service.d\n')
    target._set(machine, seen[0], 500)
    assert machine.adj(7) == 0


def test_its_ancestors(machine):
    machine.process(5, parent=1)
    machine.process(7, parent=5)
    assert list_ancestors(machine, 7) == [7, 5, 1]
    machine.process(5, parent=7)
    assert list_ancestors(machine, 7) == [7, 5]


def test_a_real_process():
    from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host

    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        with ProcessHandle(Host(), child) as held:
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


# ------------------------------------------------- from the first look to the last write

def reuse(machine, pid, **other):
    """The process ends, and its number is another one's."""
    machine.end(pid)
    machine.process(pid, start=999, **other)


def after_the_plan(monkeypatch, change):
    """Between the plan of the module and its first write."""
    before_and_after = module.forecast_before_and_after

    def changed(*args):
        change()
        return before_and_after(*args)

    monkeypatch.setattr(module, 'forecast_before_and_after', changed)


@pytest.mark.parametrize('process', [{'pid': 40}, {'pidfile': '/run/x.pid'}])
def test_the_number_that_was_asked_for_is_that_of_one_process(machine, monkeypatch, process):
    machine.process(40, uid=1000)
    machine.put('/run/x.pid', '40\n')
    after_the_plan(monkeypatch, lambda: reuse(machine, 40))
    machine.run(process=process, score_adj=500)
    assert machine.adj(40) == 0


def test_a_rule_is_asked_of_the_process_that_is_written_to(machine, monkeypatch):
    machine.process(40, uid=1000)
    after_the_plan(monkeypatch, lambda: reuse(machine, 40, uid=0))
    machine.run(process={'user': '1000'}, score_adj=500)
    assert machine.adj(40) == 0


def test_the_main_process_of_another_init_is_one_process(tmp_path, monkeypatch):
    machine = ServiceMachine(tmp_path, init='other')
    machine.process(40, name='daemon')
    machine.process(41, parent=40, name='daemon')
    machine.put('/run/daemon.pid', '40\n')
    after_the_plan(monkeypatch, lambda: (reuse(machine, 40), machine.process(42, parent=40, start=1000)))
    machine.run(name='daemon', score_adj=500, persistent=False)
    assert [machine.adj(pid) for pid in (40, 41, 42)] == [0, 0, 0]


def test_children_of_a_process_that_ended_meanwhile_are_left_out(machine, monkeypatch):
    """The number of 41 may have been another process's when 42 was looked at."""
    for pid, parent in ((40, 1), (41, 40), (42, 41)):
        machine.process(pid, parent=parent)
    group = other_init.TreeGroup(machine, identify(machine, 40))
    assert [one.pid for one in group.look(machine)] == [40, 41, 42]
    original = other_init._identify_all

    def ends_after_the_look(host):
        yield from original(host)
        reuse(machine, 41)

    monkeypatch.setattr(other_init, '_identify_all', ends_after_the_look)
    assert [one.pid for one in group.look(machine)] == [40, 41]


def test_of_processes_nested_deeply_each_is_looked_at_once(machine):
    for pid in range(100, 700):
        machine.process(pid, parent=pid - 1 if pid > 100 else 1)
    seconds = []
    for top in (500, 100):  # of 200 and of 600
        start = time.monotonic()
        found = other_init.TreeGroup(machine, identify(machine, top)).look(machine)
        seconds.append(time.monotonic() - start)
        assert len(found) == 700 - top
    assert seconds[1] < 4 * seconds[0]


def test_process_is_read_after_its_start_tick_is_over():
    """Whatever gets its number later has another start time then."""
    host, ticks_per_s = Host(), os.sysconf('SC_CLK_TCK')
    for _round in range(20):
        with subprocess.Popen(['sleep', '60']) as child:
            seen = identify(host, child.pid)
            now_ticks = time.clock_gettime(time.CLOCK_BOOTTIME) * ticks_per_s
            child.kill()
        assert now_ticks >= seen.start_ticks + 1


HEADLESS = '''
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
'''


@pytest.fixture
def headless():
    """A real process whose first thread has ended while another one runs."""
    child = subprocess.Popen([sys.executable, '-c', HEADLESS, 'oomkit-headless'])
    end = time.monotonic() + 10
    while ') Z ' not in open(f'/proc/{child.pid}/stat').read():
        assert time.monotonic() < end
        time.sleep(0.01)
    yield child
    child.kill()
    child.wait()


def test_a_process_whose_first_thread_has_ended_is_set(headless):
    host = Host()
    with ProcessHandle(host, headless.pid) as held:
        seen = held.look()
        assert seen.pid == headless.pid and held.write_score_adj(seen.score_adj + 1)
        assert held.look().score_adj == seen.score_adj + 1
    rules = [{'pid': headless.pid}, {'cmdline_regex': 'oomkit-headless$'}]
    for rule in rules:
        found = selector.build_group(host, rule).look(host)
        assert [one.pid for one in found] == [headless.pid], rule
    assert headless.pid in guard._read_memory(host)


def test_its_cgroup_is_that_of_a_thread_that_runs(machine):
    """Under cgroup v1 a thread that has ended is in the root."""
    machine.process(7, unit='a.service')
    stat = machine.get('/proc/7/stat').split(' ')
    stat[2], stat[19] = 'Z', '2'
    machine.put('/proc/7/stat', ' '.join(stat))
    machine.put('/proc/7/cgroup', '1:name=systemd:/\n')
    machine.put('/proc/7/task/7/stat', ' '.join(stat))
    machine.put('/proc/7/task/8/stat', '8 (x) S ' + ' '.join(stat[3:]))
    machine.put('/proc/7/task/8/cgroup', '1:name=systemd:/system.slice/a.service\n')
    found = groups.UnitGroup(machine, '/system.slice/a.service').look(machine)
    assert [one.pid for one in found] == [7]
