# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of module_utils import down only, and the tools that check the code find what they are to find."""

from pathlib import Path

import architecture
import functions
import pytest
import terms


def test_imports_go_down_only():
    assert architecture.untraceable() == []
    assert architecture.upward() == [] and architecture.cycles() == []
    found = {path.parent.name for path in architecture.UTILS.rglob('*.py')}
    assert found == set(architecture.PACKAGES) and len(found) <= 12
    assert len(list(architecture.imports())) > 100


@pytest.mark.parametrize('statement', [
    'from .._policy.plan import Plan',
    'from .._policy import plan',
    'if TYPE_CHECKING:\n    from .._policy.plan import Plan',
    'def late():\n    from ansible_collections.oomkit.linux.plugins.module_utils._policy import plan',
    'from ansible_collections.oomkit.linux.plugins.plugin_utils._result import Result',
])
def test_an_upward_import_is_found(tmp_path, statement):
    for name in ('module_utils/_kernel/low.py', 'module_utils/_policy/plan.py', 'plugin_utils/_result.py'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    assert architecture.upward(tmp_path) == []
    (tmp_path / 'module_utils/_kernel/low.py').write_text(statement)
    found, = architecture.upward(tmp_path)
    assert found.startswith('_kernel/low.py imports ')


@pytest.mark.parametrize('statement', [
    'from .. import _policy',
    'import ansible_collections.oomkit.linux.plugins.module_utils._policy.plan as z',
    'from ansible_collections.oomkit.linux.plugins.module_utils import _policy',
    'from .._policy import *',
    'import importlib',
    'x = __import__("y")',
    'from ..gone import X',
    'from ansible.module_utils.basic import AnsibleModule',
    'import yaml',
])
def test_an_import_that_cannot_be_traced_is_found(tmp_path, statement):
    for name in ('module_utils/_kernel/low.py', 'module_utils/_policy/plan.py'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / 'module_utils/_kernel/low.py').write_text('import os\nfrom collections.abc import Iterator')
    assert architecture.untraceable(tmp_path) == []
    (tmp_path / 'module_utils/_kernel/low.py').write_text(statement)
    found, = architecture.untraceable(tmp_path)
    assert found.startswith('_kernel/low.py:1: ')
    (tmp_path / 'module_utils/_new').mkdir()
    (tmp_path / 'module_utils/_new/a.py').touch()
    assert len(architecture.untraceable(tmp_path)) == 2


def test_a_cycle_is_found(tmp_path):
    folder = tmp_path / 'module_utils/_core'
    folder.mkdir(parents=True)
    (folder / 'a.py').write_text('from .b import X')
    (folder / 'b.py').write_text('def late():\n    from . import a')
    assert architecture.cycles(tmp_path) == ['_core/a.py imports itself', '_core/b.py imports itself']


def test_the_picture_has_each_package():
    lines = architecture.picture().splitlines()
    assert sum('-->' in line for line in lines) > 10
    assert all(any(line.startswith('    %s[' % name.strip('_')) for line in lines) for name in architecture.PACKAGES)


def test_a_large_function_is_found():
    branches = 'def f(x):\n    return [y for y in x if y and y > 1 or y < 0]\n'
    assert [one.complexity for one in functions.functions(branches)] == [5]
    nested = 'class A:\n    def f(self):\n        def g():\n            pass\n'
    assert sorted(one.name for one in functions.functions(nested)) == ['f', 'g']
    deep = 'def f():\n  class A:\n    class B:\n      @x(1,\n         2)\n      def g(self): pass\n'
    assert [one.lineno for one in functions.functions(deep) if one.name == 'g'] == [4]


def test_a_word_is_found_across_lines_and_in_names():
    text = 'def take_over():\n    """What is put\n    back."""\n'
    assert [(line, ' '.join(word.split())) for line, word, _term in terms.found_in(text)] == [
        (1, 'take_over'), (2, 'put back')]
    assert list(terms.found_in('The wishbone takes overhead.')) == []
    assert len(list(terms.found_in('KnobReader TakeOver askers run-time, leaves_swap_alone; puts it all back'))) == 6


def test_files_of_the_project_are_looked_at():
    assert {Path('README.md'), Path('plugins/modules/overcommit.py')} <= {
        path.relative_to(terms.CHECKOUT) for path in terms.files()}
