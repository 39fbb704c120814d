# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine is what it was when the scenario was prepared: check mode has changed nothing."""


def test_no_sysctl_differs(machine):
    assert machine.now()['sysctl'] == machine.prepared()['sysctl']


def test_no_file_differs(machine):
    assert machine.now()['files'] == machine.prepared()['files']


def test_no_service_was_restarted_or_has_another_score(machine):
    kept = machine.kept_processes()
    assert {'nginx.service', 'postgresql@17-main.service', 'ssh.service'} <= set(kept)
    for unit, pairs in kept.items():
        assert [before['score'] for before, _now in pairs] == [now['score'] for _before, now in pairs], unit
