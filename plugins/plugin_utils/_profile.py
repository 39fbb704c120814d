# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge a profile with the options of the module oom_policy, on the controller."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from pathlib import Path

from ansible.module_utils.common.yaml import yaml_load

from ..module_utils._core.convert import ConvertError, quote
from ..module_utils._sysctl.records import list_sysctls

FOLDER = Path(__file__).resolve().parents[2] / 'roles' / 'oom_policy' / 'profiles'
NAMES = ('database', 'cache', 'kubernetes_node', 'java', 'desktop')
NONE = 'none'
# What sets the CommitLimit: a given one replaces any of the profile.
_LIMITS = frozenset({'ratio', 'kbytes', 'commit_limit'})
_MODULES = {'overcommit': 'overcommit', 'panic': 'panic_on_oom'}
_PREFIX = 'oom_policy_'
# The variables of the profiles' files that are not oom_policy_OPTION.
_VARIABLES = {'mode': 'overcommit_mode', 'ratio': 'overcommit_ratio', 'kbytes': 'overcommit_kbytes', 'policy': 'panic'}
# Names that distributions give the same service.
_SAME_SERVICE = (('mariadb', 'mysql', 'mysqld'), ('redis-server', 'redis'), ('valkey-server', 'valkey'))


def merge_profile(args: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The options with the settings of their profile, which is left out. Raises ConvertError.

    Options replace the profile's key by key, and services of the same name.
    """
    merged = {key: value for key, value in args.items() if key != 'profile'}
    profile = read_profile(args.get('profile'))
    for part in _MODULES:
        if profile.get(part):
            merged[part] = _merge_settings(part, profile[part], args.get(part))
    if profile.get('services'):
        merged['services'] = _merge_services(profile['services'], args.get('services') or [])
    return merged


def _merge_settings(part: str, settings: Mapping[str, t.Any], given: t.Any) -> dict[str, t.Any]:
    if given is not None and not isinstance(given, Mapping):
        raise ConvertError(f'{part}: {quote(given)} is not a dictionary, and cannot be merged with the profile; write '
                           'it as YAML or JSON [OOMK-3015]')
    named = {key: value for key, value in (given or {}).items() if value is not None}
    left_out = _LIMITS if _LIMITS.intersection(named) else frozenset()
    return {**{key: value for key, value in settings.items() if key not in left_out}, **named}


def _merge_services(services: list[dict[str, t.Any]], given: t.Any) -> list[t.Any]:
    if not isinstance(given, (list, tuple)):
        raise ConvertError(f'services: {quote(given)} is not a list, and cannot be merged with the profile; write it '
                           'as YAML or JSON [OOMK-3015]')
    taken = {name for one in given if isinstance(one, Mapping) for name in _list_names(str(one.get('name')))}
    return [*given, *(one for one in services if one['name'] not in taken)]


def read_profile(name: t.Any) -> dict[str, t.Any]:
    """The settings of a profile as options of the module. Raises ConvertError.

    The name is part of a path: only known ones are read.
    """
    if name is None or name == NONE:
        return {}
    if name not in NAMES:
        raise ConvertError(f"profile: there is no profile {quote(name)}; take one of {', '.join(NAMES)} or "
                           "none. Nothing was changed. [OOMK-3003]")
    variables: dict[str, t.Any] = yaml_load((FOLDER / f'{name}.yml').read_text(encoding='utf-8'))
    found: dict[str, t.Any] = {'services': variables.get(_PREFIX + 'services', [])}
    for part, module in _MODULES.items():
        options = [one.option for one in list_sysctls(module)] + ['commit_limit', 'min_headroom'] * (part != 'panic')
        names = {option: _PREFIX + _VARIABLES.get(option, option) for option in options}
        found[part] = {option: variables[name] for option, name in names.items() if name in variables}
    return found


def _list_names(name: str) -> tuple[str, ...]:
    plain = name[:-len('.service')] if name.endswith('.service') else name
    return next((names for names in _SAME_SERVICE if plain in names), (plain,))
