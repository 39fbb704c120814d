# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""sysctl.d as the boot's loader reads it: which loader that is, what each line says, and what gets written.

Two loaders are known: systemd-sysctl (systemd src/sysctl/sysctl.c, sysctl.d(5)) and procps's
``sysctl --system`` (src/sysctl.c, sysctl(8)), which the other inits run. Nothing here knows our own keys.
"""

import fnmatch
import re
from collections import OrderedDict
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils._conf_files import (
    Loader,
    Overlay,
    list_files,
    read_file,
    split_lines,
)
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._systemd_version import NEWEST, find_version

# Split of one line of the file; a setting without value excludes its key from globs.
Setting = NamedTuple('Setting', [
    ('path', str),
    ('line', int),
    ('key', str),                   # as a path below /proc/sys, perhaps with glob characters
    ('value', Optional[str]),
    ('plain', bool),                # spelled without doubled or leading separators
])

_FOLDERS = ('/etc/sysctl.d', '/run/sysctl.d', '/usr/local/lib/sysctl.d', '/usr/lib/sysctl.d', '/lib/sysctl.d')
SYSTEMD = Loader('systemd-sysctl', _FOLDERS, '', True, True, '')
PROCPS = Loader('procps', _FOLDERS, '/etc/sysctl.conf', False, False, '')

_UNIT_FOLDERS = ('/etc/systemd/system', '/run/systemd/system')
_PROGRAMS = ('/usr/lib/systemd/systemd-sysctl', '/lib/systemd/systemd-sysctl')
_BLANK = ' \t\n\r'
_GLOB = re.compile(r'[*?\[]')
_BRACKETS = re.compile(r'(\[[!^]?)(\]?[^]]*\])')
_LONGEST_PATTERN = 4096  # PATH_MAX
_RANGE = re.compile('(.)-([^]])', re.DOTALL)


def loader_of(host: Host) -> Loader:
    """The program that applies sysctl.d when this machine (or image) boots."""
    if not _boots_systemd(host):
        if _in_no_runlevel(host):
            return PROCPS._replace(folders=(), last_file='', reason=(
                'the service sysctl of OpenRC is in no runlevel (rc-update add sysctl boot)'))
        return PROCPS
    for folder in _UNIT_FOLDERS:
        unit = folder + '/systemd-sysctl.service'
        if host.real(unit) == '/dev/null':
            return SYSTEMD._replace(folders=(), reason='systemd-sysctl.service is masked by ' + unit)
    # Only from 250 on it reads before it writes (systemd pull request 20676).
    return SYSTEMD._replace(skips_equal=(find_version(host) or NEWEST) >= 250)


def _in_no_runlevel(host: Host) -> bool:
    """Whether OpenRC has its script for sysctls but starts neither it nor Debian's procps."""
    if not host.exists('/run/openrc') or 'openrc-run' not in (host.read_text('/etc/init.d/sysctl') or ''):
        return False
    started = set(name for level in host.names('/etc/runlevels') for name in host.names('/etc/runlevels/' + level))
    return not started & {'sysctl', 'procps'}


def _boots_systemd(host: Host) -> bool:
    """Whether systemd is, or in an image will be, the init."""
    if host.exists('/run/systemd/system'):
        return True
    init = host.real('/sbin/init')
    if init.rsplit('/', 1)[-1] == 'systemd':
        return True
    # A root without an init of its own (chroot, container image) boots whatever has been installed for it.
    return not host.exists(init) and any(host.exists(program) for program in _PROGRAMS)


# ------------------------------------------------------------- what a line says

def normalize_key(key: str) -> Tuple[str, bool]:
    """``vm.overcommit_ratio``, ``vm/overcommit_ratio``, ``/vm//overcommit_ratio``: the path below /proc/sys.

    The first separator decides: after a dot, dots become slashes and slashes dots (sysctl.d(5)). The second answer is
    whether that alone made the path.
    """
    first = re.search(r'[/.]', key)
    if first is not None and first.group() == '.':
        key = key.translate({ord('.'): '/', ord('/'): '.'})
    path = '/'.join(part for part in key.split('/') if part not in ('', '.'))
    return path, path == key


def parse_line(line: str, blank_after_dash: bool = True) -> Optional[Tuple[str, Optional[str], bool]]:
    """(key, value, plain) of one line; value None for an exclusion such as ``-net.*``; None for what is no setting.

    ``- vm.x = 1`` is a setting to systemd, and to procps a key that begins with a blank.
    """
    text = line.strip(_BLANK)
    if not text or text[0] in '#;':
        return None
    key, equals, value = text.partition('=')
    if not equals and not key.startswith('-'):
        return None
    key = key[1:] if key.startswith('-') else key
    if key[:1] in (' ', '\t') and not blank_after_dash:
        return None
    key, plain = normalize_key(key.strip(_BLANK))
    if not key:
        return None
    return key, value.strip(_BLANK) if equals else None, plain


def settings_of(path: str, text: str, blank_after_dash: bool = True) -> Iterator[Setting]:
    """What a file sets, with the line numbers that an editor shows.

    systemd ends a line at a carriage return or NUL too (read_line(), src/basic/fileio.c).
    """
    for number, line in enumerate(split_lines(text), 1):
        for piece in re.split('[\r\0]', line):
            parsed = parse_line(piece, blank_after_dash)
            if parsed is not None:
                yield Setting(path, number, *parsed)


def read_settings(host: Host, loader: Loader, overlay: Optional[Overlay] = None) -> List[Setting]:
    """All settings of all files, in reading order."""
    return [setting for path in list_files(host, loader, overlay)
            for setting in settings_of(path, read_file(host, path, overlay), blank_after_dash=loader.replaces)]


# ------------------------------------------------------------ what gets written

def writes(loader: Loader, settings: List[Setting], known: List[str]) -> List[Setting]:
    """The writes to the ``known`` keys (paths below /proc/sys) in the order in which the loader makes them.

    An entry without a value stands for a key that systemd does not write because a line such as ``-vm.x`` came last.
    """
    entries = _replaced(settings) if loader.replaces else settings
    # procps compares as spelled: a `vm//x` keeps no glob off vm/x.
    named = set(entry.key for entry in entries if entry.plain or loader.replaces)
    result: List[Setting] = []
    for entry in entries:
        if entry.value is None:
            if loader.replaces and entry.key in known:
                result.append(entry)
            continue
        if not _GLOB.search(entry.key):
            if entry.key in known:
                result.append(entry)
            continue
        # A line that names the key, excluding ones too, keeps globs off it.
        result.extend(entry._replace(key=key) for key in known if matches(entry.key, key) and key not in named)
    return result


def _replaced(settings: List[Setting]) -> List[Setting]:
    """systemd's list: an equal value keeps the first one's place, a different one goes to the end."""
    entries: Dict[str, Setting] = OrderedDict()
    for setting in settings:
        earlier = entries.get(setting.key)
        if earlier is None or earlier.value != setting.value:
            entries.pop(setting.key, None)
            entries[setting.key] = setting
    return list(entries.values())


def matches(pattern: str, key: str) -> bool:
    """glob(7): a star does not cross a slash. A pattern that is longer than any path matches nothing."""
    if len(pattern) > _LONGEST_PATTERN:
        return False
    pieces, parts = pattern.split('/'), key.split('/')
    return len(pieces) == len(parts) and all(
        fnmatch.fnmatchcase(part, _as_python_has_it(piece)) for piece, part in zip(pieces, parts))


def _as_python_has_it(piece: str) -> str:
    """With ! for ^, and for a range such as z-a one that nothing is in: Python up to 3.9 raises re.error for it."""
    end = piece.rfind(']') + 1
    # What no bracket ends is none: each of those would be looked for up to the end of the pattern.
    piece = piece[:end] + piece[end:].replace('[', '[[]')
    return _BRACKETS.sub(lambda found: found.group(1).replace('^', '!') + _RANGE.sub(
        lambda ends: ends.group() if ends.group(1) <= ends.group(2) else '\0-\0', found.group(2)), piece)
