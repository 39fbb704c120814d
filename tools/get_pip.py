# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets ``ansible-test`` make its virtual environments where the site of its get-pip scripts is out of reach.

ansible-test downloads such a script once and keeps it in ~/.ansible/test/cache. Where that download fails, this makes a
script that does the same from pip's own package, taken from wherever the machine's pip takes packages. A script that is
there is never touched.
"""

import base64
import inspect
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import SimpleNamespace

from ansible_test._internal.python_requirements import get_venv_packages
from ansible_test._util.target.common import constants
from ansible_test._util.target.setup import requirements

CACHE = Path('~/.ansible/test/cache').expanduser()
PATIENCE_S = 10

SCRIPT = '''\
# Made by oomkit.linux (tools/get_pip.py) because the usual get-pip script could not be downloaded.
import base64
import os
import sys
import tempfile

WHEEL = %r

with tempfile.TemporaryDirectory() as folder:
    wheel = os.path.join(folder, 'pip.zip')
    with open(wheel, 'wb') as handle:
        handle.write(base64.b64decode(WHEEL))
    sys.path.insert(0, wheel)
    from pip._internal.cli.main import main
    own = ('--no-setuptools', '--no-wheel')
    sys.exit(main(['install', '--upgrade', '--force-reinstall'] + [one for one in sys.argv[1:] if one not in own]))
'''


def wanted_versions() -> list[str]:
    """The versions of pip that the installed ansible-test starts its environments with."""
    pythons = constants.CONTROLLER_PYTHON_VERSIONS + constants.REMOTE_ONLY_PYTHON_VERSIONS
    return sorted({get_venv_packages(SimpleNamespace(version=version))['pip'] for version in pythons})


def download_url(version: str) -> str | None:
    """Where ansible-test would download the script of this version; None if its source no longer tells."""
    for line in inspect.getsource(requirements.bootstrap).splitlines():
        if line.strip().startswith("url = '"):
            return line.split("'")[1] % version
    return None


def download(version: str) -> bytes | None:
    """The usual script, or None where it is out of reach."""
    url = download_url(version)
    if url is None:
        return None
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.read()
    except OSError:
        return None


def from_wheel(version: str) -> bytes:
    """A script that does the same from pip's own package. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, '-m', 'pip', '-q', 'download', '--no-deps', '-d', folder, 'pip==' + version],
                       check=True)
        wheel, = Path(folder).glob('pip-*.whl')
        return (SCRIPT % base64.b64encode(wheel.read_bytes()).decode()).encode()


def ensure() -> None:
    """Have a script for every version in the cache."""
    for version in wanted_versions():
        path = CACHE / ('get_pip_%s.py' % version.replace('.', '_'))
        if path.exists():
            continue
        script = download(version)
        if script is None:
            print('get-pip %s cannot be downloaded: made from the package pip %s: %s' % (version, version, path))
            script = from_wheel(version)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix('.oomkit')
        fresh.write_bytes(script)
        fresh.replace(path)


if __name__ == '__main__':
    ensure()
