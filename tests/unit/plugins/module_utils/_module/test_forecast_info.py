# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module oom_forecast_info on a machine on disk, and what is forecast of a change."""

import errno
import json
import os
import shutil

import pytest
from services_machine import FOREIGN_ADJ, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._forecast import observe
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import badness
from ansible_collections.oomkit.linux.plugins.module_utils._module import forecast_info
from ansible_collections.oomkit.linux.plugins.module_utils._process import shared_mm
from ansible_collections.oomkit.linux.plugins.module_utils._process.table import parse_holding
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import Manager, ManagerError

NOBODY = 2 ** 22 - 100  # PIDs of the machine on disk are hardly ever in use on this one, which kcmp asks about


@pytest.fixture
def machine(tmp_path):
    one = ServiceMachine(tmp_path)
    one.put('/proc/self/status', 'NSpid:\t5\n')
    one.put('/proc/self/oom_score', '667\n')
    for unit in ('a.service', 'b.service', 'pg@.service'):
        one.unit(unit)
    one.process(NOBODY + 10, unit='a.service', rss_kb=400_000, start=10, name='java')
    one.process(NOBODY + 11, unit='a.service', rss_kb=1000, start=11)
    one.process(NOBODY + 12, unit='b.service', rss_kb=300_000, adj=100)
    one.process(NOBODY + 13, unit='pg@15.service', rss_kb=200_000, adj=-900)
    return one


def run(machine, **params):
    names = ('score_adj', 'protect', 'cgroup', 'nodes', 'growing', 'snapshot', 'policy', 'kill_allocating_task')
    unknown = set(params) - {*names, 'kills'}
    assert not unknown, unknown
    return forecast_info.run({**dict.fromkeys(names), 'kills': 5, **params}, machine, machine)


def victims(result):
    return [[one['pid'] - NOBODY for one in kill['victims']] for kill in result['kill_order']]


def test_who_and_in_which_order(machine):
    result = run(machine, kills=2)
    assert (result['outcome'], result['reason'], result['changed']) == ('kill', None, False)
    assert victims(result) == [[12], [10]]
    first, second = result['kill_order']
    assert (first['service'], first['freed_kb'], first['error_pages']) == ('b.service', 300_004, 0)
    assert first['badness_pages'] == 75_001 + 100 * (machine.ram_kb // 4 // 1000)
    # It is the main process of its service, which ends with it.
    assert [(one['pid'] - NOBODY, one['why']) for one in second['collateral']] == [(11, 'service_ends')]
    assert result['summary'][1] == '2. java (PID %d, a.service), and with it 1 process' % (NOBODY + 10)


def test_the_same_again_from_its_snapshot_and_other_questions(machine, tmp_path):
    result = run(machine)
    snapshot = json.loads(json.dumps(result['snapshot']))
    again = run(None, snapshot=snapshot)
    assert {**again, 'snapshot': 0} == {**result, 'snapshot': 0}
    assert victims(run(None, kills=1, snapshot=snapshot, score_adj=[{'service': 'a', 'value': 500}])) == [[10]]
    assert victims(run(None, kills=1, snapshot=snapshot, score_adj=[{'comm': 'java', 'value': 500}])) == [[10]]
    growing = {'pid': NOBODY + 13, 'size': '8G'}
    assert victims(run(None, kills=1, snapshot=snapshot, growing=growing)) == [[13]]
    assert run(None, snapshot=snapshot, policy='panic')['outcome'] == 'panic'
    with pytest.raises(Refusal, match='holds no process'):
        run(None, snapshot=snapshot, score_adj=[{'service': 'no', 'value': 500}])
    with pytest.raises(ConvertError, match='holds no other one'):
        run(None, snapshot=snapshot, cgroup='/a')


def test_whatever_is_written_into_a_snapshot_can_be_printed(machine):
    machine.put('/sys/fs/cgroup/system.slice/b.service/memory.max', '100000000\n')
    evil = '/system.slice/b.service\x1b[2J\udcff{'
    snapshot = run(machine, cgroup='/system.slice/b.service')['snapshot']
    snapshot['domain']['cgroup'] = evil
    snapshot['processes'][0].update(name=evil, unit=evil, cgroup=evil)
    for unknown in (None, evil):
        snapshot.update(oom_daemons=[{'name': evil, evil: [evil]}], unknown=unknown)
        result = run(None, snapshot=snapshot, cgroup=evil)
        assert [text for text in texts(result) if not text.isprintable()] == []
        assert result['outcome'] == ('unknown' if unknown else 'kill')
    for depth in (30, 3000):
        deep = []
        for _level in range(depth):
            deep = [deep]
        with pytest.raises(ConvertError, match='oom_daemons is nested too deeply'):
            run(None, snapshot=dict(snapshot, oom_daemons=deep))


def texts(value):
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


def test_a_snapshot_may_be_too_little(machine):
    for number in range(20, 60):
        machine.process(NOBODY + number, rss_kb=4000 + number)
    snapshot = run(machine, kills=1)['snapshot']
    assert snapshot['left_out'] > 20
    result = run(None, kills=30, snapshot=snapshot)
    assert (result['outcome'], result['kill_order']) == ('unknown', []) and 'too few' in result['reason']
    assert len(run(machine, kills=30)['kill_order']) == 30


def test_what_if(machine):
    assert victims(run(machine, kills=1, score_adj=[{'service': 'a', 'value': 200}])) == [[10]]
    assert victims(run(machine, kills=1, score_adj=[{'pid': NOBODY + 13, 'value': 900}])) == [[13]]
    assert victims(run(machine, kills=2, score_adj=[{'comm': 'java', 'value': -1000}])) == [[12], [11]]
    assert victims(run(machine, kills=1, growing={'service': 'a', 'size': '1G'})) == [[10]]
    machine.put('/proc/sys/vm/panic_on_oom', '1\n')
    assert run(machine)['outcome'] == 'panic'
    assert victims(run(machine, kills=1, policy='kill')) == [[12]]
    assert run(machine, policy=0, kill_allocating_task=True)['outcome'] == 'unknown'


def test_protected_services(machine):
    result = run(machine, kills=2, protect=['a', 'pg'])
    assert result['violations'] == [{'service': 'a', 'rank': 2, 'how': 'victim', 'certain': True, 'pid': NOBODY + 10,
                                     'name': 'java', 'unit': 'a.service'}]
    assert [one['unit'] for one in run(machine, protect=['pg'])['violations']] == ['pg@15.service']
    machine.put('/sys/fs/cgroup/system.slice/memory.oom.group', '1\n')
    machine.put('/sys/fs/cgroup/system.slice/cgroup.procs', '')
    found = run(machine, kills=1, protect=['pg.service'])['violations']
    assert [(one['how'], one['certain']) for one in found] == [('collateral', True)]


@pytest.mark.parametrize('name', ['cache', 'cache.service', 'a', 'dbus-a'])
def test_a_protected_service_by_any_of_its_names(machine, name):
    """An alias of [Install], which is a link, and one that is a link in another folder."""
    for path in ('/etc/systemd/system/cache.service', '/usr/lib/systemd/system/dbus-a.service'):
        machine.link(path, '/usr/lib/systemd/system/a.service')
    assert [one['unit'] for one in run(machine, kills=2, protect=[name])['violations']] == ['a.service']
    with pytest.raises(Refusal, match='protect: with this'):
        machine.run(name='a', score_adj=300, protect=[name], forecast=1)


@pytest.mark.parametrize('name', ['pg', 'pg@', 'pg@15', 'pg@15.service'])
def test_a_protected_template_or_instance(machine, name):
    assert {one['unit'] for one in run(machine, protect=[name])['violations']} == {'pg@15.service'}


def test_a_protected_service_that_does_not_exist_is_refused(machine):
    machine.unit('redis-server.service')
    before = machine.tree()
    for ask in (lambda: run(machine, protect=['redis-sever']),
                lambda: machine.run(name='a', score_adj=300, protect=['redis-sever'])):
        with pytest.raises(Refusal, match=r'protect: .*redis-sever \(is redis-server meant\?\)'):
            ask()
    assert machine.tree() == before and machine.adj(NOBODY + 10) == 15


# Right is what the option services does with the same name.
@pytest.mark.parametrize('name', [
    'a', 'a.service', 'cache', 'cache.service', 'pg@15', 'pg@', 'old@15', 'old@', 'pg@none', 'A', 'Cache', 'a.services',
    'a@', 'pg@15.service.service', 'nope', 'nope@1', 'piper', 'b.service', 'masked', 'dangling', 'a.socket', 'a b', '-',
])  # fmt: skip
@pytest.mark.parametrize('init', ['systemd', 'openrc'])
def test_protect_takes_the_names_that_services_takes(tmp_path, name, init):
    machine = ServiceMachine(tmp_path, init=init)
    if init == 'openrc':
        machine.put('/run/openrc/softlevel', 'default')
        for one in ('a', 'b'):
            machine.put(f'/etc/init.d/{one}', '')
    else:
        for one in ('a.service', 'b.service', 'pg@.service'):
            machine.unit(one)
        machine.put('/usr/lib/systemd/user/piper.service', '[Service]\n')
        for one, target in (('cache', 'a.service'), ('old@', 'pg@.service'), ('masked', '/dev/null'),
                            ('dangling', 'gone.service')):
            machine.link(f'/usr/lib/systemd/system/{one}.service', target)
    machine.process(NOBODY + 10, rss_kb=400_000, name='java')
    answers = []
    for params in ({'name': name, 'score_adj': 300}, {'name': 'b', 'score_adj': 1, 'protect': [name], 'forecast': 1}):
        try:
            machine.run(check=True, **params)
            answers.append(None)
        except (ConvertError, Refusal) as exc:
            answers.append(type(exc))
    assert answers[0] == answers[1]


@pytest.mark.parametrize('what', [{'name': 'a'}, {'process': {'pid': NOBODY + 10}}])
def test_a_systemctl_that_fails_is_no_internal_error(machine, monkeypatch, what):
    """The module asks it only for what no unit file says."""
    real = machine.show

    def show(names=None):
        if names is not None and 'nope.service' in names:
            raise ManagerError('systemctl show failed: Connection refused')
        return real(names)

    monkeypatch.setattr(machine, 'show', show)
    assert machine.run(score_adj=300, protect=['b'], forecast=1, check=True, force=True, **what)
    with pytest.raises(Refusal, match=r'systemctl show failed: Connection refused\. Nothing was changed'):
        machine.run(score_adj=300, protect=['nope'], **what)
    assert machine.adj(NOBODY + 10) == FOREIGN_ADJ


def test_a_unit_of_users_is_refused_as_such(machine):
    machine.put('/usr/lib/systemd/user/piper.service', '[Service]\n')
    with pytest.raises(Refusal, match='protect: piper is a unit of users'):
        run(machine, protect=['piper'])


def test_a_protected_service_of_another_init(tmp_path):
    """No cgroup names it there."""
    machine = ServiceMachine(tmp_path, init='sysvinit')
    machine.put('/etc/init.d/big', '')
    machine.process(NOBODY + 10, name='big', rss_kb=900000)
    machine.process(NOBODY + 11, name='worker', parent=NOBODY + 10, rss_kb=2000000)
    machine.put('/run/big.pid', f'{NOBODY + 10}\n')
    assert [one['pid'] for one in run(machine, kills=1, protect=['big'])['violations']] == [NOBODY + 11]
    with pytest.raises(Refusal, match='no such service'):
        run(machine, protect=['bog'])


def test_a_user_cannot_call_a_unit_of_his_own_as_a_protected_one(machine):
    machine.unit('user@.service')
    machine.process(NOBODY + 90, uid=1000, rss_kb=8000000)
    theirs = '/user.slice/user-1000.slice/user@1000.service/app.slice/%s.service'
    machine.put(f'/proc/{NOBODY + 90}/cgroup', f'0::{theirs % "a"}\n')
    assert victims(run(machine, kills=1)) == [[90]]
    assert run(machine, kills=1, protect=['a'])['violations'] == []
    snapshot = run(machine, kills=4)['snapshot']
    assert victims(run(None, kills=1, snapshot=snapshot, score_adj=[{'service': 'a', 'value': -1000}])) == [[90]]
    assert run(machine, kills=1, protect=['user@1000'])['violations'][0]['pid'] == NOBODY + 90


def test_a_cgroup_at_its_own_limit(machine):
    machine.put('/sys/fs/cgroup/system.slice/a.service/memory.max', '500000000\n')
    assert victims(run(machine, cgroup='/system.slice/a.service')) == [[10]]
    assert victims(run(machine, cgroup='/sys/fs/cgroup/system.slice/a.service/', kills=1)) == [[10]]
    with pytest.raises(Refusal, match='no limit of its own'):
        run(machine, cgroup='/system.slice/b.service')


@pytest.mark.parametrize('params, text', [
    ({'kills': 0}, 'kills'), ({'kills': True}, 'kills'), ({'cgroup': 'a'}, 'path of a cgroup'),
    ({'cgroup': '/a/../b'}, 'path of a cgroup'), ({'cgroup': '/sys/fs/cgroup/'}, 'the root'),
    ({'score_adj': [{'value': 5}]}, r'score_adj\[0\]: give exactly one'),
    ({'score_adj': [{'pid': 5, 'comm': 'a', 'value': 5}]}, 'found pid, comm'),
    ({'score_adj': [{'pid': 5, 'value': 1001}]}, r'score_adj\[0\].value'),
    ({'score_adj': [{'comm': 'x' * 16, 'value': 1}]}, '15 bytes'),
    ({'score_adj': [{'comm': '', 'value': 1}]}, r"score_adj\[0\].comm: '' cannot be the name of a process"),
    ({'protect': ['x.scope']}, r'its settings have no effect \[OOMK-1704\]$'),
    ({'score_adj': [{'service': 'x.scope', 'value': 1}]}, r'its settings have no effect \[OOMK-1704\]$'),
    ({'score_adj': [{'comm': '\ud800', 'value': 1}]}, r"comm: '\\ud800' cannot be the name of a process"),
    ({'protect': ['../a']}, r'protect\[0\]'),
    ({'growing': {'pid': 5, 'size': '10%'}}, 'growing.size'), ({'growing': {'pid': 5, 'size': 100}}, 'growing.size'),
    ({'policy': 3}, 'policy'), ({'nodes': []}, 'nodes'), ({'nodes': [0], 'cgroup': '/a'}, 'nodes'),
    ({'nodes': [-1]}, 'nodes'), ({'snapshot': {}}, 'format'),
])
def test_options_that_cannot_be_meant(machine, params, text):
    with pytest.raises(ConvertError, match=text):
        run(machine, **params)


@pytest.mark.parametrize('params', [{'score_adj': [{'pid': 77, 'value': 1}]},
                                    {'score_adj': [{'comm': 'z', 'value': 1}]},
                                    {'score_adj': [{'service': 'no', 'value': 1}]},
                                    {'growing': {'service': 'no', 'size': '1M'}}, {'cgroup': '/no'}])
def test_who_is_not_there(machine, params):
    with pytest.raises(Refusal):
        run(machine, **params)


def test_what_is_not_seen_is_unknown(machine):
    machine.put('/proc/self/status', 'NSpid:\t5\t1\n')
    assert run(machine)['outcome'] == 'unknown'
    machine.put('/sys/fs/cgroup/system.slice/a.service/memory.max', '500000000\n')
    assert run(machine, cgroup='/system.slice/a.service')['outcome'] == 'kill'  # all of it is seen
    with open(machine.base / 'sys/fs/cgroup/system.slice/a.service/cgroup.procs', 'a') as procs:
        procs.write('0\n')
    assert run(machine, cgroup='/system.slice/a.service')['outcome'] == 'unknown'


@pytest.mark.parametrize('hidepid', [1, 2])
def test_hidden_process_may_be_victim_of_its_cgroup(machine, hidepid):
    cgroup = '/system.slice/a.service'
    machine.put(f'/sys/fs/cgroup{cgroup}/memory.max', '500000000\n')
    for pid in (1, NOBODY + 12):
        (machine.base / f'proc/{pid}').rename(machine.base / f'proc/hidden-{pid}')
    assert victims(run(machine, cgroup=cgroup, kills=1)) == [[10]]  # all in this one is seen
    (machine.base / f'proc/{NOBODY + 10}').rename(machine.base / f'proc/hidden-{NOBODY + 10}')
    if hidepid == 1:  # they are listed, but nothing of them may be read
        (machine.base / f'proc/{NOBODY + 10}').mkdir()
    result = run(machine, cgroup=cgroup, protect=['a'])
    assert (result['outcome'], result['violations']) == ('unknown', [])
    assert result['reason'].startswith('1 processes may not be read (hidepid')
    assert run(None, snapshot=result['snapshot'])['outcome'] == 'unknown'


def test_a_daemon_that_kills_first_may_run_where_it_is_not_seen(machine):
    """As in a container, asked for its own cgroup."""
    machine.put('/sys/fs/cgroup/system.slice/a.service/memory.max', '500000000\n')
    seen = run(machine, cgroup='/system.slice/a.service')['notes']
    machine.put('/proc/self/status', 'NSpid:\t5\t1\n')
    result = run(machine, cgroup='/system.slice/a.service')
    assert (result['outcome'], result['oom_daemons']) == ('kill', [])
    assert [note for note in result['notes'] if note not in seen] == [
        'oom_daemons: only the processes of this PID namespace are seen, not those of the rest of the machine '
        '[OOMK-2501]']
    assert run(None, snapshot=result['snapshot'])['notes'] == result['notes']


@pytest.mark.parametrize('params', [{'score_adj': [{'service': 'sever', 'value': 5}]},
                                    {'growing': {'service': 'sever', 'size': '1G'}}])
def test_unknown_service_gets_advice_for_this_module(machine, params):
    with pytest.raises(Refusal) as caught:
        run(machine, **params)
    assert str(caught.value) == (
        'There is no such service on this machine: sever.service. Correct the name, or leave the service out. '
        '[OOMK-1701]')


def test_silent_systemd_is_reported_in_the_forecast(machine):
    def fail(*_args, **_options):
        return 1, b'', b'Failed to connect to bus\n'

    def notes(result):
        return [note for note in result['notes'] if note.startswith('which')]

    result = run(machine, kills=2)
    assert victims(result) == [[12], [10]] and result['kill_order'][1]['collateral'] and notes(result) == []
    params = {**dict.fromkeys(('score_adj', 'protect', 'cgroup', 'nodes', 'growing', 'snapshot', 'policy',
                               'kill_allocating_task')), 'kills': 2}
    result = forecast_info.run(params, machine, Manager(fail))
    assert victims(result) == [[12], [10]] and not result['kill_order'][1]['collateral']
    assert notes(result) == ['which processes of a.service, b.service are killed with a victim is unknown: systemctl '
                             'show failed: Failed to connect to bus [OOMK-2406]']
    assert run(None, snapshot=result['snapshot'], kills=2)['notes'] == result['notes']


def test_where_no_cgroups_are_mounted_that_is_reported(machine):
    machine.put('/proc/self/mountinfo', '')
    shutil.rmtree(machine.base / 'sys/fs/cgroup')
    result = run(machine, kills=1)
    assert victims(result) == [[12]]
    assert ('which processes of /system.slice/b.service are killed with a victim is unknown: no cgroups are mounted '
            'here [OOMK-2406]' in result['notes'])


def test_unreadable_policy_is_a_stated_assumption(machine):
    def assumption(result):
        return [note for note in result['notes'] if 'is assumed' in note]

    assert assumption(run(machine)) == []
    shutil.rmtree(machine.base / 'proc/sys/vm')
    result = run(machine, kills=2)
    settings = result['snapshot']['settings']
    assert (result['outcome'], settings['panic_on_oom'], settings['kill_allocating_task']) == ('kill', None, None)
    both = ['vm.panic_on_oom, vm.oom_kill_allocating_task cannot be read here: 0 is assumed [OOMK-2406]']
    assert assumption(result) == assumption(run(None, kills=2, snapshot=result['snapshot'])) == both
    assert assumption(run(machine, policy='kill')) == [
        'vm.oom_kill_allocating_task cannot be read here: 0 is assumed [OOMK-2406]']
    assert assumption(run(machine, policy='kill', kill_allocating_task=False)) == []
    assert run(machine, policy='panic')['outcome'] == 'panic'
    planned = machine.run(check=True, name='a', score_adj=300)
    assert assumption(planned['forecast_before']) == assumption(planned['forecast_after']) == both


ZONES = """Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 5
  pages free     3840
        present  3998
        managed  3840
Node 0, zone   Normal
  pages free     1
        present  100000
Node 1, zone   Normal
  pages free     1
        present  50000
"""


def answering(code, part):
    """A call of Host that answers with an error for paths with this part."""
    def wrap(call):
        def answer(path, *more):
            if part in path:
                raise OSError(code, os.strerror(code), path)
            return call(path, *more)
        return answer
    return wrap


@pytest.mark.parametrize('code, call', [
    (errno.EACCES, 'exists'), (errno.EPERM, 'exists'), (errno.ENODEV, 'read_text'), (errno.ENOENT, 'folders'),
    (None, 'a cgroup too deep for any path')])
def test_one_process_cannot_hide_what_becomes_of_the_others(machine, monkeypatch, code, call):
    cgroup = '/user.slice/' + '/'.join(['x' * 203] * 20) if code is None else '/user.slice/evil'
    machine.put('/proc/%d/cgroup' % (NOBODY + 12), '0::%s\n' % cgroup)
    if code is not None:
        machine.put('/sys/fs/cgroup%s/cgroup.procs' % cgroup, '')
        machine.put('/sys/fs/cgroup%s/memory.oom.group' % cgroup, '1')
        monkeypatch.setattr(machine, call, answering(code, '/user.slice/evil')(getattr(machine, call)))
    result = run(machine, kills=2)
    assert victims(result) == [[12], [10]]
    assert 'which processes are killed with process %d is unknown [OOMK-2406]' % (NOBODY + 12) in result['notes']
    assert victims(run(None, snapshot=result['snapshot'], kills=2)) == [[12], [10]]


def test_a_cgroup_of_which_not_all_is_seen_is_unknown(machine, monkeypatch):
    for cgroup in ('/limited', '/limited/evil'):
        machine.put('/sys/fs/cgroup%s/cgroup.procs' % cgroup, '%d\n' % (NOBODY + 12))
    machine.put('/sys/fs/cgroup/limited/memory.max', '100000000\n')
    monkeypatch.setattr(machine, 'folders', answering(errno.EACCES, '/limited/evil')(machine.folders))
    result = run(machine, cgroup='/limited')
    assert result['outcome'] == 'unknown'
    assert result['reason'].startswith('not all that is in the cgroup can be seen (/sys/fs/cgroup/limited/evil: ')


def test_a_failure_that_nobody_can_bring_about_is_one(machine, monkeypatch):
    machine.put('/proc/%d/cgroup' % (NOBODY + 12), '0::/user.slice/evil\n')
    machine.put('/sys/fs/cgroup/limited/cgroup.procs', '')
    machine.put('/sys/fs/cgroup/limited/memory.max', '100000000\n')
    monkeypatch.setattr(machine, 'exists', answering(errno.EIO, '/user.slice/evil')(machine.exists))
    monkeypatch.setattr(machine, 'folders', answering(errno.EIO, '/limited')(machine.folders))
    for params in ({}, {'cgroup': '/limited'}):
        with pytest.raises(OSError, match='Input/output error'):
            run(machine, **params)


def test_numa_nodes(machine):
    machine.put('/proc/zoneinfo', ZONES)
    for pid, nodes in ((10, '0'), (11, '0-1'), (12, '1'), (13, '0,1')):
        path = '/proc/%d/status' % (NOBODY + pid)
        machine.put(path, machine.get(path) + 'Mems_allowed_list:\t%s\n' % nodes)
    result = run(machine, nodes=[1], kills=2)
    assert result['snapshot']['domain'] == {'cgroup': None, 'total_pages': 50_000, 'kill_disabled': False, 'nodes': [1]}
    assert victims(result) == [[12], [13]]  # 10, the largest, may not use node 1
    assert run(machine, nodes=[0, 1])['snapshot']['domain']['total_pages'] == 153_998
    assert run(None, snapshot=result['snapshot'], nodes=[1], kills=2)['kill_order'] == result['kill_order']
    with pytest.raises(ConvertError, match='not taken for'):
        run(None, snapshot=result['snapshot'], nodes=[0])
    with pytest.raises(Refusal, match='no NUMA node 2, 3 here; there are 0, 1'):
        run(machine, nodes=[3, 2])


# --------------------------------------------------------------------- readings

STATUS = b'Name:\tx\nVmRSS:\t 400 kB\nRssAnon:\t 300 kB\nVmPTE:\t 8 kB\nVmSwap:\t 40 kB\n'
STAT = b'5 (a) b) S 1 ' + b'0 ' * 19 + b'90 0\n'


def test_both_readings_of_the_rss():
    holding = parse_holding(STATUS, STAT)
    assert holding == (400, 40, 8, 300, 90)
    assert parse_holding(STATUS.replace(b'RssAnon:\t 300 kB\n', b''), STAT).own_kb == 400
    assert parse_holding(b'Name:\tkthreadd\n', STAT) is None and parse_holding(STATUS, b'5 (a) S') is None


@pytest.mark.parametrize('pages, adj, seen, expected', [
    (10_000, 0, 10_000, (10_000, 7)),    # the score agrees
    (10_000, 0, 9_700, (10_000, 7)),     # as near as the counters are
    (100_000, 0, 97_000, (97_000, 200)),  # 3 % off for CAP_SYS_ADMIN, up to 4.16
    (100_000, 200, 97_000, (97_000, 200)),
])
def test_the_kernels_own_score_counts_where_it_contradicts(pages, adj, seen, expected):
    kernel = badness.Kernel(total_pages=250_000, scale=badness.SCALE_OLD, margin_pages=256)
    score = badness.compute_score(seen + adj * 250, 250_000, kernel.scale)
    found, error = observe.fit_to_score(pages, 7, adj, score, kernel)
    assert abs(found - expected[0]) <= expected[1] and error <= expected[1]
    assert observe.fit_to_score(pages, 7, adj, score, kernel._replace(scale=None)) == (pages, 7)


def test_kcmp_shows_what_shares_memory():
    mine = shared_mm.share_memory(os.getpid(), os.getpid())
    assert mine in (True, None)
    assert shared_mm.share_memory(os.getpid(), os.getppid()) in (False, None)
    assert shared_mm.share_memory(os.getpid(), NOBODY + 1) is None


# --------------------------------------------------------- before and after a change


def test_a_change_is_forecast_in_check_mode_as_in_the_run(machine):
    planned = machine.run(check=True, name='a', score_adj=300)
    assert planned['forecast_before']['summary'][0].startswith('1. x (PID %d, b.service)' % (NOBODY + 12))
    assert planned['forecast_after']['summary'][0].startswith('1. java (PID %d, a.service)' % (NOBODY + 10))
    done = machine.run(name='a', score_adj=300)
    assert [done[key] for key in ('forecast_before', 'forecast_after')] == [
        planned[key] for key in ('forecast_before', 'forecast_after')]
    assert 'forecast_before' not in machine.run(name='a', score_adj=300, forecast=0)
    process = machine.run(process={'pid': NOBODY + 13}, score_adj=800, forecast=1, check=True)
    assert 'pg@15' in process['forecast_after']['summary'][0]


@pytest.mark.parametrize('check', [True, False])
def test_forecast_kill_of_protected_is_refused_before_change(machine, check):
    before = machine.tree()
    with pytest.raises(Refusal, match=r'protect: with this change, .* would end a \(victim of kill 1\)'):
        machine.run(check=check, name='a', score_adj=300, protect=['a'], forecast=1)
    assert machine.tree() == before and machine.adj(NOBODY + 10) == 15
    assert machine.run(check=check, name='b', score_adj=300, protect=['a'], forecast=1)['changed']
    machine.put('/proc/sys/vm/oom_kill_allocating_task', '1\n')
    with pytest.raises(Refusal, match='it is unknown whether'):
        machine.run(check=check, name='b', score_adj=301, protect=['a'], forecast=1)


def test_protection_alone_is_a_question_too(machine):
    assert machine.run(services=[], protect=['pg'], forecast=1)['changed'] is False
    with pytest.raises(Refusal):
        machine.run(services=[], protect=['b'], forecast=1)
    with pytest.raises(ConvertError, match='needs a forecast'):
        machine.run(services=[], protect=['b'], forecast=0)
