# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much make quick leaves to make test: it deselects what is marked as thorough, and makes fewer examples."""

import pytest

is_quick = False  # set by conftest.py


def examples(count):
    """A tenth in make quick."""
    return max(2, count // 10) if is_quick else count


def first_then_thorough(cases, quick=1):
    """Cases for parametrize, of which make quick runs the first ones."""
    return [*cases[:quick], *(pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.thorough)
                              for case in cases[quick:])]
