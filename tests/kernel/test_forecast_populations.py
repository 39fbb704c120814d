# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forecast of random populations against the kernel's own choice.

OOMKIT_POPULATIONS is how many for each kernel (10; make lab-matrix takes 200), OOMKIT_SEED the number of the first one
(1). One alone: OOMKIT_ONLY="sysrq 17" or "sysrq+swap 17". One kind: OOMKIT_KIND=memcg.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from conftest import FLAVOUR, started

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / '.cache' / 'results'
MIB_PAGES = 256
# Kind, whether there is swap, and its share of all.
PARTS = (('sysrq', False, 0.4), ('memcg', False, 0.3), ('sysrq', True, 0.25), ('exhaustion', False, 0.05))
SWAP = ('dd if=/dev/zero of=/swapfile bs=1M count=160 status=none && chmod 600 /swapfile && mkswap /swapfile '
        '>/dev/null && swapon /swapfile')  # fmt: skip
AT_ONCE = 40


@pytest.fixture(scope='module')
def two():
    """1 GB, no swap, 2 processors: each keeps counts of pages of its own, which is what makes a forecast inexact."""
    yield from started('populations')


def test_the_kernel_kills_whom_the_forecast_says(two):
    rows = []
    for kind, swap, seeds in plan():
        if swap:
            two.run('swapon --show | grep -q swapfile || { %s; }' % SWAP)
        for first in range(0, len(seeds), AT_ONCE):
            rows += run(two, kind, swap, seeds[first : first + AT_ONCE])
    kernel = two.run('uname -r').stdout.strip()
    print('\n' + table(kernel, rows))
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f'populations-{FLAVOUR}.md').write_text(table(kernel, rows) + '\n')
    wrong = [row for row in rows if row['numbers'] or verdicts([row])['wrong']]
    for row in wrong:
        print(json.dumps(row))
    assert not wrong, 'wrong: ' + ', '.join(f'{row["kind"]} {row["seed"]} {row["numbers"]}' for row in wrong)
    assert all(sum(row['compared'] for row in rows if row['kind'] == kind) for kind in {row['kind'] for row in rows})
    apart, ambiguous = clear_cases(rows)
    assert ambiguous <= 0.05 * apart, f'{ambiguous} of {apart} are ambiguous although more than 1 MB apart'


def plan():
    """(kind, whether with swap, seeds)."""
    only = os.environ.get('OOMKIT_ONLY')
    if only:
        kind, seed = only.split()
        return [(kind.partition('+')[0], kind.endswith('+swap'), [seed])]
    count, first = int(os.environ.get('OOMKIT_POPULATIONS', '10')), int(os.environ.get('OOMKIT_SEED', '1'))
    # Swap comes last, since it stays.
    parts = sorted(PARTS, key=lambda part: part[1])
    return [(kind, swap, [str(first + number) for number in range(max(1, round(count * share)))])
            for kind, swap, share in parts if os.environ.get('OOMKIT_KIND', kind) == kind]  # fmt: skip


def run(machine, kind, swap, seeds):
    """The populations of these seeds: what became of each."""
    machine.module('oom_forecast_info', kills=1)  # brings the code
    machine._drop_connections()  # what it leaves waiting in the guest would be a victim like any other
    machine.write_file('/root/populations.py', (HERE / 'populations.py').read_bytes())
    done = machine.run(f'PYTHONPATH=/opt/oomkit-lab python3 /root/populations.py {kind} {" ".join(seeds)}',
                       check=False, timeout=60 + 60 * len(seeds))  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    missing = [seed for seed in seeds if seed not in [row['seed'] for row in rows]]
    assert done.returncode == 0 and not missing, f'{kind} {missing[:1]}: {done.stderr[-3000:]}'
    return [dict(row, kind=kind + ('+swap' if swap else '')) for row in rows]


def verdicts(rows):
    return Counter(rank['verdict'] for row in rows for rank in row['ranks'])


def clear_cases(rows):
    """(how many kills whose two likeliest are more than 1 MB apart, how many of them are ambiguous)."""
    apart = [rank for row in rows for rank in row['ranks'] if (rank['margin_pages'] or 0) > MIB_PAGES]
    return len(apart), sum(rank['ambiguous'] for rank in apart)


def table(kernel, rows):
    """The score, as Markdown."""
    lines = [f'| {kernel} | populations | kill | right | right as a set | wrong | wrong number |',
             '|---|---|---|---|---|---|---|']  # fmt: skip
    for kind in dict.fromkeys(row['kind'] for row in rows):
        some = [row for row in rows if row['kind'] == kind]
        for rank in range(max(len(row['ranks']) for row in some)):
            found = Counter(row['ranks'][rank]['verdict'] for row in some if rank < len(row['ranks']))
            numbers = f'{sum(len(row["numbers"]) for row in some)} of {sum(row["compared"] for row in some)}'
            right = f'{found["right"]} + {found["nobody"]}' if found['nobody'] else found['right']
            lines.append(f'| {kind} | {len(some)} | {rank + 1} | {right} | {found["set"]} | {found["wrong"]} '
                         f'| {numbers if rank == 0 else ""} |')  # fmt: skip
    apart, ambiguous = clear_cases(rows)
    all_of_them = verdicts(rows)
    lines.append(f'| all | {len(rows)} | | {all_of_them["right"] + all_of_them["nobody"]} | {all_of_them["set"]} '
                 f'| {all_of_them["wrong"]} | {sum(len(row["numbers"]) for row in rows)} of '
                 f'{sum(row["compared"] for row in rows)} |')  # fmt: skip
    return '\n'.join(lines) + f'\n\nMore than 1 MB apart: {apart} kills, {ambiguous} of them ambiguous.'
