# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed at any call that makes, renames or removes something leaves nothing once all was taken back."""

import contextlib
import os

import pytest
from machine import OURS, Machine, run
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils import _drop_in, _litter, _lock, _undo

CALLS = ('mkdir', 'rmdir', 'rename', 'unlink', 'open')
LONG = 'x' * 200


class Killed(BaseException):
    """Stands for SIGKILL."""


@contextlib.contextmanager
def killed_after(count, monkeypatch):
    """Nothing is made, renamed or removed any more after so many calls; tells by its list whether that came to pass."""
    done, died = [], []

    def guarded(call):
        def guard(*args, **options):
            changes = call is not os_open or args[1] & os.O_CREAT
            if changes and len(done) >= count:
                died.append(call)
                raise Killed
            done.extend([call] if changes else [])
            return call(*args, **options)
        return guard

    os_open = os.open
    with monkeypatch.context() as patched:
        for name in CALLS:
            patched.setattr(os, name, guarded(getattr(os, name)))
        patched.setattr(_undo.Undo, 'run', lambda undo: None)
        with contextlib.suppress(Killed):
            yield died


def everything(machine):
    """Files with their content, and folders, below /etc, /run and /var."""
    return {path: path.read_bytes() if path.is_file() else None
            for top in ('etc', 'run', 'var') for path in (machine.base / top).rglob('*')}


def locked(machine, act, **params):
    with _lock.held(machine):
        return act(**params)


def services(tmp_path, init):
    machine = ServiceMachine(tmp_path, init=init)
    for name in ('a', LONG):
        machine.unit(name + '.service')
    machine.put('/etc/systemd/system/theirs.service.d/.keep', '')
    os.unlink(tmp_path / 'etc/systemd/system/theirs.service.d/.keep')
    if init == 'openrc':
        (tmp_path / 'usr/lib/systemd/system/a.service').unlink()
        for name in ('a', LONG):
            machine.put('/etc/init.d/' + name, '#!/sbin/openrc-run\n')
        machine.put('/etc/conf.d/a', 'x=1\n')
        machine.put('/sbin/start-stop-daemon', 'SSD_OOM_SCORE_ADJ')
        machine.put('/run/openrc/softlevel', 'default')
    return machine, machine.run


def sysctls(tmp_path, _init):
    machine = Machine(tmp_path)
    return machine, lambda **params: run(machine, 'overcommit', **params)


SERVICES = {'services': [{'name': 'a', 'score_adj': -5}, {'name': LONG, 'score_adj': 9}]}
SYSCTLS = {'mode': 'never', 'ratio': 80, 'admin_reserve_kbytes': 16384}
CASES = [(services, 'systemd', SERVICES, {'state': 'absent', 'exclusive': True}),
         (services, 'openrc', SERVICES, {'state': 'absent', 'exclusive': True}),
         (sysctls, '', SYSCTLS, {'state': 'absent'})]


@pytest.mark.parametrize('back', [False, True], ids=['there', 'back'])
@pytest.mark.parametrize(('make', 'init', 'wish', 'absent'), CASES, ids=['systemd', 'openrc', 'sysctls'])
def test_whatever_comes_after_the_kill_clears_away(tmp_path, monkeypatch, make, init, wish, absent, back):
    for count in range(100):
        machine, act = make(tmp_path / str(count), init)
        before = everything(machine)
        if back:
            locked(machine, act, **wish)
        with killed_after(count, monkeypatch) as died:
            locked(machine, act, **(absent if back else wish))
        if init == '':
            machine.show()
        locked(machine, act, **absent)
        assert everything(machine) == before, count
        again = everything(machine), locked(machine, act, **absent)['changed'], everything(machine)
        assert again == (before, False, before)
        if not died:
            break
    assert not died and count > 5


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
    mark = _litter.mark_of(machine, os.path.dirname(theirs))
    machine.put(mark, '')
    locked(machine, act, state='absent', exclusive=True)
    assert machine.get(theirs) is not None and machine.get(mark) is None


def test_check_mode_clears_nothing_away(tmp_path):
    machine, act = services(tmp_path, 'systemd')
    mark = _litter.mark_of(machine, os.path.dirname(_drop_in.path_of('a.service')))
    machine.put(mark, '')
    assert not act(check=True, state='absent', exclusive=True)['changed']
    assert machine.get(mark) is not None
    other = Machine(tmp_path / 'other')
    other.put(other.temporary_of(OURS), 'half')
    assert not run(other, 'overcommit', check=True, state='absent')['changed']
    assert other.get(other.temporary_of(OURS)) == 'half'
    run(other, 'overcommit', state='absent')
    assert other.get(other.temporary_of(OURS)) is None
