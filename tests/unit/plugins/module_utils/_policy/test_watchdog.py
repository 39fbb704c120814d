# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watchdog decides, and how it leaves its login; the process itself is tested in test_confirm.py."""

import errno
import os
import signal

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._host.writable import WritableHost
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import ADMIN_RESERVE, KBYTES, MEMORY, RATIO
from ansible_collections.oomkit.linux.plugins.module_utils._policy import watchdog
from ansible_collections.oomkit.linux.plugins.module_utils._policy.watchdog import build_steps, cgroup_mounts, roll_back

LOOSE = {MEMORY: 0, RATIO: 50, KBYTES: 0, ADMIN_RESERVE: 8192}
STRICT = {MEMORY: 2, RATIO: 0, KBYTES: 900000, ADMIN_RESERVE: 8192}
TIGHTENED = build_steps([(MEMORY, 0), (RATIO, 50)], LOOSE, STRICT)
LOOSENED = build_steps([(KBYTES, 900000), (MEMORY, 2)], STRICT, LOOSE)


def after(steps, found, refuses=()):
    """What roll_back did with a machine in this state: (outcome, writes)."""
    writes = []

    def write(step):
        if step.key in refuses:
            raise OSError(errno.EINVAL, 'refused')
        writes.append((step.key, step.value))

    return roll_back(steps, found.get, write), writes


def test_all_is_rolled_back_in_order():
    outcome, writes = after(TIGHTENED, STRICT)
    assert outcome == ([MEMORY, RATIO], [], []) and writes == [(MEMORY, 0), (RATIO, 50)]


def test_what_was_never_written_needs_nothing():
    assert after(TIGHTENED, LOOSE) == (([], [], []), [])
    assert after(TIGHTENED, dict(LOOSE, **{RATIO: 0, KBYTES: 900000}))[1] == [(RATIO, 50)]


def test_what_somebody_else_has_set_is_left():
    outcome, writes = after(TIGHTENED, dict(STRICT, **{RATIO: 77, KBYTES: 0}))
    assert outcome == ([MEMORY], [RATIO], []) and writes == [(MEMORY, 0)]
    outcome, writes = after(TIGHTENED, dict(STRICT, **{MEMORY: 1}))
    assert outcome == ([RATIO], [MEMORY], []) and writes == [(RATIO, 50)]


def test_strict_mode_is_not_restored_with_a_foreign_limit():
    outcome, writes = after(LOOSENED, dict(LOOSE, **{RATIO: 5}))
    assert outcome == ([], [KBYTES, MEMORY], []) and writes == []


def test_ratio_and_kbytes_are_one_setting():
    """Ours is the pair: a kbytes of 0 beside another ratio is not ours."""
    assert TIGHTENED[1].keys == (RATIO, KBYTES)
    without_kbytes = {MEMORY: 0, RATIO: 50, KBYTES: None, ADMIN_RESERVE: 8192}
    (step,) = build_steps([(RATIO, 50)], without_kbytes, dict(without_kbytes, **{RATIO: 90}))
    assert step.keys == (RATIO,) and (step.ours, step.was) == ((90,), (50,))


def test_a_refused_write_is_said_after_many_tries(monkeypatch):
    monkeypatch.setattr(watchdog, '_RETRY_S', 0)
    outcome, writes = after(TIGHTENED, STRICT, refuses=[MEMORY])
    assert outcome == ([RATIO], [], [MEMORY]) and writes == [(RATIO, 50)]
    line = watchdog.log_line(outcome, TIGHTENED, 'not confirmed within 5 s')
    assert line == (
        b'<12>oomkit.linux.overcommit: not confirmed within 5 s; rolled back at runtime: vm.overcommit_ratio = 50; '
        b'NOT rolled back, the kernel refused it: vm.overcommit_memory [OOMK-2211]\n'
    )


# ------------------------------------------------------------------------- starting


@pytest.mark.parametrize('raises', [False, True])
def test_a_child_never_gets_back_into_the_run(raises):
    """Held-back signals too: one that had a handler in Python would unwind the stack of the run in the child."""
    reader, writer = os.pipe()

    def work():
        held_back = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
        os.write(writer, b'yes' if held_back else b'no')
        if raises:
            raise KeyboardInterrupt

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    pid = watchdog._forked(work)
    os.close(writer)
    assert os.waitpid(pid, 0) == (pid, 0) and os.read(reader, 9) == b'yes'
    os.close(reader)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


# -------------------------------------------------------------------------- cgroups

V2 = '30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n'
HYBRID = (
    '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n'
    '31 24 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n'
    '32 24 0:28 / /sys/fs/cgroup/systemd rw shared:6 - cgroup cgroup rw,name=systemd\n'
    '33 24 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n'
)


def test_mounts():
    assert cgroup_mounts(V2) == [('cgroup2', '/sys/fs/cgroup')]
    assert [path.rsplit('/')[-1] for _kind, path in cgroup_mounts(HYBRID)] == ['unified', 'systemd', 'cpu,cpuacct']
    assert cgroup_mounts(V2.replace('/sys/fs/cgroup', '/a\\040b')) == [('cgroup2', '/a b')]
    assert cgroup_mounts('x\n\n1 - cgroup\n') == []


# Somebody's bind mount of one cgroup; mountinfo(5) has its root in the fourth field.
BOUND = '50 22 %s %s /mnt rw - %s cgroup rw\n'


@pytest.mark.parametrize('mounts, device, kind', [(V2, '0:26', 'cgroup2'), (HYBRID, '0:28', 'cgroup')])
@pytest.mark.parametrize('root', ['/user.slice/x', '/x', '/'])
def test_whole_mount_of_a_hierarchy_counts(mounts, device, kind, root):
    bound = BOUND % (device, root, kind)
    assert cgroup_mounts(mounts + bound) == cgroup_mounts(mounts)
    if root != '/':
        assert sorted(cgroup_mounts(bound + mounts)) == sorted(cgroup_mounts(mounts))


def test_widest_mount_of_the_cgroup_tree_counts():
    above, part = V2.replace(' / ', ' /../.. '), BOUND % ('0:26', '/x', 'cgroup2')
    assert cgroup_mounts(part + above) == cgroup_mounts(V2)
    assert cgroup_mounts(above + BOUND % ('0:26', '/', 'cgroup2')) == [('cgroup2', '/mnt')]


def test_another_hierarchy_is_another_one():
    assert cgroup_mounts(V2 + BOUND % ('0:27', '/user.slice/x', 'cgroup2'))[1] == ('cgroup2', '/mnt')


def cgroup_tree(root, mountinfo, groups):
    (root / 'proc/self').mkdir(parents=True)
    (root / 'proc/self/mountinfo').write_text(mountinfo)
    for group in groups:
        (root / group).mkdir(parents=True, exist_ok=True)
        (root / group / 'cgroup.procs').write_text('')
    return WritableHost(str(root))


def inside(root, group):
    return (root / group / 'cgroup.procs').read_text()


def test_every_hierarchy_is_left(tmp_path):
    groups = ['sys/fs/cgroup/unified', 'sys/fs/cgroup/systemd', 'sys/fs/cgroup/cpu,cpuacct']
    assert watchdog.leave_cgroups(cgroup_tree(tmp_path, HYBRID, groups)) == []
    assert [inside(tmp_path, group) for group in groups] == ['%d\n' % os.getpid()] * 3


@pytest.mark.parametrize('first', [True, False])
def test_a_bind_mount_of_the_login_leads_nobody_back_into_it(tmp_path, first):
    bound = BOUND % ('0:26', '/user.slice/x', 'cgroup2')
    host = cgroup_tree(tmp_path, bound + V2 if first else V2 + bound, ['sys/fs/cgroup', 'mnt'])
    assert watchdog.leave_cgroups(host) == []
    assert inside(tmp_path, 'sys/fs/cgroup') == '%d\n' % os.getpid() and inside(tmp_path, 'mnt') == ''


def test_where_the_root_is_closed_init_scope_serves(tmp_path):
    host = cgroup_tree(tmp_path, V2, ['sys/fs/cgroup/init.scope'])
    assert watchdog.leave_cgroups(host) == []
    assert inside(tmp_path, 'sys/fs/cgroup/init.scope') == '%d\n' % os.getpid()


@pytest.mark.parametrize('left', ['sys/fs/cgroup/cpu,cpuacct', 'sys/fs/cgroup/systemd'])
def test_a_login_that_cannot_be_left_is_warned_of(tmp_path, left):
    warnings = watchdog.leave_cgroups(cgroup_tree(tmp_path, HYBRID, [left]))
    reported = [text.split('(')[1].split(':')[0] for text in warnings]
    assert reported == ['/sys/fs/cgroup/unified'] + ['/sys/fs/cgroup/systemd'] * (not left.endswith('systemd'))
