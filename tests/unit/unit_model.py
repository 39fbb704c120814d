# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small model of how systemd reads unit files, for machines of tests. It uses no code of ours.

test_unit_model.py compares it with tests/unit/recorded, which real systemds (247 and later) answered in the lab.
Sources: systemd.unit(5); src/shared/dropin.c and src/shared/conf-parser.c of systemd.
"""

import re

FOLDERS = ('/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system')
NUMBER = re.compile(r'[+-]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z|0[bB][01]+\Z|0[oO][0-7]+\Z')
POLICIES = ('continue', 'stop', 'kill')


def main_names(unit):
    """The unit, and its template where it is an instance."""
    return [unit] + ([unit.partition('@')[0] + '@.service'] if '@' in unit and '@.' not in unit else [])


def drop_in_names(unit):
    """The names whose .d folders count for it, the strongest first."""
    names = main_names(unit)
    prefix = unit.partition('@')[0] if '@' in unit else unit[: -len('.service')]
    parts = prefix.rstrip('-').split('-')
    # foo-bar-baz.service has foo-bar-.service.d and foo-.service.d.
    names += ['-'.join(parts[:count]) + '-.service' for count in range(len(parts) - 1, 0, -1)]
    return names


def number(text):
    """An oom_score_adj as systemd takes it, None where it ignores it."""
    if not NUMBER.match(text):
        return None
    plain = re.sub(r'^([+-]?)0(?=[0-7]+\Z)', r'\g<1>0o', text)
    value = int(plain, 0)
    return value if -1000 <= value <= 1000 else None


def logical_lines(text):
    """Lines without comments, with those that continue them."""
    joined = ''
    for line in re.split('\r\n|\n|\r|\0', text.removeprefix('\ufeff')):
        if line.strip().startswith(('#', ';')):
            continue
        if line.endswith('\\'):
            joined += line[:-1] + ' '
            continue
        yield (joined + line).strip()
        joined = ''
    yield joined.strip()


def assignments(text, key):
    """The values that a file gives a setting of [Service], in order; None for a reset."""
    section = ''
    for line in logical_lines(text):
        name, equals, value = line.partition('=')
        if line.startswith('['):
            section = line
        elif section == '[Service]' and equals and name.strip() == key:
            value = value.strip()
            found = (number(value) if key == 'OOMScoreAdjust' else value if value in POLICIES else None)
            if found is not None or not value:
                yield found


def at_start(read, names, unit, key):
    """What a setting of the unit is at its next start, None for what nothing sets.

    ``read`` gives the text of a file or None, ``names`` the names in a folder.
    """
    main = [read(f'{folder}/{name}') for name in main_names(unit) for folder in FOLDERS]
    drop_ins = {}
    folders = [f'{base}/{name}.d' for base in FOLDERS for name in drop_in_names(unit)]
    for folder in folders + [f'{base}/service.d' for base in FOLDERS]:  # that of all services is the weakest
        for name in names(folder):
            if name.endswith('.conf') and not name.startswith('.'):
                drop_ins.setdefault(name, f'{folder}/{name}')
    texts = [text for text in main if text is not None][:1] + [read(drop_ins[name]) or '' for name in sorted(drop_ins)]
    values = [value for text in texts for value in assignments(text, key)]
    return values[-1] if values else None
