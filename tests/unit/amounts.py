# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much make quick leaves to make test: tests marked as thorough, most cases of a test with many, most examples."""

FEW = 3
is_quick = False  # set by conftest.py


def examples(count):
    """A tenth in make quick."""
    return max(2, count // 10) if is_quick else count


def leave_few(items):
    """Of each test at most FEW cases, spread over all of them; in their order."""
    by_test = {}
    for item in items:
        by_test.setdefault(item.nodeid.partition('[')[0], []).append(item)
    kept = {id(cases[place * len(cases) // FEW]) for cases in by_test.values() for place in range(FEW)}
    return [item for item in items if id(item) in kept]
