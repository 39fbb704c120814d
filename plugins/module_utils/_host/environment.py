# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detect the environment: container, PID namespace, cgroup version, init, and whether vm.* is writable."""

from typing import Any, Dict, Optional

from .container import detect_container, find_pid_namespace, has_other_root, read_or_none
from .host import Host, sysctl_path
from .mounts import parse_mountinfo


def gather_environment(host: Host) -> Dict[str, Any]:
    """The facts of key C(environment)."""
    return {
        'container': detect_container(host),
        'writable': is_writable(host),
        'pid_namespace': find_pid_namespace(host),
        'cgroup': find_cgroup_version(host),
        'init': find_init(host),
    }


def is_chroot(host: Host) -> bool:
    """Whether this root directory differs from that of PID 1; False for unknown."""
    return bool(has_other_root(host))


def is_writable(host: Host) -> bool:
    """Whether vm.* can be set. Opens a file for writing and writes nothing."""
    return host.write_refusal(sysctl_path('vm.overcommit_memory')) is None


def find_cgroup_version(host: Host) -> Optional[str]:
    """C(v1), C(v2) or C(hybrid); None without cgroups."""
    kinds = {mount.fs_type for mount in parse_mountinfo(read_or_none(host, '/proc/self/mountinfo') or '')}
    if kinds.issuperset(('cgroup', 'cgroup2')):
        return 'hybrid'
    return 'v1' if 'cgroup' in kinds else 'v2' if 'cgroup2' in kinds else None


def find_init(host: Host) -> str:
    """C(systemd), C(openrc) or C(other)."""
    if host.exists('/run/systemd/system'):
        return 'systemd'
    return 'openrc' if host.exists('/run/openrc') else 'other'
