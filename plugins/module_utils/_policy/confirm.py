# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Confirmed commit: a change stays at runtime only until the same call over a new connection confirms it.

A strict limit can lock out the tool that set it, seconds later. So the run first writes runtime only. A watchdog rolls
it back unless a new connection confirms it.
"""

import contextlib
import json
import os
import signal
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Type

from .._core.convert import to_integer
from .._core.errors import Refusal, collect_refusals, raise_refusals
from .._core.request import Request
from .._host import leftovers
from .._host.host import RUN_FOLDER, sysctl_path
from .._host.transaction import ApplyError, Done, Rollback, rollback_on_failure
from .._host.writable import WritableHost
from .._kernel import sysctls
from .._sysctl.records import ALL_KEYS, SYSCTLS
from .._sysctl.state import HostState, Unconfirmed
from . import pending_change
from .apply import apply_plan, apply_within, settle_record, write_runtime
from .connection import connection, is_same
from .pending_change import Pending
from .plan import Part, Plan, Policy, writes_between
from .planning import look_and_plan
from .revert import get_values, group_settings
from .run import add_done, build_result, parse_options

# The options of the modules whose changes at runtime can be confirmed.
CONFIRM_OPTIONS: Dict[str, Dict[str, Any]] = dict(
    confirm_within=dict(type='raw', default=0),
    confirm_changes=dict(type='str', choices=['all', 'tightening'], default='all'),
)

NOT_NEEDED, PENDING, CONFIRMED = 'not_needed', 'pending', 'confirmed'
NO_TIME = 'confirm_within is 0'
MAX_S = 3600
_END_S = 30  # seconds for a watchdog to end: it retries the rollback that long
_LOOK_S = 0.01


class Asked(NamedTuple):
    within_s: int
    tightening_only: bool


# What a call requests.
class Call(NamedTuple):
    request: Request
    policy: Policy
    part: Part
    asked: Asked


# The plan of a run, and what the module returns.
class RunOutcome(NamedTuple):
    plan: Plan
    result: Dict[str, Any]


def run(host: WritableHost, params: Dict[str, Any], policy: Type[Policy], check_mode: bool) -> Dict[str, Any]:
    """Run the module once. Returns the result with its warnings. A confirmation counts as a change.

    Raises ConvertError, Refusal, ApplyError, OSError.
    """
    request = parse_options(params, policy, check_mode)
    return carry_out(host, Call(request, policy.parse(params), Part(), parse_asked(params))).result


def parse_asked(params: Dict[str, Any]) -> Asked:
    """Parse the options about confirmation. Raises ConvertError."""
    return Asked(to_integer('confirm_within', params['confirm_within'], 0, MAX_S),
                 params['confirm_changes'] == 'tightening')


def describe_request(call: Call) -> str:
    """Describe what a call requests; equal texts are equal requests. Check mode and confirm_within do not count."""
    options = call.request._replace(check_mode=False)._asdict()
    return json.dumps([options, call.policy.describe_desired(), call.part.describe()], sort_keys=True)


def carry_out(host: WritableHost, call: Call) -> RunOutcome:
    """Run once: confirm, wait, or apply at once. Raises Refusal and ApplyError."""
    if not call.request.check_mode:
        _remove_leftovers(host)
    waiting = _settled(host)
    stale = [pending for pending in waiting if not pending_change.is_watched(host, pending)]
    watched = [pending for pending in waiting if pending not in stale]
    warnings = _describe_stale(stale)  # may fail, so it comes before any change
    if watched and not _is_half_made(host, watched[0]):
        outcome = _while_waiting(host, call, watched[0])
    elif watched and not call.request.check_mode:
        _roll_back(host, watched[0])
        return carry_out(host, call)
    else:
        outcome = _from_the_start(host, call, waiting)
    outcome.result['warnings'] += warnings
    _forget(host, stale, outcome)
    return outcome


def _describe_stale(stale: List[Pending]) -> List[str]:
    return [_GONE % pending_change.describe(pending) for pending in stale]


def _remove_leftovers(host: WritableHost) -> None:
    """Remove leftovers of a killed watchdog. No other run is active, so nobody uses them."""
    leftovers.remove(host, leftovers.list_files(host, RUN_FOLDER) + pending_change.left_over(host))


_GONE = ('a change at runtime (%s) waited for its confirmation, but its watchdog is gone, so nothing rolls it back any '
         'more. This run took what it found as it is [OOMK-2208]')


def _settled(host: WritableHost) -> List[Pending]:
    """Return all changes once no watchdog is rolling back: the rollback would overwrite what this run writes."""
    last = time.monotonic() + _END_S
    while True:
        waiting = pending_change.find_all(host)
        busy = [pending for pending in waiting
                if pending_change.is_rolled_back(pending) and pending_change.is_watched(host, pending)]
        if not busy:
            return waiting
        if time.monotonic() > last:
            raise _busy(busy[0])
        time.sleep(_LOOK_S)


def _busy(pending: Pending) -> Refusal:
    return Refusal(f'Another change was not confirmed, and its watchdog (PID {pending.pid}) has not rolled runtime '
                   f'back within {_END_S} s. Nothing was changed. Try again when it has ended. [OOMK-2204]')


def _covers(policy: Policy, pending: Pending) -> bool:
    """Whether the policy is about all sysctls that the change set."""
    return set(policy.keys).issuperset(key for key, value in pending.after.items() if value != pending.before.get(key))


def _is_half_made(host: WritableHost, pending: Pending) -> bool:
    """Whether the run that made the change was killed before it had written everything. Nobody can confirm that."""
    found = _runtime(host, pending)
    apart = [key for key, value in pending.after.items() if (found[key] or 0) != (value or 0)]
    return bool(apart) and all((found[key] or 0) == (pending.before.get(key) or 0) for key in apart)


def _roll_back(host: WritableHost, pending: Pending) -> None:
    """Make the watchdog roll back now."""
    if not _stop(host, pending):
        raise _busy(pending)


def _forget(host: WritableHost, stale: List[Pending], outcome: RunOutcome) -> None:
    """Remove changes whose watchdog was killed: their earlier values are recorded by now, or restored.

    They stay while a new change waits: after its rollback only they hold the earlier values.
    """
    if outcome.result['confirmation']['state'] == PENDING or outcome.plan.request.check_mode:
        return
    for pending in stale:
        if not _covers(outcome.plan.policy, pending):
            continue  # nothing else holds the earlier values of the other sysctls
        # The run has succeeded. The next run reports a file that cannot be removed.
        with contextlib.suppress(OSError, MemoryError):
            pending_change.claim(host, pending.name)


# ------------------------------------------------------------- no pending change

def _from_the_start(host: WritableHost, call: Call, left: List[Pending]) -> RunOutcome:
    """Run without a watched change. ``left`` are changes that nobody can confirm any more."""
    unconfirmed: Unconfirmed = {}
    for pending in left:
        unconfirmed.update(_unconfirmed(host, pending))
    plan = _plan(host, call, unconfirmed)
    why = _why_not_needed(plan, call.asked)
    if why is None:
        return _start(plan, call)
    outcome = _outcome(plan, NOT_NEEDED, call.asked.within_s, reason=why)
    if (plan.to_do or call.part.has_work) and not call.request.check_mode:
        add_done(outcome.result, apply_plan(plan, call.part))
    return outcome


def _plan(host: WritableHost, call: Call, unconfirmed: Unconfirmed) -> Plan:
    """Plan the sysctls, and then the part. Raises the refusals of both together."""
    refusals: List[Refusal] = []
    with collect_refusals(refusals):
        plan: Plan = host.call(look_and_plan, host, call.request, call.policy, unconfirmed)
    with collect_refusals(refusals):
        call.part.plan({} if refusals else plan.runtime_after)
    raise_refusals(refusals)
    return plan


def _why_not_needed(plan: Plan, asked: Asked) -> Optional[str]:
    """Why no confirmation is needed; None if the change must be confirmed."""
    if not plan.writes:
        return 'nothing changes at runtime'
    if asked.tightening_only and not plan.policy.tightens(plan):
        return 'the change does not tighten'
    if not asked.within_s:
        return NO_TIME
    return None


def _start(plan: Plan, call: Call) -> RunOutcome:
    """Write runtime only, with a watchdog that rolls it back. The part comes with the confirmation."""
    within_s = call.asked.within_s
    if plan.request.check_mode:
        return _outcome(plan, PENDING, within_s, reason='check mode: nothing was started')
    # Imported here, because few runs start a watchdog.
    from .watchdog import WatchdogError, build_steps, start
    host = plan.host_state.host
    pending = _new(plan, call)
    outcome = _outcome(plan, PENDING, within_s, pending,
                       'confirm it by the same call over a new connection, or runtime is rolled back')
    steps = build_steps(plan.list_rollback_writes(), plan.runtime_before, plan.runtime_after)
    try:
        pending, warnings = start(host, pending, steps)
        _check_alone(host, pending)
        warnings += _apply_runtime(plan, pending)
    except WatchdogError as exc:
        raise Refusal(f'confirm_within: the watchdog that would roll the change back could not be started ({exc}). '
                      'Nothing was changed. confirm_within: 0 goes without it. [OOMK-2201]') from exc
    except BaseException:
        _give_up(host, pending)
        raise
    outcome.result['warnings'] += warnings
    return outcome


def _apply_runtime(plan: Plan, pending: Pending) -> List[str]:
    """Change neither files nor the record. Returns warnings."""
    with rollback_on_failure() as rollback:
        warnings = write_runtime(plan, rollback)
        _check_watched(plan.host_state.host, pending)
    return warnings


def _new(plan: Plan, call: Call) -> Pending:
    """Build the pending change; the watchdog adds its PID and start time."""
    host, within_s = plan.host_state.host, call.asked.within_s
    return Pending(
        name=pending_change.new_name(), boot=pending_change.boot_id(host), pid=0, started=0,
        deadline_s=pending_change.read_uptime_s() + within_s, within_s=within_s,
        desired=describe_request(call), connection=connection(host),
        before=plan.runtime_before, after=plan.runtime_after,
        originals={key: before for key, (before, _after) in plan.host_state.unconfirmed.items()
                   if key not in plan.host_state.record.values})


def _check_alone(host: WritableHost, pending: Pending) -> None:
    """Refuse if another call starts a change at the same time. Both calls then stop."""
    others = [one for one in pending_change.find_all(host)
              if one.name != pending.name and pending_change.is_watched(host, one)]
    if others:
        raise Refusal('confirm_within: another call started to change the same settings at the same time '
                      f'({pending_change.describe(others[0])}). Nothing was changed by this one. Try again.'
                      ' [OOMK-2202]')


def _check_watched(host: WritableHost, pending: Pending) -> None:
    waits = host.exists(f'{RUN_FOLDER}/{pending.name}')
    if not waits or not pending_change.is_watched(host, pending):
        raise ApplyError(f'the watchdog ended while runtime was being written: within {pending.within_s} s all was '
                         'not done [OOMK-2207]')


def _end(host: WritableHost, pending: Pending) -> bool:
    """End a watchdog that is no longer needed; False if it has already rolled back."""
    won = pending_change.claim(host, pending.name)
    # The claim decides. A later failure must not undo a change that nothing watches any more.
    _stop(host, pending)
    return won


def _give_up(host: WritableHost, pending: Pending) -> None:
    """End the watchdog after a failure. Even if its file stays, it ends: it finds everything rolled back."""
    with contextlib.suppress(OSError, MemoryError):
        pending_change.claim(host, pending.name)
    _stop(host, pending)


def _stop(host: WritableHost, pending: Pending) -> bool:
    """Make the watchdog decide now. Returns whether it has ended. Raises nothing."""
    with contextlib.suppress(OSError, MemoryError):
        if pending_change.is_watched(host, pending):
            os.kill(pending.pid, signal.SIGTERM)
    last = time.monotonic() + _END_S
    while time.monotonic() < last:
        with contextlib.suppress(OSError, MemoryError):
            if not pending_change.is_watched(host, pending):
                return True
        time.sleep(_LOOK_S)
    return False


# ---------------------------------------------------------------- pending change

def _while_waiting(host: WritableHost, call: Call, pending: Pending) -> RunOutcome:
    if describe_request(call) != pending.desired:
        if call.request.absent and call.request.runtime and _covers(call.policy, pending):
            return _revert(host, call, pending)
        raise Refusal(
            f'Refused, because another change waits for its confirmation until {pending_change.until(pending)}: '
            f'{pending_change.describe(pending)} (runtime only, so far). Confirm it by the call that made it over a '
            'new connection, wait until it is rolled back, or revert it at once by state: absent of the module that '
            'made it. [OOMK-2205]')
    if is_same(pending.connection, connection(host)):
        return _outcome(Plan(HostState(host), call.request, call.policy), PENDING, pending.within_s, pending,
                        'this call came over the connection that made the change, which proves nothing: connect again '
                        '(meta: reset_connection) and make it again')
    return _confirm(host, call, pending)


def _confirm(host: WritableHost, call: Call, pending: Pending) -> RunOutcome:
    """Apply the part and write the files. The last step decides between this call and the watchdog."""
    plan = _plan(host, call, _unconfirmed(host, pending))
    if plan.writes:
        raise Refusal(
            f'Not confirmed, because runtime is not what this change made of it: {_text(plan.runtime_before, plan)} '
            f'now, and {_text(plan.runtime_after, plan)} is wanted. Somebody else has set it meanwhile, or the '
            'machine has more or less memory or swap. Nothing was written; what is still as the change left it is '
            f'rolled back at {pending_change.until(pending)}. Make the call again after that. [OOMK-2206]')
    if call.request.check_mode:
        return _outcome(plan, PENDING, pending.within_s, pending, 'check mode: this call would confirm it')
    outcome = _outcome(plan, CONFIRMED, pending.within_s)

    def last(_undo: Rollback) -> None:
        if not _end(host, pending):
            raise ApplyError('the confirmation came too late: the watchdog has just rolled runtime back [OOMK-2207]')
    add_done(outcome.result, _apply_until_decided(plan, call.part, last))
    return outcome


def _text(state: sysctls.State, plan: Plan) -> str:
    keys = sorted({key for key in state if plan.runtime_before[key] != plan.runtime_after[key]})
    return ', '.join(f'{key} = {state[key]}' for key in keys)


def _revert(host: WritableHost, call: Call, pending: Pending) -> RunOutcome:
    """Apply state absent, which includes the pending change. The watchdog runs until that is done."""
    plan = _plan(host, call, _unconfirmed(host, pending))
    outcome = _outcome(plan, NOT_NEEDED, pending.within_s, reason='it reverts what waited for its confirmation')

    def last(rollback: Rollback) -> None:
        if not _end(host, pending):
            # The watchdog was faster, and may have overwritten our values. Plan again from the same unconfirmed values.
            # A failure now must not restore a change that nothing watches.
            plan.runtime_back = _as_rolled_back(plan, pending)
            again = host.call(look_and_plan, host, call.request, call.policy, plan.host_state.unconfirmed)
            add_done(outcome.result, apply_within(again, rollback))
    if not call.request.check_mode:
        add_done(outcome.result, _apply_until_decided(plan, call.part, last))
    return outcome


def _apply_until_decided(plan: Plan, part: Part, last: Callable[[Rollback], None]) -> Done:
    """Apply the plan; ``last`` decides after all changes, and its exceptions roll back too.

    A record that cannot be settled after it stays until the next run.
    """
    with rollback_on_failure(Refusal, *part.errors) as rollback:
        done = apply_within(plan, rollback, part)
        last(rollback)
        with contextlib.suppress(OSError, MemoryError, ApplyError):
            settle_record(plan, rollback)
        return done


def _as_rolled_back(plan: Plan, pending: Pending) -> sysctls.State:
    """The runtime state after the watchdog's rollback of what the plan found."""
    from .watchdog import build_steps, roll_back
    state = dict(plan.runtime_before)
    roll_back(build_steps(writes_between(pending.after, pending.before), pending.before, pending.after), state.get,
              lambda step: SYSCTLS[step.key].apply_write(state, str(step.value)))
    return state


# -------------------------------------------------------------------------- helpers

def _unconfirmed(host: WritableHost, pending: Pending) -> Unconfirmed:
    """What the pending change set and is still set at runtime. It is recorded only once it is confirmed."""
    before, after, found = dict(pending.before, **pending.originals), pending.after, _runtime(host, pending)
    settings = [setting for setting in group_settings(ALL_KEYS)
                if get_values(before, setting) != get_values(after, setting) == get_values(found, setting)]
    return {key: (before.get(key), after.get(key)) for setting in settings for key in setting}


def _runtime(host: WritableHost, pending: Pending) -> sysctls.State:
    return {key: sysctls.parse_value(host.read_text(sysctl_path(key))) for key in pending.after}


def _outcome(plan: Plan, state: str, within_s: int, pending: Optional[Pending] = None,
             reason: Optional[str] = None) -> RunOutcome:
    """Build the outcome before any change, because this may fail. Only warnings and backups are added later."""
    result = build_result(plan)
    result['changed'] = result['changed'] or state == CONFIRMED
    result['confirmation'] = {'state': state, 'within_s': within_s, 'reason': reason,
                              'until': None if pending is None else pending_change.until(pending)}
    return RunOutcome(plan, result)
