# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What TuneD writes to sysctls whenever it starts: its profile's values, then those of sysctl.d once more.

Sources: tuned/plugins/plugin_sysctl.py, tuned/units/manager.py and tuned/utils/global_config.py, releases 2.9 to 2.28.
"""

import fnmatch
import os
import posixpath
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils import _conf_files, _sysctl_loader, _sysctld, _tuned
from ansible_collections.oomkit.linux.plugins.module_utils._access import Reading
from ansible_collections.oomkit.linux.plugins.module_utils._conf_files import told
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, to_bytes, to_text

_MOST_UNITS = 100  # honest profiles have one or two
_MOST_PATTERN, _MOST_CPUINFO = 1024, 1 << 16
_BUFFER_BYTES = 8192  # Python decodes a file in pieces of this size
_FOLDERS = ('/run/sysctl.d', '/etc/sysctl.d')
_SYSCTL_CONF = '/etc/sysctl.conf'
FUNCTION, MAIN_CONF = _tuned.FUNCTION, _tuned.MAIN_CONF
_PLUGIN = 'tuned/plugins/plugin_sysctl.py'
_NO_COMMENT = re.compile(r'[^#;]')

Write = NamedTuple('Write', [
    ('key', str),             # as a path below /proc/sys
    ('value', str),           # of the profile: perhaps with > or <, which only raise or lower, or a call of a function
    ('file', str),
    ('line', int),
    ('is_reapplied', bool),   # a line of sysctl.d, not of the profile
    ('is_final', bool),       # no line of sysctl.d may win over this value of the profile
])

Start = NamedTuple('Start', [
    ('writes', List[Write]),
    ('skips_equal', bool),    # does not write what a sysctl already holds
])

# What differs between releases.
_Release = NamedTuple('_Release', [
    ('folders', Tuple[str, ...]),
    ('runs_procps', bool),    # up to 2.10 it runs `sysctl --system`
    ('skips_equal', bool),    # from 2.23 on
    ('has_exclude', bool),    # from 2.27 on
    ('collects', bool),       # from 2.28 on: one write for each name, at the place of its first line
    ('swaps_slashes', bool),  # from 2.22 on: vm/x is no spelling of vm.x
])
_UNKNOWN = _Release(_FOLDERS, False, True, True, False, True)


def plan_start(host: Host, denied: List[str], known: Sequence[str], overlay: Optional[_conf_files.Overlay] = None,
               here: bool = True) -> Start:
    """The writes to the ``known`` keys (paths below /proc/sys), in order.

    Where it is not ``here``, but another machine gets these files, every section counts, whatever it is limited to.
    """
    release = _find_release(host, denied)
    main = _tuned.main_conf(host, denied)
    reapplies = main.get('reapply_sysctl', '1').lower() in ('1', 'yes', 'true', 'on')
    exclude = _tuned.split_list(main.get('reapply_sysctl_exclude', '')) if release.has_exclude else []
    units = [unit for unit in _tuned.read_units(host, denied) if unit.type == 'sysctl'][:_MOST_UNITS]
    if here:
        units = _matching(host, main, units)
    again = _reapplied(host, denied, release, exclude, known, overlay) if reapplies and units else []
    writes = []  # type: List[Write]
    for unit in units:
        for name, setting in unit.options.items():
            key = _path_of(name, release)
            if key in known:
                is_final = not reapplies or _is_excluded(key.replace('/', '.'), exclude)
                writes.append(Write(key, setting.value, setting.file, setting.line, False, is_final))
        writes += again
    return Start(writes, release.skips_equal)


def parse_assignment(text: str, current: Optional[int]) -> Optional[str]:
    """What TuneD writes for the profile's ``>80`` or ``<80``: nothing (None) where the sysctl is high or low enough."""
    if len(text) > 1 and text[0] in '<>' and current is not None:
        try:
            number = int(text[1:])
        except ValueError:
            return text
        return text[1:] if (number > current if text[0] == '>' else number < current) else None
    return text


# --------------------------------------------------------------------- releases

def _find_release(host: Host, denied: List[str]) -> _Release:
    """By the installed program itself, since distributions add features to older releases."""
    folders = ['/usr/lib/python3/dist-packages']
    folders += ['/usr/lib/%s/site-packages' % name for name in host.names('/usr/lib') if name.startswith('python')]
    texts = (told(host, '%s/%s' % (folder, _PLUGIN), denied) for folder in folders)
    text = next((text for text in texts if text), None)
    if text is None:
        return _UNKNOWN
    listed = re.search(r'SYSCTL_CONFIG_DIRS = \[([^\]]{0,4096})\]', text)
    return _Release(
        folders=tuple(re.findall(r'"(/[^"]{1,4096})"', listed.group(1))) if listed else _FOLDERS,
        runs_procps='"--system"' in text,
        skips_equal='ignore_same' in text,
        has_exclude='CFG_REAPPLY_SYSCTL_EXCLUDE' in text,
        collects='sysctl_settings[' in text,
        swaps_slashes='"./"' in text)


def _path_of(name: str, release: _Release) -> str:
    """The path below /proc/sys that TuneD makes of a name, empty for none."""
    path = name.translate({ord('.'): '/', ord('/'): '.'}) if release.swaps_slashes else name.replace('.', '/')
    # A slash at the end leads into a folder, which no sysctl is.
    return '' if path.endswith('/') else posixpath.normpath('/' + path).lstrip('/')


# ------------------------------------------------------------------------ units

def _matching(host: Host, main: Dict[str, str], units: List[_tuned.Unit]) -> List[_tuned.Unit]:
    """The units that are meant for this machine; none where an expression is wrong: TuneD ends at it."""
    found = []
    for unit in units:
        try:
            if _matches(unit, unit.cpuinfo_regex, main.get('cpuinfo_string') or _cpuinfo(host)) and _matches(
                    unit, unit.uname_regex, main.get('uname_string') or _uname(host)):
                found.append(unit)
        except re.error:
            return []
    return found


def _matches(unit: _tuned.Unit, pattern: Optional[str], text: str) -> bool:
    if pattern is None:
        return True
    with Reading(unit.file):  # which has a deadline: an expression can take longer than anybody waits
        return len(pattern) <= _MOST_PATTERN and re.search(pattern, text, re.MULTILINE) is not None


def _cpuinfo(host: Host) -> str:
    return (host.read_text('/proc/cpuinfo') or '')[:_MOST_CPUINFO]


def _uname(host: Host) -> str:
    """As uname(2) has it, in the order of os.uname(). Kernels before 6.1 do not show the architecture there."""
    words = [(host.read_text('/proc/sys/kernel/' + name) or '').strip()
             for name in ('ostype', 'hostname', 'osrelease', 'version', 'arch')]
    return ' '.join(words[:4] + [words[4] or os.uname()[4]])


# --------------------------------------------------------------- sysctl.d again

def _is_excluded(name: str, patterns: List[str]) -> bool:
    try:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    except re.error:  # of [z-a], up to Python 3.9
        return False


def _reapplied(host: Host, denied: List[str], release: _Release, exclude: List[str], known: Sequence[str],
               overlay: Optional[_conf_files.Overlay]) -> List[Write]:
    if release.runs_procps:
        return _procps_writes(host, denied, known, overlay)
    writes = []  # type: List[Write]
    loader = _conf_files.build_loader('tuned', _conf_files.PROCPS, release.folders, _SYSCTL_CONF)
    names = {}  # type: Dict[str, int]
    for path in _list_files(host, loader, denied, overlay):
        text, is_whole = _readable_part(_read_file(host, path, denied, overlay))
        for name, value, line in _settings(text):
            key = _path_of(name, release)
            if key not in known or _is_excluded(name, exclude):
                continue
            write = Write(key, value, path, line, True, False)
            if release.collects and name in names:
                writes[names[name]] = write
                continue
            names[name] = len(writes)
            writes.append(write)
        if not is_whole:
            return [] if release.collects else writes
    return writes


def _list_files(host: Host, loader: _conf_files.Loader, denied: List[str],
                overlay: Optional[_conf_files.Overlay]) -> List[str]:
    try:
        return _conf_files.list_files(host, loader, overlay)
    except PermissionError as exc:
        denied.append(exc.filename)
    except OSError:
        pass
    return []


def _read_file(host: Host, path: str, denied: List[str], overlay: Optional[_conf_files.Overlay]) -> str:
    try:
        return _conf_files.read_file(host, path, overlay)
    except PermissionError:
        denied.append(path)
    except OSError:
        pass
    return ''


def _readable_part(text: str) -> Tuple[str, bool]:
    """(The part that TuneD reads, whether that is all): a byte that is no UTF-8 ends everything that it does here."""
    data = to_bytes(text)
    try:
        data.decode('utf-8')
    except UnicodeDecodeError as exc:
        part = data[:exc.start // _BUFFER_BYTES * _BUFFER_BYTES]
        return to_text(part[:part.rfind(b'\n') + 1]), False
    return text, True


def _settings(text: str) -> Iterator[Tuple[str, str, int]]:
    """(name, value, line number). There are no globs, and a dash is a part of the name."""
    for number, line in enumerate(_conf_files.split_lines(text), 1):
        for piece in line.split('\r'):
            name, equals, value = piece.strip().partition('=')
            if equals and name.strip() and _NO_COMMENT.match(name):
                yield name.strip(), value.strip(), number


def _procps_writes(host: Host, denied: List[str], known: Sequence[str],
                   overlay: Optional[_conf_files.Overlay]) -> List[Write]:
    try:
        writes = _sysctld.read_writes(host, _sysctl_loader.PROCPS, list(known), overlay)
    except OSError as exc:
        denied.append(exc.filename)
        return []
    return [Write(entry.key, entry.value or '', entry.path, entry.line, True, False)
            for entry in writes]
