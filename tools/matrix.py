# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every supported ansible-core, and every Python of managed machines, as far as this machine has the interpreters.

``.venv/bin/python tools/matrix.py`` prints a table at the end: what ran where, and what is missing here. A core for
which no supported Python is found is named and fails nothing; anything that ran and failed does. The lab's rows are a
short run each: ``make lab-matrix`` is the whole of it.
"""

import contextlib
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import commands
import environment
import integration
import pythons
import results
import sanity
import yaml

LOGS = commands.CHECKOUT / '.cache' / 'matrix'
# The Pythons that each supports on the controller, the one to take first where it is at hand.
CORES = {
    '2.16.19': ('3.10', '3.12', '3.11'),
    '2.17.14': ('3.12', '3.11', '3.10'),
    '2.18.19': ('3.13', '3.12', '3.11'),
    '2.19.14': ('3.11', '3.12', '3.13'),
    '2.20.10': ('3.12', '3.13', '3.14'),
    '2.21.5': ('3.13', '3.14', '3.12'),
}
# The Pythons of managed machines, each with a core that still reaches it or already does.
TARGETS = {'3.6': '2.16.19', '3.7': '2.16.19', '3.8': '2.16.19', '3.9': '2.21.5', '3.10': '2.19.14', '3.11': '2.20.10',
           '3.12': '2.17.14', '3.13': '2.18.19', '3.14': '2.21.5'}
LAB = {'3.9': 'bullseye', '3.11': 'bookworm', '3.13': 'trixie'}
LAB_TESTS = ('tests/kernel/test_lab.py::test_the_kernel_and_the_python_are_the_flavours',
             'tests/kernel/test_ansible.py', 'tests/kernel/test_integration_targets.py')


@dataclass
class Cell:
    """One thing that was to run, and what came of it; a reason where it could not."""

    row: str
    core: str
    python: str
    what: str
    tally: results.Tally
    missing: str = ''

    def line(self) -> str:
        """Its line of the table."""
        counts = '%d passed' % self.tally.passed
        if self.tally.failures:
            counts += ', %d FAILED' % len(self.tally.failures)
        if self.tally.skips:
            counts += ', %d skipped' % len(self.tally.skips)
        return '%-10s %-9s %-7s %-13s %s' % (self.row, self.core, self.python, self.what, self.missing or (
            '%s in %.0f s' % (counts, self.tally.seconds)))


def core_environment(core: str) -> tuple[str, Path] | None:
    """(Python version, bin folder) of an environment with this core; None without a Python for it."""
    for version in CORES[core]:
        path = pythons.find(version)
        if path is not None:
            return version, environment.beside('core-' + core, path, 'ansible-core==' + core, 'matrix.txt')
    return None


@contextlib.contextmanager
def logged(name: str) -> Iterator[None]:
    """What the commands print goes to a file of its own."""
    LOGS.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with (LOGS / (name + '.log')).open('wb') as log:
        try:
            for number in (1, 2):
                os.dup2(log.fileno(), number)
            yield
        finally:
            sys.stdout.flush()
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)


def run(cell: Cell, job: Callable[[], results.Tally]) -> Cell:
    """Run a cell; what breaks it is its failure. Its line is shown at once."""
    start = time.monotonic()
    name = '-'.join(filter(None, (cell.row, cell.core, cell.python, cell.what)))
    try:
        with logged(name):
            cell.tally = job()
    except Exception as exc:
        cell.tally = results.Tally(failures=['it broke: %s: %s' % (type(exc).__name__, exc)])
    cell.tally.seconds = time.monotonic() - start
    print(cell.line(), flush=True)
    for one in cell.tally.failures:
        print('    %s   (%s)' % (one, (LOGS / (name + '.log')).relative_to(commands.CHECKOUT)), flush=True)
    return cell


def unit(folder: Path) -> results.Tally:
    """The unit tests on a core."""
    report = LOGS / 'unit.xml'
    report.unlink(missing_ok=True)
    code = commands.run([folder / 'python', '-m', 'pytest', '-q', '-n', '2', '-p', 'no:cacheprovider', '--junitxml=%s' %
                         report, 'tests/unit'], 900, env=commands.environment(folder))
    tally = results.read_junit(report)
    if code and not tally.failures:
        tally.failures.append('pytest ended with exit code %d' % code)
    return tally


def target(folder: Path, python: str) -> results.Tally:
    """The integration targets, their modules run by this Python; each is one check, since the first failure ends it."""
    names = integration.targets()
    roles = [str(commands.CHECKOUT / 'tests' / 'integration' / 'targets' / name) for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        play = Path(scratch) / 'play.yml'
        play.write_text(yaml.safe_dump([{'hosts': 'localhost', 'gather_facts': False, 'roles': roles}]))
        env = dict(commands.environment(folder), ANSIBLE_HOME=scratch)
        env['PATH'] = '%s:%s' % (folder, env['PATH'])
        code = commands.run([folder / 'ansible-playbook', '-i', 'localhost,', '-c', 'local', '-e',
                             'ansible_python_interpreter=' + python, play], 300, Path(scratch), env)
    if code:
        return results.Tally(failures=['exit code %d' % code])
    return results.Tally(passed=len(names))


def lab(flavour: str) -> results.Tally:
    """A short run on a machine of the lab."""
    report = LOGS / ('lab-%s.xml' % flavour)
    report.unlink(missing_ok=True)
    code = commands.run([commands.BIN / 'python', '-m', 'pytest', '-v', '--junitxml=%s' % report, *LAB_TESTS], 1500,
                        env=dict(commands.environment(), OOMKIT_LAB_FLAVOUR=flavour, OOMKIT_LONG='1'))
    tally = results.read_junit(report)
    if code and not tally.failures:
        tally.failures.append('pytest ended with exit code %d' % code)
    return tally


def core_cells() -> Iterator[Cell]:
    """Unit tests, sanity and integration on each core."""
    for core, supported in CORES.items():
        found = core_environment(core)
        if found is None:
            missing = 'none of Python %s on this machine' % ', '.join(supported)
            yield Cell('core', core, '', 'all', results.Tally(), missing)
            continue
        python, folder = found
        for what, job in (('unit', unit), ('sanity', sanity.run), ('integration', integration.run)):
            yield run(Cell('core', core, python, what, results.Tally()), functools.partial(job, folder))
        for other in supported:
            if other != python:
                yield Cell('core', core, other, 'all', results.Tally(), 'supported, another one was taken'
                           if pythons.find(other) else 'not on this machine')


def target_cells() -> Iterator[Cell]:
    """The target code on each Python."""
    for version, core in TARGETS.items():
        path, found = pythons.find(version), core_environment(core)
        if path is None or found is None:
            yield Cell('target', core, version, 'integration', results.Tally(), 'not on this machine')
            continue
        yield run(Cell('target', core, version, 'integration', results.Tally()),
                  functools.partial(target, found[1], path))


def lab_cells() -> Iterator[Cell]:
    """The lab's machines by their Python."""
    for version, flavour in LAB.items():
        yield run(Cell('lab', '', version, flavour, results.Tally()), functools.partial(lab, flavour))


def main() -> int:
    """Run all; 1 if anything failed or nothing ran."""
    start = time.monotonic()
    cells = [cell for some in (core_cells, target_cells, lab_cells) for cell in some()]
    print('\n%-10s %-9s %-7s %-13s %s' % ('', 'core', 'Python', 'what', 'result'))
    print('\n'.join(cell.line() for cell in cells))
    total = results.Tally()
    for cell in cells:
        total.add(cell.tally)
    skips = sorted(set(total.skips))
    print('\n'.join(['', *('skipped: ' + skip for skip in skips), '']))
    minutes = (time.monotonic() - start) / 60
    print('%.0f minutes. The rows of the lab are short runs; make lab-matrix is the whole.' % minutes)
    print('%d passed, %d failed, %d skipped' % (total.passed, len(total.failures), len(total.skips)), flush=True)
    return 1 if total.failures or not total.passed else 0


if __name__ == '__main__':
    sys.exit(main())
