# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""There is something to undo."""


def test_the_policy_is_there(machine):
    now, before = machine.now(), machine.before()
    assert now['sysctl']['vm.overcommit_memory'] == 2 and now['sysctl']['vm.panic_on_oom'] == 1
    assert len(set(now['files']) - set(before['files'])) >= 5
    # A worker of nginx has a value of its own.
    for unit, scores in (('redis-server', {-500}), ('nginx', {200, 77}), ('cron', {300})):
        assert set(machine.scores(f'{unit}.service').values()) == scores
