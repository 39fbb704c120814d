# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small model of the kernel's sysctls and of two boot loaders, for machines of tests. It uses no code of ours.

test_kernel_model.py compares it with tests/unit/recorded, which real kernels and loaders answered in the lab.
Sources: kernel/sysctl.c, mm/util.c; src/sysctl/sysctl.c of systemd, src/sysctl.c of procps.
"""

import glob
import json
import re
from pathlib import Path

INT = (-(2**31), 2**31 - 1)
LONG = (0, 2**64 - 1)
# What a machine of 1 GB starts with, as recorded; the reserve differs a little from machine to machine.
START = json.loads((Path(__file__).parent / 'recorded/sysctl_writes-6.12.json').read_text())['rows'][0]
DEFAULTS = START | {'vm.user_reserve_kbytes': 29898}
RANGES = dict.fromkeys(DEFAULTS, INT) | {
    'vm.overcommit_memory': (0, 2),
    'vm.overcommit_kbytes': LONG,
    'vm.admin_reserve_kbytes': LONG,
    'vm.user_reserve_kbytes': LONG,
    'vm.panic_on_oom': (0, 2),
}
ERASES = {'vm.overcommit_ratio': 'vm.overcommit_kbytes', 'vm.overcommit_kbytes': 'vm.overcommit_ratio'}
DIGITS = '0123456789abcdef'
BUFFER = 21  # TMPBUFLEN - 1


# ------------------------------------------------------------------------ the kernel


def read_number(text):
    """The number at the start of a text, None for EINVAL: proc_get_long()."""
    text = text.lstrip(' \t\n\v\f\r\xa0\udca0')
    rest = text[:BUFFER]
    negative = rest[:1] == '-' and len(text) > 1
    rest = rest[negative:].lower()
    base = 10
    if rest.startswith('0'):
        base = 16 if rest[1:2] == 'x' and rest[2:3] in tuple(DIGITS) else 8
    digits = rest[2:] if base == 16 else rest
    number = length = 0
    while length < len(digits) and digits[length] in DIGITS[:base]:
        number = number * base + DIGITS.index(digits[length])
        length += 1
    used = length + (2 if base == 16 else 0) + negative
    if not length or used == BUFFER or number > LONG[1] or text[used : used + 1] not in ('', ' ', '\t', '\n'):
        return None
    return -number if negative else number


def write(state, key, text, old=False):
    """What a write does to the values; whether the kernel takes it. ``old``: before 6.0."""
    number = read_number(text)
    low, high = RANGES[key]
    if number is not None and number < 0 and RANGES[key] == LONG and old:
        number = state[key]  # skipped without an error
    if number is None or not low <= number <= high:
        return False
    state[key] = number
    if ERASES.get(key) in state:
        state[ERASES[key]] = 0
    return True


def commit_limit_kb(ram_kb, swap_kb, hugetlb_kb, state, page_kb=4):
    """vm_commit_limit(), in whole pages and in the arithmetic of an unsigned long."""
    kbytes, ratio = state.get('vm.overcommit_kbytes') or 0, state.get('vm.overcommit_ratio') or 0
    pages = (ram_kb - hugetlb_kb) // page_kb * ratio % 2**64 // 100
    if kbytes:
        pages = kbytes // page_kb
    return (pages + swap_kb // page_kb) * page_kb


# ----------------------------------------------------------------------- the loaders


def find_files(root, extra=''):
    """Files of sysctl.d by name, the first folder's where several have one of the name; then ``extra``."""
    by_name = {}
    for folder in ('etc', 'run', 'usr/local/lib', 'usr/lib', 'lib'):
        for path in sorted(root.joinpath(folder, 'sysctl.d').glob('*.conf')):
            by_name.setdefault(path.name, path)
    files = [by_name[name] for name in sorted(by_name)]
    return files + [root / extra] if extra else files


def follow(root, path):
    """Where links lead within the root."""
    for _number in range(40):
        if not path.is_symlink():
            break
        target = str(path.readlink())
        path = root / target.lstrip('/') if target.startswith('/') else path.parent / target
    return path


def read_text(root, path):
    path = follow(root, path)
    return path.read_bytes().decode('latin-1') if path.is_file() else ''


def as_path(key):
    """The path below /proc/sys that a key names: its first separator decides what separates."""
    first = re.search('[./]', key)
    if first and first.group() == '.':
        key = key.replace('/', '\0').replace('.', '/').replace('\0', '.')
    return '/'.join(part for part in key.split('/') if part not in ('', '.'))


def parse(line):
    """(key, value) of a line, the value None where the key is kept off globs; None for no setting."""
    line = line.strip(' \t\r\n')
    key, equals, value = line.partition('=')
    dash = key.startswith('-')
    if not line or line[0] in '#;' or not (equals or dash):
        return None
    return key[dash:], (value.strip(' \t\r\n') if equals else None)


def expand(proc, key):
    """The keys that a pattern means; Python spells ``[^`` as ``[!``, and lets no star match a leading dot either."""
    pattern = str(Path(glob.escape(str(proc))) / key.replace('[^', '[!'))
    return [str(Path(path).relative_to(proc)) for path in sorted(glob.glob(pattern))]


def is_pattern(key):
    return re.search(r'[*?\[]', key) is not None


def load_systemd(root):
    """(path of the key, text) for each write of systemd-sysctl."""
    options = {}
    for path in find_files(root):
        if path.name.startswith('.'):
            continue
        for line in re.split('[\n\r\0]', read_text(root, path)):
            setting = parse(line)
            key = as_path(setting[0].strip()) if setting else ''
            if key and (key not in options or options[key] != setting[1]):
                options.pop(key, None)  # another value moves to the end, an equal one stays where it is
                options[key] = setting[1]
    for key, value in options.items():
        names = [name for name in expand(root / 'proc/sys', key) if name not in options] if is_pattern(key) else [key]
        yield from ((name, value) for name in names if value is not None)


def load_procps(root):
    """The same for ``sysctl --system`` of procps (4.0)."""
    settings = []
    for path in find_files(root, 'etc/sysctl.conf'):
        for line in read_text(root, path).split('\n'):
            setting = parse(line)
            if setting and not setting[0].startswith((' ', '\t')) and as_path(setting[0].strip()):
                settings.append((setting[0].strip(), setting[1]))
    # Compared as spelled, with slashes: ``vm//x`` keeps no glob off vm/x.
    spelled = {key if '.' not in key.split('/')[0] else key.replace('.', '/') for key, _value in settings}
    for key, value in settings:
        path = as_path(key)
        found = expand(root / 'proc/sys', path) if is_pattern(path) else []
        names = [name for name in found if name not in spelled] if is_pattern(path) else [path]
        yield from ((name, value) for name in names if value is not None)


def boot(root, state, systemd=257, old=False):
    """Do to the values of a machine that has just started what its loader does: systemd of that version, 0 procps."""
    keys = {key.replace('.', '/'): key for key in state if key in RANGES}
    for path, text in (load_systemd if systemd else load_procps)(root):
        key = keys.get(path)
        # From 250 on systemd reads first, and does not write the same again.
        if key and not (systemd >= 250 and text == str(state[key])):
            write(state, key, text + '\n', old)
