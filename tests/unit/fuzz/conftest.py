# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the inputs for ``make fuzz``: OOMKIT_FUZZ_COUNT names a file that gets a line with the number."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import inputs


def pytest_sessionfinish():
    """Each process of pytest adds its own line."""
    path = os.environ.get('OOMKIT_FUZZ_COUNT')
    if path:
        with open(path, 'a', encoding='ascii') as stream:
            stream.write('%d\n' % inputs.made)
