# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a kubelet runs with protectKernelDefaults, by the configuration of the program that starts it.

The kubelet, k3s, RKE2 and MicroK8s each have their own files and arguments. Sources:

- kubelet: NewKubeletCommand() and mergeKubeletConfigurations() in cmd/kubelet/app/server.go of Kubernetes. The file of
  --config, then --config-dir with its folders below, by name, *.conf only; arguments win.
- k3s: readConfigFile() in pkg/configfilearg/parser.go, extractConfigArgs() and writeKubeletConfig() in
  pkg/daemons/agent/agent.go, get() in pkg/agent/config/config.go; up to 1.31 kubeletArgs() in agent_linux.go there.
- RKE2: the same code of k3s with other names, and validateProfile() in pkg/cli/cmds/profile_linux.go.
"""

import os
import re
import shlex
import stat
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .._core.text import to_text
from .._host.conf_files import read_program_file
from .._host.host import Host
from .._process.procfs import Proc
from . import simple_yaml


# The answer of the source that wins.
class Said(NamedTuple):
    protects: Optional[bool]  # None if the source is unreadable or not understood
    file: Optional[str]  # None for an argument, or a file that only an argument names


_NOT_KNOWN = Said(None, None)
# The value of an option of k3s or RKE2 (None if unknown), and its file.
Option = Tuple[Optional[str], Optional[str]]


class Start(NamedTuple):
    arguments: List[str]
    file: Optional[str]  # the unit file that has them
    variables: Dict[str, str]  # the environment variables in _VARIABLES, without the program's prefix
    are_all_known: bool  # False if an unknown variable may hold more arguments


_FIELD, _FLAG = 'protectKernelDefaults', 'protect-kernel-defaults'
KUBELET_CONFIG = '/var/lib/kubelet/config.yaml'
MICROK8S_ARGUMENTS = '/var/snap/microk8s/current/args/kubelet'
_MICROK8S_DATA = '/var/snap/microk8s/current'
# Results may name these paths of kubeadm, EKS and Kubespray. Others come from a command line, which is secret.
_KNOWN = (KUBELET_CONFIG, '/etc/kubernetes/kubelet/kubelet-config.json', '/etc/kubernetes/kubelet/config.json',
          '/etc/kubernetes/kubelet-config.yaml', '/etc/rancher/k3s/config.yaml', '/etc/rancher/rke2/config.yaml')
_KNOWN_FOLDERS = ('/etc/kubernetes/kubelet/config.json.d/', '/etc/rancher/k3s/config.yaml.d/',
                  '/etc/rancher/rke2/config.yaml.d/', '/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/',
                  '/var/lib/rancher/rke2/agent/etc/kubelet.conf.d/')
_NAMED = 'the file that an argument of %s names'

# YAML 1.1, and strconv.ParseBool of Go.
_BOOLEANS = {**dict.fromkeys(('true', 'True', 'TRUE', 'yes', 'Yes', 'YES', 'on', 'On', 'ON'), True),
             **dict.fromkeys(('false', 'False', 'FALSE', 'no', 'No', 'NO', 'off', 'Off', 'OFF'), False)}
_GO_BOOLEANS = {**dict.fromkeys(('1', 't', 'T', 'true', 'TRUE', 'True'), True),
                **dict.fromkeys(('0', 'f', 'F', 'false', 'FALSE', 'False'), False)}
_OPTIONS = (_FLAG, 'kubelet-arg', 'data-dir', 'profile')
_MOST_DROP_INS, _MOST_DEPTH = 1000, 20
_LONGEST_LINE = 10000  # the time of shlex grows with the square of a word's length
# k3s copies the files that kubelet-arg names for --config and --config-dir to these names.
_COPIES = {'10-cli-config.conf': 'config', '20-cli-config-dir': 'config-dir'}

_VARIABLES = ('CONFIG_FILE', 'DATA_DIR', 'CIS_PROFILE')
_ROLES = ('server', 'agent')
_SERVICE = '.service'
_UNKNOWN_WORDS = '$'  # an unknown variable, for arguments that a script passes on
_VARIABLE = re.compile(r'\$(?:\{(\w+)[^}]*\}|(\w+))\Z')
# As k3s's installer writes it into its OpenRC script, with a redirection at its end.
_COMMAND_ARGS = re.compile(r'^[ \t]*command_args="((?:[^"\\]|\\.)*)"', re.MULTILINE | re.DOTALL)
UNITS = {('k3s', 'server'): 'k3s.service', ('k3s', 'agent'): 'k3s-agent.service',
         ('rke2', 'server'): 'rke2-server.service', ('rke2', 'agent'): 'rke2-agent.service'}


class Files:
    """Reads files for one of these programs. Adds those without permission to ``denied``."""

    def __init__(self, host: Host, program: str, denied: List[str]) -> None:
        self.host = host
        self.program = program
        self.denied = denied

    def name(self, path: str) -> Optional[str]:
        """The path if results may name it."""
        return path if path in _KNOWN or path.startswith(_KNOWN_FOLDERS) else None

    def text(self, path: str) -> Optional[str]:
        """The file's text, empty for no file; None without permission or for an unknown folder."""
        if not path.startswith('/'):
            return None  # below an unknown folder
        unread: List[str] = []
        text = read_program_file(self.host, path, unread)
        self.denied += [self._reported_name(path)] if unread else []
        return None if unread else text

    def names(self, folder: str) -> Optional[List[str]]:
        """The names in the folder; None without permission or for an unknown folder."""
        try:
            return self.host.names(folder) if folder.startswith('/') else None
        except PermissionError:
            self.denied.append(self._reported_name(folder))
            return None
        except OSError:
            return []

    def _reported_name(self, path: str) -> str:
        is_known = path == MICROK8S_ARGUMENTS or (path + '/').startswith(_KNOWN_FOLDERS) or self.name(path)
        return path if is_known else _NAMED % self.program


# ---------------------------------------------------------------------- kubelet

def ask_kubelet(files: Files, arguments: List[str], are_all_known: bool = True) -> Optional[Said]:
    """The answer for a kubelet with these arguments; None if no source has one.

    If other arguments are possible, the default configuration file counts.
    """
    flag = _last_flag(arguments)
    if flag is not None:
        return flag
    folder, config = _last_option(arguments, 'config-dir'), _last_option(arguments, 'config')
    if not are_all_known:
        config = config or KUBELET_CONFIG
    return ((_ask_folder(files, folder, {}) if folder else None)
            or (_ask_file(files, config, False) if config else None))


def ask_process(files: Files, command_line: List[str]) -> Optional[Said]:
    """The answer for a kubelet with its own process.

    Every kubelet has options. A process without any hides them, and so does one with another program's name.
    """
    arguments = command_line[1:]
    return ask_kubelet(files, arguments, any(_flags(arguments)) and command_line[0].endswith('kubelet'))


def ask_microk8s(files: Files) -> Optional[Said]:
    """The answer for the kubelet in MicroK8s, which has its arguments in a file."""
    text = files.text(MICROK8S_ARGUMENTS)
    if text is None:
        return _NOT_KNOWN
    for variable in ('${SNAP_DATA}', '$SNAP_DATA'):
        text = text.replace(variable, _MICROK8S_DATA)
    said = ask_kubelet(files, _words(text))
    return said._replace(file=said.file or MICROK8S_ARGUMENTS) if said else None


def _words(text: str) -> List[str]:
    """Split the lines as a shell does, or at blanks if their quotes are not closed."""
    found: List[str] = []
    for line in text.split('\n'):
        if line.strip()[:1] != '#':
            try:
                found += shlex.split(line) if len(line) <= _LONGEST_LINE else line.split()
            except ValueError:
                found += line.split()
    return found


def _flags(arguments: List[str]) -> Iterator[Tuple[str, str, str]]:
    """(name, equals sign, value) of each argument. Underscores count as dashes (WordSepNormalizeFunc of Kubernetes)."""
    for argument in arguments:
        if argument.startswith('-'):
            name, equals, value = argument.lstrip('-').partition('=')
            yield name.replace('_', '-'), equals, value


def _last_flag(arguments: List[str]) -> Optional[Said]:
    values = [value if equals else 'true' for name, equals, value in _flags(arguments) if name == _FLAG]
    return Said(_GO_BOOLEANS.get(values[-1]), None) if values else None


def _last_option(arguments: List[str], option: str) -> str:
    return ([''] + _find_values(arguments, ('--' + option, '--' + option.replace('-', '_'))))[-1]


def _find_values(arguments: List[str], names: Tuple[str, ...]) -> List[str]:
    """The values of an option: each after an equals sign, or the next argument."""
    found = []
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition('=')
        if name in names:
            found.append(value if equals else ''.join(arguments[number + 1:number + 2]))
    return found


def _ask_file(files: Files, path: str, is_drop_in: bool) -> Optional[Said]:
    """The answer of a KubeletConfiguration. In a drop-in, null removes earlier values (JSON merge patch, RFC 7396)."""
    text = files.text(path)
    if text is None:
        return _NOT_KNOWN
    if _FIELD not in text and '\\' not in text:
        return None
    document = simple_yaml.read(text)
    found = [entry.scalars for entry in document.entries if entry.key == _FIELD]
    if not document.is_understood:
        return _NOT_KNOWN
    if not found:
        return None
    protects = _boolean(found[-1])
    if found[-1] == [] and not is_drop_in:
        return None
    return _build_said(protects, files.name(path))


def _build_said(protects: Optional[bool], file: Optional[str]) -> Said:
    return _NOT_KNOWN if protects is None else Said(protects, file)


def _boolean(scalars: Optional[List[simple_yaml.Scalar]]) -> Optional[bool]:
    if scalars == []:
        return False
    if scalars is None or len(scalars) != 1 or not scalars[0].is_plain:
        return None
    if scalars[0].text in ('~', 'null', 'Null', 'NULL'):
        return False
    return _BOOLEANS.get(scalars[0].text)


def _ask_folder(files: Files, folder: str, copies: Dict[str, str], without: str = '') -> Optional[Said]:
    """The answer of the last drop-in that has one, except the one named ``without``."""
    sources = [] if _is_kind(files, folder, stat.S_ISLNK) else _drop_ins(files, folder, copies)
    if sources is None:
        return _NOT_KNOWN
    for path in reversed(sources):
        said = _ask_file(files, path, True) if path != f'{folder}/{without}' else None
        if said is not None:
            return said
    return None


def _drop_ins(files: Files, folder: str, copies: Dict[str, str], depth: int = 0) -> Optional[List[str]]:
    """The drop-ins in the order of Go's filepath.WalkDir(), which follows no links; None if they cannot be listed.

    ``copies``: by name in this folder, the file or folder that the next start copies there.
    """
    names = files.names(folder)
    found: List[str] = []
    for name in sorted(set(names or ()) | set(copies), key=os.fsencode):
        path = copies.get(name, folder + '/' + name)
        below = _drop_ins(files, path, {}, depth + 1) if _is_kind(files, path, stat.S_ISDIR) else (
            [path] if name.endswith('.conf') else [])
        if below is None:
            return None
        found += below
    return None if names is None or depth > _MOST_DEPTH or len(found) > _MOST_DROP_INS else found


def _is_kind(files: Files, path: str, kind: Callable[[int], bool]) -> bool:
    try:
        info = files.host.lstat(path.rstrip('/') or '/')
    except OSError:
        return False
    return info is not None and kind(info.st_mode)


# -------------------------------------------------------------------- k3s, RKE2

def ask_rancher(files: Files, start: Start) -> Optional[Said]:
    """The answer for the kubelet of k3s or RKE2 at its next start; None if no source has one."""
    options = _read_options(files, start)
    if files.program == 'rke2':
        profile, file = (options['profile'] or [(start.variables.get('CIS_PROFILE', ''), None)])[-1]
        if profile is None:
            return _NOT_KNOWN
        if profile.startswith('cis'):
            return Said(True, file)  # RKE2 itself then compares the sysctls, and accepts no false
    default = start.variables.get('DATA_DIR') or '/var/lib/rancher/' + files.program
    data = (options['data-dir'] or [(default, None)])[-1][0]
    return _kubelet_flag(options['kubelet-arg']) or (_NOT_KNOWN if data is None else _ask_configs(
        files, data.rstrip('/') + '/agent/etc/kubelet.conf.d', options))


def _ask_configs(files: Files, folder: str, options: Dict[str, List[Option]]) -> Optional[Said]:
    if files.names(folder) is None:
        return _NOT_KNOWN
    own = _own_flag(options[_FLAG])
    arguments = [f'--{text}' for text, _file in options['kubelet-arg'] if text]
    named = {copy: _last_option(arguments, name) for copy, name in _COPIES.items()}
    if _is_kind(files, folder, stat.S_ISDIR):
        return _ask_defaults(files, folder, named, own)
    # Up to 1.31 the flag becomes an argument of the kubelet if it is true.
    if own is not None and own.protects is not False:
        return own
    return ask_kubelet(files, [f'--{_COPIES[copy]}={path}' for copy, path in named.items()]) or own


def _ask_defaults(files: Files, folder: str, named: Dict[str, str], own: Optional[Said]) -> Optional[Said]:
    """Ask the drop-ins, the flag, then the file of defaults, which each start writes from the flag."""
    copies = {copy: path for copy, path in named.items() if path and not path.startswith(folder)}
    defaults = f'00-{files.program}-defaults.conf'
    return _ask_folder(files, folder, copies, defaults) or own or _ask_file(files, f'{folder}/{defaults}', True)


def _kubelet_flag(values: List[Option]) -> Optional[Said]:
    for text, file in reversed(values):
        if text is None:
            return _NOT_KNOWN
        said = _last_flag(['--' + (text[2:] if text.startswith('--') else text)])
        if said is not None:
            return _build_said(said.protects, file)
    return None


def _own_flag(values: List[Option]) -> Optional[Said]:
    if not values:
        return None
    text, file = values[-1]
    return _build_said(None if text is None else _GO_BOOLEANS.get(text), file)


def _read_options(files: Files, start: Start) -> Dict[str, List[Option]]:
    """The values of each of _OPTIONS from files, then arguments. The last value wins."""
    values: Dict[str, List[Option]] = {name: [] for name in _OPTIONS}
    for path in _config_files(files, start):
        _read_config(files, path, values)
    for name, value in _read_arguments(start.arguments):
        if name in values:
            values[name].append((value, start.file))
    if not start.are_all_known:
        for found in values.values():
            found.append((None, None))
    return values


def _read_arguments(arguments: List[str]) -> Iterator[Tuple[str, str]]:
    """(option, value) of each argument that may be an option: after an equals sign, or the next argument."""
    for argument, follows in zip(arguments, arguments[1:] + ['']):
        name, equals, value = argument.partition('=')
        if name.startswith('-'):
            name = 'data-dir' if name == '-d' else name.lstrip('-')
            yield name, value if equals else (follows if name != _FLAG else '') or 'true'


def _config_files(files: Files, start: Start) -> List[Optional[str]]:
    """config.yaml and its drop-ins; None for unreadable ones."""
    named = _find_values(start.arguments, ('--config', '-c')) or ['']
    main = start.variables.get('CONFIG_FILE') or named[0] or f'/etc/rancher/{files.program}/config.yaml'
    if '://' in main:
        return [None]
    names = files.names(main + '.d')
    if names is None:
        return [main, None]
    return [main, *(f'{main}.d/{name}' for name in names if name.lower().endswith(('.yaml', '.yml')))]


def _read_config(files: Files, path: Optional[str], values: Dict[str, List[Option]]) -> None:
    """Add the options in a file."""
    text = None if path is None else files.text(path)
    document = simple_yaml.read(text or '')
    for entry in document.entries:
        _merge_entry(entry, values, files.name(path or ''))
    if text is None or not document.is_understood:
        values.update((name, [(None, None)]) for name in _OPTIONS if text is None or name in text)


def _merge_entry(entry: simple_yaml.Entry, values: Dict[str, List[Option]], file: Optional[str]) -> None:
    """Merge a key: one that ends in + adds to a list, any other replaces the values."""
    adds = entry.key.endswith('+')
    name = entry.key[:-1] if adds else entry.key
    if name in values:
        values[name] = (values[name] if adds else []) + _texts(entry.scalars, name, file)


def _texts(scalars: Optional[List[simple_yaml.Scalar]], name: str, file: Optional[str]) -> List[Option]:
    if scalars is None:
        return [(None, None)]
    if not scalars and name == _FLAG:
        return [('', file)]  # null is not a boolean
    texts: List[Optional[str]] = [str(_BOOLEANS[one.text]).lower() if one.is_plain and one.text in _BOOLEANS
                                  else one.text for one in scalars]
    return [(text, file) for text in texts]


# ------------------------------------------------------------------------- start

def find_start(files: Files, processes: Proc, pid: int) -> Start:
    """Find how k3s or RKE2 is started. Both hide their arguments from ps, so the unit comes first."""
    words = _read_text(processes, pid, 'cmdline').replace('\0', ' ').split()
    name = _read_text(processes, pid, 'comm').strip().rpartition('-')[2]
    environment = processes.read(f'{pid}/environ') or b''
    prefix = files.program.upper() + '_'
    found_variables = _variables(environment, [prefix + name for name in _VARIABLES])
    variables = {name[len(prefix):]: value for name, value in found_variables.items()}
    for role in [word for word in [name] + words[1:] if word in _ROLES][:1] or _ROLES:
        unit = UNITS[files.program, role]
        found = _service_arguments(files, unit) or _script_arguments(files, unit[:-len(_SERVICE)])
        if found is not None:
            arguments, are_all_known = _expand(found[0], environment)
            return Start(arguments, found[1], variables, are_all_known)
    return Start(words[1:], None, variables, True)


def _read_text(processes: Proc, pid: int, name: str) -> str:
    return to_text(processes.read(f'{pid}/{name}') or b'')


def _variables(environment: bytes, names: Sequence[str]) -> Dict[str, str]:
    """These variables of the environment. Others may hold secrets."""
    pairs = [to_text(one).partition('=') for one in environment.split(b'\0')
             if one.startswith(tuple((name + '=').encode() for name in names))]
    return {name: value for name, _equals, value in pairs}


def _expand(words: List[str], environment: bytes) -> Tuple[List[str], bool]:
    """(The words with variables replaced, whether all variables are known)."""
    found: List[str] = []
    are_all_known = True
    for word in words:
        match = _VARIABLE.match(word)
        name = (match.group(1) or match.group(2)) if match else ''
        values = _variables(environment, [name]) if name else {}
        if name in values:
            found += _words(values[name])
        elif word.startswith('$'):
            are_all_known = False
        else:
            found.append(word)
    return found, are_all_known


def _service_arguments(files: Files, name: str) -> Optional[Tuple[List[str], str]]:
    """The arguments in the unit's ExecStart= after server or agent, and the file that has them."""
    from .._systemd import unit_files
    try:
        units = unit_files.UnitFiles(files.host)
        unit = units.find_unit(name)
        assignments = units.read_service_assignments(unit) if unit.state == unit_files.LOADED else []
        starts = [(one.value, path) for path, one in assignments if one.key == 'ExecStart']
    except OSError:
        return None
    return _after_role(_words(starts[-1][0]), starts[-1][1]) if starts else None


def _script_arguments(files: Files, name: str) -> Optional[Tuple[List[str], str]]:
    """The same in a script of OpenRC, or in its file below /etc/conf.d."""
    for path in ('/etc/init.d/' + name, '/etc/conf.d/' + name):
        values = _COMMAND_ARGS.findall(files.text(path) or '')
        if values:
            text = re.sub(r'\\(.)', r'\1', values[-1].replace('\\\n', ' ').replace('\n', ' '))
            return _after_role(_words(text.partition('>')[0]), path)
    return None


def _after_role(words: List[str], path: str) -> Tuple[List[str], str]:
    places = [number for number, word in enumerate(words) if word in _ROLES]
    return words[places[0] + 1:] if places else [_UNKNOWN_WORDS], path
