# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sysctls that cannot be written: in a container they are the host's, on a host somebody has to allow it."""

import errno
import os

import pytest
from machine import Machine, run

from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal

WISHES = {'overcommit': {'mode': 'always'}, 'panic_on_oom': {'policy': 'panic', 'reboot_after': 5}}
ABSENT = {'overcommit': {'state': 'absent'}, 'panic_on_oom': {'state': 'absent'}}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A host asked by root. ``refusals`` are the errors that opening a sysctl for writing gives."""
    machine = Machine(tmp_path)
    (tmp_path / 'proc/self/ns').mkdir()
    os.symlink('pid:[4026531836]', tmp_path / 'proc/self/ns/pid')
    machine.refusals = {}
    monkeypatch.setattr(Machine, 'write_refusal', lambda self, path: self.refusals.get(path))
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    return machine


def make_container(machine):
    os.unlink(machine.base / 'proc/self/ns/pid')
    os.symlink('pid:[4026532713]', machine.base / 'proc/self/ns/pid')
    machine.put('/proc/1/environ', 'container=lxc\0')


def refuse_all(machine, error):
    machine.refusals = {f'/proc/sys/{key.replace(".", "/")}': error for key in machine.state}


@pytest.mark.parametrize('mark', [None, '/.dockerenv', '/run/.containerenv', '/run/systemd/container'])
@pytest.mark.parametrize('error', [errno.EROFS, errno.EPERM, errno.EACCES])
@pytest.mark.parametrize('module', WISHES)
def test_a_host_where_root_may_not_write_is_no_container(machine, module, error, mark):
    if mark:
        machine.put(mark, 'docker\n')
    refuse_all(machine, error)
    before = machine.tree()
    for check in (True, False):
        for wish in (WISHES[module], ABSENT[module], dict(WISHES[module], force=True)):
            with pytest.raises(Refusal, match='this is no container.*runtime: false.*Nothing was changed') as refusal:
                run(machine, module, check=check, **wish)
            assert refusal.value.code == 'not_writable' and errno.errorcode[error] in str(refusal.value)
    assert machine.tree() == before and machine.log == []
    assert run(machine, module, runtime=False, **WISHES[module])['changed']


@pytest.mark.parametrize('module, path', [
    ('overcommit', '/proc/sys/vm/user_reserve_kbytes'), ('panic_on_oom', '/proc/sys/kernel/panic')])  # fmt: skip
def test_one_sysctl_that_cannot_be_written_is_enough(machine, module, path):
    machine.refusals = {path: errno.EROFS}
    with pytest.raises(Refusal, match=path) as refusal:
        run(machine, module, **WISHES[module])
    assert refusal.value.code == 'not_writable' and machine.log == []


def test_one_that_the_kernel_lacks_is_not_asked_to_be_writable(machine):
    machine.refusals = {'/proc/sys/vm/overcommit_kbytes': errno.ENOENT}
    assert run(machine, 'overcommit', mode='always')['changed']


@pytest.mark.parametrize('error', [errno.EROFS, errno.EPERM, errno.EACCES])
def test_in_a_container_they_belong_to_the_host(machine, error):
    make_container(machine)
    refuse_all(machine, error)
    for wish in (WISHES['overcommit'], dict(WISHES['overcommit'], force=True)):
        with pytest.raises(Refusal, match=r'not writable .*\(container: lxc\).*belong to the host') as refusal:
            run(machine, 'overcommit', **wish)
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
