# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of others at their worst, for each parser, in any size."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS.parent / 'tools')]

import collection  # noqa: E402

collection.lay()

from ansible_collections.oomkit.linux.plugins.module_utils._core import convert as core_convert  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._core import sanitize  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._daemon import nohang, systemd_oomd  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._forecast import numa  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._host import (  # noqa: E402
    conf_files,
    container,
)
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import (  # noqa: E402
    kill_log,
    meminfo,
    sysctls,
)
from ansible_collections.oomkit.linux.plugins.module_utils._process import (  # noqa: E402
    cgroup_unit,
    inheritance,
    table,
)
from ansible_collections.oomkit.linux.plugins.module_utils._process.handle import ProcessIdentity  # noqa: E402
from ansible_collections.oomkit.linux.plugins.module_utils._service import (  # noqa: E402
    login_guard,
    openrc,
    session_units,
)
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import (  # noqa: E402
    boot_script,
    competing_writers,
    file_edit,
    kubelet,
    loader,
    parser,
    records,
    simple_yaml,
    tuned,
    tuned_config,
    tuned_start,
)
from ansible_collections.oomkit.linux.plugins.module_utils._systemd import (  # noqa: E402
    drop_in,
    unit_files,
    unit_names,
    version,
)

KEY = 'vm.overcommit_memory'
SYSCTLS = ['vm/overcommit_memory', 'vm/panic_on_oom']


def _amount(text: str) -> object:
    """What an option says, or why that is none."""
    answers = []
    for convert in (core_convert.to_amount, core_convert.to_integer):
        try:
            answers.append(convert('x', text))
        except core_convert.ConvertError as exc:
            answers.append(exc)
    return answers


def _unit_name(text: str) -> object:
    try:
        return unit_names.to_unit('name', text)
    except core_convert.ConvertError as exc:
        return exc


def _writes(text: str) -> object:
    settings = list(parser.parse_settings('x', text))
    return [parser.writes(dialect, settings, SYSCTLS) for dialect in (conf_files.SYSTEMD, conf_files.PROCPS)]


def _busybox(text: str) -> object:
    return list(parser.parse_settings('x', text, conf_files.BUSYBOX))


def _script(text: str) -> object:
    return boot_script.parse_script(text, loader.PROCPS.sources[0], True)


def _chain(count: int) -> list[ProcessIdentity]:
    """Processes: each one has the next one as its child."""
    return [ProcessIdentity(pid, pid - 1, 1, b'x', 5 if pid == 2 else 0) for pid in range(2, count + 2)]


# By name: what makes an input of n characters or lines, what reads it, and n.
PARSERS = {
    # ------------------------------------------------------------------- unit files
    'unit file, lines that go on': (lambda n: b'a\\\n' * n, unit_files.parse, 20000),
    'unit file, comments between lines that go on': (lambda n: b'a\\\n#\\\n' * n, unit_files.parse, 10000),
    'unit file, comments alone': (lambda n: b'#\\\n' * n, unit_files.parse, 20000),
    'unit file, ends of lines': (lambda n: b'\n\r\0' * n, unit_files.parse, 20000),
    'unit file, carriage returns': (lambda n: b'\r' * n, unit_files.parse, 40000),
    'unit file, backslashes': (lambda n: b'x' + b'\\' * n + b'\n', unit_files.parse, 40000),
    'unit file, backslashes on each line': (lambda n: (b'\\' * 100 + b'\n') * (n // 100), unit_files.parse, 40000),
    'unit file, blanks': (lambda n: b' ' * n, unit_files.parse, 40000),
    'unit file, marks of byte order': (lambda n: b'\xef\xbb\xbf' * n, unit_files.parse, 40000),
    'unit file, no UTF-8': (lambda n: b'\xff\n' * n, unit_files.parse, 20000),
    'unit file, assignments': (lambda n: b'[Service]\n' + b'OOMScoreAdjust=-5\n' * n, unit_files.parse_settings, 20000),
    'unit file, lines of an old systemd': (lambda n: b'x' * n + b'\0\r' * n,
                                           lambda data: unit_files.split_physical_lines(data, 219), 50000),
    'unit file, includes of an old systemd': (lambda n: b'.include x\n' * n,
                                              lambda data: unit_files.parse(data, 219), 20000),
    'name of a unit, kinds': (lambda n: 'actions.runner.' + '.service.' * n, login_guard.match_unit, 20000),
    'unit file, a long number': (lambda n: '0' * n, unit_files.parse_score_adj, 200000),
    'drop-in of ours, edited': (lambda n: b'[Service]\n' + b'OOMScoreAdjust=1\n\\\n' * n,
                                lambda data: drop_in.edit(data, {'OOMScoreAdjust': 3}), 20000),
    'drop-in of ours, headers': (lambda n: (drop_in.HEADER + '\n').encode() * n,
                                 lambda data: drop_in.edit(data, {'OOMScoreAdjust': 3}), 10000),
    'drop-in of ours, reverted': (lambda n: b'[Service]\n\r\0' * n, drop_in.without_ours, 20000),
    'name of a unit, dashes': (lambda n: 'a-' * (n // 2) + '.service', unit_names.list_drop_in_names, 250),
    'name of a unit': (lambda n: 'a' * n, _unit_name, 200000),
    # ---------------------------------------------------------------------- sysctl.d
    'sysctl.d, values that change': (lambda n: ''.join('x%d = 1\nx%d = 2\n' % (one, one) for one in range(n)), _writes,
                                     10000),
    'sysctl.d, one key': (lambda n: ''.join('a.b%d=%d\n' % (one % 5000, one) for one in range(n)), _writes, 20000),
    'sysctl.d, globs': (lambda n: 'vm/*%s*=1\n' % ('*o' * (n // 2)), _writes, 1000),
    'sysctl.d, different globs': (lambda n: ''.join('vm/*o*%d*=1\n' % one for one in range(n)), _writes, 1000),
    'sysctl.d, brackets': (lambda n: 'vm/%s=1\n' % ('[' * n), _writes, 20000),
    'sysctl.d, brackets that end': (lambda n: 'vm/%s=1\n' % ('[]-' * n), _writes, 5000),
    'sysctl.d, ranges': (lambda n: 'vm/[%s]=1\n' % ('z-a' * n), _writes, 2000),
    'sysctl.d, separators': (lambda n: '/' * n + '=1\n', _writes, 200000),
    'sysctl.d, dots': (lambda n: '.' * n + '=1\n', _writes, 200000),
    'sysctl.d, carriage returns': (lambda n: 'a=1\r' * n, _writes, 20000),
    'sysctl.d of busybox, lines that go on': (lambda n: 'a\\\n' * n, _busybox, 50000),
    'sysctl.d of busybox, separators': (lambda n: '/proc/sys/' + './' * n + '=1\n', _busybox, 100000),
    'boot script, functions': (lambda n: 'stop() {\n' * n, _script, 1000),
    'boot script, quotes': (lambda n: '"\\' * n, _script, 10000),
    'boot script, loops': (lambda n: 'for i in /etc/sysctl.d/*.conf; do\n' * n, _script, 900),
    'sysctl.d, lines': (lambda n: '\n' * n, _writes, 100000),
    'sysctl.d, comments out and in': (lambda n: '\r' * n + 'x', lambda text: file_edit.restore(
        file_edit.comment_out(text, 1), [KEY]), 20000),
    'sysctl.d, blanks after ends': (lambda n: '\r ' * n, lambda text: file_edit.comment_out(text, 1), 20000),
    'sysctl.d, blanks after one end': (lambda n: '\r' + ' ' * n, lambda text: file_edit.comment_out(text, 1), 20000),
    'sysctl.d, an edit': (lambda n: 'vm.overcommit_memory%s=1 %s\n' % (' ' * n, '\t' * n),
                          lambda text: file_edit.edit(text, {KEY: 2}), 50000),
    'sysctl.d, an edit with ends': (lambda n: 'vm.overcommit_memory=1%s\n' % ('\r' * n),
                                    lambda text: file_edit.edit(text, {KEY: 2}), 50000),
    'sysctl.d, an edit of many lines': (lambda n: 'vm.overcommit_memory=1\n' * n,
                                        lambda text: file_edit.edit(text, {KEY: 2}), 10000),
    'sysctl, a long number': (lambda n: '1' * n, records.SYSCTLS[KEY].parse_written, 200000),
    'sysctl, blanks': (lambda n: ' ' * n + 'x', records.SYSCTLS[KEY].parse_written, 200000),
    'sysctl, a value': (lambda n: '1' * n, sysctls.parse_value, 5000),
    'lines of any file': (lambda n: 'x' * n + '\n' * n, conf_files.split_lines, 100000),
    # ------------------------------------------------------------------------- OpenRC
    'OpenRC, blanks': (lambda n: b' ' * n + b'SSD_OOM_SCORE_ADJ', lambda data: openrc.find_cause('x', data), 100000),
    'OpenRC, variables': (lambda n: b';SSD_OOM_SCORE_ADJ=' * n, lambda data: openrc.find_cause('x', data), 20000),
    'OpenRC, an edit': (lambda n: b'export SSD_OOM_SCORE_ADJ=5  # oomkit.linux\n' * n,
                        lambda data: openrc.edit(data, 3), 20000),
    # -------------------------------------------------------------- programs that set sysctls
    'YAML, keys': (lambda n: 'protectKernelDefaults: true\n' * n, simple_yaml.read, 20000),
    'YAML, blanks': (lambda n: 'a' + ' ' * n + 'b:' + ' ' * n + '#', simple_yaml.read, 100000),
    'YAML, lines': (lambda n: '\n' * n, simple_yaml.read, 100000),
    'YAML, items': (lambda n: 'a:\n' + '- b\n' * n, simple_yaml.read, 20000),
    'YAML, dashes': (lambda n: 'a:\n' + '- ' * n, simple_yaml.read, 50000),
    'YAML, blanks after dashes': (lambda n: 'a:\n-' + ' ' * n + '-' + ' ' * n + 'x', simple_yaml.read, 50000),
    'YAML, a list': (lambda n: 'a: [' + 'b,' * n + ']', simple_yaml.read, 20000),
    'YAML, a list of quotes': (lambda n: 'a: [' + '"b" ,' * n + ']', simple_yaml.read, 20000),
    'YAML, a list of blanks': (lambda n: 'a: [b' + ' ' * n + '"c"]', simple_yaml.read, 50000),
    'YAML, brackets': (lambda n: 'a: ' + '[' * n, simple_yaml.read, 50000),
    'YAML, brackets and quotes': (lambda n: 'a: [' + '"\\' * n, simple_yaml.read, 50000),
    'YAML, quotes': (lambda n: 'a: ' + "'" * n + 'x', simple_yaml.read, 50000),
    'YAML, escapes': (lambda n: 'a: "' + '\\"' * n, simple_yaml.read, 50000),
    'YAML, colons': (lambda n: 'a: b' + ':' * n, simple_yaml.read, 50000),
    'YAML, comments': (lambda n: 'a: b' + ' #' * n, simple_yaml.read, 50000),
    'YAML, quotes on lines': (lambda n: 'a:\n' + '  - "b"\n' * n, simple_yaml.read, 20000),
    'JSON, depth': (lambda n: '{"a":' * n, simple_yaml.read, 20000),
    'JSON, a long number': (lambda n: '{"a": ' + '1' * n + '}', simple_yaml.read, 100000),
    'MicroK8s, quotes': (lambda n: '--a="' * n, kubelet._words, 5000),
    'MicroK8s, lines': (lambda n: "--a='b'\n" * n, kubelet._words, 5000),
    'k3s, kubelet-arg': (lambda n: ['--a=b'] * n, kubelet._last_flag, 20000),
    'kdump-tools, blanks': (lambda n: ' ' * n, competing_writers._SHELL_ASSIGNMENT.findall, 100000),
    'kdump-tools, exports': (lambda n: 'export ' * n, competing_writers._SHELL_ASSIGNMENT.findall, 20000),
    'kdump-tools, words': (lambda n: 'a' * n, competing_writers._SHELL_ASSIGNMENT.findall, 100000),
    'kdump-tools, quotes': (lambda n: 'a="' * n, competing_writers._SHELL_ASSIGNMENT.findall, 20000),
    'kdump-tools, quotes on lines': (lambda n: 'a="\n' * n, competing_writers._SHELL_ASSIGNMENT.findall, 20000),
    'TuneD, sections': (lambda n: ''.join('[s%d]\na=1\n' % one for one in range(n)), tuned_config.sections, 1000),
    'TuneD, values that go on': (lambda n: '[a]\nb=1\n' + ' c\n' * n, tuned_config.sections, 5000),
    'TuneD, blanks before a sign': (lambda n: '[a]\n' + ('b%s\n' % (' ' * 255 + 'c')) * n, tuned_config.sections, 50),
    'TuneD, words to drop': (lambda n: ' - , ' * n, tuned.split_drop, 1000),
    'TuneD, a list': (lambda n: '\n' * n, tuned.split_drop, 50000),
    'TuneD, a list of blanks': (lambda n: ' ,' + ' \n' * n, tuned.split_drop, 50000),
    'TuneD, its own list of folders': (lambda n: 'SYSCTL_CONFIG_DIRS = [' * n, tuned_start._FOLDER_LIST.search, 5000),
    # ------------------------------------------------------------ daemons that kill
    'systemd, a fraction': (lambda n: '1' * n, systemd_oomd.parse_fraction, 100000),
    'systemd, a fraction and blanks': (lambda n: '1' + ' ' * n, systemd_oomd.parse_fraction, 100000),
    'systemd, a span': (lambda n: '1s ' * n, systemd_oomd.parse_span_s, 20000),
    'systemd, a span of digits': (lambda n: '1' * n, systemd_oomd.parse_span_s, 20000),
    'systemd, a span and blanks': (lambda n: '1' + ' ' * n + '!', systemd_oomd.parse_span_s, 20000),
    'systemd, a span of letters': (lambda n: '1' + 'a' * n, systemd_oomd.parse_span_s, 100000),
    'nohang, settings': (lambda n: 'a%s = 1\n' % (' ' * n), nohang.parse_config, 100000),
    'a script, blanks': (lambda n: b' ' * n + b'export' + b' ' * n, session_units.find_script_evidence, 100000),
    'a script, programs': (lambda n: b'exec env' + b' env;' * n, session_units.find_script_evidence, 20000),
    'a script, assignments': (lambda n: b'command=' + b'a' * n, session_units.find_script_evidence, 100000),
    # --------------------------------------------------------------------- the kernel
    'zones without pages': (lambda n: 'Node 0, zone x\n' + 'a\n' * n, numa.parse_present_pages, 50000),
    'many zones without pages': (lambda n: 'Node 0, zone x\n' * n, numa.parse_present_pages, 20000),
    'zones, blanks': (lambda n: 'Node 0, zone x\n' + ' ' * n + 'present' + ' ' * n, numa.parse_present_pages, 50000),
    'zones, blanks in a name': (lambda n: 'Node 0, zone ' + ' ' * n, numa.parse_present_pages, 50000),
    'meminfo': (lambda n: 'a' * n, meminfo.parse_meminfo, 100000),
    'meminfo, blanks': (lambda n: 'MemTotal:' + ' ' * n + '\n' * n, meminfo.parse_meminfo, 50000),
    'status, groups': (lambda n: b'Name:\tx\nGroups:\t' + b'1 ' * n + b'\nVmRSS:\t 1 kB\n', table.parse_memory_kb,
                       100000),
    'cgroup, hierarchies': (lambda n: b'1:a,b:/x\n' * n, table.parse_cgroup, 20000),
    'cgroup, controllers': (lambda n: b'1:' + b'a,' * n, table.parse_cgroup, 50000),
    'cgroup, depth': (lambda n: b'0::' + b'/a' * n, table.parse_cgroup, 20000),
    'cgroup, services of users': (lambda n: b'0::' + b'/user@1.service' * n, table.parse_cgroup, 20000),
    'cgroup, a long name': (lambda n: b'0::/' + b'.' * n, table.parse_cgroup, 100000),
    'cgroup, slices': (lambda n: b'/a.slice' * n, cgroup_unit.parse_unit, 20000),
    'cgroup, a name with dots': (lambda n: b'/' + b'.service' * n, cgroup_unit.parse_unit, 20000),
    'cgroup, PID 1 in a container': (lambda n: b'0::' + b'/a' * n + b'/init.scope',
                                     lambda text: cgroup_unit.find_unit(text, text), 20000),
    'cgroup, a name with two parts': (lambda n: b'/' + b'a@' * n, cgroup_unit.parse_unit, 50000),
    'cgroup, a container': (lambda n: '/docker' * n, container._CGROUP.search, 50000),
    'environment, names': (lambda n: '\0container=' * n, container._VARIABLE.findall, 20000),
    'environment, one name': (lambda n: 'container=' * n, container._VARIABLE.findall, 20000),
    'mount options, folders': (lambda n: 'overlay=' + '/a' * n, container.find_engine, 20000),
    'mount options, signs': (lambda n: '=/' * n, container.find_engine, 20000),
    'mount options, layers': (lambda n: ':/a' * n, container.find_engine, 20000),
    'status, PID namespaces': (lambda n: 'NSpid:' + ' ' * n + '\n' * n, container._PIDS.search, 50000),
    'status, lines of PID namespaces': (lambda n: 'NSpid:\n' * n, container._PIDS.search, 20000),
    'systemd, its version': (lambda n: b'libsystemd-shared-' * n, version._NAMED.search, 20000),
    'systemd, words of its version': (lambda n: b'systemd 1' * n, version._NAMED.search, 20000),
    'vmstat': (lambda n: 'oom_kill ' * n + '\n' * n, kill_log.parse_kill_count, 50000),
    'a chain of processes': (_chain, lambda seen: inheritance.split_processes(seen, lambda one: one.score_adj != 5),
                             500),
    # ---------------------------------------------------------------------- options
    'a size': (lambda n: '1' * n, _amount, 100000),
    'a size and blanks': (lambda n: '1' + ' ' * n + 'x', _amount, 100000),
    'a percentage': (lambda n: '1.' + '1' * n + '%', _amount, 100000),
    'an integer': (lambda n: '1' * n, _amount, 100000),
    'a name with control characters': (lambda n: b'\x1b' * n, sanitize.sanitize, 50000),
}
