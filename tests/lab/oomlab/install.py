# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs on this computer, installed when root on Debian or Ubuntu asks for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from oomlab import LabError, cache

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
    with cache.alone('install'):  # apt-get fails at once where another one is at work
        _ensure(programs)


def _ensure(programs: dict) -> None:
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
    """The major version of the QEMU that is installed, 0 where it is unknown."""
    text = subprocess.run([find(QEMU), '--version'], capture_output=True, text=True, check=False).stdout
    match = re.search(r'version (\d+)', text)
    return int(match.group(1)) if match else 0


def _install(packages: list) -> None:
    names = ', '.join(packages)
    if not shutil.which('apt-get'):
        raise LabError(f'the lab needs {names} (Debian packages); without apt-get it cannot install them')
    steps = _steps(packages)
    shown = ' && '.join(steps)
    if os.geteuid() != 0 or os.environ.get('OOMKIT_INSTALL') == '0':
        raise LabError(f'the lab needs {names}. Install them as root: {shown}')
    print(f'lab: installing {names}: {shown}', flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND='noninteractive')
    for step in steps:
        done = subprocess.run(['sh', '-c', step], capture_output=True, text=True, check=False, env=environment,
                              stdin=subprocess.DEVNULL)
        if done.returncode:
            raise LabError(f'{step} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}')


def _steps(packages: list) -> list:
    """Shell commands, the same for us and for a user who runs them by hand."""
    steps, target = [], ''
    if _needs_backports(packages):
        target = '-t bookworm-backports '
        if 'bookworm-backports' not in [suite for _site, suite in archives()]:
            fields = f'Types: deb\\nURIs: {_mirror_or_fail()}\\nSuites: bookworm-backports\\nComponents: main\\n'
            steps.append(f"printf '{fields}Signed-By: {KEYRING}\\n' > {SOURCES}")
    return [*steps, 'apt-get update -q', f'apt-get install -y -q --no-install-recommends {target}{" ".join(packages)}']


def os_release() -> dict:
    """The fields of /etc/os-release."""
    lines = Path('/etc/os-release').read_text(encoding='utf-8').splitlines()
    return {name: value.strip('"') for name, _equals, value in (line.partition('=') for line in lines)}


def _needs_backports(packages: list) -> bool:
    return 'qemu-system-x86' in packages and os_release().get('VERSION_CODENAME') == 'bookworm'


def _mirror_or_fail() -> str:
    mirror = debian_mirror()
    if mirror is None:
        raise LabError('no Debian mirror in the apt configuration: add bookworm-backports to it, for QEMU 10')
    return mirror


def debian_mirror() -> str | None:
    """The mirror of Debian's main archive that this computer's apt uses, None where it has none (Ubuntu)."""
    if os_release().get('ID') != 'debian':
        return None
    return mirror_among(archives(), os_release().get('VERSION_CODENAME', ''))


def mirror_among(found: list, codename: str) -> str | None:
    """The archive that has the suite, before all others one that has its -updates as well.

    Others than Debian's use its code names too, but they have no updates.
    """
    sites = [site for site, suite in found if suite == codename]
    best = [site for site in sites if (site, f'{codename}-updates') in found] or sites
    return best[0] + '/' if best else None


def archives() -> list:
    """What apt is configured to use, as (site, suite).

    `apt-get update --print-uris` asks the configuration alone: on a fresh machine apt has no lists of packages yet.
    """
    try:
        text = subprocess.run(['apt-get', 'update', '--print-uris'], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return re.findall(r"^'(\S+)/dists/(\S+)/InRelease'", text, re.MULTILINE)
