# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import fnmatch
import re
import time

import pytest
from machine import Machine, run

from ansible_collections.oomkit.linux.plugins.module_utils._host import conf_files
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import KBYTES, MEMORY, PANIC, RATIO
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import boot as sysctl_boot
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import loader, parser


@pytest.fixture
def machine(tmp_path):
    """With the kernel's defaults: what is tested is what the files of each test make of them."""
    return Machine(tmp_path, defaults=True)


def boot(machine, **overlay):
    return sysctl_boot.simulate(machine, loader.find_loader(machine))


def test_nothing_set(machine):
    outcome = boot(machine)
    assert outcome.values[MEMORY] == 0 and outcome.values[RATIO] == 50
    assert outcome.values['vm.admin_reserve_kbytes'] is None
    assert set(outcome.causes.values()) == {None}


def test_the_equal_value_rule_of_systemd(machine):
    machine.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_ratio=80\n')
    machine.put('/etc/sysctl.d/50-b.conf', '\n# x\nvm.overcommit_kbytes=900000\n')
    machine.put('/etc/sysctl.d/99-ours.conf', 'vm.overcommit_ratio = 80\n')
    outcome = boot(machine)
    assert (outcome.values[RATIO], outcome.values[KBYTES]) == (0, 900000)
    assert outcome.causes[RATIO] == outcome.causes[KBYTES] == ('/etc/sysctl.d/50-b.conf', 3)


def test_another_value_moves_to_the_end(machine):
    machine.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_ratio=81\n')
    machine.put('/etc/sysctl.d/50-b.conf', 'vm.overcommit_kbytes=900000\n')
    machine.put('/etc/sysctl.d/99-ours.conf', 'vm.overcommit_ratio = 80\n')
    outcome = boot(machine)
    assert (outcome.values[RATIO], outcome.values[KBYTES]) == (80, 0)


def test_procps_last_line_wins_and_sysctl_conf_is_last(tmp_path):
    machine = Machine(tmp_path, init='other', defaults=True)
    machine.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_ratio=80\n')
    machine.put('/etc/sysctl.d/50-b.conf', 'vm.overcommit_kbytes=900000\n')
    machine.put('/etc/sysctl.d/99-ours.conf', 'vm.overcommit_ratio=80\nvm.panic_on_oom=1\n')
    machine.put('/etc/sysctl.conf', 'vm.panic_on_oom=2\n')
    outcome = boot(machine)
    assert (outcome.values[RATIO], outcome.values[KBYTES]) == (80, 0)
    assert outcome.values['vm.panic_on_oom'] == 2
    assert outcome.causes['vm.panic_on_oom'] == ('/etc/sysctl.conf', 1)


def test_sysctl_conf_counts_under_systemd_only_by_a_link(machine):
    machine.put('/etc/sysctl.conf', 'vm.overcommit_memory=1\n')
    assert boot(machine).values[MEMORY] == 0
    machine.link('/etc/sysctl.d/99-sysctl.conf', '../sysctl.conf')
    outcome = boot(machine)
    assert outcome.values[MEMORY] == 1
    assert outcome.causes[MEMORY] == ('/etc/sysctl.d/99-sysctl.conf', 1)


def test_of_one_name_the_earlier_folder_counts(machine):
    machine.put('/usr/lib/sysctl.d/50-x.conf', 'vm.overcommit_memory=1\n')
    machine.put('/run/sysctl.d/50-x.conf', 'vm.overcommit_memory=2\n')
    assert boot(machine).values[MEMORY] == 2
    machine.put('/etc/sysctl.d/50-x.conf', '')
    assert boot(machine).values[MEMORY] == 0


def test_a_link_to_dev_null_masks(machine):
    machine.put('/usr/lib/sysctl.d/50-x.conf', 'vm.overcommit_memory=1\n')
    machine.link('/etc/sysctl.d/50-x.conf', '/dev/null')
    assert boot(machine).values[MEMORY] == 0


def test_order_is_by_name_whatever_the_folder(machine):
    machine.put('/etc/sysctl.d/10-x.conf', 'vm.overcommit_memory=1\n')
    machine.put('/usr/lib/sysctl.d/90-y.conf', 'vm.overcommit_memory=2\n')
    assert boot(machine).values[MEMORY] == 2


@pytest.mark.parametrize(
    'line',
    [
        'vm.overcommit_memory=2',
        'vm/overcommit_memory = 2',
        '-vm.overcommit_memory=2',
        ' vm.overcommit_memory\t=\t2 ',
        'vm.overcommit_memory = 2 # strict',
        'vm.overcommit_memory=002',
        '/vm/overcommit_memory=2',
        'vm.overcommit_memory=2\r',
        'vm.overcommit_mem*=2',
        'vm/over[a-c]ommit_memory=2',
        'vm.overcommit_memor?=2',
    ],
)
def test_spellings(machine, line):
    machine.put('/etc/sysctl.d/x.conf', line + '\n')
    assert boot(machine).values[MEMORY] == 2


@pytest.mark.parametrize(
    'line',
    [
        '#vm.overcommit_memory=2',
        '; vm.overcommit_memory=2',
        'vm.overcommit_memory 2',
        'vm.overcommit_memory=080',
        'vm.overcommit_memory=',
        'vm.overcommit_memory=2#strict',
        '-vm.overcommit_memory',
        '*overcommit_memory=2',
        'vm.Overcommit_memory=2',
        'net.core.x=2',
    ],
)
def test_what_sets_nothing(machine, line):
    machine.put('/etc/sysctl.d/x.conf', line + '\n')
    assert boot(machine).values[MEMORY] == 0


# What fnmatch(3) of glibc 2.36 answers. tests/package has a Python 3.6 answer the same.
RANGES = [
    ('[z-a]*', ''), ('[!z-a]*', 'abz-'), ('[^z-a]*', 'abz-'), ('[z-ab]', 'b'), ('[z-a-b]', 'b-'), ('[a-z-b]', 'abz-'),
    ('[]-a]', 'a'), ('[a-]', 'a-'), ('[z-a', ''), ('[!]z-a]', 'abz-'), ('[a-b-z-a]', 'ab-'),
]


@pytest.mark.parametrize('pattern, matched', RANGES)
def test_a_range_from_z_to_a_has_nobody(monkeypatch, pattern, matched):
    def of_python_36(name, wanted):
        """It took what stands in brackets as it is, and raised re.error."""
        for held in re.findall(r'\[!?(\]?[^]]*)\]', wanted):
            re.compile('[%s]' % held)
        return of_this_python(name, wanted)

    of_this_python = fnmatch.fnmatchcase
    assert ''.join(key for key in 'abz-' if parser.matches(pattern, key)) == matched
    monkeypatch.setattr(fnmatch, 'fnmatchcase', of_python_36)
    assert ''.join(key for key in 'abz-' if parser.matches(pattern, key)) == matched


def test_a_line_with_a_range_from_z_to_a_sets_nothing(machine):
    machine.put('/etc/sysctl.d/a.conf', 'vm.[z-a]* = 1\n')
    assert boot(machine).values[MEMORY] == 0


def test_a_named_key_keeps_globs_off(machine):
    machine.put('/etc/sysctl.d/10-x.conf', 'vm.overcommit_memory=1\n')
    machine.put('/etc/sysctl.d/20-y.conf', 'vm.overcommit_m*=2\n')
    assert boot(machine).values[MEMORY] == 1
    machine.put('/etc/sysctl.d/10-x.conf', '-vm.overcommit_memory\n')
    outcome = boot(machine)
    assert outcome.values[MEMORY] == 0 and outcome.causes[MEMORY] == ('/etc/sysctl.d/10-x.conf', 1)


def test_systemd_does_not_write_what_is_there_already(machine):
    machine.put('/etc/sysctl.d/10-x.conf', 'vm.overcommit_kbytes=0\n')
    assert boot(machine).values[RATIO] == 50


def test_systemd_before_250_does(machine):
    machine.put('/etc/sysctl.d/10-x.conf', 'vm.overcommit_kbytes=0\n')
    machine.put('/usr/lib/systemd/libsystemd-shared-247.so', '')
    assert boot(machine).values[RATIO] == 0


def test_old_kernels_take_a_negative_number_for_none(machine):
    machine.put('/etc/sysctl.d/10-x.conf', 'vm.overcommit_kbytes=-5\n')
    assert boot(machine).values[RATIO] == 50
    machine.put('/proc/sys/kernel/osrelease', '5.10.0-32-amd64\n')
    assert boot(machine).values[RATIO] == 0


def test_procps_does_and_so_keeps_swap_as_the_limit(tmp_path):
    machine = Machine(tmp_path, init='other', defaults=True)
    machine.put('/etc/sysctl.d/10-x.conf', 'vm.overcommit_kbytes=0\n')
    assert boot(machine).values[RATIO] == 0


def test_the_kernel_command_line_comes_before_the_files(machine):
    machine.put(
        '/proc/cmdline',
        'ro sysctl.vm.overcommit_memory=2 sysctl/vm/overcommit_ratio=70 panic=7 "x=a b" -- sysctl.vm.panic_on_oom=1\n',
    )
    machine.put('/etc/sysctl.d/x.conf', 'vm.overcommit_ratio=90\n')
    outcome = boot(machine)
    assert (outcome.values[MEMORY], outcome.values[RATIO], outcome.values[PANIC]) == (2, 90, 7)
    assert outcome.values['vm.panic_on_oom'] == 0
    assert outcome.causes[MEMORY].path == '/proc/cmdline'


def test_a_masked_loader_sets_nothing(machine):
    machine.put('/etc/sysctl.d/x.conf', 'vm.overcommit_memory=2\n')
    machine.link('/etc/systemd/system/systemd-sysctl.service', '/dev/null')
    assert boot(machine).values[MEMORY] == 0
    assert 'masked' in loader.find_loader(machine).reason


@pytest.mark.parametrize('link, value', [
    (None, 0),
    ('boot/sysctl', 2),
    ('my-own/sysctl', 2),
    ('sysinit/procps', 2),
    ('boot/sysctl-other', 0),
    ('off/procps', 0),
    ('recovery/procps', 0),
    ('shutdown/sysctl', 0),
])
def test_a_service_of_openrc_in_no_runlevel_sets_nothing(tmp_path, link, value):
    machine = Machine(tmp_path, init='other', defaults=True)
    machine.put('/run/openrc/softlevel', 'default')
    for name in ('sysctl', 'procps'):
        machine.put('/etc/init.d/' + name, '#!/sbin/openrc-run\nstart() {\n\tsysctl -q --system\n}\n')
    machine.put('/sbin/sysctl', '')
    machine.put('/etc/runlevels/boot/bootmisc', '')
    machine.put('/etc/sysctl.d/x.conf', 'vm.overcommit_memory=2\n')
    if link:
        machine.put('/etc/runlevels/' + link, '')
    assert boot(machine).values[MEMORY] == value
    assert ('rc-update add sysctl boot' in loader.find_loader(machine).reason) is (value == 0)


def test_an_image_boots_what_is_installed(tmp_path):
    machine = Machine(tmp_path, init='other', defaults=True)
    assert loader.find_loader(machine).name == 'procps'
    machine.link('/sbin/init', '/usr/lib/systemd/systemd')
    assert loader.find_loader(machine).name == 'systemd-sysctl'


def test_odd_files_do_not_stop_it(machine):
    (machine.base / 'etc/sysctl.d/a.conf').mkdir()
    machine.link('/etc/sysctl.d/b.conf', '/nowhere')
    machine.put('/etc/sysctl.d/c.conf', b'\xff\xfe=\x80\n\0vm.overcommit_memory=1\n')
    machine.put('/etc/sysctl.d/.d.conf', 'vm.overcommit_memory=2\n')
    machine.put('/etc/sysctl.d/e.conf~', 'vm.overcommit_memory=2\n')
    assert boot(machine).values[MEMORY] == 1


@pytest.mark.parametrize('init', ['systemd', 'other'])
@pytest.mark.parametrize('make', [lambda path: path.mkdir(), lambda path: path.symlink_to(path.name)],
                         ids=['folder', 'circle'])
def test_a_folder_or_a_circle_only_takes_a_name_away(tmp_path, init, make):
    """As systemd-sysctl 252 and sysctl of procps 4.0.2 have it."""
    machine = Machine(tmp_path, init=init, defaults=True)
    machine.put('/usr/lib/sysctl.d/50-a.conf', 'vm.overcommit_memory=1\n')
    machine.put('/usr/lib/sysctl.d/60-b.conf', 'vm.overcommit_ratio=60\n')
    for path in ('etc/sysctl.d/50-a.conf', 'etc/sysctl.conf'):
        make(machine.base / path)
    assert (boot(machine).values[MEMORY], boot(machine).values[RATIO]) == (0, 60)
    run(machine, 'overcommit', ratio=70)
    assert boot(machine).values[RATIO] == 70
    run(machine, 'overcommit', state='absent')
    assert boot(machine).values[RATIO] == 60


@pytest.mark.parametrize('text', [
    ''.join('x%d = 1\nx%d = 2\n' % (number, number) for number in range(20000)), 'vm/%s=1\n' % ('[' * 20000),
    'vm/%s=1\n' % ('[' * 4000)])
def test_hostile_files_take_linear_time(text):
    began_s = time.process_time()
    settings = list(parser.parse_settings('x', text))
    for dialect in (conf_files.SYSTEMD, conf_files.PROCPS, conf_files.BUSYBOX):
        parser.writes(dialect, settings, ['vm/overcommit_memory'])
    assert time.process_time() - began_s < 2


@pytest.mark.parametrize('pattern, key, answer', [
    ('vm/[', 'vm/[', True), ('vm/a[b', 'vm/a[b', True), ('vm/[o]*[', 'vm/ox[', True), ('vm/[]]x', 'vm/]x', True),
    ('vm/[!]]x', 'vm/]x', False), ('vm/[]', 'vm/[]', True), ('vm/[o', 'vm/o', False),
    ('vm/' + '*' * 5000, 'vm/o', False)])
def test_a_bracket_that_does_not_end_is_none(pattern, key, answer):
    assert parser.matches(pattern, key) is answer
