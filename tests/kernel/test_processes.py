# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""oom_score_adj of processes that are no service, and that a number used again is never mistaken."""

import json
import re

import pytest
from oomlab.guest import HOME
from test_sysctls import failed, good

MODULE = 'oom_score_adj'
START = (
    'python3 -c \'import sys, time; open("/proc/self/comm", "w").write("worker"); time.sleep(1e6)\' {} '
    '>/dev/null 2>&1 & echo $!'
)


def start(machine, argument='', user='root'):
    return int(machine.run(START.format(argument), user=user).stdout)


def score(machine, pid):
    return int(machine.run(f'cat /proc/{pid}/oom_score_adj').stdout)


def test_each_way_to_choose(fresh):
    one, other = start(fresh, '--batch=1'), start(fresh, '--batch=2')
    theirs = start(fresh, user='tester')
    fresh.run(f'echo {one} > /srv/one.pid; sleep 0.5')
    ways = [
        ({'pid': one}, {one}),
        ({'pidfile': '/srv/one.pid'}, {one}),
        ({'comm': 'worker'}, {one, other, theirs}),
        ({'cmdline_regex': r'--batch=\d$'}, {one, other}),
        ({'user': 'tester'}, {theirs}),
    ]
    for number, (process, wanted) in enumerate(ways, 100):
        result = good(fresh.module(MODULE, process=process, score_adj=number))
        found = {item['pid'] for item in result['processes']}
        assert result['changed'] and wanted <= found
        assert found == wanted or 'user' in process  # the user's session has more of them
        assert {score(fresh, pid) for pid in wanted} == {number}
        again = good(fresh.module(MODULE, process=process, score_adj=number))
        assert not again['changed'] and again['diff'] == []
    for process in ({'comm': 'worker'}, {'user': 'tester'}):
        good(fresh.module(MODULE, process=process, state='absent'))
    assert [score(fresh, pid) for pid in (one, other, theirs)] == [0, 0, 0]
    assert not good(fresh.module(MODULE, process={'comm': 'worker'}, state='absent'))['changed']
    assert fresh.run('ls /run/oomkit', check=False).returncode


@pytest.mark.long
def test_bad_choices(fresh):
    assert 'exactly one' in failed(fresh, MODULE, process={}, score_adj=1)
    assert 'exactly one' in failed(fresh, MODULE, process={'pid': 1, 'comm': 'x'}, score_adj=1)
    assert '15' in failed(fresh, MODULE, process={'comm': 'a' * 16}, score_adj=1)
    assert 'not a regular expression' in failed(fresh, MODULE, process={'cmdline_regex': '('}, score_adj=1)
    assert 'no user' in failed(fresh, MODULE, process={'user': 'nobody-at-all'}, score_adj=1)
    assert 'process.pid' in failed(fresh, MODULE, process={'pid': True}, score_adj=1)
    assert 'matches no process' in failed(fresh, MODULE, process={'comm': 'none-such'}, score_adj=1)
    assert 'matches no process' in failed(fresh, MODULE, process={'pid': 1}, score_adj=1)
    good(fresh.module(MODULE, process={'comm': 'none-such'}, score_adj=1, missing='ignore'))
    assert 'live' not in failed(fresh, MODULE, process={'pid': 1}, score_adj=1, runtime=False)


def test_the_module_itself_and_its_ancestors_never_match(fresh):
    fresh._drop_connections()  # so that the module descends from a session
    result = good(fresh.module(MODULE, process={'cmdline_regex': '.'}, score_adj=7, scope='all', missing='ignore'))
    mine = [
        int(pid)
        for pid in fresh.run(
            'p=$$; while [ $p -gt 1 ]; do echo $p; p=$(cut -d" " -f4 /proc/$p/stat); done'
        ).stdout.split()
    ]
    found = {item['pid'] for item in result['processes']}
    listener = mine[-1]  # sshd itself, from which the module's connection descends too
    assert found and 1 not in found and listener not in found


REUSE = r'''
import json, os, signal, sys, time
sys.path.insert(0, HOME)
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._process import groups, handle, score_adj, selector
from ansible_collections.oomkit.linux.plugins.module_utils._service import other_init

def child(uid=0):
    pid = os.fork()
    if pid == 0:
        os.setresuid(uid, uid, uid)
        time.sleep(600)
    return pid

def again(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for _try in range(50):
        with open('/proc/sys/kernel/ns_last_pid', 'w') as last:
            last.write(str(pid - 1))
        new = child()
        if new == pid:
            return
        os.kill(new, signal.SIGKILL)
        os.waitpid(new, 0)
    raise SystemExit('the number was not given again')

host = Host()
first = child(UID)
time.sleep(0.1)
with open('/run/reuse.pid', 'w') as stream:
    stream.write('%d' % first)
group = {
    'these': lambda: groups.TheseProcesses([handle.identify(host, first)]),
    'pid': lambda: selector.build_group(host, {'pid': first}),
    'pidfile': lambda: selector.build_group(host, {'pidfile': '/run/reuse.pid'}),
    'user': lambda: selector.build_group(host, {'user': str(UID)}),
    'tree': lambda: other_init.TreeGroup(host, handle.identify(host, first)),
}[KIND]()
target = score_adj.Target('x', group, 98)
with handle.ProcessHandle(host, first) as held:
    seen = [one for one in group.look(host) if one.pid == first]
    again(first)
    wrote, read = held.write_score_adj(99), held.read('stat')
target._set(host, seen[0], 98)
target.apply(host)
print(json.dumps([wrote, read, target.changed, int(open('/proc/%d/oom_score_adj' % first).read())]))
os.kill(first, signal.SIGKILL)
'''


@pytest.mark.parametrize('kind', ['these', 'pid', 'pidfile', 'user', 'tree'])
def test_a_number_used_again_is_not_mistaken(fresh, kind):
    """The process dies between the look and the write, and root's next process gets its number: that one is not set."""
    assert fresh.module('oom_facts', gather_subset=['memory'])['_rc'] == 0  # brings the code over
    uid = 54321 if kind == 'user' else 0
    values = {'HOME': repr(HOME), 'KIND': repr(kind), 'UID': str(uid)}
    script = re.sub('HOME|KIND|UID', lambda match: values[match.group()], REUSE)
    assert json.loads(fresh.run('python3 -', data=script).stdout) == [False, None, {}, 0]


HEADLESS = (
    "python3 -c 'import ctypes, threading, time; threading.Thread(target=time.sleep, args=(9999,)).start(); "
    "ctypes.CDLL(None).pthread_exit(None)' oomkit-headless >/dev/null 2>&1 & echo $!"
)


def test_a_process_whose_first_thread_has_ended(fresh):
    """As a process and as the main process of a service."""
    pid = int(fresh.run(HEADLESS).stdout)
    fresh.run(f'until grep -q ") Z " /proc/{pid}/stat; do sleep 0.1; done')
    result = good(fresh.module(MODULE, process={'cmdline_regex': 'oomkit-headless$'}, score_adj=-300))
    assert [one['pid'] for one in result['processes']] == [pid] and score(fresh, pid) == -300
    good(fresh.module(MODULE, process={'pid': pid}, state='absent'))
    assert score(fresh, pid) == 0
    command = HEADLESS.partition(' oomkit')[0].replace("'", '"').replace('python3', '/usr/bin/python3')
    fresh.run(f"printf '[Service]\\nExecStart=%s\\n' '{command}' > /run/systemd/system/headless.service; "
              'systemctl daemon-reload; systemctl start headless')  # fmt: skip
    main = int(fresh.run('systemctl show -P MainPID headless').stdout)
    fresh.run(f'until grep -q ") Z " /proc/{main}/stat; do sleep 0.1; done')
    service = good(fresh.module(MODULE, name='headless', score_adj=-400, persistent=False))['services'][0]
    assert (service['changed_pids'], service['after'], score(fresh, main)) == ([main], -400, -400)
