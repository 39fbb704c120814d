# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running machine: start, command, reboot, snapshot, stop, and modules run inside it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from oomlab import LabError, install, qemu
from oomlab.guest import HOME, KeptRunner, Runner, push, request, result
from oomlab.image import Image
from oomlab.recipe import recipe_of

_BOOT_S = 600  # 25 s on an idle computer, minutes where others use the processors too
_TRIES = 3
_FRESH = 'fresh'


def run_folder(name: str) -> Path:
    """Where the state of running machines lies; short, because a socket's path may hold 107 bytes only."""
    base = Path(os.environ.get('OOMKIT_LAB_RUN') or f'/tmp/oomkit-lab-{os.getuid()}')
    base.mkdir(mode=0o700, exist_ok=True)
    if base.stat().st_uid != os.getuid():
        raise LabError(f'{base} belongs to somebody else; set OOMKIT_LAB_RUN to a folder of your own')
    return base / name


def names() -> list:
    """The machines that have been started."""
    base = run_folder('x').parent
    return sorted(path.name for path in base.iterdir() if (path / 'machine.json').exists())


class Machine:
    """One machine by its name. Its state is on disk, so any process may go on with it."""

    def __init__(self, name: str, flavour: str | None = None) -> None:
        self.name = name
        self.folder = run_folder(name)
        self._note = self.folder / 'machine.json'
        if flavour is None:
            flavour = self.settings()['flavour'] if self._note.exists() else name
        self.recipe = recipe_of(flavour)
        self.image = Image(self.recipe)
        self._runner = None
        self._kept = set()  # the snapshots that have a runner

    # ------------------------------------------------------------- life

    def settings(self) -> dict:
        """What the machine was started with. Raises LabError when it was not."""
        try:
            return json.loads(self._note.read_text(encoding='utf-8'))
        except FileNotFoundError as error:
            raise LabError(f'{self.name} is not running; start it with: lab start {self.name}') from error

    def running(self) -> bool:
        """Whether its QEMU lives: the process we started, not one that got its number."""
        if not self._note.exists():
            return False
        settings = self.settings()
        return _start_time(settings['pid']) == settings['pid_started']

    def start(self, memory_mb: int = 1024, cpus: int = 2, swap_mb: int = 0, append: str = '') -> float:
        """Boot, and wait until ssh answers; the seconds of the boot. Raises LabError."""
        if self.running():
            raise LabError(f'{self.name} is running already')
        self.image.ensure()
        install.ensure(install.RUN)
        accel = qemu.accelerator(self.image)
        for attempt in range(1, _TRIES + 1):
            begin = time.monotonic()
            self._launch(accel, {'flavour': self.recipe.name, 'image': str(self.image.folder), 'memory_mb': memory_mb,
                                 'cpus': cpus, 'swap_mb': swap_mb, 'append': append, 'port': _free_port()})
            crash = self._wait(0)
            if crash is None:
                return time.monotonic() - begin
            self.stop()
            print(f'lab: the guest went down in early boot ({crash}): that is the emulator\'s doing; attempt {attempt}',
                  flush=True)
        raise LabError(f'{self.name} crashed in early boot {_TRIES} times: {crash}')

    def _launch(self, accel: str, settings: dict) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700)
        self._disk('disk.qcow2', self.image.disk)
        if settings['swap_mb']:
            self._disk('swap.qcow2', size_mb=settings['swap_mb'])
        with open(self.folder / 'qemu.log', 'wb') as log:
            process = subprocess.Popen(qemu.command(self.image, self.folder, accel, settings), stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, start_new_session=True)
        settings.update(pid=process.pid, pid_started=_start_time(process.pid), accelerator=accel)
        self._note.write_text(json.dumps(settings), encoding='utf-8')
        self.process = process
        self._write_ssh_config(settings['port'])

    def _disk(self, name: str, backing: Path | None = None, size_mb: int = 0) -> None:
        args = ['-b', str(backing), '-F', 'qcow2'] if backing else []
        size = [f'{size_mb}M'] if size_mb else []
        subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', *args, str(self.folder / name), *size], check=True)

    def _wait(self, console_from: int) -> str | None:
        """Wait for ssh; the guest's last words if its kernel went down instead. Raises LabError after a time."""
        end = time.monotonic() + _BOOT_S
        console = self.folder / 'console.log'
        while time.monotonic() < end:
            if self._answers():
                return None
            crash = qemu.crashed(console, console_from)
            if crash:
                return crash
            if not self.running():
                return 'QEMU ended: ' + (self.folder / 'qemu.log').read_text(encoding='utf-8', errors='replace').strip()
            time.sleep(0.3)
        raise LabError(f'{self.name}: ssh does not answer after {_BOOT_S} s; see {console}')

    def _answers(self) -> bool:
        try:
            with socket.create_connection(('127.0.0.1', self.settings()['port']), timeout=3) as connection:
                if not connection.recv(4).startswith(b'SSH-'):
                    return False
        except OSError:
            return False
        return self.run('true', check=False, timeout=30).returncode == 0

    def stop(self) -> None:
        """End the machine and remove all that is left of it."""
        self._drop_connections()
        if self.running():
            pid = self.settings()['pid']
            os.kill(pid, signal.SIGKILL)
            if getattr(self, 'process', None) is not None:
                self.process.wait()
            while self.running():
                time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)

    def reboot(self, how: str = 'systemctl reboot') -> float:
        """Restart the guest and wait for it; the seconds it took. ``how`` may be any command that ends in a reboot."""
        begin = time.monotonic()
        before = self.run('cat /proc/sys/kernel/random/boot_id').stdout
        seen = (self.folder / 'console.log').stat().st_size
        self.run(f'sh -c {shlex.quote(how)} >/dev/null 2>&1 &', check=False)
        self._drop_connections()
        while time.monotonic() < begin + _BOOT_S:
            now = self.run('cat /proc/sys/kernel/random/boot_id', check=False).stdout if self._answers() else ''
            if now not in ('', before):
                return time.monotonic() - begin
            self._drop_connections()
            time.sleep(0.5)
        raise LabError(f'{self.name} did not come back: {qemu.crashed(self.folder / "console.log", seen) or "no ssh"}')

    def save(self, tag: str = 'saved') -> float:
        """Snapshot memory and disk; the seconds it took."""
        if isinstance(self._runner, KeptRunner):
            self._kept.add(tag)
            self._drop_ssh()
        else:
            self._kept.discard(tag)
            self._drop_connections()
        return self._monitor_timed(f'savevm {tag}')

    def restore(self, tag: str = 'saved') -> float:
        """Back to the snapshot, with the clock put right; the seconds until it answers."""
        if isinstance(self._runner, KeptRunner):
            self._runner.leave()  # it ends with the state that is left
            self._runner = None
        self._drop_connections()
        begin = time.monotonic()
        self._monitor_timed(f'loadvm {tag}')
        if tag in self._kept:
            self._runner = KeptRunner(self.folder / 'runner.sock')
            self._runner.ask({'clock': time.time()}, timeout_s=120)
            return time.monotonic() - begin
        crash = self._wait((self.folder / 'console.log').stat().st_size)
        if crash:
            raise LabError(f'{self.name} after loadvm {tag}: {crash}')
        self.run(f'date -s @{time.time():.0f} >/dev/null')
        return time.monotonic() - begin

    def _monitor_timed(self, line: str) -> float:
        begin = time.monotonic()
        qemu.monitor(self.folder / 'qmp.sock', line)
        return time.monotonic() - begin

    def fresh(self, memory_mb: int = 1024, cpus: int = 2) -> float:
        """Have the machine as it was after its first boot; the seconds it took.

        One that runs returns to its snapshot, whatever its state. One that is not there, was made
        from another image or otherwise, or does not come back, is made again.
        """
        begin = time.monotonic()
        if not self._back_to_fresh({'image': str(self.image.folder), 'memory_mb': memory_mb, 'cpus': cpus}):
            self.stop()
            self.start(memory_mb, cpus)
            self.run('systemctl is-system-running --wait', check=False)  # "degraded" is an end of the boot, too
            push(self._ssh('root'))
            self.save(_FRESH)
        return time.monotonic() - begin

    def _back_to_fresh(self, wanted: dict) -> bool:
        if not self.running() or not wanted.items() <= self.settings().items():
            return False
        try:
            self.restore(_FRESH)
        except LabError as error:
            print(f'lab: {error}', flush=True)
            return False
        return True

    # -------------------------------------------------------------- ssh

    def _write_ssh_config(self, port: int) -> None:
        (self.folder / 'ssh_config').write_text(
            f'Host lab {self.name}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile {self.image.key}\n'
            '  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n'
            f'  ConnectTimeout 20\n  ServerAliveInterval 20\n  ServerAliveCountMax 9\n'
            f'  ControlMaster auto\n  ControlPath {self.folder}/cm-%r\n  ControlPersist 300\n',
            encoding='utf-8')

    def _ssh(self, user: str) -> list:
        return ['ssh', '-F', str(self.folder / 'ssh_config'), '-l', user, 'lab']

    def _drop_connections(self) -> None:
        """Connections held open do not survive a reboot or a snapshot."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        self._drop_ssh()

    def _drop_ssh(self) -> None:
        for user in ('root', 'tester'):
            if (self.folder / f'cm-{user}').exists():
                subprocess.run([*self._ssh(user)[:-1], '-O', 'exit', 'lab'], capture_output=True, check=False)
                (self.folder / f'cm-{user}').unlink(missing_ok=True)

    def run(self, command: str, check: bool = True, user: str = 'root', timeout: float = 300,
            data: str | bytes | None = None) -> subprocess.CompletedProcess:
        """A shell command in the guest. Raises LabError for a failure, unless ``check`` is false."""
        text = not isinstance(data, bytes)
        try:
            done = subprocess.run([*self._ssh(user), command], capture_output=True, text=text, timeout=timeout,
                                  input=data if data is not None else '', check=False)
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(command, 255, '', f'no answer after {timeout} s')
        if check and done.returncode:
            raise LabError(f'{self.name}: {command!r} ended with {done.returncode}: {done.stdout!r} {done.stderr!r}')
        return done

    def write_file(self, path: str, data: bytes) -> None:
        """A file in the guest, with its parent folders."""
        name = shlex.quote(path)
        self.run(f'mkdir -p "$(dirname {name})" && cat > {name}', data=data)

    def read_file(self, path: str) -> bytes:
        """A file of the guest. Raises LabError when there is none."""
        return self.run(f'cat {shlex.quote(path)}', data=b'').stdout

    def sysctl(self, key: str) -> int:
        """What the guest's kernel holds."""
        return int(self.read_file('/proc/sys/' + key.replace('.', '/')))

    # ---------------------------------------------------------- modules

    def module(self, name: str, /, check: bool = False, diff: bool = True, user: str = 'root', **params) -> dict:
        """Run a module of the collection in the guest, by the quick way: no controller, one fork in the guest."""
        if self._runner is None:
            self._runner = Runner(self._ssh('root'))
        return self._runner.module(name, params, check, diff, user)

    def keep_runner(self) -> None:
        """From now on have the modules run by a process that is in snapshots too, and there at once when they are
        restored. It belongs to no connection, until connections are dropped."""
        self._drop_connections()
        self._runner = KeptRunner.start(self._ssh('root'), self.folder / 'runner.sock')

    def module_under(self, prefix: str, name: str, /, check: bool = False, **params) -> dict:
        """The same, started again by a shell command such as ``unshare -m sh -c 'mount ...; exec "$@"' -``."""
        if self._runner is None:
            push(self._ssh('root'))
        done = self.run(f'{prefix} python3 {HOME}/runner.py', data=request(name, params, check) + '\n')
        return result(name, done.stdout)

    def inventory(self) -> str:
        """A line of an Ansible inventory that leads here."""
        return (f'{self.name} ansible_host={self.name} ansible_user=root ansible_python_interpreter=/usr/bin/python3 '
                f'ansible_ssh_common_args="-F {self.folder}/ssh_config" ansible_pipelining=true')


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat: with the PID it names one process for ever. None for a dead one."""
    try:
        fields = Path(f'/proc/{pid}/stat').read_text(encoding='utf-8', errors='replace').rsplit(')', 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in 'ZX' else fields[19]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
