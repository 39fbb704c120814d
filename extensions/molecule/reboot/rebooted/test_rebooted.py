# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""It was a reboot, and the values after it are those of the forecast."""


def test_it_is_another_boot(machine):
    assert machine.now()['boot'] != machine.prepared()['boot']


def test_redis_was_started_with_it(machine):
    assert set(machine.scores('redis-server.service').values()) == {-500}


def test_no_unit_failed(machine):
    assert machine.host.check_output('systemctl --failed --no-legend --plain') == ''
