# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own records and the lock: what others than root could have written is neither believed nor written to."""

import json
import os
import tempfile

import machine as machines
import pytest
import services_machine

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather
from ansible_collections.oomkit.linux.plugins.module_utils._host import file_trust, lock
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._host.transaction import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import ADMIN_RESERVE
from ansible_collections.oomkit.linux.plugins.module_utils._policy import apply, pending_change, service_apply
from ansible_collections.oomkit.linux.plugins.module_utils._service import saved_scores
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import saved_values

USER = 1234
ORIGINALS = {ADMIN_RESERVE: 4321}
RECORD_OF_SYSCTLS = saved_values.Record({ADMIN_RESERVE: saved_values.Value(4321, True, 9000, None)}, {})


@pytest.fixture(autouse=True)
def as_root():
    if os.geteuid():
        pytest.skip('only root can give files to somebody, and this is user %d' % os.geteuid())


def folder_of_a_user(path):
    os.chown(path.parent, USER, USER)


def file_of_a_user(path):
    if not path.exists():
        path.write_text('')
    os.chown(path, USER, USER)


def folder_for_all(path):
    path.parent.chmod(0o777)


def sticky_folder_for_all(path):
    path.parent.chmod(0o1777)


def folder_of_a_group(path):
    os.chown(path.parent, 0, USER)
    path.parent.chmod(0o775)


def file_for_all(path):
    if not path.exists():
        path.write_text('')
    path.chmod(0o666)


def root_of(path):
    return next(folder for folder in path.parents if folder.name == 'root')


def folder_elsewhere(path):
    """A link in its place, to a folder of a user's."""
    elsewhere = root_of(path) / 'home'
    path.parent.rename(elsewhere)
    os.chown(elsewhere, USER, USER)
    path.parent.symlink_to('/home')


def file_elsewhere(path):
    elsewhere = root_of(path) / 'home'
    elsewhere.mkdir()
    os.chown(elsewhere, USER, USER)
    if path.exists():
        path.rename(elsewhere / path.name)
    path.symlink_to('/home/' + path.name)


HOSTILE = [folder_of_a_user, file_of_a_user, folder_for_all, sticky_folder_for_all, folder_of_a_group, file_for_all,
           folder_elsewhere, file_elsewhere]


@pytest.fixture
def machine(tmp_path):
    (tmp_path / 'root').mkdir()
    return machines.Machine(tmp_path / 'root')


@pytest.fixture
def services(tmp_path):
    (tmp_path / 'root').mkdir()
    one = services_machine.ServiceMachine(tmp_path / 'root')
    one.unit('a.service')
    one.process(10, unit='a.service')
    return one


def everything(machine):
    return machine.tree(), dict(getattr(machine, 'state', {})), [
        path.read_text() for path in sorted(machine.base.glob('proc/*/oom_score_adj'))]


def refused(machine, act, *words):
    before = everything(machine)
    with pytest.raises(Refusal) as caught:
        act()
    assert not [word for word in (*words, 'Nothing was changed') if word not in str(caught.value)], caught.value
    assert everything(machine) == before


# ------------------------------------------------------------------------ /var/lib/oomkit

@pytest.mark.parametrize('make', HOSTILE)
@pytest.mark.parametrize('params', [{'state': 'absent'}, {'mode': 'always', 'admin_reserve_kbytes': 9000}])
@pytest.mark.parametrize('check', [False, True])
def test_user_writable_saved_sysctls_are_ignored(machine, make, params, check):
    path = machine.put(saved_values.FILE, saved_values.dump(RECORD_OF_SYSCTLS))
    make(path)
    refused(machine, lambda: machines.run(machine, 'overcommit', check=check, **params), saved_values.FILE)


@pytest.mark.parametrize('make', [make for make in HOSTILE if 'file' not in make.__name__])
def test_nothing_is_written_to_a_folder_of_a_users(machine, make):
    path = machine.base / saved_values.FILE[1:]
    path.parent.mkdir(parents=True)
    make(path)
    refused(machine, lambda: machines.run(machine, 'overcommit', admin_reserve_kbytes=9000), saved_values.FILE)


@pytest.mark.parametrize('make', HOSTILE)
def test_facts_warn_of_it_and_go_on_without(tmp_path, make):
    (tmp_path / 'root').mkdir()
    machine = machines.Machine(tmp_path / 'root', defaults=True)  # so that no file sets what is recorded
    path = machine.put(saved_values.FILE, saved_values.dump(RECORD_OF_SYSCTLS))
    facts = gather.gather_facts(machine, gather.Request({'boot', 'warnings'}, 1, False))
    assert facts['boot'][ADMIN_RESERVE]['value'] == 4321 and facts['warnings'] == []
    make(path)
    facts = gather.gather_facts(machine, gather.Request({'boot', 'warnings'}, 1, False))
    assert facts['boot'][ADMIN_RESERVE]['value'] != 4321
    assert len(facts['warnings']) == 1 and saved_values.FILE in facts['warnings'][0]
    json.dumps(facts)


def test_folder_with_a_new_owner_is_not_written_to(machine, monkeypatch):
    real = apply._put_record

    def give_away(plan, rollback):
        (machine.base / saved_values.FOLDER[1:]).mkdir()
        os.chown(machine.base / saved_values.FOLDER[1:], USER, USER)
        return real(plan, rollback)
    monkeypatch.setattr(apply, '_put_record', give_away)
    with pytest.raises(ApplyError, match=r'can be written by others than root.*Everything was rolled back'):
        machines.run(machine, 'overcommit', admin_reserve_kbytes=9000)
    assert machine.log == [] and os.listdir(machine.base / saved_values.FOLDER[1:]) == []


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_a_record_that_is_no_regular_file_is_refused(machine, make):
    (machine.base / saved_values.FOLDER[1:]).mkdir(parents=True)
    make(machine.base / saved_values.FILE[1:])
    refused(machine, lambda: machines.run(machine, 'overcommit', mode='always'), 'not a regular file')


def test_a_folder_that_root_has_linked_elsewhere_is_roots(machine):
    path = machine.put(saved_values.FILE, saved_values.dump(RECORD_OF_SYSCTLS))
    path.parent.rename(machine.base / 'data')
    path.parent.symlink_to('/data')
    assert saved_values.load(machine) == RECORD_OF_SYSCTLS


# --------------------------------------------------------------------------- /run/oomkit

RECORD = saved_scores.EMPTY._replace(units={'a.service': (saved_scores.Given(-900, None),)},
                                     processes={(10, 100): saved_scores.Original(-900, (0,))})


@pytest.mark.parametrize('make', HOSTILE)
@pytest.mark.parametrize('params', [
    {'name': 'a', 'score_adj': -5}, {'name': 'a', 'state': 'absent'}, {'process': {'pid': 10}, 'score_adj': 7},
    {'process': {'pid': 10}, 'state': 'absent'}])
def test_user_writable_saved_scores_are_ignored(services, make, params):
    make(services.put(saved_scores.FILE, saved_scores.dump(RECORD)))
    refused(services, lambda: services.run(**params), saved_scores.FILE)


def test_folder_with_a_new_owner_gets_no_record(services, monkeypatch):
    real = service_apply.apply_within

    def give_away(host, plan, rollback):
        (services.base / 'run/oomkit').mkdir(exist_ok=True)
        os.chown(services.base / 'run/oomkit', USER, USER)
        return real(host, plan, rollback)
    monkeypatch.setattr(service_apply, 'apply_within', give_away)
    with pytest.raises(ApplyError, match=r'can be written by others than root.*Everything was rolled back'):
        services.run(name='a', score_adj=-5)
    assert services.adj(10) == 15 and os.listdir(services.base / 'run/oomkit') == []


@pytest.mark.parametrize('make', [make for make in HOSTILE if make is not file_elsewhere])
def test_the_lock_is_roots(tmp_path, make):
    host = machines.Machine(tmp_path / 'root')
    path = host.put(lock.FILE, '')
    make(path)
    with pytest.raises(Refusal, match='/run/oomkit.*Nothing was changed'), lock.hold_lock(host, 0.2):
        raise AssertionError('it was taken')


@pytest.mark.parametrize('make', HOSTILE)
@pytest.mark.parametrize('params', [{'mode': 'never', 'ratio': 90}, {'state': 'absent'}])
def test_a_change_that_a_user_says_to_wait_is_not_roll_back(machine, make, params):
    """It would name values, and the process that gets a signal."""
    pending = pending_change.Pending(
        'overcommit-x', 'b1', os.getpid(), 9, 3.0, 9, 'x', pending_change.Connection(None, None), ORIGINALS, ORIGINALS,
        {})
    machine.put('/proc/sys/kernel/random/boot_id', 'b1\n')
    make(machine.put('/run/oomkit/overcommit-x', pending_change.dump(pending)))
    refused(machine, lambda: machines.run(machine, 'overcommit', confirm_within=60, **params), '/run/oomkit')


@pytest.mark.parametrize('path', [saved_values.FILE, saved_scores.FILE, lock.FILE])
def test_what_we_make_ourselves_is_believed(tmp_path, path):
    host = machines.Machine(tmp_path / 'root')
    host.make_folder(os.path.dirname(path))
    host.replace_file(path, b'x')
    assert file_trust.read_record(host, path) == b'x'


@pytest.mark.parametrize('owner, believed', [(0, True), (USER, True), (USER + 1, False)])
def test_who_is_not_root_believes_what_is_roots_or_his_own(owner, believed):
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = machines.Machine(folder).put(saved_values.FILE, saved_values.dump(RECORD_OF_SYSCTLS))
        os.chown(path, owner, owner)
        pid = os.fork()
        if pid == 0:
            os.setgid(USER)
            os.setuid(USER)
            os.write(writer, b'%d' % saved_values.boot_defaults(saved_values.load(Host(folder))).get(ADMIN_RESERVE, 0))
            os._exit(0)
        os.waitpid(pid, 0)
    os.close(writer)
    assert os.read(reader, 9) == (b'4321' if believed else b'0')
