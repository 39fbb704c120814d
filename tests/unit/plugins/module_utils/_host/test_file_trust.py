# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others could change is not written to; and how files come to be, and what is left of them."""

import os

import pytest
from special_files import GROUP, USER, set_acl

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host import file_trust
from ansible_collections.oomkit.linux.plugins.module_utils._host.writable import WritableHost
from ansible_collections.oomkit.linux.plugins.module_utils._systemd import drop_in

OURS = '/etc/sysctl.d/99-oomkit.conf'


@pytest.fixture
def host(tmp_path):
    folder = tmp_path / 'etc/sysctl.d'
    folder.mkdir(parents=True)
    for made in (folder, folder.parent, tmp_path):
        made.chmod(0o755)
    return WritableHost(str(tmp_path))


def refused(host, *words, path=OURS):
    with pytest.raises(Refusal) as caught:
        file_trust.check_files(host, [path])
    assert not [word for word in (*words, 'Nothing was changed') if word not in str(caught.value)], caught.value


def test_ordinary_path_is_trusted_with_or_without_file(host, tmp_path):
    file_trust.check_files(host, [OURS, '/etc/systemd/system/a.service.d/90-oomkit.conf'])
    (tmp_path / OURS[1:]).write_text('')
    (tmp_path / OURS[1:]).chmod(0o644)
    file_trust.check_files(host, [OURS])


@pytest.mark.parametrize('mode', [0o777, 0o757, 0o1777])
@pytest.mark.parametrize('folder', ['etc/sysctl.d', 'etc'])
def test_a_folder_that_others_can_write_is_refused(host, tmp_path, folder, mode):
    (tmp_path / folder).chmod(mode)
    if folder == 'etc' and mode == 0o1777:
        file_trust.check_files(host, [OURS])  # nobody else can replace what lies in it
    else:
        refused(host, '/' + folder, '%04o' % mode)


def test_a_file_that_others_can_write_is_refused(host, tmp_path):
    (tmp_path / OURS[1:]).write_text('')
    (tmp_path / OURS[1:]).chmod(0o666)
    refused(host, OURS, '0666')


@pytest.mark.parametrize('gid, fine', [(0, True), (4242, False)])
def test_a_group_is_somebody_else_too(host, tmp_path, gid, fine):
    if os.geteuid():
        pytest.skip('only root can give a file to a group of its choice, and this is user %d' % os.geteuid())
    os.chown(tmp_path / 'etc/sysctl.d', 0, gid)
    (tmp_path / 'etc/sysctl.d').chmod(0o775)
    if fine:
        file_trust.check_files(host, [OURS])
    else:
        refused(host, 'group 4242')


def test_what_belongs_to_somebody_else_is_refused(host, tmp_path):
    if os.geteuid():
        pytest.skip('only root can give a file away, and this is user %d' % os.geteuid())
    (tmp_path / OURS[1:]).write_text('')
    os.chown(tmp_path / OURS[1:], 1234, 1234)
    refused(host, 'owner 1234')


def test_a_link_is_followed_only_through_safe_folders(host, tmp_path):
    (tmp_path / 'srv').mkdir(mode=0o755)
    (tmp_path / OURS[1:]).symlink_to('/srv/kept.conf')
    file_trust.check_files(host, [OURS])
    (tmp_path / 'srv').chmod(0o777)
    refused(host, '/srv', 'on the way to ' + OURS)
    (tmp_path / 'srv').chmod(0o755)
    # A detour by a link that others could turn round.
    (tmp_path / 'open').mkdir()
    (tmp_path / 'open').chmod(0o777)
    (tmp_path / 'open/by').symlink_to('/srv/kept.conf')
    (tmp_path / OURS[1:]).unlink()
    (tmp_path / OURS[1:]).symlink_to('/open/by')
    refused(host, '/open')


@pytest.mark.parametrize('place', ['etc/sysctl.d', 'etc', OURS[1:]])
@pytest.mark.parametrize('tag, who', [(USER, 65534), (GROUP, 65534)])
def test_who_is_in_an_access_control_list_is_somebody_else(host, tmp_path, place, tag, who):
    (tmp_path / OURS[1:]).write_text('')
    set_acl(tmp_path / place, tag, who, rights=5)
    file_trust.check_files(host, [OURS])
    set_acl(tmp_path / place, tag, who)
    refused(host, '/' + place, 'getfacl')
    (tmp_path / place).chmod(0o755)  # the cure: without the mask's right nobody named has it
    file_trust.check_files(host, [OURS])


def test_root_in_an_access_control_list_is_no_danger(host, tmp_path):
    set_acl(tmp_path / 'etc/sysctl.d', USER, 0)
    file_trust.check_files(host, [OURS])


def test_users_link_in_a_sticky_folder_is_not_followed(host, tmp_path):
    if os.geteuid():
        pytest.skip('only root can give a link to somebody, and this is user %d' % os.geteuid())
    (tmp_path / 'etc/shadow').write_text('root:*\n')
    (tmp_path / 'tmp').mkdir()
    (tmp_path / 'tmp').chmod(0o1777)
    (tmp_path / OURS[1:]).symlink_to('/tmp/conf')
    (tmp_path / 'tmp/conf').symlink_to('/etc/shadow')
    os.chown(tmp_path / 'tmp/conf', 65534, 65534, follow_symlinks=False)
    refused(host, '/tmp/conf (on the way to ' + OURS, 'owner 65534', 'chown -h')
    # Root's own too: the owner of a folder can move or link a link of root's there.
    os.chown(tmp_path / 'tmp/conf', 0, 0, follow_symlinks=False)
    refused(host, '/tmp (on the way to ' + OURS, 'mode 1777', "folder of root's")


@pytest.fixture
def sticky(tmp_path):
    """A folder as /tmp is one."""
    if os.geteuid():
        pytest.skip('only root can give files to somebody, and this is user %d' % os.geteuid())
    (tmp_path / 'tmp').mkdir()
    (tmp_path / 'tmp').chmod(0o1777)
    return tmp_path / 'tmp'


LINKED = {
    'nothing there': lambda tmp: None,
    'a folder that is not there': lambda tmp: None,
    'a folder of a user': lambda tmp: give_away(tmp / 'd', os.mkdir),
    'a link of a user': lambda tmp: give_away(tmp / 'd', lambda path: os.symlink('/etc', path)),
    'a link of root': lambda tmp: os.symlink('/etc', tmp / 'd'),
    'a link of root that leads nowhere': lambda tmp: os.symlink('/tmp/e', tmp / 'd'),
    'a chain of links that leads nowhere': lambda tmp: (os.symlink('e', tmp / 'd'), os.symlink('f', tmp / 'e')),
    'a hard link to a link of root': lambda tmp: (os.symlink('/etc', tmp.parent / 'own'),
                                                  os.link(tmp.parent / 'own', tmp / 'd', follow_symlinks=False)),
    'a pipe of root': lambda tmp: os.mkfifo(tmp / 'd'),
    'a file of root': lambda tmp: (tmp / 'd').write_text(''),
}


def give_away(path, make):
    make(path)
    os.chown(path, 1234, 1234, follow_symlinks=False)


@pytest.mark.parametrize('make', LINKED.values(), ids=LINKED)
@pytest.mark.parametrize('link', ['file', 'folder', 'twice', 'by dots'])
def test_only_roots_folders_are_trusted_in_a_sticky_folder(host, tmp_path, sticky, make, link):
    """Whatever else is there somebody else can have put there, and what is not there yet he can make."""
    make(sticky)
    path = OURS
    if link == 'file':
        (tmp_path / OURS[1:]).symlink_to('/tmp/d/x.conf')
    elif link == 'folder':
        path = '/etc/systemd/system/a.service.d/90-oomkit.conf'
        (tmp_path / 'etc/systemd/system').mkdir(parents=True)
        (tmp_path / 'etc/systemd/system/a.service.d').symlink_to('/tmp/d')
    elif link == 'twice':
        (tmp_path / 'srv').symlink_to('/tmp/d')
        (tmp_path / OURS[1:]).symlink_to('/srv/deep/x.conf')
    else:
        (tmp_path / OURS[1:]).symlink_to('/tmp/d/../../etc/x.conf')
    refused(host, '/tmp', 'on the way to ' + path, path=path)


@pytest.mark.parametrize('path', ['/tmp/d/x.conf', '/tmp/d/e/x.conf', '/tmp/d/not/there/x.conf'])
def test_through_a_folder_of_roots_in_a_sticky_one_it_is_fine(host, tmp_path, sticky, path):
    (sticky / 'd').mkdir(mode=0o755)
    (sticky / 'd/e').mkdir(mode=0o755)
    (tmp_path / OURS[1:]).symlink_to(path)
    file_trust.check_files(host, [OURS])
    (sticky / 'd').chmod(0o2755)  # what is made there gets the group of the folder, and it may write to nothing
    file_trust.check_files(host, [OURS])
    os.chown(sticky / 'd', 1234, 0)
    refused(host, '/tmp/d', 'owner 1234')


def test_a_sticky_folder_of_a_user_is_his(host, tmp_path, sticky):
    """Its owner can rename and remove whatever is in it."""
    (sticky / 'd').mkdir(mode=0o755)
    os.chown(sticky, 1234, 1234)
    (tmp_path / OURS[1:]).symlink_to('/tmp/d/x.conf')
    refused(host, '/tmp (on', 'owner 1234')


def test_hard_link_of_a_user_keeps_the_old_content(host, tmp_path):
    """It is replaced, never written into: his name keeps the old content, and nothing has to be refused."""
    (tmp_path / OURS[1:]).write_text('old')
    (tmp_path / 'home').mkdir()
    os.link(tmp_path / OURS[1:], tmp_path / 'home/his')
    file_trust.check_files(host, [OURS])
    host.replace_file(OURS, b'new')
    assert (tmp_path / 'home/his').read_text() == 'old' and (tmp_path / OURS[1:]).read_text() == 'new'


@pytest.mark.parametrize('make', [lambda host: host.replace_file(OURS, b'x'), lambda host: host.make_folder(OURS)])
def test_default_acl_lets_nobody_write_to_new_files(host, tmp_path, make):
    folder = tmp_path / 'etc/sysctl.d'
    set_acl(folder, USER, 65534, kind='default')
    make(host)
    file_trust.check_files(host, [OURS if (tmp_path / OURS[1:]).is_file() else OURS + '/x'])


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(host, tmp_path, make):
    """A drop-in that is a link to /dev/null would otherwise cost the machine its /dev/null."""
    (tmp_path / 'dev').mkdir(mode=0o755)
    make(tmp_path / 'dev/null')
    path = drop_in.build_path('a.service')
    (tmp_path / path[1:]).parent.mkdir(parents=True)
    (tmp_path / path[1:]).symlink_to('/dev/null')
    refused(host, path, '/dev/null', 'not a regular file', path=path)


# ------------------------------------------------------------------------ files on their way

@pytest.mark.parametrize('name', ['a.conf', 'ä' * 100 + '.conf', 'x' * 255])
def test_killed_run_leaves_only_what_the_next_removes(host, tmp_path, name, monkeypatch):
    folder, path = tmp_path / 'etc/sysctl.d', '/etc/sysctl.d/' + name
    monkeypatch.setattr(os, 'rename', lambda *_names: os._exit(9))
    pid = os.fork()
    if pid == 0:
        host.replace_file(path, b'half')
    os.waitpid(pid, 0)
    monkeypatch.undo()
    assert len(os.listdir(folder)) == 1 and os.listdir(folder)[0].startswith('.oomkit-')
    host.replace_file(path, b'whole')
    assert os.listdir(folder) == [name] and (folder / name).read_bytes() == b'whole'


def test_a_link_at_the_temporary_name_is_not_written_through(host, tmp_path):
    (tmp_path / 'target').write_text('theirs')
    (tmp_path / 'etc/sysctl.d/.oomkit-99-oomkit.conf~').symlink_to(tmp_path / 'target')
    host.replace_file(OURS, b'ours')
    assert (tmp_path / 'target').read_text() == 'theirs'
    assert os.listdir(tmp_path / 'etc/sysctl.d') == ['99-oomkit.conf']


def test_lines_of_others_in_our_drop_in_stay_exactly():
    odd = b'# form\x0cfeed \xe2\x80\xa8 and \x85\x1c\n[Service]\nNice=3\r\n'
    edited = drop_in.edit(drop_in.HEADER.encode() + b'\n' + odd, {'OOMScoreAdjust': 5})
    assert drop_in.without_ours(edited) == (odd, [])
