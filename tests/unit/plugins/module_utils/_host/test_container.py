# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a container, and what only looks like one: trees on disk, in the formats of the real ones."""

import os

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._host.environment import gather_environment, is_chroot
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host

ID = '3f4d5c2e9a1b7d6058f2c1e4a9b3d7f60512ce48a7b9d0e3f1624c5a8d7b9e01'
POD = 'kubepods-besteffort-pod6d1c4f8b_2c3e_4a5b_9d7f_1e2f3a4b5c6d'
INIT_PID, INIT_CGROUP = 'pid:[4026531836]', 'cgroup:[4026531835]'
EXT4 = '26 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n'
CGROUP2 = '35 26 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n'
SNAPSHOTS = 'containerd/io.containerd.snapshotter.v1.overlayfs/snapshots'
STORES = {
    'docker': ('/var/lib/docker/overlay2/l/ABCDEF:/var/lib/docker/overlay2/l/GHIJKL',
               f'/var/lib/docker/overlay2/{ID}/diff'),
    'containerd': (f'/var/lib/{SNAPSHOTS}/41/fs', f'/var/lib/{SNAPSHOTS}/42/fs'),
    'k3s': (f'/var/lib/rancher/k3s/agent/{SNAPSHOTS}/41/fs', f'/var/lib/rancher/k3s/agent/{SNAPSHOTS}/42/fs'),
}  # fmt: skip
DEV = '/docker/'  # of a runtime with cgroupfs

HOST = {
    '/proc/self/status': 'Name:\tpython3\nTracerPid:\t0\nNSpid:\t8123\n',
    '/proc/self/uid_map': '         0          0 4294967295\n',
    '/proc/self/mountinfo': EXT4 + CGROUP2,
    '/proc/self/cgroup': '0::/user.slice/user-0.slice/session-4.scope\n',
    '/proc/1/cgroup': '0::/init.scope\n',
    '/proc/1/environ': 'HOME=/\0TERM=linux\0BOOT_IMAGE=/boot/vmlinuz-6.12.0\0',
    '/proc/sys/kernel/osrelease': '6.12.0-1-amd64\n',
}
HOST_LINKS = {
    '/proc/self/ns/pid': INIT_PID, '/proc/self/ns/cgroup': INIT_CGROUP, '/proc/self/ns/user': 'user:[4026531837]',
    '/proc/self/ns/mnt': 'mnt:[4026531832]', '/proc/1/ns/mnt': 'mnt:[4026531832]', '/proc/1/root': '/',
}  # fmt: skip
NESTED = {'/proc/self/ns/pid': 'pid:[4026532713]', '/proc/self/ns/mnt': 'mnt:[4026532710]',
          '/proc/1/ns/mnt': 'mnt:[4026532710]'}  # fmt: skip
# In the PID namespace of the host, with files of its own.
BESIDE = {'/proc/self/ns/mnt': 'mnt:[4026532710]', '/proc/1/root': '/host'}
OWN_MOUNTS = {'/proc/self/ns/mnt': 'mnt:[4026532600]'}  # and the same root directory
OWN_CGROUPS = {'/proc/self/ns/cgroup': 'cgroup:[4026532714]'}
HIDDEN = {'/proc/1/ns/mnt': None, '/proc/1/root': None}  # from who has no CAP_SYS_PTRACE there
MARKED = {'/.dockerenv': ''}
OLD = 'Name:\tpython3\nTracerPid:\t0\n'  # before 4.1, or without PID namespaces
UNSEEN = {'/proc/self/ns/pid': None, '/proc/self/ns/cgroup': None}
WSL = {'/proc/sys/kernel/osrelease': '5.15.167.4-microsoft-standard-WSL2\n', '/proc/1/cgroup': '0::/\n',
       '/proc/self/cgroup': '0::/\n'}  # fmt: skip


def overlay(name):
    lower, upper = STORES[name]
    root = f'overlay overlay rw,lowerdir={lower},upperdir={upper},workdir=/x/work,userxattr\n'
    return {'/proc/self/mountinfo': f'712 690 0:58 / / rw master:300 - {root}713 712 0:61 / /proc rw - proc x rw\n'}


def machine(root, files, links):
    for path, text in dict(HOST, **files).items():
        if text is not None:
            target = root / path.lstrip('/')
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    (root / 'host').mkdir()
    for path, text in dict(HOST_LINKS, **links).items():
        if text is not None:
            (root / path.lstrip('/')).parent.mkdir(parents=True, exist_ok=True)
            os.symlink(text, root / path.lstrip('/'))
    return Host(str(root))


CONTAINERS = {
    'lxc, as Proxmox makes it, with the user namespace of the host': (
        {'/run/systemd/container': 'lxc\n', '/proc/1/environ': 'TERM=linux\0container=lxc\0'},
        dict(NESTED, **OWN_CGROUPS), 'lxc'),
    'lxc without a user namespace and without systemd': (
        {'/proc/1/environ': 'container=lxc\0TERM=linux\0', '/proc/1/cgroup': '0::/\n'}, NESTED, 'lxc'),
    'lxc whose image was made by docker': (dict(MARKED, **{'/proc/1/environ': 'container=lxc\0'}), NESTED, 'lxc'),
    'lxc, seen by a user who may not read the environment': (
        {'/proc/1/environ': None, '/proc/1/cgroup': '4:memory:/lxc.payload.web/init.scope\n'}, NESTED, 'lxc'),
    'systemd-nspawn': (
        {'/run/host/container-manager': 'systemd-nspawn\n', '/run/systemd/container': 'systemd-nspawn\n'},
        dict(NESTED, **OWN_CGROUPS), 'systemd-nspawn'),
    'docker': (dict(MARKED, **overlay('docker')), dict(NESTED, **OWN_CGROUPS), 'docker'),
    'docker of cgroup v1': ({'/proc/1/cgroup': f'11:memory:{DEV}{ID}\n1:name=systemd:{DEV}{ID}\n'}, NESTED, 'docker'),
    'podman': ({'/run/.containerenv': 'engine="podman-5.4.2"\n', '/proc/1/environ': 'container=podman\0'},
               dict(NESTED, **OWN_CGROUPS), 'podman'),
    'podman with an image that says oci': (
        {'/run/.containerenv': '', '/proc/1/environ': 'container=oci\0'}, NESTED, 'podman'),
    'oci of nobody known': ({'/proc/1/environ': 'container=oci\0'}, NESTED, 'oci'),
    'a pod of containerd': (dict({'/proc/1/environ': 'KUBERNETES_SERVICE_HOST=10.0.0.1\0', '/proc/1/cgroup': '0::/\n'},
                                 **overlay('containerd')), dict(NESTED, **OWN_CGROUPS), 'containerd'),
    'a privileged pod': (
        {'/proc/1/cgroup': f'0::/kubepods.slice/{POD}.slice/cri-containerd-{ID}.scope\n'}, NESTED, 'kubepods'),
    'openvz 6, whose kernel has no namespaces to see': (
        {'/proc/vz/veinfo': '101 0\n'}, {'/proc/self/ns/pid': None, '/proc/self/ns/cgroup': None}, 'openvz'),
    'docker on a kernel that shows no namespaces': (
        dict(MARKED, **{'/proc/self/status': OLD, '/proc/1/cgroup': f'3:memory:{DEV}{ID}\n'}), UNSEEN, 'docker'),
    'lxc on a kernel that shows no namespaces': (
        {'/proc/self/status': OLD, '/proc/1/environ': 'container=lxc\0'}, UNSEEN, 'lxc'),
    'virtuozzo 7': ({'/proc/vz/veinfo': '101 0\n'}, NESTED, 'openvz'),
    'a user namespace with processes of its own': (
        {'/proc/self/uid_map': '0 1000 1\n'}, dict(NESTED, **{'/proc/self/ns/user': 'user:[4026532700]'}), 'unknown'),
    'unshare -pf': ({}, NESTED, 'unknown'),
    'unshare -pf that sees the /proc of the host': (
        {'/proc/self/status': 'NSpid:\t8123\t2\n'}, {'/proc/self/ns/pid': None}, 'unknown'),
    'docker on wsl': (dict(WSL, **MARKED), dict(NESTED, **OWN_CGROUPS), 'docker'),
    'lxc on wsl': (dict(WSL, **{'/proc/1/environ': 'container=lxc\0'}), NESTED, 'lxc'),
    'docker of cgroup v1 on wsl': (dict(WSL, **{'/proc/1/cgroup': f'7:memory:{DEV}{ID}\n'}), NESTED, 'docker'),
    # hostPID of Kubernetes, --pid=host of Docker and Podman
    'a pod with hostPID': (overlay('k3s'), dict(BESIDE, **OWN_CGROUPS), 'containerd'),
    'a privileged pod with hostPID': (
        {'/proc/self/cgroup': f'0::/kubepods.slice/{POD}.slice/crio-{ID}.scope\n'}, BESIDE, 'kubepods'),
    'docker --pid=host': (MARKED, dict(BESIDE, **OWN_CGROUPS), 'docker'),
    'docker --pid=host --cgroupns=host with storage that is no overlay': (MARKED, BESIDE, 'docker'),
    'docker --pid=host, seen by a user': (dict(MARKED, **overlay('docker')), dict(BESIDE, **HIDDEN), 'docker'),
    'docker --pid=host with cgroups of its own, seen by a user': (
        MARKED, dict(BESIDE, **HIDDEN, **OWN_CGROUPS), 'docker'),
    'toolbox, which is podman --pid=host of a user': (
        {'/run/.containerenv': '', '/proc/self/uid_map': '0 1000 1\n1 100000 65536\n', '/proc/self/cgroup':
         f'0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container\n'},
        dict(BESIDE, **HIDDEN), 'podman'),
}  # fmt: skip


@pytest.mark.parametrize('case', CONTAINERS)
def test_containers_are_known_by_what_the_kernel_shows(tmp_path, case):
    files, links, name = CONTAINERS[case]
    assert gather_environment(machine(tmp_path, files, links))['container'] == name


STALE = {'/.dockerenv': '', '/run/.containerenv': '', '/run/systemd/container': 'docker\n',
         '/run/host/container-manager': 'podman\n'}  # fmt: skip
HOSTS = {
    'as it is': ({}, {}),
    'its kernel was given a parameter called container': ({'/proc/1/environ': 'container=foo\0TERM=linux\0'}, {}),
    'asked by a user': ({'/proc/1/environ': None}, HIDDEN),
    'asked by a user in unshare -U': (
        {'/proc/self/uid_map': '0 1000 1\n'}, dict(HIDDEN, **{'/proc/self/ns/user': 'user:[4026532700]'})),
    'asked by a service with a mount namespace': ({}, OWN_MOUNTS),
    'asked by a service with mounts and cgroups of its own': ({}, dict(OWN_MOUNTS, **OWN_CGROUPS)),
    'asked in a chroot': ({}, {'/proc/1/root': '/host'}),
    'asked in a chroot, into the root directory of a container': (overlay('docker'), {'/proc/1/root': '/host'}),
    'asked by nsenter from a pod with hostPID': (
        {'/proc/self/cgroup': f'0::/kubepods.slice/{POD}.slice/crio-{ID}.scope\n'}, OWN_CGROUPS),
    'asked by chroot /host from docker --pid=host': (
        {'/proc/self/cgroup': f'0::/system.slice/docker-{ID}.scope\n'}, dict(OWN_MOUNTS, **OWN_CGROUPS)),
    'with an overlay that is no container\'s': (
        {'/proc/self/mountinfo': EXT4.replace('ext4 /dev/sda1', 'overlay cow rw,lowerdir=/media/ro,upperdir=/cow')},
        HIDDEN),
    'that runs containers, asked by their runtime': (
        {'/proc/self/cgroup': '0::/system.slice/docker.service\n'}, HIDDEN),
    'the host of openvz': ({'/proc/vz/veinfo': '0 0\n', '/proc/bc/0/resources': ''}, {}),
    'whose kernel has no PID namespaces': ({'/proc/self/status': OLD}, UNSEEN),
    'wsl 2': (WSL, NESTED),
    'wsl 2, whose systemd has container=wsl': (dict(WSL, **{'/proc/1/environ': 'container=wsl\0'}), NESTED),
    'wsl 1': ({'/proc/sys/kernel/osrelease': '4.4.0-22621-Microsoft\n'}, {'/proc/self/ns/cgroup': None}),
}  # fmt: skip


@pytest.mark.parametrize('files', [{}, MARKED, STALE], ids=['', 'a mark', 'all marks'])
@pytest.mark.parametrize('case', HOSTS)
def test_a_file_of_a_container_manager_makes_no_host_a_container(tmp_path, case, files):
    """An image that was made from a container keeps them."""
    if case.startswith('wsl 2') and files is STALE:
        files = MARKED  # below /run nothing outlives a start
    host = machine(tmp_path, dict(HOSTS[case][0], **files), HOSTS[case][1])
    assert gather_environment(host)['container'] is None
    assert is_chroot(host) is case.startswith('asked in a chroot')


def test_without_proc_a_mark_shows_where_an_image_is_made(tmp_path):
    (tmp_path / '.dockerenv').write_text('')
    assert gather_environment(Host(str(tmp_path)))['container'] == 'docker'
