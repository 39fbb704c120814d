# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the collection comments out what a user has made to keep it busy.

Four kinds, each with its target:

- log: 1 GB of forged lines, of each kind of tests/forged_logs.py the same amount, through the reader of files of the
  event source: at most 30 s of a processor and 100 MB of memory. Records of the kernel's own log beside it.
- processes: a recorded snapshot of 10,000 and of 100,000 processes through the choice of victims and the forecast:
  time and memory for a process must not grow. (scan.py has real ones, up to 30,000.)
- cgroups: 5,000 and 20,000 of them on disk, one 500 deep: time must not grow faster than their number.
- parsers: each with a text at its worst, and with one four times as long: time must not grow with the square.

The ratios are of times in one run, the best of some rounds each, so that they hold on slow machines too.
"""

import functools
import gc
import os
import resource
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / 'shared'), str(HERE.parent), str(HERE.parent / 'unit')]

import command_line  # noqa: E402
import forged_logs  # noqa: E402
import hostile_inputs  # noqa: E402
import snapshots  # noqa: E402

from ansible_collections.oomkit.linux.plugins.module_utils._forecast import (  # noqa: E402
    memcg,
    simulate,
    snapshot,
)
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import (  # noqa: E402
    badness,
    kill_log,
)
from ansible_collections.oomkit.linux.plugins.module_utils._process import groups  # noqa: E402
from ansible_collections.oomkit.linux.plugins.plugin_utils._events import log_file  # noqa: E402
from ansible_collections.oomkit.linux.plugins.plugin_utils._events import source as events_source  # noqa: E402

LOG_MB, QUICK_LOG_MB = 1000, 100
MOST_S_PER_GB = 30.0
MOST_LOG_MB = 100
PROCESSES = (10000, 100000)
QUICK_PROCESSES = (2500, 10000)
# Of time or memory for a process: caches that hold 10,000 do not hold 100,000.
MOST_GROWTH = 2.5
KILLS = 3
CGROUPS = (5000, 20000)
DEPTH = 500
SHM = '/dev/shm'  # making 25,000 folders elsewhere may take a minute
# Four times as much takes 4 times as long, or 16 times by the square; this lies in the middle.
FACTOR, MOST_RATIO = 4, 8.0
LEAST_S = 0.002  # shorter times say nothing
ROUNDS = 3


def cpu_s(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The best of some rounds, in seconds of the processor."""
    best = float('inf')
    for _round in range(rounds):
        gc.collect()
        began_s = time.process_time()
        work()
        best = min(best, time.process_time() - began_s)
        if best > 2:
            break
    return best


# ------------------------------------------------------------------------------ log lines

def log(total_mb: int) -> dict:
    """Seconds for 1 GB of each kind of line, of all together, and the memory of this process."""
    each = total_mb * 1000000 // len(forged_logs.FORGED)
    kinds, spent_s, read_bytes = {}, 0.0, 0
    with tempfile.TemporaryDirectory(prefix='oomkit-bench-') as name:
        path = Path(name) / 'kern.log'
        for kind, piece in forged_logs.FORGED.items():
            block = piece * max(1, 1000000 // len(piece))
            with path.open('wb') as file:
                for _block in range(max(1, each // len(block))):
                    file.write(block)
            size, taken_s = path.stat().st_size, cpu_s(functools.partial(read_log, path), 1)
            kinds[kind] = {'s_per_gb': round(taken_s * 1e9 / size, 1), 'records_s_per_gb': round(records_s(piece), 1)}
            spent_s, read_bytes = spent_s + taken_s, read_bytes + size
    rate, memory_mb = spent_s * 1e9 / read_bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {'kinds': kinds, 'mb': read_bytes // 1000000, 's_per_gb': round(rate, 1), 'memory_mb': round(memory_mb),
            'met': rate <= MOST_S_PER_GB and memory_mb <= MOST_LOG_MB}


def read_log(path: Path) -> None:
    """As the event source does it."""
    file, hosts = log_file.LogFile(str(path), True, select=events_source.find_kernel_lines), events_source.Hosts()
    for lines in file.read_chunks():
        for one in lines:
            if hosts.feed_parts(*one):
                sys.exit('A forged line was taken for a kill: %r' % (one,))
    file.close()


def records_s(piece: bytes) -> float:
    """Seconds for 1 GB of the same as records of the kernel's log, as the facts read them."""
    record = forged_logs.record(piece)[:8192]
    count = 1000000 // len(record) if len(record) > 20 else 1000
    return cpu_s(lambda: kill_log.parse_kills(record for _number in range(count)), 1) * 1e9 / (count * len(record))


# ------------------------------------------------------------------------------ processes

def snapshot_of(count: int, pages: Callable[[int], int], error_pages: int) -> snapshot.Snapshot:
    """So many processes on a kernel that may kill a child instead."""
    return snapshots.snapshot(*(snapshots.process(pid, pages(pid), error_pages=error_pages)
                                for pid in range(2, count + 2)), scale=badness.SCALE_OLD)


def choose(count: int) -> list[badness.Victim]:
    """Ten victims of processes that all have one score, and so all have to be looked at."""
    source = badness.ProcessReader(lambda pids: [((pid % 977, 0, 1), pid) for pid in pids], lambda _pid: 0,
                                   lambda pid: pid)
    return badness.select(((667, pid) for pid in range(count)), 10, source,
                          badness.Kernel(10000000, badness.SCALE_NEW, 100))


def processes(counts: tuple[int, int]) -> dict:
    """By work, the time and the memory for a process, and how they grow from the few to the many."""
    found, met = {}, True
    for label, pages, error_pages in (('forecast, all different', lambda pid: pid, 0),
                                      ('forecast, all alike', lambda _pid: 1000, 0),
                                      ('forecast, all within the error', lambda pid: 1000 + pid % 7, 100)):
        worlds = [snapshot_of(count, pages, error_pages) for count in counts]
        found[label] = grown(counts, [lambda world=world: simulate.simulate(world, KILLS) for world in worlds])
    texts = [snapshot.to_json(snapshot_of(count, lambda pid: pid, 0)) for count in counts]
    found['a snapshot from JSON'] = grown(counts, [lambda text=text: snapshot.from_json(text) for text in texts])
    found['choice of victims'] = grown(counts, [lambda count=count: choose(count) for count in counts])
    met = all(max(one['time_growth'], one['memory_growth']) <= MOST_GROWTH for one in found.values())
    return {'counts': counts, 'works': found, 'met': met}


def grown(counts: tuple[int, int], works: list[Callable[[], object]]) -> dict:
    """What a work takes for a process, in microseconds and bytes, and how much more that is among many."""
    times_us = [cpu_s(work, 1) * 1e6 / count for work, count in zip(works, counts, strict=True)]
    sizes = [peak_bytes(work) / count for work, count in zip(works, counts, strict=True)]
    return {'us': [round(one, 1) for one in times_us], 'bytes': [round(one) for one in sizes],
            'time_growth': round(times_us[1] / times_us[0], 2), 'memory_growth': round(sizes[1] / sizes[0], 2)}


def peak_bytes(work: Callable[[], object]) -> int:
    """The memory that a work takes at most."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# -------------------------------------------------------------------------------- cgroups

def tree(folder: Path, count: int) -> Path:
    """So many cgroups below a.slice, one of them at the end of a chain."""
    top = folder / str(count) / 'a.slice'
    top.mkdir(parents=True)
    for number in range(count - DEPTH):
        one = top / ('c%d' % number)
        one.mkdir()
        (one / 'cgroup.procs').write_text('%d\n' % (number + 2))
    deep = top
    for _level in range(DEPTH):
        deep = deep / 'd'
        deep.mkdir()
        (deep / 'cgroup.procs').write_text('1\n')
    (top / 'cgroup.procs').write_text('')
    return top


def cgroups() -> dict:
    """Seconds to list all processes below, and to find which cgroups around deep ones are killed as a whole."""
    found = {}
    with tempfile.TemporaryDirectory(prefix='oomkit-bench-', dir=SHM if os.path.isdir(SHM) else None) as name:
        tops = [tree(Path(name), count) for count in CGROUPS]
        deep = '/a.slice' + '/d' * DEPTH
        found['all processes below'] = [
            round(cpu_s(lambda top=top: groups.list_pids_below(Host(), str(top)), 1), 3) for top in tops]
        found['cgroups around deep ones'] = [
            round(cpu_s(lambda times=times: around(tops[0].parent, deep, times), 1), 3) for times in (100, 400)]
        pids = groups.list_pids_below(Host(), str(tops[1]))
    if len(pids) != CGROUPS[1] - DEPTH + 1:
        sys.exit('%d processes were found' % len(pids))
    met = all(after <= MOST_RATIO * max(before, LEAST_S) for before, after in found.values())
    return {'counts': CGROUPS, 'depth': DEPTH, 'seconds': found, 'met': met}


def around(folder: Path, cgroup: str, times: int) -> None:
    """For so many processes of a deep cgroup of the tree that is mounted there."""
    found = memcg.Tree(Host())
    found.folder, found.version, found._root = str(folder), 2, ''
    for _time in range(times):
        memcg.find_oom_group(found, cgroup, None)


# -------------------------------------------------------------------------------- parsers

def parsers() -> dict:
    """By parser, milliseconds for a text and for one four times as long."""
    found, slow = {}, []
    for name, (make, read, count) in hostile_inputs.PARSERS.items():
        texts = [make(size) for size in (count, FACTOR * count)]
        times_s = [cpu_s(lambda text=text, read=read: read(text)) for text in texts]
        ratio = times_s[1] / max(times_s[0], LEAST_S)
        found[name] = {'ms': [round(one * 1000, 2) for one in times_s], 'ratio': round(ratio, 1)}
        if ratio > MOST_RATIO:
            slow.append(name)
    return {'parsers': found, 'slow': slow, 'met': not slow}


# ------------------------------------------------------------------------------------- all

def show(result: dict) -> None:
    """The result for people."""
    one = result['log']
    print('%d MB of forged log lines            seconds for 1 GB: of a file   of records' % one['mb'])
    for name, kind in one['kinds'].items():
        print('  %-50s %12.1f %12.1f' % (name, kind['s_per_gb'], kind['records_s_per_gb']))
    print('  %-50s %12.1f (target: at most %.0f), %d MB of memory (target: at most %d)' % (
        'all', one['s_per_gb'], MOST_S_PER_GB, one['memory_mb'], MOST_LOG_MB))
    one = result['processes']
    print('%d and %d recorded processes        us for a process    growth   bytes for one    growth' % one['counts'])
    for name, work in one['works'].items():
        print('  %-38s %8.1f %8.1f %8.2f %8d %8d %8.2f' % (
            name, *work['us'], work['time_growth'], *work['bytes'], work['memory_growth']))
    print('  (target: a growth of at most %.1f)' % MOST_GROWTH)
    one = result['cgroups']
    print('%d and %d cgroups, one of them %d deep' % (*one['counts'], one['depth']))
    for name, seconds in one['seconds'].items():
        print('  %-38s %8.3f %8.3f s (target: at most %.0f times as long)' % (name, *seconds, MOST_RATIO))
    one = result['parsers']
    print('%d texts at their worst, and four times as long: the highest ratios (target: at most %.0f)' % (
        len(one['parsers']), MOST_RATIO))
    for name in sorted(one['parsers'], key=lambda name: -one['parsers'][name]['ratio'])[:5] + one['slow']:
        parser = one['parsers'][name]
        print('  %-50s %10.2f %10.2f ms %8.1f' % (name, *parser['ms'], parser['ratio']))
    print('Targets: %s' % ('met' if result['met'] else 'MISSED'))


def run(quick: bool) -> dict:
    """All of it; the log first, so that its memory is its own."""
    result = {'log': log(QUICK_LOG_MB if quick else LOG_MB),
              'processes': processes(QUICK_PROCESSES if quick else PROCESSES),
              'cgroups': cgroups(), 'parsers': parsers()}
    return {**result, 'met': all(one['met'] for one in result.values())}


def main() -> int:
    """0 when the targets are met."""
    parser = command_line.build_parser(__doc__)
    parser.add_argument('--quick', action='store_true', help='%d MB of log lines instead of %d, and %d processes'
                        % (QUICK_LOG_MB, LOG_MB, QUICK_PROCESSES[1]))
    options = parser.parse_args()
    return command_line.run_and_show(lambda: run(options.quick), show, options.json)


if __name__ == '__main__':
    sys.exit(main())
