# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files are opened: no device, no pipe, and nothing of the kernel by a name that somebody else has chosen."""

import errno
import fcntl
import os
import stat
import subprocess
import sys
import textwrap
import time

import pytest
from special_files import a_device, a_socket

from ansible_collections.oomkit.linux.plugins.module_utils._host import host
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._host.writable import WritableHost

NOBODY = 65534
HOST = Host()
DOORS = [HOST.read_bytes, HOST.read_named_file]


def a_pipe(path):
    os.mkfifo(path)


def a_link_to(make):
    def link(path):
        make(path.with_name('target'))
        path.symlink_to(path.with_name('target'))
    link.__name__ = 'a_link_to_' + make.__name__
    return link


KINDS = [a_pipe, a_socket, a_device, a_link_to(a_pipe), a_link_to(a_device)]


@pytest.mark.parametrize('make', KINDS)
def test_what_is_no_regular_file_has_no_content(tmp_path, make):
    make(tmp_path / 'x')
    assert HOST.read_bytes(str(tmp_path / 'x')) == b''
    with pytest.raises(OSError, match='Not a regular file') as caught:
        HOST.read_named_file(str(tmp_path / 'x'))
    assert caught.value.filename == str(tmp_path / 'x')


@pytest.mark.parametrize('door', DOORS)
def test_a_pipe_is_not_opened(tmp_path, door):
    """Who waits for a reader goes on as soon as there is one."""
    os.mkfifo(tmp_path / 'pipe')
    writer = subprocess.Popen([sys.executable, '-c', 'import sys; open(sys.argv[1], "w")', str(tmp_path / 'pipe')])
    try:
        time.sleep(0.5)
        for _time in range(20):
            try:
                door(str(tmp_path / 'pipe'))
            except OSError as exc:
                assert exc.errno == errno.EINVAL
        time.sleep(0.2)
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()


@pytest.mark.parametrize('door', DOORS)
def test_no_driver_sees_an_open(tmp_path, door, monkeypatch):
    a_device(tmp_path / 'x')
    made = []
    real = os.listdir
    monkeypatch.setattr(os, 'close', lambda fd, close=os.close: (made.append(real('/dev/pts')), close(fd)))
    before = real('/dev/pts')
    try:
        door(str(tmp_path / 'x'))
    except OSError as exc:
        assert exc.errno == errno.EINVAL
    assert made and all(one == before for one in made)


@pytest.mark.parametrize('door', DOORS)
@pytest.mark.parametrize('target', ['/proc/version', '/proc/self/../version', '/sys/kernel/uevent_seqnum',
                                    '/proc/self/root/proc/version'])
def test_a_link_to_a_file_of_the_kernel_is_not_followed(tmp_path, door, target):
    if not os.path.exists(target):
        pytest.skip(target + ' is not here')
    (tmp_path / 'x').symlink_to(target)
    (tmp_path / 'y').symlink_to('x')
    with pytest.raises(OSError, match='Not a stored file'):
        door(str(tmp_path / 'y'))


@pytest.mark.parametrize('path', ['/proc/version', '/proc/self/root/etc/passwd', '/sys/kernel/uevent_seqnum',
                                  '/proc/self/cwd', '//proc/version', '/etc/../proc/version'])
def test_forged_kernel_path_is_refused(path):
    with pytest.raises(OSError):
        HOST.read_named_file(path)


def test_dots_do_not_lead_out_of_kernel_folders(tmp_path):
    """A cgroup above our namespace is shown with dots in its path."""
    os.mkfifo(tmp_path / 'memory.max')
    assert HOST.read_bytes('/proc/..%s/memory.max' % tmp_path) == b''
    (tmp_path / 'x').symlink_to('/proc/version')
    with pytest.raises(OSError, match='Not a stored file'):
        HOST.read_bytes('/sys/..%s/x' % tmp_path)


def test_our_own_names_of_files_of_the_kernel_go_on_working():
    assert HOST.read_bytes('/proc/version').startswith(b'Linux')
    assert HOST.read_bytes('/proc/self/stat') and HOST.read_bytes('/proc/nothing') is None


@pytest.mark.parametrize('door', DOORS)
def test_an_ordinary_file_is_read_also_through_links(tmp_path, door):
    (tmp_path / 'x').write_bytes(b'1\n')
    (tmp_path / 'y').symlink_to('x')
    assert door(str(tmp_path / 'x')) == door(str(tmp_path / 'y')) == b'1\n'
    (tmp_path / 'x').unlink()
    assert door(str(tmp_path / 'y')) is None
    with pytest.raises(IsADirectoryError):
        door(str(tmp_path))


@pytest.mark.parametrize('door', DOORS)
def test_a_file_that_is_exchanged_for_another_one_is_not_opened(tmp_path, monkeypatch, door):
    """Between the look and the open, as the owner of the folder can."""
    (tmp_path / 'x').write_bytes(b'looked at')
    os.mkfifo(tmp_path / 'pipe')
    real, opened = os.fstat, []

    def exchange(fd):
        info = real(fd)
        if stat.S_ISREG(info.st_mode) and not opened:
            opened.append(1)
            os.rename(tmp_path / 'pipe', tmp_path / 'x')
        return info
    monkeypatch.setattr(os, 'fstat', exchange)
    assert door(str(tmp_path / 'x')) == b'looked at' and opened


def without_procfs(monkeypatch, then=lambda: None):
    """As in a chroot where nothing is mounted at /proc."""
    real = os.open

    def refuse(path, *args, **more):
        if str(path).startswith('/proc/'):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        fd = real(path, *args, **more)
        if args[0] & os.O_PATH:
            then()
        return fd
    monkeypatch.setattr(os, 'open', refuse)


def test_without_procfs_the_name_is_opened_and_compared(tmp_path, monkeypatch):
    (tmp_path / 'x').write_bytes(b'1')
    (tmp_path / 'other').write_bytes(b'2')
    without_procfs(monkeypatch)
    assert HOST.read_bytes(str(tmp_path / 'x')) == b'1'
    monkeypatch.undo()
    without_procfs(monkeypatch, lambda: os.rename(tmp_path / 'other', tmp_path / 'x'))
    with pytest.raises(OSError) as caught:
        HOST.read_bytes(str(tmp_path / 'x'))
    assert caught.value.errno == errno.ESTALE


@pytest.mark.parametrize('kind, stored', [
    ('proc', False), ('sysfs', False), ('devtmpfs', False), ('cgroup2', False), ('mqueue', False), ('tmpfs', True),
    ('ext4', True), ('overlay', True), ('fuse.sshfs', True)])
def test_which_file_systems_store_files(kind, stored):
    info = os.stat('/')
    if kind not in ('tmpfs', 'ext4', 'overlay', 'fuse.sshfs'):
        known = (HOST.read_text('/proc/filesystems') or '').split()
        if kind not in known:
            pytest.skip('this kernel has no ' + kind)
    assert host._is_stored(kind, info) is stored


MOUNTED = textwrap.dedent('''
    import os, subprocess, sys
    from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
    folder = sys.argv[1]
    os.mkdir(folder + '/p')
    subprocess.run(['mount', '-t', 'proc', '-o', 'hidepid=1', 'x', folder + '/p'], check=True)
    assert os.stat(folder + '/p').st_dev != os.stat('/proc').st_dev or sys.exit(3)
    try:
        print('read', Host().read_named_file(folder + '/p/version'))
    except OSError as exc:
        print(exc.strerror)
''')


def test_another_procfs_is_one_too(tmp_path):
    """Anybody can mount one in namespaces of his own, where /proc/PID/root shows it to us."""
    if os.geteuid():
        pytest.skip('only root can make mounts, and this is user %d' % os.geteuid())
    path = os.pathsep.join(sys.path)
    done = subprocess.run(['unshare', '--mount', sys.executable, '-c', MOUNTED, str(tmp_path)], capture_output=True,
                          text=True, env=dict(os.environ, PYTHONPATH=path), check=False)
    if done.returncode:
        pytest.skip('no second procfs can be mounted here: ' + done.stderr[-200:])
    assert 'Not a stored file, but one of the kernel (file system proc)' in done.stdout


def test_file_lease_blocks_no_reader(tmp_path):
    (tmp_path / 'x').write_bytes(b'1')
    with open(tmp_path / 'x') as held:
        try:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as exc:
            pytest.skip('no leases on this file system: %s' % exc)
    child = subprocess.Popen([sys.executable, '-c', textwrap.dedent('''
        import fcntl, os, signal, sys, time
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        fd = os.open(sys.argv[1], os.O_RDWR)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        print('ready', flush=True)
        time.sleep(60)
        '''), str(tmp_path / 'x')], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        start = time.monotonic()
        with pytest.raises(BlockingIOError):
            HOST.read_named_file(str(tmp_path / 'x'))
        assert time.monotonic() - start < 5
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize('make', KINDS)
def test_a_copy_is_made_of_a_regular_file_only(tmp_path, make):
    make(tmp_path / 'x')
    WritableHost().copy_file(str(tmp_path / 'x'), str(tmp_path / 'copy'))
    assert (tmp_path / 'copy').read_bytes() == b''
    with pytest.raises(FileNotFoundError):
        WritableHost().copy_file(str(tmp_path / 'none'), str(tmp_path / 'copy'))
