# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which unit of the host a cgroup belongs to, in the function and in all that asks it."""

import re

import pytest
from machine import Machine
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather
from ansible_collections.oomkit.linux.plugins.module_utils._module import forecast_info
from ansible_collections.oomkit.linux.plugins.module_utils._process import groups
from ansible_collections.oomkit.linux.plugins.module_utils._process.cgroup_unit import find_unit, parse_unit
from ansible_collections.oomkit.linux.plugins.module_utils._process.handle import ProcessHandle
from ansible_collections.oomkit.linux.plugins.module_utils._process.table import ProcessTable
from ansible_collections.oomkit.linux.plugins.module_utils._service import login_guard
from ansible_collections.oomkit.linux.plugins.module_utils._service.process_guard import find_login_uid

NOBODY = 2 ** 22 - 100
ID = '0123456789abcdef' * 4


# The answers are those of systemd's test-cgroup-util.c, as long as it has one for such a path.
@pytest.mark.parametrize('path, unit', [
    ('/system.slice/web.service/worker', 'web.service'), ('/system.slice/getty@tty5.service', 'getty@tty5.service'),
    ('/system.slice/getty@tty5.service/', 'getty@tty5.service'), ('//system.slice//a.service//b', 'a.service'),
    ('/system.slice/getty@tty6.service/aaa/bbb', 'getty@tty6.service'), ('nothing', None),
    ('/system.slice/getty####@tty6.service/x', None), ('/system.slice/system-a.slice/web.service/x', 'web.service'),
    ('/system.slice/system-a.slice/_cpu.service/x', 'cpu.service'), ('/_cgroup.service', 'cgroup.service'),
    ('/_system.slice/a.service', 'a.service'), ('/system.slice/__x.service', '_x.service'),
    ('/user.slice/user-1000.slice/user@1000.service/app.slice/x.service', 'user@1000.service'),
    ('/user.slice/user-1000.slice/user@1000.service/init.scope', 'user@1000.service'),
    ('/user.slice/user-1000.slice/user@1000.service', 'user@1000.service'),
    ('/user.slice/user-1000.slice/user@.service/server.service', None),
    ('/user.slice/user-1000.slice/session-3.scope', 'session-3.scope'),
    ('/user.slice/user-1000.slice/session-3.scope/system.slice/ssh.service', 'session-3.scope'),
    ('/', None), ('', None), ('/system.slice', None), ('/user.slice/user-1000.slice', None),
    ('/init.scope', 'init.scope'),
    ('/web.service', 'web.service'), ('/openrc.nginx', None), ('/system.slice/web', None),
    ('/-.slice/a.service', 'a.service'), ('/a@b.slice/c.service', None), ('/a@.slice/c.service', None),
    ('/.slice/c.service', None),
    ('/a b.slice/c.service', None), ('/system.slice/c d.service', None), ('/system.slice/.service', None),
    ('/system.slice/@a.service', None), ('/system.slice/a.services', None), ('/system.slice/a.service.d', None),
    ('/system.slice/' + 'a' * 247 + '.service', 'a' * 247 + '.service'),
    ('/system.slice/' + 'a' * 248 + '.service', None),
    ('/system.slice/dev-disk-by\\x2dlabel.swap', 'dev-disk-by\\x2dlabel.swap'), ('/system.slice/m.mount', 'm.mount'),
    ('/system.slice/\xe4.service', None),
    # Containers.
    ('/lxc/101/ns/system.slice/ssh.service', None), ('/lxc/101/system.slice/ssh.service', None),
    ('/lxc.payload.web/system.slice/ssh.service', None), ('/lxc.monitor.web', None),
    (f'/docker/{ID}/system.slice/ssh.service', None), (f'/docker/{ID}', None), ('/docker/buildkit/x', None),
    (f'/kubepods/burstable/pod1/{ID}/system.slice/kubelet.service', None), (f'/libpod_parent/libpod-{ID}', None),
    ('/actions_job/x/system.slice/ssh.service', None), ('/machine/qemu-1-a.libvirt-qemu', None),
    (f'/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-{ID}.scope',
     f'cri-containerd-{ID}.scope'),
    (f'/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope/system.slice/ssh.service', f'crio-{ID}.scope'),
    (f'/system.slice/docker-{ID}.scope/system.slice/ssh.service', f'docker-{ID}.scope'),
    (f'/system.slice/docker-{ID}.scope/init.scope', f'docker-{ID}.scope'), (f'/system.slice/{ID}/ssh.service', None),
    ('/machine.slice/machine-web.scope/payload/system.slice/ssh.service', 'machine-web.scope'),
    ('/machine.slice/systemd-nspawn@web.service/payload/system.slice/ssh.service', 'systemd-nspawn@web.service'),
    (f'/machine.slice/libpod-{ID}.scope/container/system.slice/ssh.service', f'libpod-{ID}.scope'),
    ('/system.slice/snap.lxd.daemon.service/lxc.payload.x/system.slice/ssh.service', 'snap.lxd.daemon.service'),
    ('/system.slice/docker.service/docker/x/system.slice/ssh.service', 'docker.service'),
    # Outside of the root of our cgroup namespace.
    ('/../system.slice/ssh.service', None), ('/../../ssh.service', None), ('/..', None),
])  # fmt: skip
def test_the_unit_of_a_path(path, unit):
    assert parse_unit(path.encode('latin-1')) == (unit and unit.encode())


V1_INIT = '4:memory:/\n1:name=systemd:/init.scope\n'
HYBRID = V1_INIT + '0::/init.scope'
SSH = '/system.slice/ssh.service'


@pytest.mark.parametrize('text, init, unit', [
    (f'0::{SSH}', '0::/init.scope', 'ssh.service'), (f'0::{SSH}', '', 'ssh.service'), ('', '0::/init.scope', None),
    ('4:memory:/mine\n1:name=systemd:' + SSH, V1_INIT, 'ssh.service'),
    (f'4:memory:{SSH}\n1:name=systemd:/', V1_INIT, None),
    (f'4:memory:{SSH}', '4:memory:/', None), (f'7:name=elogind:{SSH}', '', None),
    # v1, and somebody has mounted v2: PID 1 is in its root.
    (f'1:name=systemd:{SSH}\n0::/mine', V1_INIT + '0::/', 'ssh.service'),
    (f'1:name=systemd:{SSH}\n0::/', '', 'ssh.service'),
    (f'1:name=systemd:/docker/{ID}\n0::{SSH}', V1_INIT + '0::/', None),
    # Hybrid. Docker moves a container out of containerd's unit in the trees of v1 only.
    (f'1:name=systemd:{SSH}\n0::{SSH}', V1_INIT + '0::/init.scope', 'ssh.service'),
    (f'1:name=systemd:/docker/{ID}\n0::{SSH}', V1_INIT + '0::/init.scope', None),
    (f'1:name=systemd:{SSH}\n0::/', V1_INIT + '0::/init.scope', None),
    # It reads v2 there, from 233 on. "exec" of older versions of runc joins a container in the trees of v1
    # only, and cgexec takes any tree: what is in two units has been moved out of both.
    (f'1:name=systemd:/system.slice/docker-{ID}.scope\n0::/system.slice/containerd.service', HYBRID, None),
    (f'1:name=systemd:{SSH}\n0::/system.slice/docker.service', HYBRID, None),
    (f'1:name=systemd:/system.slice/docker-{ID}.scope\n0::/system.slice/docker-{ID}.scope/x', HYBRID,
     f'docker-{ID}.scope'),
    (f'1:name=systemd:{SSH}/a\n0::{SSH}/b/c (deleted)', HYBRID, 'ssh.service'),
    ('1:name=systemd:/user.slice/user-7.slice/user@7.service/x\n'
     '0::/user.slice/user-7.slice/user@7.service/app.slice/ssh.service', HYBRID, 'user@7.service'),
    (f'12:pids:/kubepods/x\n1:name=systemd:/kubepods/x/system.slice/ssh.service\n0::{SSH}', HYBRID, None),
    (f'1:name=systemd:{SSH}\n0::/lxc.payload.x{SSH}', HYBRID, None),
    # 232 has v2 in the place of the named tree.
    (f'4:memory:/mine\n0::{SSH}', '4:memory:/\n0::/init.scope', 'ssh.service'),
    # Other names, and controllers with colons in the path.
    (f'3:name=openrc:{SSH}\n1:name=systemd:/', V1_INIT, None), (f'2:cpu,cpuacct:{SSH}\n0::/', '0::/init.scope', None),
    ('0::/system.slice/a:b.service/c:d', '0::/init.scope', 'a:b.service'),
    # A zombie whose cgroup is gone.
    (f'0::{SSH} (deleted)', '0::/init.scope', 'ssh.service'),
    # A systemd whose cgroup namespace is not its own: its units lie below a prefix.
    (f'0::/docker/{ID}{SSH}', f'0::/docker/{ID}/init.scope', 'ssh.service'),
    (f'0::/system.slice/docker-{ID}.scope{SSH}', f'0::/system.slice/docker-{ID}.scope/init.scope', 'ssh.service'),
    (f'0::/system.slice/docker-{ID}.scope', f'0::/system.slice/docker-{ID}.scope', None),
    (f'1:name=systemd:/lxc/1{SSH}', '1:name=systemd:/lxc/1/system.slice', 'ssh.service'),
    (f'1:name=systemd:/lxc/1{SSH}', '1:name=systemd:/lxc/1', 'ssh.service'),
    (f'0::{SSH}', f'0::/docker/{ID}/init.scope', None), (f'0::/docker/{ID}0{SSH}', f'0::/docker/{ID}/init.scope', None),
    (f'0::/../x{SSH}', '0::/init.scope', None),
])  # fmt: skip
def test_the_unit_of_a_process(text, init, unit):
    assert find_unit(text.encode() + b'\n', init.encode() + b'\n') == (unit and unit.encode())


# ---------------------------------------------------------------- all that asks

@pytest.fixture
def host(tmp_path):
    """A host whose ssh.service runs, with the processes of a container that has one too."""
    one = ServiceMachine(tmp_path)
    one.put('/proc/self/status', 'NSpid:\t5\n')
    one.put('/proc/self/oom_score', '667\n')
    one.put('/proc/1/cgroup', '0::/init.scope\n')
    one.unit('ssh.service')
    one.unit('redis.service')
    one.process(NOBODY + 10, unit='ssh.service', rss_kb=1000, name='sshd')
    one.process(NOBODY + 11, unit='redis.service', rss_kb=2000)
    return one


def put_into(host, cgroup, pid=NOBODY + 20, name='big'):
    host.process(pid, unit=None, rss_kb=500_000, name=name)
    host.put(f'/proc/{pid}/cgroup', f'0::{cgroup}\n')
    host.put(f'/sys/fs/cgroup{cgroup}/cgroup.procs', f'{pid}\n')


CONTAINERS = ['/lxc/101/ns/system.slice/redis.service', f'/docker/{ID}/system.slice/redis.service',
              '/lxc.payload.web/system.slice/redis.service']


@pytest.mark.parametrize('cgroup', CONTAINERS)
def test_a_containers_service_is_not_the_hosts(host, cgroup):
    put_into(host, cgroup)
    params = dict.fromkeys(('score_adj', 'cgroup', 'nodes', 'growing', 'snapshot', 'policy', 'kill_allocating_task'))
    result = forecast_info.run({**params, 'protect': ['redis'], 'kills': 1}, host, host)
    first = result['kill_order'][0]
    assert (first['victims'][0]['pid'], first['service'], first['collateral']) == (NOBODY + 20, None, [])
    assert result['violations'] == []
    params['snapshot'] = result['snapshot']
    again = forecast_info.run({**params, 'protect': ['redis'], 'kills': 1}, None, None)
    assert again['violations'] == []
    facts = gather.gather_facts(host, gather.Request(['candidates'], 1, False))
    assert [(one['pid'], one['unit'], one['cgroup']) for one in facts['candidates']] == [(NOBODY + 20, None, cgroup)]


@pytest.mark.parametrize('cgroup', CONTAINERS)
def test_a_value_for_a_service_spares_the_containers(host, cgroup):
    put_into(host, cgroup)
    host.run(name='redis', score_adj=-300, persistent=False)
    assert (host.adj(NOBODY + 11), host.adj(NOBODY + 20)) == (-300, 0)


def test_in_a_hybrid_setup_a_container_is_no_part_of_containerd(host):
    """It is still in containerd's unit in the tree of v2."""
    pid = NOBODY + 20
    put_into(host, '/x', pid)
    host.put(f'/proc/{pid}/cgroup', f'1:name=systemd:/docker/{ID}\n0::/system.slice/redis.service\n')
    group = groups.UnitGroup(host, '/system.slice/redis.service')
    with ProcessHandle(host, pid) as held:
        assert not group.holds(held)
    host.put(f'/proc/{pid}/cgroup', '1:name=systemd:/system.slice/redis.service/x\n0::/system.slice/redis.service/x\n')
    with ProcessHandle(host, pid) as held:
        assert group.holds(held)


def test_under_v1_a_tree_of_v2_that_others_use_does_not_count(host):
    """Nothing of systemd's is in it, PID 1 is in its root."""
    pid = NOBODY + 20
    put_into(host, '/x', pid)
    host.put('/proc/1/cgroup', '4:memory:/\n1:name=systemd:/init.scope\n0::/\n')
    host.put(f'/proc/{pid}/cgroup', '1:name=systemd:/system.slice/redis.service\n0::/mine\n')
    group = groups.UnitGroup(host, '/system.slice/redis.service')
    with ProcessHandle(host, pid) as held:
        assert group.holds(held)
    with ProcessTable(host) as processes:
        assert processes.find_cgroup_and_unit(pid)[1] == b'redis.service'


def test_a_process_in_two_units_is_in_neither(host):
    pid = NOBODY + 20
    put_into(host, '/x', pid)
    host.put('/proc/1/cgroup', '1:name=systemd:/init.scope\n0::/init.scope\n')
    host.put(f'/proc/{pid}/cgroup', '1:name=systemd:/system.slice/ssh.service\n0::/system.slice/redis.service\n')
    with ProcessHandle(host, pid) as held:
        assert [groups.UnitGroup(host, f'/system.slice/{name}.service').holds(held)
                for name in ('ssh', 'redis')] == [False, False]
    with ProcessTable(host) as processes:
        assert processes.find_cgroup_and_unit(pid) == (b'/system.slice/redis.service', None)


def test_under_v1_the_first_thread_may_have_ended(host):
    """The kernel then shows the root for it, in each tree of v1 (proc_cgroup_show() in kernel/cgroup/cgroup.c)."""
    pid = NOBODY + 20
    put_into(host, '/x', pid)
    host.put('/proc/1/cgroup', '4:memory:/\n1:name=systemd:/init.scope\n')
    host.put(f'/proc/{pid}/cgroup', '4:memory:/\n1:name=systemd:/\n')
    for name in ('status', 'stat'):
        host.put(f'/proc/{pid}/task/{pid + 1}/{name}', host.get(f'/proc/{pid}/{name}'))
    host.put(f'/proc/{pid}/task/{pid + 1}/cgroup', f'4:memory:{SSH}\n1:name=systemd:{SSH}\n')
    host.put(f'/proc/{pid}/status', 'Name:\tbig\nState:\tZ (zombie)\nUid:\t0\t0\t0\t0\n')
    host.put(f'/proc/{pid}/stat', re.sub(r'\) \S((?: \S+){16}) \S+', r') Z\1 2', host.get(f'/proc/{pid}/stat')))
    with ProcessTable(host) as processes:
        assert processes.find_cgroup_and_unit(pid) == (SSH.encode(), b'ssh.service')
    with ProcessHandle(host, pid) as held:
        assert login_guard.starts_logins(held)
        assert groups.UnitGroup(host, SSH).holds(held)


def test_login_server_in_a_container_is_not_the_hosts(host):
    put_into(host, '/lxc/1/system.slice/ssh.service', name='anything')
    put_into(host, '/system.slice/ssh.service/x', NOBODY + 21, name='anything')
    answers = []
    for pid in (NOBODY + 20, NOBODY + 21):
        with ProcessHandle(host, pid) as held:
            answers.append(login_guard.starts_logins(held))
    assert answers == [False, True]


def test_below_a_prefix_the_users_and_services_are_known_too(tmp_path):
    """As in a container without a cgroup namespace of its own."""
    one = Machine(tmp_path)
    one.put('/proc/1/cgroup', f'0::/docker/{ID}/init.scope\n')
    for pid, cgroup in ((30, SSH), (31, '/user.slice/user-1000.slice/session-1.scope')):
        one.put(f'/proc/{pid}/cgroup', f'0::/docker/{ID}{cgroup}\n')
        one.put(f'/proc/{pid}/status', 'Uid:\t0\t0\t0\t0\n')
    with ProcessHandle(one, 30) as server, ProcessHandle(one, 31) as session:
        assert login_guard.starts_logins(server)
        assert find_login_uid(session) == 1000
