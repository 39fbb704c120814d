# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit files by title, for the record of systemd's answers. Cases that affect all units are in ALONE."""

ETC, RUN, LIB = '/etc/systemd/system', '/run/systemd/system', '/usr/lib/systemd/system'
START = '[Service]\nExecStart=/bin/true\n'


def adj(*values):
    """A drop-in with these assignments, one after the other."""
    return '[Service]\n' + ''.join(f'OOMScoreAdjust={value}\n' for value in values)


def unit(*values):
    """The same in a unit's own file."""
    return START + ''.join(f'OOMScoreAdjust={value}\n' for value in values)


def spelled(text):
    """A unit whose drop-in is this text."""
    return {f'{LIB}/NAME': unit(3), f'{ETC}/NAME.d/50-x.conf': text}


# NAME is the unit, STEM its name without .service.
CASES = {
    'nothing set': {f'{LIB}/NAME': START},
    'in the unit': {f'{LIB}/NAME': unit(7)},
    'etc hides lib': {f'{ETC}/NAME': unit(1), f'{LIB}/NAME': unit(2)},
    'run hides lib': {f'{RUN}/NAME': unit(1), f'{LIB}/NAME': unit(2)},
    'etc hides run': {f'{RUN}/NAME': unit(1), f'{ETC}/NAME': START},
    'drop-in over unit': {f'{ETC}/NAME': unit(1), f'{LIB}/NAME.d/50-x.conf': adj(2)},
    'drop-ins by name': {f'{LIB}/NAME': START, f'{ETC}/NAME.d/10-x.conf': adj(1), f'{LIB}/NAME.d/50-x.conf': adj(2)},
    'drop-ins of one name': {f'{LIB}/NAME': START, f'{ETC}/NAME.d/50-x.conf': adj(1),
                             f'{LIB}/NAME.d/50-x.conf': adj(2), f'{RUN}/NAME.d/50-x.conf': adj(3)},
    'run over lib': {f'{LIB}/NAME': START, f'{LIB}/NAME.d/50-x.conf': adj(2), f'{RUN}/NAME.d/50-x.conf': adj(3)},
    'digits before letters': {f'{LIB}/NAME': START, f'{ETC}/NAME.d/9.conf': adj(1), f'{ETC}/NAME.d/10.conf': adj(2),
                              f'{ETC}/NAME.d/Z.conf': adj(3), f'{ETC}/NAME.d/a.conf': adj(4)},
    'other suffixes': {f'{LIB}/NAME': unit(1), f'{ETC}/NAME.d/50-x.txt': adj(2), f'{ETC}/NAME.d/.60.conf': adj(3)},
    'an empty drop-in': {f'{LIB}/NAME': unit(1), f'{ETC}/NAME.d/50-x.conf': '', f'{LIB}/NAME.d/50-x.conf': adj(2)},
    'ours over the administrator': {f'{LIB}/NAME': unit(1), f'{ETC}/NAME.d/20-admin.conf': adj(15),
                                    f'{ETC}/NAME.d/90-oomkit.conf': adj(-300)},
    'reset': spelled(adj(5, '')),
    'reset and set': spelled(adj(5, '', 6)),
    'reset by a later drop-in': {f'{LIB}/NAME': unit(1), f'{ETC}/NAME.d/10-x.conf': adj(5),
                                 f'{ETC}/NAME.d/50-x.conf': adj('')},
    'twice': spelled(adj(5, 6)),
    'invalid after valid': spelled(adj(5, 'x')),
    **{f'value {value!r}': spelled(adj(value)) for value in (
        '-1000', '1000', '1001', '-1001', '0', '+5', '010', '08', '0x10', '0b11', '0o17', '1.5', ' 7 ', '"8"', "'8'",
        '1 # c', 'abc', '- 1', '9999999999')},
    'quoted name': spelled('[Service]\n"OOMScoreAdjust"=5\n'),
    'blanks around': spelled('[Service]\n  OOMScoreAdjust\t=\t5  \n'),
    'comments': spelled('[Service]\nOOMScoreAdjust=5\n#OOMScoreAdjust=6\n;OOMScoreAdjust=7\n  # OOMScoreAdjust=8\n'),
    'continued': spelled('[Service]\nOOMScoreAdjust=\\\n  5\n'),
    'continued in the name': spelled('[Service]\nOOMScore\\\nAdjust=5\n'),
    'a comment in a continued line': spelled('[Service]\nOOMScoreAdjust=\\\n# c\n5\n'),
    'a continued comment': spelled('[Service]\n# c \\\nOOMScoreAdjust=5\n'),
    'no line end': spelled('[Service]\nOOMScoreAdjust=5'),
    'carriage returns': spelled('[Service]\r\nOOMScoreAdjust=5\r\n'),
    'no section': spelled('OOMScoreAdjust=5\n'),
    'another section': spelled('[Unit]\nOOMScoreAdjust=5\n'),
    'sections in turn': spelled('[Service]\nNice=1\n[Unit]\nOOMScoreAdjust=5\n[Service]\nOOMScoreAdjust=6\n'),
    'another case': spelled('[Service]\noomscoreadjust=5\n'),
    'a byte order mark': spelled('\ufeff[Service]\nOOMScoreAdjust=5\n'),
    'included by the unit': {f'{LIB}/NAME': '.include /opt/STEM\n' + START, '/opt/STEM': adj(7)},
    'included and set': {f'{LIB}/NAME': unit(1) + '.include /opt/STEM\n', '/opt/STEM': adj(7)},
    'included by a drop-in': spelled('.include /opt/STEM\n') | {'/opt/STEM': adj(7)},
}

# By title the unit and its files, for names with an instance or a dash.
NAMED = {
    'template': ('t1@i.service', {f'{LIB}/t1@.service': unit(1)}),
    'drop-in of the template': ('t2@i.service', {f'{LIB}/t2@.service': unit(1), f'{ETC}/t2@.service.d/x.conf': adj(2)}),
    'instance hides template': ('t3@i.service', {
        f'{LIB}/t3@.service': START, f'{LIB}/t3@i.service.d/x.conf': adj(1), f'{ETC}/t3@.service.d/x.conf': adj(2)}),
    'instance and template by name': ('t4@i.service', {
        f'{LIB}/t4@.service': START, f'{ETC}/t4@i.service.d/1.conf': adj(1), f'{ETC}/t4@.service.d/2.conf': adj(2)}),
    'the instance has a unit': ('t5@i.service', {f'{LIB}/t5@.service': unit(1), f'{LIB}/t5@i.service': unit(2)}),
    'dashed': ('d1-b.service', {f'{LIB}/d1-b.service': START, f'{ETC}/d1-.service.d/x.conf': adj(1)}),
    'dashed twice': ('d2-b-c.service', {
        f'{LIB}/d2-b-c.service': START,
        f'{ETC}/d2-.service.d/x.conf': adj(1), f'{LIB}/d2-b-.service.d/x.conf': adj(2)}),
    'dashed by name': ('d3-b.service', {
        f'{LIB}/d3-b.service': START, f'{ETC}/d3-.service.d/2.conf': adj(1), f'{ETC}/d3-b.service.d/1.conf': adj(2)}),
    'dashed template': ('d4-b@i.service', {
        f'{LIB}/d4-b@.service': START, f'{ETC}/d4-.service.d/x.conf': adj(1)}),
}  # fmt: skip

# These affect every unit, so each is tested separately.
ALONE = {
    'service.d': ('g1.service', {f'{LIB}/g1.service': START, f'{ETC}/service.d/x.conf': adj(1)}),
    'service.d by name': ('g2.service', {
        f'{LIB}/g2.service': unit(3), f'{ETC}/service.d/50-x.conf': adj(1), f'{ETC}/g2.service.d/10-x.conf': adj(2)}),
    'service.d of one name': ('g3.service', {
        f'{LIB}/g3.service': START, f'{ETC}/service.d/50-x.conf': adj(1), f'{LIB}/g3.service.d/50-x.conf': adj(2)}),
}  # fmt: skip


def together():
    """[title, unit, files] of the cases that do not disturb each other."""
    rows = []
    for number, (title, files) in enumerate(CASES.items()):
        stem = f'c{number}'
        filled = {path.replace('NAME', stem + '.service').replace('STEM', stem): text.replace('STEM', stem)
                  for path, text in files.items()}
        rows.append([title, stem + '.service', filled])
    return rows + [[title, name, files] for title, (name, files) in NAMED.items()]


def alone():
    """[title, unit, files] of the cases that affect all units."""
    return [[title, name, files] for title, (name, files) in ALONE.items()]
