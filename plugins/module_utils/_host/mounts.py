# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse /proc/PID/mountinfo.

Source: proc_pid_mountinfo(5).
"""

import re
from typing import Iterator, NamedTuple

_ESCAPED = re.compile(r'\\([0-7]{3})')


class Mount(NamedTuple):
    number: str
    device: str
    root: str  # the mounted folder of the file system
    path: str
    fs_type: str
    options: str  # of the file system


def parse_mountinfo(text: str) -> Iterator[Mount]:
    """The mounts, in their order."""
    for line in text.split('\n'):  # other line ends can be part of a name
        left, _dash, right = line.partition(' - ')
        fields, about = left.split(' '), right.split(' ')
        if len(fields) > 4:
            yield Mount(fields[0], fields[2], _unescape(fields[3]), _unescape(fields[4]), about[0], ' '.join(about[2:]))


def _unescape(path: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), path)
