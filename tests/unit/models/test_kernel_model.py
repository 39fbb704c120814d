# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model that tests take for the kernel and for the boot's loader, against the record of real ones.

The record is made by tests/kernel/test_numbers.py and test_boot.py.
"""

import json
from pathlib import Path

import kernel_model
import pytest

RECORDED = Path(kernel_model.__file__).parent / 'recorded'


def records(name):
    """All records of one question, by kernel."""
    paths = sorted(RECORDED.glob(name + '-*.json'))
    assert paths, name
    return [json.loads(path.read_text()) for path in paths]


def kernel_of(value):
    """The id of a record."""
    return value['kernel'].split('-')[0] if isinstance(value, dict) else None


def is_old(record):
    """Whether this kernel skips negative numbers for unsigned sysctls."""
    return int(record['kernel'].split('.')[0]) < 6


@pytest.mark.parametrize('record', records('sysctl_writes'), ids=kernel_of)
def test_writes(record):
    start, *rows = record['rows']
    assert len(rows) >= 300
    wrong = []
    for key, text, accepted, changed in rows:
        state = dict(start)
        said = kernel_model.write(state, key, text + '\n', is_old(record))
        if (said, state) != (accepted, start | changed):
            wrong.append((key, text, accepted, changed, said))
    assert not wrong, wrong


@pytest.mark.parametrize('record', records('commit_limits'), ids=kernel_of)
def test_commit_limits(record):
    for row in record['rows']:
        state = {'vm.overcommit_' + name: row[name] for name in ('ratio', 'kbytes') if name in row}
        limit_kb = kernel_model.commit_limit_kb(row['MemTotal'], row['SwapTotal'], row['Hugetlb'], state)
        assert limit_kb == row['CommitLimit'], row


def lay(root, files, merged_lib):
    """The files of a recorded tree, and a /proc/sys for globs."""
    for folder in ('etc/sysctl.d', 'run/sysctl.d', 'usr/local/lib/sysctl.d', 'usr/lib/sysctl.d', 'dev'):
        (root / folder).mkdir(parents=True)
    for key in kernel_model.RANGES:
        path = root / 'proc/sys' / key.replace('.', '/')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('')
    (root / 'dev/null').write_text('')
    if merged_lib:
        (root / 'lib').symlink_to('usr/lib')
    for path, content in files.items():
        if isinstance(content, dict):
            (root / path).symlink_to(content['link'])
        else:
            (root / path).write_bytes(content.encode('latin-1'))


@pytest.mark.parametrize('loader, record', [
    *(('systemd', record) for record in records('boot_systemd')),
    *(('procps', record) for record in records('boot_procps')),
], ids=kernel_of)
def test_boots(loader, record, tmp_path):
    (start, merged_lib), *rows = record['rows']
    assert len(rows) >= 40
    systemd = int(record['programs'][0].split()[1]) if loader == 'systemd' else 0
    wrong = []
    for number, (files, changed) in enumerate(rows):
        lay(tmp_path / str(number), files, merged_lib)
        state = dict(start)
        kernel_model.boot(tmp_path / str(number), state, systemd, is_old(record))
        if state != start | changed:
            wrong.append((number, files, changed, {key: state[key] for key in state if state[key] != start[key]}))
    assert not wrong, wrong
