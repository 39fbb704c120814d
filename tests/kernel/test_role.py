# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the playbooks against a real machine: what they set, how often they go there, and that they undo it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import collection
import pytest
import task_log
import yaml
from service_units import install, scores

POLICY = {
    'oom_policy_overcommit_mode': 'never',
    'oom_policy_overcommit_ratio': 90,
    'oom_policy_confirm_within': 300,  # an emulated machine on a busy computer is slow
    'oom_policy_panic': 'panic',
    'oom_policy_reboot_after': 20,
    'oom_policy_services': [
        {'name': 'family', 'score_adj': -500},
        {'name': 'plain.service', 'score_adj': 500, 'oom_policy': 'kill'},
        {'name': 'cron-is-not-here', 'score_adj': 1, 'missing': 'ignore'},
    ],
}
MODULE = 'oomkit.linux.oom_policy'
WANTED = {'vm.overcommit_memory': 2, 'vm.overcommit_ratio': 90, 'vm.panic_on_oom': 1, 'kernel.panic': 20}
ONE = ['oom_policy']
CONFIRMED = ONE * 2
FILES = '/etc/sysctl.d /etc/systemd/system /run/oomkit /var/lib/oomkit'


class Fleet:
    """Plays against the one machine, each over a connection of its own."""

    def __init__(self, machine, folder):
        self.machine, self.folder, self.plays = machine, folder, 0

    def play(self, *words, expect=0, **settings):
        """Play a book of the collection, or the role with these settings of the play; what it said, and what ran."""
        if not words:
            tasks = [
                {'ansible.builtin.import_role': {'name': 'oomkit.linux.oom_policy'}},
                {'ansible.builtin.debug': {'msg': '{{ [oom_policy_result, ansible_facts.oom] }}'}, 'tags': 'always'},
            ]
            book = [{'hosts': 'all', 'gather_facts': False, 'become': True, 'tasks': tasks, **settings}]
            (self.folder / 'play.yml').write_text(yaml.safe_dump(book))
            words = ['play.yml']
        self.plays += 1
        log, home = self.folder / f'{self.plays}.log', self.folder / f'home{self.plays}'
        (self.folder / 'hosts').write_text(self.machine.inventory() + '\n')
        (self.folder / 'ansible.cfg').write_text('')  # nobody's own settings
        env = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(collection.root()), ANSIBLE_HOME=str(home),
                   ANSIBLE_CONFIG=str(self.folder / 'ansible.cfg'), **task_log.variables(log))  # fmt: skip
        self.machine.run('logger -t oomkit-test play')
        command = [Path(sys.executable).parent / 'ansible-playbook', '-i', 'hosts', *words]
        done = subprocess.run(command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=550, check=False)  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return task_log.read(log)

    def executions(self):
        """The modules that ran on the machine in the last play, by its own log."""
        text = self.machine.run('journalctl -q -o short').stdout.rpartition('oomkit-test')[2]
        return re.findall(r' ansible-(?:oomkit\.linux\.)?([\w.]+)\[\d+\]: Invoked with', text)

    def state(self):
        """All that a policy could leave on the machine."""
        files = self.machine.run(f'find {FILES} -type f -exec md5sum {{}} + 2>/dev/null | sort').stdout
        values = {key: self.machine.sysctl(key) for key in WANTED}
        return files, values, scores(self.machine, 'family'), scores(self.machine, 'plain')


@pytest.fixture
def fleet(fresh, tmp_path):
    """The fresh machine with two services, as a fleet of one."""
    install(fresh, 'family', 'plain')
    return Fleet(fresh, tmp_path)


@pytest.mark.long
def test_a_whole_policy_in_one_execution_and_back(fleet):
    """One more if a change is confirmed. Planned, done, done again, reverted."""
    before = fleet.state()

    planned, _facts = task_log.last_message(fleet.play(vars=POLICY, check_mode=True))
    assert fleet.executions() == ONE and fleet.state() == before
    assert planned['changed'] and planned['confirmation']['state'] == 'pending'

    result, facts = task_log.last_message(fleet.play(vars=POLICY))
    assert fleet.executions() == CONFIRMED
    assert result['changed'] and result['confirmation']['state'] == 'confirmed' and result['applied']
    assert result['changed_keys'] == planned['changed_keys'] == list(WANTED)
    assert result['reason'] is None and result['restart_needed'] == []
    assert [one['unit'] for one in result['services']] == ['family.service', 'plain.service']
    assert facts['overcommit']['mode_name'] == 'never' and facts['panic']['reboot_after_s'] == 20
    files, values, family, plain = fleet.state()
    assert values == WANTED and set(family.values()) == {-500} and set(plain.values()) == {500}
    assert (family.keys(), plain.keys()) == (before[2].keys(), before[3].keys()), 'something was restarted'

    again, _facts = task_log.last_message(fleet.play(vars=POLICY))
    assert fleet.executions() == ONE
    assert not again['changed'] and again['confirmation']['state'] == 'not_needed' and again['changed_keys'] == []
    assert fleet.state() == (files, values, family, plain)

    undone = fleet.play('oomkit.linux.rollback', '-e', 'oom_hosts=all')
    assert fleet.executions() == ONE
    assert 'vm.overcommit_memory: 2 -> 0, after reboot 2 -> 0' in task_log.last_message(undone)
    assert fleet.state() == before


@pytest.mark.long
def test_protected_victim_ends_the_play_before_any_change(fleet):
    before = fleet.state()
    desired = dict(POLICY, oom_policy_panic='kill', oom_policy_forecast=3)
    refused = fleet.play(vars=dict(desired, oom_policy_protect=['plain']), expect=2)
    assert fleet.executions() == ONE and fleet.state() == before
    assert 'would end plain (victim of kill 1)' in str([task['result'].get('msg') for task in refused])

    result, _facts = task_log.last_message(fleet.play(vars=dict(desired, oom_policy_protect=['family'])))
    assert fleet.executions() == CONFIRMED
    assert result['changed'] and result['applied']
    assert 'plain.service' in result['forecast_after']['summary'][0]
    assert 'plain.service' not in result['forecast_before']['summary'][0]


@pytest.mark.long
def test_the_tags_of_a_part_do_that_part_and_confirm_it(fleet):
    (fleet.folder / 'vars.yml').write_text(yaml.safe_dump(POLICY))
    words = ('-e', 'oom_hosts=all', '-e', '@vars.yml', '--tags', 'oom_policy_overcommit')
    tasks = fleet.play('oomkit.linux.apply', *words)
    assert fleet.executions() == CONFIRMED
    assert [task['status'] for task in tasks if task['action'] == MODULE] == ['ok']
    assert fleet.machine.sysctl('vm.overcommit_memory') == 2 and fleet.machine.sysctl('vm.panic_on_oom') == 0
    assert 'vm.overcommit_memory = 2' in fleet.machine.run('cat /etc/sysctl.d/99-oomkit.conf').stdout


# From the change on nobody gets in, until it is rolled back. Who is in stays.
LOCK_OUT = """
until grep -q 2 /proc/sys/vm/overcommit_memory; do sleep 0.1; done
systemctl stop ssh
while grep -q 2 /proc/sys/vm/overcommit_memory; do sleep 0.1; done
systemctl start ssh
"""


@pytest.mark.long
def test_a_policy_that_locks_out_is_reverted_by_the_host(fleet):
    """The role reports the rollback, and nothing of the policy stays."""
    within_s = 40
    before = fleet.state()
    fleet.machine.write_file('/root/lock_out.sh', LOCK_OUT.encode())
    fleet.machine.run('setsid sh /root/lock_out.sh </dev/null >/dev/null 2>&1 &')
    tasks = fleet.play(expect=2, vars=dict(POLICY, oom_policy_confirm_within=within_s))
    failed, = [task for task in tasks if task['action'] == MODULE]
    assert failed['status'] == 'failed' and 'vm.overcommit_memory is 0 now' in failed['result']['msg']
    last = time.monotonic() + within_s + 20
    while fleet.machine.sysctl('vm.overcommit_memory') == 2:
        assert time.monotonic() < last, 'the host did not roll it back'
        time.sleep(0.5)
    assert f'not confirmed within {within_s} s' in fleet.machine.run('dmesg').stdout
    fleet.machine.run('until systemctl -q is-active ssh; do sleep 0.2; done')
    assert fleet.state() == before
