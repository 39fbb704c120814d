# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit files and drop-ins as systemd reads them: the file and line of each setting.

The rules differ by version: constants below hold the first or last version of a rule (compared: v219 to v255, NEWS).
Sources: systemd.unit(5), systemd.syntax(7), ``unit_file_find_dropin_paths`` in src/shared/dropin.c, ``config_parse`` in
src/shared/conf-parser.c, ``read_line`` in src/basic/fileio.c, ``lookup_paths_init`` in src/shared/path-lookup.c,
``parse_oom_score_adjust`` in src/basic/parse-util.c.
"""

import errno
import os
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from .._core.text import to_bytes, to_text
from .._host.host import Host
from . import unit_names
from .version import NEWEST, find_version

SCORE_ADJ, OOM_POLICY = 'OOMScoreAdjust', 'OOMPolicy'
SETTINGS = (SCORE_ADJ, OOM_POLICY)
# The first version that knows the setting.
SINCE = {SCORE_ADJ: 0, OOM_POLICY: 243, 'DefaultOOMPolicy': 243, 'DefaultOOMScoreAdjust': 250}
FALSE = ('0', 'no', 'n', 'false', 'f', 'off')  # parse_boolean() in src/basic/parse-util.c
POLICIES = ('continue', 'stop', 'kill')

ETC = '/etc/systemd/system'
TRANSIENT = '/run/systemd/transient'
# Where the system manager looks for units and drop-ins, the strongest first (systemd.unit(5), "systemd-analyze
# unit-paths"). /lib is a link to /usr/lib where both are one.
SEARCH = ('/etc/systemd/system.control', '/run/systemd/system.control', TRANSIENT, '/run/systemd/generator.early', ETC,
          '/etc/systemd/system.attached', '/run/systemd/system', '/run/systemd/system.attached',
          '/run/systemd/generator', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system',
          '/run/systemd/generator.late')
_SEARCH_SINCE = {'/etc/systemd/system.control': 231, '/run/systemd/system.control': 231, TRANSIENT: 231,
                 '/etc/systemd/system.attached': 240, '/run/systemd/system.attached': 240}
_PREFIX_FOLDERS, _TYPE_FOLDER = 239, 244  # foo-.service.d, service.d
_MAIN_ANYWHERE = 256  # older versions read /etc/systemd/system.conf only
_LAST_INCLUDE, _NESTED_INCLUDES = 245, 236  # .include; the same in an included file
_MOST_INCLUDES = 100  # systemd has no limit: a loop ends when file descriptors run out
# Comments: up to 238 a joined line that begins with the mark; from 239 each such line, from 241 also after
# blanks. From 239 to 241 an empty line counts as a comment.
_COMMENTS_IN_BETWEEN, _COMMENTS_AFTER_BLANKS, _EMPTY_ENDS = 239, 241, 242
_RETURN_ENDS = 240    # a carriage return ends a line
_ENDS_WITH_FILE = 239  # older versions drop a last line that ends in a backslash
_WHOLE_UTF8 = 239     # systemd stops reading at a line that is not UTF-8
_EQUALS_NEEDED = 240  # the last version that stops reading at a line without an equals sign
_USER_SEARCH = ('/etc/systemd/user', '/run/systemd/user', '/usr/local/lib/systemd/user', '/usr/lib/systemd/user',
                '/lib/systemd/user')
_MANAGER_FOLDERS = ('/etc/systemd', '/run/systemd', '/usr/local/lib/systemd', '/usr/lib/systemd', '/lib/systemd')
_MAX_LINKS = 40

# A sign before 0b or 0o is not a number (mangle_base() in src/basic/parse-util.c).
_NUMBER = re.compile(r'(?![+-]0[bB])(?![+-]0[oO])'
                     r'([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]{0,9})\Z')
# What ends a line: line feed, carriage return and NUL, or one of each in a row (read_line() in src/basic/fileio.c).
_ENDS = '\n\r\0'
_LINE = re.compile(f'([^{_ENDS}]*)(?:(?:\n\r?|\r\n?)\x00?|\x00)|([^{_ENDS}]+)\\Z')
_OLD_LINE = re.compile('([^\n\0]*)[\n\0]|([^\n\0]+)\\Z')
_BLANK = ' \t\n\r'  # WHITESPACE in src/basic/string-util.h
_BOM = '\ufeff'
_LONG_LINE_BYTES = 1 << 20  # LONG_LINE_MAX in src/basic/def.h


class Cause(NamedTuple):
    value: Any  # None for a setting that nothing sets
    file: Optional[str]  # without a value: the reset's file, if any
    line: Optional[int]


class Logical(NamedTuple):
    number: int  # of the first line
    text: str  # as systemd reads it, with continuation lines
    raws: List[str]  # the file's lines with their ends


class Assignment(NamedTuple):
    section: str
    key: str
    value: str
    line: int


class Unit(NamedTuple):
    name: str  # the real one, aliases resolved
    state: str  # see below
    fragment: Optional[str]  # the unit file


LOADED, MASKED, MISSING, USER = 'loaded', 'masked', 'missing', 'user'

INCLUDE = '.include'

# Planned contents by real path, since a file may have several names; None for a removed file.
Overlay = Dict[str, Optional[bytes]]
UNSET = Cause(None, None, None)


def parse_score_adj(text: str) -> Optional[int]:
    """Parse an integer as systemd does (base 0, as strtol(3)); None for a value that systemd ignores."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    sign, digits = match.groups()
    plain = re.sub(r'^0(?=[0-7]+\Z)', '0o', digits)
    number = int(sign + plain, 0)
    return number if -1000 <= number <= 1000 else None


def parse_policy(text: str) -> Optional[str]:
    """Parse OOMPolicy=; None for a value that systemd ignores."""
    return text if text in POLICIES else None


_PARSERS = {SCORE_ADJ: parse_score_adj, OOM_POLICY: parse_policy}


def split_physical_lines(data: bytes, version: int = NEWEST) -> List[str]:
    """Split the file into lines with their ends, as systemd does."""
    pattern = _LINE if version >= _RETURN_ENDS else _OLD_LINE
    return [match.group() for match in pattern.finditer(to_text(data))]


def split_logical_lines(data: bytes, version: int = NEWEST) -> List[Logical]:
    """Join lines that end in a backslash with the next one, and drop comments in between."""
    return join_lines(split_physical_lines(data, version), version)


def join_lines(lines: List[str], version: int = NEWEST) -> List[Logical]:
    """Join physical lines, see L(split_logical_lines)."""
    found: List[Logical] = []
    joined, number = '', 1
    raws: List[str] = []
    ends = _ENDS if version >= _RETURN_ENDS else '\n\0'
    for position, raw in enumerate(lines):
        text = raw.rstrip(ends)
        if position == 0 and text.startswith(_BOM):
            text = text[1:]
        raws.append(raw)
        if _is_passed(text, version):
            goes_on = joined != ''
        else:
            goes_on = _is_continued(text)
            joined += text[:-1] + ' ' if goes_on else text
        if not goes_on:
            found.append(Logical(number, joined.strip(_BLANK), raws))
            number += ''.join(raws).count('\n')
            joined, raws = '', []
    if version < _ENDS_WITH_FILE:
        joined = ''
    return found + ([Logical(number, joined.strip(_BLANK), raws)] if raws else [])


def _is_passed(text: str, version: int) -> bool:
    """Whether systemd skips the line as a comment, before it joins lines."""
    if version < _COMMENTS_IN_BETWEEN:
        return False
    text = text.lstrip(_BLANK) if version >= _COMMENTS_AFTER_BLANKS else text
    return text[:1] in (('#', ';') if version >= _EMPTY_ENDS else ('#', ';', ''))


def is_one_end(above: str, below: str) -> bool:
    """Whether the empty line ``below`` is part of the end of ``above`` for systemd."""
    end = above[len(above.rstrip(_ENDS)):]
    match = _LINE.match(end + below[:1])
    return bool(end) and match is not None and match.end() > len(end)


def ends_file(line: Logical, version: int = NEWEST) -> bool:
    """Whether systemd stops reading here: not UTF-8, an unclosed section header, no assignment, or too long."""
    return ((version >= _WHOLE_UTF8 and not _is_text(line.text))
            or (line.text.startswith('[') and not line.text.endswith(']'))
            or (version <= _EQUALS_NEEDED and _is_no_assignment(line.text, version))
            or len(to_bytes(line.text)) > _LONG_LINE_BYTES
            or any(len(to_bytes(raw.rstrip(_ENDS))) >= _LONG_LINE_BYTES for raw in line.raws))


def _is_no_assignment(text: str, version: int) -> bool:
    comments = ('#', ';') if version < _COMMENTS_IN_BETWEEN else ()
    return bool(text) and '=' not in text and not text.startswith(('[', '.include') + comments)


def _is_text(text: str) -> bool:
    """Whether it is UTF-8 for systemd (unichar_is_valid() in src/basic/utf8.c); invalid bytes are surrogates here."""
    return len(text.encode('ascii', 'ignore')) == len(text) or not any(
        0xd800 <= code <= 0xdfff or 0xfdd0 <= code <= 0xfdef or code & 0xfffe == 0xfffe for code in map(ord, text))


def parse_key(line: Logical) -> str:
    """The setting that the line assigns, empty for none."""
    return line.text.partition('=')[0].strip(_BLANK) if '=' in line.text else ''


def parse(data: bytes, version: int = NEWEST) -> List[Assignment]:
    """The assignments of a unit file in order. Never fails: systemd skips what it does not understand.

    Skips lines after one that ends the file, see L(ends_file). A C(.include) becomes an assignment of the file's name
    to that key.
    """
    found: List[Assignment] = []
    section = ''
    for line in split_logical_lines(data, version):
        included = _parse_include(line.text, version)
        if included is not None:
            found.append(Assignment('', INCLUDE, included, line.number))
            continue
        if ends_file(line, version):
            break
        if line.text.startswith('['):
            section = line.text[1:-1]
        elif '=' in line.text:
            value = line.text.partition('=')[2].strip(_BLANK)
            found.append(Assignment(section, parse_key(line), value, line.number))
    return found


def _parse_include(text: str, version: int) -> Optional[str]:
    """The file that the line includes; None for other lines."""
    if version > _LAST_INCLUDE or not text.startswith(INCLUDE):
        return None
    rest = text[len(INCLUDE):]
    if rest[:1] != ' ' and (version < _COMMENTS_IN_BETWEEN or rest[:1] not in ('', '\t', '\n', '\r')):
        return None
    return rest.strip(_BLANK)


def _is_continued(line: str) -> bool:
    """Whether an odd number of backslashes ends the line."""
    return (len(line) - len(line.rstrip('\\'))) % 2 == 1


def parse_settings(data: bytes) -> Dict[str, Cause]:
    """The value of each of SETTINGS in this file alone."""
    causes = dict.fromkeys(SETTINGS, UNSET)
    for one in parse(data):
        _assign(causes, one, '', NEWEST)
    return causes


def _assign(causes: Dict[str, Cause], one: Assignment, path: str, version: int) -> None:
    if one.section == 'Service' and one.key in SETTINGS and version >= SINCE[one.key]:
        causes[one.key] = _apply(causes[one.key], one, path)


class UnitFiles:
    """The unit files of a host. Each folder is listed once. ``overlay`` holds planned contents."""

    def __init__(self, host: Host, overlay: Optional[Overlay] = None, version: Optional[int] = None) -> None:
        """``version`` is systemd's; None looks it up on this host."""
        self.host = host
        self.is_version_known = True
        if version is None:
            version = find_version(host)
            self.is_version_known = version is not None
        self.version = NEWEST if version is None else version
        self.overlay = overlay or {}
        self._listings: Dict[str, List[str]] = {}
        self._reals: Dict[str, str] = {}
        self._search = _drop_duplicates(host, [one for one in SEARCH if self.version >= _SEARCH_SINCE.get(one, 0)])
        self._reals_by_alias: Optional[Dict[str, str]] = None
        self._drop_ins: Dict[str, List[str]] = {}

    def with_overlay(self, overlay: Overlay) -> 'UnitFiles':
        """The same host with these planned files."""
        return UnitFiles(self.host, overlay, self.version)

    def knows(self, key: str) -> bool:
        """Whether this version of systemd has the setting."""
        return self.version >= SINCE[key]

    def _list_names(self, folder: str) -> List[str]:
        if folder not in self._listings:
            names = set(self.host.names(folder))
            real = self._find_real(folder) if self.overlay else folder
            for path, data in self.overlay.items():
                parent, _slash, name = path.rpartition('/')
                if parent == real and data is not None:
                    names.add(name)
                elif parent == real:
                    names.discard(name)
            self._listings[folder] = sorted(names, key=to_bytes)
        return self._listings[folder]

    def read(self, path: str) -> bytes:
        """The content of the file; empty for a missing one or a folder, which systemd skips."""
        planned = self._find_planned(path)
        if planned is not None:
            return planned
        return (self.host.read_bytes(path) or b'') if self.host.is_openable(path) else b''

    def _find_planned(self, path: str) -> Optional[bytes]:
        """The content in the overlay, empty for a removed file; None for a file not in it."""
        real = self._find_real(path) if self.overlay else path
        return (self.overlay[real] or b'') if real in self.overlay else None

    def _find_real(self, path: str) -> str:
        """The real path; the path itself if links form a loop."""
        if path not in self._reals:
            try:
                self._reals[path] = self.host.real(path)
            except OSError as exc:
                if exc.errno != errno.ELOOP:
                    raise
                self._reals[path] = path
        return self._reals[path]

    # ------------------------------------------------------------------ units

    def find_unit(self, unit: str) -> Unit:
        """Find the unit of a name. Follows aliases; an instance may have its template's file."""
        seen = [unit]
        for _link in range(_MAX_LINKS):
            path = self._find_fragment(unit)
            if path is None:
                state = USER if any(unit in self._list_names(folder) for folder in _USER_SEARCH) else MISSING
                return Unit(unit, state, None)
            target = self._find_alias(unit, path)
            if target is None or target in seen:
                masked = self.host.real(path) == '/dev/null' or not self.read(path)
                return Unit(unit, MASKED if masked else LOADED, path)
            seen.append(target)
            unit = target
        return Unit(unit, MISSING, None)

    def _find_fragment(self, unit: str) -> Optional[str]:
        """The file of the unit, or of its template."""
        template = unit_names.parse_template(unit)
        for name in [unit] + ([template] if template else []):
            for folder in self._search:
                if name in self._list_names(folder) and self.host.is_openable(folder + '/' + name):
                    return folder + '/' + name
        return None

    def _find_alias(self, unit: str, path: str) -> Optional[str]:
        """The other unit that the file links to; None for the unit's own file.

        A link out of the search path is a linked unit file, which keeps its name.
        """
        target = self.host.link_target(path)  # an unreadable one is not a unit
        if target is None:
            return None
        whole = self.host.real(os.path.dirname(path) + '/' + target if not target.startswith('/') else target)
        folder, _slash, name = whole.rpartition('/')
        if not name.endswith(unit_names.SERVICE) or folder not in [self.host.real(one) for one in self._search]:
            return None
        if unit_names.is_template(name) and not unit_names.is_template(unit):
            name = unit_names.build_instance(name, unit_names.parse_instance(unit))
        return name if name != unit else None

    def list_services(self) -> List[str]:
        """The services with a unit file here, templates and aliases included."""
        return sorted({name for folder in self._search for name in self._list_names(folder)
                       if name.endswith(unit_names.SERVICE)})

    def list_instances_with_drop_ins(self, template: str) -> List[str]:
        """Instances of the template that have drop-ins of their own or of an alias, running or not."""
        names = self._list_with_drop_ins() if unit_names.is_template(template) else ()
        return sorted({name for name in (self.find_unit(one).name for one in names)
                       if unit_names.parse_template(name) == template})

    def list_enabled_instances(self, prefix: str) -> List[str]:
        """Instances ``prefix@...`` that a boot link (.wants, .requires) names."""
        folders = [f'{folder}/{name}' for folder in self._search for name in self._list_names(folder)
                   if name.endswith(('.wants', '.requires'))]
        return sorted({unit for folder in folders for unit in self._list_names(folder)
                       if unit.startswith(prefix + '@') and unit_names.parse_template(unit)})

    # --------------------------------------------------------------- settings

    def list_drop_ins(self, unit: Unit) -> List[str]:
        """The drop-ins of the unit, in reading order.

        Of files with the same name only the first folder's counts. A link to /dev/null masks the name.
        """
        if unit.name not in self._drop_ins:
            self._drop_ins[unit.name] = self._list_by_name(self._list_drop_in_folders(unit))
        return self._drop_ins[unit.name]

    def _list_by_name(self, folders: Iterable[str]) -> List[str]:
        """The drop-ins of these folders by name, for each name the first folder's. Hidden files do not count."""
        found: Dict[str, str] = {}
        for folder in folders:
            for name in self._list_names(folder):
                if name.endswith('.conf') and not name.startswith('.'):
                    found.setdefault(name, f'{folder}/{name}')
        return [found[name] for name in sorted(found, key=to_bytes)]

    def _list_drop_in_folders(self, unit: Unit) -> List[str]:
        folders = []
        for name in [unit.name] + self._list_other_names(unit.name):
            for base in self._search:
                folders += [base + '/' + one + '.d' for one in self._list_drop_in_names(name)
                            if one + '.d' in self._list_names(base) or self._is_planned(base, one + '.d')]
        if self.version < _TYPE_FOLDER:
            return folders
        # The drop-ins of every service come last.
        return folders + [base + '/service.d' for base in self._search if 'service.d' in self._list_names(base)]

    def _list_drop_in_names(self, unit: str) -> List[str]:
        names = unit_names.list_drop_in_names(unit)
        return names if self.version >= _PREFIX_FOLDERS else [
            one for one in names if one in (unit, unit_names.parse_template(unit))]

    def _list_other_names(self, unit: str) -> List[str]:
        """The aliases of the unit whose drop-ins apply to it too.

        An alias of a template is an alias of each instance, unless the instance has another alias
        (unit_file_find_fragment() in src/basic/unit-file.c).
        """
        template, found = unit_names.parse_template(unit), set()
        for name, real in self._find_aliases().items():
            if real == unit:
                found.add(name)
            elif real == template and unit_names.is_template(name):
                alias = unit_names.build_instance(name, unit_names.parse_instance(unit))
                if self.find_unit(alias).name in (alias, unit):
                    found.add(alias)
        return sorted(found - {unit})

    def _find_aliases(self) -> Dict[str, str]:
        """The real unit by alias, for aliases that may have drop-ins."""
        if self._reals_by_alias is None:
            folders, self._reals_by_alias = self._list_with_drop_ins(), {}
            of_instances = any(map(unit_names.parse_template, folders))
            for name in sorted(folders.union(self.list_services())):
                is_template = of_instances and unit_names.is_template(name)
                if is_template or folders.intersection(self._list_drop_in_names(name)):
                    real = self.find_unit(name).name
                    if real != name:
                        self._reals_by_alias[name] = real
        return self._reals_by_alias

    def _list_with_drop_ins(self) -> Set[str]:
        return {name[:-len('.d')] for base in self._search for name in self._list_names(base)
                if name.endswith('.service.d')}

    def _is_planned(self, base: str, folder: str) -> bool:
        start = f'{self._find_real(base)}/{folder}/' if self.overlay else ''
        return any(path.startswith(start) and data is not None for path, data in self.overlay.items())

    def read_settings(self, unit: Unit) -> Dict[str, Cause]:
        """The value of each of SETTINGS at the unit's next start, and the line that sets it."""
        causes = dict.fromkeys(SETTINGS, UNSET)
        if unit.state != LOADED or unit.fragment is None:
            return causes
        for path, one in self.read_assignments(unit):
            _assign(causes, one, path, self.version)
        return causes

    def read_service_assignments(self, unit: Unit) -> List[Tuple[str, Assignment]]:
        """The assignments in [Service] of the unit's files, see L(read_assignments)."""
        return [(path, one) for path, one in self.read_assignments(unit) if one.section == 'Service']

    def read_assignments(self, unit: Unit) -> List[Tuple[str, Assignment]]:
        """All assignments of the unit's files in reading order, each with its file."""
        found: List[Tuple[str, Assignment]] = []
        if unit.fragment is not None:
            self._read_fragment(found, unit.fragment, [])
        for path in self.list_drop_ins(unit):
            found += [(path, one) for one in parse(self.read(path), self.version)]
        return found

    def _read_fragment(self, found: List[Tuple[str, Assignment]], path: str, passed: List[str]) -> bool:
        """Add the assignments of a unit's own file and its includes. Returns whether systemd reads on after it.

        Each file has its own sections. A missing file is skipped. An include that ends early also ends the files that
        include it. ``passed`` are the files so far.
        """
        is_nested = bool(passed)
        passed.append(path)
        data = self._read_included(path) if is_nested else self.read(path)
        for one in parse(data, self.version):
            if one.key != INCLUDE:
                found.append((path, one))
            elif self.version >= _NESTED_INCLUDES or not is_nested:
                target = os.path.join(os.path.dirname(self._find_real(path)), one.value)
                if not self.host.is_openable(target) or len(passed) >= _MOST_INCLUDES:
                    return False
                if not self._read_fragment(found, target, passed):
                    return False
        return not is_nested or self._is_read_whole(data)

    def _read_included(self, path: str) -> bytes:
        """Read a file that an administrator has named, which may be anywhere; else as L(read)."""
        planned = self._find_planned(path)
        try:
            return (self.host.read_named_file(path) or b'') if planned is None else planned
        except OSError:
            return b''  # a pipe, a device or a kernel file: not opened

    def _is_read_whole(self, data: bytes) -> bool:
        return not any(ends_file(line, self.version) for line in split_logical_lines(data, self.version)
                       if _parse_include(line.text, self.version) is None)

    def find_default_score_adj(self) -> Cause:
        """The value of a service without a setting: the manager's DefaultOOMScoreAdjust=, else PID 1's."""
        cause = self._find_manager_default('DefaultOOMScoreAdjust', SCORE_ADJ)
        if cause.value is not None:
            return cause
        return Cause(parse_score_adj((self.host.read_text('/proc/1/oom_score_adj') or '0').strip()) or 0, None, None)

    def find_policy_at_start(self, unit: Unit) -> Optional[str]:
        """The OOMPolicy= of the unit; None if nothing sets one, which means stop."""
        policy = self.read_settings(unit)[OOM_POLICY].value
        return self.find_default_policy(unit) if policy is None else str(policy)

    def find_default_policy(self, unit: Unit) -> Optional[str]:
        """The OOMPolicy= of a unit that sets none: DefaultOOMPolicy= of the manager, or continue with Delegate=.

        Source: ``service_add_extras`` in src/core/service.c.
        """
        delegates = [one.value for _path, one in self.read_service_assignments(unit) if one.key == 'Delegate']
        if delegates and delegates[-1].lower() not in FALSE:  # empty: without any controllers
            return 'continue' if self.knows(OOM_POLICY) else None
        policy = self._find_manager_default('DefaultOOMPolicy', OOM_POLICY).value
        return None if policy is None else str(policy)

    def _find_manager_default(self, key: str, setting: str) -> Cause:
        """The manager's default for a setting of units."""
        cause = UNSET
        for path in self._list_manager_files() if self.knows(key) else ():
            for one in parse(self.read(path), self.version):
                if one.section == 'Manager' and one.key == key:
                    cause = _apply(cause, one._replace(key=setting), path)
            if not self.host.is_openable(path) or not self._is_read_whole(self.read(path)):
                break  # systemd reads no file after one that ends early (config_parse_many())
        return cause

    def _list_manager_files(self) -> List[str]:
        """system.conf and its drop-ins, in reading order (systemd-system.conf(5))."""
        folders = _MANAGER_FOLDERS if self.version >= _MAIN_ANYWHERE else _MANAGER_FOLDERS[:1]
        mains = [path for path in (folder + '/system.conf' for folder in folders)
                 if not self.host.is_openable(path) or self.host.exists(path)]
        return mains[:1] + self._list_by_name(folder + '/system.conf.d' for folder in _MANAGER_FOLDERS)


def _apply(before: Cause, one: Assignment, path: str) -> Cause:
    """The setting after an assignment: the value, a reset (empty text), or no change (invalid value)."""
    if one.key == SCORE_ADJ and not one.value:
        return Cause(None, path, one.line)
    value = _PARSERS[one.key](one.value)
    return before if value is None else Cause(value, path, one.line)


def _drop_duplicates(host: Host, folders: Iterable[str]) -> List[str]:
    """Drop further names of the same folder (/lib is a link to /usr/lib on most systems)."""
    by_real: Dict[str, str] = {}
    for folder in folders:
        by_real.setdefault(host.real(folder), folder)
    return list(by_real.values())
