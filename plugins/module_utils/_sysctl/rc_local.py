# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sysctls that an administrator's script sets at the end of the boot: rc.local, or a script of OpenRC's service local.

Known commands start with ``sysctl KEY=VALUE``, ``sysctl -p FILE`` or ``echo VALUE > /proc/sys/...``. Conditions are
ignored. Sources: systemd-rc-local-generator(8), which takes executable files only; init.d/local.in of OpenRC.
"""

import re
from typing import Iterator, List, Tuple

from .._host import conf_files
from .._host.conf_files import read_program_file
from .._host.host import Host
from . import parser

_RC_LOCAL = ('/etc/rc.local', '/etc/rc.d/rc.local')
_LOCAL_FOLDER = '/etc/local.d'
_MOST_SCRIPTS = _MOST_LOADED = 100
_SYSCTL_CONF = '/etc/sysctl.conf'
_LOAD = re.compile(r'\s(?:-[eqN]*p[eqN]*|--load)(?:=|\s|\Z)')
_REDIRECTION = re.compile(r'[0-9]?>{1,2}[ \t]*[^\s>]+')
_FILE = re.compile(r'(?<=[\s=])/[\w./-]+')
_COMMAND = re.compile(r'[^;&|\n]+')
_SYSCTL = re.compile(r'\s*(?:(?:then|do|else|sudo)\s+)*(?:/\S*/)?sysctl\s')
_ASSIGNMENT = re.compile(r'''(?<=\s)["']?([\w./]+)["']?=["']?([0-9]{1,20})["']?(?=\s|\Z)''')
_ECHO = re.compile(r'''\s*(?:(?:then|do|else)\s+)*echo\s+(?:-n\s+)?["']?([0-9]{1,20})["']?'''
                   r'''\s*>\s*["']?/proc/sys/([\w/]+)["']?\s*\Z''')
# An indented exit is part of a condition.
_END = re.compile(r'^exit\b.*', re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r'(?:^|(?<=\s))#.*$', re.MULTILINE)


def list_scripts(host: Host, denied: List[str]) -> List[str]:
    """The scripts that run at the end of the boot. Adds a folder without permission to ``denied``."""
    found = [path for path in _RC_LOCAL if _is_executable(host, path)][:1]
    if host.exists('/etc/runlevels/default/local'):
        found += [path for path in _list_local(host, denied) if _is_executable(host, path)]
    return found[:_MOST_SCRIPTS]


def _list_local(host: Host, denied: List[str]) -> List[str]:
    with conf_files.note_denied(denied, _LOCAL_FOLDER):
        return [f'{_LOCAL_FOLDER}/{name}' for name in sorted(host.names(_LOCAL_FOLDER)) if name.endswith('.start')]
    return []


def read_writes(host: Host, path: str, denied: List[str]) -> Iterator[Tuple[str, str, str]]:
    """(key, value, file that has it) of what the script sets, in order.

    Adds files without permission to ``denied``.
    """
    text = _END.sub('', _COMMENT.sub('', read_program_file(host, path, denied).replace('\\\n', ' ')))
    count = 0
    for command in _COMMAND.findall(text):
        echo = _ECHO.match(command)
        if echo:
            yield echo.group(2).replace('/', '.'), echo.group(1), path
        elif _SYSCTL.match(command):
            for name, value in _ASSIGNMENT.findall(command):
                yield name.replace('/', '.'), value, path
            files = _loaded(command)[:_MOST_LOADED - count]
            count += len(files)
            for file in files:
                for one in parser.parse_settings(file, read_program_file(host, file, denied), conf_files.PROCPS):
                    if one.value is not None:
                        yield one.key.replace('/', '.'), one.value, file


def _loaded(command: str) -> List[str]:
    """The files that ``sysctl -p`` reads."""
    command = _REDIRECTION.sub('', command)
    load = _LOAD.search(command)
    return (_FILE.findall(command, load.end() - 1) or [_SYSCTL_CONF]) if load else []


def _is_executable(host: Host, path: str) -> bool:
    try:
        info = host.stat(path)
    except OSError:  # such as a link to itself
        return False
    return info is not None and bool(info.st_mode & 0o111)
