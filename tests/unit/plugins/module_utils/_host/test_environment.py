# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces, cgroups and inits, as trees on disk. Containers: see test_container.py."""

import os

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._host.environment import gather_environment
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host

V1 = '30 24 0:26 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n'
V2 = '30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n'
HOST_FILES = {
    '/proc/self/uid_map': '         0          0 4294967295\n',
    '/proc/self/status': 'Name:\tx\nNSpid:\t77\nThreads:\t1\n',
    '/proc/self/mountinfo': '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n' + V2,
    '/proc/sys/vm/overcommit_memory': '0\n',
    '/proc/1/environ': 'HOME=/\0TERM=linux\0',
    '/proc/1/cgroup': '0::/init.scope\n',
    '/run/systemd/system/x': '',
}


def machine(root, changes, namespace='pid:[4026531836]'):
    for path, text in dict(HOST_FILES, **changes).items():
        if text is not None:
            target = root / path.lstrip('/')
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    if namespace:
        (root / 'proc/self/ns').mkdir(parents=True)
        os.symlink(namespace, root / 'proc/self/ns/pid')
    return Host(str(root))


def test_host(tmp_path):
    assert gather_environment(machine(tmp_path, {})) == {
        'container': None, 'writable': True, 'pid_namespace': 'init', 'cgroup': 'v2', 'init': 'systemd'}


@pytest.mark.parametrize('status, namespace, expected', [
    ('NSpid:\t77\n', 'pid:[4026532201]', 'nested'),
    ('NSpid:\t9001\t1\n', 'pid:[4026531836]', 'nested'),
    ('Name:\told kernel\n', 'pid:[4026531836]', 'init'),
    ('Name:\told kernel\n', None, None),
])
def test_pid_namespace(tmp_path, status, namespace, expected):
    assert gather_environment(machine(tmp_path, {'/proc/self/status': status}, namespace))['pid_namespace'] == expected


@pytest.mark.parametrize('mounts, expected', [
    (V1, 'v1'), (V2, 'v2'), (V1 + V2.replace('/sys/fs/cgroup', '/sys/fs/cgroup/unified'), 'hybrid'), ('', None),
])
def test_cgroup(tmp_path, mounts, expected):
    assert gather_environment(machine(tmp_path, {'/proc/self/mountinfo': mounts}))['cgroup'] == expected


@pytest.mark.parametrize('changes, expected', [
    ({'/run/systemd/system/x': None, '/run/openrc/softlevel': ''}, 'openrc'),
    ({'/run/systemd/system/x': None}, 'other'),
])
def test_init(tmp_path, changes, expected):
    assert gather_environment(machine(tmp_path, changes))['init'] == expected


def test_nothing_can_be_set_where_the_file_is_missing(tmp_path):
    assert gather_environment(machine(tmp_path, {'/proc/sys/vm/overcommit_memory': None}))['writable'] is False


def test_asking_whether_it_is_writable_writes_nothing(tmp_path):
    host = machine(tmp_path, {})
    gather_environment(host)
    assert host.read_text('/proc/sys/vm/overcommit_memory') == '0\n'
