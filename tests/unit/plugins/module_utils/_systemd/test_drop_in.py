# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._systemd import drop_in, unit_files

RECORD = '\n# Settings as it wrote them: '
NEW = (drop_in.HEADER + RECORD + 'OOMScoreAdjust=-5\n[Service]\nOOMScoreAdjust=-5\n').encode()


def test_a_new_one():
    assert drop_in.edit(None, {'OOMScoreAdjust': -5}) == NEW
    assert drop_in.is_ours(NEW) and not drop_in.is_ours(b'[Service]\n') and not drop_in.is_ours(None)


def test_what_is_not_named_stays():
    both = drop_in.edit(NEW, {'OOMPolicy': 'kill'})
    record = RECORD + 'OOMScoreAdjust=-5 OOMPolicy=kill'
    assert both == (drop_in.HEADER + record + '\n[Service]\nOOMPolicy=kill\nOOMScoreAdjust=-5\n').encode()
    mine = NEW + b'# mine\nNice=5\n'
    assert drop_in.edit(mine, {'OOMScoreAdjust': 7}) == mine.replace(b'-5', b'7')


def test_nothing_is_left_but_what_others_added():
    assert drop_in.without_ours(NEW) == (None, [])
    assert drop_in.without_ours(NEW + b'\n# mine\n') == (None, [])
    assert drop_in.without_ours(NEW + b'Nice=5\n') == (b'[Service]\nNice=5\n', [])


@pytest.mark.parametrize(('after', 'rest', 'changed'), [
    (b'[Service]\nOOMScoreAdjust=-7\n', b'[Service]\nOOMScoreAdjust=-7\n', ['OOMScoreAdjust=-7']),
    (b'[Service]\nOOMScoreAdjust=-5\nOOMScoreAdjust=-7\n', b'[Service]\nOOMScoreAdjust=-7\n', ['OOMScoreAdjust=-7']),
    (b'[Service]\nOOMScoreAdjust=-5\nOOMPolicy=stop\n', b'[Service]\nOOMPolicy=stop\n', ['OOMPolicy=stop']),
    (b'[Service]\nOOMScoreAdjust = -5\n', None, []),
    (b'[Service]\n#OOMScoreAdjust=-5\n', None, []),
])
def test_a_line_that_somebody_changed_stays_and_is_reported(after, rest, changed):
    head = NEW.partition(b'[Service]')[0]
    assert drop_in.without_ours(head + after) == (rest, changed)
    # Without its record the file says nothing of that.
    assert drop_in.without_ours(drop_in.HEADER.encode() + b'\n' + after) == (None, [])


def test_what_is_asked_for_again_is_ours_again():
    edited = NEW.replace(b'\nOOMScoreAdjust=-5', b'\nOOMScoreAdjust=-7')
    assert drop_in.parse_recorded(edited) == {'OOMScoreAdjust': -5}
    again = drop_in.edit(edited, {'OOMScoreAdjust': -7})
    assert again == NEW.replace(b'-5', b'-7') and drop_in.without_ours(again) == (None, [])


def test_a_header_that_is_all_that_is_left_gets_its_section_back():
    assert drop_in.edit((drop_in.HEADER + '\n').encode(), {'OOMScoreAdjust': -5}) == NEW


def test_lines_of_others_keep_their_ends():
    mine = NEW + b'# mine\r\nNice=5\r\n\0X=1\n'
    assert drop_in.edit(mine, {'OOMScoreAdjust': 7}) == mine.replace(b'-5', b'7')
    hidden = NEW + b'# note\rOOMScoreAdjust=8\n'
    assert drop_in.edit(hidden, {'OOMScoreAdjust': 7}) == NEW.replace(b'-5', b'7') + b'# note\r'


@pytest.mark.parametrize('bad', [b'X=\xff\n', b'[Servi\n', b'X=' + b'a' * (1 << 20) + b'\n'],
                         ids=['bytes', 'header', 'long'])
@pytest.mark.parametrize('place', [1, 2, 3])
def test_ours_is_read_whatever_somebody_adds(bad, place):
    lines = NEW.splitlines(True)
    mine = b''.join(lines[:place] + [bad] + lines[place:])
    edited = drop_in.edit(mine, {'OOMScoreAdjust': 7})
    assert unit_files.parse_settings(edited)['OOMScoreAdjust'].value == 7
    assert bad in edited and drop_in.is_ours(edited) and drop_in.edit(edited, {'OOMScoreAdjust': 7}) == edited
    assert bad in drop_in.without_ours(edited)[0]
