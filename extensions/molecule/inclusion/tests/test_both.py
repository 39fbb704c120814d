# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both calls asked for is there, and no more."""


def test_the_kernel_has_the_requests_of_both(machine):
    before, now = machine.prepared()['sysctl'], machine.now()['sysctl']
    wanted = {'vm.overcommit_memory': 1, 'vm.panic_on_oom': 1, 'kernel.panic': 20}
    assert now == dict(before, **wanted)


def test_the_services_have_them(machine):
    assert set(machine.scores('redis-server.service').values()) == {-400}
    assert set(machine.scores('nginx.service').values()) == {400}


def test_the_second_call_took_nothing_from_the_first(machine):
    for unit in ('redis-server', 'nginx'):
        assert machine.host.file(f'/etc/systemd/system/{unit}.service.d/90-oomkit.conf').exists
    lines = machine.host.file('/etc/sysctl.d/99-oomkit.conf').content_string.splitlines()
    assert 'vm.overcommit_memory = 1' in lines and 'vm.panic_on_oom = 1' in lines and 'kernel.panic = 20' in lines


def test_no_other_file_differs(machine):
    before, now = machine.prepared()['files'], machine.now()['files']
    differ = {path for path in {*before, *now} if before.get(path) != now.get(path)}
    unexpected = [path for path in differ if 'oomkit' not in path and not path.endswith('.service.d')]
    assert differ and unexpected == []
