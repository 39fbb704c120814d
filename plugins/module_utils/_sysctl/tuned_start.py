# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The writes of TuneD to sysctls when it starts: the values of its profiles, then those of sysctl.d again.

Sources: tuned/plugins/plugin_sysctl.py, tuned/units/manager.py and tuned/utils/global_config.py, releases 2.9 to 2.28.
"""

import fnmatch
import os
import posixpath
import re
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .._core.text import to_bytes, to_text
from .._host import conf_files
from .._host.file_access import Reading
from .._host.host import Host
from . import parser, tuned, tuned_config, tuned_profiles
from .loader import PROCPS

_MOST_UNITS = 100  # real profiles have one or two
_MOST_PATTERN, _MOST_CPUINFO = 1024, 1 << 16
_BUFFER_BYTES = 8192  # Python decodes a file in pieces of this size
_FOLDERS = ('/run/sysctl.d', '/etc/sysctl.d')
_SYSCTL_CONF = '/etc/sysctl.conf'
MAIN_CONF = tuned_config.MAIN_CONF
_PLUGIN = 'plugins/plugin_sysctl.py'
_FOLDER_LIST = re.compile(r'SYSCTL_CONFIG_DIRS = \[([^\]]{0,4096})\]')
_NO_COMMENT = re.compile(r'[^#;]')


class Write(NamedTuple):
    key: str  # as a path below /proc/sys
    value: str  # of the profile: perhaps with > or <, which only raise or lower, or a call of a function
    file: str
    line: int
    is_reapplied: bool  # a line of sysctl.d, not of the profile
    is_final: bool  # no line of sysctl.d may win over this value
    is_known: bool  # the value has no TuneD function, whose result only TuneD knows


class Start(NamedTuple):
    writes: List[Write]
    skips_equal: bool  # skips a value that the sysctl already holds


# Differences between releases.
class _Release(NamedTuple):
    folders: Tuple[str, ...]
    runs_procps: bool  # up to 2.10 it runs `sysctl --system`
    skips_equal: bool  # from 2.23 on
    has_exclude: bool  # from 2.27 on
    collects: bool  # from 2.28 on: one write for each name, at the place of its first line
    swaps_slashes: bool  # from 2.22 on: vm/x is not a spelling of vm.x


_Units = List[Tuple[tuned.Unit, bool]]  # and whether the unit applies for certain
_UNKNOWN = _Release(_FOLDERS, False, True, True, False, True)


def plan_starts(host: Host, denied: List[str], known: Sequence[str], overlay: Optional[conf_files.Overlay] = None,
                here: bool = True, is_running: bool = False, has_ppd: bool = False) -> List[Start]:
    """The possible starts, each with its writes to the ``known`` keys (paths below /proc/sys) in order.

    There are several if the profile depends on the host, or on a TuneD function. ``here`` is False if another host gets
    these files: then every section counts, also one for certain hosts.
    """
    planner = _Planner(host, denied, known, overlay, here, is_running)
    try:
        main = tuned_config.read_main(host, denied)
        choices = tuned_profiles.startup_profiles(host, denied, main, is_running, has_ppd)
    except tuned_config.RefusedStart:
        return [Start([], False)]
    found: List[Start] = []
    for names in choices:
        found += [start for start in planner.plan(main, names) if start not in found]
    return found


class _Planner:
    """Plans the starts of one host."""

    def __init__(self, host: Host, denied: List[str], known: Sequence[str], overlay: Optional[conf_files.Overlay],
                 here: bool, is_running: bool) -> None:
        self._host, self._denied, self._known, self._overlay, self._here = host, denied, known, overlay, here
        self._is_running = is_running
        self._release = _find_release(host, denied)
        self._parsed: tuned.Parsed = {}
        self._again: Optional[List[Write]] = None

    def plan(self, main: Dict[str, str], names: List[str]) -> List[Start]:
        """The possible starts with these profiles: several if a unit may or may not apply."""
        rules = tuned.find_rules(self._host, self._denied, main)
        starts: List[Start] = []
        for is_virtual in (True, False):
            try:
                profiles = tuned.read_units(self._host, self._denied, rules, names, is_virtual,
                                            self._parsed)
                starts += self._starts(main, profiles)
            except tuned_config.RefusedStart:
                starts.append(Start([], self._release.skips_equal))
                continue  # perhaps for this answer only
            if not profiles.asks_for_virt:
                break
        return starts

    def _starts(self, main: Dict[str, str], profiles: tuned.Profiles) -> List[Start]:
        units = self._sysctl_units(main, profiles)
        certain = [unit for unit, is_certain in units if is_certain]
        # For a running TuneD, only known values are listed.
        unknown = None if self._is_running else profiles.unknown
        starts = [self._start(main, certain, None)]
        if unknown or len(certain) < len(units):
            starts.append(self._start(main, [unit for unit, _is_certain in units], unknown))
        return starts

    def _sysctl_units(self, main: Dict[str, str], profiles: tuned.Profiles) -> _Units:
        units = [(unit, True) for unit in profiles.units if unit.enabled]
        if self._here:
            units = _matching(self._host, main, units)
        return [pair for pair in _by_priority(main, units) if pair[0].type == 'sysctl'][:_MOST_UNITS]

    def _start(self, main: Dict[str, str], units: List[tuned.Unit], unknown: Optional[Tuple[str, int]]) -> Start:
        reapplies = main.get('reapply_sysctl', '1') == '1'
        excluded = main.get('reapply_sysctl_exclude', '') if self._release.has_exclude else ''
        exclude = tuned_config.split_list(excluded)
        again = self._reapply(exclude) if reapplies and (units or unknown) else []
        writes: List[Write] = []
        for unit in units:
            writes += self._unit_writes(unit, exclude if reapplies else None) + again
        if unknown:
            # An unknown profile may set any key, and may be the last one.
            writes += [Write(key, tuned.FUNCTION, unknown[0], unknown[1], False, False, False) for key in self._known]
            writes += again
        return Start(writes, self._release.skips_equal)

    def _unit_writes(self, unit: tuned.Unit, exclude: Optional[List[str]]) -> List[Write]:
        """The writes of a unit. TuneD does not apply keys in ``exclude`` again; None for all."""
        writes: List[Write] = []
        for name, setting in unit.options.items():
            key = _build_path(name, self._release)
            if key in self._known:
                is_final = exclude is None or _is_excluded(key.replace('/', '.'), exclude)
                writes.append(Write(key, setting.value, setting.file, setting.line, False, is_final,
                                    setting.is_known))
        return writes

    def _reapply(self, exclude: List[str]) -> List[Write]:
        if self._again is None:
            self._again = _reapplied(self._host, self._denied, self._release, exclude, self._known, self._overlay)
        return self._again


def parse_assignment(text: str, current: Optional[int]) -> Optional[str]:
    """The text that TuneD writes for ``>80`` or ``<80``; None if the sysctl is high or low enough."""
    if len(text) > 1 and text[0] in '<>' and current is not None:
        try:
            number = int(text[1:])
        except ValueError:
            return text
        return text[1:] if (number > current if text[0] == '>' else number < current) else None
    return text


# --------------------------------------------------------------------- releases

def _find_release(host: Host, denied: List[str]) -> _Release:
    """Detect the features in the installed program: distributions add them to older releases."""
    text = tuned.read_program(host, denied, _PLUGIN)
    if not text:
        return _UNKNOWN
    listed = _FOLDER_LIST.search(text)
    return _Release(
        folders=tuple(re.findall(r'"(/[^"]{1,4096})"', listed.group(1))) if listed else _FOLDERS,
        runs_procps='"--system"' in text,
        skips_equal='ignore_same' in text,
        has_exclude='CFG_REAPPLY_SYSCTL_EXCLUDE' in text,
        collects='sysctl_settings[' in text,
        swaps_slashes='"./"' in text)


def _build_path(name: str, release: _Release) -> str:
    """The path below /proc/sys that TuneD makes of a name; empty for none."""
    path = name.translate({ord('.'): '/', ord('/'): '.'}) if release.swaps_slashes else name.replace('.', '/')
    # A trailing slash names a folder, which is not a sysctl.
    return '' if path.endswith('/') else posixpath.normpath('/' + path).lstrip('/')


# ------------------------------------------------------------------------ units

def _matching(host: Host, main: Dict[str, str], units: _Units) -> _Units:
    """The units that apply to this host, or may apply. Raises RefusedStart for a wrong expression."""
    found: _Units = []
    for unit, _is_certain in units:
        answers = [_matches(unit, unit.cpuinfo_regex, main.get('cpuinfo_string'), host, _cpuinfo)]
        if answers != [False]:
            answers.append(_matches(unit, unit.uname_regex, main.get('uname_string'), host, _uname))
        if False not in answers:
            found.append((unit, None not in answers))
    return found


def _matches(unit: tuned.Unit, pattern: Optional[tuned.Setting], text: Optional[str], host: Host,
             read: Callable[[Host], str]) -> Optional[bool]:
    """Whether the text matches the expression; None if only TuneD knows the expression."""
    if pattern is None or not pattern.is_known:
        return True if pattern is None else None
    text = read(host) if text is None else text
    with Reading(unit.file):  # has a deadline: an expression can take very long
        try:
            return (len(pattern.value) <= _MOST_PATTERN
                    and re.search(pattern.value, text, re.MULTILINE) is not None)
        except (re.error, OverflowError, RecursionError):
            raise tuned_config.RefusedStart(unit.file) from None


def _by_priority(main: Dict[str, str], units: _Units) -> _Units:
    """The units in the order in which TuneD applies them. Raises RefusedStart if a priority is not an integer."""
    default = main.get('default_instance_priority', '0')
    try:
        return sorted(units, key=lambda pair: int(default if pair[0].priority is None else pair[0].priority))
    except ValueError as exc:
        raise tuned_config.RefusedStart(str(exc)) from None


def _cpuinfo(host: Host) -> str:
    return (host.read_text('/proc/cpuinfo') or '')[:_MOST_CPUINFO]


def _uname(host: Host) -> str:
    """The words of uname(2), in the order of os.uname(). Kernels before 6.1 do not show the architecture there."""
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
               overlay: Optional[conf_files.Overlay]) -> List[Write]:
    if release.runs_procps:
        return _procps_writes(host, denied, known, overlay)
    writes: List[Write] = []
    loader = conf_files.build_loader('tuned', conf_files.PROCPS, release.folders, _SYSCTL_CONF)
    names: Dict[str, int] = {}
    for path in _list_files(host, loader, denied, overlay):
        text, is_whole = _readable_part(_read_file(host, path, denied, overlay))
        for name, value, line in _settings(text):
            key = _build_path(name, release)
            if key not in known or _is_excluded(name, exclude):
                continue
            write = Write(key, value, path, line, True, False, True)
            if release.collects and name in names:
                writes[names[name]] = write
                continue
            names[name] = len(writes)
            writes.append(write)
        if not is_whole:
            return [] if release.collects else writes
    return writes


def _list_files(host: Host, loader: conf_files.Loader, denied: List[str],
                overlay: Optional[conf_files.Overlay]) -> List[str]:
    with conf_files.note_denied(denied):
        return conf_files.list_files(host, loader, overlay)
    return []


def _read_file(host: Host, path: str, denied: List[str], overlay: Optional[conf_files.Overlay]) -> str:
    with conf_files.note_denied(denied, path):
        return conf_files.read_file(host, path, overlay)
    return ''


def _readable_part(text: str) -> Tuple[str, bool]:
    """(The part that TuneD reads, whether it is all of it): TuneD stops at invalid UTF-8."""
    data = to_bytes(text)
    try:
        data.decode('utf-8')
    except UnicodeDecodeError as exc:
        part = data[:exc.start // _BUFFER_BYTES * _BUFFER_BYTES]
        return to_text(part[:part.rfind(b'\n') + 1]), False
    return text, True


def _settings(text: str) -> Iterator[Tuple[str, str, int]]:
    """(name, value, line number) of each setting. There are no globs, and a dash is part of the name."""
    for number, line in enumerate(conf_files.split_lines(text), 1):
        for piece in line.split('\r'):
            name, equals, value = piece.strip().partition('=')
            if equals and name.strip() and _NO_COMMENT.match(name):
                yield name.strip(), value.strip(), number


def _procps_writes(host: Host, denied: List[str], known: Sequence[str],
                   overlay: Optional[conf_files.Overlay]) -> List[Write]:
    try:
        writes = parser.read_writes(host, PROCPS, list(known), overlay)
    except OSError as exc:
        denied.append(exc.filename)
        return []
    return [Write(entry.key, entry.value or '', entry.path, entry.line, True, False, True)
            for entry in writes]
