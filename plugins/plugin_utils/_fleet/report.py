# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What callback and action fleet_report have in common: what is asked for, the files, the lines on the screen."""

from __future__ import annotations

import os
import shutil
import sys
import typing as t
from dataclasses import dataclass

from ansible import constants as C
from ansible.utils.color import stringc

from ...module_utils._core.sanitize import sanitize
from .files import build_csv_rows, build_json_lines, write_csv, write_text
from .hosts import Fleet
from .page import render_html
from .text import ALARM, ALERT, GOOD, UNLIMITED, build_lines

_COLOURS = {GOOD: C.COLOR_OK, ALERT: C.COLOR_CHANGED, ALARM: C.COLOR_ERROR}


class ReportError(Exception):
    """An option that cannot be, or a file that could not be written; the text is for the user."""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What is asked for. A path that is empty or None is not written."""

    html: str | None
    json_lines: str | None
    csv: str | None
    title: str
    rows: int
    candidates: int

    def __post_init__(self) -> None:
        """Refuse what cannot be, before anything is written. Raises ReportError."""
        if self.rows < 0:
            raise ReportError(f'rows is {self.rows}; it has to be 0, for all, or more. [OOMK-2701]')
        if not 0 <= self.candidates <= 100:
            raise ReportError(f'candidates is {self.candidates}; it has to be between 0 and 100. [OOMK-2701]')

    def files(self) -> list[tuple[str, t.Callable[[Fleet], bool]]]:
        """Each path, and what writes it."""
        writers: list[tuple[str | None, t.Callable[[str, Fleet], bool]]] = [
            (self.html, lambda path, fleet: write_text(path, render_html(fleet, self.title))),
            (self.json_lines, lambda path, fleet: write_text(path, build_json_lines(fleet))),
            (self.csv, lambda path, fleet: write_csv(path, build_csv_rows(fleet))),
        ]
        return [(path, _bind(writer, path)) for path, writer in writers if path]


def _bind(writer: t.Callable[[str, Fleet], bool], path: str) -> t.Callable[[Fleet], bool]:
    """The writer of one path. It raises ReportError with the path and the reason."""
    def write(fleet: Fleet) -> bool:
        try:
            return writer(path, fleet)
        except (OSError, ValueError) as exc:  # ValueError: not a path: it has NUL or invalid Unicode
            raise ReportError(f"The fleet report could not be written to {sanitize(path)}: "
                              f"{getattr(exc, 'strerror', None) or sanitize(str(exc))}. [OOMK-2703]") from exc
    return write


def format_lines(fleet: Fleet, rows: int) -> list[str]:
    """The report for this terminal; in full width and without colours where it is none."""
    return build_lines(fleet, rows, _find_width(), _paint)


def _paint(text: str, look: str) -> str:
    """Ansible's own colours, which are off where it shows none."""
    return stringc(text, _COLOURS[look]) if look in _COLOURS else text


def _find_width() -> int:
    if os.environ.get('COLUMNS', '').isdecimal() or sys.stdout.isatty():
        return max(40, shutil.get_terminal_size().columns)
    return UNLIMITED
