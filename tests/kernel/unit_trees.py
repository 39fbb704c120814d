# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random units with drop-ins in every folder that systemd reads, spelled in every way it understands or ignores."""

FOLDERS = ('/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system')
VALUES = ('-100', '0x10', '010', '+5', ' 7 ', '1001', 'abc', '', '-0x10', '"8"', '1 # c', '500', '-1000', '0',
          '08', '1.5')  # fmt: skip
POLICIES = ('kill', 'stop', 'continue', '', 'Kill', 'kill x')
FILES = ('10-a.conf', '50-b.conf', '50-c.conf', '90-oomkit.conf', '99-z.conf', '9.conf', 'x.txt', 'Z.conf',
         '.90-hidden.conf')  # fmt: skip
FORMS = ('{}={}', '{} = {}', '  {}={}', '{}\t=\t{}', '#{}={}', ';{}={}', '{}=\\\n  {}', '{}=\\\n# no\n{}')
# With some of these systemd reads a drop-in no further, and does not load a unit at all whose own file has them. A byte
# that is no UTF-8 stands as a surrogate.
ODD = ('Environment=X=\udcff', 'OOMScoreAdjust=3\udcff', '# \udcff', '[Servi', '[Service] ', 'Nice=\uffff',
       'Nice=\ufdd0', 'no equals', 'Nice=1\rOOMScoreAdjust=77', 'Nice=1\0OOMScoreAdjust=78')  # fmt: skip


def unit_names(number):
    """The unit that is asked about, and the names whose .d folders may count for it."""
    kind = number % 4
    if kind == 0:
        return f'u{number}.service', [f'u{number}.service']
    if kind == 1:
        return f'v{number}-x-y.service', [f'v{number}-x-y.service', f'v{number}-x-.service', f'v{number}-.service']
    if kind == 2:
        return f't{number}@i.service', [f't{number}@i.service', f't{number}@.service']
    return f'r{number}.service', [f'r{number}.service', f'alias{number}.service']


def assignment(rng, odd=0.0):
    """Some lines of a unit file."""
    lines = []
    for _line in range(rng.randint(1, 3)):
        key, values = rng.choice([('OOMScoreAdjust', VALUES), ('OOMPolicy', POLICIES)])
        value = rng.choice(values)
        lines += [rng.choice(ODD)] if rng.random() < odd else []
        lines.append(rng.choice(FORMS).format(key, value))
    return '\n'.join(lines) + rng.choice(['\n', ''])


def section(rng):
    """A section that counts, or one that does not."""
    return rng.choice(['[Service]\n'] * 6 + ['[Unit]\n', '[Service\n', '', '\ufeff[Service]\n', '# c\n\n[Service]\n'])


def tree(rng, number):
    """The unit's name, files by path, and links by path."""
    name, names = unit_names(number)
    fragment = names[-1] if '@' in name else name
    where = rng.choice(FOLDERS)
    said = assignment(rng) if rng.random() < 0.5 else ''
    files = {f'{where}/{fragment}': '[Service]\nExecStart=/bin/true\n' + said}
    links = {f'{FOLDERS[0]}/{names[1]}': f'{where}/{fragment}'} if name.startswith('r') else {}
    for _drop_in in range(rng.randint(0, 4)):
        path = f'{rng.choice(FOLDERS)}/{rng.choice(names)}.d/{rng.choice(FILES)}'
        if rng.random() < 0.1:
            links[path] = '/dev/null'
            files.pop(path, None)
        elif rng.random() < 0.04:
            links[path] = path.rpartition('/')[2]  # in circles
            files.pop(path, None)
        elif rng.random() < 0.04:
            files[path + '/folder'] = ''
            files.pop(path, None)
            links.pop(path, None)
        elif path not in links and path + '/folder' not in files:
            files[path] = section(rng) + assignment(rng, odd=0.1)
    return name, files, links
