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

from ansible_collections.oomkit.linux.plugins.module_utils._core import convert
from ansible_collections.oomkit.linux.plugins.module_utils._systemd import unit_names

CHECKOUT = Path(__file__).parents[2]
ROLE = 'roles/oom_policy'
PROFILES = ('database', 'cache', 'kubernetes_node', 'java', 'desktop')


@pytest.fixture(scope='module')
def options(checkout):
    """The options of the argument spec."""
    return load(checkout, 'meta/argument_specs.yml')['argument_specs']['main']['options']


def load(checkout, path):
    return yaml.safe_load((checkout / ROLE / path).read_text())


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


def test_every_option_reaches_a_module(checkout, options):
    """None is declared and then forgotten."""
    paths = [path for folder in ('tasks', 'vars') for path in (checkout / ROLE / folder).glob('*.yml')]
    text = ''.join(path.read_text() for path in paths)
    for name in options:
        assert name in text, name


@pytest.mark.parametrize('name', PROFILES)
def test_every_profile_is_data_and_says_why(checkout, options, name):
    path = checkout / ROLE / 'profiles' / f'{name}.yml'
    profile = yaml.safe_load(path.read_text())
    taken = {*load(checkout, 'vars/main.yml')['__oom_policy_all'], 'oom_policy_services'}
    assert profile and set(profile) <= taken & set(options), set(profile) - taken
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
    assert sorted(load(checkout, 'vars/main.yml')['__oom_policy_profiles']) == files


def test_all_variables_of_the_role_are_refused_as_facts(checkout):
    """tasks/facts.yml goes by how their names begin."""
    names = hostile.set_by_role(checkout)
    assert len(names) > 60
    assert [name for name in names if not re.match('(__)?oom_policy_', name)] == []


@pytest.mark.parametrize('name', ['../../../../secret', 'nope', ['java'], 'java.yml/../java', None])
def test_a_name_that_is_no_profile_is_no_path(play, name):
    """Where the profile is used, and not only where the arguments are checked."""
    show = {'ansible.builtin.debug': {'msg': '{{ __oom_policy_settings }}'},
            'vars': {'oom_policy_profile': name, 'role_path': str(CHECKOUT / ROLE)}}
    assert 'there is no such profile; take one of' in play({}, show=show, expect=2)[1]


@pytest.mark.parametrize('fact', ['oom_policy_panic', 'oom_policy_result', '__oom_policy_r_x', 'inventory_hostname'])
def test_facts_named_like_role_variables_are_refused(play, fact):
    given = {'ansible.builtin.set_fact': {fact: 'localhost', 'cacheable': True}}
    tasks, said = play({}, before=given, expect=2)
    assert 'The facts of this host hold %s,' % fact in said and task_log.on_the_host(tasks) == []


def test_without_variables_it_reports_and_changes_nothing(play):
    tasks, _text = play({})
    assert task_log.on_the_host(tasks) == ['oom_facts']
    message = task_log.last_message(tasks)
    result = message['result']
    assert not result['changed'] and result['confirmation'] == 'not_needed' and result['services'] == []
    assert message['facts']['overcommit'] and message['facts']['candidates']


def test_nothing_leaks_from_one_inclusion_to_the_next(play):
    """The second one asks for nothing, so that nothing may be left of the first one's request and profile."""
    desired = {'oom_policy_profile': 'java', 'oom_policy_reboot_after': 5}
    last = task_log.last_message(play(desired, {})[0])['result']
    assert last['profile'] is None and last['changed_keys'] == [] and last['reason'] is None and last['applied']


def test_what_is_set_counts_instead_of_the_profile_key_by_key(play):
    """Services by name, whichever of its names; and what sets the CommitLimit only once."""
    mine = [{'name': 'mysql.service', 'score_adj': -800}, {'name': 'cron', 'score_adj': 1}]
    desired = {'oom_policy_profile': 'database', 'oom_policy_overcommit_ratio': 70, 'oom_policy_services': mine}
    reported = '{{ [__oom_policy_settings, __oom_policy_services] }}'
    show = {'ansible.builtin.debug': {'msg': reported}, 'vars': dict(desired, role_path=str(CHECKOUT / ROLE))}
    settings, services = task_log.last_message(play({}, show=show)[0])
    del settings['oom_policy_services']
    assert settings == {
        'oom_policy_overcommit_mode': 'never', 'oom_policy_overcommit_ratio': 70,
        'oom_policy_admin_reserve_kbytes': 131072, 'oom_policy_panic': 'kill'}  # fmt: skip
    assert [one['name'] for one in services] == ['mysql.service', 'cron', 'postgresql@']


def test_text_from_the_command_line_is_converted(play):
    desired = {'oom_policy_runtime': 'false', 'oom_policy_services_exclusive': 'false'}
    panic = {'oom_policy_panic': 'panic', 'oom_policy_reboot_after': 9}
    tasks, _text = play({'oom_policy_state': 'absent', **desired}, {**panic, **desired})
    # Without runtime nothing depends on whether this is a container; without exclusive no service is looked at.
    assert task_log.on_the_host(tasks) == ['overcommit', 'panic_on_oom', 'oom_score_adj', 'oom_facts',
                                           'panic_on_oom', 'oom_facts']


@pytest.mark.parametrize('sysctls', [False, True])
@pytest.mark.parametrize('services', [False, True])
def test_a_host_is_managed_where_any_module_has_a_record(play, sysctls, services):
    """By scores alone too, and where all of them were changed by others since, so that nothing changes."""
    results = {'__oom_policy_r_overcommit': {'changed': False, 'managed': False},
               '__oom_policy_r_panic': {'changed': False, 'managed': sysctls},
               '__oom_policy_r_services': {'changed': False, 'managed': services}}
    tell = {'ansible.builtin.debug': {'msg': '{{ __oom_policy_summary }}'},
            'vars': {'oom_policy_state': 'absent', 'role_path': str(CHECKOUT / ROLE)}}
    tasks, _text = play({}, show={'block': [{'ansible.builtin.set_fact': results}, tell]})
    assert task_log.last_message(tasks)['managed'] is (sysctls or services)


def test_protection_is_asked_first_and_alone_changes_nothing(play):
    services = sorted(path.name for folder in ('/lib/systemd/system', '/etc/init.d') for path in Path(folder).glob('*'))
    existing = next(name for name in services if re.fullmatch(r'[a-z-]+(\.service)?', name))
    tasks, _text = play({'oom_policy_protect': [existing]})
    assert task_log.on_the_host(tasks) == ['oom_score_adj', 'oom_facts']
    result = task_log.last_message(tasks)['result']
    assert not result['changed'] and result['forecast_after']['outcome'] in ('kill', 'panic')


def test_unknown_protected_service_stops_role_before_change(play):
    tasks, text = play({'oom_policy_protect': ['no-such-service'], 'oom_policy_overcommit_mode': 'always'}, expect=2)
    assert task_log.on_the_host(tasks) == ['oom_score_adj'] and 'no such service on this machine' in text


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
    assert 'EROFS' in said and 'runtime: false' in said and 'oom_score_adj' not in task_log.on_the_host(tasks)


def test_where_nothing_is_to_be_written_the_role_passes(play, python_under):
    """Nothing was ever set on this host, so nothing is reverted."""
    tasks, _said = play({'oom_policy_state': 'absent'}, interpreter=python_under(READ_ONLY))
    result = task_log.last_message(tasks)['result']
    assert result['applied'] and not result['changed'] and not result['managed']


@pytest.mark.parametrize('script', ['exec', READ_ONLY], ids=['', 'read-only'])
def test_in_a_container_the_role_does_nothing_and_says_so(play, python_under, script):
    python = python_under(script + ' env container=lxc', '--pid', '--fork', '--mount-proc')
    tasks, _said = play(REQUEST, interpreter=python)
    assert task_log.on_the_host(tasks) == ['overcommit', 'oom_facts']
    result = task_log.last_message(tasks)['result']
    assert not result['applied'] and '(container: lxc)' in result['reason'] and not result['changed']


@pytest.mark.parametrize('desired, message', [
    ({'oom_policy_state': 'gone'}, 'oom_policy_state'),
    ({'oom_policy_profile': 'nope'}, 'oom_policy_profile'),
    ({'oom_policy_services': [{'score_adj': 5}]}, 'name'),
    ({'oom_policy_runtime': 'perhaps'}, 'oom_policy_runtime'),
    ({'oom_policy_overcommit_mode': True, 'oom_policy_runtime': False}, 'mode: '),
    ({'oom_policy_overcommit_ratio': 50, 'oom_policy_commit_limit': '1G'}, 'mutually exclusive'),
])  # fmt: skip
def test_bad_variables_end_the_play(play, desired, message):
    assert message in play(desired, expect=2)[1]


@pytest.mark.parametrize('wrong, message', [
    ({'oom_policy_panic': 'kil'}, 'oom_policy_panic: kil is not one of'),
    ({'oom_policy_panic': False}, 'oom_policy_panic: False is not one of'),  # YAML's off
    ({'oom_policy_reboot_after': 2 ** 31}, 'oom_policy_reboot_after: 2147483648 is not an integer'),
    ({'oom_policy_reboot_after': 5.0}, 'oom_policy_reboot_after: 5.0 is not an integer'),
    ({'oom_policy_forecast': 101}, 'oom_policy_forecast: 101 is not an integer'),
    ({'oom_policy_top': -1}, 'oom_policy_top: -1 is not an integer'),
    ({'oom_policy_services': 'name=foo'}, 'oom_policy_services: a list is wanted'),
    ({'oom_policy_services': ['name=foo']}, 'oom_policy_services: a list is wanted'),
    ({'oom_policy_services': [{'name': 'a', 'score_adj': 5000}, {'name': 'b', 'score_adj': True}, {'name': 'c'}]},
     'score_adj 5000, True is not an integer'),
    ({'oom_policy_services': [{'name': '../x', 'score_adj': 5}, {'name': 'a', 'score_adj': 5}]},
     'oom_policy_services: ../x cannot be the name of a service'),
    ({'oom_policy_services': [{'name': 'a', 'score_adj': None, 'oom_policy': '{{ omit }}'},
                              {'name': 'b', 'oom_policy': 'stop'}]}, 'oom_policy_services: nothing is asked for a;'),
    ({'oom_policy_services': [{'name': 'a', 'score_adj': 5}, {'name': 'a.service', 'score_adj': 5}]},
     'oom_policy_services: the same service is listed twice in a, a.service.'),
])  # fmt: skip
@pytest.mark.parametrize('tag', [{}, {'ANSIBLE_RUN_TAGS': 'oom_policy_overcommit'}], ids=['all', 'a tag'])
def test_refusal_of_a_later_module_precedes_any_change(play, wrong, message, tag):
    tasks, said = play({'oom_policy_overcommit_mode': 'always', **wrong}, expect=2, **tag)
    assert message in said and 'Nothing was changed.' in said
    assert task_log.on_the_host(tasks) == []


@pytest.mark.parametrize('desired', [
    {'oom_policy_panic': '0', 'oom_policy_reboot_after': ' 7 ', 'oom_policy_top': '3', 'oom_policy_forecast': '0'},
    {'oom_policy_panic': ' panic_always ', 'oom_policy_reboot_after': '-1'},
    {'oom_policy_panic': '{{ omit }}', 'oom_policy_reboot_after': -2 ** 31},
    {'oom_policy_top': '{{ omit }}', 'oom_policy_forecast': '{{ omit }}'},
    {'oom_policy_services': [{'name': 'not-here', 'score_adj': '-1000', 'missing': 'ignore'},
                             {'name': 'nor-this', 'score_adj': None, 'oom_policy': 'stop', 'missing': 'ignore'},
                             {'name': 'or', 'score_adj': '{{ omit }}', 'oom_policy': 'kill', 'missing': 'ignore'}],
     'oom_policy_persistent': True, 'oom_policy_runtime': False},  # oom_policy at runtime needs a systemd
    {'oom_policy_services': "{{ [{'name': 'not-here', 'score_adj': 5, 'missing': 'ignore'}] }}"},
    {'oom_policy_state': 'absent', 'oom_policy_panic': 'kil', 'oom_policy_services': 'name=foo'},
])  # fmt: skip
def test_what_the_modules_take_the_role_takes(play, desired):
    play({'oom_policy_persistent': False, 'oom_policy_force': True, **desired})


def test_the_role_refuses_the_names_that_the_module_refuses(play):
    names = ['a', 'A-b_c:d.e@f\\x2d', 'a@', 'a@b@c', 'a.service', 'a.b', 'a.service.service', '-a', '1', 'x' * 247,
             'x' * 247 + '.service', 'x' * 248, 'x' * 248 + '.service', '', '.', '..', '...', '.service',
             '..service', '...service', '.service.service', '@', '@a', '@.service', '/a', 'a/../b', 'a b', 'a%i',
             'a\n', 'a\n.service', 'a.service\n', 'a\x1b', 'ä', '{a}', 'a.socket', 'a.slice', 'a.scope', 'a.Socket',
             'socket', 'a.swap.service', 'a.automount', 'a.mount', 'a.device', 'a.target', 'a.path', 'a.timer',
             '.timer']  # fmt: skip
    desired = {'oom_policy_services': [{'name': name} for name in names]}
    show = {'ansible.builtin.debug': {'msg': {'wrong': '{{ __oom_policy_wrong_units }}'}}, 'vars': desired}
    assert task_log.last_message(play({}, show=show)[0])['wrong'] == [name for name in names if not is_unit(name)]


def is_unit(name):
    try:
        return bool(unit_names.to_unit('name', name))
    except convert.ConvertError:
        return False


@pytest.mark.parametrize('state, announced', [('pending', True), ('not_needed', False)])
def test_only_a_pending_change_is_announced_as_rolled_back(command, checkout, tmp_path, state, announced):
    """Where the watchdog was killed nothing waits any more."""
    check = load(checkout, 'tasks/confirm.yml')[-1]
    found = {'confirmation': {'state': state, 'reason': 'the reason'}}
    variables = {**load(checkout, 'vars/main.yml'), '__oom_policy_r_overcommit': found, 'oom_policy_confirm_within': 60}
    book = [{'hosts': 'localhost', 'gather_facts': False, 'vars': variables, 'tasks': [check]}]
    (tmp_path / 'play.yml').write_text(yaml.safe_dump(book))
    done = command('ansible-playbook', '-i', 'localhost,', '-c', 'local', tmp_path / 'play.yml', check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and 'could not be confirmed: the reason' in said
    assert ('within 60 s, the host rolls back' in said) is announced
    assert ('It holds anyway' in said) is not announced


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
    _said, tasks = changing('apply', '-e', 'oom_hosts=a', '-e', 'oom_policy_top=0', inventory=inventory)
    assert task_log.on_the_host(tasks) == ['oom_facts']


@CHANGING
def test_batches_are_one_host_a_quarter_and_the_rest(changing, name):
    """With these tags no module runs."""
    hosts = ''.join(f'h{number}\n' for number in range(8))
    said, tasks = changing(name, '-e', 'oom_hosts=all', '--tags', 'none', inventory=hosts)
    assert task_log.on_the_host(tasks) == []
    batches = [re.findall(r'^ok: \[(h\d)\] => \{', batch, re.MULTILINE) for batch in said.split('PLAY [')[1:]]
    assert [len(batch) for batch in batches] == [1, 2, 5], said


def text_of(command, folder, check=(), **variables):
    """What apply and rollback print for this result of the role."""
    task = {'ansible.builtin.import_tasks': str(CHECKOUT / 'playbooks/tasks/show.yml')}
    results = {'__oom_policy_r_' + name: {} for name in ('overcommit', 'pending', 'panic', 'services', 'protect')}
    result = {'applied': True, 'reason': None, 'managed': True, 'changed': False, 'state': 'present', 'profile': None,
              'changed_keys': [], 'confirmation': 'not_needed', 'conflicts': [], 'services': [], 'restart_needed': [],
              'orphans': [], 'forecast_before': None, 'forecast_after': None,
              **variables.pop('result')}  # fmt: skip
    variables = {**results, **variables, 'oom_policy_result': result}
    (folder / 'play.yml').write_text(json.dumps([{'hosts': 'localhost', 'gather_facts': False, 'vars': variables,
                                                  'tasks': [task]}]))
    (folder / 'templates').symlink_to(CHECKOUT / 'playbooks/templates')
    log = folder / 'tasks.log'
    command('ansible-playbook', '-i', 'localhost,', '-c', 'local', *check, folder / 'play.yml',
            **task_log.variables(log))
    return task_log.last_message(task_log.read(log))


OVERCOMMIT = 'vm.overcommit_memory'
CHANGED = {
    'before': {'runtime': {OVERCOMMIT: 0, 'vm.x': 1}, 'boot': {OVERCOMMIT: 0, 'vm.x': 1}},
    'after': {'runtime': {OVERCOMMIT: 2, 'vm.x': 1}, 'boot': {OVERCOMMIT: 2, 'vm.x': 1}}}
SERVICE = {
    'unit': 'redis.service', 'before': 0, 'after': -500, 'changed_pids': [1, 2], 'skipped_count': 1,
    'notes': ['a note'],
    'next_start_before': {'score_adj': 0, 'oom_policy': None}, 'next_start': {'score_adj': -500, 'oom_policy': 'kill'}}


def test_what_changed_is_printed_as_text(command, tmp_path):
    result = {
        'changed': True, 'profile': 'cache', 'changed_keys': [OVERCOMMIT, 'kernel.panic'], 'confirmation': 'confirmed',
        'services': [SERVICE, dict(SERVICE, unit='b.service', before=None, after=None, changed_pids=[], skipped_count=0,
                                   next_start_before=SERVICE['next_start'], notes=[])],
        'restart_needed': ['a.service', 'b.service'], 'orphans': ['/etc/x.conf'],
        'conflicts': [{'key': 'vm.x', 'wanted': 1, 'boot': 5, 'file': '/etc/a', 'line': 3},
                      {'unit': 'a.service', 'setting': 'OOMPolicy', 'wanted': 'kill', 'next_start': 'stop',
                       'file': '/etc/b', 'line': 4}],
        'forecast_before': {'summary': ['1. a', '2. b']}, 'forecast_after': {'summary': ['1. b']}}
    # The second call, which confirms, finds what the first one has set.
    confirmed = {'before': dict(CHANGED['after'], boot=CHANGED['before']['boot']), 'after': CHANGED['after']}
    panic = {'before': {'runtime': {'kernel.panic': None}, 'boot': {'kernel.panic': None}},
             'after': {'runtime': {'kernel.panic': None}, 'boot': {'kernel.panic': 10}}}
    assert text_of(command, tmp_path, result=result, __oom_policy_r_overcommit=confirmed,
                   __oom_policy_r_pending=CHANGED, __oom_policy_r_panic=panic) == [
        'profile: cache',
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
    result = {'changed': True, 'changed_keys': [OVERCOMMIT], 'confirmation': 'pending',
              'forecast_before': {'summary': ['1. a']}, 'forecast_after': {'summary': ['1. a']}}
    assert text_of(command, tmp_path, ['--check'], result=result, __oom_policy_r_overcommit=CHANGED) == [
        'would change:', 'vm.overcommit_memory: 0 -> 2, after reboot 0 -> 2',
        'confirmation: the real run confirms the change over a new connection, or the host rolls back',
        'forecast, the same before and after: 1. a']  # fmt: skip


@pytest.mark.parametrize('result, panic, line', [
    ({'applied': False, 'reason': 'This is a container'}, CHANGED, 'nothing was done: This is a container'),
    ({'managed': False, 'state': 'absent'}, CHANGED, 'nothing to roll back: no module of this collection has changed'),
    ({}, {}, 'nothing was done: no variable of the role oom_policy requests anything on this host'),
    ({}, CHANGED, 'nothing changed'),
])  # fmt: skip
def test_why_nothing_was_done_is_printed(command, tmp_path, result, panic, line):
    said, = text_of(command, tmp_path, result=result, __oom_policy_r_panic=panic)
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
    ('oom_policy_min_headroom=x', 'failed'),
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
