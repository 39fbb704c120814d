# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of services and programs that start login sessions or jobs, which inherit oom_score_adj.

L(_service.session_units) and L(_service.session_scan) find such services without names. Sources: units of OpenSSH,
systemd (systemd-ssh-generator(8), user@.service(5)), the display managers of Debian, Fedora, openSUSE and Arch,
container runtimes and job runners.
"""

import os
import re
from typing import Iterable, List, NamedTuple, Optional

from .._core.text import to_text
from .._host.host import Host
from .._process.cgroup_unit import find_unit, list_all_paths
from .._process.handle import ProcessHandle, read_init_cgroup
from .._process.pid_file import MOST_SYSTEM_UID

_LOGIN = re.compile(r'''(?:snap\.[^.]+\.)?(?:
    (?: sshd?(?:-vsock|-unix-local)? | opensshd? | openssh-server | dropbear | tinysshd? | telnetd? )(?:@.*)?
    | (?: serial-|container-|[a-z])?getty@.* | autovt@.* | [a-z]?getty[.-].+ | console-getty
    | (?:console|container)-shell(?:@.*)?
    | debug-shell | rescue | emergency
    | display-manager | gdm3? | lightdm | sddm | lxdm | xdm | wdm | kdm | slim | nodm | greetd | ly(?:@.*)?
    | plasmalogin | mdm | emptty | lemurs | cosmic-greeter | cage@.* | kmscon(?:vt@.*)?
    | xrdp | xrdp-sesman | (?:tiger)?vncserver@.* | xvnc(?:@.*)? | nxserver | gnome-remote-desktop
    | (?:openbsd-|x)?inetd | (?:rsh|rlogin|rexec)(?:@.*)? | teleport | amazon-ssm-agent | tailscaled
    | cockpit(?:-.+)? | webmin | usermin | pve(?:daemon|proxy) | shellinabox | ttyd | wetty | gotty
    | code-server(?:@.*)? | jupyterhub | rstudio-server | anydesk | rustdesk | teamviewerd | meshagent | x11vnc
    )\.service\Z''', re.VERBOSE)
# User managers, cron and at: all processes or jobs of users.
_OF_USERS = re.compile(r'(?:user@.*|(?:ana|b|d|f|m|in|(?:vixie|isc|busybox)-)?cron(?:d|ie)?|atd)\.service\Z')
# Services that run containers, virtual machines, jobs, or commands from other hosts.
_FOR_OTHERS = re.compile(r'''(?:
    containerd | docker | cri-docker | cri-o | crio | podman | kubelet | k3s(?:-agent)? | k0s(?:controller|worker)
    | rke2-(?:server|agent) | microk8s | buildkit | nomad | lxc(?:@.*)? | lxd | incusd? | libvirtd | virt(?:qemu|lxc)d
    | pve-container@.* | systemd-nspawn@.* | snap\.(?:docker|lxd|microk8s|multipass|incus)\..*
    | gitlab-runner | jenkins(?:-agent|-slave)?(?:@.*)? | actions\.runner\..* | (?:act|forgejo)[-_]runner
    | buildkite-agent(?:@.*)? | teamcity-agent | drone-runner.* | woodpecker-agent | vsts\.agent\..* | concourse-worker
    | buildbot-worker(?:@.*)? | bamboo-agent | codedeploy-agent | ecs | mesos-(?:agent|slave)
    | hadoop-yarn-nodemanager | slurmd | condor | pbs(?:_mom)? | sge_?execd(?:\..*)? | gridengine-execd? | lsfd
    | oar-node
    | supervisord? | monit | circusd? | pm2-.* | (?:gitlab-)?runsvdir(?:-start)? | svscan | rc-local
    | google-(?:guest-agent(?:-manager)?|osconfig-agent|(?:startup|shutdown)-scripts) | waagent | walinuxagent
    | qemu-(?:guest-agent|ga) | vmtoolsd | open-vm-tools | salt-minion | puppet(?:-agent)? | chef-client | cf-execd
    | rundeckd
    )\.service\Z''', re.VERBOSE)
_INIT = 1
# By comm: programs that start logins, jobs or a container's init; systemd is also a user manager.
_LOGIN_NAMES = (b'sshd', b'sshd-session', b'sshd-auth', b'dropbear', b'tinysshd', b'login', b'mingetty',
                b'systemd', b'systemd-logind', b'elogind', b'elogind-daemon', b'(sd-pam)', b'gdm', b'gdm3',
                b'gdm-session-wor', b'lightdm', b'sddm', b'sddm-helper', b'lxdm', b'xdm', b'wdm', b'kdm', b'slim',
                b'nodm', b'greetd', b'ly', b'ly-dm', b'emptty', b'lemurs', b'cosmic-greeter', b'kmscon', b'sulogin',
                b'systemd-sulogin', b'xrdp', b'xrdp-sesman', b'vncsession', b'vncsession-star', b'nxserver.bin',
                b'teleport', b'amazon-ssm-agen', b'ssm-agent-worke', b'ssm-session-wor', b'tailscaled', b'cockpit-tls',
                b'cockpit-session', b'shellinaboxd', b'ttyd', b'plasmalogin', b'jupyterhub', b'rserver',
                b'inetd', b'xinetd', b'in.telnetd', b'telnetd', b'in.rshd', b'in.rlogind', b'in.rexecd',
                b'miniserv.pl', b'pvedaemon', b'pveproxy', b'wetty', b'gotty', b'code-server', b'anydesk',
                b'rustdesk', b'teamviewerd', b'meshagent', b'x11vnc', b'cron', b'crond', b'fcron', b'dcron', b'anacron',
                b'mcron', b'incrond', b'atd')
_NAMES_FOR_OTHERS = (
    b'containerd', b'containerd-shim', b'dockerd', b'cri-dockerd', b'crio', b'podman', b'conmon', b'kubelet', b'k3s',
    b'k3s-server', b'k3s-agent', b'rke2', b'lxd', b'incusd', b'libvirtd', b'virtqemud', b'virtlxcd', b'systemd-nspawn',
    b'buildkitd', b'nomad', b'gitlab-runner', b'Runner.Listener', b'act_runner', b'forgejo-runner', b'buildkite-agent',
    b'Agent.Listener', b'slurmd', b'condor_master', b'pbs_mom', b'sge_execd', b'mesos-agent', b'mesos-slave',
    b'supervisord', b'monit', b'circusd', b'runsvdir', b'runsvdir-start', b'svscan', b's6-svscan', b'cf-execd',
    b'chef-client', b'google_guest_ag', b'google_osconfig', b'waagent', b'qemu-ga',
    b'vmtoolsd', b'salt-minion')
OF_USER = re.compile(br'/user\.slice/user-([0-9]{1,10})\.slice(?:/|\Z)')
_SESSION = re.compile(OF_USER.pattern + br'(?:session-[^/]+\.scope|user@[^/]+\.service)(?:/|\Z)')
_DYNAMIC_UIDS = (61184, 65519)  # of services with DynamicUser=
_NOBODY = 65534

_BY_NAME, _BY_PROGRAM = 'known by name', 'it runs %s'


class Evidence(NamedTuple):
    is_login: bool  # starts login sessions or jobs of users; else runs programs of others
    reason: str


def match_unit(unit: str) -> Optional[Evidence]:
    """Find evidence in the name of a unit."""
    if _LOGIN.match(unit) or _OF_USERS.match(unit):
        return Evidence(True, _BY_NAME)
    return Evidence(False, _BY_NAME) if _FOR_OTHERS.match(unit) else None


def match_program(name: bytes) -> Optional[Evidence]:
    """Find evidence in the name of a program. The kernel keeps its first 15 bytes."""
    if _is_login_name(name):
        return Evidence(True, _BY_PROGRAM % to_text(name))
    return Evidence(False, _BY_PROGRAM % to_text(name)) if name in _NAMES_FOR_OTHERS else None


def _is_login_name(name: bytes) -> bool:
    return name in _LOGIN_NAMES or re.match(br'[a-z]?getty\Z', name) is not None


def pick_strongest(found: Iterable[Optional[Evidence]]) -> Optional[Evidence]:
    """The first evidence of logins, else the first."""
    real = [one for one in found if one is not None]
    return next((one for one in real if one.is_login), real[0] if real else None)


def match_process(host: Host, pid: int) -> Optional[Evidence]:
    """Find evidence in the name and the unit of a process."""
    with ProcessHandle(host, pid) as handle:
        name = (handle.read('comm') or b'')[:-1]
        return match_program(name) or (Evidence(True, _BY_NAME) if starts_logins(handle) else None)


def is_session(cgroup: bytes) -> bool:
    """Whether this is the cgroup of a login session."""
    return _SESSION.match(cgroup) is not None


def is_of_login_user(uid: int) -> bool:
    """Whether the user can log in: neither a system account nor the user of this run."""
    if uid in (os.geteuid(), _NOBODY):
        return False
    return uid > MOST_SYSTEM_UID and not _DYNAMIC_UIDS[0] <= uid <= _DYNAMIC_UIDS[1]


def read_cgroups(handle: ProcessHandle, init: Optional[bytes] = None) -> List[bytes]:
    """Read the cgroup of a process in each hierarchy, below the system manager's root; ``init``: /proc/1/cgroup."""
    return list_all_paths(handle.read_thread('cgroup') or handle.read('cgroup') or b'',
                          read_init_cgroup(handle.host) if init is None else init)


def read_unit(handle: ProcessHandle) -> Optional[bytes]:
    """The unit of a process, see L(find_unit)."""
    return find_unit(handle.read_thread('cgroup') or handle.read('cgroup') or b'', read_init_cgroup(handle.host))


def starts_logins(handle: ProcessHandle) -> bool:
    """Whether the name or the unit of the process is known to start login sessions."""
    if handle.pid == _INIT or _is_login_name((handle.read('comm') or b'')[:-1]):
        return True
    unit = read_unit(handle)
    return unit is not None and bool(_LOGIN.match(to_text(unit)))
