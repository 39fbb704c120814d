# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that programs still start: it fails exactly when a user's programs fail, and no user disturbs it."""

import json
import time
from pathlib import Path

import pytest
from oomlab.guest import HOME
from test_sysctls import failed, good

RESERVE_KB, LAST_KB, STEP_KB = 40_000, 90_000, 2_000
# Each processor counts up to 1/256 of the memory for itself (mm_compute_batch, mm/mm_init.c): 4 MB on this machine.
ERROR_KB = 4_096 + STEP_KB
# User 65534 stops, or ends, whatever it may. kill(-1) leaves out the process itself.
FLOOD = """\
import os, signal
os.setgroups([]); os.setgid(65534); os.setuid(65534)
while True:
    try:
        os.kill(-1, signal.{name})
    except ProcessLookupError:
        pass
"""


def test_probe_fails_exactly_when_a_user_cannot_spawn(fresh):
    """As exactly as the kernel counts."""
    fresh.write_file('/root/headroom.py', (Path(__file__).parent / 'headroom.py').read_bytes())
    fresh.module('oom_facts')  # brings the collection over
    done = fresh.run(f'PYTHONPATH={HOME} python3 /root/headroom.py {RESERVE_KB} {LAST_KB} {STEP_KB}', timeout=300)
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    def least_kb(who):
        """The headroom from which on most of the attempts work. What others allocate meanwhile is noise."""
        works = [line[who] >= 2 for line in lines]
        assert not works[0] and works[-1], (who, lines)
        return lines[len(works) - works[::-1].index(False)]['headroom_kb']
    least = {who: least_kb(who) for who in ('user', 'probe_others', 'root', 'probe_root')}
    print('headroom in kB from which on a program starts:', json.dumps(least))
    assert abs(least['probe_others'] - least['user']) <= ERROR_KB, least
    assert abs(least['probe_root'] - least['root']) <= ERROR_KB, least
    assert abs(least['user'] - least['root'] - RESERVE_KB) <= ERROR_KB, least


@pytest.fixture(params=['SIGSTOP', 'SIGKILL'])
def flooded(fresh, request):
    fresh.write_file('/srv/flood.py', FLOOD.format(name=request.param).encode())
    pid = fresh.run('setsid python3 /srv/flood.py >/dev/null 2>&1 </dev/null & echo $!').stdout.strip()
    time.sleep(1)
    yield fresh
    assert fresh.run(f'cat /proc/{pid}/cmdline', check=False).stdout, 'the flood has ended'
    fresh.run(f'kill -9 {pid}')


def test_a_user_who_signals_all_he_may_disturbs_no_change(flooded):
    for desired in ({'mode': 'never', 'ratio': 300}, {'mode': 'never', 'ratio': 290}, {'state': 'absent'}):
        result = good(flooded.module('overcommit', **desired))
        assert result['changed'] and result['_seconds'] < 20, result
    assert flooded.sysctl('vm.overcommit_memory') == 0


def test_nor_does_he_excuse_a_limit_under_which_nothing_starts(flooded):
    limit_kb = 400_000
    message = failed(flooded, 'overcommit', mode='never', kbytes=limit_kb, admin_reserve_kbytes=limit_kb - 20_000,
                     force=True)
    assert 'a user without CAP_SYS_ADMIN cannot start a program' in message and 'Everything was rolled back' in message
    assert flooded.sysctl('vm.overcommit_memory') == 0
