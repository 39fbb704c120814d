# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: random populations of processes, each forecast, and then put to the kernel.

    populations.py KIND SEED...

One line of JSON for each seed, from which alone the population is made. KIND is one of

- sysrq: three kills in a row by sysrq-f, of the whole machine;
- memcg: a cgroup whose limit is lowered below what it holds;
- exhaustion: somebody who may not be killed takes all memory there is.

Only what is forked here is looked at closely, but the rest of the machine takes part.
"""

import contextlib
import ctypes
import json
import mmap
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

from ansible_collections.oomkit.linux.plugins.module_utils._module import forecast_info
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import Manager

PAGE = mmap.PAGESIZE
MIB = 1 << 20
ROOT = '/sys/fs/cgroup/oomkit-test'
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_VM = 0x100
PR_SET_NAME = 15
MCL_CURRENT, MCL_ONFAULT = 1, 4
MADV_PAGEOUT = 21
NEVER = '-1000'
# An emulated machine, busy beside others, may take a minute for each GB.
EATING_S = 150
YOUNG_S, REST_S = 2, 60  # how old the other processes must be, and how long to wait for that
OPTIONS = ('score_adj', 'protect', 'cgroup', 'nodes', 'growing', 'snapshot', 'policy', 'kill_allocating_task')
SHAPES = ('plain', 'plain', 'plain', 'threads', 'headless', 'tree', 'shared', 'sharer', 'swapped')
HELD = []  # the memory of a process of a population
STACK = ctypes.create_string_buffer(1 << 16)


def forecast(**params):
    return forecast_info.run({**dict.fromkeys(OPTIONS), 'kills': 3, **params}, manager=Manager())


def write(path, text):
    with open(path, 'w') as stream:
        stream.write(str(text))


def read(path):
    with open(path, errors='replace') as stream:
        return stream.read()


# ------------------------------------------------------------------------ processes


class Spec:
    """One process to be, decided before any is started."""

    def __init__(self, rng, cgroups, largest_mib):
        self.shape = rng.choice(SHAPES)
        self.pages = rng.randint(1, largest_mib * MIB // PAGE)
        self.adj = rng.choice((0, 0, 0, 0, rng.randint(1, 400), rng.randint(-300, -1), 0, 0, -1000))
        self.cgroup = rng.choice(cgroups)
        self.name = rng.choice((b'worker', b'a b) S 1', b'\x1b[31m\n\xff', b'x' * 15))


def touched(pages, flags=mmap.MAP_PRIVATE):
    memory = mmap.mmap(-1, pages * PAGE, flags | mmap.MAP_ANONYMOUS)
    for page in range(pages):
        memory[page * PAGE] = 1
    return memory


def threads(pages):
    """Pages touched by four threads, so by several processors."""
    memory = mmap.mmap(-1, pages * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def touch(first):
        for page in range(first, pages, 4):
            memory[page * PAGE] = 1

    workers = [threading.Thread(target=touch, args=(first,)) for first in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return memory


def tree(pages):
    """A child that has all its memory from its parent."""
    memory = touched(pages)
    if os.fork() == 0:
        signal.pause()
        os._exit(0)
    return memory


def sharer(pages):
    """A process of its own that uses this one's memory, and sleeps in it."""
    memory = touched(pages)
    top = ctypes.c_void_p(ctypes.addressof(STACK) + len(STACK) - 256)
    if LIBC.clone(ctypes.cast(LIBC.sleep, ctypes.c_void_p), top, CLONE_VM | signal.SIGCHLD, ctypes.c_void_p(9999)) < 0:
        raise OSError(ctypes.get_errno(), 'clone')
    return memory


def swapped(pages):
    """Half of it in swap, where there is some."""
    memory = touched(pages)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    LIBC.madvise(ctypes.c_void_p(address), ctypes.c_size_t(pages // 2 * PAGE), MADV_PAGEOUT)
    return memory


MAKE = {'plain': touched, 'threads': threads, 'tree': tree, 'sharer': sharer, 'swapped': swapped,
        'shared': lambda pages: touched(pages, mmap.MAP_SHARED)}  # fmt: skip


def live(spec, done, lock):
    """A process of the population; never returns."""
    with contextlib.suppress(OSError):
        write(ROOT + spec.cgroup + '/cgroup.procs', os.getpid())
    write('/proc/self/oom_score_adj', spec.adj)
    LIBC.prctl(PR_SET_NAME, spec.name, 0, 0, 0)
    if spec.shape == 'headless':
        HELD.append(touched(spec.pages))
        if lock:
            stay_resident()

        def stay():
            # The first thread is dead once its state says so.
            while ') Z ' not in open(f'/proc/self/task/{os.getpid()}/stat', errors='replace').read():
                time.sleep(0.005)
            os.write(done, b'1')
            time.sleep(9999)

        threading.Thread(target=stay).start()
        LIBC.pthread_exit(None)
    HELD.append(MAKE[spec.shape](spec.pages))
    if lock:
        stay_resident()
    os.write(done, b'1')
    while True:
        time.sleep(9999)


def stay_resident():
    """Pages of programs and libraries go before anybody is killed, and count less for that: not here."""
    if LIBC.mlockall(MCL_CURRENT | MCL_ONFAULT):
        raise OSError(ctypes.get_errno(), 'mlockall')


class Population:
    """The processes of one seed."""

    def __init__(self, specs, lock=False):
        self.pids = []
        for spec in specs:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    os.close(reader)
                    live(spec, writer, lock)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(1)
            os.close(writer)
            answer = os.read(reader, 1)
            os.close(reader)
            self.pids.append(pid)
            if answer != b'1':
                raise RuntimeError(f'{spec.shape} did not start')
        self.process_of = {int(tid): pid for pid in self.pids for tid in os.listdir(f'/proc/{pid}/task')}

    def end(self):
        """Kill all that is left, grandchildren too: all are in the cgroups of the test."""
        for folder, _names, files in os.walk(ROOT):
            if 'cgroup.procs' in files:
                for pid in read(folder + '/cgroup.procs').split():
                    with contextlib.suppress(OSError):
                        os.kill(int(pid), signal.SIGKILL)
        for pid in self.pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)

    def dead(self):
        """Those that are gone or as good as gone."""
        return {pid for pid in self.pids if is_dead(pid)}


def is_dead(pid):
    try:
        states = [read(f'/proc/{pid}/task/{tid}/stat').rpartition(')')[2].split()[0]
                  for tid in os.listdir(f'/proc/{pid}/task')]  # fmt: skip
    except OSError:
        return True
    return all(state in 'ZX' for state in states)


# -------------------------------------------------------------------------- cgroups


def make_cgroups(rng):
    """A few cgroups, nested, some of them killed as a whole; their paths below the root of the test."""
    remove_cgroups()
    write('/sys/fs/cgroup/cgroup.subtree_control', '+memory')
    os.makedirs(ROOT)
    paths = ['', '/a', '/a/b', '/c']
    for path in paths[1:]:
        write(ROOT + os.path.dirname(path).rstrip('/') + '/cgroup.subtree_control', '+memory')
        os.makedirs(ROOT + path)
    for path in paths[1:]:
        write(ROOT + path + '/memory.oom.group', int(rng.random() < 0.2))
    # Processes may be in leaves only.
    return ['/a/b', '/c', '/c']


def remove_cgroups():
    for folder, _names, _files in os.walk(ROOT, topdown=False):
        for _try in range(200):
            try:
                os.rmdir(folder)
                break
            except OSError:
                time.sleep(0.02)


# ------------------------------------------------------------------------- the kernel


def kills_so_far():
    return int(re.search(r'^oom_kill ([0-9]+)$', read('/proc/vmstat'), re.MULTILINE).group(1))


def clear_log():
    subprocess.run(['dmesg', '-C'], check=True)


def log():
    return subprocess.run(['dmesg'], check=True, stdout=subprocess.PIPE).stdout.decode('utf-8', 'replace')


def parse_killed_pids(text):
    """Whom the kernel log says it killed, the victim first. It leaves out most else when there are several in a row."""
    return [int(pid) for pid in re.findall(r' Killed process ([0-9]+) ', text)]


def numbers(text):
    """What the kernel counted for each task, by the first Tasks state table in the log."""
    table = text.partition('Tasks state')[2].partition('oom-kill:')[0]
    head = re.search(r'\[\s*pid\s*\]\s+(uid .*)', table)
    if head is None:
        return {}
    names = head.group(1).split()
    tasks = {}
    for pid, rest in re.findall(r'\[\s*([0-9]+)\]\s+([0-9]+ .*)', table):
        task = [int(rest.split()[names.index(name)]) for name in ('rss', 'swapents', 'pgtables_bytes')]
        tasks[int(pid)] = task[0] + task[1] + task[2] // PAGE
    return tasks


def wait_for_quiet(population):
    """Until nobody else has just started: a service that was killed before, and started again, is still growing.

    Raises TimeoutError.
    """
    ticks, end = os.sysconf('SC_CLK_TCK'), time.monotonic() + REST_S
    while time.monotonic() < end:
        now_ticks = float(read('/proc/uptime').split()[0]) * ticks
        young = [pid for pid in os.listdir('/proc') if pid.isdigit() and int(pid) not in population.pids
                 and now_ticks - started_ticks(pid) < YOUNG_S * ticks]  # fmt: skip
        if not young:
            return
        time.sleep(0.1)
    raise TimeoutError(f'the machine does not come to rest: {young}')


def started_ticks(pid):
    """When a process with memory of its own, outside the test, started; 0 for all others."""
    try:
        fields = read(f'/proc/{pid}/stat').rpartition(')')[2].split()
        ours = '/oomkit-test' in read(f'/proc/{pid}/cgroup')
    except OSError:
        return 0
    return 0 if ours or fields[20] == '0' else int(fields[19])


def settle(population, before, limit_s=30):
    """Wait until a kill is over: the log has it, and the processes that it names are dead."""
    end = time.monotonic() + limit_s
    while kills_so_far() == before and time.monotonic() < end:
        time.sleep(0.01)
    # Counted first, logged afterwards (mm/oom_kill.c, __oom_kill_process): an emulated machine is slow in between.
    while kills_so_far() > before and not parse_killed_pids(log()) and time.monotonic() < end:
        time.sleep(0.05)
    dead, since = population.dead(), time.monotonic()
    while time.monotonic() < min(end, since + 0.08):
        time.sleep(0.01)
        now = population.dead()
        if now != dead:
            dead, since = now, time.monotonic()


# ---------------------------------------------------------------------------- kinds


def sysrq(rng):
    cgroups = make_cgroups(rng)
    specs = [Spec(rng, cgroups, 48) for _number in range(rng.randint(5, 16))]
    if rng.random() < 0.25:  # equals
        for spec in specs[1:4]:
            spec.pages, spec.adj, spec.shape = specs[0].pages, specs[0].adj, specs[0].shape
    population = Population(specs)
    try:
        wait_for_quiet(population)
        expected = forecast()
        kernel, texts = [], []
        for _rank in range(3):
            clear_log()
            before = kills_so_far()
            write('/proc/sysrq-trigger', 'f')
            settle(population, before)
            texts.append(log())
            kernel.append(parse_killed_pids(texts[-1]))
        return judged(population, expected, kernel, texts)
    finally:
        population.end()


def memcg(rng):
    make_cgroups(rng)
    write(ROOT + '/memory.max', 'max')
    with contextlib.suppress(OSError):
        write(ROOT + '/memory.swap.max', 0)
    specs = [Spec(rng, ['/a/b', '/c'], 24) for _number in range(rng.randint(3, 10))]
    for spec in specs:
        if spec.shape == 'swapped':
            spec.shape = 'plain'
    population = Population(specs, lock=True)
    try:
        used_pages = int(read(ROOT + '/memory.current')) // PAGE
        limit_pages = max(256, int(used_pages * rng.uniform(0.6, 0.98)))
        write(ROOT + '/memory.max', 2 * used_pages * PAGE)
        # The same, at the limit that is set when the kernel is asked.
        snapshot = forecast(cgroup='/oomkit-test')['snapshot']
        clear_log()
        before = kills_so_far()
        while True:
            snapshot['domain']['total_pages'] = limit_pages
            expected = forecast(snapshot=snapshot)
            write(ROOT + '/memory.max', limit_pages * PAGE)
            if kills_so_far() > before or expected['outcome'] == 'deadlock':
                break
            limit_pages = limit_pages * 9 // 10  # what could be given back was enough
        if expected['outcome'] == 'deadlock':
            ok = kills_so_far() == before
            return {'ranks': [rank_of('nobody' if ok else 'wrong', None)], 'numbers': [], 'compared': 0, 'text': log()}
        settle(population, before)
        text = log()
        # Further kills follow until it fits: only the first one is of this forecast's making.
        return judged(population, expected, [parse_killed_pids(text)[:1]], [text], alone=True)
    finally:
        population.end()
        write(ROOT + '/memory.max', 'max')


def exhaustion(rng):
    cgroups = make_cgroups(rng)
    specs = [Spec(rng, cgroups, 40) for _number in range(rng.randint(4, 8))]
    for spec in specs:
        spec.shape = rng.choice(('plain', 'threads', 'shared'))
    population = Population(specs, lock=True)
    eater = 0
    try:
        wait_for_quiet(population)
        expected = forecast(kills=1)
        clear_log()
        before = kills_so_far()
        eater = os.fork()
        if eater == 0:
            eat(before)
        settle(population, before, EATING_S)
        os.kill(eater, signal.SIGKILL)
        text = log()
        return judged(population, expected, [parse_killed_pids(text)[:1]], [text], alone=True)
    finally:
        if eater:
            with contextlib.suppress(OSError):
                os.kill(eater, signal.SIGKILL)
            os.waitpid(eater, 0)
        population.end()


def eat(before):
    """Take memory until somebody is killed for it; never returns."""
    held = []
    while kills_so_far() == before:
        chunk = mmap.mmap(-1, MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for page in range(0, MIB, PAGE):
            chunk[page] = 1
        held.append(chunk)
    time.sleep(9999)
    os._exit(0)


KINDS = {'sysrq': sysrq, 'memcg': memcg, 'exhaustion': exhaustion}


# ------------------------------------------------------------------------- verdicts


def rank_of(verdict, item):
    margin = item['margin_pages'] if item else None
    return {'verdict': verdict, 'margin_pages': margin, 'ambiguous': bool(item and item['ambiguous'])}


def judged(population, expected, kernel, texts, alone=False):
    """Each rank against the kernel: its victim, what was killed with it, and the numbers it weighed them with."""
    ranks = []
    for rank, killed in enumerate(kernel):
        item = expected['kill_order'][rank] if rank < len(expected['kill_order']) else None
        pid = population.process_of.get(killed[0], killed[0]) if killed else None
        possible = [one['pid'] for one in item['victims']] if item else []
        ranks.append(rank_of('wrong' if pid not in possible else 'set' if item['ambiguous'] else 'right', item))
    sure = 0
    while sure < len(ranks) and ranks[sure]['verdict'] == 'right':
        sure += 1
    if sure and population_differs(population, expected, sure, sure == len(ranks) and not alone):
        ranks[sure - 1]['verdict'] = 'wrong'
    weighed = {one['pid']: one for one in expected['snapshot']['processes']}
    off, compared = [], 0
    for tid, pages in numbers(texts[0]).items():
        one = weighed.get(population.process_of.get(tid, -1))
        compared += one is not None
        if one is not None and abs(one['memory_pages'] - pages) > one['error_pages']:
            off.append(dict(one, kernel_pages=pages))
    return {'ranks': ranks, 'numbers': off, 'compared': compared, 'expected': expected['kill_order'], 'kernel': kernel,
            'snapshot': expected['snapshot'], 'text': '\n'.join(texts)}  # fmt: skip


def population_differs(population, expected, count, exactly):
    """Whether somebody lives whose death was forecast for certain; and ``exactly``: whether anybody else is dead."""
    doomed = set()
    for item in expected['kill_order'][:count]:
        doomed |= {item['victims'][0]['pid']} | {one['pid'] for one in item['collateral']}
    doomed &= set(population.pids)
    end = time.monotonic() + 5  # a killed process may take its time on a slow machine
    while not doomed <= population.dead() and time.monotonic() < end:
        time.sleep(0.02)
    dead = population.dead()
    return dead != doomed if exactly else not doomed <= dead


def be_out_of_reach():
    """Neither this program nor the connection that it runs on is to be a victim."""
    pid = os.getpid()
    while pid > 1:
        write(f'/proc/{pid}/oom_score_adj', NEVER)
        pid = int(read(f'/proc/{pid}/stat').rpartition(')')[2].split()[1])
    write('/proc/sys/kernel/sysrq', 1)


def keep_memory_as_it_is():
    """The kernel puts pages together to huge ones when it likes, which adds up to 511 to what a process holds: between
    forecast and kill that would be growth, which no forecast knows of."""
    folder = '/sys/kernel/mm/transparent_hugepage/khugepaged'
    if os.path.isdir(folder):
        write(folder + '/scan_sleep_millisecs', 24 * 3600 * 1000)


def main():
    kind, seeds = sys.argv[1], sys.argv[2:]
    be_out_of_reach()
    keep_memory_as_it_is()
    for seed in seeds:
        begin = time.monotonic()
        found = KINDS[kind](random.Random(f'{kind}-{seed}'))
        bad = found['numbers'] or any(rank['verdict'] == 'wrong' for rank in found['ranks'])
        answer = found if bad else {key: found[key] for key in ('ranks', 'numbers', 'compared')}
        print(json.dumps({'kind': kind, 'seed': seed, 'seconds': time.monotonic() - begin, **answer},
                         default=sorted), flush=True)  # fmt: skip
    remove_cgroups()


if __name__ == '__main__':
    main()
