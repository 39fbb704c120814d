# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OOM kills, as the kernel log tells them.

Sources: ``dump_oom_summary`` and ``__oom_kill_process`` in mm/oom_kill.c, and the format of records in
Documentation/ABI/testing/dev-kmsg. Names come from programs: only records that the kernel itself wrote count, lines are
matched from their start, and the name in brackets is taken up to the last thing that can follow it.
"""

import errno
import os
import re
import stat
import time
from collections import deque
from typing import Any, Deque, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils._host import Host

_RECORD_BYTES = 8192  # CONSOLE_EXT_LOG_MAX: shorter reads of /dev/kmsg answer EINVAL
_KMSG_NUMBER = os.makedev(1, 11)  # Documentation/admin-guide/devices.txt
_MOST_RECORDS = 1000000
RECENT = 20

_INTERESTING = (b'oom-kill:', b'Kill', b'killed')
_DIGITS = re.compile(br'[0-9]{1,20}\Z')
_ESCAPE = re.compile(br'\\x([0-9a-fA-F]{2})')
_SUMMARY = re.compile(
    br'oom-kill:constraint=CONSTRAINT_([A-Z_]+),.*?,task_memcg=(.*),pid=([0-9]{1,10}),uid=[0-9]+\Z', re.DOTALL)
_KILLED = re.compile(
    br'(?:(Out of memory|Memory cgroup out of memory)(?: \([a-z_]+\))?: )?'
    br'Killed process ([0-9]{1,10}) \((.*)\)(?:, UID [0-9]+)?,? '
    br'total-vm:[0-9]+kB, anon-rss:([0-9]{1,18})kB, file-rss:([0-9]{1,18})kB(?:, shmem-rss:([0-9]{1,18})kB)?'
    br'(?:, UID:[0-9]+)?(?: pgtables:[0-9]+(?:kB)?)?(?: oom_score_adj:(-?[0-9]{1,5}))?', re.DOTALL)
_CHOSEN_OLD = re.compile(
    br'(Out of memory|Memory cgroup out of memory): Kill process ([0-9]{1,10}) \((.*)\) score [0-9]+ ', re.DOTALL)
_TASK_OLD = re.compile(br'Task in (.*) killed as a result of limit of ', re.DOTALL)
_GROUP = re.compile(br'Tasks in (.*) are going to be killed due to memory\.oom\.group set\Z', re.DOTALL)

Kill = NamedTuple('Kill', [
    ('since_boot_us', int),
    ('pid', int),
    ('name', bytes),
    ('cgroup', Optional[bytes]),
    ('constraint', Optional[str]),
    ('oom_score_adj', Optional[int]),
    ('rss_kb', int),
])


def parse_record(record: bytes) -> Optional[Tuple[int, bytes]]:
    """(microseconds since boot, message) of a record of /dev/kmsg; None for one that the kernel did not write itself.

    The kernel never lets a program write with its own facility, 0.
    """
    head, separator, rest = record.partition(b';')
    fields = head.split(b',')
    if not separator or len(fields) < 4 or not _DIGITS.match(fields[0]) or not _DIGITS.match(fields[2]):
        return None
    if int(fields[0]) >> 3:
        return None
    message = rest.partition(b'\n')[0]
    return int(fields[2]), _ESCAPE.sub(lambda match: bytes([int(match.group(1), 16)]), message)


# Why a process was chosen, told before it is killed.
Reason = NamedTuple('Reason', [
    ('pid', int),
    ('constraint', str),
    ('cgroup_and_task', bytes),  # CGROUP,task=NAME
])


class KillParser(object):
    """Messages of the kernel in, kills out: a kill is told in several lines, with others in between."""

    def __init__(self, keep: int = RECENT) -> None:
        self.kills: Deque[Kill] = deque(maxlen=keep)
        self._reasons: Deque[Reason] = deque(maxlen=keep)
        self._constraint = 'memcg'
        self._task_cgroup = b''
        self._group: Optional[Tuple[str, bytes]] = None

    def feed(self, since_boot_us: int, message: bytes) -> None:
        """One message."""
        for pattern, take in ((_SUMMARY, self._summary), (_CHOSEN_OLD, self._chosen_old), (_TASK_OLD, self._task_old),
                              (_GROUP, self._is_group)):
            match = pattern.match(message)
            if match is not None:
                take(*match.groups())
                return
        match = _KILLED.match(message)
        if match is not None:
            self._killed(since_boot_us, *match.groups())

    def _summary(self, constraint: bytes, cgroup_and_task: bytes, pid: bytes) -> None:
        self._group = None
        self._constraint = constraint.decode('ascii').lower()
        self._reasons.append(Reason(int(pid), self._constraint, cgroup_and_task))

    def _chosen_old(self, kind: bytes, pid: bytes, name: bytes) -> None:
        """Before 5.0 there is no summary, and a cgroup is named in a line of its own."""
        memcg = kind.startswith(b'Memory cgroup')
        cgroup = self._task_cgroup if memcg else b''
        self._reasons.append(Reason(int(pid), 'memcg' if memcg else 'none', cgroup + b',task=' + name))

    def _task_old(self, cgroup: bytes) -> None:
        self._task_cgroup = cgroup

    def _is_group(self, cgroup: bytes) -> None:
        self._group = (self._constraint, cgroup)

    def _killed(self, since_boot_us: int, kind: Optional[bytes], pid: bytes, name: bytes, anon_kb: bytes,
                file_kb: bytes, shmem_kb: Optional[bytes], adj: Optional[bytes]) -> None:
        reason = self._take_reason(int(pid), name)
        constraint: Optional[str] = 'memcg' if kind == b'Memory cgroup out of memory' else None
        cgroup: Optional[bytes] = None
        if reason is not None:
            constraint = reason.constraint
            cgroup = _without_task(reason.cgroup_and_task, name) or None
        elif self._group is not None:
            # The members of a group that is killed as a whole have no summary of their own.
            constraint, cgroup = self._group
        self.kills.append(Kill(since_boot_us, reason.pid if reason else int(pid), name, cgroup, constraint,
                               None if adj is None else int(adj), int(anon_kb) + int(file_kb) + int(shmem_kb or 0)))

    def _take_reason(self, pid: int, name: bytes) -> Optional[Reason]:
        """The last reason for this process.

        Where its first thread has ended, the kill is told with the number of another thread, and only the name agrees.
        """
        for same in (lambda reason: reason.pid == pid,
                     lambda reason: reason.cgroup_and_task.endswith(b',task=' + name) and self._group is None):
            for reason in reversed(self._reasons):
                if same(reason):
                    self._reasons.remove(reason)
                    return reason
        return None


def _without_task(cgroup_and_task: bytes, name: bytes) -> bytes:
    """The cgroup alone. It may hold commas, and so may the name."""
    tail = b',task=' + name
    if cgroup_and_task.endswith(tail):
        return cgroup_and_task[:-len(tail)]
    return cgroup_and_task.rpartition(b',task=')[0]


def parse_kills(records: Iterable[bytes], keep: int = RECENT) -> List[Kill]:
    """The last ``keep`` kills that these records of /dev/kmsg tell of, oldest first."""
    parser = KillParser(keep)
    for record in records:
        if not any(word in record for word in _INTERESTING):
            continue
        parsed = parse_record(record)
        if parsed is not None:
            parser.feed(*parsed)
    return list(parser.kills)


def read_records(host: Host, path: str = '/dev/kmsg') -> Iterator[bytes]:
    """The records that the kernel still holds, oldest first, without waiting for more. Raises OSError.

    Records that were overwritten while reading are left out (EPIPE).
    """
    fd = os.open(host.locate(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        info = os.fstat(fd)
        # In containers /dev/null, a terminal or a pipe may stand in its place, and would tell of no kills.
        if host.root == '/' and not (stat.S_ISCHR(info.st_mode) and info.st_rdev == _KMSG_NUMBER):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), path)
        for _count in range(_MOST_RECORDS):
            try:
                record = os.read(fd, _RECORD_BYTES)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno == errno.EPIPE:
                    continue
                raise
            if not record:
                return
            yield record
    finally:
        os.close(fd)


def total(vmstat: str) -> Optional[int]:
    """oom_kill of /proc/vmstat: kills since boot; None on kernels before 4.13."""
    match = re.search(r'^oom_kill ([0-9]{1,20})$', vmstat, re.MULTILINE)
    return int(match.group(1)) if match else None


def log_start_s(host: Host) -> float:
    """When the log's clock began, in seconds since 1970: it stands still while the machine sleeps.

    So does CLOCK_MONOTONIC, which in a time namespace is set by an offset (time_namespaces(7)), other than the log's.
    """
    offset = re.search(r'^monotonic +(-?[0-9]{1,20}) +([0-9]{1,9})$',
                       host.read_text('/proc/self/timens_offsets') or '', re.MULTILINE)
    offset_s = int(offset.group(1)) + int(offset.group(2)) / 1e9 if offset else 0
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + offset_s


def kill_fact(kill: Kill, boot_time_s: float, when: Any, text: Any) -> Dict[str, Any]:
    """A kill as a fact. ``when`` turns seconds since 1970 into text, ``text`` makes names harmless."""
    return {
        'when': when(boot_time_s + kill.since_boot_us / 1e6),
        'pid': kill.pid,
        'name': text(kill.name),
        'cgroup': None if kill.cgroup is None else text(kill.cgroup),
        'constraint': kill.constraint,
        'oom_score_adj': kill.oom_score_adj,
        'rss_kb': kill.rss_kb,
    }
