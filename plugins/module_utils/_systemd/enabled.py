# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service starts at boot, by its links alone: this works in an image too."""

from typing import Tuple

from .._host.host import Host

UNIT_FOLDERS = ('/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system',
                '/usr/lib/systemd/system', '/lib/systemd/system')
_RUNLEVELS = '/etc/runlevels'  # of OpenRC
_NOT_AT_BOOT = ('shutdown', 'single', 'nonetwork', 'off', 'recovery')  # the last two are Debian's
_RC_FOLDERS = ('/etc/rcS.d', '/etc/rc2.d', '/etc/rc3.d', '/etc/rc5.d')  # of System V init


def starts_at_boot(host: Host, name: str, with_systemd: bool, started_by: Tuple[str, ...] = ()) -> bool:
    """Whether the service, or one that requires it, is enabled."""
    if with_systemd:
        return _has_unit(host, name) and any(_is_wanted(host, one) for one in (name,) + started_by
                                             if _has_unit(host, one))
    return is_in_runlevel(host, name) or has_rc_link(host, name)


def is_in_runlevel(host: Host, name: str) -> bool:
    """Whether a runlevel of OpenRC has the service."""
    levels = [level for level in host.folders(_RUNLEVELS) if level not in _NOT_AT_BOOT]
    return any(host.exists(f'{_RUNLEVELS}/{level}/{name}') for level in levels)


def has_rc_link(host: Host, name: str) -> bool:
    """Whether sysvinit starts the script."""
    return any(link[:1] == 'S' and link.lstrip('S0123456789') == name for folder in _RC_FOLDERS
               for link in host.names(folder))


def _has_unit(host: Host, name: str) -> bool:
    """Whether there is a unit file that is not masked."""
    for folder in UNIT_FOLDERS:
        path = f'{folder}/{name}.service'
        info = host.stat(path)
        if info is not None:
            return host.real(path) != '/dev/null' and info.st_size > 0
    return False


def _is_wanted(host: Host, name: str) -> bool:
    """Whether a target or another unit pulls it in, by a link in its .wants or .requires."""
    return any(host.lstat(f'{folder}/{entry}/{name}.service') is not None
               for folder in UNIT_FOLDERS for entry in host.names(folder)
               if entry.endswith(('.wants', '.requires')))
