# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the kernel log from /dev/kmsg.

Source: Documentation/ABI/testing/dev-kmsg.
"""

import errno
import os
import re
import stat
import time
from typing import Iterator

from .file_access import open_fd
from .host import Host

RECORD_BYTES = 8192  # CONSOLE_EXT_LOG_MAX: shorter reads of /dev/kmsg answer EINVAL
KMSG_NUMBER = os.makedev(1, 11)  # Documentation/admin-guide/devices.txt
_MOST_RECORDS = 1000000


def read_records(host: Host, path: str = '/dev/kmsg') -> Iterator[bytes]:
    """The records in the kernel's buffer, oldest first. Raises OSError.

    Skips records that the kernel overwrites during the read (EPIPE).
    """
    with open_fd(host.locate(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY) as fd:
        info = os.fstat(fd)
        # In containers it can be /dev/null, a terminal or a pipe, without kills.
        if host.root == '/' and not (stat.S_ISCHR(info.st_mode) and info.st_rdev == KMSG_NUMBER):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), path)
        for _count in range(_MOST_RECORDS):
            try:
                record = os.read(fd, RECORD_BYTES)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno == errno.EPIPE:
                    continue
                raise
            if not record:
                return
            yield record


def compute_log_start_s(host: Host) -> float:
    """The start of the log's clock in seconds since 1970.

    Like CLOCK_MONOTONIC, the clock stops during suspend. A time namespace shifts CLOCK_MONOTONIC, but not the log's
    clock (time_namespaces(7)).
    """
    offset = re.search(r'^monotonic +(-?[0-9]{1,20}) +([0-9]{1,9})$',
                       host.read_text('/proc/self/timens_offsets') or '', re.MULTILINE)
    offset_s = int(offset.group(1)) + int(offset.group(2)) / 1e9 if offset else 0
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + offset_s
