# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What TuneD's active profile sets by its sysctl plugin, read and merged as TuneD itself does.

Sources: tuned/profiles/loader.py, locator.py, merger.py, unit.py and variables.py, tuned/plugins/plugin_sysctl.py,
tuned/consts.py. Nothing here knows our own keys, and nothing raises: a profile that cannot be read is passed over,
and noted in ``denied`` if it may not be.
"""

import configparser
import os
import re
from collections import OrderedDict
from typing import Dict, List, NamedTuple, Optional, Set

from ansible_collections.oomkit.linux.plugins.module_utils import _conf_files
from ansible_collections.oomkit.linux.plugins.module_utils._conf_files import told
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host

MAIN_CONF = '/etc/tuned/tuned-main.conf'
_ACTIVE = ('/etc/tuned/active_profile', '/etc/tuned/post_loaded_profile')
# Of two profiles of one name the earlier folder's counts. Releases before 2.24 had no folders called profiles.
_FOLDERS = ('/etc/tuned/profiles', '/etc/tuned', '/usr/lib/tuned/profiles', '/usr/lib/tuned')
# What it writes again after its own values (reapply_sysctl), in the order in which it reads.
_REAPPLIED = _conf_files.Loader('tuned', ('/run/sysctl.d', '/etc/sysctl.d'), '/etc/sysctl.conf', False, False, '')

_VARIABLE = re.compile(r'\$\{(\w+)\}')
_DEEPEST = 100  # a chain of includes, of which honest profiles have two or three
_LONGEST_FILE = 1 << 16  # honest ones have some kilobytes
_MOST_PROFILES = 100
# configparser takes the square of a run of blanks.
_TOO_LONG = re.compile(r'[^\n]{4097}|[^\S\n]{257}')
_LONGEST = 4096  # a value; variables that are made of variables could double it with each
_UNIT_WORDS = ('type', 'enabled', 'replace', 'devices', 'devices_udev_regex', 'script_pre', 'script_post', 'priority')

Setting = NamedTuple('Setting', [
    ('value', str),  # variables put in, functions such as ${f:exec:...} as they stand; >N and <N only raise or lower
    ('file', str),   # the profile that has the line
])

_Unit = NamedTuple('_Unit', [
    ('type', str),
    ('enabled', bool),
    ('replace', bool),
    ('options', Dict[str, Setting]),
])


def sysctls(host: Host, denied: List[str]) -> Dict[str, Setting]:
    """By key, such as ``vm.overcommit_memory``, what the active profile sets it to."""
    loader = _Loader(host, denied)
    loader.load([name for path in _ACTIVE for name in told(host, path, denied).split()])
    return loader.sysctls()


def reapplies(host: Host, denied: List[str]) -> bool:
    """Whether TuneD lets /run/sysctl.d, /etc/sysctl.d and /etc/sysctl.conf win over its own values."""
    return _main_conf(host, denied).get('reapply_sysctl', '1').lower() in ('1', 'yes', 'true', 'on')


def reapplied(host: Host, denied: List[str]) -> Set[str]:
    """The keys that these files set. TuneD takes them by their dotted names only, with no globs and no dashes."""
    keys: Set[str] = set()
    try:
        for path in _conf_files.list_files(host, _REAPPLIED):
            for line in _conf_files.split_lines(_conf_files.read_file(host, path)):
                key, equals, _value = line.strip().partition('=')
                if equals:
                    keys.add(key.strip())
    except PermissionError as exc:
        denied.append(exc.filename)
    except OSError:
        pass
    return keys


def _main_conf(host: Host, denied: List[str]) -> Dict[str, str]:
    """The global configuration, which has no sections."""
    return _sections('[main]\n' + told(host, MAIN_CONF, denied)).get('main', {})


def _sections(text: str) -> Dict[str, Dict[str, str]]:
    """The text parsed with the settings that TuneD itself uses; nothing where TuneD refuses it too.

    Nothing, either, of a text that would take too long and that nobody writes.
    """
    if len(text) > _LONGEST_FILE or _TOO_LONG.search(text):
        return {}
    config = configparser.ConfigParser(delimiters=('=',), inline_comment_prefixes=('#',), strict=False,
                                       interpolation=None)
    config.optionxform = str  # names as they are written
    try:
        config.read_string(text)
    except (configparser.Error, ValueError):
        return {}
    return OrderedDict((name, OrderedDict(config[name])) for name in config.sections())


def _is_there(host: Host, path: str, denied: List[str]) -> bool:
    try:
        return host.exists(path)
    except PermissionError:
        denied.append(path)
    except OSError:
        pass
    return False


class _Loader(object):
    """Profiles merged one by one, those that are included first."""

    def __init__(self, host: Host, denied: List[str]) -> None:
        self._host, self._denied = host, denied
        folders = _main_conf(host, denied).get('profile_dirs', '').split(',')
        self._folders = tuple(name.strip() for name in reversed(folders) if name.strip()) or _FOLDERS
        self._seen: Set[str] = set()
        self._variables: Dict[str, str] = {}
        self._units: Dict[str, _Unit] = OrderedDict()

    def load(self, names: List[str], depth: int = 0) -> None:
        """Merge these profiles, and before each the ones that it includes."""
        for name in names:
            path = self._find(name)
            if path is None or len(self._seen) >= _MOST_PROFILES:
                continue
            self._seen.add(path)
            sections = _sections(told(self._host, path, self._denied))
            variables = sections.pop('variables', {})
            self._take_variables(variables, os.path.dirname(path))
            include = self._expand(sections.pop('main', {}).get('include', ''))
            if depth < _DEEPEST:
                self.load([one for one in re.split(r'\s*[,;]\s*', include.strip()) if one], depth + 1)
            # Once more: what a profile says of a variable counts more than what those say that it includes.
            self._take_variables(variables, os.path.dirname(path))
            for section, options in sections.items():
                self._merge(section, _unit(section, options, path))

    def _find(self, name: str) -> Optional[str]:
        """The profile's file, passing over those that are loaded: one below /etc may include its namesake."""
        name = os.path.basename(name[1:] if name.startswith('-') else name)  # the dash: only if there is one
        for folder in self._folders:
            path = '%s/%s/tuned.conf' % (folder, name)
            if path not in self._seen and _is_there(self._host, path, self._denied):
                return path
        return None

    def _take_variables(self, variables: Dict[str, str], folder: str) -> None:
        for name, value in variables.items():
            if name == 'include':
                self._include_variables(os.path.join(folder, value))
            else:
                self._variables[name] = self._expand(value)

    def _include_variables(self, path: str) -> None:
        text = told(self._host, os.path.normpath(path), self._denied)
        for variables in _sections('[top]\n' + text).values():
            for name, value in variables.items():
                self._variables[name] = self._expand(_unquoted(value))

    def _expand(self, text: str) -> str:
        text = text[:_LONGEST]
        return _VARIABLE.sub(lambda match: self._variables.get(match.group(1), match.group()), text)[:_LONGEST]

    def _merge(self, name: str, unit: _Unit) -> None:
        earlier = self._units.get(name)
        if earlier is not None and not unit.replace:
            unit = unit._replace(options=dict(earlier.options, **unit.options))
        self._units[name] = unit

    def sysctls(self) -> Dict[str, Setting]:
        """What all units of the sysctl plugin set together, with the variables as they are in the end."""
        found: Dict[str, Setting] = {}
        for unit in self._units.values():
            if unit.type == 'sysctl' and unit.enabled:
                found.update(unit.options)
        return dict((key, setting._replace(value=self._expand(_unquoted(setting.value))))
                    for key, setting in found.items())


def _unit(name: str, options: Dict[str, str], path: str) -> _Unit:
    settings = dict((key, Setting(value, path)) for key, value in options.items() if key not in _UNIT_WORDS)
    return _Unit(options.get('type', name), options.get('enabled', 'true') in ('true', '1'),
                 options.get('replace', '') in ('true', '1'), settings)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
