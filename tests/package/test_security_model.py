# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/trust.md names tests that exist, and a test for each guarantee."""

import ast
import re

import pytest


@pytest.fixture(scope='module')
def page(checkout):
    return (checkout / 'docs' / 'trust.md').read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def tests(checkout):
    """Of each file of tests, by the end of its path, the functions."""
    found = {}
    for path in (checkout / 'tests').rglob('test_*.py'):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        for name in (path.name, f'{path.parent.name}/{path.name}'):
            found[name] = found.get(name, set()) | names
    return found


def test_each_test_that_is_named_exists(page, tests):
    named = re.findall(r'`([\w/]+\.py)::(\w+)`', page)
    assert len(named) > 40
    assert [one for one in named if one[1] not in tests.get(one[0], ())] == []


def test_each_guarantee_names_a_test(page):
    heads = re.compile(r'\| (guarantee|he|it) ')
    rows = [line for line in page.splitlines() if line.startswith('| ') and not heads.match(line)]
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r'`[\w/]+\.py(::\w+)?`|the same \|$', row)] == []


def test_each_file_that_is_named_exists(page, checkout):
    for name in re.findall(r'`((?:tests|inits)/[\w/]+\.py)`|`(test_\w+\.py)`', page):
        assert list((checkout / 'tests').rglob((name[0] or name[1]).rpartition('/')[2])), name


def test_names_of_tests_fit_in_60_characters(checkout):
    texts = [path.read_text(encoding='utf-8') for folder in ('tests', 'extensions')
             for path in (checkout / folder).rglob('test_*.py')]
    names = [name for text in texts for name in re.findall(r'^(?:async )?def (test_\w+)', text, re.MULTILINE)]
    assert len(names) > 1000 and [name for name in names if len(name) > 60] == []
