# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When earlyoom, systemd-oomd and nohang act: their arguments and files, on machines on disk.

What earlyoom makes of its arguments was seen in what earlyoom 1.7 of Debian 12 prints when it starts.
"""

import json
import os
import re
import time

import machine
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.module_utils._daemon import earlyoom, model, systemd_oomd, thresholds
from ansible_collections.oomkit.linux.plugins.module_utils._daemon import nohang as nohang_file
from ansible_collections.oomkit.linux.plugins.module_utils._process import scan
from ansible_collections.oomkit.linux.plugins.module_utils._process.table import ProcessTable

PID = 40
TOTALS = model.Totals(24_684_092, 1_000_000)
NOHANG_CONF = '/etc/nohang/nohang.conf'
# The settings of Debian's nohang 0.2.0 that count here, and a few that do not.
NOHANG = """
  This is the configuration file of the nohang daemon.
zram_checking_enabled = False
    Key: psi_checking_enabled = True
psi_checking_enabled = False
psi_metrics = full_avg10
psi_excess_duration = 30
low_memory_warnings_enabled = False
warning_threshold_min_mem  = 20 %
warning_threshold_min_swap = 25 %
warning_threshold_max_zram = 45 %
warning_threshold_max_psi  = 10
soft_threshold_min_mem = 5 %
soft_threshold_min_swap = 10 %
soft_threshold_max_zram = 55 %
soft_threshold_max_psi  = 40
hard_threshold_min_mem = 2 %
hard_threshold_min_swap = 4 %
hard_threshold_max_zram = 60 %
hard_threshold_max_psi = 90
#hard_threshold_max_psi = 91
"""


@pytest.fixture
def box(tmp_path):
    return machine.Machine(tmp_path, ram_kb=TOTALS.memory_kb, swap_kb=TOTALS.swap_kb)


def runs(box, name, *arguments, uid=0, capabilities=None, pid=PID, program=None):
    """A process of that name."""
    box.put('/proc/%d/comm' % pid, name + '\n')
    box.put('/proc/%d/cgroup' % pid, '0::/system.slice/%s.service\n' % name)
    status = 'Name:\t%s\nUid:\t%d\t%d\t%d\t%d\n' % (name, uid, uid, uid, uid)
    if capabilities is not None:
        status += 'CapEff:\t%016x\n' % capabilities
    box.put('/proc/%d/status' % pid, status)
    box.put('/proc/%d/uid_map' % pid, box.get('/proc/self/uid_map'))
    words = [os.fsencode(word) for word in (program or ['/usr/bin/' + name])] + [os.fsencode(one) for one in arguments]
    box.put('/proc/%d/cmdline' % pid, b'\0'.join(words + [b'']))


def look(box, name, pid=PID):
    """What is found of the one daemon; always fit for JSON and for a terminal, with the same keys."""
    with ProcessTable(box) as processes:
        (fact,) = thresholds.read_thresholds(box, processes, [(pid, name)])
    assert set(fact) == {'name', 'pid', 'unit', 'dry_run', 'thresholds', 'notes', 'reason'}
    json.dumps(fact, ensure_ascii=False).encode('utf-8')
    for text in [one['text'] for one in fact['thresholds']] + fact['notes'] + [fact['reason'] or '']:
        assert text.isprintable()
    return fact


def texts(fact):
    assert fact['reason'] is None
    return [one['text'] for one in fact['thresholds']]


def limits(options, totals=TOTALS):
    """(memory, swap) of SIGTERM and SIGKILL as (percent, kB)."""
    found = earlyoom.build_thresholds(earlyoom.parse_options(options), totals)
    return [[(one.below_percent, one.below_kb) for one in threshold.when] for threshold in found]


def test_none_runs(box):
    with ProcessTable(box) as processes:
        assert thresholds.read_thresholds(box, processes, []) == []


@pytest.mark.parametrize('name', sorted(scan.OOM_DAEMONS.values()))
def test_every_daemon_has_a_reader(box, name):
    runs(box, name)
    assert look(box, name)['name'] == name


def test_a_daemon_without_a_reader_is_no_systemd_oomd(box):
    runs(box, 'other')
    with pytest.raises(KeyError):
        look(box, 'other')


# ------------------------------------------------------------------- whose it is


def test_who_it_is(box):
    runs(box, 'earlyoom')
    fact = look(box, 'earlyoom')
    assert (fact['name'], fact['pid'], fact['unit'], fact['dry_run']) == ('earlyoom', 40, 'earlyoom.service', False)


def test_debians_earlyoom_is_an_ordinary_user_that_may_kill(box):
    runs(box, 'earlyoom', '-r', '3600', uid=61234, capabilities=(1 << 5) | (1 << 14))
    assert len(texts(look(box, 'earlyoom'))) == 2


def test_a_process_without_a_command_line(box):
    runs(box, 'earlyoom')
    box.put('/proc/40/cmdline', b'')
    assert look(box, 'earlyoom')['reason'] == 'its command line cannot be read, or is too long'


def seconds(work):
    """How long the processor works on it, and not on what else the machine does."""
    start = time.process_time()
    with pytest.raises(model.UnknownThresholds):
        work()
    return time.process_time() - start


def test_endless_words_keep_nobody_waiting(box):
    digits = '1' * 20_000 + 'x'
    settings = dict(nohang_file.parse_config(NOHANG), hard_threshold_min_mem=digits + ' %')
    assert seconds(lambda: limits(['-m', digits])) < 1
    assert seconds(lambda: nohang_file.build_thresholds(settings, NOHANG_CONF)) < 1
    runs(box, 'earlyoom', *['-g'] * 20_000)
    assert look(box, 'earlyoom')['reason'] == 'its command line cannot be read, or is too long'


# ---------------------------------------------------------------------- earlyoom


def test_earlyoom_as_it_comes(box):
    runs(box, 'earlyoom')
    found = look(box, 'earlyoom')['thresholds']
    assert found[0] == {
        'action': 'SIGTERM', 'for_s': None, 'units': None, 'file': None,
        'when': [{'what': 'available_memory', 'below_percent': 10.0, 'above_percent': None, 'below_kb': None,
                  'above_kb': None},
                 {'what': 'free_swap', 'below_percent': 10.0, 'above_percent': None, 'below_kb': None,
                  'above_kb': None}],
        'text': 'SIGTERM when available memory is below 10 % and free swap is below 10 %'}
    assert found[1]['text'] == 'SIGKILL when available memory is below 5 % and free swap is below 5 %'


# (memory, swap) for SIGTERM and for SIGKILL.
@pytest.mark.parametrize('options, term, kill', [
    (['-m', '5'], (5, 10), (2.5, 5)),
    (['-m5'], (5, 10), (2.5, 5)),
    (['-pm5', '-r0'], (5, 10), (2.5, 5)),
    (['-m', '20,18'], (20, 10), (18, 5)),
    (['-m', '5,9'], (9, 10), (9, 5)),
    (['-m', '10,'], (10, 10), (0, 5)),
    (['-m', ',5'], (5, 10), (5, 5)),
    (['-m', '5,0'], (5, 10), (0, 5)),
    (['-m', ' 5'], (5, 10), (2.5, 5)),
    (['-m', '+5'], (5, 10), (2.5, 5)),
    (['-m', '1e1'], (10, 10), (5, 5)),
    (['-m', '.5'], (0.5, 10), (0.25, 5)),
    (['-m', '2.5,1.5'], (2.5, 10), (1.5, 5)),
    (['-m', '7', '-m', '8'], (8, 10), (4, 5)),
    (['-s', '100'], (10, 100), (5, 50)),
    (['-s', '50,60'], (10, 60), (5, 60)),
    (['-k', '-i', '-n', '-g', '-d', '-N', '/x', '-P', '/y', '-w', '3', '-m', '4'], (4, 10), (2, 5)),
    (['--prefer', '-m', '--avo=x', '--syslog', '--debug'], (10, 10), (5, 5)),
])
def test_percentages_of_earlyoom(options, term, kill):
    assert limits(options) == [[(term[0], None), (term[1], None)], [(kill[0], None), (kill[1], None)]]


@pytest.mark.parametrize('options, term, kill', [
    (['-M', '1048576'], (4.25, 1048576), (2.12, 524288)),
    (['-m', '10', '-M', '1048576'], (4.25, 1048576), (2.12, 524288)),
    (['-M', '1048576', '-m', '10'], (4.25, 1048576), (2.12, 524288)),
    (['-m', '1,1', '-M', '8000000,10'], (1, None), (0, 10)),
    (['-M', '1000000,10', '-M', '2000000'], (8.1, 2000000), (4.05, 1000000)),
])
def test_of_a_size_and_a_percentage_the_lower_one_counts(options, term, kill):
    assert [found[0] for found in limits(options)] == [term, kill]


def test_a_size_of_swap():
    assert [found[1] for found in limits(['-S', '250000,50000', '-s', '15'])] == [(15, None), (5, 50000)]


@pytest.mark.parametrize('totals', [model.Totals(None, None), model.Totals(1000, 0)])
def test_a_size_of_swap_where_there_is_none_is_reported_as_it_is(totals):
    assert [found[1] for found in limits(['-S', '2000'], totals)] == [(None, 2000), (None, 1000)]
    assert [found[1] for found in limits(['-S', '2000', '-s', '4'], totals)] == [(4, 2000), (2, 1000)]


def test_equal_limits_are_sigkill_only(box):
    runs(box, 'earlyoom', '-m', '8,8', '-s', '100,100')
    assert texts(look(box, 'earlyoom')) == ['SIGKILL when available memory is below 8 % and free swap is below 100 %']


def test_a_size_in_words(box):
    runs(box, 'earlyoom', '-M', '1048576')
    assert texts(look(box, 'earlyoom'))[0] == (
        'SIGTERM when available memory is below 1048576 kB (4.25 %) and free swap is below 10 %')


def test_other_options_of_earlyoom_that_matter(box):
    runs(box, 'earlyoom', '--prefer', '^(java|chrome)$', '--avoid=sshd', '--ignore', '\x1b[31m\u202e' + 'x' * 500, '-g',
         '--ignore-root-user', '--sort-by-rss', '--dryrun')
    fact = look(box, 'earlyoom')
    assert fact['dry_run'] is True and len(fact['thresholds']) == 2
    notes = '\n'.join(fact['notes'])
    for words in ('prefers to kill processes whose name matches its option --prefer\n', 'its option --avoid\n',
                  'its option --ignore\n', '--dryrun: it never kills', 'process group', 'processes of root',
                  'largest RSS'):
        assert words in notes


SECRET = 'hunter2'


@pytest.mark.parametrize('options', [
    ['--prefer', SECRET], ['--avoid=' + SECRET], ['--ignore', SECRET, '--prefer=' + SECRET], [SECRET], ['--', SECRET],
    ['--' + SECRET], ['--%s=5' % SECRET], ['-m', SECRET], ['-S', '5,' + SECRET], ['-N', SECRET], ['--dryrun=' + SECRET],
    ['-x' + SECRET], ['-m', '5', '-r', SECRET]])
def test_no_word_of_the_arguments_is_reported(box, options):
    """Command lines hold secrets: which option counts is said, and not what it is given."""
    runs(box, 'earlyoom', *options)
    assert SECRET not in json.dumps(look(box, 'earlyoom'))


@pytest.mark.parametrize('arguments', [
    ('--config', f'/srv/{SECRET}'), ('-c', f'/etc/nohang/{SECRET}'), ('--config', SECRET), ('-c', f'/srv/{SECRET}/\0'),
    ('--config', f'/srv/{SECRET}/' + 'x' * 300), ('--config', f'/dev/null/{SECRET}'), ('--config', f'/srv/./{SECRET}')])
@pytest.mark.parametrize('there', [False, True])
def test_no_path_of_the_arguments_is_reported(box, arguments, there):
    if there:
        nohang(box, arguments=arguments, path=f'/srv/{SECRET}')
    assert SECRET not in json.dumps(nohang(box, arguments=arguments))


@pytest.mark.parametrize('key', ['zram_checking_enabled', 'soft_threshold_min_mem', 'hard_threshold_min_swap'])
def test_no_value_of_a_configuration_is_reported_but_thresholds(box, key):
    text = re.sub(r'(?m)^%s = .*$' % key, f'{key} = {SECRET}', NOHANG)
    fact = nohang(box, text)
    assert key in fact['reason'] and SECRET not in json.dumps(fact)


@pytest.mark.parametrize('options', [
    ['-m'], ['-m', 'abc'], ['-m', '10x'], ['-m', '10,5,3'], ['-m', '0'], ['-m', '0,0'], ['-m', ''], ['-m', '100'],
    ['-m', '99.5'], ['-m', '-5'], ['-m', '5,-1'], ['-m', 'nan'], ['-m', 'inf'], ['-m=5'], ['-m', '1e999'],
    ['-m', '\u0665'], ['-s', '101'], ['-M', 'x'], ['-S', '1e300'], ['-x'], ['--unknown'], ['foo', '-m', '5'],
    ['--', '-m', '5'], ['--prefer'], ['--dryrun=1'], ['\x1b[31m'], ['-m', '\udcff'],
])
def test_arguments_that_earlyoom_refuses(box, options):
    runs(box, 'earlyoom', *options)
    fact = look(box, 'earlyoom')
    assert fact['thresholds'] == [] and fact['reason'].startswith('its arguments are not understood: ')


WORDS = st.one_of(
    st.sampled_from(['-m', '-M', '-s', '-S', '5', '10,4', '1e9', '--dryrun', '--prefer', '--', '-', '']),
    st.text(alphabet='-mMsS0123456789.,eE+', max_size=12), st.text(max_size=12))


@given(st.lists(WORDS, max_size=8))
@example(['-M', '1', '-m', '1e-300'])
@example(['-m', '9' * 400])
def test_any_arguments_give_numbers_or_a_reason(options):
    try:
        found = limits(options)
    except model.UnknownThresholds as exc:
        assert str(exc).startswith('its arguments are not understood: ')
        return
    for memory, swap in found:
        for percent, size_kb in (memory, swap):
            assert percent is not None or size_kb is not None
            assert (percent is None or percent >= 0) and (size_kb is None or size_kb >= 0)
    for term, kill in zip(found[0], found[-1], strict=True):
        assert kill[0] <= term[0]


# ------------------------------------------------------------------ systemd-oomd


def debian_marks(box):
    """As Debian's package has it."""
    box.put('/usr/lib/systemd/oomd.conf.d/10-oomd-defaults.conf', '[OOM]\nDefaultMemoryPressureDurationSec=20s\n')
    box.put('/usr/lib/systemd/system/-.slice.d/10-oomd-root-slice-defaults.conf', '[Slice]\nManagedOOMSwap=kill\n')
    box.put('/usr/lib/systemd/system/user@.service.d/10-oomd-user-service-defaults.conf',
            '[Service]\nManagedOOMMemoryPressure=kill\nManagedOOMMemoryPressureLimit=50%\n')


def oomd(box):
    runs(box, 'systemd-oomd', uid=998, capabilities=(1 << 5) | (1 << 1))
    return look(box, 'systemd-oomd')


def test_systemd_oomd_of_debian(box):
    debian_marks(box)
    fact = oomd(box)
    assert texts(fact) == [
        'SIGKILL when used memory is above 90 % and used swap is above 90 %, only in control groups below -.slice',
        'SIGKILL when memory pressure is above 50 % for 20 s, only in control groups below user@.service']
    assert [(one['units'], one['for_s'], one['file']) for one in fact['thresholds']] == [
        (['-.slice'], None, None),
        (['user@.service'], 20.0, '/usr/lib/systemd/system/user@.service.d/10-oomd-user-service-defaults.conf')]
    assert 'ManagedOOMSwap= or ManagedOOMMemoryPressure=' in fact['notes'][0] and len(fact['notes']) == 1


def test_systemd_oomd_that_nothing_asks_for(box):
    fact = oomd(box)
    assert texts(fact) == [
        'SIGKILL when used memory is above 90 % and used swap is above 90 %, only in control groups below marked '
        'units (none is known)',
        'SIGKILL when memory pressure is above 60 % for 30 s, only in control groups below marked units (none '
        'is known)']
    assert [one['units'] for one in fact['thresholds']] == [[], []]


def test_without_swap(tmp_path):
    box = machine.Machine(tmp_path)
    assert 'acts on memory pressure only' in oomd(box)['notes'][1]
    runs(box, 'earlyoom')
    assert look(box, 'earlyoom')['notes'] == ['there is no swap now, which counts as no free swap']
    assert nohang(box)['notes'] == ['there is no swap now, which counts as no free swap']


@pytest.mark.parametrize('word, dry_run', [('--dry-run', True), ('--dry', True), ('--', False), ('--help', False)])
def test_systemd_oomd_that_only_talks(box, word, dry_run):
    runs(box, 'systemd-oomd', word)
    assert look(box, 'systemd-oomd')['dry_run'] is dry_run


def conf(box):
    return {key: one.value for key, one in systemd_oomd.read_conf(box).items()}


def test_only_the_first_oomd_conf_counts_and_drop_ins_win(box):
    box.put('/usr/lib/systemd/oomd.conf', '[OOM]\nSwapUsedLimit=10%\nDefaultMemoryPressureLimit=11%\n')
    box.put('/etc/systemd/oomd.conf', '[OOM]\nSwapUsedLimit=70%\n')
    assert conf(box) == {'SwapUsedLimit': 70}
    box.put('/usr/lib/systemd/oomd.conf.d/20-a.conf', '[OOM]\nSwapUsedLimit=20%\n')
    box.put('/run/systemd/oomd.conf.d/10-b.conf', '[OOM]\nSwapUsedLimit=30%\nDefaultMemoryPressureLimit=31%\n')
    assert systemd_oomd.read_conf(box) == {
        'SwapUsedLimit': (20, '/usr/lib/systemd/oomd.conf.d/20-a.conf'),
        'DefaultMemoryPressureLimit': (31, '/run/systemd/oomd.conf.d/10-b.conf')}
    box.link('/etc/systemd/oomd.conf.d/20-a.conf', '/dev/null')
    assert conf(box)['SwapUsedLimit'] == 30


@pytest.mark.parametrize('text, expected', [
    ('[OOM]\nSwapUsedLimit=5%\nSwapUsedLimit=95%\n', {'SwapUsedLimit': 95}),
    ('[OOM]\nSwapUsedLimit=95%\nSwapUsedLimit=wrong\n', {'SwapUsedLimit': 95}),
    ('[Manager]\nSwapUsedLimit=95%\n', {}),
    ('SwapUsedLimit=95%\n', {}),
    ('[OOM]\n#SwapUsedLimit=95%\nswapusedlimit=95%\n', {}),
    ('[OOM]\nDefaultMemoryPressureDurationSec=1min 30s\n', {'DefaultMemoryPressureDurationSec': 90}),
    ('[OOM]\nDefaultMemoryPressureDurationSec=500ms\n', {}),
    ('[OOM]\nDefaultMemoryPressureDurationSec=infinity\n', {}),
])
def test_what_oomd_conf_says(box, text, expected):
    box.put('/etc/systemd/oomd.conf', text)
    assert conf(box) == expected


@pytest.mark.parametrize('text', ['DefaultMemoryPressureDurationSec=0', 'DefaultMemoryPressureDurationSec='])
def test_no_duration_is_the_default(box, text):
    box.put('/etc/systemd/oomd.conf', '[OOM]\nDefaultMemoryPressureDurationSec=5s\n%s\n' % text)
    assert oomd(box)['thresholds'][1]['for_s'] == 30


@pytest.mark.parametrize('text, percent', [
    ('90%', 90), ('0%', 0), ('100%', 100), ('90.5%', 90.5), ('90.55%', 90.55), ('900\u2030', 90),
    ('905.5\u2030', 90.55), ('9055\u2031', 90.55), ('100.01%', None), ('101%', None), ('90', None), ('', None),
    ('-1%', None), ('90.555%', None), ('9055.5\u2031', None), ('%', None), ('0x5%', None), ('\u0665%', None),
    ('9' * 400 + '%', None),
])
def test_fractions(text, percent):
    assert systemd_oomd.parse_fraction(text) == percent


@pytest.mark.parametrize('text, span_s', [
    ('30', 30), ('30s', 30), ('20 sec', 20), ('1min 30s', 90), ('1min30s', 90), ('1.5h', 5400), ('2d', 172800),
    ('1500ms', 1.5), ('1000000us', 1), ('1000000\u03bcs', 1), ('1m', 60), ('1M', 2629800), ('', None), ('s', None),
    ('5x', None), ('infinity', None), ('-5s', None), ('9' * 400, None),
])
def test_spans(text, span_s):
    assert systemd_oomd.parse_span_s(text) == span_s


@given(st.text(alphabet='0123456789.%\u2030\u2031 smhdMyu', max_size=14))
def test_any_text_is_a_number_or_none(text):
    for value in (systemd_oomd.parse_fraction(text), systemd_oomd.parse_span_s(text)):
        assert value is None or value >= 0


def marks(box):
    return [(name, {key: one.value for key, one in settings.items()})
            for name, settings in systemd_oomd.find_marked_units(box)]


def test_marks_in_unit_files_and_drop_ins(box):
    put, units = box.put, '/usr/lib/systemd/system/'
    put(units + 'a.service', '[Service]\nManagedOOMSwap=kill\nManagedOOMPreference=avoid\n')
    put('/etc/systemd/system/a.service.d/x.conf', '[Service]\nManagedOOMSwap=auto\n')
    put(units + 'b.service', '[Service]\nManagedOOMSwap=kill\n')
    put('/etc/systemd/system/b.service', '[Service]\nExecStart=/x\n')
    put(units + 'c.scope', '[Service]\nManagedOOMSwap=kill\n')
    put(units + 'd.timer', '[Timer]\nManagedOOMSwap=kill\n')
    put(units + 'e.slice', '[Slice]\n# ManagedOOMSwap=kill\n')
    put(units + 'slice.d/10.conf', '[Slice]\nManagedOOMMemoryPressure=kill\n')
    put(units + 'f.service.d/10.txt', '[Service]\nManagedOOMSwap=kill\n')
    put('/usr/lib/systemd/user/slice.d/10.conf', '[Slice]\nManagedOOMMemoryPressure=kill\n')
    put('/run/systemd/system.control/g.mount.d/50.conf', '[Mount]\nManagedOOMSwap=kill\nManagedOOMSwap=nonsense\n')
    assert marks(box) == [
        ('a.service', {'ManagedOOMSwap': 'auto', 'ManagedOOMPreference': 'avoid'}),
        ('g.mount', {'ManagedOOMSwap': 'kill'}),
        ('*.slice', {'ManagedOOMMemoryPressure': 'kill'}),
        ('user:*.slice', {'ManagedOOMMemoryPressure': 'kill'})]


def test_masked_units_and_aliases_are_not_marked(box):
    box.put('/usr/lib/systemd/system/a.service', '[Service]\nManagedOOMSwap=kill\n')
    box.link('/etc/systemd/system/alias.service', '/usr/lib/systemd/system/a.service')
    assert [name for name, _settings in marks(box)] == ['a.service']
    box.link('/etc/systemd/system/a.service', '/dev/null')
    assert marks(box) == []


def test_what_is_no_file_is_passed_over(box):
    (box.base / 'usr/lib/systemd/system/a.service').mkdir(parents=True)
    box.link('/usr/lib/systemd/system/circle.service', 'circle.service')
    os.mkfifo(str(box.base / 'usr/lib/systemd/system/pipe.service'))
    box.put('/usr/lib/systemd/system/b.service.d', 'ManagedOOMSwap=kill')
    assert marks(box) == []


def test_units_with_limits_of_their_own_and_preferences(box):
    box.put('/etc/systemd/oomd.conf', '[OOM]\nDefaultMemoryPressureLimit=70%\n')
    for name, lines in (
            ('a.slice', 'ManagedOOMMemoryPressure=kill'),
            ('b.slice', 'ManagedOOMMemoryPressure=kill\nManagedOOMMemoryPressureLimit=0%'),
            ('c.slice', 'ManagedOOMMemoryPressure=kill\nManagedOOMMemoryPressureLimit=805\u2030\n'
                        'ManagedOOMMemoryPressureDurationSec=1min'),
            ('d.slice', 'ManagedOOMPreference=omit'), ('e.slice', 'ManagedOOMPreference=avoid'),
            ('f\u202e.slice', 'ManagedOOMPreference=omit'), ('g.slice', 'ManagedOOMPreference=none')):
        box.put('/etc/systemd/system/' + name, '[Slice]\n%s\n' % lines)
    fact = oomd(box)
    assert texts(fact)[1:] == [
        'SIGKILL when memory pressure is above 70 % for 30 s, only in control groups below a.slice, b.slice',
        'SIGKILL when memory pressure is above 80.5 % for 60 s, only in control groups below c.slice']
    assert [one['file'] for one in fact['thresholds'][1:]] == ['/etc/systemd/oomd.conf', '/etc/systemd/system/c.slice']
    assert fact['notes'][1:] == ['it kills only when there is no other: e.slice',
                                 r'it never kills: d.slice, f\u202e.slice']


def test_settings_that_cannot_be_read(box):
    box.link('/etc/systemd/oomd.conf', 'oomd.conf')
    fact = oomd(box)
    assert fact['thresholds'] == [] and fact['reason'].startswith('its settings cannot be read: ')


# ------------------------------------------------------------------------ nohang


def nohang(box, text=NOHANG, program=('/usr/bin/python3', '/usr/sbin/nohang'),
           arguments=('--monitor', '--config', NOHANG_CONF), path=NOHANG_CONF):
    box.put(path, text)
    runs(box, 'nohang', *arguments, program=program)
    return look(box, 'nohang')


def test_nohang_of_debian(box):
    fact = nohang(box)
    assert texts(fact) == ['SIGTERM when available memory is below 5 % and free swap is below 10 %',
                           'SIGKILL when available memory is below 2 % and free swap is below 4 %']
    assert {one['file'] for one in fact['thresholds']} == {NOHANG_CONF} and fact['notes'] == []


def test_nohang_with_everything(box):
    text = NOHANG.replace('= False', '= True').replace('soft_threshold_min_mem = 5 %', 'soft_threshold_min_mem = 300 M')
    fact = nohang(box, text + '@SOFT_ACTION_RE_NAME ^foo$ /// kill -USR1 $PID\n@BADNESS_ADJ_RE_NAME 9 /// x=y\n')
    assert texts(fact) == [
        'warning when available memory is below 20 % and free swap is below 25 %',
        'warning when available memory is below 20 % and used zram is above 45 %',
        'warning when available memory is below 20 % and memory pressure is above 10 %',
        'SIGTERM when available memory is below 307200 kB and free swap is below 10 %',
        'SIGTERM when available memory is below 307200 kB and used zram is above 55 %',
        'SIGTERM when available memory is below 307200 kB and memory pressure is above 40 % for 30 s',
        'SIGKILL when available memory is below 2 % and free swap is below 4 %',
        'SIGKILL when available memory is below 2 % and used zram is above 60 %',
        'SIGKILL when available memory is below 2 % and memory pressure is above 90 % for 30 s']
    assert fact['notes'] == [
        'for some processes it runs a command instead of SIGTERM (@SOFT_ACTION_RE_... in its configuration)']


@pytest.mark.parametrize('program, arguments', [
    (('/usr/sbin/nohang',), ('--config', '/srv/n.conf', '--monitor')),
    (('python3', '-u', '/opt/nohang'), ('-c', '/srv/n.conf', '--monitor')),
])
def test_a_configuration_elsewhere(box, program, arguments):
    fact = nohang(box, program=program, arguments=arguments, path='/srv/n.conf')
    assert [one['file'] for one in fact['thresholds']] == [None] * 2  # the path is a word of the command line


def test_the_other_configuration_that_nohang_has_is_named(box):
    path = '/etc/nohang/nohang-desktop.conf'
    fact = nohang(box, arguments=('--monitor', '--config', path), path=path)
    assert [one['file'] for one in fact['thresholds']] == [path] * 2


@pytest.mark.parametrize('arguments', [('--monitor', '--config'), ('--config', 'n.conf'), ('-c', '\x1b[31m')])
def test_a_configuration_that_is_not_known(box, arguments):
    assert 'has no absolute path' in nohang(box, arguments=arguments)['reason']


def test_a_configuration_that_is_not_there_or_too_long(box):
    assert 'is not there' in nohang(box, arguments=('--config', '/srv/\x1b.conf'))['reason']
    assert 'too long' in nohang(box, NOHANG + '#' * (1 << 20))['reason']


@pytest.mark.parametrize('old, new, words', [
    ('soft_threshold_min_mem = 5 %\n', '', 'has no soft_threshold_min_mem'),
    ('zram_checking_enabled = False\n', '', 'has no zram_checking_enabled'),
    ('zram_checking_enabled = False', 'zram_checking_enabled = yes', 'zram_checking_enabled that is not understood'),
    ('min_mem = 5 %', 'min_mem = 5', 'soft_threshold_min_mem that is not understood'),
    ('min_mem = 5 %', 'min_mem = 5 G', 'soft_threshold_min_mem that is not understood'),
    ('min_mem = 5 %', 'min_mem = -5 %', 'soft_threshold_min_mem that is not understood'),
    ('min_mem = 5 %', 'min_mem = nan %', 'soft_threshold_min_mem that is not understood'),
    ('min_mem = 5 %', 'min_mem = %s M' % ('9' * 400), 'soft_threshold_min_mem that is not understood'),
    ('min_mem = 5 %', 'min_mem = \x1b[31m', 'soft_threshold_min_mem that is not understood'),
])
def test_a_configuration_that_nohang_refuses(box, old, new, words):
    assert old in NOHANG
    fact = nohang(box, NOHANG.replace(old, new, 1))
    assert fact['thresholds'] == [] and words in fact['reason']


@given(st.text(alphabet='\n =%M#@5.-aTrue', max_size=40))
def test_any_configuration_is_thresholds_or_a_reason(text):
    settings = dict(nohang_file.parse_config(NOHANG), **nohang_file.parse_config(text))
    settings['soft_threshold_min_mem'] = text
    try:
        found = nohang_file.build_thresholds(settings, NOHANG_CONF)
    except model.UnknownThresholds:
        return
    assert [one.action for one in found] == ['SIGTERM', 'SIGKILL']
