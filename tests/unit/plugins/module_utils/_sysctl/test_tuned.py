# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What TuneD makes of our sysctls when it starts after the boot's loader: machines on disk with a TuneD of a release.

The lab (tests/kernel/test_tuned.py) asks the TuneD of Debian. What Debian does not have yet stands here, with the lines
of the release that has it.
"""

import machine
import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host import helper
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import (
    KBYTES,
    MEMORY,
    PANIC,
    PANIC_ON_OOM,
    RATIO,
)
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import boot as sysctl_boot
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import competing_writers, loader, tuned_config

PROFILE = '/etc/tuned/ours/tuned.conf'
UNIT = '/usr/lib/systemd/system/tuned.service'
WANTED = '/etc/systemd/system/multi-user.target.wants/tuned.service'
PLUGIN = '/usr/lib/python3/dist-packages/tuned/plugins/plugin_sysctl.py'
ETC, LIB = '/etc/sysctl.d/50-x.conf', '/usr/lib/sysctl.d/99-x.conf'
FOREIGN = '[sysctl]\nvm.swappiness=10\n'

# The lines of tuned/plugins/plugin_sysctl.py that differ between the releases.
_TWO = 'SYSCTL_CONFIG_DIRS = [ "/run/sysctl.d",\n\t\t"/etc/sysctl.d" ]\n'
_FIVE = _TWO.replace('.d" ]', '.d",\n\t\t"/usr/local/lib/sysctl.d",\n\t\t"/usr/lib/sysctl.d",\n\t\t"/lib/sysctl.d" ]')
_DOTS = '\treturn "/proc/sys/%s" % option.replace(".", "/")\n'
_SWAPPED = '\t\treturn "/proc/sys/%s" % self._cmd.tr(option, "./", "/.")\n'
_SAME = '\t\treturn self._cmd.write_to_file(path, value, no_error=[errno.ENOENT], ignore_same=True)\n'
_EXCLUDE = '\t\t\tconsts.CFG_REAPPLY_SYSCTL_EXCLUDE,\n'
RELEASES = {
    '2.10': '\t\t\tself._cmd.execute(["sysctl", "--system"])\n',
    '2.11': _FIVE + _DOTS,
    '2.20': _TWO + _DOTS,
    '2.25': _TWO + _SWAPPED + _SAME,
    '2.27': _TWO + _SWAPPED + _SAME + _EXCLUDE,
    '2.28': _TWO + _SWAPPED + _SAME + _EXCLUDE + '\t\tsysctl_settings[option] = value\n',
}


@pytest.fixture
def box(tmp_path):
    """A machine with an enabled TuneD of Debian 13 whose profile sets none of our sysctls."""
    one = machine.Machine(tmp_path, defaults=True)
    install(one, '2.25')
    one.put(WANTED, '')
    profile(one, FOREIGN)
    return one


def install(box, release):
    box.put(UNIT, '[Service]\n')
    box.put(PLUGIN, RELEASES[release])


def profile(box, text, main=''):
    box.put('/etc/tuned/tuned-main.conf', main)
    box.put('/etc/tuned/active_profile', 'ours\n')
    box.put(PROFILE, text)


def run_tuned(box):
    """As a process: competing writers are found by their processes."""
    box.put('/proc/50/comm', 'tuned\n')
    box.put('/proc/50/status', 'Name:\ttuned\nUid:\t0\t0\t0\t0\n')
    box.put('/proc/50/uid_map', box.get('/proc/self/uid_map'))
    box.put('/proc/50/cmdline', 'tuned\0')


def boot(box, *keys, originals=None):
    outcome = sysctl_boot.simulate(box, loader.find_loader(box), originals)
    values = tuple(outcome.values[key] for key in keys)
    return values[0] if len(keys) == 1 else values


def cause(box, key):
    outcome = sysctl_boot.simulate(box, loader.find_loader(box))
    return outcome.causes[key], key in outcome.by_tuned


# ------------------------------------------------------------- sysctl.d once more

def test_reapply_prefers_files_below_etc_to_usr(box):
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.put(ETC, '\nvm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == 1 and cause(box, MEMORY) == ((ETC, 2), True)


def test_a_later_file_below_etc_wins_with_tuned_as_without(box):
    box.put(ETC, 'vm.overcommit_memory=1\n')
    box.put('/etc/sysctl.d/99-x.conf', 'vm.overcommit_memory=2\n')
    assert boot(box, MEMORY) == 2


def test_sysctl_conf_counts_last_though_systemd_does_not_read_it(box):
    box.put('/etc/sysctl.d/zz.conf', 'vm.overcommit_memory=2\n')
    box.put('/etc/sysctl.conf', 'vm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == 1 and cause(box, MEMORY) == (('/etc/sysctl.conf', 1), True)


def test_of_one_name_the_file_below_run_counts(box):
    box.put(ETC, 'vm.overcommit_memory=1\n')
    box.put('/run/sysctl.d/50-x.conf', 'vm.overcommit_memory=2\n')
    assert boot(box, MEMORY) == 2


def test_a_mask_below_etc_takes_nothing_from_tuned(box):
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.link('/etc/sysctl.d/99-x.conf', '/dev/null')
    assert boot(box, MEMORY) == 0


@pytest.mark.parametrize('text, value', [
    ('-vm.overcommit_memory=1\n', 2), ('vm/overcommit_memory=1\n', 2), ('vm.overcommit_*=1\n', 2),
    ('vm.overcommit_memory\n', 2), ('; vm.overcommit_memory=1\n', 2), ('vm.overcommit_memory=x\n', 2),
    ('vm.overcommit_memory=1 # one\n', 1), ('vm..overcommit_memory=1\n', 1),
    ('vm.swappiness=1\rvm.overcommit_memory=1\n', 1),
])  # fmt: skip
def test_tuned_reads_lines_by_rules_of_its_own(box, text, value):
    """systemd takes the later file below /usr/lib in each of these cases."""
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.put(ETC, text)
    assert boot(box, MEMORY) == value


def test_a_hidden_file_is_one_for_tuned_and_none_for_systemd(box):
    box.put('/etc/sysctl.d/.x.conf', 'vm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == 1


def test_a_byte_that_is_no_utf_8_ends_what_tuned_reads(box):
    box.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_memory=1\n')
    box.put('/etc/sysctl.d/20-b.conf', b'# \xe9\nvm.panic_on_oom=1\n')
    box.put('/etc/sysctl.d/30-c.conf', 'kernel.panic=5\n')
    box.put(LIB, 'vm.overcommit_memory=2\nvm.panic_on_oom=2\nkernel.panic=7\n')
    assert boot(box, MEMORY, PANIC_ON_OOM, PANIC) == (1, 2, 7)
    install(box, '2.28')
    assert boot(box, MEMORY, PANIC_ON_OOM, PANIC) == (2, 2, 7)


@pytest.mark.parametrize('word', ['0', 'no', 'false', 'off', 'No'])
def test_reapply_sysctl_can_be_off(box, word):
    profile(box, FOREIGN, main='reapply_sysctl = %s\n' % word)
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.put(ETC, 'vm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == 2


@pytest.mark.parametrize('text', [
    '[vm]\nx=1\n', '[sysctl]\nenabled=0\nvm.swappiness=1\n', '[main]\ninclude=gone\n[sysctl]\n', '',
])
def test_without_a_sysctl_section_nothing_is_reapplied(box, text):
    profile(box, text)
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.put(ETC, 'vm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == 2


def test_a_section_without_a_line_applies_the_files_too(box):
    profile(box, '[sysctl]\n')
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.put(ETC, 'vm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == 1


@pytest.mark.parametrize('release, values', [
    # 2.10 runs `sysctl --system`, 2.11 reads all folders itself.
    ('2.10', (2, 1)), ('2.11', (2, 1)), ('2.20', (1, 1)), ('2.25', (1, 0)), ('2.27', (1, 0)), ('2.28', (1, 0)),
])
def test_releases_read_other_folders_and_spellings(box, release, values):
    install(box, release)
    box.put(LIB, 'vm.overcommit_memory=2\nvm.panic_on_oom=0\n')
    box.put(ETC, 'vm.overcommit_memory=1\n')
    box.put('/etc/sysctl.conf', 'vm/panic_on_oom=1\n')
    assert boot(box, MEMORY, PANIC_ON_OOM) == values


@pytest.mark.parametrize('release, pair', [
    ('2.20', (80, 0)), ('2.25', (80, 0)), ('2.27', (80, 0)), ('2.28', (0, 900000)),
])
def test_from_2_28_on_a_name_keeps_the_place_of_its_first_line(box, release, pair):
    install(box, release)
    box.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_ratio=70\n')
    box.put('/etc/sysctl.d/20-b.conf', 'vm.overcommit_kbytes=900000\n')
    box.put('/etc/sysctl.conf', 'vm.overcommit_ratio=80\n')
    assert boot(box, RATIO, KBYTES) == pair


@pytest.mark.parametrize('release, pair', [('2.20', (0, 0)), ('2.25', (0, 900000))])
def test_from_2_23_on_it_does_not_write_what_is_there(box, release, pair):
    install(box, release)
    profile(box, '[sysctl]\nvm.overcommit_ratio=0\n')
    box.put(LIB, 'vm.overcommit_kbytes=900000\n')
    assert boot(box, RATIO, KBYTES) == pair


@pytest.mark.parametrize('exclude, release, value', [
    ('vm.overcommit_memory', '2.27', 2), ('net.*, vm.over*', '2.27', 2), ('net.* ; vm.over*', '2.28', 2),
    ('vm.overcommit_m?mory', '2.27', 2), ('vm.[a-o]*', '2.27', 2), ('VM.*', '2.27', 1),
    ('vm/overcommit_memory', '2.27', 1),
    ('overcommit_memory', '2.27', 1), ('', '2.27', 1),
    ('vm.overcommit_memory', '2.25', 1),  # Debian 13 does not know it
])  # fmt: skip
def test_keys_can_be_excluded_from_2_27_on(box, exclude, release, value):
    install(box, release)
    profile(box, FOREIGN, main='reapply_sysctl_exclude = %s\n' % exclude)
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.put(ETC, 'vm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == value


# ----------------------------------------------------------------- the profile

@pytest.mark.parametrize('text, value', [
    ('vm.overcommit_memory=1\n', 1), ('vm.overcommit_memory=>1\n', 2), ('vm.overcommit_memory=<1\n', 1),
    ('vm.overcommit_memory=9\n', 2), ('vm.overcommit_memory=>x\n', 2), ('vm.overcommit_memory=${f:exec:x}\n', None),
])
def test_what_the_profile_sets_wins_over_files_below_usr(box, text, value):
    box.put(LIB, 'vm.overcommit_memory=2\n')
    profile(box, '[sysctl]\n# x\n' + text)
    assert boot(box, MEMORY) == value
    assert value == 2 or cause(box, MEMORY) == ((PROFILE, 3), True)
    box.put(ETC, 'vm.overcommit_memory=0\n')
    assert boot(box, MEMORY) == 0


def test_profile_wins_without_reapply_or_where_excluded(box):
    box.put(ETC, 'vm.overcommit_memory=2\nvm.panic_on_oom=2\n')
    text = '[sysctl]\nvm.overcommit_memory=1\nvm.panic_on_oom=1\n'
    profile(box, text, main='reapply_sysctl=0\n')
    assert boot(box, MEMORY, PANIC_ON_OOM) == (1, 1)
    install(box, '2.27')
    profile(box, text, main='reapply_sysctl_exclude=vm.over*\n')
    assert boot(box, MEMORY, PANIC_ON_OOM) == (1, 2)
    run_tuned(box)
    assert [(one.key, one.value_text, one.how) for one in competing_writers.find_writers(box)] == [
        (MEMORY, '1', 'sets'), (PANIC_ON_OOM, '2', 'reapplies')]


def test_two_sections_follow_each_other_by_priority(box):
    profile(box, '[b]\ntype=sysctl\npriority=5\nvm.overcommit_memory=2\n[a]\ntype=sysctl\nvm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == 2


BASE = '/usr/lib/tuned/base/tuned.conf'


@pytest.mark.parametrize('drop, values', [
    ('vm.overcommit_memory', (0, 1, 5)), ('vm.overcommit_memory, vm.panic_on_oom', (0, 0, 5)),
    ('vm.overcommit_memory ; kernel.panic', (0, 1, 7)), ('vm.*', (1, 1, 5)),
])
def test_drop_takes_options_out_of_what_is_included(box, drop, values):
    box.put(BASE, '[sysctl]\nvm.overcommit_memory=1\nvm.panic_on_oom=1\nkernel.panic=5\n')
    more = 'kernel.panic=7\n' if 'kernel' in drop else ''
    profile(box, '[main]\ninclude=base\n[sysctl]\ndrop=%s\n%s' % (drop, more))
    assert boot(box, MEMORY, PANIC_ON_OOM, PANIC) == values


def test_drop_takes_nothing_from_the_section_that_has_it(box):
    profile(box, '[sysctl]\ndrop=vm.overcommit_memory\nvm.overcommit_memory=1\n')
    assert boot(box, MEMORY) == 1


def uname(box):
    for name, text in (('ostype', 'Linux'), ('hostname', 'db1'), ('osrelease', '6.12.1-rt'), ('version', '#1 SMP'),
                       ('arch', 'x86_64')):
        box.put('/proc/sys/kernel/' + name, text + '\n')
    box.put('/proc/cpuinfo', 'processor\t: 0\nvendor_id\t: GenuineIntel\n')


@pytest.mark.parametrize('line, applies', [
    ('uname_regex=x86_64', True), ('uname_regex=^Linux db1 6.12.1-rt .1 SMP x86_64$', True),
    ('uname_regex=aarch64', False),
    ('cpuinfo_regex=^vendor_id\\s.*Intel$', True), ('cpuinfo_regex=AMD', False), ('uname_regex=X86', False),
    ('uname_regex=x86_64\ncpuinfo_regex=AMD', False), ('uname_regex=${cpu}', True), ('uname_regex=(', False),
])  # fmt: skip
def test_a_section_may_be_meant_for_other_machines(box, line, applies):
    uname(box)
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.put(ETC, 'vm.overcommit_memory=1\n')
    profile(box, '[variables]\ncpu=x86\n[sysctl]\n%s\nvm.panic_on_oom=1\n' % line)
    assert boot(box, MEMORY, PANIC_ON_OOM) == ((1, 1) if applies else (2, 0))
    run_tuned(box)
    assert bool(competing_writers.find_writers(box)) == applies


def test_the_machine_that_a_section_is_meant_for_can_be_set(box):
    uname(box)
    profile(box, '[sysctl]\nuname_regex=aarch64\nvm.panic_on_oom=1\n', main='uname_string = aarch64\n')
    assert boot(box, PANIC_ON_OOM) == 1
    profile(box, '[sysctl]\ncpuinfo_regex=AMD\nvm.panic_on_oom=1\n', main='cpuinfo_string = AMD\n')
    assert boot(box, PANIC_ON_OOM) == 1


def test_one_wrong_expression_ends_tuned(box):
    uname(box)
    profile(box, '[sysctl]\nvm.panic_on_oom=1\n[b]\ntype=sysctl\nuname_regex=*\n')
    assert boot(box, PANIC_ON_OOM) == 0


def test_an_included_expression_holds_until_another_one_comes(box):
    uname(box)
    box.put(BASE, '[sysctl]\nuname_regex=aarch64\nvm.panic_on_oom=1\n')
    profile(box, '[main]\ninclude=base\n[sysctl]\nkernel.panic=5\n')
    assert boot(box, PANIC_ON_OOM, PANIC) == (0, 0)
    profile(box, '[main]\ninclude=base\n[sysctl]\nuname_regex=x86\nkernel.panic=5\n')
    assert boot(box, PANIC_ON_OOM, PANIC) == (1, 5)


def test_an_image_for_another_machine_is_meant_by_every_section(box):
    uname(box)
    profile(box, '[sysctl]\nuname_regex=aarch64\nvm.panic_on_oom=1\n')
    assert sysctl_boot.simulate(box, loader.find_loader(box), here=False).values[PANIC_ON_OOM] == 1


@pytest.mark.parametrize('drop, values', [
    # TuneD splits at \b\s*[,;]\s*: what follows no letter, digit or underscore is no separator.
    ('vm.overcommit_memory,, vm.panic_on_oom', (0, 1)), ('x-, vm.panic_on_oom', (1, 1)),
    ('vm.overcommit_memory\n , vm.panic_on_oom', (0, 0)),
    ('vm.overcommit_memory\n ; vm.panic_on_oom', (0, 1)), (', vm.panic_on_oom', (1, 1)),
    ('x- , y, vm.panic_on_oom', (1, 0)),
])  # fmt: skip
def test_drop_is_split_after_words_only(box, drop, values):
    box.put(BASE, '[sysctl]\nvm.overcommit_memory=1\nvm.panic_on_oom=1\n')
    profile(box, '[main]\ninclude=base\n[sysctl]\ndrop=%s\n' % drop)
    assert boot(box, MEMORY, PANIC_ON_OOM) == values


@pytest.mark.parametrize('text, value', [
    ('${a}', 1), (r'\${a}', 0), (r'${b}', 0), ('"${a}"', 1), (r'${f:exec:x}', None), (r'\${f:exec:x}', 0),
    ('${f:exec:x', 0), ('}${f:exec:x}', 0), ('${f:a b:x}', 0), ('${calls}', None), (r'${escaped}', None),
    ('${i:PROFILE_DIR}', 0),
])  # fmt: skip
def test_a_backslash_makes_plain_text(box, text, value):
    variables = 'a=1\n' + r'b=\${a}' + '\ncalls=${f:exec:x}\n' + r'escaped=\${f:exec:x}' + '\n'
    profile(box, '[variables]\n%s[sysctl]\nvm.overcommit_memory=%s\n' % (variables, text))
    assert boot(box, MEMORY) == value


@pytest.mark.parametrize('priority, value', [
    ('-1', 2), ('+5', 1), (' 5 ', 1), ('x', 0), ('', 0), ('1.5', 0),
])
@pytest.mark.parametrize('main', ['', 'default_instance_priority = 0\n'])
def test_a_priority_that_is_no_integer_ends_tuned(box, priority, value, main):
    text = '[a]\ntype=sysctl\npriority=%s\nvm.panic_on_oom=1\n[b]\ntype=sysctl\nvm.panic_on_oom=2\n' % priority
    profile(box, text, main=main)
    assert boot(box, PANIC_ON_OOM) == value


def test_wrong_lines_of_units_of_other_types_end_tuned_too(box):
    uname(box)
    for line in ('priority=x', 'uname_regex=(', 'cpuinfo_regex=*'):
        profile(box, '[sysctl]\nvm.panic_on_oom=1\n[disk]\n%s\n' % line)
        assert boot(box, PANIC_ON_OOM) == 0
        profile(box, '[sysctl]\nvm.panic_on_oom=1\n[disk]\nenabled=0\n%s\n' % line)
        assert boot(box, PANIC_ON_OOM) == 1


def test_units_without_a_priority_have_the_configured_one(box):
    text = '[a]\ntype=sysctl\npriority=5\nvm.panic_on_oom=1\n[b]\ntype=sysctl\nvm.panic_on_oom=2\n'
    profile(box, text)
    assert boot(box, PANIC_ON_OOM) == 1
    profile(box, text, main='default_instance_priority = 7\n')
    assert boot(box, PANIC_ON_OOM) == 2


MERGER, UNIT_PY = (PLUGIN.replace('plugins/plugin_sysctl', 'profiles/' + name) for name in ('merger', 'unit'))
_BY_TYPE = '\t\t\tif unit.type == consts.PLUGIN_VARIABLES_UNIT_NAME:\n'
_PRIORITY = '\t\t\t\t\tprofile_a.units[unit_name].priority = unit.priority\n'


@pytest.mark.parametrize('merger, unit, values', [
    (_BY_TYPE + _PRIORITY, '_priority', (1, 1)),  # from 2.26 on
    ('class Merger', '_priority', (0, 2)), ('class Merger', 'class Unit', (0, 1)),
])  # fmt: skip
def test_releases_merge_variables_and_priorities_in_their_ways(box, merger, unit, values):
    """A unit of variables drops none from 2.26 on, and its name does not count."""
    box.put(MERGER, merger)
    box.put(UNIT_PY, unit)
    box.put(BASE, '[more]\ntype=variables\na=1\n[variables]\nb=1\n[x]\ntype=sysctl\npriority=-1\nvm.panic_on_oom=1\n')
    profile(box, '[main]\ninclude=base\n[variables]\ndrop=a\n[sysctl]\nvm.overcommit_memory=${a}\nvm.panic_on_oom=2\n'
                 '[x]\npriority=1\ntype=sysctl\n')
    assert boot(box, MEMORY, PANIC_ON_OOM) == values


def test_variables_of_an_included_file_may_have_no_value(box):
    box.put('/etc/tuned/more.conf', 'a\nb = 1\n')
    profile(box, '[variables]\ninclude=/etc/tuned/more.conf\n[sysctl]\nvm.panic_on_oom=${b}\n')
    assert boot(box, PANIC_ON_OOM) == 1
    box.put('/etc/tuned/more.conf', ' a\n=\n')
    assert boot(box, PANIC_ON_OOM) == 0  # TuneD ends at what it cannot parse


@pytest.mark.parametrize('include, values', [
    ('', (0, 0)), ('base,', (0, 0)), ('-', (1, 0)), ('/etc/base', (1, 0)), ('base/', (0, 0)), ('more', (1, 2)),
    # One of two, or any.
    ('${f:virt_check:base:base}', (1, 0)), ('${f:virt_check:more:more}', (1, 2)),
    ('${f:virt_check:base:more}', (1, None)), ('${f:virt_check:gone:more}', (None, None)),
    ('-${f:exec:x}', (None, None)), ('more, -${f:exec:x}', (None, None)), (r'-\${f:exec:x}', (1, 0)),
])  # fmt: skip
def test_what_is_included_may_be_known_to_tuned_alone(box, include, values):
    box.put(BASE, '[sysctl]\nkernel.panic=5\n')
    box.put('/etc/tuned/more/tuned.conf', '[sysctl]\nvm.panic_on_oom=2\n')
    box.put(ETC, 'kernel.panic=10\n')
    profile(box, '[main]\ninclude=%s\n[sysctl]\nvm.overcommit_memory=1\n' % include)
    # What sysctl.d has stays known: TuneD applies it again after any profile.
    assert boot(box, MEMORY, PANIC_ON_OOM, PANIC) == values + (10,)
    if values == (None, None) and 'exec' in include:
        assert cause(box, PANIC_ON_OOM) == ((PROFILE, 2), True)


@pytest.mark.parametrize('consts, values', [
    ('LOAD_DIRECTORIES = ["/usr/lib/tuned", "/etc/tuned"]', (1, 0)), ('CFG_DEF_PROFILE_DIRS = [', (0, 1)),
])
def test_releases_look_for_profiles_in_other_folders(box, consts, values):
    box.put(PLUGIN.replace('plugins/plugin_sysctl', 'consts'), consts)
    profile(box, '[sysctl]\nvm.overcommit_memory=1\n')
    box.put('/usr/lib/tuned/profiles/ours/tuned.conf', '[sysctl]\nvm.panic_on_oom=1\n')
    assert boot(box, MEMORY, PANIC_ON_OOM) == values


@pytest.mark.parametrize('names, value', [
    ('ours', 1), ('ours gone', 0), ('gone ours', 0), ('ours a+b', 1), ('a+b', 0), ('ours ..', 0), ('-ours', 0),
    ('ours/', 0), ('ours\nours', 1), ('ours \xff', 0), ('other', 0), ('other ours', 1),
])
def test_one_unknown_name_in_the_list_refuses_all_of_it(box, names, value):
    """Names with characters that TuneD does not allow are dropped, but have to exist as well."""
    profile(box, '[sysctl]\nvm.panic_on_oom=1\n')
    box.put('/etc/tuned/a+b/tuned.conf', '[sysctl]\nvm.panic_on_oom=2\n')
    box.put('/etc/tuned/other/tuned.conf', '[disk]\n')
    box.put('/etc/tuned/active_profile', names)
    assert boot(box, PANIC_ON_OOM) == value


@pytest.mark.parametrize('name, value', [('late\n', 2), ('late ours\n', 0), ('gone', 0), ('', 1)])
def test_the_profile_loaded_last_is_one(box, name, value):
    profile(box, '[sysctl]\nvm.panic_on_oom=1\n')
    box.put('/etc/tuned/late/tuned.conf', '[sysctl]\nvm.panic_on_oom=2\n')
    box.put('/etc/tuned/post_loaded_profile', name)
    assert boot(box, PANIC_ON_OOM) == value


@pytest.mark.parametrize('main', [
    'reapply_sysctl = x\n', 'sleep_interval = 1s\n', 'no equals sign\n', 'uname_string = %\n', 'daemon =\n',
    b'# \xff\n',
])  # fmt: skip
def test_a_wrong_global_configuration_ends_tuned(box, main):
    profile(box, '[sysctl]\nvm.panic_on_oom=1\n', main='unknown = %\n')
    assert boot(box, PANIC_ON_OOM) == 1
    box.put('/etc/tuned/tuned-main.conf', main)
    assert boot(box, PANIC_ON_OOM) == 0


# ---------------------------------------------------------------- automatic mode

RECOMMEND, ETC_RECOMMEND = '/usr/lib/tuned/recommend.d/50-tuned.conf', '/etc/tuned/recommend.conf'
MODE = '/etc/tuned/profile_mode'


@pytest.fixture
def choosing(box):
    """A file below /usr/lib that loses to TuneD, if the profile has a sysctl section as that called ours has."""
    box.put(LIB, 'vm.overcommit_memory=2\n')
    box.put(ETC, 'vm.overcommit_memory=1\nkernel.panic=10\n')
    for name in ('balanced', 'plain'):
        box.put('/usr/lib/tuned/%s/tuned.conf' % name, '[disk]\n')
    return box


@pytest.mark.parametrize('mode, active, recommend, value', [
    ('manual', 'ours', '[plain]\n', 1), (None, 'ours', '[plain]\n', 1), ('', 'ours', '[plain]\n', 1),
    ('manual', None, '[ours]\n', 2), ('manual', '', '[ours]\n', 2), ('Auto', 'ours', '[ours]\n', 2),
    # The active profile is not asked for.
    ('auto', 'ours', '[plain]\n', 2), ('auto', 'ours', '', 2), ('auto', 'plain', '[ours]\n', 1),
    (None, None, '[ours]\n', 1), (None, '', '[ours]\n', 1), ('', None, '[ours,1]\n', 1), ('auto', None, None, 2),
    # With conditions it may be any.
    ('auto', 'ours', '[ours]\nvirt=.+\n[plain]\n', None), ('auto', None, '[plain]\nvirt=.+\n', 2),
    ('auto', None, '[plain]\nvirt=\n[ours]\n', None), ('auto', None, '[plain]\n[ours]\nvirt=x\n', 2),
    ('auto', None, '[ours,1]\nvirt=\n[ours,2]\n', 1), ('auto', None, '[gone]\nsystem=x\n', 2),
    # TuneD ends at what it cannot parse.
    ('auto', None, 'x\n[ours]\n', 2),
])  # fmt: skip
def test_in_automatic_mode_tuned_applies_what_it_recommends(choosing, mode, active, recommend, value):
    for path, text in ((MODE, mode), ('/etc/tuned/active_profile', active), (RECOMMEND, recommend)):
        without(choosing, path) if choosing.get(path) is not None else None
        if text is not None:
            choosing.put(path, text)
    assert boot(choosing, MEMORY, PANIC) == (value, 10)


def test_recommendations_are_read_by_name_and_those_of_etc_first(choosing):
    choosing.put(MODE, 'auto\n')
    choosing.put(RECOMMEND, '[plain]\n')
    choosing.put('/etc/tuned/recommend.d/40-x.conf', '[ours]\n')
    assert boot(choosing, MEMORY) == 1
    choosing.put(ETC_RECOMMEND, '[plain]\n')
    assert boot(choosing, MEMORY) == 2
    without(choosing, ETC_RECOMMEND)
    choosing.put('/etc/tuned/recommend.d/50-tuned.conf', '[ours]\n')
    without(choosing, '/etc/tuned/recommend.d/40-x.conf')
    assert boot(choosing, MEMORY) == 1
    choosing.put('/etc/tuned/tuned-main.conf', 'recommend_command=0\n')
    assert boot(choosing, MEMORY) == 2


def test_a_running_tuned_has_noted_what_it_recommends(choosing):
    choosing.put(MODE, 'auto\n')
    choosing.put(RECOMMEND, '[plain]\nvirt=\n[ours]\n')
    run_tuned(choosing)
    assert [one.value_text for one in competing_writers.find_writers(choosing)] == ['1', '10']
    choosing.put('/etc/tuned/active_profile', 'plain\n')
    assert competing_writers.find_writers(choosing) == []
    choosing.put('/etc/tuned/active_profile', 'somewhat\n')
    assert [one.value_text for one in competing_writers.find_writers(choosing)] == ['1', '10']


def test_recommendation_leaves_the_winning_line_unknown(choosing):
    choosing.put(MODE, 'auto\n')
    choosing.put(RECOMMEND, '[plain]\nvirt=\n[ours]\n')
    assert cause(choosing, MEMORY) == ((ETC, 1), True)
    assert cause(choosing, PANIC) == ((ETC, 2), False)


@pytest.mark.thorough
def test_each_recommended_profile_is_read_once(choosing, monkeypatch):
    choosing.put(MODE, 'auto\n')
    choosing.put(RECOMMEND, ''.join('[p%d]\nvirt=x\n' % number for number in range(100)))
    include = ','.join('p%d' % number for number in range(30))
    for number in range(30):
        choosing.put('/etc/tuned/p%d/tuned.conf' % number, '[main]\ninclude=%s\n[sysctl]\n' % include)
    paths = []
    monkeypatch.setattr(tuned_config, 'read', lambda host, path, denied, read=tuned_config.read: (
        paths.append(path), read(host, path, denied))[1])
    assert boot(choosing, MEMORY, PANIC) == (1, 10)
    assert len(paths) == len(set(paths)) == 30 + 6


PPD = ('[main]\ndefault=balanced\n[profiles]\npower-saver=plain\nbalanced=balanced\nperformance=ours\n'
       '[battery]\nbalanced=plain\n')


@pytest.mark.parametrize('base, active, text, value', [
    ('performance', 'ours', PPD, 1), ('balanced', 'plain', PPD, 2), ('performance', 'plain', PPD, None),
    ('power-saver', 'ours', PPD, None), (None, 'ours', PPD, None), ('gone', 'plain', PPD, None),
    # tuned-ppd ends at a wrong file.
    ('performance', 'plain', None, 2), ('performance', 'plain', '[profiles]\nperformance=ours\n', 2),
    ('performance', 'plain', 'x', 2),
])  # fmt: skip
def test_tuned_ppd_switches_to_the_profile_that_it_has_noted(choosing, base, active, text, value):
    choosing.put('/usr/lib/systemd/system/tuned-ppd.service', '[Unit]\nRequires=tuned.service\n')
    choosing.put('/etc/systemd/system/graphical.target.wants/tuned-ppd.service', '')
    choosing.put('/etc/tuned/active_profile', active)
    for path, content in (('/etc/tuned/ppd_base_profile', base), ('/etc/tuned/ppd.conf', text)):
        if content is not None:
            choosing.put(path, content)
    assert boot(choosing, MEMORY, PANIC) == (value, 10)


# ------------------------------------------------------------- whether it starts

def without(box, path):
    (box.base / path.lstrip('/')).unlink()


def is_applied(box):
    profile(box, '[sysctl]\nvm.panic_on_oom=1\n')
    return boot(box, PANIC_ON_OOM) == 1


def test_only_what_is_enabled_starts_at_boot(box):
    assert is_applied(box)
    without(box, WANTED)
    run_tuned(box)
    assert not is_applied(box)
    box.put('/usr/lib/systemd/system/graphical.target.wants/tuned.service', '')
    assert is_applied(box)


def test_a_link_to_a_unit_that_is_gone_starts_nothing(box):
    without(box, WANTED)
    box.link(WANTED, UNIT)
    assert is_applied(box)
    without(box, UNIT)
    assert not is_applied(box)


def test_a_masked_tuned_does_not_start(box):
    box.link('/etc/systemd/system/tuned.service', '/dev/null')
    assert not is_applied(box)


def test_without_a_daemon_it_applies_the_profile_once(box):
    profile(box, '[sysctl]\nvm.panic_on_oom=1\n', main='daemon = 0\n')
    assert boot(box, PANIC_ON_OOM) == 1


def test_tuned_ppd_starts_it_too(box):
    without(box, WANTED)
    box.put('/etc/systemd/system/graphical.target.wants/tuned-ppd.service', '')
    assert not is_applied(box)
    box.put('/usr/lib/systemd/system/tuned-ppd.service', '[Unit]\nRequires=tuned.service\n')
    assert is_applied(box)


@pytest.mark.parametrize('link, starts', [
    ('/etc/runlevels/default/tuned', True), ('/etc/runlevels/shutdown/tuned', False), ('/etc/rc2.d/S03tuned', True),
    ('/etc/rc0.d/K01tuned', False), ('/etc/rc2.d/K01tuned', False), ('/etc/rc2.d/S03tuned-x', False), (WANTED, False),
])
def test_other_inits(tmp_path, link, starts):
    one = machine.Machine(tmp_path, init='other', defaults=True)
    install(one, '2.25')
    one.put(link, '')
    assert is_applied(one) == starts


# ------------------------------------------------------------------ the modules

def apply(box, **params):
    return machine.run(box, 'panic_on_oom', **dict({'policy': 'kill'}, **params))


def test_a_file_below_usr_does_not_persist_against_tuned(box):
    box.put(ETC, 'vm.panic_on_oom=1\nkernel.panic=10\n')
    ours = '/usr/lib/sysctl.d/zz-oomkit.conf'
    with pytest.raises(Refusal, match=r'50-x.conf line 1, which TuneD applies when it starts'):
        apply(box, sysctl_file=ours)
    assert box.get(ours) is None
    apply(box)
    assert boot(box, PANIC_ON_OOM) == 0


def test_file_below_usr_persists_if_tuned_excludes_its_keys(box):
    install(box, '2.27')
    box.put(ETC, 'vm.panic_on_oom=1\nkernel.panic=10\n')
    ours = '/usr/lib/sysctl.d/zz-oomkit.conf'
    box.put('/etc/tuned/tuned-main.conf', 'reapply_sysctl_exclude = vm.panic_on_oom\n')
    apply(box, sysctl_file=ours)
    assert boot(box, PANIC_ON_OOM) == 0 and box.get(ours) is not None
    box.put('/etc/tuned/tuned-main.conf', 'reapply_sysctl = 0\n')
    assert apply(box, sysctl_file=ours)['changed'] is False and boot(box, PANIC_ON_OOM) == 0


def test_tuned_lines_are_commented_out_and_restored(box):
    box.put('/etc/sysctl.conf', 'vm.panic_on_oom=1\nkernel.panic=10\n')
    with pytest.raises(Refusal, match='sysctl.conf line 1, which TuneD applies'):
        apply(box)
    apply(box, conflicts='comment_out')
    assert boot(box, PANIC_ON_OOM) == 0 and 'oomkit' in box.get('/etc/sysctl.conf')
    machine.run(box, 'panic_on_oom', state='absent')
    assert box.get('/etc/sysctl.conf') == 'vm.panic_on_oom=1\nkernel.panic=10\n'


def test_comment_out_changes_no_profile(box):
    profile(box, '[sysctl]\nvm.panic_on_oom=1\nkernel.panic=10\n', main='reapply_sysctl=0\n')
    with pytest.raises(Refusal, match='of sysctl.d only, but .* Change the profile'):
        apply(box, conflicts='comment_out')
    assert box.get(PROFILE) == '[sysctl]\nvm.panic_on_oom=1\nkernel.panic=10\n'


def test_tuned_reapply_undoes_a_runtime_only_change(box):
    run_tuned(box)
    box.put(ETC, 'vm.panic_on_oom=1\nkernel.panic=10\n')
    warning, = apply(box, persistent=False)['warnings']
    assert 'tuned sets it to 1 whenever it starts (%s)' % ETC in warning and 'persistent: true' in warning
    without(box, ETC)
    assert apply(box)['warnings'] == []


def test_a_tuned_that_runs_without_being_enabled_is_warned_of(box):
    without(box, WANTED)
    run_tuned(box)
    box.put(ETC, 'vm.panic_on_oom=1\nkernel.panic=10\n')
    warning, = apply(box, sysctl_file='/usr/lib/sysctl.d/zz-oomkit.conf')['warnings']
    assert 'tuned sets it to 1 whenever it starts (%s)' % ETC in warning
    assert 'in /etc/sysctl.d that sorts last' in warning


def test_endless_regex_keeps_nobody_waiting(box, monkeypatch):
    uname(box)
    profile(box, '[sysctl]\nuname_regex=^(([^!])+)+!$\nvm.panic_on_oom=1\n')
    monkeypatch.setattr(helper, 'DEADLINE_S', 1)
    box.helper = helper.Helper({'host': box})
    try:
        outcome = box.call(sysctl_boot.simulate, box, loader.find_loader(box))
        assert outcome.values[PANIC_ON_OOM] == 0
        assert box.unread() == ['/etc/tuned/ours is skipped because it does not answer [OOMK-3103]']
    finally:
        box.helper.close()
