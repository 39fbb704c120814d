# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from machine import OURS, Machine, run

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import (
    PANIC,
    PANIC_ON_OOM,
)
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import saved_values
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import list_sysctls

KILL_ALLOCATING_TASK = 'vm.oom_kill_allocating_task'


def again_is_unchanged(machine, **params):
    assert not run(machine, 'panic_on_oom', **params)['changed']


def test_both_sides_and_back(machine):
    sysctls = list_sysctls('panic_on_oom')
    before = {sysctl.key: machine.state[sysctl.key] for sysctl in sysctls}
    params = {sysctl.option: not before[sysctl.key] for sysctl in sysctls if sysctl.is_switch}
    params.update(policy='panic', reboot_after=5)
    planned = run(machine, 'panic_on_oom', check=True, **params)
    assert run(machine, 'panic_on_oom', **params) == planned
    assert planned['changed_keys'] == list(before)
    again_is_unchanged(machine, **params)
    machine.reboot()
    again_is_unchanged(machine, **params)
    run(machine, 'panic_on_oom', state='absent')
    assert {key: machine.state[key] for key in before} == before
    assert machine.get(OURS) is None
    again_is_unchanged(machine, state='absent')


@pytest.mark.parametrize('params', [dict(policy='panic'), dict(policy='panic_always'), dict(policy=1, reboot_after=0)])
def test_a_panic_without_a_reboot_is_refused(tmp_path, params):
    machine = Machine(tmp_path, defaults=True)
    before = machine.tree()
    with pytest.raises(Refusal, match='hang forever.*reboot_after'):
        run(machine, 'panic_on_oom', **params)
    assert machine.tree() == before and machine.log == []
    assert run(machine, 'panic_on_oom', force=True, **params)['changed']
    again_is_unchanged(machine, force=True, **params)


@pytest.mark.parametrize('text', ['0x7f', '', 'x'])
def test_a_reboot_that_is_not_known_is_none(machine, text):
    machine.put('/proc/sys/kernel/panic', text)
    with pytest.raises(Refusal, match='hang forever.*reboot_after'):
        run(machine, 'panic_on_oom', policy='panic', persistent=False)


def test_taking_the_reboot_away_is_refused_too(machine):
    run(machine, 'panic_on_oom', policy='panic', reboot_after=10)
    with pytest.raises(Refusal, match='at runtime'):
        run(machine, 'panic_on_oom', reboot_after=0)


def test_the_boot_counts_as_well(tmp_path):
    machine = Machine(tmp_path, defaults=True, **{PANIC: 10})
    with pytest.raises(Refusal, match='after the next boot'):
        run(machine, 'panic_on_oom', policy='panic')
    run(machine, 'panic_on_oom', policy='panic', persistent=False)
    machine.put('/proc/cmdline', 'panic=-1\n')
    run(machine, 'panic_on_oom', policy='panic')


def test_what_does_not_concern_the_panic_passes(machine):
    machine.state[PANIC_ON_OOM] = 1
    machine.show()
    assert run(machine, 'panic_on_oom', kill_allocating_task=False)['changed']


def test_the_order(machine):
    run(machine, 'panic_on_oom', policy='panic', reboot_after=12)
    assert machine.log == [(PANIC, 12), (PANIC_ON_OOM, 1)]
    machine.log.clear()
    run(machine, 'panic_on_oom', policy='kill', reboot_after=0)
    assert machine.log == [(PANIC_ON_OOM, 0), (PANIC, 0)]


def test_warnings(machine):
    assert run(machine, 'panic_on_oom', policy='panic', reboot_after=5)['warnings'] == []
    machine.put('/sys/kernel/kexec_crash_loaded', '1\n')
    warnings = run(machine, 'panic_on_oom', policy='panic_always', reboot_after=5)['warnings']
    assert 'container' in warnings[0] and 'kdump' in warnings[1]
    assert run(machine, 'panic_on_oom', policy='kill')['warnings'] == []


@pytest.mark.parametrize('sign', ['proc/1/root', 'run/systemd/container'])
def test_a_panic_of_an_image_reboots_by_what_is_in_the_image(tmp_path, sign):
    """The command line of the machine that makes it is not the one that it is booted with."""
    machine = Machine(tmp_path, defaults=True)
    machine.put('/proc/cmdline', 'ro panic=1\n')
    record = saved_values.Record({PANIC: saved_values.Value(1, True, None, None)}, {})
    machine.put(saved_values.FILE, saved_values.dump(record))
    assert run(machine, 'panic_on_oom', check=True, policy='panic', runtime=False)['after']['boot'][PANIC] == 1
    (machine.base / sign).mkdir() if sign == 'proc/1/root' else machine.put('/' + sign, 'lxc\n')
    before = machine.tree()
    for check in (True, False):
        with pytest.raises(Refusal, match='hang forever: after the next boot'):
            run(machine, 'panic_on_oom', check=check, policy='panic', runtime=False)
    assert machine.tree() == before
    result = run(machine, 'panic_on_oom', policy='panic', reboot_after=5, runtime=False)
    assert result['after']['boot'][PANIC] == 5
    result = run(machine, 'panic_on_oom', policy='kill', reboot_after=0, runtime=False)
    assert result['after']['boot'][PANIC] == 0
    run(machine, 'panic_on_oom', state='absent', runtime=False)
    assert machine.get(OURS) is None
    assert run(machine, 'panic_on_oom', policy='kill', runtime=False)['after']['boot'][PANIC] == 0
    # What runs here is this machine's, command line and all.
    machine.state[PANIC] = 1
    machine.show()
    assert run(machine, 'panic_on_oom', policy='panic', reboot_after=1, force=True)['after']['boot'][PANIC] == 1


def test_every_number_but_zero_means_on(machine):
    machine.state[KILL_ALLOCATING_TASK] = 7
    machine.show()
    run(machine, 'panic_on_oom', kill_allocating_task=True)
    assert machine.state[KILL_ALLOCATING_TASK] == 7
    again_is_unchanged(machine, kill_allocating_task=True)


def test_the_original_reboot_delay_comes_back(machine):
    machine.state[PANIC] = 30
    machine.show()
    run(machine, 'panic_on_oom', policy='panic', reboot_after=10)
    run(machine, 'panic_on_oom', state='absent')
    assert machine.state[PANIC] == 30
    again_is_unchanged(machine, state='absent')


@pytest.mark.parametrize(
    'params, message',
    [
        (dict(policy=True), 'policy'),
        (dict(policy='reboot'), 'policy'),
        (dict(reboot_after='10s'), 'reboot_after'),
        (dict(reboot_after=2**31), 'out of range'),
        (dict(policy=3), 'panic_always'),
    ],
)
def test_bad_input(machine, params, message):
    with pytest.raises(ConvertError, match=message):
        run(machine, 'panic_on_oom', **params)
