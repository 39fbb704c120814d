# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forecasts of this machine or of a snapshot, and how they are told."""

from typing import Any, Dict, List, Optional, Set, Tuple

from .._systemd.unit_names import serves
from .observe import Observer
from .protection import Protected
from .simulate import DEADLOCK, KILL, UNKNOWN, Fellow, Forecast, Kill, Victim, WhatIf, simulate
from .snapshot import Process, Snapshot

_SPARE = 5     # processes looked at beyond those that are asked for
_ROUNDS = 50   # each looks at more, and a forecast names only so many

_MOST_NAMED = 3
_MOST_VICTIMS = 100
VICTIM, COLLATERAL = 'victim', 'collateral'


def observed(observer: Observer, kills: int, what_ifs: List[WhatIf]) -> Tuple[Snapshot, List[Forecast]]:
    """One snapshot of the machine with all that these forecasts of it need, and the forecasts."""
    concerned = {pid for what_if in what_ifs for pid in list(what_if.score_adj) + list(what_if.growth_pages)}
    # Whoever is taken off the top by what is assumed makes room for another one.
    snapshot = observer.look(kills + _SPARE + len(concerned), concerned)
    forecasts = [simulate(snapshot, kills, what_if) for what_if in what_ifs]
    for _round in range(_ROUNDS):
        more = observer.complete(_needs(forecasts))
        if more is None:
            break
        snapshot = more
        forecasts = [simulate(snapshot, kills, what_if) for what_if in what_ifs]
    return snapshot, forecasts


def _needs(forecasts: List[Forecast]) -> Forecast:
    """One forecast with what is missing in any."""
    unlooked: Set[int] = set()
    for forecast in forecasts:
        unlooked |= forecast.unlooked
    return forecasts[0]._replace(unlooked=unlooked, short=any(forecast.short for forecast in forecasts))


def replayed(snapshot: Snapshot, kills: int, what_if: WhatIf) -> Forecast:
    """The forecast of a snapshot; unknown where it does not hold enough for this question."""
    forecast = simulate(snapshot, kills, what_if)
    if forecast.short:
        return Forecast(UNKNOWN, f'the snapshot holds too few processes for this question: {snapshot.left_out} were '
                                 'left out of it, and one of those may be the victim', [], set(), True)
    return forecast


# ------------------------------------------------------------------------- told

def describe(snapshot: Snapshot, forecast: Forecast, protect: List[Protected]) -> Dict[str, Any]:
    """The forecast as a module returns it, of the snapshot with the settings that it assumes."""
    return {
        'outcome': forecast.outcome,
        'reason': forecast.reason,
        'kill_order': [_kill(snapshot, rank, kill) for rank, kill in enumerate(forecast.kills, 1)],
        'violations': _violations(snapshot, forecast, protect),
        'notes': _notes(snapshot, forecast),
        'summary': _summary(forecast),
    }


def _summary(forecast: Forecast) -> List[str]:
    """The forecast in lines to read."""
    if not forecast.kills:
        return [f'{forecast.outcome}: {forecast.reason}']
    return [f'{rank}. {_victims(kill)}{_and_more(kill)}' for rank, kill in enumerate(forecast.kills, 1)]


def _victims(kill: Kill) -> str:
    return ' or '.join(_named(one.process) for one in kill.victims[:_MOST_NAMED])


def _named(process: Process) -> str:
    return f"{process.name} (PID {process.pid}, {process.unit or 'no unit'})"


def _and_more(kill: Kill) -> str:
    more, fellows = len(kill.victims) - _MOST_NAMED, len(kill.collateral)
    return ((f' or one of {more} more' if more > 0 else '')
            + (f", and with it {fellows} process{'' if fellows == 1 else 'es'}" if fellows else ''))


def _kill(snapshot: Snapshot, rank: int, kill: Kill) -> Dict[str, Any]:
    best = kill.victims[0]
    return {
        'rank': rank,
        'victims': [_victim(one) for one in kill.victims[:_MOST_VICTIMS]],
        'victims_count': len(kill.victims),
        'ambiguous': len(kill.victims) > 1,
        'margin_pages': kill.margin_pages,
        'error_pages': kill.error_pages,
        'badness_pages': best.badness_pages,
        'service': best.process.unit,
        'freed_kb': kill.freed_pages * snapshot.settings.page_kb,
        'collateral': [_fellow(one) for one in kill.collateral],
    }


def _victim(victim: Victim) -> Dict[str, Any]:
    return dict(_identity(victim.process), badness_pages=victim.badness_pages, error_pages=victim.process.error_pages,
                oom_score=victim.process.oom_score, oom_score_adj=victim.process.oom_score_adj,
                cgroup=victim.process.cgroup)


def _fellow(collateral: Fellow) -> Dict[str, Any]:
    return dict(_identity(collateral.process), why=collateral.why)


def _identity(process: Process) -> Dict[str, Any]:
    return {'pid': process.pid, 'name': process.name, 'unit': process.unit}


def _violations(snapshot: Snapshot, forecast: Forecast, protect: List[Protected]) -> List[Dict[str, Any]]:
    """Where a protected service is among those that go down."""
    found = []
    for one in protect:
        pids = {pid for pid, process in snapshot.processes.items()
                   if pid in one.pids or serves(process.unit or '', one.unit)}
        for rank, kill in enumerate(forecast.kills, 1):
            how = _how(snapshot, kill, pids)
            if how is not None:
                found.append({'service': one.asked, 'rank': rank, 'how': how[0], 'certain': how[1], 'pid': how[2].pid,
                              'name': how[2].name, 'unit': how[2].unit})
    return found


def _how(snapshot: Snapshot, kill: Kill, pids: Set[int]) -> Optional[Tuple[str, bool, Process]]:
    """(how, whether it is certain, which process) one of these goes down in this kill; None where none does."""
    victims = [one.process for one in kill.victims]
    hit = [one for one in victims if one.pid in pids]
    if hit:
        return VICTIM, len(hit) == len(victims), hit[0]
    fellows = [snapshot.processes[pid] for pid in sorted(kill.doomed) if pid in snapshot.processes]
    hit = [one for one in fellows if one.pid in pids]
    return (COLLATERAL, len(victims) == 1, hit[0]) if hit else None


def _notes(snapshot: Snapshot, forecast: Forecast) -> List[str]:
    """What limits the forecast, for the user to read."""
    found = list(snapshot.notes)
    pids = [one.process.pid for kill in forecast.kills for one in kill.victims]
    if any(pid in snapshot.ties and not snapshot.ties[pid].sharers_known for pid in pids):
        found.append('whether other processes use the memory of a victim may not be seen here (kcmp); become root')
    if forecast.unlooked - set(snapshot.ties):
        found.append("what goes down together with process "
                     f"{', '.join(str(pid) for pid in sorted(forecast.unlooked - set(snapshot.ties)))} is not known")
    settings = snapshot.settings
    unread = [key for key, value in (('vm.panic_on_oom', settings.panic_on_oom),
                                     ('vm.oom_kill_allocating_task', settings.kill_allocating_task)) if value is None]
    if unread and forecast.outcome in (KILL, DEADLOCK):
        found.append(f"{', '.join(unread)} cannot be read here: 0 is assumed")
    if settings.scale is None and forecast.kills:
        found.append('which scale this kernel\'s oom_score has could not be told, so that it was not used as a check')
    return found
