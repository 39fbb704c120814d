# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this Python runs: container or host, which namespace, cgroup version and init; and whether vm.* can be set."""

import re
from typing import Any, Dict, Optional

from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, sysctl_path

# PROC_PID_INIT_INO, include/linux/proc_ns.h: the initial PID namespace has this inode on every kernel since 3.8.
_INIT_PID_NAMESPACE = 'pid:[4026531836]'
_ALL_IDS = ['0', '0', '4294967295']
# Files that container managers leave for those inside (systemd.io/CONTAINER_INTERFACE, Docker, Podman).
_MANAGER_FILES = ('/run/systemd/container', '/run/host/container-manager')
_MARKS = (('/.dockerenv', 'docker'), ('/run/.containerenv', 'podman'))
_CGROUP_HINT = re.compile(r'/(docker(?=[/-])|libpod(?=[/-])|lxc(?=/|\.payload)|kubepods(?=[/.-]))')


def environment(host: Host) -> Dict[str, Any]:
    """The facts of key C(environment)."""
    return {
        'container': container(host),
        'writable': writable(host),
        'pid_namespace': pid_namespace(host),
        'cgroup': cgroup_version(host),
        'init': init(host),
    }


def container(host: Host) -> Optional[str]:
    """The container manager's name, ``user-namespace`` or ``unknown`` where only signs are seen, None on a host."""
    for path in _MANAGER_FILES:
        name = (_read(host, path) or '').strip()
        if name:
            return name
    for path, name in _MARKS:
        if host.exists(path):
            return name
    match = re.search(r'(?:^|\0)container=([^\0]+)', _read(host, '/proc/1/environ') or '')
    if match:
        return match.group(1)
    hint = _CGROUP_HINT.search(_read(host, '/proc/1/cgroup') or '')
    if hint:
        return hint.group(1)
    uid_map = (_read(host, '/proc/self/uid_map') or '').split()
    return 'user-namespace' if uid_map and uid_map != _ALL_IDS else None


def is_chroot(host: Host) -> bool:
    """Whether this root directory is another one than that of PID 1; False where that may not be seen."""
    try:
        outer, own = host.stat('/proc/1/root/.'), host.stat('/')
    except OSError:
        return False
    return outer is not None and own is not None and (outer.st_dev, outer.st_ino) != (own.st_dev, own.st_ino)


def writable(host: Host) -> bool:
    """Whether vm.* can be set from here: the file is opened for writing, nothing is written."""
    return host.write_refusal(sysctl_path('vm.overcommit_memory')) is None


def pid_namespace(host: Host) -> Optional[str]:
    """C(init) or C(nested): in a nested one the processes outside cannot be seen. None where it cannot be told."""
    status = _read(host, '/proc/self/status') or ''
    ids = re.search(r'^NSpid:\s+(.+)$', status, re.MULTILINE)
    if ids and len(ids.group(1).split()) > 1:
        return 'nested'
    link = host.read_link('/proc/self/ns/pid')
    if link is None:
        return None
    return 'init' if link == _INIT_PID_NAMESPACE else 'nested'


def cgroup_version(host: Host) -> Optional[str]:
    """C(v1), C(v2) or C(hybrid) (v1 controllers with a v2 tree beside them); None without cgroups."""
    kinds = set()
    for line in (_read(host, '/proc/self/mountinfo') or '').split('\n'):
        fields = line.partition(' - ')[2].split(' ')
        if fields[0] in ('cgroup', 'cgroup2'):
            kinds.add(fields[0])
    if len(kinds) == 2:
        return 'hybrid'
    return {'cgroup': 'v1', 'cgroup2': 'v2'}[kinds.pop()] if kinds else None


def init(host: Host) -> str:
    """C(systemd), C(openrc) or C(other)."""
    if host.exists('/run/systemd/system'):
        return 'systemd'
    return 'openrc' if host.exists('/run/openrc') else 'other'


def _read(host: Host, path: str) -> Optional[str]:
    """The text, None also where it may not be read: all of this is told to unprivileged users too."""
    try:
        return host.read_text(path)
    except OSError:
        return None
