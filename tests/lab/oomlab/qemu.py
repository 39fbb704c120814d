# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One QEMU process: its command line, its monitor, its accelerator."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from oomlab import LabError, cache, install
from oomlab.image import Image

# Said by the guest's kernel when the emulator, not the test, is at fault in the first minute.
_CRASH = re.compile(r'double fault|Oops: |general protection fault|Kernel panic - not syncing|BUG: unable to handle')
# What the emulator shows as its processor: with vector instructions and "rep movs" (max), which it emulates at length,
# a guest takes a sixth longer.
_CPU = {'kvm': 'max', 'tcg': 'qemu64'}
_BOOTED = 'Run /init as init process'
_TRIAL_S = 20


def accelerator(image: Image) -> str:
    """kvm where a guest really boots on it, else tcg. Tried once per boot of this computer, for each QEMU."""
    if not os.access('/dev/kvm', os.R_OK | os.W_OK):
        return 'tcg'
    boot_id = Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()
    note = cache.folder() / f'accelerator-{boot_id}-{install.qemu_major()}'
    with cache.alone('accelerator'):
        if not note.exists():
            found = 'kvm' if _boots_on_kvm(image) else 'tcg'
            print(f'lab: tried a guest on /dev/kvm: using {found}', flush=True)
            note.write_text(found, encoding='ascii')
        return note.read_text(encoding='ascii')


def _boots_on_kvm(image: Image) -> bool:
    """Whether the kernel gets as far as its init on KVM: a /dev/kvm that opens proves nothing."""
    command = [install.find(install.QEMU), '-accel', 'kvm', '-cpu', 'max', '-m', '512', '-nodefaults', '-nographic',
               '-no-reboot', '-serial', 'stdio', '-kernel', str(image.kernel), '-initrd', str(image.initrd),
               '-append', 'console=ttyS0 panic=-1 loglevel=7']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL) as process:
        os.set_blocking(process.stdout.fileno(), False)
        end, seen = time.monotonic() + _TRIAL_S, b''
        while time.monotonic() < end and process.poll() is None and _BOOTED.encode() not in seen:
            seen += process.stdout.read() or b''
            time.sleep(0.2)
        process.kill()
    return _BOOTED.encode() in seen


def command(image: Image, run_folder: Path, accel: str, settings: dict) -> list:
    """The command line of a machine. Networking is user-mode and restricted: one port of loopback leads to ssh."""
    args = [install.find(install.QEMU), '-name', 'oomkit-lab', '-nodefaults', '-no-user-config', '-display', 'none',
            '-accel', accel + (',thread=multi' if accel == 'tcg' else ''), '-cpu', _CPU[accel],
            '-m', str(settings['memory_mb']), '-smp', str(settings['cpus']),
            '-kernel', str(image.kernel), '-initrd', str(image.initrd),
            '-append', f'root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 {settings["append"]}'.strip(),
            '-drive', f'file={run_folder / "disk.qcow2"},if=virtio,format=qcow2,cache=unsafe',
            '-netdev', f'user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{settings["port"]}-:22',
            '-device', 'virtio-net-pci,netdev=net,romfile=', '-device', 'virtio-rng-pci',
            '-chardev', f'socket,id=runner,path={run_folder / "runner.sock"},server=on,wait=off',
            '-device', 'virtio-serial-pci', '-device', 'virtserialport,chardev=runner,name=oomkit.runner',
            '-serial', f'file:{run_folder / "console.log"}',
            '-qmp', f'unix:{run_folder / "qmp.sock"},server=on,wait=off']
    if settings.get('swap_mb'):
        args += ['-drive', f'file={run_folder / "swap.qcow2"},if=virtio,format=qcow2,cache=unsafe']
    return args


def crashed(console: Path, since: int = 0) -> str | None:
    """The line with which the guest's kernel went down, None while it lives."""
    try:
        text = console.read_bytes()[since:].decode('utf-8', 'replace')
    except FileNotFoundError:
        return None
    match = _CRASH.search(text)
    return text[match.start():].split('\n', 1)[0].strip() if match else None


def monitor(sock: Path, line: str, timeout_s: float = 120) -> str:
    """One line of QEMU's human monitor, through QMP; what it prints. Raises LabError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(sock))
            stream = connection.makefile('rw', encoding='utf-8')
            stream.readline()
            for request in ({'execute': 'qmp_capabilities'},
                            {'execute': 'human-monitor-command', 'arguments': {'command-line': line}}):
                stream.write(json.dumps(request) + '\n')
                stream.flush()
                answer = _answer(stream)
        except (OSError, ValueError) as error:
            raise LabError(f'QEMU does not answer to "{line}": {error}') from error
    if answer.strip():
        raise LabError(f'QEMU says to "{line}": {answer.strip()}')
    return answer


def _answer(stream) -> str:
    while True:
        message = json.loads(stream.readline())
        if 'error' in message:
            raise LabError(f'QEMU: {message["error"]}')
        if 'return' in message:
            return message['return'] if isinstance(message['return'], str) else ''
