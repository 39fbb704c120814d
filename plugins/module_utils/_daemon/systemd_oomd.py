# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-oomd: the thresholds in oomd.conf and in unit files.

Sources: oomd.conf(5), systemd-oomd.service(8), systemd.resource-control(5) and systemd.time(7), src/oom/oomd-conf.c and
oomd-manager.c.
"""

import math
import os
import re
import stat
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._core.text import to_bytes
from .._host import conf_files
from .._host.host import Host
from .._systemd import unit_files
from . import model
from .model import DaemonSettings, Threshold, above, read_totals

_MAX_NAMES_LENGTH = 200
_MANAGER_FOLDERS = ('/etc/systemd', '/run/systemd', '/usr/local/lib/systemd', '/usr/lib/systemd', '/lib/systemd')
_USER_FOLDERS = ('/etc/systemd/user', '/run/systemd/user', '/usr/local/lib/systemd/user', '/usr/lib/systemd/user',
                 '/lib/systemd/user')
_SWAP, _PRESSURE = 'ManagedOOMSwap', 'ManagedOOMMemoryPressure'
_PRESSURE_LIMIT, _PRESSURE_DURATION = 'ManagedOOMMemoryPressureLimit', 'ManagedOOMMemoryPressureDurationSec'
_PREFERENCE = 'ManagedOOMPreference'
# Types of units with a control group, and of drop-ins for all units of a type.
_TYPES = ('service', 'slice', 'scope', 'mount', 'swap', 'socket')
_FRACTION = re.compile(r'([0-9]+)(?:\.([0-9]{1,2}))?[ \t]*([%\u2030\u2031])\Z')
# By sign: how many make one percent, and how many digits may follow the point.
_FRACTIONS = {'%': (1.0, 2), '\u2030': (10.0, 1), '\u2031': (100.0, 0)}
_SPAN = re.compile(r'\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-zA-Z\u00b5\u03bc]*)\s*')
_SPAN_UNITS_S = {
    'us': 1e-6, 'usec': 1e-6, '\u00b5s': 1e-6, '\u03bcs': 1e-6, 'ms': 1e-3, 'msec': 1e-3, '': 1, 's': 1, 'sec': 1,
    'second': 1, 'seconds': 1, 'm': 60, 'min': 60, 'minute': 60, 'minutes': 60, 'h': 3600, 'hr': 3600, 'hour': 3600,
    'hours': 3600, 'd': 86400, 'day': 86400, 'days': 86400, 'w': 604800, 'week': 604800, 'weeks': 604800,
    'M': 2629800, 'month': 2629800, 'months': 2629800, 'y': 31557600, 'year': 31557600, 'years': 31557600,
}
_LEAST_SPAN_S = 1


class Setting(NamedTuple):
    value: Any
    file: Optional[str]


Settings = Dict[str, Setting]  # by key
Parsers = Dict[str, Callable[[str], Any]]  # by key; None for a value that systemd ignores


def parse_fraction(text: str) -> Optional[float]:
    """Percent, permille or permyriad as percent, None for what systemd ignores (parse_permyriad)."""
    match = _FRACTION.match(text)
    if match is None:
        return None
    whole, digits, sign = match.groups()
    parts, most_digits = _FRACTIONS[sign]
    if len(digits or '') > most_digits:
        return None
    percent = round(float(f"{whole}.{digits or '0'}") / parts, 2)
    return percent if percent <= 100 else None


def parse_span_s(text: str) -> Optional[float]:
    """A time span such as ``1min 30s`` in seconds, None for what systemd ignores and for infinity."""
    total_s, position = 0.0, 0
    while position < len(text):
        match = _SPAN.match(text, position)
        if match is None or match.group(2) not in _SPAN_UNITS_S:
            return None
        total_s += float(match.group(1)) * _SPAN_UNITS_S[match.group(2)]
        position = match.end()
    return total_s if text and math.isfinite(total_s) else None


def _parse_duration(text: str) -> Optional[float]:
    """A duration; 0 and an empty text stand for the default."""
    span_s = parse_span_s(text) if text else 0.0
    return span_s if span_s is not None and (span_s == 0 or span_s >= _LEAST_SPAN_S) else None


def _parse_mode(text: str) -> Optional[str]:
    return text if text in ('', 'auto', 'kill') else None


def _parse_preference(text: str) -> Optional[str]:
    return text if text in ('', 'none', 'avoid', 'omit') else None


def _parse_unit_fraction(text: str) -> Optional[float]:
    """A limit; 0 and an empty text stand for the default."""
    return parse_fraction(text) if text else 0.0


_CONF_PARSERS: Parsers = {
    'SwapUsedLimit': parse_fraction, 'DefaultMemoryPressureLimit': parse_fraction,
    'DefaultMemoryPressureDurationSec': _parse_duration}
_UNIT_PARSERS: Parsers = {
    _SWAP: _parse_mode, _PRESSURE: _parse_mode, _PRESSURE_LIMIT: _parse_unit_fraction,
    _PRESSURE_DURATION: _parse_duration, _PREFERENCE: _parse_preference}


def read_settings(host: Host, arguments: List[str]) -> DaemonSettings:
    """The settings of oomd.conf, its drop-ins and the unit files. Marks that were set at runtime only are in /run."""
    marked = find_marked_units(host)
    notes = ['it acts only on control groups below units marked with ManagedOOMSwap= or ManagedOOMMemoryPressure=, and '
             'for swap only on those that hold more than 5 % of it']
    if read_totals(host).swap_kb == 0:
        notes.append('there is no swap now, so that it acts on memory pressure only')
    for word, text in (('avoid', 'it kills only when there is no other: %s'), ('omit', 'it never kills: %s')):
        units = [unit for unit, settings in marked if _get(settings, _PREFERENCE) == word]
        if units:
            names = ', '.join(units)
            notes.append(text % (names if len(names) <= _MAX_NAMES_LENGTH else names[:_MAX_NAMES_LENGTH] + '...'))
    dry_run = any(len(word) > 2 and '--dry-run'.startswith(word) for word in arguments[1:])
    return DaemonSettings(build_thresholds(read_conf(host), marked), dry_run,
                          notes + (['--dry-run: it never kills'] if dry_run else []))


def read_conf(host: Host) -> Settings:
    """The settings of oomd.conf and its drop-ins: of several files oomd.conf only the first counts."""
    mains = [folder + '/oomd.conf' for folder in _MANAGER_FOLDERS if host.exists(folder + '/oomd.conf')]
    drop_ins = _list_drop_ins(host, [folder + '/oomd.conf.d' for folder in _MANAGER_FOLDERS])
    return _read_files(host, mains[:1] + drop_ins, 'OOM', _CONF_PARSERS)


def _list_drop_ins(host: Host, folders: List[str]) -> List[str]:
    """The files of drop-in folders in the order in which they are read: the same rules as those of sysctl.d."""
    return conf_files.list_files(host, conf_files.build_loader('systemd', conf_files.SYSTEMD, tuple(folders)))


def _read_files(host: Host, paths: List[str], section: str, parsers: Parsers) -> Settings:
    """The last value of each key that systemd understands, and its file."""
    found: Settings = {}
    for path in paths:
        for one in unit_files.parse(to_bytes(conf_files.read_file(host, path))):
            value = parsers[one.key](one.value) if one.section == section and one.key in parsers else None
            if value is not None:
                found[one.key] = Setting(value, path)
    return found


def _get(settings: Settings, key: str) -> Any:
    return settings[key].value if key in settings else None


def find_marked_units(host: Host) -> List[Tuple[str, Settings]]:
    """(unit, settings) of each unit with settings for systemd-oomd in its unit file or its own drop-ins.

    ``*.slice`` stands for all slices, and ``user:`` precedes the units of users' managers. Drop-ins for several units
    (``a-.service.d``) are listed by their own names, not by those of the units.
    """
    found = []
    for prefix, folders in (('', unit_files.SEARCH), ('user:', _USER_FOLDERS)):
        by_path: Dict[str, str] = {}
        for folder in folders:
            by_path.setdefault(host.real(folder), folder)
        distinct = list(by_path.values())
        # Parse none of the hundreds of unit files that do not mention systemd-oomd.
        names = {name for name, path in _list_unit_files(host, distinct) if b'ManagedOOM' in _read(host, path)}
        for name in sorted(names):
            section = name.rpartition('.')[2].capitalize()
            settings = _read_files(host, _list_files(host, distinct, name), section, _UNIT_PARSERS)
            if settings:
                found.append((prefix + (name if '.' in name else '*.' + name), settings))
    return found


def _read(host: Host, path: str) -> bytes:
    """The content; empty for no regular file and for an unreadable one. Fast, as there are hundreds of unit files."""
    try:
        info = host.stat(path)
        return host.read_bytes(path) or b'' if info is not None and stat.S_ISREG(info.st_mode) else b''
    except OSError:
        return b''


def _list_unit_files(host: Host, folders: List[str]) -> Iterator[Tuple[str, str]]:
    """(unit, path) of all unit files and drop-ins."""
    for folder in folders:
        for entry in host.names(folder):
            path = folder + '/' + entry
            name = entry[:-2] if entry.endswith('.d') else entry
            if name.rpartition('.')[2] not in _TYPES:
                continue
            if name == entry:
                yield name, path
            else:
                for drop_in in host.names(path):
                    if drop_in.endswith('.conf'):
                        yield name, path + '/' + drop_in


def _list_files(host: Host, folders: List[str], name: str) -> List[str]:
    """The unit's file, unless that is another unit's, and its drop-ins."""
    fragments = [folder + '/' + name for folder in folders if host.exists(folder + '/' + name)][:1]
    own = [path for path in fragments if os.path.basename(host.real(path)) == name]
    if fragments and not own:
        return []  # masked, or an alias
    return own + _list_drop_ins(host, [f'{folder}/{name}.d' for folder in folders])


def build_thresholds(conf: Settings, marked: List[Tuple[str, Settings]]) -> List[Threshold]:
    """One threshold for swap, which needs little memory too since systemd 249, and one for each pressure limit."""
    swap = conf.get('SwapUsedLimit', Setting(90.0, None))
    units = [unit for unit, settings in marked if _get(settings, _SWAP) == 'kill']
    conditions = [above(model.USED_MEMORY, swap.value), above(model.USED_SWAP, swap.value)]
    thresholds = [Threshold(model.KILL, conditions, None, units, swap.file)]
    groups: Dict[Tuple[float, float, Optional[str]], List[str]] = {}
    for unit, settings in marked:
        if _get(settings, _PRESSURE) == 'kill':
            groups.setdefault(_find_pressure(conf, settings), []).append(unit)
    for (percent, for_s, path), names in (groups or {_find_pressure(conf, {}): []}).items():
        thresholds.append(Threshold(model.KILL, [above(model.MEMORY_PRESSURE, percent)], for_s, names, path))
    return thresholds


def _find_pressure(conf: Settings, settings: Settings) -> Tuple[float, float, Optional[str]]:
    """(limit, duration, file of the limit): the unit's own, else what oomd.conf has, else systemd's defaults."""
    limit = conf.get('DefaultMemoryPressureLimit', Setting(60.0, None))
    if _get(settings, _PRESSURE_LIMIT):
        limit = settings[_PRESSURE_LIMIT]
    for_s = _get(settings, _PRESSURE_DURATION) or _get(conf, 'DefaultMemoryPressureDurationSec') or 30.0
    return limit.value, for_s, limit.file
