# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts of TuneD as its own code did them, of random profiles: what it wrote below /proc/sys, in order."""

import json
from pathlib import Path

import machine
import pytest
from test_tuned import _BY_TYPE, _PRIORITY, MERGER, PLUGIN, RELEASES, UNIT_PY

from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import tuned_start

RECORDED = json.loads((Path(machine.__file__).parent / 'recorded' / 'tuned_starts.json').read_text())
CONSTS = PLUGIN.replace('plugins/plugin_sysctl', 'consts')
_OLD_FOLDERS, _NEW_FOLDERS = 'LOAD_DIRECTORIES = [', 'CFG_DEF_PROFILE_DIRS = ['
_SINCE_2_26 = (_BY_TYPE + _PRIORITY, '_priority', _NEW_FOLDERS)
# The lines that differ between the releases, of plugin_sysctl.py, merger.py, unit.py and consts.py.
PROGRAMS = {
    '2.20': (RELEASES['2.20'], 'class Merger', 'class Unit', _OLD_FOLDERS),
    '2.23': (RELEASES['2.25'], 'class Merger', '_priority', _NEW_FOLDERS),
    '2.25': (RELEASES['2.25'], 'class Merger', '_priority', _NEW_FOLDERS),
    '2.26': (RELEASES['2.25'],) + _SINCE_2_26,
    '2.27': (RELEASES['2.27'],) + _SINCE_2_26,
    '2.28': (RELEASES['2.28'],) + _SINCE_2_26,
}


def replay(start, sysctls):
    """What is written: TuneD compares what only raises or lowers with what the sysctl holds."""
    held, written = dict(sysctls), []
    for write in start.writes:
        current = int(held[write.key]) if held[write.key].isdigit() else None
        text = write.value if write.is_reapplied else tuned_start.parse_assignment(write.value, current)
        if text is not None:
            written.append([write.key, text])
            held[write.key] = text.split('\n')[0].strip()
    return written


@pytest.mark.parametrize('number', range(len(RECORDED['rows'])))
def test_a_start_is_as_recorded(tmp_path, number):
    release, sysctls, files, writes = RECORDED['rows'][number]
    box = machine.Machine(tmp_path, defaults=True)
    for path, text in zip((PLUGIN, MERGER, UNIT_PY, CONSTS), PROGRAMS[release], strict=True):
        box.put(path, text)
    for path, text in files.items():
        box.put('/' + path, text.encode('utf-8', 'surrogateescape'))
    box.put('/proc/cpuinfo', RECORDED['cpuinfo'])
    for name, text in zip(('ostype', 'hostname', 'osrelease', 'version', 'arch'), RECORDED['uname'], strict=True):
        box.put('/proc/sys/kernel/' + name, text + '\n')
    denied = []
    start, = tuned_start.plan_starts(box, denied, sorted(sysctls))
    assert replay(start, sysctls) == writes and denied == []
