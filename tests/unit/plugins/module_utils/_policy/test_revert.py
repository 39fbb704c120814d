# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""state: absent on hosts with settings of others: it reverts what this collection changed, and nothing else."""

import json

import amounts
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machine import OURS, Machine, run

from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import (
    ADMIN_RESERVE,
    KBYTES,
    MEMORY,
    PANIC,
    PANIC_ON_OOM,
    RATIO,
)
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import file_edit, saved_values

# What a kubelet sets at runtime, which is in no file.
KUBELET = {MEMORY: 1, RATIO: 70, PANIC: 10}
ADMIN = '/etc/sysctl.d/50-admin.conf'


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path, **KUBELET)


def state_of(machine):
    return dict(machine.state), machine.tree()


def is_unmanaged(machine, module='overcommit', **params):
    """absent changes nothing and says so, in check mode too."""
    before = state_of(machine)
    for check in (True, False):
        result = run(machine, module, check=check, state='absent', **params)
        assert not result['changed'] and result['managed'] is False and 'Nothing was changed' in result['msg']
        assert result['warnings'] == [] and state_of(machine) == before
    assert machine.log == []


@pytest.mark.parametrize('sides', [{}, {'runtime': False}, {'persistent': False}])
@pytest.mark.parametrize('module', ['overcommit', 'panic_on_oom'])
def test_a_host_that_was_never_managed_stays_as_it_is(machine, module, sides):
    machine.put(ADMIN, 'vm.overcommit_memory = 1   # mine\nvm.panic_on_oom=1\n')
    machine.state[PANIC_ON_OOM] = 1
    machine.state[PANIC] = 0
    machine.show()
    for path in (OURS, ADMIN):
        is_unmanaged(machine, module, sysctl_file=path, **sides)


def test_values_of_the_kubelet_come_back(machine):
    before = state_of(machine)
    run(machine, 'overcommit', mode='never', ratio=90)
    result = run(machine, 'overcommit', state='absent')
    assert result['managed'] and result['warnings'] == [] and state_of(machine) == before
    is_unmanaged_after(machine)


def is_unmanaged_after(machine):
    machine.log.clear()
    is_unmanaged(machine)


def test_a_value_of_the_boot_goes_to_what_the_boot_gives_now(machine):
    machine.put('/etc/sysctl.d/40-x.conf', 'vm.overcommit_kbytes=3000000\nvm.overcommit_memory=1\n')
    machine.reboot()
    run(machine, 'overcommit', mode='never', ratio=90)
    machine.put('/etc/sysctl.d/40-x.conf', 'vm.overcommit_ratio=66\nvm.overcommit_memory=1\n')
    run(machine, 'overcommit', state='absent')
    assert [machine.state[key] for key in (MEMORY, RATIO, KBYTES)] == [1, 66, 0]


def test_our_value_changed_by_others_stays_and_is_reported(machine):
    run(machine, 'overcommit', mode='never', ratio=90)
    machine.state[MEMORY] = 0
    machine.show()
    planned = run(machine, 'overcommit', check=True, state='absent')
    result = run(machine, 'overcommit', state='absent')
    assert result == planned and machine.state[MEMORY] == 0 and machine.state[RATIO] == 70
    assert 'vm.overcommit_memory = 0 stays' in result['warnings'][0] and len(result['warnings']) == 1
    is_unmanaged_after(machine)


def test_what_was_never_asked_for_stays(machine):
    run(machine, 'overcommit', mode='never')
    machine.state[RATIO] = 33
    machine.show()
    run(machine, 'overcommit', state='absent')
    assert (machine.state[MEMORY], machine.state[RATIO]) == (1, 33)


@pytest.mark.parametrize('path', [ADMIN, '/etc/sysctl.d/99-oomkit.conf'])
@pytest.mark.parametrize(
    'text',
    [
        'vm.overcommit_memory = 1   # mine\n',
        '# a\nvm.overcommit_memory=0\nvm.swappiness=1\nvm/overcommit_memory=1\nvm.overcommit_kbytes=7\n\n',
        'vm.overcommit_memory=1',
        'vm.swappiness=9',
        'vm.swappiness=9\r\nvm.overcommit_memory=1\r\n',
        '',
    ],
)
def test_the_lines_of_the_administrator_come_back_to_the_byte(machine, path, text):
    machine.put(path, text)
    before = state_of(machine)
    run(machine, 'overcommit', mode='never', ratio=90, sysctl_file=path)
    run(machine, 'overcommit', mode='never', kbytes=3_000_000, sysctl_file=path)
    run(machine, 'panic_on_oom', policy='panic', reboot_after=5, sysctl_file=path)
    # The record knows the file.
    run(machine, 'overcommit', state='absent')
    run(machine, 'panic_on_oom', state='absent')
    assert state_of(machine) == before


def test_only_our_line_leaves_a_file_that_was_edited_meanwhile(machine):
    machine.put(ADMIN, 'vm.overcommit_memory = 1   # mine\n')
    run(machine, 'overcommit', mode='never', ratio=90, sysctl_file=ADMIN)
    machine.put(ADMIN, '# new\n' + machine.get(ADMIN) + 'vm.swappiness=3\n')
    run(machine, 'overcommit', state='absent', sysctl_file=ADMIN)
    assert machine.get(ADMIN) == '# new\nvm.overcommit_memory = 1   # mine\nvm.swappiness=3\n'


@pytest.mark.parametrize('path', [ADMIN, OURS])
def test_our_line_changed_by_others_stays_and_is_reported(machine, path):
    run(machine, 'overcommit', mode='never', ratio=90, sysctl_file=path)
    machine.put(path, machine.get(path).replace('ratio = 90', 'ratio = 91'))
    result = run(machine, 'overcommit', state='absent', sysctl_file=path)
    assert machine.get(path) == 'vm.overcommit_ratio = 91\n'
    assert '"vm.overcommit_ratio = 91" stays' in result['warnings'][0]
    # The value after reboot is not what was there: it was not from the boot.
    assert machine.state[RATIO] == 70
    is_unmanaged_after(machine)


def test_a_file_with_our_header_is_its_own_record(machine):
    machine.put(OURS, file_edit.HEADER + 'vm.overcommit_memory = 2\nvm.overcommit_ratio = 90\n')
    machine.reboot()
    machine.state[RATIO] = 44
    machine.show()
    result = run(machine, 'overcommit', state='absent')
    assert machine.get(OURS) is None and (machine.state[MEMORY], machine.state[RATIO]) == (0, 44)
    assert 'vm.overcommit_ratio = 44 stays' in result['warnings'][0]
    is_unmanaged_after(machine)


def test_image_gets_no_values_and_a_minimal_record(machine):
    machine.put('/run/systemd/container', 'lxc\n')
    before = machine.tree()
    run(machine, 'overcommit', ratio=90, runtime=False)
    assert machine.get(saved_values.FILE) is None
    run(machine, 'overcommit', state='absent', runtime=False)
    assert machine.tree() == before
    machine.put(ADMIN, 'vm.overcommit_ratio=50')
    before = machine.tree()
    run(machine, 'overcommit', ratio=90, runtime=False, sysctl_file=ADMIN)
    assert json.loads(machine.get(saved_values.FILE))['values'] == {}
    run(machine, 'overcommit', state='absent', runtime=False)
    assert machine.tree() == before


@pytest.mark.parametrize('first', [{'runtime': False}, {'persistent': False}])
def test_one_side_keeps_what_the_other_needs(machine, first):
    before = state_of(machine)
    run(machine, 'overcommit', mode='never', ratio=90, admin_reserve_kbytes=9000)
    run(machine, 'overcommit', state='absent', **first)
    assert not run(machine, 'overcommit', state='absent', **first)['changed']
    if first == {'persistent': False}:
        assert machine.state == before[0] and machine.get(OURS)
    else:
        assert machine.state[ADMIN_RESERVE] == 9000 and machine.get(OURS) is None
    assert machine.get(saved_values.FILE) is not None
    run(machine, 'overcommit', state='absent')
    assert state_of(machine) == before


def test_one_side_after_the_boot_has_set_our_line(machine):
    run(machine, 'overcommit', mode='never', ratio=90, admin_reserve_kbytes=9000)
    run(machine, 'overcommit', state='absent', persistent=False)
    machine.reboot()
    assert machine.state[MEMORY] == 2
    run(machine, 'overcommit', state='absent', runtime=False)
    run(machine, 'overcommit', state='absent')
    assert [machine.state[key] for key in (MEMORY, RATIO, ADMIN_RESERVE)] == [1, 70, 6000]
    is_unmanaged_after(machine)


# ------------------------------------------------------------------ from anywhere

LINES = st.lists(
    st.sampled_from(
        [
            'vm.overcommit_memory = 1   # mine',
            'vm.overcommit_memory=0',
            '-vm/overcommit_ratio = 80',
            'vm.overcommit_kbytes=3000000',
            'vm.admin_reserve_kbytes=4444',
            'vm.panic_on_oom=1',
            'kernel.panic=10',
            'kernel.panic = 20 # y',
            'vm.oom_kill_allocating_task=0',
            'vm.swappiness=1',
            '# note',
            '',
        ]
    ),
    max_size=6,
)
PATHS = ['/etc/sysctl.d/10-vendor.conf', ADMIN, OURS]
REQUESTS = [
    ('overcommit', {'mode': 'never'}),
    ('overcommit', {'mode': 'always', 'ratio': 90}),
    ('overcommit', {'kbytes': 3_500_000}),
    ('overcommit', {'admin_reserve_kbytes': 9000, 'user_reserve_kbytes': 10_000}),
    ('panic_on_oom', {'policy': 'panic', 'reboot_after': 10}),
    ('panic_on_oom', {'policy': 'kill'}),
    ('panic_on_oom', {'reboot_after': 40, 'kill_allocating_task': True}),
]


@st.composite
def foreign_starts(draw):
    """(values, files, whether the machine was booted with these files)."""
    pair = draw(st.sampled_from([(50, 0), (70, 0), (0, 3_000_000), (0, 0)]))
    values = {
        MEMORY: draw(st.sampled_from([0, 1, 2])),
        RATIO: pair[0],
        KBYTES: pair[1],
        ADMIN_RESERVE: draw(st.sampled_from([8192, 5000])),
        PANIC_ON_OOM: draw(st.sampled_from([0, 1])),
        PANIC: draw(st.sampled_from([0, 10, 30])),
        'vm.oom_kill_allocating_task': draw(st.sampled_from([0, 1])),
    }
    files = {}
    for path in draw(st.sets(st.sampled_from(PATHS))):
        files[path] = '\n'.join(draw(LINES)) + draw(st.sampled_from(['\n', '']))
    return values, files, draw(st.booleans())


def start(folder, init, values, files, boots):
    machine = Machine(folder, init=init, ram_kb=8 * 1024**2, committed_kb=1000, **values)
    for path, text in files.items():
        machine.put(path, text)
    if boots:
        machine.reboot()
    return machine


ANYWHERE = settings(max_examples=amounts.examples(60),
                    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANYWHERE
@given(foreign_starts(), st.sampled_from(['systemd', 'other']), st.data())
def test_present_and_absent_lead_back_from_every_start(tmp_path_factory, foreign, init, data):
    machine = start(tmp_path_factory.mktemp('machine'), init, *foreign)
    before = state_of(machine)
    for module, desired in data.draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4)):
        sides = data.draw(st.sampled_from([{}, {}, {'runtime': False}, {'persistent': False}]))
        path = data.draw(st.sampled_from(PATHS))
        params = dict(desired, **sides, sysctl_file=path, conflicts='warn', force=True)
        run(machine, module, **params)
        assert not run(machine, module, **params)['changed']
    for module in data.draw(st.permutations(['overcommit', 'panic_on_oom'])):
        result = run(machine, module, state='absent', force=True)
        assert result['warnings'] == [], result
        assert not run(machine, module, state='absent', force=True)['changed']
    assert state_of(machine) == before


@ANYWHERE
@given(foreign_starts(), st.sampled_from(['systemd', 'other']), st.sampled_from(PATHS))
def test_absent_changes_nothing_anywhere_where_nothing_was_set(tmp_path_factory, foreign, init, path):
    machine = start(tmp_path_factory.mktemp('machine'), init, *foreign)
    machine.log.clear()
    for module in ('overcommit', 'panic_on_oom'):
        is_unmanaged(machine, module, sysctl_file=path)
