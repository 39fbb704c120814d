# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs on this computer, installed when root on Debian or Ubuntu asks for it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from oomlab import LabError

QEMU = 'qemu-system-x86_64'
# Program to look for → Debian package that brings it.
BUILD = {'mmdebstrap': 'mmdebstrap', 'mke2fs': 'e2fsprogs', 'qemu-img': 'qemu-utils', 'ssh-keygen': 'openssh-client'}
RUN = {QEMU: 'qemu-system-x86', 'qemu-img': 'qemu-utils', 'ssh': 'openssh-client'}
KEYRING = Path('/usr/share/keyrings/debian-archive-keyring.gpg')
# QEMU 7.2 (Debian 12's own) crashes guests: double faults at cmpxchg16b under multi-threaded TCG.
OLDEST_QEMU = 8
SOURCES = Path('/etc/apt/sources.list.d/oomkit-backports.sources')


def ensure(programs: dict) -> None:
    """Have these programs, installing them if that is allowed. Raises LabError with the exact command otherwise."""
    missing = sorted({package for program, package in programs.items() if not find(program)})
    if programs is BUILD and not KEYRING.exists():
        missing.append('debian-archive-keyring')
    if QEMU in programs and find(QEMU) and qemu_major() < OLDEST_QEMU:
        missing.append('qemu-system-x86')
    if missing:
        _install(missing)
    for program, package in programs.items():
        if not find(program):
            raise LabError(f'{program} is still missing after installing {package}')
    if QEMU in programs and qemu_major() < OLDEST_QEMU:
        raise LabError(f'QEMU {qemu_major()} crashes guests; the lab needs {OLDEST_QEMU} or newer, from backports')


def find(program: str) -> str | None:
    """Where the program is; sbin counts also for users who have it not in PATH."""
    return shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')


def qemu_major() -> int:
    """The major version of the QEMU that is installed, 0 for one that does not tell."""
    text = subprocess.run([find(QEMU), '--version'], capture_output=True, text=True, check=False).stdout
    match = re.search(r'version (\d+)', text)
    return int(match.group(1)) if match else 0


def _install(packages: list) -> None:
    steps = _steps(packages)
    shown = ' && '.join(' '.join(step) for step in steps)
    if os.geteuid() != 0 or os.environ.get('OOMKIT_INSTALL') == '0' or not shutil.which('apt-get'):
        raise LabError(f'the lab needs {", ".join(packages)}. Install them as root: {shown}')
    print(f'lab: installing {", ".join(packages)}: {shown}', flush=True)
    if _needs_backports(packages):
        _add_backports()
    environment = dict(os.environ, DEBIAN_FRONTEND='noninteractive')
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise LabError(f'{" ".join(step)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}')


def _steps(packages: list) -> list:
    target = ['-t', 'bookworm-backports'] if _needs_backports(packages) else []
    return [['apt-get', 'update', '-q'], ['apt-get', 'install', '-y', '-q', '--no-install-recommends', *target, *packages]]


def os_release() -> dict:
    """The fields of /etc/os-release."""
    lines = Path('/etc/os-release').read_text(encoding='utf-8').splitlines()
    return {name: value.strip('"') for name, _equals, value in (line.partition('=') for line in lines)}


def _needs_backports(packages: list) -> bool:
    return 'qemu-system-x86' in packages and os_release().get('VERSION_CODENAME') == 'bookworm'


def _add_backports() -> None:
    if SOURCES.exists():
        return
    mirror = debian_mirror()
    if mirror is None:
        raise LabError('no Debian mirror in the apt configuration: add bookworm-backports to it, for QEMU 10')
    print(f'lab: adding {SOURCES}, with the mirror that apt already uses, because QEMU 7.2 crashes guests', flush=True)
    SOURCES.write_text(f'Types: deb\nURIs: {mirror}\nSuites: bookworm-backports\nComponents: main\nSigned-By: {KEYRING}\n',
                       encoding='utf-8')


def debian_mirror() -> str | None:
    """The mirror of Debian's main archive that this computer's apt uses, None where it has none (Ubuntu)."""
    command = ['apt-get', 'indextargets', '--format', '$(SITE) $(CODENAME) $(COMPONENT)', 'Created-By: Packages']
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    codename = os_release().get('VERSION_CODENAME', '')
    if os_release().get('ID') != 'debian':
        return None
    for site, suite, component in (line.split(' ') for line in lines if line.count(' ') == 2):
        if suite == codename and component == 'main':
            return site.rstrip('/') + '/'
    return None
