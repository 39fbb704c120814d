# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of cgroups of both versions, as trees."""

import pytest
from machine import Machine

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._forecast import memcg

V2 = '26 1 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n'
V1 = '30 26 0:27 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n'
MIB = 1 << 20
SWAP_PAGES = 1000


def make(tmp_path, mounts=V2):
    machine = Machine(tmp_path)
    machine.put('/proc/self/mountinfo', mounts)
    return machine, memcg.Tree(machine)


def cgroup(machine, path, pids='', **values):
    folder = '/sys/fs/cgroup' + path
    machine.put(folder + '/cgroup.procs', pids)
    for name, text in values.items():
        machine.put('%s/memory.%s' % (folder, name.replace('__', '.')), text + '\n')


@pytest.mark.parametrize('values, swappiness, total_pages', [
    ({'max': str(60 * MIB)}, '60', 15_360 + SWAP_PAGES),
    ({'max': str(60 * MIB), 'swap__max': 'max'}, '60', 15_360 + SWAP_PAGES),
    ({'max': str(60 * MIB), 'swap__max': str(2 * MIB)}, '60', 15_360 + 512),
    ({'max': str(60 * MIB), 'swap__max': '0'}, '60', 15_360),
    ({'max': str(60 * MIB), 'swap__max': 'max'}, '0', 15_360),  # vm.swappiness 0: the kernel leaves swap out
    ({'max': '0', 'swap__max': '0'}, '60', 1),
])
def test_what_a_cgroup_of_v2_measures_by(tmp_path, values, swappiness, total_pages):
    machine, tree = make(tmp_path)
    machine.put('/proc/sys/vm/swappiness', swappiness + '\n')
    cgroup(machine, '/a/b', **values)
    assert memcg.find_domain(tree, '/a/b', SWAP_PAGES) == ('/a/b', total_pages, False, None)


@pytest.mark.parametrize('both, swappiness, disabled, total_pages', [
    (80 * MIB, 60, 0, 15_360 + 1000), (61 * MIB, 60, 0, 15_360 + 256), (61 * MIB, 0, 1, 15_360),
    (9223372036854771712, 60, 0, 15_360 + 1000), (None, 60, 0, 15_360 + 1000),
])
def test_what_a_cgroup_of_v1_measures_by(tmp_path, both, swappiness, disabled, total_pages):
    machine, tree = make(tmp_path, V2.replace('/sys/fs/cgroup ', '/sys/fs/cgroup/unified ') + V1)
    values = {'limit_in_bytes': str(60 * MIB), 'swappiness': str(swappiness),
              'oom_control': 'oom_kill_disable %d\nunder_oom 0' % disabled, 'oom__group': '1'}
    if both:
        values['memsw__limit_in_bytes'] = str(both)
    cgroup(machine, '/memory/a', '5\n', **values)
    assert memcg.find_domain(tree, '/a', SWAP_PAGES) == ('/a', total_pages, bool(disabled), None)
    assert tree.pids('/a') == [5]
    assert not tree.is_oom_group('/a') and not tree.reports_kills('/a')


@pytest.mark.parametrize('path, text', [
    ('/no', 'there is no /no'), ('/\x1b\udcff', r'there is no /\\x1b\\xff with'),
    ('/a/../a', 'there is no'),
    ('/a/b', 'the next one around it that has is /a'),
    ('/c', 'only the whole machine')])
def test_a_cgroup_that_cannot_run_out(tmp_path, path, text):
    machine, tree = make(tmp_path)
    cgroup(machine, '/a', max=str(MIB))
    cgroup(machine, '/a/b', max='max')
    cgroup(machine, '/c', max='max')
    with pytest.raises(Refusal, match=text):
        memcg.find_domain(tree, path, 0)


def test_the_highest_group_up_to_the_one_that_runs_out(tmp_path):
    machine, tree = make(tmp_path)
    for path, group in (('/a', '1'), ('/a/b', '0'), ('/a/b/c', '1'), ('/a/b/c/d', '0'), ('/e', '0')):
        cgroup(machine, path, '%d\n' % len(path), oom__group=group)
    assert memcg.find_oom_group(tree, '/a/b/c/d', None) == '/a'
    assert memcg.find_oom_group(tree, '/a/b/c/d', '/a/b') == '/a/b/c'
    assert memcg.find_oom_group(tree, '/e', None) is None
    assert memcg.find_oom_group(tree, '/', None) is None
    assert tree.pids('/a/b') == [4, 6, 8]


def test_the_tree_of_a_container_begins_further_down(tmp_path):
    machine, tree = make(tmp_path, '26 1 0:24 /docker/x\\0401 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n')
    cgroup(machine, '/a', '7\n')
    assert tree.pids('/docker/x 1/a') == tree.pids('/a') == [7]


def test_without_cgroups_there_is_nothing(tmp_path):
    _machine, tree = make(tmp_path, '1 1 0:1 / / rw - ext4 x rw\n')
    assert tree.pids('/a') == [] and memcg.find_oom_group(tree, '/a', None) is None
