# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model that tests take for systemd's reading of unit files, and our own reading, against the record of real ones.

The record is made by tests/kernel/test_units.py.
"""

import json
from pathlib import Path

import pytest
import unit_model

from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.unit_files import SCORE_ADJ, UnitFiles

RECORDS = [json.loads(path.read_text())
           for path in sorted((Path(unit_model.__file__).parent / 'recorded').glob('unit_files-*.json'))]


def version_of(record):
    return int(record['programs'][0].split()[1])


def lay(root, files):
    for path, text in files.items():
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / path[1:]).write_text(text, newline='')


def by_model(root, unit):
    host = Host(str(root))
    return unit_model.at_start(host.read_text, host.names, unit, SCORE_ADJ)


def by_us(root, unit, version):
    files = UnitFiles(Host(str(root)), version=version)
    return files.read_settings(files.find_unit(unit))[SCORE_ADJ].value


def test_two_systemds_have_answered():
    assert len(RECORDS) >= 2 and len({version_of(record) for record in RECORDS}) >= 2


@pytest.mark.parametrize('record', RECORDS, ids=version_of)
def test_every_answer(record, tmp_path):
    """Each case in a tree of its own: in the lab they lay side by side."""
    version, wrong = version_of(record), []
    assert len(record['rows']) >= 60
    for index, (title, unit, files, answer) in enumerate(record['rows']):
        root = tmp_path / str(index)
        lay(root, files)
        found = (by_model(root, unit) or 0, by_us(root, unit, version) or 0)
        if found != (answer, answer):
            wrong.append((title, files, answer, found))
    assert not wrong, wrong
