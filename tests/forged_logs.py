# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that users can have written to a log, each meant to cost the reader of kills as much time as possible."""

HEAD = b'Nov 23 10:00:00 web1 kernel: '
SUMMARY = b'oom-kill:constraint=CONSTRAINT_NONE,'
KILLED = b'Killed process 1 ('
SIZES = b') total-vm:1kB, anon-rss:1kB, file-rss:1kB'


def _filled(start: bytes, piece: bytes, end: bytes = b'', size: int = 8100) -> bytes:
    """A line of about this size."""
    return start + piece * ((size - len(start) - len(end)) // len(piece)) + end + b'\n'


# By name, whole lines but for the second last one.
FORGED = {
    'cgroups in a summary': _filled(HEAD + SUMMARY, b',task_memcg='),
    'cgroups in a short summary': _filled(HEAD + SUMMARY, b',task_memcg=', b',pid=1,uid=1', 1000),
    'PIDs in a summary': _filled(HEAD + SUMMARY, b',pid=1,uid='),
    'escapes of rsyslog in a summary': _filled(HEAD + SUMMARY, b'#\\', b',pid=1,uid=1', 4000),
    'a kill in a kill': _filled(HEAD, KILLED),
    'short kills': HEAD + KILLED + b'\n',
    'ends of names': _filled(HEAD + KILLED, b')'),
    'nested brackets': _filled(HEAD + KILLED, b'()', SIZES),
    'sizes in a name': _filled(HEAD + KILLED, b') total-vm:0kB, anon-rss:'),
    'sizes without an end': _filled(HEAD + KILLED + b') total-vm:1kB', b', anon-rss:1kB'),
    'a long number': _filled(HEAD + KILLED + b'x), UID ', b'9', b' total-vm:1kB, anon-rss:1kB'),
    'escapes in a name': _filled(HEAD + KILLED, b'#033', SIZES, 4000),
    'old scores': _filled(HEAD + b'Out of memory: Kill process 1 (', b') score 1'),
    'the cgroup of a task': _filled(HEAD + b'Task in ', b' killed as a result of limit of'),
    'the cgroup of a group': _filled(HEAD + b'Tasks in ', b' are going to be killed due to memory.oom.group se'),
    'the kernel, again and again': _filled(b'', b' kernel: Killed process 1 ('),
    'stamps without an end': _filled(b'2026-11-23T', b'1'),
    'stamps': _filled(b'', b'Nov 23 10:00:00 '),
    'nothing of the kernel': HEAD + b'\n',
    'summaries without a kill': HEAD + SUMMARY + b',task_memcg=/a,task=b,pid=1,uid=1\n',
    'many hosts': b''.join(b'Nov 23 10:00:00 host-%d kernel: %s,task_memcg=/a.slice/b.service/%s,task=b,pid=1,uid=1\n'
                           % (number, SUMMARY, b'c' * 99) for number in range(2000)),
    'no UTF-8': b'\xff\xfe' * 4000 + b'\n',
    'empty lines': b'\n' * 8000,
    'NULs': b'\0' * 8000,
    'no line end at all': b'x' * 65536,
}


def record(line: bytes) -> bytes:
    """The first line as a record of /dev/kmsg."""
    return b'4,1,1,-;' + line.partition(b'\n')[0].partition(b' kernel: ')[2].replace(b'#033', b'\\x1b') + b'\n'
