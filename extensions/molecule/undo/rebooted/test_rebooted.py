# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next boot is as if there had never been a policy."""


def test_the_kernel_has_the_old_values(machine):
    now, before = machine.now(), machine.before()
    assert now['boot'] != before['boot']
    # The kernel computes the reserve again at each boot, from the memory that is free then.
    for state in (now, before):
        state['sysctl'].pop('vm.user_reserve_kbytes')
    # Sysctls that were set at runtime only have the values of the files.
    assert now['sysctl'] == {**before['sysctl'], 'vm.overcommit_ratio': 60, 'kernel.panic': 20}


def test_the_services_have_the_old_scores(machine):
    for unit, score in (('redis-server', 0), ('nginx', 0), ('cron', 7)):
        assert set(machine.scores(f'{unit}.service').values()) == {score}
