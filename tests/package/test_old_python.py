# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The target code on a real Python 3.6, driven by ansible-core 2.16, the last core that reaches it."""

import json
import subprocess

import pytest
import pythons

CORE = 'ansible-core>=2.16.0,<2.17'
COMPILE = 'import sys; [compile(open(p, "rb").read(), p, "exec") for p in sys.argv[1:]]; print(len(sys.argv) - 1)'
IMPORT = 'import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(len(sys.argv) - 1)'
# fnmatch of Python up to 3.9 takes no range from z to a.
RANGES = """
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.parser import matches
patterns = ('[z-a]*', '[!z-a]*', '[^z-a]*', '[z-ab]*', '[z-a-b]')
print([''.join(key for key in 'abz-' if matches(pattern, key)) for pattern in patterns])
"""


@pytest.fixture(scope='module')
def python36():
    """The path of a Python 3.6."""
    path = pythons.find('3.6')
    if path is None:
        pytest.skip('no Python 3.6 on this machine (neither on PATH nor among those of pyenv)')
    return path


@pytest.fixture(scope='module')
def core216(checkout):
    """The bin folder of an environment with ansible-core 2.16, kept in .cache."""
    folder = checkout / '.cache' / 'core-2.16'
    controller = next((path for path in map(pythons.find, ('3.11', '3.12', '3.10')) if path), None)
    if controller is None:
        pytest.skip('ansible-core 2.16 needs Python 3.10, 3.11 or 3.12, and this machine has none of them')
    if not (folder / 'complete').exists():
        subprocess.run([controller, '-m', 'venv', '--clear', folder], check=True)
        subprocess.run([folder / 'bin' / 'python', '-m', 'pip', 'install', '-q', CORE], check=True)
        (folder / 'complete').touch()
    return folder / 'bin'


@pytest.fixture(scope='module')
def target_files(checkout):
    """Everything that runs on managed machines."""
    return sorted(path for kind in ('modules', 'module_utils') for path in (checkout / 'plugins' / kind).rglob('*.py'))


def test_compiles(command, python36, target_files):
    assert command(python36, '-c', COMPILE, *target_files).stdout.strip() == str(len(target_files))


def test_imports(command, python36, core216, target_files, checkout):
    names = ['.'.join(('ansible_collections', 'oomkit', 'linux', *path.relative_to(checkout).with_suffix('').parts))
             for path in target_files]
    ansible, = core216.parent.glob('lib/python3.*/site-packages')
    path = '%s:%s' % (checkout / '.cache' / 'collections', ansible)
    assert command(python36, '-c', IMPORT, *names, PYTHONPATH=path).stdout.strip() == str(len(names))


def test_ranges_of_globs(command, python36, checkout):
    shown = command(python36, '-c', RANGES, PYTHONPATH=checkout / '.cache' / 'collections').stdout
    assert shown.strip() == "['', 'abz-', 'abz-', 'b', 'b-']"


@pytest.mark.parametrize(('module', 'options'), [
    ('oom_facts', {'top': 3}),
    ('oom_forecast_info', {'kills': 2}),
    ('overcommit', {'mode': 'never', 'ratio': 100, 'runtime': False, 'force': True}),
    ('panic_on_oom', {'policy': 'panic', 'reboot_after': 10, 'runtime': False}),
])
def test_runs(command, python36, core216, module, options):
    shown = command(core216 / 'ansible', 'localhost', '-i', 'localhost,', '-c', 'local', '--check', '-e',
                    json.dumps({'ansible_python_interpreter': python36}), '-m', 'oomkit.linux.' + module, '-a',
                    json.dumps(options))
    assert 'localhost | ' in shown.stdout
    assert '"changed": ' in shown.stdout
