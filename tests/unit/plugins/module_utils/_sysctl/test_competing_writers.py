# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that set our sysctls by themselves: machines on disk with a kubelet, TuneD or kdump-tools."""

import errno
import os

import machine
import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import (
    KBYTES,
    MEMORY,
    PANIC_ON_OOM,
    RATIO,
)
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import competing_writers
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import ALL_KEYS

KUBELET = [('vm.overcommit_memory', '1'), ('vm.panic_on_oom', '0'), ('kernel.panic', '10')]
PROFILE = '/etc/tuned/ours/tuned.conf'


@pytest.fixture
def box(tmp_path):
    """Without files of sysctl.d: TuneD applies them, and so it competes with them."""
    return machine.Machine(tmp_path, defaults=True)


def runs(box, name, pid=40, uid=0, arguments=()):
    """A process of that name."""
    box.put('/proc/%d/comm' % pid, name + '\n')
    box.put('/proc/%d/status' % pid, 'Name:\t%s\nUid:\t%d\t%d\t%d\t%d\n' % (name, uid, uid, uid, uid))
    box.put('/proc/%d/uid_map' % pid, box.get('/proc/self/uid_map'))
    box.put('/proc/%d/cmdline' % pid, '\0'.join(['/usr/bin/' + name, *arguments, '']))


def tuned(box, text, active='ours', main='reapply_sysctl = 0\n'):
    """A running TuneD with this as its active profile."""
    runs(box, 'tuned', pid=50)
    box.put('/etc/tuned/tuned-main.conf', main)
    box.put('/etc/tuned/active_profile', active + '\n')
    box.put(PROFILE, text)


def found(box, how=None):
    """(key, value) of everything found; all of it must be of this kind."""
    result = competing_writers.find_writers(box)
    assert how is None or {one.how for one in result} == {how}
    return [(one.key, one.value_text) for one in result]


def how_of(box):
    """By key, what is found."""
    return {one.key: (one.value_text, one.how, one.file) for one in competing_writers.find_writers(box)}


def test_nothing_runs(box):
    assert competing_writers.find_writers(box) == []


def test_a_machine_without_proc_has_none(tmp_path):
    assert competing_writers.find_writers(Host(str(tmp_path / 'none'))) == []


@pytest.mark.parametrize('name', sorted(set(competing_writers.NAMES.values())))
def test_every_name_has_a_finder(box, name):
    runs(box, name)
    assert {one.by for one in competing_writers.find_writers(box, [(40, name)])} <= {name}


def test_a_name_without_a_finder_is_no_kubelet(box):
    runs(box, 'other')
    with pytest.raises(KeyError):
        competing_writers.find_writers(box, [(40, 'other')])


# ---------------------------------------------------------------------- kubelet

@pytest.mark.parametrize('name, by', [('kubelet', 'kubelet'), ('k3s-server', 'k3s'), ('k3s-agent', 'k3s'),
                                      ('kubelite', 'microk8s')])
def test_a_kubelet_sets_its_values(box, name, by):
    runs(box, name)
    assert found(box, 'sets') == KUBELET
    assert {(one.by, one.file) for one in competing_writers.find_writers(box)} == {(by, None)}


def test_two_kubelets_are_reported_once(box):
    runs(box, 'kubelet', 40)
    runs(box, 'kubelet', 41)
    assert found(box) == KUBELET


@pytest.mark.parametrize('name', ['kubelet2', 'mykubelet', 'Kubelet', 'tuned-ppd'])
def test_another_name_is_another_program(box, name):
    tuned(box, '[sysctl]\nvm.panic_on_oom=1\n')
    runs(box, name, pid=50)
    assert found(box) == []


@pytest.mark.parametrize('text', ['protectKernelDefaults: true\n', 'protectKernelDefaults: false\n', None])
def test_a_path_that_an_argument_names_is_not_reported(box, text):
    """Command lines are secrets. Paths that Kubernetes distributions use are known."""
    runs(box, 'kubelet', arguments=['--config=/srv/hunter2.yaml'])
    if text:
        box.put('/srv/hunter2.yaml', text)
    else:
        box.put('/srv/other', '')
        box.link('/srv/hunter2.yaml', 'hunter2.yaml')
    denied = []
    found_there = competing_writers.find_writers(box, denied=denied)
    warned = competing_writers.contradictions(found_there, {MEMORY: 2}, True)
    assert 'hunter2' not in repr((found_there, denied, warned))
    runs(box, 'kubelet', arguments=['--config=/etc/kubernetes/kubelet/config.json'])
    box.put('/etc/kubernetes/kubelet/config.json', '{"protectKernelDefaults": true}')
    assert {one.file for one in competing_writers.find_writers(box)} == {'/etc/kubernetes/kubelet/config.json'}


@pytest.mark.parametrize('name, path, text', [
    ('k3s-server', '/etc/rancher/k3s/config.yaml', 'write-kubeconfig-mode: "0644"\nprotect-kernel-defaults: true\n'),
    ('k3s-agent', '/etc/rancher/k3s/config.yaml', 'kubelet-arg:\n  - "protect-kernel-defaults=true"\n'),
    ('k3s-server', '/etc/systemd/system/k3s.service',
     "[Service]\nExecStart=/usr/local/bin/k3s \\\n server \\\n\t'--protect-kernel-defaults' \\\n"),
    ('kubelite', '/var/snap/microk8s/current/args/kubelet', '--root-dir=/x\n--protect-kernel-defaults=true\n'),
])
def test_kubelets_within_other_programs(box, name, path, text):
    runs(box, name)
    box.put(path, text)
    assert {(one.how, one.file) for one in competing_writers.find_writers(box)} == {('requires', path)}


@pytest.mark.parametrize('path, text, by', [
    ('config.yaml', 'profile: cis\n', 'rke2'), ('config.yaml', 'profile: "cis-1.6"\n', 'rke2'),
    ('config.yaml.d/a.yaml', 'protect-kernel-defaults: true\n', 'rke2'), ('config.yaml', 'profile: etcd\n', 'kubelet'),
])
def test_rke2_configuration_says_how_kubelet_starts(box, path, text, by):
    runs(box, 'rke2', 39)
    runs(box, 'kubelet', 40)
    box.put('/etc/rancher/rke2/' + path, text)
    assert found(box, 'requires' if by == 'rke2' else 'sets') == KUBELET
    assert {(one.by, one.file) for one in competing_writers.find_writers(box)} == {
        (by, '/etc/rancher/rke2/' + path if by == 'rke2' else None)}


def test_unreadable_configuration_counts_as_missing(box):
    runs(box, 'kubelet')
    (box.base / 'var/lib/kubelet/config.yaml').mkdir(parents=True)
    assert found(box, 'sets') == KUBELET


def denying(box, monkeypatch, *paths):
    """The machine as one who may not read these has it."""
    def wrap(call):
        def answer(path, *more):
            if path in paths:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return call(path, *more)
        return answer
    for name in ('read_text', 'read_named_file', 'exists'):
        monkeypatch.setattr(box, name, wrap(getattr(box, name)))


@pytest.mark.parametrize('name, path, key', [
    ('kubelet', '/var/lib/kubelet/config.yaml', 'protectKernelDefaults'),
    ('k3s-server', '/etc/rancher/k3s/config.yaml', 'protect-kernel-defaults')])
def test_forbidden_configuration_leaves_settings_unknown(box, monkeypatch, name, path, key):
    runs(box, name)
    box.put(path, key + ': true\n')
    assert found(box, 'requires') == KUBELET
    denying(box, monkeypatch, path)
    denied = []
    result = competing_writers.find_writers(box, denied=denied)
    assert {(one.how, one.file) for one in result} == {(None, None)} and denied == [path]
    message, = competing_writers.contradictions(result, {MEMORY: 2}, True)
    assert 'its configuration may not be read' in message


def test_arguments_count_without_forbidden_configuration(box, monkeypatch):
    runs(box, 'kubelet', arguments=['--protect-kernel-defaults=false'])
    denying(box, monkeypatch, '/var/lib/kubelet/config.yaml')
    denied = []
    assert {one.how for one in competing_writers.find_writers(box, denied=denied)} == {'sets'} and denied == []


@pytest.mark.parametrize('path, left', [
    ('/etc/tuned/tuned-main.conf', [('1', None)]), ('/etc/tuned/active_profile', []), (PROFILE, []),
    ('/etc/sysctl.d/50-x.conf', [('1', 'yields')])])
def test_files_of_tuned_that_may_not_be_read_are_reported(box, monkeypatch, path, left):
    tuned(box, '[sysctl]\nvm.panic_on_oom=1\n', main='reapply_sysctl = 1\n')
    box.put('/etc/sysctl.d/50-x.conf', 'vm.overcommit_ratio = 5\n')
    denying(box, monkeypatch, path)
    denied = []
    result = [(one.value_text, one.how) for one in competing_writers.find_writers(box, denied=denied)]
    assert result == left and set(denied) == {path}


def test_a_file_of_kdump_tools_that_may_not_be_read_is_reported(box, monkeypatch):
    box.put('/sys/kernel/kexec_crash_loaded', '1\n')
    box.put('/etc/default/kdump-tools', 'KDUMP_SYSCTL="vm.panic_on_oom=1"\n')
    box.put('/usr/sbin/kdump-config', 'sysctl $KDUMP_SYSCTL\n')
    assert found(box) == [(PANIC_ON_OOM, '1')]
    denying(box, monkeypatch, '/etc/default/kdump-tools')
    denied = []
    assert competing_writers.find_writers(box, denied=denied) == [] and denied == ['/etc/default/kdump-tools']


# ------------------------------------------------------------------------ tuned

@pytest.mark.parametrize('text, value', [
    ('[sysctl]\nvm.overcommit_memory=2\n', '2'),
    ('[sysctl]\nvm.overcommit_memory = 2 # strict\n', '2'),
    ('[sysctl]\nvm.overcommit_memory="2"\n', '2'),
    ('[sysctl]\nvm.overcommit_memory=>1\n', '>1'),
    ('[sysctl]\nvm.overcommit_memory=1\n[sysctl]\nvm.overcommit_memory=2\n', '2'),
    ('[mine]\ntype=sysctl\nvm.overcommit_memory=2\n', '2'),
    ('[sysctl]\nenabled=true\nvm.overcommit_memory=2\n', '2'),
    ('[variables]\nmode=2\n[sysctl]\nvm.overcommit_memory=${mode}\n', '2'),
    ('[variables]\nm=2\nmode=${m}\n[sysctl]\nvm.overcommit_memory=${mode}\n', '2'),
    ('[sysctl]\nvm.overcommit_memory=${f:exec:cat:/x}\n', '${f:exec:cat:/x}'),
    ('[sysctl]\n#vm.overcommit_memory=2\nvm.swappiness=1\n', None),
    ('[sysctl]\nvm/overcommit_memory=2\n', None),
    ('[sysctl]\nenabled=false\nvm.overcommit_memory=2\n', None),
    ('[sysctl]\nenabled=0\nvm.overcommit_memory=2\n', None),
    ('[vm]\nvm.overcommit_memory=2\n', None),
    ('[sysctl]\ntype=vm\nvm.overcommit_memory=2\n', None),
    ('vm.overcommit_memory=2\n', None),
    ('[sysctl]\nvm.overcommit_memory\n', None),
    ('', None),
])
def test_the_active_profile_of_tuned(box, text, value):
    tuned(box, text)
    assert found(box) == ([] if value is None else [(MEMORY, value)])
    for one in competing_writers.find_writers(box):
        assert (one.by, one.file, one.how) == ('tuned', PROFILE, 'sets')


def test_a_tuned_that_does_not_run_sets_nothing(box):
    tuned(box, '[sysctl]\nvm.panic_on_oom=1\n')
    (box.base / 'proc/50/comm').write_text('cat\n')
    assert found(box) == []


def test_what_is_included_comes_before(box):
    box.put('/usr/lib/tuned/profiles/base/tuned.conf',
            '[variables]\nr=70\n[sysctl]\nvm.overcommit_ratio=${r}\nvm.panic_on_oom=1\nvm.oom_kill_allocating_task=0\n')
    box.put('/usr/lib/tuned/middle/tuned.conf', '[main]\ninclude = base\n[sysctl]\nvm.panic_on_oom=2\n')
    tuned(box, '[main]\ninclude=middle, -not-there ; base\n[variables]\nr=80\n[sysctl]\n'
               'vm.oom_kill_allocating_task=1\n')
    assert {one.key: (one.value_text, one.file) for one in competing_writers.find_writers(box)} == {
        'vm.overcommit_ratio': ('80', '/usr/lib/tuned/profiles/base/tuned.conf'),
        'vm.panic_on_oom': ('2', '/usr/lib/tuned/middle/tuned.conf'),
        'vm.oom_kill_allocating_task': ('1', PROFILE)}


def test_a_section_can_replace_what_is_included(box):
    box.put('/usr/lib/tuned/base/tuned.conf', '[sysctl]\nvm.panic_on_oom=1\nkernel.panic=5\n')
    tuned(box, '[main]\ninclude=base\n[sysctl]\nreplace=1\nkernel.panic=7\n')
    assert found(box) == [('kernel.panic', '7')]


def test_a_profile_may_include_its_namesake_and_circles_end(box):
    box.put('/usr/lib/tuned/ours/tuned.conf', '[main]\ninclude=ours\n[sysctl]\nvm.panic_on_oom=1\n')
    tuned(box, '[main]\ninclude=ours\n[sysctl]\nkernel.panic=7\n')
    assert found(box) == [(PANIC_ON_OOM, '1'), ('kernel.panic', '7')]


def test_variables_from_a_file(box):
    box.put('/etc/tuned/more.conf', 'other=1\n[x]\nvalue=2\n')
    box.put('/usr/lib/tuned/base/tuned.conf', '[sysctl]\nvm.panic_on_oom=${value}\n')
    tuned(box, '[main]\ninclude=base\n[variables]\ninclude=etc/tuned/more.conf\n')
    assert found(box) == [(PANIC_ON_OOM, '2')]


def test_a_variable_has_no_value_yet_where_a_profile_is_included(box):
    box.put('/usr/lib/tuned/base/tuned.conf', '[sysctl]\nvm.panic_on_oom=2\n')
    tuned(box, '[main]\ninclude=${which}\n[variables]\nwhich=base\n[sysctl]\nkernel.panic=1\n')
    assert found(box) == []


def test_several_profiles_and_the_one_loaded_after_them(box):
    box.put('/etc/tuned/post_loaded_profile', 'late\n')
    box.put('/etc/tuned/profiles/late/tuned.conf', '[sysctl]\nkernel.panic=3\n')
    box.put('/etc/tuned/second/tuned.conf', '[sysctl]\nkernel.panic=2\nvm.panic_on_oom=2\n')
    tuned(box, '[sysctl]\nkernel.panic=1\nvm.panic_on_oom=1\nvm.overcommit_memory=1\n', active='ours second')
    assert found(box) == [(MEMORY, '1'), (PANIC_ON_OOM, '2'), ('kernel.panic', '3')]


def test_profiles_in_folders_of_ones_own(box):
    box.put('/a/ours/tuned.conf', '[sysctl]\nkernel.panic=1\n')
    box.put('/b/ours/tuned.conf', '[sysctl]\nkernel.panic=2\n')
    tuned(box, '[sysctl]\nkernel.panic=3\n', main='reapply_sysctl=0\nprofile_dirs = /a, /b\n')
    assert [(one.value_text, one.file) for one in competing_writers.find_writers(box)] == [('2', '/b/ours/tuned.conf')]


@pytest.mark.parametrize('main', ['', 'reapply_sysctl = 1\n', 'reapply_sysctl=True # x\n', '# reapply_sysctl = 0\n'])
def test_tuned_lets_sysctl_d_win_unless_configured_otherwise(box, main):
    tuned(box, '[sysctl]\nvm.panic_on_oom=1\nkernel.panic=5\nvm.overcommit_ratio=80\nvm.overcommit_memory=1\n',
          main=main)
    box.put('/etc/sysctl.d/50-a.conf',
            'vm.overcommit_kbytes = 900000\nvm/overcommit_memory=2\n-vm.overcommit_memory=2\n')
    box.put('/run/sysctl.d/50-b.conf', 'kernel.panic=9\n')
    assert how_of(box) == {MEMORY: ('1', 'yields', PROFILE), PANIC_ON_OOM: ('1', 'yields', PROFILE),
                           KBYTES: ('900000', 'reapplies', '/etc/sysctl.d/50-a.conf'),
                           'kernel.panic': ('9', 'reapplies', '/run/sysctl.d/50-b.conf')}
    box.put('/etc/sysctl.conf', 'vm.panic_on_oom=0\n')
    box.put('/usr/lib/sysctl.d/50-c.conf', 'vm.overcommit_memory=2\n')
    assert how_of(box)[PANIC_ON_OOM] == ('0', 'reapplies', '/etc/sysctl.conf')
    assert how_of(box)[MEMORY] == ('1', 'yields', PROFILE)


@pytest.mark.parametrize('main', ['reapply_sysctl = 0\n', 'reapply_sysctl=no\n'])
def test_tuned_configured_otherwise(box, main):
    tuned(box, '[sysctl]\nvm.panic_on_oom=1\n', main=main)
    box.put('/etc/sysctl.d/50-a.conf', 'vm.panic_on_oom=0\n')
    assert found(box, 'sets') == [(PANIC_ON_OOM, '1')]


@pytest.mark.parametrize('include, loads', [
    ('broken', False), ('latin', False), ('gone', False), ('folder', False), ('-gone', True), ('-folder', True),
    ('-broken', False), ('-provider-${f:exec:cat:/x}', True),
])
def test_tuned_applies_nothing_from_an_unloadable_profile(box, include, loads):
    tuned(box, '[main]\ninclude=%s\n[sysctl]\nkernel.panic=1\n' % include)
    box.put('/etc/tuned/broken/tuned.conf', '[sysctl]\nvm.x\n')
    box.put('/etc/tuned/latin/tuned.conf', b'# \xe9\n[sysctl]\nvm.x=1\n')
    (box.base / 'etc/tuned/folder/tuned.conf').mkdir(parents=True)
    assert found(box) == ([('kernel.panic', '1')] if loads else [])


def test_every_key_of_ours_is_found_in_a_profile(box):
    tuned(box, '[sysctl]\n' + ''.join('%s=1\n' % key for key in ALL_KEYS))
    # Writing kbytes erases the ratio.
    assert [one.key for one in competing_writers.find_writers(box)] == [key for key in ALL_KEYS if key != RATIO]


# --------------------------------------------------------------------- rc.local

@pytest.mark.parametrize('text, values', [
    ('#!/bin/sh\nsysctl vm.overcommit_memory=1\n', [(MEMORY, '1')]),
    ('touch /var/lock/subsys/local\n/sbin/sysctl -q -w vm.overcommit_memory=2 vm/overcommit_ratio="90" # as in 2019\n',
     [(MEMORY, '2'), (RATIO, '90')]),
    ('echo 1 > /proc/sys/vm/overcommit_memory\necho "2" >/proc/sys/vm/overcommit_memory\n', [(MEMORY, '2')]),
    ('if test -f /x; then sysctl -w vm.panic_on_oom=1; fi\nexit 0\nsysctl -w vm.overcommit_memory=1\n',
     [(PANIC_ON_OOM, '1')]),
    ('if test -f /x; then\n    exit 1\nfi\nsysctl -w vm.overcommit_memory=1\n', [(MEMORY, '1')]),
    ('test -f /x && sysctl -w vm.panic_on_oom=1; exit 0\n', [(PANIC_ON_OOM, '1')]),
    ('#sysctl vm.overcommit_memory=1\necho "sysctl vm.overcommit_memory=1"\nsysctl -w vm.swappiness=1\n', []),
    ('sysctl vm.overcommit_memory\nsysctl -w vm.overcommit_memory=$X\nsysctl -p\n', []),
])
@pytest.mark.parametrize('path', ['/etc/rc.local', '/etc/rc.d/rc.local', '/etc/local.d/00_sysctl.start'])
def test_a_script_at_the_end_of_the_boot(box, text, values, path):
    box.put('/etc/runlevels/default/local', '')
    box.put(path, text)
    assert found(box) == []  # only what is executable runs
    (box.base / path[1:]).chmod(0o755)
    assert sorted(found(box)) == sorted(values)
    assert {(one.by, one.file, one.how) for one in competing_writers.find_writers(box)} <= {
        (os.path.basename(path), path, 'sets')}


@pytest.mark.parametrize('command, values', [
    ('sysctl -p', [('1', '/etc/sysctl.conf')]), ('/sbin/sysctl -e -p /etc/sysctl.conf', [('1', '/etc/sysctl.conf')]),
    ('sysctl -qp /etc/sysctl.d/60-oracle.conf >/dev/null', [('2', '/etc/sysctl.d/60-oracle.conf')]),
    ('sysctl -p /etc/sysctl.conf /etc/sysctl.d/60-oracle.conf', [('2', '/etc/sysctl.d/60-oracle.conf')]),
    ('sysctl --load=/etc/sysctl.d/60-oracle.conf', [('2', '/etc/sysctl.d/60-oracle.conf')]),
    ('sysctl -p > /dev/null 2>&1', [('1', '/etc/sysctl.conf')]), ('sysctl -n vm.overcommit_memory', []),
])
def test_rc_local_may_load_a_file_again(box, command, values):
    """systemd-sysctl reads no /etc/sysctl.conf, so such a line is the only one that applies it."""
    box.put('/etc/sysctl.conf', '# x\nvm.overcommit_memory = 1\n')
    box.put('/etc/sysctl.d/60-oracle.conf', 'vm.overcommit_memory=2\n')
    box.put('/etc/rc.local', '#!/bin/sh -e\n%s\nexit 0\n' % command).chmod(0o755)
    assert [(one.value_text, one.file) for one in competing_writers.find_writers(box)] == values


def test_a_script_of_local_runs_where_the_service_starts(box):
    box.put('/etc/local.d/a.start', 'sysctl vm.overcommit_memory=1\n').chmod(0o755)
    box.put('/etc/local.d/b.stop', 'sysctl vm.panic_on_oom=1\n').chmod(0o755)
    assert found(box) == []
    box.put('/etc/runlevels/default/local', '')
    assert found(box) == [(MEMORY, '1')]


# ------------------------------------------------------------------ kdump-tools

@pytest.mark.parametrize('loaded, program, text, expected', [
    ('1', '${KDUMP_SYSCTL}', 'KDUMP_SYSCTL="kernel.panic_on_oops=1 vm.panic_on_oom=1"\n', [(PANIC_ON_OOM, '1')]),
    ('1', '${KDUMP_SYSCTL}', "export KDUMP_SYSCTL='vm.panic_on_oom=2'\n", [(PANIC_ON_OOM, '2')]),
    ('1', '${KDUMP_SYSCTL}', '#KDUMP_SYSCTL="vm.panic_on_oom=1"\n', []),
    ('1', '${KDUMP_SYSCTL}', 'USE_KDUMP=1\n', []),
    ('1', 'KDUMP_SYSCTL_FILE=x', 'KDUMP_SYSCTL="vm.panic_on_oom=1"\n', []),
    ('0', '${KDUMP_SYSCTL}', 'KDUMP_SYSCTL="vm.panic_on_oom=1"\n', []),
])
def test_kdump_tools(box, loaded, program, text, expected):
    box.put('/sys/kernel/kexec_crash_loaded', loaded + '\n')
    box.put('/usr/sbin/kdump-config', '#!/bin/sh\nsysctl -w %s\n' % program)
    box.put('/etc/default/kdump-tools', text)
    assert found(box) == expected
    assert {(one.by, one.how, one.file) for one in competing_writers.find_writers(box)} <= {
        ('kdump-tools', 'sets', '/etc/default/kdump-tools')}


# --------------------------------------------------------------- contradictions

def one(key, text, how='sets', file=PROFILE, by='tuned'):
    return competing_writers.CompetingWrite(key, text, by, file, how)


@pytest.mark.parametrize('text, value, agrees', [
    ('2', 2, True), ('02', 2, True), ('0x2', 2, True), ('2', 1, False), ('>1', 2, True), ('>2', 2, True),
    ('>2', 1, False), ('<1', 0, True), ('<1', 2, False), ('>x', 2, False), ('${f:exec:x}', 2, False), ('', 0, False),
])
def test_when_a_value_contradicts(text, value, agrees):
    messages = competing_writers.contradictions([one(MEMORY, text)], {MEMORY: value}, True)
    assert [message.startswith('vm.overcommit_memory: %d is asked for' % value) for message in messages] == (
        [] if agrees else [True])


def test_only_what_is_wanted_is_contradicted():
    found_ones = [one(MEMORY, '1'), one(PANIC_ON_OOM, '1')]
    messages = competing_writers.contradictions(found_ones, {PANIC_ON_OOM: 0, RATIO: 80}, True)
    assert [message.partition(':')[0] for message in messages] == [PANIC_ON_OOM]
    assert competing_writers.contradictions(found_ones, {}, True) == []


@pytest.mark.parametrize('key, text, wanted, contradicted', [
    (RATIO, '80', {KBYTES: 900000}, KBYTES),
    (RATIO, '80', {KBYTES: 900000, RATIO: 0}, KBYTES),
    (RATIO, '80', {RATIO: 80, KBYTES: 0}, None),
    (RATIO, '80', {RATIO: 90, KBYTES: 0}, RATIO),
    (RATIO, '0', {KBYTES: 900000, RATIO: 0}, None),
    (KBYTES, '5000', {RATIO: 80, KBYTES: 0}, RATIO),
    (KBYTES, '5000', {KBYTES: 5000}, None),
    (KBYTES, '5000', {MEMORY: 2}, None),
])
def test_ratio_and_kbytes_erase_each_other(key, text, wanted, contradicted):
    messages = competing_writers.contradictions([one(key, text)], wanted, True)
    assert [message.partition(':')[0] for message in messages] == ([contradicted] if contradicted else [])
    if contradicted not in (None, key):
        assert 'tuned sets %s to %s whenever it starts, which erases %s (' % (key, text, contradicted) in messages[0]


@pytest.mark.parametrize('how', ['yields', 'reapplies'])
def test_advice_names_a_file_that_tuned_reads(how):
    yields = [one(MEMORY, '1', how)]
    assert 'sorts last' in competing_writers.contradictions(yields, {MEMORY: 2}, True)[0]
    assert 'persistent: true' in competing_writers.contradictions(yields, {MEMORY: 2}, False)[0]


def test_messages_name_who_what_and_where():
    kubelet = one(MEMORY, '1', file=None, by='kubelet')
    for text, words in (
            (kubelet, ['kubelet sets it to 1', 'Ask for 1']),
            (kubelet._replace(how='requires'), ['does not start unless it is 1 (protectKernelDefaults)']),
            (kubelet._replace(how='requires', file='/k.yaml'), ['(protectKernelDefaults in /k.yaml)']),
            (one(MEMORY, '1'), ['tuned sets it to 1', PROFILE]),
            (one(MEMORY, '\x1b[31m', file='/etc/\u202e'), ['\\x1b[31m', '/etc/\\u202e'])):
        message = competing_writers.contradictions([text], {MEMORY: 2}, False)[0]
        assert all(word in message for word in words) and message.isprintable(), message


def test_profiles_without_end_are_read_no_further(box):
    """1500 that include each other are more than Python's own stack takes."""
    tuned(box, '[main]\ninclude=p0\n[sysctl]\nvm.overcommit_memory=1\n')
    for number in range(1500):
        box.put('/etc/tuned/p%d/tuned.conf' % number, '[main]\ninclude=p%d\n[sysctl]\nvm.panic_on_oom=2\n'
                % (number + 1))
    assert sorted(found(box)) == [('vm.overcommit_memory', '1'), ('vm.panic_on_oom', '2')]


def test_variables_that_double_do_not_fill_the_memory(box):
    doubled = ''.join('v%d=${v%d}${v%d}\n' % (number + 1, number, number) for number in range(20))
    tuned(box, '[variables]\nv0=xxxxxxxxxx\n%s[sysctl]\nvm.panic_on_oom=${v20}\n' % doubled)
    assert [len(value) for _key, value in found(box)] == [4096]


@pytest.mark.parametrize('error', [errno.EACCES, errno.EIO])
def test_scripts_that_cannot_be_looked_at_hide_no_other_program(box, monkeypatch, error):
    runs(box, 'k3s-server', pid=41)
    before = found(box)
    box.put('/etc/runlevels/default/local', '')
    box.link('/etc/rc.local', '/etc/rc.local')
    assert found(box) == before != []
    (box.base / 'etc/rc.local').unlink()
    box.put('/etc/local.d/a.start', 'sysctl vm.oom_kill_allocating_task=1\n').chmod(0o755)
    names, denied = box.names, []

    def failing(folder):
        if folder == '/etc/local.d':
            raise OSError(error, os.strerror(error), folder)
        return names(folder)
    monkeypatch.setattr(box, 'names', failing)
    assert [(one.key, one.value_text) for one in competing_writers.find_writers(box, denied=denied)] == before
    assert denied == (['/etc/local.d'] if error == errno.EACCES else [])  # only permissions can be mended
