# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table, the picture and the page of a fleet."""

import re
from html.parser import HTMLParser

import fleet_facts
import pytest
from ansible.utils.display import get_text_width

from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet import text as fleet_text
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.chart import COLUMNS, HEIGHT, WIDTH, build_chart
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.hosts import Fleet
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.page import render_html
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.record import OK, UNREACHABLE, Record

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\'{{ 7 * 7 }}\x1b[31m'


def fleet_of(count):
    fleet = Fleet(5)
    for name, kind in fleet_facts.host_names(count):
        fleet.take_facts(name, fleet_facts.facts(name, kind))
    return fleet


@pytest.fixture(scope='module')
def hostile():
    """A fleet in which every text is hostile."""
    fleet = fleet_of(3)
    facts = fleet_facts.facts('x', 'web')
    facts['candidates'][0].update(name=HOSTILE, unit=HOSTILE)
    facts['overcommit']['mode_name'] = facts['environment']['container'] = HOSTILE
    facts['environment']['gathered_at'] = facts['panic']['policy'] = HOSTILE
    facts['warnings'] = [HOSTILE]
    facts['competing_writers'] = [dict.fromkeys(('by', 'how', 'key', 'value'), HOSTILE)]
    facts['oom_daemons'] = [{'name': HOSTILE}]
    facts['drift'] = [dict.fromkeys(('key', 'runtime', 'boot', 'file'), HOSTILE)]
    facts['kills'] = {'total': 1, 'recent': [{'when': HOSTILE, 'name': HOSTILE}]}
    fleet.take_facts(HOSTILE, facts)
    fleet.take_policy(HOSTILE, {'conflicts': [{'key': HOSTILE}], 'reason': HOSTILE, 'restart_needed': [HOSTILE]})
    fleet.lose(HOSTILE + '2', UNREACHABLE, HOSTILE)
    return fleet


# -------------------------------------------------------------------------- table

def table(fleet, width, rows=0):
    return fleet_text.build_lines(fleet, rows, width, lambda text, look: text)


@pytest.mark.parametrize('width', [40, 60, 80, 100, 132, 200])
def test_fits(width, hostile):
    hostile.take_facts('\u6f22' * 50, fleet_facts.facts('y', 'batch'))
    for line in table(hostile, width):
        assert get_text_width(line) <= width, line
        assert line.isprintable()


def test_letters_that_only_python_knows_take_no_host_away(monkeypatch):
    """Python 3.13 has U+0CF3 for a letter, glibc 2.36 does not have it; here a letter that each Python knows."""
    def width(text):
        if text and set(text) <= {'\u6f22'}:
            raise OSError('get_text_width could not calculate text width of %r' % text)
        return get_text_width(text)

    fleet = fleet_of(3)
    fleet.take_facts('\u6f22' * 3, {'candidates': [{'name': '\u6f22' * 50}]})
    fleet.lose('\u6f22' * 70, UNREACHABLE, '\u6f22' * 200)
    monkeypatch.setattr(fleet_text, 'get_text_width', width)
    shown = table(fleet, 200)
    for name, _kind in fleet_facts.host_names(3):
        assert any(name in line for line in shown)
    assert sum('\u6f22' in line for line in shown) == 2 and all(len(line) <= 200 for line in shown)


def test_shows_all_there_is_to_know_where_there_is_room():
    shown = table(fleet_of(40), fleet_text.UNLIMITED)
    assert re.split(r'\s{2,}', shown[0].strip()) == ['HOST', 'USED', 'LIMIT', 'OVERCOMMIT', 'WHEN OUT', 'NEXT VICTIM',
                                                     'DRIFT', 'KILLS']
    assert len(shown) == 43 and '…' not in ''.join(shown)


def test_less_important_columns_go_first():
    fleet = fleet_of(40)
    heads = [table(fleet, width)[0].split() for width in (300, 90, 70, 50)]
    assert [len(head) for head in heads] == sorted((len(head) for head in heads), reverse=True)
    assert all('HOST' in head and 'VICTIM' in head for head in heads)


def test_colours_take_no_room():
    fleet = fleet_of(40)
    coloured = fleet_text.build_lines(fleet, 0, 90, lambda text, look: '<%s>%s</>' % (look, text))
    assert [re.sub(r'<[a-z/]+>', '', line) for line in coloured] == table(fleet, 90)
    assert any('<alarm>' in line for line in coloured) and any('<alert>' in line for line in coloured)


def test_rows_are_limited_and_the_rest_is_reported():
    fleet = fleet_of(40)
    for number in range(5):
        fleet.lose('gone%d' % number, UNREACHABLE, 'x')
    shown = table(fleet, 300, rows=3)
    assert '... and 37 more' in shown and '... and 2 more without facts' in shown
    assert len([line for line in shown if 'example.net' in line]) == 3


@pytest.mark.parametrize('width', [80, 120, 2000])
def test_a_message_that_is_cut_keeps_its_codes(width):
    fleet = fleet_of(1)
    fleet.lose('gone', UNREACHABLE, 'x' * 400 + ' [OOMK-1203] [OOMK-2301]')
    line, = [line for line in table(fleet, width) if line.strip().startswith('gone')]
    assert line.endswith('x… [OOMK-1203] [OOMK-2301]') and get_text_width(line) <= width


def test_an_empty_fleet():
    assert table(Fleet(5), 80) == ['', '0 hosts: 0 ok; 0 critical, 0 with warnings, 0 fine, 0 in drift; overcommit',
                                   '  unknown; 0 killed since boot']


@pytest.mark.parametrize('kb, shown', [(None, '?'), (0, '0 kB'), (1023, '1023 kB'), (1024, '1.0 MiB'),
                                       (2 ** 20, '1.0 GiB'), (-2 ** 31, '-2.0 TiB')])
def test_size(kb, shown):
    assert fleet_text.format_size(kb) == shown


# ------------------------------------------------------------------------ picture

def picture(*used, enforced=True):
    return build_chart((place, Record('h%d' % place, OK, seen=True, used_percent=one, enforced=enforced))
                       for place, one in enumerate(used))


def test_a_few_hosts_are_bars_with_names():
    drawn = picture(10.0, 95.0, 50.0)
    assert drawn.named and [(one.name, one.width) for one in drawn.marks] == [('h1', 950), ('h2', 500), ('h0', 100)]
    assert [one.first for one in drawn.marks] == [1, 2, 0]
    assert [one.look for one in drawn.marks] == ['alert', 'good', 'good']


@pytest.mark.parametrize('count', [25, COLUMNS, COLUMNS + 1, 10000])
def test_columns_have_an_end(count):
    drawn = picture(*(100.0 * number / count for number in range(count)))
    assert not drawn.named and drawn.hosts == count
    assert count / drawn.grouped <= len(drawn.marks) <= COLUMNS
    for one in drawn.marks:
        assert one.x >= 0 and one.y >= 0 and one.x + one.width <= WIDTH + 0.1 and one.y + one.height <= HEIGHT + 0.1
    assert [one.height for one in drawn.marks] == sorted((one.height for one in drawn.marks), reverse=True)


def test_what_is_higher_than_the_picture_is_cut_and_reported():
    drawn = picture(10 ** 6, 501.0, 20.0, enforced=False)
    assert drawn.cut_off == 2 and drawn.grid[-1][0] == 500
    assert [one.look for one in drawn.marks] == ['free'] * 3


def test_no_picture_of_nothing():
    assert picture(None, None) is None and picture() is None


# --------------------------------------------------------------------------- page

class Page(HTMLParser):
    """The elements of a page, its texts, links and targets."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.ids, self.texts, self.attributes = [], set(), [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.append(name)
            if name == 'href':
                self.links.add(value)
            if name == 'id':
                self.ids.append(value)

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_of_a_hostile_fleet_is_only_text(hostile):
    page = Page(''.join(render_html(hostile, HOSTILE)))
    assert not {'script', 'img', 'iframe', 'object', 'embed', 'base', 'form'} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith('on')]
    shown = ''.join(page.texts)
    assert '"><img src=x onerror=alert(1)><script>' in shown and '{{ 7 * 7 }}' in shown


def test_every_link_has_its_target_and_nothing_is_loaded():
    text = ''.join(render_html(fleet_of(400), 'x'))
    page = Page(text)
    assert {link[1:] for link in page.links} <= set(page.ids) and len(page.ids) == len(set(page.ids))
    assert all(link.startswith('#') for link in page.links)
    assert 'http' not in text.replace('http-equiv', '') and 'url(' not in text and '@import' not in text
    assert page.ids.count('h399') == 1


def test_same_facts_same_page():
    assert ''.join(render_html(fleet_of(30), 'x')) == ''.join(render_html(fleet_of(30), 'x'))


def test_an_empty_fleet_has_a_page_too():
    assert 'No host reported its facts.' in ''.join(render_html(Fleet(5), 'x'))
