# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detect containers by namespaces, cgroup and mounts.

Files such as /.dockerenv alone are no evidence: a host has them too if its image was made from a container.
Sources: detect_container() in systemd's src/basic/virt.c (same order); include/linux/proc_ns.h; namespaces(7);
systemd.io/CONTAINER_INTERFACE.
"""

import re
from typing import Optional

from .host import Host
from .mounts import parse_mountinfo

# PROC_PID_INIT_INO and PROC_CGROUP_INIT_INO: the same on every kernel since 3.8 and 4.6.
_INIT_PID_NAMESPACE = 'pid:[4026531836]'
_INIT_CGROUP_NAMESPACE = 'cgroup:[4026531835]'
_MANAGER_FILES = ('/run/host/container-manager', '/run/systemd/container')
_VARIABLE = re.compile(r'(?:^|\0)container=([^\0]+)')
_ANY_MANAGER = 'oci'  # some images set container=oci for every engine
# Docker comes last, because other engines run its images.
_MARKS = (('/run/.containerenv', 'podman'), ('/.dockerenv', 'docker'))
_CGROUP = re.compile(r'/(docker(?=[/-])|libpod(?=[/-])|lxc(?=/|\.payload)|kubepods(?=[/.-])|crio(?=-)|nerdctl(?=-)'
                     r'|cri-containerd(?=[:-]))')
# The storage of container engines in the options of an overlay.
_FOLDER = re.compile(r'[=:](/[^,:]*/)')
_ENGINE = re.compile(r'/(docker|containerd|containers(?=/storage)|apptainer|singularity)/')
_PIDS = re.compile(r'^NSpid:[ \t]+(.+)$', re.MULTILINE)
_OTHER_NAMES = {'libpod': 'podman', 'containers': 'podman', 'cri-containerd': 'containerd'}
_UNKNOWN = 'unknown'
_WSL = 'wsl'


def detect_container(host: Host) -> Optional[str]:
    """The name of the container manager or ``unknown``; None on a host and in a chroot."""
    if host.exists('/proc/vz') and not host.exists('/proc/bc'):  # only the host has both
        return 'openvz'
    namespace = find_pid_namespace(host)
    if namespace == 'nested':
        return _inside_wsl(host) if is_wsl(host) else _name(host, '1') or _UNKNOWN
    if namespace is None:
        return _without_namespaces(host)
    return _beside_init(host)


def find_pid_namespace(host: Host) -> Optional[str]:
    """C(init), or C(nested) where processes outside are not visible; None for unknown."""
    ids = _PIDS.search(read_or_none(host, '/proc/self/status') or '')
    if ids and len(ids.group(1).split()) > 1:
        return 'nested'
    link = host.read_link('/proc/self/ns/pid')
    if link is None:
        return None
    return 'init' if link == _INIT_PID_NAMESPACE else 'nested'


def has_other_root(host: Host) -> Optional[bool]:
    """Whether PID 1 has another root directory; None for unknown."""
    try:
        outer, own = host.stat('/proc/1/root/.'), host.stat('/')
    except OSError:
        return None
    if outer is None or own is None:
        return None
    return (outer.st_dev, outer.st_ino) != (own.st_dev, own.st_ino)


def _beside_init(host: Host) -> Optional[str]:
    """The manager of a container in the host's PID namespace (hostPID of Kubernetes, --pid=host of Docker)."""
    return _name(host, 'self') or _UNKNOWN if _is_container_beside_init(host) else None


def _is_container_beside_init(host: Host) -> bool:
    other_root, other_mounts = has_other_root(host), _has_other_mounts(host)
    # A service with its own mount namespace has the root directory of init, and a chroot has the mounts of init.
    if other_root is False or other_mounts is False:
        return False
    if _storage(host) or _cgroup_hint(host, 'self'):
        return True
    is_marked = _mark(host) is not None
    if _has_own_cgroup_namespace(host):
        return bool(other_root) or is_marked
    return is_marked and bool(other_root) and bool(other_mounts)


def _without_namespaces(host: Host) -> Optional[str]:
    """The manager without PID namespaces, or without /proc (an image build), where only files show it."""
    has_proc = host.exists('/proc/self/status')
    variable = _VARIABLE.search(read_or_none(host, '/proc/1/environ') or '')
    return _name(host, '1') if not has_proc or variable or _storage(host) or _cgroup_hint(host, '1') else None


def _inside_wsl(host: Host) -> Optional[str]:
    """The manager on WSL: a distribution has a PID namespace but can set sysctls."""
    name = _reported_name(host, '1')
    if name not in (None, _WSL) or _storage(host) or _cgroup_hint(host, '1') or _has_own_cgroup_namespace(host):
        return _name(host, '1') or _UNKNOWN
    return None


def is_wsl(host: Host) -> bool:
    """Whether this is the kernel of WSL."""
    return re.search('microsoft|WSL', read_or_none(host, '/proc/sys/kernel/osrelease') or '', re.IGNORECASE) is not None


def _has_other_mounts(host: Host) -> Optional[bool]:
    """Whether PID 1 has another mount namespace; None for unknown."""
    own, outer = host.read_link('/proc/self/ns/mnt'), host.read_link('/proc/1/ns/mnt')
    return None if own is None or outer is None else own != outer


def _has_own_cgroup_namespace(host: Host) -> bool:
    return host.read_link('/proc/self/ns/cgroup') not in (None, _INIT_CGROUP_NAMESPACE)


def _name(host: Host, process: str) -> Optional[str]:
    """The manager of a container. ``process`` is the folder below /proc of a process in it."""
    return _reported_name(host, process) or _cgroup_hint(host, process) or _mark(host) or _storage(host)


def _reported_name(host: Host, process: str) -> Optional[str]:
    """The name that the manager reports to the container."""
    names = [(read_or_none(host, path) or '').strip() for path in _MANAGER_FILES]
    names += _VARIABLE.findall(read_or_none(host, f'/proc/{process}/environ') or '')[:1]
    name = next((one for one in names if one), None)
    return _mark(host) or name if name == _ANY_MANAGER else name


def _mark(host: Host) -> Optional[str]:
    return next((name for path, name in _MARKS if host.exists(path)), None)


def _cgroup_hint(host: Host, process: str) -> Optional[str]:
    hint = _CGROUP.search(read_or_none(host, f'/proc/{process}/cgroup') or '')
    return _OTHER_NAMES.get(hint.group(1), hint.group(1)) if hint else None


def _storage(host: Host) -> Optional[str]:
    """The engine of the overlay at the root directory."""
    mounts = parse_mountinfo(read_or_none(host, '/proc/self/mountinfo') or '')
    return next((find_engine(one.options) for one in mounts if one.path == '/' and 'overlay' in one.fs_type), None)


def find_engine(options: str) -> Optional[str]:
    """The container engine of the folders in these overlay options."""
    for folder in _FOLDER.findall(options):
        found = _ENGINE.search(folder)
        if found:
            return _OTHER_NAMES.get(found.group(1), found.group(1))
    return None


def read_or_none(host: Host, path: str) -> Optional[str]:
    """The text; None if it cannot be read, as by unprivileged users."""
    try:
        return host.read_text(path)
    except OSError:
        return None
