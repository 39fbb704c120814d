# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a killed run has left is removed by the next one, and nothing else is. test_faults.py kills at each call."""

import errno
import os
import stat

import pytest
from machine import OURS, Machine, run
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._host import leftovers, lock, transaction
from ansible_collections.oomkit.linux.plugins.module_utils._systemd import drop_in


def everything(machine):
    """Files with their content, and folders, below /etc, /run and /var."""
    return {path: path.read_bytes() if path.is_file() else None
            for top in ('etc', 'run', 'var') for path in (machine.base / top).rglob('*')}


def locked(machine, act, **params):
    with lock.hold_lock(machine):
        return act(**params)


def services(tmp_path, _init):
    machine = ServiceMachine(tmp_path)
    machine.unit('a.service')
    return machine, machine.run


def sysctls(tmp_path, _init):
    machine = Machine(tmp_path)
    return machine, lambda **params: run(machine, 'overcommit', **params)


SYSCTLS = {'mode': 'never', 'ratio': 80, 'admin_reserve_kbytes': 16384}


def test_what_is_no_file_of_ours_stays(tmp_path):
    machine, act = services(tmp_path, 'systemd')
    folder = tmp_path / 'etc/systemd/system'
    (folder / '.oomkit-folder~').mkdir()
    (tmp_path / 'target').write_text('theirs')
    (folder / '.oomkit-link.service.d~').symlink_to(tmp_path / 'target')
    (folder / 'link.service.d').mkdir()
    before = everything(machine)
    locked(machine, act, state='absent', exclusive=True)
    assert everything(machine) == before and (tmp_path / 'target').exists()


def test_a_mark_takes_no_folder_in_which_there_is_something(tmp_path):
    machine, act = services(tmp_path, 'systemd')
    theirs = '/etc/systemd/system/a.service.d/theirs.conf'
    machine.put(theirs, '[Service]\n')
    mark = leftovers.build_mark_path(machine, os.path.dirname(theirs))
    machine.put(mark, '')
    locked(machine, act, state='absent', exclusive=True)
    assert machine.get(theirs) is not None and machine.get(mark) is None


def test_check_mode_clears_nothing_away(tmp_path):
    machine, act = services(tmp_path, 'systemd')
    mark = leftovers.build_mark_path(machine, os.path.dirname(drop_in.build_path('a.service')))
    machine.put(mark, '')
    assert not act(check=True, state='absent', exclusive=True)['changed']
    assert machine.get(mark) is not None
    other = Machine(tmp_path / 'other')
    other.put(other.build_temporary_path(OURS), 'half')
    assert not run(other, 'overcommit', check=True, state='absent')['changed']
    assert other.get(other.build_temporary_path(OURS)) == 'half'
    run(other, 'overcommit', state='absent')
    assert other.get(other.build_temporary_path(OURS)) is None


def test_a_link_is_somebody_s_own_and_stays(tmp_path):
    machine, act = services(tmp_path, 'systemd')
    machine.put('/srv/dropins/50-theirs.conf', '[Service]\nMemoryMax=1G\n')
    folder = tmp_path / 'etc/systemd/system/a.service.d'
    machine.without_admin('a.service')
    machine.link('/etc/systemd/system/a.service.d', '/srv/dropins')
    locked(machine, act, name='a', score_adj=-5)
    machine.put(leftovers.build_mark_path(machine, '/etc/systemd/system/a.service.d'), '')  # as a killed run leaves it
    locked(machine, act, name='a', score_adj=-6)
    assert machine.get('/srv/dropins/90-oomkit.conf') and not locked(machine, act, name='a', score_adj=-6)['changed']
    locked(machine, act, name='a', state='absent')
    assert folder.is_symlink() and os.listdir(tmp_path / 'srv/dropins') == ['50-theirs.conf']
    assert not locked(machine, act, name='a', state='absent')['changed']


def test_a_record_behind_a_link_is_kept(tmp_path):
    machine, act = sysctls(tmp_path, '')
    (tmp_path / 'srv/data').mkdir(parents=True)
    machine.link('/var/lib/oomkit', '/srv/data')
    for _time in range(2):
        locked(machine, act, **SYSCTLS)
        assert os.listdir(tmp_path / 'srv/data') == ['originals.json']
        machine.show()
    locked(machine, act, state='absent')
    assert os.listdir(tmp_path / 'srv/data') == [] and (tmp_path / 'var/lib/oomkit').is_symlink()
    assert not locked(machine, act, state='absent')['changed']


def test_a_file_that_lies_elsewhere_is_cleared_away_there(tmp_path):
    machine, act = services(tmp_path, 'systemd')
    machine.put('/etc/cm/zz.conf', '[Service]\n')
    machine.put('/etc/cm/.oomkit-zz.conf~', 'half')
    machine.link('/etc/systemd/system/a.service.d/zz.conf', '/etc/cm/zz.conf')
    machine.link('/etc/systemd/system/a.service.d/loop.conf', 'loop.conf')
    machine.put(leftovers.build_mark_path(machine, '/etc/systemd/system/a.service.d'), '')
    locked(machine, act, state='absent', exclusive=True)
    assert machine.get('/etc/cm/.oomkit-zz.conf~') is None and machine.get('/etc/cm/zz.conf') == '[Service]\n'


@pytest.mark.parametrize('make, desired, leftovers', [
    (sysctls, dict(SYSCTLS, persistent=False), '/etc/sysctl.d/.oomkit-99-oomkit.conf~'),
    (services, {'name': 'a', 'score_adj': -5, 'persistent': False}, '/etc/systemd/system/.oomkit-a.service.d~')])
def test_leftovers_on_a_read_only_disk_are_no_failure(
        tmp_path, monkeypatch, make, desired, leftovers):
    machine, act = make(tmp_path, 'systemd')
    machine.put(leftovers, '')
    unlink = os.unlink

    def read_only(path, *args, **options):
        if '/etc/' in path:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        unlink(path, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, 'unlink', read_only)
        result = locked(machine, act, **desired)
        assert 'What an earlier run left' in result['warnings'][0] and 'Read-only' in result['warnings'][0]
        machine.show()
        assert not locked(machine, act, **desired)['changed']
    locked(machine, act, **desired)
    assert machine.get(leftovers) is None


def test_a_temporary_file_that_stays_after_an_error_is_named(tmp_path, monkeypatch):
    """As with chattr +a of the folder: files can be made there, and neither renamed nor removed."""
    machine, act = sysctls(tmp_path, '')

    def refuse(path, *_args):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)

    with monkeypatch.context() as patched:
        patched.setattr(os, 'rename', refuse)
        patched.setattr(os, 'unlink', refuse)
        with pytest.raises(transaction.ApplyError, match=r'\.oomkit-[^ ]*~ is left, and could not be removed either'):
            act(**SYSCTLS)


@pytest.mark.parametrize('umask', [0o077, 0o002, 0])
def test_the_umask_decides_about_no_folder_of_ours(tmp_path, umask):
    machine, act = services(tmp_path, 'systemd')
    other, overcommit = sysctls(tmp_path / 'other', '')
    before = os.umask(umask)
    try:
        locked(machine, act, name='a', score_adj=-5)
        overcommit(**SYSCTLS)
    finally:
        os.umask(before)
    made = [machine.base / 'etc/systemd/system/a.service.d', other.base / 'var/lib/oomkit']
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o755, 0o755]
