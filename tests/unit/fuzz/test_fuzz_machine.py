# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs on machines whose files hold anything: a result or a message, never a traceback, nothing half done."""

import contextlib
import functools
import json
import tempfile

from hypothesis import strategies as st
from inputs import fuzz, hostile_bytes, hostile_text, is_plain, texts, values
from machine import OURS, run
from services_machine import ETC, LIB, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core import sanitize
from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather
from ansible_collections.oomkit.linux.plugins.module_utils._host.transaction import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._module import forecast_info
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import ManagerError

MESSAGES = (ConvertError, Refusal, ApplyError, ManagerError, OSError)
SYSCTLD = b'vm.overcommit_memory = 1\n-vm.overcommit_ratio = 80\nkernel.panic = 10\n'
UNIT = b'[Service]\nExecStart=/bin/x\nOOMScoreAdjust=-5\nOOMPolicy=stop\nManagedOOMSwap=kill\n'
KMSG = (b'6,1003,5000002,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,'
        b'task_memcg=/system.slice/a.service,task=x,pid=412,uid=1000\n')

# What may be written over, with a sample of what it holds; None: what the machine on disk has there.
FILES = {
    '/proc/10/stat': None, '/proc/10/status': None, '/proc/10/comm': None, '/proc/10/cmdline': None,
    '/proc/10/cgroup': None, '/proc/10/oom_score': None, '/proc/10/oom_score_adj': None, '/proc/1/comm': None,
    '/proc/meminfo': None, '/proc/cmdline': None, '/proc/uptime': None, '/proc/self/uid_map': None,
    '/proc/self/mountinfo': None, '/proc/self/cgroup': b'0::/init.scope\n', '/proc/self/status': b'NSpid:\t10\n',
    '/proc/vmstat': b'oom_kill 3\n', '/proc/pressure/memory': b'some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n',
    '/proc/zoneinfo': b'Node 0, zone   DMA\n  pages free     1\n        present  3998\n',
    '/proc/sys/vm/overcommit_memory': None, '/proc/sys/vm/overcommit_ratio': None, '/proc/sys/kernel/panic': None,
    '/proc/sys/kernel/osrelease': b'6.12.1\n', '/proc/swaps': b'Filename Type Size Used Priority\n',
    '/sys/fs/cgroup/system.slice/a.service/cgroup.procs': None,
    '/sys/fs/cgroup/system.slice/a.service/memory.max': b'max\n',
    '/sys/fs/cgroup/system.slice/a.service/memory.oom.group': None,
    '/etc/sysctl.d/10-x.conf': SYSCTLD, '/etc/sysctl.d/zz.conf': SYSCTLD, '/etc/sysctl.conf': SYSCTLD, OURS: SYSCTLD,
    # Names of files may be anything but for a slash and NUL.
    '/etc/sysctl.d/zz\x1b[2J\n\udce9.conf': SYSCTLD, ETC + '/a.service.d/x\r\u202e\udcff.conf': UNIT,
    ETC + '/\x1b[2J\n\udcff.service.d/90-oomkit.conf': UNIT, '/etc/tuned/\udcff/tuned.conf': b'[sysctl]\nvm.x=1\n',
    LIB + '/a.service': UNIT, ETC + '/a.service.d/x.conf': UNIT, ETC + '/a.service.d/90-oomkit.conf': UNIT,
    '/etc/systemd/system.conf': b'[Manager]\nDefaultOOMScoreAdjust=3\n', LIB + '/service.d/y.conf': UNIT,
    '/etc/systemd/oomd.conf': b'[OOM]\nSwapUsedLimit=90%\n', '/etc/tuned/active_profile': b'p q\n',
    '/etc/tuned/p/tuned.conf': b'[main]\ninclude=q\n[sysctl]\nvm.overcommit_memory=1\n',
    '/etc/default/earlyoom': b'EARLYOOM_ARGS="-m 5 -s 3,2 --prefer x"\n', '/etc/nohang/nohang.conf': b'x = 1\n',
    '/var/lib/oomkit/originals.json': b'{"vm.overcommit_memory": 0, "vm.user_reserve_kbytes": 7}\n',
    '/run/oomkit/oom_score_adj.json': (
        b'{"units": {"a.service": [[5, 100]]}, "originals": {}, "processes": [[10, 100, 3]]}'),
    '/dev/kmsg': KMSG, '/run/systemd/container': b'lxc\n', '/.dockerenv': b'',
    '/proc/20/comm': b'earlyoom\n', '/proc/20/cmdline': b'earlyoom\0-m\0' + b'5\0', '/proc/20/stat': None,
    '/proc/21/comm': b'kubelet\n', '/proc/21/cmdline': b'kubelet\0--protect-kernel-defaults\0',
}
written = st.dictionaries(st.sampled_from(sorted(FILES)),
                          st.tuples(st.booleans(), st.integers(0, 1 << 20), hostile_bytes), max_size=5)
names = st.one_of(hostile_text, st.sampled_from(
    ['a', 'a.service', 'b', 'a@x', 'a@', '-.slice', '../a', 'a b', '%i', 'a' * 300]))


@contextlib.contextmanager
def machine_with(files):
    """A small machine with these files written over."""
    with tempfile.TemporaryDirectory(prefix='oomkit-fuzz-', dir='/dev/shm') as folder:
        machine = ServiceMachine(folder)
        machine.unit('a.service')
        machine.process(10, unit='a.service', cmdline='a --password=secret')
        machine.process(20)
        machine.process(21)
        for path, (whole, where, piece) in files.items():
            target = machine.base / path.lstrip('/')
            sample = FILES[path]
            if sample is None:
                sample = target.read_bytes() if target.exists() else b''
            at = where % (len(sample) + 1)
            machine.put(path, piece if whole else sample[:at] + piece + sample[at + len(piece):])
        yield machine


def configured(machine):
    """All that a run may change: files, values of processes and sysctls, as they are found."""
    live = {str(path): path.read_bytes() for path in machine.base.glob('proc/*/oom_score_adj')}
    return {path: data for path, data in machine.tree().items() if 'sys/fs' not in path}, live, machine.state


def check_run(machine, work):
    """A result that can be sent, and the next run is unchanged; or a message, and everything as it was."""
    before = configured(machine)
    try:
        result = work(False)
    except MESSAGES as exc:
        assert 'an internal error of the collection' not in str(exc)
        if 'NOT rolled back' not in str(exc):
            assert configured(machine) == before
        return
    check_shown(result)
    try:
        again = work(False)
    except MESSAGES:
        raise AssertionError('the second run failed') from None
    assert not again['changed'], again


def check_shown(result):
    """What the module hands to Ansible can be printed and sent, and what could be before stays as it is."""
    shown = sanitize.sanitize_result(result)
    json.dumps(shown)
    for before, after in zip(texts(result), texts(shown), strict=True):
        lines = after.replace('\r\n', '\n').replace('\t', ' ')
        assert is_plain(lines) and (after == before or not before.isprintable()), (before, after)


@fuzz(written, st.booleans())
def test_facts(files, cmdline):
    with machine_with(files) as machine:
        facts = gather.gather_facts(machine, gather.Request(set(gather.KEYS), 10, cmdline))
    assert is_plain(facts), [one for one in texts(facts) if not is_plain(one)]
    json.dumps(facts, allow_nan=False)
    assert not [text for text in facts['warnings'] if 'an internal error of the collection' in text]
    if not cmdline:
        assert 'secret' not in json.dumps(facts)


@fuzz(written, st.fixed_dictionaries({}, optional={
    'mode': st.one_of(st.sampled_from(['never', 'always', 'heuristic', 0, 1, 2]), values),
    'ratio': st.one_of(st.integers(0, 300), values), 'admin_reserve_kbytes': st.one_of(st.integers(0, 9000), values),
    'min_headroom': values, 'state': st.sampled_from(['present', 'absent']), 'runtime': st.booleans(),
    'conflicts': st.sampled_from(['fail', 'warn', 'comment_out']), 'force': st.booleans(),
    'sysctl_file': st.one_of(st.sampled_from([OURS, '/etc/sysctl.conf', '/etc/sysctl.d/zz.conf', '/proc/meminfo']),
                             hostile_text)}))
def test_overcommit(files, params):
    with machine_with(files) as machine:
        check_run(machine, lambda check: run(machine, 'overcommit', check, **params))


@fuzz(written, st.fixed_dictionaries({}, optional={
    'policy': st.one_of(st.sampled_from(['kill', 'panic', 'panic_always']), values), 'reboot_after': values,
    'kill_allocating_task': st.booleans(), 'state': st.sampled_from(['present', 'absent']), 'force': st.booleans()}))
def test_panic_on_oom(files, params):
    with machine_with(files) as machine:
        check_run(machine, lambda check: run(machine, 'panic_on_oom', check, **params))


@fuzz(written, st.fixed_dictionaries({'score_adj': st.one_of(st.integers(-1000, 1000), values)}, optional={
    'name': names, 'oom_policy': st.sampled_from(['stop', 'continue', 'kill']),
    'services': st.lists(max_size=2, elements=st.fixed_dictionaries({
        'name': names, 'score_adj': values, 'oom_policy': st.none(), 'missing': st.sampled_from([None, 'warn'])})),
    'process': st.fixed_dictionaries({}, optional={
        'pid': st.one_of(st.just(10), values), 'comm': hostile_text, 'cmdline_regex': hostile_text,
        'user': hostile_text, 'pidfile': hostile_text}),
    'protect': st.lists(names, max_size=2), 'forecast': st.one_of(st.just(5), values), 'force': st.booleans(),
    'state': st.sampled_from(['present', 'absent']), 'exclusive': st.booleans()}))
def test_oom_score_adj(files, params):
    with machine_with(files) as machine:
        check_run(machine, functools.partial(machine.run, **params))


@fuzz(written, st.fixed_dictionaries({'kills': st.one_of(st.just(5), values)}, optional={
    'score_adj': st.lists(st.fixed_dictionaries({'value': values}, optional={
        'service': names, 'pid': values, 'comm': hostile_text}), max_size=2),
    'protect': st.lists(names, max_size=2), 'cgroup': hostile_text, 'nodes': st.lists(st.integers(), max_size=3),
    'growing': st.fixed_dictionaries({'size': values}, optional={'service': names, 'pid': values}),
    'policy': values, 'kill_allocating_task': st.sampled_from([None, True, False])}))
def test_forecast(files, params):
    options = dict(dict.fromkeys(('score_adj', 'protect', 'cgroup', 'nodes', 'growing', 'policy',
                                  'kill_allocating_task', 'snapshot')), **params)
    for item in [*(options['score_adj'] or []), *([options['growing']] if options['growing'] else [])]:
        for key in ('service', 'pid', 'comm'):
            item.setdefault(key, None)
    with machine_with(files) as machine:
        try:
            result = forecast_info.run(options, machine, machine)
        except MESSAGES:
            return
    assert is_plain(result), [one for one in texts(result) if not is_plain(one)]
    json.dumps(result, allow_nan=False)
