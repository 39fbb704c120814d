# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the project's commands: with its own environment first on PATH, the collection laid, and a time limit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent  # of .venv: tools/run_tests.py and its like are run by its Python
GRACE_S = 60  # for a stopped test run to take down its virtual machines

sys.path.insert(0, str(CHECKOUT / 'tests'))


def environment(*path_first: Path) -> dict[str, str]:
    """The variables for a command: nobody's ansible.cfg, the collection found, folders put before PATH."""
    import collection
    folders = [str(folder) for folder in (BIN, *path_first)]
    return dict(
        os.environ,
        PATH=os.pathsep.join([*folders, os.environ.get('PATH', os.defpath)]),
        ANSIBLE_COLLECTIONS_PATH=str(collection.root()),
        ANSIBLE_CONFIG=str(CHECKOUT / 'tools' / 'ansible.cfg'),
        PYTHONDONTWRITEBYTECODE='1',
    )


def run(command: list[str], limit_s: int, cwd: Path = CHECKOUT, env: dict[str, str] | None = None) -> int:
    """Run a command with its output on ours; its exit code, or 124 once it had to be ended after ``limit_s``."""
    print('$ ' + ' '.join(map(str, command)), flush=True)
    with subprocess.Popen([str(part) for part in command], cwd=cwd, env=env or environment(), stdin=subprocess.DEVNULL,
                          start_new_session=True) as process:
        try:
            return process.wait(limit_s)
        except BaseException as exc:
            end(process)
            if not isinstance(exc, subprocess.TimeoutExpired):
                raise
            print('ended after %d s' % limit_s, flush=True)
            return 124


def end(process: subprocess.Popen) -> None:
    """Ask the command and what it started to end; insist after a while."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
