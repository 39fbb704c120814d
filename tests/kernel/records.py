# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record answers of a lab machine as JSON in tests/unit/recorded, if OOMKIT_RECORD is set."""

import json
import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / 'unit/recorded'
BOOTS = 60


def write(machine, name, rows):
    """Write one file for each question and kernel, with one line for each row."""
    if not os.environ.get('OOMKIT_RECORD'):
        return
    release = machine.run('uname -r').stdout.strip()
    programs = machine.run('systemctl --version | head -n 1; sysctl --version').stdout.splitlines()
    head = json.dumps({'kernel': release, 'programs': programs})[:-1]
    lines = ',\n'.join(json.dumps(row, separators=(',', ':')) for row in rows)
    kernel = '.'.join(release.split('.')[:2])
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f'{name}-{kernel}.json').write_text(f'{head}, "rows": [\n{lines}\n]}}\n')


def differences(state, start):
    """The keys whose value is not the one of the start."""
    return {key: value for key, value in state.items() if value != start[key]}


def writes(start, todo, found):
    """[start] and then [key, text, accepted, what it changed] of each write."""
    rows = zip(todo, found, strict=True)
    return [start] + [[*asked, accepted, differences(state, start)] for asked, (accepted, state) in rows]


def boots(start, facts, trees, found):
    """[start, merged_lib] and then [files, what the loader changed] of the first trees."""
    rows = list(zip(trees, found, strict=True))[:BOOTS]
    return [[start, facts['merged_lib']]] + [[files, differences(state, start)] for files, state in rows]
