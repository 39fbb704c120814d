# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenarios of extensions/molecule, one after the other on one lab machine.

Each scenario is a call of molecule of its own, so that a failed one does not keep the others from running. Each of its
tests counts, from testinfra's reports, and so does the scenario as a whole.
"""

import os
import shutil
import time
from pathlib import Path

import commands
import results
import yaml

FOLDER = commands.CHECKOUT / 'extensions' / 'molecule'
STATE = commands.CHECKOUT / '.cache' / 'molecule'
OWNER = 'default'  # the scenario that makes the machine and ends it
LIMIT_S = 1500
# Not part of make test: their modules and their reboots are tested by the lab, and their files in check mode.
LONG = ('profiles', 'reboot')


def names(quick: bool = False) -> list[str]:
    """The scenarios; those named in OOMKIT_SCENARIOS only, where it is set. Raises ValueError for an unknown one.

    ``quick`` leaves out those of LONG.
    """
    found = sorted(path.parent.name for path in FOLDER.glob('*/molecule.yml') if path.parent.name != OWNER)
    wanted = os.environ.get('OOMKIT_SCENARIOS', '').split() or [name for name in found if not quick or name not in LONG]
    unknown = set(wanted) - set(found)
    if unknown:
        raise ValueError('OOMKIT_SCENARIOS: no such scenario: %s; there are %s' % (' '.join(unknown), ' '.join(found)))
    return wanted


def sequence(name: str) -> list[str]:
    """What molecule does for a scenario: its own sequence, else the one all share."""
    for path in (FOLDER / name / 'molecule.yml', FOLDER / 'config.yml'):
        steps = (yaml.safe_load(path.read_text()).get('scenario') or {}).get('test_sequence')
        if steps:
            return steps
    raise ValueError('%s: no test_sequence' % name)


def tally_of(name: str, code: int, folder: Path) -> results.Tally:
    """The tests that a scenario's calls of testinfra reported. A call that found no test is a failure: molecule lets it
    pass."""
    tally = results.Tally()
    reports = [results.read_junit(path) for path in sorted((folder / 'reports').glob('*.xml'))]
    for report in reports:
        tally.add(report)
    expected = sum(step.split()[0] == 'verify' for step in sequence(name))
    told = sum(bool(report.passed or report.failures) for report in reports)
    tally.check('scenario ' + name, code == 0 and told == expected,
                'exit code %d, tests ran at %d of %d moments' % (code, told, expected))
    return tally


def molecule(name: str, *words: str) -> int:
    """One call of molecule for a scenario, with a state folder of its own: the exit code."""
    folder = STATE / name
    folder.mkdir(parents=True, exist_ok=True)
    env = dict(
        commands.environment(),
        MOLECULE_EPHEMERAL_DIRECTORY=str(folder),
        MOLECULE_PROJECT_DIRECTORY=str(commands.CHECKOUT),
        MOLECULE_COMMAND_BORDERS='false',
        NO_COLOR='1',
        ANSIBLE_NOCOLOR='1',
    )
    for variable in ('ANSIBLE_CONFIG', 'MOLECULE_GLOB'):  # molecule writes its own configuration
        env.pop(variable, None)
    return commands.run([commands.BIN / 'molecule', *words, '-s', name], LIMIT_S, env=env)


def show_machine(name: str) -> None:
    """What the machine itself says, after a scenario that failed on it."""
    words = 'journalctl -q --no-pager -n 60; dmesg | tail -n 40'
    commands.run(['ssh', '-F', STATE / name / 'ssh_config', 'lab', words], 120)


def run(quick: bool = False) -> results.Tally:
    """The scenarios; the machine is ended whatever happens."""
    tally, rows = results.Tally(), []
    shutil.rmtree(STATE, ignore_errors=True)
    try:
        start = time.monotonic()
        tally.check('the machine', molecule(OWNER, 'create') == 0)
        rows.append('%-12s %5.0f s' % ('the machine', time.monotonic() - start))
        for name in names(quick):
            start = time.monotonic()
            one = tally_of(name, molecule(name, 'test', '--destroy=never'), STATE / name)
            rows.append('%-12s %5.0f s  %s' % (name, time.monotonic() - start, 'FAILED' if one.failures else
                                               '%d tests passed' % (one.passed - 1)))
            tally.add(one)
            if one.failures:
                show_machine(name)
    finally:
        tally.check('the end of the machine', molecule(OWNER, 'destroy') == 0)
        print('\n'.join(['', *rows]), flush=True)
    return tally
