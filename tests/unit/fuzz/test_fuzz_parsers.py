# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No parser breaks, whatever it is given; where it writes back what it read, nothing of others is lost."""

import contextlib
import json

import pytest
from hypothesis import strategies as st
from inputs import changed, fuzz, hostile_bytes, hostile_text, values

from ansible_collections.oomkit.linux.plugins.module_utils._core import convert as core_convert
from ansible_collections.oomkit.linux.plugins.module_utils._core import sanitize
from ansible_collections.oomkit.linux.plugins.module_utils._core.text import to_bytes, to_text
from ansible_collections.oomkit.linux.plugins.module_utils._daemon import earlyoom, model, nohang, systemd_oomd
from ansible_collections.oomkit.linux.plugins.module_utils._forecast import numa, snapshot
from ansible_collections.oomkit.linux.plugins.module_utils._host import file_access
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import kill_log, meminfo, sysctls
from ansible_collections.oomkit.linux.plugins.module_utils._policy import pending_change
from ansible_collections.oomkit.linux.plugins.module_utils._process import cgroup_unit, procfs, table
from ansible_collections.oomkit.linux.plugins.module_utils._service import openrc, saved_scores, session_units
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import (
    boot,
    boot_script,
    file_edit,
    loader,
    parser,
    saved_values,
    simple_yaml,
)
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import SYSCTLS
from ansible_collections.oomkit.linux.plugins.module_utils._systemd import drop_in, unit_files, unit_names

STATUS = (b'Name:\tx y\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t10\nPid:\t10\nUid:\t0\t0\t0\t0\nVmRSS:\t 1234 kB\n'
          b'RssAnon:\t 1000 kB\nRssFile:\t 200 kB\nRssShmem:\t 34 kB\nVmPTE:\t 40 kB\nVmSwap:\t 0 kB\nThreads:\t1\n'
          b'Mems_allowed:\t00000000,00000001\nMems_allowed_list:\t0\n')
STAT = b'10 (x) y) S 1 10 10 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000000 300 18446744073709551615 1 1 0 0 0 0\n'
CGROUP = b'12:memory:/system.slice/a.service\n1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n'
MEMINFO = (b'MemTotal: 4000000 kB\nMemFree: 100 kB\nMemAvailable: 2000000 kB\nSwapTotal: 10 kB\nSwapFree: 5 kB\n'
           b'CommitLimit: 2000005 kB\nCommitted_AS: 300 kB\nHugetlb: 0 kB\nHugePages_Total: 0\nHugepagesize: 2048 kB\n')
ZONEINFO = b'Node 0, zone   DMA\n  pages free     1\n        present  3998\nNode 1, zone Normal\n        present  3\n'
SYSCTL = b'# ours\nvm.overcommit_memory = 2\n-vm/overcommit_ratio=80\n; x\nvm.overcommit_kbytes\nvm.* = 1\n'
UNIT = (b'[Unit]\nDescription=x\n[Service]\nExecStart=/bin/a \\\n  b\n; c\nOOMScoreAdjust=-5\nOOMPolicy=stop\n'
        b'[Service]\nOOMScoreAdjust=\nManagedOOMSwap=kill\n')
OURS = drop_in.edit(None, {unit_files.SCORE_ADJ: -5})
KMSG = [b'6,1003,5000002,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,'
        b'task_memcg=/system.slice/batch.service,task=stress,pid=412,uid=1000',
        b'3,1004,5000003,-;Out of memory: Killed process 412 (stress) total-vm:1048576kB, anon-rss:960000kB, '
        b'file-rss:128kB, shmem-rss:4kB, UID:1000 pgtables:1920kB oom_score_adj:300',
        b'3,2004,7000003,-;Memory cgroup out of memory: Killed process 77 (worker) total-vm:9000kB, anon-rss:8000kB, '
        b'file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:40kB oom_score_adj:-5\n SUBSYSTEM=x',
        b'6,1,1,-;Tasks in /a are going to be killed due to memory.oom.group set',
        b'6,1,1,-;Task in /a killed as a result of limit of /b',
        b'3,1,1,-;Memory cgroup out of memory: Kill process 7 (x) score 9 or sacrifice child']
RECORD = (b'{"units": {"a.service": [[5, 100], [null, 7]]}, "originals": {"b": 3}, "processes": [[1, 2, 3, [4]]], '
          b'"groups": {}, "ours": {"a.service": [5]}}')
SCRIPT = (b'# x\nstart() {\nfor f in /etc/sysctl.d/*.conf; do\nif [ -f /run/sysctl.d/"${f##*/}" ]; then\ncontinue\nfi\n'
          b'if [ -f "$f" ]; then\nsysctl -q -p "$f"\nfi\ndone\nsysctl -p /etc/sysctl.conf\n}\n')
NOHANG = b'soft_threshold_min_mem = 5 %\nhard_threshold_max_zram = 100 M\n@OOM_SCORE_ADJ_RE_NAME -20 /// ^a$\n'

CONF_D = b'A=1\nexport SSD_OOM_SCORE_ADJ=-5  # oomkit.linux\n'

# Each with a sample of what it expects.
OF_BYTES = {
    'memory': (table.parse_memory_kb, STATUS),
    'stat': (procfs.parse_stat, STAT),
    'cgroup': (table.parse_cgroup, CGROUP),
    'unit of a cgroup': (cgroup_unit.parse_unit, b'/user.slice/user-0.slice/user@0.service/app.slice/x.service'),
    'user': (file_access.parse_uids, STATUS),
    'nodes': (numa.parse_allowed, STATUS),
    'record of the log': (kill_log.parse_record, KMSG[0]),
    'originals': (saved_values.parse, b'{"files": {"/etc/x": {"lines": {"vm.overcommit_memory": ["a"]}, "made": true}},'
                  b' "values": {"vm.overcommit_memory": {"from_boot": true, "original": 1, "ours": null}}}'),
    'record of values': (saved_scores.parse, RECORD),
    'pending change': (lambda data: pending_change.parse('confirm-1-2.json', data),
                       b'{"id": "x", "before": {"vm.overcommit_memory": 0}, "after": {}, "connection": null}'),
    'unit': (unit_files.parse, UNIT),
    'settings of a unit': (unit_files.parse_settings, UNIT),
    'script of a service': (session_units.find_script_evidence, b'#!/bin/sh\nexec 2>&1\nexec env A=1 "/sshd" -D\n'),
    'drop-in': (drop_in.is_ours, OURS),
    'drop-in without ours': (drop_in.without_ours, OURS),
    'name': (sanitize.sanitize, b'a\x1b[31m'),
}
OF_TEXT = {
    'meminfo': (meminfo.parse_meminfo, MEMINFO),
    'zoneinfo': (numa.parse_present_pages, ZONEINFO),
    'YAML': (simple_yaml.read, b'a: [b, "c"] # d\n"e": {f: 1}\ng:\n- h\n- |\n  i\nj: &k \'l\'\n'),
    'JSON': (simple_yaml.read, b'{"a": [true, null, "b"], "c": {"d": 1.5}}'),
    'vmstat': (kill_log.parse_kill_count, b'nr_free_pages 1\noom_kill 3\n'),
    'sysctl.d line': (parser.parse_line, b'-vm/overcommit_ratio = 80'),
    'sysctl.d key': (parser.normalize_key, b'net/ipv4/conf/eth0.1/x'),
    'sysctl.d': (lambda text: list(parser.parse_settings('/x', text)), SYSCTL),
    'sysctl.d of busybox': (lambda text: list(parser.parse_settings('/x', text, 'busybox')), SYSCTL),
    'boot script': (lambda text: boot_script.parse_script(text, loader.PROCPS.sources[0], False), SCRIPT),
    'value': (sysctls.parse_value, b'50\n'),
    'command line': (boot.cmdline_writes, b'quiet panic=10 sysctl.vm.panic_on_oom=1 sysctl/x -- y'),
    'score': (unit_files.parse_score_adj, b'-0x10'),
    'policy': (unit_files.parse_policy, b'continue'),
    'fraction': (systemd_oomd.parse_fraction, b'90.5%'),
    'span': (systemd_oomd.parse_span_s, b'1min 30s'),
    'nohang': (nohang.parse_config, NOHANG),
    'keys': (file_edit.keys_in, SYSCTL),
}


@pytest.mark.parametrize('name', OF_BYTES)
def test_bytes(name):
    parse, sample = OF_BYTES[name]

    @fuzz(st.one_of(hostile_bytes, changed(sample)))
    def check(data):
        parse(data)

    check()


@pytest.mark.parametrize('name', OF_TEXT)
def test_text(name):
    parse, sample = OF_TEXT[name]

    @fuzz(st.one_of(hostile_text, changed(sample).map(to_text)))
    def check(text):
        parse(text)

    check()


@fuzz(st.sampled_from(sorted(SYSCTLS)), st.one_of(hostile_text, st.integers().map(str)), st.booleans())
def test_a_text_that_is_written_to_a_sysctl(key, text, skips_negative):
    state = boot.initial_values({})
    before = dict(state)
    if not SYSCTLS[key].apply_write(state, text, skips_negative):
        assert state == before


@fuzz(changed(STATUS), changed(STAT))
def test_what_a_process_holds(status, stat):
    table.parse_holding(status, stat)


@fuzz(st.lists(st.one_of([changed(record) for record in KMSG]), max_size=6))
def test_the_log_of_the_kernel(records):
    for kill in kill_log.parse_kills(records):
        json.dumps(sanitize.sanitize(kill.name) + sanitize.sanitize(kill.cgroup or b''))
        assert kill.pid >= 0


@fuzz(st.lists(hostile_text, max_size=6))
def test_arguments_of_daemons(arguments):
    with contextlib.suppress(model.UnknownThresholds):
        options = earlyoom.parse_options(arguments)
        earlyoom.build_thresholds(options, model.Totals(4000000, 1000))
    nohang.find_config_path(arguments)


@fuzz(changed(NOHANG).map(to_text))
def test_thresholds_of_nohang(text):
    with contextlib.suppress(model.UnknownThresholds):
        nohang.build_thresholds(nohang.parse_config(text), '/etc/nohang/nohang.conf')


@fuzz(hostile_text, hostile_text, hostile_text)
def test_globs(pattern, key, text):
    parser.matches(pattern, key)
    parser.matches(text + '*', key)


# By key, 0, 1 or 2 where the kernel takes it; None removes the key.
DESIRED_STATES = st.fixed_dictionaries({}, optional={
    key: st.sampled_from([None, *(value for value in range(3) if sysctl.minimum <= value <= sysctl.maximum)])
    for key, sysctl in sorted(SYSCTLS.items())}).filter(bool)


@fuzz(changed(SYSCTL).map(to_text), DESIRED_STATES)
def test_edit_of_a_sysctl_file(text, desired_states):
    """What was asked for stands there, all other lines stay, and a second edit changes nothing."""
    edited, ours = file_edit.edit(text, desired_states)
    found = file_edit.keys_in(edited)
    for key, value in desired_states.items():
        assert found.get(key) == value
    assert file_edit.edit(edited, desired_states, ours) == (edited, ours)
    kept = [line for line in text.split('\n') if (file_edit.line_setting(line) or ('',))[0] not in desired_states]
    left = edited.split('\n')
    for line in kept:
        assert line in left or not line.strip()
    to_bytes(edited)


@fuzz(st.one_of(st.none(), changed(OURS)), st.integers(-1000, 1000))
def test_edit_of_a_drop_in(data, value):
    edited = drop_in.edit(data, {unit_files.SCORE_ADJ: value})
    assert unit_files.parse_settings(edited)[unit_files.SCORE_ADJ].value == value
    assert drop_in.edit(edited, {unit_files.SCORE_ADJ: value}) == edited


@fuzz(st.one_of(st.none(), changed(CONF_D)), st.one_of(st.none(), st.integers(-1000, 1000)))
def test_edit_of_a_file_of_openrc(data, value):
    edited = openrc.edit(data, value)
    assert openrc.is_ours(edited) == (value is not None)
    assert openrc.edit(edited, value) == edited
    if value is not None:
        assert openrc.find_cause('x', edited).value == value
    rest = [line for line in to_text(data or b'').split('\n') if line.strip() and not openrc.is_ours(to_bytes(line))]
    assert [line for line in to_text(openrc.edit(edited, None) or b'').split('\n') if line.strip()] == rest


@fuzz(values)
def test_values_of_options(value):
    """Taken as what was meant, or refused; nothing else."""
    for convert in (lambda: core_convert.to_integer('x', value), lambda: core_convert.to_score_adj('x', value),
                    lambda: core_convert.to_choice('x', value, core_convert.MODES),
                    lambda: core_convert.to_amount('x', value), lambda: unit_names.to_unit('x', value)):
        try:
            convert()
        except core_convert.ConvertError as exc:
            assert str(exc).startswith('x') and str(exc).isprintable()


@fuzz(st.one_of(values, hostile_text.map(lambda text: text + '.service')))
def test_names_of_units(value):
    """Whatever passes is one name: no path, nothing that systemd or a terminal would take for something else."""
    try:
        unit = unit_names.to_unit('name', value)
    except core_convert.ConvertError:
        return
    assert '/' not in unit and '\x00' not in unit and unit.isprintable() and ' ' not in unit
    assert len(unit.encode()) <= 255
    path = drop_in.build_path(unit)
    assert path.startswith('/etc/systemd/system/') and '..' not in path.split('/') and path.count('/') == 5


@fuzz(values)
def test_snapshots(value):
    try:
        snapshot.from_json(value)
    except core_convert.ConvertError:
        pass
