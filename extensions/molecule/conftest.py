# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scenarios' tests share. testinfra's ``host`` is the lab machine, over ssh."""

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

HOME = '/opt/oomkit-test'


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """One report for every time molecule calls pytest: a scenario may verify at several moments."""
    folder = Path(os.environ['MOLECULE_EPHEMERAL_DIRECTORY'], 'reports')
    folder.mkdir(exist_ok=True)
    moment = Path(config.args[0])
    moment = moment.parent if moment.suffix else moment
    config.option.xmlpath = str(folder / f'{len(list(folder.iterdir())):02}-{moment.name}.xml')


class Machine:
    """The lab machine as the tests look at it. A file of tests runs common/state.py once."""

    def __init__(self, host):
        self.host = host
        self._reports = {}

    def now(self):
        """The report of common/state.py."""
        return self._report(f'python3 {HOME}/state.py')

    def prepared(self):
        """Its report when the scenario was prepared."""
        return self._report(f'cat {HOME}/prepared.json')

    def before(self):
        """Its report before that, where a scenario keeps two notes."""
        return self._report(f'cat {HOME}/before.json')

    def _report(self, command):
        if command not in self._reports:
            self._reports[command] = self.host.check_output(command)
        return json.loads(self._reports[command])

    def show(self, unit, *names):
        """Properties of a unit as systemd reports them."""
        lines = self.host.check_output('systemctl show -p %s %s', ','.join(names), unit).splitlines()
        return dict(line.split('=', 1) for line in lines)

    def main_pid(self, unit):
        """The main process of a unit that runs."""
        number = int(self.show(unit, 'MainPID')['MainPID'])
        assert number > 0, f'{unit} does not run'
        return number

    def kept_processes(self):
        """By service the processes, before and now, that were there when the scenario was prepared. Each had some.

        Not all of them: PostgreSQL and udev have workers that come and go.
        """
        now = {(one['pid'], one['start']): one for found in self.now()['processes'].values() for one in found}
        kept = {}
        for unit, found in self.prepared()['processes'].items():
            if unit.endswith('.service'):
                pairs = [(one, now.get((one['pid'], one['start']))) for one in found]
                kept[unit] = [pair for pair in pairs if pair[1]]
                assert kept[unit], f'{unit} was restarted'
        return kept

    def meminfo_kb(self):
        """/proc/meminfo."""
        lines = self.host.check_output('cat /proc/meminfo').splitlines()
        return {name: int(rest.split()[0]) for name, rest in (line.split(':') for line in lines)}

    def said(self, when):
        """The role's result, as common/tasks/say.yml kept it: ``planned``, ``changed`` or ``unchanged``."""
        return json.loads(Path(os.environ['MOLECULE_EPHEMERAL_DIRECTORY'], when + '.json').read_text(encoding='utf-8'))

    def scores(self, unit):
        """By name and number of each process of a unit, its oom_score_adj."""
        return {(one['name'], one['pid']): one['score'] for one in self.now()['processes'].get(unit, [])}


@pytest.fixture(scope='module')
def machine(host):
    """The lab machine."""
    return Machine(host)


@pytest.fixture(scope='session')
def role_sysctls():
    """Finds the sysctls that variables of the role set: by key, the value."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools'))
    records = importlib.import_module('generated').role_variables()

    def find(variables):
        given = [(records[name], value) for name, value in variables.items() if name in records]
        return {one.key: (one.names or {}).get(value, value) for one, value in given}
    return find
