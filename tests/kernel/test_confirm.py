# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit, confirmed, on a real kernel: logins that fail, connections that are killed, machines that are reset."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import collection
import pytest
import yaml
from conftest import FLAVOUR
from oomlab.machine import Machine
from oomlab.recipe import DEFAULT
from test_sysctls import ours

REQUEST = {'mode': 'never', 'ratio': 90, 'admin_reserve_kbytes': 9000, 'confirm_within': 60}
SHORT = dict(REQUEST, confirm_within=10)
UNTOUCHED = {'vm.overcommit_memory': 0, 'vm.overcommit_ratio': 50}
# Takes what strict mode has left, to the last page, and whatever is given back later; ends with strict mode, because
# without a limit it would soon have filled the whole machine.
HOG = """
import mmap, os, time
mode = os.open('/proc/sys/vm/overcommit_memory', os.O_RDONLY)
strict = lambda: os.pread(mode, 8, 0) == b'2\\n'
held, size = [], 1 << 20
while not strict():
    time.sleep(0.1)
time.sleep(3)
while strict():
    try:
        held.append(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    except (OSError, MemoryError):
        size = size // 2 if size > 4096 else 1 << 20
        if size == 1 << 20:
            time.sleep(0.02)
"""


@pytest.fixture
def fresh(fresh):
    """One whose modules come over ssh: it is connections that confirm."""
    fresh._drop_connections()
    return fresh


def waits(result):
    """A result of a change that waits for its confirmation."""
    assert not result.get('failed'), result
    assert result['changed'] and result['confirmation']['state'] == 'pending', result
    return result


def watchdog(machine):
    """The PID of the watchdog, None for none."""
    return machine.run('pgrep -x oomkit-watchdog', check=False).stdout.strip() or None


def state(machine):
    """What is noted about the change that waits."""
    return json.loads(machine.run('cat /run/oomkit/overcommit-*').stdout)


def values(machine):
    return {key: machine.sysctl(key) for key in UNTOUCHED}


def log(machine):
    """What the watchdogs have said."""
    return machine.run('dmesg | grep -o "oomkit.linux.overcommit: .*"', check=False).stdout


def can_log_in(machine):
    """Whether a new login works; one that hangs does not.

    It is a new one each time: a login that got half-way and found no memory to go on leaves a connection that is shared
    by all later attempts, and answers none of them for minutes.
    """
    machine._drop_connections()
    try:
        return machine.run('true', check=False, timeout=20).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def nothing_is_left(machine):
    assert watchdog(machine) is None
    assert machine.run('ls -a /run/oomkit', check=False).returncode != 0
    assert machine.run('find /sys/fs/cgroup -name "*oomkit*"').stdout == ''


def undone(machine, within_s):
    """Wait for the watchdog to have rolled all back, and see that it did."""
    last = time.monotonic() + within_s + 20
    while watchdog(machine) is not None:
        assert time.monotonic() < last, 'the watchdog lives on'
        time.sleep(0.3)
    assert values(machine) == UNTOUCHED and machine.sysctl('vm.admin_reserve_kbytes') == 8192
    assert ours(machine) is None and machine.run('ls /var/lib/oomkit', check=False).returncode != 0
    assert log(machine).endswith(
        'rolled back at runtime: vm.overcommit_memory = 0, vm.admin_reserve_kbytes = 8192, vm.overcommit_ratio = 50 '
        '[OOMK-2211]\n'
    )
    nothing_is_left(machine)


# ---------------------------------------------------------------------- confirmed


def test_file_is_written_only_after_confirmation(fresh):
    planned = waits(fresh.module('overcommit', check=True, **REQUEST))
    assert watchdog(fresh) is None and values(fresh) == UNTOUCHED
    done = waits(fresh.module('overcommit', **REQUEST))
    for name in ('changed_keys', 'before', 'after', 'diff'):
        assert planned[name] == done[name]
    assert values(fresh) == {'vm.overcommit_memory': 2, 'vm.overcommit_ratio': 90} and ours(fresh) is None
    about = fresh.run(f'cd /proc/{watchdog(fresh)} && cat cgroup oom_score_adj && grep VmLck status').stdout.split()
    assert about[0] == '0::/' and '-1000' in about and int(about[about.index('VmLck:') + 1]) > 0

    # The same connection, through become and ControlPersist too, proves nothing.
    for same in (
        fresh.module('overcommit', **REQUEST),
        fresh.module_under('', 'overcommit', **REQUEST),
        fresh.module_under('runuser -u root --', 'overcommit', **REQUEST),
    ):
        assert not same['changed'] and same['confirmation']['state'] == 'pending', same
        assert 'connection' in same['confirmation']['reason']
    other = fresh.module('overcommit', mode='always')
    assert other['failed'] and other['refusal'] == 'other' and 'another change waits' in other['msg']
    assert ours(fresh) is None and watchdog(fresh)

    fresh._drop_connections()
    now = fresh.module('overcommit', **REQUEST)
    assert now['changed'] and now['confirmation']['state'] == 'confirmed', now
    assert 'vm.overcommit_memory = 2\n' in ours(fresh)
    nothing_is_left(fresh)
    assert log(fresh) == ''
    again = fresh.module('overcommit', **REQUEST)
    assert not again['changed'] and again['confirmation']['state'] == 'not_needed'

    fresh.reboot()
    assert values(fresh) == {'vm.overcommit_memory': 2, 'vm.overcommit_ratio': 90}
    fresh.module('overcommit', state='absent')
    assert values(fresh) == UNTOUCHED and fresh.sysctl('vm.admin_reserve_kbytes') == 8192


@pytest.mark.long
def test_absent_reverts_what_waits(fresh):
    waits(fresh.module('overcommit', **REQUEST))
    assert fresh.module('overcommit', state='absent')['changed']
    undone_now = values(fresh), fresh.sysctl('vm.admin_reserve_kbytes'), ours(fresh), log(fresh)
    assert undone_now == (UNTOUCHED, 8192, None, '')
    nothing_is_left(fresh)


@pytest.mark.long
def test_a_limit_that_stops_every_fork_at_once_needs_no_watchdog(fresh):
    result = fresh.module('overcommit', mode='never', kbytes=40000, force=True, confirm_within=60)
    assert result['failed'] and 'Everything was rolled back' in result['msg']
    assert values(fresh) == UNTOUCHED
    nothing_is_left(fresh)


# ------------------------------------------------------------------------- rolled back


def test_a_change_that_makes_new_logins_fail_is_undone(fresh):
    """CommitLimit just above what is committed, and then somebody takes the rest."""
    within_s = 75
    fresh.write_file('/root/hog.py', HOG.encode())
    fresh.run('setsid python3 /root/hog.py </dev/null >/dev/null 2>&1 & sleep 1')
    committed_kb = int(fresh.run('grep Committed_AS /proc/meminfo').stdout.split()[1])
    desired = dict(REQUEST, kbytes=committed_kb + 150_000, force=True, confirm_within=within_s)
    del desired['ratio']
    begin = time.monotonic()
    waits(fresh.module('overcommit', **desired))
    deadline_s = state(fresh)['deadline_s']
    while can_log_in(fresh):
        assert time.monotonic() < begin + within_s, 'one can still log in'
    locked_out_s = time.monotonic() - begin
    assert locked_out_s < within_s, 'the machine is too slow for this test'
    while not can_log_in(fresh):
        assert time.monotonic() < begin + within_s + 120, 'locked out for ever'
        time.sleep(0.5)
    print(f'locked out after {locked_out_s:.0f} s, in again after {time.monotonic() - begin:.0f} s of {within_s} s')
    undone(fresh, 0)
    late_s = float(fresh.run('dmesg | grep oomkit.linux').stdout.strip('[ ').split(']')[0]) - deadline_s
    print(f'rolled back {late_s:.1f} s after the end of its time')
    assert -1 < late_s < 10
    assert f'not confirmed within {within_s} s' in log(fresh)


def test_a_killed_connection_is_no_confirmation(fresh):
    waits(fresh.module('overcommit', **SHORT))
    server = state(fresh)['connection'][0][0]
    fresh.run(f'kill -9 {server}', check=False)
    fresh._drop_connections()
    assert watchdog(fresh) and values(fresh)['vm.overcommit_memory'] == 2
    undone(fresh, SHORT['confirm_within'])


def test_the_end_of_its_cgroup_does_not_end_the_watchdog(fresh):
    """What logind does to a login when it kills what the login leaves behind, and systemd to a service."""
    prefix = (
        "systemd-run --scope --quiet --unit=login sh -c 'setsid sleep 77 </dev/null >/dev/null 2>&1 & exec \"$@\"' -"
    )
    waits(fresh.module_under(prefix, 'overcommit', **SHORT))
    assert fresh.run('pgrep -fx "sleep 77"').stdout
    fresh.run('systemctl stop login.scope')
    assert fresh.run('pgrep -fx "sleep 77"', check=False).stdout == '' and watchdog(fresh)
    undone(fresh, SHORT['confirm_within'])
    assert 'not confirmed within 10 s' in log(fresh)


@pytest.mark.long
@pytest.mark.skipif(FLAVOUR != DEFAULT, reason='of the lab machines only "services", of Debian 13, has logind sessions')
def test_the_end_of_its_logind_session_does_not_end_the_watchdog():
    machine = Machine(f'logind-{os.getpid()}', 'services')
    try:
        machine.start()
        kill = b'[Login]\nKillUserProcesses=yes\nKillExcludeUsers=\n'
        machine.write_file('/etc/systemd/logind.conf.d/kill.conf', kill)
        machine.run('systemctl restart systemd-logind')
        machine._drop_connections()
        machine.run('setsid sleep 77 </dev/null >/dev/null 2>&1 &')
        desired = {**SHORT, 'confirm_within': 25}
        waits(machine.module('overcommit', **desired))
        session = machine.run('grep -o "session-[^.]*" /proc/self/cgroup').stdout.strip().split('-')[1]
        machine.run(f'loginctl terminate-session {session}', check=False)
        machine._drop_connections()
        last = time.monotonic() + 10
        while machine.run('pgrep -fx "sleep 77"', check=False).stdout:
            assert time.monotonic() < last, 'logind ended nothing, so this test proves nothing'
        assert machine.run(f'loginctl show-session {session}', check=False).returncode != 0
        assert watchdog(machine) and values(machine)['vm.overcommit_memory'] == 2
        undone(machine, 25)
        assert 'not confirmed within 25 s' in log(machine)
    finally:
        machine.stop()


def test_a_reset_before_the_confirmation_comes_up_as_it_was(fresh):
    waits(fresh.module('overcommit', **dict(REQUEST, confirm_within=3600)))
    fresh.reboot('sync; echo b > /proc/sysrq-trigger')
    assert values(fresh) == UNTOUCHED and ours(fresh) is None and log(fresh) == ''
    assert fresh.run('ls /var/lib/oomkit', check=False).returncode != 0
    nothing_is_left(fresh)


@pytest.mark.long
def test_an_orderly_reboot_does_not_wait_for_it(fresh):
    waits(fresh.module('overcommit', **dict(REQUEST, confirm_within=3600)))
    seconds = fresh.reboot()
    print(f'back after {seconds:.0f} s')
    assert values(fresh) == UNTOUCHED and ours(fresh) is None
    nothing_is_left(fresh)


# ---------------------------------------------------------------------- as users do it


@pytest.mark.long
def test_in_a_play(fresh, tmp_path):
    """The tasks of the module's own examples; a second play has nothing to confirm."""
    plugin = Path(__file__).parents[2] / 'plugins/modules/overcommit.py'
    examples = yaml.safe_load(plugin.read_text().split("EXAMPLES = r'''")[1].split("'''")[0])
    names = [task['name'] for task in examples]
    first = next(number for number, name in enumerate(names) if name.startswith('A limit that has to prove itself'))
    make, include, reset, again = examples[first : first + 4]
    assert include['ansible.builtin.include_tasks'] == 'confirm_limit.yml'
    for task in (make, again):
        task['oomkit.linux.overcommit']['confirm_within'] = 600  # an emulated machine is slow
    (tmp_path / 'confirm_limit.yml').write_text(yaml.safe_dump([reset, again]))
    same = dict(make, name='Over the same connection', register='same')
    save = {
        'name': 'Save',
        'ansible.builtin.copy': {
            'content': '{{ [same.confirmation.state, limit.confirmation.state] | to_json }}',
            'dest': str(tmp_path / 'states.json'),
            'mode': '0644',
        },
        'delegate_to': 'localhost',
        'vars': {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable},
    }
    play = [{'hosts': 'all', 'gather_facts': False, 'tasks': [make, same, include, save]}]
    (tmp_path / 'play.yml').write_text(yaml.safe_dump(play))
    (tmp_path / 'hosts').write_text(fresh.inventory() + '\n')
    (tmp_path / 'ansible.cfg').write_text('')

    def states():
        env = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(collection.root()), ANSIBLE_HOME=str(tmp_path / 'home'),
                   ANSIBLE_CONFIG=str(tmp_path / 'ansible.cfg'))
        command = [Path(sys.executable).parent / 'ansible-playbook', '-i', 'hosts', 'play.yml']
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, shlex.join(map(str, command)) + done.stdout + done.stderr
        return json.loads((tmp_path / 'states.json').read_text())

    assert states() == ['pending', 'confirmed']
    assert fresh.sysctl('vm.overcommit_ratio') == 80 and 'vm.overcommit_ratio = 80' in ours(fresh)
    nothing_is_left(fresh)
    assert states() == ['not_needed', 'not_needed']
