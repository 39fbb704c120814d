# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forecast before a change and after it, both from one look at the machine before anything is touched."""

from typing import Any, Dict, List, NamedTuple, Optional

from .._core.convert import POLICIES, ConvertError, to_choice, to_integer
from .._core.errors import CONTAINER, OTHER, Refusal
from .._host.container import detect_container
from .._host.host import Host
from .._process.table import ProcessTable
from .._systemd import unit_names
from .._systemd.manager import Manager, ManagerError
from . import protection, report, simulate
from .observe import Observer, Unreadable

MOST_KILLS = 100


# What a module is asked about forecasts.
class Asked(NamedTuple):
    kills: int  # 0: none
    protect: List[str]
    panic_on_oom: Optional[int]
    kill_allocating_task: Optional[bool]


def asked_of(params: Dict[str, Any]) -> Asked:
    """The options, checked. Raises ConvertError."""
    kills = to_integer('forecast', params['forecast'], 0, MOST_KILLS)
    protect = checked_protect(params['protect'])
    if protect and not kills:
        raise ConvertError('protect: this needs a forecast, and forecast: 0 switches it off')
    return Asked(kills, protect, *assumed_policy('forecast_assuming.', params['forecast_assuming'] or {}))


def checked_protect(names: Optional[List[str]]) -> List[str]:
    """The services to be protected, as they were written. Raises ConvertError for what can be none."""
    for number, name in enumerate(names or []):
        unit_names.to_unit(f'protect[{number}]', name)
    return list(names or [])


def assumed_policy(prefix: str, values: Dict[str, Any]) -> List[Any]:
    """(panic_on_oom, kill_allocating_task) to assume, None for what is to be taken as it is. Raises ConvertError."""
    policy = values.get('policy')
    return [None if policy is None else to_choice(prefix + 'policy', policy, POLICIES),
            values.get('kill_allocating_task')]


def before_and_after(host: Host, manager: Optional[Manager], asked: Asked,
                     score_adj: Dict[int, int]) -> Dict[str, Any]:
    """Keys forecast_before and forecast_after of a module's result; ``score_adj`` is what is planned, by PID.

    Raises Refusal where a service that is to be protected would be among the victims afterwards.
    """
    if not asked.kills:
        return {}
    try:
        protect = protection.resolve(host, manager, asked.protect)
    except ManagerError as exc:
        raise Refusal(f'{exc}. Nothing was changed.') from exc
    try:
        with ProcessTable(host) as processes:
            observer = Observer(host, processes, None, manager)
            after = simulate.NOTHING._replace(
                score_adj=score_adj, panic_on_oom=asked.panic_on_oom, kill_allocating_task=asked.kill_allocating_task)
            what_ifs = [simulate.NOTHING, after]
            snapshot, forecasts = report.observed(observer, asked.kills, what_ifs)
    except (Unreadable, OSError) as exc:
        if asked.protect:
            raise Refusal(f"protect: no forecast is possible ({exc}), so whether {', '.join(asked.protect)} would be "
                          "killed cannot be told. Nothing was changed.") from exc
        return {'forecast_before': None, 'forecast_after': None}
    told = [report.describe(simulate.assumed(snapshot, what_if), forecast, protect)
            for what_if, forecast in zip(what_ifs, forecasts)]
    _check(host, asked, told[1])
    return {'forecast_before': told[0], 'forecast_after': told[1]}


def _check(host: Host, asked: Asked, after: Dict[str, Any]) -> None:
    if not asked.protect:
        return
    names = ', '.join(sorted(asked.protect))
    if after['outcome'] == simulate.UNKNOWN:
        raise Refusal(f"protect: whether {names} would be killed cannot be told: {after['reason']}. Nothing was "
                      "changed.", CONTAINER if detect_container(host) else OTHER)
    if after['violations']:
        raise Refusal('protect: with this, %s would be among the first %d to go down. The forecast is: %s. Give it a '
                      'lower score_adj or others a higher one. Nothing was changed.' % (
                          ' and '.join('%s (%s of kill %d)' % (one['service'], one['how'], one['rank'])
                                       for one in after['violations']), asked.kills, '; '.join(after['summary'])))
