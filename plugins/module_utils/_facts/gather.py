# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of module oom_facts, key by key: what cannot be read is null, with the reason among the warnings."""

import re
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple, TypeVar

from .._core.convert import MODES, ConvertError
from .._core.sanitize import internal_error, sanitize, sanitize_optional, to_message
from .._host import environment as host_environment
from .._host import file_access, kmsg, total_memory
from .._host.host import Host
from .._host.meminfo import read_memory
from .._kernel import commit_limit, kill_log
from .._kernel.meminfo import Memory
from .._kernel.sysctls import ADMIN_RESERVE, MEMORY, USER_RESERVE, State
from .._process import scan
from .._process.table import ProcessTable
from .._sysctl import boot_facts, competing_writers, saved_values
from .._sysctl.records import ALL_KEYS, list_sysctls
from .processes import Candidates, format_time, gather_oom_daemons


class Request(NamedTuple):
    subset: Set[str]  # keys wanted
    top: int  # candidates wanted, 0: all
    cmdline: bool


_Value = TypeVar('_Value')
_PRESSURE_FIELD = re.compile(r'(avg10|avg60|avg300|total)=([0-9]{1,20}(?:\.[0-9]{1,9})?)')


class Unknown(Exception):
    """Why a fact is unknown."""


def select_keys(subset: List[str]) -> Set[str]:
    """The keys of gather_subset; where all names have ``!``, all other keys. Raises ConvertError."""
    wanted: Set[str] = set()
    unwanted: Set[str] = set()
    for item in subset:
        name = item[1:] if item.startswith('!') else item
        if name not in KEYS and (name != 'all' or item != name):
            raise ConvertError(f"gather_subset: {sanitize(item)!r} is unknown; give all, or any of {', '.join(KEYS)}, "
                               "or one of these with ! before it to leave it out [OOMK-1109]")
        (unwanted if item != name else wanted).update(KEYS if name == 'all' else [name])
    return (wanted or set(KEYS)) - unwanted


def gather_facts(host: Host, request: Request) -> Dict[str, Any]:
    """The facts of the request. Never raises for what the machine does not show."""
    run = _Run(host, request)
    facts: Dict[str, Any] = {}
    for key in KEYS:
        if key in request.subset and key != 'warnings':
            facts[key] = run.gather(key)
    run.close()
    for reason in file_access.current.other_unread():
        run.warn('unread', reason)
    if 'warnings' in request.subset:
        facts['warnings'] = run.warnings
    return facts


class _Run:
    """One run of the module: what several keys need is read once."""

    def __init__(self, host: Host, request: Request) -> None:
        self.host = host
        self.request = request
        self.warnings: List[str] = []
        self._seen: Dict[str, Any] = {}
        self._processes: Optional[ProcessTable] = None

    def gather(self, key: str) -> Any:
        """The fact of a key; null, with a warning, where there is none."""
        try:
            return _GATHERERS[key](self)
        except Unknown as exc:
            self.warn(key, str(exc))
        except OSError as exc:
            self.warn(key, f"{exc.filename or '/proc'}: {exc.strerror} [OOMK-2508]")
        except Exception as exc:  # one fact must not cost the others
            self.warn(key, internal_error(exc))
        return None

    def warn(self, key: str, reason: str) -> None:
        """Add a warning, once."""
        text = to_message(f'{key}: {reason}')
        if text not in self.warnings:
            self.warnings.append(text)

    def read_once(self, name: str, read: Callable[[], _Value]) -> _Value:
        """The result of ``read``, called once in this run."""
        if name not in self._seen:
            self._seen[name] = read()
        value: _Value = self._seen[name]
        return value

    def close(self) -> None:
        """Close /proc."""
        if self._processes is not None:
            self._processes.__exit__()

    # ------------------------------------------------------- shared readings

    def read_sysctls(self, key: str, names: List[str]) -> State:
        """The runtime values, with a warning for those of ``names`` that this kernel lacks."""
        values = self.read_once('runtime', lambda: boot_facts.runtime_values(self.host))
        missing = [name for name in names if values[name] is None]
        if missing:
            self.warn(key, f"this kernel does not show {', '.join(missing)} [OOMK-2503]")
        return values

    def read_memory(self) -> Memory:
        """/proc/meminfo. Raises Unknown."""
        memory = self.read_once('memory', lambda: read_memory(self.host))
        if memory is None:
            raise Unknown('/proc/meminfo is not there [OOMK-2503]')
        return memory

    def read_environment(self) -> Dict[str, Any]:
        """The environment."""
        return self.read_once('environment', lambda: host_environment.gather_environment(self.host))

    def open_processes(self) -> ProcessTable:
        """/proc, opened."""
        if self._processes is None:
            self._processes = ProcessTable(self.host)
        return self._processes

    def find_named(self, key: str, names: Dict[bytes, str]) -> List[Tuple[int, str]]:
        """(pid, name) of the processes with these names, from one scan for all names. Warns of unseen processes."""
        known: Dict[bytes, str] = {}
        for some in (scan.OOM_DAEMONS, competing_writers.NAMES):
            known.update(some)
        found, denied = self.read_once('named', lambda: self.open_processes().find_programs(known))
        self.warn_unseen(key, denied)
        return [pair for pair in found if pair[1] in names.values()]

    def read_boot(self, key: str) -> Any:
        """See L(_sysctl.boot_facts.boot_facts). Raises Unknown."""
        runtime = self.read_sysctls(key, list(ALL_KEYS))
        if not any(value is not None for value in runtime.values()):
            raise Unknown('without any sysctl now, what the next boot changes is unknown [OOMK-2506]')
        try:
            return self.read_once('boot', lambda: boot_facts.boot_facts(self.host, runtime))
        except OSError as exc:
            raise Unknown(f'{exc.filename} could not be read ({exc.strerror}), so what the next boot sets is '
                          'unknown [OOMK-2506]') from exc

    def scan_processes(self, key: str) -> Candidates:
        """All processes. Warns of unseen ones. Raises Unknown."""
        candidates = self.read_once('processes', self._scan_processes)
        if candidates is None:
            raise Unknown('how much memory the kernel counts with cannot be read [OOMK-2503]')
        self.warn_unseen(key, candidates.denied)
        return candidates

    def warn_unseen(self, key: str, denied: int) -> None:
        """Warn of processes that cannot be seen; ``denied`` of the listed ones may not be read."""
        for reason in scan.list_gaps(self.host, denied):
            self.warn(key, reason)

    def _scan_processes(self) -> Optional[Candidates]:
        total_pages = total_memory.read_total_pages(self.host)
        if total_pages is None:
            return None
        in_init_namespace = self.read_environment()['pid_namespace'] == 'init'
        return Candidates(self.host, self.open_processes(), total_pages, in_init_namespace)


def _gather_sysctls(run: _Run, fact: str, module: str) -> Dict[str, Any]:
    """The facts of a module's sysctls, by their names in L(_sysctl.records)."""
    facts: Dict[str, Any] = {}
    sysctls = list_sysctls(module)
    values = run.read_sysctls(fact, [sysctl.key for sysctl in sysctls])
    for sysctl in sysctls:
        value = values[sysctl.key]
        facts[sysctl.fact] = bool(value) if sysctl.is_switch and value is not None else value
        if sysctl.names is not None:
            words = {number: word for word, number in sysctl.names.items()}
            facts[sysctl.word_fact] = None if value is None else words.get(value)
    return facts


def _gather_commit(run: _Run) -> Dict[str, Any]:
    memory = run.read_memory()
    reserves = [ADMIN_RESERVE, USER_RESERVE]
    values = run.read_sysctls('commit', reserves + [MEMORY])
    limit_kb, committed_kb = memory.commit_limit_kb, memory.committed_kb
    headroom_kb = used_percent = None
    if limit_kb is None or committed_kb is None:
        run.warn('commit', '/proc/meminfo does not show CommitLimit and Committed_AS [OOMK-2503]')
    else:
        if all(values[key] is not None for key in reserves):
            headroom_kb = limit_kb - commit_limit.compute_reserves_kb(values) - committed_kb
        used_percent = round(100.0 * committed_kb / limit_kb, 1) if limit_kb else None
    mode = values[MEMORY]
    return {
        'limit_kb': limit_kb,
        'committed_kb': committed_kb,
        'headroom_kb': headroom_kb,
        'used_percent': used_percent,
        'enforced': None if mode is None else mode == MODES['never'],
    }


def _gather_memory(run: _Run) -> Dict[str, Any]:
    memory = run.read_memory()
    if memory.available_kb is None:
        run.warn('memory', 'this kernel does not show MemAvailable [OOMK-2503]')
    return {name: getattr(memory, name)
            for name in ('total_kb', 'available_kb', 'swap_total_kb', 'swap_free_kb', 'hugetlb_kb')}


def _gather_kills(run: _Run) -> Dict[str, Any]:
    total = kill_log.parse_kill_count(run.host.read_text('/proc/vmstat') or '')
    if total is None:
        run.warn('kills', 'this kernel does not count kills in /proc/vmstat (from 4.13 on) [OOMK-2503]')
    try:
        kills = kill_log.parse_kills(kmsg.read_records(run.host))
    except OSError as exc:
        run.warn('kills', f'the kernel log cannot be read ({exc.strerror}), so recent kills are unknown [OOMK-2504]')
        return {'total': total, 'recent': None}
    boot_epoch_s = kmsg.compute_log_start_s(run.host)
    return {'total': total,
            'recent': [kill_log.build_kill_fact(kill, boot_epoch_s, format_time, sanitize) for kill in kills]}


def parse_pressure(text: str) -> Dict[str, Dict[str, Any]]:
    """/proc/pressure/memory: by kind (some, full) the averages in percent and the total in microseconds."""
    kinds = {}
    for line in text.split('\n'):
        kind = line.partition(' ')[0]
        if kind in ('some', 'full'):
            kinds[kind] = {name: int(number.partition('.')[0]) if name == 'total' else float(number)
                           for name, number in _PRESSURE_FIELD.findall(line)}
    return kinds


def _gather_pressure(run: _Run) -> Dict[str, Any]:
    try:
        text = run.host.read_text('/proc/pressure/memory')
    except OSError as exc:
        raise Unknown(f'/proc/pressure/memory: {exc.strerror}; pressure stall information may be switched off (psi=1 '
                      'on the kernel command line switches it on) [OOMK-2505]') from exc
    if not text:
        raise Unknown('this kernel has no pressure stall information (from 4.20 on, with CONFIG_PSI and not psi=0)'
                      ' [OOMK-2505]')
    return parse_pressure(text)


def _gather_boot(run: _Run) -> Dict[str, Any]:
    boot, _drift, loader = run.read_boot('boot')
    doubt = saved_values.doubt(run.host)
    if doubt is not None:
        run.warn('boot', f'{doubt}, so what it says of values from before the first change does not count '
                 '[OOMK-1414]')
    if not loader.is_known:
        run.warn('boot', boot_facts.UNKNOWN_LOADER % sanitize(loader.reason) + ', so that no value after a reboot is '
                 'predicted [OOMK-2507]')
    elif loader.reason:
        run.warn('boot', f'{sanitize(loader.reason)}, so no file below sysctl.d counts at boot [OOMK-2506]')
    return {key: _sanitize_file(fact) for key, fact in boot.items()}


def _sanitize_file(fact: Dict[str, Any]) -> Dict[str, Any]:
    return dict(fact, file=sanitize_optional(fact['file']))


def _gather_oom_daemons(run: _Run) -> List[Dict[str, Any]]:
    running = run.find_named('oom_daemons', scan.OOM_DAEMONS)
    facts, doubts = gather_oom_daemons(run.open_processes(), running)
    for doubt in doubts:
        run.warn('oom_daemons', doubt)
    return facts


def _gather_competing_writers(run: _Run) -> List[Dict[str, Any]]:
    denied: List[str] = []
    programs = run.find_named('competing_writers', competing_writers.NAMES)
    found = competing_writers.find_writers(run.host, programs, denied)
    for path in denied:
        run.warn('competing_writers', f'{path} may not be read, so its settings are unknown [OOMK-2502]')
    return [{'key': one.key, 'value': sanitize(one.value_text), 'by': one.by, 'how': one.how,
             'file': sanitize_optional(one.file)} for one in found]


def _gather_environment(run: _Run) -> Dict[str, Any]:
    environment = run.read_environment()
    return dict(environment, container=sanitize_optional(environment['container']),
                gathered_at=format_time(time.time()))


_GATHERERS: Dict[str, Callable[[_Run], Any]] = {
    'overcommit': lambda run: _gather_sysctls(run, 'overcommit', 'overcommit'),
    'commit': _gather_commit,
    'memory': _gather_memory,
    'panic': lambda run: _gather_sysctls(run, 'panic', 'panic_on_oom'),
    'candidates': lambda run: run.scan_processes('candidates').gather_candidates(run.request.top, run.request.cmdline),
    'unkillable': lambda run: run.scan_processes('unkillable').gather_unkillable(),
    'kills': _gather_kills,
    'pressure': _gather_pressure,
    'boot': _gather_boot,
    'drift': lambda run: [_sanitize_file(fact) for fact in run.read_boot('drift')[1]],
    'competing_writers': _gather_competing_writers,
    'oom_daemons': _gather_oom_daemons,
    'environment': _gather_environment,
}

KEYS = tuple(_GATHERERS) + ('warnings',)
