# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Symptoms 1 to 13 that users of existing tools complain about, each shown not to occur here."""

import json

import pytest
from service_units import install, scores
from test_sysctls import OURS, failed, good, ours, unchanged, values

HEADER = '# Made by the Ansible collection oomkit.linux'


def lines(machine):
    """Our file without its header."""
    return [line for line in ours(machine).splitlines() if not line.startswith(HEADER)]


def test_1_ratio_and_kbytes_never_both_stay_and_it_converges(fresh):
    for desired in ({'ratio': 80}, {'kbytes': 900000}, {'ratio': 80}):
        good(fresh.module('overcommit', **desired))
        unchanged(fresh, 'overcommit', **desired)
    assert lines(fresh) == ['vm.overcommit_ratio = 80']


@pytest.mark.long
def test_2_other_lines_and_inline_comments_stay(fresh):
    before = b'# head\n\n\tvm.swappiness  =  10\t# x\nvm.swappiness=11\n;y\nvm.overcommit_memory=0 # strict\nlast=1'
    fresh.write_file(OURS, before)
    good(fresh.module('overcommit', mode=1))
    kept = b'# oomkit.linux: vm.overcommit_memory=0 # strict\nvm.overcommit_memory = 1\n'
    assert fresh.read_file(OURS) == before.replace(b'vm.overcommit_memory=0 # strict\n', kept)


@pytest.mark.parametrize('broken', [
    b'this is no assignment\n', b'\xff\xfe\n',
    pytest.param(b'=\n', marks=pytest.mark.long), pytest.param(b'vm.overcommit_memory\n', marks=pytest.mark.long)])
def test_3_a_broken_line_elsewhere_is_no_reason_to_fail(fresh, broken):
    fresh.write_file(OURS, broken)
    fresh.write_file('/etc/sysctl.d/10-x.conf', broken)
    good(fresh.module('overcommit', mode='always'))
    assert fresh.read_file(OURS) == broken + b'vm.overcommit_memory = 1\n'
    unchanged(fresh, 'overcommit', mode='always')


def test_4_refused_value_leaves_no_trace_check_mode_agrees(fresh):
    fresh.write_file(OURS, b'vm.overcommit_memory=0\n')
    untouched = values(fresh, 'overcommit')
    for check in (True, False):
        for desired in ({'mode': 3}, {'ratio': -1}, {'ratio': 2**31}, {'kbytes': 2}):
            failed(fresh, 'overcommit', check=check, **desired)
        failed(fresh, 'panic_on_oom', check=check, policy=3)
    assert values(fresh, 'overcommit') == untouched and fresh.read_file(OURS) == b'vm.overcommit_memory=0\n'


def test_5_a_failed_write_is_a_failure(fresh):
    """The kernel answers EINVAL for 2**64 kB of reserve... which our own check lets through on no kernel."""
    failed(fresh, 'overcommit', admin_reserve_kbytes=2**64)
    # A key that is not there: hidden by an empty directory over /proc/sys/vm.
    prefix = "unshare -m sh -c 'mkdir -p /tmp/none && mount --bind /tmp/none /proc/sys/vm && exec \"$@\"' -"
    result = fresh.module_under(prefix, 'panic_on_oom', policy='kill')
    assert result['failed'] and '/proc/sys/vm/panic_on_oom' in result['msg']
    assert ours(fresh) is None


def test_6_a_file_that_the_boot_does_not_read_is_refused(fresh):
    fresh.run('rm -f /etc/sysctl.d/99-sysctl.conf')
    assert 'is not read by systemd-sysctl' in failed(fresh, 'overcommit', mode='always', sysctl_file='/etc/sysctl.conf')
    fresh.run('touch /etc/sysctl.conf; ln -s ../sysctl.conf /etc/sysctl.d/99-sysctl.conf')
    good(fresh.module('overcommit', mode='always', sysctl_file='/etc/sysctl.conf'))
    fresh.run('sysctl -q -w vm.overcommit_memory=0; systemctl restart systemd-sysctl')
    unchanged(fresh, 'overcommit', mode='always', sysctl_file='/etc/sysctl.conf')


@pytest.mark.long
def test_7_a_later_file_is_reported_commented_out_only_in_etc(fresh):
    fresh.write_file('/etc/sysctl.d/99-vendor.conf', b'# v\nvm.overcommit_memory = 1\n')
    message = failed(fresh, 'overcommit', mode='never', ratio=90)
    assert '/etc/sysctl.d/99-vendor.conf line 2' in message and ours(fresh) is None
    result = good(fresh.module('overcommit', mode='never', ratio=90, conflicts='comment_out'))
    assert fresh.read_file('/etc/sysctl.d/99-vendor.conf') == b'# v\n# oomkit.linux: vm.overcommit_memory = 1\n'
    assert fresh.read_file(result['backup_files'][0]) == b'# v\nvm.overcommit_memory = 1\n'
    fresh.write_file('/usr/lib/sysctl.d/99-zz.conf', b'vm.overcommit_memory = 1\n')
    assert '/usr/lib/sysctl.d/99-zz.conf' in failed(fresh, 'overcommit', mode='never', conflicts='comment_out')
    fresh.run('rm /usr/lib/sysctl.d/99-zz.conf')
    fresh.reboot()
    assert fresh.sysctl('vm.overcommit_memory') == 2
    good(fresh.module('overcommit', state='absent'))
    assert fresh.read_file('/etc/sysctl.d/99-vendor.conf') == b'# v\nvm.overcommit_memory = 1\n'
    assert fresh.sysctl('vm.overcommit_memory') == 1


@pytest.mark.parametrize(
    'line',
    ['vm/overcommit_memory=1', '-vm.overcommit_memory = 1',
     pytest.param('vm.overcommit_memory = 01', marks=pytest.mark.long),
     pytest.param('  vm.overcommit_memory=1  ', marks=pytest.mark.long)],
)
def test_8_every_spelling_is_recognised(fresh, line):
    fresh.write_file(OURS, line.encode() + b'\n')
    fresh.run('echo 1 > /proc/sys/vm/overcommit_memory')
    unchanged(fresh, 'overcommit', mode='always')
    good(fresh.module('overcommit', mode='heuristic'))
    assert ours(fresh) == f'# oomkit.linux: {line}\nvm.overcommit_memory = 0\n'


def test_9_a_missing_directory_is_made_and_a_link_stays_one(fresh):
    fresh.run('rm -rf /etc/sysctl.d')
    planned = good(fresh.module('overcommit', check=True, mode='always'))
    assert planned['changed'] and fresh.run('ls -d /etc/sysctl.d', check=False).returncode != 0
    good(fresh.module('overcommit', mode='always'))
    fresh.run(f'mv {OURS} /srv/ours.conf && ln -s /srv/ours.conf {OURS}')
    good(fresh.module('overcommit', mode='heuristic'))
    assert fresh.run(f'readlink {OURS}').stdout == '/srv/ours.conf\n'
    assert 'vm.overcommit_memory = 0' in fresh.run('cat /srv/ours.conf').stdout


@pytest.mark.long
def test_10_yes_is_not_a_mode(fresh):
    for value in (True, False, 'yes', 'True', 1.0):
        assert failed(fresh, 'overcommit', mode=value).startswith('mode: ')
        assert failed(fresh, 'panic_on_oom', policy=value).startswith('policy: ')
    assert fresh.sysctl('vm.overcommit_memory') == 0


def test_11_strict_mode_that_would_stop_every_fork_is_refused(fresh):
    message = failed(fresh, 'overcommit', mode='never', kbytes=4096)
    assert message.startswith('Refused, because programs could no longer start')
    assert fresh.sysctl('vm.overcommit_memory') == 0 and fresh.run('true').returncode == 0


def test_12_drop_in_alone_is_no_success_for_a_running_unit(fresh):
    """Live at once, the children too; and where that was not asked for, the result says that a restart is needed."""
    install(fresh, 'family')
    waiting = good(fresh.module('oom_score_adj', name='family', score_adj=-50, runtime=False))
    assert waiting['services'][0]['restart_needed'] and set(scores(fresh, 'family').values()) == {0}
    done = good(fresh.module('oom_score_adj', name='family', score_adj=-50))
    assert done['changed'] and not done['services'][0]['restart_needed']
    assert len(scores(fresh, 'family')) == 3 and set(scores(fresh, 'family').values()) == {-50}


def test_13_minus_1000_refused_for_ssh_warned_if_sole_victim(fresh):
    assert 'login session' in failed(fresh, 'oom_score_adj', name='ssh', score_adj=-1000)
    install(fresh, 'leak', start=False)
    fresh.write_file('/srv/leak.py', b'import time; x = b"x" * (300 << 20); time.sleep(1e6)')
    grown = 'until [ $(ps -o rss= -C python3 | sort -n | tail -1) -gt 300000 ]; do sleep 0.2; done'
    fresh.run('systemctl start leak; ' + grown)
    result = good(fresh.module('oom_score_adj', name='leak', score_adj=-1000, check=True))
    assert 'none of the processes that hold most of the memory can be killed' in json.dumps(result['warnings'])
    assert 'warnings' not in good(fresh.module('oom_score_adj', name='leak', score_adj=-999, check=True))
