# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of module oom_facts, key by key: what cannot be read is null, with the reason among the warnings."""

import re
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from .._core.convert import MODES, ConvertError
from .._core.sanitize import internal_error, sanitize
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
from .processes import Candidates, iso_time, oom_daemons


class Request(NamedTuple):
    subset: Set[str]  # keys wanted
    top: int  # candidates wanted, 0: all
    cmdline: bool


_PRESSURE_FIELD = re.compile(r'(avg10|avg60|avg300|total)=([0-9]{1,20}(?:\.[0-9]{1,9})?)')


class Unknown(Exception):
    """A fact that cannot be had here; the message says why."""


def chosen_keys(subset: List[str]) -> Set[str]:
    """The keys that gather_subset asks for; if all names have ``!``, all others. Raises ConvertError."""
    wanted: Set[str] = set()
    unwanted: Set[str] = set()
    for item in subset:
        name = item[1:] if item.startswith('!') else item
        if name not in KEYS and (name != 'all' or item != name):
            raise ConvertError(f"gather_subset: {sanitize(item)!r} is unknown; give all, or any of {', '.join(KEYS)}, "
                               "or one of these with ! before it to leave it out")
        (unwanted if item != name else wanted).update(KEYS if name == 'all' else [name])
    return (wanted or set(KEYS)) - unwanted


def oom_facts(host: Host, request: Request) -> Dict[str, Any]:
    """Everything that was asked for. Never raises for what the machine does not show."""
    look = _Look(host, request)
    facts: Dict[str, Any] = {}
    for key in KEYS:
        if key in request.subset and key != 'warnings':
            facts[key] = look.fact(key)
    look.close()
    for reason in file_access.current.other_unread():
        look.warn('unread', reason)
    if 'warnings' in request.subset:
        facts['warnings'] = look.warnings
    return facts


class _Look:
    """One run: what several keys need is read once."""

    def __init__(self, host: Host, request: Request) -> None:
        self.host = host
        self.request = request
        self.warnings: List[str] = []
        self._seen: Dict[str, Any] = {}
        self._processes: Optional[ProcessTable] = None

    def fact(self, key: str) -> Any:
        """The value of a key, null with a warning when there is none."""
        try:
            return _GATHERERS[key](self)
        except Unknown as exc:
            self.warn(key, str(exc))
        except OSError as exc:
            self.warn(key, f"{exc.filename or '/proc'}: {exc.strerror}")
        except Exception as exc:  # one fact must not cost the others
            self.warn(key, internal_error(exc))
        return None

    def warn(self, key: str, reason: str) -> None:
        """Tell what is missing, once."""
        text = sanitize(f'{key}: {reason}')
        if text not in self.warnings:
            self.warnings.append(text)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """The result of ``make``, called once in this run."""
        if name not in self._seen:
            self._seen[name] = make()
        return self._seen[name]

    def close(self) -> None:
        """Give the descriptor back."""
        if self._processes is not None:
            self._processes.__exit__()

    # ------------------------------------------------------- shared readings

    def runtime(self) -> State:
        """The sysctls now."""
        return self.once('runtime', lambda: boot_facts.runtime_values(self.host))

    def sysctls(self, key: str, names: List[str]) -> State:
        """These sysctls, with a warning for those that are not shown."""
        values = self.runtime()
        missing = [name for name in names if values[name] is None]
        if missing:
            self.warn(key, f"this kernel does not show {', '.join(missing)}")
        return values

    def memory(self) -> Memory:
        """/proc/meminfo. Raises Unknown."""
        memory = self.once('memory', lambda: read_memory(self.host))
        if memory is None:
            raise Unknown('/proc/meminfo is not there')
        return memory

    def environment(self) -> Dict[str, Any]:
        """The environment."""
        return self.once('environment', lambda: host_environment.gather_environment(self.host))

    def processes(self) -> ProcessTable:
        """/proc, opened."""
        if self._processes is None:
            self._processes = ProcessTable(self.host)
        return self._processes

    def named(self, key: str, names: Dict[bytes, str]) -> List[Tuple[int, str]]:
        """(pid, name) of the processes of these names, out of one look at the names of all; says what cannot be seen.
        """
        known: Dict[bytes, str] = {}
        for some in (scan.OOM_DAEMONS, competing_writers.NAMES):
            known.update(some)
        found, denied = self.once('named', lambda: self.processes().named(known))
        self.warn_unseen(key, denied)
        return [pair for pair in found if pair[1] in names.values()]

    def boot(self, key: str) -> Any:
        """See L(_sysctl.boot_facts.boot_facts). Raises Unknown."""
        runtime = self.sysctls(key, list(ALL_KEYS))
        if not any(value is not None for value in runtime.values()):
            raise Unknown('without any sysctl now, what the next boot changes is unknown')
        try:
            return self.once('boot', lambda: boot_facts.boot_facts(self.host, runtime))
        except OSError as exc:
            raise Unknown(f'{exc.filename} could not be read ({exc.strerror}), so what the next boot sets is '
                          'unknown') from exc

    def process_scan(self, key: str) -> Candidates:
        """All processes; says what of them cannot be seen. Raises Unknown."""
        process_scan = self.once('processes', self._process_scan)
        if process_scan is None:
            raise Unknown('how much memory the kernel counts with cannot be read')
        self.warn_unseen(key, process_scan.denied)
        return process_scan

    def warn_unseen(self, key: str, denied: int) -> None:
        """Tell which processes cannot be seen; ``denied`` of those that are listed may not be read."""
        for reason in scan.list_gaps(self.host, denied):
            self.warn(key, reason)

    def _process_scan(self) -> Optional[Candidates]:
        total_pages = total_memory.read_total_pages(self.host)
        if total_pages is None:
            return None
        in_init_namespace = self.environment()['pid_namespace'] == 'init'
        return Candidates(self.host, self.processes(), total_pages, in_init_namespace)


def _sysctl_facts(look: _Look, fact: str, module: str) -> Dict[str, Any]:
    """The facts of a module's sysctls, by their names in L(_sysctl.records)."""
    facts: Dict[str, Any] = {}
    sysctls = list_sysctls(module)
    values = look.sysctls(fact, [sysctl.key for sysctl in sysctls])
    for sysctl in sysctls:
        value = values[sysctl.key]
        facts[sysctl.fact] = bool(value) if sysctl.is_switch and value is not None else value
        if sysctl.names is not None:
            words = {number: word for word, number in sysctl.names.items()}
            facts[sysctl.word_fact] = None if value is None else words.get(value)
    return facts


def _commit_facts(look: _Look) -> Dict[str, Any]:
    memory = look.memory()
    reserves = [ADMIN_RESERVE, USER_RESERVE]
    values = look.sysctls('commit', reserves + [MEMORY])
    limit_kb, committed_kb = memory.commit_limit_kb, memory.committed_kb
    headroom_kb = used_percent = None
    if limit_kb is None or committed_kb is None:
        look.warn('commit', '/proc/meminfo does not tell CommitLimit and Committed_AS')
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


def _memory(look: _Look) -> Dict[str, Any]:
    memory = look.memory()
    if memory.available_kb is None:
        look.warn('memory', 'this kernel does not tell MemAvailable')
    return {name: getattr(memory, name)
                for name in ('total_kb', 'available_kb', 'swap_total_kb', 'swap_free_kb', 'hugetlb_kb')}


def _candidate_list(look: _Look) -> List[Dict[str, Any]]:
    return look.process_scan('candidates').candidates(look.request.top, look.request.cmdline)


def _unkillable(look: _Look) -> List[Dict[str, Any]]:
    return look.process_scan('unkillable').unkillable()


def _kill_facts(look: _Look) -> Dict[str, Any]:
    total = kill_log.parse_kill_count(look.host.read_text('/proc/vmstat') or '')
    if total is None:
        look.warn('kills', 'this kernel does not count kills in /proc/vmstat (from 4.13 on)')
    try:
        kills = kill_log.parse_kills(kmsg.read_records(look.host))
    except OSError as exc:
        look.warn('kills', f'the kernel log cannot be read ({exc.strerror}), so recent kills are unknown')
        return {'total': total, 'recent': None}
    boot_time_s = kmsg.compute_log_start_s(look.host)
    return {'total': total,
            'recent': [kill_log.build_kill_fact(kill, boot_time_s, iso_time, sanitize) for kill in kills]}


def parse_pressure(text: str) -> Dict[str, Dict[str, Any]]:
    """/proc/pressure/memory: by kind (some, full) the averages in percent and the total in microseconds."""
    kinds = {}
    for line in text.split('\n'):
        kind = line.partition(' ')[0]
        if kind in ('some', 'full'):
            kinds[kind] = {name: int(number.partition('.')[0]) if name == 'total' else float(number)
                               for name, number in _PRESSURE_FIELD.findall(line)}
    return kinds


def _pressure(look: _Look) -> Dict[str, Any]:
    try:
        text = look.host.read_text('/proc/pressure/memory')
    except OSError as exc:
        raise Unknown(f'/proc/pressure/memory: {exc.strerror}; pressure stall information may be switched off (psi=1 '
                      'on the kernel command line switches it on)') from exc
    if not text:
        raise Unknown('this kernel has no pressure stall information (from 4.20 on, with CONFIG_PSI and not psi=0)')
    return parse_pressure(text)


def _boot(look: _Look) -> Dict[str, Any]:
    boot, _drift, loader = look.boot('boot')
    doubt = saved_values.doubt(look.host)
    if doubt is not None:
        look.warn('boot', f'{doubt}, so what it says of values from before the first change does not count')
    if not loader.is_known:
        look.warn('boot', boot_facts.UNKNOWN_LOADER % sanitize(loader.reason) + ', so that no value after a reboot is '
                  'predicted')
    elif loader.reason:
        look.warn('boot', f'{sanitize(loader.reason)}, so no file below sysctl.d counts at boot')
    return {key: _with_harmless_file(fact) for key, fact in boot.items()}


def _drift(look: _Look) -> List[Dict[str, Any]]:
    return [_with_harmless_file(fact) for fact in look.boot('drift')[1]]


def _with_harmless_file(fact: Dict[str, Any]) -> Dict[str, Any]:
    return dict(fact, file=None if fact['file'] is None else sanitize(fact['file']))


def _oom_daemons(look: _Look) -> List[Dict[str, Any]]:
    running = look.named('oom_daemons', scan.OOM_DAEMONS)
    facts, doubts = oom_daemons(look.processes(), running)
    for doubt in doubts:
        look.warn('oom_daemons', doubt)
    return facts


def _enforcer_list(look: _Look) -> List[Dict[str, Any]]:
    denied: List[str] = []
    found = competing_writers.find_writers(look.host, look.named('competing_writers', competing_writers.NAMES), denied)
    for path in denied:
        look.warn('competing_writers', f'{path} may not be read, so what it would tell is missing')
    return [{'key': one.key, 'value': sanitize(one.value_text), 'by': one.by, 'how': one.how,
             'file': None if one.file is None else sanitize(one.file)} for one in found]


def _environment_facts(look: _Look) -> Dict[str, Any]:
    environment = look.environment()
    container = environment['container']
    return dict(environment, container=None if container is None else sanitize(container),
                gathered_at=iso_time(time.time()))


_GATHERERS: Dict[str, Callable[[_Look], Any]] = {
    'overcommit': lambda look: _sysctl_facts(look, 'overcommit', 'overcommit'),
    'commit': _commit_facts,
    'memory': _memory,
    'panic': lambda look: _sysctl_facts(look, 'panic', 'panic_on_oom'),
    'candidates': _candidate_list,
    'unkillable': _unkillable,
    'kills': _kill_facts,
    'pressure': _pressure,
    'boot': _boot,
    'drift': _drift,
    'competing_writers': _enforcer_list,
    'oom_daemons': _oom_daemons,
    'environment': _environment_facts,
}

KEYS = tuple(_GATHERERS) + ('warnings',)
