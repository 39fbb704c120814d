# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit, confirmed: a change holds at run time only until the same call, made over a new connection, confirms it.

A strict limit can lock out the very tool that set it, seconds later. So at first nothing but run time is written, and
a watchdog (_watchdog) puts it back unless somebody who got in afterwards says that he did.
"""

import json
import os
import signal
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils import _commit, _confirm_state, _knobs, _originals
from ansible_collections.oomkit.linux.plugins.module_utils._apply import apply_plan, apply_runtime
from ansible_collections.oomkit.linux.plugins.module_utils._confirm_state import Pending
from ansible_collections.oomkit.linux.plugins.module_utils._connection import connection, is_same
from ansible_collections.oomkit.linux.plugins.module_utils._convert import MODES, Amount, to_integer
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, sysctl_path, to_text
from ansible_collections.oomkit.linux.plugins.module_utils._plan import Plan, Policy, Request, Situation, make_plan
from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl_file import keys_in
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl_module import PolicyOf, request_of, result_of
from ansible_collections.oomkit.linux.plugins.module_utils._undo import ApplyError

# The options of the modules whose changes at run time can be confirmed.
CONFIRM_OPTIONS: Dict[str, Dict[str, Any]] = dict(
    confirm_within=dict(type='raw', default=0),
    confirm_changes=dict(type='str', choices=['all', 'tightening'], default='all'),
)

NOT_NEEDED, PENDING, CONFIRMED = 'not_needed', 'pending', 'confirmed'
MAX_S = 3600
_END_S = 10  # how long a watchdog may take to end

Asked = NamedTuple('Asked', [('within_s', int), ('tightening_only', bool)])

# What a run did: the plan, backups of foreign files, and what the module returns as C(confirmation).
Outcome = NamedTuple('Outcome', [('plan', Plan), ('backups', List[str]), ('confirmation', Dict[str, Any])])


def run(host: Host, params: Dict[str, Any], policy_of: PolicyOf, values: tuple, check_mode: bool) -> Dict[str, Any]:
    """One run: the result, with its warnings. Confirming is a change of its own.

    Raises ConvertError, Refusal, ApplyError, OSError.
    """
    outcome = carry_out(host, request_of(params, values, check_mode), policy_of(params), asked_of(params))
    result = result_of(outcome.plan, outcome.backups)
    result['changed'] = result['changed'] or outcome.confirmation['state'] == CONFIRMED
    return dict(result, confirmation=outcome.confirmation)


def asked_of(params: Dict[str, Any]) -> Asked:
    """The options about confirming. Raises ConvertError."""
    return Asked(to_integer('confirm_within', params['confirm_within'], 0, MAX_S),
                 params['confirm_changes'] == 'tightening')


def wish_of(request: Request, policy: Policy) -> str:
    """What a call asks for, the same text for the same wish; check mode and the time to confirm in do not count."""
    options = dict(request._replace(check_mode=False)._asdict())
    for name, value in policy.wish._asdict().items():
        options['wish.' + name] = [value.size_kb, value.percent] if isinstance(value, Amount) else value
    return json.dumps(options, sort_keys=True)


def tightens(plan: Plan) -> bool:
    """Whether the change at run time can keep a program from starting that could be started before.

    That is mode never, entered or with less left: for root, who may use up the admin reserve, or for others.
    """
    before, after, memory = plan.runtime_before, plan.runtime_after, plan.situation.memory
    if after.get(_knobs.MEMORY) != MODES['never']:
        return False
    if before.get(_knobs.MEMORY) != MODES['never'] or memory is None:
        return True

    def left_kb(state: _knobs.State) -> Tuple[int, int]:
        others_kb = _commit.headroom_kb(memory, state, plan.situation.page_kb)
        return others_kb, others_kb + (state.get(_knobs.ADMIN_RESERVE) or 0)
    return any(less < more for less, more in zip(left_kb(after), left_kb(before)))


def carry_out(host: Host, request: Request, policy: Policy, asked: Asked) -> Outcome:
    """One run, confirmed, waiting or at once. Raises Refusal and ApplyError."""
    waiting = _confirm_state.find_all(host)
    watched = [pending for pending in waiting if _confirm_state.is_watched(host, pending)]
    if watched:
        return _while_waiting(host, request, policy, watched[0])
    return _from_the_start(host, request, policy, asked, waiting)


# ------------------------------------------------------------------- nothing waits

def _from_the_start(host: Host, request: Request, policy: Policy, asked: Asked, stale: List[Pending]) -> Outcome:
    """``stale`` are changes whose watchdog was killed."""
    unconfirmed: _knobs.State = {}
    for pending in stale:
        unconfirmed.update(_unconfirmed(host, request, pending))
    plan = make_plan(Situation(host, unconfirmed), request, policy)
    for pending in stale:
        plan.warnings.append('a change at run time (%s) waited for its confirmation, but its watchdog is gone, so '
                             'nothing puts it back any more. This run took what it found as it is'
                             % _confirm_state.describe(pending))
        if not request.check_mode:
            _confirm_state.claim(host, pending.name)
    why = _why_not_needed(plan, asked)
    if why is None:
        return Outcome(plan, [], _start(plan, asked))
    backups = apply_plan(plan) if plan.to_do and not request.check_mode else []
    return Outcome(plan, backups, _confirmation(NOT_NEEDED, asked.within_s, reason=why))


def _why_not_needed(plan: Plan, asked: Asked) -> Optional[str]:
    """None where the change has to be confirmed."""
    if not asked.within_s:
        return 'confirm_within is 0'
    if not plan.writes:
        return 'nothing changes at run time'
    if asked.tightening_only and not tightens(plan):
        return 'the change does not tighten'
    return None


def _start(plan: Plan, asked: Asked) -> Dict[str, Any]:
    """Write run time only, with a watchdog that puts it back."""
    if plan.request.check_mode:
        return _confirmation(PENDING, asked.within_s, reason='check mode: nothing was started')
    # Here and not at the top: most runs start no watchdog, and every import takes time on every host.
    from ansible_collections.oomkit.linux.plugins.module_utils._watchdog import WatchdogError, start, steps_of
    host = plan.situation.host
    pending = _new(plan, asked)
    steps = steps_of(plan.writes_back(), plan.runtime_before, plan.runtime_after)
    try:
        pending, warnings = start(host, pending, steps)
    except WatchdogError as exc:
        raise Refusal('confirm_within: the watchdog that would put the change back could not be started (%s). Nothing '
                      'was changed. confirm_within: 0 goes without it.' % exc) from exc
    try:
        _check_alone(host, pending)
        apply_runtime(plan, lambda: _check_watched(host, pending))
    except BaseException:
        _end(host, pending)
        raise
    plan.warnings.extend(warnings)
    return _confirmation(PENDING, asked.within_s, pending,
                         'confirm it by the same call over a new connection, or run time is put back')


def _new(plan: Plan, asked: Asked) -> Pending:
    """The change as it is about to be made; the watchdog adds who it is."""
    host = plan.situation.host
    return Pending(
        name=_confirm_state.new_name(), boot=_confirm_state.boot_id(host), pid=0, started=0,
        deadline_s=_confirm_state.boot_time_s() + asked.within_s, within_s=asked.within_s,
        wish=wish_of(plan.request, plan.policy), connection=connection(host),
        before=plan.runtime_before, after=plan.runtime_after)


def _check_alone(host: Host, pending: Pending) -> None:
    """Two calls at the same time see each other here, and neither goes on."""
    others = [one for one in _confirm_state.find_all(host)
              if one.name != pending.name and _confirm_state.is_watched(host, one)]
    if others:
        raise Refusal('confirm_within: another call started to change the same settings at the same time (%s). Nothing '
                      'was changed by this one. Try again.' % _confirm_state.describe(others[0]))


def _check_watched(host: Host, pending: Pending) -> None:
    if not _confirm_state.is_watched(host, pending):
        raise ApplyError('the watchdog ended while run time was being written: within %d s all was not done'
                         % pending.within_s)


def _end(host: Host, pending: Pending) -> bool:
    """End a watchdog that is not needed any more; False where it was faster and has put run time back."""
    won = _confirm_state.claim(host, pending.name)
    if _confirm_state.is_watched(host, pending):
        os.kill(pending.pid, signal.SIGTERM)
    last = time.monotonic() + _END_S
    while _confirm_state.is_watched(host, pending) and time.monotonic() < last:
        time.sleep(0.01)
    return won


# ----------------------------------------------------------------- something waits

def _while_waiting(host: Host, request: Request, policy: Policy, pending: Pending) -> Outcome:
    if wish_of(request, policy) != pending.wish:
        if request.absent and request.runtime:
            return _take_back(host, request, policy, pending)
        raise Refusal(
            'Refused, because another change waits for its confirmation until %s: %s (run time only, so far). Confirm '
            'it by the call that made it over a new connection, wait until it is put back, or take it and all settings '
            'of this module back at once by state: absent.'
            % (_confirm_state.until(pending), _confirm_state.describe(pending)))
    if is_same(pending.connection, connection(host)):
        return Outcome(Plan(Situation(host), request, policy), [], _confirmation(
            PENDING, pending.within_s, pending,
            'this call came over the connection that made the change, which proves nothing: connect anew '
            '(meta: reset_connection) and make it again'))
    return _confirm(host, request, policy, pending)


def _confirm(host: Host, request: Request, policy: Policy, pending: Pending) -> Outcome:
    """Write what is left, the files; the last step decides between this call and the watchdog."""
    plan = make_plan(Situation(host, _unconfirmed(host, request, pending)), request, policy)
    if plan.writes:
        raise Refusal(
            'Not confirmed, because run time is not what this change made of it: %s now, and %s is wanted. Somebody '
            'else has set it meanwhile, or the machine has more or less memory or swap. Nothing was written; what is '
            'still as the change left it is put back at %s. Make the call again after that.' % (
                _text(plan.runtime_before, plan), _text(plan.runtime_after, plan), _confirm_state.until(pending)))
    if request.check_mode:
        return Outcome(plan, [], _confirmation(PENDING, pending.within_s, pending,
                                               'check mode: this call would confirm it'))

    def last() -> None:
        if not _end(host, pending):
            raise ApplyError('the confirmation came too late: the watchdog has just put run time back')
    backups = apply_plan(plan, last)
    return Outcome(plan, backups, _confirmation(CONFIRMED, pending.within_s))


def _text(state: _knobs.State, plan: Plan) -> str:
    keys = sorted(set(key for key in state if plan.runtime_before[key] != plan.runtime_after[key]))
    return ', '.join('%s = %s' % (key, state[key]) for key in keys)


def _take_back(host: Host, request: Request, policy: Policy, pending: Pending) -> Outcome:
    """State absent, which includes what waits. The watchdog stands by until that is done."""
    plan = make_plan(Situation(host, _unconfirmed(host, request, pending)), request, policy)
    backups: List[str] = []
    if not request.check_mode:
        backups = apply_plan(plan)
        _end(host, pending)
    return Outcome(plan, backups, _confirmation(
        NOT_NEEDED, pending.within_s, reason='it takes back what waited for its confirmation'))


# -------------------------------------------------------------------------- helpers

def _unconfirmed(host: Host, request: Request, pending: Pending) -> _knobs.State:
    """Values to go back to that only the waiting change knows, as far as they would have been recorded."""
    still = [key for key, value in pending.after.items()
             if value != pending.before.get(key) and _knobs.parse_value(host.read_text(sysctl_path(key))) == value]
    ours = keys_in(to_text(host.read_bytes(request.sysctl_file) or b''))
    return _originals.updated({}, pending.before, still, ours)


def _confirmation(state: str, within_s: int, pending: Optional[Pending] = None,
                  reason: Optional[str] = None) -> Dict[str, Any]:
    return {'state': state, 'within_s': within_s, 'reason': reason,
            'until': None if pending is None else _confirm_state.until(pending)}
