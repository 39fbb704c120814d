# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this Python runs: container or host, which namespace, cgroup version and init; and whether vm.* can be set."""

from typing import Any, Dict, Optional

from .container import container, has_other_root, pid_namespace, read_or_none
from .host import Host, sysctl_path


def environment(host: Host) -> Dict[str, Any]:
    """The facts of key C(environment)."""
    return {
        'container': container(host),
        'writable': writable(host),
        'pid_namespace': pid_namespace(host),
        'cgroup': cgroup_version(host),
        'init': init(host),
    }


def is_chroot(host: Host) -> bool:
    """Whether this root directory is another one than that of PID 1; False where that may not be seen."""
    return bool(has_other_root(host))


def writable(host: Host) -> bool:
    """Whether vm.* can be set from here: the file is opened for writing, nothing is written."""
    return host.write_refusal(sysctl_path('vm.overcommit_memory')) is None


def cgroup_version(host: Host) -> Optional[str]:
    """C(v1), C(v2) or C(hybrid) (v1 controllers with a v2 tree beside them); None without cgroups."""
    kinds = set()
    for line in (read_or_none(host, '/proc/self/mountinfo') or '').split('\n'):
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
