# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the collection as a whole: what Ansible makes of it, its tarball, its documentation and its own tools."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
for folder in (CHECKOUT / 'tests', CHECKOUT / 'tools'):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

importlib.import_module('collection').lay()


@pytest.fixture(scope='session')
def checkout():
    """The folder of the project."""
    return CHECKOUT


@pytest.fixture(scope='session')
def module_names():
    """The short names of all modules."""
    names = sorted(path.stem for path in (CHECKOUT / 'plugins' / 'modules').glob('*.py'))
    assert names
    return names


@pytest.fixture(scope='session')
def command():
    """Runs a command with the project's environment, without standard input; fails with its output if it fails."""
    commands = importlib.import_module('commands')

    def run(*words, cwd=CHECKOUT, check=True, limit_s=120, **variables):
        env = dict(commands.environment(), **variables)
        done = subprocess.run([os.fspath(word) for word in words], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=limit_s, check=False)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope='session')
def tarball(command, tmp_path_factory):
    """The built tarball."""
    folder = tmp_path_factory.mktemp('build')
    command('ansible-galaxy', 'collection', 'build', '--output-path', folder)
    path, = folder.glob('*.tar.gz')
    return path


@pytest.fixture(scope='session')
def installed(command, tarball, tmp_path_factory):
    """A folder for ANSIBLE_COLLECTIONS_PATH with the tarball installed in it."""
    folder = tmp_path_factory.mktemp('installed')
    command('ansible-galaxy', 'collection', 'install', '--offline', '-p', folder, tarball,
            ANSIBLE_COLLECTIONS_PATH=str(folder))
    assert (folder / 'ansible_collections' / 'oomkit' / 'linux' / 'MANIFEST.json').is_file()
    return folder
