# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that the sysctls can be set: not in a container, and not denied to root."""

import errno
import os
from typing import Optional, Sequence, Tuple

from .._core.errors import CONTAINER, NOT_WRITABLE, Refusal
from .host import Host, sysctl_path

_FORBIDDEN = (errno.EACCES, errno.EPERM)
_CAUSES = {
    errno.EROFS: 'Something mounted it read-only, such as ProtectKernelTunables= of the service that runs this task '
                 '(findmnt -T /proc/sys)',
    errno.EPERM: 'A hardened or locked-down kernel or a security module denies it to root (dmesg, audit log)',
    errno.EACCES: 'A security module, or a user namespace without a container, denies it to root (audit log, '
                  '/proc/self/uid_map)',
}


def check_place(host: Host, keys: Sequence[str], container: Optional[str], force: bool) -> None:
    """Raise Refusal in a container, and if the sysctls do not exist."""
    if container:
        key, refused = _first_refused(host, keys)
        _check_container(key, refused if _is_denied(refused) else None, container, force)
    if host.write_refusal(sysctl_path(keys[0])) == errno.ENOENT:
        raise Refusal(f'{sysctl_path(keys[0])} is not there: no /proc in a chroot, or a kernel without it. runtime: '
                      'false writes only the boot configuration. [OOMK-1204]')


def check_writable(host: Host, keys: Sequence[str], check_mode: bool) -> None:
    """Raise Refusal if a sysctl to write is not writable, and OSError for other errors."""
    key, refused = _first_refused(host, keys)
    if _is_denied(refused):
        raise Refusal(f'{key} cannot be set: {sysctl_path(key)} is not writable ({_describe(refused)}), and this is '
                      f'no container. {_CAUSES[refused or 0]}. Allow it, or use runtime: false to write only the boot '
                      'configuration. Nothing was changed. [OOMK-1203]', NOT_WRITABLE)
    if refused is None or check_mode:
        return
    if refused in _FORBIDDEN:
        raise Refusal(f'{sysctl_path(key)} cannot be written: {os.strerror(refused)}. Run the task as root (become: '
                      'true). [OOMK-1205]')
    raise OSError(refused, os.strerror(refused), sysctl_path(key))


def _is_denied(refused: Optional[int]) -> bool:
    """Whether even root cannot write it."""
    return refused == errno.EROFS or (refused in _FORBIDDEN and os.geteuid() == 0)


def _first_refused(host: Host, keys: Sequence[str]) -> Tuple[str, Optional[int]]:
    """The first sysctl that cannot be opened for writing, and the errno, which is None if all can.

    Single files and folders can be read-only or hidden. Skips sysctls that the kernel lacks, such as overcommit_kbytes
    before 3.14.
    """
    for key in keys:
        refused = host.write_refusal(sysctl_path(key))
        if refused not in (None, errno.ENOENT):
            return key, refused
    return (keys or ('',))[0], None


def _check_container(key: str, refused: Optional[int], container: str, force: bool) -> None:
    owner = (f'{key} and its like are not namespaced: they belong to the host, so set them there. runtime: false '
             'writes only the boot configuration (image builds, chroots)')
    if refused is not None:
        raise Refusal(f'{key} cannot be set from here: /proc/sys is not writable ({os.strerror(refused)}) (container: '
                      f'{container}). {owner}. [OOMK-1201]', CONTAINER)
    if not force:
        raise Refusal(f'{key} is not set from inside a container (container: {container}), because it would change '
                      f'the whole host. {owner}; force: true sets it anyway. [OOMK-1202]', CONTAINER)


def _describe(refused: Optional[int]) -> str:
    return f'{errno.errorcode[refused or 0]}, {os.strerror(refused or 0)}'
