# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time, and nothing is left of the lock."""

import multiprocessing
import os
import signal
import time

import pytest
from special_files import a_socket

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host import lock
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import RUN_FOLDER
from ansible_collections.oomkit.linux.plugins.module_utils._host.writable import WritableHost

FORK = multiprocessing.get_context('fork')


@pytest.fixture
def host(tmp_path):
    (tmp_path / 'run').mkdir()
    return WritableHost(str(tmp_path))


def left(host):
    return sorted(os.path.join(folder, name)[len(host.root):] for folder, folders, names in os.walk(host.root)
                  for name in folders + names)


def hold(host, ready):
    with lock.hold_lock(host):
        ready.set()
        time.sleep(60)


@pytest.fixture
def holder(host):
    """Another process that has it."""
    ready = FORK.Event()
    other = FORK.Process(target=hold, args=(host, ready))
    other.start()
    ready.wait(10)
    yield other
    other.kill()
    other.join()


def test_nothing_is_left_and_it_can_be_had_again(host):
    before = left(host)
    for _time in range(2):
        with lock.hold_lock(host):
            assert host.read_bytes(lock.FILE) == b'%d\n' % os.getpid()
            assert host.stat(lock.FILE).st_mode & 0o777 == 0o600
        assert left(host) == before


def test_what_else_is_in_the_folder_stays(host):
    with lock.hold_lock(host):
        host.replace_file(RUN_FOLDER + '/other', b'')
    assert left(host) == ['/run', '/run/oomkit', '/run/oomkit/other']


def test_an_error_within_gives_it_back(host):
    with pytest.raises(ZeroDivisionError), lock.hold_lock(host):
        raise ZeroDivisionError
    assert left(host) == ['/run']


def test_the_second_run_reports_who_has_the_lock(host, holder):
    with pytest.raises(Refusal, match=r'PID %d\).*within 0 s\. Nothing was changed' % holder.pid), \
            lock.hold_lock(host, 0.2):
        raise AssertionError('both have it')
    assert holder.is_alive()


def test_it_ends_with_its_process(host, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert host.exists(lock.FILE)
    with lock.hold_lock(host, 1):
        pass
    assert left(host) == ['/run']


def count(host, path, times):
    for _time in range(times):
        with lock.hold_lock(host):
            value = int(host.read_bytes(path))
            time.sleep(0.0005)
            host.replace_file(path, b'%d' % (value + 1))


@pytest.mark.thorough
def test_many_at_once_take_turns(host):
    host.replace_file('/number', b'0')
    others = [FORK.Process(target=count, args=(host, '/number', 25)) for _other in range(6)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert host.read_bytes('/number') == b'150'
    assert left(host) == ['/number', '/run']


@pytest.mark.parametrize(('error', 'uid'), [(PermissionError(13, 'no'), 1000), (OSError(30, 'read-only'), 0)])
def test_where_nothing_may_be_written_there_is_nothing_to_guard(host, monkeypatch, error, uid):
    def refused(_path):
        raise error
    monkeypatch.setattr(host, 'open_private', refused)
    monkeypatch.setattr(os, 'geteuid', lambda: uid)
    with lock.hold_lock(host):
        pass


def test_root_goes_nowhere_without_the_lock(host, monkeypatch):
    def refused(_path):
        raise PermissionError(1, 'Operation not permitted', lock.FILE)
    monkeypatch.setattr(host, 'open_private', refused)
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    with pytest.raises(PermissionError), lock.hold_lock(host):
        raise AssertionError('two would be at work')


def test_a_link_in_its_place_is_not_followed(host, tmp_path):
    (tmp_path / 'run/oomkit').mkdir()
    (tmp_path / 'target').write_text('x')
    (tmp_path / 'run/oomkit/lock').symlink_to(tmp_path / 'target')
    real = WritableHost.locate
    try:
        WritableHost.locate = lambda self, path: self.root + path  # as on a real machine, where the kernel resolves
        with pytest.raises(Refusal, match='symbolic.*Remove'), lock.hold_lock(host):
            pass
    finally:
        WritableHost.locate = real
    assert (tmp_path / 'target').read_text() == 'x'


@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo, a_socket])
def test_what_is_in_its_place_is_reported_with_the_remedy(host, tmp_path, make):
    (tmp_path / 'run/oomkit').mkdir()
    make(tmp_path / 'run/oomkit/lock')
    with pytest.raises(Refusal, match=r'/run/oomkit/lock: .*\. Nothing was changed\..*Remove'), lock.hold_lock(host):
        raise AssertionError('it was not taken')


@pytest.mark.parametrize('error', [FileNotFoundError(2, 'No such file or directory', lock.FILE),
                                   FileExistsError(17, 'File exists', RUN_FOLDER)])
def test_a_folder_that_was_deleted_is_not_waited_for_without_end(host, monkeypatch, error):
    """As a bind mount can be one: it is there, and nothing can be made in it."""
    tries = []

    def deleted(_path):
        tries.append(1)
        assert len(tries) < 100
        raise error
    monkeypatch.setattr(host, 'open_private', deleted)
    with pytest.raises(Refusal, match='/run/oomkit.*Nothing was changed.*umount'), lock.hold_lock(host, 0.3):
        raise AssertionError('it was not taken')
    assert len(tries) > 1 and left(host) == ['/run']


def fail_once(monkeypatch, call, error):
    library = lock.fcntl if call == 'flock' else os
    real, failing = getattr(library, call), [error]

    def once(*args):
        if failing:
            raise failing.pop()
        return real(*args)
    monkeypatch.setattr(library, call, once)


@pytest.mark.parametrize('call', ['flock', 'ftruncate', 'pwrite', 'fstat'])
def test_a_failure_leaves_nothing_and_names_the_file(host, monkeypatch, call):
    fail_once(monkeypatch, call, OSError(28, 'No space left on device'))
    with pytest.raises(OSError, match='No space') as caught, lock.hold_lock(host):
        raise AssertionError('it was not taken')
    assert caught.value.filename == lock.FILE
    assert left(host) == ['/run']


def test_a_failure_does_not_take_it_from_who_has_it(host, holder, monkeypatch):
    fail_once(monkeypatch, 'flock', OSError(5, 'Input/output error'))
    with pytest.raises(OSError, match='Input'), lock.hold_lock(host):
        raise AssertionError('both have it')
    assert host.read_bytes(lock.FILE) == b'%d\n' % holder.pid
