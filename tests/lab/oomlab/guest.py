# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules in the guest quickly: one Python there keeps Ansible's library loaded and forks for each run."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socket
import subprocess
import tarfile
from importlib import util
from pathlib import Path

from oomlab import LabError

_REPOSITORY = Path(__file__).resolve().parents[3]
_PROGRAMS = Path(__file__).resolve().parents[1] / 'guest'
HOME = '/opt/oomkit-lab'
PORT = '/dev/virtio-ports/oomkit.runner'
_ANSWER_S = 600


class Runner:
    """A connection to guest/runner.py."""

    def __init__(self, ssh: list) -> None:
        push(ssh)
        self._process = subprocess.Popen([*ssh, f'exec python3 -u {HOME}/runner.py'], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def module(self, name: str, params: dict, check: bool, diff: bool, user: str) -> dict:
        """One run: what the module returned, with ``_rc``. Raises LabError when it returned nothing that is JSON."""
        self._process.stdin.write(request(name, params, check, diff, user) + '\n')
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise LabError('the runner in the guest is gone')
        return result(name, line)

    def close(self) -> None:
        """End the program in the guest, if it still lives."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()


class KeptRunner:
    """guest/runner.py at a port of the machine: snapshots have it too, and it belongs to no connection of ssh."""

    def __init__(self, sock: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(sock))
        self._stream = self._socket.makefile('rw', encoding='utf-8')

    @classmethod
    def start(cls, ssh: list, sock: Path) -> KeptRunner:
        """Start it in the guest."""
        push(ssh)
        subprocess.run([*ssh, f'setsid python3 -u {HOME}/runner.py {PORT} </dev/null >/dev/null 2>&1 &'], check=True,
                       stdin=subprocess.DEVNULL)
        one = cls(sock)
        one.ask({})
        return one

    def ask(self, asked: dict, timeout_s: float = _ANSWER_S) -> str:
        """The line that comes back. Raises LabError when none does."""
        self._socket.settimeout(timeout_s)
        try:
            self._stream.write(json.dumps(asked) + '\n')
            self._stream.flush()
            line = self._stream.readline()
        except OSError as error:
            raise LabError(f'the runner in the guest does not answer: {error}') from error
        if not line:
            raise LabError('the machine has closed the port of its runner')
        return line

    def module(self, name: str, params: dict, check: bool, diff: bool, user: str) -> dict:
        """As Runner.module()."""
        return result(name, self.ask(json.loads(request(name, params, check, diff, user))))

    def close(self) -> None:
        """End the program in the guest, if it still lives: it would be a process like any other there."""
        with contextlib.suppress(LabError):
            self.ask({'end': True}, timeout_s=3)
        self.leave()

    def leave(self) -> None:
        """End the connection alone."""
        with contextlib.suppress(OSError):  # what could not be sent is flushed again, and may be in vain again
            self._stream.close()
        self._socket.close()


def request(name: str, params: dict, check: bool = False, diff: bool = True, user: str = 'root') -> str:
    """A line for guest/runner.py."""
    return json.dumps({
        'module': f'ansible_collections.oomkit.linux.plugins.modules.{name}', 'user': user,
        'params': dict(params, _ansible_check_mode=check, _ansible_diff=diff,
                       _ansible_module_name=f'oomkit.linux.{name}')})


def result(name: str, line: str) -> dict:
    """What the module returned, with ``_rc`` and ``_seconds``. Raises LabError when that is no JSON."""
    answer = json.loads(line)
    try:
        return dict(json.loads(answer['stdout']), _rc=answer['rc'], _seconds=answer['seconds'])
    except ValueError as error:
        raise LabError(f'{name} returned no JSON: {answer}') from error


def push(ssh: list) -> None:
    """Bring the files over, unless the guest has these very ones: a restored snapshot often does."""
    payload = _payload()
    key = hashlib.sha256(payload).hexdigest()
    there = subprocess.run([*ssh, f'cat {HOME}/key 2>/dev/null'], capture_output=True, text=True, check=False,
                           stdin=subprocess.DEVNULL).stdout
    if there != key:
        unpack = (f'rm -rf {HOME} && mkdir -p {HOME} && tar -xf - -C {HOME} && chmod -R a+rX {HOME} '
                  f'&& python3 {HOME}/zip_cache.py && printf %s {key} > {HOME}/key')
        subprocess.run([*ssh, unpack], input=payload, check=True)


def _payload() -> bytes:
    """The collection's plugins, this environment's own ansible.module_utils, the lab's programs, as a tar file."""
    ansible = Path(util.find_spec('ansible').origin).parent
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as tar:
        for name in ('__init__.py', 'release.py', '_vendor', 'module_utils'):
            tar.add(ansible / name, f'ansible/{name}', filter=_wanted)
        tar.add(_REPOSITORY / 'plugins', 'ansible_collections/oomkit/linux/plugins', filter=_wanted)
        for program in ('runner.py', 'zip_cache.py'):
            tar.add(_PROGRAMS / program, program, filter=_wanted)
    return buffer.getvalue()


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    entry.mtime = 0  # the same files make the same payload
    return None if entry.name.endswith(('__pycache__', '.pyc', '.ps1', '.psm1', '.cs')) else entry
