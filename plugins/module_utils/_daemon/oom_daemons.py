# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a daemon kills before the kernel's OOM killer has to: the thresholds of earlyoom, systemd-oomd and nohang.

Sources: earlyoom(1) of 1.6 to 1.8 and its README, tried with earlyoom 1.7; oomd.conf(5), systemd-oomd.service(8),
systemd.resource-control(5) and systemd.time(7), src/oom/oomd-conf.c and oomd-manager.c; nohang(8) and nohang 0.2.0.
All read their settings when they start: a file that was edited since then is told as it is now. Files are those of
this machine, also for a daemon that runs in a container.
"""

import getopt
import math
import os
import re
import stat
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from .._core.sanitize import sanitize
from .._core.text import to_bytes, to_text
from .._host import conf_files
from .._host.host import Host
from .._host.meminfo import read_memory
from .._process import credentials
from .._process.memory import Processes
from .._systemd import unit_files

# What is measured.
AVAILABLE_MEMORY, FREE_SWAP, USED_MEMORY, USED_SWAP = 'available_memory', 'free_swap', 'used_memory', 'used_swap'
USED_ZRAM, MEMORY_PRESSURE = 'used_zram', 'memory_pressure'
# What the daemon does.
TERM, KILL, WARNING = 'SIGTERM', 'SIGKILL', 'warning'

_MAX_CONFIG_BYTES = 1 << 20
_MAX_ARGUMENT_BYTES = 1 << 14  # a few regular expressions; getopt takes the square of it
_MAX_NUMBER = 40  # characters: the time that an expression for numbers takes grows with their square
_MAX_SHOWN = 200
_MAX_KB = 1 << 62


class Condition(NamedTuple):
    what: str  # one of those above
    below_percent: Optional[float]  # of these four None for what does not count; all that are given must hold
    above_percent: Optional[float]
    below_kb: Optional[int]
    above_kb: Optional[int]


class Threshold(NamedTuple):
    action: str
    when: List[Condition]  # all must hold
    for_s: Optional[float]  # so long; None: at once
    units: Optional[List[str]]  # only in the control groups below these; None: on the whole machine
    file: Optional[str]  # where it is set; None: by an argument or by default


class Found(NamedTuple):
    thresholds: List[Threshold]
    dry_run: bool  # it only says what it would do
    notes: List[str]  # what else decides when and whom it kills


class Totals(NamedTuple):
    memory_kb: Optional[int]
    swap_kb: Optional[int]


class Unknown(Exception):
    """Why the thresholds are not known."""


def thresholds(host: Host, processes: Processes, running: List[Tuple[int, str]]) -> List[Dict[str, Any]]:
    """For each daemon its name, pid and unit, when it acts, and C(reason) where that is not known. Never raises.

    ``running`` are the processes of L(_process.scan.KILLERS) as L(Proc.named) finds them.
    """
    return [_fact(host, processes, pid, name) for pid, name in running]


def _fact(host: Host, processes: Processes, pid: int, name: str) -> Dict[str, Any]:
    unit = processes.cgroup_and_unit(pid)[1]
    found, reason = Found([], False, []), None
    try:
        doubt = credentials.doubt_oom_daemon(processes, pid)
        if doubt is not None:
            raise Unknown(doubt)
        found = _DAEMONS[name](host, _arguments(processes, pid))
    except Unknown as exc:
        reason = sanitize(str(exc))
    except OSError as exc:
        # Without the path, which may be a word of its command line.
        reason = 'its settings cannot be read: %s' % (exc.strerror or type(exc).__name__)
    return {'name': name, 'pid': pid, 'unit': None if unit is None else sanitize(unit), 'dry_run': found.dry_run,
            'thresholds': [_shown(one) for one in found.thresholds], 'notes': [sanitize(note) for note in found.notes],
            'reason': reason}


def _arguments(processes: Processes, pid: int) -> List[str]:
    """The command line, the program first."""
    data = processes.read(f'{pid}/cmdline', _MAX_ARGUMENT_BYTES + 1)
    if not data or len(data) > _MAX_ARGUMENT_BYTES:
        raise Unknown('its command line cannot be read, or is too long')
    return to_text(data[:-1] if data.endswith(b'\0') else data).split('\0')


# ------------------------------------------------------------------------- words

def _shown(one: Threshold) -> Dict[str, Any]:
    return {'action': one.action, 'when': [dict(condition._asdict()) for condition in one.when], 'for_s': one.for_s,
            'units': None if one.units is None else [sanitize(unit) for unit in one.units],
            'file': None if one.file is None else sanitize(one.file), 'text': sanitize(text_of(one))}


def text_of(one: Threshold) -> str:
    """The threshold as an English sentence without its full stop."""
    text = f"{one.action} when {' and '.join(_condition_text(condition) for condition in one.when)}"
    if one.for_s is not None:
        text += f' for {_number(one.for_s)} s'
    if one.units is None:
        return text
    units = ', '.join(one.units) or 'marked units, of which none is known'
    return f'{text}, only in control groups below {units}'


def _condition_text(one: Condition) -> str:
    limits = [(word, f'{_number(value)} {unit}') for word, value, unit in (
        ('below', one.below_kb, 'kB'), ('below', one.below_percent, '%'), ('above', one.above_kb, 'kB'),
        ('above', one.above_percent, '%')) if value is not None]
    text = f"{one.what.replace('_', ' ')} is {' '.join(limits[0])}"
    return text + ''.join(f' ({limit})' for _word, limit in limits[1:])


def _number(value: Any) -> str:
    return str(value) if isinstance(value, int) else (f'{value:.2f}').rstrip('0').rstrip('.')


def _below(what: str, percent: Optional[float], kb: Optional[int] = None) -> Condition:
    return Condition(what, percent, None, kb, None)


def _above(what: str, percent: Optional[float], kb: Optional[int] = None) -> Condition:
    return Condition(what, None, percent, None, kb)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + '...'


def _totals(host: Host) -> Totals:
    memory = read_memory(host)
    return Totals(None, None) if memory is None else Totals(memory.total_kb, memory.swap_total_kb)


def _no_swap(totals: Totals) -> List[str]:
    return ['there is no swap now, which counts as no free swap'] if totals.swap_kb == 0 else []


# ---------------------------------------------------------------------- earlyoom

_SHORT_OPTIONS = 'm:s:M:S:kingN:P:dvr:phw:'
_LONG_OPTIONS = ['prefer=', 'avoid=', 'ignore=', 'dryrun', 'ignore-root-user', 'sort-by-rss', 'syslog', 'debug', 'help']
_DEFAULT_PERCENT = (10.0, 5.0)
_MOST_PERCENT = {'-m': 99.0, '-s': 100.0}
_C_NUMBER = re.compile(r'[ \t\n\v\f\r]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\Z')
_CHOICES = (
    ('--prefer', 'it prefers to kill processes whose name matches its option --prefer'),
    ('--avoid', 'it avoids killing processes whose name matches its option --avoid'),
    ('--ignore', 'it never kills processes whose name matches its option --ignore'),
)
_SWITCHES = (
    ('--dryrun', '--dryrun: it never kills'),
    ('--ignore-root-user', 'it never kills processes of root'),
    ('--sort-by-rss', 'it kills the process with the largest RSS, whatever the oom_score'),
    ('-g', 'it kills all processes of the same process group'),
)

Pair = Tuple[float, float]  # the limits for SIGTERM and for SIGKILL


def _earlyoom(host: Host, arguments: List[str]) -> Found:
    """What its arguments say; /etc/default/earlyoom has counted already."""
    options, totals = earlyoom_options(arguments[1:]), _totals(host)
    # Which options, and never their words: command lines are secrets.
    notes = _no_swap(totals) + [text for name, text in _CHOICES + _SWITCHES if name in options]
    return Found(earlyoom_thresholds(options, totals), '--dryrun' in options, notes)


def earlyoom_options(arguments: List[str]) -> Dict[str, str]:
    """The options by their names, of those given twice the last; raises Unknown for what earlyoom would refuse."""
    try:
        options, rest = getopt.gnu_getopt(arguments, _SHORT_OPTIONS, _LONG_OPTIONS)
    except getopt.GetoptError:
        raise Unknown('its arguments are not understood: an unknown option, or one that lacks its value') from None
    if rest:
        raise Unknown('its arguments are not understood: a word that is not an option')
    return dict(options)


def earlyoom_thresholds(options: Dict[str, str], totals: Totals) -> List[Threshold]:
    """SIGTERM and SIGKILL. Memory and swap must both be low, and without swap there is always little of it.

    Sizes become a share of the total when it starts, and of -m and -M the lower one counts (since 1.5). The percentages
    of 1.8 are of MemAvailable plus AnonPages, those of earlier ones of MemTotal.
    """
    memory = [_limit(AVAILABLE_MEMORY, options, ('-m', '-M'), totals.memory_kb, step) for step in (0, 1)]
    swap = [_limit(FREE_SWAP, options, ('-s', '-S'), totals.swap_kb, step) for step in (0, 1)]
    term, kill = [Threshold(action, [memory[step], swap[step]], None, None, None)
                  for step, action in enumerate((TERM, KILL))]
    return [kill] if term.when == kill.when else [term, kill]


def _limit(what: str, options: Dict[str, str], names: Tuple[str, str], total_kb: Optional[int], step: int) -> Condition:
    """One limit of an option in percent and one of its twin in kB; ``step`` 0 is for SIGTERM, 1 for SIGKILL."""
    percents, sizes = [_pair(name, options) for name in names]
    if sizes is None:
        return _below(what, (percents or _DEFAULT_PERCENT)[step])
    size_kb, percent = int(sizes[step]), percents[step] if percents else None
    if not total_kb:
        return _below(what, percent, size_kb)
    share_percent = 100.0 * sizes[step] / total_kb
    if percent is not None and percent <= share_percent:
        return _below(what, percent)
    return _below(what, round(share_percent, 2), size_kb)


def _pair(name: str, options: Dict[str, str]) -> Optional[Pair]:
    """The two values of one option: SIGKILL's is half of SIGTERM's where it is not told, and never above it."""
    if name not in options:
        return None
    most = _MOST_PERCENT.get(name, float(_MAX_KB))
    words = options[name].split(',')
    numbers = [_c_number(word) for word in words]
    values = [number for number in numbers if number is not None and 0 <= number <= most]
    if len(values) != len(words) or len(words) > 2 or not any(values):
        raise Unknown(f'its arguments are not understood: the value of {name}')
    term, kill = (values + [values[0] / 2])[:2]
    return max(term, kill), kill


def _c_number(text: str) -> Optional[float]:
    """As strtod(3) reads it, where nothing is nought; hexadecimal, which nobody writes, is left out."""
    match = _C_NUMBER.match(text) if len(text) <= _MAX_NUMBER else None
    if match is None:
        return None if text else 0.0
    number = float(match.group(1))
    return number if math.isfinite(number) else None


# ------------------------------------------------------------------ systemd-oomd

_MANAGER_FOLDERS = ('/etc/systemd', '/run/systemd', '/usr/local/lib/systemd', '/usr/lib/systemd', '/lib/systemd')
_USER_FOLDERS = ('/etc/systemd/user', '/run/systemd/user', '/usr/local/lib/systemd/user', '/usr/lib/systemd/user',
                 '/lib/systemd/user')
_SWAP, _PRESSURE = 'ManagedOOMSwap', 'ManagedOOMMemoryPressure'
_PRESSURE_LIMIT, _PRESSURE_DURATION = 'ManagedOOMMemoryPressureLimit', 'ManagedOOMMemoryPressureDurationSec'
_PREFERENCE = 'ManagedOOMPreference'
# Units that have a control group, and what systemd.resource-control(5) can be written for all units of a type in.
_TYPES = ('service', 'slice', 'scope', 'mount', 'swap', 'socket')
_FRACTION = re.compile(r'([0-9]+)(?:\.([0-9]{1,2}))?[ \t]*([%\u2030\u2031])\Z')
# By its sign: so many make one percent, and so many digits may follow the point.
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


def _duration(text: str) -> Optional[float]:
    """A duration; 0 stands for the default, as does nothing at all."""
    span_s = parse_span_s(text) if text else 0.0
    return span_s if span_s is not None and (span_s == 0 or span_s >= _LEAST_SPAN_S) else None


def _mode(text: str) -> Optional[str]:
    text = text or 'auto'
    return text if text in ('auto', 'kill') else None


def _preference(text: str) -> Optional[str]:
    text = text or 'none'
    return text if text in ('none', 'avoid', 'omit') else None


def _unit_fraction(text: str) -> Optional[float]:
    """A limit; 0 stands for the default, as does nothing at all."""
    return parse_fraction(text) if text else 0.0


_CONF_PARSERS: Dict[str, Callable[[str], Any]] = {
    'SwapUsedLimit': parse_fraction, 'DefaultMemoryPressureLimit': parse_fraction,
    'DefaultMemoryPressureDurationSec': _duration}
_UNIT_PARSERS: Dict[str, Callable[[str], Any]] = {
    _SWAP: _mode, _PRESSURE: _mode, _PRESSURE_LIMIT: _unit_fraction, _PRESSURE_DURATION: _duration,
    _PREFERENCE: _preference}


def _systemd_oomd(host: Host, arguments: List[str]) -> Found:
    """What oomd.conf, its drop-ins and the unit files say. Marks that were only given at run time are in /run."""
    marked = marked_units(host)
    found = oomd_thresholds(oomd_conf(host), marked)
    notes = ['it acts only on control groups below units marked with ManagedOOMSwap= or ManagedOOMMemoryPressure=, and '
             'for swap only on those that hold more than 5 % of it']
    if _totals(host).swap_kb == 0:
        notes.append('there is no swap now, so that it acts on memory pressure only')
    for word, text in (('avoid', 'it kills only when there is no other: %s'), ('omit', 'it never kills: %s')):
        units = [unit for unit, settings in marked if _value(settings, _PREFERENCE) == word]
        if units:
            notes.append(text % _short(', '.join(units)))
    dry_run = any(len(word) > 2 and '--dry-run'.startswith(word) for word in arguments[1:])
    return Found(found, dry_run, notes + (['--dry-run: it never kills'] if dry_run else []))


def oomd_conf(host: Host) -> Dict[str, Setting]:
    """The settings of oomd.conf and its drop-ins: of several files named oomd.conf only the first is read."""
    mains = [folder + '/oomd.conf' for folder in _MANAGER_FOLDERS if host.exists(folder + '/oomd.conf')]
    drop_ins = _drop_ins(host, [folder + '/oomd.conf.d' for folder in _MANAGER_FOLDERS])
    return _settings(host, mains[:1] + drop_ins, 'OOM', _CONF_PARSERS)


def _drop_ins(host: Host, folders: List[str]) -> List[str]:
    """The files of drop-in folders in the order in which they are read: the same rules as those of sysctl.d."""
    return conf_files.list_files(host, conf_files.build_loader('systemd', conf_files.SYSTEMD, tuple(folders)))


def _settings(host: Host, paths: List[str], section: str, parsers: Dict[str, Callable[[str], Any]]
              ) -> Dict[str, Setting]:
    """By key the last value that is understood, and its file."""
    found: Dict[str, Setting] = {}
    for path in paths:
        for one in unit_files.parse(to_bytes(conf_files.read_file(host, path))):
            value = parsers[one.key](one.value) if one.section == section and one.key in parsers else None
            if value is not None:
                found[one.key] = Setting(value, path)
    return found


def _value(settings: Dict[str, Setting], key: str) -> Any:
    return settings[key].value if key in settings else None


def marked_units(host: Host) -> List[Tuple[str, Dict[str, Setting]]]:
    """What each unit file with its own drop-ins says of systemd-oomd, for those that say anything.

    ``*.slice`` is what counts for all slices, and ``user:`` stands before the units of users' managers. Drop-ins for
    several units at once (``a-.service.d``) are told by their own names, not for the units that they count for.
    """
    found = []
    for prefix, folders in (('', unit_files.SEARCH), ('user:', _USER_FOLDERS)):
        apart = _apart(host, folders)
        for name in sorted(_mentioned(host, apart)):
            settings = _settings(host, _files_of(host, apart, name), name.rpartition('.')[2].capitalize(),
                                 _UNIT_PARSERS)
            if settings:
                found.append((prefix + (name if '.' in name else '*.' + name), settings))
    return found


def _apart(host: Host, folders: Tuple[str, ...]) -> List[str]:
    """The folders without those that are another name of one before."""
    seen: Dict[str, str] = {}
    for folder in folders:
        seen.setdefault(host.real(folder), folder)
    return list(seen.values())


def _mentioned(host: Host, folders: List[str]) -> Set[str]:
    """The units, and types of units, that have a file with a word for systemd-oomd."""
    return {name for name, path in _unit_paths(host, folders) if b'ManagedOOM' in _read(host, path)}


def _read(host: Host, path: str) -> bytes:
    """The file; empty where it is none or may not be read. Written for speed: there are hundreds of unit files."""
    try:
        info = host.stat(path)
        return host.read_bytes(path) or b'' if info is not None and stat.S_ISREG(info.st_mode) else b''
    except OSError:
        return b''


def _unit_paths(host: Host, folders: List[str]) -> Iterator[Tuple[str, str]]:
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


def _files_of(host: Host, folders: List[str], name: str) -> List[str]:
    """The unit's file, unless that is another unit's, and its drop-ins."""
    fragments = [folder + '/' + name for folder in folders if host.exists(folder + '/' + name)][:1]
    own = [path for path in fragments if os.path.basename(host.real(path)) == name]
    if fragments and not own:
        return []  # masked, or an alias
    return own + _drop_ins(host, [f'{folder}/{name}.d' for folder in folders])


def oomd_thresholds(conf: Dict[str, Setting], marked: List[Tuple[str, Dict[str, Setting]]]) -> List[Threshold]:
    """For swap one, which since systemd 249 asks for little memory too; for pressure one for each limit in use."""
    swap = conf.get('SwapUsedLimit', Setting(90.0, None))
    units = [unit for unit, settings in marked if _value(settings, _SWAP) == 'kill']
    conditions = [_above(USED_MEMORY, swap.value), _above(USED_SWAP, swap.value)]
    found = [Threshold(KILL, conditions, None, units, swap.file)]
    groups: Dict[Tuple[float, float, Optional[str]], List[str]] = {}
    for unit, settings in marked:
        if _value(settings, _PRESSURE) == 'kill':
            groups.setdefault(_pressure(conf, settings), []).append(unit)
    for (percent, for_s, path), names in (groups or {_pressure(conf, {}): []}).items():
        found.append(Threshold(KILL, [_above(MEMORY_PRESSURE, percent)], for_s, names, path))
    return found


def _pressure(conf: Dict[str, Setting], settings: Dict[str, Setting]) -> Tuple[float, float, Optional[str]]:
    """(limit, duration, file of the limit): the unit's own, else what oomd.conf has, else systemd's defaults."""
    limit = conf.get('DefaultMemoryPressureLimit', Setting(60.0, None))
    if _value(settings, _PRESSURE_LIMIT):
        limit = settings[_PRESSURE_LIMIT]
    for_s = _value(settings, _PRESSURE_DURATION) or _value(conf, 'DefaultMemoryPressureDurationSec') or 30.0
    return limit.value, for_s, limit.file


# ------------------------------------------------------------------------ nohang

_NOHANG_CONF = '/etc/nohang/nohang.conf'
# The files of its own units. Any other one is a word of its command line, and is not named.
_NOHANG_KNOWN = tuple(folder + '/etc/nohang/' + name
                      for folder in ('', '/usr/local') for name in ('nohang.conf', 'nohang-desktop.conf'))
_NOHANG_CONFIG_OPTIONS = ('-c', '--config')
_SOFT_ACTION = '@SOFT_ACTION_RE_'
_PYTHON_NUMBER = re.compile(r'\s*(\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*\Z')
_NOHANG_STEPS = (('warning', WARNING), ('soft', TERM), ('hard', KILL))


def _nohang(host: Host, arguments: List[str]) -> Found:
    """What its configuration file says. It has no defaults: a setting that is missing keeps it from starting."""
    path = nohang_config_path(arguments)
    data = host.read_named_file(path)
    if data is None or len(data) > _MAX_CONFIG_BYTES:
        raise Unknown('its configuration file is not there, or too long')
    text = to_text(data)
    notes = _no_swap(_totals(host))
    if any(line.startswith(_SOFT_ACTION) for line in text.split('\n')):
        notes.append(f'for some processes it runs a command instead of SIGTERM ({_SOFT_ACTION}... in its '
                     'configuration)')
    return Found(nohang_thresholds(nohang_settings(text), path if path in _NOHANG_KNOWN else None), False, notes)


def nohang_config_path(arguments: List[str]) -> str:
    """The file that its arguments name, which begin after the interpreter and the script."""
    own = next((number for number, word in enumerate(arguments) if os.path.basename(word) == 'nohang'), 0) + 1
    path = _NOHANG_CONF
    for number in range(own, len(arguments)):
        if arguments[number] in _NOHANG_CONFIG_OPTIONS:
            path = ''.join(arguments[number + 1:number + 2])
    if not path.startswith('/'):
        raise Unknown('its configuration file has no absolute path')
    return path


def nohang_settings(text: str) -> Dict[str, str]:
    """The settings; lines that begin with a blank, # or @ are none."""
    pairs = [line.partition('=') for line in text.split('\n') if line and line[0] not in ' \t#@']
    return {key.strip(): value.strip() for key, _equals, value in pairs}


def nohang_thresholds(settings: Dict[str, str], path: Optional[str]) -> List[Threshold]:
    """Low memory with low swap; where they are switched on, low memory with much zram, and with lasting pressure."""
    zram = _switch(settings, 'zram_checking_enabled')
    pressure = _switch(settings, 'psi_checking_enabled')
    steps = _NOHANG_STEPS if settings.get('low_memory_warnings_enabled') == 'True' else _NOHANG_STEPS[1:]
    found = []
    for step, action in steps:
        memory = _below(AVAILABLE_MEMORY, *_nohang_amount(settings, step + '_threshold_min_mem'))
        swap = _below(FREE_SWAP, *_nohang_amount(settings, step + '_threshold_min_swap'))
        found.append(Threshold(action, [memory, swap], None, None, path))
        if zram:
            used = _above(USED_ZRAM, *_nohang_amount(settings, step + '_threshold_max_zram'))
            found.append(Threshold(action, [memory, used], None, None, path))
        if pressure:
            above = _above(MEMORY_PRESSURE, _nohang_number(settings, step + '_threshold_max_psi'))
            for_s = None if action == WARNING else _nohang_number(settings, 'psi_excess_duration')
            found.append(Threshold(action, [memory, above], for_s, None, path))
    return found


def _setting(settings: Dict[str, str], key: str) -> str:
    if key not in settings:
        raise Unknown(f'its configuration file has no {key}')
    return settings[key]


def _switch(settings: Dict[str, str], key: str) -> bool:
    value = _setting(settings, key)
    if value not in ('True', 'False'):
        raise Unknown(f'its configuration file has a value for {key} that is not understood')
    return value == 'True'


def _nohang_number(settings: Dict[str, str], key: str, suffix: str = '') -> float:
    value = _setting(settings, key)
    match = _PYTHON_NUMBER.match(value[:len(value) - len(suffix)]) if len(value) <= _MAX_NUMBER else None
    number = float(match.group(1)) if match and value.endswith(suffix) else math.inf
    if number > _MAX_KB / 1024:
        raise Unknown(f'its configuration file has a value for {key} that is not understood')
    return number


def _nohang_amount(settings: Dict[str, str], key: str) -> Tuple[Optional[float], Optional[int]]:
    """(percent, kB) of a value such as ``5 %`` or ``300 M``, of which one is None."""
    if _setting(settings, key).endswith('M'):
        return None, int(_nohang_number(settings, key, 'M') * 1024)
    return _nohang_number(settings, key, '%'), None


_DAEMONS: Dict[str, Callable[[Host, List[str]], Found]] = {
    'earlyoom': _earlyoom, 'systemd-oomd': _systemd_oomd, 'nohang': _nohang}
