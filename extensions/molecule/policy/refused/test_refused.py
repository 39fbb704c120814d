# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Under strict overcommit a leak is refused memory: nobody is killed."""

import re


def test_the_job_was_refused_memory(machine):
    said = machine.host.check_output('journalctl -q -o cat -u oomkit-job')
    # Before, more than half of the machine's memory was committed to it.
    assert int(re.search(r'refused after (\d+) MB', said)[1]) > 400


def test_nobody_was_killed(machine):
    assert 'Out of memory' not in machine.host.check_output('dmesg')
    before, now = ([one['pid'] for one in state['processes']['oomkit-job.service']]
                   for state in (machine.prepared(), machine.now()))
    assert now == before
