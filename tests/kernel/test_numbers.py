# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our parser of sysctl values against what the kernel does with the same text, and the CommitLimit likewise.

OOMKIT_RECORD=1 writes what the kernel answers into tests/unit/recorded, for tests that have no kernel.
"""

import json

import pytest
import records

from ansible_collections.oomkit.linux.plugins.module_utils._core.text import to_text
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import commit_limit, meminfo, sysctls
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import ALL_KEYS, SYSCTLS

TEXTS = [
    '0',
    '1',
    '2',
    '3',
    '-1',
    '-5',
    '50',
    '080',
    '010',
    '0x10',
    '0X1f',
    '08',
    '2 # strict',
    '2#strict',
    ' 2',
    '2 ',
    '2\t9',
    '2\r',
    '\x0b2',
    '',
    ' ',
    'abc',
    '1.5',
    '1e3',
    '+1',
    '- 1',
    '--1',
    '2147483647',
    '2147483648',
    '-2147483648',
    '-2147483649',
    '4294967296',
    '18446744073709551615',
    '18446744073709551616',
    '99999999999999999999999',
    '000000000000000000002',
    '00000000000000000002',
    '1 2',
    '1,2',
    '\xa02',
]

# Resets each key to a known state, writes the text, and prints the values of all keys.
SCRIPT = r'''
import json, os, sys
todo, start = json.load(sys.stdin)
def put(key, text):
    fd = os.open('/proc/sys/' + key.replace('.', '/'), os.O_WRONLY)
    try:
        os.write(fd, text.encode('latin-1'))
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
def state():
    return {key: int(open('/proc/sys/' + key.replace('.', '/')).read()) for key in start}
result = []
for key, text in todo:
    for name, value in start.items():
        put(name, '%d\n' % value)
    put('vm.overcommit_ratio', '50\n')
    done = put(key, text + '\n')
    result.append([done, state()])
for name, value in start.items():
    put(name, '%d\n' % value)
put('vm.overcommit_ratio', '50\n')
print(json.dumps(result))
'''


@pytest.fixture(scope='module')
def start(machine):
    machine.restore('fresh')
    return {key: machine.sysctl(key) for key in ALL_KEYS if key != sysctls.KBYTES} | {sysctls.KBYTES: 0}


def kernel_version(machine):
    """(6, 12) of a kernel 6.12.107."""
    return tuple(int(number) for number in machine.run('uname -r').stdout.split('.')[:2])


def test_every_text_on_every_key(machine, start):
    todo = [(key, text) for key in ALL_KEYS for text in TEXTS]
    machine.write_file('/root/numbers.py', SCRIPT.encode())
    found = json.loads(machine.run('python3 /root/numbers.py', data=json.dumps([todo, start])).stdout)
    records.write(machine, 'sysctl_writes', records.writes(start, todo, found))
    old = kernel_version(machine) < (6, 0)
    wrong = []
    for (key, text), (accepted, state) in zip(todo, found, strict=True):
        expected = dict(start)
        taken = SYSCTLS[key].apply_write(expected, to_text(text.encode('latin-1')) + '\n', old)
        if (taken, expected) != (accepted, state):
            wrong.append(
                f'{key} = {text!r}: kernel {accepted} {[state[k] for k in start if state[k] != start[k]]}, '
                f'model {taken} {[expected[k] for k in start if expected[k] != start[k]]}'
            )
    print(f'{len(todo)} writes compared')
    assert not wrong, '\n'.join(wrong)


LIMITS = [('ratio', number) for number in (0, 1, 33, 50, 77, 99, 100, 250, 2147483647, -1)] + [
    ('kbytes', number) for number in (0, 1, 3, 4, 7, 900000, 900001, 2**40)
]
LIMIT_SCRIPT = r'''
import json, sys
def put(key, value):
    with open('/proc/sys/vm/' + key, 'w') as stream:
        stream.write('%d' % value)
def read():
    fields = dict(line.split(':') for line in open('/proc/meminfo'))
    names = ('MemTotal', 'SwapTotal', 'Hugetlb', 'CommitLimit')
    return {name: int(fields[name].split()[0]) for name in names}
todo, result = json.load(sys.stdin), []
for pages in (0, 21):
    put('nr_hugepages', pages)
    for option, value in todo:
        put('overcommit_' + option, value)
        result.append(dict(read(), **{option: value}))
put('nr_hugepages', 0)
put('overcommit_ratio', 50)
print(json.dumps(result))
'''


def test_the_commit_limit_is_the_kernels(machine, start):
    """With and without swap, with and without huge pages."""
    machine.write_file('/root/limits.py', LIMIT_SCRIPT.encode())
    run = 'python3 /root/limits.py'
    swap = 'fallocate -l 77M /swap && chmod 600 /swap && mkswap /swap >/dev/null && swapon /swap && '
    found = json.loads(machine.run(run, data=json.dumps(LIMITS)).stdout)
    found += json.loads(machine.run(swap + run, data=json.dumps(LIMITS)).stdout)
    machine.run('swapoff /swap; rm /swap')
    records.write(machine, 'commit_limits', found)
    wrong = []
    for row in found:
        memory = meminfo.Memory(row['MemTotal'], None, row['SwapTotal'], 0, row['Hugetlb'], None, None)
        if row.get('ratio') != -1:  # the modules refuse it
            said = commit_limit.compute_limit_kb(memory, row.get('ratio', 0), row.get('kbytes', 0))
            wrong += [(row, said)] if said != row['CommitLimit'] else []
    assert not wrong, wrong
