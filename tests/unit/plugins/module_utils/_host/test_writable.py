# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sysctls that cannot be written: in a container they are the host's, on a host somebody has to allow it."""

import errno
import os

import pytest
from machine import Machine, run

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal

REQUESTS = {'overcommit': {'mode': 'always'}, 'panic_on_oom': {'policy': 'panic', 'reboot_after': 5}}
ABSENT = {'overcommit': {'state': 'absent'}, 'panic_on_oom': {'state': 'absent'}}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A host asked by root. ``refusals`` are the errors that opening a sysctl for writing gives."""
    machine = Machine(tmp_path, **{'vm.overcommit_memory': 0})
    machine.link('/proc/self/ns/pid', 'pid:[4026531836]')
    machine.refusals = {}
    monkeypatch.setattr(Machine, 'write_refusal', lambda self, path: self.refusals.get(path))
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    return machine


def make_container(machine):
    os.unlink(machine.base / 'proc/self/ns/pid')
    machine.link('/proc/self/ns/pid', 'pid:[4026532713]')
    machine.put('/proc/1/environ', 'container=lxc\0')


def refuse_all(machine, error):
    machine.refusals = {f'/proc/sys/{key.replace(".", "/")}': error for key in machine.state}


@pytest.mark.parametrize('mark', [None, '/.dockerenv', '/run/.containerenv', '/run/systemd/container'])
@pytest.mark.parametrize('error', [errno.EROFS, errno.EPERM, errno.EACCES])
@pytest.mark.parametrize('module', REQUESTS)
def test_a_host_where_root_may_not_write_is_no_container(machine, module, error, mark):
    if mark:
        machine.put(mark, 'docker\n')
    refuse_all(machine, error)
    before = machine.tree()
    for check in (True, False):
        for desired in (REQUESTS[module], dict(REQUESTS[module], force=True), dict(REQUESTS[module], persistent=False)):
            with pytest.raises(Refusal, match='this is no container.*runtime: false.*Nothing was changed') as refusal:
                run(machine, module, check=check, **desired)
            assert refusal.value.code == 'not_writable' and errno.errorcode[error] in str(refusal.value)
    assert machine.tree() == before and machine.log == []
    assert run(machine, module, runtime=False, **REQUESTS[module])['changed']


@pytest.mark.parametrize('error', [errno.EROFS, errno.EPERM, errno.EACCES])
@pytest.mark.parametrize('module', REQUESTS)
def test_what_is_so_already_needs_no_writing(machine, module, error):
    """So the role can look at such a host again and again, once its values are what they should be."""
    assert run(machine, module, **REQUESTS[module])['changed']
    refuse_all(machine, error)
    before, log = machine.tree(), list(machine.log)
    for check in (True, False):
        assert not run(machine, module, check=check, **REQUESTS[module])['changed']
    assert (machine.tree(), machine.log) == (before, log)
    with pytest.raises(Refusal, match='Nothing was changed') as refusal:
        run(machine, module, **ABSENT[module])
    assert refusal.value.code == 'not_writable' and machine.tree() == before


@pytest.mark.parametrize('error', [errno.EROFS, errno.EPERM, errno.EACCES])
@pytest.mark.parametrize('module', REQUESTS)
def test_where_the_values_are_so_the_file_is_written(machine, module, error):
    """Set by somebody else, as on an image whose kernel command line or service sets them."""
    machine.state.update({'vm.overcommit_memory': 1, 'vm.panic_on_oom': 1, 'kernel.panic': 5})
    machine.show()
    refuse_all(machine, error)
    result = run(machine, module, **REQUESTS[module])
    assert result['changed'] and machine.get('/etc/sysctl.d/99-oomkit.conf') and machine.log == []


@pytest.mark.parametrize('module', REQUESTS)
def test_nothing_to_revert_needs_no_writing(machine, module):
    refuse_all(machine, errno.EROFS)
    result = run(machine, module, **ABSENT[module])
    assert (result['changed'], result['managed']) == (False, False)


@pytest.mark.parametrize('module, path, desired', [
    ('overcommit', '/proc/sys/vm/user_reserve_kbytes', {'user_reserve_kbytes': 10000}),
    ('overcommit', '/proc/sys/vm/overcommit_kbytes', {'kbytes': 100}),
    # The undo writes the ratio.
    ('overcommit', '/proc/sys/vm/overcommit_ratio', {'kbytes': 100}),
    ('panic_on_oom', '/proc/sys/kernel/panic', {})])  # fmt: skip
def test_one_sysctl_that_cannot_be_written_is_enough(machine, module, path, desired):
    machine.refusals = {path: errno.EROFS}
    with pytest.raises(Refusal, match=path) as refusal:
        run(machine, module, **dict(REQUESTS[module], **desired))
    assert refusal.value.code == 'not_writable' and machine.log == []


@pytest.mark.parametrize('module, path', [
    ('overcommit', '/proc/sys/vm/user_reserve_kbytes'),
    ('panic_on_oom', '/proc/sys/vm/oom_kill_allocating_task')])  # fmt: skip
def test_a_sysctl_that_is_not_written_may_be_read_only(machine, module, path):
    machine.refusals = {path: errno.EROFS}
    assert run(machine, module, **REQUESTS[module])['changed'] and machine.log


@pytest.mark.parametrize('error', [errno.EPERM, errno.EACCES])
def test_who_is_not_root_is_asked_to_become_root(machine, monkeypatch, error):
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    refuse_all(machine, error)
    with pytest.raises(Refusal, match='become: true') as refusal:
        run(machine, 'overcommit', persistent=False, mode='always')
    assert refusal.value.code == 'other'
    assert run(machine, 'overcommit', persistent=False, mode='always', check=True)['changed']


@pytest.mark.parametrize('module', REQUESTS)
def test_without_proc_nothing_is_set(machine, module):
    refuse_all(machine, errno.ENOENT)
    for desired in (REQUESTS[module], ABSENT[module]):
        with pytest.raises(Refusal, match='is not there: no /proc in a chroot') as refusal:
            run(machine, module, **desired)
        assert refusal.value.code == 'other'


def test_one_that_the_kernel_lacks_is_not_asked_to_be_writable(machine):
    machine.refusals = {'/proc/sys/vm/overcommit_kbytes': errno.ENOENT}
    assert run(machine, 'overcommit', mode='always')['changed']


@pytest.mark.parametrize('error', [errno.EROFS, errno.EPERM, errno.EACCES])
def test_in_a_container_they_belong_to_the_host(machine, error):
    make_container(machine)
    refuse_all(machine, error)
    for desired in (REQUESTS['overcommit'], dict(REQUESTS['overcommit'], force=True)):
        with pytest.raises(Refusal, match=r'not writable .*\(container: lxc\).*belong to the host') as refusal:
            run(machine, 'overcommit', **desired)
        assert refusal.value.code == 'container'


def test_a_privileged_container_changes_its_host_with_force_only(machine):
    make_container(machine)
    with pytest.raises(Refusal, match=r'\(container: lxc\), because it would change the whole host') as refusal:
        run(machine, 'overcommit', mode='always')
    assert refusal.value.code == 'container'
    assert run(machine, 'overcommit', mode='always', force=True)['changed']


@pytest.mark.parametrize('mark', ['/.dockerenv', '/run/.containerenv', '/run/systemd/container'])
def test_a_mark_on_a_host_keeps_nothing_from_being_set(machine, mark):
    machine.put(mark, 'docker\n')
    result = run(machine, 'overcommit', commit_limit='90%', force=True)
    assert result['changed'] and machine.log and not any('another machine' in text for text in result['warnings'])
