# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program applies sysctl.d at boot, and which value comes out: machines on disk with the inits of distributions.

The scripts have the form of those of Alpine, OpenRC, Void, Debian, Artix and Slackware.
"""

import time

import pytest
from machine import Machine, run

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._facts import gather
from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import (
    ADMIN_RESERVE,
    KBYTES,
    MEMORY,
    PANIC,
    PANIC_ON_OOM,
    RATIO,
)
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import boot as sysctl_boot
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import boot_facts, parser
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import loader as sysctl_loader
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import ALL_KEYS


def loop(patterns, *body):
    """A loop of sh over files."""
    return 'for x in %s; do\n\t%s\ndone\n' % (' \\\n\t'.join(patterns), '\n\t'.join(body))


def skip(folder):
    """Leave a file out that the folder has one of the same name of."""
    return 'if  [ -f %s/"${x##*/}" ]; then\n\tveinfo "sysctl: not $x"\n\tcontinue\nfi\n' % folder


def apply(test, options='$quiet'):
    return 'if [ %s "$x" ]; then\n\tvebegin "sysctl: $x"\n\tsysctl %s -p "$x"\n\tresult=$?\nfi' % (test, options)


OPENRC_HEAD = '#!/sbin/openrc-run\n# Applies files with sysctl.\ndepend() {\n\tbefore logger\n}\n'
ALPINE = (
    OPENRC_HEAD
    + 'start()\n{\nebegin "Setting sysctls"\nyesno $rc_verbose || quiet=-q\n'
    + loop(
        ['/lib/sysctl.d/*.conf', '/usr/lib/sysctl.d/*.conf'], skip('/etc/sysctl.d'), skip('/run/sysctl.d'), apply('-f')
    )
    + loop(['/etc/sysctl.d/*.conf'], skip('/run/sysctl.d'), apply('-f'))
    + 'if [ -f /etc/sysctl.conf ]; then\n\tsysctl $quiet -p /etc/sysctl.conf\nfi\n'
    + loop(['/run/sysctl.d/*.conf'], apply('-f'))
    + 'eend $result\n}\n'
)
OLD_FOLDERS = ['/run/sysctl.d/*.conf', '/etc/sysctl.d/*.conf', '/usr/local/lib/sysctl.d/*.conf',
               '/usr/lib/sysctl.d/*.conf']
OLD_ALPINE = (
    OPENRC_HEAD
    + 'Linux_sysctl()\n{\nset --\n'
    + loop([*OLD_FOLDERS, '/lib/sysctl.d/*.conf', '/etc/sysctl.conf'], apply('-e', '${quiet}'))
    + 'return $result\n}\n'
)
OPENRC = OPENRC_HEAD + """BSD_sysctl()
{
\t[ -e /etc/sysctl.conf ] || return 0
\tfor x in /etc/sysctl.conf /etc/sysctl.d/*.conf; do
\t\twhile read line; do
\t\t\tsysctl -w "$line"
\t\tdone < "$x"
\tdone
}

start()
{
\tcase "$RC_UNAME" in
\t*BSD) BSD_sysctl ;;
\tLinux) sysctl ${quiet} --system ;;
\tesac
}

stop()
{
\tsysctl -p /etc/other.conf
}
"""
IF_INSTALLED = 'if [ -x /sbin/sysctl -o -x /bin/sysctl ]; then\nmsg "sysctl(8)..."\n%sfi\n'
LINKS = '/run/links.sysctl.d'
VOID = IF_INSTALLED % (
    'mkdir -p %s\n' % LINKS
    + loop(
        OLD_FOLDERS,
        'if [ -e "$x" ] && [ ! -e "%s/${x##*/}" ]; then' % LINKS,
        '\tln -s "$x" "%s/${x##*/}"' % LINKS,
        'fi',
    )
    + loop([LINKS + '/*.conf'], 'sysctl -p "$x"')
    + 'rm -rf -- %s\nsysctl -p /etc/sysctl.conf\n' % LINKS
)
OLD_VOID = IF_INSTALLED % loop([*OLD_FOLDERS, '/etc/sysctl.conf'], apply('-e', ''))
VOID_WITH_PROBE = IF_INSTALLED % (
    'if sysctl -V >/dev/null 2>&1; then\n\tsysctl --system\nelse\n'
    + loop([*OLD_FOLDERS, '/etc/sysctl.conf'], apply('-e', ''))
    + 'fi\n'
)
DEBIAN = """#! /bin/sh
DESC="Setting kernel values"
DAEMON=/sbin/sysctl
QUIET_SYSCTL="-q"
do_start_cmd() {
\t$DAEMON $QUIET_SYSCTL --system || STATUS=$?
}
do_reload() { call do_start_cmd; }
"""
ARTIX_RUNIT = """#!/bin/bash
case "$1" in
    start)
        stat_busy "Setting sysctls with sysctl"
        sysctl "$QUIET" --system || stat_die sysctl
        add_daemon sysctl
        ;;
esac
"""
SLACKWARE = """#!/bin/sh
if [ -x /sbin/sysctl -a -r /etc/sysctl.conf ]; then
  echo "sysctl --system"
  /sbin/sysctl -e --system
elif [ -x /sbin/sysctl  ]; then
  /sbin/sysctl -e --system 2> /dev/null
fi
"""


def boot(machine):
    return sysctl_boot.simulate(machine, sysctl_loader.find_loader(machine))


def with_sysctl(machine, busybox):
    """Install the program."""
    machine.put('/bin/busybox' if busybox else '/usr/sbin/sysctl', '')
    if busybox:
        machine.link('/sbin/sysctl', '/bin/busybox')
    return machine


@pytest.fixture
def alpine(tmp_path):
    """A running Alpine, with its services where setup-alpine puts them."""
    machine = with_sysctl(Machine(tmp_path, defaults=True, init='other'), busybox=True)
    machine.put('/run/openrc/softlevel', 'default')
    machine.put('/proc/1/comm', 'init\n')
    machine.link('/sbin/init', '/bin/busybox')
    machine.put('/etc/init.d/sysctl', ALPINE)
    machine.link('/etc/runlevels/boot/sysctl', '/etc/init.d/sysctl')
    return machine


@pytest.fixture
def void(tmp_path):
    machine = with_sysctl(Machine(tmp_path, defaults=True, init='other'), busybox=False)
    machine.put('/run/runit/reboot', '')
    machine.put('/proc/1/comm', 'runit\n')
    machine.put('/sbin/runit-init', '')
    machine.link('/sbin/init', 'runit-init')
    machine.put('/etc/runit/core-services/08-sysctl.sh', VOID)
    return machine


# ------------------------------------------------------------------------- Alpine


def test_alpine_goes_folder_by_folder(alpine):
    alpine.put('/usr/lib/sysctl.d/99-z.conf', 'vm.overcommit_memory = 1\nvm.overcommit_ratio = 60\nkernel.panic = 1\n')
    alpine.put('/lib/sysctl.d/99-zz.conf', 'vm.overcommit_ratio = 61\nvm.panic_on_oom = 1\n')
    alpine.put('/usr/local/lib/sysctl.d/99-zzz.conf', 'vm.oom_kill_allocating_task = 1\n')
    alpine.put('/etc/sysctl.d/00-a.conf', 'vm.overcommit_memory = 2\nkernel.panic = 2\n')
    alpine.put('/etc/sysctl.conf', 'kernel.panic = 3\nvm.admin_reserve_kbytes = 3000\n')
    alpine.put('/run/sysctl.d/00-a-run.conf', 'vm.admin_reserve_kbytes = 4000\n')
    outcome = boot(alpine)
    assert outcome.values[MEMORY] == 2 and outcome.causes[MEMORY] == ('/etc/sysctl.d/00-a.conf', 1)
    assert outcome.values[RATIO] == 60 and outcome.causes[RATIO] == ('/usr/lib/sysctl.d/99-z.conf', 2)
    assert (outcome.values[PANIC_ON_OOM], outcome.values[PANIC], outcome.values[ADMIN_RESERVE]) == (1, 3, 4000)
    assert outcome.values['vm.oom_kill_allocating_task'] == 0  # the folder below /usr/local is not read


def test_alpine_lets_regular_files_alone_keep_a_name_out(alpine):
    alpine.put('/usr/lib/sysctl.d/10-a.conf', 'vm.overcommit_memory = 1\n')
    alpine.put('/etc/sysctl.d/10-a.conf', '')
    assert boot(alpine).values[MEMORY] == 0
    (alpine.base / 'etc/sysctl.d/10-a.conf').unlink()
    alpine.link('/etc/sysctl.d/10-a.conf', '/dev/null')
    # /dev/null of the fixture is a regular file; on a machine it is a device, as good as the folder here.
    (alpine.base / 'dev/null').unlink()
    (alpine.base / 'dev/null').mkdir()
    assert boot(alpine).values[MEMORY] == 1
    alpine.put('/run/sysctl.d/10-a.conf', 'vm.overcommit_ratio = 70\n')
    assert (boot(alpine).values[MEMORY], boot(alpine).values[RATIO]) == (0, 70)


def test_equal_names_below_lib_and_usr_lib_both_count_on_alpine(alpine):
    alpine.put('/lib/sysctl.d/10-a.conf', 'vm.overcommit_memory = 1\n')
    alpine.put('/usr/lib/sysctl.d/10-a.conf', 'vm.panic_on_oom = 1\n')
    assert (boot(alpine).values[MEMORY], boot(alpine).values[PANIC_ON_OOM]) == (1, 1)


def test_an_older_alpine_reads_usr_lib_after_etc(alpine):
    alpine.put('/etc/init.d/sysctl', OLD_ALPINE)
    alpine.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_memory = 2\nvm.overcommit_ratio = 70\n')
    alpine.put('/usr/lib/sysctl.d/10-a.conf', 'vm.overcommit_memory = 1\n')
    outcome = boot(alpine)
    assert (outcome.values[MEMORY], outcome.values[RATIO]) == (1, 70)
    with pytest.raises(Refusal, match='/usr/lib/sysctl.d/10-a.conf line 1'):
        run(alpine, 'overcommit', mode='never')
    with pytest.raises(Refusal, match=r'read later than it, such as /etc/sysctl\.conf\. '):
        run(alpine, 'overcommit', mode='never', conflicts='comment_out')
    run(alpine, 'overcommit', mode='never', sysctl_file='/etc/sysctl.conf')
    assert boot(alpine).values[MEMORY] == 2


def test_procps_installed_on_alpine_reads_the_lines(alpine):
    alpine.put('/etc/sysctl.d/10-a.conf', '-vm.overcommit_memory = 2\n')
    assert boot(alpine).values[MEMORY] == 0
    (alpine.base / 'sbin/sysctl').unlink()
    alpine.put('/sbin/sysctl', '')
    assert boot(alpine).values[MEMORY] == 2


def test_the_modules_on_alpine(alpine):
    alpine.put('/usr/lib/sysctl.d/99-zz.conf', 'vm.overcommit_memory = 1\n')
    result = run(alpine, 'overcommit', mode='never', ratio=90)
    assert result['after']['boot'][MEMORY] == 2 and not result['warnings']
    assert boot(alpine).values[MEMORY] == 2
    with pytest.raises(Refusal, match='is not read by /etc/init.d/sysctl, which sets .* it reads '
                                      r'\*\.conf in /lib/sysctl\.d and then \*\.conf in /usr/lib/sysctl\.d and then '):
        run(alpine, 'overcommit', mode='never', sysctl_file='/etc/sysctl.d/x')
    run(alpine, 'overcommit', state='absent')
    assert boot(alpine).values[MEMORY] == 1 and alpine.get('/etc/sysctl.d/99-oomkit.conf') is None


# ------------------------------------------------------------------------ busybox


@pytest.mark.parametrize('line, value', [
    ('vm.overcommit_memory=1', 1),
    (' \tvm.overcommit_memory =\t1 ', 1),
    ('vm/overcommit_memory=1', 1),
    ('vm//overcommit_memory=1', 1),
    ('vm..overcommit_memory=1', 1),
    ('/proc/sys/vm/overcommit_memory=1', 1),
    ('/vm/overcommit_memory=1', 0),
    ('.vm.overcommit_memory=1', 0),
    ('..vm.overcommit_memory=1', 1),
    ('...vm.overcommit_memory=1', 0),
    ('vm.overcommit_memory.=1', 0),
    ('vm.overcommit_memory/=1', 0),
    ('-vm.overcommit_memory=1', 0),
    ('vm.overcommit_mem*=1', 0),
    ('  # vm.overcommit_memory=1', 0),
    ('; vm.overcommit_memory=1', 0),
    ('vm.overcommit_memory=#1', 0),
    ('vm.overcommit_memory=1 # strict', 1),
    ('vm.overcommit_memory=', 0),
    ('vm.overcommit_memory= ', 0),
    ('vm.overcommit_memory', 0),
    ('vm.overcommit_mem\\\nory=1', 1),
    ('# comment\\\nvm.overcommit_memory=1', 0),
    ('vm.overcommit_memory=1\r', 1),
    ('vm.overcommit_memory=1\0vm', 1),
    ('kernel.panic=1\rvm.overcommit_memory=1', 0),
])
def test_a_line_as_busybox_reads_it(alpine, line, value):
    alpine.put('/etc/sysctl.d/x.conf', line)
    assert boot(alpine).values[MEMORY] == value


def test_lines_keep_their_numbers_where_others_are_continued():
    text = 'a.b=\\\n1\nvm.x = 2\n# c\\\nvm.y = 3\nvm.z = 4'
    found = [(one.key, one.value, one.line) for one in parser.parse_settings('x', text, 'busybox')]
    assert found == [('a/b', '1', 1), ('vm/x', '2', 3), ('vm/z', '4', 6)]


def test_refused_value_ends_the_file_for_busybox(alpine):
    alpine.put('/etc/sysctl.d/10-x.conf', 'vm.panic_on_oom=1\nvm.overcommit_memory=7\nvm.overcommit_ratio=70\n')
    alpine.put('/etc/sysctl.d/20-y.conf', 'kernel.panic=9\n')
    outcome = boot(alpine)
    assert [outcome.values[key] for key in (PANIC_ON_OOM, MEMORY, RATIO, PANIC)] == [1, 0, 50, 9]


def test_busybox_writes_what_is_there_already(alpine):
    alpine.put('/etc/sysctl.d/x.conf', 'vm.overcommit_kbytes=0\n')
    assert boot(alpine).values[RATIO] == 0


# --------------------------------------------------------- OpenRC, sysvinit, runit


def test_openrc_upstream_runs_sysctl_system(alpine):
    alpine.put('/etc/init.d/sysctl', OPENRC)
    assert 'sysctl --system, which busybox lacks' in sysctl_loader.find_loader(alpine).reason
    (alpine.base / 'sbin/sysctl').unlink()
    alpine.put('/usr/bin/sysctl', '')
    alpine.put('/usr/lib/sysctl.d/99-z.conf', 'vm.overcommit_memory = 1\n')
    alpine.put('/etc/sysctl.d/00-a.conf', 'vm.overcommit_memory = 2\n')
    assert sysctl_loader.find_loader(alpine) == sysctl_loader.PROCPS
    assert boot(alpine).values[MEMORY] == 1


def test_where_sysctl_is_not_installed_nothing_is_set(alpine):
    (alpine.base / 'sbin/sysctl').unlink()
    alpine.put('/etc/sysctl.d/00-a.conf', 'vm.overcommit_memory = 2\n')
    assert boot(alpine).values[MEMORY] == 0
    assert '/etc/init.d/sysctl runs sysctl, which is not installed' in sysctl_loader.find_loader(alpine).reason


@pytest.mark.parametrize('rc_link, value', [
    ('/etc/rcS.d/S12procps', 1), ('/etc/rc2.d/S01procps', 1), ('/etc/rc6.d/S12procps', 0), ('/etc/rcS.d/K12procps', 0),
    ('/etc/rcS.d/S12procps-other', 0)])
@pytest.mark.parametrize('is_live', [True, False])
def test_debian_with_sysvinit(tmp_path, rc_link, value, is_live):
    machine = with_sysctl(Machine(tmp_path, defaults=True, init='other'), busybox=False)
    if is_live:
        machine.put('/proc/1/comm', 'init\n')
    machine.put('/sbin/init', '')
    machine.put('/etc/inittab', 'id:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\n#si::sysinit:/sbin/openrc\n')
    machine.put('/etc/init.d/rcS', '#!/bin/sh\nexec /etc/init.d/rc S\n')
    machine.put('/etc/init.d/procps', DEBIAN)
    machine.link(rc_link, '../init.d/procps')
    machine.put('/usr/lib/sysctl.d/99-z.conf', 'vm.overcommit_memory = 1\n')
    assert boot(machine).values[MEMORY] == value
    loader = sysctl_loader.find_loader(machine)
    assert loader.is_known and ('update-rc.d procps defaults' in loader.reason) is (value == 0)


def test_an_image_with_openrc(tmp_path):
    machine = with_sysctl(Machine(tmp_path, defaults=True, init='other'), busybox=True)
    machine.link('/sbin/init', '/bin/busybox')
    machine.put('/etc/inittab', '::sysinit:/sbin/openrc sysinit\n::wait:/sbin/openrc default\n')
    assert sysctl_loader.find_loader(machine) == sysctl_loader.PROCPS, 'a container image, which has no init'
    machine.put('/sbin/openrc', '')
    machine.put('/etc/init.d/sysctl', ALPINE)
    machine.put('/etc/sysctl.d/x.conf', 'vm.overcommit_memory = 1\n')
    assert 'rc-update add sysctl boot' in sysctl_loader.find_loader(machine).reason
    machine.link('/etc/runlevels/boot/sysctl', '/etc/init.d/sysctl')
    assert boot(machine).values[MEMORY] == 1


@pytest.mark.parametrize('comm, is_runit', [('init', False), (None, True), ('runit', True)])
def test_runit_that_only_supervises_services_is_no_init(void, comm, is_runit):
    """As Debian's package runit-run has it; in a container nothing but its folder shows it."""
    (void.base / 'proc/1/comm').unlink()
    if comm:
        void.put('/proc/1/comm', comm + '\n')
    (void.base / 'sbin/init').unlink()
    void.put('/sbin/init', '')
    void.put('/etc/inittab', 'si::sysinit:/etc/init.d/rcS\n')
    void.put('/etc/init.d/procps', DEBIAN)
    void.link('/etc/rcS.d/S12procps', '../init.d/procps')
    assert sysctl_loader.find_loader(void).name == (
        '/etc/runit/core-services/08-sysctl.sh' if is_runit else 'procps')


def test_two_services_that_do_the_same_are_as_good_as_one(alpine):
    (alpine.base / 'sbin/sysctl').unlink()
    alpine.put('/sbin/sysctl', '')
    alpine.put('/etc/init.d/sysctl', OPENRC)
    alpine.put('/etc/init.d/procps', DEBIAN)
    alpine.link('/etc/runlevels/sysinit/procps', '/etc/init.d/procps')
    assert sysctl_loader.find_loader(alpine) == sysctl_loader.PROCPS
    alpine.put('/etc/init.d/procps', 'sysctl -p /etc/sysctl.conf\n')
    loader = sysctl_loader.find_loader(alpine)
    assert not loader.is_known and '/etc/init.d/sysctl, /etc/init.d/procps' in loader.reason


def test_an_image_of_busybox_alone_has_no_init(tmp_path):
    machine = with_sysctl(Machine(tmp_path, defaults=True, init='other'), busybox=True)
    machine.link('/sbin/init', '/bin/busybox')
    assert sysctl_loader.find_loader(machine) == sysctl_loader.PROCPS
    machine.put('/etc/init.d/rcS', '#!/bin/sh\nmount -a\n')
    assert not sysctl_loader.find_loader(machine).is_known


def test_a_script_may_ask_for_the_program(void):
    script(void, '[ -x /sbin/sysctl ] || exit 0\nsysctl -q --system || exit 1\nexit 0\n')
    assert sysctl_loader.find_loader(void) == sysctl_loader.PROCPS


@pytest.mark.parametrize('release, is_known', [('5.15.90.1-microsoft-standard-WSL2', False), ('6.12.1', True)])
def test_wsl_does_not_start_the_init_that_is_installed(tmp_path, release, is_known):
    """/sbin/init is systemd's, and PID 1 a program of WSL. On other kernels systemd has just been installed."""
    machine = with_sysctl(Machine(tmp_path, defaults=True, init='other'), busybox=False)
    machine.put('/proc/1/comm', 'init\n')
    machine.put('/proc/sys/kernel/osrelease', release + '\n')
    machine.put('/usr/lib/systemd/systemd', '')
    machine.link('/sbin/init', '/usr/lib/systemd/systemd')
    loader = sysctl_loader.find_loader(machine)
    assert loader.is_known is is_known
    assert ('systemd=true' in loader.reason) is not is_known
    (machine.base / 'run/systemd/system').mkdir(parents=True)
    assert sysctl_loader.find_loader(machine).name == 'systemd-sysctl'


def test_slackware(tmp_path):
    machine = with_sysctl(Machine(tmp_path, defaults=True, init='other'), busybox=False)
    machine.put('/sbin/init', '')
    machine.put('/etc/inittab', 'si:S:sysinit:/etc/rc.d/rc.S\n')
    machine.put('/etc/rc.d/rc.S', SLACKWARE)
    assert sysctl_loader.find_loader(machine) == sysctl_loader.PROCPS


def test_void_takes_the_first_file_of_a_name_and_sorts_by_name(void):
    void.put('/run/sysctl.d/10-a.conf', 'vm.overcommit_memory = 1\n')
    void.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_memory = 2\nvm.panic_on_oom = 1\n')
    void.put('/usr/lib/sysctl.d/99-z.conf', 'kernel.panic = 5\n')
    void.put('/etc/sysctl.d/50-b.conf', 'kernel.panic = 4\nvm.overcommit_ratio = 70\n')
    void.put('/lib/sysctl.d/99-zz.conf', 'kernel.panic = 6\n')
    void.put('/etc/sysctl.conf', 'vm.overcommit_ratio = 80\n')
    outcome = boot(void)
    assert [outcome.values[key] for key in (MEMORY, PANIC_ON_OOM, PANIC, RATIO)] == [1, 0, 5, 80]


def test_a_link_that_leads_nowhere_keeps_no_name_out_on_void(void):
    void.put('/usr/lib/sysctl.d/10-a.conf', 'vm.overcommit_memory = 1\n')
    void.link('/etc/sysctl.d/10-a.conf', '/nowhere')
    assert boot(void).values[MEMORY] == 1
    (void.base / 'etc/sysctl.d/10-a.conf').unlink()
    void.link('/etc/sysctl.d/10-a.conf', '/dev/null')
    assert boot(void).values[MEMORY] == 0
    (void.base / 'etc/sysctl.d/10-a.conf').unlink()
    void.link('/etc/sysctl.d/10-a.conf', '10-a.conf')  # a circle
    assert boot(void).values[MEMORY] == 1


def test_an_older_void_reads_run_before_etc(void):
    void.put('/etc/runit/core-services/08-sysctl.sh', OLD_VOID)
    void.put('/run/sysctl.d/99-z.conf', 'vm.overcommit_memory = 1\n')
    void.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_memory = 2\nvm.overcommit_ratio = 70\n')
    void.put('/usr/lib/sysctl.d/10-a.conf', 'vm.overcommit_ratio = 60\n')
    outcome = boot(void)
    assert (outcome.values[MEMORY], outcome.values[RATIO]) == (2, 60)


@pytest.mark.parametrize('busybox, value', [(True, 2), (False, 1)])
def test_void_between_the_two(void, busybox, value):
    void.put('/etc/runit/core-services/08-sysctl.sh', VOID_WITH_PROBE)
    (void.base / 'usr/sbin/sysctl').unlink()
    with_sysctl(void, busybox)
    void.put('/run/sysctl.d/99-z.conf', 'vm.overcommit_memory = 1\n')
    void.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_memory = 2\n')
    assert boot(void).values[MEMORY] == value


def test_each_file_is_a_run_of_its_own_for_globs(void):
    """A name in one file keeps a glob off in that file only."""
    void.put('/etc/sysctl.d/10-a.conf', 'vm.overcommit_memory = 1\n')
    void.put('/etc/sysctl.d/20-b.conf', 'vm.overcommit_m* = 2\n')
    assert boot(void).values[MEMORY] == 2


def test_artix_with_runit(void):
    (void.base / 'etc/runit/core-services/08-sysctl.sh').unlink()
    void.put('/usr/lib/rc/sv.d/sysctl', ARTIX_RUNIT)
    void.link('/etc/rc/sysinit/55-sysctl', '/usr/lib/rc/sv.d/sysctl')
    assert sysctl_loader.find_loader(void) == sysctl_loader.PROCPS


# ------------------------------------------------------------------------- unknown


def test_a_service_in_no_runlevel_is_said_with_what_to_do(alpine):
    (alpine.base / 'etc/runlevels/boot/sysctl').unlink()
    alpine.put('/etc/sysctl.d/x.conf', 'vm.overcommit_memory = 1\n')
    with pytest.raises(Refusal) as refused:
        run(alpine, 'overcommit', mode='never', ratio=90)
    assert str(refused.value).endswith('would not be read at boot: the service sysctl of OpenRC is in no runlevel '
                                       '(rc-update add sysctl boot). Change that, or use persistent: false. '
                                       '[OOMK-1407]')
    assert facts(alpine)['boot'][MEMORY] == {'value': 0, 'file': None, 'line': None}
    assert any('rc-update add sysctl boot' in warning for warning in facts(alpine)['warnings'])


def test_lines_of_ours_go_also_where_nothing_reads_them_any_more(alpine):
    run(alpine, 'overcommit', mode='never', ratio=90)
    (alpine.base / 'etc/runlevels/boot/sysctl').unlink()
    (alpine.base / 'var/lib/oomkit/originals.json').unlink()
    run(alpine, 'overcommit', state='absent')
    assert alpine.get('/etc/sysctl.d/99-oomkit.conf') is None


def facts(machine):
    return gather.gather_facts(machine, gather.Request({'boot', 'drift', 'warnings'}, 0, False))


def unknown_init(machine, name='dinit'):
    machine.put('/proc/1/comm', name + '\n')
    return machine


def script(machine, text):
    machine.put('/etc/runit/core-services/08-sysctl.sh', text)


@pytest.mark.parametrize('change', [
    lambda machine: (machine.base / 'etc/runit/core-services/08-sysctl.sh').unlink(),
    lambda machine: machine.put('/etc/runit/core-services/09-sysctl.sh', OLD_VOID),
    lambda machine: script(machine, VOID.replace('sysctl -p "$x"', 'apply "$x"')),
    lambda machine: script(machine, 'find / -name x | xargs sysctl -p\n'),
    lambda machine: script(machine, 'sh -c "sysctl --system"\n'),
    lambda machine: script(machine, '[ "$X" = 1 ] && sysctl --system\n'),
    lambda machine: script(machine, 'if on; then sysctl --system; fi\n'),
    lambda machine: script(machine, 'sysctl --system --pattern "^vm"\n'),
    lambda machine: script(machine, 'sysctl -p /a\nsysctl -w vm.x=1\n'),
    lambda machine: script(machine, 'if [ -e /a ]; then sysctl -p /a; else sysctl -p /b; fi\n'),
    lambda machine: script(machine, '[ -r /etc/sysctl.conf ] || exit 0\nsysctl --system\n'),
    lambda machine: script(machine, 'exit 0\n' + VOID),
    lambda machine: script(machine, 'start() {\n\treturn 0\n\tsysctl --system\n}\n'),
    lambda machine: script(machine, '[ -e /etc/nosysctl ] && exit 0\nsysctl --system\n'),
    lambda machine: script(machine, 'if [ -e /etc/no ]; then\n\texit 0\nfi\nsysctl --system\n'),
    lambda machine: script(machine, 'sysctl -p /a || exit 1\nsysctl -p /b\n'),
    lambda machine: script(machine, '[ -e /etc/other ] && sysctl --system\n'),
    lambda machine: script(machine, 'if [ -e /etc/other ]; then\n\tsysctl --system\nfi\n'),
    lambda machine: script(machine, 'if [ -e /etc/sysctl.conf ]; then\n\tsysctl --system\nfi\n'),
    lambda machine: script(machine, 'if [ -e /etc/sysctl.conf ]; then\n\tsysctl --system\nfi\nsysctl --system\n'),
    lambda machine: script(machine, 'eval "sysctl --system"\n'),
    lambda machine: script(machine, 'exec "/sbin/sysctl" --system\n'),
    lambda machine: script(machine, 'sysctl --system\necho 1 > /proc/sys/vm/panic_on_oom\n'),
    lambda machine: script(machine, VOID.replace('-p "$x"', '-p "$x" || exit 1')),
    lambda machine: script(machine, 'set -e\n' + VOID),
    lambda machine: script(machine, '#!/bin/sh -e\n' + VOID),
    lambda machine: script(machine, '#! /bin/sh -eu\n' + VOID),
    lambda machine: script(machine, 'x=$(sysctl -p /a)\n'),
    lambda machine: script(machine, 'x=`sysctl -p /a`\n'),
    lambda machine: script(machine, 'for i in /etc/sysctl.d/*; do sysctl -p $i; done'),
    lambda machine: script(machine, '"' * 50001),
    lambda machine: script(machine, '#' * 70000 + '\nsysctl --system\n'),
    lambda machine: script(machine, b'\xff\0sysctl\n'),
    lambda machine: script(machine, 'done; fi; esac; done\nsysctl --system'),
    lambda machine: (machine.put('/bin/toybox', ''), (machine.base / 'usr/sbin/sysctl').unlink(),
                     machine.link('/usr/sbin/sysctl', '/bin/toybox')),
])
def test_another_script_is_unknown(void, change):
    change(void)
    loader = sysctl_loader.find_loader(void)
    assert not loader.is_known and loader.reason


@pytest.mark.parametrize('text', [
    'stop() {\n' * 3500, '"\\' * 16000, '"x' * 16000, '$(basename "' * 2700, 'if [ ' * 6000, '# \\\n' * 8000,
    'for i in /etc/sysctl.d/*.conf; do\n' * 900, '\t' * 32000, '>' * 32000, 'DAEMON=/sbin/sysctl\n' * 1600])
def test_a_hostile_script_takes_little_time(void, text):
    script(void, text + 'sysctl --system')
    began_s = time.process_time()
    sysctl_loader.find_loader(void)
    assert time.process_time() - began_s < 2


@pytest.mark.parametrize('name', ['s6-svscan', 'dinit', 'shepherd', 'finit'])
def test_another_init_is_unknown(tmp_path, name):
    machine = unknown_init(Machine(tmp_path, defaults=True, init='other'), name)
    assert not sysctl_loader.find_loader(machine).is_known and name in sysctl_loader.find_loader(machine).reason
    image = Machine(tmp_path / 'image', init='other')
    image.put('/usr/bin/' + name, '')
    image.link('/sbin/init', '/usr/bin/' + name)
    assert not sysctl_loader.find_loader(image).is_known


def test_facts_predict_nothing_for_an_unknown_loader(tmp_path):
    machine = unknown_init(Machine(tmp_path, defaults=True, init='other', **{MEMORY: 1}))
    machine.put('/etc/sysctl.d/x.conf', 'vm.overcommit_memory = 2\n')
    found = facts(machine)
    assert set(found['boot']) == set(ALL_KEYS) and found['drift'] == []
    assert all(one == {'value': None, 'file': None, 'line': None} for one in found['boot'].values())
    assert found['warnings'] == ['boot: ' + boot_facts.UNKNOWN_LOADER % 'its init is dinit'
                                 + ', so that no value after a reboot is predicted [OOMK-2507]']


def test_a_persistent_request_with_an_unknown_loader(tmp_path):
    """The file is written, as with any other init, and its effect is said to be unknown."""
    machine = unknown_init(Machine(tmp_path, defaults=True, init='other', **{RATIO: 80}))
    machine.put('/etc/sysctl.d/zz.conf', 'vm.overcommit_memory = 1\n')
    before = machine.tree()
    result = run(machine, 'overcommit', mode='never', ratio=90)
    assert machine.state[MEMORY] == 2 and 'vm.overcommit_memory = 2\n' in machine.get('/etc/sysctl.d/99-oomkit.conf')
    assert set(result['after']['boot'].values()) == {None} and result['conflicts'] == []
    (warning,) = result['warnings']
    assert 'its init is dinit' in warning and '/etc/sysctl.d/99-oomkit.conf' in warning
    assert not run(machine, 'overcommit', mode='never', ratio=90)['changed']
    assert run(machine, 'overcommit', state='absent')['changed']
    assert (machine.state[MEMORY], machine.state[RATIO], machine.state[KBYTES]) == (0, 80, 0)
    assert machine.tree() == before
    with pytest.raises(Refusal, match='lost at reboot'):
        run(machine, 'overcommit', mode='never', sysctl_file='/run/sysctl.d/x.conf')


def test_unknown_loader_is_assumed_to_apply_the_file(tmp_path):
    machine = unknown_init(Machine(tmp_path, defaults=True, init='other'))
    with pytest.raises(Refusal, match='programs could no longer start'):
        run(machine, 'overcommit', runtime=False, mode='never', ratio=1)
    with pytest.raises(Refusal, match='hang forever'):
        run(machine, 'panic_on_oom', runtime=False, policy='panic')


def test_a_container_is_not_asked_for_its_first_process(tmp_path):
    machine = unknown_init(Machine(tmp_path, defaults=True, init='other'), 'sleep')
    machine.put('/proc/self/status', 'NSpid:\t12\t1\n')
    machine.put('/.dockerenv', '')
    assert sysctl_loader.find_loader(machine) == sysctl_loader.PROCPS


# ---------------------------------------------------------------------------- SUSE

RELEASE = '5.14.21-150400.24.100-default'
OLD_DROP_IN = """[Unit]
RequiresMountsFor=/boot

[Service]
ExecStartPre=-/usr/lib/systemd/systemd-sysctl /boot/sysctl.conf-%v
"""
BOOT_UNIT = """[Unit]
Description=Apply Kernel Variables for %v from /boot
Before=systemd-sysctl.service
ConditionPathExists=!/usr/lib/modules/%v/sysctl.conf
ConditionPathExists=/boot/sysctl.conf-%v

[Service]
Type=oneshot
ExecStart=/usr/lib/systemd/systemd-sysctl /boot/sysctl.conf-%v
"""
KERNEL_UNIT = """[Unit]
Before=systemd-sysctl.service
ConditionPathExists=/usr/lib/modules/%v/sysctl.conf

[Service]
ExecStart=/usr/lib/systemd/systemd-sysctl /usr/lib/modules/%v/sysctl.conf
"""


@pytest.fixture
def suse(tmp_path):
    machine = Machine(tmp_path, defaults=True)
    machine.put('/proc/sys/kernel/osrelease', RELEASE + '\n')
    machine.put('/boot/sysctl.conf-' + RELEASE, 'vm.panic_on_oom = 1\nvm.overcommit_ratio = 60\n')
    machine.put('/boot/sysctl.conf-6.4.0-1-default', 'kernel.panic = 7\n')
    machine.put('/etc/sysctl.d/00-a.conf', 'vm.overcommit_ratio = 70\n')
    return machine


def test_the_file_of_the_kernel_comes_first_on_suse(suse):
    assert boot(suse).values[PANIC_ON_OOM] == 0, 'without the drop-in nothing reads it'
    suse.put('/usr/lib/systemd/system/systemd-sysctl.service.d/50-kernel-uname_r.conf', OLD_DROP_IN)
    outcome = boot(suse)
    assert [outcome.values[key] for key in (PANIC_ON_OOM, RATIO, PANIC)] == [1, 70, 0]
    assert outcome.causes[PANIC_ON_OOM] == ('/boot/sysctl.conf-' + RELEASE, 1)
    suse.put('/etc/sysctl.d/zz.conf', 'vm.overcommit_ratio = 60\n')
    assert boot(suse).values[RATIO] == 60, 'two runs: the equal value keeps no place from the first one'
    suse.link('/etc/systemd/system/systemd-sysctl.service.d/50-kernel-uname_r.conf', '/dev/null')
    assert boot(suse).values[PANIC_ON_OOM] == 0


def test_the_services_of_newer_suse(suse):
    units = '/usr/lib/systemd/system/'
    suse.put(units + 'systemd-sysctl.service.d/50-kernel-uname_r.conf',
             '[Unit]\nWants=kernel-sysctl.service\nWants=boot-sysctl.service\n')
    suse.put(units + 'boot-sysctl.service', BOOT_UNIT)
    suse.put(units + 'kernel-sysctl.service', KERNEL_UNIT)
    assert boot(suse).values[PANIC_ON_OOM] == 1
    suse.put('/usr/lib/modules/%s/sysctl.conf' % RELEASE, 'vm.panic_on_oom = 2\n')
    assert boot(suse).values[PANIC_ON_OOM] == 2
    assert boot(suse).values[RATIO] == 70
    suse.link('/etc/systemd/system/kernel-sysctl.service', '/dev/null')
    assert boot(suse).values[PANIC_ON_OOM] == 0


def test_a_conflict_with_the_file_of_the_kernel_is_none(suse):
    suse.put('/usr/lib/systemd/system/systemd-sysctl.service.d/50-kernel-uname_r.conf', OLD_DROP_IN)
    run(suse, 'panic_on_oom', policy='kill')
    assert boot(suse).values[PANIC_ON_OOM] == 0
