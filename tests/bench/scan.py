# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast oom_facts finds the most likely victims among ten thousand processes, and oom_forecast_info the next ones.

Side by side, in turn, in one run: a C program that opens, reads and closes only /proc/PID/oom_score of each process
(the floor), the module's own scan (scores, ten candidates with all their details, those at -1000, in a helper process
that is forked for it), and ps sorted by oom. The times are the best of all rounds: what others do on the machine only
ever makes a round slower.

Two cases are measured. "usual": a dozen processes are larger than the idle ones, as on a server, and the ten candidates
are among them: the targets hold for this case. "one score": ten candidates are wanted out of the idle ones too. A step
of the score is a 667th of all memory, so that on a machine with very much memory thousands of processes share one
score, as idle ones do on any machine, and all of them have to be looked at more closely.

Then the usual case again among 100 to 30,000 processes, with psutil too, which knows no oom_score and so ranks by
resident memory, as people do with it. The time must not grow faster than the number of processes.
"""

import collections
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / 'shared'), str(HERE.parent), str(HERE.parent.parent / 'tools')]

import collection  # noqa: E402
import command_line  # noqa: E402

collection.lay()

from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._facts import processes as facts_processes  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._host import (  # noqa: E402
    container,
    helper,
    total_memory,
)
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._module import forecast_info  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._process import scan as process_scan  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._process.table import ProcessTable  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import Manager  # noqa: E402

MOST_OF_FLOOR = 2.0
LEAST_OF_PS = 4.0
MOST_OF_FACTS = 1.5
CANDIDATES = 10
LARGE = 12
GROWTH = (100, 1000, 10000, 30000)
GROWTH_ROUNDS = 3
# Of the time for a process, from one number of processes to the next. The floor's own time grows as processors' caches
# no longer hold what the kernel looks at.
MOST_GROWTH = 1.25
PS = ['ps', '-eo', 'pid,oom,oomadj,rss,comm', '--sort=-oom']
COMPILERS = ('cc', 'gcc', 'clang')


def compiler() -> str:
    """A C compiler; installed where that is allowed, else the run ends with the command to install one."""
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None:
        import environment
        if not environment.may_install():
            sys.exit('The benchmark needs a C compiler for the floor. As root: apt-get install gcc libc6-dev')
        environment.apt_install('gcc', 'libc6-dev')
        found = shutil.which('gcc')
    return found


def build(folder: Path) -> None:
    """Compile the programs of this folder."""
    for source in HERE.glob('*.c'):
        subprocess.run([compiler(), '-std=gnu99', '-O2', '-o', str(folder / source.stem), str(source)], check=True)


@contextlib.contextmanager
def spawned(folder: Path, count: int, pages: int, step: int):
    """So many sleeping processes, ended afterwards whatever happens: they live as long as the pipe is open."""
    with subprocess.Popen([folder / 'spawn', str(count), str(pages), str(step)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as spawner:
        try:
            made, reason = spawner.stdout.readline().rstrip('\n').split(' ', 1)
            if int(made) < count:
                sys.exit('Only %s of %d processes could be made: %s. Try a smaller --processes.'
                         % (made, count, reason))
            time.sleep(0.5)  # the last ones are still filling their memory
            yield
        finally:
            spawner.stdin.close()
            spawner.wait()


def floor_ms(folder: Path) -> float:
    """The C program, by its own clock and warm: start-up and a first pass are not counted."""
    return int(subprocess.run([folder / 'floor'], stdout=subprocess.PIPE, check=True).stdout.split()[0]) / 1e6


def beyond_the_crowd() -> int:
    """How many processes have a higher score than the one that most share."""
    with ProcessTable(Host()) as processes:
        scores = collections.Counter(score for score, _pid in processes.read_scores().found)
    crowded = scores.most_common(1)[0][0]
    return sum(count for score, count in scores.items() if score > crowded)


@contextlib.contextmanager
def helped(**shared: object) -> Iterator[Host]:
    """A host as the modules have it: a helper process, forked first, reads the processes."""
    host = Host()
    host.helper = helper.Helper({'host': host, **shared})
    try:
        yield host
    finally:
        host.helper.close()


def scan(host: Host, top: int) -> list[dict]:
    """The keys candidates and unkillable, in the helper."""
    with ProcessTable(host) as processes:
        candidates = facts_processes.Candidates(host, processes, total_memory.read_total_pages(host),
                                                container.find_pid_namespace(host) == 'init')
        candidates.gather_unkillable()
        return candidates.gather_candidates(top, False)


def scan_ms(top: int) -> float:
    """What the module does for its keys candidates and unkillable."""
    begin = time.perf_counter()
    with helped() as host:
        candidates = host.call(scan, host, top)
        elapsed_ms = (time.perf_counter() - begin) * 1000
    if len(candidates) < min(top, CANDIDATES):
        sys.exit('The scan found only %d candidates.' % len(candidates))
    return elapsed_ms


def daemons_ms() -> float:
    """What the module does for its key oom_daemons: the name of every process."""
    begin = time.perf_counter()
    with helped() as host:
        host.call(daemons, host)
        return (time.perf_counter() - begin) * 1000


def daemons(host: Host) -> list[dict]:
    """The key oom_daemons, in the helper."""
    with ProcessTable(host) as processes:
        return facts_processes.gather_oom_daemons(processes, processes.find_programs(process_scan.OOM_DAEMONS).found)


def facts_ms() -> float:
    """All that the module oom_facts does without options."""
    begin = time.perf_counter()
    with helped() as host:
        host.call(gather.gather_facts, host, gather.Request(gather.select_keys(['all']), CANDIDATES, False))
        return (time.perf_counter() - begin) * 1000


def forecast_ms() -> float:
    """All that the module oom_forecast_info does without options."""
    names = ('score_adj', 'protect', 'cgroup', 'nodes', 'growing', 'snapshot', 'policy', 'kill_allocating_task')
    manager = Manager()
    begin = time.perf_counter()
    with helped(manager=manager) as host:
        result = forecast_info.run(dict(dict.fromkeys(names), kills=5), host, manager)
        elapsed_ms = (time.perf_counter() - begin) * 1000
    if result['outcome'] != 'kill' or len(result['kill_order']) < 5:
        sys.exit('The forecast says %s (%s).' % (result['outcome'], result['reason']))
    return elapsed_ms


def ps_ms() -> float:
    """ps, with its start-up."""
    begin = time.perf_counter()
    subprocess.run(PS, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000


def psutil_ms() -> float:
    """What people write with psutil: names and resident memory of all, the largest first."""
    begin = time.perf_counter()
    psutil.process_iter.cache_clear()  # as in a program that has just been started
    found = [one.info for one in psutil.process_iter(['pid', 'name', 'memory_info'])]
    sorted(found, key=lambda one: one['memory_info'].rss if one['memory_info'] else 0, reverse=True)[:CANDIDATES]
    return (time.perf_counter() - begin) * 1000


def growth(folder: Path) -> list[dict]:
    """The best times of all contestants, for each number of processes."""
    contestants = {'floor': lambda: floor_ms(folder), 'scan': lambda: scan_ms(CANDIDATES), 'ps': ps_ms,
                   'psutil': psutil_ms}
    found = []
    for count in GROWTH:
        with spawned(folder, count, 0, 3):
            running = sum(name.isdigit() for name in os.listdir('/proc'))
            times = [{name: run_ms() for name, run_ms in contestants.items()} for _round in range(GROWTH_ROUNDS)]
        best = {name: min(one[name] for one in times) for name in contestants}
        found.append({'processes': running, **{name: round(value, 1) for name, value in best.items()}})
    for before, after in zip(found, found[1:], strict=False):
        after['growth'] = {name: round(after[name] / after['processes'] / (before[name] / before['processes']), 2)
                           for name in contestants}
    return found


def is_linear(grown: dict[str, float]) -> bool:
    """Whether the scan's time for a process grew no more than it may, or than the floor's."""
    return grown['scan'] <= MOST_GROWTH * max(1.0, grown['floor'])


def measure(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """By case, the best time of each contestant in milliseconds, and the two ratios; all take turns."""
    times = collections.defaultdict(list)
    for turn in range(rounds + 1):
        above = beyond_the_crowd()
        if above < CANDIDATES:
            sys.exit('Only %d processes stand out of the crowd, so the usual case cannot be measured.' % above)
        contestants = {'floor': lambda: floor_ms(folder), 'usual': lambda: scan_ms(CANDIDATES), 'ps': ps_ms,
                       'one_score': lambda top=above + CANDIDATES: scan_ms(top), 'daemons': daemons_ms,
                       'facts': facts_ms, 'forecast': forecast_ms}
        for name, run_ms in contestants.items():
            elapsed_ms = run_ms()
            if turn:  # the first round warms up
                times[name].append(elapsed_ms)
    best = {name: min(values) for name, values in times.items()}
    ratios = {case: {'scan_to_floor': round(best[case] / best['floor'], 2),
                     'ps_to_scan': round(best['ps'] / best[case], 2)} for case in ('usual', 'one_score')}
    return {'best_ms': {name: round(value, 1) for name, value in best.items()}, **ratios,
            'forecast_to_facts': round(best['forecast'] / best['facts'], 2)}


def run(processes: int, rounds: int, quick: bool) -> dict:
    """All of it."""
    step_pages = total_memory.read_total_pages(Host()) // 1000
    with tempfile.TemporaryDirectory(prefix='oomkit-bench-') as name:
        folder = Path(name)
        build(folder)
        with spawned(folder, LARGE, 2 * step_pages, step_pages // 2):
            with spawned(folder, processes, 0, 3):
                result = measure(folder, rounds)
            grown = [] if quick else growth(folder)
    usual = result['usual']
    met = (usual['scan_to_floor'] <= MOST_OF_FLOOR and usual['ps_to_scan'] >= LEAST_OF_PS
           and result['forecast_to_facts'] <= MOST_OF_FACTS
           and all(is_linear(one['growth']) for one in grown[1:]))
    return {'processes': processes, 'rounds': rounds, **result, 'growth': grown, 'met': met}


def show(result: dict) -> None:
    """The result for people."""
    print('%d idle processes, best of %d rounds in turn' % (result['processes'], result['rounds']))
    for label, name in (('C program: open, read, close oom_score only (the floor)', 'floor'),
                        ('oom_facts, usual: the candidates have scores of their own', 'usual'),
                        ('oom_facts, one score: out of thousands that share it', 'one_score'),
                        (' '.join(PS), 'ps'),
                        ('oom_facts, oom_daemons: the names of all processes', 'daemons'),
                        ('oom_facts, the whole module', 'facts'),
                        ('oom_forecast_info, the whole module, five kills', 'forecast')):
        print('  %-58s %8.1f ms' % (label, result['best_ms'][name]))
    usual, one_score = result['usual'], result['one_score']
    print('scan / floor: %.2f (target: at most %.1f); one score: %.2f' % (
        usual['scan_to_floor'], MOST_OF_FLOOR, one_score['scan_to_floor']))
    print('ps / scan:    %.2f (target: at least %.1f); one score: %.2f' % (
        usual['ps_to_scan'], LEAST_OF_PS, one_score['ps_to_scan']))
    print('forecast / facts: %.2f (target: at most %.1f)' % (result['forecast_to_facts'], MOST_OF_FACTS))
    if result['growth']:
        print('best of %d rounds in turn, in ms %24s' % (GROWTH_ROUNDS, 'scan, time for a process'))
        print('  %9s %9s %9s %9s %9s %16s' % ('processes', 'floor', 'scan', 'ps', 'psutil', 'to the one above'))
    for one in result['growth']:
        print('  %9d %9.1f %9.1f %9.1f %9.1f %16s' % (
            one['processes'], one['floor'], one['scan'], one['ps'], one['psutil'],
            '%.2f' % one['growth']['scan'] if 'growth' in one else ''))
    print('Targets (they are for the usual case): %s' % ('met' if result['met'] else 'MISSED'))


def main() -> int:
    """0 when the targets are met."""
    parser = command_line.build_parser(__doc__)
    parser.add_argument('--processes', type=int, default=10000, help='idle processes to make (10000)')
    parser.add_argument('--rounds', type=int, default=7, help='rounds to take the best of (7)')
    parser.add_argument('--quick', action='store_true', help='without the growth up to %d processes' % GROWTH[-1])
    options = parser.parse_args()
    if options.processes < 1 or options.rounds < 1:
        parser.error('--processes and --rounds must be at least 1')
    if not shutil.which('ps'):
        sys.exit('The benchmark compares with ps. As root: apt-get install procps')
    return command_line.run_and_show(lambda: run(options.processes, options.rounds, options.quick), show, options.json)


if __name__ == '__main__':
    os.environ['LC_ALL'] = 'C'
    sys.exit(main())
