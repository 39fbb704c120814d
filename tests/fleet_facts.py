# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes up the facts of a fleet for tests of the report; ``python tests/fleet_facts.py FOLDER HOSTS`` fills a cache.

The facts are as oom_facts would return them for a believable fleet: databases with strict overcommit, web servers,
batch workers, some in drift, some that would hang, some nearly full. It is the same fleet each time.
"""

import random
import sys
from pathlib import Path

from ansible.plugins.loader import cache_loader

ROLES = {
    'db': ('never', 'panic', [('postgres', 'postgresql@16-main.service'), ('mysqld', 'mariadb.service')]),
    'web': ('heuristic', 'kill', [('php-fpm8.4', 'php8.4-fpm.service'), ('nginx', 'nginx.service'),
                                  ('gunicorn', 'shop.service')]),
    'cache': ('always', 'kill', [('redis-server', 'redis-server.service')]),
    'batch': ('heuristic', 'kill', [('java', 'search.service'), ('python3', 'etl@nightly.service'), ('stress', None)]),
    'node': ('always', 'panic', [('kubelet', 'kubelet.service'), ('containerd', 'containerd.service')]),
}
WEIGHTS = {'db': 15, 'web': 45, 'cache': 10, 'batch': 20, 'node': 10}
MODES = {'heuristic': 0, 'always': 1, 'never': 2}
GIB_KB = 2 ** 20
SEED = 1


def host_names(count: int) -> list[tuple[str, str]]:
    """So many (host, role)."""
    random_ = random.Random(SEED)
    kinds = random_.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    return [('%s-%05d.example.net' % (kind, number), kind) for number, kind in enumerate(kinds, 1)]


def facts(host: str, kind: str) -> dict:
    """``ansible_facts.oom`` of a host."""
    random_ = random.Random('%s/%s' % (SEED, host))
    mode, policy, services = ROLES[kind]
    total_kb = random_.choice([2, 4, 8, 16, 32, 64]) * GIB_KB
    enforced = mode == 'never'
    limit_kb = int(total_kb * (0.9 if enforced else 0.5))
    used_percent = round(min(random_.betavariate(5, 3) * 104, 99.9) if enforced else random_.lognormvariate(3.9, .6), 1)
    committed_kb = int(limit_kb * used_percent / 100)
    kills = random_.choices([0, random_.randint(1, 9)], [94, 6])[0]
    drifting = random_.random() < 0.04
    available_percent = random_.triangular(2, 80, 45)
    return {
        'overcommit': {'mode': MODES[mode], 'mode_name': mode, 'ratio': 90 if enforced else 50, 'kbytes': 0,
                       'admin_reserve_kbytes': 8192, 'user_reserve_kbytes': 131072},
        'commit': {'limit_kb': limit_kb, 'committed_kb': committed_kb, 'used_percent': used_percent,
                   'headroom_kb': limit_kb - committed_kb - 139264, 'enforced': enforced},
        'memory': {'total_kb': total_kb, 'available_kb': int(total_kb * available_percent / 100),
                   'swap_total_kb': 0, 'swap_free_kb': 0, 'hugetlb_kb': 0},
        'panic': {'panic_on_oom': int(policy != 'kill'), 'policy': policy,
                  'reboot_after_s': 0 if policy != 'kill' and random_.random() < 0.05 else 10,
                  'kill_allocating_task': False},
        'candidates': [_candidate(rank, size_kb, total_kb, random_, *random_.choice(services))
                       for rank, size_kb in enumerate(_sizes_kb(total_kb, random_), 1)],
        'unkillable': [{'pid': 611, 'name': 'sshd', 'unit': 'ssh.service'}],
        'kills': {'total': kills, 'recent': [
            {'when': '2026-11-21T03:00:12Z', 'pid': 977, 'name': services[0][0], 'cgroup': '/system.slice',
             'constraint': 'none', 'oom_score_adj': 0, 'rss_kb': 524288}] * min(kills, 20)},
        'pressure': {'some': {'avg10': 0.0, 'avg60': 0.1, 'avg300': 0.1, 'total': 183220}, 'full': None},
        'boot': {'vm.overcommit_memory': {'value': MODES[mode], 'file': '/etc/sysctl.d/99-oomkit.conf', 'line': 1}},
        'drift': [{'key': 'vm.overcommit_ratio', 'runtime': 50, 'boot': 80,
                   'file': '/etc/sysctl.d/99-zz-vendor.conf'}] * drifting,
        'competing_writers': [
            {'key': 'vm.overcommit_memory', 'value': '1', 'by': 'kubelet', 'how': 'sets', 'file': None}]
        if kind == 'node' else [],
        'oom_daemons': [{'name': 'earlyoom', 'pid': 702, 'unit': 'earlyoom.service'}] if kind == 'web' else [],
        'environment': {'container': None, 'writable': True, 'pid_namespace': 'init', 'cgroup': 'v2',
                        'init': 'systemd', 'gathered_at': '2026-11-23T09:%02d:00Z' % random_.randrange(30)},
        'warnings': [],
    }


def _sizes_kb(total_kb: int, random_: random.Random) -> list[int]:
    """Of ten processes, the largest first."""
    return sorted((int(total_kb * random_.uniform(0.005, 0.3) ** 1.5) for _one in range(10)), reverse=True)


def _candidate(rank: int, rss_kb: int, total_kb: int, random_: random.Random, name: str, unit: str | None) -> dict:
    return {'rank': rank, 'pid': random_.randrange(300, 4000000), 'name': name, 'unit': unit,
            'cgroup': '/system.slice/%s' % unit, 'user': 'service', 'uid': 998, 'badness_pages': rss_kb // 4,
            'oom_score': 666 + int(666 * rss_kb / total_kb), 'oom_score_adj': 0, 'rss_kb': rss_kb, 'swap_kb': 0,
            'pagetables_kb': rss_kb // 500, 'started': '2026-11-20T07:14:52Z'}


def fill_cache(folder: Path, count: int) -> Path:
    """A cache for ansible.builtin.jsonfile with the facts of a fleet; returns an inventory of it."""
    # By Ansible's own plugin: what a cached file looks like depends on the version.
    cache = cache_loader.get('jsonfile', _uri=str(folder / 'cache'), _timeout=0, _prefix='')
    names = host_names(count)
    for host, kind in names:
        cache.set(host, {'oom': facts(host, kind)})
    inventory = folder / 'hosts.ini'
    inventory.write_text('\n'.join(host for host, _kind in names) + '\n', encoding='utf-8')
    return inventory


if __name__ == '__main__':
    print(fill_cache(Path(sys.argv[1]), int(sys.argv[2])))
