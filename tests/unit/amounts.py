# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much make quick leaves to make test: it deselects what is marked as thorough, and makes fewer examples."""

import pytest

is_quick = False  # set by conftest.py


def examples(count):
    """A tenth in make quick."""
    return max(2, count // 10) if is_quick else count


def first_then_thorough(cases):
    """Cases for parametrize, of which make quick runs the first one."""
    return sparse(cases, len(cases))


def sparse(cases, step):
    """Cases for parametrize, of which make quick runs each ``step``-th one."""
    return [case if number % step == 0 else
            pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.thorough)
            for number, case in enumerate(cases)]
