# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs stages of the tests one after the other: ``.venv/bin/python tools/run_tests.py STAGE...``

Stages joined by ``+`` run at the same time, for two that each wait for a machine of their own; what the second one
prints comes when both are done. A failed stage does not keep the others from running. The last lines count what passed,
failed and was skipped.
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import commands
import integration
import results
import sanity
import scenarios

REPORTS = commands.CHECKOUT / '.cache' / 'results'
# A few minutes; an emulated machine on processors that are busy otherwise takes several times as long.
BENCH_LIMIT_S = 1500
# The benchmarks that make test runs, and how. Those that need a machine of the lab run in make bench only.
QUICK_BENCH = {
    'fleet.py': ['--quick'],
    'hostile.py': ['--quick'],
    'scan.py': ['--quick'],
    'startup.py': ['--rounds', '5'],
}
INITS = ('sysvinit', 'openrc')
FLAVOURS = ('bullseye', 'bookworm', 'trixie', 'trixie-backports')
QUICK_LINT = {
    'ruff': ['ruff', 'check', '--output-format', 'concise', '.'],
    'yamllint': ['yamllint', '--strict', '.'],
    'architecture': ['python', 'tools/architecture.py'],
    'functions': ['python', 'tools/functions.py'],
    'terms': ['python', 'tools/terms.py'],
}
FULL_LINT = {
    'mypy': ['mypy'],
    'vulture': ['vulture'],
    'ansible-lint': ['ansible-lint', '--profile', 'production', '--offline', '--strict'],
    # Its lowest level tells of every program that is started without a shell, which is how they are to be started.
    'bandit': ['bandit', '--quiet', '--recursive', '--severity-level', 'medium', 'plugins', 'extensions/eda'],
    'antsibull-changelog': ['antsibull-changelog', 'lint'],
    'reuse': ['reuse', 'lint', '--lines'],
}


# A run for one kernel by name has the time for long tests, for many forecasts, and for machines with two
# processors; on two of them for many injected faults, and on one for many changes where memory is out all the time.
LONG_RUN = {'OOMKIT_LONG': '1', 'OOMKIT_POPULATIONS': '200', 'OOMKIT_LAB_CPUS': '2'}
LONGER_RUN = {
    'bookworm': {'OOMKIT_FAULTS': '100'},
    'trixie': {'OOMKIT_FAULTS': '100', 'OOMKIT_SOAK': '1000'},
}
LONG_LIMIT_S = 6 * 3600


def pytest(name: str, *arguments: str, limit_s: int, flavour: str | None = None) -> results.Tally:
    """One run of pytest, counted from its own report. No report, or not one test in it, is a failure."""
    report = REPORTS / (name + '.xml')
    report.unlink(missing_ok=True)
    env = commands.environment()
    if flavour:
        env = {**LONG_RUN, **LONGER_RUN.get(flavour, {}), **env, 'OOMKIT_LAB_FLAVOUR': flavour}
    command = [commands.BIN / 'python', '-m', 'pytest', '-q', '--junitxml=%s' % report, *arguments]
    code = commands.run(command, limit_s, env=env)
    try:
        tally = results.read_junit(report)
    except (OSError, ElementTree.ParseError) as exc:
        return results.Tally(failures=['pytest ended with exit code %d and left no report (%s)' % (code, exc)])
    if code and not tally.failures:
        tally.failures.append('pytest ended with exit code %d' % code)
    return tally


def lint(tools: dict[str, list[str]]) -> results.Tally:
    """Each tool is one check."""
    tally = results.Tally()
    for name, command in tools.items():
        code = commands.run(command, 300)
        tally.check(name, code == 0, 'exit code %d' % code)
    return tally


def shellcheck() -> list[str]:
    """The command that checks every shell script of the project."""
    names = sanity.project_files(commands.CHECKOUT)
    scripts = [name for name in names if name.endswith('.sh') or name == '.ci/run']
    return ['shellcheck', *scripts]


def bench(quick: bool = False) -> results.Tally:
    """Every program below tests/bench is one check: it tells by its exit code whether its targets are met.

    All of them take most of an hour. ``quick`` runs those of QUICK_BENCH, with the same targets.
    """
    tally = results.Tally()
    for program in sorted((commands.CHECKOUT / 'tests' / 'bench').glob('*.py')):
        if quick and program.name not in QUICK_BENCH:
            print('%s: only in make bench' % program.name, flush=True)
            continue
        options = QUICK_BENCH[program.name] if quick else []
        code = commands.run([commands.BIN / 'python', program, *options], BENCH_LIMIT_S)
        tally.check(program.name, code == 0, 'exit code %d' % code)
    if not tally.passed and not tally.failures:
        tally.failures.append('there is no benchmark below tests/bench')
    return tally


def lab(flavour: str | None = None) -> results.Tally:
    """The tests on a real kernel; the default flavour, or the one named."""
    name = 'lab-' + (flavour or 'default')
    limit_s = LONG_LIMIT_S if flavour else 3600
    # Two machines, since emulation keeps one processor busy each; what is left over goes to whoever is done first.
    two = ('tests/kernel', '--ignore=tests/kernel/inits', '-n', '2', '--dist', 'worksteal')
    where = ('tests/kernel/inits',) if flavour in INITS else two
    if not flavour:
        print('tests that are marked as long: only in make lab-matrix, or with OOMKIT_LONG=1', flush=True)
    return pytest(name, *where, '-v', '--durations=30', limit_s=limit_s, flavour=flavour)


STAGES: dict[str, Callable[[], results.Tally]] = {
    # Three on two processors, since many tests wait.
    'unit': lambda: pytest('unit', 'tests/unit', '-n', '3', limit_s=900),
    'quick-unit': lambda: pytest('quick-unit', 'tests/unit', '-n', '3', '-m', 'not thorough', limit_s=300),
    # What a file of them makes once, only one worker uses.
    'package': lambda: pytest('package', 'tests/package', '-v', '-n', '2', '--dist', 'loadfile', limit_s=900),
    'quick-lint': lambda: lint(QUICK_LINT),
    'lint': lambda: lint({**QUICK_LINT, 'shellcheck': shellcheck(), **FULL_LINT}),
    'sanity': sanity.run,
    'integration': integration.run,
    'bench': bench,
    'bench-quick': lambda: bench(quick=True),
    'lab': lab,
    'molecule': scenarios.run,
    'molecule-quick': lambda: scenarios.run(quick=True),
    **{'lab-' + flavour: (lambda flavour=flavour: lab(flavour)) for flavour in FLAVOURS + INITS},
}


def run_stage(name: str) -> results.Tally:
    """One stage with its heading and its time. What breaks the stage itself is its failure."""
    print('\n=== %s' % name, flush=True)
    start = time.monotonic()
    try:
        tally = STAGES[name]()
    except Exception as exc:
        tally = results.Tally(failures=['the stage broke: %s: %s' % (type(exc).__name__, exc)])
    tally.seconds = time.monotonic() - start
    return tally


def run_beside(names: list[str]) -> dict[str, results.Tally]:
    """The first stage here, the others at the same time in processes of their own."""
    with contextlib.ExitStack() as stack:
        others = {name: stack.enter_context(started(name)) for name in names[1:]}
        tallies = {names[0]: run_stage(names[0])}
        for name, process in others.items():
            code = process.wait()
            print(log_of(name).read_text(encoding='utf-8', errors='replace'), flush=True)
            try:
                tallies[name] = results.load(REPORTS / (name + '.tally'))
            except (OSError, ValueError) as exc:
                tallies[name] = results.Tally(failures=['ended with exit code %d and left no tally (%s)' % (code, exc)])
    return tallies


def log_of(name: str) -> Path:
    """What a stage beside another one prints."""
    return REPORTS / (name + '.log')


@contextlib.contextmanager
def started(name: str) -> Iterator[subprocess.Popen]:
    """This program for one stage, its output in a file; ended if it still runs at the end."""
    print('\n=== %s, at the same time: %s' % (name, log_of(name).relative_to(commands.CHECKOUT)), flush=True)
    (REPORTS / (name + '.tally')).unlink(missing_ok=True)
    with log_of(name).open('wb') as log:
        process = subprocess.Popen([sys.executable, __file__, name], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            commands.end(process)


def main(words: list[str]) -> int:
    """Run the stages named; 1 if anything failed or nothing ran."""
    names = [name for word in words for name in word.split('+')]
    unknown = [name for name in names if name not in STAGES]
    if unknown or not names:
        print('usage: run_tests.py STAGE...   stages: %s' % ' '.join(STAGES), file=sys.stderr)
        return 2
    # A stopped run ends what it started, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    REPORTS.mkdir(parents=True, exist_ok=True)
    tallies: dict[str, results.Tally] = {}
    for word in words:
        tallies.update(run_beside(word.split('+')))
    for name, tally in tallies.items():
        results.save(REPORTS / (name + '.tally'), tally)
    print('\n'.join(results.table(tallies)), flush=True)
    failed = any(tally.failures for tally in tallies.values())
    return 1 if failed or not any(tally.passed for tally in tallies.values()) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
