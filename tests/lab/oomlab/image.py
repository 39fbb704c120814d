# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build an image once and keep it outside the repository, by the content of its recipe."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from oomlab import LabError, cache, install
from oomlab.recipe import Recipe

_DISK_SIZE = '6G'


class Image:
    """A built image: disk, kernel, initrd and the key that opens it."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folder = cache.folder() / f'{recipe.name}-{recipe.key()}'
        self.disk = self.folder / 'disk.qcow2'
        self.kernel = self.folder / 'vmlinuz'
        self.initrd = self.folder / 'initrd'
        self.key = self.folder / 'id_ed25519'

    def ensure(self) -> float:
        """Build the image unless it is there; the seconds it took. Raises LabError."""
        if self.folder.exists():
            return 0.0
        with cache.alone(self.folder.name):
            if self.folder.exists():  # somebody else built it while we waited
                return 0.0
            return self._build()

    def _build(self) -> float:
        install.ensure(install.BUILD)
        if os.geteuid() != 0:
            raise LabError('building an image needs root (device nodes, owners). Run: sudo env '
                           f'OOMKIT_LAB_CACHE={cache.folder()} tests/lab/lab build {self.recipe.name}')
        start = time.monotonic()
        print(f'lab: building {self.recipe.name} in {self.folder} (about a minute)', flush=True)
        work = Path(tempfile.mkdtemp(prefix='.build-', dir=cache.folder()))
        try:
            self._fill(work)
            for path in (work, *work.iterdir()):
                _give_to_caller(path)
            work.rename(self.folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return time.monotonic() - start

    def _fill(self, work: Path) -> None:
        """Everything of the image into the folder ``work``."""
        work.chmod(0o755)
        root = work / 'root'
        _run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'oomkit-lab', '-f', str(work / 'id_ed25519')])
        _run(self._mmdebstrap(root, work / 'id_ed25519.pub'))
        for name, pattern in (('vmlinuz', 'vmlinuz-*'), ('initrd', 'initrd.img-*')):
            newest = max((root / 'boot').glob(pattern), key=lambda path: path.stat().st_mtime)
            shutil.copyfile(newest, work / name)
        _run([install.find('mke2fs'), '-q', '-t', 'ext4', '-d', str(root), str(work / 'disk.raw'), _DISK_SIZE])
        _run(['qemu-img', 'convert', '-O', 'qcow2', str(work / 'disk.raw'), str(work / 'disk.qcow2')])
        (work / 'disk.raw').unlink()
        shutil.rmtree(root)

    def _mmdebstrap(self, root: Path, public_key: Path) -> list:
        recipe = self.recipe
        mirror = install.debian_mirror()
        kernel = [] if recipe.backports_kernel else ['linux-image-cloud-amd64']
        # Without a mirror in apt's configuration mmdebstrap knows one itself.
        sources = [f'deb {mirror} {recipe.suite} main'] if mirror else []
        hooks = [f'--customize-hook={recipe.setup}',
                 f'--customize-hook=copy-in {public_key} /root/.ssh',
                 '--customize-hook=cp "$1/root/.ssh/id_ed25519.pub" "$1/home/tester/.ssh/authorized_keys"; '
                 'mv "$1/root/.ssh/id_ed25519.pub" "$1/root/.ssh/authorized_keys"; '
                 'chroot "$1" chown -R tester: /home/tester/.ssh; chroot "$1" chown -R root: /root/.ssh']
        if recipe.backports_kernel:
            if mirror is None:
                raise LabError(f'{recipe.name} needs a Debian mirror in this computer\'s apt configuration')
            suite = f'{recipe.suite}-backports'
            hooks.insert(0, (
                f'--customize-hook=set -e; echo "deb {mirror} {suite} main" > "$1/etc/apt/sources.list.d/b.list"; '
                'chroot "$1" apt-get -q update; '
                f'chroot "$1" apt-get -q -y --no-install-recommends -t {suite} install linux-image-cloud-amd64'))
        # Old suites have Release files past their Valid-Until date.
        return ['mmdebstrap', '--quiet', '--variant=minbase', '--mode=root', '--format=directory',
                '--aptopt=Acquire::Check-Valid-Until "false"', f'--include={",".join([*recipe.packages, *kernel])}',
                f'--keyring={install.KEYRING}', *hooks, recipe.suite, str(root), *sources]


def _run(command: list) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LabError(f'{command[0]} failed:\n{done.stdout[-1500:]}{done.stderr[-3000:]}')


def _give_to_caller(path: Path) -> None:
    """What sudo built belongs to who called sudo."""
    user = os.environ.get('SUDO_UID')
    if user:
        os.chown(path, int(user), int(os.environ.get('SUDO_GID', user)))
