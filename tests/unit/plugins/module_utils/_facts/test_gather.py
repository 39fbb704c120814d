# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts as a whole: of a machine on disk, and of this machine with hostile processes on it."""

import contextlib
import datetime
import errno
import json
import os
import shutil
import subprocess
import sys

import machine
import pytest
from proc_files import add_process

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather as facts_gather
from ansible_collections.oomkit.linux.plugins.module_utils._host import meminfo
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import list_sysctls


def gather(host, *subset, top=10, cmdline=False):
    """The facts, as they look after a way through JSON."""
    request = facts_gather.Request(facts_gather.select_keys(list(subset) or ['all']), top, cmdline)
    facts = facts_gather.gather_facts(host, request)
    return json.loads(json.dumps(facts))


@pytest.fixture
def box(tmp_path):
    """A 4 GB machine on disk with a few processes."""
    one = machine.Machine(tmp_path)
    one.put('/proc/stat', 'cpu 1 2 3\nbtime 1700000000\n')
    one.put('/proc/vmstat', 'pgfault 1\noom_kill 3\n')
    one.put('/proc/pressure/memory', 'some avg10=0.12 avg60=1.00 avg300=0.50 total=1234\n'
                                     'full avg10=0.00 avg60=0.50 avg300=0.25 total=567\n')
    one.link('/proc/self/ns/pid', 'pid:[4026531836]')
    add_process(one, 1, 0, name=b'systemd', cgroup=b'0::/init.scope\n')
    add_process(one, 40, 700, rss_kb=200000, cgroup=b'0::/system.slice/web.service\n', name=b'web')
    add_process(one, 41, 690, rss_kb=100000)
    add_process(one, 42, 0, adj=-1000, name=b'sshd', cgroup=b'0::/system.slice/ssh.service\n')
    add_process(one, 43, 666, name=b'earlyoom', cgroup=b'0::/system.slice/earlyoom.service\n')
    one.put('/proc/50/oom_score', '0\n')
    one.put('/proc/50/oom_score_adj', '0\n')
    one.put('/proc/50/status', 'Name:\tkswapd0\nState:\tS (sleeping)\nUid:\t0\t0\t0\t0\nThreads:\t1\n')
    return one


@pytest.fixture
def bare(tmp_path):
    """A machine that shows next to nothing."""
    (tmp_path / 'proc').mkdir()
    return Host(str(tmp_path))


def test_everything_is_there_and_in_order(box):
    facts = gather(box)
    assert list(facts) == list(facts_gather.KEYS)
    assert facts['warnings'] == [
        'kills: the kernel log cannot be read (No such file or directory), so recent kills are unknown [OOMK-2504]']


def test_settings(box):
    switches = {one.fact: bool(box.state[one.key]) for one in list_sysctls('panic_on_oom') if one.is_switch}
    assert switches['kill_allocating_task']
    facts = gather(box, 'overcommit', 'panic')
    assert facts == {
        'overcommit': {'mode': 1, 'mode_name': 'always', 'ratio': 70, 'kbytes': 0, 'admin_reserve_kbytes': 6000,
                       'user_reserve_kbytes': 20000},
        'panic': {'panic_on_oom': 0, 'policy': 'kill', 'reboot_after_s': 10, **switches},
    }


@pytest.mark.parametrize('mode, name, enforced', [(0, 'heuristic', False), (1, 'always', False), (2, 'never', True)])
def test_commit(box, mode, name, enforced):
    box.state['vm.overcommit_memory'] = mode
    box.show()
    facts = gather(box, 'overcommit', 'commit')
    assert (facts['overcommit']['mode'], facts['overcommit']['mode_name']) == (mode, name)
    limit_kb = box.commit_limit_kb()
    assert facts['commit'] == {
        'limit_kb': limit_kb, 'committed_kb': 200000, 'headroom_kb': limit_kb - 6000 - 20000 - 200000,
        'used_percent': round(100 * 200000 / limit_kb, 1), 'enforced': enforced}


def test_without_the_reserves_the_headroom_is_not_known(box, tmp_path):
    (tmp_path / 'proc/sys/vm/user_reserve_kbytes').unlink()
    facts = gather(box, 'commit', 'warnings')
    assert facts['commit']['headroom_kb'] is None and facts['commit']['used_percent'] > 0
    assert facts['warnings'] == ['commit: this kernel does not show vm.user_reserve_kbytes [OOMK-2503]']


def test_a_limit_of_nothing_has_no_percentage(box):
    box.put('/proc/meminfo', 'MemTotal: 1000 kB\nMemAvailable: 1 kB\nCommitLimit: 0 kB\nCommitted_AS: 5 kB\n')
    assert gather(box, 'commit')['commit']['used_percent'] is None


def test_candidates(box):
    facts = gather(box, 'candidates', 'unkillable', 'oom_daemons', 'warnings')
    assert [(one['rank'], one['pid'], one['oom_score']) for one in facts['candidates']] == [
        (1, 40, 700), (2, 41, 690), (3, 43, 666)]
    page_kb = meminfo.get_page_kb()
    assert facts['candidates'][0] == {
        'rank': 1, 'pid': 40, 'name': 'web', 'unit': 'web.service', 'cgroup': '/system.slice/web.service',
        'user': 'root', 'uid': 0, 'badness_pages': 200000 // page_kb + 64 // page_kb, 'oom_score': 700,
        'oom_score_adj': 0, 'rss_kb': 200000, 'swap_kb': 0, 'pagetables_kb': 64, 'started': '2023-11-14T22:13:25Z'}
    assert facts['unkillable'] == [{'pid': 42, 'name': 'sshd', 'unit': 'ssh.service'}]
    assert facts['oom_daemons'] == [{'name': 'earlyoom', 'pid': 43, 'unit': 'earlyoom.service'}]
    assert facts['warnings'] == []


@pytest.mark.parametrize('top, pids', [(0, [40, 41, 43]), (1, [40]), (2, [40, 41]), (100, [40, 41, 43])])
def test_top(box, top, pids):
    assert [one['pid'] for one in gather(box, 'candidates', top=top)['candidates']] == pids


def test_the_first_process_of_a_container_is_a_candidate(box, tmp_path):
    (tmp_path / 'proc/self/ns/pid').unlink()
    box.link('/proc/self/ns/pid', 'pid:[4026532999]')
    add_process(box, 1, 668, rss_kb=50000)
    facts = gather(box, 'candidates', 'environment', 'warnings')
    assert 1 in [one['pid'] for one in facts['candidates']]
    assert facts['environment']['pid_namespace'] == 'nested'
    assert any('PID namespace' in text for text in facts['warnings'])


def test_the_global_init_is_none_even_if_its_score_says_so(box):
    add_process(box, 1, 668, rss_kb=50000)
    assert 1 not in [one['pid'] for one in gather(box, 'candidates')['candidates']]


def test_command_lines_only_when_asked_for(box):
    assert 'cmdline' not in gather(box, 'candidates')['candidates'][0]
    asked = gather(box, 'candidates', cmdline=True)['candidates'][0]
    assert asked['cmdline'] == '/usr/sbin/daemon --password se\\x0acret'


def test_an_unknown_user_has_a_number_only(box):
    add_process(box, 60, 800, rss_kb=900000, uid=3999999999)
    first = gather(box, 'candidates')['candidates'][0]
    assert (first['uid'], first['user']) == (3999999999, None)


def test_pressure(box):
    assert gather(box, 'pressure')['pressure'] == {
        'some': {'avg10': 0.12, 'avg60': 1.0, 'avg300': 0.5, 'total': 1234},
        'full': {'avg10': 0.0, 'avg60': 0.5, 'avg300': 0.25, 'total': 567}}


def test_boot_and_drift(box):
    box.put('/etc/sysctl.d/50-x.conf', '# strict\nvm.overcommit_memory = 2\n')
    facts = gather(box, 'boot', 'drift')
    assert facts['boot']['vm.overcommit_memory'] == {'value': 2, 'file': '/etc/sysctl.d/50-x.conf', 'line': 2}
    assert facts['boot']['vm.panic_on_oom'] == {'value': 0, 'file': None, 'line': None}
    cache = '/etc/sysctl.d/30-cache.conf'
    assert sorted(facts['drift'], key=lambda one: list(box.state).index(one['key'])) == [
        {'key': 'vm.overcommit_memory', 'runtime': 1, 'boot': 2, 'file': '/etc/sysctl.d/50-x.conf'},
        {'key': 'vm.overcommit_ratio', 'runtime': 70, 'boot': 60, 'file': cache},
        {'key': 'vm.admin_reserve_kbytes', 'runtime': 6000, 'boot': 5000, 'file': cache},
        {'key': 'kernel.panic', 'runtime': 10, 'boot': 20, 'file': cache},
        {'key': 'vm.oom_kill_allocating_task', 'runtime': 1, 'boot': 0, 'file': None}]


@pytest.mark.parametrize('subset', [['boot'], ['drift'], ['boot', 'drift']])
def test_unreadable_file_leaves_next_boot_and_drift_unknown(box, monkeypatch, subset):
    box.put('/etc/sysctl.d/99-x.conf', 'vm.overcommit_memory = 1\n')
    read_text = box.read_text

    def read(path):
        if path == '/etc/sysctl.d/99-x.conf':
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return read_text(path)

    monkeypatch.setattr(box, 'read_text', read)
    assert gather(box, 'warnings', *subset) == {**dict.fromkeys(subset), 'warnings': [
        f'{key}: /etc/sysctl.d/99-x.conf could not be read (Permission denied), so what the next boot sets is unknown '
        '[OOMK-2506]'
        for key in subset]}


@pytest.mark.parametrize('key', ['boot', 'drift'])
def test_unreadable_sysctl_has_unknown_drift_and_a_warning(box, tmp_path, key):
    box.put('/etc/sysctl.d/50-x.conf', 'vm.overcommit_memory = 2\nvm.panic_on_oom = 1\n')
    (tmp_path / 'proc/sys/vm/overcommit_memory').unlink()
    facts = gather(box, key, 'warnings')
    assert 'vm.panic_on_oom' in str(facts[key]) and 'overcommit_memory' not in str(facts[key])
    assert facts['warnings'] == [key + ': this kernel does not show vm.overcommit_memory [OOMK-2503]']
    shutil.rmtree(tmp_path / 'proc/sys')
    facts = gather(box, key, 'warnings')
    assert facts[key] is None
    assert facts['warnings'][0].startswith(key + ': this kernel does not show vm.overcommit_memory, ')


def test_competing_writers(box):
    """Found in the same look at all names as the OOM daemons in user space."""
    add_process(box, 70, 666, name=b'kubelet')
    add_process(box, 71, 666, name=b'tuned')
    shutil.rmtree(box.base / 'etc/sysctl.d')  # TuneD applies its files too
    box.put('/etc/tuned/active_profile', 'a\n')
    box.put('/etc/tuned/a/tuned.conf', '[main]\ninclude=a\x1b\n')
    box.put('/etc/tuned/a\x1b/tuned.conf', '[sysctl]\nvm.oom_kill_allocating_task=>\x1b[31m\n')
    facts = gather(box, 'competing_writers', 'oom_daemons', 'warnings')
    assert facts['competing_writers'] == [
        {'key': 'vm.overcommit_memory', 'value': '1', 'by': 'kubelet', 'how': 'sets', 'file': None},
        {'key': 'vm.panic_on_oom', 'value': '0', 'by': 'kubelet', 'how': 'sets', 'file': None},
        {'key': 'kernel.panic', 'value': '10', 'by': 'kubelet', 'how': 'sets', 'file': None},
        {'key': 'vm.oom_kill_allocating_task', 'value': '>\\x1b[31m', 'by': 'tuned', 'how': 'yields',
         'file': '/etc/tuned/a\\x1b/tuned.conf'}]
    assert [one['name'] for one in facts['oom_daemons']] == ['earlyoom']
    assert facts['warnings'] == []


@pytest.mark.parametrize('key, name', [('competing_writers', b'kubelet'), ('oom_daemons', b'nohang')])
@pytest.mark.parametrize('how, said', [
    ('hidepid=1', '1 processes may not be read'), ('hidepid=2', '/proc shows only own processes'),
    ('a PID namespace', 'only the processes of this PID namespace are seen')])
def test_a_program_that_sets_or_kills_may_hide(box, tmp_path, monkeypatch, how, said, key, name):
    (tmp_path / 'proc/43/comm').write_bytes(name + b'\n')
    seen = gather(box, key, 'warnings')
    assert seen[key] and seen['warnings'] == []
    if how == 'hidepid=1':
        monkeypatch.setattr(os, 'open', denying('43/comm'))
    else:
        (tmp_path / 'proc/43').rename(tmp_path / 'proc/elsewhere')
        if how == 'hidepid=2':
            (tmp_path / 'proc/1').rename(tmp_path / 'proc/elsewhere-1')
        else:
            box.put('/proc/self/status', 'NSpid:\t50\t5\n')
    facts = gather(box, key, 'warnings')
    assert facts[key] == [] and len(facts['warnings']) == 1
    assert facts['warnings'][0].startswith('%s: %s' % (key, said))


def test_a_configuration_of_root_alone_is_a_warning(box, monkeypatch):
    add_process(box, 70, 666, name=b'kubelet')
    box.put('/proc/70/cmdline', b'/usr/bin/kubelet\0--config=/var/lib/kubelet/config.yaml\0')
    box.put('/var/lib/kubelet/config.yaml', 'protectKernelDefaults: true\n')
    monkeypatch.setattr(os, 'open', denying('kubelet/config.yaml'))
    facts = gather(box, 'competing_writers', 'warnings')
    assert {(one['how'], one['file']) for one in facts['competing_writers']} == {(None, None)}
    assert facts['warnings'] == [
        'competing_writers: /var/lib/kubelet/config.yaml may not be read, so its settings are unknown [OOMK-2502]']


def denying(part):
    """os.open as one who may not read that file has it."""
    def answer(path, *more, call=os.open, **other):
        if str(path).endswith(part):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        return call(path, *more, **other)
    return answer


def test_a_hostile_file_name_is_sanitized(box):
    box.put('/etc/sysctl.d/50-\x1b[31m\udcff.conf', 'vm.overcommit_memory = 2\n')
    facts = gather(box, 'boot', 'drift')
    files = {one['key']: one['file'] for one in facts['drift']}
    assert files['vm.overcommit_memory'] == facts['boot']['vm.overcommit_memory']['file'] == (
        '/etc/sysctl.d/50-\\x1b[31m\\xff.conf')


def test_a_machine_that_shows_nothing_fails_nowhere(bare):
    facts = gather(bare)
    assert list(facts) == list(facts_gather.KEYS)
    for key in ('commit', 'memory', 'candidates', 'unkillable', 'pressure', 'boot', 'drift'):
        assert facts[key] is None
        assert [text for text in facts['warnings'] if text.startswith(key + ': ')], key
    assert set(facts['overcommit'].values()) == set(facts['panic'].values()) == {None}
    assert facts['kills'] == {'total': None, 'recent': None}
    assert facts['environment']['writable'] is False
    assert len(facts['warnings']) == len(set(facts['warnings']))


def test_pressure_that_is_switched_off_is_null_with_the_reason(box, tmp_path):
    """The file of a kernel started with psi=0 answers EOPNOTSUPP; a folder in its place is as unreadable."""
    (tmp_path / 'proc/pressure/memory').unlink()
    (tmp_path / 'proc/pressure/memory').mkdir()
    facts = gather(box, 'pressure', 'warnings')
    assert facts['pressure'] is None
    assert facts['warnings'][0].startswith('pressure: ') and 'psi=1' in facts['warnings'][0]


def test_kill_times_ignore_time_namespaces(box, tmp_path):
    """A pipe without a writer's data answers as /dev/kmsg at its end does."""
    os.mkfifo(tmp_path / 'dev/kmsg')
    writer = os.open(tmp_path / 'dev/kmsg', os.O_RDWR | os.O_NONBLOCK)
    moments = []
    try:
        for ahead_s in (0, 1000000):
            box.put('/proc/self/timens_offsets', 'monotonic  %10d         0\n' % ahead_s)
            os.write(writer, b'3,1,5000000,-;Out of memory: Killed process 412 (x) total-vm:1kB, anon-rss:1kB, '
                             b'file-rss:0kB, shmem-rss:0kB\n')
            kill, = gather(box, 'kills')['kills']['recent']
            moments.append(datetime.datetime.fromisoformat(kill['when'].replace('Z', '+00:00')))
    finally:
        os.close(writer)
    assert abs((moments[1] - moments[0]).total_seconds() - 1000000) < 5


@pytest.mark.parametrize('subset, expected', [
    (['all'], set(facts_gather.KEYS)),
    ([], set(facts_gather.KEYS)),
    (['memory', 'panic'], {'memory', 'panic'}),
    (['!candidates'], set(facts_gather.KEYS) - {'candidates'}),
    (['all', '!boot', '!drift'], set(facts_gather.KEYS) - {'boot', 'drift'}),
    (['memory', '!memory'], set()),
])
def test_subsets(subset, expected):
    assert facts_gather.select_keys(subset) == expected


@pytest.mark.parametrize('subset', [['memmory'], ['!foo'], ['!all'], ['all', ''], ['!'], ['\x1b[31m']])
def test_unknown_subsets_are_errors(subset):
    with pytest.raises(ConvertError, match='is unknown; give all') as caught:
        facts_gather.select_keys(subset)
    assert str(caught.value).isprintable()


@contextlib.contextmanager
def named_process(name):
    """A real process of this machine that calls itself so and is among the first candidates."""
    code = ('import ctypes, sys, time\nctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1]), 0, 0, 0)\n'
            'open("/proc/self/oom_score_adj", "w").write("1000")\nprint(flush=True)\ntime.sleep(60)\n')
    child = subprocess.Popen([sys.executable, '-c', code, name.hex()], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        yield child.pid
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize('name, text', [
    (b'\n\x1b[31m', '\\x0a\\x1b[31m'),
    (b'\xff\xfe\x80', '\\xff\\xfe\\x80'),
    (b'a) R 1 (b', 'a) R 1 (b'),
    ('\u202etxt.'.encode(), '\\u202etxt.'),
])
def test_hostile_processes_are_sanitized(name, text):
    with named_process(name) as pid:
        facts = gather(Host(), top=0, cmdline=True)
    mine = [one for one in facts['candidates'] if one['pid'] == pid]
    assert [one['name'] for one in mine] == [text]
    assert mine[0]['oom_score_adj'] == 1000
    assert abs(datetime.datetime.fromisoformat(mine[0]['started'].replace('Z', '+00:00'))
               - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(seconds=30)


@pytest.mark.parametrize('name', [b'\n\x1b[31m', b'\xff\xfe\x80'])
def test_module_prints_valid_json_with_hostile_processes(name):
    """The whole module in a Python of its own, as Ansible runs it."""
    code = ('import sys\nsys.path[:0] = %r\n'
            'import json, ansible.module_utils.basic as basic\n'
            'from ansible_collections.oomkit.linux.plugins.modules import oom_facts\n'
            'arguments = {"top": "3", "gather_subset": ["candidates"]}\n'
            # From 2.19 on there is a way for tests, and only that one.
            'if hasattr(basic, "_ANSIBLE_ARGS") and not hasattr(basic, "_ANSIBLE_PROFILE"):\n'
            '    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()\n    oom_facts.main()\n'
            'else:\n    from ansible.module_utils.testing import patch_module_args\n'
            '    with patch_module_args(arguments):\n        oom_facts.main()\n')
    with named_process(name) as pid:
        done = subprocess.run([sys.executable, '-c', code % sys.path], stdout=subprocess.PIPE, check=True)
    assert not any(byte < 32 and byte != 10 for byte in done.stdout)
    result = json.loads(done.stdout)
    assert set(result['ansible_facts']) == {'oom'}
    assert pid in [one['pid'] for one in result['ansible_facts']['oom']['candidates']]
