# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of TuneD's active profile, read and merged as TuneD itself does.

Sources: tuned/profiles/loader.py, locator.py, merger.py, unit.py and variables.py, tuned/consts.py. Nothing here knows
our own sysctls, and nothing raises: a file that may not be read is skipped, and noted in ``denied``.
"""

import configparser
import os
import re
import stat
from collections import OrderedDict
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils._conf_files import split_lines, told
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, to_number

MAIN_CONF = '/etc/tuned/tuned-main.conf'
FUNCTION = '${f:'  # begins a call of one of TuneD's functions, whose result only TuneD knows
_ACTIVE = ('/etc/tuned/active_profile', '/etc/tuned/post_loaded_profile')
# Of two profiles of one name the earlier folder's counts. Releases before 2.24 had no folders called profiles.
_FOLDERS = ('/etc/tuned/profiles', '/etc/tuned', '/usr/lib/tuned/profiles', '/usr/lib/tuned')

_VARIABLE = re.compile(r'\$\{(\w+)\}')
_DEEPEST = 100  # a chain of includes, of which honest profiles have two or three
_LONGEST_FILE = 1 << 16  # honest ones have some kilobytes
_MOST_PROFILES = 100
# configparser takes the square of a run of blanks.
_TOO_LONG = re.compile(r'[^\n]{4097}|[^\S\n]{257}')
_LONGEST = 4096  # a value; variables that are made of variables could double it with each
_VARIABLES = 'variables'
# Options of every unit, whatever its plugin (tuned/profiles/unit.py).
_UNIT_WORDS = ('type', 'enabled', 'replace', 'prepend', 'drop', 'priority', 'devices', 'devices_udev_regex',
               'cpuinfo_regex', 'uname_regex', 'script_pre', 'script_post')

Setting = NamedTuple('Setting', [
    ('value', str),  # variables put in, calls of functions as they stand
    ('file', str),   # the profile that has the line
    ('line', int),
])

Unit = NamedTuple('Unit', [
    ('type', str),
    ('enabled', bool),
    ('replace', bool),
    ('prepend', bool),
    ('drop', Tuple[str, ...]),
    ('priority', Optional[int]),
    ('cpuinfo_regex', Optional[str]),
    ('uname_regex', Optional[str]),
    ('file', str),
    ('options', Dict[str, Setting]),
])


class _RefusedProfile(Exception):
    """TuneD does not load the profile, and then applies nothing at all."""


def read_units(host: Host, denied: List[str]) -> List[Unit]:
    """The enabled units of the active profile, in the order in which TuneD applies them."""
    loader = _Loader(host, denied)
    try:
        loader.load([name for path in _ACTIVE for name in told(host, path, denied).split()])
    except _RefusedProfile:
        return []
    return sorted((unit for unit in loader.units() if unit.enabled), key=lambda unit: unit.priority or 0)


def main_conf(host: Host, denied: List[str]) -> Dict[str, str]:
    """The global configuration, which has no sections."""
    return (_sections('[main]\n' + told(host, MAIN_CONF, denied)) or {}).get('main', {})


def split_list(text: str) -> List[str]:
    """The words of a list of the global configuration."""
    return [word.strip() for word in re.split('[,;]', text) if word.strip()]


def split_value(text: str) -> List[str]:
    """The words of a list in a profile, empty ones too. TuneD's own expression takes the square of a run of blanks."""
    return [word.strip(' \t\n') for word in re.split('[,;]', text)]


def _sections(text: str) -> Optional[Dict[str, Dict[str, str]]]:
    """The text parsed with the settings that TuneD itself uses; None where TuneD refuses it too.

    None, too, for a text that would take too long and that nobody writes.
    """
    if len(text) > _LONGEST_FILE or _TOO_LONG.search(text):
        return None
    config = configparser.ConfigParser(delimiters=('=',), inline_comment_prefixes=('#',), strict=False,
                                       interpolation=None)
    config.optionxform = str  # names as they are written
    try:
        text.encode('utf-8')
        config.read_string(text)
    except (configparser.Error, ValueError):
        return None
    return OrderedDict((name, OrderedDict(config[name])) for name in config.sections())


def _line_numbers(text: str) -> Dict[Tuple[str, str], int]:
    """By section and option the line that has it last."""
    numbers, section = {}, ''
    for number, line in enumerate(split_lines(text), 1):
        line = line.strip()
        if line.startswith('['):
            section = line[1:].partition(']')[0]
        elif '=' in line:
            numbers[section, line.partition('=')[0].strip()] = number
    return numbers


class _Loader(object):
    """Profiles merged one by one, those that are included first."""

    def __init__(self, host: Host, denied: List[str]) -> None:
        self._host, self._denied = host, denied
        folders = split_list(main_conf(host, denied).get('profile_dirs', ''))
        self._folders = tuple(reversed(folders)) or _FOLDERS
        self._seen: Set[str] = set()
        self._variables: Dict[str, str] = {}
        self._units: Dict[str, Unit] = OrderedDict()

    def load(self, names: List[str], depth: int = 0) -> None:
        """Merge these profiles, and before each the ones that it includes. Raises _RefusedProfile."""
        for name in names:
            path = self._find(name)
            if path is None or len(self._seen) >= _MOST_PROFILES:
                continue
            self._seen.add(path)
            text = told(self._host, path, self._denied)
            sections = _sections(text)
            if sections is None:
                raise _RefusedProfile(path)
            numbers = _line_numbers(text)
            # No variable has a value yet when TuneD looks at this option.
            include = sections.pop('main', {}).get('include', '').strip()
            if include and depth < _DEEPEST:
                self.load(split_value(include), depth + 1)
            for section, options in sections.items():
                lines = dict((option, numbers.get((section, option), 1)) for option in options)
                self._merge(section, _parse_unit(section, options, path, lines))

    def _find(self, name: str) -> Optional[str]:
        """The profile's file, None for one that is loaded already, optional or unknown. Raises _RefusedProfile.

        A profile below /etc may include its namesake below /usr/lib.
        """
        optional = name.startswith('-') or FUNCTION in name
        name = os.path.basename(name[1:] if name.startswith('-') else name)
        for folder in self._folders:
            path = '%s/%s/tuned.conf' % (folder, name)
            if path in self._seen:
                optional = True
                continue
            found = self._is_file(path)
            if found:
                return path
            optional = optional or found is None
        if not optional:
            raise _RefusedProfile(name)
        return None

    def _is_file(self, path: str) -> Optional[bool]:
        """Whether it is a file; None where that may not be looked at."""
        try:
            info = self._host.stat(path)
            return info is not None and stat.S_ISREG(info.st_mode)
        except PermissionError:
            self._denied.append(path)
        except OSError:
            pass
        return None

    def _merge(self, name: str, unit: Unit) -> None:
        if unit.type == _VARIABLES:
            name = _VARIABLES
        earlier = self._units.get(name)
        if earlier is not None and not unit.replace:
            unit = _merged(earlier, unit)
        self._units[name] = unit

    def units(self) -> List[Unit]:
        """All units but the variables, whose values are put in as they are in the end."""
        variables = self._units.pop(_VARIABLES, None)
        for name, setting in variables.options.items() if variables else ():
            if name == 'include':
                self._include_variables(setting.value)
            else:
                self._variables[name] = self._expand(setting.value)
        return [self._with_values(unit) for unit in self._units.values()]

    def _include_variables(self, path: str) -> None:
        # TuneD runs in /.
        text = told(self._host, os.path.normpath(os.path.join('/', path)), self._denied)
        for variables in (_sections('[top]\n' + text) or {}).values():
            for name, value in variables.items():
                self._variables[name] = self._expand(value)

    def _with_values(self, unit: Unit) -> Unit:
        options = OrderedDict((key, setting._replace(value=self._expand(_unquote(setting.value))))
                              for key, setting in unit.options.items())
        return unit._replace(options=options,
                             cpuinfo_regex=None if unit.cpuinfo_regex is None else self._expand(unit.cpuinfo_regex),
                             uname_regex=None if unit.uname_regex is None else self._expand(unit.uname_regex))

    def _expand(self, text: str) -> str:
        text = text[:_LONGEST]
        return _VARIABLE.sub(lambda match: self._variables.get(match.group(1), match.group()), text)[:_LONGEST]


def _parse_unit(name: str, options: Dict[str, str], path: str, lines: Dict[str, int]) -> Unit:
    def is_set(word: str) -> bool:
        return options.get(word, '') in ('True', 'true', '1')
    folder = os.path.dirname(path)
    settings = OrderedDict((key, Setting(value.replace('${i:PROFILE_DIR}', folder), path, lines[key]))
                           for key, value in options.items() if key not in _UNIT_WORDS)
    return Unit(options.get('type', name), 'enabled' not in options or is_set('enabled'), is_set('replace'),
                is_set('prepend'), tuple(split_value(options['drop'])) if 'drop' in options else (),
                to_number(options.get('priority')), options.get('cpuinfo_regex'), options.get('uname_regex'), path,
                settings)


def _merged(earlier: Unit, unit: Unit) -> Unit:
    """A unit that another profile has as well: it drops options of the earlier one before it adds its own."""
    options = OrderedDict((key, setting) for key, setting in earlier.options.items() if key not in unit.drop)
    new = OrderedDict((key, setting) for key, setting in unit.options.items() if key not in options)
    options.update(unit.options)
    if unit.prepend:
        new.update((key, setting) for key, setting in options.items() if key not in new)
        options = new
    return unit._replace(
        options=options, drop=(), replace=earlier.replace,
        priority=earlier.priority if unit.priority is None else unit.priority,
        cpuinfo_regex=earlier.cpuinfo_regex if unit.cpuinfo_regex is None else unit.cpuinfo_regex,
        uname_regex=earlier.uname_regex if unit.uname_regex is None else unit.uname_regex)


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
