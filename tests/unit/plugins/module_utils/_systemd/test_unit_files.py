# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services_machine import ETC, LIB, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._systemd import unit_files
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.unit_files import OOM_POLICY, SCORE_ADJ, UnitFiles


@pytest.fixture
def machine(tmp_path):
    """Without drop-ins of an administrator: what is tested is what the files of each test say."""
    return ServiceMachine(tmp_path, defaults=True)


@pytest.mark.parametrize('text, value', [
    ('-100', -100), ('0x10', 16), ('010', 8), ('+5', 5), ('0', 0), ('00', 0), ('0b11', 3), ('0o17', 15), ('-0x10', -16),
    ('1000', 1000), ('-1000', -1000), ('1001', None), ('abc', None), ('1 # c', None), ('"8"', None), ('1.0', None),
    ('', None), ('08', None), ('--1', None), ('- 1', None),
])  # fmt: skip
def test_numbers_as_systemd_reads_them(text, value):
    """The values that were tried on systemd 257."""
    assert unit_files.parse_score_adj(text) == value


def values(text):
    return {key: cause.value for key, cause in unit_files.parse_settings(text.encode()).items()}


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
    unit_files.parse_settings(b'[Service]\n' + data)


def test_the_line_is_reported(machine):
    machine.unit('a.service', '[Service]\n\n# x\nOOMScoreAdjust=\\\n7\n')
    cause = settings(machine, 'a.service')[SCORE_ADJ]
    assert cause == (7, f'{LIB}/a.service', 4)


def settings(machine, name, overlay=None):
    files = UnitFiles(machine, overlay)
    return files.read_settings(files.find_unit(name))


def put(machine, path, value, folder=ETC):
    machine.put(f'{folder}/{path}', f'[Service]\nOOMScoreAdjust={value}\n')


def test_etc_wins_over_lib_and_drop_ins_sort_by_name(machine):
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
    machine.link('/etc/systemd/system/a.service.d/50-x.conf', '/dev/null')
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
    unit = UnitFiles(machine).find_unit(name)
    return unit.name, unit.state


def test_names_lead_to_units(machine):
    machine.unit('ssh.service')
    machine.unit('getty@.service')
    machine.unit('own.service', folder='/usr/lib/systemd/user')
    machine.put(f'{ETC}/empty.service', '')
    machine.put('/opt/linked.service', '[Service]\n')
    machine.link(ETC + '/sshd.service', '/usr/lib/systemd/system/ssh.service')
    machine.link(ETC + '/secure.service', 'sshd.service')
    machine.link(ETC + '/autovt@.service', '/usr/lib/systemd/system/getty@.service')
    machine.link(ETC + '/masked.service', '/dev/null')
    machine.link(ETC + '/linked.service', '/opt/linked.service')
    machine.link(ETC + '/round.service', 'trip.service')
    machine.link(ETC + '/trip.service', 'round.service')
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
    machine.link('/etc/systemd/system/sshd.service', '/usr/lib/systemd/system/ssh.service')
    put(machine, 'sshd.service.d/50-x.conf', 2)
    assert settings(machine, 'ssh.service')[SCORE_ADJ].value == 2


@pytest.mark.parametrize('alias, folder, counts', [
    ('web-old.service', 'web-old.service.d', True), ('web-old.service', 'web-.service.d', True),
    ('web-old.service', 'web-older.service.d', False), ('web-old.service', 'web-old@.service.d', False),
])  # fmt: skip
def test_drop_ins_of_the_prefixes_of_an_alias_count_too(machine, alias, folder, counts):
    put(machine, 'ssh.service', 1, LIB)
    machine.link(f'{LIB}/{alias}', 'ssh.service')
    put(machine, f'{folder}/50-x.conf', 2)
    assert settings(machine, 'ssh.service')[SCORE_ADJ].value == (2 if counts else 1)


@pytest.mark.parametrize('folder, counts', [
    ('old@.service.d', True), ('old@1.service.d', True), ('old@2.service.d', False), ('old.service.d', False),
    ('new@.service.d', True)])  # fmt: skip
def test_template_alias_drop_ins_count_for_instances(machine, folder, counts):
    put(machine, 'new@.service', 1, LIB)
    machine.link(LIB + '/old@.service', 'new@.service')
    put(machine, f'{folder}/50-x.conf', 2)
    assert settings(machine, 'new@1.service')[SCORE_ADJ].value == (2 if counts else 1)
    assert settings(machine, 'old@1.service')[SCORE_ADJ].value == (2 if counts else 1)


def test_instance_alias_to_another_unit_is_no_instance(machine):
    for name in ('new@.service', 'other.service', 'else@.service'):
        put(machine, name, 1, LIB)
    machine.link(LIB + '/old@.service', 'new@.service')
    machine.link(LIB + '/old@1.service', 'else@1.service')
    put(machine, 'old@.service.d/50-x.conf', 2)
    assert [settings(machine, f'new@{one}.service')[SCORE_ADJ].value for one in '12'] == [1, 2]


def test_what_a_service_gets_that_sets_nothing(machine):
    assert UnitFiles(machine).find_default_score_adj() == (0, None, None)
    machine.put('/etc/systemd/system.conf', '[Manager]\n#DefaultOOMScoreAdjust=1\nDefaultOOMScoreAdjust=50\n')
    assert UnitFiles(machine).find_default_score_adj() == (50, '/etc/systemd/system.conf', 3)
    machine.put('/usr/lib/systemd/system.conf.d/10-x.conf', '[Manager]\nDefaultOOMScoreAdjust=60\n')
    assert UnitFiles(machine).find_default_score_adj().value == 60
    machine.put('/etc/systemd/system.conf.d/20-x.conf', '[Manager]\nDefaultOOMScoreAdjust=\n')
    machine.put('/proc/1/oom_score_adj', '-5\n')
    assert UnitFiles(machine).find_default_score_adj().value == -5


def test_instances_that_are_enabled(machine):
    machine.unit('p@.service')
    machine.put(f'{ETC}/multi-user.target.wants/p@a.service', '')
    machine.put('/run/systemd/generator/p.service.wants/p@b.service', '')
    machine.put(f'{ETC}/multi-user.target.wants/pp@a.service', '')
    assert UnitFiles(machine).list_enabled_instances('p') == ['p@a.service', 'p@b.service']


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
    assert unit_files.parse_settings(b'[Service]\nExecStart=/bin/true\n' + text)['OOMScoreAdjust'].value == value


def test_a_line_has_the_number_that_an_editor_shows():
    lines = unit_files.split_logical_lines(b'a\rb\nc\\\nd\ne')
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
    assert unit_files.parse_settings(b'[Service]\n' + text)[SCORE_ADJ].value == value


def test_hidden_files_are_no_drop_ins(machine):
    put(machine, 'a.service', 1, LIB)
    put(machine, 'a.service.d/.old.conf', 2)
    assert settings(machine, 'a.service')[SCORE_ADJ].value == 1
    machine.put('/etc/systemd/system.conf.d/.old.conf', '[Manager]\nDefaultOOMScoreAdjust=60\n')
    assert UnitFiles(machine).find_default_score_adj().value == 0


@pytest.mark.parametrize('make', [
    lambda path: path.mkdir(), lambda path: path.symlink_to(path.name), lambda path: path.write_bytes(b'X=\xff\n')],
    ids=['folder', 'circle', 'no text'])
def test_unreadable_manager_file_ends_the_reading(machine, make):
    """As systemd 252 has it; of a unit's drop-ins it reads the others."""
    for folder, key in (('/etc/systemd/system.conf.d', '[Manager]\nDefaultOOMScoreAdjust'),
                        (ETC + '/a.service.d', '[Service]\nOOMScoreAdjust')):
        for name, value in (('1', 5), ('3', 6)):
            path = machine.put('%s/%s.conf' % (folder, name), '%s=%d\n' % (key, value))
        make(path.with_name('2.conf'))
    machine.unit('a.service')
    assert UnitFiles(machine).find_default_score_adj().value == 5
    assert settings(machine, 'a.service')[SCORE_ADJ].value == 6


def test_folder_or_loop_masks_a_drop_in_but_not_a_unit(machine):
    put(machine, 'a.service', 1, LIB)
    put(machine, 'a.service.d/50-x.conf', 3, LIB)
    for path in ('a.service', 'a.service.d/50-x.conf'):
        (machine.base / ETC[1:] / path).mkdir(parents=True)
    assert settings(machine, 'a.service')[SCORE_ADJ] == (1, LIB + '/a.service', 2)


# ------------------------------------------------------------- versions of systemd

VERSIONS = (237, 239, 243, 244, 245, 249, 250, 257)
# By version, as the sources of its release read them (the values of 252 and 257 were tried on these).
BY_VERSION = {
    'service.d/50-x.conf': (1, 1, 1, 2, 2, 2, 2, 2),
    'a-.service.d/50-x.conf': (1, 2, 2, 2, 2, 2, 2, 2),
    'a-b.service.d/50-x.conf': (2,) * 8,
}


def of_version(machine, version):
    for old in (machine.base / 'usr/lib/systemd').glob('libsystemd-shared-*'):
        old.unlink()
    machine.put(f'/usr/lib/systemd/libsystemd-shared-{version}.so', '')
    return UnitFiles(machine)


def score(machine, version, name='a-b.service'):
    files = of_version(machine, version)
    return files.read_settings(files.find_unit(name))[SCORE_ADJ].value


@pytest.mark.parametrize('path', sorted(BY_VERSION))
def test_the_drop_in_folders_that_a_version_reads(machine, path):
    put(machine, 'a-b.service', 1, LIB)
    put(machine, path, 2)
    assert tuple(score(machine, version) for version in VERSIONS) == BY_VERSION[path]


def test_templates_of_a_prefix_count_from_239_on(machine):
    put(machine, 'a-b@.service', 1, LIB)
    put(machine, 'a-@.service.d/x.conf', 2)
    assert [score(machine, version, 'a-b@i.service') for version in (238, 239)] == [1, 2]
    put(machine, 'a-b@.service.d/x.conf', 3)
    assert [score(machine, version, 'a-b@i.service') for version in (219, 238, 239)] == [3, 3, 3]


@pytest.mark.parametrize(('folder', 'since'), [
    ('/etc/systemd/system.control', 231), ('/run/systemd/system.control', 231), ('/run/systemd/transient', 231),
    ('/etc/systemd/system.attached', 240), ('/run/systemd/system.attached', 240), ('/run/systemd/generator', 0),
    ('/run/systemd/generator.early', 0), ('/run/systemd/generator.late', 0), ('/usr/local/lib/systemd/system', 0)])
def test_the_folders_of_the_search_path(machine, folder, since):
    put(machine, 'a-b.service', 1, LIB)
    put(machine, 'a-b.service.d/x.conf', 2, folder)
    assert [score(machine, version) for version in (219, 230, 231, 239, 240, 257)] == [
        2 if version >= since else 1 for version in (219, 230, 231, 239, 240, 257)]


def test_what_a_service_gets_that_sets_nothing_by_version(machine):
    machine.put('/proc/1/oom_score_adj', '-5\n')
    machine.put('/etc/systemd/system.conf', '[Manager]\nDefaultOOMScoreAdjust=50\n')
    values = [of_version(machine, version).find_default_score_adj().value for version in VERSIONS]
    assert values == [-5, -5, -5, -5, -5, -5, 50, 50]
    (machine.base / 'etc/systemd/system.conf').unlink()
    machine.put('/usr/lib/systemd/system.conf', '[Manager]\nDefaultOOMScoreAdjust=60\n')
    assert [of_version(machine, version).find_default_score_adj().value for version in (250, 255, 256)] == [-5, -5, 60]
    machine.put('/usr/lib/systemd/system.conf.d/x.conf', '[Manager]\nDefaultOOMScoreAdjust=70\n')
    assert [of_version(machine, version).find_default_score_adj().value for version in (249, 250)] == [-5, 70]


def test_a_policy_is_known_from_243_on(machine):
    machine.unit('a-b.service', '[Service]\nOOMPolicy=kill\n')
    found = []
    for version in (219, 242, 243, 257):
        files = of_version(machine, version)
        found.append(files.read_settings(files.find_unit('a-b.service'))[OOM_POLICY].value)
    assert found == [None, None, 'kill', 'kill']


INCLUDES = [
    ('.include /opt/x\n[Service]\nExecStart=/bin/true\n', 7), ('[Service]\nOOMScoreAdjust=1\n.include /opt/x\n', 7),
    ('.include /opt/x\n[Service]\nOOMScoreAdjust=1\n', 1), ('  .include   /opt/x  \n', 7), ('.include x\n', 9),
    ('.include ../../../../opt/x\n', 7), ('[Service]\n.include /opt/no\nOOMScoreAdjust=1\n', 1),
    ('#.include /opt/x\n', None), ('.included /opt/x=1\n', None), ('.include \\\n/opt/x\n', 7),
    # The section of the file that includes goes on, and the other one has its own.
    ('[Service]\n.include /opt/bare\nOOMScoreAdjust=1\n', 1), ('[Unit]\n.include /opt/x\nOOMScoreAdjust=1\n', 7),
    # After a file that cannot be read on nothing is read, and neither after a folder.
    ('[Service]\n.include /opt/bad\nOOMScoreAdjust=1\n', 3), ('[Service]\n.include /opt\nOOMScoreAdjust=1\n', None),
    ('[Service]\nOOMScoreAdjust=1\n.include\n', 1), ('.include /opt/x', 7),
]  # fmt: skip


@pytest.mark.parametrize(('text', 'value'), INCLUDES)
def test_includes_up_to_245(machine, text, value):
    machine.unit('a-b.service', text)
    machine.put(f'{LIB}/x', '[Service]\nOOMScoreAdjust=9\n')
    machine.put('/opt/x', '[Service]\nOOMScoreAdjust=7\n')
    machine.put('/opt/bare', 'OOMScoreAdjust=8\n')
    machine.put('/opt/bad', '[Service]\nOOMScoreAdjust=3\n[Servi\nOOMScoreAdjust=4\n')
    own = 1 if text.startswith(('[Service]', '.include')) and 'OOMScoreAdjust=1' in text else None
    assert [score(machine, version) for version in VERSIONS] == [value] * 5 + [own] * 3


def test_an_include_names_the_file_and_is_none_in_a_drop_in(machine):
    machine.unit('a-b.service', '.include /opt/x\n')
    machine.put('/opt/x', '\n[Service]\nOOMScoreAdjust=7\n')
    files = of_version(machine, 245)
    assert files.read_settings(files.find_unit('a-b.service'))[SCORE_ADJ] == (7, '/opt/x', 3)
    machine.put(f'{ETC}/a-b.service.d/x.conf', '.include /opt/y\n[Service]\nOOMScoreAdjust=5\n.include /opt/x\n')
    machine.put('/opt/y', '[Service]\nOOMScoreAdjust=6\n')
    assert [score(machine, version) for version in (219, 235, 237, 245, 246)] == [5] * 5


def test_include_of_a_linked_unit_is_relative_to_its_target(machine):
    machine.put('/opt/units/a-b.service', '.include x\n')
    machine.put('/opt/units/x', '[Service]\nOOMScoreAdjust=7\n')
    machine.put(f'{ETC}/other', '')
    machine.link(ETC + '/a-b.service', '/opt/units/a-b.service')
    assert score(machine, 245) == 7


def test_included_files_include_from_236_on_and_circles_end(machine):
    machine.unit('a-b.service', '.include /opt/1\n[Service]\nExecStart=/bin/true\n')
    machine.put('/opt/1', '.include /opt/2\n')
    machine.put('/opt/2', '[Service]\nOOMScoreAdjust=7\n')
    assert [score(machine, version) for version in (219, 235, 236, 245, 246)] == [None, None, 7, 7, None]
    machine.put('/opt/2', '[Service]\nOOMScoreAdjust=7\n.include /opt/1\n.include /opt/1\n')
    assert score(machine, 245) == 7


def test_what_is_included_must_be_a_file(machine):
    """A device, a pipe or a file of the kernel is not opened."""
    os.mkfifo(machine.put('/opt/x', '').with_name('pipe'))
    for path in ('/opt/pipe', '/proc/1/oom_score_adj'):
        machine.unit('a-b.service', f'[Service]\nOOMScoreAdjust=1\n.include {path}\n')
        assert score(machine, 245) == 1


# How lines were read: by version, the value of a unit's own file.
LINES = [
    ('[Service]\nOOMScoreAdjust=\\\n# c\n 66\n', {237: None, 239: 66, 240: 66, 241: 66, 257: 66}),
    ('[Service]\nOOMScoreAdjust=\\\n # c\n 66\n', {237: None, 239: None, 240: None, 241: 66, 257: 66}),
    ('[Service]\nOOMScoreAdjust=6\\\n\n 6\n', {237: 6, 240: None, 241: None, 242: 6, 257: 6}),
    ('[Service]\n# c \\\nOOMScoreAdjust=5\n', {219: None, 237: None, 238: None, 239: 5, 257: 5}),
    ('[Service]\nOOMScoreAdjust=5\\', {237: None, 238: None, 239: 5, 257: 5}),
    ('[Service]\nno equals\nOOMScoreAdjust=5\n', {237: None, 240: None, 241: 5, 257: 5}),
    ('[Service]\nOOMScoreAdjust=5\nno equals\nOOMScoreAdjust=6\n', {237: 5, 240: 5, 241: 6, 257: 6}),
    ('[Service]\n; c\n\n  # c\nOOMScoreAdjust=5\n', {219: 5, 237: 5, 241: 5, 257: 5}),
    ('[Service]\nX=1\rOOMScoreAdjust=5\n', {237: None, 239: None, 240: 5, 257: 5}),
    ('[Service]\r\nOOMScoreAdjust=5\r\n', {219: 5, 237: 5, 240: 5, 257: 5}),
    ('[Service]\nX=\udcff\nOOMScoreAdjust=5\n', {237: 5, 238: 5, 239: None, 257: None}),
]  # fmt: skip


@pytest.mark.parametrize(('text', 'values'), LINES, ids=range(len(LINES)))
def test_lines_by_version(machine, text, values):
    machine.unit('a-b.service', text.encode('utf-8', 'surrogateescape'))
    assert {version: score(machine, version) for version in values} == values


def test_a_setting_that_this_version_does_not_know_is_warned_of(machine):
    machine.unit('a.service')
    machine.process(10, unit='a.service')
    of_version(machine, 242)
    result = machine.run(name='a', score_adj=-5, oom_policy='kill')
    assert result['conflicts'] == [] and result['services'][0]['next_start']['oom_policy'] is None
    assert ['OOMPolicy=, which came with systemd 243: what oom_policy sets for a ends' in text
            for text in result['warnings']] == [True]
    assert not machine.run(name='a', score_adj=-5, oom_policy='kill')['changed']
    assert machine.run(name='a', score_adj=-5)['warnings'] == []
    of_version(machine, 243)
    result = machine.run(name='a', score_adj=-5, oom_policy='kill')
    assert result['warnings'] == [] and result['services'][0]['next_start']['oom_policy'] == 'kill'


def test_drop_in_unknown_to_this_version_is_no_conflict(machine):
    machine.unit('a-b.service')
    put(machine, 'service.d/99-x.conf', 9)
    put(machine, 'a-.service.d/99-y.conf', 8)
    of_version(machine, 237)
    assert machine.run(name='a-b', score_adj=-5)['services'][0]['next_start']['score_adj'] == -5
    of_version(machine, 239)
    assert machine.run(name='a-b', score_adj=-5, conflicts='warn')['services'][0]['next_start']['score_adj'] == 8
    of_version(machine, 244)
    (machine.base / f'{ETC[1:]}/a-.service.d/99-y.conf').unlink()
    assert machine.run(name='a-b', score_adj=-5, conflicts='warn')['services'][0]['next_start']['score_adj'] == 9


def test_where_the_version_is_unknown_and_counts_that_is_said(machine):
    for old in (machine.base / 'usr/lib/systemd').glob('libsystemd-shared-*'):
        old.unlink()
    machine.unit('a.service')
    assert machine.run(name='a', score_adj=-5)['warnings'] == []
    put(machine, 'service.d/10-x.conf', 9)
    assert machine.run(name='a', score_adj=-5)['warnings'] == []
    put(machine, 'service.d/99-x.conf', 9)
    warnings = machine.run(name='a', score_adj=-5, conflicts='warn')['warnings']
    assert any('A systemd up to 243 gives a another oom_score_adj than a newer one' in text for text in warnings)
    of_version(machine, 257)
    warnings = machine.run(name='a', score_adj=-5, conflicts='warn')['warnings']
    assert not any('version of systemd is unknown' in text for text in warnings)


@pytest.mark.parametrize('unit, manager, policy', [
    ('', '', None), ('', 'DefaultOOMPolicy=kill', 'kill'), ('OOMPolicy=stop', 'DefaultOOMPolicy=kill', 'stop'),
    ('', 'DefaultOOMPolicy=kill\nDefaultOOMPolicy=\nDefaultOOMPolicy=Stop', 'kill'), ('', 'OOMPolicy=kill', None),
    ('Delegate=yes', 'DefaultOOMPolicy=kill', 'continue'), ('Delegate=', 'DefaultOOMPolicy=kill', 'continue'),
    ('Delegate=pids', 'DefaultOOMPolicy=kill', 'continue'), ('Delegate=no', 'DefaultOOMPolicy=kill', 'kill'),
    ('Delegate=cpu\nDelegate=off', 'DefaultOOMPolicy=kill', 'kill'),
    ('Delegate=yes\nOOMPolicy=kill', '', 'kill'),
])
def test_the_policy_of_a_service_that_sets_none(machine, unit, manager, policy):
    """DefaultOOMPolicy= of systemd-system.conf(5), not where Delegate= is on (service_add_extras() of systemd)."""
    machine.unit('a-b.service', '[Service]\n' + unit + '\n')
    machine.put('/etc/systemd/system.conf', '[Manager]\n' + manager + '\n')
    found = [files.find_policy_at_start(files.find_unit('a-b.service')) for files in (
        of_version(machine, 242), of_version(machine, 243), UnitFiles(machine))]
    assert found == [None, policy, policy]
