# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine is what it was when the scenario was prepared: check mode has changed nothing."""


def test_no_sysctl_differs(machine):
    assert machine.now()['sysctl'] == machine.prepared()['sysctl']


def test_no_file_differs(machine):
    assert machine.now()['files'] == machine.prepared()['files']


def test_no_process_of_a_service_differs(machine):
    services = [{unit: found for unit, found in state['processes'].items() if unit.endswith('.service')}
                for state in (machine.now(), machine.prepared())]
    assert services[0] == services[1]
    assert len(services[0]) > 5
