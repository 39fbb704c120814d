# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of a run about services or processes fails, or the run is killed there: what is left, and the next run."""

import contextlib
import errno
import os
import shutil

import pytest
from services_machine import ETC, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._host import host, lock, transaction
from ansible_collections.oomkit.linux.plugins.module_utils._module import score_adj as module
from ansible_collections.oomkit.linux.plugins.module_utils._policy import service_apply
from ansible_collections.oomkit.linux.plugins.module_utils._policy.service_apply import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._process import groups, handle, selector
from ansible_collections.oomkit.linux.plugins.module_utils._service import saved_scores
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import ManagerError

FOLDER = ETC + '/a.service.d'
DROP_IN = FOLDER + '/90-oomkit.conf'
THEIRS = FOLDER + '/override.conf'
GROUP = '/sys/fs/cgroup/system.slice/a.service/memory.oom.group'
RUN = '/run/oomkit'


class Killed(BaseException):
    """Stands for SIGKILL."""


@contextlib.contextmanager
def killed(monkeypatch, owner, name, when=lambda *_args: True, after=False):
    """Die at this call, or right after it: nothing is written, renamed or removed any more."""
    call, dead = getattr(owner, name), []

    def die(*args, **options):
        if dead or when(*args, **options):
            if after:
                call(*args, **options)
            dead.append(1)
            raise Killed
        return call(*args, **options)

    def unless_dead(real):
        def guard(*args, **options):
            if dead:
                raise Killed
            return real(*args, **options)
        return guard

    with monkeypatch.context() as patched:
        patched.setattr(transaction.Rollback, 'run', lambda rollback: None)
        for change in ('rename', 'unlink', 'rmdir', 'mkdir'):
            patched.setattr(os, change, unless_dead(getattr(os, change)))
        patched.setattr(owner, name, die)
        with pytest.raises(Killed):
            yield


@contextlib.contextmanager
def failing(monkeypatch, owner, name, when=lambda *_args: True, error=errno.EIO, after=False):
    """One call fails, after it was done if so wanted."""
    call, failed = getattr(owner, name), []

    def fail(*args, **options):
        if not failed and when(*args, **options):
            failed.append(1)
            if after:
                call(*args, **options)
            raise OSError(error, os.strerror(error))
        return call(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        yield
    assert failed


def everything(machine):
    """All that is configured with mode and owner, all that we keep, and all live values."""
    found = {}
    for top in ('etc', 'run'):
        for path in (machine.base / top).rglob('*'):
            info = path.stat()
            found[path] = (info.st_mode, info.st_gid, path.read_bytes() if path.is_file() else None)
    for pattern in ('proc/*/oom_score_adj', 'sys/fs/cgroup/system.slice/*/memory.oom.group'):
        found.update((path, path.read_text()) for path in machine.base.glob(pattern))
    return found


def act(machine, **desired):
    with lock.hold_lock(machine):
        return machine.run(**desired)


def ends(machine, **desired):
    """The next run, and the one after it, which changes nothing."""
    act(machine, **desired)
    left = everything(machine)
    assert not act(machine, **desired)['changed'] and everything(machine) == left


@pytest.fixture
def machine(service_machine):
    return service_machine


def services(*names):
    return [{'name': name, 'score_adj': 5} for name in names]


# ------------------------------------------------------------------- what fails

def of_somebody(machine):
    """Our drop-in in a folder that an administrator has given another mode and group."""
    machine.run(name='a', score_adj=5)
    folder = machine.base / FOLDER[1:]
    folder.chmod(0o750)
    if os.geteuid() == 0:
        os.chown(folder, 0, 5)
    return everything(machine)


def test_a_folder_keeps_its_mode_where_the_reload_fails(machine):
    before = of_somebody(machine)

    def refuse():
        machine.after_reload = None
        raise ManagerError('no')

    machine.after_reload = refuse
    with pytest.raises(ApplyError, match=r'no. Everything was rolled back\.'):
        machine.run(name='a', state='absent')
    assert everything(machine) == before


@pytest.mark.parametrize('call', ['rmdir', 'unlink'])
def test_a_folder_keeps_its_mode_where_the_very_last_step_fails(machine, monkeypatch, call):
    before = of_somebody(machine)
    with failing(monkeypatch, os, call, lambda path, *_args: path.endswith(('a.service.d', 'a.service.d~'))), \
            pytest.raises(ApplyError, match=r'Everything was rolled back\.'):
        machine.run(name='a', state='absent')
    assert everything(machine) == before


def test_value_written_despite_failure_is_rolled_back(machine, monkeypatch):
    before = everything(machine)
    with failing(monkeypatch, handle.ProcessHandle, 'write_score_adj', after=True), \
            pytest.raises(ApplyError, match='rolled back'):
        machine.run(process={'pid': 10}, score_adj=77)
    assert everything(machine) == before


def stops(machine):
    """The unit ends while systemd reads its files."""
    shutil.rmtree(machine.base / GROUP[1:-len('/memory.oom.group')], ignore_errors=True)
    shutil.rmtree(machine.base / 'proc/10', ignore_errors=True)


@pytest.fixture
def real_files(machine, monkeypatch):
    """A file of a cgroup that is gone cannot be opened."""
    def open_proc(path):
        if not machine.exists(path):
            raise FileNotFoundError(errno.ENOENT, 'No such file or directory', path)
        return ServiceMachine.open_proc(machine, path)

    monkeypatch.setattr(machine, 'open_proc', open_proc)


@pytest.mark.usefixtures('real_files')
def test_a_unit_that_stops_meanwhile_needs_no_memory_oom_group(machine):
    machine.after_reload = lambda: stops(machine)
    assert machine.run(name='a', oom_policy='kill')['changed'] and 'OOMPolicy=kill' in machine.get(DROP_IN)


@pytest.mark.usefixtures('real_files')
def test_nor_is_there_one_to_be_rolled_back(machine, monkeypatch):
    def check(_plan):
        stops(machine)
        raise OSError(errno.EIO, 'no')

    monkeypatch.setattr(service_apply, '_check_next_start', check)
    with pytest.raises(ApplyError, match=r'Everything was rolled back\.'):
        machine.run(name='a', oom_policy='kill')
    assert machine.get(DROP_IN) is None


def test_only_what_is_gone_is_passed_over(machine, monkeypatch):
    with failing(monkeypatch, machine, 'open_proc'), pytest.raises(ApplyError, match='rolled back'):
        machine.run(name='a', oom_policy='kill')


def test_a_record_that_root_cannot_read_is_not_none(machine, monkeypatch):
    machine.run(process={'pid': 10}, score_adj=77)
    before = everything(machine)
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    for desired in ({'process': {'pid': 10}}, {'name': 'a'}):
        with failing(monkeypatch, host, '_content', lambda path: path.endswith('.json'), errno.EPERM), \
                pytest.raises(PermissionError):
            machine.run(state='absent', **desired)
    assert everything(machine) == before
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    with failing(monkeypatch, host, '_content', lambda path: path.endswith('.json'), errno.EPERM):
        assert saved_scores.read(machine) is None


def test_an_alias_that_cannot_be_read_is_no_unit_of_its_own(machine, monkeypatch):
    machine.link(ETC + '/other.service', '/usr/lib/systemd/system/a.service')
    with failing(monkeypatch, machine, '_readlink', lambda path: path.endswith('other.service'), errno.ENOMEM), \
            pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        machine.run(name='other', score_adj=5)
    assert machine.run(name='other', score_adj=5)['services'][0]['unit'] == 'a.service'


def test_restart_between_reload_and_failure_is_reverted(machine, monkeypatch):
    machine.unit('b.service')
    machine.process(20, unit='b.service')

    def restart():
        if machine.reloads == 1:
            stops(machine)
            machine.process(11, adj=321, start=200, unit='a.service')

    machine.after_reload = restart
    desired = [{'name': 'a', 'score_adj': 321}, {'name': 'b', 'score_adj': 5}]
    with failing(monkeypatch, handle.ProcessHandle, 'write_score_adj', lambda held, _value: held.pid == 20), \
            pytest.raises(ApplyError, match=r'process 20.*Everything was rolled back\.'):
        machine.run(services=desired)
    assert (machine.adj(11), machine.adj(20), machine.get(DROP_IN)) == (15, 15, None)


def test_restart_before_the_reverting_reload_is_reverted(machine, monkeypatch):
    def restart():
        if machine.reloads == 2:  # this one is of the rollback
            stops(machine)
            machine.process(11, adj=321, start=200, unit='a.service')

    machine.after_reload = restart
    with failing(monkeypatch, service_apply, '_check_next_start'), pytest.raises(ApplyError, match='rolled back'):
        machine.run(name='a', score_adj=321)
    assert machine.adj(11) == 15


def test_value_set_by_the_service_survives_rollback(machine, monkeypatch):
    machine.put('/proc/10/oom_score_adj', '321\n')

    def restart():
        stops(machine)
        machine.process(11, adj=321, start=200, unit='a.service')

    machine.after_reload = restart
    with failing(monkeypatch, service_apply, '_check_next_start'), pytest.raises(ApplyError, match='rolled back'):
        machine.run(name='a', score_adj=321)
    assert machine.adj(11) == 321


@pytest.mark.parametrize(('name', 'desired'), [
    ('build_result', {'name': 'a', 'score_adj': 5}),
    ('_build_process_result', {'process': {'pid': 10}, 'score_adj': 5})])
def test_a_result_that_cannot_be_made_leaves_nothing_changed(machine, monkeypatch, name, desired):
    before = everything(machine)

    def broken(*_args):
        raise MemoryError

    monkeypatch.setattr(module, name, broken)
    with pytest.raises((ApplyError, MemoryError)):
        machine.run(**desired)
    assert everything(machine) == before


# --------------------------------------------------------------------- policies

def test_a_policy_until_the_restart_is_reverted(machine):
    for desired in ({'name': 'a', 'state': 'absent'}, {'state': 'absent', 'exclusive': True}):
        machine.run(name='a', oom_policy='kill', persistent=False)
        machine.run(name='a', score_adj=5)
        assert machine.get(GROUP) == '1\n'
        ends(machine, **desired)
        assert machine.get(GROUP) == '0\n' and not machine.exists(RUN)


def test_what_the_unit_file_says_is_what_it_is_reverted_to(machine):
    machine.run(name='a', oom_policy='continue', persistent=False)
    machine.run(name='a', oom_policy='kill', persistent=False)
    machine.unit('a.service', '[Service]\nOOMPolicy=kill\n')
    machine.run(name='a', state='absent')
    assert machine.get(GROUP) == '1\n' and not machine.exists(RUN)


def test_instance_keeps_its_policy_when_template_is_reverted(machine):
    machine.unit('b@.service')
    machine.process(30, unit='b@1.service')
    group = GROUP.replace('a.service', 'b@1.service')
    machine.run(name='b@', score_adj=5)
    machine.run(name='b@1', score_adj=6)
    machine.run(name='b@1', oom_policy='kill', persistent=False)
    ends(machine, name='b@', state='absent')
    assert machine.get(group) == '1\n' and machine.adj(30) == 6
    ends(machine, name='b@1', state='absent')
    assert machine.get(group) == '0\n' and machine.adj(30) == 15 and not machine.exists(RUN)


def test_exclusive_keeps_instances_of_a_listed_template(machine, monkeypatch):
    """The record of a killed run names instances, which are part of the template."""
    machine.unit('b@.service')
    machine.process(30, unit='b@1.service')
    desired = {'services': [{'name': 'b@', 'score_adj': 5}], 'exclusive': True}
    with killed(monkeypatch, handle.ProcessHandle, 'write_score_adj'):
        machine.run(**desired)
    assert 'b@1.service' in saved_scores.list_units(saved_scores.parse(machine.read_bytes(saved_scores.FILE)))
    ends(machine, **desired)
    assert machine.adj(30) == 5


# -------------------------------------------------------------------- processes

def test_late_matching_processes_are_recorded(machine, monkeypatch):
    machine.process(40, name='worker')
    forecast = module.forecast_before_and_after

    def born(*args):
        machine.process(41, name='worker', adj=3)
        return forecast(*args)

    with monkeypatch.context() as patched:
        patched.setattr(module, 'forecast_before_and_after', born)
        machine.run(process={'comm': 'worker'}, score_adj=9)
    assert (machine.adj(40), machine.adj(41)) == (9, 9)
    ends(machine, process={'comm': 'worker'}, state='absent')
    assert (machine.adj(40), machine.adj(41)) == (0, 3)


def test_process_that_reused_a_recorded_pid_is_skipped(machine):
    machine.process(40, start=77)
    (seen,) = selector.build_group(machine, {'pid': 40}).look(machine)
    group = groups.TheseProcesses([seen])
    assert group.look(machine) == [seen]
    machine.end(40)
    machine.process(40, start=999)
    assert group.look(machine) == []


def test_a_process_reverted_is_forgotten_by_the_next_run(machine, monkeypatch):
    """Killed after the value, before the record, which is being written as another process stands in it as well."""
    machine.process(11)
    machine.run(process={'pid': 11}, score_adj=3)
    machine.run(process={'pid': 10}, score_adj=77)
    with killed(monkeypatch, os, 'rename'):
        machine.run(process={'pid': 10}, state='absent')
    assert machine.adj(10) == 15 and len(machine.names(RUN)) == 2
    ends(machine, process={'pid': 10}, state='absent')
    assert machine.names(RUN) == ['oom_score_adj.json']
    assert list(saved_scores.parse(machine.read_bytes(saved_scores.FILE)).processes) == [(11, 100)]
    machine.put('/proc/10/oom_score_adj', '200\n')
    assert not machine.run(process={'pid': 10}, state='absent')['changed'] and machine.adj(10) == 200
