# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine with pages of 64 KB (arm64, powerpc64le), as it would show itself; the arithmetic here is its own."""

import os

import pytest
from machine import run
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather
from ansible_collections.oomkit.linux.plugins.module_utils._host.meminfo import read_memory
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import commit_limit
from ansible_collections.oomkit.linux.plugins.module_utils._module import forecast_info

PAGE_KB = 64
RAM_KB, SWAP_KB = 16_731_072, 2_097_088


class Machine64(ServiceMachine):
    """CommitLimit, stat and oom_score as a kernel with such pages gives them."""

    def commit_limit_kb(self):
        pages = self.state['vm.overcommit_kbytes'] // PAGE_KB if self.state['vm.overcommit_kbytes'] else (
            self.ram_kb // PAGE_KB * self.state['vm.overcommit_ratio'] // 100)
        return (pages + self.swap_kb // PAGE_KB) * PAGE_KB

    def process(self, pid, adj=0, rss_kb=6400, **other):
        super().process(pid, adj=adj, rss_kb=rss_kb, **other)
        stat = self.get(f'/proc/{pid}/stat')
        self.put(f'/proc/{pid}/stat', stat.replace(f' {rss_kb // 4} 0', f' {rss_kb // PAGE_KB} 0'))
        total = (self.ram_kb + self.swap_kb) // PAGE_KB
        points = rss_kb // PAGE_KB + 65536 // 1024 // PAGE_KB + adj * total // 1000  # page tables: one page
        self.put(f'/proc/{pid}/status', self.get(f'/proc/{pid}/status').replace('VmPTE:\t 4 kB', 'VmPTE:\t 64 kB'))
        score = 0 if adj == -1000 else max(0, (1000 + points * 1000 // total) * 2 // 3)
        self.put(f'/proc/{pid}/oom_score', f'{score}\n')


@pytest.fixture
def machine(tmp_path, monkeypatch):
    real = os.sysconf
    monkeypatch.setattr(os, 'sysconf', lambda name: PAGE_KB * 1024 if name == 'SC_PAGE_SIZE' else real(name))
    machine = Machine64(tmp_path)
    machine.ram_kb, machine.swap_kb = RAM_KB, SWAP_KB
    machine.show()
    return machine


@pytest.mark.parametrize('ratio', [0, 1, 33, 50, 99, 250])
def test_the_limit_of_a_ratio_is_the_kernels(machine, ratio):
    run(machine, 'overcommit', mode='never', ratio=ratio, min_headroom='0', force=True)
    limit_kb = commit_limit.compute_state_limit_kb(read_memory(machine), machine.state, PAGE_KB)
    assert limit_kb == machine.commit_limit_kb()


def test_the_limit_of_kbytes_is_cut_to_whole_pages(machine):
    run(machine, 'overcommit', mode='never', kbytes=9_000_001)
    limit_kb = commit_limit.compute_state_limit_kb(read_memory(machine), machine.state, PAGE_KB)
    assert limit_kb == machine.commit_limit_kb() == (140_625 + 32_767) * 64


def test_a_wanted_limit_is_reached(machine):
    run(machine, 'overcommit', mode='never', commit_limit='12G')
    assert 0 <= machine.commit_limit_kb() - 12 * 1024 ** 2 < RAM_KB // 100 + PAGE_KB
    assert not run(machine, 'overcommit', mode='never', commit_limit='12G')['changed']


def test_the_forecast_counts_in_these_pages(machine):
    machine.process(50, name='large', rss_kb=2_000_000)
    machine.process(51, name='first', rss_kb=64_000, adj=500)
    machine.process(52, name='never', rss_kb=4_000_000, adj=-1000)
    params = dict.fromkeys(('score_adj', 'protect', 'cgroup', 'nodes', 'growing', 'policy', 'kill_allocating_task',
                            'snapshot'), None)
    kills = forecast_info.run(dict(params, kills=2), machine, machine)['kill_order']
    assert [kill['victims'][0]['name'] for kill in kills] == ['first', 'large']
    assert [kill['freed_kb'] for kill in kills] == [64_000 + 64, 2_000_000 + 64]
    facts = gather.gather_facts(machine, gather.Request(set(gather.KEYS), 10, False))
    assert facts['commit']['limit_kb'] == machine.commit_limit_kb() == (RAM_KB // 64 * 70 // 100 + SWAP_KB // 64) * 64
    assert [one['name'] for one in facts['candidates'][:2]] == ['first', 'large']
