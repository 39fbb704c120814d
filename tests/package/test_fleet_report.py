# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet report in real runs: ad hoc, in playbooks, with ansible-runner and ansible-pull, and from a fact cache."""

import json
import os
import re
import subprocess
import sys
import time

import pytest
import yaml

ENABLED = {'ANSIBLE_CALLBACKS_ENABLED': 'oomkit.linux.fleet_report', 'ANSIBLE_LOAD_CALLBACK_PLUGINS': '1'}
LOCAL = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable}
# Runs a command, and says at last how much memory (kB) the largest of its processes held.
WITH_PEAK = ('import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); '
             'print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)')
# Nothing listens there.
DEAD = {'ansible_connection': 'ssh', 'ansible_host': '127.0.0.1', 'ansible_port': 1}
FACTS = 'oomkit.linux.oom_facts'


@pytest.fixture
def inventory(tmp_path):
    """Writes an inventory of these hosts."""
    def write(**hosts):
        path = tmp_path / 'hosts.yml'
        path.write_text(yaml.safe_dump({'all': {'hosts': hosts}}))
        return path
    return write


def play(tmp_path, *tasks, name='play.yml', **keywords):
    path = tmp_path / name
    path.write_text(json.dumps([dict({'hosts': 'all', 'gather_facts': False, 'tasks': tasks}, **keywords)]))
    return path


def records(path):
    return {one['host']: one for one in map(json.loads, path.read_text().splitlines())}


def report_of(text):
    """What was printed after the banner."""
    return text[text.index('OOM FLEET REPORT'):].splitlines()[1:]


# ------------------------------------------------------------------------- ad hoc

def test_ad_hoc(command, inventory, tmp_path):
    hosts = inventory(**{'host%d' % number: LOCAL for number in range(1, 4)}, dead=DEAD)
    done = command('ansible', 'all', '-i', hosts, '-m', FACTS, cwd=tmp_path, check=False, **ENABLED)
    shown = report_of(done.stdout)
    listed = [line.split() for line in shown if re.match('[! ]*host', line)]
    assert sorted(words[1 if '!' in words[0] else 0] for words in listed) == ['host1', 'host2', 'host3']
    assert any(line.startswith('dead  unreachable: ') for line in shown)
    assert any(line.startswith('4 hosts: 3 ok, 1 unreachable; ') for line in shown)
    page = (tmp_path / 'oom-fleet-report.html').read_text()
    assert page.count('<details class=h ') == 3 and 'dead' in page
    assert '\x1b' not in done.stdout


def test_nothing_but_the_report_as_stdout_callback(command, inventory, tmp_path):
    done = command('ansible', 'all', '-i', inventory(a=LOCAL), '-m', FACTS, cwd=tmp_path, COLUMNS='70',
                   ANSIBLE_LOAD_CALLBACK_PLUGINS='1', ANSIBLE_STDOUT_CALLBACK='oomkit.linux.fleet_report')
    assert done.stdout.lstrip().startswith('OOM FLEET REPORT') and 'ansible_facts' not in done.stdout
    assert all(len(line) <= 70 for line in report_of(done.stdout))


def test_a_run_without_our_modules_is_skipped(command, inventory, tmp_path):
    done = command('ansible', 'all', '-i', inventory(a=LOCAL, dead=DEAD), '-m', 'ansible.builtin.ping', cwd=tmp_path,
                   check=False, **ENABLED)
    assert 'OOM FLEET' not in done.stdout and not (tmp_path / 'oom-fleet-report.html').exists()


def test_options_by_ini(command, inventory, tmp_path):
    (tmp_path / 'ansible.cfg').write_text(
        '[defaults]\ncallbacks_enabled = oomkit.linux.fleet_report\nbin_ansible_callbacks = true\n'
        '[callback_fleet_report]\nhtml =\ncsv = fleet.csv\nrows = 1\n')
    done = command('ansible', 'all', '-i', inventory(a=LOCAL, b=LOCAL), '-m', FACTS, cwd=tmp_path,
                   ANSIBLE_CONFIG=str(tmp_path / 'ansible.cfg'))
    assert '... and 1 more' in report_of(done.stdout)
    assert len((tmp_path / 'fleet.csv').read_text().splitlines()) == 3
    assert not list(tmp_path.glob('*.html'))


def test_a_file_that_cannot_be_written_is_a_warning(command, inventory, tmp_path):
    done = command('ansible', 'all', '-i', inventory(a=LOCAL), '-m', FACTS, cwd=tmp_path,
                   OOMKIT_FLEET_REPORT_HTML='/proc/no/such', **ENABLED)
    assert 'could not be written to /proc/no/such' in ' '.join(done.stderr.split())
    assert any(line.startswith('1 host: 1 ok; ') for line in report_of(done.stdout))


# ---------------------------------------------------------------------- playbooks

def test_counts_are_right_whatever_happens_to_hosts(command, inventory, tmp_path):
    hosts = inventory(good=LOCAL, broken=LOCAL, rescued=LOCAL, ignored=LOCAL, skipped=LOCAL, refused=LOCAL, dead=DEAD,
                      gone=dict(DEAD, lost_later=True))
    fail = {'ansible.builtin.fail': {'msg': 'this \x1b[31mwent\nwrong'}}
    path = play(tmp_path,
                {FACTS: {'top': "{{ -1 if inventory_hostname == 'refused' else 3 }}"},
                 'when': "inventory_hostname != 'skipped'"},
                dict(fail, when="inventory_hostname == 'broken'"),
                dict(fail, when="inventory_hostname == 'ignored'", ignore_errors=True),
                {'block': [dict(fail, when="inventory_hostname == 'rescued'")],
                 'rescue': [{'ansible.builtin.debug': {'msg': 'put right'}}]})
    done = command('ansible-playbook', '-i', hosts, path, '-e', 'fleet_report_json_lines={{ playbook_dir }}/out.jsonl',
                   cwd=tmp_path, check=False, **ENABLED)
    reported = records(tmp_path / 'out.jsonl')
    assert {name: one['status'] for name, one in reported.items()} == {
        'good': 'ok', 'broken': 'failed', 'rescued': 'ok', 'ignored': 'ok', 'skipped': 'no_facts', 'refused': 'failed',
        'dead': 'unreachable', 'gone': 'unreachable'}
    assert reported['broken']['mode'] and reported['broken']['message'] == r'this \x1b[31mwent\x0awrong'
    assert 'top' in reported['refused']['message'] and reported['refused']['mode'] is None
    summary, = [line for line in report_of(done.stdout) if line.startswith('8 hosts: ')]
    assert summary.startswith('8 hosts: 3 ok, 2 failed, 2 unreachable, 1 without facts; ')
    recap = done.stdout[done.stdout.index('PLAY RECAP'):]
    assert len(re.findall(r'failed=[1-9]', recap)) == 2 and len(re.findall(r'unreachable=[1-9]', recap)) == 2
    page = (tmp_path / 'oom-fleet-report.html').read_text()
    assert page.count('<details class=h ') == 4


def test_ignored_or_rescued_failure_before_facts_is_none(command, inventory, tmp_path):
    hosts = inventory(good=LOCAL, ignored=LOCAL, rescued=LOCAL, other=LOCAL, broken=LOCAL)
    facts = {FACTS: {'top': '{{ 1 if inventory_hostname == "good" else -1 }}'}}
    path = play(tmp_path,
                dict(facts, when="inventory_hostname in ('good', 'ignored')", ignore_errors=True),
                {'block': [dict(facts, when="inventory_hostname == 'rescued'")],
                 'rescue': [{'ansible.builtin.debug': {'msg': 'put right'}}]},
                {'ansible.builtin.fail': {'msg': 'no facts of ours'}, 'when': "inventory_hostname == 'other'",
                 'ignore_errors': True},
                dict(facts, when="inventory_hostname == 'broken'"))
    done = command('ansible-playbook', '-i', hosts, path, '-e', 'fleet_report_json_lines={{ playbook_dir }}/out.jsonl',
                   cwd=tmp_path, check=False, **ENABLED)
    reported = records(tmp_path / 'out.jsonl')
    assert {name: one['status'] for name, one in reported.items()} == {
        'good': 'ok', 'ignored': 'no_facts', 'rescued': 'no_facts', 'other': 'no_facts', 'broken': 'failed'}
    assert all('top' in reported[name]['message'] for name in ('ignored', 'rescued', 'broken'))
    assert [line for line in report_of(done.stdout) if line.startswith('5 hosts: 1 ok, 1 failed, 3 without facts; ')]


def test_facts_that_are_delegated_belong_to_their_host(command, inventory, tmp_path):
    path = play(tmp_path, {FACTS: {'gather_subset': ['commit']}, 'delegate_to': '{{ item }}', 'delegate_facts': True,
                           'loop': ['a', 'b'], 'run_once': True})
    command('ansible-playbook', '-i', inventory(a=LOCAL, b=LOCAL), path, cwd=tmp_path,
            OOMKIT_FLEET_REPORT_JSON_LINES='out.jsonl', **ENABLED)
    assert {name: one['status'] for name, one in records(tmp_path / 'out.jsonl').items()} == {'a': 'ok', 'b': 'ok'}


def test_hidden_facts_are_no_facts(command, inventory, tmp_path):
    path = play(tmp_path, {FACTS: {}, 'no_log': True})
    command('ansible-playbook', '-i', inventory(a=LOCAL), path, cwd=tmp_path,
            OOMKIT_FLEET_REPORT_JSON_LINES='out.jsonl', **ENABLED)
    one = records(tmp_path / 'out.jsonl')['a']
    assert one['status'] == 'no_facts' and 'no_log' in one['message']


def test_the_role(command, inventory, tmp_path):
    path = play(tmp_path, {'ansible.builtin.include_role': {'name': 'oomkit.linux.oom_policy'}},
                vars={'oom_policy_panic': 'kill'})
    done = command('ansible-playbook', '--check', '-i', inventory(a=LOCAL), path, cwd=tmp_path,
                   OOMKIT_FLEET_REPORT_JSON_LINES='out.jsonl', **ENABLED)
    one = records(tmp_path / 'out.jsonl')['a']
    assert one['status'] == 'ok' and one['mode'] and one['policy_changed'] in (True, False), done.stdout
    assert one['gathered_at'] and one['victim']


def test_only_the_role_says_what_the_role_did(command, inventory, tmp_path):
    """Any module of a compromised host can return a fact of that name."""
    liar = tmp_path / 'liar'
    liar.write_text("""#!/bin/sh\necho '{"ansible_facts": {"oom_policy_result": {"changed": true}}}'\n""")
    liar.chmod(0o755)
    hosts = inventory(liar=dict(LOCAL, ansible_python_interpreter=str(liar)), honest=LOCAL)
    done = command('ansible', 'liar', '-i', hosts, '-m', 'ansible.builtin.ping', cwd=tmp_path, **ENABLED)
    assert 'OOM FLEET' not in done.stdout and not (tmp_path / 'oom-fleet-report.html').exists()


def test_variables_of_a_play_without_our_modules_do_not_count(command, inventory, tmp_path):
    """The playbook report gives its options as variables of its play, also behind another playbook."""
    (tmp_path / 'both.yml').write_text(yaml.safe_dump([
        {'hosts': 'all', 'gather_facts': False, 'tasks': [{FACTS: {}}]},
        {'hosts': 'all', 'gather_facts': False, 'vars': {'fleet_report_html': 'second.html'}, 'tasks': []}]))
    command('ansible-playbook', '-i', inventory(a=LOCAL), tmp_path / 'both.yml', cwd=tmp_path, **ENABLED)
    assert [path.name for path in tmp_path.glob('*.html')] == ['oom-fleet-report.html']


# ---------------------------------------------------------------- runner and pull

def test_ansible_runner(command, tmp_path):
    for folder in ('inventory', 'project', 'env'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'inventory' / 'hosts.yml').write_text(yaml.safe_dump({'all': {'hosts': {'a': LOCAL, 'dead': DEAD}}}))
    play(tmp_path / 'project', {FACTS: {}})
    (tmp_path / 'env' / 'envvars').write_text(yaml.safe_dump(dict(
        ENABLED, OOMKIT_FLEET_REPORT_HTML=str(tmp_path / 'fleet.html'))))
    done = command('ansible-runner', 'run', tmp_path, '-p', 'play.yml', check=False)
    assert '2 hosts: 1 ok, 1 unreachable;' in ' '.join(done.stdout.split()), done.stdout + done.stderr
    assert (tmp_path / 'fleet.html').read_text().count('<details class=h ') == 1


def test_ansible_pull(command, tmp_path):
    source = tmp_path / 'source'
    source.mkdir()
    (source / 'local.yml').write_text(json.dumps([
        {'hosts': 'localhost', 'gather_facts': False, 'tasks': [{FACTS: {'top': 3}}]}]))
    git = ['git', '-c', 'user.name=a', '-c', 'user.email=a@example.net', '-C', str(source)]
    for words in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'x']):
        subprocess.run([*git, *words], check=True)
    done = command('ansible-pull', '-U', 'file://%s' % source, '-d', tmp_path / 'pulled', '-i', 'localhost,', '-c',
                   'local', '-e', 'ansible_python_interpreter=' + sys.executable, cwd=tmp_path,
                   OOMKIT_FLEET_REPORT_JSON_LINES=str(tmp_path / 'out.jsonl'),
                   OOMKIT_FLEET_REPORT_HTML='', **ENABLED)
    assert any(line.startswith('1 host: 1 ok; ') for line in report_of(done.stdout)), done.stdout
    assert records(tmp_path / 'out.jsonl')['localhost']['limit_kb'] > 0


# ------------------------------------------------------------------ from the cache

def cached(folder, **more):
    return dict(ANSIBLE_CACHE_PLUGIN='ansible.builtin.jsonfile', ANSIBLE_CACHE_PLUGIN_CONNECTION=str(folder), **more)


def test_from_the_cache_without_touching_the_hosts(command, inventory, tmp_path):
    command('ansible', 'all', '-i', inventory(a=LOCAL, b=LOCAL), '-m', FACTS, cwd=tmp_path,
            **cached(tmp_path / 'cache'))
    hosts = inventory(a=DEAD, b=DEAD, new=DEAD)
    run = ['ansible-playbook', '-i', hosts, 'oomkit.linux.report', '-e', 'fleet_report_html=x.html', '-e',
           'fleet_report_json_lines=x.jsonl']
    # Paths are those of the play's controller: where it was started.
    done = command(*run, cwd=tmp_path, **cached(tmp_path / 'cache'))
    assert '3 hosts: 2 ok, 1 without facts;' in done.stdout and 'changed=1' in done.stdout
    assert {name: one['status'] for name, one in records(tmp_path / 'x.jsonl').items()} == {
        'a': 'ok', 'b': 'ok', 'new': 'no_facts'}
    again = command(*run, cwd=tmp_path, **cached(tmp_path / 'cache'))
    assert 'changed=0' in again.stdout
    limited = command(*run, '--limit', 'a', '--check', cwd=tmp_path, **cached(tmp_path / 'cache'))
    assert '1 host: 1 ok;' in limited.stdout and len(records(tmp_path / 'x.jsonl')) == 3


def test_damaged_records_cost_the_facts_of_their_own_hosts_only(command, inventory, tmp_path):
    damage = {'list': b'[1, 2]', 'nul': b'\0\0', 'deep': b'[' * 100_000}
    command('ansible', 'all', '-i', inventory(fine=LOCAL, **dict.fromkeys(damage, LOCAL)), '-m', FACTS, cwd=tmp_path,
            **cached(tmp_path / 'cache'))
    for host, data in damage.items():
        path, = (tmp_path / 'cache').glob('*' + host)
        path.write_bytes(data)
    report = {'oomkit.linux.fleet_report': {'hosts': ['fine', *damage], 'html': '', 'json_lines': 'x.jsonl'}}
    command('ansible-playbook', '-i', 'localhost,', play(tmp_path, report, connection='local'), cwd=tmp_path,
            **cached(tmp_path / 'cache'))
    reported = records(tmp_path / 'x.jsonl')
    found = {name: one['status'] for name, one in reported.items()}
    assert found == {'fine': 'ok', **dict.fromkeys(damage, 'no_facts')}
    assert 'its facts in the cache cannot be read' in reported['nul']['message']


def test_without_a_cache_it_says_what_to_do(command, inventory, tmp_path):
    done = command('ansible-playbook', '-i', inventory(a=DEAD), 'oomkit.linux.report', cwd=tmp_path, check=False)
    assert done.returncode and 'Set fact_caching in ansible.cfg' in ' '.join(done.stdout.split()), done.stdout
    assert not list(tmp_path.glob('*.html'))


def test_bad_options_are_refused_before_anything_is_written(command, inventory, tmp_path):
    done = command('ansible-playbook', '-i', inventory(a=DEAD), 'oomkit.linux.report', '-e', 'fleet_report_rows=-1',
                   cwd=tmp_path, check=False, **cached(tmp_path / 'cache'))
    assert done.returncode and 'rows is -1' in done.stdout and not list(tmp_path.glob('*.html'))


def test_ten_thousand_hosts(command, checkout, tmp_path):
    command(sys.executable, checkout / 'tests' / 'fleet_facts.py', tmp_path, '10000')
    begin = time.monotonic()
    done = command(sys.executable, '-c', WITH_PEAK, 'ansible-playbook', '-i', tmp_path / 'hosts.ini',
                   'oomkit.linux.report', cwd=tmp_path, **cached(tmp_path / 'cache'))
    seconds = time.monotonic() - begin
    size = os.stat(tmp_path / 'oom-fleet-report.html').st_size
    memory_kb = int(done.stdout.split()[-1])
    print('10,000 hosts: %.1f s, %d MB at most in a process, %.1f MB of HTML' % (seconds, memory_kb / 1000, size / 1e6))
    assert '10000 hosts: 10000 ok;' in done.stdout
    assert seconds < 30 and memory_kb < 500000 and size < 15e6
