# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next start of an OpenRC service: SSD_OOM_SCORE_ADJ, exported in its file below /etc/conf.d.

openrc-run(8) reads that file as shell before the service's script. start-stop-daemon(8) and supervise-daemon(8) use
this variable, unless their command line has --oom-score-adj.
"""

import re
from typing import Iterator, List, NamedTuple, Optional, Tuple

from .._core.text import to_bytes, to_number, to_text
from .._host.host import Host
from .._systemd.unit_files import UNSET, Cause

FOLDER = '/etc/conf.d'
_SCRIPTS = '/etc/init.d/'
_VARIABLE = 'SSD_OOM_SCORE_ADJ'
_MARK = '  # oomkit.linux'
# +N: the file existed, perhaps empty, and we added N line ends before our line.
_OURS = re.compile(r'export SSD_OOM_SCORE_ADJ=(-?[0-9]{1,4}) {2}# oomkit\.linux(?: \+([0-2]))?\Z')
_ASSIGNED = re.compile(r'(?:^|[\s;])SSD_OOM_SCORE_ADJ=(["\']?)(-?[0-9]{1,4})?')
_OPTION = re.compile(r'--oom-score-adj\b')
# In the order in which openrc-run looks for programs.
_PROGRAMS = ('/usr/lib/rc/bin', '/usr/lib/rc/sbin', '/lib/rc/bin', '/lib/rc/sbin', '/usr/libexec/rc/bin',
             '/usr/libexec/rc/sbin', '/sbin', '/usr/sbin', '/bin', '/usr/bin')


# A line that wins over ours.
class Other(NamedTuple):
    file: str
    line: int


def build_path(name: str) -> str:
    """The file of the service's settings."""
    return f'{FOLDER}/{name}'


def find_cause(name: str, data: Optional[bytes]) -> Cause:
    """Find the value that a file with this content sets at the next start."""
    found = UNSET
    for number, line in _split_lines(data):
        match = _ASSIGNED.search(line)
        if match and not line.lstrip().startswith('#'):
            found = Cause(to_number(match.group(2)), build_path(name), number)
    return found


def edit(data: Optional[bytes], value: Optional[int]) -> Optional[bytes]:
    """Put our line last, or remove it for no value. Returns None for no file."""
    rest = None if data is None else _without_ours(to_text(data))
    if value is None:
        return None if rest is None else to_bytes(rest)
    line = f'export {_VARIABLE}={value}{_MARK}'
    if rest is None:
        return to_bytes(line + '\n')
    ends = '' if not rest or rest.endswith('\n') else '\n'
    if (rest + ends).endswith('\\\n'):
        ends += '\n'  # our line must not continue theirs
    is_plain = bool(rest.strip()) and not ends
    return to_bytes(f"{rest}{ends}{line}{'' if is_plain else f' +{len(ends)}'}\n")


def _without_ours(text: str) -> Optional[str]:
    """Remove our line and keep later changes of others; None if the file was ours alone."""
    lines = text.split('\n')
    ours = [match for match in map(_OURS.match, lines) if match]
    if not ours:
        return text
    rest = '\n'.join(line for line in lines if not _OURS.match(line))
    added = ours[-1].group(2)
    if added is None:
        return rest if rest.strip() else None
    # Remove the line ends that we added, unless lines were added after ours.
    ends, is_last = '\n' * int(added), lines[-2:] == [ours[-1].group(), '']
    return rest[:len(rest) - len(ends)] if is_last and rest.endswith(ends) else rest


def is_ours(data: Optional[bytes]) -> bool:
    """Whether the file has our line."""
    return any(_OURS.match(line) for _number, line in _split_lines(data))


def list_ours(host: Host) -> List[str]:
    """List the services whose file has our line."""
    return [name for name in host.names(FOLDER) if is_ours(host.read_bytes(build_path(name)))]


def explain_no_effect(host: Host, name: str) -> Optional[str]:
    """Explain why the file would have no effect; None if it has one. Checks the programs, not their version."""
    first = (host.read_text(_SCRIPTS + name) or '').partition('\n')[0]
    if not re.search(r'openrc-run|runscript', first):
        return f'{_SCRIPTS}{name} is not a script of openrc-run, which alone reads {build_path(name)}'
    is_supervised = any(b'supervise-daemon' in data for _path, data in _read_at_start(host, name))
    program = 'supervise-daemon' if is_supervised else 'start-stop-daemon'
    path = next(filter(host.exists, (f'{folder}/{program}' for folder in _PROGRAMS)), None)
    if path is None or _VARIABLE.encode('ascii') not in (host.read_bytes(path) or b''):
        return (f'{path or program} here does not know SSD_OOM_SCORE_ADJ (OpenRC before 0.45, or that of another '
                'project)')
    return None


def find_winning_lines(host: Host, name: str) -> List[Other]:
    """Find lines that win over ours: a command-line option, the script, or a runlevel's file."""
    found = [Other(path, number) for path, data in _read_at_start(host, name) for number, line in _split_lines(data)
             if not line.lstrip().startswith('#') and (
                 _OPTION.search(line) or (_is_after_ours(path, name) and _ASSIGNED.search(line)))]
    return found + [Other(path, 1) for path in _list_of_runlevels(host, name)]


def _is_after_ours(path: str, name: str) -> bool:
    return path != build_path(name) and not path.startswith('/etc/rc.conf')


def _read_at_start(host: Host, name: str) -> Iterator[Tuple[str, bytes]]:
    """What openrc-run reads for the service, in order."""
    folder = '/etc/rc.conf.d'
    early = [f'{folder}/{one}' for one in host.names(folder) if one.endswith('.conf')]
    for path in ['/etc/rc.conf'] + early + [build_path(name), _SCRIPTS + name]:
        data = host.read_bytes(path)
        if data is not None:
            yield path, data


def _list_of_runlevels(host: Host, name: str) -> List[str]:
    """List files that replace the service's own, each in one runlevel only."""
    paths = [f'{build_path(name)}.{level}' for level in host.folders('/etc/runlevels')]
    return [path for path in paths if host.read_bytes(path) is not None]


def _split_lines(data: Optional[bytes]) -> Iterator[Tuple[int, str]]:
    return enumerate(to_text(data or b'').split('\n'), 1)
