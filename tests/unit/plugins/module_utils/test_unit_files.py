# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services_machine import ETC, LIB, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils import _unit_files
from ansible_collections.oomkit.linux.plugins.module_utils._unit_files import OOM_POLICY, SCORE_ADJ, UnitFiles


@pytest.fixture
def machine(tmp_path):
    return ServiceMachine(tmp_path)


@pytest.mark.parametrize('text, value', [
    ('-100', -100), ('0x10', 16), ('010', 8), ('+5', 5), ('0', 0), ('00', 0), ('0b11', 3), ('0o17', 15), ('-0x10', -16),
    ('1000', 1000), ('-1000', -1000), ('1001', None), ('abc', None), ('1 # c', None), ('"8"', None), ('1.0', None),
    ('', None), ('08', None), ('--1', None), ('- 1', None),
])  # fmt: skip
def test_numbers_as_systemd_reads_them(text, value):
    """The values that were tried on systemd 257."""
    assert _unit_files.parse_score_adj(text) == value


def values(text):
    return {key: cause.value for key, cause in _unit_files.settings_of(text.encode()).items()}


@pytest.mark.parametrize('text, adj, policy', [
    ('[Service]\nOOMScoreAdjust=5\n', 5, None),
    ('OOMScoreAdjust=5\n', None, None),
    ('[Unit]\nOOMScoreAdjust=5\n[Service]\nOOMPolicy=kill', None, 'kill'),
    ('[Service]\n  OOMScoreAdjust\t=\t5  \n#OOMScoreAdjust=6\n;OOMScoreAdjust=7\n', 5, None),
    ('[Service]\nOOMScoreAdjust=5\nOOMScoreAdjust=x\n', 5, None),
    ('[Service]\nOOMScoreAdjust=5\nOOMScoreAdjust=\n', None, None),
    ('[Service]\nOOMPolicy=kill\nOOMPolicy=\nOOMPolicy=Kill\n', None, 'kill'),
    ('[Service]\nOOMScore\\\nAdjust=5\nOOMScoreAdjust=\\\n# c\n 66\n', 66, None),
    ('[Service\nOOMScoreAdjust=5\n', None, None),
    ('\ufeff[Service]\nOOMScoreAdjust=5', 5, None),
])  # fmt: skip
def test_the_settings_of_a_file(text, adj, policy):
    assert values(text) == {SCORE_ADJ: adj, OOM_POLICY: policy}


@given(st.binary(max_size=300))
def test_no_file_breaks_it(data):
    _unit_files.settings_of(b'[Service]\n' + data)


def test_the_line_is_told(machine):
    machine.unit('a.service', '[Service]\n\n# x\nOOMScoreAdjust=\\\n7\n')
    cause = settings(machine, 'a.service')[SCORE_ADJ]
    assert cause == (7, f'{LIB}/a.service', 4)


def settings(machine, name, overlay=None):
    files = UnitFiles(machine, overlay)
    return files.settings(files.find(name))


def put(machine, path, value, folder=ETC):
    machine.put(f'{folder}/{path}', f'[Service]\nOOMScoreAdjust={value}\n')


def test_etc_wins_over_lib_and_drop_ins_are_read_in_the_order_of_their_names(machine):
    put(machine, 'a.service', 1, LIB)
    put(machine, 'a.service.d/50-x.conf', 3, LIB)
    assert settings(machine, 'a.service')[SCORE_ADJ].value == 3
    put(machine, 'a.service.d/10-y.conf', 4)
    assert settings(machine, 'a.service')[SCORE_ADJ].value == 3
    put(machine, 'a.service.d/50-x.conf', 5)
    assert settings(machine, 'a.service')[SCORE_ADJ][:2] == (5, f'{ETC}/a.service.d/50-x.conf')
    put(machine, 'a.service.d/99.txt', 6)
    put(machine, 'a.service.d/9.conf', 7, '/run/systemd/system')
    assert settings(machine, 'a.service')[SCORE_ADJ].value == 7
    assert settings(machine, 'a.service', {f'{ETC}/a.service.d/91.conf': b''})[SCORE_ADJ].value == 7
    assert (
        settings(machine, 'a.service', {f'{ETC}/a.service.d/91.conf': b'[Service]\nOOMScoreAdjust=8'})[SCORE_ADJ].value
        == 8
    )


def test_a_link_to_nothing_takes_a_drop_in_away(machine):
    put(machine, 'a.service', 1, LIB)
    put(machine, 'a.service.d/50-x.conf', 3, LIB)
    machine.put(f'{ETC}/a.service.d/x', '')
    (machine.base / 'etc/systemd/system/a.service.d/50-x.conf').symlink_to('/dev/null')
    assert settings(machine, 'a.service')[SCORE_ADJ].value == 1


def test_instances_take_their_templates_drop_ins(machine):
    put(machine, 'p@.service', 1, LIB)
    put(machine, 'p@.service.d/50-x.conf', 2)
    put(machine, 'p@b.service.d/50-x.conf', 3)
    put(machine, 'service.d/10-all.conf', 9)
    assert [settings(machine, f'p@{one}.service')[SCORE_ADJ].value for one in 'ab'] == [2, 3]
    assert settings(machine, 'p@.service')[SCORE_ADJ].value == 2
    put(machine, 'service.d/90-all.conf', 9)
    assert settings(machine, 'p@b.service')[SCORE_ADJ].value == 9


def find(machine, name):
    unit = UnitFiles(machine).find(name)
    return unit.name, unit.state


def test_names_lead_to_units(machine):
    machine.unit('ssh.service')
    machine.unit('getty@.service')
    machine.unit('own.service', folder='/usr/lib/systemd/user')
    base = machine.base / 'etc/systemd/system'
    machine.put(f'{ETC}/empty.service', '')
    machine.put('/opt/linked.service', '[Service]\n')
    (base / 'sshd.service').symlink_to('/usr/lib/systemd/system/ssh.service')
    (base / 'secure.service').symlink_to('sshd.service')
    (base / 'autovt@.service').symlink_to('/usr/lib/systemd/system/getty@.service')
    (base / 'masked.service').symlink_to('/dev/null')
    (base / 'linked.service').symlink_to('/opt/linked.service')
    (base / 'round.service').symlink_to('trip.service')
    (base / 'trip.service').symlink_to('round.service')
    assert find(machine, 'sshd.service') == ('ssh.service', 'loaded') == find(machine, 'secure.service')
    assert find(machine, 'autovt@tty3.service') == ('getty@tty3.service', 'loaded')
    assert find(machine, 'getty@.service') == ('getty@.service', 'loaded')
    assert find(machine, 'masked.service') == ('masked.service', 'masked')
    assert find(machine, 'empty.service') == ('empty.service', 'masked')
    assert find(machine, 'linked.service') == ('linked.service', 'loaded')
    assert find(machine, 'own.service') == ('own.service', 'user')
    assert find(machine, 'nope.service') == ('nope.service', 'missing')


def test_drop_ins_of_an_alias_count_for_the_unit(machine):
    put(machine, 'ssh.service', 1, LIB)
    (machine.base / 'etc/systemd/system').mkdir(parents=True, exist_ok=True)
    (machine.base / 'etc/systemd/system/sshd.service').symlink_to('/usr/lib/systemd/system/ssh.service')
    put(machine, 'sshd.service.d/50-x.conf', 2)
    assert settings(machine, 'ssh.service')[SCORE_ADJ].value == 2


def test_what_a_service_gets_that_sets_nothing(machine):
    assert UnitFiles(machine).default_score_adj() == (0, None, None)
    machine.put('/etc/systemd/system.conf', '[Manager]\n#DefaultOOMScoreAdjust=1\nDefaultOOMScoreAdjust=50\n')
    assert UnitFiles(machine).default_score_adj() == (50, '/etc/systemd/system.conf', 3)
    machine.put('/usr/lib/systemd/system.conf.d/10-x.conf', '[Manager]\nDefaultOOMScoreAdjust=60\n')
    assert UnitFiles(machine).default_score_adj().value == 60
    machine.put('/etc/systemd/system.conf.d/20-x.conf', '[Manager]\nDefaultOOMScoreAdjust=\n')
    machine.put('/proc/1/oom_score_adj', '-5\n')
    assert UnitFiles(machine).default_score_adj().value == -5


def test_instances_that_are_enabled(machine):
    machine.unit('p@.service')
    machine.put(f'{ETC}/multi-user.target.wants/p@a.service', '')
    machine.put('/run/systemd/generator/p.service.wants/p@b.service', '')
    machine.put(f'{ETC}/multi-user.target.wants/pp@a.service', '')
    assert UnitFiles(machine).enabled_instances('p') == ['p@a.service', 'p@b.service']


# What systemd 252 says to each (systemd-analyze verify), or reads from it.
ENDS = [
    (b'# c\rOOMScoreAdjust=8', 8), (b'OOMScoreAdjust=7\rOOMScoreAdjust=8', 8),
    (b'OOMScoreAdjust=7\0OOMScoreAdjust=8', 8), (b'X=1\\\r\nOOMScoreAdjust=8', None), (b'OOMScoreAdjust=7\r\nX=1', 7),
    (b'OOMScoreAdjust=7\n\rX=1', 7),
    (b'OOMScoreAdjust=7\xc2\xa0', None), (b'OOMScoreAdjust=7\x0c', None), (b'OOMScoreAdjust\x0b=7', None),
    (b'\xc2\xa0OOMScoreAdjust=7', None), (b'OOMScoreAdjust=+0b11', None), (b'OOMScoreAdjust=0b11', 3),
    (b'[Unit]\r[Service]\rOOMScoreAdjust=8', 8), (b'OOMScoreAdjust=-0x10', -16),
]


@pytest.mark.parametrize(('text', 'value'), ENDS)
def test_lines_end_and_blanks_are_as_systemd_has_them(text, value):
    assert _unit_files.settings_of(b'[Service]\nExecStart=/bin/true\n' + text)['OOMScoreAdjust'].value == value


def test_a_line_has_the_number_that_an_editor_shows():
    lines = _unit_files.logical_lines(b'a\rb\nc\\\nd\ne')
    assert [(line.number, line.text) for line in lines] == [(1, 'a'), (1, 'b'), (2, 'c d'), (4, 'e')]
    assert ''.join(raw for line in lines for raw in line.raws) == 'a\rb\nc\\\nd\ne'


MB = 1 << 20
# The same of lines after which systemd 252 reads no more of the file, and of some after which it does.
CUT = [
    (b'OOMScoreAdjust=5\nX=\xff\nOOMScoreAdjust=8', 5), (b'OOMScoreAdjust=5\n[Servi\n[Service]\nOOMScoreAdjust=8', 5),
    (b'X=\xff\nOOMScoreAdjust=8', None), (b'# \xff\nOOMScoreAdjust=8', 8), (b'X=\\\n# \xff\ny\nOOMScoreAdjust=8', 8),
    (b'X=\\\ny\xff\nOOMScoreAdjust=8', None), (b'X=\xc3\\\n\xa4\nOOMScoreAdjust=8', None),
    (b'X=\xef\xbf\xbe\nOOMScoreAdjust=8', None), (b'X=\xef\xb7\x90\nOOMScoreAdjust=8', None),
    (b'X=\xc3\xa4 \xf0\x9d\x9f\x98\nOOMScoreAdjust=8', 8), (b'[\n[Service]\nOOMScoreAdjust=8', None),
    (b'[]\n[Service]\nOOMScoreAdjust=8', 8),
    (b'X=' + b'a' * (MB - 3) + b'\nOOMScoreAdjust=8', 8), (b'X=' + b'a' * (MB - 2) + b'\nOOMScoreAdjust=8', None),
    (b'#' + b'a' * MB + b'\nOOMScoreAdjust=8', None), (b'X=' + b'\xc3\xa4' * (MB // 2) + b'\nOOMScoreAdjust=8', None),
    (b'X=' + b'a' * 600000 + b'\\\n' + b'a' * (MB - 600003) + b'\nOOMScoreAdjust=8', 8),
    (b'X=' + b'a' * 600000 + b'\\\n' + b'a' * (MB - 600002) + b'\nOOMScoreAdjust=8', None),
]


@pytest.mark.parametrize(('text', 'value'), CUT, ids=range(len(CUT)))
def test_systemd_does_not_read_a_file_to_its_end(text, value):
    assert _unit_files.settings_of(b'[Service]\n' + text)[SCORE_ADJ].value == value


def test_hidden_files_are_no_drop_ins(machine):
    put(machine, 'a.service', 1, LIB)
    put(machine, 'a.service.d/.old.conf', 2)
    assert settings(machine, 'a.service')[SCORE_ADJ].value == 1
    machine.put('/etc/systemd/system.conf.d/.old.conf', '[Manager]\nDefaultOOMScoreAdjust=60\n')
    assert UnitFiles(machine).default_score_adj().value == 0


@pytest.mark.parametrize('make', [
    lambda path: path.mkdir(), lambda path: path.symlink_to(path.name), lambda path: path.write_bytes(b'X=\xff\n')],
    ids=['folder', 'circle', 'no text'])
def test_a_file_of_the_manager_that_cannot_be_read_ends_the_reading(machine, make):
    """As systemd 252 has it; of a unit's drop-ins it reads the others."""
    for folder, key in (('/etc/systemd/system.conf.d', '[Manager]\nDefaultOOMScoreAdjust'),
                        (ETC + '/a.service.d', '[Service]\nOOMScoreAdjust')):
        for name, value in (('1', 5), ('3', 6)):
            path = machine.put('%s/%s.conf' % (folder, name), '%s=%d\n' % (key, value))
        make(path.with_name('2.conf'))
    machine.unit('a.service')
    assert UnitFiles(machine).default_score_adj().value == 5
    assert settings(machine, 'a.service')[SCORE_ADJ].value == 6


def test_a_folder_or_a_circle_takes_a_name_of_a_drop_in_away_but_not_a_units(machine):
    put(machine, 'a.service', 1, LIB)
    put(machine, 'a.service.d/50-x.conf', 3, LIB)
    for path in ('a.service', 'a.service.d/50-x.conf'):
        (machine.base / ETC[1:] / path).mkdir(parents=True)
    assert settings(machine, 'a.service')[SCORE_ADJ] == (1, LIB + '/a.service', 2)
