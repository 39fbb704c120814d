# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the settings that we find in random unit files with those of systemd.

A table of cases with systemd's answers is in tests/unit/recorded, for tests without systemd. A machine must give the
recorded answers. OOMKIT_RECORD=1 writes a new record.
"""

import io
import json
import os
import random
import tarfile

import records
import unit_cases
from unit_trees import tree

from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.unit_files import OOM_POLICY, SCORE_ADJ, UnitFiles

COUNT = 300
SEED = int(os.environ.get('OOMKIT_SEED', '1'))


def packed(files, links):
    """The trees as a tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path.lstrip('/'))
            data = text.encode('utf-8', 'surrogateescape')
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for path, target in links.items():
            entry = tarfile.TarInfo(path.lstrip('/'))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()


def lay(machine, files, links=()):
    """Write the files, and have systemd read them; returns the tar file."""
    data = packed(files, dict(links))
    machine.run('tar -xf - -C / --keep-directory-symlink && systemctl daemon-reload', data=data)
    return data


def ask(machine, names):
    """systemd's (OOMScoreAdjust, OOMPolicy) by unit; None for an unknown property."""
    shown = machine.run('systemctl show -p Id,OOMScoreAdjust,OOMPolicy -- ' + ' '.join(names)).stdout
    found = {}
    for block in shown.split('\n\n'):
        state = dict(line.partition('=')[::2] for line in block.strip().split('\n'))
        found[state['Id']] = (int(state['OOMScoreAdjust']), state.get('OOMPolicy'))
    return found


def test_the_record_of_unit_files_is_what_this_systemd_answers(fresh):
    rows = unit_cases.together()
    lay(fresh, {path: text for _title, _name, files in rows for path, text in files.items()})
    found = ask(fresh, [name for _title, name, _files in rows])
    for title, name, files in unit_cases.alone():
        lay(fresh, files)
        rows.append([title, name, files])
        found.update(ask(fresh, [name]))
        fresh.run('rm ' + ' '.join(files))
    answers = [[*row, found[row[1]][0]] for row in rows]
    records.write(fresh, 'unit_files', answers)
    kernel = '.'.join(fresh.run('uname -r').stdout.split('.')[:2])
    recorded = json.loads((records.FOLDER / f'unit_files-{kernel}.json').read_text())
    assert answers == recorded['rows']


def test_our_reading_of_unit_files_is_systemds(fresh, tmp_path):
    rng = random.Random(SEED)
    names, files, links = [], {}, {}
    for number in range(COUNT):
        name, own_files, own_links = tree(rng, number)
        names.append(name)
        files.update(own_files)
        links.update(own_links)
    data = lay(fresh, files, links)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(tmp_path, filter='tar')
    # What the machine's own version and settings make of a unit that says nothing.
    policy = fresh.run('systemctl show -P OOMPolicy ssh.service').stdout.strip()
    found = ask(fresh, names)
    reader = UnitFiles(Host(str(tmp_path)))
    wrong = {}
    for name in names:
        causes = reader.read_settings(reader.find_unit(name))
        ours = (causes[SCORE_ADJ].value or 0, causes[OOM_POLICY].value or policy)
        if ours != found[name]:
            wrong[name] = {'ours': ours, 'systemd': found[name], 'causes': causes}
    print(f'{COUNT - len(wrong)} of {COUNT} units read as systemd does, seed {SEED}')
    assert not wrong, (SEED, wrong)
