# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""oom_score_adj of services on a real systemd: live, at the next start, at boot, and back."""

import time

import pytest
from service_units import install, procs, scores, settle
from test_sysctls import failed, good

MODULE = 'oom_score_adj'
ETC = '/etc/systemd/system'


def drop_in(unit):
    return f'{ETC}/{unit}.service.d/90-oomkit.conf'


def apply(machine, **desired):
    return good(machine.module(MODULE, **desired))


def unchanged(machine, **desired):
    result = apply(machine, **desired)
    assert not result['changed'] and result['diff'] == [], result
    return result


def tree(machine):
    """Everything that a run could leave: unit files, our folders, the scores of all services' processes."""
    files = machine.run(f'find {ETC} /run/oomkit -type f -exec md5sum {{}} + 2>/dev/null | sort; ls {ETC}').stdout
    # Not the sessions in ssh.service, which come and go.
    live = machine.run(
        'cd /sys/fs/cgroup/system.slice && '
        'for p in $(cat {family,plain,database}.service/cgroup.procs 2>/dev/null); do '
        'echo $p $(cat /proc/$p/oom_score_adj 2>/dev/null); done; cat */memory.oom.group'
    ).stdout
    return files, live


def warnings(result):
    """The texts, however this Ansible wraps them."""
    return ' '.join(one if isinstance(one, str) else one['event']['msg'] for one in result.get('warnings', []))


REQUEST = {'services': [{'name': 'family', 'score_adj': -500}, {'name': 'plain', 'score_adj': 500}]}


@pytest.mark.long
def test_live_at_restart_and_at_boot_and_back(fresh):
    """The whole life of two services: same processes, no restart, unchanged ever after, and nothing left."""
    install(fresh, 'family', 'plain')
    before = tree(fresh)
    pids = {unit: set(scores(fresh, unit)) for unit in ('family', 'plain')}
    planned = fresh.module(MODULE, check=True, **REQUEST)
    assert tree(fresh) == before, 'check mode touched something'
    done = apply(fresh, **REQUEST)
    for key in ('changed', 'services', 'diff', 'conflicts'):
        assert planned[key] == done[key]
    assert done['changed'] and [one['restart_needed'] for one in done['services']] == [False, False]
    assert [(one['before'], one['after'], one['next_start']['score_adj']) for one in done['services']] == [
        (0, -500, -500),
        (0, 500, 500),
    ]
    assert {unit: set(scores(fresh, unit)) for unit in pids} == pids
    check_scores(fresh)
    unchanged(fresh, **REQUEST)
    fresh.run('systemctl restart family plain')
    settle(fresh, 'family')
    check_scores(fresh)
    unchanged(fresh, **REQUEST)
    fresh.reboot()
    settle(fresh, 'family')
    check_scores(fresh)
    unchanged(fresh, **REQUEST)
    result = apply(fresh, state='absent', exclusive=True)
    assert result['changed'] and set(scores(fresh, 'family').values()) == {0} == set(scores(fresh, 'plain').values())
    assert tree(fresh)[0] == before[0]
    unchanged(fresh, state='absent', exclusive=True)


def check_scores(machine):
    assert set(scores(machine, 'family').values()) == {-500} and set(scores(machine, 'plain').values()) == {500}


def test_processes_that_set_their_own_value_keep_it(fresh):
    """As postgres does: the parent follows the unit, the children say 0 and stay there."""
    install(fresh, 'database', directives='OOMScoreAdjust=-900\n')
    before = scores(fresh, 'database')
    assert sorted(before.values()) == [-900, 0, 0, 0]
    result = apply(fresh, name='database', score_adj=-700)['services'][0]
    assert sorted(scores(fresh, 'database').values()) == [-700, 0, 0, 0]
    assert result['skipped_count'] == 3 and result['next_start_before']['score_adj'] == -900
    unchanged(fresh, name='database', score_adj=-700)
    apply(fresh, name='database', state='absent')
    assert scores(fresh, 'database') == before
    everything = apply(fresh, name='database', score_adj=-600, scope='all')['services'][0]
    assert set(scores(fresh, 'database').values()) == {-600} and everything['skipped'] == []
    apply(fresh, name='database', state='absent')
    assert scores(fresh, 'database') == before


@pytest.mark.long
def test_ssh_gets_its_own_values_back_after_scope_all(fresh):
    fresh._drop_connections()
    fresh.run('true')
    before = scores(fresh, 'ssh')
    assert sorted(set(before.values())) == [-1000, 0]
    for value in (500, 600):
        apply(fresh, name='ssh', score_adj=value, scope='all', conflicts='warn')
    assert set(scores(fresh, 'ssh').values()) == {600}
    apply(fresh, name='ssh', state='absent')
    now = scores(fresh, 'ssh')
    assert all(now[pid] == value for pid, value in before.items() if pid in now)


def test_ssh_and_its_sessions_keep_their_values(fresh):
    """Without logind the sessions are in the unit of sshd itself, with the very value that the unit gives."""
    fresh._drop_connections()  # so that the module descends from a session
    session = int(fresh.run('echo $PPID').stdout)
    before = scores(fresh, 'ssh')
    assert -1000 in before.values() and session in before
    result = apply(fresh, name='sshd', score_adj=300)
    assert result['services'][0]['unit'] == 'ssh.service'
    assert fresh.run(f'cat /proc/{session}/oom_score_adj').stdout == '0\n'
    now = scores(fresh, 'ssh')
    assert all(now[pid] == value for pid, value in before.items() if pid in now)
    unchanged(fresh, name='ssh', score_adj=300)
    fresh.run('systemctl restart ssh')
    fresh._drop_connections()
    assert fresh.run('cat /proc/self/oom_score_adj').stdout == '300\n'
    unchanged(fresh, name='ssh', score_adj=300)
    apply(fresh, name='ssh', state='absent')
    assert -1000 in scores(fresh, 'ssh').values()


@pytest.mark.long
def test_ssh_is_not_made_unkillable(fresh):
    fresh._drop_connections()  # so that the module descends from a session
    before = tree(fresh)
    for name in ('ssh', 'sshd.service'):
        message = failed(fresh, MODULE, name=name, score_adj=-1000)
        assert message.startswith('Refused: ') and 'login session' in message
    assert tree(fresh)[0] == before[0]
    assert 'every new login session inherits this' in warnings(apply(fresh, name='ssh', score_adj=-10))
    assert 'login session' in warnings(apply(fresh, name='ssh', score_adj=-1000, force=True))


@pytest.mark.long
def test_a_service_that_forks_busily_converges_in_one_call(fresh):
    install(fresh, 'busy')
    apply(fresh, name='busy', score_adj=400)
    assert set(scores(fresh, 'busy').values()) == {400}
    for _look in range(3):
        unchanged(fresh, name='busy', score_adj=400)
    assert set(scores(fresh, 'busy').values()) == {400}
    time.sleep(2)
    assert set(scores(fresh, 'busy').values()) == {400}


@pytest.mark.long
def test_templates_instances_and_aliases(fresh):
    install(fresh, 'work@')
    fresh.run(f'ln -s work@.service {ETC}/job@.service; systemctl daemon-reload; systemctl start work@a work@b')
    apply(fresh, name='work@', score_adj=200)
    assert set(scores(fresh, 'work@a').values()) == {200} == set(scores(fresh, 'work@b').values())
    unchanged(fresh, name='work@', score_adj=200)
    result = apply(fresh, services=[{'name': 'work@', 'score_adj': 200}, {'name': 'job@b', 'score_adj': 250}])
    assert result['services'][1]['unit'] == 'work@b.service'
    assert set(scores(fresh, 'work@b').values()) == {250}
    unchanged(fresh, services=[{'name': 'work@', 'score_adj': 200}, {'name': 'work@b', 'score_adj': 250}])
    fresh.run('systemctl restart work@a work@b; systemctl start work@c')
    assert [set(scores(fresh, f'work@{one}').values()) for one in 'abc'] == [{200}, {250}, {200}]
    unchanged(fresh, name='work@', score_adj=200)
    message = failed(fresh, MODULE, services=[{'name': 'work@b', 'score_adj': 1}, {'name': 'job@b', 'score_adj': 2}])
    assert 'are the same service' in message
    fresh.write_file(f'{ETC}/work.service', b'[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n')
    fresh.run('systemctl daemon-reload; systemctl start work')
    assert 'work@a.service, work@b.service, work@c.service' in warnings(apply(fresh, name='work', score_adj=5))


def test_units_that_do_not_run_now_or_have_no_files(fresh):
    install(fresh, 'plain', start=False)
    stopped = apply(fresh, name='plain', score_adj=100)['services'][0]
    assert stopped['before'] is None and stopped['next_start']['score_adj'] == 100
    assert 'is not running' in stopped['notes'][0]
    fresh.run('systemctl mask --now --quiet --runtime plain; systemctl daemon-reload')
    fresh.run(f'mv {ETC}/plain.service /srv/ && ln -s /dev/null {ETC}/plain.service && systemctl daemon-reload')
    masked = apply(fresh, name='plain', score_adj=101)['services'][0]
    assert 'is masked' in masked['notes'][0]
    fresh.run('systemd-run --quiet --unit=passing sleep 1000')
    transient = apply(fresh, name='passing', score_adj=102)['services'][0]
    assert 'is a transient unit' in transient['notes'][0]
    assert set(scores(fresh, 'passing').values()) == {102}
    assert fresh.run(f'test -e {drop_in("passing")}', check=False).returncode == 1
    unchanged(fresh, name='passing', score_adj=102)


NO_SERVICES = [
    ('system.slice', 'slice'), ('dbus.socket', 'socket'), ('init.scope', 'scope'),
    ('../../etc/passwd', 'name of a unit'), ('a b', 'name of a unit'), ('x\n', 'name of a unit'),
    ('', 'name of a service'), ('plain.timer', 'timer'),
    ('a' * 250, 'name of a unit'), ('dbux', 'is dbus meant?'), ('for-users', 'unit of users'),
]  # fmt: skip
NO_VALUES = [1001, -1001, True, False, '0x10', '010', 1.5, 'high', '', 99999999999]


@pytest.mark.long
def test_invalid_request_is_refused_before_any_change(fresh):
    install(fresh, 'plain')
    fresh.write_file('/etc/systemd/user/for-users.service', b'[Service]\nExecStart=/bin/true\n')
    before = tree(fresh)
    for name, reason in NO_SERVICES:
        desired = [{'name': 'plain', 'score_adj': 1}, {'name': name, 'score_adj': 1}]
        assert reason in failed(fresh, MODULE, services=desired)
    for value in NO_VALUES:
        desired = [{'name': 'plain', 'score_adj': 5}, {'name': 'ssh', 'score_adj': value}]
        assert failed(fresh, MODULE, services=desired).startswith('services[1].score_adj: ')
    assert tree(fresh) == before


@pytest.mark.long
def test_a_service_that_is_not_there(fresh):
    install(fresh, 'plain')
    desired = [{'name': 'plain', 'score_adj': 5}, {'name': 'nope', 'score_adj': 5}]
    assert 'no such service' in failed(fresh, MODULE, services=desired)
    assert set(scores(fresh, 'plain').values()) == {0}
    assert 'nope' in warnings(apply(fresh, services=desired, missing='warn'))
    assert warnings(unchanged(fresh, services=desired, missing='ignore')) == ''
    assert len(unchanged(fresh, services=desired, missing='ignore')['services']) == 1


@pytest.mark.long
def test_other_drop_ins_that_would_win(fresh):
    install(fresh, 'plain')
    other = f'{ETC}/plain.service.d/99-local.conf'
    text = b'# mine\n[Service]\nOOMScoreAdjust=300 \nNice=1\n'
    fresh.write_file(other, text)
    fresh.run('systemctl daemon-reload; systemctl restart plain')
    message = failed(fresh, MODULE, name='plain', score_adj=-5)
    assert f'{other} line 3' in message and fresh.run(f'ls {drop_in("plain")}', check=False).returncode
    warned = apply(fresh, name='plain', score_adj=-5, conflicts='warn')
    assert warned['conflicts'][0]['file'] == other and set(scores(fresh, 'plain').values()) == {-5}
    unchanged(fresh, name='plain', score_adj=-5, conflicts='warn')
    taken = apply(fresh, name='plain', score_adj=-5, conflicts='comment_out')
    assert fresh.read_file(other) == text.replace(b'OOMScore', b'# oomkit.linux: OOMScore')
    assert fresh.read_file(taken['backup_files'][0]) == text
    unchanged(fresh, name='plain', score_adj=-5)
    fresh.run('systemctl restart plain')
    assert set(scores(fresh, 'plain').values()) == {-5}
    apply(fresh, name='plain', state='absent')
    assert fresh.read_file(other) == text and set(scores(fresh, 'plain').values()) == {300}


def test_ooms_policy_counts_at_once(fresh):
    install(fresh, 'plain')
    group = procs('plain').replace('cgroup.procs', 'memory.oom.group')
    assert fresh.read_file(group) == b'0\n'
    apply(fresh, name='plain', oom_policy='kill')
    assert fresh.read_file(group) == b'1\n'
    unchanged(fresh, name='plain', oom_policy='kill')
    fresh.run('systemctl restart plain')
    assert fresh.read_file(group) == b'1\n'
    apply(fresh, name='plain', oom_policy='continue')
    assert fresh.read_file(group) == b'0\n'
    assert fresh.run('systemctl show -P OOMPolicy plain').stdout == 'continue\n'
    apply(fresh, name='plain', oom_policy='kill', score_adj=7)
    apply(fresh, name='plain', state='absent')
    assert fresh.read_file(group) == b'0\n' and fresh.run('systemctl show -P OOMPolicy plain').stdout == 'stop\n'


def test_without_the_capability_nothing_is_half_applied(fresh):
    """Raising is allowed and lowering is not: what was raised by the same call comes back, and so do the files."""
    install(fresh, 'plain', 'family')
    before = tree(fresh)
    desired = {'services': [{'name': 'plain', 'score_adj': 500}, {'name': 'family', 'score_adj': -500}]}
    prefix = 'setpriv --bounding-set -sys_resource --inh-caps -sys_resource --'
    result = fresh.module_under(prefix, MODULE, **desired)
    assert result['failed'] and 'CAP_SYS_RESOURCE' in result['msg'] and 'Everything was rolled back' in result['msg']
    assert tree(fresh) == before
    assert fresh.run('systemctl show -P OOMScoreAdjust plain family').stdout.split() == ['0', '0']


def test_an_unprivileged_user_gets_a_message(fresh):
    install(fresh, 'plain')
    before = tree(fresh)
    result = fresh.module(MODULE, user='tester', name='plain', score_adj=5)
    assert result['failed'] and 'ermission denied' in result['msg']
    assert tree(fresh) == before
    planned = fresh.module(MODULE, user='tester', check=True, name='plain', score_adj=5)
    assert planned['changed'] and planned['services'][0]['after'] == 5


@pytest.mark.long
def test_boot_only_and_later_live(fresh):
    """What was written for the boot only still counts as given by the unit when it is to be set live."""
    install(fresh, 'family')
    later = apply(fresh, name='family', score_adj=-300, runtime=False)['services'][0]
    assert later['restart_needed'] and set(scores(fresh, 'family').values()) == {0}
    unchanged(fresh, name='family', score_adj=-300, runtime=False)
    now = apply(fresh, name='family', score_adj=-300)['services'][0]
    assert not now['restart_needed'] and set(scores(fresh, 'family').values()) == {-300}
    unchanged(fresh, name='family', score_adj=-300)


@pytest.mark.long
def test_live_only(fresh):
    install(fresh, 'family')
    before = tree(fresh)
    apply(fresh, name='family', score_adj=-300, persistent=False)
    assert set(scores(fresh, 'family').values()) == {-300}
    apply(fresh, name='family', score_adj=-301, persistent=False)
    unchanged(fresh, name='family', score_adj=-301, persistent=False)
    assert set(scores(fresh, 'family').values()) == {-301}
    apply(fresh, name='family', state='absent')
    assert tree(fresh) == before
    assert 'nothing to do' in failed(fresh, MODULE, name='family', score_adj=1, runtime=False, persistent=False)


@pytest.mark.long
def test_main_only(fresh):
    install(fresh, 'family')
    result = apply(fresh, name='family', score_adj=50, scope='main')['services'][0]
    assert sorted(scores(fresh, 'family').values()) == [0, 0, 50] and result['restart_needed']
    assert not unchanged(fresh, name='family', score_adj=50, scope='main')['changed']
    apply(fresh, name='family', score_adj=50)
    assert set(scores(fresh, 'family').values()) == {50}


@pytest.mark.long
def test_exclusive_and_what_is_left_of_units_that_are_gone(fresh):
    install(fresh, 'plain', 'family')
    apply(fresh, **REQUEST)
    fresh.run(f'systemctl disable --now --quiet plain; rm {ETC}/plain.service; systemctl daemon-reload')
    assert apply(fresh, name='family', score_adj=-500)['orphans'] == [drop_in('plain')]
    assert 'not here any more' in warnings(unchanged(fresh, name='family', score_adj=-500))
    result = apply(fresh, name='family', score_adj=-500, exclusive=True)
    assert result['changed'] and fresh.run(f'ls {ETC}/plain.service.d', check=False).returncode
    assert unchanged(fresh, name='family', score_adj=-500, exclusive=True)['orphans'] == []
    install(fresh, 'plain')
    apply(fresh, name='plain', score_adj=4, exclusive=True)
    assert set(scores(fresh, 'family').values()) == {0} and set(scores(fresh, 'plain').values()) == {4}


@pytest.mark.long
def test_a_file_of_our_name_that_is_not_ours_is_skipped(fresh):
    install(fresh, 'plain')
    fresh.write_file(drop_in('plain'), b'[Service]\nOOMScoreAdjust=9\n')
    assert 'was not made by this collection' in failed(fresh, MODULE, name='plain', score_adj=5)
    assert fresh.read_file(drop_in('plain')) == b'[Service]\nOOMScoreAdjust=9\n'


WATCHED_SYSTEMCTL = b"""#!/bin/sh
case "$*" in *daemon-reload*) echo x >> /run/reloads;; esac
exec /usr/bin/systemctl.real "$@"
"""


def test_one_daemon_reload_and_only_when_it_is_needed(fresh):
    install(fresh, 'plain', 'family')
    # systemctl itself is watched: a wrapper that writes down each daemon-reload before it calls the real one.
    fresh.run('mv /usr/bin/systemctl /usr/bin/systemctl.real; touch /run/reloads')
    fresh.write_file('/usr/bin/systemctl', WATCHED_SYSTEMCTL)
    fresh.run('chmod +x /usr/bin/systemctl')
    count = 'wc -l < /run/reloads'
    seen = [int(fresh.run(count).stdout)]
    for desired in (REQUEST, REQUEST, {'name': 'plain', 'score_adj': 500}):
        fresh.module(MODULE, **desired)
        seen.append(int(fresh.run(count).stdout))
    assert seen == [seen[0]] + [seen[0] + 1] * 3


@pytest.mark.long
def test_another_init_gets_live_values_only_and_says_so(fresh):
    """systemd's own sign is hidden: then this is a machine that only has PID files."""
    install(fresh, 'family')
    pid = min(scores(fresh, 'family'))
    fresh.run(f'echo {pid} > /run/family.pid; mkdir -p /etc/init.d; touch /etc/init.d/family /etc/init.d/asleep')
    hide = "unshare -m sh -c 'mkdir -p /tmp/none && mount --bind /tmp/none /run/systemd && exec \"$@\"' -"
    result = good(fresh.module_under(hide, MODULE, name='family', score_adj=-40))
    assert 'next start will lose it' in warnings(result) and set(scores(fresh, 'family').values()) == {-40}
    assert fresh.run(f'ls {ETC}/family.service.d', check=False).returncode
    assert not good(fresh.module_under(hide, MODULE, name='family', score_adj=-40))['changed']
    asleep = good(fresh.module_under(hide, MODULE, name='asleep', score_adj=1))
    assert 'does not run' in asleep['services'][0]['notes'][0]
    assert 'no such service' in fresh.module_under(hide, MODULE, name='nope', score_adj=1)['msg']
    good(fresh.module_under(hide, MODULE, state='absent', exclusive=True))
    assert set(scores(fresh, 'family').values()) == {0}
