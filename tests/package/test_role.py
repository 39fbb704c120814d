# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role oom_policy and the playbooks, as far as they can be tried without changing the machine."""

import json
import re
import subprocess
import sys
from pathlib import Path

import hostile
import pytest
import task_log
import yaml

from ansible_collections.oomkit.linux.plugins.module_utils._module.options import GROUP_OPTIONS
from ansible_collections.oomkit.linux.plugins.module_utils._module.policy import OPTIONS
from ansible_collections.oomkit.linux.plugins.plugin_utils._profile import NAMES

CHECKOUT = Path(__file__).parents[2]
ROLE = 'roles/oom_policy'
PROFILES = ('database', 'cache', 'kubernetes_node', 'java', 'desktop')


@pytest.fixture(scope='module')
def options(checkout):
    """The options of the argument spec."""
    return load(checkout, 'meta/argument_specs.yml')['argument_specs']['main']['options']


def load(checkout, path):
    return yaml.safe_load((checkout / ROLE / path).read_text())


ALL = ['overcommit', 'panic', 'services']
SHOW = {'ansible.builtin.debug': {'msg': {'result': '{{ oom_policy_result }}', 'facts': '{{ ansible_facts.oom }}'}}}


@pytest.fixture
def play(command, tmp_path):
    """Plays the role on this machine in check mode: the tasks that ran, and what was printed."""

    def run(*inclusions, expect=0, show=None, before=None, interpreter=sys.executable, **variables):
        role = {'name': 'oomkit.linux.oom_policy', 'public': True}
        tasks = [*([before] if before else []),
                 *({'ansible.builtin.include_role': role, 'vars': desired, 'tags': 'always'} for desired in inclusions),
                 show or SHOW]
        book = [{'hosts': 'all', 'gather_facts': False, 'connection': 'local', 'tasks': tasks}]
        (tmp_path / 'play.yml').write_text(yaml.safe_dump(book))
        python = json.dumps({'ansible_python_interpreter': str(interpreter)})
        log = tmp_path / 'tasks.log'
        done = command('ansible-playbook', '-i', 'localhost,', '--check', tmp_path / 'play.yml', '-e', python,
                       check=False, **task_log.variables(log), **variables)  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return task_log.read(log), done.stdout + done.stderr

    return run


def test_arguments_defaults_and_documentation_agree(checkout, options):
    defaults = load(checkout, 'defaults/main.yml')
    documented = re.findall(r'^\| `(oom_policy_\w+)` \|', (checkout / 'docs/oom_policy.md').read_text(), re.MULTILINE)
    assert sorted(options) == sorted(defaults) == sorted(documented)
    for name, option in options.items():
        assert option.get('default') == defaults[name], name
        assert name.startswith('oom_policy_') and option['description']


def list_options(task):
    """(path of the module's option, variable of the role) of the one task."""
    for name, value in task.items():
        if isinstance(value, dict):
            yield from (((name, *path), variable) for path, variable in list_options(value))
        elif found := set(re.findall(r'oom_policy_\w+', str(value))):
            variable, = found
            yield (name,), variable


def test_role_and_module_agree(checkout, options):
    """Each variable is passed to one option, of the same type and with the same choices."""
    task, = load(checkout, 'tasks/main.yml')
    passed = dict(list_options(task['oomkit.linux.oom_policy']))
    assert sorted(passed.values()) == sorted(options)
    module = {'options': {**GROUP_OPTIONS, **OPTIONS}}
    for path, variable in passed.items():
        spec = module
        for name in path:
            spec = spec['options'][name]
        assert_same(options[variable], spec, variable)
    settings = {(name,) for name in module['options']} | {
        (part, name) for part in ('overcommit', 'panic') for name in OPTIONS[part]['options']}
    assert settings - set(passed) == {('overcommit',), ('panic',), ('facts',), ('confirm_changes',)}


def assert_same(variable, option, name):
    for key in ('type', 'elements', 'choices', 'required'):
        assert variable.get(key) == option.get(key), (name, key)
    assert sorted(variable.get('options', {})) == sorted(option.get('options', {})), name
    for item, spec in option.get('options', {}).items():
        assert_same(variable['options'][item], spec, f'{name}: {item}')
    if option.get('default') is not None and variable['type'] != 'path':  # null leaves the path to the module
        assert variable['default'] == option['default'], name


@pytest.mark.parametrize('name', PROFILES)
def test_every_profile_is_data_and_says_why(checkout, options, name):
    path = checkout / ROLE / 'profiles' / f'{name}.yml'
    profile = yaml.safe_load(path.read_text())
    assert profile and set(profile) <= set(options), set(profile) - set(options)
    above = None
    for line in path.read_text().splitlines():
        if re.match(r'oom_policy_\w+:', line):
            assert above, f'{name}: no comment above {line}'
        else:
            above = line.startswith('#') or (above and bool(line.strip()))
    assert 'Source' in path.read_text()
    for service in profile.get('oom_policy_services', []):
        assert service['missing'] == 'ignore'
        assert not (service['name'].startswith(('ssh', 'user@', 'gdm')) and service.get('score_adj', 0) < 0)


def test_the_profiles_are_those_of_the_argument_spec(checkout, options):
    files = sorted(path.stem for path in (checkout / ROLE / 'profiles').glob('*.yml'))
    assert sorted(options['oom_policy_profile']['choices']) == sorted([*files, 'none']) and files == sorted(PROFILES)
    assert sorted(NAMES) == files


def test_all_variables_of_the_role_are_refused_as_facts(checkout):
    """tasks/facts.yml and the action go by how their names begin."""
    names = hostile.set_by_role(checkout)
    assert len(names) > 25
    assert [name for name in names if not re.match('(__)?oom_policy_', name)] == []


@pytest.mark.parametrize('fact', ['oom_policy_panic', 'oom_policy_result', '__oom_policy_x', 'inventory_hostname'])
def test_facts_named_like_role_variables_are_refused(play, fact):
    given = {'ansible.builtin.set_fact': {fact: 'localhost', 'cacheable': True}}
    assert 'The facts of this host hold %s,' % fact in play({}, before=given, expect=2)[1]


def test_without_variables_it_reports_and_changes_nothing(play):
    tasks, said = play({})
    assert task_log.on_the_host(tasks) == ['oom_policy'] and 'this policy sets nothing' in said
    message = task_log.last_message(tasks)
    result = message['result']
    assert not result['changed'] and not result['applied'] and result['services'] == []
    assert message['facts']['overcommit'] and message['facts']['candidates']


def test_misspelled_variables_are_refused(play):
    tasks, said = play({'oom_policy_panik': 'kill'}, expect=2)
    assert 'oom_policy_panik: the role has no such variable, it has oom_policy_panic.' in said
    assert 'oomkit.linux.oom_policy' not in [task['action'] for task in tasks if task['status'] == 'ok']


def test_other_unknown_variables_are_a_warning(play):
    """None are what a playbook registered, and names that begin with two underscores."""
    before = {'ansible.builtin.ping': {}, 'register': 'oom_policy_results'}
    own = {'oom_policy_of_my_team': 1, '__oom_policy_panik': 1, 'oom_team': 1}
    said = ' '.join(play(own, {'oom_policy_panic': 'kill'}, before=before)[1].split())
    assert re.findall(r'(\w+): the role has no such variable', said) == ['oom_policy_of_my_team']


@pytest.mark.parametrize('tags, parts, keys', [
    ('oom_policy_panic', ALL, {'vm.panic_on_oom'}),
    ('oom_policy', ALL, {'vm.overcommit_memory', 'vm.panic_on_oom'}),
    ('oom_policy_panic,all', ALL, {'vm.overcommit_memory', 'vm.panic_on_oom'}),
    ('all', ['overcommit', 'services'], {'vm.overcommit_memory'}),
    ('oom_policy_panic', ['overcommit'], set()),
])  # fmt: skip
def test_tags_and_a_variable_select_parts(play, tags, parts, keys):
    desired = {'oom_policy_overcommit_mode': 'always', 'oom_policy_panic': 'panic', 'oom_policy_force': True,
               'oom_policy_parts': parts}
    tasks, _said = play(desired, ANSIBLE_RUN_TAGS=tags, show=dict(SHOW, tags='always'))
    found = task_log.last_message(tasks)['result']['after']['runtime']
    assert {'vm.overcommit_memory', 'vm.panic_on_oom'}.intersection(found) == keys


def test_nothing_leaks_from_one_inclusion_to_the_next(play):
    """The second one requests nothing, so that nothing may be left of the first one's request and profile."""
    desired = {'oom_policy_profile': 'java', 'oom_policy_reboot_after': 5}
    last = task_log.last_message(play(desired, {})[0])['result']
    assert last['changed_keys'] == [] and not last['applied']


def test_text_from_the_command_line_is_converted(play):
    desired = {'oom_policy_runtime': 'false', 'oom_policy_services_exclusive': 'false', 'oom_policy_panic': 'panic',
               'oom_policy_reboot_after': '9', 'oom_policy_forecast': '0', 'oom_policy_parts': 'panic,services'}
    result = task_log.last_message(play(desired)[0])['result']
    assert result['changed_keys'] == ['vm.panic_on_oom', 'kernel.panic'] and result['forecast_after'] is None


def test_null_and_omit_are_not_given_and_0_and_false_are(play):
    desired = {'oom_policy_reboot_after': 0, 'oom_policy_dump_tasks': False, 'oom_policy_kill_allocating_task': None,
               'oom_policy_panic': '{{ omit }}', 'oom_policy_forecast': '{{ omit }}', 'oom_policy_runtime': False}
    result = task_log.last_message(play(desired)[0])['result']
    assert result['changed_keys'] == ['kernel.panic', 'vm.oom_dump_tasks']


@pytest.mark.parametrize('tags', ['all', 'oom_policy_panic'])
def test_protection_alone_changes_nothing(play, tags):
    services = sorted(path.name for folder in ('/lib/systemd/system', '/etc/init.d') for path in Path(folder).glob('*'))
    existing = next(name for name in services if re.fullmatch(r'[a-z-]+(\.service)?', name))
    tasks, _text = play({'oom_policy_protect': [existing]}, ANSIBLE_RUN_TAGS=tags, show=dict(SHOW, tags='always'))
    result = task_log.last_message(tasks)['result']
    assert not result['changed'] and result['forecast_after']['outcome'] in ('kill', 'panic')


def test_unknown_protected_service_stops_role_before_change(play):
    desired = {'oom_policy_protect': ['no-such-service'], 'oom_policy_overcommit_mode': 'always'}
    assert 'no such service on this machine' in play(desired, expect=2)[1]


READ_ONLY = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec"
REQUEST = {'oom_policy_overcommit_mode': 'always', 'oom_policy_services': [{'name': 'cron', 'score_adj': 5}]}


@pytest.fixture
def python_under(tmp_path):
    """Makes an interpreter that runs the modules in namespaces of their own."""

    def make(script, *options):
        words = ['unshare', '--mount', *options, 'sh', '-c']
        if subprocess.run([*words, script + ' true'], check=False, capture_output=True).returncode:
            pytest.skip('only root with CAP_SYS_ADMIN can make mounts and PID namespaces')
        path = tmp_path / 'python'
        path.write_text(f'#!/bin/sh\nexec {" ".join(words)} \'{script} "$@"\' - {sys.executable} "$@"\n')
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize('desired', [REQUEST, {'oom_policy_panic': 'panic'}])
def test_a_host_whose_sysctls_cannot_be_written_fails_the_role(play, python_under, desired):
    """It is no container: somebody has to allow it."""
    tasks, said = play(desired, expect=2, interpreter=python_under(READ_ONLY))
    failed = [task for task in tasks if task['status'] == 'failed']
    assert [task['result']['refusal'] for task in failed] == ['not_writable']
    assert 'EROFS' in said and 'runtime: false' in said


def test_where_nothing_is_to_be_written_the_role_passes(play, python_under):
    """Nothing was ever set on this host, so nothing is reverted."""
    tasks, _said = play({'oom_policy_state': 'absent'}, interpreter=python_under(READ_ONLY))
    result = task_log.last_message(tasks)['result']
    assert result['applied'] and not result['changed'] and not result['managed']


@pytest.mark.parametrize('script', ['exec', READ_ONLY], ids=['', 'read-only'])
def test_in_a_container_the_role_does_nothing_and_says_so(play, python_under, script):
    python = python_under(script + ' env container=lxc', '--pid', '--fork', '--mount-proc')
    tasks, _said = play(REQUEST, interpreter=python)
    result = task_log.last_message(tasks)['result']
    assert not result['applied'] and '(lxc)' in result['reason'] and not result['changed']


@pytest.mark.parametrize('desired, message', [
    ({'oom_policy_state': 'gone'}, 'oom_policy_state'),
    ({'oom_policy_profile': 'nope'}, 'oom_policy_profile'),
    ({'oom_policy_services': [{'score_adj': 5}]}, 'name'),
    ({'oom_policy_runtime': 'perhaps'}, 'oom_policy_runtime'),
    ({'oom_policy_overcommit_mode': True, 'oom_policy_runtime': False}, 'mode: '),
    ({'oom_policy_overcommit_ratio': 50, 'oom_policy_commit_limit': '1G'}, 'mutually exclusive'),
    ({'oom_policy_overcommit_mode': 'always', 'oom_policy_panic': False}, 'policy: '),  # YAML's off
    ({'oom_policy_services': ['x'], 'oom_policy_state': 'absent'}, 'oom_policy_services'),
])  # fmt: skip
def test_bad_variables_end_the_play(play, desired, message):
    assert message in play(desired, expect=2)[1]


@pytest.mark.parametrize('name', ['audit', 'apply', 'rollback', 'demo'])
def test_playbooks_are_found_by_their_full_name(command, name):
    command('ansible-playbook', '-i', 'localhost,', '-e', 'demo_hosts=all' if name == 'demo' else 'oom_hosts=all',
            '--syntax-check', f'oomkit.linux.{name}')


CHANGING = pytest.mark.parametrize('name', ['apply', 'rollback'])


@pytest.fixture
def changing(command, tmp_path):
    """Runs a playbook that changes hosts, in check mode on two of them: what it printed and the tasks that ran."""

    def run(name, *words, inventory='a\nb\n', expect=0, **variables):
        (tmp_path / 'hosts').write_text(inventory)
        log = tmp_path / 'tasks.log'
        done = command('ansible-playbook', '-i', tmp_path / 'hosts', '-c', 'local', '--check', '-e',
                       json.dumps({'ansible_python_interpreter': sys.executable}), *words, f'oomkit.linux.{name}',
                       check=False, **task_log.variables(log), **variables)  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr, task_log.read(log)

    return run


@CHANGING
@pytest.mark.parametrize('words, message', [
    ([], 'oom_hosts is missing, and the inventory has 2 host(s). Name the hosts, such as -e oom_hosts=databases, or'),
    (['-e', 'oom_hosts='], 'oom_hosts is missing'),
    (['-e', 'oom_host=a'], 'oom_host: not a variable of this playbook, which takes oom_hosts, oom_serial and'),
    (['-e', 'oom_hosts=a oom_seriel=1 oom_policy_profil=java'], 'oom_policy_profil, oom_seriel: not a variable of'),
    (['-e', 'oom_hosts=a oom_policy_result=x'], 'oom_policy_result: not a variable'),
])  # fmt: skip
def test_hosts_must_be_named_and_variables_known(changing, name, words, message):
    said, tasks = changing(name, *words, expect=4)
    assert message in said and re.search(r'This playbook contacted no host. \[OOMK-30(09|10)\]', said)
    assert tasks == [] and 'PLAY [' not in said


def test_an_importing_playbook_names_the_hosts(changing, command, tmp_path):
    """Its variables are checked as well."""
    plays = [{'ansible.builtin.import_playbook': 'oomkit.linux.apply', 'vars': {'oom_hosts': 'all', 'oom_serail': 1}}]
    (tmp_path / 'play.yml').write_text(yaml.safe_dump(plays))
    done = command('ansible-playbook', '-i', 'a,', '-c', 'local', tmp_path / 'play.yml', check=False)
    assert done.returncode == 4 and 'oom_serail: not a variable' in done.stdout + done.stderr


def test_without_an_inventory_the_syntax_can_be_checked(command):
    """As ansible-lint does. No host is in it, so none can be missed."""
    command('ansible-playbook', '--syntax-check', 'oomkit.linux.apply')


def test_variables_of_the_inventory_and_facts_may_be_any(changing, tmp_path):
    """But hosts are named on the command line only."""
    inventory = 'a oom_host=b\n[all:vars]\noom_hosts=a\noom_team=dba\n'
    assert 'oom_hosts is missing' in changing('apply', inventory=inventory, expect=4)[0]
    _said, tasks = changing('apply', '-e', 'oom_hosts=a', '-e', 'oom_policy_forecast=0', inventory=inventory)
    assert task_log.on_the_host(tasks) == ['oom_policy']


@CHANGING
def test_batches_are_one_host_a_quarter_and_the_rest(changing, name):
    """With these tags no module runs."""
    hosts = ''.join(f'h{number}\n' for number in range(8))
    said, tasks = changing(name, '-e', 'oom_hosts=all', '--tags', 'none', inventory=hosts)
    assert task_log.on_the_host(tasks) == []
    batches = [re.findall(r'^ok: \[(h\d)\] => \{', batch, re.MULTILINE) for batch in said.split('PLAY [')[1:]]
    assert [len(batch) for batch in batches] == [1, 2, 5], said


def text_of(command, folder, result, *check):
    """What apply and rollback print for this result of the role."""
    task = {'ansible.builtin.import_tasks': str(CHECKOUT / 'playbooks/tasks/show.yml')}
    nothing = {'runtime': {}, 'boot': {}}
    result = {'applied': True, 'reason': None, 'managed': True, 'changed': False, 'before': nothing, 'after': nothing,
              'changed_keys': [], 'confirmation': {'state': 'not_needed'}, 'conflicts': [], 'services': [],
              'restart_needed': [], 'orphans': [], 'forecast_before': None, 'forecast_after': None, **result}
    variables = {'oom_policy_result': result}
    (folder / 'play.yml').write_text(json.dumps([{'hosts': 'localhost', 'gather_facts': False, 'vars': variables,
                                                  'tasks': [task]}]))
    (folder / 'templates').symlink_to(CHECKOUT / 'playbooks/templates')
    log = folder / 'tasks.log'
    command('ansible-playbook', '-i', 'localhost,', '-c', 'local', *check, folder / 'play.yml',
            **task_log.variables(log))
    return task_log.last_message(task_log.read(log))


OVERCOMMIT = 'vm.overcommit_memory'
CHANGED = {
    'changed': True,
    'before': {'runtime': {OVERCOMMIT: 0, 'kernel.panic': None, 'vm.x': 1},
               'boot': {OVERCOMMIT: 0, 'kernel.panic': None, 'vm.x': 1}},
    'after': {'runtime': {OVERCOMMIT: 2, 'kernel.panic': None, 'vm.x': 1},
              'boot': {OVERCOMMIT: 2, 'kernel.panic': 10, 'vm.x': 1}}}
SERVICE = {
    'unit': 'redis.service', 'before': 0, 'after': -500, 'changed_pids': [1, 2], 'skipped_count': 1,
    'notes': ['a note'],
    'next_start_before': {'score_adj': 0, 'oom_policy': None}, 'next_start': {'score_adj': -500, 'oom_policy': 'kill'}}


def test_what_changed_is_printed_as_text(command, tmp_path):
    result = {
        **CHANGED, 'changed_keys': [OVERCOMMIT, 'kernel.panic'], 'confirmation': {'state': 'confirmed'},
        'services': [SERVICE, dict(SERVICE, unit='b.service', before=None, after=None, changed_pids=[], skipped_count=0,
                                   next_start_before=SERVICE['next_start'], notes=[])],
        'restart_needed': ['a.service', 'b.service'], 'orphans': ['/etc/x.conf'],
        'conflicts': [{'key': 'vm.x', 'wanted': 1, 'boot': 5, 'file': '/etc/a', 'line': 3},
                      {'unit': 'a.service', 'setting': 'OOMPolicy', 'wanted': 'kill', 'next_start': 'stop',
                       'file': '/etc/b', 'line': 4}],
        'forecast_before': {'summary': ['1. a', '2. b']}, 'forecast_after': {'summary': ['1. b']}}
    assert text_of(command, tmp_path, result) == [
        'changed:',
        'vm.overcommit_memory: 0 -> 2, after reboot 0 -> 2',
        'kernel.panic: ?, after reboot ? -> 10',
        'redis.service: oom_score_adj 0 -> -500, next start 0 -> -500, OOMPolicy default -> kill, '
        'processes set: 2, processes skipped: 1',
        'note: a note',
        'b.service: oom_score_adj not running, next start -500, OOMPolicy kill',
        'restart needed: a.service, b.service',
        'confirmation: confirmed over a new connection',
        'conflict: /etc/a:3 wins, vm.x = 5 instead of 1',
        'conflict: /etc/b:4 wins, a.service OOMPolicy = stop instead of kill',
        'drop-in without a unit: /etc/x.conf',
        'forecast before: 1. a', 'forecast before: 2. b', 'forecast after: 1. b']  # fmt: skip


def test_what_would_change_is_printed_in_check_mode(command, tmp_path):
    result = {**CHANGED, 'changed_keys': [OVERCOMMIT], 'confirmation': {'state': 'pending'},
              'forecast_before': {'summary': ['1. a']}, 'forecast_after': {'summary': ['1. a']}}
    assert text_of(command, tmp_path, result, '--check') == [
        'would change:', 'vm.overcommit_memory: 0 -> 2, after reboot 0 -> 2',
        'confirmation: the real run confirms the change over a new connection, or the host rolls back',
        'forecast, the same before and after: 1. a']  # fmt: skip


@pytest.mark.parametrize('result, line', [
    ({'applied': False, 'reason': 'This is a container'}, 'nothing was done: This is a container'),
    ({'managed': False}, 'nothing to roll back: no module of this collection has changed'),
    ({}, 'nothing changed'),
])  # fmt: skip
def test_why_nothing_was_done_is_printed(command, tmp_path, result, line):
    said, = text_of(command, tmp_path, result)
    assert said.startswith(line)


def test_the_audit_shows_the_host_in_a_few_lines(command):
    done = command('ansible-playbook', '-i', 'localhost,', '-c', 'local', 'oomkit.linux.audit', '-e', 'oom_top=2', '-e',
                   json.dumps({'ansible_python_interpreter': sys.executable}))  # fmt: skip
    assert 'overcommit: ' in done.stdout and 'out of memory: ' in done.stdout and '"2. ' in done.stdout
    assert 'changed=0' in done.stdout and '3. ' not in done.stdout


def audit_of(command, folder, oom):
    """The text of the audit for these facts."""
    template = str(CHECKOUT / 'playbooks/templates/audit.txt.j2')
    task = {'ansible.builtin.template': {'src': template, 'dest': str(folder / 'audit')}, 'vars': {'oom': oom}}
    (folder / 'play.yml').write_text(json.dumps([{'hosts': 'localhost', 'gather_facts': False, 'tasks': [task]}]))
    command('ansible-playbook', '-i', 'localhost,', '-c', 'local', '-e',
            'ansible_python_interpreter={{ ansible_playbook_python }}', folder / 'play.yml')  # fmt: skip
    return (folder / 'audit').read_text().splitlines()


def test_the_audit_says_what_it_could_not_read(command, tmp_path):
    keys = ('overcommit', 'commit', 'panic', 'candidates', 'kills', 'drift', 'environment',
            'competing_writers', 'oom_daemons')  # fmt: skip
    assert audit_of(command, tmp_path, {**dict.fromkeys(keys), 'warnings': ['kills: no']}) == [
        'overcommit: ?, ? of ? kB committed (? % of CommitLimit)', 'out of memory: ?, ? killed since boot',
        'note: kills: no']  # fmt: skip


def test_the_audit_of_a_host(command, tmp_path):
    oom = {
        'overcommit': {'mode_name': 'always'}, 'panic': {'policy': 'panic', 'reboot_after_s': 0},
        'commit': {'limit_kb': 100, 'committed_kb': 150, 'used_percent': 150.0, 'enforced': False},
        'candidates': [{'rank': 1, 'pid': 9, 'name': 'a(b)', 'unit': 'x.service', 'rss_kb': 5, 'oom_score_adj': 0}],
        'kills': {'total': 3}, 'environment': {'container': 'lxc'}, 'warnings': [],
        'drift': [{'key': 'vm.panic_on_oom', 'runtime': 1, 'boot': 0, 'file': None}],
        'competing_writers': [{'key': 'kernel.panic', 'value': '5', 'by': 'tuned', 'how': 'yields', 'file': '/etc/x'}],
        'oom_daemons': [{'name': 'earlyoom', 'pid': 5, 'unit': None}]}  # fmt: skip
    assert audit_of(command, tmp_path, oom) == [
        'in a container (lxc), where vm.* is the host\'s',
        'overcommit: always, 150 of 100 kB committed (150.0 % of CommitLimit, not enforced)',
        'out of memory: panic, then hangs for ever, 3 killed since boot',
        '1. a(b) (PID 9, x.service): 5 kB, oom_score_adj 0',
        'next boot: vm.panic_on_oom becomes 0 (now 1)', 'tuned yields kernel.panic = 5',
        'earlyoom runs, and kills before the kernel has to']  # fmt: skip


@pytest.mark.parametrize('name', ['apply', 'rollback'])
@pytest.mark.parametrize('trouble, status', [
    ('oom_policy_confirm_within=x', 'failed'),
    ('ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1', 'unreachable'),
])  # fmt: skip
def test_a_host_in_trouble_ends_the_roll_out(command, tmp_path, name, trouble, status):
    """Whether it fails or cannot be reached, alone in its batch or not: the next batch is not touched."""
    hosts = ['good', 'bad ' + trouble, 'never']
    (tmp_path / 'hosts').write_text('\n'.join(hosts))
    for batches in ([1], [2, 1]):
        log = tmp_path / f'{len(batches)}.log'
        variables = {'ansible_python_interpreter': sys.executable, 'oom_serial': batches, 'oom_hosts': 'all',
                     'oom_policy_overcommit_mode': 'always'}
        done = command('ansible-playbook', '-i', tmp_path / 'hosts', '-c', 'local', '--check', '-e',
                       json.dumps(variables), f'oomkit.linux.{name}', check=False,
                       **task_log.variables(log))  # fmt: skip
        assert done.returncode in (2, 4), done.stdout + done.stderr
        modules = [task['status'] for task in task_log.read(log) if task['action'].startswith('oomkit.linux.')]
        assert modules.count(status) == 1 and 'ok' in modules
        assert not re.search(r'(ok|changed|included): .*never', done.stdout), done.stdout


def test_a_host_cannot_pretend_that_it_got_to_its_end(command, tmp_path):
    """By a fact that is called as the result of the role, or as the name of another host."""
    liar = tmp_path / 'liar'
    liar.write_text("""#!/bin/sh\necho '{"ansible_facts": {"oom_policy_result": {"changed": true}}}'\n""")
    liar.chmod(0o755)
    (tmp_path / 'hosts').write_text('liar ansible_python_interpreter=%s\nnever\n' % liar)
    stop = {'ansible.builtin.import_tasks': str(CHECKOUT / 'playbooks/tasks/stop.yml')}
    (tmp_path / 'play.yml').write_text(yaml.safe_dump([{
        'hosts': 'all', 'gather_facts': False, 'serial': 1, 'connection': 'local',
        'tasks': [stop, {'ansible.builtin.ping': {}}]}]))
    done = command('ansible-playbook', '-i', tmp_path / 'hosts', tmp_path / 'play.yml', check=False)
    assert done.returncode == 2 and 'it did not get to its end on liar.' in ' '.join(done.stdout.split()), done.stdout
