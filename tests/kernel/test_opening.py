# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can have root open, believe or write to, by names of programs, PID files, links and records."""

import json

import pytest
from test_facts import gather
from test_processes import score, start
from test_sysctls import failed, good

HOME = '/home/tester'
# A process that waits for a reader of the pipe goes on once somebody has opened it, and leaves a file.
TRAP = (f'mkfifo {HOME}/pipe; setsid -f sh -c "echo x > {HOME}/pipe; touch {HOME}/opened" '
        '>/dev/null 2>&1 </dev/null; sleep 0.5')
# A set-user-ID program waits for a password under the name of another program. Only its real user ID is the user's.
SU = (f'ln -sf /usr/bin/su {HOME}/%s; setsid -f sh -c "sleep 1000 | {HOME}/%s root -c %s" >/dev/null 2>&1 </dev/null; '
      'sleep 1; pgrep -x %s')


def su_called(machine, name, word):
    return int(machine.run(SU % (name, name, word, name), user='tester').stdout.split()[0])


def is_opened(machine):
    return 'opened' in machine.run(f'sleep 0.5; ls {HOME}').stdout


@pytest.mark.parametrize('name', ['kubelet', 'k3s-server'])
def test_a_link_to_su_called_kubelet_has_root_open_nothing(fresh, name):
    fresh.run(TRAP, user='tester')
    pid = su_called(fresh, name, f'--config={HOME}/pipe')
    assert fresh.run(f'grep ^Uid: /proc/{pid}/status').stdout.split()[1:3] != ['0', '0']
    assert gather(fresh, 'competing_writers')['competing_writers'] == []
    good(fresh.module('overcommit', mode='always', persistent=False))
    assert not is_opened(fresh)


def test_the_kernels_log_is_not_read_empty(fresh):
    """What /proc/kmsg has given once it does not give again (proc_kmsg(5))."""
    fresh.run('dd if=/proc/kmsg of=/dev/null iflag=nonblock bs=8192; echo marked-by-test > /dev/kmsg')
    su_called(fresh, 'kubelet', '--config=/proc/kmsg')
    gather(fresh, 'competing_writers')
    fresh.run('mkdir -p /srv/x; ln -s /proc/kmsg /srv/x/a.pid; chown -hR tester /srv/x')
    assert 'Not a stored file' in failed(fresh, 'oom_score_adj', process={'pidfile': '/srv/x/a.pid'}, score_adj=5)
    assert 'marked-by-test' in fresh.run('dd if=/proc/kmsg iflag=nonblock bs=8192 2>/dev/null; true').stdout


def test_pid_file_of_a_user_is_opened_only_if_regular(fresh):
    fresh.run(TRAP, user='tester')
    assert 'Not a regular file' in failed(fresh, 'oom_score_adj', process={'pidfile': f'{HOME}/pipe'}, score_adj=5)
    assert not is_opened(fresh)
    pid = start(fresh, user='tester')
    fresh.run(f'echo {pid} > {HOME}/worker.pid', user='tester')
    good(fresh.module('oom_score_adj', process={'pidfile': f'{HOME}/worker.pid'}, score_adj=5))
    assert score(fresh, pid) == 5


@pytest.mark.long
def test_a_path_through_another_processs_root_is_refused(fresh):
    """A user has a procfs of his own in namespaces of his own."""
    command = 'unshare --user --map-root-user --mount --pid --fork --mount-proc sleep 1000'
    fresh.run(f'setsid -f {command} >/dev/null 2>&1 </dev/null; sleep 1', user='tester')
    pid = fresh.run('pgrep -nx sleep').stdout.strip()
    fresh.run(f'mkdir -p /srv/x; ln -s /proc/{pid}/root/proc/version /srv/x/a.pid; chown -hR tester /srv/x')
    assert 'Not a stored file' in failed(fresh, 'oom_score_adj', process={'pidfile': '/srv/x/a.pid'}, score_adj=5)


@pytest.mark.parametrize('how', ['{0}', 'unshare --user --map-root-user {0}'])
def test_an_oom_daemon_of_a_user_is_not_believed(fresh, how):
    fresh.run(f'cp /bin/sleep {HOME}/earlyoom; setsid -f {how.format(HOME + "/earlyoom")} 1000 >/dev/null 2>&1 '
              '</dev/null; sleep 1', user='tester')
    facts = gather(fresh, 'oom_daemons')
    (daemon,) = good(fresh.module('oom_forecast_info'))['oom_daemons']
    assert facts['oom_daemons'] == [] and daemon['thresholds'] == []
    assert daemon['reason'] and daemon['reason'] in facts['warnings'][0]


@pytest.mark.parametrize('rights', ['', '-p DynamicUser=yes -p AmbientCapabilities=CAP_KILL'])
def test_a_service_of_the_system_is_believed(fresh, rights):
    fresh.run('cp /bin/sleep /usr/local/bin/earlyoom; '
              f'systemd-run --unit=earlyoom {rights} /usr/local/bin/earlyoom 1000; sleep 1')
    facts = gather(fresh, 'oom_daemons')
    assert [one['unit'] for one in facts['oom_daemons']] == ['earlyoom.service'] and facts['warnings'] == []


@pytest.mark.parametrize('folder', ['/var/lib/oomkit', '/run/oomkit'])
@pytest.mark.parametrize('make', [
    'chown tester {0}',
    pytest.param('chmod 777 {0}', marks=pytest.mark.long),
    'rmdir {0}; ln -s /home/tester {0}'])
def test_no_record_is_kept_where_a_user_can_write(fresh, folder, make):
    fresh.run(f'mkdir -p {folder}; ' + make.format(folder))
    before = fresh.run('ls -lR /etc/sysctl.d /home/tester /var/lib/oomkit/ /run/oomkit/ | md5sum').stdout
    assert 'can be written by others than root' in failed(fresh, 'overcommit', admin_reserve_kbytes=9000)
    assert fresh.run('ls -lR /etc/sysctl.d /home/tester /var/lib/oomkit/ /run/oomkit/ | md5sum').stdout == before
    assert 'mode' in json.dumps(gather(fresh, 'overcommit'))


def test_process_named_like_watchdog_blocks_no_cleanup(fresh):
    fresh.run(f'cp /bin/sleep {HOME}/oomkit-watchdog; '
              f'setsid -f {HOME}/oomkit-watchdog 1000 >/dev/null 2>&1 </dev/null; sleep 1', user='tester')
    fresh.run('mkdir -m 700 /run/oomkit; echo "{" > /run/oomkit/overcommit-x')
    good(fresh.module('overcommit', mode='always'))
    assert not fresh.run('ls -A /run/oomkit 2>/dev/null; true').stdout
