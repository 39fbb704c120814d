# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files of TuneD, parsed with the settings of configparser that TuneD uses.

Sources: tuned/utils/config_parser.py and global_config.py, tuned/consts.py, releases 2.20 to 2.28.
"""

import configparser
import re
from collections import OrderedDict
from typing import Dict, List, Optional, Tuple

from .._host.conf_files import read_program_file, split_lines
from .._host.host import Host

MAIN_CONF = '/etc/tuned/tuned-main.conf'
_TOP = 'top'  # the section that TuneD adds before the global configuration
_LONGEST_FILE = 1 << 16  # real ones have some kilobytes
# configparser takes quadratic time for a run of blanks.
_TOO_LONG = re.compile(r'[^\n]{4097}|[^\S\n]{257}')
_BOOLEANS = ('daemon', 'dynamic_tuning', 'recommend_command', 'reapply_sysctl', 'enable_dbus', 'enable_unix_socket')
_INTEGERS = ('sleep_interval', 'update_interval', 'default_instance_priority', 'log_file_count', 'connections_backlog')
_TEXTS = ('profile_dirs', 'reapply_sysctl_exclude', 'uname_string', 'cpuinfo_string', 'udev_buffer_size',
          'log_file_max_size', 'rollback', 'startup_udev_settle_wait', 'hwp_epp', 'unix_socket_path',
          'unix_socket_signal_paths', 'unix_socket_ownership', 'unix_socket_permissions')


class RefusedStart(Exception):
    """TuneD refuses its configuration or its profiles, and then applies nothing."""


def read(host: Host, path: str, denied: List[str]) -> str:
    """The text of a file with Python's line ends. Raises RefusedStart for invalid UTF-8."""
    text = read_program_file(host, path, denied)
    try:
        text.encode('utf-8')
    except UnicodeEncodeError:
        raise RefusedStart(path) from None
    return text.replace('\r\n', '\n')


def sections(text: str, allow_no_value: bool = False) -> Optional[Dict[str, Dict[str, str]]]:
    """The parsed text; None if TuneD refuses it, or if parsing would take too long."""
    config = _parse(text, allow_no_value)
    if config is None:
        return None
    return OrderedDict((name, OrderedDict((option, config.get(name, option, raw=True))
                                          for option in config.options(name))) for name in config.sections())


def _parse(text: str, allow_no_value: bool = False) -> Optional[configparser.ConfigParser]:
    if len(text) > _LONGEST_FILE or _TOO_LONG.search(text):
        return None
    config = configparser.ConfigParser(delimiters=('=',), inline_comment_prefixes=('#',), strict=False,
                                       allow_no_value=allow_no_value)
    config.optionxform = str  # type: ignore[assignment, method-assign]  # names as they are written
    try:
        config.read_string(text.replace('\r', '\n'))
    except (configparser.Error, ValueError, AttributeError):  # the last for a line that continues an option without =
        return None
    return config


def read_main(host: Host, denied: List[str]) -> Dict[str, str]:
    """The global configuration. Raises RefusedStart if it makes TuneD exit."""
    config = _parse(f'[{_TOP}]\n{read(host, MAIN_CONF, denied)}')
    if config is None:
        raise RefusedStart(MAIN_CONF)
    found = {}
    for option in config.options(_TOP):
        try:
            if option in _BOOLEANS:
                found[option] = '1' if config.getboolean(_TOP, option) else '0'
            elif option in _INTEGERS:
                found[option] = str(config.getint(_TOP, option))
            elif option in _TEXTS:
                found[option] = config.get(_TOP, option)
        except (configparser.Error, ValueError):
            raise RefusedStart(MAIN_CONF) from None
    return found


def split_list(text: str) -> List[str]:
    """The words of a list of the global configuration."""
    return [word.strip() for word in re.split('[,;]', text)] if text.strip() else []


def line_numbers(text: str) -> Dict[Tuple[str, str], int]:
    """The last line of each option, by section and option."""
    numbers, section = {}, ''
    for number, line in enumerate(split_lines(text), 1):
        for piece in line.split('\r'):
            piece = piece.strip()
            if piece.startswith('['):
                section = piece[1:].partition(']')[0]
            elif '=' in piece:
                numbers[section, piece.partition('=')[0].strip()] = number
    return numbers
