# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forecasts before and after a change, both from one snapshot taken before the change."""

from typing import Any, Dict, List, NamedTuple, Optional

from .._core.convert import ConvertError, to_integer
from .._core.errors import CONTAINER, OTHER, Refusal
from .._host.container import detect_container
from .._host.host import Host
from .._process.table import ProcessTable
from .._systemd import unit_names
from .._systemd.manager import Manager, ManagerError
from . import protection, report, simulate
from .observe import Observer, Unreadable

MOST_KILLS = 100


class ForecastRequest(NamedTuple):
    """A module's options on forecasts."""

    kills: int  # 0: no forecast
    protect: List[str]


def parse_forecast_options(params: Dict[str, Any]) -> ForecastRequest:
    """Parse the options. Raises ConvertError."""
    kills = to_integer('forecast', params['forecast'], 0, MOST_KILLS)
    protect = check_protect(params['protect'])
    if protect and not kills:
        raise ConvertError('protect: this needs a forecast, and forecast: 0 switches it off [OOMK-1905]')
    return ForecastRequest(kills, protect)


def check_protect(names: Optional[List[str]]) -> List[str]:
    """The services to protect, as the user wrote them. Raises ConvertError for an impossible unit name."""
    for number, name in enumerate(names or []):
        unit_names.to_unit(f'protect[{number}]', name)
    return list(names or [])


def forecast_before_and_after(host: Host, manager: Optional[Manager], request: ForecastRequest,
                              planned: simulate.WhatIf) -> Dict[str, Any]:
    """Keys forecast_before and forecast_after of a module's result; ``planned`` is what the change sets.

    Raises Refusal if the kernel would kill a service to protect.
    """
    if not request.kills:
        return {}
    try:
        protect = protection.resolve(host, manager, request.protect)
    except ManagerError as exc:
        raise Refusal(f'{exc}. Nothing was changed. [OOMK-2316]') from exc
    try:
        with ProcessTable(host) as processes:
            observer = Observer(host, processes, None, manager)
            what_ifs = [simulate.NOTHING, planned]
            snapshot, forecasts = report.forecast_host(observer, request.kills, what_ifs)
    except (Unreadable, OSError) as exc:
        if request.protect:
            raise Refusal(f"protect: no forecast is possible ({exc}), so it is unknown whether the kernel would kill "
                          f"{', '.join(request.protect)}. Nothing was changed. [OOMK-1904]") from exc
        return {'forecast_before': None, 'forecast_after': None}
    described = [report.describe(simulate.assume_settings(snapshot, what_if), forecast, protect)
                 for what_if, forecast in zip(what_ifs, forecasts)]
    _refuse_violations(host, request, described[1])
    return {'forecast_before': described[0], 'forecast_after': described[1]}


def _refuse_violations(host: Host, request: ForecastRequest, after: Dict[str, Any]) -> None:
    if not request.protect:
        return
    names = ', '.join(sorted(request.protect))
    if after['outcome'] == simulate.UNKNOWN:
        raise Refusal(f"protect: it is unknown whether the kernel would kill {names}: {after['reason']}. Nothing was "
                      "changed. [OOMK-1904]", CONTAINER if detect_container(host) else OTHER)
    if after['violations']:
        services = ' and '.join(f"{one['service']} ({one['how']} of kill {one['rank']})" for one in after['violations'])
        raise Refusal(f"protect: with this change, the first {request.kills} kills would end {services}. The forecast "
                      f"is: {'; '.join(after['summary'])}. Give it a lower score_adj or others a higher one. Nothing "
                      "was changed. [OOMK-1903]")
