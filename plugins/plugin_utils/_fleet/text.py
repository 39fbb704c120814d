# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as lines of text: a table that fits the terminal."""

from __future__ import annotations

import textwrap
import typing as t
from dataclasses import dataclass

from ansible.utils.display import get_text_width

from .hosts import CRITICAL, FULL_PERCENT, Fleet, describe_oom, describe_victim, find_level, hangs
from .record import OK, Record, find_codes

# How a cell is to look; the terminal's colours for them are chosen by who prints.
PLAIN, GOOD, ALARM, ALERT, HEADING = 'plain', 'good', 'alarm', 'alert', 'heading'
UNLIMITED = 10 ** 6
_GAP = '  '

Paint = t.Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    look: str = PLAIN


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cell: t.Callable[[Record], _Cell]
    right: bool = False
    shrinks_to: int = 0  # 0: as wide as its longest text, always (these are bounded)
    drop: int = 0  # which columns go first where there is no room: the highest; 0 never


def format_size(kb: int | None) -> str:
    """A size for people."""
    if kb is None:
        return '?'
    for unit, scale in (('TiB', 2 ** 30), ('GiB', 2 ** 20), ('MiB', 2 ** 10)):
        if abs(kb) >= scale:
            return f'{kb / scale:.1f} {unit}'
    return f'{kb} kB'


def format_percent(value: float | None) -> str:
    """A share for people."""
    return '?' if value is None else f'{value:.1f} %'


def build_lines(fleet: Fleet, rows: int, width: int, paint: Paint) -> list[str]:
    """The whole report: the table of at most ``rows`` hosts (0: all), the hosts without facts, and the summary."""
    hosts, silent = fleet.list_worst_first(), fleet.list_silent()
    shown, listed = hosts[:rows or None], silent[:rows or None]
    result = _build_table(shown, width, paint) if shown else []
    if len(hosts) > len(shown):
        result.append(f'... and {len(hosts) - len(shown)} more')
    result += [_build_silent_line(record, width, paint) for record in listed]
    if len(silent) > len(listed):
        result.append(f'... and {len(silent) - len(listed)} more without facts')
    return [*result, '', *textwrap.wrap(fleet.count().summary(), width, subsequent_indent=_GAP)]


def _measure(text: str) -> int:
    """The width of the text on a terminal, in columns."""
    try:
        return int(get_text_width(text))
    except OSError:  # the C library may know fewer characters than Python, which took them for printable
        return len(text)


def cut(text: str, width: int) -> str:
    """The text in at most ``width`` columns of a terminal."""
    if _measure(text) <= width:
        return text
    while text and _measure(text) > width - 1:
        text = text[:-1]
    return text + '…'


# -------------------------------------------------------------------------- table

def _build_host_cell(record: Record) -> _Cell:
    return _Cell(record.host if record.status == OK else f'{record.host} [{record.status}]',
                 PLAIN if record.status == OK else ALARM)


def _build_used_cell(record: Record) -> _Cell:
    look = PLAIN
    if record.enforced and record.used_percent is not None:
        full = record.headroom_kb is not None and record.headroom_kb <= 0
        look = ALARM if full else ALERT if record.used_percent >= FULL_PERCENT else GOOD
    return _Cell(format_percent(record.used_percent), look)


def _build_oom_cell(record: Record) -> _Cell:
    return _Cell(describe_oom(record), ALARM if hangs(record) else PLAIN)


def _build_drift_cell(record: Record) -> _Cell:
    if record.drift is None and not record.conflicts:
        return _Cell('?')
    count = len(record.drift or ())
    text = f'{count}+{len(record.conflicts)}!' if record.conflicts else str(count or '-')
    return _Cell(text, PLAIN if text == '-' else ALERT)


def _build_kills_cell(record: Record) -> _Cell:
    if record.kills_total is None:
        return _Cell('?')
    return _Cell(str(record.kills_total), ALERT) if record.kills_total else _Cell('-')


def _build_level_cell(record: Record) -> _Cell:
    found = find_level(record)
    return _Cell('!!' if found == CRITICAL else '!' if found else '', ALARM if found == CRITICAL else ALERT)


_COLUMNS = (
    _Column('', _build_level_cell, drop=6),
    _Column('HOST', _build_host_cell, shrinks_to=10),
    _Column('USED', _build_used_cell, right=True, shrinks_to=7, drop=1),
    _Column('LIMIT', lambda record: _Cell(format_size(record.limit_kb)), right=True, drop=5),
    _Column('OVERCOMMIT', lambda record: _Cell(record.mode or '?'), shrinks_to=10, drop=4),
    _Column('WHEN OUT', _build_oom_cell, shrinks_to=12),
    _Column('NEXT VICTIM', lambda record: _Cell(describe_victim(record)), shrinks_to=14),
    _Column('DRIFT', _build_drift_cell, right=True, shrinks_to=5, drop=3),
    _Column('KILLS', _build_kills_cell, right=True, shrinks_to=5, drop=2),
)


def _build_table(records: list[Record], width: int, paint: Paint) -> list[str]:
    """A heading, and a line for each host."""
    rows = [{column: _Cell(column.title, HEADING) for column in _COLUMNS},
            *({column: column.cell(record) for column in _COLUMNS} for record in records)]
    widths = {column: max(_measure(row[column].text) for row in rows) for column in _COLUMNS}
    _fit_columns(widths, width)
    return [_GAP.join(_format_cell(row[column], column, widths[column], paint) for column in widths).rstrip()
            for row in rows]


def _fit_columns(widths: dict[_Column, int], width: int) -> None:
    """Make the columns fit: drop some, then shrink the widest one that can shrink, again and again."""
    least = {column: min(widths[column], column.shrinks_to or widths[column]) for column in widths}
    for column in sorted(_COLUMNS, key=lambda one: -one.drop):
        if column.drop and _sum_widths(list(least.values())) > width:
            del widths[column], least[column]
    while _sum_widths(list(widths.values())) > width and widths != least:
        shrinkable = [column for column in widths if widths[column] > least[column]]
        widths[max(shrinkable, key=widths.__getitem__)] -= 1


def _sum_widths(widths: list[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _format_cell(cell: _Cell, column: _Column, width: int, paint: Paint) -> str:
    """The text, cut and padded to the width, then painted: colours have no width."""
    text = cut(cell.text, width)
    blanks = ' ' * (width - _measure(text))
    painted = paint(text, cell.look) if text else text
    return blanks + painted if column.right else painted + blanks


def _build_silent_line(record: Record, width: int, paint: Paint) -> str:
    head = f'{cut(record.host, max(12, width // 3))}  {record.status}'
    message, room = record.message or '', max(0, width - _measure(head) - 2)
    codes = find_codes(message)
    if _measure(message) > room > 2 * len(codes):
        message = cut(message.removesuffix(codes), room - len(codes)) + codes
    rest = cut(message, room)
    return paint(head, ALARM) + (': ' + rest if rest else '')
