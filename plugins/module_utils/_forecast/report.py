# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forecasts of this machine and of snapshots, described as a module's result."""

from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from .._systemd.unit_names import serves
from .observe import Observer
from .protection import Protected
from .simulate import DEADLOCK, KILL, UNKNOWN, Forecast, Kill, WhatIf, simulate
from .snapshot import Missing, Process, Settings, Snapshot

_SPARE = 5     # processes read beyond the requested ones
_ROUNDS = 50   # each reads more, and a forecast names only so many

_MOST_NAMED = 3
_MOST_VICTIMS = 100
VICTIM, COLLATERAL = 'victim', 'collateral'


def forecast_host(observer: Observer, kills: int, what_ifs: List[WhatIf]) -> Tuple[Snapshot, List[Forecast]]:
    """One snapshot of the machine with all that these forecasts need, and the forecasts."""
    concerned = {pid for what_if in what_ifs for pid in list(what_if.score_adj) + list(what_if.growth_pages)}
    # Each process that an assumption removes from the top makes room for another one.
    snapshot = observer.look(kills + _SPARE + len(concerned), concerned)
    forecasts = [simulate(snapshot, kills, what_if) for what_if in what_ifs]
    for _round in range(_ROUNDS):
        more = observer.complete(_join([forecast.missing for forecast in forecasts]))
        if more is None:
            break
        snapshot = more
        forecasts = [simulate(snapshot, kills, what_if) for what_if in what_ifs]
    return snapshot, forecasts


def _join(needs: List[Missing]) -> Missing:
    return Missing(set().union(*(one.relations for one in needs)), any(one.more_processes for one in needs),
                   any(one.exact_counts for one in needs))


def forecast_snapshot(snapshot: Snapshot, kills: int, what_if: WhatIf) -> Forecast:
    """The forecast of a snapshot; unknown if it lacks processes for this question."""
    forecast = simulate(snapshot, kills, what_if)
    if forecast.missing.more_processes:
        return Forecast(UNKNOWN, f'the snapshot holds too few processes for this question: {snapshot.left_out} were '
                                 'left out of it, and one of those may be the victim'
                                 ' [OOMK-2403]', [], Missing(set(), True, False))
    return forecast


# ------------------------------------------------------------------- descriptions

def describe(snapshot: Snapshot, forecast: Forecast, protect: List[Protected]) -> Dict[str, Any]:
    """The forecast as a module returns it, for the snapshot with the assumed settings."""
    return {
        'outcome': forecast.outcome,
        'reason': forecast.reason,
        'kill_order': [_describe_kill(snapshot, rank, kill) for rank, kill in enumerate(forecast.kills, 1)],
        'violations': _find_violations(snapshot, forecast, protect),
        'notes': snapshot.notes + list(_list_notes(snapshot, forecast)),
        'summary': _summarize(forecast),
    }


def _summarize(forecast: Forecast) -> List[str]:
    """The forecast as lines of text."""
    if not forecast.kills:
        return [f'{forecast.outcome}: {forecast.reason}']
    return [f'{rank}. {_summarize_kill(kill)}' for rank, kill in enumerate(forecast.kills, 1)]


def _summarize_kill(kill: Kill) -> str:
    victims = [f"{one.process.name} (PID {one.process.pid}, {one.process.unit or 'no unit'})"
               for one in kill.victims[:_MOST_NAMED]]
    more, collateral = len(kill.victims) - _MOST_NAMED, len(kill.collateral)
    return (' or '.join(victims) + (f' or one of {more} more' if more > 0 else '')
            + (f", and with it {collateral} process{'' if collateral == 1 else 'es'}" if collateral else ''))


def _describe_kill(snapshot: Snapshot, rank: int, kill: Kill) -> Dict[str, Any]:
    best = kill.victims[0]
    return {
        'rank': rank,
        'victims': [
            dict(_identify(one.process), badness_pages=one.badness_pages, error_pages=one.process.error_pages,
                 oom_score=one.process.oom_score, oom_score_adj=one.process.oom_score_adj, cgroup=one.process.cgroup)
            for one in kill.victims[:_MOST_VICTIMS]],
        'victims_count': len(kill.victims),
        'ambiguous': len(kill.victims) > 1,
        'margin_pages': kill.margin_pages,
        'error_pages': kill.error_pages,
        'badness_pages': best.badness_pages,
        'service': best.process.unit,
        'freed_kb': kill.freed_pages * snapshot.settings.page_kb,
        'collateral': [dict(_identify(one.process), why=one.why) for one in kill.collateral],
    }


def _identify(process: Process) -> Dict[str, Any]:
    return {'pid': process.pid, 'name': process.name, 'unit': process.unit}


def _find_violations(snapshot: Snapshot, forecast: Forecast, protect: List[Protected]) -> List[Dict[str, Any]]:
    """Kills that end a protected service."""
    found = []
    for one in protect:
        pids = {pid for pid, process in snapshot.processes.items()
                if pid in one.pids or serves(process.unit or '', one.unit)}
        for rank, kill in enumerate(forecast.kills, 1):
            violation = _find_violation(snapshot, kill, pids)
            if violation is not None:
                found.append(dict(violation, service=one.asked, rank=rank))
    return found


def _find_violation(snapshot: Snapshot, kill: Kill, pids: Set[int]) -> Optional[Dict[str, Any]]:
    """How this kill ends one of these processes; None if it does not."""
    hit = [one.process for one in kill.victims if one.process.pid in pids]
    if hit:
        return dict(_identify(hit[0]), how=VICTIM, certain=len(hit) == len(kill.victims))
    hit = [snapshot.processes[pid] for pid in sorted(kill.may_die & pids)]
    return dict(_identify(hit[0]), how=COLLATERAL, certain=len(kill.victims) == 1) if hit else None


def _list_notes(snapshot: Snapshot, forecast: Forecast) -> Iterator[str]:
    """The limits of the forecast, for the user."""
    relations = snapshot.relations
    victims = {one.process.pid for kill in forecast.kills for one in kill.victims}
    if not all(relations[pid].sharers_known for pid in victims & set(relations)):
        yield 'whether other processes use the memory of a victim may not be seen here (kcmp); become root [OOMK-2406]'
    missing = sorted(forecast.missing.relations - set(relations))
    if missing:
        yield f"which processes are killed with process {', '.join(map(str, missing))} is unknown [OOMK-2406]"
    unread = _list_unread(snapshot.settings)
    if unread and forecast.outcome in (KILL, DEADLOCK):
        yield f"{', '.join(unread)} cannot be read here: 0 is assumed [OOMK-2406]"
    if snapshot.settings.scale is None and forecast.kills:
        yield "the scale of this kernel's oom_score is unknown, so it was not used as a check [OOMK-2406]"


def _list_unread(settings: Settings) -> List[str]:
    sysctls = {'vm.panic_on_oom': settings.panic_on_oom, 'vm.oom_kill_allocating_task': settings.kill_allocating_task}
    return [key for key, value in sysctls.items() if value is None]
