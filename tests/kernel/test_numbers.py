# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our model of a sysctl file says against what the kernel does with the same text."""

import json

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils import _knobs
from ansible_collections.oomkit.linux.plugins.module_utils._host import to_text

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

# Puts each key back to a known state, writes the text, and tells what became of all keys.
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
    return {key: machine.sysctl(key) for key in _knobs.ALL_KEYS if key != _knobs.KBYTES} | {_knobs.KBYTES: 0}


def kernel_version(machine):
    """(6, 12) of a kernel 6.12.107."""
    return tuple(int(number) for number in machine.run('uname -r').stdout.split('.')[:2])


def test_every_text_on_every_key(machine, start):
    todo = [(key, text) for key in _knobs.ALL_KEYS for text in TEXTS]
    machine.write_file('/root/numbers.py', SCRIPT.encode())
    found = json.loads(machine.run('python3 /root/numbers.py', data=json.dumps([todo, start])).stdout)
    old = kernel_version(machine) < (6, 0)
    wrong = []
    for (key, text), (accepted, state) in zip(todo, found, strict=True):
        expected = dict(start)
        taken = _knobs.write(expected, key, to_text(text.encode('latin-1')) + '\n', old)
        if (taken, expected) != (accepted, state):
            wrong.append(
                f'{key} = {text!r}: kernel {accepted} {[state[k] for k in start if state[k] != start[k]]}, '
                f'model {taken} {[expected[k] for k in start if expected[k] != start[k]]}'
            )
    print(f'{len(todo)} writes compared')
    assert not wrong, '\n'.join(wrong)
