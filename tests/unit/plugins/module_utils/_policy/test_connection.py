# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether two calls came over one connection, on trees that look like /proc."""

import errno
import os

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._policy.connection import (
    Connection,
    connection,
    is_same,
    process,
)
from ansible_collections.oomkit.linux.plugins.module_utils._process.procfs import parse_stat

FIRST, SECOND, NONE = Connection([70, 100], 5), Connection([71, 200], 6), Connection(None, None)


def stat(pid, name, parent, started, state='S'):
    return '%d (%s) %s %d ' % (pid, name, state, parent) + '0 ' * 17 + '%d 0 0\n' % started


def tree(root, chain, session=None):
    """``chain`` from the process itself upwards, as (name, start)."""
    for number, (name, started) in enumerate(chain):
        pid = 100 - number
        folder = root / 'proc' / ('self' if number == 0 else str(pid))
        folder.mkdir(parents=True)
        (folder / 'stat').write_text(stat(pid, name, 100 - number - 1, started))
    if session is not None:
        (root / 'proc' / 'self' / 'sessionid').write_text(str(session))
    return Host(str(root))


def test_a_name_may_look_like_the_rest_of_the_line():
    found = parse_stat(stat(7, 'a) S 1 (b', 42, 999).encode())
    assert (found.name, found.parent, found.start_ticks, found.state) == (b'a) S 1 (b', 42, 999, b'S')


@pytest.mark.parametrize('text', ['', 'x', '1 (a) S 2 3', '1 (a S 2'])
def test_what_is_no_such_line(text):
    assert parse_stat(text.encode()) is None


def test_the_dead_are_not_there(tmp_path):
    host = tree(tmp_path, [('python3', 9)])
    (tmp_path / 'proc/self/stat').write_text(stat(5, 'x', 1, 9, state='Z'))
    assert process(host, 'self') is None and process(host, '77') is None


@pytest.mark.parametrize('server', ['sshd', 'sshd-session', 'dropbear'])
def test_the_server_is_found_through_become(tmp_path, server):
    chain = [('python3', 9), ('sh', 8), ('sudo', 7), ('sudo', 7), ('sh', 6), (server, 5), (server, 4), ('systemd', 1)]
    assert connection(tree(tmp_path, chain, 12)) == Connection([95, 5], 12)


def test_without_a_server_there_is_none(tmp_path):
    assert connection(tree(tmp_path, [('python3', 9), ('cron', 8), ('systemd', 1)], 2**32 - 1)) == NONE


@pytest.mark.parametrize('which', ['self/stat', '99/stat', '98/stat', 'self/sessionid'])
@pytest.mark.parametrize('number', [errno.ENOMEM, errno.EIO, errno.EPERM])
def test_what_cannot_be_read_is_not_taken_for_another_connection(tmp_path, monkeypatch, which, number):
    host = tree(tmp_path, [('python3', 9), ('sh', 8), ('sshd', 7)], 12)
    real = host.read_bytes

    def read_bytes(path):
        if path == '/proc/' + which:
            raise OSError(number, os.strerror(number), path)
        return real(path)

    monkeypatch.setattr(host, 'read_bytes', read_bytes)
    with pytest.raises(OSError, match=which):
        connection(host)


ASYNC = b'/usr/bin/python3\0/root/.ansible/tmp/x/%s\0j12.9\00060\0/root/.ansible/tmp/x/AnsiballZ_overcommit.py\0_\0'


@pytest.mark.parametrize('name', [b'async_wrapper.py', b'AnsiballZ_async_wrapper.py', b'async_wrapper'])
def test_async_task_has_no_known_connection(tmp_path, name):
    """Two of them over one connection would each look like a new one, and confirm each other."""
    host = tree(tmp_path, [('python3', 9), ('python3', 8), ('python3', 7), ('systemd', 1)], 12)
    assert connection(host) == Connection(None, 12)
    (tmp_path / 'proc/99/cmdline').write_bytes(ASYNC % name)
    with pytest.raises(Refusal, match='async.*Nothing was changed'):
        connection(host)


@pytest.mark.parametrize('cmdline', [
    b'', b'vi\0/root/my_async_wrapper.py\0', b'vi\0/root/async_wrapper.pyc\0', b'/async_wrapper.py/x\0',
    b'x async_wrapper\0'])
def test_what_only_looks_like_a_task_in_the_background(tmp_path, cmdline):
    host = tree(tmp_path, [('python3', 9), ('sh', 8), ('systemd', 1)])
    (tmp_path / 'proc/99/cmdline').write_bytes(cmdline)
    assert connection(host) == NONE


def test_what_a_task_in_the_background_starts_is_none_itself(tmp_path):
    """Such as ansible-pull: each of its tasks counts as a connection of its own."""
    host = tree(tmp_path, [('ansible-pull', 9), ('python3', 8), ('systemd', 1)])
    (tmp_path / 'proc/98/cmdline').write_bytes(ASYNC % b'async_wrapper.py')
    assert connection(host) == NONE


def test_where_the_login_is_found_it_counts(tmp_path):
    host = tree(tmp_path, [('python3', 9), ('python3', 8), ('sshd', 7)], 12)
    (tmp_path / 'proc/99/cmdline').write_bytes(ASYNC % b'async_wrapper.py')
    assert connection(host) == Connection([98, 7], 12)


def test_a_process_below_a_loop_of_parents_does_not_hang(tmp_path):
    host = tree(tmp_path, [('python3', 9), ('sh', 8)])
    (tmp_path / 'proc/99/stat').write_text(stat(99, 'sh', 99, 8))
    assert connection(host) == NONE


@pytest.mark.parametrize(
    'one, other, same',
    [
        (FIRST, FIRST, True),
        (FIRST, SECOND, False),
        (FIRST, FIRST._replace(session=9), True),  # su opens a session of its own
        (FIRST, Connection([70, 101], 5), False),  # the number again, for a later process
        (FIRST, Connection(None, 5), True),  # a daemon has left its ancestors
        (Connection(None, 5), FIRST, True),
        (FIRST, Connection(None, 6), False),
        (FIRST, NONE, False),
        (NONE, NONE, False),  # ansible-pull: every call is a new one
        (Connection(None, 5), Connection(None, 5), False),
    ],
)
def test_same_or_new(one, other, same):
    assert is_same(one, other) is same
