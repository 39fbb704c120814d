# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of systemd units as users write them: accept services, refuse others with the reason.

Source: ``unit_name_is_valid`` in systemd's src/basic/unit-name.c, systemd.unit(5).
"""

import re
from typing import Any, List, Optional

from .._core.convert import ConvertError, quote

SERVICE = '.service'
_VALID = re.compile(r'[A-Za-z0-9:_.\\@-]+\Z')
_FOLDERS = ('.' + SERVICE, '..' + SERVICE)  # inits other than systemd name files without the suffix
_MAX_LENGTH = 255  # UNIT_NAME_MAX, with the suffix and without the final NUL

_NOT_A_SERVICE = {
    '.slice': 'a slice starts no processes; name the services in it',
    '.socket': 'a socket has no processes; name the service that it starts',
    '.scope': 'systemd starts nothing in a scope, so its settings have no effect',
    '.timer': 'a timer has no processes; name the service that it starts',
    '.path': 'a path unit has no processes; name the service that it starts',
    '.target': 'a target has no processes; name the services that it wants',
    '.device': 'a device has no processes',
    '.mount': 'only services are managed',
    '.automount': 'an automount has no processes',
    '.swap': 'only services are managed',
}


def to_unit(option: str, value: Any, scope_advice: str = '') -> str:
    """The service that ``value`` names, with its suffix. ``scope_advice``: the module's alternative for a scope.

    Raises ConvertError, with the reason, for invalid names and for units of other types.
    """
    if not isinstance(value, str) or not value:
        raise ConvertError(f'{option}: {quote(value)} is not the name of a service; write it as systemctl does, such '
                           'as redis-server [OOMK-1703]')
    if not _VALID.match(value):
        raise ConvertError(f'{option}: {quote(value)} cannot be the name of a unit: only letters, digits and :-_.\\@ '
                           'may be in it [OOMK-1703]')
    suffix = value[value.rfind('.'):] if '.' in value else ''
    if suffix in _NOT_A_SERVICE:
        advice = scope_advice if suffix == '.scope' else ''
        raise ConvertError(f'{option}: {quote(value)} is not a service: {_NOT_A_SERVICE[suffix]}{advice} '
                           '[OOMK-1704]')
    unit = value if suffix == SERVICE else value + SERVICE
    _check_length(option, value, unit)
    if unit in _FOLDERS:
        raise ConvertError(f'{option}: {quote(value)} cannot be the name of a service: as that of a file it means a '
                           'folder [OOMK-1703]')
    return unit


def _check_length(option: str, value: str, unit: str) -> None:
    if len(unit) > _MAX_LENGTH or unit == SERVICE or unit.startswith('@'):
        raise ConvertError(f'{option}: {quote(value)} cannot be the name of a unit: it has {len(unit) - len(SERVICE)} '
                           f'characters, and needs 1 to {_MAX_LENGTH - len(SERVICE)} before {SERVICE} [OOMK-1703]')


def parse_template(unit: str) -> Optional[str]:
    """The template of an instance (``a@b.service`` → ``a@.service``); None for other units."""
    prefix, at, rest = unit[:-len(SERVICE)].partition('@')
    return prefix + '@' + SERVICE if at and rest else None


def is_template(unit: str) -> bool:
    """Whether this is a template: only its instances can start."""
    return unit.endswith('@' + SERVICE) and unit.count('@') == 1


def parse_instance(unit: str) -> str:
    """The text between ``@`` and the suffix; empty for a template and for a plain unit."""
    return unit[:-len(SERVICE)].partition('@')[2]


def build_instance(template: str, instance: str) -> str:
    """The instance of a template."""
    return template[:-len(SERVICE)] + instance + SERVICE


def build_template(unit: str) -> Optional[str]:
    """The template whose instances a plain unit may stand for (postgresql.service → postgresql@.service)."""
    return None if '@' in unit else unit[:-len(SERVICE)] + '@' + SERVICE


def serves(unit: str, service: str) -> bool:
    """Whether a unit is this service, its instance, or does its work (postgresql@15-main for postgresql)."""
    template = parse_template(unit) if unit.endswith(SERVICE) else None
    return unit == service or (template is not None and template in (service, build_template(service)))


def list_drop_in_names(unit: str) -> List[str]:
    """The names whose ``.d`` folders apply to the unit, the most specific first.

    An instance also takes its template's. ``a-b-c.service`` takes those of ``a-b-.service`` and ``a-.service``, where
    an instance ``@i`` also takes those of ``a-@i.service`` and ``a-@.service`` (``unit_file_find_dirs``,
    src/shared/dropin.c).
    """
    prefix, _at, instance = unit[:-len(SERVICE)].partition('@')
    prefixes = _find_prefixes(prefix)
    names = [unit] + ([prefix + '@'] if instance else []) + prefixes
    if instance:
        names += [one + end for one in prefixes for end in ('@' + instance, '@')]
    return [unit] + [one + SERVICE for one in names[1:]]


def _find_prefixes(prefix: str) -> List[str]:
    """Its proper prefixes that end in a dash, the longest first. A leading dash does not count."""
    found: List[str] = []
    while True:
        end = prefix.rfind('-', 0, len(prefix) - 1)
        if end < 1:
            return found
        prefix = prefix[:end + 1]
        found.append(prefix)
