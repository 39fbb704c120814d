# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profile that was set last is in force, key by key as its file says."""

from pathlib import Path

import pytest
import yaml

PROFILES = Path(__file__).resolve().parents[4] / 'roles' / 'oom_policy' / 'profiles'
OTHERS = {'oom_policy_services', 'oom_policy_commit_limit', 'oom_policy_min_headroom'}


@pytest.fixture(scope='module')
def profile(machine):
    """What the file of the profile says that the role said it has set."""
    return yaml.safe_load((PROFILES / f'{machine.said("changed")["profile"]}.yml').read_text(encoding='utf-8'))


def test_the_kernel_has_what_it_says(machine, profile, role_sysctls):
    wanted = role_sysctls(profile)
    assert profile and len(profile) == len(wanted) + len(OTHERS & set(profile))
    sysctl = machine.now()['sysctl']
    assert {key: sysctl[key] for key in wanted} == wanted


def test_the_limit_is_what_it_says(machine, profile):
    limit = profile.get('oom_policy_commit_limit', '')
    memory = machine.meminfo_kb()
    if limit:
        assert memory['CommitLimit'] == pytest.approx(memory['MemTotal'] * int(limit.rstrip('%')) / 100, abs=8)
    # Whatever the limit: there is room, and anybody can start a program.
    assert machine.now()['sysctl']['vm.overcommit_memory'] != 2 or memory['CommitLimit'] > memory['Committed_AS']
    assert machine.host.check_output('su tester -c whoami') == 'tester'


def test_profile_services_have_its_settings_and_no_others(machine, profile):
    for service in profile.get('oom_policy_services', []):
        # systemctl shows units only: of the templates PostgreSQL's has an instance here.
        shown = machine.show(service['name'].replace('@', '@17-main'), 'Id', 'LoadState', 'OOMScoreAdjust')
        unit = f'{service["name"]}.service' if '@' in service['name'] else shown['Id']
        dropin = machine.host.file(f'/etc/systemd/system/{unit}.d/90-oomkit.conf')
        if shown['LoadState'] == 'not-found':
            assert not dropin.exists
        else:
            assert dropin.exists and shown['OOMScoreAdjust'] == str(service['score_adj'])
