# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the units of TuneD's profiles, and merge them as TuneD does.

Sources: tuned/profiles/loader.py, locator.py, merger.py, unit.py and variables.py, tuned/profiles/functions/parser.py,
tuned/consts.py, releases 2.20 to 2.28. A file that may not be read is skipped and added to ``denied``.
"""

import os
import re
import stat
from collections import OrderedDict
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from .._host.conf_files import read_program_file
from .._host.host import Host
from . import tuned_config
from .tuned_config import RefusedStart

FUNCTION = '${f:'  # begins a call of a TuneD function, whose result is unknown here
_ESCAPED_FUNCTION = re.compile(r'\\(\$\{f:.*\})')
_VIRT_CHECK = re.compile(r'(?<!\\)\$\{f:virt_check:([^:{}\\]*):([^:{}\\]*)\}')
_CALL = re.compile(r'\$\{f:\w+(?=[:}])')
_VARIABLE = re.compile(r'(?<!\\)\$\{(\w+)\}')
_ESCAPED_VARIABLE = re.compile(r'\\(\$\{\w+\})')
_PROFILE_FOLDER = re.compile(r'(?<!\\)\$\{i:PROFILE_DIR\}')
_SAFE_NAME = re.compile(r'[a-zA-Z0-9_.-]+$')
_SEPARATOR = re.compile('([,;])')
_QUOTED = re.compile('^"(.*)"$')
_DEEPEST = 100  # includes in a chain; real profiles have two or three
_MOST_PROFILES = 100
_MOST_FILES = 200  # of all lists of profiles that may be recommended
_LONGEST = 4096  # characters of a value, which nested variables could double again and again
_VARIABLES = 'variables'
# Options of every unit, whatever its plugin (tuned/profiles/unit.py).
_UNIT_WORDS = ('type', 'enabled', 'replace', 'prepend', 'drop', 'priority', 'devices', 'devices_udev_regex',
               'cpuinfo_regex', 'uname_regex', 'script_pre', 'script_post')


class Setting(NamedTuple):
    value: str  # with variables expanded
    file: str  # the profile that has the line
    line: int
    is_known: bool  # whether the value has no call of a TuneD function


class Unit(NamedTuple):
    type: str
    enabled: bool
    replace: bool
    prepend: bool
    drop: Tuple[str, ...]
    priority: Optional[str]
    cpuinfo_regex: Optional[Setting]
    uname_regex: Optional[Setting]
    file: str
    options: Dict[str, Setting]


# Differences between releases.
class Rules(NamedTuple):
    folders: Tuple[str, ...]  # of two profiles of one name, the earlier folder's counts
    by_variable_type: bool  # from 2.26 on: every unit of the type variables holds some, and drops none
    keeps_priority: bool  # 2.23 to 2.25: the first profile's counts


class Profiles(NamedTuple):
    units: List[Unit]
    asks_for_virt: bool  # whether an include depends on virt-what
    unknown: Optional[Tuple[str, int]]  # file and line of an include that calls a TuneD function


# By path, the sections of a profile (None if TuneD refuses it), and its line numbers.
Parsed = Dict[str, Tuple[Optional[Dict[str, Dict[str, str]]], Dict[Tuple[str, str], int]]]


def read_units(host: Host, denied: List[str], rules: Rules, names: List[str], is_virtual: bool,
               parsed: Parsed) -> Profiles:
    """Merge the units of these profiles, in the order of the files. Raises RefusedStart.

    ``is_virtual`` is virt-what's answer for includes with virt_check. ``parsed`` keeps parsed files for the next call.
    """
    loader = _Loader(host, denied, rules, is_virtual, parsed)
    for name in names:
        loader.check_known(name)
    safe = [name for name in names if _SAFE_NAME.match(name)]
    if not safe:
        raise RefusedStart(' '.join(names))
    loader.load(safe)
    return Profiles(loader.units(), loader.asks_for_virt, loader.unknown)


def split_drop(text: str) -> Tuple[str, ...]:
    r"""The words of an option ``drop``, which TuneD splits at ``\b\s*[,;]\s*``: after a letter, digit or ``_`` only."""
    words: List[str] = []
    word = ''
    pieces = _SEPARATOR.split(text)
    for piece, separator in zip(pieces[::2], pieces[1::2] + ['']):
        word += piece.lstrip() if words and not word else piece
        if separator and re.match(r'\w', piece.rstrip()[-1:]):
            words.append(word.rstrip())
            word = ''
        else:
            word += separator
    return tuple(words + [word])


class _Loader:
    """Profiles merged one by one, included ones first."""

    def __init__(self, host: Host, denied: List[str], rules: Rules, is_virtual: bool, parsed: Parsed) -> None:
        self._host, self._denied, self._rules, self._is_virtual = host, denied, rules, is_virtual
        self._parsed = parsed
        self._seen: Set[str] = set()
        self._values: Dict[str, str] = {}
        self._variables: Dict[str, Setting] = OrderedDict()
        self._units: Dict[str, Unit] = OrderedDict()
        self.asks_for_virt = False
        self.unknown: Optional[Tuple[str, int]] = None

    def check_known(self, name: str) -> None:
        """Raise RefusedStart where no profile has this name: TuneD then loads none of the list."""
        states = [self._is_file(self._path(folder, name)) for folder in self._rules.folders]
        if '/' in name or name in ('.', '..') or not any(state is not False for state in states):
            raise RefusedStart(name)

    def load(self, names: List[str], depth: int = 0) -> None:
        """Merge these profiles, each after its includes. Raises RefusedStart."""
        for name in names:
            path = self._find(name)
            if path is None or len(self._seen) >= _MOST_PROFILES:
                continue
            self._seen.add(path)
            sections, numbers = self._parse(path)
            if sections is None:
                raise RefusedStart(path)
            include = sections.get('main', {}).get('include')
            if include is not None and depth < _DEEPEST:
                self._include(_with_folder(include, path), (path, numbers.get(('main', 'include'), 1)), depth + 1)
            for section in sections:
                if section != 'main':
                    self._merge(section, _parse_unit(section, sections[section], path, numbers))

    def _parse(self, path: str) -> Tuple[Optional[Dict[str, Dict[str, str]]], Dict[Tuple[str, str], int]]:
        if path not in self._parsed:
            if len(self._parsed) >= _MOST_FILES:
                raise RefusedStart(path)
            text = tuned_config.read(self._host, path, self._denied)
            self._parsed[path] = tuned_config.sections(text), tuned_config.line_numbers(text)
        return self._parsed[path]

    def _include(self, text: str, place: Tuple[str, int], depth: int) -> None:
        """Load the profiles of the option ``include``. TuneD reads it before any variable has a value."""
        fixed = _VIRT_CHECK.sub(r'\1' if self._is_virtual else r'\2', text)
        self.asks_for_virt = self.asks_for_virt or fixed != text
        names, is_known = self._expand(fixed)
        braces = 0
        for name in re.split('[,;]', names):
            if is_known or not braces and FUNCTION not in name:
                self.load([name.strip()], depth)
            else:
                self.unknown = self.unknown or place
            braces += name.count('{') - name.count('}')

    def _path(self, folder: str, name: str) -> str:
        # TuneD runs in /.
        return os.path.normpath(os.path.join('/', folder, name, 'tuned.conf'))

    def _find(self, name: str) -> Optional[str]:
        """The profile's file; None for a loaded or an absent optional one. Raises RefusedStart.

        A profile below /etc may include one of the same name below /usr/lib.
        """
        optional = name.startswith('-')
        name = os.path.basename(name[1:] if optional else name)
        for folder in self._rules.folders:
            path = self._path(folder, name)
            if path in self._seen:
                optional = True
                continue
            found = self._is_file(path)
            if found:
                return path
            optional = optional or found is None
        if not optional:
            raise RefusedStart(name)
        return None

    def _is_file(self, path: str) -> Optional[bool]:
        """Whether it is a file; None without permission."""
        try:
            info = self._host.stat(path)
            return info is not None and stat.S_ISREG(info.st_mode)
        except PermissionError:
            self._denied.append(path)
        except (OSError, ValueError):
            return False
        return None

    def _merge(self, name: str, unit: Unit) -> None:
        if self._rules.by_variable_type and unit.type == _VARIABLES:
            self._merge_variables(unit)
            return
        earlier = self._units.get(name)
        if earlier is not None and not unit.replace:
            unit = self._merged(earlier, unit)
        self._units[name] = unit

    def _merge_variables(self, unit: Unit) -> None:
        if unit.replace:
            self._variables.clear()
        new = OrderedDict((name, setting) for name, setting in unit.options.items() if name not in self._variables)
        self._variables.update(unit.options)
        if unit.prepend:
            new.update((name, setting) for name, setting in self._variables.items() if name not in new)
            self._variables = new

    def _merged(self, earlier: Unit, unit: Unit) -> Unit:
        """Merge a unit into the earlier one: remove the options that it drops, then add its own."""
        options = OrderedDict((key, setting) for key, setting in earlier.options.items() if key not in unit.drop)
        options.update(unit.options)
        keeps = unit.priority is None or self._rules.keeps_priority
        return unit._replace(
            options=options, priority=earlier.priority if keeps else unit.priority,
            cpuinfo_regex=earlier.cpuinfo_regex if unit.cpuinfo_regex is None else unit.cpuinfo_regex,
            uname_regex=earlier.uname_regex if unit.uname_regex is None else unit.uname_regex)

    def units(self) -> List[Unit]:
        """All units but the variables, with their final values filled in. Raises RefusedStart."""
        if not self._rules.by_variable_type and _VARIABLES in self._units:
            self._variables = self._units.pop(_VARIABLES).options
        for name, setting in self._variables.items():
            if name == 'include':
                self._include_variables(setting.value)
            else:
                self._values[name] = self._expand(setting.value)[0]
        return [self._with_values(unit) for unit in self._units.values()]

    def _include_variables(self, path: str) -> None:
        path = os.path.normpath(os.path.join('/', path))
        try:
            info = self._host.stat(path)
        except (OSError, ValueError):
            info = None
        if info is not None and stat.S_ISDIR(info.st_mode):
            raise RefusedStart(path)  # TuneD exits, because it cannot open a folder
        text = tuned_config.read(self._host, path, self._denied)
        sections = tuned_config.sections('[top]\n' + text, allow_no_value=True)
        if sections is None:
            raise RefusedStart(path)
        for variables in sections.values():
            for name, value in variables.items():
                if value is not None:
                    self._values[name] = self._expand(value)[0]

    def _with_values(self, unit: Unit) -> Unit:
        options = OrderedDict((key, self._with_value(setting, _QUOTED.sub(r'\1', setting.value)))
                              for key, setting in unit.options.items())
        cpuinfo, uname = unit.cpuinfo_regex, unit.uname_regex
        return unit._replace(options=options,
                             cpuinfo_regex=self._with_value(cpuinfo, cpuinfo.value) if cpuinfo else None,
                             uname_regex=self._with_value(uname, uname.value) if uname else None)

    def _with_value(self, setting: Setting, text: str) -> Setting:
        value, is_known = self._expand(text)
        return setting._replace(value=value, is_known=is_known)

    def _expand(self, text: str) -> Tuple[str, bool]:
        """(The text with variables filled in, whether it is free of function calls)."""
        text = text[:_LONGEST]
        text = _VARIABLE.sub(lambda match: self._values.get(match.group(1), match.group()), text)[:_LONGEST]
        text = _ESCAPED_VARIABLE.sub(r'\1', text)
        if _has_call(text):
            return text, False
        return _ESCAPED_FUNCTION.sub(r'\1', text), True


def _has_call(text: str) -> bool:
    """Whether TuneD calls a function. Braces are paired, and a backslash escapes a call."""
    opened: List[Tuple[bool, int]] = []
    is_escaped = False
    for index, character in enumerate(text if FUNCTION in text else ''):
        if character == '}':
            if not opened:
                return False
            was_escaped, start = opened.pop()
            if not was_escaped and _CALL.match(text, start):
                return True
        elif text.startswith('${', index):
            opened.append((is_escaped, index))
        is_escaped = character == '\\'
    return False


def _with_folder(text: str, path: str) -> str:
    return _PROFILE_FOLDER.sub(lambda _match: os.path.dirname(path), text)


def _parse_unit(name: str, options: Dict[str, str], path: str, numbers: Dict[Tuple[str, str], int]) -> Unit:
    def is_set(word: str) -> bool:
        return options.get(word, '') in ('True', 'true', '1')

    def find_line(option: str) -> int:
        return numbers.get((name, option)) or numbers.get(('DEFAULT', option), 1)
    options = OrderedDict((key, _with_folder(value, path)) for key, value in options.items())
    settings = OrderedDict((key, Setting(value, path, find_line(key), True)) for key, value in options.items())
    return Unit(options.get('type', name), 'enabled' not in options or is_set('enabled'), is_set('replace'),
                is_set('prepend'), split_drop(options['drop']) if 'drop' in options else (),
                options.get('priority'), settings.get('cpuinfo_regex'), settings.get('uname_regex'), path,
                OrderedDict((key, setting) for key, setting in settings.items() if key not in _UNIT_WORDS))


# --------------------------------------------------------------------- releases

def read_program(host: Host, denied: List[str], name: str) -> str:
    """A file of the installed program; empty if there is none."""
    folders = ['/usr/lib/python3/dist-packages']
    folders += [f'/usr/lib/{folder}/site-packages' for folder in host.names('/usr/lib')
                if folder.startswith('python')]
    texts = (read_program_file(host, f'{folder}/tuned/{name}', denied) for folder in folders)
    return next((text for text in texts if text), '')


def find_rules(host: Host, denied: List[str], main: Dict[str, str]) -> Rules:
    """Find the rules in the installed program: distributions add features to older releases."""
    merger, unit = (read_program(host, denied, f'profiles/{name}.py') for name in ('merger', 'unit'))
    folders = _folders(host, denied)
    if 'profile_dirs' in main and (not folders or folders[0].endswith('/profiles')):
        folders = tuple(reversed(tuned_config.split_list(main['profile_dirs'])))
    return Rules(folders, not merger or 'PLUGIN_VARIABLES_UNIT_NAME' in merger,
                 '_priority' in unit and bool(merger) and 'priority' not in merger)


def _folders(host: Host, denied: List[str]) -> Tuple[str, ...]:
    """The folders of profiles, named profiles from 2.23 on. Both if no program tells."""
    new, old = ('/etc/tuned/profiles', '/usr/lib/tuned/profiles'), ('/etc/tuned', '/usr/lib/tuned')
    consts = read_program(host, denied, 'consts.py')
    if 'CFG_DEF_PROFILE_DIRS' in consts:
        return new
    return old if 'LOAD_DIRECTORIES' in consts else (new[0], old[0], new[1], old[1])
