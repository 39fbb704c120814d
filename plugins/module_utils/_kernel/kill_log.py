# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse the OOM kills in the kernel log.

Sources: ``dump_oom_summary`` and ``__oom_kill_process`` in mm/oom_kill.c, Documentation/ABI/testing/dev-kmsg. Programs
choose their names: so only records of the kernel itself count, patterns match from the start, and a name in brackets
extends to the last bracket that the rest can follow.
"""

import re
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, List, Mapping, NamedTuple, Optional, Pattern, Tuple

_MOST_PID_DIGITS = 10
RECENT = 20

_WORD = b'ill'  # in each message of a kill: Kill, Killed, killed, oom-kill
# PRINTKRB_RECORD_MAX and, before 5.10, LOG_LINE_MAX in kernel/printk. An escape has four bytes.
_MESSAGE_BYTES = 1024
LONGEST_MESSAGE_BYTES = 4 * _MESSAGE_BYTES
# The kernel reports a reason before its kill.
_MOST_REASONS = 20
_RECORD = re.compile(br'([0-9]{1,20}),[^,;]*,([0-9]{1,20}),[^;]*;([^\n]*)')
_HEX = re.compile(br'\\x([0-9a-f]{2})')  # lower case: print_dev_kmsg(), kernel/printk/printk.c
_HEX_BYTES = {b'%02x' % code: bytes([code]) for code in range(256)}
# Each expression takes linear time: no two of its parts match the same bytes. A name contains any bytes, at most 15
# (TASK_COMM_LEN), maybe as escapes.
_SUMMARY = b'oom-kill:constraint=CONSTRAINT_'
_CONSTRAINT = re.compile(br'[A-Z_]{1,40}(?=,)')
_KILLED = re.compile(
    br'(?:(Out of memory|Memory cgroup out of memory)(?: \([a-z_]{1,40}\))?: )?'
    br'Killed process ([0-9]{1,10}) \((.{0,60})\)(?=[ ,])(?:, UID [0-9]{1,20})?,? '
    br'total-vm:[0-9]{1,20}kB, anon-rss:([0-9]{1,18})kB, file-rss:([0-9]{1,18})kB(?:, shmem-rss:([0-9]{1,18})kB)?'
    br'(?:, UID:[0-9]{1,20})?(?: pgtables:[0-9]{1,20}(?:kB)?)?(?: oom_score_adj:(-?[0-9]{1,5}))?', re.DOTALL)
_CHOSEN_OLD = re.compile(
    br'(Out of memory|Memory cgroup out of memory): Kill process ([0-9]{1,10}) \((.{0,60})\) score [0-9]{1,20} ',
    re.DOTALL)
_TASK_OLD = re.compile(br'Task in (.*) killed as a result of limit of ', re.DOTALL)
_GROUP = re.compile(br'Tasks in (.*) are going to be killed due to memory\.oom\.group set\Z', re.DOTALL)
STARTS = (_SUMMARY, b'Out of memory', b'Memory cgroup out of memory', b'Killed process ', b'Task in ', b'Tasks in ')


class LoggedKill(NamedTuple):
    since_boot_us: int
    pid: int
    name: bytes
    cgroup: Optional[bytes]
    constraint: Optional[str]
    oom_score_adj: Optional[int]
    rss_kb: int


def parse_record(record: bytes) -> Optional[Tuple[int, bytes]]:
    """(microseconds since boot, message) of a record of /dev/kmsg; None for a record of a program.

    The kernel lets no program write with the kernel's own facility, 0.
    """
    match = _RECORD.match(record)
    if match is None or int(match.group(1)) >> 3:
        return None
    return int(match.group(2)), unescape(match.group(3))


def unescape(text: bytes, escape: Pattern[bytes] = _HEX, meant: Optional[Mapping[bytes, bytes]] = None) -> bytes:
    """Replace escapes by their bytes. For speed it calls no Python function for each of them."""
    parts = escape.split(text)
    parts[1::2] = map((_HEX_BYTES if meant is None else meant).__getitem__, parts[1::2])
    return b''.join(parts)


class Reason(NamedTuple):
    """Why a process was chosen, reported before it is killed."""

    pid: int
    constraint: str
    cgroup_and_task: bytes  # CGROUP,task=NAME


class KillParser:
    """Collects kills from messages of the kernel: it reports a kill in several messages, with others in between."""

    def __init__(self, keep: int = RECENT) -> None:
        self.kills: Deque[LoggedKill] = deque(maxlen=keep)
        self._reasons: Deque[Reason] = deque(maxlen=min(keep, _MOST_REASONS))
        self._summaries: Deque[bytes] = deque(maxlen=_MOST_REASONS)  # parsed when another message follows
        self._constraint = 'memcg'
        self._task_cgroup = b''
        self._group: Optional[Tuple[str, bytes]] = None

    def feed(self, since_boot_us: int, message: bytes) -> None:
        """Parse a message in linear time. Skips those that are longer than the kernel's."""
        if not message.startswith(STARTS) or len(message) > _MESSAGE_BYTES:
            return
        if message.startswith(_SUMMARY):
            self._summaries.append(message)
            return
        while self._summaries:
            self._parse_summary(self._summaries.popleft())
        if b'total-vm:' in message:
            match = _KILLED.match(message)
            if match is not None:
                self._add_kill(since_boot_us, *match.groups())
            return
        for pattern, take in ((_CHOSEN_OLD, self._add_old_reason), (_TASK_OLD, self._set_cgroup),
                              (_GROUP, self._set_group)):
            match = pattern.match(message)
            if match is not None:
                take(*match.groups())
                return

    def _parse_summary(self, message: bytes) -> None:
        """Parse ``oom-kill:constraint=CONSTRAINT_MEMCG,...,task_memcg=CGROUP,task=NAME,pid=PID,uid=UID``."""
        constraint = _CONSTRAINT.match(message, len(_SUMMARY))
        before, _mark, uid = message.rpartition(b',uid=')
        about, _mark, pid = before.rpartition(b',pid=')
        if constraint is None or not uid.isdigit() or not pid.isdigit() or len(pid) > _MOST_PID_DIGITS:
            return
        _others, mark, cgroup_and_task = about[constraint.end() + 1:].partition(b',task_memcg=')
        if not mark:
            return
        self._group = None
        self._constraint = constraint.group().decode('ascii').lower()
        self._reasons.append(Reason(int(pid), self._constraint, cgroup_and_task))

    def _add_old_reason(self, kind: bytes, pid: bytes, name: bytes) -> None:
        """Kernels before 5.0 write no summary, and a separate message for the cgroup."""
        memcg = kind.startswith(b'Memory cgroup')
        cgroup = self._task_cgroup if memcg else b''
        self._reasons.append(Reason(int(pid), 'memcg' if memcg else 'none', cgroup + b',task=' + name))

    def _set_cgroup(self, cgroup: bytes) -> None:
        self._task_cgroup = cgroup

    def _set_group(self, cgroup: bytes) -> None:
        self._group = (self._constraint, cgroup)

    def _add_kill(self, since_boot_us: int, kind: Optional[bytes], pid: bytes, name: bytes, anon_kb: bytes,
                  file_kb: bytes, shmem_kb: Optional[bytes], adj: Optional[bytes]) -> None:
        reason = self._take_reason(int(pid), name)
        constraint: Optional[str] = 'memcg' if kind == b'Memory cgroup out of memory' else None
        cgroup: Optional[bytes] = None
        if reason is not None:
            constraint = reason.constraint
            cgroup = _without_task(reason.cgroup_and_task, name) or None
        elif self._group is not None:
            # The kernel writes no summary for each process of a group that it kills as a whole.
            constraint, cgroup = self._group
        self.kills.append(LoggedKill(since_boot_us, reason.pid if reason else int(pid), name, cgroup, constraint,
                                     None if adj is None else int(adj),
                                     int(anon_kb) + int(file_kb) + int(shmem_kb or 0)))

    def _take_reason(self, pid: int, name: bytes) -> Optional[Reason]:
        """Remove and return the last reason for this process.

        If its first thread has ended, the kill reports the number of another thread, so that only the name is the same.
        """
        reasons = list(reversed(self._reasons))
        found = [one for one in reasons if one.pid == pid]
        if self._group is None:
            found += [one for one in reasons if one.cgroup_and_task.endswith(b',task=' + name)]
        if not found:
            return None
        self._reasons.remove(found[0])
        return found[0]


def _without_task(cgroup_and_task: bytes, name: bytes) -> bytes:
    """The cgroup alone. It and the name can contain commas."""
    tail = b',task=' + name
    if cgroup_and_task.endswith(tail):
        return cgroup_and_task[:-len(tail)]
    return cgroup_and_task.rpartition(b',task=')[0]


def parse_kills(records: Iterable[bytes]) -> List[LoggedKill]:
    """The last RECENT kills in these records of /dev/kmsg, oldest first."""
    parser = KillParser()
    for record in records:
        parsed = parse_record(record) if _WORD in record else None
        if parsed is not None:
            parser.feed(*parsed)
    return list(parser.kills)


def parse_kill_count(vmstat: str) -> Optional[int]:
    """The kills since boot, oom_kill of /proc/vmstat; None on kernels before 4.13."""
    match = re.search(r'^oom_kill ([0-9]{1,20})$', vmstat, re.MULTILINE)
    return int(match.group(1)) if match else None


def build_kill_fact(kill: LoggedKill, boot_epoch_s: float, when: Callable[[float], Any],
                    text: Callable[[bytes], str]) -> Dict[str, Any]:
    """Build the fact of a kill. ``when`` converts seconds since 1970, ``text`` sanitizes a name."""
    return {
        'when': when(boot_epoch_s + kill.since_boot_us / 1e6),
        'pid': kill.pid,
        'name': text(kill.name),
        'cgroup': None if kill.cgroup is None else text(kill.cgroup),
        'constraint': kill.constraint,
        'oom_score_adj': kill.oom_score_adj,
        'rss_kb': kill.rss_kb,
    }
