# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuse values that are too dangerous for a service, and warn of risky ones.

A login session inherits the value of the service that started it: a negative one protects every process of every user.
sshd restores, for each session, the value that sshd was started with.
"""

from typing import Dict, Iterable, List, Optional, Tuple

from .._core.errors import Refusal
from .._core.sanitize import sanitize
from .._core.text import to_number
from .._host.host import Host
from .._process.handle import ProcessHandle, list_pids
from .._process.table import parse_memory_kb
from .._systemd import drop_in, unit_names
from .._systemd.unit_files import SCORE_ADJ, UNSET
from .login_guard import Evidence, pick_strongest
from .model import Plan, Service
from .session_scan import SessionScan
from .session_units import find_script_evidence, find_unit_evidence

NEVER_KILLED = -1000
# Big consumers are the fewest processes that together hold this share of all process memory.
_BIG_PART = 0.5


def guard(plan: Plan) -> None:
    """Raise Refusal for values that lock users out, and add warnings to the plan."""
    negative = [service for service in plan.services if service.build_settings().get(SCORE_ADJ, 0) < 0]
    units = [one for service in negative for one in service.running]
    scan = SessionScan(plan.host_state.host, [process.pid for one in units for process in one.processes])
    for service in plan.services:
        if service in negative:
            _guard_sessions(plan, service, _find_evidence(plan, service, scan))
        _warn_of_hiding(plan, service)
    _warn_of_orphans(plan)
    plan.warnings += warn_of_consumers(plan.host_state.host, plan.score_adj)


def _warn_of_orphans(plan: Plan) -> None:
    if plan.orphans:
        plan.warnings.append("Drop-ins of this collection are left for units that are not here any more: "
                             f"{', '.join(sanitize(path) for path in plan.orphans)}. An exclusive list of services, or "
                             "state: absent with their names, removes them [OOMK-1807]")


def guard_instances(plan: Plan) -> None:
    """Refuse template settings that do not reach an instance because our drop-in hides the template's."""
    staying = set(plan.host_state.ours) - {service.name for service in plan.services if service.is_reverted}
    hidden = [text for service in plan.services if service.build_settings() and not service.is_transient
              for text in _find_hidden(plan, service, staying - service.listed_separately)]
    if hidden and plan.request.conflicts != 'warn':
        raise Refusal("Nothing was changed, because drop-ins of this collection for single instances would win at "
                      f"the next start. {'. '.join(hidden)}. Name the instance and its template in one call "
                      "(services): then it inherits the values that it does not set. Or revert its own drop-in with "
                      "state: absent. [OOMK-1804]")
    plan.warnings += [f'{text} [OOMK-1804]' for text in hidden]


def _find_hidden(plan: Plan, service: Service, ours: Iterable[str]) -> List[str]:
    """Find the template settings that our drop-in hides for a running or enabled instance."""
    files, texts = plan.host_state.files, []
    for name in sorted(name for name in ours if unit_names.parse_template(name) == service.name):
        if name in files.list_enabled_instances(name.partition('@')[0]) + [state['Id'] for state in service.states]:
            causes = files.read_settings(service.unit._replace(name=name))
            texts += [f'{sanitize(drop_in.build_path(name))} does not set {key} and hides the drop-in of {service.name}'
                      for key in sorted(service.build_settings()) if causes[key] == UNSET]
    return texts


def _warn_of_hiding(plan: Plan, service: Service) -> None:
    """Warn where the first drop-in of an instance hides its template's."""
    lost = [key for key, cause in sorted(service.next_start_before.items())
            if cause.value is not None and service.next_start[key] == UNSET]
    if lost and not service.is_reverted:
        plan.warnings.append(f"The drop-in of {service.name} hides that of its template, so that {' and '.join(lost)} "
                             "of the template does not count for it any more. Name both in one call (services): then "
                             "it inherits the values that it does not set [OOMK-1804]")


def _find_evidence(plan: Plan, service: Service, scan: SessionScan) -> Optional[Evidence]:
    """Find evidence, in unit or processes, that the service starts sessions or programs of others."""
    found = [find_unit_evidence(plan.host_state.files, service.unit)]
    if plan.host_state.init != 'systemd':
        # Imported late: few hosts need it.
        from . import other_init
        scripts = other_init.read_scripts(plan.host_state.host, service.short_name)
        found += map(find_script_evidence, scripts)
    found += [scan.find_evidence([process.pid for process in one.processes], one.find_leader().pid)
              for one in service.running if one.processes]
    return pick_strongest(found)


def _guard_sessions(plan: Plan, service: Service, evidence: Optional[Evidence]) -> None:
    if evidence is not None:
        value, name = service.desired.score_adj or 0, service.desired.asked
        ssh = '; sshd protects its own listening process' if 'ssh' in service.name else ''
        source = f'{service.name} ({evidence.reason}{ssh})'
        advice = '' if plan.request.force else f'Leave {name} out'
        plan.warnings.append(guard_inheritance(name, value, source, evidence.is_login, advice))


def guard_inheritance(subject: str, value: int, source: str, is_login: bool, advice: str) -> str:
    """Warn of a negative value that others inherit from the ``source``.

    Raises Refusal for login sessions at -1000, unless ``advice`` is empty.
    """
    if not is_login:
        return (f'{subject} at {value}: what it runs for others inherits this from {source}, unless it sets a value of '
                'its own for them [OOMK-1901]')
    if value == NEVER_KILLED and advice:
        raise Refusal(f'Refused: {subject} at -1000. Every new login session inherits the value of {source}, so that '
                      f'the kernel could kill no process of any user. {advice}, or set force: true. Nothing was '
                      'changed. [OOMK-1901]')
    return (f'{subject} at {value}: every new login session inherits this from {source}, so that it protects the '
            'processes of all users [OOMK-1901]')


def warn_of_consumers(host: Host, score_adj: Dict[int, int]) -> List[str]:
    """Warn if no process with much memory can be killed any more; ``score_adj`` are the new values by PID."""
    exempt = {pid for pid, value in score_adj.items() if value == NEVER_KILLED}
    if not exempt:
        return []
    held_kb = _read_memory(host)
    big = find_big_consumers({pid: memory_kb for pid, (memory_kb, _adj) in held_kb.items()})
    if not big or any(pid not in exempt and held_kb[pid][1] != NEVER_KILLED for pid in big):
        return []
    return [f'With this, none of the processes that hold most of the memory can be killed any more ({len(big)} of '
            f'them, with {sum(held_kb[pid][0] for pid in big)} kB): running out of memory then kills much else '
            'without getting any free, and ends in a panic [OOMK-1902]']


def find_big_consumers(memory_kb: Dict[int, int]) -> List[int]:
    """The fewest processes that together hold half of all memory, the largest first."""
    big, sum_kb, all_kb = [], 0, sum(memory_kb.values())
    for pid in sorted(memory_kb, key=lambda one: (-memory_kb[one], one)):
        if sum_kb >= all_kb * _BIG_PART:
            break
        big.append(pid)
        sum_kb += memory_kb[pid]
    return big


def _read_memory(host: Host) -> Dict[int, Tuple[int, int]]:
    """The memory in kB that a kill would free, and oom_score_adj, by PID."""
    found = {}
    for pid in list_pids(host):
        if pid == 1:
            continue
        with ProcessHandle(host, pid) as handle:
            memory = (parse_memory_kb(handle.read('status') or b'')
                      or parse_memory_kb(handle.read_thread('status') or b''))
            text = handle.read('oom_score_adj')
        adj = to_number(text)
        if memory is not None and adj is not None:
            found[pid] = (sum(memory), adj)
    return found
