# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ansible-test sanity`` for a checkout in any folder, on every Python it knows and this machine has."""

import shutil
import subprocess
from pathlib import Path

import commands
import pythons
import results

NAME = Path('ansible_collections', 'oomkit', 'linux')
LIMIT_S = 900


def copied_collection() -> Path:
    """The collection where ansible-test accepts it: a copy of the checkout's files, since it looks through links."""
    if commands.CHECKOUT.parts[-3:] == NAME.parts:
        return commands.CHECKOUT
    copy = commands.CHECKOUT / '.cache' / 'sanity' / NAME
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for name in project_files(commands.CHECKOUT):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(commands.CHECKOUT / name, target, follow_symlinks=False)
    # Or ansible-test takes the checkout's own repository for the copy's, and finds the copy ignored there.
    subprocess.run(['git', 'init', '--quiet', str(copy)], check=True)
    return copy


def project_files(checkout: Path) -> list[str]:
    """Every file of the project, committed or new, that git does not ignore."""
    listed = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=checkout,
                            check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split('\0') if name and (checkout / name).is_file()]


def known_pythons(folder: Path) -> list[str]:
    """The versions of Python that the ansible-test in ``folder`` knows."""
    code = ('from ansible_test._util.target.common import constants as c\n'
            'print(*c.REMOTE_ONLY_PYTHON_VERSIONS + c.CONTROLLER_PYTHON_VERSIONS)')
    asked = subprocess.run([folder / 'python', '-c', code], capture_output=True, text=True, check=True)
    return asked.stdout.split()


def run(folder: Path = commands.BIN) -> results.Tally:
    """All sanity tests of the ansible-test in ``folder``. Pythons that are missing here are told as skips."""
    found = {version: pythons.find(version) for version in known_pythons(folder)}
    folders = [Path(path).parent for path in found.values() if path]
    commands.run([folder / 'python', commands.CHECKOUT / 'tools' / 'get_pip.py'], 120)
    content = copied_collection()
    env = commands.environment(*folders)
    env['PATH'] = '%s:%s' % (folder, env['PATH'])
    code = commands.run([folder / 'ansible-test', 'sanity', '--venv', '--color', 'no', '--junit'], LIMIT_S, content,
                        env)
    tally = results.Tally()
    for report in sorted((content / 'tests' / 'output' / 'junit').glob('ansible-test-sanity-*.xml')):
        tally.add(results.read_junit(report))
    if code and not tally.failures:
        tally.failures.append('ansible-test ended with exit code %d' % code)
    tally.skips += ['compile and import on Python %s: not found on this machine' % version
                    for version, path in found.items() if path is None]
    return tally
