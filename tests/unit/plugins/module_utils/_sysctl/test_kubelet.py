# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file or argument decides whether a kubelet protects the kernel's defaults, for each program that runs one."""

import errno
import os

import pytest
from machine import Machine
from test_competing_writers import runs

from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import competing_writers

CONFIG, FOLDER = '/etc/kubernetes/kubelet/config.json', '/etc/kubernetes/kubelet/config.json.d'
YES, NO = 'protectKernelDefaults: true\n', 'protectKernelDefaults: false\n'
OWN_YES, OWN_NO = 'protect-kernel-defaults: true\n', 'protect-kernel-defaults: false\n'
K3S, RKE2 = '/etc/rancher/k3s/config.yaml', '/etc/rancher/rke2/config.yaml'
K3S_KUBELET, RKE2_KUBELET = ('/var/lib/rancher/%s/agent/etc/kubelet.conf.d' % name for name in ('k3s', 'rke2'))
SERVICE = '/etc/systemd/system/k3s.service'


def decided(machine):
    """(by, how, file) of what is found; all keys of a program agree."""
    return {(one.by, one.how, one.file) for one in competing_writers.find_writers(machine)}


def kubelet(machine, *arguments, pid=40, parent=1):
    runs(machine, 'kubelet', pid, arguments=arguments)
    status = machine.get('/proc/%d/status' % pid)
    machine.put('/proc/%d/status' % pid, status + 'PPid:\t%d\n' % parent)


def service(machine, arguments, path=SERVICE, role='server'):
    machine.put(path, '[Service]\nExecStart=\nExecStart=/usr/local/bin/k3s %s %s\n' % (role, arguments))


# ---------------------------------------------------------------------- kubelet

@pytest.mark.parametrize('files, decision', [
    ({CONFIG: YES}, ('requires', CONFIG)),
    ({CONFIG: NO, FOLDER + '/10-a.conf': YES}, ('requires', FOLDER + '/10-a.conf')),
    ({CONFIG: YES, FOLDER + '/10-a.conf': 'maxPods: 5\n'}, ('requires', CONFIG)),
    ({FOLDER + '/10-a.conf': YES, FOLDER + '/9-a.conf': NO}, ('sets', None)),
    ({FOLDER + '/10-a.conf': NO, FOLDER + '/9-a.conf': YES}, ('requires', FOLDER + '/9-a.conf')),
    ({FOLDER + '/10-a.yaml': YES, FOLDER + '/b': YES}, ('sets', None)),
    # Folders are walked, by name among the files.
    ({FOLDER + '/20-b/1.conf': YES, FOLDER + '/10.conf': NO}, ('requires', FOLDER + '/20-b/1.conf')),
    ({FOLDER + '/20-b/1.conf': YES, FOLDER + '/30.conf': NO}, ('sets', None)),
    ({FOLDER + '/20-b/c/1.conf': YES, FOLDER + '/20-b/b.conf': NO}, ('requires', FOLDER + '/20-b/c/1.conf')),
    # null in a drop-in removes what the file says.
    ({CONFIG: YES, FOLDER + '/1.conf': 'protectKernelDefaults: null\n'}, ('sets', None)),
    ({CONFIG: YES, FOLDER + '/1.conf': 'protectKernelDefaults:\n'}, ('sets', None)),
    ({CONFIG: 'protectKernelDefaults: ~\n'}, ('sets', None)),
    # What YAML 1.1 has for true, and what a kubelet does not start with.
    ({CONFIG: 'protectKernelDefaults: yes\n'}, ('requires', CONFIG)),
    ({CONFIG: 'protectKernelDefaults: Off\n'}, ('sets', None)),
    ({CONFIG: 'protectKernelDefaults: "true"\n'}, (None, None)),
    ({CONFIG: YES + NO}, ('sets', None)),
    # A key of something else, and words in texts.
    ({CONFIG: 'featureGates:\n  protectKernelDefaults: true\n'}, ('sets', None)),
    ({CONFIG: 'x: "protectKernelDefaults: true"\n'}, ('sets', None)),
    ({CONFIG: 'x: |\n  protectKernelDefaults: true\n'}, ('sets', None)),
    ({CONFIG: '{"x": {"protectKernelDefaults": true}}'}, ('sets', None)),
    ({CONFIG: '{"protectKernelDefaults": true}'}, ('requires', CONFIG)),
    ({CONFIG: 'protect-kernel-defaults: true\n'}, ('sets', None)),
    ({CONFIG: NO + '---\n' + YES}, ('sets', None)),
    ({CONFIG: '# ' + YES}, ('sets', None)),
    # What is not understood is unknown, and only where it could matter.
    ({CONFIG: 'a: &x true\nprotectKernelDefaults: *x\n'}, (None, None)),
    ({CONFIG: 'a: &x {protectKernelDefaults: true}\n<<: *x\n'}, (None, None)),
    ({CONFIG: 'tlsCipherSuites: [A,\n  B]\n' + YES}, (None, None)),
    ({CONFIG: 'tlsCipherSuites: [A,\n  B]\n'}, ('sets', None)),
    ({CONFIG: 'protectKernelDefaults: {{ protect }}\n'}, (None, None)),
    ({CONFIG: '{% if x %}\n' + YES + '{% endif %}\n'}, (None, None)),
    ({CONFIG: 'a: [A,\n  B]\n' + YES, FOLDER + '/1.conf': NO}, ('sets', None)),
    ({CONFIG: NO, FOLDER + '/1.conf': 'a: [A,\n  B]\n' + YES}, (None, None)),
    ({CONFIG: '"protectKernel\\x44efaults": true\n'}, (None, None)),
])
def test_the_files_of_a_kubelet_in_their_order(machine, files, decision):
    kubelet(machine, '--config=' + CONFIG, '--config-dir', FOLDER)
    for path, text in files.items():
        machine.put(path, text)
    assert decided(machine) == {('kubelet', *decision)}


@pytest.mark.parametrize('arguments, how', [
    (['--protect-kernel-defaults'], 'requires'), (['--protect_kernel_defaults=1'], 'requires'),
    (['--protect-kernel-defaults=FALSE'], 'sets'), (['--protect-kernel-defaults=yes'], None),
    (['--protect-kernel-defaults=true', '--protect-kernel-defaults=false'], 'sets'),
])
def test_the_last_argument_of_a_kubelet_wins_over_its_files(machine, arguments, how):
    kubelet(machine, '--config=' + CONFIG, '--config-dir=' + FOLDER, *arguments)
    machine.put(CONFIG, NO if how == 'requires' else YES)
    machine.put(FOLDER + '/1.conf', NO if how == 'requires' else YES)
    assert decided(machine) == {('kubelet', how, None)}


def test_of_two_config_arguments_the_last_one_counts(machine):
    kubelet(machine, '--config=/srv/a.yaml', '--config', CONFIG)
    machine.put('/srv/a.yaml', YES)
    assert decided(machine) == {('kubelet', 'sets', None)}
    machine.put(CONFIG, YES)
    assert decided(machine) == {('kubelet', 'requires', CONFIG)}


def test_only_what_an_argument_names_is_read(machine):
    kubelet(machine, '--kubeconfig=/etc/kubernetes/kubelet.conf')
    machine.put('/var/lib/kubelet/config.yaml', YES)
    assert decided(machine) == {('kubelet', 'sets', None)}
    kubelet(machine, '--config=config.yaml')
    assert decided(machine) == {('kubelet', None, None)}  # below a folder that only the kubelet knows


@pytest.mark.parametrize('arguments', [[], ['100000']])
def test_usual_file_counts_if_options_are_unreadable(machine, arguments):
    kubelet(machine, *arguments)
    machine.put('/var/lib/kubelet/config.yaml', YES)
    assert decided(machine) == {('kubelet', 'requires', '/var/lib/kubelet/config.yaml')}
    machine.put('/proc/40/cmdline', '/usr/sbin/other\0--option\0')
    assert decided(machine) == {('kubelet', 'requires', '/var/lib/kubelet/config.yaml')}


def test_links_in_a_folder_of_drop_ins(machine):
    """filepath.WalkDir() of Go follows no folders, and a file is read through its link."""
    kubelet(machine, '--config-dir=' + FOLDER)
    machine.put('/srv/drop-ins/1.conf', YES)
    machine.link(FOLDER + '/1.conf', '/srv/drop-ins/1.conf')
    assert decided(machine) == {('kubelet', 'requires', FOLDER + '/1.conf')}
    (machine.base / FOLDER[1:] / '1.conf').unlink()
    machine.link(FOLDER + '/x', '/srv/drop-ins')
    assert decided(machine) == {('kubelet', 'sets', None)}
    (machine.base / FOLDER[1:] / 'x').unlink()
    (machine.base / FOLDER[1:]).rmdir()
    machine.link(FOLDER, '/srv/drop-ins')
    assert decided(machine) == {('kubelet', 'sets', None)}


def test_a_pipe_among_the_drop_ins_is_not_opened(machine):
    kubelet(machine, '--config-dir=' + FOLDER)
    machine.put(FOLDER + '/1.conf', YES)
    os.mkfifo(machine.base / FOLDER[1:] / '2.conf')
    assert decided(machine) == {('kubelet', 'requires', FOLDER + '/1.conf')}


def test_folders_without_end_are_unknown(machine):
    kubelet(machine, '--config-dir=' + FOLDER)
    machine.put(FOLDER + '/a' * 30 + '/1.conf', YES)
    assert decided(machine) == {('kubelet', None, None)}


@pytest.mark.parametrize('path, unread', [
    (FOLDER, FOLDER), (CONFIG, CONFIG), (RKE2 + '.d', RKE2 + '.d'), (RKE2_KUBELET, RKE2_KUBELET)])
def test_a_folder_that_may_not_be_read_is_unknown(machine, monkeypatch, path, unread):
    if 'rancher' in path:
        runs(machine, 'rke2')
    else:
        kubelet(machine, '--config=' + CONFIG, '--config-dir=' + FOLDER)

    def denying(call):
        def answer(asked, *more):
            if asked == path:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), asked)
            return call(asked, *more)
        return answer
    for name in ('names', 'lstat', 'read_named_file'):
        monkeypatch.setattr(machine, name, denying(getattr(machine, name)))
    denied = []
    assert {one.how for one in competing_writers.find_writers(machine, denied=denied)} == {None} and denied == [unread]


# ----------------------------------------------------- several programs on a host

@pytest.mark.parametrize('path, text', [
    (K3S, OWN_YES), (RKE2, 'profile: cis\n'), (K3S_KUBELET + '/1.conf', YES), (RKE2_KUBELET + '/1.conf', YES),
    (SERVICE, '[Service]\nExecStart=/usr/local/bin/k3s server --protect-kernel-defaults\n'),
    ('/var/snap/microk8s/current/args/kubelet', '--protect-kernel-defaults\n'),
])
def test_files_of_other_programs_do_not_decide_for_a_kubelet(machine, path, text):
    kubelet(machine, '--config=' + CONFIG)
    machine.put(CONFIG, NO)
    machine.put(path, text)
    assert decided(machine) == {('kubelet', 'sets', None)}


@pytest.mark.parametrize('name, by, other', [
    ('k3s-server', 'k3s', RKE2), ('rke2', 'rke2', K3S), ('k3s-server', 'k3s', '/var/lib/kubelet/config.yaml'),
    ('rke2', 'rke2', '/var/lib/kubelet/config.yaml'), ('k3s-server', 'k3s', RKE2_KUBELET + '/1.conf'),
    ('rke2', 'rke2', K3S_KUBELET + '/1.conf'), ('kubelite', 'microk8s', K3S),
    ('kubelite', 'microk8s', '/var/lib/kubelet/config.yaml'),
])
def test_files_of_one_do_not_decide_for_another(machine, name, by, other):
    runs(machine, name)
    machine.put(other, OWN_YES + YES)
    assert decided(machine) == {(by, 'sets', None)}


def test_each_of_several_kubelets_has_its_own_files(machine):
    kubelet(machine, '--config=' + CONFIG, pid=40)
    runs(machine, 'rke2', 41)
    kubelet(machine, '--config-dir=' + RKE2_KUBELET, pid=42, parent=41)
    machine.put(CONFIG, NO)
    machine.put(RKE2, 'profile: cis\n')
    assert decided(machine) == {('kubelet', 'sets', None), ('rke2', 'requires', RKE2)}
    machine.put(CONFIG, YES)
    machine.put(RKE2, OWN_NO)
    assert decided(machine) == {('kubelet', 'requires', CONFIG), ('kubelet', 'sets', None)}


def test_rke2_kubelet_counts_where_configuration_is_silent(machine):
    runs(machine, 'rke2', 41)
    kubelet(machine, '--protect-kernel-defaults=true', pid=42, parent=41)
    assert decided(machine) == {('kubelet', 'requires', None)}


# -------------------------------------------------------------------------- k3s

@pytest.mark.parametrize('files, decision', [
    ({K3S: OWN_YES}, ('requires', K3S)),
    ({K3S: 'protect-kernel-defaults: "true"\n'}, ('requires', K3S)),
    ({K3S: 'protect-kernel-defaults: 1\n'}, ('requires', K3S)),
    ({K3S: 'protect-kernel-defaults: "yes"\n'}, (None, None)),
    ({K3S: 'protect-kernel-defaults: yes\n'}, ('requires', K3S)),
    ({K3S: 'protect-kernel-defaults:\n'}, (None, None)),
    ({K3S: 'profile: cis\n'}, ('sets', None)),  # RKE2 only
    ({K3S: YES}, ('sets', None)),
    # Drop-ins by name after the file, of both endings; a key replaces.
    ({K3S: OWN_NO, K3S + '.d/10-a.yaml': OWN_YES}, ('requires', K3S + '.d/10-a.yaml')),
    ({K3S: OWN_YES, K3S + '.d/10-a.YML': OWN_NO}, ('sets', None)),
    ({K3S + '.d/10-a.yaml': OWN_YES, K3S + '.d/20-a.yaml': OWN_NO}, ('sets', None)),
    ({K3S: OWN_NO, K3S + '.d/10-a.conf': OWN_YES, K3S + '.d/x/10-a.yaml': OWN_YES}, ('sets', None)),
    # kubelet-arg replaces without a plus, and adds with one.
    ({K3S: 'kubelet-arg:\n- v=2\n- "protect-kernel-defaults=true"\n'}, ('requires', K3S)),
    ({K3S: 'kubelet-arg: ["protect-kernel-defaults=true", "v=2"]\n'}, ('requires', K3S)),
    ({K3S: 'kubelet-arg: protect-kernel-defaults\n'}, ('requires', K3S)),
    ({K3S: 'kubelet-arg: --protect-kernel-defaults=true\n'}, ('requires', K3S)),
    ({K3S: 'kubelet-arg:\n- protect-kernel-defaults=true\n', K3S + '.d/1.yaml': 'kubelet-arg:\n- v=2\n'},
     ('sets', None)),
    ({K3S: 'kubelet-arg:\n- protect-kernel-defaults=true\n', K3S + '.d/1.yaml': 'kubelet-arg+:\n- v=2\n'},
     ('requires', K3S)),
    ({K3S: 'kubelet-arg:\n- v=2\n', K3S + '.d/1.yaml': 'kubelet-arg+: protect-kernel-defaults=true\n'},
     ('requires', K3S + '.d/1.yaml')),
    # The kubelet's argument wins over its files, and these over k3s's own flag.
    ({K3S: OWN_YES + 'kubelet-arg:\n- protect-kernel-defaults=false\n'}, ('sets', None)),
    ({K3S: OWN_NO, K3S_KUBELET + '/50-a.conf': YES}, ('requires', K3S_KUBELET + '/50-a.conf')),
    ({K3S: OWN_YES, K3S_KUBELET + '/50-a.conf': NO}, ('sets', None)),
    ({K3S: 'kubelet-arg:\n- protect-kernel-defaults=false\n', K3S_KUBELET + '/50-a.conf': YES}, ('sets', None)),
    # The defaults are written at each start, from the flag.
    ({K3S: OWN_NO, K3S_KUBELET + '/00-k3s-defaults.conf': YES}, ('sets', None)),
    ({K3S_KUBELET + '/00-k3s-defaults.conf': YES}, ('requires', K3S_KUBELET + '/00-k3s-defaults.conf')),
    # What kubelet-arg names is copied into that folder.
    ({K3S: 'kubelet-arg: config=/srv/k.conf\n', '/srv/k.conf': YES, K3S_KUBELET + '/10-cli-config.conf': NO},
     ('requires', None)),
    ({K3S: 'kubelet-arg: config=/srv/k.conf\n', '/srv/k.conf': YES, K3S_KUBELET + '/50-a.conf': NO}, ('sets', None)),
    ({K3S: 'kubelet-arg: config-dir=/srv/k.d\n', '/srv/k.d/1.conf': YES, K3S_KUBELET + '/10-a.conf': NO},
     ('requires', None)),
    # Up to 1.31 there is no such folder, and the flag is an argument of the kubelet.
    ({K3S: OWN_YES + 'kubelet-arg: config=/srv/k.conf\n', '/srv/k.conf': NO}, ('requires', K3S)),
    ({K3S: OWN_NO + 'kubelet-arg: config=/srv/k.conf\n', '/srv/k.conf': YES}, ('requires', None)),
    # The folder of data.
    ({K3S: 'data-dir: /data/k3s\n', '/data/k3s/agent/etc/kubelet.conf.d/1.conf': YES, K3S_KUBELET + '/1.conf': NO},
     ('requires', None)),
    # What is not understood is unknown, and only where it could matter.
    ({K3S: 'kubelet-arg: [v=2,\n  protect-kernel-defaults=true]\n'}, (None, None)),
    ({K3S: 'tls-san: [a,\n  b]\n' + OWN_YES}, (None, None)),
    ({K3S: 'tls-san: [a,\n  b]\n' + OWN_YES, K3S + '.d/1.yaml': OWN_NO}, ('sets', None)),
    ({K3S: 'kubelet-arg: &x\n- protect-kernel-defaults=true\n'}, (None, None)),
    ({K3S: 'kubelet-arg: &x\n- v=2\n', K3S + '.d/1.yaml': 'kubelet-arg+: protect-kernel-defaults=false\n'},
     ('sets', None)),
    ({K3S: 'tls-san: [a,\n  b]\n'}, ('sets', None)),
    ({K3S: 'protect-kernel-defaults: {{ x }}\n'}, (None, None)),
])
def test_the_files_of_k3s_in_their_order(machine, files, decision):
    runs(machine, 'k3s-server')
    for path, text in files.items():
        machine.put(path, text)
    assert decided(machine) == {('k3s', *decision)}


@pytest.mark.parametrize('arguments, files, decision', [
    ('--protect-kernel-defaults', {}, ('requires', SERVICE)),
    ('--protect-kernel-defaults=false', {K3S: OWN_YES}, ('sets', None)),
    ("'--kubelet-arg=protect-kernel-defaults=true'", {K3S: 'kubelet-arg: protect-kernel-defaults=false\n'},
     ('requires', SERVICE)),
    ('--kubelet-arg protect-kernel-defaults=true', {}, ('requires', SERVICE)),
    ('--kubelet-arg=v=2', {K3S: 'kubelet-arg: protect-kernel-defaults=true\n'}, ('requires', K3S)),
    ('--config /srv/k3s.yaml', {'/srv/k3s.yaml': OWN_YES, K3S: OWN_NO}, ('requires', None)),
    ('-c=/srv/k3s.yaml -c /srv/other.yaml', {'/srv/k3s.yaml.d/1.yaml': OWN_YES, '/srv/other.yaml': OWN_NO},
     ('requires', None)),
    ('--config=https://example.org/k3s.yaml', {}, (None, None)),
    ('-d /data', {'/data/agent/etc/kubelet.conf.d/1.conf': YES}, ('requires', None)),
])
def test_k3s_arguments_of_the_unit_come_after_its_files(machine, arguments, files, decision):
    runs(machine, 'k3s-server')
    service(machine, arguments)
    for path, text in files.items():
        machine.put(path, text)
    assert decided(machine) == {('k3s', *decision)}


@pytest.mark.parametrize('arguments, environment, decision', [
    ('$K3S_EXEC_OPTS', '', (None, None)), ('--v=2 $K3S_ARGS', '', (None, None)), ('${FIRST} --v=2', '', (None, None)),
    ('$K3S_ARGS', 'K3S_ARGS=--disable=traefik --protect-kernel-defaults\0', ('requires', SERVICE)),
    ('${K3S_ARGS}', 'K3S_ARGS=--protect-kernel-defaults\0', ('requires', SERVICE)),
    ('$K3S_ARGS', 'K3S_ARGS=\0X=--protect-kernel-defaults\0', ('sets', None)),
    ('--token=${TOKEN} --node-ip=$IP', '', ('sets', None)),
])
def test_arguments_of_k3s_may_be_in_a_variable(machine, arguments, environment, decision):
    runs(machine, 'k3s-server')
    service(machine, arguments)
    machine.put('/proc/40/environ', environment)
    assert decided(machine) == {('k3s', *decision)}


def test_a_script_that_starts_k3s_hides_its_arguments(machine):
    runs(machine, 'k3s-server')
    machine.put(SERVICE, '[Service]\nExecStart=/opt/start-k3s.sh\n')
    assert decided(machine) == {('k3s', None, None)}


SCRIPT = '/etc/init.d/k3s'


@pytest.mark.parametrize('arguments, decision', [
    ("server \\\n\t'--protect-kernel-defaults' \\\n\t'--disable' \\\n\t'traefik' \\\n    >>/var/log/k3s.log 2>&1",
     ('requires', SCRIPT)),
    ("server \\\n\t'--kubelet-arg=protect-kernel-defaults=true'\n    >>/var/log/k3s.log 2>&1", ('requires', SCRIPT)),
    ('server >>/var/log/k3s.log 2>&1', ('sets', None)),
    ('server --note=\\"a\\" --protect-kernel-defaults', ('requires', SCRIPT)),
    ('server ${ENGINE} --https-listen-port ${PORT} ${K3S_EXEC:-}', (None, None)),
    ('${K3S_EXEC:-server} ${K3S_OPTS}', (None, None)),
])
def test_the_arguments_of_k3s_come_from_its_script_with_openrc(tmp_path, arguments, decision):
    """As its installer writes it, and Rancher Desktop's."""
    machine = Machine(tmp_path, init='openrc')
    runs(machine, 'k3s-server')
    machine.put(SCRIPT, '#!/sbin/openrc-run\nsupervisor=supervise-daemon\nname=k3s\ncommand="/usr/local/bin/k3s"\n'
                        'command_args="%s"\n\noutput_log=/var/log/k3s.log\n' % arguments)
    assert decided(machine) == {('k3s', *decision)}


def test_the_unit_is_that_of_the_role_with_its_drop_ins(machine):
    runs(machine, 'k3s-agent')
    service(machine, '--protect-kernel-defaults')
    assert decided(machine) == {('k3s', 'sets', None)}
    service(machine, '', '/etc/systemd/system/k3s-agent.service', 'agent')
    drop_in = '/etc/systemd/system/k3s-agent.service.d/own.conf'
    service(machine, '--protect-kernel-defaults', drop_in, 'agent')
    assert decided(machine) == {('k3s', 'requires', drop_in)}


def test_variables_of_k3s_say_where_its_files_are(machine):
    runs(machine, 'k3s-server')
    service(machine, '--config /srv/no.yaml')
    machine.put('/srv/no.yaml', OWN_NO)
    machine.put('/srv/yes.yaml', OWN_YES)
    machine.put('/proc/40/environ', 'K3S_TOKEN=hunter2\0RKE2_CONFIG_FILE=/srv/no.yaml\0K3S_CONFIG_FILE=/srv/yes.yaml\0')
    assert decided(machine) == {('k3s', 'requires', None)}
    machine.put('/proc/40/environ', 'K3S_DATA_DIR=/data\0')
    machine.put('/data/agent/etc/kubelet.conf.d/1.conf', YES)
    assert decided(machine) == {('k3s', 'requires', None)}


# ------------------------------------------------------------------------- RKE2

@pytest.mark.parametrize('files, decision', [
    ({RKE2: 'profile: cis\n'}, ('requires', RKE2)),
    ({RKE2: 'profile: "cis-1.23"\n'}, ('requires', RKE2)),
    ({RKE2: 'profile: cis\n', RKE2 + '.d/1.yaml': 'profile: etcd\n'}, ('sets', None)),
    ({RKE2: 'x:\n  profile: cis\n'}, ('sets', None)),
    ({RKE2: 'profile: *x\n'}, (None, None)),
    # RKE2 itself compares the sysctls with this profile, whatever the kubelet's options are.
    ({RKE2: 'profile: cis\nkubelet-arg: protect-kernel-defaults=false\n', RKE2_KUBELET + '/1.conf': NO},
     ('requires', RKE2)),
    ({RKE2: OWN_YES}, ('requires', RKE2)),
    ({RKE2: OWN_NO, RKE2_KUBELET + '/1.conf': YES}, ('requires', RKE2_KUBELET + '/1.conf')),
    ({RKE2_KUBELET + '/00-rke2-defaults.conf': YES}, ('requires', RKE2_KUBELET + '/00-rke2-defaults.conf')),
    ({'/usr/local/lib/systemd/system/rke2-agent.service':
      '[Service]\nExecStart=/usr/local/bin/rke2 agent --profile=cis\n'},
     ('requires', '/usr/local/lib/systemd/system/rke2-agent.service')),
    ({'/usr/lib/systemd/system/rke2-server.service': '[Service]\nExecStart=/usr/bin/rke2 server --profile=cis\n'},
     ('sets', None)),
    ({'/proc/40/environ': 'RKE2_CIS_PROFILE=cis\0'}, ('requires', None)),
    ({'/proc/40/environ': 'RKE2_CIS_PROFILE=cis\0', RKE2: 'profile: etcd\n'}, ('sets', None)),
])
def test_the_sources_of_rke2_in_their_order(machine, files, decision):
    runs(machine, 'rke2')
    machine.put('/proc/40/cmdline', '/usr/local/bin/rke2 agent\0\0\0')
    for path, text in files.items():
        machine.put(path, text)
    assert decided(machine) == {('rke2', *decision)}


# --------------------------------------------------------------------- MicroK8s

@pytest.mark.parametrize('text, files, decision', [
    ('--protect-kernel-defaults=true\n', {}, ('requires', '/var/snap/microk8s/current/args/kubelet')),
    ('# --protect-kernel-defaults=true\n--root-dir="${SNAP_COMMON}/x"\n', {}, ('sets', None)),
    ('--config=${SNAP_DATA}/k.yaml\n', {'/var/snap/microk8s/current/k.yaml': YES},
     ('requires', '/var/snap/microk8s/current/args/kubelet')),
    ('', {'/var/lib/kubelet/config.yaml': YES}, ('sets', None)),
])
def test_the_arguments_of_the_kubelet_within_microk8s(machine, text, files, decision):
    runs(machine, 'kubelite')
    machine.put('/var/snap/microk8s/current/args/kubelet', text)
    for path, content in files.items():
        machine.put(path, content)
    assert decided(machine) == {('microk8s', *decision)}
