# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loader: the program that applies sysctl.d at boot, and the files that it reads, in order.

The running init decides; in an image, the installed one. Its boot script names the program and the files.
"""

import errno
import os
from typing import Callable, List, Optional, Tuple

from .._host import conf_files
from .._host.conf_files import Loader, Source, build_loader
from .._host.container import detect_container, has_other_root, is_wsl, read_or_none
from .._host.host import Host
from .._systemd.version import NEWEST, find_version

_FOLDERS = ('/etc/sysctl.d', '/run/sysctl.d', '/usr/local/lib/sysctl.d', '/usr/lib/sysctl.d', '/lib/sysctl.d')
SYSTEMD = build_loader('systemd-sysctl', conf_files.SYSTEMD, _FOLDERS)._replace(skips_equal=True)
PROCPS = build_loader('procps', conf_files.PROCPS, _FOLDERS, '/etc/sysctl.conf')

_SYSTEMD, _OPENRC, _RUNIT, _SYSV = 'systemd', 'openrc', 'runit', 'sysvinit'
_WSL = 'that of WSL (set systemd=true in section [boot] of /etc/wsl.conf)'
# An image without an init. Its later init most likely runs `sysctl --system`.
_NONE = ''

_UNIT_FOLDERS = ('/etc/systemd/system', '/run/systemd/system')
_SYSTEMD_PROGRAMS = ('/usr/lib/systemd/systemd-sysctl', '/lib/systemd/systemd-sysctl')
_OPENRC_PROGRAMS = ('/sbin/openrc', '/usr/sbin/openrc', '/bin/openrc', '/usr/bin/openrc')
_SYSCTL_PROGRAMS = ('/sbin/sysctl', '/usr/sbin/sysctl', '/bin/sysctl', '/usr/bin/sysctl')
_SERVICES = ('sysctl', 'procps')  # of OpenRC, and of Debian
# Of Void, and of Artix.
_RUNIT_FOLDERS = ('/etc/runit/core-services', '/etc/rc/sysinit')
_SLACKWARE_SCRIPT = '/etc/rc.d/rc.S'


def find_loader(host: Host) -> Loader:
    """Find the program that applies sysctl.d at boot. Raises OSError for an unreadable script."""
    init = _find_init(host)
    if init == _SYSTEMD:
        return _find_systemd(host)
    if init == _NONE:
        return PROCPS
    if init == _OPENRC:
        return _find_openrc(host)
    if init == _RUNIT:
        return _find_runit(host)
    if init == _SYSV:
        return _find_sysv(host)
    return _unknown(f'its init is {init}')


def _unknown(reason: str) -> Loader:
    """An unknown loader, with the sources of procps, so that our files are still found."""
    return PROCPS._replace(name='unknown', reason=reason, is_known=False)


# ---------------------------------------------------------------------- the init

def _find_init(host: Host) -> str:
    """The running init, or that of an image; the name of its program if it is unknown."""
    for folder, init in (('/run/systemd/system', _SYSTEMD), ('/run/openrc', _OPENRC)):
        if host.exists(folder):
            return init
    name = _running_init(host)
    if not name and host.exists('/run/runit'):  # other inits have it too, if runit supervises services
        return _RUNIT
    if name == 'init' and is_wsl(host):  # WSL does not start the distribution's own init
        return _WSL
    if name in ('', 'init', 'systemd'):  # every init may be named init
        return _installed_init(host)
    return _init_of_program(name) or name


def _running_init(host: Host) -> str:
    """The name of PID 1. Empty in a container or a chroot, where PID 1 is not the init that boots it."""
    if detect_container(host) is not None or has_other_root(host):
        return ''
    return (read_or_none(host, '/proc/1/comm') or '').strip()


def _init_of_program(name: str) -> Optional[str]:
    """The init with this program name; None if several inits use the name, or none is known."""
    for prefix, init in (('systemd', _SYSTEMD), ('openrc', _OPENRC), ('runit', _RUNIT)):
        if name.startswith(prefix):
            return init
    return None


def _installed_init(host: Host) -> str:
    program = host.real('/sbin/init')
    name = os.path.basename(program)
    if name == 'systemd':
        return _SYSTEMD
    if not host.exists(program):
        # A chroot or container image has no init of its own.
        return _SYSTEMD if any(host.exists(path) for path in _SYSTEMD_PROGRAMS) else _NONE
    if name not in ('init', 'sysvinit', 'busybox'):
        return _init_of_program(name) or name
    if name == 'busybox' and not any(map(host.exists, ('/etc/inittab', '/etc/init.d/rcS'))):
        return _NONE  # an image that has busybox, and nothing for an init to run
    init = _init_by_inittab(host)
    return name if init is None else init


def _init_by_inittab(host: Host) -> Optional[str]:
    """The init, by what sysvinit or busybox starts first: inittab(5). None if unknown."""
    commands = _sysinit_commands(host.read_text('/etc/inittab') or '')
    runs_openrc = _has(commands, 'openrc')
    if _has(commands, '/etc/init.d/rcS'):
        runs_openrc = 'openrc' in (host.read_text('/etc/init.d/rcS') or '')  # Debian's OpenRC has its own rcS
        if not runs_openrc:
            return _SYSV
    if runs_openrc:
        # An image of Alpine has an inittab for OpenRC, even without OpenRC.
        return _OPENRC if any(host.exists(path) for path in _OPENRC_PROGRAMS) else _NONE
    return _SYSV if _has(commands, _SLACKWARE_SCRIPT) else None


def _has(commands: List[str], word: str) -> bool:
    return any(word in command for command in commands)


def _sysinit_commands(inittab: str) -> List[str]:
    """The commands that init runs first."""
    entries = [line.split(':', 3) for line in inittab.split('\n') if not line.lstrip().startswith('#')]
    return [entry[3] for entry in entries if len(entry) > 3 and entry[2] == 'sysinit']


# ---------------------------------------------------------------------- systemd

def _find_systemd(host: Host) -> Loader:
    for folder in _UNIT_FOLDERS:
        unit = folder + '/systemd-sysctl.service'
        if host.real(unit) == '/dev/null':
            return SYSTEMD._replace(reason='systemd-sysctl.service is masked by ' + unit)
    # systemd reads before it writes from 250 on (pull request 20676).
    return SYSTEMD._replace(skips_equal=(find_version(host) or NEWEST) >= 250,
                            sources=_kernel_sources(host) + SYSTEMD.sources)


def _kernel_sources(host: Host) -> Tuple[Source, ...]:
    """SUSE's files for one kernel, applied before all others."""
    release = (host.read_text('/proc/sys/kernel/osrelease') or '').strip()
    paths = ['/boot/sysctl.conf-' + release, f'/usr/lib/modules/{release}/sysctl.conf']
    if not release or '/' in release or not any(host.exists(path) for path in paths):
        return ()
    from . import kernel_files
    return kernel_files.find_sources(host, release)


# ------------------------------------------------------------------ other inits

def _find_openrc(host: Host) -> Loader:
    # Imported here, because few hosts have another init than systemd.
    from .._systemd.enabled import is_in_runlevel
    return _by_services(host, 'service', 'OpenRC', is_in_runlevel, 'rc-update add %s boot')


def _find_sysv(host: Host) -> Loader:
    from .._systemd.enabled import has_rc_link
    if host.exists(_SLACKWARE_SCRIPT):
        return _by_scripts(host, 'sysvinit', [_SLACKWARE_SCRIPT])
    return _by_services(host, 'script', 'sysvinit', has_rc_link, 'update-rc.d %s defaults')


def _by_services(host: Host, kind: str, init: str, is_started: Callable[[Host, str], bool], remedy: str) -> Loader:
    """The loader of the scripts in the runlevels. ``remedy`` is the command that adds a script."""
    scripts = [name for name in _SERVICES if host.exists('/etc/init.d/' + name)]
    started = [name for name in scripts if is_started(host, name)]
    if scripts and not started:
        return PROCPS._replace(reason=f'the {kind} {scripts[0]} of {init} is in no runlevel ({remedy % scripts[0]})')
    return _by_scripts(host, init, ['/etc/init.d/' + name for name in started])


def _find_runit(host: Host) -> Loader:
    return _by_scripts(host, 'runit', [f'{folder}/{name}' for folder in _RUNIT_FOLDERS
                                       for name in host.names(folder) if 'sysctl' in name])


def _by_scripts(host: Host, init: str, paths: List[str]) -> Loader:
    """The loader of an init's scripts. Several scripts must do the same."""
    if not paths:
        return _unknown(f'no script of {init} for sysctls is found')
    loaders = [_by_script(host, path) for path in paths]
    if any(loader != loaders[0] for loader in loaders):
        return _unknown(f"{init} runs several scripts for sysctls: {', '.join(paths)}")
    return loaders[0]


def _by_script(host: Host, path: str) -> Loader:
    from . import boot_script
    program = _find_sysctl(host)
    if program is None:
        return PROCPS._replace(reason=f'{path} runs sysctl, which is not installed (install procps)')
    is_busybox = program.startswith('busybox')
    if not is_busybox and program != 'sysctl':
        return _unknown(f'{path} runs sysctl of {program}')
    system, = PROCPS.sources
    sources = boot_script.parse_script(_read_script(host, path), system, not is_busybox)
    if sources is None:
        return _unknown(f'the script {path} is not one of the known ones')
    if is_busybox and system in sources:
        return PROCPS._replace(reason=f'{path} runs sysctl --system, which busybox lacks (install procps)')
    if sources == [system]:
        return PROCPS
    return Loader(path, conf_files.BUSYBOX if is_busybox else conf_files.PROCPS, tuple(sources), False, '', True)


def _read_script(host: Host, path: str) -> str:
    """The text of a script; empty if it is too long or not a regular file."""
    try:
        return host.read_text(path) or ''
    except OSError as exc:
        if exc.errno in (errno.EFBIG, errno.EISDIR, errno.EINVAL, errno.ELOOP):
            return ''
        raise


def _find_sysctl(host: Host) -> Optional[str]:
    """The name of the program behind sysctl, such as busybox; None if there is none."""
    found: List[str] = [path for path in _SYSCTL_PROGRAMS if host.exists(path)]
    return os.path.basename(host.real(found[0])) if found else None
