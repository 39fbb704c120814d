# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives a machine and a checkout: the images, and what was found out about this computer."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def folder() -> Path:
    """Where it lies: OOMKIT_LAB_CACHE, else below the user's cache."""
    own = os.environ.get('OOMKIT_LAB_CACHE')
    base = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    found = Path(own) if own else base / 'oomkit' / 'lab'
    found.mkdir(parents=True, exist_ok=True)
    return found


@contextlib.contextmanager
def alone(what: str) -> Iterator[None]:
    """One of several labs that start at the same time does it, the others wait and find it done."""
    with open(folder() / f'{what}.lock', 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
