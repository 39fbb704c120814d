# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the report in folders that others can write to: nobody leads the controller elsewhere."""

import os
import stat
import subprocess
import sys

import pytest

from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet import atomic_file

NOBODY = 65534
SECRET = 'a file of the user, which nobody else may change'
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file to somebody else')
MODES = [0o1777, 0o777, 0o775, 0o1773]


@pytest.fixture
def secret(tmp_path):
    """A file that is no report, in a folder of our own. It has to stay as it is."""
    path = tmp_path / 'own' / 'secret'
    path.parent.mkdir()
    path.write_text(SECRET)
    path.chmod(0o600)
    yield path
    assert path.read_text() == SECRET and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ['secret']


@pytest.fixture(params=MODES, ids=oct)
def shared(tmp_path, request):
    """A folder that others can write to."""
    path = tmp_path / 'shared'
    path.mkdir()
    path.chmod(request.param)
    return path


def write(path, text='new'):
    return atomic_file.write(str(path), lambda file: file.write(text))


def refused(path, words):
    before = sorted(os.listdir(path.parent))
    with pytest.raises(OSError, match=words):
        write(path)
    assert sorted(os.listdir(path.parent)) == before


@pytest.mark.parametrize('exists', [True, False])
def test_a_link_in_a_shared_folder(shared, secret, exists):
    (shared / 'x').symlink_to(secret if exists else secret.parent / 'fresh')
    refused(shared / 'x', 'link on the way')


def test_a_link_to_a_folder_in_a_shared_folder(shared, secret):
    (shared / 'x').symlink_to(secret.parent)
    for path in (shared / 'x' / 'secret', shared / 'x' / 'fresh'):
        with pytest.raises(OSError, match='link on the way'):
            write(path)


def test_a_link_of_our_own_to_a_link_in_a_shared_folder(tmp_path, shared, secret):
    (shared / 'x').symlink_to(secret)
    (tmp_path / 'mine').symlink_to('shared/x')
    refused(tmp_path / 'mine', 'link on the way')


@pytest.mark.parametrize('above', [0o777, 0o775])
def test_a_folder_that_others_can_put_in_the_place_of_ours(tmp_path, secret, above):
    """Our own folder lies in one without the sticky bit: others can exchange it, so that its links are not ours."""
    folder = tmp_path / 'shared' / 'mine'
    folder.mkdir(parents=True)
    folder.parent.chmod(above)
    (folder / 'x').symlink_to(secret)
    refused(folder / 'x', 'link on the way')


def test_a_file_of_our_own_in_a_shared_folder_is_replaced(shared):
    assert write(shared / 'x') is True
    (shared / 'x').chmod(0o640)
    assert write(shared / 'x') is False and write(shared / 'x', 'other') is True
    assert (shared / 'x').read_text() == 'other' and stat.S_IMODE((shared / 'x').stat().st_mode) == 0o640
    assert os.listdir(shared) == ['x']


def test_another_name_of_a_file_of_ours(shared, secret):
    os.link(secret, shared / 'x')
    assert write(shared / 'x') is True and not os.path.samefile(shared / 'x', secret)


@AS_ROOT
@pytest.mark.parametrize('make', [lambda path: path.write_text('old'), os.mkfifo], ids=['file', 'pipe'])
def test_what_is_of_somebody_else_in_a_shared_folder(shared, make):
    make(shared / 'x')
    (shared / 'x').chmod(0o666)
    os.chown(shared / 'x', NOBODY, NOBODY)
    refused(shared / 'x', 'of somebody else, in a folder that others can write to')


@AS_ROOT
def test_the_folder_of_somebody_else_is_shared(tmp_path, secret):
    folder = tmp_path / 'theirs'
    folder.mkdir(mode=0o755)
    (folder / 'x').symlink_to(secret)
    os.chown(folder, NOBODY, NOBODY)
    refused(folder / 'x', 'link on the way')


@AS_ROOT
def test_a_link_of_somebody_else_in_our_own_folder(tmp_path, secret):
    (tmp_path / 'x').symlink_to(secret)
    os.chown(tmp_path / 'x', NOBODY, NOBODY, follow_symlinks=False)
    refused(tmp_path / 'x', 'link on the way')


@AS_ROOT
def test_mode_of_others_file_is_not_changed(tmp_path):
    (tmp_path / 'x').write_text('old')
    (tmp_path / 'x').chmod(0o666)
    os.chown(tmp_path / 'x', NOBODY, NOBODY)
    assert write(tmp_path / 'x') is True
    assert not (tmp_path / 'x').stat().st_mode & 0o022 and (tmp_path / 'x').stat().st_uid == 0


def test_a_link_that_comes_while_it_is_written_is_replaced(shared, secret):
    def fill(file):
        file.write('new')
        (shared / 'x').unlink(missing_ok=True)
        (shared / 'x').symlink_to(secret)

    for _time in range(2):
        assert atomic_file.write(str(shared / 'x'), fill) is True
        assert not (shared / 'x').is_symlink() and (shared / 'x').read_text() == 'new'


def test_a_folder_that_is_exchanged_while_it_is_written(shared, secret):
    (shared / 'sub').mkdir()

    def fill(file):
        file.write('new')
        (shared / 'sub').rename(shared / 'moved')
        (shared / 'sub').symlink_to(secret.parent)

    atomic_file.write(str(shared / 'sub' / 'secret'), fill)
    assert (shared / 'moved' / 'secret').read_text() == 'new'


def test_links_of_our_own_in_our_own_folders_stay(tmp_path):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    (tmp_path / 'folder').symlink_to('a/b')
    (tmp_path / 'a' / 'b' / 'x').symlink_to('../real')
    (tmp_path / 'again').symlink_to(tmp_path / 'folder' / 'x')
    assert write(tmp_path / 'again') is True
    assert (tmp_path / 'a' / 'real').read_text() == 'new' and (tmp_path / 'again').is_symlink()
    (tmp_path / 'round').symlink_to('round')
    refused(tmp_path / 'round', 'symbolic links')


@pytest.mark.parametrize('path', ['.', '..', '/', 'sub/', 'sub'])
def test_a_folder_is_no_file(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'sub').mkdir()
    with pytest.raises(IsADirectoryError):
        write(path)
    assert os.listdir(tmp_path) == ['sub']


@pytest.mark.parametrize('path', ['/dev/stdout', '/dev/fd/1', '/proc/self/fd/1', '/dev/stderr'])
@pytest.mark.parametrize('kind', ['pipe', 'file'])
def test_the_own_output_is_written_to_as_it_is(tmp_path, path, kind):
    """Where it is a file, that file is not replaced: what was written before stays."""
    code = ('import sys; from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet import atomic_file as f; '
            'print("before", flush=True, file=sys.stderr if "err" in sys.argv[1] else sys.stdout); '
            'f.write(sys.argv[1], lambda file: file.write("new"))')
    words = [sys.executable, '-c', code, path]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    if kind == 'pipe':
        reported = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, check=True).stdout
    else:
        with (tmp_path / 'out').open('wb') as out:
            subprocess.run(words, stdout=out, stderr=out, env=env, check=True)
        reported = (tmp_path / 'out').read_bytes()
    assert reported == b'before\nnew'


def test_a_device_is_written_to():
    assert write('/dev/null') is True and stat.S_ISCHR(os.stat('/dev/null').st_mode)
