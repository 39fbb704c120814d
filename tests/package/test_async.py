# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""That a task with async is known as one, by what this version of Ansible really runs it with."""

import sys

import collection
import pytest

LOOK = """
import sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._policy import connection
# From the module upwards, which is the parent here.
print('async is', connection._is_async(Host(), connection._ancestors(Host())[1:]))
"""


@pytest.mark.parametrize('background, reported', [(['-B', '60', '-P', '1'], True), ([], False)])
def test_a_task_with_async_is_known_as_one(command, tmp_path, background, reported):
    (tmp_path / 'look.py').write_text(LOOK)
    done = command('ansible', 'localhost', '-i', 'localhost,', '-c', 'local', '-m', 'command', *background, '-a',
                   f'{sys.executable} {tmp_path}/look.py {collection.root()}', '-e',
                   'ansible_python_interpreter={{ ansible_playbook_python }}', '-o')  # fmt: skip
    assert f'async is {reported}' in done.stdout, done.stdout
