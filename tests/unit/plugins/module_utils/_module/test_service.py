# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module oom_score_adj on a machine on disk."""

import errno
import os
import shutil

import pytest
from services_machine import ETC, ServiceMachine
from special_files import a_device, a_socket

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host import file_draft, transaction
from ansible_collections.oomkit.linux.plugins.module_utils._policy import service_apply
from ansible_collections.oomkit.linux.plugins.module_utils._policy.service_apply import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._process import handle, score_adj
from ansible_collections.oomkit.linux.plugins.module_utils._process.handle import ProcessIdentity
from ansible_collections.oomkit.linux.plugins.module_utils._service import guard, saved_scores

MARKER = transaction.MARKER.encode()
DROP_IN = ETC + '/a.service.d/90-oomkit.conf'


@pytest.fixture
def machine(service_machine):
    service_machine.process(11, parent=10, unit='a.service')
    return service_machine


def everything(machine):
    """All that is configured, and all live values."""
    live = {path.parent.name: path.read_text() for path in machine.base.glob('proc/*/oom_score_adj')}
    return machine.tree(), live


def recorded(machine):
    return saved_scores.parse(machine.read_bytes(saved_scores.FILE))


def test_check_mode_plans_what_the_run_does(machine):
    before = everything(machine)
    planned = machine.run(check=True, name='a', score_adj=-5)
    assert everything(machine) == before and machine.reloads == 0
    done = machine.run(name='a', score_adj=-5)
    assert planned == done and done['changed'] and machine.reloads == 1
    assert [machine.adj(pid) for pid in (10, 11)] == [-5, -5]
    again = machine.run(name='a', score_adj=-5)
    assert not again['changed'] and again['diff'] == [] and machine.reloads == 1
    assert recorded(machine) == saved_scores.EMPTY._replace(ours={'a.service': (-5,)})


def test_absent_leaves_nothing(machine):
    before = everything(machine)
    machine.run(name='a', score_adj=-5)
    machine.run(name='a', state='absent')
    assert everything(machine) == before and os.listdir(machine.base / f'{ETC[1:]}/a.service.d') == ['20-admin.conf']
    assert not machine.run(name='a', state='absent')['changed']
    assert not machine.run(name='nope', state='absent')['changed']


def test_a_drop_in_that_says_it_already_in_another_way_stays(machine):
    machine.run(name='a', score_adj=-5)
    text = machine.get(DROP_IN).replace('\nOOMScoreAdjust=-5', '\n  OOMScoreAdjust = -0x5')
    machine.put(DROP_IN, text)
    assert not machine.run(name='a', score_adj=-5)['changed'] and machine.get(DROP_IN) == text


def test_drop_in_changed_by_others_stays_and_is_reported(machine):
    machine.run(name='a', score_adj=-5, oom_policy='kill')
    machine.put(DROP_IN, machine.get(DROP_IN).replace('\nOOMScoreAdjust=-5', '\nOOMScoreAdjust=-300'))
    for check in (True, False):
        result = machine.run(name='a', state='absent', check=check)
        warning, = result['warnings']
        assert result['changed'] and warning.startswith(f'{DROP_IN}: the line "OOMScoreAdjust=-300" stays, because')
    assert machine.get(DROP_IN) == '[Service]\nOOMScoreAdjust=-300\n'
    again = machine.run(name='a', state='absent')
    assert not again['changed'] and again['managed'] is False and again['warnings'] == []


def test_processes_started_with_another_value_follow(machine):
    """A drop-in of somebody else, written and not reloaded: systemd still gives what it had loaded."""
    machine.put(ETC + '/a.service.d/50-x.conf', '[Service]\nOOMScoreAdjust=40\n')
    machine.loaded['a.service'] = 15
    machine.run(name='a', score_adj=-5)
    assert [machine.adj(pid) for pid in (10, 11)] == [-5, -5]


def test_a_failure_half_way_reverts_everything(machine, monkeypatch):
    machine.unit('b.service')
    machine.process(20, unit='b.service')
    before = everything(machine)
    write = handle.ProcessHandle.write_score_adj

    def refuse(held, value):
        if held.pid == 20 and value == -7:
            raise OSError(errno.EACCES, 'Permission denied')
        return write(held, value)

    monkeypatch.setattr(handle.ProcessHandle, 'write_score_adj', refuse)
    desired = [{'name': 'a', 'score_adj': 6}, {'name': 'b', 'score_adj': -7}]
    with pytest.raises(ApplyError, match='b.service: .*process 20.*-7.*CAP_SYS_RESOURCE.*Everything was rolled back'):
        machine.run(services=desired)
    assert everything(machine) == before and machine.reloads == 2


def test_children_that_were_born_meanwhile_are_rolled_back_too(machine):
    def born():
        machine.process(12, parent=10, unit='a.service', start=5000)

    machine.after_reload = born
    machine.run(name='a', score_adj=-5)
    assert machine.adj(12) == -5


def test_a_unit_file_that_changes_meanwhile_is_noticed(machine):
    machine.after_reload = lambda: machine.put(ETC + '/a.service.d/99-x.conf', '[Service]\nOOMScoreAdjust=3\n')
    with pytest.raises(ApplyError, match='changed meanwhile .*Everything was rolled back'):
        machine.run(name='a', score_adj=-5)
    assert [machine.adj(pid) for pid in (10, 11)] == [15, 15] and machine.get(DROP_IN) is None


@pytest.mark.parametrize('params, message', [
    ({}, 'exactly one of'),
    ({'name': 'a', 'services': []}, 'exactly one of'),
    ({'services': []}, 'list is empty'),
    ({'services': [{'name': 'a'}]}, 'nothing is asked'),
    ({'name': 'a'}, 'nothing is asked'),
    ({'name': 'a', 'score_adj': True}, 'score_adj: the boolean'),
    ({'services': [{'name': 'a', 'score_adj': 1}], 'score_adj': 1}, 'belong to name'),
    ({'name': 'a', 'state': 'absent', 'score_adj': 1}, 'absent takes no'),
    ({'name': 'a', 'score_adj': 1, 'runtime': False, 'persistent': False}, 'nothing to do'),
    ({'process': {'pid': 1}, 'exclusive': True}, 'for services only'),
    ({'process': {'pid': 1}, 'score_adj': 1, 'runtime': False}, 'only running processes'),
    ({'process': {'pid': 10}}, 'score_adj'),
    ({'state': 'absent'}, 'exactly one of'),
    ({'services': [{'name': 'a', 'score_adj': 1}, {'name': 'a.service', 'score_adj': 2}]}, 'same service'),
])  # fmt: skip
def test_options_that_cannot_be_meant(machine, params, message):
    before = everything(machine)
    with pytest.raises(ConvertError, match=message):
        machine.run(**params)
    assert everything(machine) == before


def test_missing_says_each_service_for_itself(machine):
    desired = [{'name': 'a', 'score_adj': 1}, {'name': 'no1', 'score_adj': 1, 'missing': 'warn'},
               {'name': 'no2', 'score_adj': 1, 'missing': 'ignore'}]  # fmt: skip
    result = machine.run(services=desired)
    assert result['warnings'] == ['There is no such service on this machine: no1 [OOMK-1701]']
    assert len(result['services']) == 1
    with pytest.raises(Refusal, match='no3'):
        machine.run(services=[*desired, {'name': 'no3', 'score_adj': 1}])


def test_conflicts_name_file_and_line(machine):
    other = ETC + '/a.service.d/95-x.conf'
    machine.put(other, '[Service]\nOOMScoreAdjust=\n')
    with pytest.raises(Refusal, match='95-x.conf line 2 sets OOMScoreAdjust of a.service to nothing'):
        machine.run(name='a', score_adj=-5)
    machine.run(name='a', score_adj=-5, conflicts='comment_out')
    assert machine.get(other) == '[Service]\n# oomkit.linux: OOMScoreAdjust=\n'
    machine.run(name='a', state='absent')
    assert machine.get(other) == '[Service]\nOOMScoreAdjust=\n'


def test_only_files_below_etc_are_commented_out(machine):
    machine.put('/usr/lib/systemd/system/a.service.d/95-x.conf', '[Service]\nOOMScoreAdjust=4\n')
    with pytest.raises(Refusal, match='Only files below /etc'):
        machine.run(name='a', score_adj=-5, conflicts='comment_out')


THEIRS = ETC + '/a.service.d/95-x.conf'
TAKEN = [
    b'[Service]\nNice=1\rOOMScoreAdjust=5\n', b'[Service]\nNice=1\0OOMScoreAdjust=5\n',
    b'[Service]\n\rOOMScoreAdjust=5\n', b'[Service]\rOOMScoreAdjust=5\n', b'[Service]\nOOMScoreAdjust \\\n=5\n',
    b'[Service]\nOOMScoreAdjust=\\\n# c\n\\\n5\\', b'\xef\xbb\xbf[Service]\rOOMScoreAdjust=4\rOOMScoreAdjust=5\r\n',
    b'[Service]\nOOMPolicy=stop\rOOMScoreAdjust=5', b'[Service]\nOOMScoreAdjust=5\nX=\xff\nOOMScoreAdjust=-5\n',
    b'# oomkit.linux: \n# oomkit.linux: \r[Service]\nOOMScoreAdjust=5\n',
]


@pytest.mark.parametrize('body', TAKEN)
def test_continued_lines_are_commented_out_and_restored(machine, body):
    path = machine.put(THEIRS, body)
    result = machine.run(name='a', score_adj=-5, conflicts='comment_out')
    assert result['services'][0]['next_start']['score_adj'] == -5
    assert path.read_bytes().replace(MARKER, b'') == body.replace(MARKER, b'')
    assert b'Nice' not in body or b'\nNice' in path.read_bytes()
    assert not machine.run(name='a', score_adj=-5)['changed']
    machine.run(name='a', state='absent')
    assert path.read_bytes() == body
    assert not machine.run(name='a', state='absent')['changed']


def test_a_file_is_not_commented_out_in_part(machine, monkeypatch):
    path = machine.put(THEIRS, '[Service]\n' + 'OOMScoreAdjust=5\n' * 11)
    before = everything(machine)
    with monkeypatch.context() as patched, pytest.raises(Refusal, match='more than 10 lines: .*95-x.conf line 2 sets'):
        patched.setattr(file_draft, 'MOST_LINES', 10)
        machine.run(name='a', score_adj=-5, conflicts='comment_out')
    assert everything(machine) == before
    machine.run(name='a', score_adj=-5, conflicts='comment_out')
    assert path.read_bytes().count(MARKER) == 11


def test_what_another_service_needs_commented_out_stays_so(machine):
    machine.unit('b.service')
    shared = machine.put(ETC + '/service.d/95-x.conf', '[Service]\nOOMScoreAdjust=5\n')
    before = machine.tree()
    machine.run(name='a', score_adj=-5, conflicts='comment_out')
    taken = shared.read_bytes()
    assert not machine.run(name='b', state='absent')['changed']
    machine.run(name='b', score_adj=-6)
    machine.run(services=[{'name': 'a', 'score_adj': -5}], exclusive=True)
    assert shared.read_bytes() == taken and not machine.exists(ETC + '/b.service.d/90-oomkit.conf')
    machine.run(name='b', score_adj=-6)
    machine.run(name='a', state='absent')
    assert shared.read_bytes() == taken
    machine.run(state='absent', exclusive=True)
    assert {path: data for path, data in machine.tree().items() if not path.endswith('~')} == before


def test_what_another_service_does_not_set_comes_back_without_it(machine):
    machine.unit('b.service')
    shared = machine.put(ETC + '/service.d/95-x.conf', '[Service]\nOOMScoreAdjust=5\n')
    machine.run(name='b', oom_policy='kill')
    machine.run(name='a', score_adj=-5, conflicts='comment_out')
    machine.run(name='a', state='absent')
    assert shared.read_bytes() == b'[Service]\nOOMScoreAdjust=5\n'


def test_instance_revert_keeps_comments_of_the_template(machine):
    machine.unit('p@.service')
    machine.process(20, unit='p@x.service')
    theirs = machine.put(ETC + '/p@x.service.d/95-x.conf', '[Service]\nOOMScoreAdjust=5\n')
    machine.run(name='p@', score_adj=-5, conflicts='comment_out')
    assert not machine.run(name='p@x', state='absent')['changed'] and MARKER in theirs.read_bytes()
    machine.run(name='p@', state='absent')
    assert theirs.read_bytes() == b'[Service]\nOOMScoreAdjust=5\n'


def stop(machine, pid, unit):
    machine.end(pid)
    shutil.rmtree(machine.base / 'sys/fs/cgroup/system.slice' / unit)


@pytest.mark.parametrize('folder', [ETC + '/p@x.service.d', '/etc/systemd/system.control/p@x.service.d',
                                    ETC + '/q.service.d', '/usr/lib/systemd/system/p@x.service.d'])
@pytest.mark.parametrize('gone', [False, True])
def test_stopped_instance_gets_its_lines_back(machine, folder, gone):
    machine.unit('p@.service')
    machine.link(ETC + '/q.service', 'p@x.service')
    machine.process(20, unit='p@x.service')
    theirs = machine.put('/etc/a/x.conf', '[Service]\nOOMScoreAdjust=5\n')
    machine.link(folder + '/95-x.conf', '/etc/a/x.conf')
    machine.run(name='p@', score_adj=-5, conflicts='comment_out')
    assert MARKER in theirs.read_bytes()
    stop(machine, 20, 'p@x.service')
    if gone:
        (machine.base / 'usr/lib/systemd/system/p@.service').unlink()
    assert machine.run(state='absent', exclusive=True)['changed']
    assert theirs.read_bytes() == b'[Service]\nOOMScoreAdjust=5\n'
    assert not machine.run(name='p@', state='absent')['changed']


def test_stopped_instance_keeps_what_is_commented_out(machine):
    machine.unit('p@.service')
    machine.process(20, unit='p@x.service')
    theirs = machine.put(ETC + '/p@x.service.d/95-x.conf', '[Service]\nOOMScoreAdjust=5\n')
    machine.run(services=[{'name': 'p@', 'score_adj': -5}, {'name': 'p@x', 'score_adj': -6}], conflicts='comment_out')
    stop(machine, 20, 'p@x.service')
    machine.run(name='p@', state='absent')
    assert MARKER in theirs.read_bytes()
    machine.run(name='p@x', state='absent')
    assert theirs.read_bytes() == b'[Service]\nOOMScoreAdjust=5\n'


@pytest.mark.parametrize('folder', [ETC, '/usr/lib/systemd/system'])
def test_link_below_etc_is_commented_out_and_reverted(machine, folder):
    theirs = machine.put('/etc/a/x.conf', '[Service]\nOOMScoreAdjust=5\n')
    link = machine.link(folder + '/a.service.d/95-x.conf', '/etc/a/x.conf')
    machine.run(name='a', score_adj=-5, conflicts='comment_out')
    assert MARKER in theirs.read_bytes()
    machine.run(name='a', state='absent')
    assert theirs.read_bytes() == b'[Service]\nOOMScoreAdjust=5\n' and link.is_symlink()


@pytest.fixture
def pair(machine):
    machine.unit('b.service')
    machine.process(20, unit='b.service')
    return machine


SET_BOTH = [{'name': 'a', 'score_adj': -5}, {'name': 'b', 'score_adj': 9}]
ALL_BACK = {'state': 'absent', 'exclusive': True}


def without_copies(machine):
    return {path: data for path, data in machine.tree().items() if not path.endswith('~')}


@pytest.mark.parametrize('place', ['/etc/cm/zz.conf', ETC + '/a.service.d/zz.conf', ETC + '/b.service.d/zz.conf'])
@pytest.mark.parametrize('at_once', [True, False])
def test_file_of_two_services_is_commented_out_once(pair, place, at_once):
    shared = pair.put(place, '[Service]\nOOMScoreAdjust=7\nOOMScoreAdjust=8\n')
    for name in 'ab':
        if place != f'{ETC}/{name}.service.d/zz.conf':
            pair.link(f'{ETC}/{name}.service.d/zz.conf', place)
    for pid in (10, 11, 20):
        pair.put(f'/proc/{pid}/oom_score_adj', '8\n')  # as they start with this
    before = without_copies(pair)
    for services in [SET_BOTH] if at_once else [[one] for one in SET_BOTH]:
        result = pair.run(services=services, conflicts='comment_out')
    assert shared.read_bytes().count(MARKER) == 2 and result['services'][-1]['next_start']['score_adj'] == 9
    assert not pair.run(services=SET_BOTH)['changed']
    if at_once:
        copy, = result['backup_files']
        named = {one['before_header'] for one in result['diff'] if 'zz.conf' in one['before_header']}
        assert len(named) == 1 and copy.startswith(ETC) and named.pop() + '.oomkit-' in copy
    pair.run(name='a', state='absent')
    assert shared.read_bytes().count(MARKER) == 2 and not pair.run(services=SET_BOTH[1:])['changed']
    pair.run(services=SET_BOTH)
    pair.run(**ALL_BACK)
    assert without_copies(pair) == before and not pair.run(**ALL_BACK)['changed']


def share_folder(machine, place):
    machine.without_admin('a.service', 'b.service')
    machine.put(place + '/zz.conf', '[Service]\nOOMScoreAdjust=7\n')
    for name in 'ab':
        if place != f'{ETC}/{name}.service.d':
            machine.link(f'{ETC}/{name}.service.d', place)


@pytest.mark.parametrize('place', ['/etc/cm', ETC + '/a.service.d', ETC + '/b.service.d'])
def test_services_that_share_a_drop_in_need_the_same_values(pair, place):
    share_folder(pair, place)
    before = everything(pair)
    with pytest.raises(Refusal, match=f'drop-ins of a and b are one file.* to {place}/90-oomkit.conf.*Nothing was'):
        pair.run(services=SET_BOTH, conflicts='comment_out')
    with pytest.raises(Refusal, match='are one file'):
        pair.run(services=[{'name': 'a', 'oom_policy': 'kill'}, SET_BOTH[1]], conflicts='comment_out')
    assert everything(pair) == before
    same = [{'name': 'a', 'score_adj': 9}, {'name': 'b', 'score_adj': 9}]
    assert pair.run(services=same, conflicts='comment_out')['changed']
    assert pair.get(place + '/90-oomkit.conf').count('\nOOMScoreAdjust=9\n') == 1
    assert not pair.run(services=same, exclusive=True)['changed']
    pair.run(**ALL_BACK)
    assert without_copies(pair) == before[0] and not pair.run(**ALL_BACK)['changed']


def test_shared_drop_in_stays_with_exclusive_and_goes_once(pair):
    share_folder(pair, '/etc/cm')
    before = everything(pair)
    assert pair.run(services=SET_BOTH[1:], exclusive=True, conflicts='comment_out')['changed']
    again = pair.run(services=SET_BOTH[1:], exclusive=True)
    assert not again['changed'] and [one['name'] for one in again['services']] == ['b']
    pair.run(name='b', state='absent')
    assert without_copies(pair) == before[0]


def test_shared_file_of_stopped_instance_stays_commented_out(machine):
    machine.unit('p@.service')
    machine.process(20, unit='p@x.service')
    theirs = machine.put('/etc/cm/zz.conf', '[Service]\nOOMScoreAdjust=5\n')
    for name in ('a', 'p@x'):
        machine.link(f'{ETC}/{name}.service.d/zz.conf', '/etc/cm/zz.conf')
    desired = [{'name': 'a', 'score_adj': -5}, {'name': 'p@', 'score_adj': -6}]
    machine.run(services=desired, conflicts='comment_out')
    stop(machine, 20, 'p@x.service')
    machine.run(name='a', state='absent')
    assert MARKER in theirs.read_bytes()
    machine.run(name='p@', state='absent')
    assert theirs.read_bytes() == b'[Service]\nOOMScoreAdjust=5\n'


def test_what_a_hidden_file_says_is_set_on_nobody(machine):
    machine.run(name='a', score_adj=-5)
    machine.put(ETC + '/a.service.d/.old.conf', '[Service]\nOOMScoreAdjust=700\n')
    machine.run(name='a', state='absent')
    assert [machine.adj(pid) for pid in (10, 11)] == [15, 15]


def folder_or_circle(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.startswith('loop'):
        path.symlink_to(path.name)
    else:
        path.mkdir()


@pytest.mark.parametrize('path', [
    'a.service.d/old.conf', 'a.service.d/loop.conf', '../system.conf.d/old.conf', '../system.conf.d/loop.conf',
    '../system.conf', 'bar.service.d/90-oomkit.conf', 'loop.service.d', 'loop.service', 'bar.service', 'a.service'])
def test_what_systemd_passes_over_keeps_nobody_from_his_request(machine, path):
    place = machine.base / ETC[1:] / path
    folder_or_circle(place)
    (place.parent / (place.name + '.d')).mkdir(exist_ok=True)
    result = machine.run(name='a', score_adj=-5)
    assert result['services'][0]['next_start']['score_adj'] == -5
    machine.run(name='a', state='absent')
    machine.run(state='absent', exclusive=True)


def test_a_folder_in_the_place_of_our_own_file_is_reported(machine):
    folder_or_circle(machine.base / DROP_IN[1:])
    with pytest.raises(IsADirectoryError):
        machine.run(name='a', score_adj=-5)


def test_boot_only_is_remembered_for_those_that_run(machine):
    machine.run(name='a', score_adj=-5, runtime=False)
    record = saved_scores.parse(machine.read_bytes(saved_scores.FILE))
    assert record.units['a.service'][0].value == 15 and machine.adj(10) == 15
    machine.process(12, adj=15, unit='a.service', start=10**9)  # started later and at 15: by its own doing
    machine.run(name='a', score_adj=-5)
    assert [machine.adj(pid) for pid in (10, 11, 12)] == [-5, -5, 15]
    assert recorded(machine) == saved_scores.EMPTY._replace(ours={'a.service': (-5,)})


def test_in_an_image_only_files_are_written(tmp_path):
    image = ServiceMachine(tmp_path, init='none')
    image.unit('a.service')
    image.end(1)
    result = image.run(name='a', score_adj=-5, runtime=False)
    assert result['changed'] and image.get(DROP_IN) and image.reloads == 0
    assert not image.run(name='a', score_adj=-5, runtime=False)['changed']
    with pytest.raises(Refusal, match='runtime: false'):
        image.run(name='a', score_adj=-5)


def test_record_has_processes_beside_services(machine):
    record = saved_scores.EMPTY._replace(originals={'sysv': 3}, processes={(10, 100): saved_scores.Original(7, (0,))})
    machine.put(saved_scores.FILE, saved_scores.dump(record).decode())
    assert machine.run(name='a', score_adj=-5)['changed'] and machine.adj(10) == -5
    left = saved_scores.parse(machine.read_bytes(saved_scores.FILE))
    assert left.processes == {(10, 100): saved_scores.Original(7, (0, -5))}  # the first original stays
    assert left.originals == record.originals
    machine.run(name='a', score_adj=-6, runtime=False)
    assert saved_scores.parse(machine.read_bytes(saved_scores.FILE)).units['a.service'][0].value == -5


def test_an_internal_error_half_way_rolls_back_everything_too(machine, monkeypatch):
    before = everything(machine)

    def broken(_host, _target, transaction):
        raise TypeError('a bug')

    monkeypatch.setattr(service_apply, 'set_live', broken)
    with pytest.raises(ApplyError, match=r'internal error of the collection.*TypeError in .*rolled back'):
        machine.run(name='a', score_adj=-5)
    assert everything(machine) == before


def test_the_record_survives_anything(machine):
    for data in (b'', b'{', b'[]', b'{"units": 3}', b'\xff', b'{"units": {}, "originals": {}, "processes": [[1]]}'):
        assert saved_scores.parse(data) == saved_scores.EMPTY
    whole = saved_scores.Record({'a.service': (score_adj.Given(5, None),)}, {'sysv': 3},
                                {(1, 2): saved_scores.Original(3, (4, 5))}, {'a.service': 1}, {'a.service': (4, 5)})
    assert saved_scores.parse(saved_scores.dump(whole)) == whole


def test_the_big_consumers():
    assert guard.find_big_consumers({}) == []
    assert guard.find_big_consumers({1: 5, 2: 100, 3: 5}) == [2]
    assert guard.find_big_consumers({1: 10, 2: 10, 3: 10, 4: 10}) == [1, 2]


def test_exempting_all_that_hold_memory_is_warned_of(machine):
    machine.put('/proc/10/status', 'VmRSS:\t 90000 kB\nVmPTE:\t 4 kB\nVmSwap:\t 0 kB\n'.join(['Name:\tx\n', '']))
    assert 'can be killed any more' in machine.run(name='a', score_adj=-1000, check=True)['warnings'][0]
    machine.process(30, unit='b.service')
    machine.put('/proc/30/status', 'VmRSS:\t 95000 kB\nVmPTE:\t 4 kB\nVmSwap:\t 0 kB\n'.join(['Name:\tx\n', '']))
    assert machine.run(name='a', score_adj=-1000, check=True)['warnings'] == []


def test_processes_by_each_rule_and_back(machine):
    machine.process(40, name='worker', uid=65534, cmdline='/usr/bin/worker --id 7')
    machine.put('/srv/w.pid', '40\n')
    for number, process in enumerate(
        ({'pid': 40}, {'pidfile': '/srv/w.pid'}, {'comm': 'worker'}, {'cmdline_regex': r'--id \d$'}, {'user': '65534'}),
        1,
    ):
        result = machine.run(process=process, score_adj=number)
        assert [item['pid'] for item in result['processes']] == [40] and machine.adj(40) == number
        assert not machine.run(process=process, score_adj=number)['changed']
    machine.run(process={'pid': 40}, state='absent')
    assert machine.adj(40) == 0 and not machine.exists('/run/oomkit')


def test_another_init_is_set_live(tmp_path):
    machine = ServiceMachine(tmp_path, init='openrc')
    machine.process(50, name='crond', start=5)
    machine.process(51, parent=50, name='job')
    machine.put('/run/crond.pid', '50\n')
    result = machine.run(name='crond', score_adj=-4)
    assert [machine.adj(pid) for pid in (50, 51)] == [-4, -4] and 'next start will lose it' in result['warnings'][0]
    assert not machine.run(name='crond', score_adj=-4)['changed'] and not machine.exists(ETC)
    machine.run(name='crond', state='absent')
    assert [machine.adj(pid) for pid in (50, 51)] == [0, 0]
    with pytest.raises(Refusal, match='setting of systemd'):
        machine.run(name='crond', oom_policy='kill')


@pytest.fixture
def redis(tmp_path):
    """A machine without systemd, and a service whose owner, user 999, has the folder of its PID file."""
    if os.geteuid():
        pytest.skip('only root can give a folder away, and this is user %d' % os.geteuid())
    machine = ServiceMachine(tmp_path, init='other')
    machine.put('/etc/init.d/redis', '#!/bin/sh\n')
    machine.process(50, name='sshd')
    machine.process(51, parent=50, name='bash', uid=1000)
    machine.process(60, name='redis-server', uid=999)
    machine.process(61, parent=60, name='job', uid=999)
    machine.put('/run/redis/redis.pid', '60\n')
    for path in ('run/redis', 'run/redis/redis.pid'):
        os.chown(tmp_path / path, 999, 999)
    return machine


def scores(machine):
    return [machine.adj(pid) for pid in (1, 50, 51, 60, 61)]


@pytest.mark.parametrize('missing', ['warn', 'ignore'])
def test_policy_without_systemd_is_skipped_if_allowed(redis, missing):
    """As the profiles of the role ask for it; a service that is not there needs no warning."""
    items = [{'name': 'redis', 'score_adj': 7, 'oom_policy': 'continue', 'missing': missing},
             {'name': 'postgresql@', 'score_adj': -9, 'oom_policy': 'continue', 'missing': 'ignore'}]
    warnings = redis.run(services=items)['warnings']
    assert [text for text in warnings if 'oom_policy' in text] == [
        'redis: oom_policy is a setting of systemd, and the init here is other, so that it is not set [OOMK-2005]']
    assert scores(redis) == [0, 0, 0, 7, 7]


def test_policy_without_systemd_is_refused_with_advice(redis):
    with pytest.raises(Refusal, match='Nothing was changed. Leave it out, or use missing: warn to go without it'):
        redis.run(services=[{'name': 'redis', 'score_adj': 7, 'oom_policy': 'kill'}])
    assert scores(redis) == [0] * 5


@pytest.mark.parametrize('value, said, unsaid', [
    (7, 'the process is not of this user: run the task as root (become: true)', 'CAP_SYS_RESOURCE'),
    (-7, 'lowering oom_score_adj needs CAP_SYS_RESOURCE', 'not of this user'),
])
@pytest.mark.parametrize('number', [errno.EACCES, errno.EPERM])
def test_why_a_process_could_not_be_set(number, value, said, unsaid):
    one = ProcessIdentity(60, 1, 5, b'redis', 0)
    text = score_adj._explain('redis', one, value, OSError(number, os.strerror(number)))
    assert said in text and unsaid not in text


def test_pid_file_must_name_a_process_of_the_service(redis):
    assert redis.run(name='redis', score_adj=-5)['warnings'][0].startswith('redis: only its running processes')
    assert scores(redis) == [0, 0, 0, -5, -5]
    redis.run(process={'pidfile': '/run/redis/redis.pid'}, score_adj=9)
    assert scores(redis) == [0, 0, 0, 9, -5]


@pytest.mark.parametrize('pid', [1, 50, 51])
def test_a_pid_file_of_the_service_cannot_name_anything_else(redis, pid):
    redis.put('/run/redis/redis.pid', f'{pid}\n')
    result = redis.run(name='redis', score_adj=500)
    assert scores(redis) == [0] * 5 and not result['changed']
    assert pid == 1 or f'names process {pid}, which is skipped' in result['warnings'][0]
    with pytest.raises(Refusal, match=f'names process {pid}, which is skipped.*Nothing was changed'):
        redis.run(process={'pidfile': '/run/redis/redis.pid'}, score_adj=5)


@pytest.mark.parametrize('mode', [0o777, 0o1777])
def test_a_pid_file_where_anybody_writes_is_nobodys(redis, tmp_path, mode):
    (tmp_path / 'run/redis').chmod(mode)
    redis.run(name='redis', score_adj=500)
    assert scores(redis) == [0] * 5


def test_link_to_another_services_pid_file_is_not_followed(redis, tmp_path):
    redis.put('/run/mysqld/mysqld.pid', '50\n')
    redis.process(50, name='mysqld', uid=998)
    for path in ('run/mysqld', 'run/mysqld/mysqld.pid'):
        os.chown(tmp_path / path, 998, 998)
    redis.run(name='mysqld', score_adj=3)
    assert redis.adj(50) == 3
    (tmp_path / 'run/redis/redis.pid').unlink()
    redis.link('/run/redis/redis.pid', '/run/mysqld/mysqld.pid')
    redis.run(name='redis', score_adj=500)
    assert scores(redis) == [0, 3, 3, 0, 0]  # 51 is a child of 50


def a_loop(path):
    path.symlink_to(path.name)


def a_link(target):
    return lambda path: path.symlink_to(target)


def no_end(path):
    path.write_bytes(b'1' * (1 << 24) + b'x')


NO_PID_FILES = {
    'loop': (a_loop, 'Too many levels'), 'pipe': (os.mkfifo, 'Not a regular file'),
    'folder': (os.mkdir, 'Is a directory'),
    'socket': (a_socket, 'Not a regular file'), 'device': (a_device, 'Not a regular file'),
    'no end': (no_end, 'File too large'), 'link into /proc': (a_link('/proc/61/stat'), 'Not a stored file'),
    'a file of /proc': (a_link('/proc/60/comm'), 'Not a stored file'),
    'long name': (a_link('/' + 'x' * 300), 'File name too long'),
    'no number': (lambda path: path.write_bytes(b'sixty\n'), 'does not begin with a process number'),
    'empty': (lambda path: path.write_bytes(b''), 'does not begin with a process number'),
}  # fmt: skip


@pytest.mark.parametrize('make, why', NO_PID_FILES.values(), ids=NO_PID_FILES)
def test_what_is_no_pid_file_is_passed_over_with_the_reason(redis, tmp_path, make, why):
    path = tmp_path / 'run/redis/redis.pid'
    path.unlink()
    make(path)
    result = redis.run(services=[{'name': 'redis', 'score_adj': 5}, {'name': 'sshd', 'score_adj': -7}])
    assert scores(redis) == [0, -7, -7, 0, 0]
    assert [one for one in result['warnings'] if one.startswith('redis: ') and why in one]
    with pytest.raises(ConvertError, match=r'process\.pidfile: .*' + why):
        redis.run(process={'pidfile': '/run/redis/redis.pid'}, score_adj=5)
    assert scores(redis) == [0, -7, -7, 0, 0]


def test_a_pid_file_that_leads_nowhere_is_none(redis, tmp_path):
    (tmp_path / 'run/redis/redis.pid').unlink()
    redis.link('/run/redis/redis.pid', '/run/none')
    redis.run(services=[{'name': 'redis', 'score_adj': 5}, {'name': 'sshd', 'score_adj': -7}])
    with pytest.raises(Refusal, match='matches no process'):
        redis.run(process={'pidfile': '/run/redis/redis.pid'}, score_adj=5)
    assert scores(redis) == [0, -7, -7, 0, 0]


@pytest.mark.parametrize('door', ['read_named_file', 'walk'])
@pytest.mark.parametrize('number', [
    errno.EACCES, errno.EIO, errno.ENOTCONN, errno.EAGAIN, errno.ESTALE, errno.EOVERFLOW])
def test_unreadable_pid_file_is_skipped_with_a_reason(redis, monkeypatch, door, number):
    """As a file system or a lease of the owner's can have it."""
    real = getattr(redis, door)

    def refuse(path):
        if path == '/run/redis/redis.pid':
            raise OSError(number, os.strerror(number), path)
        return real(path)
    monkeypatch.setattr(redis, door, refuse)
    result = redis.run(services=[{'name': 'redis', 'score_adj': 5}, {'name': 'sshd', 'score_adj': -7}])
    assert scores(redis) == [0, -7, -7, 0, 0]
    assert [one for one in result['warnings'] if 'redis: the PID file cannot be read: ' in one]


def test_a_relative_pid_file_is_refused(redis):
    with pytest.raises(ConvertError, match=r'run/redis\.pid is not an absolute path'):
        redis.run(process={'pidfile': 'run/redis.pid'}, score_adj=5)


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir, a_device, a_link('/proc/60/comm')])
def test_unreadable_openrc_note_is_skipped_with_a_reason(redis, tmp_path, make):
    redis.put('/run/openrc/daemons/redis/001', 'exec=/bin/redis\n')
    make(tmp_path / 'run/openrc/daemons/redis/002')
    (tmp_path / 'run/redis/redis.pid').unlink()
    warnings = redis.run(name='redis', score_adj=5)['warnings']
    assert [one for one in warnings if 'what OpenRC has noted of its daemons cannot be read' in one]


@pytest.mark.parametrize('uids', [(999, 0, 0), (999, 999, 0)])
def test_a_set_user_id_program_is_no_process_of_the_service(redis, uids):
    """Its owner can start su and name that."""
    redis.put('/proc/60/status', 'Name:\tsu\nUid:\t%d\t%d\t%d\t0\nVmRSS:\t 9 kB\n' % uids)
    redis.run(name='redis', score_adj=500)
    assert scores(redis) == [0] * 5


def test_a_file_that_two_users_can_write_is_nobodys(redis, tmp_path):
    """The folder is the one's and the file the other's, who could name a process of the first."""
    os.chown(tmp_path / 'run/redis/redis.pid', 1000, 1000)
    redis.run(name='redis', score_adj=500)
    assert scores(redis) == [0] * 5


def test_sudo_under_the_name_of_a_service_is_no_service(redis):
    redis.put('/etc/init.d/cron', '#!/bin/sh\n')
    redis.process(70, parent=51, name='cron')
    redis.put('/proc/70/exe', '').chmod(0o4755)
    assert 'belongs to user unknown' in redis.run(name='cron', score_adj=-7)['warnings'][0] and redis.adj(70) == 0


def test_a_name_alone_is_not_enough_for_the_process_of_a_user(redis):
    redis.put('/etc/init.d/cron', '#!/bin/sh\n')
    redis.process(70, parent=51, name='cron', uid=1000)
    assert 'belongs to user 1000' in redis.run(name='cron', score_adj=-7)['warnings'][0] and redis.adj(70) == 0
    redis.process(71, name='cron')
    redis.run(name='cron', score_adj=-7)
    assert (redis.adj(70), redis.adj(71)) == (0, -7)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is reverted."""


@pytest.mark.thorough
@pytest.mark.parametrize('init', ['systemd', 'other'])
@pytest.mark.parametrize('desired', [{'name': 'crond', 'score_adj': -4}, {'state': 'absent', 'exclusive': True}])
@pytest.mark.parametrize('writes', [0, 1, 2])
def test_next_run_completes_one_killed_between_processes(tmp_path, monkeypatch, init, desired, writes):
    machine = ServiceMachine(tmp_path, init=init)
    machine.unit('crond.service')
    for pid in (50, 51, 52):
        machine.process(pid, parent=1 if pid == 50 else 50, name='crond', start=5, unit='crond.service')
    machine.put('/run/crond.pid', '50\n')
    if 'state' in desired:
        machine.run(name='crond', score_adj=-9)
    done, write = [], handle.ProcessHandle.write_score_adj

    def write_or_die(held, value):
        if len(done) == writes:
            raise Killed
        done.append(held.pid)
        return write(held, value)
    with monkeypatch.context() as patched:
        patched.setattr(handle.ProcessHandle, 'write_score_adj', write_or_die)
        patched.setattr(transaction.Rollback, 'run', lambda rollback: None)
        with pytest.raises(Killed):
            machine.run(**desired)
    assert machine.run(**desired)['changed']
    assert {machine.adj(pid) for pid in (50, 51, 52)} == {desired.get('score_adj', 15)}
    assert not machine.run(**desired)['changed']


@pytest.mark.parametrize('name', ['user@', 'user@1000', 'sshd-vsock@', 'sshd-unix-local@', 'openssh-server', 'gdm',
                                  'lightdm', 'display-manager', 'greetd', 'xrdp-sesman', 'cron', 'crond', 'atd',
                                  'agetty.tty1', 'teleport', 'xrdp', 'amazon-ssm-agent'])  # fmt: skip
def test_service_that_runs_user_programs_needs_force(tmp_path, name):
    machine = ServiceMachine(tmp_path)
    machine.unit(name.partition('@')[0] + ('@' if '@' in name else '') + '.service')
    with pytest.raises(Refusal, match='Every new login session inherits'):
        machine.run(name=name, score_adj=-1000)
    assert 'every new login session' in machine.run(name=name, score_adj=-500)['warnings'][0]


@pytest.mark.parametrize('session', [False, True])
def test_a_login_server_is_known_whatever_its_unit_is_called(tmp_path, session):
    machine = ServiceMachine(tmp_path)
    machine.unit('admin-access.service')
    machine.process(50, name='loginserver' if session else 'sshd', unit='admin-access.service')
    if session:
        machine.process(51, parent=50, name='bash', uid=1000)
        machine.put('/proc/51/cgroup', '0::/user.slice/user-1000.slice/session-3.scope\n')
    with pytest.raises(Refusal, match='Every new login session inherits'):
        machine.run(name='admin-access', score_adj=-1000)
    assert machine.run(name='admin-access', score_adj=-1000, force=True)['changed']


@pytest.mark.parametrize('name', ['user-runtime-dir@', 'ssh-agent', 'sshguard', 'sshd-keygen', 'crontab-check'])
def test_what_is_only_called_like_a_login_server_may_be_exempt(tmp_path, name):
    machine = ServiceMachine(tmp_path)
    machine.unit(name + '.service')
    machine.process(50, name='x', unit=name.replace('@', '@1') + '.service')
    machine.process(51, rss_kb=4000)
    assert machine.run(name=name, score_adj=-1000)['warnings'] == []
