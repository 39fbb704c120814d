# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as lines of text: a table that fits the terminal."""

from __future__ import annotations

import textwrap
import typing as t
from dataclasses import dataclass

from ansible.utils.display import get_text_width

from .hosts import CRITICAL, FULL_PERCENT, Fleet, hangs, level, on_oom, victim
from .record import OK, Record

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


def size(kb: int | None) -> str:
    """A size for people."""
    if kb is None:
        return '?'
    for unit, scale in (('TiB', 2 ** 30), ('GiB', 2 ** 20), ('MiB', 2 ** 10)):
        if abs(kb) >= scale:
            return f'{kb / scale:.1f} {unit}'
    return f'{kb} kB'


def percent(value: float | None) -> str:
    """A share for people."""
    return '?' if value is None else f'{value:.1f} %'


def lines(fleet: Fleet, rows: int, width: int, paint: Paint) -> list[str]:
    """The whole report: the table of at most ``rows`` hosts (0: all), those that told nothing, and the summary."""
    told, silent = fleet.worst_first(), fleet.silent()
    shown = told[:rows] if rows else told
    result = _table(shown, width, paint) if shown else []
    if len(told) > len(shown):
        result.append(f'... and {len(told) - len(shown)} more')
    listed = silent[:rows] if rows else silent
    result += [_silent_line(record, width, paint) for record in listed]
    if len(silent) > len(listed):
        result.append(f'... and {len(silent) - len(listed)} more without facts')
    return [*result, '', *textwrap.wrap(fleet.counts().summary(), width, subsequent_indent=_GAP)]


def _width(text: str) -> int:
    """How many columns of a terminal the text takes."""
    try:
        return get_text_width(text)
    except OSError:  # the C library may know fewer characters than Python, which took them for printable
        return len(text)


def cut(text: str, width: int) -> str:
    """The text in at most ``width`` columns of a terminal."""
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 1:
        text = text[:-1]
    return text + '…'


# -------------------------------------------------------------------------- table

def _host(record: Record) -> _Cell:
    return _Cell(record.host if record.status == OK else f'{record.host} [{record.status}]',
                 PLAIN if record.status == OK else ALARM)


def _used(record: Record) -> _Cell:
    look = PLAIN
    if record.enforced and record.used_percent is not None:
        full = record.headroom_kb is not None and record.headroom_kb <= 0
        look = ALARM if full else ALERT if record.used_percent >= FULL_PERCENT else GOOD
    return _Cell(percent(record.used_percent), look)


def _on_oom(record: Record) -> _Cell:
    return _Cell(on_oom(record), ALARM if hangs(record) else PLAIN)


def _drift(record: Record) -> _Cell:
    if record.drift is None and not record.conflicts:
        return _Cell('?')
    count = len(record.drift or ())
    text = f'{count}+{len(record.conflicts)}!' if record.conflicts else str(count or '-')
    return _Cell(text, PLAIN if text == '-' else ALERT)


def _kills(record: Record) -> _Cell:
    if record.kills_total is None:
        return _Cell('?')
    return _Cell(str(record.kills_total), ALERT) if record.kills_total else _Cell('-')


def _level(record: Record) -> _Cell:
    found = level(record)
    return _Cell('!!' if found == CRITICAL else '!' if found else '', ALARM if found == CRITICAL else ALERT)


_COLUMNS = (
    _Column('', _level, drop=6),
    _Column('HOST', _host, shrinks_to=10),
    _Column('USED', _used, right=True, shrinks_to=7, drop=1),
    _Column('LIMIT', lambda record: _Cell(size(record.limit_kb)), right=True, drop=5),
    _Column('OVERCOMMIT', lambda record: _Cell(record.mode or '?'), shrinks_to=10, drop=4),
    _Column('WHEN OUT', _on_oom, shrinks_to=12),
    _Column('NEXT VICTIM', lambda record: _Cell(victim(record)), shrinks_to=14),
    _Column('DRIFT', _drift, right=True, shrinks_to=5, drop=3),
    _Column('KILLS', _kills, right=True, shrinks_to=5, drop=2),
)


def _table(records: list[Record], width: int, paint: Paint) -> list[str]:
    """A heading, and a line for each host."""
    columns = list(_COLUMNS)
    cells = {column: [column.cell(record) for record in records] for column in columns}
    wide = {column: max(_width(text) for text in (column.title, *(cell.text for cell in cells[column])))
            for column in columns}
    widths = _fit(columns, wide, width)
    heads = {column: _Cell(column.title, HEADING) for column in widths}
    rows = [heads, *({column: cells[column][number] for column in widths} for number in range(len(records)))]
    return [_GAP.join(_shown(row[column], column, widths[column], paint) for column in widths).rstrip() for row in rows]


def _fit(columns: list[_Column], wide: dict[_Column, int], width: int) -> dict[_Column, int]:
    """The columns that are shown and how wide: some are left out, and the widest of those that can shrink does."""
    widths = {column: wide[column] for column in columns}
    least = {column: min(wide[column], column.shrinks_to or wide[column]) for column in columns}
    while _total(least[column] for column in widths) > width and any(column.drop for column in widths):
        del widths[max(widths, key=lambda column: column.drop)]
    while _total(widths.values()) > width:
        able = [column for column in widths if widths[column] > least[column]]
        if not able:
            break
        widest = max(able, key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _total(widths: t.Iterable[int]) -> int:
    all_widths = list(widths)
    return sum(all_widths) + len(_GAP) * (len(all_widths) - 1)


def _shown(cell: _Cell, column: _Column, width: int, paint: Paint) -> str:
    """Padded first and painted then: colours take no room."""
    text = cut(cell.text, width)
    blanks = ' ' * (width - _width(text))
    painted = paint(text, cell.look) if text else text
    return blanks + painted if column.right else painted + blanks


def _silent_line(record: Record, width: int, paint: Paint) -> str:
    head = f'{cut(record.host, max(12, width // 3))}  {record.status}'
    rest = cut(record.message, max(0, width - _width(head) - 2)) if record.message else ''
    return paint(head, ALARM) + (': ' + rest if rest else '')
