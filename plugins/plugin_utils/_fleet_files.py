# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as files: HTML for people, JSON lines and CSV for other tools. Each is whole or not there."""

from __future__ import annotations

import contextlib
import csv
import filecmp
import json
import os
import stat
import tempfile
import typing as t

from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet import (
    LEVEL_NAMES,
    Fleet,
    hangs,
    level,
    problems,
    victim_group,
)
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet_record import Record, plain

# What makes a spreadsheet take a text for a formula.
_FORMULA = ('=', '+', '-', '@')
CSV_COLUMNS = (
    'host', 'status', 'message', 'level', 'problems', 'gathered_at', 'mode', 'enforced', 'limit_kb', 'committed_kb',
    'headroom_kb', 'used_percent', 'memory_total_kb', 'memory_available_kb', 'swap_total_kb', 'swap_free_kb',
    'panic_policy', 'reboot_after_s', 'hangs', 'victim', 'victim_name', 'victim_unit', 'victim_pid',
    'victim_oom_score', 'victim_oom_score_adj', 'victim_rss_kb', 'drift', 'conflicts', 'kills_total', 'container')


def json_lines(fleet: Fleet) -> t.Iterator[str]:
    """A line for each host: the record, and what the report makes of it."""
    for record in _all(fleet):
        yield json.dumps(dict(plain(record), **_judgement(record))) + '\n'


def csv_rows(fleet: Fleet) -> t.Iterator[list[t.Any]]:
    """The heading, and a row for each host. Unknown is empty."""
    yield list(CSV_COLUMNS)
    for record in _all(fleet):
        told = dict(plain(record), **_judgement(record))
        first = record.candidates[0] if record.candidates else None
        told.update({'victim_' + name: getattr(first, name, None)
                     for name in ('name', 'unit', 'pid', 'oom_score', 'oom_score_adj', 'rss_kb')})
        told.update(drift='; '.join('%s: %s, then %s' % (one.key, one.runtime, one.boot) for one in record.drift or ()),
                    conflicts='; '.join(record.conflicts), problems='; '.join(told['problems']))
        yield [_cell(told[name]) for name in CSV_COLUMNS]


def write_text(path: str, pieces: t.Iterable[str]) -> bool:
    """Write a file, replacing the one that is there in one step; whether it is another one now. Raises OSError."""
    return _write(path, lambda file: file.writelines(pieces))


def write_csv(path: str, rows: t.Iterable[list[t.Any]]) -> bool:
    """Write a CSV file in the same way. Raises OSError."""
    return _write(path, lambda file: csv.writer(file, lineterminator='\n').writerows(rows))


def _all(fleet: Fleet) -> list[Record]:
    return fleet.worst_first() + fleet.silent()


def _judgement(record: Record) -> dict[str, t.Any]:
    """What the report says of the record."""
    seen = record.seen
    return {'level': LEVEL_NAMES[level(record)] if seen else None, 'problems': [one.text for one in problems(record)],
            'hangs': hangs(record) if record.panic_policy else None, 'victim': victim_group(record) if seen else None}


def _cell(value: t.Any) -> t.Any:
    """A text that a spreadsheet would run is quoted, as OWASP advises; a number stays one."""
    if value is None:
        return ''
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write(path: str, fill: t.Callable[[t.TextIO], None]) -> bool:
    """A pipe or a terminal is written to as it is; a link stays, and what it names is replaced."""
    place = os.path.realpath(os.path.expanduser(path))
    if os.path.exists(place) and not stat.S_ISREG(os.stat(place).st_mode):
        with open(place, 'w', encoding='utf-8', newline='') as file:
            fill(file)
        return True
    handle, name = tempfile.mkstemp(prefix='.fleet-report-', dir=os.path.dirname(place))
    try:
        with open(handle, 'w', encoding='utf-8', newline='') as file:
            os.fchmod(file.fileno(), _mode(place))
            fill(file)
        if os.path.exists(place) and filecmp.cmp(name, place, shallow=False):
            os.unlink(name)
            return False
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise
    return True


def _mode(place: str) -> int:
    """The permissions that an existing file has, and those of any new file else."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(place).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
