# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with the sysctls of one kernel, which SUSE's systemd applies before sysctl.d.

Sources: openSUSE's suse-module-tools. Up to 15.3 a drop-in of systemd-sysctl.service has an ``ExecStartPre=`` for
``/boot/sysctl.conf-%v``. Later the drop-in wants boot-sysctl.service and kernel-sysctl.service, which run
``systemd-sysctl FILE``.
"""

import re
from typing import Dict, Iterator, List, Optional, Tuple

from .._host.conf_files import NAMES, Source
from .._host.host import Host
from .._systemd.enabled import UNIT_FOLDERS

_UNIT = 'systemd-sysctl.service'
_RUN = re.compile(r'^[ \t]*(ExecStart(?:Pre)?)[ \t]*=[ \t]*[-@:+!]*/\S*/systemd-sysctl[ \t]+(/\S+)[ \t]*$',
                  re.MULTILINE)
_CONDITION = re.compile(r'^[ \t]*ConditionPathExists[ \t]*=[ \t]*(!?)[ \t]*(/\S+)[ \t]*$', re.MULTILINE)
_WANTS = re.compile(r'^[ \t]*(?:Wants|Requires)[ \t]*=[ \t]*(\S.*)$', re.MULTILINE)


def find_sources(host: Host, release: str) -> Tuple[Source, ...]:
    """The files for this kernel release, in the order of their application."""
    drop_ins = [_expand(text, release) for text in _drop_ins(host)]
    units = [_expand(_read_unit(host, name) or '', release) for name in _list_wanted(host, drop_ins)]
    runs = _find_runs([text for text in units if _runs_before(host, text)])
    runs += [run for run in _find_runs(drop_ins) if run[0] == 'ExecStartPre']
    paths = [path for _key, path in runs]
    return tuple(Source((), path, (), NAMES, False) for path in paths)


def _find_runs(texts: List[str]) -> List[Tuple[str, str]]:
    """(key, file) of each run of systemd-sysctl for one file."""
    return [run for text in texts for run in _RUN.findall(text)]


def _list_wanted(host: Host, drop_ins: List[str]) -> List[str]:
    """The units that systemd-sysctl.service wants."""
    names = [name for text in drop_ins for line in _WANTS.findall(text) for name in line.split()]
    names += [name for folder in UNIT_FOLDERS for name in host.names(f'{folder}/{_UNIT}.wants')]
    return sorted(set(names))


def _runs_before(host: Host, text: str) -> bool:
    """Whether systemd starts the unit before it applies sysctl.d."""
    is_before = any(_UNIT in line.split() for line in re.findall(r'^[ \t]*Before[ \t]*=(.*)$', text, re.MULTILINE))
    return is_before and all(host.exists(path) != bool(no) for no, path in _CONDITION.findall(text))


def _expand(text: str, release: str) -> str:
    """Replace ``%v`` with ``uname -r``: systemd.unit(5)."""
    return text.replace('%v', release)


def _drop_ins(host: Host) -> Iterator[str]:
    found: Dict[str, str] = {}
    for folder in [f'{folder}/{_UNIT}.d' for folder in UNIT_FOLDERS]:
        for name in host.names(folder):
            if name.endswith('.conf'):
                found.setdefault(name, f'{folder}/{name}')
    for name in sorted(found):
        yield host.read_text(found[name]) or ''


def _read_unit(host: Host, name: str) -> Optional[str]:
    """The text of the unit file; None for a masked or missing unit."""
    if '/' in name or not name.endswith('.service'):
        return None
    for folder in UNIT_FOLDERS:
        if host.exists(f'{folder}/{name}'):
            return host.read_text(f'{folder}/{name}')
    return None
