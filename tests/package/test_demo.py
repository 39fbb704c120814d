# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo`` as a newcomer meets it: in a fresh copy of the project, with nothing cached."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import sanity

FIRST_S = 60
AGAIN_S = 10


@pytest.fixture(scope='module')
def fresh(checkout, tmp_path_factory):
    """A copy of the project's files in a folder of another name, and variables for caches that are empty."""
    folder = tmp_path_factory.mktemp('fresh')
    for name in sanity.project_files(checkout):
        target = folder / 'oomkit' / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout / name, target)
    caches = {name: str(folder / name) for name in ('XDG_CACHE_HOME', 'PIP_CACHE_DIR', 'UV_CACHE_DIR')}
    return folder / 'oomkit', dict(os.environ, **caches)


def configuration():
    """What the demo could have changed: the sysctls and the files that set them."""
    kept = {}
    for pattern in ('/proc/sys/vm/overcommit_*', '/proc/sys/vm/*_reserve_kbytes', '/proc/sys/vm/*oom*',
                    '/proc/sys/kernel/panic', '/etc/sysctl.conf', '/etc/sysctl.d/*', '/var/lib/oomkit/*'):
        kept.update((path, path.read_bytes()) for path in Path('/').glob(pattern[1:]) if os.access(path, os.R_OK))
    return kept


def demo(fresh):
    """The output of make demo and the seconds it took."""
    folder, env = fresh
    start = time.monotonic()
    done = subprocess.run(['make', 'demo'], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout, time.monotonic() - start


def test_first_and_second_time(fresh):
    before = configuration()
    assert before
    first, first_s = demo(fresh)
    again, again_s = demo(fresh)
    for _repeat in range(2):
        if again_s >= AGAIN_S:  # what else the machine is doing only ever makes it slower
            again_s = min(again_s, demo(fresh)[1])
    print('first %.1f s, again %.1f s' % (first_s, again_s))
    assert configuration() == before
    assert first_s < FIRST_S
    assert again_s < AGAIN_S
    assert 'Setting up .venv' in first
    assert 'Setting up .venv' not in again
    for text in (first, again):
        assert '\033' not in text
        for reported in ('CommitLimit', 'Committed_AS', 'Most likely victims', 'The next boot', 'would change:',
                         'Nothing was changed.'):
            assert reported in text
    assert not list(fresh[0].glob('.venv/bin/pytest')), 'the demo takes ansible-core only'
