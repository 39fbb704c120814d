# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the project's virtual environment, .venv: ``python tools/environment.py demo|test``.

What is installed is in requirements/. A second call finds its stamp and does nothing. Packages come from wherever the
machine's pip is configured to take them; uv installs them, and pip where uv cannot. Tools that cannot live together
with the others have environments of their own in .cache/environments, made by ``beside``.
"""

import ast
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
VENV = CHECKOUT / '.venv'
REQUIREMENTS = CHECKOUT / 'requirements'
LEVELS = ('demo', 'test')  # each holds the one before


def may_install() -> bool:
    """Whether packages of the system may be installed: as root, on a system with apt, unless forbidden."""
    return os.geteuid() == 0 and os.environ.get('OOMKIT_INSTALL', '1') != '0' and shutil.which('apt-get') is not None


def apt_install(*packages: str) -> None:
    """Install packages of the system and say so. Raises CalledProcessError."""
    print('Installing with apt-get: %s' % ' '.join(packages), flush=True)
    env = dict(os.environ, DEBIAN_FRONTEND='noninteractive')
    for words in (['update'], ['-y', 'install', '--no-install-recommends', *packages]):
        subprocess.run(['apt-get', '-q', *words], env=env, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)


def interpreter() -> str:
    """What an environment is bound to: its Python and its place."""
    return '%s %s %s' % (sys.version, sys.base_prefix, VENV)


def fingerprint(level: str) -> str:
    """Changes whenever the environment has to be made again: its requirements, its Python or its place differ."""
    wanted = LEVELS[:LEVELS.index(level) + 1]
    parts = [(REQUIREMENTS / name).read_bytes() for name in ('constraints.txt', *(one + '.txt' for one in wanted))]
    parts.append(interpreter().encode())
    return hashlib.sha256(b'\0'.join(parts)).hexdigest()


def stamp(level: str) -> Path:
    """The file that tells that the environment of this level is complete."""
    return VENV / ('.complete-' + level)


def is_complete(level: str) -> bool:
    """Whether .venv already holds all of this level."""
    return stamp(level).exists() and stamp(level).read_text() == fingerprint(level)


def make_venv() -> None:
    """An empty .venv with pip. Debian keeps what this takes in a package of its own, installed if it may be."""
    if importlib.util.find_spec('ensurepip') is None:
        package = 'python%d.%d-venv' % sys.version_info[:2]
        if not may_install():
            sys.exit('This Python cannot make virtual environments. As root: apt-get install %s' % package)
        apt_install(package)
    subprocess.run([sys.executable, '-m', 'venv', '--clear', str(VENV)], check=True)
    (VENV / '.interpreter').write_text(interpreter())


def has_venv() -> bool:
    """Whether .venv is one of this Python at this place, whatever is installed in it."""
    mark = VENV / '.interpreter'
    return mark.exists() and mark.read_text() == interpreter()


def pip_settings() -> dict[str, str]:
    """The machine's pip configuration, files and PIP_ variables, by plain option name. Later sources win, as in pip."""
    listed = subprocess.run([VENV / 'bin' / 'python', '-m', 'pip', 'config', 'list'],
                            check=True, capture_output=True, text=True).stdout
    ranks: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        name, value = line.split('=', 1)
        section, option = name.rsplit('.', 1)
        rank = {'global': 0, 'install': 1, ':env:': 2}.get(section, -1)
        if rank >= ranks.get(option, (0, ''))[0]:
            ranks[option] = (rank, str(ast.literal_eval(value)))
    return {option: ranked[1] for option, ranked in ranks.items()}


def uv_arguments(settings: dict[str, str]) -> list[str]:
    """pip's settings as uv spells them: uv reads none of pip's own."""
    arguments = ['--index-strategy', 'unsafe-best-match']  # pip's way: the best version of all indexes
    for option, spelled in (('index-url', '--default-index'), ('extra-index-url', '--index'),
                            ('find-links', '--find-links'), ('trusted-host', '--allow-insecure-host')):
        for value in settings.get(option, '').split():
            arguments += [spelled, value]
    if settings.get('no-index', '').lower() in ('1', 'true', 'yes', 'on'):
        arguments.append('--no-index')
    return arguments


def uv_environment(settings: dict[str, str], venv: Path = VENV) -> dict[str, str]:
    """The variables uv takes instead of pip's settings for certificates, proxy and patience."""
    env = dict(os.environ, VIRTUAL_ENV=str(venv))
    for option, variable in (('cert', 'SSL_CERT_FILE'), ('proxy', 'ALL_PROXY'), ('timeout', 'UV_HTTP_TIMEOUT'),
                             ('default-timeout', 'UV_HTTP_TIMEOUT')):
        if option in settings:
            env.setdefault(variable, settings[option])
    return env


def install(requirements: Path) -> None:
    """Install with uv, which takes a tenth of pip's time; with pip where uv is not to be had or does not manage."""
    pip = [VENV / 'bin' / 'python', '-m', 'pip', '--disable-pip-version-check', '-q', 'install']
    got_uv = subprocess.run([*pip, '-c', REQUIREMENTS / 'constraints.txt', 'uv'], check=False,
                            stderr=subprocess.DEVNULL)
    if got_uv.returncode == 0:
        settings = pip_settings()
        uv = [VENV / 'bin' / 'uv', 'pip', 'install', '--quiet', *uv_arguments(settings), '-r', requirements]
        if subprocess.run(uv, env=uv_environment(settings), check=False).returncode == 0:
            return
    print('uv did not manage: taking pip.', flush=True)
    subprocess.run([*pip, '-r', requirements], check=True)


def ensure(level: str) -> None:
    """Have .venv hold at least this level."""
    if any(is_complete(one) for one in LEVELS[LEVELS.index(level):]):
        return
    lock_path = CHECKOUT / '.cache' / 'environment.lock'
    lock_path.parent.mkdir(exist_ok=True)
    with lock_path.open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once
        if is_complete(level):
            return
        print('Setting up .venv for "%s" with Python %s ...' % (level, sys.version.split()[0]), flush=True)
        start = time.monotonic()
        if not has_venv():
            make_venv()
        install(REQUIREMENTS / (level + '.txt'))
        for one in LEVELS[:LEVELS.index(level) + 1]:
            stamp(one).write_text(fingerprint(one))
        print('Set up in %.1f s.' % (time.monotonic() - start), flush=True)


def beside(name: str, python: str | None = None, requirement: str = '', file: str = '') -> Path:
    """The bin folder of an environment of its own with requirements/NAME.txt, made once, by uv from .venv.

    ``file`` is another file of requirements, ``requirement`` one more package, ``python`` the interpreter, .venv's own
    by default. Raises CalledProcessError.
    """
    requirements = REQUIREMENTS / (file or name + '.txt')
    base = python or str(VENV / 'bin' / 'python')
    venv = CHECKOUT / '.cache' / 'environments' / name
    venv.parent.mkdir(parents=True, exist_ok=True)
    mark = venv / '.complete'
    wanted = hashlib.sha256(requirements.read_bytes() + repr((base, str(venv), requirement)).encode()).hexdigest()
    with venv.with_suffix('.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (mark.exists() and mark.read_text() == wanted):
            uv, settings = VENV / 'bin' / 'uv', pip_settings()
            env = uv_environment(settings, venv)
            subprocess.run([uv, 'venv', '--quiet', '--clear', '--python', base, venv], env=env, check=True)
            packages = ['-r', str(requirements), *([requirement] if requirement else [])]
            subprocess.run([uv, 'pip', 'install', '--quiet', *uv_arguments(settings), *packages], env=env, check=True)
            mark.write_text(wanted)
    return venv / 'bin'


if __name__ == '__main__':
    if sys.argv[1:] not in [[level] for level in LEVELS]:
        sys.exit('usage: environment.py %s' % '|'.join(LEVELS))
    ensure(sys.argv[1])
