# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules in the guest quickly: one Python there keeps Ansible's library loaded and forks for each run."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from importlib import util
from pathlib import Path

from oomlab import LabError

_REPOSITORY = Path(__file__).resolve().parents[3]
_PROGRAM = Path(__file__).resolve().parents[1] / 'guest' / 'runner.py'
_HOME = '/opt/oomkit-lab'


class Runner:
    """A connection to guest/runner.py."""

    def __init__(self, ssh: list) -> None:
        subprocess.run([*ssh, f'rm -rf {_HOME} && mkdir -p {_HOME} && tar -xzf - -C {_HOME}'], input=_payload(), check=True)
        self._process = subprocess.Popen([*ssh, f'exec python3 -u {_HOME}/runner.py'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True)

    def module(self, name: str, params: dict, check: bool, diff: bool, user: str) -> dict:
        """One run: what the module returned, with ``_rc``. Raises LabError when it returned nothing that is JSON."""
        request = {'module': f'ansible_collections.oomkit.linux.plugins.modules.{name}', 'user': user,
                   'params': dict(params, _ansible_check_mode=check, _ansible_diff=diff, _ansible_module_name=f'oomkit.linux.{name}')}
        self._process.stdin.write(json.dumps(request) + '\n')
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise LabError('the runner in the guest is gone')
        answer = json.loads(line)
        try:
            return dict(json.loads(answer['stdout']), _rc=answer['rc'], _seconds=answer['seconds'])
        except ValueError as error:
            raise LabError(f'{name} returned no JSON: {answer}') from error

    def close(self) -> None:
        """End the program in the guest, if it still lives."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _payload() -> bytes:
    """The collection's plugins, this environment's own ansible.module_utils, and the runner, as a tar file."""
    ansible = Path(util.find_spec('ansible').origin).parent
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz', compresslevel=1) as tar:
        for name in ('__init__.py', 'release.py', '_vendor', 'module_utils'):
            tar.add(ansible / name, f'ansible/{name}', filter=_wanted)
        tar.add(_REPOSITORY / 'plugins', 'ansible_collections/oomkit/linux/plugins', filter=_wanted)
        tar.add(_PROGRAM, 'runner.py')
    return buffer.getvalue()


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name.endswith(('__pycache__', '.pyc', '.ps1', '.psm1', '.cs')) else entry
