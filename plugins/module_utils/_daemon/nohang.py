# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nohang: the thresholds in its configuration file.

Sources: nohang(8) and nohang 0.2.0.
"""

import math
import os
import re
from typing import Dict, List, Optional, Tuple

from .._core.text import to_text
from .._host.host import Host
from . import model
from .model import DaemonSettings, Threshold, UnknownThresholds, above, below, note_missing_swap, read_totals

_MAX_CONFIG_BYTES = 1 << 20
_CONF = '/etc/nohang/nohang.conf'
# The files of its own units. Any other path is a word of its command line, and is not reported.
_KNOWN = tuple(folder + '/etc/nohang/' + name
               for folder in ('', '/usr/local') for name in ('nohang.conf', 'nohang-desktop.conf'))
_CONFIG_OPTIONS = ('-c', '--config')
_SOFT_ACTION = '@SOFT_ACTION_RE_'
_PYTHON_NUMBER = re.compile(r'\s*(\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*\Z')
_STEPS = (('warning', model.WARNING), ('soft', model.TERM), ('hard', model.KILL))


def read_settings(host: Host, arguments: List[str]) -> DaemonSettings:
    """The settings of its configuration file. It has no defaults: nohang does not start where one is missing."""
    path = find_config_path(arguments)
    data = host.read_named_file(path)
    if data is None or len(data) > _MAX_CONFIG_BYTES:
        raise UnknownThresholds('its configuration file is not there, or too long')
    text = to_text(data)
    notes = note_missing_swap(read_totals(host))
    if any(line.startswith(_SOFT_ACTION) for line in text.split('\n')):
        notes.append(f'for some processes it runs a command instead of SIGTERM ({_SOFT_ACTION}... in its '
                     'configuration)')
    return DaemonSettings(build_thresholds(parse_config(text), path if path in _KNOWN else None), False, notes)


def find_config_path(arguments: List[str]) -> str:
    """The file that the arguments name, after the interpreter and the script."""
    own = next((number for number, word in enumerate(arguments) if os.path.basename(word) == 'nohang'), 0) + 1
    path = _CONF
    for number in range(own, len(arguments)):
        if arguments[number] in _CONFIG_OPTIONS:
            path = ''.join(arguments[number + 1:number + 2])
    if not path.startswith('/'):
        raise UnknownThresholds('its configuration file has no absolute path')
    return path


def parse_config(text: str) -> Dict[str, str]:
    """The settings by key. Lines that begin with a blank, # or @ hold none."""
    pairs = [line.partition('=') for line in text.split('\n') if line and line[0] not in ' \t#@']
    return {key.strip(): value.strip() for key, _equals, value in pairs}


def build_thresholds(settings: Dict[str, str], path: Optional[str]) -> List[Threshold]:
    """Low memory with low swap; where they are switched on, low memory with much zram, and with lasting pressure."""
    zram = _parse_switch(settings, 'zram_checking_enabled')
    pressure = _parse_switch(settings, 'psi_checking_enabled')
    steps = _STEPS if settings.get('low_memory_warnings_enabled') == 'True' else _STEPS[1:]
    found = []
    for step, action in steps:
        memory = below(model.AVAILABLE_MEMORY, *_parse_limit(settings, step + '_threshold_min_mem'))
        swap = below(model.FREE_SWAP, *_parse_limit(settings, step + '_threshold_min_swap'))
        found.append(Threshold(action, [memory, swap], None, None, path))
        if zram:
            used = above(model.USED_ZRAM, *_parse_limit(settings, step + '_threshold_max_zram'))
            found.append(Threshold(action, [memory, used], None, None, path))
        if pressure:
            psi = above(model.MEMORY_PRESSURE, _parse_number(settings, step + '_threshold_max_psi'))
            for_s = None if action == model.WARNING else _parse_number(settings, 'psi_excess_duration')
            found.append(Threshold(action, [memory, psi], for_s, None, path))
    return found


def _require(settings: Dict[str, str], key: str) -> str:
    if key not in settings:
        raise UnknownThresholds(f'its configuration file has no {key}')
    return settings[key]


def _parse_switch(settings: Dict[str, str], key: str) -> bool:
    value = _require(settings, key)
    if value not in ('True', 'False'):
        raise UnknownThresholds(f'its configuration file has a value for {key} that is not understood')
    return value == 'True'


def _parse_number(settings: Dict[str, str], key: str, suffix: str = '') -> float:
    value = _require(settings, key)
    match = _PYTHON_NUMBER.match(value[:len(value) - len(suffix)]) if len(value) <= model.MAX_NUMBER_LENGTH else None
    number = float(match.group(1)) if match and value.endswith(suffix) else math.inf
    if number > model.MAX_KB / 1024:
        raise UnknownThresholds(f'its configuration file has a value for {key} that is not understood')
    return number


def _parse_limit(settings: Dict[str, str], key: str) -> Tuple[Optional[float], Optional[int]]:
    """(percent, kB) of a value such as ``5 %`` or ``300 M``. One of them is None."""
    if _require(settings, key).endswith('M'):
        return None, int(_parse_number(settings, key, 'M') * 1024)
    return _parse_number(settings, key, '%'), None
