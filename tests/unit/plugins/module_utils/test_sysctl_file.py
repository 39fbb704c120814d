# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.module_utils import _conf_files, _knobs, _sysctl_file, _sysctld
from ansible_collections.oomkit.linux.plugins.module_utils._knobs import KBYTES, MEMORY, RATIO

FOREIGN = '; old\n\n\tnet.core.somaxconn=1024   # ours\nbroken line\nvm/swappiness =10\n'


def test_a_new_file_has_our_header():
    assert _sysctl_file.edit(None, {MEMORY: 2, RATIO: 80, KBYTES: None}) == (
        _sysctl_file.HEADER + 'vm.overcommit_memory = 2\nvm.overcommit_ratio = 80\n'
    )


def test_foreign_lines_stay_byte_for_byte():
    assert _sysctl_file.edit(FOREIGN, {MEMORY: 2}) == FOREIGN + 'vm.overcommit_memory = 2\n'


def test_a_last_line_without_an_end_gets_one():
    assert _sysctl_file.edit('a=1', {MEMORY: 2}) == 'a=1\nvm.overcommit_memory = 2\n'


@pytest.mark.parametrize(
    'line',
    [
        'vm.overcommit_memory=2',
        'vm/overcommit_memory = 2 # strict',
        '-vm.overcommit_memory=002',
        '  vm.overcommit_memory =\t2\r',
    ],
)
def test_a_line_that_says_it_stays(line):
    assert _sysctl_file.edit(line + '\n', {MEMORY: 2}) == line + '\n'


@pytest.mark.parametrize(
    'line, after',
    [
        ('vm.overcommit_memory = 1 # strict', 'vm.overcommit_memory = 2 # strict'),
        ('-vm/overcommit_memory=\t1\r', '-vm/overcommit_memory=\t2\r'),
        ('vm.overcommit_memory = 080', 'vm.overcommit_memory = 2'),
        ('vm.overcommit_memory = 2#strict', 'vm.overcommit_memory = 2 #strict'),
        ('vm.overcommit_memory =', 'vm.overcommit_memory =2'),
    ],
)
def test_only_the_number_changes(line, after):
    assert _sysctl_file.edit(line + '\n', {MEMORY: 2}) == after + '\n'


def test_of_several_lines_the_last_stays():
    text = 'vm.overcommit_memory=1\na=1\nvm/overcommit_memory=0\n# vm.overcommit_memory=7\n'
    assert _sysctl_file.edit(text, {MEMORY: 2}) == 'a=1\nvm/overcommit_memory=2\n# vm.overcommit_memory=7\n'


def test_the_twin_goes():
    assert _sysctl_file.edit('vm.overcommit_kbytes=5000\n', {RATIO: 80, KBYTES: None}) == 'vm.overcommit_ratio = 80\n'


def test_comment_out_and_restore():
    text = 'a=1\nvm.overcommit_memory = 1 # x\nvm.panic_on_oom=1\n'
    out = _sysctl_file.comment_out(text, 2)
    assert out == 'a=1\n# oomkit.linux: vm.overcommit_memory = 1 # x\nvm.panic_on_oom=1\n'
    assert _sysctl_file.restore(out, [MEMORY]) == text
    assert _sysctl_file.restore(out, ['vm.panic_on_oom']) == out


def test_a_glob_that_was_taken_comes_back_too():
    out = _sysctl_file.comment_out('vm.overcommit_*=1\n', 1)
    assert _sysctl_file.restore(out, [MEMORY]) == 'vm.overcommit_*=1\n'


@given(st.text(alphabet='vm./=-#; 12\t\r\0é', max_size=30), st.booleans())
def test_nothing_of_a_line_that_was_taken_counts_any_more_and_all_of_it_comes_back(line, ends):
    text = 'a\n%s\rvm.overcommit_memory=2\r%s%s' % (line, line, '\n' if ends else '')
    out = _sysctl_file.comment_out(text, 2)
    assert list(_sysctld.settings_of('x', out.partition('\n')[2])) == []
    assert _sysctl_file.restore(out, [MEMORY]) == text


def test_line_ends_of_windows_get_one_mark():
    assert _sysctl_file.comment_out('vm.x=1\r\n', 1) == '# oomkit.linux: vm.x=1\r\n'


def test_only_a_file_that_we_made_is_ours():
    assert _sysctl_file.is_ours_and_empty(_sysctl_file.HEADER + '\n')
    assert not _sysctl_file.is_ours_and_empty('')
    assert not _sysctl_file.is_ours_and_empty(_sysctl_file.HEADER + '# a note of mine\n')


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                'vm.overcommit_memory=1',
                '-vm/overcommit_ratio = 80 # x',
                'vm.overcommit_kbytes=9000',
                '# c',
                '',
                'vm.swappiness=1',
                'vm.overcommit_memory',
                'x',
                '\udcff=1',
                'vm.overcommit_ratio=080',
            ]
        ),
        st.text(alphabet='vm./=-#; 12\t\r\0é', max_size=12),
    ),
    max_size=8,
)


@given(
    LINES,
    st.booleans(),
    st.fixed_dictionaries({MEMORY: st.sampled_from([None, 0, 1, 2]), RATIO: st.sampled_from([None, 50, 80])}),
)
def test_edit_settles_and_leaves_the_rest(lines, ends, wishes):
    wishes = dict(wishes, **{KBYTES: None})
    text = '\n'.join(lines) + ('\n' if ends else '')
    once = _sysctl_file.edit(text, wishes)
    assert _sysctl_file.edit(once, wishes) == once
    found = _sysctl_file.keys_in(once)
    assert {key: found.get(key) for key in wishes} == wishes

    def foreign(content):
        lines = _conf_files.split_lines(content)
        return [line.rstrip('\n') for line in lines if _sysctl_file.line_setting(line) is None]

    assert foreign(once) == foreign(text)


def test_all_keys_are_recognised():
    for key in _knobs.ALL_KEYS:
        assert _sysctl_file.line_setting(key.replace('.', '/') + ' = 1')[0] == key
