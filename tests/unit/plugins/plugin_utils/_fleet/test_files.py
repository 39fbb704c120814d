# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's files: whole or not there."""

import csv
import io
import json
import os
import re
import stat
import threading
import unicodedata

import fleet_facts
import pytest
from ansible.errors import AnsibleError

from ansible_collections.oomkit.linux.plugins.action import fleet_report as action
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.files import (
    CSV_COLUMNS,
    build_csv_rows,
    build_json_lines,
    write_csv,
    write_text,
)
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.hosts import Fleet
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.record import UNREACHABLE
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.report import ReportError, ReportRequest


@pytest.fixture
def fleet():
    """Three hosts with facts and one without."""
    result = Fleet(5)
    for name, kind in fleet_facts.host_names(3):
        result.take_facts(name, fleet_facts.facts(name, kind))
    result.lose('gone', UNREACHABLE, 'no route')
    return result


def test_json_lines(fleet):
    reported = [json.loads(line) for line in build_json_lines(fleet)]
    assert [one['status'] for one in reported] == ['ok', 'ok', 'ok', 'unreachable']
    assert reported[-1]['message'] == 'no route' and reported[-1]['level'] is None
    assert len(reported[0]['candidates']) == 5 and reported[0]['level'] in ('fine', 'warning', 'critical')


def test_csv(fleet, tmp_path):
    path = tmp_path / 'x.csv'
    assert write_csv(str(path), build_csv_rows(fleet)) is True
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert tuple(rows[0]) == CSV_COLUMNS and len(rows) == 4
    assert rows[0]['enforced'] in ('true', 'false') and rows[-1]['mode'] == ''


@pytest.mark.parametrize('name', [
    '=cmd()', '+1', '-2+3', '@SUM(1)', '\uff1dcmd()', '\uff0b1', '\uff0d1', '\uff20x', '\u22121', ' =x', '\t=x', '\r=x',
    '"=x', 'a;=x', 'a; =x', 'a,=x', 'a\t=x', 'a|=x', 'a;"=x', 'a;\'=x', 'a";"=x', 'a\n=x', ';', ';;@x', 'a;\xa0=x'])
@pytest.mark.parametrize('separator', [',', ';', '\t', '|'])
def test_csv_holds_no_formula_whatever_the_separator(tmp_path, name, separator):
    fleet = Fleet(5)
    facts = fleet_facts.facts('x', 'batch')
    facts['candidates'][0].update(name=name, unit=name)
    facts['commit']['headroom_kb'] = -5
    facts['warnings'] = [name]
    fleet.take_facts(name, facts)
    fleet.take_policy(name, {'conflicts': [{'key': name, 'file': name}], 'restart_needed': [name, name]})
    write_csv(str(tmp_path / 'x'), build_csv_rows(fleet))
    text = (tmp_path / 'x').read_text()
    assert all(char.isprintable() or char == '\n' for char in text)
    for row in csv.reader(io.StringIO(text), delimiter=separator):
        for cell in row:
            start = unicodedata.normalize('NFKC', cell).lstrip(' "').replace('\u2212', '-')[:1]
            assert start not in ('=', '+', '@') and (start != '-' or cell.partition(',')[0] == '-5'), cell


def test_numbers_stay_numbers():
    fleet = Fleet(5)
    facts = fleet_facts.facts('x', 'batch')
    facts['commit']['headroom_kb'] = -5
    fleet.take_facts('a-1', facts)
    row = dict(zip(CSV_COLUMNS, list(build_csv_rows(fleet))[1], strict=True))
    assert row['headroom_kb'] == -5 and row['host'] == 'a-1'


def test_written_in_one_step_and_only_if_it_differs(tmp_path):
    path = tmp_path / 'x'
    assert write_text(str(path), ['a', 'b']) is True
    before = path.stat()
    assert write_text(str(path), ['ab']) is False
    assert path.stat().st_ino == before.st_ino
    path.chmod(0o640)
    assert write_text(str(path), ['c']) is True
    assert path.read_text() == 'c' and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ['x']


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / 'x'
    path.write_text('old')

    def pieces():
        yield 'new'
        raise OSError('no space')

    with pytest.raises(OSError, match='no space'):
        write_text(str(path), pieces())
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['x']


def test_a_link_stays(tmp_path):
    (tmp_path / 'real').write_text('old')
    (tmp_path / 'link').symlink_to('real')
    assert write_text(str(tmp_path / 'link'), ['new']) is True
    assert (tmp_path / 'link').is_symlink() and (tmp_path / 'real').read_text() == 'new'


def test_a_pipe_is_written_to(tmp_path):
    path = tmp_path / 'pipe'
    os.mkfifo(path)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(path.read_text()))
    reader.start()
    assert write_text(str(path), ['text']) is True
    reader.join(10)
    assert heard == ['text'] and stat.S_ISFIFO(path.stat().st_mode)


def request(**values):
    return ReportRequest(**dict(dict(html='', json_lines='', csv='', title='x', rows=0, candidates=5), **values))


def test_only_what_is_asked_for(tmp_path, fleet):
    assert request().files() == []
    (path, write), = request(csv=str(tmp_path / 'x.csv')).files()
    assert write(fleet) is True and write(fleet) is False and path.endswith('x.csv')


def test_an_error_names_the_file(tmp_path, fleet):
    (_path, write), = request(html=str(tmp_path / 'no' / 'x.html')).files()
    with pytest.raises(ReportError, match=r'could not be written to .*no/x.html: No such file or directory'):
        write(fleet)


@pytest.mark.parametrize('name', ['a\0b', 'a\ud800b', '\x1b[2J/x'])
@pytest.mark.parametrize('option', ['html', 'json_lines', 'csv'])
def test_what_is_no_path_is_an_error_that_can_be_printed(tmp_path, fleet, option, name):
    (_path, write), = request(**{option: str(tmp_path) + '/' + name}).files()
    with pytest.raises(ReportError, match='could not be written to') as caught:
        write(fleet)
    assert str(caught.value).isprintable() and os.listdir(tmp_path) == []


@pytest.mark.parametrize('host', ['a\0b', 'a\ud800b'])
def test_what_is_no_name_of_a_host_is_refused(host):
    with pytest.raises(ReportError, match='hosts: .* cannot be the name of a host') as caught:
        list(action._read_cache(['fine', host]))
    assert str(caught.value).isprintable()


class Cache:
    """A fact cache; what is an exception is raised when it is read."""

    def __init__(self, kept):
        self.kept = kept

    def contains(self, host):
        return host in self.kept

    def get(self, host):
        if isinstance(self.kept[host], Exception):
            raise self.kept[host]
        return self.kept[host]


@pytest.mark.parametrize('damage, reason', [
    (AnsibleError('The cache file x was corrupt'), r'cannot be read \(The cache file x was corrupt\): remove them'),
    (TypeError('list indices\n'), 'cannot be read'), (RecursionError(), r'cannot be read \(RecursionError\)'),
    (KeyError('h1'), 'no facts in the cache'), ([1, 2], 'no facts in the cache'), ({}, 'no facts in the cache'),
    ({'oom': [1]}, 'no facts in the cache'), (None, 'no facts in the cache'),
])
def test_a_damaged_record_costs_the_facts_of_its_own_host_only(monkeypatch, damage, reason):
    name, kind = fleet_facts.host_names(1)[0]
    kept = {'h1': damage, name: {'oom': fleet_facts.facts(name, kind)}}
    monkeypatch.setattr(action.cache_loader, 'get', lambda _name: Cache(kept))
    monkeypatch.setattr(action, '_outlives_a_run', lambda _cache: True)
    fleet = action._read_fleet(['h1', name, 'h3'], request())
    reported = {one['host']: one for one in map(json.loads, build_json_lines(fleet))}
    assert {host: one['status'] for host, one in reported.items()} == {'h1': 'no_facts', name: 'ok', 'h3': 'no_facts'}
    assert re.search(reason, reported['h1']['message']) and reported['h1']['message'].isprintable()


def test_a_cache_that_is_down_is_an_error_and_no_empty_report(monkeypatch):
    down = Cache(dict.fromkeys('ab', OSError('it is\x1b down.')))
    monkeypatch.setattr(action.cache_loader, 'get', lambda _name: down)
    monkeypatch.setattr(action, '_outlives_a_run', lambda _cache: True)
    with pytest.raises(ReportError, match=r'^The fact cache could not be read for any host: it is\\x1b down\. '):
        action._read_fleet(['a', 'b'], request())
    assert len(action._read_fleet([], request())) == 0


@pytest.mark.parametrize('values', [{'rows': -1}, {'candidates': -1}, {'candidates': 101}])
def test_bad_options(values):
    with pytest.raises(ReportError, match=next(iter(values))):
        request(**values)
