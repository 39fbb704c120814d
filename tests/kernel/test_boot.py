# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot simulation against the loaders themselves, on generated trees of files.

OOMKIT_TREES sets how many (300 by default); OOMKIT_SEED another start than 1. Each tree's seed is its own number.
OOMKIT_RECORD=1 writes what the loaders answered into tests/unit/recorded, for tests that have none.
"""

import json
import os
import random

import pytest
import records
from trees import FOLDERS, tree

from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import sysctls
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import boot
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import loader as sysctl_loader
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import ALL_KEYS, SYSCTLS

TREES = int(os.environ.get('OOMKIT_TREES', '300'))
SEED = int(os.environ.get('OOMKIT_SEED', '1'))

# In the guest: lay each tree, bring the kernel to the state of a boot, run the loader, read all keys.
SCRIPT = r'''
import json, os, shutil, subprocess, sys
trees, folders, start, loader = json.load(sys.stdin)
def put(key, value):
    with open('/proc/sys/' + key.replace('.', '/'), 'w') as stream:
        stream.write('%d\n' % value)
def reset():
    for key, value in start.items():
        put(key, value)
    put('vm.overcommit_ratio', 50)
result = []
for tree in trees:
    for folder in folders:
        shutil.rmtree('/' + folder, ignore_errors=True)
        os.makedirs('/' + folder)
    if os.path.lexists('/etc/sysctl.conf'):
        os.unlink('/etc/sysctl.conf')
    for path, content in tree.items():
        if isinstance(content, dict):
            os.symlink(content['link'], '/' + path)
        else:
            with open('/' + path, 'wb') as stream:
                stream.write(content.encode('latin-1'))
    reset()
    subprocess.run(loader, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    result.append({key: int(open('/proc/sys/' + key.replace('.', '/')).read()) for key in start})
    put('vm.overcommit_memory', 0)
reset()
print(json.dumps(result))
'''


def lay(root, files, facts):
    """The same tree on this computer, for the simulation to read, with what it must know of the guest."""
    for folder in FOLDERS + ('dev', 'run/systemd/system', 'proc/sys/kernel'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    if facts['merged_lib']:
        (root / 'lib').symlink_to('usr/lib')
    (root / 'dev/null').write_text('')
    (root / 'proc/sys/kernel/osrelease').write_text(facts['release'])
    library = root / facts['library'].lstrip('/')
    library.parent.mkdir(parents=True, exist_ok=True)
    library.write_text('')
    for path, content in files.items():
        if isinstance(content, dict):
            (root / path).symlink_to(content['link'])
        else:
            (root / path).write_bytes(content.encode('latin-1'))


def look(machine):
    """What decides between versions, taken from the guest."""
    return {
        'merged_lib': machine.run('readlink /lib', check=False).stdout.strip() == 'usr/lib',
        'release': machine.run('uname -r').stdout,
        'library': machine.run('find /usr/lib /lib/ -name "libsystemd-shared-*" | head -n 1').stdout.strip(),
    }


def compare(machine, tmp_path, procps, command, count):
    """Run all trees in the guest and here; the differences as text."""
    start = {key: machine.sysctl(key) for key in ALL_KEYS if key != sysctls.KBYTES} | {sysctls.KBYTES: 0}
    originals = {key: start[key] for key in start if not SYSCTLS[key].is_constant}
    seeds = range(SEED, SEED + count)
    trees = [tree(random.Random(seed)) for seed in seeds]
    machine.write_file('/root/trees.py', SCRIPT.encode())
    data = json.dumps([trees, FOLDERS, start, command])
    found = json.loads(machine.run('python3 /root/trees.py', timeout=600, data=data).stdout)
    facts = look(machine)
    records.write(machine, 'boot_' + ('procps' if procps else 'systemd'), records.boots(start, facts, trees, found))
    wrong = []
    for seed, files, real in zip(seeds, trees, found, strict=True):
        root = tmp_path / str(seed)
        lay(root, files, facts)
        host = Host(str(root))
        loader = sysctl_loader.PROCPS if procps else sysctl_loader.find_loader(host)
        said = boot.simulate(host, loader, originals).values
        if said != real:
            lines = [f'{path}: {content!r}' for path, content in sorted(files.items())]
            wrong.append(
                '\n  '.join(
                    [f'seed {seed}: real {differing(real, said)}, simulated {differing(said, real)}', *lines]
                )
            )
    print(f'{count} trees from seed {SEED}: {count - len(wrong)} as {command[0]} sets them, {len(wrong)} not')
    return wrong


def differing(state, other):
    return {key: value for key, value in state.items() if value != other[key]}


@pytest.fixture
def loader_path(fresh):
    """systemd-sysctl of the guest."""
    paths = '/usr/lib/systemd/systemd-sysctl /lib/systemd/systemd-sysctl'
    return fresh.run(f'ls {paths} 2>/dev/null | head -n 1').stdout.strip()


def test_systemd_sysctl_sets_what_the_simulation_says(fresh, tmp_path, loader_path):
    wrong = compare(fresh, tmp_path, False, [loader_path], TREES)
    assert not wrong, '\n'.join(wrong[:5])


def test_procps_sets_what_the_simulation_says(fresh, tmp_path):
    version = fresh.run('sysctl --version').stdout
    if ' 3.' in version:
        pytest.skip(f'{version.strip()} knows no globs, and is no init\'s loader on this Debian: systemd-sysctl is')
    wrong = compare(fresh, tmp_path, True, ['sysctl', '--system'], min(TREES, 150))
    assert not wrong, '\n'.join(wrong[:5])
