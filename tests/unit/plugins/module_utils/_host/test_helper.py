# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper process, and files that block like those of a user's own file system: pipes that nobody writes to."""

import errno
import mmap
import os
import re
import signal
import subprocess
import sys
import time
import types

import machine
import pytest
from proc_files import add_process

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import (
    CONTAINER,
    NO_SYSTEMD,
    NeedsAdvice,
    Refusal,
)
from ansible_collections.oomkit.linux.plugins.module_utils._core.sanitize import InternalError
from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather as facts_gather
from ansible_collections.oomkit.linux.plugins.module_utils._host import file_access, helper
from ansible_collections.oomkit.linux.plugins.module_utils._module import forecast_info
from ansible_collections.oomkit.linux.plugins.module_utils._policy import pending_change
from ansible_collections.oomkit.linux.plugins.module_utils._process import credentials, handle, pid_file, score_adj
from ansible_collections.oomkit.linux.plugins.module_utils._process.groups import UnitGroup
from ansible_collections.oomkit.linux.plugins.module_utils._process.procfs import Proc

REQUEST = facts_gather.Request(facts_gather.select_keys(['all']), 0, False)
FORECAST = dict(kills=2, score_adj=None, protect=None, cgroup=None, nodes=None, growing=None, policy=None,
                kill_allocating_task=None, snapshot=None)  # fmt: skip


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A machine on disk whose processes belong to several users."""
    monkeypatch.setattr(helper, 'DEADLINE_S', 0.5)
    one = machine.Machine(tmp_path)
    one.put('/proc/stat', 'cpu 1 2 3\nbtime 1700000000\n')
    one.link('/proc/self/ns/pid', 'pid:[4026531836]')
    for pid, uid in ((1, 0), (40, 0), (41, 1000), (42, 1000), (43, 1001), (44, 1002), (45, 1003)):
        add_process(one, pid, 0 if pid == 1 else 700, rss_kb=200000 + pid, uid=uid)
    one.helper = helper.Helper({'host': one})
    yield one
    one.helper.close()


def block(box, path):
    """Let reads of this file wait for ever."""
    target = box.base / path.lstrip('/')
    target.unlink(missing_ok=True)
    os.mkfifo(target)


def gather(box, request=REQUEST):
    """The facts, and the seconds that they took."""
    start = time.monotonic()
    facts = box.call(facts_gather.gather_facts, box, request)
    return facts, time.monotonic() - start


def pids(facts):
    return {one['pid'] for one in facts['candidates']}


@pytest.mark.thorough
@pytest.mark.parametrize('name', ['stat', 'status', 'comm', 'cgroup', 'oom_score', 'oom_score_adj'])
def test_stalled_process_costs_only_its_user(box, name):
    block(box, '/proc/41/' + name)
    facts, seconds = gather(box)
    assert pids(facts) == {40, 43, 44, 45} | ({42} if name == 'status' else set())  # the only file with the user
    assert any('process 41 is skipped because it does not answer' in text for text in facts['warnings'])
    assert seconds < 5


def test_skipped_process_is_not_read_by_path_either(box):
    block(box, '/proc/41/stat')
    box.call(handle.identify, box, 41)
    for path in ('/proc/41/cgroup', '/proc/42/stat'):
        with pytest.raises(OSError, match='does not answer'):
            box.call(box.read_bytes, path)
    assert box.call(box.read_bytes, '/proc/43/stat')


@pytest.fixture
def stuck_in_its_program(box):
    """Process 46 has all user IDs 0 as sudo has, and looks at its program do not return."""
    add_process(box, 46, 0, uid=0)
    (box.base / 'proc/46/exe').touch(mode=0o4755)
    stalls = [file_access.parse_stall('/proc/46/exe')]
    before = file_access.set_current(file_access.RestrictedAccess(str(box.base / 'proc'), stalls))
    yield 46
    file_access.set_current(before)


def test_what_may_be_sudo_is_not_believed(box, stuck_in_its_program):
    with Proc(box) as processes:
        assert 'does not answer' in credentials.doubt_root(processes, stuck_in_its_program)
    assert pid_file.find_user(box, stuck_in_its_program) is None


def test_a_watchdog_that_has_ended_is_known_by_its_file(box):
    """Its number may be that of a user's process by now, which does not answer."""
    name = pending_change.new_name()
    box.put('/run/oomkit/' + name, '{}')
    block(box, '/proc/41/stat')
    box.call(handle.identify, box, 41)
    assert not pending_change.is_watched(box, types.SimpleNamespace(name=name, pid=41, started=500))


def test_stalled_command_line_costs_command_lines_only(box):
    block(box, '/proc/41/cmdline')
    facts, _seconds = gather(box, REQUEST._replace(cmdline=True))
    assert {one['pid'] for one in facts['candidates'] if one['cmdline'] is None} == {41, 42}
    assert pids(facts) == {40, 41, 42, 43, 44, 45}
    assert any('command line and memory map of process 41' in text for text in facts['warnings'])


def test_one_of_roots_costs_no_other_of_roots(box):
    add_process(box, 46, 700, uid=0)
    block(box, '/proc/46/stat')
    facts, _seconds = gather(box)
    assert pids(facts) == {40, 41, 42, 43, 44, 45}


def test_processes_of_many_users_that_do_not_answer_leave_roots(box):
    for pid in (41, 43, 44, 45):
        block(box, '/proc/%d/stat' % pid)
    facts, seconds = gather(box)
    assert pids(facts) == {40}
    assert any('only processes of root and of this user are read' in text for text in facts['warnings'])
    assert seconds < 5


@pytest.mark.thorough
def test_it_ends_where_nothing_answers(box):
    for pid in range(100, 110):
        add_process(box, pid, 700)
        block(box, '/proc/%d/stat' % pid)
    facts, seconds = gather(box)
    assert facts['candidates'] == []
    assert any('no process is read' in text for text in facts['warnings'])
    assert facts['overcommit']['ratio'] == 70
    assert seconds < 10


def test_a_forecast_is_unknown_and_says_of_which_process(box):
    block(box, '/proc/41/stat')
    result = forecast_info.run(FORECAST, box)
    assert result['outcome'] == 'unknown'
    assert 'process 41 is skipped because it does not answer' in result['reason']


def test_stalled_folder_is_named_and_the_rest_is_read(box):
    box.put('/usr/lib/sysctl.d/50-a.conf', 'vm.overcommit_ratio = 70\n')
    block(box, '/etc/sysctl.d/60-b.conf')
    with open(box.base / 'etc/sysctl.d/60-b.conf', 'rb', opener=lambda path, flags: os.open(path, os.O_RDWR)):
        facts, _seconds = gather(box)  # a pipe: never waited for, whatever has it open
    assert facts['boot']['vm.overcommit_ratio']['value'] == 70


def stuck_read(box):
    """Wait in a file outside of /proc."""
    from ansible_collections.oomkit.linux.plugins.module_utils._host.file_access import Reading
    with Reading('/run/daemon/daemon.pid'):
        time.sleep(60)


def test_a_file_that_does_not_answer_is_not_read_again(box):
    with pytest.raises(OSError, match='does not answer') as caught:
        box.call(stuck_read, box)
    assert caught.value.errno == errno.ETIMEDOUT
    assert box.unread() == ['/run/daemon is skipped because it does not answer [OOMK-3103]']


def stuck_after_an_inner_read():
    with file_access.Reading('/run/daemon/outer'):
        with file_access.Reading('/run/daemon/inner'):
            pass
        time.sleep(60)


def test_a_read_goes_on_after_another_one_that_is_a_part_of_it(box):
    """As that of a link on the way to the file."""
    with pytest.raises(OSError, match='does not answer'):
        box.call(stuck_after_an_inner_read)


def slow_reads(pids, seconds):
    """Reads that each return just before the deadline."""
    done = 0
    for pid in pids:
        if file_access.current.allows(pid):
            with file_access.Reading('/proc/%d/stat' % pid):
                time.sleep(seconds)
            done += 1
    return done


@pytest.mark.thorough
def test_slow_reads_have_a_limit_together(box, monkeypatch):
    monkeypatch.setattr(helper, 'BUDGET_S', 1.0)
    monkeypatch.setattr(helper, 'LEAST_S', 0.1)
    for pid in range(100, 130):
        add_process(box, pid, 0, uid=pid)
    start = time.monotonic()
    assert box.call(slow_reads, list(range(100, 130)), 0.4) < 4
    assert time.monotonic() - start < 6


def test_reads_that_are_a_little_slow_cost_their_user_the_rest(box, monkeypatch):
    monkeypatch.setattr(file_access, 'MOST_SLOW_S', 0.2)
    box.helper = helper.Helper({'host': box})
    for pid in range(100, 200):
        add_process(box, pid, 0, uid=1000 if pid < 180 else 0)
    assert 20 < box.call(slow_reads, list(range(100, 200)), 0.01) <= 50
    assert any(re.search('process 1[0-9][0-9] .* all processes of user 1000', text) for text in box.unread())


def work_for_long(box):
    """Take longer than the deadline without reading anything."""
    time.sleep(1.5)
    return os.getpid()


@pytest.mark.thorough
def test_work_that_reads_nothing_may_take_its_time(box):
    assert box.call(work_for_long, box) != os.getpid()


# ---------------------------------------------------------------- what it holds

def open_descriptors(box):
    return {os.readlink('/proc/self/fd/' + name) for name in os.listdir('/proc/self/fd')
            if os.path.exists('/proc/self/fd/' + name)}


def test_it_holds_its_pipes_and_nothing_else(box, tmp_path):
    with open(tmp_path / 'secret', 'w'):
        box.helper = helper.Helper({'host': box})
        found = box.call(open_descriptors, box)
    assert all(one == '/dev/null' or one.startswith('pipe:') for one in found)
    assert len([one for one in found if one.startswith('pipe:')]) == 2


@pytest.mark.thorough
def test_nobody_waits_for_a_helper_that_was_abandoned(tmp_path):
    """Ansible waits until everything that holds the module's output is gone."""
    os.mkfifo(tmp_path / 'pipe')
    text = (
        'import sys; sys.path.insert(0, %r)\n'
        'import collection; collection.lay()\n'
        'from ansible_collections.oomkit.linux.plugins.module_utils._host import helper\n'
        'from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host\n'
        'import signal\n'
        'host = Host()\n'
        'host.helper = helper.Helper({"host": host})\n'
        'host.call(signal.signal, signal.SIGTERM, signal.SIG_IGN)\n'
        'print(host.helper._child, flush=True)\n'
        'import os; os._exit(0)\n') % os.path.join(os.path.dirname(__file__), '../../../..')  # fmt: skip
    done = subprocess.run([sys.executable, '-c', text], stdout=subprocess.PIPE, timeout=30, check=True)
    child = int(done.stdout)
    for _look in range(100):
        if not os.path.exists('/proc/%d' % child):
            return
        time.sleep(0.05)
    pytest.fail('the helper outlives the process that it works for')


# ------------------------------------------------------------------ what comes back

def refuse(box):
    raise Refusal('not here', CONTAINER)


def refuse_without_advice(box):
    raise NeedsAdvice('nor here', NO_SYSTEMD)


def fail(box):
    raise PermissionError(errno.EACCES, 'Permission denied', '/x')


def break_down(box):
    return {}['missing']


def test_errors_come_back_as_they_are(box):
    with pytest.raises(Refusal, match='not here') as caught:
        box.call(refuse, box)
    assert caught.value.code == CONTAINER
    with pytest.raises(NeedsAdvice, match='nor here') as caught:
        box.call(refuse_without_advice, box)
    assert caught.value.cause == NO_SYSTEMD
    with pytest.raises(PermissionError) as denied:
        box.call(fail, box)
    assert denied.value.filename == '/x'
    with pytest.raises(InternalError, match='KeyError in _host/test_helper.py line'):
        box.call(break_down, box)


def large(box):
    return ['x' * 1000] * 3000


def test_large_results_and_questions_pass(box):
    assert box.call(len, box.call(large, box)) == 3000


def give_back(one):
    return one


def test_what_both_share_is_sent_as_its_name(box):
    assert box.call(give_back, {'host': box})['host'] is box


# ------------------------------------------------------------------ when it is killed

def kill_myself(box):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_myself_once(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        return 'done'
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_that_is_killed_is_followed_by_another(box, tmp_path):
    (tmp_path / 'once').touch()
    assert box.call(kill_myself_once, str(tmp_path / 'once')) == 'done'


def test_it_works_where_nobody_may_wait_for_children(box):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as the program that starts the module may have it
    try:
        with pytest.raises(OSError, match='killed twice'):
            box.call(kill_myself, box)
        assert box.call(len, 'abc') == 3
    finally:
        signal.signal(signal.SIGCHLD, before)


def kill_myself_in_a_read(box):
    with file_access.Reading('/proc/45/stat'):
        kill_myself(box)


def test_helper_killed_in_a_read_is_no_stalled_read(box):
    """The kernel closes its pipes before waitpid(2) reports its end."""
    for _attempt in range(50):
        with pytest.raises(OSError, match='killed twice'):
            box.call(kill_myself_in_a_read, box)
    assert {40, 41, 42, 43, 44, 45} == pids(gather(box)[0])


def test_two_that_are_killed_are_an_error(box):
    with pytest.raises(OSError, match='killed twice'):
        box.call(kill_myself, box)


@pytest.mark.parametrize(('module', 'call'), [(os, 'fork'), (os, 'pipe'), (mmap, 'mmap')])
def test_without_helper_only_root_and_own_processes_are_read(box, monkeypatch, module, call):
    def fail(*_arguments):
        raise OSError(errno.ENOMEM, 'Cannot allocate memory')
    monkeypatch.setattr(module, call, fail)
    box.helper = helper.Helper({'host': box})
    block(box, '/proc/41/stat')
    facts, _seconds = gather(box)
    assert pids(facts) == {40}
    assert any('no helper process could be started (Cannot allocate memory)' in text for text in facts['warnings'])


# ----------------------------------------------------------------- while a change is made

@pytest.fixture
def target(box):
    """The processes of a service, of three users, at 600."""
    for pid in (41, 43, 44):
        box.put('/proc/%d/cgroup' % pid, '0::/system.slice/x.service\n')
    box.put('/sys/fs/cgroup/system.slice/x.service/cgroup.procs', '41\n43\n44\n')
    one = score_adj.Target('x', UnitGroup(box, '/system.slice/x.service'), 600)
    one.apply(box)
    assert adjs(box) == [600, 600, 600]
    return one


def adjs(box):
    return [int(box.get('/proc/%d/oom_score_adj' % pid)) for pid in (41, 43, 44)]


@pytest.mark.parametrize('pid', [41, 43, 44])
def test_rollback_names_stalled_process_restores_others(box, target, pid):
    block(box, '/proc/%d/stat' % pid)
    with pytest.raises(OSError, match='does not answer.*/proc/%d' % pid):
        target.rollback(box)
    assert adjs(box) == [600 if one == pid else 0 for one in (41, 43, 44)]


@pytest.mark.thorough
def test_rollback_without_helper_says_what_is_not_restored(box, target):
    for pid in (42, 45):
        block(box, '/proc/%d/stat' % pid)
        box.call(handle.identify, box, pid)
    with pytest.raises(OSError, match='does not answer'):
        target.rollback(box)
    assert adjs(box) == [600, 600, 600]


def write_and_die(box, one, path):
    """Set the process, and be killed before that is reported, once."""
    done = score_adj.write_score_adj(box, one, 700)
    kill_myself_once(path)
    return done


def test_value_set_by_a_killed_helper_counts_as_set(box, target, tmp_path):
    (tmp_path / 'once').touch()
    assert box.call(write_and_die, box, box.call(handle.identify, box, 41), str(tmp_path / 'once'))
