# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of the lab for tests that only a real kernel can answer."""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
for folder in (TESTS, TESTS / 'lab'):
    sys.path.insert(0, str(folder))
importlib.import_module('collection').lay()

from oomlab.machine import Machine  # noqa: E402
from oomlab.recipe import DEFAULT, recipe_of  # noqa: E402

FLAVOUR = recipe_of(os.environ.get('OOMKIT_LAB_FLAVOUR', DEFAULT)).name


def pytest_sessionstart(session):
    """A stopped run ends as an interrupted one does, so that its machines are taken down."""
    def end(_number, _frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, end)


def pytest_collection_modifyitems(config, items):
    """Long tests are for those who have the time, or name one."""
    if os.environ.get('OOMKIT_LONG') or any('::' in word for word in config.args):
        return
    long = [item for item in items if item.get_closest_marker('long')]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter):
    """What passed tests measured: pytest itself shows only what failed ones print."""
    terminalreporter.section('measured')
    injections = violations = 0
    for report in terminalreporter.stats.get('passed', []):
        if not report.capstdout:
            continue
        terminalreporter.line(f'{report.nodeid}\n  ' + report.capstdout.strip().replace('\n', '\n  '))
        for case in (json.loads(line) for line in report.capstdout.splitlines() if line.startswith('{"case"')):
            injections, violations = injections + case['injections'], violations + case['violations']
    if injections:
        terminalreporter.line(f'calls that failed, or were the last one: {injections}; violations: {violations}')


def started(name, flavour=FLAVOUR, **settings):
    """A machine of its own for this test run, ended whatever happens, with a snapshot ``fresh``."""
    one = Machine(f'{name}-{os.getpid()}', flavour)
    try:
        seconds = one.start(**settings)
        kernel, accelerator = one.run('uname -r').stdout.strip(), one.settings()['accelerator']
        print(f'\n{flavour}: {kernel} on {accelerator}, booted in {seconds:.0f} s')
        one.keep_runner()
        one.save('fresh')
        yield one
    finally:
        one.stop()


@pytest.fixture(scope='session')
def machine():
    """1 GB, no swap, 1 processor. With two of them, emulated machines that run side by side on two processors wait for
    each other's locks, and take half as long again; who has the time sets OOMKIT_LAB_CPUS."""
    yield from started('test', cpus=int(os.environ.get('OOMKIT_LAB_CPUS', '1')))


@pytest.fixture(scope='session')
def big_machine():
    """The machine of the classic example: 4 GB, no swap, 2 processors."""
    yield from started('big', memory_mb=4096)


@pytest.fixture
def fresh(machine):
    """The machine as it was right after its first boot."""
    machine.restore('fresh')
    return machine
