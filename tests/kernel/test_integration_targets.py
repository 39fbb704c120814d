# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The targets of ansible-test, against the lab, with the part that changes the machine."""

import os
import subprocess
import sys
from pathlib import Path

import collection
import pytest
import yaml
from service_units import install

TARGETS = Path(__file__).resolve().parents[1] / 'integration' / 'targets'


@pytest.mark.long
def test_all_of_them_and_for_real(fresh, tmp_path):
    install(fresh, 'family')
    before = fresh.run('sysctl -a --pattern "^(vm|kernel.panic$)"; ls /etc/sysctl.d').stdout
    names = sorted(path.name for path in TARGETS.iterdir())
    assert {'overcommit', 'panic_on_oom', 'oom_score_adj', 'role_oom_policy'} <= set(names)
    play = {'hosts': 'all', 'gather_facts': False, 'roles': [str(TARGETS / name) for name in names],
            'vars': {'oomkit_real': True, 'oomkit_service': 'family'}}
    (tmp_path / 'play.yml').write_text(yaml.safe_dump([play]))
    (tmp_path / 'hosts').write_text(fresh.inventory() + '\n')
    (tmp_path / 'ansible.cfg').write_text('')
    env = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(collection.root()), ANSIBLE_HOME=str(tmp_path / 'home'),
               ANSIBLE_CONFIG=str(tmp_path / 'ansible.cfg'), ANSIBLE_PIPELINING='true')
    done = subprocess.run([Path(sys.executable).parent / 'ansible-playbook', '-i', 'hosts', 'play.yml'], cwd=tmp_path,
                          env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('[Read it back]') == 0 and done.stdout.count(' : Read it back]') == 2
    after = fresh.run('sysctl -a --pattern "^(vm|kernel.panic$)"; ls /etc/sysctl.d').stdout
    assert settings(after) == settings(before)


def settings(text):
    """The sysctls that the modules set, and the files."""
    return [line for line in text.splitlines() if line.startswith(('vm.overcommit', 'vm.panic', 'vm.oom', 'kernel'))
            or ' = ' not in line]
