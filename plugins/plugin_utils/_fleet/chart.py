# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of all hosts' CommitLimit use, as numbers for an SVG, the fullest first.

A few hosts are bars with their names. More are columns, at most COLUMNS of them: each then stands for some
neighbours in the order, as high as the highest of them, and says which they are.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .hosts import FULL_PERCENT
from .record import Record

COLUMNS = 250
NAMED = 24  # hosts at most that are bars
WIDTH, HEIGHT = 1000, 200
_BAR, _PITCH = 14, 22
# Percent at the far end, and between the lines of the grid. What is higher is cut off.
_SCALES = ((100, 25), (150, 50), (200, 50), (300, 100), (500, 100))

_Host = tuple[float, int, Record]  # its use in percent, and its place in the list of hosts
_Place = t.Callable[[int, int, float], tuple[float, float, float, float]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar of one host, or a column of some neighbours in the order."""

    x: float
    y: float
    width: float
    height: float
    look: str
    title: str
    first: int  # where the first of them is in the list of hosts
    name: str
    used_percent: float


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture."""

    named: bool  # bars with names, from left to right; else columns
    marks: list[Mark]
    height: float
    grid: list[tuple[int, float]]  # percent, and where it is
    hosts: int
    grouped: int  # hosts in a column
    cut_off: int  # hosts that go beyond the picture


def build_chart(records: t.Iterable[tuple[int, Record]]) -> Chart | None:
    """The picture of these hosts, each with its place in the list of hosts; None where no use is known."""
    known = sorted(((record.used_percent, place, record) for place, record in records
                    if record.used_percent is not None), key=lambda one: (-one[0], one[1]))
    if not known:
        return None
    top, step = next((scale for scale in _SCALES if known[0][0] <= scale[0]), _SCALES[-1])
    percents, cut_off = range(0, top + 1, step), sum(one[0] > top for one in known)
    if len(known) <= NAMED:
        grid = [(percent, round(WIDTH * percent / top, 1)) for percent in percents]
        return Chart(True, _build_marks(known, 1, top, _place_bar), len(known) * _PITCH, grid, len(known), 1, cut_off)
    grouped = -(-len(known) // COLUMNS)
    grid = [(percent, round(HEIGHT * (1 - percent / top), 1)) for percent in percents]
    return Chart(False, _build_marks(known, grouped, top, _place_column), HEIGHT, grid, len(known), grouped, cut_off)


def _build_marks(known: list[_Host], grouped: int, top: int, place: _Place) -> list[Mark]:
    groups = [known[start:start + grouped] for start in range(0, len(known), grouped)]
    return [_build_mark(group, *place(number, len(groups), min(group[0][0], top) / top))
            for number, group in enumerate(groups)]


def _place_bar(number: int, _count: int, share: float) -> tuple[float, float, float, float]:
    """x, y, width and height of a bar. Zero is drawn as a sliver, so that each host is seen."""
    return 0, number * _PITCH + (_PITCH - _BAR) / 2, max(WIDTH * share, 1), _BAR


def _place_column(number: int, count: int, share: float) -> tuple[float, float, float, float]:
    """x, y, width and height of a column; SVG counts from above."""
    step = WIDTH / count
    width = step * (0.8 if step > 4 else 1)
    height = max(HEIGHT * share, 1)
    return number * step + (step - width) / 2, HEIGHT - height, width, height


def _build_mark(group: list[_Host], x: float, y: float, width: float, height: float) -> Mark:
    (highest, place, first), (lowest, _place, last) = group[0], group[-1]
    title = (f'{first.host}: {highest:.1f} %' if len(group) == 1 else
             f'{first.host} to {last.host}, {len(group)} hosts: {highest:.1f} to {lowest:.1f} %')
    return Mark(round(x, 2), round(y, 2), round(width, 2), round(height, 2), _choose_look(first), title, place,
                first.host, highest)


def _choose_look(record: Record) -> str:
    if not record.enforced:
        return 'free'
    if record.headroom_kb is not None and record.headroom_kb <= 0:
        return 'alarm'
    return 'alert' if (record.used_percent or 0) >= FULL_PERCENT else 'good'
