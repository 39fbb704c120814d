# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab proves itself."""

import pytest
from oomlab import LabError
from oomlab.recipe import RECIPES

from conftest import FLAVOUR


def test_the_kernel_and_the_python_are_the_flavours(machine):
    recipe = RECIPES[FLAVOUR]
    assert machine.run('uname -r').stdout.startswith(recipe.kernel)
    assert machine.run('python3 --version').stdout.startswith(f'Python {recipe.python}.')


def test_nothing_is_set_in_a_fresh_machine(fresh):
    values = [fresh.sysctl(key) for key in ('vm.overcommit_memory', 'vm.overcommit_ratio', 'vm.overcommit_kbytes', 'vm.panic_on_oom',
                                            'kernel.panic')]
    assert values == [0, 50, 0, 0, 0]


def test_there_is_no_way_out(machine):
    script = 'import socket; socket.create_connection(("10.0.2.2", 22), timeout=3)'
    assert machine.run(f"python3 -c '{script}'", check=False).returncode != 0


def test_a_snapshot_brings_back_memory_and_disk(fresh):
    fresh.write_file('/root/x', b'1')
    fresh.run('echo 1 > /proc/sys/vm/overcommit_memory')
    seconds = fresh.restore('fresh')
    assert fresh.run('test -e /root/x', check=False).returncode == 1 and fresh.sysctl('vm.overcommit_memory') == 0
    print(f'restored in {seconds:.1f} s')


def test_a_reboot_keeps_the_disk_and_forgets_the_memory(fresh):
    fresh.write_file('/root/x', b'\xff\n')
    fresh.run('echo 1 > /proc/sys/vm/overcommit_memory')
    fresh.reboot()
    assert fresh.read_file('/root/x') == b'\xff\n' and fresh.sysctl('vm.overcommit_memory') == 0


def test_an_oom_kill_can_be_had(fresh):
    fresh.run('python3 -c "import time; x = bytearray(200 << 20); time.sleep(600)" >/dev/null 2>&1 & sleep 4')
    fresh.run('echo f > /proc/sysrq-trigger; sleep 1')
    assert 'Killed process' in fresh.run('dmesg').stdout


def test_failure_is_told(machine):
    with pytest.raises(LabError, match='ended with 3'):
        machine.run('exit 3')
