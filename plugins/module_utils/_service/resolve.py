# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the units of the requested services, and decide about names that match none."""

import difflib
from typing import Dict, List

from .._core.convert import ConvertError
from .._core.errors import NO_SERVICE, NeedsAdvice, Refusal
from .._systemd import unit_names
from .._systemd.unit_files import MISSING, USER
from . import saved_scores
from .model import DesiredState, HostState, Plan, Service


def resolve(plan: Plan, desired_states: List[DesiredState]) -> None:
    """Find the units. The option ``missing`` decides about unknown ones. Raises ConvertError and Refusal."""
    host_state, request = plan.host_state, plan.request
    missing: List[DesiredState] = []
    by_name: Dict[str, Service] = {}
    for desired in desired_states:
        unit = host_state.files.find_unit(desired.unit)
        if unit.name in by_name:
            _check_same(by_name[unit.name], desired)
            continue
        by_name[unit.name] = service = Service(desired, unit, request.absent)
        if unit.state == USER:
            raise refuse_user_unit(desired.asked)
        if unit.state == MISSING and unit.name not in host_state.ours:
            missing.append(desired)
        else:
            plan.services.append(service)
    settle_missing(plan, missing)
    _inherit_from_templates({service.name: service for service in plan.services if not service.is_reverted})
    if request.exclusive:
        _add_unlisted(plan, by_name)


def _check_same(service: Service, desired: DesiredState) -> None:
    """Refuse different values for two names of a service."""
    if service.desired[2:4] != desired[2:4]:
        raise ConvertError(f'{service.desired.asked} and {desired.asked} are the same service ({service.name}), and '
                           'different values are asked for; name it once [OOMK-1705]')


def refuse_user_unit(asked: str) -> Refusal:
    """The refusal of a user manager's unit."""
    return Refusal(f'{asked} is a unit of users (found in the folders of user units only): its processes belong to '
                   'each user\'s own manager, which is not managed here. Nothing was changed. [OOMK-1706]')


def settle_missing(plan: Plan, missing: List[DesiredState]) -> None:
    """Fail, warn or continue for unknown services, by their own ``missing`` or the request's."""
    if not missing or plan.request.absent:
        return
    known = plan.host_state.files.list_services()
    texts: Dict[str, List[str]] = {}
    for desired in missing:
        texts.setdefault(desired.missing or plan.request.missing, []).append(add_near_matches(desired.asked, known))
    text = 'There is no such service on this machine: %s'
    if 'fail' in texts:
        raise NeedsAdvice(text % ', '.join(texts['fail']), NO_SERVICE)
    if 'warn' in texts:
        plan.warnings.append(text % ', '.join(texts['warn']) + ' [OOMK-1701]')


def add_near_matches(name: str, services: List[str]) -> str:
    """Add similar known names to an unknown service's."""
    known = sorted(one[:-len(unit_names.SERVICE)] for one in services)
    near = difflib.get_close_matches(name, known, 3, 0.7)
    return name + (f" (is {' or '.join(near)} meant?)" if near else '')


def _inherit_from_templates(asked: Dict[str, Service]) -> None:
    """Copy values from a listed template to its listed instances that lack them."""
    for name, service in asked.items():
        template = asked.get(unit_names.parse_template(name) or '')
        if template is not None:
            template.listed_separately.add(name)
            service.desired = service.desired._replace(**{
                key: getattr(template.desired, key) for key in ('score_adj', 'oom_policy')
                if getattr(service.desired, key) is None})


def _add_unlisted(plan: Plan, listed: Dict[str, Service]) -> None:
    """Revert all our settings that are not listed."""
    host_state = plan.host_state
    known = set(host_state.ours).union(listed)
    # A recorded instance belongs to its template, unless it has its own drop-in.
    recorded = {unit for unit in saved_scores.list_units(host_state.record)
                if unit_names.parse_template(unit) not in known}
    for name in sorted(recorded.union(host_state.ours)):
        if name not in listed:
            plan.services.append(build_unlisted(host_state, name))


def build_unlisted(host_state: HostState, name: str) -> Service:
    """A service that reverts all our settings of this unit."""
    unit = host_state.files.find_unit(name)._replace(name=name)
    return Service(DesiredState(name, name, None, None, None), unit, True)
