# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import KBYTES, MEMORY, RATIO
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import file_edit, parser
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import ALL_KEYS


def edit(text, desired_states, ours=None, made=False):
    return file_edit.edit(text, desired_states, ours, made)[0]


FOREIGN = '; old\n\n\tnet.core.somaxconn=1024   # ours\nbroken line\nvm/swappiness =10\n'


def test_a_new_file_has_our_header():
    assert edit(None, {MEMORY: 2, RATIO: 80, KBYTES: None}) == (
        file_edit.HEADER + 'vm.overcommit_memory = 2\nvm.overcommit_ratio = 80\n'
    )


def test_foreign_lines_stay_byte_for_byte():
    assert edit(FOREIGN, {MEMORY: 2}) == FOREIGN + 'vm.overcommit_memory = 2\n'


def test_a_last_line_without_an_end_stays_the_last():
    assert edit('a=1', {MEMORY: 2}) == 'vm.overcommit_memory = 2\na=1'


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
    assert edit(line + '\n', {MEMORY: 2}) == line + '\n'


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
def test_of_a_line_of_ours_only_the_number_changes(line, after):
    text, ours = file_edit.edit(line + '\n', {MEMORY: 2}, {MEMORY: [line + '\n']})
    assert text == after + '\n' and ours == {MEMORY: [after + '\n']}


def test_lines_of_others_become_comments():
    text = 'vm.overcommit_memory=1\na=1\nvm/overcommit_memory=0 # x\n# vm.overcommit_memory=7\n'
    assert edit(text, {MEMORY: 2}) == (
        '# oomkit.linux: vm.overcommit_memory=1\na=1\n# oomkit.linux: vm/overcommit_memory=0 # x\n'
        'vm.overcommit_memory = 2\n# vm.overcommit_memory=7\n'
    )


def test_the_counterpart_becomes_a_comment_or_goes_if_it_is_ours():
    text = 'vm.overcommit_kbytes=5000\n'
    assert edit(text, {RATIO: 80, KBYTES: None}) == '# oomkit.linux: ' + text + 'vm.overcommit_ratio = 80\n'
    assert edit(text, {RATIO: 80, KBYTES: None}, {KBYTES: [text]}) == 'vm.overcommit_ratio = 80\n'


def test_changed_line_is_set_again_only_in_our_own_file():
    ours = {MEMORY: ['vm.overcommit_memory = 2\n']}
    assert edit('vm.overcommit_memory = 1 # y\n', {MEMORY: 0}, ours, True) == 'vm.overcommit_memory = 0 # y\n'
    assert edit('vm.overcommit_memory = 1 # y\n', {MEMORY: 0}, ours, False) == (
        '# oomkit.linux: vm.overcommit_memory = 1 # y\nvm.overcommit_memory = 0\n'
    )


def test_comment_out_and_restore():
    text = 'a=1\nvm.overcommit_memory = 1 # x\nvm.panic_on_oom=1\n'
    out = file_edit.comment_out(text, 2)
    assert out == 'a=1\n# oomkit.linux: vm.overcommit_memory = 1 # x\nvm.panic_on_oom=1\n'
    assert file_edit.restore(out, [MEMORY]) == text
    assert file_edit.restore(out, ['vm.panic_on_oom']) == out


def test_a_glob_that_was_commented_out_is_restored_too():
    out = file_edit.comment_out('vm.overcommit_*=1\n', 1)
    assert file_edit.restore(out, [MEMORY]) == 'vm.overcommit_*=1\n'


@given(st.text(alphabet='vm./=-#; 12\t\r\0é', max_size=30), st.booleans())
def test_commented_out_line_does_not_count_and_comes_back(line, ends):
    text = 'a\n%s\rvm.overcommit_memory=2\r%s%s' % (line, line, '\n' if ends else '')
    out = file_edit.comment_out(text, 2)
    assert list(parser.parse_settings('x', out.partition('\n')[2])) == []
    assert file_edit.restore(out, [MEMORY]) == text


def test_line_ends_of_windows_get_one_mark():
    assert file_edit.comment_out('vm.x=1\r\n', 1) == '# oomkit.linux: vm.x=1\r\n'


HEADER = file_edit.HEADER
LINE = 'vm.overcommit_memory = 2\n'


@pytest.mark.parametrize(
    'text, made, after, foreign',
    [
        (HEADER + LINE, True, None, []),
        (HEADER + '\n' + LINE, True, None, []),
        (HEADER + LINE.strip(), True, None, []),
        (HEADER + '# a note of mine\n' + LINE, True, '# a note of mine\n', []),
        (HEADER + LINE, False, HEADER, []),
        (LINE, False, '', []),
        (HEADER + 'vm.overcommit_memory = 1\n', True, 'vm.overcommit_memory = 1\n', ['vm.overcommit_memory = 1\n']),
        (HEADER + LINE + 'vm.overcommit_memory = 1\n', True, 'vm.overcommit_memory = 1\n', []),
        ('a\n' + LINE + LINE + 'b', False, 'a\n' + LINE + 'b', []),
        ('# oomkit.linux: ' + LINE, False, '', []),
    ],
)
def test_lines_of_ours_are_reverted_and_no_others(text, made, after, foreign):
    assert file_edit.revert(text, [MEMORY], {MEMORY: [LINE]}, made) == (after, foreign)


def test_lines_of_the_other_module_keep_the_file_ours():
    panic = {'vm.panic_on_oom': ['vm.panic_on_oom=1\n']}
    text = HEADER + LINE + 'vm.panic_on_oom=1\n'
    assert file_edit.implied_lines(text) == dict(panic, **{MEMORY: [LINE]})
    assert file_edit.implied_lines(LINE) == {}
    assert file_edit.revert(text, [MEMORY], file_edit.implied_lines(text), True) == (
        HEADER + 'vm.panic_on_oom=1\n',
        [],
    )


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


REQUESTS = st.fixed_dictionaries({MEMORY: st.sampled_from([None, 0, 1, 2]), RATIO: st.sampled_from([None, 50, 80])})


@given(LINES, st.booleans(), st.lists(REQUESTS, min_size=1, max_size=3))
def test_edit_settles_and_is_reverted_to_the_byte(lines, ends, sequence):
    text = after = '\n'.join(lines) + ('\n' if ends else '')
    ours = {}
    for desired_states in sequence:
        desired_states = dict(desired_states, **{KBYTES: None})
        after, ours = file_edit.edit(after, desired_states, ours)
        assert file_edit.edit(after, desired_states, ours) == (after, ours)
        found = file_edit.keys_in(after)
        assert {key: found.get(key) for key in desired_states} == desired_states
    assert file_edit.revert(after, [MEMORY, RATIO, KBYTES], ours, False) == (text, [])


def test_all_keys_are_recognised():
    for key in ALL_KEYS:
        assert file_edit.line_setting(key.replace('.', '/') + ' = 1')[0] == key
