# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs, boots and edits by others one after the other, then state: absent, compared with a model that knows no run.

The model is a second machine on which only the others act. What it has at the end is right: to the byte for files,
and for values too, unless somebody else set a value last. OOMKIT_SEQUENCES is the number of random sequences.
"""

import os

import amounts
import kernel_model
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from machine import OURS, Machine, run

from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import (
    KBYTES,
    MEMORY,
    PANIC,
    PANIC_ON_OOM,
    RATIO,
    USER_RESERVE,
)
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import file_edit, saved_values
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import SYSCTLS

SEQUENCES = int(os.environ.get('OOMKIT_SEQUENCES', amounts.examples(20)))
ADMIN = '/etc/sysctl.d/50-admin.conf'
LATE = '/etc/sysctl.d/zz-admin.conf'


@pytest.fixture
def machine(tmp_path):
    """A kubelet has set what is in no file."""
    return Machine(tmp_path, **{MEMORY: 1, RATIO: 70, PANIC: 10})


def set_by_others(machine, key, value):
    kernel_model.write(machine.state, key, str(value))
    machine.show()


def files(machine):
    """All files with their modes, but for copies that comment_out made of files of others."""
    return {
        path: (data, os.stat(machine.base / path).st_mode & 0o7777)
        for path, data in machine.tree().items()
        if '.oomkit-' not in path
    }


# --------------------------------------------------------------- values of others


@pytest.mark.parametrize('sides', [{}, {'persistent': False}])
def test_our_earlier_value_set_by_others_is_theirs(machine, sides):
    run(machine, 'overcommit', mode='heuristic', **sides)
    run(machine, 'overcommit', mode='always', **sides)
    run(machine, 'overcommit', mode='never', force=True, **sides)
    for value in (0, 1):
        set_by_others(machine, MEMORY, value)
        result = run(machine, 'overcommit', check=True, state='absent')
        assert result['after']['runtime'][MEMORY] == value
    set_by_others(machine, MEMORY, 0)
    result = run(machine, 'overcommit', state='absent')
    assert machine.state[MEMORY] == 0 and 'vm.overcommit_memory = 0 stays' in result['warnings'][0]


def test_a_line_of_others_like_our_last_but_one_is_theirs(machine):
    machine.put(ADMIN, '# mine\n')
    run(machine, 'overcommit', mode='always', sysctl_file=ADMIN)
    run(machine, 'overcommit', mode='never', force=True, sysctl_file=ADMIN)
    machine.put(ADMIN, machine.get(ADMIN) + 'vm.overcommit_memory = 1\n')
    run(machine, 'overcommit', state='absent')
    assert machine.get(ADMIN) == '# mine\nvm.overcommit_memory = 1\n'


def test_value_reverts_to_that_before_first_runtime_change(machine):
    """The line alone was written long before."""
    run(machine, 'overcommit', mode='never', kbytes=900_000, force=True, runtime=False)
    set_by_others(machine, MEMORY, 0)
    set_by_others(machine, RATIO, 33)
    run(machine, 'overcommit', mode='never', kbytes=900_000, force=True)
    run(machine, 'overcommit', state='absent')
    assert [machine.state[key] for key in (MEMORY, RATIO, KBYTES)] == [0, 33, 0]


def test_an_unknown_value_after_reboot_is_not_taken_for_zero(machine):
    """systemd-sysctl does not write an excluded key, and the kernel computes this one."""
    machine.put(ADMIN, '-vm.user_reserve_kbytes\n')
    machine.put(OURS, file_edit.HEADER + 'vm.user_reserve_kbytes = 5555\n')
    machine.reboot()
    result = run(machine, 'overcommit', state='absent')
    assert machine.state[USER_RESERVE] == 131072 and 'documented default 131072' in result['warnings'][0]


def test_values_computed_by_tuned_are_reverted(machine):
    machine.put('/etc/systemd/system/multi-user.target.wants/tuned.service', '')
    machine.put('/usr/lib/systemd/system/tuned.service', '[Service]\nExecStart=/usr/sbin/tuned\n')
    machine.put('/etc/tuned/active_profile', 'mine\n')
    machine.put('/etc/tuned/mine/tuned.conf', '[sysctl]\nvm.overcommit_memory=${f:x:1}\nvm.overcommit_ratio=${f:x:2}\n')
    run(machine, 'overcommit', mode='never', kbytes=900_000, force=True, conflicts='warn')
    run(machine, 'overcommit', state='absent')
    assert [machine.state[key] for key in (MEMORY, RATIO, KBYTES)] == [1, 70, 0]


def test_glob_stays_commented_while_another_module_needs_it(machine):
    """It loses against a line that names the key, but it sets kbytes, which erases the ratio."""
    machine.put(LATE, 'vm.*=1\n')
    before = files(machine)
    run(machine, 'panic_on_oom', policy='panic', reboot_after=10)
    desired = {'mode': 'never', 'ratio': 90, 'force': True}
    run(machine, 'overcommit', conflicts='comment_out', **desired)
    run(machine, 'panic_on_oom', state='absent')
    assert not run(machine, 'overcommit', **desired)['changed']
    run(machine, 'overcommit', state='absent')
    assert files(machine) == before


@pytest.mark.parametrize(
    'data', [b'', b'{', b'\xff', b'{}', b'null', b'{"values": {"vm.overcommit_memory": {"original": 1}}}', b'[' * 9999]
)
def test_a_damaged_record_is_named(machine, data):
    run(machine, 'overcommit', mode='never', ratio=90, force=True)
    machine.put(saved_values.FILE, data)
    for params in ({'mode': 'never'}, {'state': 'absent'}):
        assert 'is damaged' in run(machine, 'overcommit', check=True, **params)['warnings'][0]
    run(machine, 'overcommit', state='absent')
    assert machine.get(OURS) is None and machine.state[MEMORY] == 0


# ---------------------------------------------------------------- files of others

TEXTS = [
    'vm.overcommit_memory = 1   # m\u00e9\n'.encode('latin-1'),
    b'\xff\xfevm.overcommit_memory = 1\n',
    b'vm.overcommit_memory = 1\r\nvm.swappiness=3\r\n',
    b'vm.overcommit_memory = 1\rvm.overcommit_ratio=33\n',
    b'vm.overcommit_memory=1\0\n',
    b'-vm.overcommit_memory=1',
    b'vm/overcommit_*=1\nvm.overcommit_ratio=9',
    b'vm.overcommit_memory=0\n\n\nvm.overcommit_memory=1\n; x\nvm.overcommit_memory=0',
]


@pytest.mark.parametrize('conflicts', ['comment_out', 'warn'])
@pytest.mark.parametrize('path', [ADMIN, OURS, LATE])
@pytest.mark.parametrize('text', TEXTS)
def test_any_bytes_come_back(machine, text, path, conflicts):
    os.chmod(machine.put(path, text), 0o640)
    before, state = files(machine), dict(machine.state)
    for ours in (path, OURS):
        params = {'sysctl_file': ours, 'conflicts': conflicts}
        run(machine, 'overcommit', mode='never', ratio=90, force=True, **params)
        run(machine, 'panic_on_oom', policy='panic', reboot_after=10, **params)
        run(machine, 'overcommit', mode='always', kbytes=900_000, force=True, **params)
    for module in ('overcommit', 'panic_on_oom'):
        run(machine, module, state='absent')
    assert files(machine) == before and machine.state == state


def test_a_link_stays_one(machine):
    machine.put('/etc/sysctl.conf', 'vm.overcommit_memory = 1\n')
    link = machine.link('/etc/sysctl.d/99-sysctl.conf', '../sysctl.conf')
    before = files(machine)
    run(machine, 'overcommit', mode='never', force=True, sysctl_file='/etc/sysctl.d/99-sysctl.conf')
    assert link.is_symlink() and files(machine) != before
    run(machine, 'overcommit', state='absent')
    assert link.is_symlink() and files(machine) == before


def link_to(target):
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize(
    'replace',
    [os.mkdir, os.mkfifo, link_to('/dev/null'), link_to('/etc/nowhere'), link_to('50-admin.conf'), str],
    ids=['folder', 'pipe', 'mask', 'dangling', 'link to a file of others', 'gone'],
)
def test_what_somebody_puts_in_the_place_of_our_file_is_theirs(machine, replace):
    """A file that such a link leads to has a line like ours."""
    state = dict(machine.state)
    before = files(machine)
    run(machine, 'overcommit', mode='never', ratio=90, force=True)
    run(machine, 'panic_on_oom', policy='kill', kill_allocating_task=False)
    path = machine.base / OURS[1:]
    path.unlink()
    replace(path)
    theirs = machine.put(ADMIN, 'vm.overcommit_memory = 2\n')
    for module in ('overcommit', 'panic_on_oom'):
        run(machine, module, state='absent')
        assert run(machine, module, state='absent')['managed'] is False
    assert machine.state == state and theirs.read_text() == 'vm.overcommit_memory = 2\n'
    assert os.path.lexists(path) is (replace is not str)
    if replace is not str:
        path.rmdir() if path.is_dir() else path.unlink()
    theirs.unlink()
    assert files(machine) == before


# -------------------------------------------------------------------- sequences

PATHS = ['/etc/sysctl.d/10-vendor.conf', ADMIN, OURS, LATE]
# The values of others differ from all that a run sets and from the kernel's: each value has one possible source.
OTHERS = {MEMORY: [1], RATIO: [61, 62], KBYTES: [2_000_000], USER_RESERVE: [7001], PANIC: [11, 12], PANIC_ON_OOM: [1]}
REQUESTS = [
    ('overcommit', {'mode': 'never'}),
    ('overcommit', {'mode': 'never', 'ratio': 90}),
    ('overcommit', {'kbytes': 3_500_000}),
    ('overcommit', {'user_reserve_kbytes': 10_000}),
    ('panic_on_oom', {'policy': 'panic_always', 'reboot_after': 20}),
    ('panic_on_oom', {'reboot_after': 30, 'kill_allocating_task': True}),
]
a_setting = st.sampled_from([(key, value) for key, values in OTHERS.items() for value in values])
an_edit = st.tuples(
    st.just('edit'),
    st.sampled_from(PATHS),
    st.booleans(),
    st.one_of(
        st.tuples(a_setting, st.sampled_from(['%s = %d\n', '-%s=%d   # mine\n', '%s\t=\t%d\r\n'])).map(
            lambda pair: pair[1] % pair[0]
        ),
        st.sampled_from(['# caf\u00e9\n', 'vm.swappiness = 3\n', '; vm.overcommit_memory = 1\n']),
    ),
)
a_run = st.tuples(
    st.just('run'),
    st.sampled_from(REQUESTS),
    st.sampled_from(PATHS),
    st.sampled_from([{}, {}, {'persistent': False}, {'runtime': False}]),
    st.sampled_from(['warn', 'comment_out']),
)
an_absent = st.tuples(
    st.just('absent'),
    st.sampled_from(['overcommit', 'panic_on_oom']),
    st.sampled_from([{}, {'persistent': False}, {'runtime': False}]),
)
steps = st.lists(
    st.one_of(an_edit, a_run, a_run, an_absent, st.tuples(st.just('set'), a_setting), st.just(('boot',))),
    min_size=1,
    max_size=9,
)


def edit(machine, path, at_end, line):
    """Somebody else adds a line; an editor makes the file where there is none."""
    target = machine.base / path[1:]
    old = target.read_bytes() if target.exists() else b''
    machine.put(path, old + line.encode() if at_end else line.encode() + old)


SETTINGS = [(MEMORY,), (RATIO, KBYTES), (USER_RESERVE,), (PANIC,), (PANIC_ON_OOM,), ('vm.oom_kill_allocating_task',)]


def values_of(machine):
    return {setting: tuple(machine.state[key] for key in setting) for setting in SETTINGS}


def values_at_boot(machine):
    state = dict(kernel_model.DEFAULTS)
    kernel_model.boot(machine.base, state, systemd=257 if machine.init == 'systemd' else 0)
    return {setting: tuple(state[key] for key in setting) for setting in SETTINGS}


class Model:
    """The machine, the one of the others alone, and who set which value when, without a look at our record."""

    def __init__(self, folder, init):
        self.machine = Machine(folder / 'real', init=init, ram_kb=8 * 1024**2, committed_kb=1000)
        self.others = Machine(folder / 'others', init=init, ram_kb=8 * 1024**2, committed_kb=1000)
        self.first = {}  # by setting: the values when a run first changed it, None if the boot gave them
        self.last = {}  # by setting: who changed it last

    def take(self, step):
        kind, *rest = step
        before = values_of(self.machine)
        boot = values_at_boot(self.machine)
        if kind == 'run':
            self.run(*rest)
        if kind == 'absent':
            self.revert(*rest)
        for one in (self.machine, self.others) if kind not in ('run', 'absent') else ():
            if kind == 'edit':
                edit(one, *rest)
            elif kind == 'set':
                set_by_others(one, *rest[0])
            else:
                one.reboot()
        for setting, values in values_of(self.machine).items():
            if kind == 'run' and values != before[setting]:
                self.first.setdefault(setting, None if before[setting] == boot[setting] else before[setting])
            if kind != 'absent' and (values != before[setting] or kind == 'set' and rest[0][0] in setting):
                self.last[setting] = kind
        if kind == 'boot':  # what was set without a line is gone, and a line of ours may have set the value
            self.first.update(dict.fromkeys(SETTINGS, 'unsure'))

    def revert(self, module, sides):
        right = self.right_values()
        before = values_of(self.machine)
        run(self.machine, module, state='absent', force=True, **sides)
        assert not run(self.machine, module, state='absent', force=True, **sides)['changed']
        found = values_of(self.machine)
        if 'runtime' in sides:
            assert found == before
            return
        for setting in SETTINGS:
            if SYSCTLS[setting[0]].module == module:
                assert setting not in right or found[setting] == right[setting]
                if self.first.get(setting) != 'unsure':
                    self.first.pop(setting, None)
                    self.last[setting] = 'absent'

    def run(self, desired, path, sides, conflicts):
        params = dict(desired[1], sysctl_file=path, conflicts=conflicts, force=True, **sides)
        plan = run(self.machine, desired[0], check=True, **params)
        result = run(self.machine, desired[0], **params)
        assert {**result, 'backup_files': None} == {**plan, 'backup_files': None}
        assert not run(self.machine, desired[0], **params)['changed']

    def right_values(self):
        """By setting, what absent leaves or sets, where that is sure."""
        right = values_of(self.machine)
        boot = values_at_boot(self.others)
        for setting in SETTINGS:
            if self.first.get(setting) == 'unsure':
                del right[setting]
            elif self.last.get(setting) == 'run':
                right[setting] = self.first[setting] or boot[setting]
        return right


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.sampled_from(['systemd', 'other']), steps)
def test_all_is_as_if_no_run_had_ever_been(tmp_path_factory, init, sequence):
    model = Model(tmp_path_factory.mktemp('machine'), init)
    for step in sequence:
        model.take(step)
    right = model.right_values()
    for module in ('overcommit', 'panic_on_oom'):
        planned = run(model.machine, module, check=True, state='absent', force=True)
        assert run(model.machine, module, state='absent', force=True) == planned
        again = run(model.machine, module, state='absent', force=True)
        assert not again['changed'] and again['managed'] is False and again['warnings'] == []
    assert files(model.machine) == files(model.others)
    assert {**values_of(model.machine), **right} == values_of(model.machine)
    assert values_at_boot(model.machine) == values_at_boot(model.others)
