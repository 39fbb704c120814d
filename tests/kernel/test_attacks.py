# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an unprivileged user does on a real kernel to keep a module of root waiting."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from oomlab.guest import HOME, request, result
from service_units import install, scores
from test_services import warnings
from test_sysctls import good

ATTACKS = Path(__file__).resolve().parent / 'attacks'
# A real machine takes a second or two. An emulated one beside two others takes up to 35 s, most of it to start Python.
LIMIT_S = 60
AS_USER = 'setpriv --reuid tester --regid tester --clear-groups'
HIDE_SYSTEMD = "unshare -m sh -c 'mkdir -p /srv/none && mount --bind /srv/none /run/systemd && exec \"$@\"' - "
# Ends nothing but what `sleep` and `kill` reach: pgrep and ps wait for stuck processes themselves.
STARTED = 'for i in $(seq 150); do test -s {0} && break; sleep 0.2; done; cat {0}'


def in_time(machine, module, prefix='', **params):
    """The result of a run in a process of its own, which has to end in time."""
    command = f'{prefix}timeout -s KILL {LIMIT_S + 5} python3 {HOME}/runner.py'
    done = machine.run(command, data=request(module, params) + '\n', check=False, timeout=LIMIT_S + 60)
    assert done.stdout, f'{module} did not end within {LIMIT_S} s'
    answer = result(module, done.stdout)
    assert answer['_seconds'] < LIMIT_S and 'internal error' not in json.dumps(answer), answer
    return answer


@pytest.fixture
def attacked(fresh):
    """A machine that has the programs of the attacker."""
    for path in ATTACKS.glob('*.py'):
        fresh.write_file(f'/srv/attacks/{path.name}', path.read_bytes())
    return fresh


def stuck(machine, kind, count=1, *words):
    """Start so many stuck processes of an unprivileged user; their PIDs."""
    user = '' if 'subuids' in words else AS_USER
    machine.run(f'{user} setsid python3 /srv/attacks/stuck.py {kind} {count} {" ".join(words)} '
                '>/srv/stuck 2>/srv/errors </dev/null &')
    text = machine.run(STARTED.format('/srv/stuck') + '; cat /srv/errors').stdout
    assert text.startswith('['), text
    return json.loads(text.splitlines()[0])


def named(pids, texts):
    """Whether one of the processes is named."""
    words = json.dumps(texts).replace(',', ' ').replace('"', ' ').split()
    return bool({str(pid) for pid in pids}.intersection(words))


STUCK = [('shared', 30, ()),
         pytest.param('shared', 1, (), marks=pytest.mark.long),
         pytest.param('shared', 5, ('subuids',), marks=pytest.mark.long),
         pytest.param('shared', 1, ('nodump',), marks=pytest.mark.long)]


@pytest.mark.parametrize('kind, count, words', STUCK)
def test_stuck_processes_are_named_and_everybody_else_is_seen(attacked, kind, count, words):
    install(attacked, 'family')
    pids = stuck(attacked, kind, count, *words)
    # Linux 6.1 answers this read, so that there is nothing to skip.
    blocks = attacked.run(f'timeout -s KILL 3 cat /proc/{pids[0]}/stat', check=False).returncode != 0
    facts = good(in_time(attacked, 'oom_facts', top=0))['ansible_facts']['oom']
    assert named(pids, facts['warnings']) == blocks, facts['warnings']
    assert facts['commit'] and facts['overcommit']
    if 'subuids' not in words:  # only those of one user are left out
        assert 'family.service' in [one['unit'] for one in facts['candidates']]
    forecast = good(in_time(attacked, 'oom_forecast_info'))
    assert (forecast['outcome'] == 'unknown' and named(pids, forecast['reason'])) == blocks, forecast
    good(in_time(attacked, 'oom_score_adj', name='family', score_adj=-100))
    assert set(scores(attacked, 'family').values()) == {-100}


def test_command_lines_that_cannot_be_read(attacked):
    """mmap_lock alone: stat answers, cmdline does not."""
    pids = stuck(attacked, 'fault')
    facts = good(in_time(attacked, 'oom_facts', cmdline=True))['ansible_facts']['oom']
    assert named(pids, facts['warnings'])
    found = in_time(attacked, 'oom_score_adj', process={'cmdline_regex': '^/usr/bin/nothing-such'}, score_adj=1)
    assert found['failed'] and 'matches no process' in found['msg'], found


@pytest.mark.long
def test_slow_processes_have_no_more_time_together_than_one(attacked):
    """Each look returns after 3.5 s."""
    stuck(attacked, 'slow', 30)
    good(in_time(attacked, 'oom_facts', cmdline=True, top=0))


def test_a_service_with_a_stuck_process_is_set_but_for_that_one(attacked):
    unit = ('[Service]\nUser=tester\nExecStart=/usr/bin/python3 /srv/attacks/stuck.py shared 1\n'
            'StandardOutput=file:/srv/stuck\n')
    attacked.write_file('/etc/systemd/system/trap.service', unit.encode())
    attacked.run('systemctl daemon-reload && systemctl start trap')
    pids = json.loads(attacked.run(STARTED.format('/srv/stuck')).stdout)
    answer = in_time(attacked, 'oom_score_adj', name='trap', score_adj=700)
    assert named(pids, [answer.get('services'), answer.get('msg'), warnings(answer)]), answer


def test_ansible_itself_does_not_wait_for_what_a_run_left(attacked, tmp_path):
    """No process of the module is left that holds its output."""
    import collection
    stuck(attacked, 'shared')
    (tmp_path / 'hosts').write_text(attacked.inventory() + '\n')
    begin = time.monotonic()
    command = [Path(sys.executable).parent / 'ansible', '-i', tmp_path / 'hosts', 'all', '-m', 'oomkit.linux.oom_facts']
    environment = {'ANSIBLE_COLLECTIONS_PATH': str(collection.root()), 'ANSIBLE_HOME': str(tmp_path),
                   'PATH': f'{Path(sys.executable).parent}:/usr/bin:/bin', 'LC_ALL': 'C.UTF-8'}
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * LIMIT_S, stdin=subprocess.DEVNULL,
                          env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(f'ansible ended after {time.monotonic() - begin:.0f} s')


# ------------------------------------------------------------------ file systems of users

@pytest.mark.parametrize('folder, hang, name', [
    ('/usr/local/lib/sysctl.d', 'read', 'x.conf'),
    pytest.param('/usr/local/lib/sysctl.d', 'getattr', 'x.conf', marks=pytest.mark.long),
    pytest.param('/usr/local/lib/sysctl.d', 'readdir', 'x.conf', marks=pytest.mark.long)])
def test_a_folder_of_settings_that_does_not_answer(attacked, folder, hang, name):
    mount(attacked, folder, hang, name)
    facts = good(in_time(attacked, 'oom_facts'))['ansible_facts']['oom']
    # To look at the folder itself is to look into the one that it is in.
    skipped = f'{folder if hang == "read" else Path(folder).parent} is skipped'
    assert facts['boot'] is None and any(skipped in text for text in facts['warnings']), facts['warnings']
    answer = in_time(attacked, 'overcommit', ratio=60)
    assert 'does not answer' in json.dumps(answer) and str(Path(folder).parent) in json.dumps(answer), answer


@pytest.mark.long
def test_a_folder_of_pid_files_that_does_not_answer(attacked):
    attacked.run('mkdir -p /etc/init.d; touch /etc/init.d/trap')
    mount(attacked, '/run/trap', 'lookup', 'trap.pid')
    answer = in_time(attacked, 'oom_score_adj', HIDE_SYSTEMD, name='trap', score_adj=5)
    assert '/run/trap' in json.dumps(answer), answer


def mount(machine, folder, hang, *names):
    """Mount a user's file system there. It is not looked at, which would be waiting."""
    machine.run(f'mkdir -p {folder}; setsid python3 /srv/attacks/mount.py {folder} {hang} {" ".join(names)} '
                '>/dev/null 2>&1 </dev/null & '
                f'for i in $(seq 100); do grep -q " {folder} fuse" /proc/mounts && exit 0; sleep 0.1; done; exit 1')


# --------------------------------------------------------------------------------- sizes

def test_a_service_of_nested_processes(attacked):
    """What each process descends from is found in linear time."""
    attacked.run('mkdir -p /etc/init.d /run/nested; touch /etc/init.d/nested; chown tester /run/nested; '
                 f'{AS_USER} setsid python3 -IS /srv/attacks/nested.py 500 /run/nested/pid '
                 '>/dev/null 2>&1 </dev/null &')
    attacked.run('for i in $(seq 300); do test -s /run/nested/pid && exit 0; sleep 0.2; done; exit 1')
    good(in_time(attacked, 'oom_facts'))
    answer = good(in_time(attacked, 'oom_score_adj', HIDE_SYSTEMD, name='nested', score_adj=300))
    assert answer['changed']


DEEP = r"""
import os, sys, time
os.chdir('/sys/fs/cgroup/system.slice/plain.service')
for name in ['a\rb.service', '\u00fc\u6f22', 'x' * 200, 'ssh.service', *(500 * ['d'])]:
    os.mkdir(name)
    os.chdir(name)
pid = os.fork()
if pid == 0:
    os.close(1)
    time.sleep(1e6)
with open('cgroup.procs', 'w') as procs:
    procs.write(str(pid))
print(pid)
"""


@pytest.mark.long
def test_cgroups_that_are_deep_and_oddly_named(fresh):
    install(fresh, 'plain')
    fresh.write_file('/srv/deep.py', DEEP.encode())
    pid = int(fresh.run('python3 /srv/deep.py 2>/dev/null </dev/null').stdout)
    facts = good(in_time(fresh, 'oom_facts', top=0))['ansible_facts']['oom']
    (found,) = [one for one in facts['candidates'] if one['pid'] == pid]
    assert found['unit'] == 'plain.service' and '\r' not in json.dumps(facts)
    assert good(in_time(fresh, 'oom_forecast_info'))['outcome'] in ('kill', 'unknown')
    good(in_time(fresh, 'oom_score_adj', name='plain', score_adj=-100))
    assert fresh.run(f'cat /proc/{pid}/oom_score_adj').stdout == '-100\n'
