# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollback on hosts with values and lines of others: never managed, and after changes of ours, from random starts."""

import random

from test_sysctls import good

from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import SYSCTLS

OURS, ADMIN, VENDOR = '/etc/sysctl.d/99-oomkit.conf', '/etc/sysctl.d/50-admin.conf', '/etc/sysctl.d/10-vendor.conf'
MODULES = ('overcommit', 'panic_on_oom')
LINES = [
    'vm.overcommit_memory = 1   # mine', 'vm.overcommit_memory=0', '-vm/overcommit_ratio = 180',
    'vm.overcommit_kbytes=1500000', 'vm.admin_reserve_kbytes=4444', 'vm.panic_on_oom=1', 'kernel.panic=10',
    'kernel.panic = 20 # y', 'vm.oom_kill_allocating_task=1', 'vm.swappiness=1', '# note', '',
]
VALUES = {
    'vm.overcommit_memory': (0, 1), 'vm.overcommit_ratio': (50, 70), 'vm.overcommit_kbytes': (0, 1500000),
    'vm.admin_reserve_kbytes': (5000, 8192), 'vm.user_reserve_kbytes': (20000, 30000), 'vm.panic_on_oom': (0, 1),
    'kernel.panic': (10, 30),
    **{key: (0, 1) for key, sysctl in SYSCTLS.items() if sysctl.is_switch},
}
REQUESTS = [
    ('overcommit', {'mode': 'always', 'ratio': 90}), ('overcommit', {'mode': 'heuristic', 'kbytes': 2000000}),
    ('overcommit', {'mode': 'never', 'ratio': 250}), ('overcommit', {'admin_reserve_kbytes': 9000}),
    ('panic_on_oom', {'policy': 'panic', 'reboot_after': 10}), ('panic_on_oom', {'policy': 'kill'}),
    ('panic_on_oom', {sysctl.option: not sysctl.default for sysctl in SYSCTLS.values() if sysctl.is_switch}),
]
STATE = ('find /etc /var/lib/oomkit -type f ! -name "*~" -exec sha256sum {} + 2>/dev/null | sort; '
         f'sysctl {" ".join(VALUES)}')


def state_of(machine):
    return machine.run(STATE, check=False).stdout


def make_foreign(machine, dice):
    """Files and values of others: one script, so that it takes one connection."""
    for path in (OURS, ADMIN, VENDOR):
        if dice.random() < 0.6:
            text = '\n'.join(dice.choices(LINES, k=dice.randrange(1, 6))) + dice.choice(['\n', ''])
            machine.write_file(path, text.encode())
        else:
            machine.run(f'rm -f {path}')
    pair = dice.choice(['vm.overcommit_ratio', 'vm.overcommit_kbytes'])
    keys = [key for key in VALUES if key not in ('vm.overcommit_ratio', 'vm.overcommit_kbytes')]
    words = [f'{key}={dice.choice(VALUES[key])}' for key in keys] + [f'{pair}={VALUES[pair][1]}']
    machine.run('sysctl -qw ' + ' '.join(words))


def test_absent_changes_nothing_on_an_unmanaged_host(fresh):
    make_foreign(fresh, random.Random(7))
    before = state_of(fresh)
    for module in MODULES:
        for check in (True, False):
            result = good(fresh.module(module, check=check, state='absent', sysctl_file=ADMIN))
            assert not result['changed'] and result['managed'] is False and 'Nothing was changed' in result['msg']
    assert not good(fresh.module('oom_score_adj', state='absent', exclusive=True))['changed']
    assert state_of(fresh) == before


def test_present_and_absent_lead_back_from_ten_random_starts(fresh):
    for seed in range(10):
        dice = random.Random(seed)
        make_foreign(fresh, dice)
        before = state_of(fresh)
        for module, desired in dice.choices(REQUESTS, k=3):
            good(fresh.module(module, sysctl_file=dice.choice([OURS, ADMIN]), conflicts='warn', force=True, **desired))
        assert state_of(fresh) != before, seed
        for module in MODULES:
            assert not good(fresh.module(module, state='absent', force=True)).get('warnings'), seed
        assert state_of(fresh) == before, seed
