# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fuzzers and the injected faults found once, each in the least form."""

import os

import pytest
from test_fuzz_parsers import OF_BYTES, OF_TEXT, STAT, STATUS

from ansible_collections.oomkit.linux.plugins.module_utils._core import convert as core_convert
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather
from ansible_collections.oomkit.linux.plugins.module_utils._forecast import memcg
from ansible_collections.oomkit.linux.plugins.module_utils._module import forecast_info
from ansible_collections.oomkit.linux.plugins.module_utils._process.groups import UnitGroup
from ansible_collections.oomkit.linux.plugins.module_utils._process.handle import ProcessHandle
from ansible_collections.oomkit.linux.plugins.module_utils._service import saved_scores
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import file_edit, parser
from ansible_collections.oomkit.linux.plugins.module_utils._systemd import drop_in, unit_files

LONG = '9' * 5000


@pytest.mark.parametrize('name, text', [
    ('score', '0O'), ('score', '0x'), ('score', LONG), ('score', '-' + LONG), ('value', LONG),
    ('vmstat', 'oom_kill ' + LONG),
    ('meminfo', 'MemTotal: %s kB\n' % LONG), ('zoneinfo', 'Node 9, zone x\n present %s\n' % LONG),
])
def test_text(name, text):
    assert not OF_TEXT[name][0](text)


@pytest.mark.parametrize('name, data', [
    ('record of the log', b'%s,1,2,-;x' % LONG.encode()), ('stat', STAT.replace(b'12345', b'x')),
    ('stat', STAT.replace(b'12345', LONG.encode())), ('stat', STAT.replace(b'S 1 ', b'S x ')),
    ('memory', STATUS.replace(b'1234', LONG.encode())), ('nodes', b'Mems_allowed_list:\t0-%s\n' % LONG.encode()),
    ('nodes', b'Mems_allowed_list:\t,-\n'), ('originals', b'[' * 100000), ('record of values', b'[' * 100000),
    ('originals', b'{"vm.overcommit_memory": 3, "vm.overcommit_ratio": 9999999999}'), ('pending change', b'[' * 100000),
])
def test_bytes(name, data):
    assert not any(OF_BYTES[name][0](data) or ())


def test_a_record_with_an_endless_number():
    data = b'{"units": {"a": [[1e400, 2]]}, "originals": {}, "processes": [], "groups": {}, "ours": {}}'
    assert saved_scores.parse(data) == saved_scores.EMPTY


@pytest.mark.parametrize('data', [
    b'\x00\\\n[Service]\nOOMScoreAdjust=-5\n', b'[Service]\\', b'[Service]\\\n',
    b'[Service]\nFoo=\\\nOOMScoreAdjust=7\n',
    b'[Service]\nFoo=a\\\n# no\nb\n', b'[Service]\nFoo=a\\'])
def test_lines_of_others_that_go_on(data):
    edited = drop_in.edit(data, {'OOMScoreAdjust': 3})
    assert unit_files.parse_settings(edited)['OOMScoreAdjust'].value == 3
    assert drop_in.edit(edited, {'OOMScoreAdjust': 3}) == edited
    others = [one for one in unit_files.parse(data) if one.key == 'Foo']
    kept = [one for one in unit_files.parse(edited) if one.key == 'Foo']
    assert [one[:3] for one in kept] == [one[:3] for one in others]


@pytest.mark.parametrize('text', [
    'vm.panic_on_oom=\r\0\n', 'vm.panic_on_oom=\r\0', 'vm.panic_on_oom=2\rvm.panic_on_oom=1\n', 'vm.panic_on_oom=\0\n',
    'vm.panic_on_oom=2\r\n'])
def test_a_line_that_ends_in_the_middle(text):
    edited = file_edit.edit(text, {'vm.panic_on_oom': 0})[0]
    assert file_edit.keys_in(edited) == {'vm.panic_on_oom': 0}
    assert [one.value for one in parser.parse_settings('/x', edited)] == ['0']
    assert file_edit.edit(edited, {'vm.panic_on_oom': 0})[0] == edited


@pytest.mark.parametrize('value', [LONG, int('9' * 4000), [int('9' * 4000)], LONG + '%', LONG + 'G', '\u00b2'])
def test_options(value):
    for convert in (core_convert.to_integer, core_convert.to_amount, core_convert.to_score_adj):
        with pytest.raises(core_convert.ConvertError) as caught:
            convert('x', value)
        assert len(str(caught.value)) < 300


@pytest.fixture
def machine(service_machine):
    return service_machine


@pytest.mark.parametrize('name', ['stat', 'status', 'oom_score', 'oom_score_adj', 'cgroup'])
@pytest.mark.parametrize('data', [b'', b'x', b'0x7f', LONG.encode(), b'\xff\n', b'10 (a) S x y\n'])
def test_a_process_that_shows_nonsense(machine, name, data):
    machine.put('/proc/10/' + name, data)
    facts = gather.gather_facts(machine, gather.Request(set(gather.KEYS), 10, False))
    assert not [text for text in facts['warnings'] if 'an internal error of the collection' in text]
    params = dict.fromkeys(('score_adj', 'protect', 'cgroup', 'nodes', 'growing', 'policy', 'kill_allocating_task',
                            'snapshot'), None)
    forecast_info.run(dict(params, kills=5), machine, machine)
    machine.run(check=True, name='a', score_adj=5)


@pytest.mark.parametrize('make', [
    os.mkfifo, lambda path: path.symlink_to('/dev/zero'),
    lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40),
], ids=['pipe', 'endless', 'huge'])
def test_a_pid_file_that_never_ends(machine, make):
    """The user of the service may own it."""
    path = machine.base / 'run/x.pid'
    make(path)
    machine.locate = lambda name: str(path) if name == '/run/x.pid' else type(machine).locate(machine, name)
    with pytest.raises((core_convert.ConvertError, OSError)):
        machine.run(process={'pidfile': '/run/x.pid'}, score_adj=5)


@pytest.mark.parametrize('path', ['/run/a\0b', '/run/\ud800', '/run/\udcff', '/' + 'x' * 5000])
def test_a_pid_file_of_no_name(machine, path):
    with pytest.raises((core_convert.ConvertError, Refusal, OSError)):
        machine.run(process={'pidfile': path}, score_adj=5)


@pytest.mark.parametrize('user', ['\u00b2', 'a\0b', LONG])
def test_a_user_that_is_none(machine, user):
    with pytest.raises((core_convert.ConvertError, Refusal)):
        machine.run(process={'user': user}, score_adj=5)


def test_pressure_that_is_none(machine):
    machine.put('/proc/pressure/memory', b'\x00ome avg10=1.2.3 total=4\nfull avg10=1.2.3 total=%s\n' % LONG.encode())
    pressure = gather.gather_facts(machine, gather.Request({'pressure'}, 10, False))['pressure']
    assert set(pressure) <= {'full'} and pressure['full']['avg10'] == 1.2


def test_a_cgroup_called_like_two_lines(machine):
    """Of line ends the kernel keeps only \\n out of names of cgroups; others are part of the name."""
    machine.put('/proc/10/cgroup', b'0::/user.slice/user-7.slice/user@7.service/x\r0::/system.slice/ssh.service/y\n')
    facts = gather.gather_facts(machine, gather.Request({'candidates'}, 0, False))
    (found,) = [one for one in facts['candidates'] if one['pid'] == 10]
    assert found['cgroup'].startswith('/user.slice/') and '\\x0d' in found['cgroup']
    group = UnitGroup(machine, '/system.slice/ssh.service')
    with ProcessHandle(machine, 10) as held:
        assert not group.holds(held)


def test_a_cgroup_called_as_a_unit_of_the_system(machine):
    """Below his user manager anybody may make one; the kill of its process takes nothing of that unit along."""
    machine.put('/sys/fs/cgroup/system.slice/a.service/memory.events', 'oom_kill 0\n')
    machine.process(11, unit='a.service')
    machine.process(12, rss_kb=900000)
    machine.put('/proc/12/cgroup', '0::/user.slice/user-7.slice/user@7.service/a.service\n')
    asked = machine._state
    machine._state = lambda unit: dict(asked(unit), OOMPolicy='kill')
    params = dict.fromkeys(('score_adj', 'protect', 'cgroup', 'nodes', 'growing', 'policy', 'kill_allocating_task',
                            'snapshot'), None)
    first = forecast_info.run(dict(params, kills=5), machine, machine)['kill_order'][0]
    assert [victim['pid'] for victim in first['victims']] == [12]
    assert first['collateral'] == []


@pytest.mark.parametrize('line', [
    '26', '26 1 0:24 - cgroup2 x y', '30 1 0:9 / /home/u/x\x0b26 1 0:24 / /evil rw - cgroup2 cgroup2 rw - fuse x rw'])
def test_a_mount_called_like_two_lines(machine, line):
    machine.put('/proc/self/mountinfo', line + '\n')
    assert memcg.Tree(machine).folder != '/evil'


@pytest.mark.parametrize('process', [{'comm': '\ud800'}, {'cmdline_regex': 'a\ud800'}])
def test_a_name_that_is_no_text(machine, process):
    with pytest.raises(core_convert.ConvertError, match='is not text'):
        machine.run(process=process, score_adj=5)


@pytest.mark.parametrize('data', [
    b'\0 Made\n', b'#x\r\n\r\0', b'a\\\\\r', b'a\\\r', b'a\\\n# b\r', b'[Service]\nOOMScoreAdjust=1\n\r\0\n', b'x\0'])
def test_odd_ends_of_lines_in_a_drop_in(data):
    """What follows our line does not become part of its end, and an end is not added again and again."""
    edited = drop_in.edit(data, {unit_files.SCORE_ADJ: 7})
    assert unit_files.parse_settings(edited)[unit_files.SCORE_ADJ].value == 7
    assert drop_in.edit(edited, {unit_files.SCORE_ADJ: 7}) == edited
