# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules overcommit and panic_on_oom through their whole life on a real kernel, reboots included."""

import json
import os
import random

import pytest

OURS = '/etc/sysctl.d/99-oomkit.conf'
OVERCOMMIT = {'mode': 'never', 'ratio': 90, 'admin_reserve_kbytes': 9000, 'user_reserve_kbytes': 20000}
PANIC = {'policy': 'panic', 'reboot_after': 10, 'kill_allocating_task': True, 'dump_tasks': False}
# Not from the records: a wrong key there must not be expected here.
VALUES = {
    'overcommit': {
        'vm.overcommit_memory': 2,
        'vm.overcommit_ratio': 90,
        'vm.overcommit_kbytes': 0,
        'vm.admin_reserve_kbytes': 9000,
        'vm.user_reserve_kbytes': 20000,
    },
    'panic_on_oom': {
        'vm.panic_on_oom': 1,
        'kernel.panic': 10,
        'vm.oom_kill_allocating_task': 1,
        'vm.oom_dump_tasks': 0,
    },
}
REQUESTS = {'overcommit': OVERCOMMIT, 'panic_on_oom': PANIC}
DRIFT = {'overcommit': ('vm.overcommit_memory', 1), 'panic_on_oom': ('kernel.panic', 33)}


def values(machine, module):
    """What the kernel holds."""
    return {key: machine.sysctl(key) for key in VALUES[module]}


def ours(machine):
    """Our file, None when there is none."""
    done = machine.run(f'cat {OURS}', check=False)
    return done.stdout if done.returncode == 0 else None


def good(result):
    """The result of a run that did not fail."""
    assert not result.get('failed'), result
    return result


def unchanged(machine, module, /, **params):
    result = good(machine.module(module, **params))
    assert not result['changed'] and result['diff'] == [] and result['changed_keys'] == [], result


def failed(machine, module, /, **params):
    """The message of a run that must fail."""
    result = machine.module(module, **params)
    assert result.get('failed'), result
    assert 'Traceback' not in json.dumps(result)
    return result['msg']


@pytest.mark.parametrize('module', ['overcommit', pytest.param('panic_on_oom', marks=pytest.mark.long)])
def test_set_drift_check_reboot_undo(fresh, module):
    desired, key = REQUESTS[module], DRIFT[module][0]
    untouched = values(fresh, module)
    planned = good(fresh.module(module, check=True, **desired))
    assert values(fresh, module) == untouched and ours(fresh) is None
    done = good(fresh.module(module, **desired))
    for name in ('changed', 'changed_keys', 'before', 'after', 'diff'):
        assert planned[name] == done[name]
    assert done['changed'] and values(fresh, module) == done['after']['runtime'] == VALUES[module]
    unchanged(fresh, module, **desired)

    fresh.run(f'sysctl -w {key}={DRIFT[module][1]}')
    planned = good(fresh.module(module, check=True, **desired))
    assert planned['changed_keys'] == [key] and fresh.sysctl(key) == DRIFT[module][1]
    assert planned['diff'][0]['before'] == f'{key} = {DRIFT[module][1]}\n'
    assert good(fresh.module(module, **desired))['changed_keys'] == [key]
    unchanged(fresh, module, **desired)

    fresh.reboot()
    assert values(fresh, module) == VALUES[module]
    unchanged(fresh, module, **desired)

    undone = good(fresh.module(module, state='absent'))
    assert undone['changed'] and values(fresh, module) == untouched and ours(fresh) is None
    assert fresh.run('ls /var/lib/oomkit', check=False).returncode != 0
    unchanged(fresh, module, state='absent')


@pytest.mark.long
def test_undo_holds_after_a_reboot(fresh):
    for module, desired in REQUESTS.items():
        good(fresh.module(module, **desired))
    fresh.reboot()
    for module in REQUESTS:
        good(fresh.module(module, state='absent'))
    fresh.reboot()
    for module in REQUESTS:
        unchanged(fresh, module, state='absent')
    assert fresh.sysctl('vm.overcommit_memory') == fresh.sysctl('vm.panic_on_oom') == 0 and ours(fresh) is None


def test_commit_limit_is_what_was_asked_for(fresh):
    fresh.run('fallocate -l 200M /swap && chmod 600 /swap && mkswap /swap && swapon /swap')
    for limit, within_kb in (('900M', 4), ('95%', 4)):
        result = good(fresh.module('overcommit', mode='never', commit_limit=limit))
        lines = dict(line.split(':') for line in fresh.run('cat /proc/meminfo').stdout.splitlines())
        numbers = {name: int(value.split()[0]) for name, value in lines.items()}
        whole_kb = numbers['MemTotal'] + numbers['SwapTotal']
        wanted_kb = 900 * 1024 if limit == '900M' else whole_kb * 95 // 100
        assert abs(numbers['CommitLimit'] - wanted_kb) <= within_kb, result
        unchanged(fresh, 'overcommit', mode='never', commit_limit=limit)
    assert 'swap' in failed(fresh, 'overcommit', commit_limit='150M')


# ------------------------------------------------------------------------ guard


def test_a_limit_below_what_is_committed_is_refused(fresh):
    fresh.run('python3 -c "import mmap, time; x = mmap.mmap(-1, 600 << 20); time.sleep(600)" >/dev/null 2>&1 & sleep 2')
    untouched = values(fresh, 'overcommit')
    message = failed(fresh, 'overcommit', mode='never', ratio=50)
    assert 'Committed_AS' in message and 'Enough would be ratio:' in message
    assert values(fresh, 'overcommit') == untouched and ours(fresh) is None
    ratio = int(message.split('ratio: ')[1].split(',')[0])
    good(fresh.module('overcommit', check=True, mode='never', ratio=ratio + 1))


@pytest.mark.parametrize('kbytes', [pytest.param(4, marks=pytest.mark.long), 40000])
def test_force_without_room_to_fork_is_rolled_back(fresh, kbytes):
    fresh.write_file(OURS, b'# mine\n')
    untouched = values(fresh, 'overcommit')
    message = failed(fresh, 'overcommit', mode='never', kbytes=kbytes, force=True)
    assert 'cannot start a program' in message and 'Everything was rolled back' in message
    assert values(fresh, 'overcommit') == untouched and ours(fresh) == '# mine\n'
    assert fresh.run('ls -a /etc/sysctl.d | grep oomkit-', check=False).stdout == ''
    # A really new login: nothing of the connections that were open before.
    fresh._drop_connections()
    assert fresh.run('echo here', user='tester').stdout == 'here\n'
    unchanged(fresh, 'overcommit', state='absent')


@pytest.mark.long
def test_root_can_where_others_cannot(fresh):
    """admin_reserve makes the two differ: room for root alone is not room."""
    limit_kb = 400000
    message = failed(
        fresh, 'overcommit', mode='never', kbytes=limit_kb, admin_reserve_kbytes=limit_kb - 20000, force=True
    )
    assert 'a user without CAP_SYS_ADMIN cannot start a program' in message
    assert fresh.sysctl('vm.overcommit_memory') == 0


# ------------------------------------------------------------------------ panic


def test_a_panic_reboots_into_the_same_policy(fresh):
    assert 'hang forever' in failed(fresh, 'panic_on_oom', policy='panic')
    good(fresh.module('panic_on_oom', policy='panic', reboot_after=2))
    seconds = fresh.reboot('sync; sleep 0.5; echo c > /proc/sysrq-trigger')
    print(f'back {seconds:.0f} s after a panic')
    assert fresh.sysctl('vm.panic_on_oom') == 1 and fresh.sysctl('kernel.panic') == 2
    unchanged(fresh, 'panic_on_oom', policy='panic', reboot_after=2)


# ------------------------------------------------------------- what cannot be written

READ_ONLY = "unshare -m sh -c 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$@\"' -"


@pytest.mark.parametrize('module', REQUESTS)
@pytest.mark.parametrize('check', [pytest.param(True, marks=pytest.mark.long), False])
def test_a_read_only_proc_sys_is_told_plainly(fresh, module, check):
    result = fresh.module_under(READ_ONLY, module, check, **REQUESTS[module])
    assert result['failed'] and result['refusal'] == 'not_writable' and 'EROFS' in result['msg']
    assert ours(fresh) is None
    result = good(fresh.module_under(READ_ONLY, module, check, runtime=False, **REQUESTS[module]))
    assert result['changed'] and (ours(fresh) is None) == check


def test_an_unprivileged_user_is_told_to_become_root(fresh):
    result = fresh.module('overcommit', user='tester', mode='always')
    assert result['failed'] and 'become: true' in result['msg']
    assert good(fresh.module('overcommit', check=True, user='tester', mode='always'))['changed']


# ---------------------------------------------------------------------- from anywhere


def assert_is_as_asked(machine, desired, when):
    """Mode, ratio and kbytes as the kernel shows them; of a percentage the CommitLimit, to the page."""
    found = values(machine, 'overcommit')
    assert found['vm.overcommit_memory'] == ('heuristic', 'always', 'never').index(desired['mode']), (
        when, desired, found)
    for option, key in (('ratio', 'vm.overcommit_ratio'), ('kbytes', 'vm.overcommit_kbytes')):
        if option in desired:
            assert found[key] == desired[option], (when, desired, found)
    if 'commit_limit' in desired:
        lines = machine.run('cat /proc/meminfo').stdout.splitlines()
        memory = {line.split(':')[0]: int(line.split()[1]) for line in lines}
        more_kb = memory['CommitLimit'] - (memory['MemTotal'] + memory['SwapTotal']) * 0.85
        assert abs(more_kb) <= 4, (when, desired, found, memory)


def test_random_requests_converge_from_random_states(fresh):
    """16 transitions of ansible.posix.sysctl ended with the wrong limit seven times; here none may."""
    rng = random.Random(7)
    for number in range(20 if os.environ.get('OOMKIT_LONG') else 3):
        fresh.run(
            f'echo {rng.choice((0, 1))} > /proc/sys/vm/overcommit_memory; '
            + rng.choice(
                ('echo 70 > /proc/sys/vm/overcommit_ratio', 'echo 800000 > /proc/sys/vm/overcommit_kbytes', 'true')
            )
        )
        limit = rng.choice(
            ({'ratio': rng.randint(60, 150)}, {'kbytes': rng.randint(500000, 1500000)}, {'commit_limit': '85%'})
        )
        desired = dict(limit, mode=rng.choice(('heuristic', 'always', 'never')))
        good(fresh.module('overcommit', **desired))
        unchanged(fresh, 'overcommit', **desired)
        assert_is_as_asked(fresh, desired, number)
    fresh.reboot()
    assert_is_as_asked(fresh, desired, 'after the reboot')
    unchanged(fresh, 'overcommit', **desired)
