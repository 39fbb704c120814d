# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the metadata promises."""

import json

import pytest
import yaml

VALUES = {'overcommit': {'mode': 'always'}, 'panic_on_oom': {'policy': 'kill', 'kill_allocating_task': True},
          'oom_policy': {'overcommit': {'mode': 'always'}},
          'oom_score_adj': {'name': 'no-such-service', 'score_adj': 1, 'missing': 'ignore'}}
SHARED_OPTIONS = {'state', 'runtime', 'persistent', 'conflicts', 'force', 'sysctl_file'}


@pytest.fixture(scope='module')
def group(checkout):
    """The members of the action group."""
    return yaml.safe_load((checkout / 'meta' / 'runtime.yml').read_text())['action_groups']['oom']


def test_group_holds_the_modules_that_change_things(group, module_names):
    assert sorted(group) == [name for name in module_names if not name.endswith(('_facts', '_info', '_report'))]


def test_every_member_takes_the_shared_options(group, command):
    # A group default that one member lacks makes that member fail.
    names = ['oomkit.linux.' + name for name in group]
    documents = json.loads(command('ansible-doc', '-t', 'module', '--json', *names).stdout)
    for name in names:
        assert set(documents[name]['doc']['options']) >= SHARED_OPTIONS


def test_group_defaults_reach_every_member(group, command, tmp_path):
    defaults = {'runtime': False, 'state': 'present', 'persistent': True, 'conflicts': 'warn', 'force': True,
                'sysctl_file': '/etc/sysctl.d/98-group-default.conf'}
    tasks = [{'oomkit.linux.' + name: VALUES[name], 'check_mode': True, 'diff': True} for name in group]
    play = [{'hosts': 'localhost', 'gather_facts': False, 'tasks': tasks,
             'module_defaults': {'group/oomkit.linux.oom': defaults}}]
    (tmp_path / 'play.yml').write_text(json.dumps(play))
    shown = command('ansible-playbook', '-i', 'localhost,', '-c', 'local', '-e',
                    'ansible_python_interpreter={{ ansible_playbook_python }}', tmp_path / 'play.yml').stdout
    assert 'ok=%d ' % len(group) in shown and 'failed=0' in shown
    assert shown.count('+++ after: /etc/sysctl.d/98-group-default.conf') == 3  # of those that set sysctls


def test_a_result_holds_a_diff_in_diff_mode_only(group, command, tmp_path):
    options = {'runtime': False, 'force': True, 'conflicts': 'warn'}
    tasks = []
    for name in group:
        for mode in (False, True):
            tasks += [{'oomkit.linux.' + name: dict(options, **VALUES[name]), 'check_mode': True, 'diff': mode,
                       'register': 'result'},
                      {'ansible.builtin.assert': {'that': "('diff' in result) is " + str(mode).lower()}}]
    (tmp_path / 'play.yml').write_text(json.dumps([{'hosts': 'localhost', 'gather_facts': False, 'tasks': tasks}]))
    shown = command('ansible-playbook', '-i', 'localhost,', '-c', 'local', '-e',
                    'ansible_python_interpreter={{ ansible_playbook_python }}', tmp_path / 'play.yml').stdout
    assert 'ok=%d ' % len(tasks) in shown and 'failed=0' in shown


def test_nothing_is_waived(checkout):
    assert not list((checkout / 'tests').glob('sanity/ignore-*.txt'))
    assert not (checkout / '.ansible-lint-ignore').exists()
    lint = yaml.safe_load((checkout / '.ansible-lint').read_text())
    assert not {'skip_list', 'warn_list', 'mock_modules', 'mock_roles'} & set(lint)


@pytest.mark.parametrize('schema, pattern', [
    ('vendor.github-workflows', 'workflows/*.yml'),
    ('vendor.github-issue-forms', 'ISSUE_TEMPLATE/[!c]*.yml'),
    ('vendor.github-issue-config', 'ISSUE_TEMPLATE/config.yml'),
])
def test_what_the_code_host_reads_is_valid(command, checkout, schema, pattern):
    files = sorted((checkout / '.github').glob(pattern))
    assert files
    command('check-jsonschema', '--builtin-schema', schema, *files)


def test_the_ci_calls_targets_that_exist(checkout):
    jobs = yaml.safe_load((checkout / '.github' / 'workflows' / 'ci.yml').read_text())['jobs']
    runs = [step['run'] for job in jobs.values() for step in job['steps'] if 'run' in step]
    called = {word for run in runs for word in run.split()[run.split().index('make') + 1:] if word.isidentifier()}
    called |= {target for job in jobs.values()
               for target in job.get('strategy', {}).get('matrix', {}).get('target', [])}
    makefile = (checkout / 'Makefile').read_text()
    assert len(called) > 8
    assert not [target for target in called if '\n%s: ## ' % target not in makefile]
