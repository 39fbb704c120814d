# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated trees of sysctl.d files, for comparing the boot simulation with the real loaders."""

import random

from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import ALL_KEYS

FOLDERS = ('etc/sysctl.d', 'run/sysctl.d', 'usr/local/lib/sysctl.d', 'usr/lib/sysctl.d')
NAMES = (
    '10-a.conf',
    '20-b.conf',
    '50-c.conf',
    '60-Z.conf',
    '99-sysctl.conf',
    '99-z.conf',
    'zz.conf',
    '.hidden.conf',
    'note.txt',
    'x.conf~',
)
LIMITS = ('vm.overcommit_ratio', 'vm.overcommit_kbytes')
OTHERS = tuple(key for key in ALL_KEYS if key not in LIMITS)
# Few different values, so that equal ones meet often: an equal value later keeps its earlier place under systemd.
VALUES = {
    'vm.overcommit_ratio': ('80', '80', '90', '0', '080', '0x50', '50'),
    'vm.overcommit_kbytes': ('900000', '900000', '800000', '0', '-5'),
    'vm.overcommit_memory': ('0', '1', '2', '3', ''),
}
ANY_VALUES = ('0', '1', '1', '2', '8192', '-1', 'x', '', '2 # note', '2#note', '99999999999')
GLOBS = (
    'vm.overcommit_*',
    'vm/overcommit_[rk]*',
    'vm.oom_*',
    'vm.*_reserve_kbytes',
    'vm.panic_on_oo?',
    'kernel/pani[c]',
    '*.panic',
    'vm.overcommit_[^m]*',
    'vm.overcommit_[!mr]*',
)
JUNK = (
    '# vm.overcommit_memory=2',
    '; vm.panic_on_oom=1',
    '',
    '   ',
    'vm.overcommit_memory',
    'vm.overcommit_memory 2',
    '=5',
    'vm.=1',
    '-',
    'vm.overcommit_memory:2',
    'net.ipv4.ip_forward=0',
)


def spelled(rng: random.Random, key: str) -> str:
    """The key in one of the ways that loaders take."""
    ways = (
        [key] * 4
        + [key.replace('.', '/')] * 2
        + ['/' + key.replace('.', '/'), key.replace('.', '//'), key.replace('.', '/./')]
    )
    return rng.choice(ways)


def line(rng: random.Random) -> str:
    """One line, most often an assignment of a limit."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(JUNK)
    if kind < 0.2:
        # Only harmless values: a glob writes them to everything that it matches.
        return rng.choice(GLOBS) + '=' + rng.choice(('1', '2', '0'))
    key = rng.choice(LIMITS) if kind < 0.7 else rng.choice(OTHERS)
    if kind > 0.95:
        return '-' + spelled(rng, rng.choice((key, rng.choice(GLOBS))))
    equals = rng.choice(('=', ' = ', '=  ', '\t=\t'))
    return (
        rng.choice(('', '', '', '-', ' ', '- '))
        + spelled(rng, key)
        + equals
        + rng.choice(VALUES.get(key, ANY_VALUES))
        + rng.choice(('', '', '', ' ', '\r'))
    )


def tree(rng: random.Random) -> dict:
    """Files by path: a text, or for a link ``{'link': target}``."""
    files = {}
    for _number in range(rng.randint(1, 6)):
        path = f'{rng.choice(FOLDERS)}/{rng.choice(NAMES)}'
        kind = rng.random()
        if kind < 0.08:
            files[path] = {'link': '/dev/null'}
        elif kind < 0.12:
            files[path] = {'link': '/nowhere'}
        elif kind < 0.16:
            files[path] = {'link': '../sysctl.conf' if path.startswith('etc/') else '/etc/sysctl.conf'}
        else:
            files[path] = '\n'.join(line(rng) for _line in range(rng.randint(0, 5))) + rng.choice(('\n', '\n', ''))
    if rng.random() < 0.3:
        files['etc/sysctl.conf'] = line(rng) + '\n'
    return files
