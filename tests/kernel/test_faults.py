# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever call fails, wherever the run is killed: the state before or the state wanted, and the next run converges.

OOMKIT_FAULTS is the number of injections for each request (0: every call with every error); a few by default, for some
of the requests. tests/unit/plugins/module_utils/_policy/test_faults.py has them all, on a tree of files.
"""

import json
import os
from pathlib import Path

import pytest
from faults.cases import CASES
from oomlab.guest import HOME

PROGRAM = Path(__file__).with_name('faults') / 'campaign.py'
INJECTIONS = int(os.environ.get('OOMKIT_FAULTS', '4'))
SHORT = 'OOMKIT_FAULTS' not in os.environ
REQUESTS = [case for case in CASES if case.get('short') or not SHORT]
SEED = os.environ.get('OOMKIT_FAULTS_SEED', '1')


def campaign(machine, cases, injections, timeout_s=28800):
    """The lines that the campaign in the guest says; violations and the sum of each case."""
    machine.module('overcommit', check=True, mode=0)  # brings the files over
    machine.write_file('/srv/faults/campaign.py', PROGRAM.read_bytes())
    asked = [dict(case, injections=injections, seed=SEED) for case in cases]
    machine.write_file('/srv/faults/cases.json', json.dumps(asked).encode())
    done = machine.run(f'cd {HOME} && python3 /srv/faults/campaign.py /srv/faults/cases.json 2>&1', check=False,
                       timeout=timeout_s)
    lines = [json.loads(line) if line.startswith('{') else {'crash': line} for line in done.stdout.splitlines()]
    for line in lines:
        print(json.dumps(line))
    assert done.returncode == 0, done.stdout[-3000:]
    return [line for line in lines if 'violation' in line], [line for line in lines if 'case' in line]


@pytest.mark.parametrize('case', REQUESTS, ids=[case['name'] for case in REQUESTS])
def test_nothing_is_half_done_whatever_fails(fresh, case):
    # A daemon-reload takes longer than all the rest.
    wanted = INJECTIONS // 2 if case.get('units') else INJECTIONS
    violations, (reported,) = campaign(fresh, [case], wanted)
    assert reported['injections'] >= min(wanted or reported['calls'], reported['calls'])
    assert violations == []
