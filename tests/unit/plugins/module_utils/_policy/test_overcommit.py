# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import errno
import json
import os
import shutil

import amounts
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machine import OURS, Machine, run

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host import file_draft
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import (
    ADMIN_RESERVE,
    KBYTES,
    MEMORY,
    RATIO,
    USER_RESERVE,
)
from ansible_collections.oomkit.linux.plugins.module_utils._policy.apply import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import file_edit, saved_values

ENTRIES = {
    'ratio': st.integers(0, 300),
    'kbytes': st.integers(4, 10**7),
    'commit_limit': st.sampled_from(['3G', '60%', '130%']),
}


def again_is_unchanged(machine, **params):
    result = run(machine, 'overcommit', **params)
    assert not result['changed'] and result['changed_keys'] == [] and result['diff'] == []


def test_first_run_sets_both_sides(machine):
    result = run(machine, 'overcommit', mode='never', ratio=80)
    assert result['changed'] and result['changed_keys'] == [MEMORY, RATIO]
    assert machine.state[MEMORY] == 2 and machine.state[RATIO] == 80
    assert machine.get(OURS) == file_edit.HEADER + 'vm.overcommit_memory = 2\nvm.overcommit_ratio = 80\n'
    again_is_unchanged(machine, mode='never', ratio=80)
    machine.reboot()
    again_is_unchanged(machine, mode='never', ratio=80)


def test_the_classic_machine_doubles_its_limit_in_one_call(tmp_path):
    machine = Machine(tmp_path, ram_kb=4029312)
    run(machine, 'overcommit', mode='never', ratio=50)
    assert machine.commit_limit_kb() == 2014656
    run(machine, 'overcommit', mode='never', ratio=100)
    assert machine.commit_limit_kb() == 4029312


def test_check_mode_reports_the_same_and_touches_nothing(machine):
    before = machine.tree()
    planned = run(machine, 'overcommit', check=True, mode='never', kbytes=3_000_000, admin_reserve_kbytes=16384)
    assert machine.tree() == before and machine.log == []
    done = run(machine, 'overcommit', mode='never', kbytes=3_000_000, admin_reserve_kbytes=16384)
    assert planned == done


def test_ratio_then_kbytes_then_ratio_leaves_one_line(machine):
    run(machine, 'overcommit', ratio=80)
    run(machine, 'overcommit', kbytes=900000)
    assert file_edit.keys_in(machine.get(OURS)) == {KBYTES: 900000}
    run(machine, 'overcommit', ratio=80)
    assert file_edit.keys_in(machine.get(OURS)) == {RATIO: 80}
    again_is_unchanged(machine, ratio=80)


def test_ratio_zero_over_kbytes(machine):
    run(machine, 'overcommit', kbytes=900000)
    assert run(machine, 'overcommit', ratio=0)['changed']
    assert (machine.state[RATIO], machine.state[KBYTES]) == (0, 0)
    again_is_unchanged(machine, ratio=0)


# ----------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    'params, message',
    [
        (dict(mode=True), 'mode: the boolean True'),
        (dict(ratio=-1), 'ratio: -1 is out of range'),
        (dict(ratio=1.5), 'the float'),
        (dict(kbytes=3), 'kbytes: 3 is out of range; it must be'),
        (dict(commit_limit=5), 'commit_limit'),
        (dict(mode='never', runtime=False, persistent=False), 'both false'),
        (dict(), 'nothing is asked for'),
        (dict(mode='never', state='absent'), 'takes no value; remove mode'),
        (dict(mode=1, sysctl_file='x.conf'), 'not an absolute'),
        (dict(mode=1, sysctl_file='/etc/sysctl.d/../x.conf'), 'not an absolute'),
        (dict(mode='never', min_headroom='lots'), 'min_headroom'),
    ],
)
def test_bad_input_is_refused_before_anything(machine, params, message):
    before = machine.tree()
    with pytest.raises(ConvertError, match=message):
        run(machine, 'overcommit', **params)
    assert machine.tree() == before and machine.log == []


# ------------------------------------------------------------------ commit_limit


def test_commit_limit_takes_swap_off(tmp_path):
    machine = Machine(tmp_path, swap_kb=1024**2)
    run(machine, 'overcommit', commit_limit='3G')
    assert machine.state[KBYTES] == 2 * 1024**2 and machine.commit_limit_kb() == 3 * 1024**2
    again_is_unchanged(machine, commit_limit='3G')


def test_commit_limit_in_percent(tmp_path):
    machine = Machine(tmp_path, ram_kb=4_000_000, swap_kb=1_000_000, hugetlb_kb=204_800)
    run(machine, 'overcommit', commit_limit='50%')
    assert machine.state[KBYTES] == (4_000_000 - 204_800 + 1_000_000) // 2 - 1_000_000


def test_commit_limit_within_swap_is_refused(tmp_path):
    machine = Machine(tmp_path, swap_kb=4 * 1024**2)
    with pytest.raises(Refusal, match=r'not above the swap.*SwapTotal 4194304 kB'):
        run(machine, 'overcommit', commit_limit='4G')


@pytest.mark.parametrize('limit', ['20000000P', '9' * 30 + 'P', '9' * 30 + '%'])
def test_commit_limit_beyond_what_the_kernel_holds_is_refused(machine, limit):
    with pytest.raises(ConvertError, match='commit_limit: [0-9]{19,50} kB is out of range; it must be [0-9]{19} kB or'):
        run(machine, 'overcommit', commit_limit=limit, mode='always')


def test_commit_limit_near_enough_stays(machine):
    run(machine, 'overcommit', commit_limit='3G')
    machine.swap_kb = 2000  # less than 0.1 % of 3 GB
    machine.show()
    again_is_unchanged(machine, commit_limit='3G')
    machine.swap_kb = 4000
    machine.show()
    assert run(machine, 'overcommit', commit_limit='3G')['changed']


def test_commit_limit_brings_both_sides_to_the_same(machine):
    machine.state.update({RATIO: 0, KBYTES: 3 * 1024**2 - 1000})
    machine.show()
    result = run(machine, 'overcommit', commit_limit='3G')
    assert machine.state[KBYTES] == 3 * 1024**2 - 1000 == file_edit.keys_in(machine.get(OURS))[KBYTES]
    assert result['after']['runtime'][KBYTES] == result['after']['boot'][KBYTES]


# ------------------------------------------------------------------------ order


def test_tightening_writes_the_limit_first(machine):
    run(machine, 'overcommit', mode='never', ratio=90, user_reserve_kbytes=1000)
    assert [key for key, _value in machine.log][-1] == MEMORY


def test_loosening_writes_the_mode_first(machine):
    run(machine, 'overcommit', mode='never', ratio=90)
    machine.log.clear()
    run(machine, 'overcommit', mode='always', ratio=20)
    assert machine.log == [(MEMORY, 1), (RATIO, 20)]


def test_inside_strict_mode_what_loosens_comes_first(machine):
    run(machine, 'overcommit', mode='never', ratio=60, admin_reserve_kbytes=8192)
    machine.log.clear()
    run(machine, 'overcommit', mode='never', ratio=90, admin_reserve_kbytes=500_000)
    assert machine.log == [(RATIO, 90), (ADMIN_RESERVE, 500_000)]
    machine.log.clear()
    run(machine, 'overcommit', mode='never', ratio=60, admin_reserve_kbytes=8192)
    assert machine.log == [(ADMIN_RESERVE, 8192), (RATIO, 60)]


# ------------------------------------------------------------------------ guard


def test_a_limit_below_what_is_committed_is_refused(machine):
    machine.committed_kb = 3_000_000
    machine.show()
    before = machine.tree()
    with pytest.raises(Refusal) as refusal:
        run(machine, 'overcommit', mode='never', ratio=50)
    assert machine.tree() == before and machine.log == []
    enough = json.loads(
        '{"%s"}'
        % str(refusal.value)
        .split('Enough would be ')[1]
        .split('. force')[0]
        .replace(', or ', '","')
        .replace(': ', '":"')
        .replace('"ratio"', '"ratio"')
    )
    for option, value in enough.items():
        planned = run(machine, 'overcommit', check=True, mode='never', **{option: value})
        assert planned['after']['runtime'][MEMORY] == 2


def test_force_overrides_the_guard(machine):
    machine.committed_kb = 3_000_000
    machine.show()
    assert run(machine, 'overcommit', mode='never', ratio=50, force=True)['changed']


def test_what_loosens_or_changes_nothing_passes(machine):
    run(machine, 'overcommit', mode='never', ratio=50)
    machine.committed_kb = 5_000_000
    machine.show()
    again_is_unchanged(machine, mode='never', ratio=50)
    run(machine, 'overcommit', mode='never', ratio=60)
    with pytest.raises(Refusal, match='at runtime'):
        run(machine, 'overcommit', mode='never', ratio=55)
    run(machine, 'overcommit', mode='heuristic')


def test_the_boot_is_guarded_too(machine):
    with pytest.raises(Refusal, match='at the next boot'):
        run(machine, 'overcommit', mode='never', ratio=1, runtime=False)
    # Runtime has a limit that fits, the boot would not have it.
    machine.state.update({RATIO: 90})
    machine.show()
    machine.put('/etc/sysctl.d/40-x.conf', 'vm.overcommit_ratio=1\n')
    with pytest.raises(Refusal, match='at the next boot'):
        run(machine, 'overcommit', mode='never')


def test_min_headroom_as_a_size(machine):
    with pytest.raises(Refusal, match='min_headroom wants 3145728 kB'):
        run(machine, 'overcommit', mode='never', ratio=50, min_headroom='3G')


# -------------------------------------------------------------------- conflicts


@pytest.mark.parametrize(
    'text', ['\nvm.overcommit_memory=1\n', '# x\n-vm/overcommit_memory = 1\n', '\nvm.overcommit_memory = 1 # v\n']
)
def test_a_later_file_is_named(machine, text):
    machine.put('/etc/sysctl.d/99-z.conf', text)
    before = machine.tree()
    with pytest.raises(Refusal, match='/etc/sysctl.d/99-z.conf line 2'):
        run(machine, 'overcommit', mode='never', ratio=90)
    assert machine.tree() == before and machine.log == []


def test_counterpart_in_the_middle_conflicts_under_systemd_only(tmp_path):
    for init, fails in (('systemd', True), ('other', False)):
        machine = Machine(tmp_path / init, init=init)
        machine.put('/etc/sysctl.d/40-a.conf', 'vm.overcommit_ratio=80\n')
        machine.put('/etc/sysctl.d/50-b.conf', 'vm.overcommit_kbytes=900000\n')
        if fails:
            with pytest.raises(Refusal, match='50-b.conf line 1'):
                run(machine, 'overcommit', ratio=80)
        result = run(machine, 'overcommit', ratio=80, conflicts='comment_out')
        assert result['after']['boot'][RATIO] == 80
        assert machine.get('/etc/sysctl.d/50-b.conf').startswith('# oomkit.linux: ') == fails


def test_warn_goes_on(machine):
    machine.put('/etc/sysctl.d/99-z.conf', 'vm.overcommit_memory=1\n')
    result = run(machine, 'overcommit', mode='never', ratio=90, conflicts='warn')
    assert result['conflicts'] == [
        {'key': MEMORY, 'wanted': 2, 'boot': 1, 'file': '/etc/sysctl.d/99-z.conf', 'line': 1}
    ]
    assert '99-z.conf line 1' in result['warnings'][0]
    assert machine.state[MEMORY] == 2 and result['after']['boot'][MEMORY] == 1
    assert not run(machine, 'overcommit', mode='never', ratio=90, conflicts='warn')['changed']


def test_comment_out_and_back(machine):
    theirs = 'a=1\nvm.overcommit_memory=1 # v\n\nvm.overcommit_memory=0\n'
    machine.put('/etc/sysctl.d/99-z.conf', theirs)
    result = run(machine, 'overcommit', mode='never', ratio=90, conflicts='comment_out')
    assert machine.get('/etc/sysctl.d/99-z.conf') == (
        'a=1\n# oomkit.linux: vm.overcommit_memory=1 # v\n\n# oomkit.linux: vm.overcommit_memory=0\n'
    )
    assert result['after']['boot'][MEMORY] == 2 and len(result['backup_files']) == 1
    assert machine.get(result['backup_files'][0]) == theirs
    assert not any('oomkit-' in json.dumps(part) for part in result['diff'])
    again_is_unchanged(machine, mode='never', ratio=90, conflicts='comment_out')
    run(machine, 'overcommit', state='absent')
    assert machine.get('/etc/sysctl.d/99-z.conf') == theirs
    assert machine.get(OURS) is None


@pytest.mark.parametrize('line', [
    'vm.overcommit_memory=0\rvm.overcommit_memory=1', '# x\rvm.overcommit_memory=1', '\rvm.overcommit_memory=1',
    'vm.overcommit_memory=0\0vm.overcommit_memory=1', 'vm.overcommit_memory=1\r'])
def test_comment_out_of_a_line_that_is_several_to_systemd(machine, line):
    theirs = 'a=1\n%s\n' % line
    machine.put('/etc/sysctl.d/99-z.conf', theirs)
    desired = {'mode': 'never', 'ratio': 90, 'conflicts': 'comment_out'}
    assert run(machine, 'overcommit', **desired)['after']['boot'][MEMORY] == 2
    again_is_unchanged(machine, **desired)
    run(machine, 'overcommit', state='absent')
    assert (machine.base / 'etc/sysctl.d/99-z.conf').read_bytes() == theirs.encode()


def test_comment_out_is_refused_for_too_many_lines(machine, monkeypatch):
    monkeypatch.setattr(file_draft, 'MOST_LINES', 2)
    machine.put('/etc/sysctl.d/99-z.conf', 'vm.overcommit_memory=0\nvm.overcommit_memory=1\n')
    run(machine, 'overcommit', mode='never', ratio=90, conflicts='comment_out', check=True)
    machine.put('/etc/sysctl.d/99-z.conf', 'vm.overcommit_memory=1\nvm.overcommit_memory=0\nvm.overcommit_memory=1\n')
    before = machine.tree()
    with pytest.raises(Refusal, match='more than 2 lines.*99-z.conf line 1'):
        run(machine, 'overcommit', mode='never', ratio=90, conflicts='comment_out')
    assert machine.tree() == before


def test_comment_out_only_below_etc(machine):
    machine.put('/usr/lib/sysctl.d/99-z.conf', 'vm.overcommit_memory=1\n')
    before = machine.tree()
    with pytest.raises(Refusal, match='below /etc only.*/usr/lib/sysctl.d/99-z.conf line 1.*later'):
        run(machine, 'overcommit', mode='never', ratio=90, conflicts='comment_out')
    machine.link('/etc/sysctl.d/99-zz.conf', '/usr/lib/sysctl.d/99-z.conf')
    with pytest.raises(Refusal, match='below /etc only'):
        run(machine, 'overcommit', mode='never', ratio=90, conflicts='comment_out')
    (machine.base / 'etc/sysctl.d/99-zz.conf').unlink()
    assert machine.tree() == before


def test_a_losing_counterpart_is_warned_of(machine):
    machine.put('/etc/sysctl.d/50-b.conf', 'vm.overcommit_kbytes=900000\n')
    result = run(machine, 'overcommit', ratio=80)
    assert '50-b.conf line 1 sets vm.overcommit_kbytes, which erases vm.overcommit_ratio' in result['warnings'][0]


# --------------------------------------------------------------------- our file


@pytest.mark.parametrize(
    'path, why',
    [
        ('/etc/sysctl.conf', 'is not read by systemd-sysctl'),
        ('/etc/sysctl.d/99-oomkit', 'is not read'),
        ('/run/sysctl.d/x.conf', 'lost at reboot'),
        ('/srv/x.conf', 'is not read'),
        ('/usr/lib/sysctl.d/50-x.conf', '/etc/sysctl.d/50-x.conf masks it'),
        ('/etc/sysctl.d/m.conf', 'mask'),
    ],
)
def test_a_file_that_is_not_read_is_refused(machine, path, why):
    machine.put('/etc/sysctl.d/50-x.conf', '')
    machine.link('/etc/sysctl.d/m.conf', '/dev/null')
    with pytest.raises(Refusal, match=why):
        run(machine, 'overcommit', mode='always', sysctl_file=path)


def test_sysctl_conf_through_its_link(machine):
    machine.put('/etc/sysctl.conf', '# mine\n')
    machine.link('/etc/sysctl.d/99-sysctl.conf', '../sysctl.conf')
    run(machine, 'overcommit', mode='always', sysctl_file='/etc/sysctl.conf')
    assert machine.get('/etc/sysctl.conf') == '# mine\nvm.overcommit_memory = 1\n'
    run(machine, 'overcommit', state='absent', sysctl_file='/etc/sysctl.conf')
    assert machine.get('/etc/sysctl.conf') == '# mine\n'


def test_a_symlink_stays_one_and_attributes_stay(machine):
    target = machine.put('/srv/ours', '# note\nvm.overcommit_memory=0\n')
    target.chmod(0o640)
    machine.link('/etc/sysctl.d/99-oomkit.conf', '/srv/ours')
    run(machine, 'overcommit', mode='always')
    assert (machine.base / 'etc/sysctl.d/99-oomkit.conf').is_symlink()
    assert target.read_text() == '# note\n# oomkit.linux: vm.overcommit_memory=0\nvm.overcommit_memory = 1\n'
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_missing_directory_is_made(machine):
    shutil.rmtree(machine.base / 'etc/sysctl.d')
    assert run(machine, 'overcommit', check=True, mode='always')['changed']
    assert not (machine.base / 'etc/sysctl.d').exists()
    run(machine, 'overcommit', mode='always')
    assert 'vm.overcommit_memory = 1' in machine.get(OURS)


def test_only_one_side(machine):
    run(machine, 'overcommit', mode='always', persistent=False)
    assert machine.get(OURS) is None and machine.state[MEMORY] == 1
    run(machine, 'overcommit', mode='heuristic', persistent=False)
    run(machine, 'overcommit', mode='always', runtime=False)
    assert machine.get(OURS) is not None and machine.state[MEMORY] == 0


def test_runtime_right_but_file_missing(machine):
    machine.state[MEMORY] = 1
    machine.show()
    assert run(machine, 'overcommit', mode='always')['changed']
    assert machine.log == [] and machine.get(OURS)
    machine.state[MEMORY] = 0
    machine.show()
    result = run(machine, 'overcommit', mode='always')
    assert result['changed'] and result['before']['runtime'][MEMORY] == 0 and machine.state[MEMORY] == 1


# ------------------------------------------------------------------------ faults


def test_a_refused_value_is_not_written_to_the_file(machine):
    machine.put(OURS, 'vm.overcommit_memory=0\n')
    machine.refuses[RATIO] = errno.EINVAL
    before = machine.tree()
    with pytest.raises(ApplyError, match='the kernel refused the value 80.*Everything was rolled back'):
        run(machine, 'overcommit', mode='never', ratio=80, user_reserve_kbytes=1000)
    assert machine.tree() == before
    assert (machine.state[MEMORY], machine.state[RATIO], machine.state[USER_RESERVE]) == (1, 70, 20000)


def test_a_file_that_cannot_be_written_reverts_runtime(machine, monkeypatch):
    replace_file = Machine.replace_file

    def refuse(self, path, data, *more):
        if path == OURS:
            raise OSError(errno.ENOSPC, 'No space left on device', path)
        replace_file(self, path, data, *more)

    monkeypatch.setattr(Machine, 'replace_file', refuse)
    before, state = machine.tree(), dict(machine.state)
    with pytest.raises(ApplyError, match='No space left.*Everything was rolled back'):
        run(machine, 'overcommit', mode='never', ratio=90, admin_reserve_kbytes=5000)
    assert machine.state == state and machine.tree() == before


def test_failing_result_fails_before_any_change(machine, monkeypatch):
    from ansible_collections.oomkit.linux.plugins.module_utils._policy import run as policy_run

    def out_of_memory(_host, _files, _keys):
        raise MemoryError

    monkeypatch.setattr(policy_run, 'describe_files', out_of_memory)
    before, state = machine.tree(), dict(machine.state)
    with pytest.raises(MemoryError):
        run(machine, 'panic_on_oom', policy='panic', reboot_after=9)
    assert machine.state == state and machine.tree() == before


@pytest.mark.parametrize('error, uid, reported', [
    (errno.ENOMEM, 0, OSError), (errno.EMFILE, 0, OSError), (errno.EIO, 1000, OSError), (errno.EACCES, 1000, Refusal)])
def test_only_who_may_not_write_is_asked_to_become_root(machine, monkeypatch, error, uid, reported):
    monkeypatch.setattr(Machine, 'write_refusal', lambda _machine, _path: error)
    monkeypatch.setattr(os, 'geteuid', lambda: uid)
    with pytest.raises(reported) as caught:
        run(machine, 'overcommit', mode='never', ratio=90)
    assert ('become' in str(caught.value)) is (reported is Refusal)
    assert '/proc/sys/vm/overcommit' in str(caught.value) and os.strerror(error) in str(caught.value)
    run(machine, 'overcommit', check=True, mode='never', ratio=90)


def test_second_comment_out_makes_no_second_copy(machine):
    theirs = '/etc/sysctl.d/zz.conf'
    machine.put(theirs, 'vm.overcommit_ratio = 70\n')
    desired = {'ratio': 60, 'conflicts': 'comment_out'}
    (copy,) = run(machine, 'overcommit', **desired)['backup_files']
    machine.put(theirs, 'vm.overcommit_ratio = 70\n')
    assert run(machine, 'overcommit', **desired)['backup_files'] == [copy]
    machine.put(theirs, '# more\nvm.overcommit_ratio = 70\n')
    (other,) = run(machine, 'overcommit', **desired)['backup_files']
    assert machine.get(other).startswith('# more') and machine.get(copy).startswith('vm.')


@pytest.mark.parametrize('place', ['/srv/config/.oomkit-oom.conf~', '/etc/.oomkit-sysctl.conf~',
                                   '/etc/sysctl.d/.oomkit-zz.conf~'])
def test_leftovers_beside_boot_files_are_removed(tmp_path, place):
    machine = Machine(tmp_path, init='other')
    machine.put('/srv/config/oom.conf', '')
    machine.link(OURS, '/srv/config/oom.conf')
    machine.put('/usr/sbin/sysctl', '')
    machine.put('/etc/sysctl.conf', '')
    machine.put('/etc/sysctl.d/zz.conf', '')
    machine.put(place, 'half')
    run(machine, 'overcommit', ratio=60)
    assert machine.get(place) is None


def test_what_cannot_be_rolled_back_is_said(machine, monkeypatch):
    def write(self, data):
        if data == b'2\n' or self.key == RATIO:
            raise OSError(errno.EIO, 'Input/output error')
        self.machine.kernel_write(self.key, data.decode())

    from machine import FakeProcFile

    monkeypatch.setattr(FakeProcFile, 'write', write)
    machine.state[MEMORY] = 2
    machine.state[RATIO] = 90
    machine.show()
    with pytest.raises(ApplyError, match='NOT rolled back: the sysctls at runtime'):
        run(machine, 'overcommit', mode='always', ratio=10, persistent=False)


def test_a_key_that_the_kernel_lacks(machine):
    (machine.base / 'proc/sys/vm/overcommit_kbytes').unlink()
    del machine.state[KBYTES]
    with pytest.raises(Refusal, match='this kernel shows no /proc/sys/vm/overcommit_kbytes'):
        run(machine, 'overcommit', kbytes=900000)
    for ratio in (70, 80):
        result = run(machine, 'overcommit', ratio=ratio)
        assert result['changed'] and KBYTES not in result['changed_keys'] and result['after']['runtime'][KBYTES] is None
        again_is_unchanged(machine, ratio=ratio)
    run(machine, 'overcommit', state='absent')
    assert machine.state[RATIO] == 70


# ------------------------------------------------------------------------ absent


def test_absent_reverts_all(machine):
    before = machine.tree()
    run(machine, 'overcommit', mode='never', ratio=90, admin_reserve_kbytes=20000, user_reserve_kbytes=1000)
    values = saved_values.load(machine).values
    assert {key: (value.original, value.ours) for key, value in values.items()} == {
        MEMORY: (1, 2),
        RATIO: (70, 90),
        KBYTES: (0, 0),
        ADMIN_RESERVE: (6000, 20000),
        USER_RESERVE: (20000, 1000),
    }
    result = run(machine, 'overcommit', state='absent')
    assert result['changed'] and machine.state[MEMORY] == 1 and machine.state[RATIO] == 70
    assert (machine.state[ADMIN_RESERVE], machine.state[USER_RESERVE]) == (6000, 20000)
    assert machine.get(OURS) is None
    assert machine.tree() == before and not (machine.base / 'var/lib/oomkit').exists()
    again_is_unchanged(machine, state='absent')


def test_absent_after_a_reboot(tmp_path):
    """Values of the boot go to what it gives without our lines; others that the boot has forgotten come back."""
    for number, (defaults, first) in enumerate([(True, (0, 50, 29898)), (False, (1, 70, 20000))]):
        machine = Machine(tmp_path / str(number), defaults=defaults)
        run(machine, 'overcommit', mode='never', ratio=90, user_reserve_kbytes=1000)
        machine.reboot()
        run(machine, 'overcommit', state='absent')
        assert (machine.state[MEMORY], machine.state[RATIO], machine.state[USER_RESERVE]) == first
        again_is_unchanged(machine, state='absent')


def test_absent_after_a_reboot_before_it_was_set(machine):
    """What a kubelet had set is gone then, and does not come back."""
    machine.reboot()
    run(machine, 'overcommit', mode='never', ratio=90, user_reserve_kbytes=1000)
    machine.reboot()
    run(machine, 'overcommit', state='absent')
    assert (machine.state[MEMORY], machine.state[RATIO], machine.state[USER_RESERVE]) == (0, 60, 29898)
    again_is_unchanged(machine, state='absent')


def test_absent_on_an_untouched_machine_is_unchanged(machine):
    again_is_unchanged(machine, state='absent')
    assert machine.state[USER_RESERVE] == 20000 and machine.log == []


def test_absent_takes_what_other_files_say(machine):
    machine.put('/etc/sysctl.d/30-cache.conf', 'vm.overcommit_kbytes=3000000\nvm.overcommit_memory=1\n')
    machine.put('/proc/cmdline', 'sysctl.vm.admin_reserve_kbytes=4444\n')
    machine.reboot()
    machine.kernel_write(ADMIN_RESERVE, '4444')  # as the kernel does before init starts
    run(machine, 'overcommit', mode='never', ratio=90, admin_reserve_kbytes=9000)
    run(machine, 'overcommit', state='absent')
    assert (machine.state[KBYTES], machine.state[MEMORY], machine.state[ADMIN_RESERVE]) == (3000000, 1, 4444)


def test_absent_without_record_sets_the_default_and_says_so(tmp_path):
    machine = Machine(tmp_path, defaults=True)
    run(machine, 'overcommit', admin_reserve_kbytes=9000)
    (machine.base / saved_values.FILE.lstrip('/')).unlink()
    result = run(machine, 'overcommit', state='absent')
    assert machine.state[ADMIN_RESERVE] == 8192 and 'not recorded' in result['warnings'][0]


def test_absent_without_a_record_takes_what_files_of_others_say(machine):
    run(machine, 'overcommit', admin_reserve_kbytes=9000)
    (machine.base / saved_values.FILE.lstrip('/')).unlink()
    result = run(machine, 'overcommit', state='absent')
    assert machine.state[ADMIN_RESERVE] == 5000 and result['warnings'] == []


def test_absent_leaves_foreign_lines_and_the_other_module(machine):
    machine.put(OURS, '# mine\nvm.overcommit_memory=1\nvm.swappiness=1\n')
    run(machine, 'panic_on_oom', policy='panic', reboot_after=10)
    run(machine, 'overcommit', state='absent')
    assert machine.get(OURS) == (
        '# mine\nvm.overcommit_memory=1\nvm.swappiness=1\nvm.panic_on_oom = 1\nkernel.panic = 10\n'
    )
    run(machine, 'panic_on_oom', state='absent')
    assert machine.get(OURS) == '# mine\nvm.overcommit_memory=1\nvm.swappiness=1\n'


# ------------------------------------------------------------------- containers


def test_a_container_is_refused_because_vm_is_the_hosts(machine):
    machine.put('/run/systemd/container', 'lxc\n')
    for check in (True, False):
        with pytest.raises(Refusal, match='container.*belong to the host'):
            run(machine, 'overcommit', check=check, mode='always')
    result = run(machine, 'overcommit', mode='never', kbytes=4, admin_reserve_kbytes=1, runtime=False)
    assert result['changed'] and 'another machine boots it' in result['warnings'][-1]
    # The kernel seen from in there is the builder's: its values are nothing to go back to.
    assert machine.log == [] and machine.get(saved_values.FILE) is None


def test_a_chroot_is_known_by_the_root_of_pid_1(machine):
    (machine.base / 'proc/1/root').mkdir()
    result = run(machine, 'overcommit', mode='never', kbytes=4, runtime=False)
    assert 'another machine boots it' in result['warnings'][-1]


def test_percentage_of_ram_is_refused_in_an_image(machine):
    machine.put('/run/systemd/container', 'lxc\n')
    before = machine.tree()
    for check in (True, False):
        with pytest.raises(Refusal, match='commit_limit: 90% .*3774873 kB .*another machine boots it. Use ratio'):
            run(machine, 'overcommit', check=check, commit_limit='90%', runtime=False, force=True)
    assert machine.tree() == before
    for desired in ({'commit_limit': '3G'}, {'ratio': 90}, {'kbytes': 900000}):
        assert run(machine, 'overcommit', runtime=False, **desired)['changed']
    # What runs here is this machine's.
    assert run(machine, 'overcommit', commit_limit='90%', persistent=False, force=True)['changed']


def test_swap_of_the_image_builder_does_not_count(tmp_path):
    machine = Machine(tmp_path, swap_kb=1024**2)
    machine.put('/run/systemd/container', 'lxc\n')
    before = machine.tree()
    for check in (True, False):
        with pytest.raises(Refusal, match=r'commit_limit: 3145728 kB .*SwapTotal 1048576 kB.*Give kbytes'):
            run(machine, 'overcommit', check=check, commit_limit='3G', runtime=False, force=True)
    assert machine.tree() == before
    assert run(machine, 'overcommit', runtime=False, kbytes=3 * 1024**2)['changed']


def test_what_an_image_boots_with_is_not_read_from_this_machine(tmp_path):
    machine = Machine(tmp_path, defaults=True)
    machine.put('/proc/cmdline', 'sysctl.vm.overcommit_memory=1\n')
    record = saved_values.Record({ADMIN_RESERVE: saved_values.Value(77, True, None, None)}, {})
    machine.put(saved_values.FILE, saved_values.dump(record))
    assert run(machine, 'overcommit', check=True, ratio=60)['before']['boot'][ADMIN_RESERVE] == 77
    (machine.base / 'proc/1/root').mkdir()
    boot = run(machine, 'overcommit', check=True, ratio=60, runtime=False)['before']['boot']
    assert boot[ADMIN_RESERVE] is None and boot[MEMORY] == 0
    assert run(machine, 'overcommit', check=True, ratio=60)['before']['boot'][MEMORY] == 1


def test_a_chroot_without_proc(machine):
    for path in sorted((machine.base / 'proc').rglob('*'), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(Refusal, match='runtime: false'):
        run(machine, 'overcommit', mode='never', ratio=90)
    result = run(machine, 'overcommit', mode='never', ratio=90, runtime=False)
    assert result['changed'] and 'could not be checked' in result['warnings'][0]


# ------------------------------------------------------------------ from anywhere


@pytest.mark.thorough
@settings(max_examples=amounts.examples(150),
          deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_request_converges_from_every_state(tmp_path_factory, data):
    init = data.draw(st.sampled_from(['systemd', 'other']))
    machine = Machine(
        tmp_path_factory.mktemp('machine'),
        init=init,
        ram_kb=8 * 1024**2,
        swap_kb=data.draw(st.sampled_from([0, 1024**2])),
    )
    kbytes = data.draw(st.sampled_from([0, 0, 5_000_000]))
    machine.state.update(
        {
            KBYTES: kbytes,
            RATIO: 0 if kbytes else data.draw(st.sampled_from([0, 50, 90])),
            MEMORY: data.draw(st.sampled_from([0, 1, 2])),
        }
    )
    machine.show()
    line = st.sampled_from(
        [
            'vm.overcommit_memory=1',
            'vm.overcommit_ratio=80',
            'vm.overcommit_kbytes=900000',
            'vm/overcommit_ratio = 90',
            'vm.overcommit_kbytes=0',
            'vm.overcommit_*=1',
            '-vm.overcommit_kbytes',
        ]
    )
    for name in ('10-a.conf', '99-oomkit.conf', '99-z.conf'):
        lines = data.draw(st.lists(line, max_size=3))
        if lines:
            machine.put('/etc/sysctl.d/' + name, '\n'.join(lines) + '\n')
    params = {'mode': data.draw(st.sampled_from(['heuristic', 'always', 'never', None]))}
    option = data.draw(st.sampled_from([None, 'ratio', 'kbytes', 'commit_limit']))
    if option:
        params[option] = data.draw(ENTRIES[option])
    if params == {'mode': None}:
        return
    params.update(conflicts='comment_out', force=True)
    planned = run(machine, 'overcommit', check=True, **params)
    done = run(machine, 'overcommit', **params)
    done.pop('backup_files', None)
    assert planned == done
    again_is_unchanged(machine, **params)
    state = {key: machine.state[key] for key in (MEMORY, RATIO, KBYTES) if params['mode'] or key != MEMORY}
    machine.reboot()
    if option:
        assert {key: machine.state[key] for key in state} == state
    again_is_unchanged(machine, **params)
    run(machine, 'overcommit', state='absent', force=True)
    again_is_unchanged(machine, state='absent', force=True)


def test_a_program_that_sets_its_own_value_again_is_reported(machine):
    machine.put('/proc/77/comm', 'kubelet\n')
    machine.put('/proc/77/status', 'Name:\tkubelet\nUid:\t0\t0\t0\t0\n')
    machine.put('/proc/77/cmdline', '/usr/bin/kubelet\0')
    machine.put('/proc/77/uid_map', machine.get('/proc/self/uid_map'))
    assert 'kubelet sets it to 1' in run(machine, 'overcommit', mode='heuristic')['warnings'][0]
    assert run(machine, 'overcommit', mode='always')['warnings'] == []
    assert 'kernel.panic: 30' in run(machine, 'panic_on_oom', policy='kill', reboot_after=30)['warnings'][0]
