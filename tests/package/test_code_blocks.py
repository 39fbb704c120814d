# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code block of the documentation is covered by a test; those that only read are run here as they stand."""

import ast

import code_blocks
import pytest
import yaml

INVENTORY = """\
[databases]
db1 ansible_connection=local ansible_become=false ansible_python_interpreter="{{ ansible_playbook_python }}"
[web:children]
databases
"""


def test_every_block_is_covered(checkout):
    coverage = code_blocks.coverage()
    listed = ['%-42s %-8s %s' % (block.place, block.language, test) for block, test in coverage.items()]
    report = checkout / '.cache' / 'results' / 'code-blocks.txt'
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text('\n'.join(listed) + '\n')
    assert [block.place for block, test in coverage.items() if not test] == []
    assert len(coverage) > 80


def test_every_test_that_is_named_exists(checkout):
    for test in set(code_blocks.coverage().values()):
        path, _colons, function = test.partition('::')
        if path.startswith('shown: '):
            continue
        assert (checkout / path).is_file(), test
        if function:
            tree = ast.parse((checkout / path).read_text())
            assert function in [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)], test


def test_every_exception_is_a_block():
    found = {(block.file, name) for block in code_blocks.blocks()
             for name in (code_blocks.start(block), '*' + block.language)}
    assert set(code_blocks.exceptions()) <= found


def test_a_block_without_a_test_is_noticed():
    block = code_blocks.Block('README.md', 1, 'console', '$ rm -rf /\n')
    assert code_blocks.runs_in(block) == ''
    assert code_blocks.runs_in(code_blocks.Block('README.md', 1, 'yaml', 'a: 1\n')) == ''
    assert code_blocks.runs_in(code_blocks.Block('x', 1, 'console', '$ ansible all -m ping\n')) == code_blocks.LAB
    for command in ('ansible all -m oomkit.linux.oom_facts -a top=3', 'ansible-playbook oomkit.linux.audit'):
        assert code_blocks.runs_in(code_blocks.Block('x', 1, 'console', '$ %s\n' % command)) == code_blocks.HERE


@pytest.mark.parametrize('block', code_blocks.run_in(code_blocks.HERE, 'console'), ids=lambda block: block.place)
def test_commands_that_only_read(block, command, tmp_path):
    (tmp_path / 'inventory').write_text(INVENTORY)
    (tmp_path / '500-hosts.ini').write_text(INVENTORY)
    variables, commands = code_blocks.environment_and_commands(block)
    variables.setdefault('ANSIBLE_INVENTORY', str(tmp_path / 'inventory'))
    for words in commands:
        done = command(*words, cwd=tmp_path, **variables)
        reported = done.stdout.lower()
        assert 'success' in reported or 'failed=0' in reported or '1 host: 1 ok' in reported, done.stdout + done.stderr


def test_the_requirements_file_names_this_collection(checkout):
    block, = [one for one in code_blocks.blocks() if code_blocks.start(one) == 'collections:']
    wanted, = yaml.safe_load(block.text)['collections']
    galaxy = yaml.safe_load((checkout / 'galaxy.yml').read_text())
    assert wanted['name'] == '%(namespace)s.%(name)s' % galaxy and wanted['version'] == '>=' + galaxy['version']
