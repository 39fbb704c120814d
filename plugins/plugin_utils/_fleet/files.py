# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as files: HTML for people, JSON lines and CSV for other tools."""

from __future__ import annotations

import csv
import json
import typing as t
import unicodedata

from ...module_utils._core.sanitize import sanitize
from .atomic_file import write
from .hosts import LEVEL_NAMES, Fleet, describe_victim_group, find_level, find_problems, hangs
from .record import Record, to_json

# What makes a spreadsheet take a text for a formula, where a cell may begin, and what may stand before it in a cell.
_FORMULA = ('=', '+', '-', '@', '\N{MINUS SIGN}')
_SEPARATORS = ',;|\t\r\n'
_QUOTES = '"\''
CSV_COLUMNS = (
    'host', 'status', 'message', 'level', 'problems', 'gathered_at', 'mode', 'enforced', 'limit_kb', 'committed_kb',
    'headroom_kb', 'used_percent', 'memory_total_kb', 'memory_available_kb', 'swap_total_kb', 'swap_free_kb',
    'panic_policy', 'reboot_after_s', 'hangs', 'victim', 'victim_name', 'victim_unit', 'victim_pid',
    'victim_oom_score', 'victim_oom_score_adj', 'victim_rss_kb', 'drift', 'conflicts', 'kills_total', 'container')


def build_json_lines(fleet: Fleet) -> t.Iterator[str]:
    """A line for each host: the record, and what the report makes of it."""
    for record in _list_records(fleet):
        yield json.dumps(dict(to_json(record), **_judge(record))) + '\n'


def build_csv_rows(fleet: Fleet) -> t.Iterator[list[t.Any]]:
    """The heading, and a row for each host. Unknown is empty."""
    yield list(CSV_COLUMNS)
    for record in _list_records(fleet):
        values = dict(to_json(record), **_judge(record))
        first = record.candidates[0] if record.candidates else None
        values.update({'victim_' + name: getattr(first, name, None)
                       for name in ('name', 'unit', 'pid', 'oom_score', 'oom_score_adj', 'rss_kb')})
        values.update(drift='; '.join(f'{one.key}: {one.runtime}, then {one.boot}' for one in record.drift or ()),
                      conflicts='; '.join(record.conflicts), problems='; '.join(values['problems']))
        yield [_clean_cell(values[name]) for name in CSV_COLUMNS]


def write_text(path: str, pieces: t.Iterable[str]) -> bool:
    """Write a file, replacing the one that is there in one step; whether it is another one now. Raises OSError."""
    return write(path, lambda file: file.writelines(pieces))


def write_csv(path: str, rows: t.Iterable[list[t.Any]]) -> bool:
    """Write a CSV file in the same way. Raises OSError."""
    return write(path, lambda file: csv.writer(file, lineterminator='\n').writerows(rows))


def _list_records(fleet: Fleet) -> list[Record]:
    return fleet.list_worst_first() + fleet.list_silent()


def _judge(record: Record) -> dict[str, t.Any]:
    """What the report says of the record."""
    seen = record.seen
    return {'level': LEVEL_NAMES[find_level(record)] if seen else None,
            'problems': [one.text for one in find_problems(record)],
            'hangs': hangs(record) if record.panic_policy else None,
            'victim': describe_victim_group(record) if seen else None}


def _clean_cell(value: t.Any) -> t.Any:
    """A text that no spreadsheet takes for a formula, whichever separator it goes by; a number stays one."""
    if value is None:
        return ''
    if isinstance(value, bool):
        return str(value).lower()
    return _escape_formula(sanitize(value)) if isinstance(value, str) else value


def _escape_formula(text: str) -> str:
    """The text with an apostrophe before what could start a formula.

    A spreadsheet that goes by another separator than the comma begins a cell in the middle of a text, and may leave
    out blanks and quotes at its beginning. Characters such as the wide equals sign count too.
    Source: OWASP, CSV Injection.
    """
    found, starts = [], True
    for char in text:
        if starts and unicodedata.normalize('NFKC', char)[:1] in _FORMULA:
            found.append("'")
        starts = char in _SEPARATORS or starts and (char.isspace() or char in _QUOTES)
        found.append(char)
    return ''.join(found)
