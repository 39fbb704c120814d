# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TuneD itself, from Debian's package: what it leaves in the kernel is what ``boot`` and ``competing_writers`` say."""

import json

import pytest
from conftest import FLAVOUR, started
from oomlab.recipe import DEFAULT
from test_facts import gather

from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import ALL_KEYS

pytestmark = pytest.mark.skipif(FLAVOUR != DEFAULT, reason='of the lab machines only "services" has TuneD')

PROFILE, BASE = '/etc/tuned/profiles/ours/tuned.conf', '/etc/tuned/profiles/base/tuned.conf'
OLD_PROFILE, OLD_BASE = '/etc/tuned/ours/tuned.conf', '/etc/tuned/base/tuned.conf'  # before 2.24
ETC, LATE, LIB = '/etc/sysctl.d/50-x.conf', '/etc/sysctl.d/60-x.conf', '/usr/lib/sysctl.d/zz-x.conf'
RATIO, KBYTES, PANIC = 'vm.overcommit_ratio', 'vm.overcommit_kbytes', 'kernel.panic'
ON_OOM, KILL = 'vm.panic_on_oom', 'vm.oom_kill_allocating_task'
FOREIGN = '[sysctl]\nvm.swappiness=10\n'

# In the guest: bring the kernel to the state of a boot, run its loader, start TuneD, read all keys.
SCRIPT = r'''
import json, os, re, subprocess, sys, time
start, files, reset = json.load(sys.stdin)
LOG = '/var/log/tuned/tuned.log'
def put(key, value):
    with open('/proc/sys/' + key.replace('.', '/'), 'w') as stream:
        stream.write(str(value))
if reset:
    subprocess.run(['systemctl', 'stop', 'tuned'])
for path, text in files.items():
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if text is None:
        if os.path.exists(path):
            os.unlink(path)
    else:
        with open(path, 'wb') as stream:
            stream.write(text.encode('latin-1'))
if reset:
    for key, value in start.items():
        put(key, value)
    put('vm.overcommit_ratio', 50)
    loaders = ('/usr/lib/systemd/systemd-sysctl', '/lib/systemd/systemd-sysctl')
    subprocess.run([path for path in loaders if os.path.exists(path)][:1])
if os.path.exists(LOG):
    os.unlink(LOG)
subprocess.run(['systemctl', 'reset-failed', 'tuned'])  # systemd counts the starts
subprocess.run(['systemctl', 'restart', 'tuned'], check=True)
for _try in range(600):
    text = open(LOG).read() if os.path.exists(LOG) else ''
    if re.search('static tuning from profile .* applied|No tunings will be enabled|Traceback', text):
        break
    time.sleep(0.1)
else:
    sys.exit('TuneD says nothing: ' + text)
print(json.dumps({key: int(open('/proc/sys/' + key.replace('.', '/')).read()) for key in start}))
'''


def case(profile, main='', base=None, **files):
    """All files that a case may have; None for those that it has not."""
    names = {'etc': ETC, 'late': LATE, 'lib': LIB, 'conf': '/etc/sysctl.conf'}
    found = {path: files.get(name) for name, path in names.items()}
    return {**found, PROFILE: profile, OLD_PROFILE: profile, BASE: base, OLD_BASE: base,
            '/etc/tuned/tuned-main.conf': main, '/etc/tuned/active_profile': 'ours\n',
            '/etc/tuned/profile_mode': 'manual\n'}  # fmt: skip


WINS_BELOW_USR = {'lib': RATIO + '=80\n' + PANIC + '=5\n', 'etc': RATIO + '=70\n'}
CASES = {
    'a profile of foreign keys applies the files below /etc again': (
        case(FOREIGN, late='-%s=1\nvm/oom_kill_allocating_task=2\r%s=1\n' % (ON_OOM, KILL), conf=PANIC + '=7\n',
             **WINS_BELOW_USR),
        {RATIO: 70, PANIC: 7, ON_OOM: 1, KILL: 1}),
    'the profile yields to files below /etc alone': (
        case('[sysctl]\n%s=60\n%s=9\n%s=1\n' % (RATIO, PANIC, KILL), **WINS_BELOW_USR),
        {RATIO: 70, PANIC: 9, KILL: 1}),
    'reapply_sysctl=0': (
        case('[sysctl]\n%s=>90\n%s=<3\n%s=60 # x\n' % (PANIC, KILL, RATIO), main='reapply_sysctl=0\n',
             **WINS_BELOW_USR),
        {RATIO: 60, PANIC: 90, KILL: 0}),
    'drop': (
        case('[main]\ninclude=base\n[sysctl]\ndrop=%s, vm.swappiness\n%s=1\n' % (PANIC, KILL),
             base='[sysctl]\n%s=3\nvm.swappiness=5\n%s=1\n' % (PANIC, ON_OOM)),
        {PANIC: 0, ON_OOM: 1, KILL: 1}),
    'a section for another machine': (
        case('[sysctl]\nuname_regex=^Linux lab .*alpha$\n%s=9\n' % PANIC, **WINS_BELOW_USR), {RATIO: 80, PANIC: 5}),
    'a section for this machine': (
        case('[variables]\ncpu=x86\n[sysctl]\nuname_regex=^Linux lab .*${cpu}_64$\ncpuinfo_regex=^processor\n'
             + PANIC + '=9\n', **WINS_BELOW_USR),
        {RATIO: 70, PANIC: 9}),
    'a profile that TuneD does not load': (
        case('[main]\ninclude=gone\n[sysctl]\n%s=9\n' % PANIC, **WINS_BELOW_USR), {RATIO: 80, PANIC: 5}),
    'an optional profile that is not there, and a byte that is no UTF-8': (
        case('[main]\ninclude=-gone\n[sysctl]\n%s=9\n' % PANIC, late='# \xe9\n%s=1\n' % KILL, conf=PANIC + '=3\n',
             **WINS_BELOW_USR),
        {RATIO: 70, PANIC: 9, KILL: 1}),
    'ratio and kbytes erase each other': (
        case('[sysctl]\n%s=900000\n' % KBYTES, lib=RATIO + '=80\n'), {RATIO: 0, KBYTES: 900000}),
}  # fmt: skip


def run(machine, files, start, reset=True):
    """The sysctls after TuneD has started."""
    done = machine.run('python3 /root/tuned.py', data=json.dumps([start, files, reset]))
    return json.loads(done.stdout)


def agree(machine, values):
    """``boot`` and ``competing_writers`` say what the values are."""
    facts = gather(machine, 'boot', 'competing_writers')
    said = {key: fact['value'] for key, fact in facts['boot'].items() if fact['value'] is not None}
    assert said == {key: values[key] for key in said}
    plain = {one['key']: int(one['value']) for one in facts['competing_writers'] if one['value'].isdigit()}
    assert plain == {key: values[key] for key in plain}
    return facts


@pytest.fixture(scope='module')
def services():
    yield from started('tuned', 'services')


@pytest.fixture
def fresh(services):
    services.restore('fresh')
    return services


@pytest.fixture
def start(fresh):
    """The sysctls as they are without any file."""
    fresh.write_file('/root/tuned.py', SCRIPT.encode())
    fresh.run('systemctl enable -q tuned')
    keys = [key for key in ALL_KEYS if key != KBYTES and not key.endswith('reserve_kbytes')]
    return {**{key: fresh.sysctl(key) for key in keys}, KBYTES: 0}


@pytest.mark.long
def test_boot_and_writers_say_what_tuned_leaves(fresh, start):
    wrong = []
    for name, (files, expected) in CASES.items():
        values = run(fresh, files, start)
        if {**start, **expected} != values:
            wrong.append('%s: %s' % (name, values))
            continue
        agree(fresh, values)
    assert not wrong, '\n'.join(wrong)
    assert run(fresh, files, start, reset=False) == values  # restarted


@pytest.mark.long
def test_boot_and_writers_say_what_a_boot_with_tuned_leaves(fresh, start):
    files, expected = CASES['a profile of foreign keys applies the files below /etc again']
    values = run(fresh, files, start)
    facts = agree(fresh, values)
    fresh.run('rm -f /var/log/tuned/tuned.log')  # or the line of the last start would do
    fresh.reboot()
    fresh.run('for i in $(seq 600); do grep -q "static tuning" /var/log/tuned/tuned.log && exit 0; sleep 0.1; done; '
              'exit 1')
    after = {key: fresh.sysctl(key) for key in start}
    assert after == values == {**start, **expected}
    assert agree(fresh, after) == facts
    assert {one['key'] for one in facts['competing_writers']} == {RATIO, PANIC, KILL}
    assert run(fresh, files, start, reset=False) == values
    assert agree(fresh, values) == facts
