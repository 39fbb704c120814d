# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diff shows of files: lines that change, and nothing else of a file that others may not read."""

import difflib
import json

import pytest
from machine import OURS, run
from services_machine import ETC, ServiceMachine
from special_files import GROUP, USER, set_acl

from ansible_collections.oomkit.linux.plugins.module_utils._host import file_diff
from ansible_collections.oomkit.linux.plugins.module_utils._host.transaction import MARKER
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.file_edit import HEADER
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import ALL_KEYS
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.drop_in import HEADER as UNIT_HEADER

SECRET = 'hunter2'
THEIRS = '/etc/sysctl.d/zz.conf'
CONF = '/etc/conf.d/x'


def describe(host, path, before, after):
    (one,) = file_diff.describe_files(host, {path: (before, after)}, ALL_KEYS)
    assert one['before_header'] == one['after_header'] and one['before_header'].startswith(path)
    return one['before'], one['after']


# ------------------------------------------------------------- files that all may read

def test_diff_shows_changes_with_three_context_lines(machine):
    lines = [f'# line {number}\n' for number in range(1, 41)]
    after = lines[:9] + ['new\n'] + lines[10:29] + lines[30:]
    machine.put(THEIRS, ''.join(lines))
    shown = describe(machine, THEIRS, ''.join(lines).encode(), ''.join(after).encode())
    assert shown[0].splitlines() == [
        '[6 unchanged lines]', *(f'# line {number}' for number in range(7, 14)), '[13 unchanged lines]',
        *(f'# line {number}' for number in range(27, 34)), '[7 unchanged lines]']
    changes = [line for line in difflib.ndiff(*(text.splitlines() for text in shown)) if line[0] in '+-']
    assert changes == ['- # line 10', '+ new', '- # line 30']


@pytest.mark.parametrize('before, after', [
    (None, b'a\nb\n'), (b'a\nb', None), (b'a\n', b'b\n'), (b'', b'a'), (b'a', b'a\n'), (b'a\xff\n', b'\r\n\0')])
def test_short_files_are_shown_whole(machine, before, after):
    if before is not None:
        machine.put(THEIRS, before)
    shown = describe(machine, THEIRS, before, after)
    assert [text.encode('utf-8', 'surrogateescape') for text in shown] == [before or b'', after or b'']


def test_what_does_not_change_is_not_shown_at_all(machine):
    machine.put(THEIRS, 'a\nb\n')
    assert describe(machine, THEIRS, b'a\nb\n', b'a\nb\n') == ('', '')


def test_a_long_file_takes_no_time(machine):
    """20,000 lines, changed at both ends, half of them anyway."""
    lines = [b'# %d\n' % (number if number % 2 else 0) for number in range(20_000)]
    machine.put(THEIRS, b''.join(lines))
    before, after = describe(machine, THEIRS, b''.join(lines), b''.join([b'y\n', *lines[1:-1], b'y\n']))
    assert len(before) < 200 and after.count('y') == 2


# -------------------------------------------------------- files that others may not read

def hidden_by_mode(machine, path):
    (machine.base / path[1:]).chmod(0o640)


def hidden_from_the_group(machine, path):
    (machine.base / path[1:]).chmod(0o604)


def hidden_by_folder(machine, path):
    (machine.base / path[1:]).parent.chmod(0o700)


def hidden_by_folder_above(machine, path):
    (machine.base / 'etc').chmod(0o750)


def hidden_by_link(machine, path):
    target = machine.put('/etc/private/file', (machine.base / path[1:]).read_text())
    target.parent.chmod(0o700)
    (machine.base / path[1:]).unlink()
    machine.link(path, '/etc/private/file')


def hidden_by_acl(machine, path):
    set_acl(machine.base / path[1:], USER, 1234, rights=0)


def hidden_by_acl_of_folder(machine, path):
    set_acl((machine.base / path[1:]).parent, GROUP, 1234, rights=4)


HIDDEN = [hidden_by_mode, hidden_from_the_group, hidden_by_folder, hidden_by_folder_above, hidden_by_link,
          hidden_by_acl, hidden_by_acl_of_folder]


@pytest.mark.parametrize('hide', HIDDEN)
def test_others_file_changes_only_in_the_line_commented_out(machine, hide):
    machine.put(THEIRS, f'# {SECRET}\nkernel.core_pattern = {SECRET}\nvm.overcommit_ratio = 70 # {SECRET}\n'
                        f'vm.overcommit_memory = 1\n# {SECRET}\n')
    hide(machine, THEIRS)
    desired = {'mode': 'never', 'ratio': 80, 'conflicts': 'comment_out'}
    planned = run(machine, 'overcommit', check=True, **desired)['diff']
    done = run(machine, 'overcommit', **desired)['diff']
    assert planned == done and SECRET not in json.dumps(done)
    (one,) = [part for part in done if 'zz.conf' in part['after_header'] or 'private' in part['after_header']]
    assert 'others may not read it' in one['after_header']
    assert one['after'].splitlines() == [MARKER + 'vm.overcommit_ratio = 70 [...]', MARKER + 'vm.overcommit_memory = 1']
    back = run(machine, 'overcommit', state='absent')['diff']
    assert SECRET not in json.dumps(back) and 'vm.overcommit_memory = 1\n' in json.dumps(back).replace('\\n', '\n')


@pytest.mark.parametrize('hide', HIDDEN[:2])
def test_of_our_own_file_only_our_lines(machine, hide):
    machine.put(OURS, f'{HEADER}# {SECRET}\nvm.overcommit_ratio = 70\nnet.x = {SECRET}\n')
    hide(machine, OURS)
    (one,) = [part for part in run(machine, 'overcommit', ratio=60)['diff'] if OURS in part['after_header']]
    assert (one['before'], one['after']) == ('vm.overcommit_ratio = 70\n', 'vm.overcommit_ratio = 60\n')
    machine.put(OURS, f'{HEADER}{SECRET}\nvm.overcommit_ratio = 60\n')
    assert SECRET not in json.dumps(run(machine, 'overcommit', state='absent')['diff'])


def test_a_service_of_openrc(tmp_path):
    machine = ServiceMachine(tmp_path, init='openrc')
    machine.put('/run/openrc/softlevel', 'default')
    machine.put('/etc/init.d/x', '#!/sbin/openrc-run\ncommand=/bin/x\n')
    machine.put('/usr/lib/rc/sbin/start-stop-daemon', 'ELF SSD_OOM_SCORE_ADJ')
    machine.put(CONF, f'PASSWORD={SECRET}').chmod(0o600)
    desired = {'name': 'x', 'score_adj': -4}
    planned = machine.run(check=True, **desired)['diff']
    assert planned == machine.run(**desired)['diff']
    assert [(one['before'], one['after']) for one in planned] == [
        ('', 'export SSD_OOM_SCORE_ADJ=-4  # oomkit.linux +1\n')]
    (one,) = machine.run(name='x', state='absent')['diff']
    assert (one['before'], one['after']) == ('export SSD_OOM_SCORE_ADJ=-4  # oomkit.linux +1\n', '')


def test_a_drop_in_of_others_and_one_of_ours_that_is_removed(tmp_path):
    """The file that is gone after the run is looked at before it."""
    machine = ServiceMachine(tmp_path)
    machine.unit('x.service')
    theirs, ours = f'{ETC}/x.service.d/zz.conf', f'{ETC}/x.service.d/90-oomkit.conf'
    text = f'[Service]\nEnvironment=PASSWORD={SECRET}\nOOMScoreAdjust=5\n# {SECRET}\n'
    machine.put(theirs, text).chmod(0o600)
    desired = {'name': 'x', 'score_adj': -4, 'conflicts': 'comment_out'}
    planned = machine.run(check=True, **desired)['diff']
    assert planned == machine.run(**desired)['diff'] and SECRET not in json.dumps(planned)
    assert (planned[-1]['before'], planned[-1]['after']) == ('OOMScoreAdjust=5\n', MARKER + 'OOMScoreAdjust=5\n')
    (machine.base / ours[1:]).write_text(f'{UNIT_HEADER}\n# {SECRET}\n[Service]\nOOMScoreAdjust=-4\n')
    (machine.base / ours[1:]).chmod(0o600)
    gone = machine.run(name='x', state='absent')['diff']
    assert SECRET not in json.dumps(gone) and 'OOMScoreAdjust=-4' in json.dumps(gone)


@pytest.mark.parametrize('line', [
    SECRET, f'# {SECRET}', f'vm.overcommit_ratio = {SECRET}', f'vm.overcommit_ratio = 7{SECRET}',
    f'OOMScoreAdjust={SECRET}', f'OOMPolicy=stop{SECRET}', f'[Service]{SECRET}', f'{MARKER}{SECRET}',
    f'export SSD_OOM_SCORE_ADJ=-4  # oomkit.linux{SECRET}', f'export SSD_OOM_SCORE_ADJ={SECRET}',
    f'# Made by the Ansible collection oomkit.linux, {SECRET}.', f'PASSWORD={SECRET} vm.overcommit_ratio = 70',
    f'vm.overcommit_ratio = 70\r{SECRET}', f'OOMScoreAdjust=5\0{SECRET}', f'OOMScoreAdjust=5 \\\n{SECRET}'])
def test_no_line_that_holds_more_than_a_setting_is_shown(machine, line):
    machine.put(THEIRS, line).chmod(0o600)
    for before, after in ((line, ''), (line, MARKER + line), (line, line + '\nvm.overcommit_ratio = 70\n')):
        assert SECRET not in ''.join(describe(machine, THEIRS, before.encode(), after.encode()))


def test_a_file_whose_readers_are_unknown_is_hidden(machine):
    machine.link('/etc/sysctl.d/zz.conf', 'zz.conf')
    assert not file_diff.others_may_read(machine, THEIRS)
    assert not file_diff.others_may_read(machine, '/etc/sysctl.d/none.conf')
