# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that set our sysctls whenever they start, after sysctl.d was applied at boot.

Sources: setupKernelTunables() in pkg/kubelet/cm/container_manager_linux.go; plugin_sysctl.py of TuneD (see tuned);
/etc/default/kdump-tools of Debian and Ubuntu, whose own example is ``vm.panic_on_oom=1``; see rc_local.
"""

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Tuple

from .._core.sanitize import sanitize
from .._core.text import to_text
from .._host import conf_files
from .._host.conf_files import read_program_file
from .._host.host import Host
from .._kernel import sysctls
from .._process import credentials
from .._process.procfs import Proc
from .records import ALL_KEYS, KEYS_BY_PATH, SYSCTLS

if TYPE_CHECKING:
    from .kubelet import Said
    from .tuned_start import Write

SETS = 'sets'            # writes the value at each start
YIELDS = 'yields'        # the same, but a line in /etc/sysctl.d, /run/sysctl.d or /etc/sysctl.conf wins
REAPPLIES = 'reapplies'  # writes a line of these files again at each start
REQUIRES = 'requires'    # writes nothing, and does not start with another value


class CompetingWrite(NamedTuple):
    key: str
    value_text: str  # as the program has it; for tuned also >N and <N, which only raise or lower
    by: str
    file: Optional[str]  # where it can be changed; None if the program has no setting for it
    how: Optional[str]  # one of those above; None if the configuration is unreadable


# By comm. k3s and MicroK8s run the kubelet inside their own process.
NAMES = {b'kubelet\n': 'kubelet', b'k3s-server\n': 'k3s', b'k3s-agent\n': 'k3s', b'kubelite\n': 'microk8s',
         b'rke2\n': 'rke2', b'tuned\n': 'tuned'}
_KUBELETS = ('kubelet', 'k3s', 'microk8s', 'rke2')
_PARENT = re.compile(br'^PPid:\s+([0-9]{1,10})$', re.MULTILINE)
_KUBELET_VALUES = ((sysctls.MEMORY, '1'), (sysctls.PANIC_ON_OOM, '0'), (sysctls.PANIC, '10'))
_KDUMP_DEFAULTS = '/etc/default/kdump-tools'
_KDUMP_PROGRAMS = ('/usr/sbin/kdump-config', '/sbin/kdump-config')
_END_OF_BOOT = ('/etc/rc.local', '/etc/rc.d/rc.local', '/etc/local.d')
_SHELL_ASSIGNMENT = re.compile(r'^[ \t]*(?:export[ \t]+)?(\w+)=(?:"([^"\n]*)"|\'([^\'\n]*)\'|(\S*))', re.MULTILINE)


def find_writers(host: Host, running: Optional[List[Tuple[int, str]]] = None,
                 denied: Optional[List[str]] = None,
                 overlay: Optional[conf_files.Overlay] = None) -> List[CompetingWrite]:
    """The values that running programs set, by key. Never raises.

    Unreadable files count as absent, and are added to ``denied`` if permissions protect them. ``running`` are processes
    of NAMES that the caller has found with L(Proc.find_programs). ``overlay`` has the planned files of sysctl.d.
    """
    try:
        with Proc(host) as processes:
            return _find_writes(host, processes, processes.find_programs(NAMES).found if running is None else running,
                                [] if denied is None else denied, overlay)
    except OSError:
        return []


def _find_writes(host: Host, processes: Proc, running: List[Tuple[int, str]], denied: List[str],
                 overlay: Optional[conf_files.Overlay]) -> List[CompetingWrite]:
    trusted = [one for one in running if credentials.doubt_root(processes, one[0]) is None]
    kubelets = [one for one in trusted if one[1] in _KUBELETS]
    by_name = {
        **dict.fromkeys(_KUBELETS, partial(_find_kubelet_writes, host, processes, kubelets, denied)),
        'tuned': partial(_tuned_sysctls, host, denied, overlay),
    }
    finders = [partial(_kdump_tools, host, denied), partial(_end_of_boot, host, denied)]
    finders += dict.fromkeys(by_name[name] for _pid, name in trusted)  # each finder once
    found = [one for find in finders for one in _call_finder(find)]
    return sorted(set(found), key=lambda one: (ALL_KEYS.index(one.key),) + one[1:3])


def _call_finder(find: Callable[[], List[CompetingWrite]]) -> List[CompetingWrite]:
    """The values of one program; none if it fails, so that the other programs are still listed."""
    try:
        return find()
    except OSError:
        return []


# ---------------------------------------------------------------------- kubelet

def _find_kubelet_writes(host: Host, processes: Proc, running: List[Tuple[int, str]],
                         denied: List[str]) -> List[CompetingWrite]:
    """The values of kubelets. With protectKernelDefaults, a kubelet refuses to start with others instead."""
    rke2 = [pid for pid, name in running if name == 'rke2']
    owners = {pid: _find_owner(processes, pid, rke2) for pid, name in running if name == 'kubelet'}
    found: List[CompetingWrite] = []
    for pid, name in running:
        if owners.get(pid) is None:  # RKE2 decides for the kubelets that it starts
            kubelets = [kubelet for kubelet, owner in owners.items() if owner == pid]
            found += _find_program_writes(host, processes, (pid, name), kubelets, denied)
    return found


def _find_program_writes(host: Host, processes: Proc, one: Tuple[int, str], kubelets: List[int],
                         denied: List[str]) -> List[CompetingWrite]:
    """The values of one program, which may have started kubelets."""
    said = _ask(host, processes, one[0], one[1], denied)
    if not kubelets or (said is not None and said.protects is not False):
        return _build_kubelet_writes(one[1], said)
    return [value for kubelet in kubelets
            for value in _build_kubelet_writes('kubelet', said or _ask(host, processes, kubelet, 'kubelet', denied))]


def _find_owner(processes: Proc, pid: int, rke2: List[int]) -> Optional[int]:
    """The PID of the RKE2 process that started this kubelet; None for any other kubelet."""
    match = _PARENT.search(processes.read(f'{pid}/status') or b'') if rke2 else None
    parent = int(match.group(1)) if match else rke2[0] if rke2 else None
    return parent if parent in rke2 else None


def _ask(host: Host, processes: Proc, pid: int, name: str, denied: List[str]) -> 'Optional[Said]':
    """The answer of a program's configuration; None if no source has one."""
    # Imported here, because few hosts run a kubelet.
    from .kubelet import Files, ask_microk8s, ask_process, ask_rancher, find_start
    files = Files(host, name, denied)
    if name == 'microk8s':
        return ask_microk8s(files)
    if name in ('k3s', 'rke2'):
        return ask_rancher(files, find_start(files, processes, pid))
    words = to_text(processes.read(f'{pid}/cmdline') or b'').rstrip('\0').split('\0')
    return ask_process(files, words)


def _build_kubelet_writes(name: str, said: 'Optional[Said]') -> List[CompetingWrite]:
    protects, file = said or (False, None)
    how = None if protects is None else REQUIRES if protects else SETS
    return [CompetingWrite(key, value, name, file if protects else None, how) for key, value in _KUBELET_VALUES]


# ---------------------------------------------------- tuned, kdump-tools, rc.local

def _tuned_sysctls(host: Host, denied: List[str], overlay: Optional[conf_files.Overlay]) -> List[CompetingWrite]:
    """The last write to each sysctl in a start of TuneD."""
    # Imported here, because few hosts run TuneD: its configparser takes a tenth of a module's start time.
    from . import tuned_start
    unread: List[str] = []
    starts = tuned_start.plan_starts(host, unread, sorted(KEYS_BY_PATH), overlay, is_running=True)
    denied += unread
    knows_files = tuned_start.MAIN_CONF not in unread  # whether it reapplies sysctl.d
    return [one for start in starts for one in _last_writes(start.writes, knows_files)]


def _last_writes(writes: 'List[Write]', knows_files: bool) -> List[CompetingWrite]:
    found: Dict[str, CompetingWrite] = {}
    for write in writes:
        key = KEYS_BY_PATH[write.key]
        if write.is_reapplied and (not knows_files or SYSCTLS[key].parse_written(write.value) is None):
            continue
        if write.value[:1] not in ('>', '<'):
            # Writing ratio or kbytes sets the other one to 0.
            found.pop(SYSCTLS[key].counterpart, None)
        how = REAPPLIES if write.is_reapplied else SETS if write.is_final else YIELDS
        found[key] = CompetingWrite(key, write.value, 'tuned', write.file, how if knows_files else None)
    return list(found.values())


def _kdump_tools(host: Host, denied: List[str]) -> List[CompetingWrite]:
    """The sysctls that kdump-tools sets with the crash kernel. Older releases set none."""
    if not _is_crash_kernel_loaded(host, denied):
        return []
    variables = {name: ''.join(values) for name, *values in _SHELL_ASSIGNMENT.findall(
        read_program_file(host, _KDUMP_DEFAULTS, denied))}
    if not any(re.search(r'\bKDUMP_SYSCTL\b', read_program_file(host, program, denied)) for program in _KDUMP_PROGRAMS):
        return []
    pairs = [word.partition('=') for word in variables.get('KDUMP_SYSCTL', '').split()]
    return [CompetingWrite(key, value, 'kdump-tools', _KDUMP_DEFAULTS, SETS) for key, _equals, value in pairs
            if key in SYSCTLS]


def _end_of_boot(host: Host, denied: List[str]) -> List[CompetingWrite]:
    """The last write to each sysctl by an administrator's script."""
    if not any(host.lstat(path) for path in _END_OF_BOOT):
        return []
    from . import rc_local
    found: Dict[str, CompetingWrite] = {}
    for path in rc_local.list_scripts(host, denied):
        for key, value, file in rc_local.read_writes(host, path, denied):
            if key in SYSCTLS:
                found[key] = CompetingWrite(key, value, os.path.basename(path), file, SETS)
    return list(found.values())


def _is_crash_kernel_loaded(host: Host, denied: List[str]) -> bool:
    path = '/sys/kernel/kexec_crash_loaded'
    with conf_files.note_denied(denied, path):
        return (host.read_text(path) or '').strip() == '1'
    return False


# ---------------------------------------------------------------- contradictions

def contradictions(found: List[CompetingWrite], wanted: Dict[str, int], persistent: bool) -> List[str]:
    """A message for each requested value that one of these programs overwrites. ``wanted`` holds values by key.

    For a ``persistent`` request, ``found`` must come from L(find_writers) with the planned files as its overlay.
    """
    pairs = [(one, _contradicted(one, wanted)) for one in found]
    return [_message(one, key, wanted[key], persistent) for one, key in pairs if key is not None]


def _contradicted(one: CompetingWrite, wanted: Dict[str, int]) -> Optional[str]:
    """The requested key that the program overwrites: a write to ratio or kbytes sets the other one to 0."""
    counterpart = SYSCTLS[one.key].counterpart
    if wanted.get(counterpart) and SYSCTLS[one.key].parse_written(one.value_text) != 0:
        return counterpart
    return one.key if one.key in wanted and not _agrees(one.key, one.value_text, wanted[one.key]) else None


def _agrees(key: str, text: str, value: int) -> bool:
    if text[:1] in ('>', '<') and len(text) > 1:
        bound = sysctls.parse_value(text[1:])
        return bound is not None and (value >= bound if text[0] == '>' else value <= bound)
    return SYSCTLS[key].parse_written(text) == value


def _message(one: CompetingWrite, key: str, value: int, persistent: bool) -> str:
    text, where = sanitize(one.value_text), sanitize(one.file) if one.file else None
    asked = f'{key}: {value} is asked for, but {one.by}'
    if one.how == REQUIRES:
        return (f"{asked} does not start unless it is {text} "
                f"(protectKernelDefaults{' in ' + where if where else ''}). Ask for {text} on this machine."
                " [OOMK-1501]")
    sets = f"{asked} sets {'it' if key == one.key else one.key} to {text} whenever it starts"
    if where is None and one.how is None:
        return (f'{asked} sets it to {text} whenever it starts, or does not start with another value: its '
                f'configuration may not be read or is not understood. Ask for {text} on this machine. [OOMK-1501]')
    if where is None:
        return f'{sets}, and has no option for it. Ask for {text} on this machine. [OOMK-1501]'
    erases = '' if key == one.key else f', which erases {key}'
    return f'{sets}{erases} ({where}). Ask for the same, change it there, or {_advice(one, persistent)}. [OOMK-1502]'


def _advice(one: CompetingWrite, persistent: bool) -> str:
    if one.how not in (YIELDS, REAPPLIES):
        return 'stop using it'
    if persistent:
        return f'take a sysctl_file in /etc/sysctl.d that sorts last, since {one.by} reads no other folder'
    return f'let persistent: true write yours to a file, which {one.by} lets win'
