# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Odd machines: each either works or says why not."""

import json

import pytest
from conftest import started
from test_at_once import family, values
from test_processes import score
from test_sysctls import good

OURS = '/etc/sysctl.d/99-oomkit.conf'
LEGACY = 'systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1'
CGROUPS = {'v1': f'{LEGACY} systemd.legacy_systemd_cgroup_controller=1',
           'hybrid': f'{LEGACY} systemd.legacy_systemd_cgroup_controller=0'}
READ_ONLY_ETC = "unshare -m sh -c 'mount --bind /etc /etc && mount -o remount,bind,ro /etc && exec \"$@\"' -"
NO_PRESSURE = "unshare -m sh -c 'mkdir -p /srv/none && mount --bind /srv/none /proc/pressure && exec \"$@\"' -"
# All of /proc/sys/vm but one file, as kernels before 3.14 have it.
NO_KBYTES = """unshare -m sh -c 'mkdir -p /srv/vm /srv/vm2 && mount --bind /proc/sys/vm /srv/vm &&
mount -t tmpfs x /srv/vm2 && for name in /srv/vm/*; do n=/srv/vm2/${name##*/}
test $n = /srv/vm2/overcommit_kbytes && continue
touch $n && mount --bind $name $n; done && mount --rbind /srv/vm2 /proc/sys/vm && exec "$@"' -"""
ASCII = 'env LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0'
CONTAINERS = {
    'without a user namespace': 'unshare --mount --pid --fork --mount-proc env container=lxc',
    'with a user namespace': 'unshare --user --map-root-user --mount --pid --fork --mount-proc --',
}


def test_a_read_only_etc(fresh):
    before = fresh.run('cat /proc/sys/vm/overcommit_ratio; ls /run/oomkit /var/lib/oomkit 2>&1; true').stdout
    result = fresh.module_under(READ_ONLY_ETC, 'overcommit', ratio=61)
    assert result['failed'] and 'Read-only file system' in result['msg']
    assert 'Everything was rolled back' in result['msg']
    assert fresh.run('cat /proc/sys/vm/overcommit_ratio; ls /run/oomkit /var/lib/oomkit 2>&1; true').stdout == before
    assert good(fresh.module_under(READ_ONLY_ETC, 'overcommit', ratio=61, persistent=False))['changed']
    assert fresh.sysctl('vm.overcommit_ratio') == 61
    with family(fresh):
        result = fresh.module_under(READ_ONLY_ETC, 'oom_score_adj', name='family', score_adj=-5)
        assert result['failed'] and 'Read-only file system' in result['msg'] and values(fresh) == {'0'}
        good(fresh.module_under(READ_ONLY_ETC, 'oom_score_adj', name='family', score_adj=-5, persistent=False))
        assert values(fresh) == {'-5'}


@pytest.mark.long
def test_sysctl_d_on_overlayfs(fresh):
    fresh.run(f'modprobe overlay; mkdir -p /srv/upper /srv/work && printf "vm.overcommit_ratio = 70\\n" > {OURS} && '
              'mount -t overlay x -o lowerdir=/etc/sysctl.d,upperdir=/srv/upper,workdir=/srv/work /etc/sysctl.d')
    good(fresh.module('overcommit', mode='never', ratio=200))
    assert not good(fresh.module('overcommit', mode='never', ratio=200))['changed']
    assert b'vm.overcommit_ratio = 200' in fresh.read_file('/srv/upper/99-oomkit.conf')
    good(fresh.module('overcommit', state='absent'))
    assert not good(fresh.module('overcommit', state='absent'))['changed']
    assert fresh.read_file(OURS) == b'vm.overcommit_ratio = 70\n' and fresh.sysctl('vm.overcommit_memory') == 0


def test_without_pressure(fresh):
    facts = good(fresh.module_under(NO_PRESSURE, 'oom_facts'))['ansible_facts']['oom']
    assert facts['pressure'] is None and [text for text in facts['warnings'] if text.startswith('pressure: ')]
    assert facts['commit'] and facts['candidates']


def test_a_kernel_without_kbytes(fresh):
    facts = good(fresh.module_under(NO_KBYTES, 'oom_facts'))['ansible_facts']['oom']
    assert facts['overcommit']['kbytes'] is None and facts['overcommit']['ratio'] == 50
    result = fresh.module_under(NO_KBYTES, 'overcommit', kbytes=900000)
    assert result['failed'] and 'vm.overcommit_kbytes' in result['msg'] and fresh.sysctl('vm.overcommit_ratio') == 50
    good(fresh.module_under(NO_KBYTES, 'overcommit', mode='never', ratio=210))
    assert not good(fresh.module_under(NO_KBYTES, 'overcommit', mode='never', ratio=210))['changed']
    assert fresh.sysctl('vm.overcommit_ratio') == 210


@pytest.mark.parametrize('name', CONTAINERS)
def test_a_container(fresh, name):
    facts = good(fresh.module_under(CONTAINERS[name], 'oom_facts'))['ansible_facts']['oom']
    assert facts['environment']['container'] and facts['environment']['pid_namespace'] == 'nested'
    before = fresh.run('cat /proc/sys/vm/overcommit_memory; ls /etc/sysctl.d').stdout
    result = fresh.module_under(CONTAINERS[name], 'overcommit', mode='always')
    assert result['failed'] and result['refusal'] == 'container' and 'host' in result['msg']
    assert fresh.run('cat /proc/sys/vm/overcommit_memory; ls /etc/sysctl.d').stdout == before


@pytest.mark.long
def test_a_host_with_the_marks_of_a_container(fresh):
    """They are left in an image that was made from one."""
    fresh.run('touch /.dockerenv /run/.containerenv && echo docker > /run/systemd/container')
    for words in ('env', 'unshare -m', 'systemd-run -q --pipe --wait -p PrivateTmp=yes'):
        facts = good(fresh.module_under(words, 'oom_facts'))['ansible_facts']['oom']
        assert facts['environment']['container'] is None, words
    assert good(fresh.module_under('env', 'overcommit', mode='always'))['changed']
    result = fresh.module_under('systemd-run -q --pipe --wait -p ProtectKernelTunables=yes', 'overcommit', mode='never')
    assert result['failed'] and result['refusal'] == 'not_writable' and 'EROFS' in result['msg']
    assert fresh.sysctl('vm.overcommit_memory') == 1


@pytest.mark.long
def test_names_beyond_ascii_where_the_locale_has_none(fresh):
    start = '"/srv/k\u00e4se \u6f22" 1e6 >/dev/null 2>&1 & echo $!'
    pid = int(fresh.run(f'cp /bin/sleep "/srv/k\u00e4se \u6f22" && ({start})').stdout)
    fresh.run('mkdir -p /etc/sysctl.d && echo "# \u00e4 \u6f22" > /etc/sysctl.d/50-\u00e4.conf && '
              'echo vm.overcommit_ratio=77 >> /etc/sysctl.d/50-\u00e4.conf')
    facts = good(fresh.module_under(ASCII, 'oom_facts', top=0))['ansible_facts']['oom']
    (found,) = [one for one in facts['candidates'] if one['pid'] == pid]
    assert found['name'] == 'k\u00e4se \u6f22'
    assert facts['boot']['vm.overcommit_ratio']['file'] == '/etc/sysctl.d/50-\u00e4.conf'
    good(fresh.module_under(ASCII, 'oom_score_adj', process={'comm': 'k\u00e4se \u6f22'}, score_adj=9))
    assert score(fresh, pid) == 9
    good(fresh.module_under(ASCII, 'overcommit', ratio=60))
    result = good(fresh.module_under(ASCII, 'overcommit', ratio=60))
    assert not result['changed'] and fresh.sysctl('vm.overcommit_ratio') == 60
    assert '# \u00e4 \u6f22'.encode() in fresh.read_file('/etc/sysctl.d/50-\u00e4.conf')


@pytest.mark.long
@pytest.mark.parametrize('version', ['v1', 'hybrid'])
def test_cgroups_of_other_versions(version):
    machines = started('cgroup', append=CGROUPS[version])
    machine = next(machines)
    try:
        facts = good(machine.module('oom_facts'))['ansible_facts']['oom']
        assert facts['environment']['cgroup'] == version, machine.run('cat /proc/self/mountinfo').stdout
        assert facts['candidates'] and not [text for text in facts['warnings'] if 'internal error' in text]
        forecast = good(machine.module('oom_forecast_info'))
        assert forecast['outcome'] in ('kill', 'unknown') and 'internal error' not in json.dumps(forecast)
        machine.write_file('/etc/systemd/system/plain.service', b'[Service]\nExecStart=/bin/sleep 1000000\n')
        machine.run('systemctl daemon-reload && systemctl start plain && sleep 1')
        pid = int(machine.run('systemctl show -P MainPID plain').stdout)
        good(machine.module('oom_score_adj', name='plain', score_adj=-300))
        assert score(machine, pid) == -300
        assert not good(machine.module('oom_score_adj', name='plain', score_adj=-300))['changed']
        good(machine.module('overcommit', mode='never', ratio=300))
        assert not good(machine.module('overcommit', mode='never', ratio=300))['changed']
    finally:
        machines.close()
