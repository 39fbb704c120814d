# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the real Python interpreters of this machine, on PATH and among pyenv's, never pyenv's shims."""

import os
import shutil
import subprocess
from pathlib import Path


def _answers(path: str) -> str | None:
    """The version, such as 3.6, that this program answers to; None if it is no working Python."""
    code = 'import sys; print("%d.%d" % sys.version_info[:2])'
    try:
        asked = subprocess.run([path, '-c', code], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def _pyenv_root() -> Path | None:
    """Where pyenv keeps its interpreters."""
    if shutil.which('pyenv') is None:
        return None
    asked = subprocess.run(['pyenv', 'root'], capture_output=True, text=True, check=False)
    return Path(asked.stdout.strip()) if asked.returncode == 0 else None


def candidates(version: str) -> list[str]:
    """Programs that could be this version (``3.6``): pyenv's first, newest first, then those on PATH but no shims."""
    root = _pyenv_root()
    found = []
    if root is not None:
        found = [str(one) for one in root.glob('versions/%s.*/bin/python%s' % (version, version))]
        found.sort(key=lambda path: [int(digits) for digits in path.split('/')[-3].split('.') if digits.isdigit()])
        found.reverse()
    for folder in os.get_exec_path():
        path = os.path.join(folder, 'python' + version)
        if os.access(path, os.X_OK) and (root is None or Path(folder) != root / 'shims'):
            found.append(path)
    return found


def find(version: str) -> str | None:
    """The path of a Python of exactly this version, or None."""
    for path in candidates(version):
        if _answers(path) == version:
            return path
    return None
