# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of the demo, from facts of machines that this one is not."""

import copy
import json

import pytest

SEEN = {
    'overcommit': {'mode': 2, 'mode_name': 'never', 'ratio': 0, 'kbytes': 4000000, 'admin_reserve_kbytes': 8192,
                   'user_reserve_kbytes': 131072},
    'commit': {'limit_kb': 6097148, 'committed_kb': 5487433, 'headroom_kb': 470451, 'used_percent': 90.0,
               'enforced': True},
    'memory': {'total_kb': 4029312, 'available_kb': 900000, 'swap_total_kb': 2097148, 'swap_free_kb': 2000000,
               'hugetlb_kb': 0},
    'panic': {'panic_on_oom': 2, 'policy': 'panic_always', 'reboot_after_s': 0,
              'kill_allocating_task': False},
    'candidates': [{'rank': 1, 'pid': 4194303, 'name': r'\n\x1b[31m-hostile', 'unit': 'postgresql@16-main.service',
                    'user': 'postgres', 'oom_score': 1300, 'oom_score_adj': -900, 'rss_kb': 812345, 'swap_kb': None}],
    'unkillable': [],
    'kills': {'total': 3, 'recent': [{'when': '2026-11-23T01:00:00Z', 'pid': 77, 'name': 'stress', 'cgroup': '/x',
                                      'constraint': 'CONSTRAINT_MEMCG', 'oom_score_adj': 0, 'rss_kb': 900000}]},
    'pressure': {'some': {'avg10': 0.0, 'avg60': 12.5, 'avg300': 0.0, 'total': 1}, 'full': None},
    'boot': {'vm.overcommit_memory': {'value': 1, 'file': '/etc/sysctl.d/50-x.conf', 'line': 3}},
    'drift': [{'key': 'vm.overcommit_memory', 'runtime': 2, 'boot': 1, 'file': '/etc/sysctl.d/50-x.conf'},
              {'key': 'vm.overcommit_ratio', 'runtime': 0, 'boot': 50, 'file': None}],
    'oom_daemons': [{'name': 'earlyoom', 'pid': 5}],
    'environment': {'container': None, 'writable': True, 'pid_namespace': 'init', 'cgroup': 'v2', 'init': 'systemd'},
    'warnings': ['kills: the kernel log cannot be read'],
}
CHANGES = {'changed_keys': ['vm.overcommit_memory'], 'diff': [{
    'before_header': 'runtime', 'after_header': 'runtime', 'before': 'vm.overcommit_memory = 0\n',
    'after': 'vm.overcommit_memory = 2\n'}]}
REFUSED = {'msg': 'Refused, because programs could no longer start. Enough would be ratio: 2.', 'changed': False}


def unseen():
    """Facts of a machine that shows nothing: all that can be null is null."""
    facts = copy.deepcopy(SEEN)
    for key in facts:
        facts[key] = dict.fromkeys(facts[key]) if key in ('overcommit', 'panic') else None
    return dict(facts, warnings=['memory: /proc/meminfo is not there'])


@pytest.fixture(scope='module')
def reports(command, checkout, tmp_path_factory):
    """Both reports, as text, rendered in one run of Ansible."""
    folder = tmp_path_factory.mktemp('reports')
    policies = {'demo_overcommit': {'mode': 'never', 'ratio': 100},
                'demo_panic': {'policy': 'panic', 'reboot_after': 10}}
    cases = {'seen': {'oom': SEEN, 'demo_runtime': True, 'demo_overcommit_plan': CHANGES, 'demo_panic_plan': REFUSED},
             'unseen': {'oom': unseen(), 'demo_runtime': False, 'demo_overcommit_plan': dict(CHANGES, changed_keys=[]),
                        'demo_panic_plan': dict(CHANGES, warnings=['look out'])}}
    template = str(checkout / 'playbooks' / 'templates' / 'demo.txt.j2')
    tasks = [{'ansible.builtin.template': {'src': template, 'dest': str(folder / name)}, 'vars': dict(policies, **case)}
             for name, case in cases.items()]
    (folder / 'play.yml').write_text(json.dumps([{'hosts': 'localhost', 'gather_facts': False, 'tasks': tasks}]))
    command('ansible-playbook', '-i', 'localhost,', '-c', 'local', '-e',
            'ansible_python_interpreter={{ ansible_playbook_python }}', folder / 'play.yml')
    return {name: (folder / name).read_text() for name in cases}


@pytest.mark.parametrize('reported', [
    'RAM                3.8 GiB', 'Swap               2.0 GiB', 'enforced\n', '] 90.0 %', 'limit set in kB: 4000000',
    'panics, even when only one container', 'hangs for ever', 'CONSTRAINT_MEMCG', '12.5 %', 'earlyoom',
    r' 4194303 \n\x1b[31m-hos~', 'postgresql@16-main.service', '2 now, then 1 (/etc/sysctl.d/50-x.conf)',
    '0 now, then 50 (the default)', '    - vm.overcommit_memory = 0\n    + vm.overcommit_memory = 2\n',
    '  ! Refused, because', '- kills: the kernel log'])
def test_reports(reports, reported):
    assert reported in reports['seen']


@pytest.mark.parametrize('reported', [
    'RAM                unknown', 'CommitLimit        unknown', 'Kills so far       unknown', 'none can be seen',
    'Container          unknown', 'runtime: false', 'Nothing: this machine is set like that', 'Note: look out'])
def test_reports_what_it_cannot_see(reports, reported):
    assert reported in reports['unseen']


def test_fits_the_terminal(reports):
    for text in reports.values():
        assert max(map(len, text.splitlines())) <= 100
        assert 'None' not in text
