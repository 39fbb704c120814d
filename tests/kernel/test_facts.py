# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""oom_facts against the kernel: its numbers, its own choice of victims, and what it hides from whom."""

import datetime
import json
import re
import time

import pytest
from service_units import install, scores
from test_sysctls import good

# NAME-IN-HEX MEGABYTES ADJ KIND FILE: a process that holds memory, and says so in a file when it does. The first thread
# of a "headless" one ends.
HOG = r'''
import ctypes, os, sys, threading, time
name, megabytes, adj, kind = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
libc = ctypes.CDLL(None)
libc.prctl(15, name, 0, 0, 0)
open('/proc/self/oom_score_adj', 'w').write(adj)
memory = b'\1' * (megabytes << 20)
def stay():
    time.sleep(0.5)
    open('/run/hogs/' + sys.argv[5], 'w').write('%d\n' % os.getpid())
    time.sleep(100000)
if kind == 'headless':
    threading.Thread(target=stay).start()
    libc.pthread_exit(None)
stay()
'''


def start_hog(machine, name, megabytes, adj=0, kind='plain'):
    """A process in the guest that holds memory; its PID."""
    raw = name if isinstance(name, bytes) else name.encode()
    token = '%s-%d' % (raw.hex(), time.monotonic_ns())
    machine.write_file('/root/hog.py', HOG.encode())
    machine.run('mkdir -p /run/hogs; setsid -f python3 /root/hog.py %s %d %d %s %s >/dev/null 2>&1 </dev/null; '
                'for i in $(seq 600); do test -s /run/hogs/%s && exit 0; sleep 0.1; done; exit 1'
                % (raw.hex(), megabytes, adj, kind, token, token))
    return int(machine.read_file('/run/hogs/' + token))


def gather(machine, *subset, **params):
    """Facts from inside the guest; warnings always come along."""
    wanted = [*subset, 'warnings'] if subset else ['all']
    result = machine.module('oom_facts', gather_subset=wanted, **params)
    assert set(result['ansible_facts']) == {'oom'}
    assert not result.get('changed') and not result.get('failed'), result
    return result['ansible_facts']['oom']


def meminfo(machine):
    """/proc/meminfo of the guest, by name."""
    text = machine.run('cat /proc/meminfo').stdout
    return {name: int(number) for name, number in re.findall(r'^(\S+):\s+([0-9]+)', text, re.MULTILINE)}


def let_the_kernel_choose(machine):
    """One OOM kill without any shortage: sysrq-f. Returns the kernel log's own words about it."""
    before = kills_so_far(machine)
    machine.run('dmesg -C; echo f > /proc/sysrq-trigger; for i in $(seq 300); do '
                'test $(grep "^oom_kill " /proc/vmstat | cut -d" " -f2) -gt %d && exit 0; sleep 0.1; done; exit 1'
                % before)
    return machine.run('dmesg').stdout


def kills_so_far(machine):
    return int(machine.run('grep "^oom_kill " /proc/vmstat').stdout.split()[1])


def wait_until_gone(machine, pid):
    machine.run('for i in $(seq 300); do test -e /proc/%d || exit 0; sleep 0.1; done; exit 1' % pid)


@pytest.mark.long
@pytest.mark.parametrize('mode, ratio', [('heuristic', 50), ('never', 50), ('never', 100)])
def test_facts_of_the_classic_machine_are_those_of_meminfo(big_machine, mode, ratio):
    big_machine.restore('fresh')
    big_machine.module('overcommit', mode=mode, ratio=ratio, persistent=False)
    facts, reported = gather(big_machine, 'memory', 'commit', 'overcommit'), meminfo(big_machine)
    assert facts['warnings'] == []
    assert (facts['memory']['total_kb'], facts['memory']['swap_total_kb'], facts['memory']['hugetlb_kb']) == (
        reported['MemTotal'], reported['SwapTotal'], reported['Hugetlb'])
    assert facts['commit']['limit_kb'] == reported['CommitLimit']
    assert abs(facts['commit']['limit_kb'] - reported['MemTotal'] * ratio // 100) <= 4
    assert facts['commit']['enforced'] is (mode == 'never')
    assert abs(facts['commit']['committed_kb'] - reported['Committed_AS']) < 100_000
    assert abs(facts['memory']['available_kb'] - reported['MemAvailable']) < 100_000
    assert (facts['overcommit']['mode_name'], facts['overcommit']['ratio']) == (mode, ratio)


@pytest.mark.long
def test_the_classic_example(big_machine):
    """4 GB and no swap: half the memory at ratio 50, all of it at 100, in one call each."""
    big_machine.restore('fresh')
    total_kb = meminfo(big_machine)['MemTotal']
    for ratio in (50, 100):
        good(big_machine.module('overcommit', mode='never', ratio=ratio))
        assert abs(meminfo(big_machine)['CommitLimit'] - total_kb * ratio // 100) <= 4
        facts, now = gather(big_machine), meminfo(big_machine)
        assert (facts['commit']['limit_kb'], facts['memory']['total_kb'], facts['memory']['swap_total_kb']) == (
            now['CommitLimit'], now['MemTotal'], 0)
        assert facts['overcommit']['ratio'] == ratio and facts['commit']['enforced'] and facts['drift'] == []


def test_everything_is_reported_to_root(fresh):
    facts = gather(fresh)
    expected = [] if fresh.run('cat /proc/pressure/memory', check=False).returncode == 0 else ['pressure']
    assert [text.partition(':')[0] for text in facts['warnings']] == expected
    gathered_at = facts['environment'].pop('gathered_at')
    assert fresh.run('date -u +%Y-%m-%dT%H').stdout.strip()[:11] == gathered_at[:11] and gathered_at.endswith('Z')
    assert facts['environment'] == {'container': None, 'writable': True, 'pid_namespace': 'init', 'cgroup': 'v2',
                                    'init': 'systemd'}
    assert facts['drift'] == []
    assert facts['kills'] == {'total': 0, 'recent': []}
    assert (facts['pressure'] is None) == bool(expected)
    units = {one['unit'] for one in gather(fresh, 'candidates', top=0)['candidates']}
    assert 'systemd-journald.service' in units
    assert 1 not in {one['pid'] for one in facts['candidates']}


def test_the_kernel_chooses_whom_the_facts_name_first(fresh):
    """Plain sizes, adjustments up and down, and a process whose first thread has ended."""
    hogs = {start_hog(fresh, name, megabytes, adj, kind): name for name, megabytes, adj, kind in (
        ('large', 120, 0, 'plain'), ('middle', 80, 0, 'plain'), ('headless', 100, 0, 'headless'),
        ('raised', 10, 300, 'plain'), ('lowered', 60, -100, 'plain'))}
    spared = start_hog(fresh, 'never', 150, -1000)
    killed = []
    for number in range(1, 5):
        facts = gather(fresh, 'candidates', 'unkillable', 'kills', top=3)
        assert facts['kills']['total'] == number - 1
        assert spared in [one['pid'] for one in facts['unkillable']]
        first = facts['candidates'][0]
        let_the_kernel_choose(fresh)
        wait_until_gone(fresh, first['pid'])
        recent = gather(fresh, 'kills')['kills']['recent']
        assert (recent[-1]['pid'], recent[-1]['name']) == (first['pid'], first['name'])
        assert (recent[-1]['oom_score_adj'], recent[-1]['constraint']) == (first['oom_score_adj'], 'none')
        killed.append(hogs[first['pid']])
        assert abs(recent[-1]['rss_kb'] - first['rss_kb']) < 4096
    assert killed == ['raised', 'large', 'headless', 'middle']


def test_badness_is_what_the_kernel_writes_in_its_table_of_tasks(fresh):
    """The table that the kernel logs at a kill holds its own numbers for every process."""
    pid = start_hog(fresh, 'victim', 100)
    facts = gather(fresh, 'candidates', top=0)['candidates']
    log = let_the_kernel_choose(fresh)
    head = re.search(r'\[\s*pid\s*\]\s+(uid .*)', log).group(1).split()
    tasks = {}
    for task_pid, rest in re.findall(r'\[\s*([0-9]+)\]\s+([0-9]+ .*)', log):
        tasks[int(task_pid)] = dict(zip(head, rest.split(), strict=False))
    compared = [(one['pid'], one['badness_pages'], tasks[one['pid']]) for one in facts
                if one['oom_score_adj'] == 0 and one['pid'] in tasks
                and (one['pid'] == pid or one['cgroup'].startswith('/system.slice/systemd-'))]
    assert pid in [one[0] for one in compared]
    assert len(compared) >= 3
    for _pid, badness, task in compared:
        kernels = int(task['rss']) + int(task['swapents']) + int(task['pgtables_bytes']) // 4096
        assert abs(badness - kernels) <= 512


def test_a_kill_in_a_cgroup_is_reported_with_its_cgroup(fresh):
    fresh.write_file('/root/hog.py', HOG.encode())
    fresh.run('mkdir -p /run/hogs; systemd-run --wait --unit=small -p MemoryMax=30M -p MemorySwapMax=0 '
              'python3 /root/hog.py %s 100 0 plain x' % b'small'.hex(), check=False)
    kill = gather(fresh, 'kills')['kills']['recent'][-1]
    assert (kill['name'], kill['constraint'], kill['cgroup']) == ('small', 'memcg', '/system.slice/small.service')
    when = datetime.datetime.fromisoformat(kill['when'].replace('Z', '+00:00')).timestamp()
    assert abs(when - int(fresh.run('date +%s').stdout)) < 120


@pytest.mark.parametrize('name, text', [(b'\n\x1b[31m', '\\x0a\\x1b[31m'), (b'\xff\xfex', '\\xff\\xfex')])
def test_hostile_names_are_sanitized_alive_and_dead(fresh, name, text):
    pid = start_hog(fresh, name, 5, 1000)
    facts = gather(fresh, 'candidates', top=1)
    assert [(one['pid'], one['name']) for one in facts['candidates']] == [(pid, text)]
    let_the_kernel_choose(fresh)
    kill = gather(fresh, 'kills')['kills']['recent'][-1]
    assert (kill['pid'], kill['name']) == (pid, text)


@pytest.mark.long
def test_the_highest_bands_give_the_same_as_all(fresh):
    for number in range(12):
        start_hog(fresh, 'hog%d' % number, 2 + 3 * number, 100 + 10 * (number % 3))
    everybody = [one['pid'] for one in gather(fresh, 'candidates', top=0)['candidates']]
    assert len(everybody) > 12
    assert [one['pid'] for one in gather(fresh, 'candidates', top=8)['candidates']] == everybody[:8]


def test_an_ordinary_user_learns_almost_everything(fresh):
    pid = start_hog(fresh, 'large', 50, 500)
    fresh.run('sysctl -q kernel.dmesg_restrict=1')
    facts = gather(fresh, user='tester')
    assert facts['candidates'][0]['pid'] == pid
    assert facts['environment']['writable'] is False
    assert facts['memory']['total_kb'] == meminfo(fresh)['MemTotal']
    assert facts['kills']['recent'] is None
    assert any(text.startswith('kills: ') and 'not permitted' in text for text in facts['warnings'])


@pytest.mark.parametrize('hidepid, reason', [(1, 'may not be read'), (2, 'only own processes')])
def test_hidden_processes_are_reported(fresh, hidepid, reason):
    start_hog(fresh, 'large', 50, 500)
    fresh.run('mount -o remount,hidepid=%d /proc' % hidepid)
    facts = gather(fresh, user='tester')
    assert {one['user'] for one in facts['candidates']} <= {'tester'}
    assert any(text.startswith('candidates: ') and reason in text for text in facts['warnings'])
    assert facts['commit']['limit_kb'] == meminfo(fresh)['CommitLimit']
    assert gather(fresh, 'candidates')['warnings'] == []  # root sees all


@pytest.mark.long
def test_inside_a_pid_namespace_the_first_process_is_a_candidate(fresh):
    result = fresh.module_under('unshare --pid --fork --mount-proc sh -c \'"$@"; exit $?\' -', 'oom_facts')
    facts = result['ansible_facts']['oom']
    assert facts['environment']['pid_namespace'] == 'nested'
    assert 1 in [one['pid'] for one in facts['candidates']]
    assert any(text.startswith('candidates: ') and 'PID namespace' in text for text in facts['warnings'])


def test_sysctls_that_are_read_only_are_reported_as_such(fresh):
    result = fresh.module_under(
        'unshare -m sh -c \'mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; exec "$@"\' -',
        'oom_facts', gather_subset=['environment'])
    assert result['ansible_facts']['oom']['environment']['writable'] is False


def test_daemons_that_kill_are_named(fresh):
    assert gather(fresh, 'oom_daemons')['oom_daemons'] == []
    fresh.run('cp /bin/sleep /root/earlyoom; cp /bin/sleep /root/nohang; '
              'systemd-run --unit=earlyoom /root/earlyoom 1000; '
              'setsid -f /root/nohang 1000 >/dev/null 2>&1 </dev/null; sleep 1')
    found = gather(fresh, 'oom_daemons')['oom_daemons']
    assert sorted(one['name'] for one in found) == ['earlyoom', 'nohang']
    assert [one['unit'] for one in found if one['name'] == 'earlyoom'] == ['earlyoom.service']


def test_drift_is_reported_until_the_reboot(fresh):
    fresh.write_file('/etc/sysctl.d/50-vendor.conf', b'# strict\nvm.overcommit_ratio = 77\n')
    drift = gather(fresh, 'drift')['drift']
    assert drift == [{'key': 'vm.overcommit_ratio', 'runtime': 50, 'boot': 77, 'file': '/etc/sysctl.d/50-vendor.conf'}]
    fresh.run('systemctl restart systemd-sysctl')
    facts = gather(fresh, 'drift', 'boot')
    assert facts['drift'] == []
    assert facts['boot']['vm.overcommit_ratio'] == {'value': 77, 'file': '/etc/sysctl.d/50-vendor.conf', 'line': 2}
    assert json.dumps(facts['boot']['vm.panic_on_oom']) == '{"value": 0, "file": null, "line": null}'


@pytest.mark.parametrize('cgroup', [
    '/lxc/101/ns/system.slice/plain.service', '/docker/0123/system.slice/plain.service'])
def test_a_containers_service_is_not_the_hosts(fresh, cgroup):
    """The host has a service of that name as well. ps shows the unit of libsystemd."""
    install(fresh, 'plain')
    pid = start_hog(fresh, 'inner', 100)
    fresh.run(f'mkdir -p /sys/fs/cgroup{cgroup} && echo {pid} > /sys/fs/cgroup{cgroup}/cgroup.procs')
    assert fresh.run(f'ps -o unit= -p {pid}').stdout.strip() == '-'
    inner = next(one for one in gather(fresh, 'candidates', top=200)['candidates'] if one['pid'] == pid)
    assert (inner['unit'], inner['cgroup']) == (None, cgroup)
    own = set(scores(fresh, 'plain'))
    good(fresh.module('oom_score_adj', name='plain', score_adj=-300, persistent=False))
    assert set(scores(fresh, 'plain').values()) == {-300} and set(scores(fresh, 'plain')) == own and pid not in own
    assert fresh.run(f'cat /proc/{pid}/oom_score_adj').stdout.strip() == '0'
    result = good(fresh.module('oom_forecast_info', kills=1, protect=['plain'], growing={'pid': pid, 'size': '4G'}))
    assert result['kill_order'][0]['victims'][0]['pid'] == pid and result['violations'] == []
