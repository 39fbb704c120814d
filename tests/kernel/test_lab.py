# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab proves itself."""

import pytest
from conftest import FLAVOUR
from oomlab import LabError, install
from oomlab.recipe import RECIPES


def test_the_kernel_and_the_python_are_the_flavours(machine):
    recipe = RECIPES[FLAVOUR]
    assert machine.run('uname -r').stdout.startswith(recipe.kernel)
    assert machine.run('python3 --version').stdout.startswith(f'Python {recipe.python}.')


def test_nothing_is_set_in_a_fresh_machine(fresh):
    keys = ('vm.overcommit_memory', 'vm.overcommit_ratio', 'vm.overcommit_kbytes', 'vm.panic_on_oom', 'kernel.panic')
    assert [fresh.sysctl(key) for key in keys] == [0, 50, 0, 0, 0]


def test_it_has_the_memory_that_was_asked_for(machine):
    assert 900 * 1024 < meminfo_kb(machine)['MemTotal'] < 1024 * 1024
    assert meminfo_kb(machine)['SwapTotal'] == 0


def meminfo_kb(machine):
    lines = machine.read_file('/proc/meminfo').decode().splitlines()
    return {name: int(rest.split()[0]) for name, rest in (line.split(':') for line in lines)}


def test_there_is_no_way_out(machine):
    script = 'import socket; socket.create_connection(("10.0.2.2", 22), timeout=3)'
    assert machine.run(f"python3 -c '{script}'", check=False).returncode != 0


def test_a_snapshot_brings_back_memory_and_disk(fresh):
    fresh.write_file('/root/x', b'1')
    fresh.run('echo 1 > /proc/sys/vm/overcommit_memory')
    seconds = fresh.restore('fresh')
    assert fresh.run('test -e /root/x', check=False).returncode == 1 and fresh.sysctl('vm.overcommit_memory') == 0
    print(f'restored in {seconds:.1f} s')


@pytest.mark.long
def test_a_reboot_keeps_the_disk_and_forgets_the_memory(fresh):
    fresh.write_file('/root/x', b'\xff\n')
    fresh.run('echo 1 > /proc/sys/vm/overcommit_memory')
    fresh.reboot()
    assert fresh.read_file('/root/x') == b'\xff\n' and fresh.sysctl('vm.overcommit_memory') == 0


def test_an_oom_kill_can_be_had(fresh):
    fresh.run('python3 -c "import time; x = bytearray(200 << 20); time.sleep(600)" >/dev/null 2>&1 & sleep 4')
    fresh.run('echo f > /proc/sysrq-trigger; sleep 1')
    assert 'Killed process' in fresh.run('dmesg').stdout


def test_the_quick_way_runs_a_module_as_root_and_as_anybody(fresh):
    as_root = fresh.module('oom_facts', top=1)
    as_tester = fresh.module('oom_facts', top=1, user='tester')
    assert as_root['_rc'] == 0 and as_tester['_rc'] == 0
    assert as_tester['ansible_facts']['oom']['memory']['total_kb'] == meminfo_kb(fresh)['MemTotal']
    print(f'a module run takes {as_root["_seconds"]:.2f} s in the guest')


def test_the_quick_way_says_so_when_the_guest_cannot_fork(fresh):
    assert fresh.module('oom_facts', top=1)['_rc'] == 0  # the runner is there before the limit is
    limit_kb = meminfo_kb(fresh)['Committed_AS'] + 1024
    fresh.run(f'cd /proc/sys/vm && echo {limit_kb} > overcommit_kbytes && echo 2 > overcommit_memory')
    answer = fresh.module('oom_facts', top=1)
    assert answer['failed'] and answer['msg'].startswith('runner: fork: ')
    fresh.restore('fresh')
    assert fresh.module('oom_facts', top=1)['_rc'] == 0


def test_the_mirror_is_debians_own():
    archives = [('u://docker/linux/debian', 'bookworm'), ('u://mirror/debian', 'bookworm'),
                ('u://mirror/debian', 'bookworm-updates'), ('u://mirror/debian-security', 'bookworm-security')]
    assert install.mirror_among(archives, 'bookworm') == 'u://mirror/debian/'
    assert install.mirror_among(archives[:1], 'trixie') is None


def test_failure_is_reported(machine):
    with pytest.raises(LabError, match='ended with 3'):
        machine.run('exit 3')
