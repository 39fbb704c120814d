# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process is believed to be the program that its name says: on machines on disk, and of this kernel."""

import os
import shutil
import stat
import subprocess
import sys
import textwrap

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._daemon import thresholds
from ansible_collections.oomkit.linux.plugins.module_utils._facts import processes as facts_processes
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._process import credentials, pid_file, procfs
from ansible_collections.oomkit.linux.plugins.module_utils._process.table import ProcessTable
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import competing_writers

ALL_MAPPED = '         0          0 4294967295\n'
CAP_KILL = 1 << 5
SERVICE = '0::/system.slice/x.service\n'


def process(machine, uids=(0, 0, 0), users=ALL_MAPPED, capabilities=0, cgroup=SERVICE, name='kubelet', arguments=()):
    pid = 40
    machine.put(f'/proc/{pid}/comm', name + '\n')
    machine.put(f'/proc/{pid}/status', 'Name:\t%s\nUid:\t%d\t%d\t%d\t%d\nCapEff:\t%016x\n'
                % (name, *uids, uids[1], capabilities))
    machine.put(f'/proc/{pid}/uid_map', users)
    machine.put(f'/proc/{pid}/cgroup', cgroup)
    machine.put('/proc/1/cgroup', '1:name=systemd:/init.scope\n0::/\n')
    machine.put(f'/proc/{pid}/cmdline', '\0'.join(['/usr/bin/' + name, *arguments, '']))


def doubts(host, pid=40):
    """(as root's own program, as an OOM daemon)."""
    with ProcessTable(host) as processes:
        return credentials.doubt_root(processes, pid), credentials.doubt_oom_daemon(processes, pid)


def test_what_root_has_started_is_believed(machine):
    process(machine)
    assert doubts(machine) == (None, None)


def test_who_is_gone_is_not(machine):
    assert all('it has ended' in doubt for doubt in doubts(machine))


# Real, effective and saved: as a set-user-ID program starts, has given its rights up for now, or has taken them on.
@pytest.mark.parametrize('uids', [(1000, 0, 0), (1000, 1000, 0), (0, 1000, 0), (0, 0, 1000), (1000, 0, 1000)])
def test_a_program_with_the_rights_of_two_users_is_none(machine, uids):
    process(machine, uids, capabilities=CAP_KILL)
    assert all('with the rights of user' in doubt for doubt in doubts(machine))


# By unshare(2); by newuidmap(1); root's own with all IDs, as PrivateUsers=identity of systemd has it.
@pytest.mark.parametrize('users', ['0 1000 1\n', '0 1000 1\n1 100000 65536\n', '0 0 65536\n'])
@pytest.mark.parametrize('uid', [0, 1000])
def test_in_another_user_namespace_nothing_is_believed(machine, users, uid):
    process(machine, (uid,) * 3, users, capabilities=(1 << 41) - 1)
    assert None not in doubts(machine)


@pytest.mark.parametrize('users', ['0 100000 65536\n', None])
def test_daemon_in_container_or_without_userns_is_believed(machine, users):
    process(machine, (998,) * 3, users or '', capabilities=CAP_KILL)
    for who in ('self', '40'):
        if users:
            machine.put(f'/proc/{who}/uid_map', users)
        else:
            (machine.base / 'proc' / who / 'uid_map').unlink()
    assert doubts(machine)[1] is None


@pytest.mark.parametrize('same', [True, False])
def test_the_link_to_the_namespace_decides_where_it_may_be_read(machine, same):
    """Its map of users can look like ours: where we are in a namespace ourselves each is compared with its parent."""
    process(machine)
    for who, target in (('self', 'one'), ('40', 'one' if same else 'other')):
        machine.put('/proc/' + target, '')
        machine.link(f'/proc/{who}/ns/user', machine.base / 'proc' / target)
    assert (doubts(machine) == (None, None)) is same


def test_a_set_user_id_program_that_has_all_of_roots_ids_is_none(machine):
    """sudo asks for the password that way, and is started by anybody under any name."""
    process(machine)
    program = machine.put('/proc/40/exe', '')
    assert doubts(machine) == (None, None)
    program.chmod(0o4755)
    assert all('its program is set-user-ID' in doubt for doubt in doubts(machine))


@pytest.mark.parametrize('cgroup', [
    '0::/system.slice/earlyoom.service', '0::/earlyoom.service', '0::/system.slice/system-a.slice/a@b.service',
    '0::/ours.slice/earlyoom.service', '12:memory:/x\n1:name=systemd:/system.slice/earlyoom.service\n0::/y'])
def test_a_system_service_that_may_kill_is_believed(machine, cgroup):
    process(machine, (998,) * 3, capabilities=CAP_KILL, cgroup=cgroup + '\n')
    assert doubts(machine)[1] is None and 'user 998' in doubts(machine)[0]


@pytest.mark.parametrize('cgroup', [
    '0::/user.slice/user-1000.slice/session-1.scope', '0::/user.slice/user-1000.slice/user@1000.service',
    '0::/user.slice/user-1000.slice/user@1000.service/app.slice/earlyoom.service', '0::/user.slice/earlyoom.service',
    '0::/system.slice/docker-0123.scope', '0::/docker/0123', '0::/machine.slice/machine-x.scope/payload/a.service',
    '0::/machine.slice/systemd-nspawn@x.service', '0::/system.slice/app.service/earlyoom.service',
    '0::/system.slice/app.service/libpod-payload-01', '0::/kubepods.slice/kubepods-pod1.slice/cri-1.scope',
    '0::/lxc/x/system.slice/earlyoom.service', '0::/../system.slice/earlyoom.service', '0::/', '',
    '1:name=systemd:/user.slice/x.scope\n0::/system.slice/earlyoom.service', '7:name=mine:/system.slice/a.service'])
def test_user_outside_system_services_is_not_believed(machine, cgroup):
    process(machine, (998,) * 3, capabilities=CAP_KILL, cgroup=cgroup + '\n')
    assert 'which is not that of a system service' in doubts(machine)[1]


@pytest.mark.parametrize('capabilities', [0, 1 << 4, 1 << 6])
def test_who_may_not_kill_is_no_daemon_that_kills(machine, capabilities):
    process(machine, (998,) * 3, capabilities=capabilities)
    assert 'without CAP_KILL' in doubts(machine)[1]


# ------------------------------------------------------------------------- facts and forecast alike

@pytest.mark.parametrize('uids, users', [
    ((1000, 0, 0), ALL_MAPPED), ((1000,) * 3, ALL_MAPPED), ((0,) * 3, '0 1000 1\n')])
def test_facts_and_forecast_believe_the_same(machine, uids, users):
    process(machine, uids, users, capabilities=CAP_KILL, name='earlyoom', cgroup='0::/user.slice/x.service\n')
    with ProcessTable(machine) as processes:
        facts, warnings = facts_processes.gather_oom_daemons(processes, [(40, 'earlyoom')])
        (forecast,) = thresholds.read_thresholds(machine, processes, [(40, 'earlyoom')])
    assert facts == [] and forecast['thresholds'] == []
    assert warnings == [
        f"1 processes called earlyoom are not counted; process 40: {forecast['reason']} [OOMK-2603]"]


@pytest.mark.parametrize('name', ['kubelet', 'k3s-server', 'kubelite', 'tuned'])
@pytest.mark.parametrize('uids, users', [
    ((1000, 0, 0), ALL_MAPPED), ((1000,) * 3, ALL_MAPPED), ((0,) * 3, '0 1000 1\n')])
def test_what_is_not_believed_sets_nothing(machine, name, uids, users):
    machine.put('/etc/tuned/active_profile', 'a\n')
    machine.put('/etc/tuned/a/tuned.conf', '[sysctl]\nvm.panic_on_oom=1\n')
    process(machine, uids, users, name=name)
    assert competing_writers.find_writers(machine) == []
    process(machine, name=name)
    assert competing_writers.find_writers(machine)


@pytest.mark.parametrize('words', [['--config=/dev/x'], ['--config', '/proc/kmsg'], ['--config=/srv/pipe'],
                                   ['--config=/srv/to-proc']])
def test_believed_kubelet_has_only_regular_files_read(machine, words):
    process(machine, arguments=words)
    machine.put('/proc/kmsg', 'protectKernelDefaults: true\n')
    (machine.base / 'srv').mkdir()
    os.mkfifo(machine.base / 'srv/pipe')
    os.mkfifo(machine.base / 'dev/x')
    machine.link('/srv/to-proc', '/proc/kmsg')
    assert {(one.how, one.file) for one in competing_writers.find_writers(machine)} == {('sets', None)}


def test_nohangs_configuration_must_be_a_regular_file(machine):
    process(machine, name='nohang', arguments=['--config', '/proc/kmsg'])
    machine.put('/proc/kmsg', 'zram_checking_enabled = False\n')
    with ProcessTable(machine) as processes:
        (fact,) = thresholds.read_thresholds(machine, processes, [(40, 'nohang')])
    assert 'Not a stored file' in fact['reason']


def test_variables_of_tuned_are_read_from_a_regular_file_only(machine):
    shutil.rmtree(machine.base / 'etc/sysctl.d')  # TuneD applies its files too
    process(machine, name='tuned')
    machine.put('/proc/kmsg', 'mode=2\n')
    machine.put('/etc/tuned/active_profile', 'a\n')
    machine.put('/etc/tuned/a/tuned.conf', '[variables]\ninclude=/proc/kmsg\n[sysctl]\nvm.overcommit_memory=${mode}\n')
    assert [one.value_text for one in competing_writers.find_writers(machine)] == ['${mode}']


@pytest.mark.parametrize('uids, user', [((999,) * 3, 999), ((999, 0, 0), None), ((999, 999, 0), None), ((0,) * 3, 0)])
def test_whose_a_process_is(machine, uids, user):
    process(machine, uids)
    assert pid_file.find_user(machine, 40) == user
    machine.put('/proc/40/exe', '').chmod(0o4755)
    assert pid_file.find_user(machine, 40) == (user or None)


# ------------------------------------------------------------------------- of this kernel

CALLED = textwrap.dedent('''
    import ctypes, os, sys, time
    name, uids = sys.argv[1], [int(word) for word in sys.argv[2].split(',')]
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
    if os.geteuid() == 0:
        os.setresuid(*uids)
    print('ready', flush=True)
    time.sleep(600)
''')


@pytest.fixture
def called():
    """Start a process of this name with these user IDs, as a set-user-ID program has them."""
    started = []

    def start(name, uids, *words):
        if os.geteuid() and set(uids) != {os.geteuid()}:
            pytest.skip('only root can take other user IDs on, and this is user %d' % os.geteuid())
        one = subprocess.Popen([sys.executable, '-c', CALLED, name, ','.join(map(str, uids)), *words],
                               stdout=subprocess.PIPE)
        started.append(one)
        assert one.stdout.readline() == b'ready\n'
        return one.pid
    yield start
    for one in started:
        one.kill()
        one.wait()


@pytest.mark.parametrize('uids', [(65534, 0, 0), (65534, 65534, 65534)])
def test_a_kubelet_of_a_user_has_root_open_nothing(called, tmp_path, uids):
    os.mkfifo(tmp_path / 'pipe')
    writer = subprocess.Popen([sys.executable, '-c', 'import sys; open(sys.argv[1], "w")', str(tmp_path / 'pipe')])
    try:
        pid = called('kubelet', uids, '--config=%s/pipe' % tmp_path)
        assert (pid, 'kubelet') in _named(competing_writers.NAMES)
        assert competing_writers.find_writers(Host(), [(pid, 'kubelet')]) == []
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.5)  # nobody has opened it to read
    finally:
        writer.kill()
        writer.wait()


def _named(names):
    with procfs.Proc(Host()) as processes:
        return processes.find_programs(names).found


def test_a_process_of_ours_is_in_our_user_namespace(called):
    pid = called('kubelet', (os.geteuid(),) * 3)
    with procfs.Proc(Host()) as processes:
        assert credentials._is_in_our_user_namespace(processes, pid)


@pytest.mark.parametrize('command', [['unshare', '--user', '--map-root-user']])
def test_a_process_in_a_user_namespace_of_its_own_is_reported(command, called):
    done = subprocess.run([*command, 'true'], capture_output=True, check=False)
    if done.returncode:
        pytest.skip('no user namespaces here: %r' % done.stderr)
    one = subprocess.Popen([*command, sys.executable, '-c', CALLED, 'earlyoom', '0,0,0'], stdout=subprocess.PIPE)
    try:
        assert one.stdout.readline() == b'ready\n'
        assert None not in doubts(Host(), one.pid)
    finally:
        one.kill()
        one.wait()


def test_a_real_set_user_id_program_is_reported(called, tmp_path):
    """A copy of Python that is set-user-ID, with root's IDs all over, as sudo has them."""
    copy = tmp_path / 'python'
    copy.write_bytes(open(os.path.realpath(sys.executable), 'rb').read())
    copy.chmod(0o755)
    one = subprocess.Popen([str(copy), '-c', CALLED, 'kubelet', '0,0,0'], stdout=subprocess.PIPE,
                           env=dict(os.environ, PYTHONHOME=sys.base_prefix))
    try:
        if one.stdout.readline() != b'ready\n':
            pytest.skip('a copy of this Python does not start')
        if os.geteuid() == 0:
            assert doubts(Host(), one.pid) == (None, None)
        copy.chmod(stat.S_ISUID | 0o755)
        assert None not in doubts(Host(), one.pid)
    finally:
        one.kill()
        one.wait()
