# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest beside populations.py: one rule of the kernel's choice at a time.

    rules.py NAME...

One line of JSON for each: the forecast and what the kernel did, with the processes by the letters they have here.
"""

import ctypes
import json
import mmap
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import populations
from populations import LIBC, MIB, PAGE, ROOT, forecast, kills_so_far, log, parse_killed_pids, settle, touched, write

CLONE_VFORK = 0x4000
CLONE_NEWPID = 0x20000000
MAP_HUGETLB = 0x40000
DEATH_S = 10  # how long to wait for the end of killed processes


def spec(mib, adj=0, cgroup='/c', shape='plain'):
    return SimpleNamespace(pages=mib * MIB // PAGE, adj=adj, cgroup=cgroup, shape=shape, name=b'rule')


def cgroups(**groups):
    """The cgroups of the test; of these names memory.oom.group is 1."""
    populations.make_cgroups(SimpleNamespace(random=lambda: 1))
    for name, value in groups.items():
        write(ROOT + '/' + name.replace('_', '/') + '/memory.oom.group', value)


def kill(population, how):
    """Have the kernel kill once: the victims in its first report."""
    populations.clear_log()
    before = kills_so_far()
    how()
    settle(population, before)
    return victims(population, ''.join(log().split('invoked oom-killer')[:2]))


def killed_later(population, before):
    """The victims after the first report, once the log has all of them.

    On a slow machine the kernel may kill again before the memory of the first victim is free. It logs a victim after
    the signal (mm/oom_kill.c, __oom_kill_process).
    """
    end = time.monotonic() + DEATH_S
    while len(parse_killed_pids(log())) < kills_so_far() - before and time.monotonic() < end:
        time.sleep(0.02)
    return set(victims(population, ''.join(log().split('invoked oom-killer')[2:])))


def victims(population, text):
    return [population.process_of.get(pid, pid) for pid in parse_killed_pids(text)]


def by_sysrq():
    write('/proc/sysrq-trigger', 'f')


def lower(limit_mib):
    return lambda: write(ROOT + '/memory.max', limit_mib * MIB)


def limited(limit_mib):
    write(ROOT + '/memory.max', limit_mib * MIB)
    write(ROOT + '/memory.swap.max', 0)


def named(population):
    """PIDs by letter, and those of their children by names such as ``a.child``."""
    names = {}
    for letter, pid in zip('abcdefgh', population.pids, strict=False):
        names[letter] = pid
        for tid in os.listdir(f'/proc/{pid}/task'):
            for child in populations.read(f'/proc/{pid}/task/{tid}/children').split():
                names[letter + '.child'] = int(child)
    return names


def wait_for_the_end(names, killed):
    """The PIDs of the names that are dead, once all killed processes are."""
    end = time.monotonic() + DEATH_S
    while not all(map(populations.is_dead, killed)) and time.monotonic() < end:
        time.sleep(0.02)
    return {pid for pid in names.values() if populations.is_dead(pid)}


def summarize(names, expected, killed, dead):
    """With letters in the place of PIDs."""
    letter = {pid: name for name, pid in names.items()}
    return {
        'outcome': expected['outcome'],
        'victims': [sorted(letter.get(one['pid'], '?') for one in item['victims']) for item in expected['kill_order']],
        'collateral': [sorted(letter.get(one['pid'], '?') + ':' + one['why'] for one in item['collateral'])
                       for item in expected['kill_order']],
        'killed': [letter.get(pid, '?') for pid in killed],
        'dead': sorted(letter[pid] for pid in dead if pid in letter),
        'scores': {name: populations.read(f'/proc/{pid}/oom_score').strip() for name, pid in names.items()
                   if os.path.exists(f'/proc/{pid}/oom_score')},
    }  # fmt: skip


def tried(specs, how=by_sysrq, kills=1, **params):
    """Start them, forecast, have the kernel kill."""
    population = populations.Population(specs)
    try:
        names = named(population)
        expected = forecast(kills=kills, **params)
        killed, dead = [], set()
        scores = summarize(names, expected, [], set())['scores']
        for _number in range(kills):
            before = kills_so_far()
            some = kill(population, how)
            killed += some[:1]
            dead = wait_for_the_end(names, some)
            dead -= killed_later(population, before)
        return dict(summarize(names, expected, killed, dead), scores=scores)
    finally:
        population.end()
        if os.path.exists(ROOT + '/memory.max'):
            write(ROOT + '/memory.max', 'max')


# ---------------------------------------------------------------------------- rules


def equals():
    cgroups()
    return tried([spec(40), spec(40), spec(40)], kills=3)


def cgroup_example(adj, mib=5):
    cgroups()
    limited(60)
    population = populations.Population([spec(40), spec(mib, adj)])
    try:
        names = dict(a=population.pids[0], b=population.pids[1])
        expected = forecast(kills=1, cgroup='/oomkit-test')
        scores = summarize(names, expected, [], set())['scores']
        killed = kill(population, lambda: grow_in_cgroup(population))
        return dict(summarize(names, expected, killed, population.dead()), scores=scores)
    finally:
        population.end()


def grow_in_cgroup(population):
    """Somebody who may not be killed asks for more than is left."""
    before = kills_so_far()
    eater = os.fork()
    if eater == 0:
        write(ROOT + '/c/cgroup.procs', os.getpid())
        populations.eat(before)
    settle(population, before, populations.EATING_S)
    os.kill(eater, signal.SIGKILL)
    os.waitpid(eater, 0)


def dead_leader():
    cgroups()
    return tried([spec(60, shape='headless'), spec(40)], kills=2)


def shared_memory():
    cgroups()
    return tried([spec(60, shape='sharer'), spec(30)])


def group_of_the_machine():
    cgroups(a=1)
    return tried([spec(60, 0, '/a/b'), spec(5, 0, '/a/b'), spec(5, -1000, '/a/b'), spec(30)])


def group_in_a_cgroup():
    """Twice more at most, where a slow machine killed again before the memory of the group was free."""
    for _attempt in range(3):
        cgroups(a_b=1)
        limited(400)
        found = tried([spec(60, 0, '/a/b'), spec(5, 0, '/a/b'), spec(5, -1000, '/a/b'), spec(30)], lower(80),
                      cgroup='/oomkit-test')
        if 'd' not in found['dead']:
            break
    return found


def nobody_in_a_cgroup():
    cgroups()
    limited(400)
    return tried([spec(60, -1000)], lower(30), cgroup='/oomkit-test')


def vfork_child():
    """A process whose child of vfork still lives in its memory."""
    cgroups()
    populations.MAKE['vfork'] = make_vfork
    return tried([spec(60, shape='vfork'), spec(30)])


def make_vfork(pages):
    memory = touched(pages)
    stack = populations.STACK
    top = ctypes.c_void_p(ctypes.addressof(stack) + len(stack) - 256)
    flags = populations.CLONE_VM | CLONE_VFORK | signal.SIGCHLD
    arguments = ctypes.cast(LIBC.sleep, ctypes.c_void_p), top, flags, ctypes.c_void_p(9999)
    thread = threading.Thread(target=lambda: LIBC.clone(*arguments))
    thread.daemon = True
    thread.start()
    while not any(populations.read(f'/proc/self/task/{tid}/children') for tid in os.listdir('/proc/self/task')):
        time.sleep(0.01)
    return memory


def huge_pages():
    """Huge pages are no part of what is weighed."""
    cgroups()
    populations.MAKE['huge'] = make_huge
    write('/proc/sys/vm/nr_hugepages', 30)
    try:
        return tried([spec(60, shape='huge'), spec(30)])
    finally:
        write('/proc/sys/vm/nr_hugepages', 0)


def make_huge(pages):
    memory = mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
    for start in range(0, pages * PAGE, 2 * MIB):
        memory[start] = 1
    return memory


def first_of_a_pid_namespace():
    cgroups()
    populations.MAKE['namespace'] = make_namespace
    return tried([spec(60, shape='namespace'), spec(30)])


def make_namespace(pages):
    """The memory belongs to PID 1 of a namespace, a child of this one."""
    if LIBC.unshare(CLONE_NEWPID):
        raise OSError(ctypes.get_errno(), 'unshare')
    reader, writer = os.pipe()
    if os.fork() == 0:
        memory = touched(pages)
        assert os.getpid() == 1
        os.write(writer, b'1')
        while memory:
            time.sleep(9999)
    os.read(reader, 1)
    return None


def allocating_task():
    """The allocating task is killed: here one that has little."""
    cgroups()
    population = populations.Population([spec(60), spec(30)])
    before = kills_so_far()
    write('/proc/sys/vm/oom_kill_allocating_task', 1)
    reader, writer = os.pipe()
    eater = os.fork()
    try:
        if eater == 0:
            write('/proc/self/oom_score_adj', 0)
            os.read(reader, 1)
            populations.eat(before)
        names = dict(a=population.pids[0], b=population.pids[1], e=eater)
        unasked = forecast(kills=1)['outcome']
        expected = forecast(kills=1, growing={'pid': eater, 'size': '1G'})
        populations.clear_log()
        os.write(writer, b'1')
        settle(population, before, populations.EATING_S)
        killed = parse_killed_pids(log())[:1]
        return dict(summarize(names, expected, killed, population.dead()), unasked=unasked)
    finally:
        write('/proc/sys/vm/oom_kill_allocating_task', 0)
        os.kill(eater, signal.SIGKILL)
        os.waitpid(eater, 0)
        population.end()


RULES = {
    'equals': equals, 'cgroup_300': lambda: cgroup_example(300), 'cgroup_600': lambda: cgroup_example(600, 6),
    'dead_leader': dead_leader, 'shared_memory': shared_memory, 'group_of_the_machine': group_of_the_machine,
    'group_in_a_cgroup': group_in_a_cgroup, 'nobody_in_a_cgroup': nobody_in_a_cgroup, 'vfork_child': vfork_child,
    'huge_pages': huge_pages, 'first_of_a_pid_namespace': first_of_a_pid_namespace,
    'allocating_task': allocating_task,
}  # fmt: skip


def main():
    populations.be_out_of_reach()
    populations.keep_memory_as_it_is()
    for name in sys.argv[1:] or RULES:
        print(json.dumps(dict(RULES[name](), rule=name)), flush=True)
    populations.remove_cgroups()


if __name__ == '__main__':
    main()
