# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Overcommit policy: the CommitLimit that the options request, the order of writes, and refusals.

Sources: Documentation/mm/overcommit-accounting.rst, ``vm_commit_limit`` and ``__vm_enough_memory`` in mm/util.c.
"""

from typing import Any, Dict, List, Optional, Tuple

from .._core.convert import MODES, Amount, ConvertError, to_amount
from .._core.errors import Refusal
from .._core.request import Request
from .._kernel import commit_limit
from .._kernel.meminfo import Memory
from .._kernel.sysctls import ADMIN_RESERVE, KBYTES, MEMORY, RATIO, USER_RESERVE, State
from .._sysctl import file_edit
from .._sysctl.state import HostState
from .plan import GREATEST_KB, Pair, Plan, Policy, Write, get_limit_pair, parse_values

NEVER = MODES['never']
# A CommitLimit within 0.1 % of the request stays: a few pages of swap or RAM are no reason to write.
_TOLERANCE = 0.001


class OvercommitPolicy(Policy):
    """The sysctls of module overcommit. In mode never, a CommitLimit that is too low keeps programs from starting."""

    module = 'overcommit'
    other_options = ('commit_limit',)

    def __init__(self, desired: Dict[str, int], limit: Optional[Amount], min_headroom: Amount) -> None:
        """See Policy. ``limit`` is the requested CommitLimit."""
        super().__init__(desired)
        self.limit = limit
        self.min_headroom = min_headroom

    @classmethod
    def parse(cls, params: Dict[str, Any]) -> 'OvercommitPolicy':
        """See Policy."""
        limit = params['commit_limit']
        return cls(parse_values(cls.module, params), None if limit is None else to_amount('commit_limit', limit),
                   to_amount('min_headroom', params['min_headroom']))

    def describe_desired(self) -> Dict[str, Any]:
        """See Policy."""
        amounts = {'commit_limit': self.limit, 'min_headroom': self.min_headroom}
        return dict(self.desired, **{name: amount and [amount.size_kb, amount.percent]
                                     for name, amount in amounts.items()})

    def runtime_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """See Policy."""
        return self._with_pair(self._find_pairs(host_state, request)[0])

    def boot_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """See Policy."""
        return self._with_pair(self._find_pairs(host_state, request)[1])

    def _with_pair(self, pair: Optional[Pair]) -> Dict[str, int]:
        return dict(self.desired) if pair is None else dict(self.desired, **{RATIO: pair[0], KBYTES: pair[1]})

    def _find_pairs(self, host_state: HostState, request: Request) -> Tuple[Optional[Pair], Optional[Pair]]:
        """(ratio, kbytes) to set at runtime and at boot; None for unchanged."""
        if self.limit is not None:
            return _pairs_for_limit(self.limit, host_state, request)
        is_given = RATIO in self.desired or KBYTES in self.desired
        pair = (self.desired.get(RATIO, 0), self.desired.get(KBYTES, 0)) if is_given else None
        return pair, pair

    def is_strict(self, state: State) -> bool:
        """Whether the kernel enforces the CommitLimit."""
        return state[MEMORY] == NEVER

    def order(self, writes: List[Write], before: State, after: State, host_state: HostState) -> List[Write]:
        """Write the limit before the mode to tighten, and after it to loosen. Within mode never, loosen first."""
        if self.is_strict(before) and self.is_strict(after):
            return sorted(writes, key=lambda write: _tightens(write[0], before, after, host_state))
        return super().order(writes, before, after, host_state)

    def tightens(self, plan: Plan) -> bool:
        """Whether it enters mode never, or lowers the headroom there for root (with the admin reserve) or others."""
        before, after, memory = plan.runtime_before, plan.runtime_after, plan.host_state.memory
        if after.get(MEMORY) != NEVER:
            return False
        if before.get(MEMORY) != NEVER or memory is None:
            return True

        def left_kb(state: State) -> Tuple[int, int]:
            others_kb = commit_limit.compute_headroom_kb(memory, state, plan.host_state.page_kb)
            return others_kb, others_kb + (state.get(ADMIN_RESERVE) or 0)
        return any(less < more for less, more in zip(left_kb(after), left_kb(before)))

    def guard(self, plan: Plan) -> None:
        """Refuse a plan that enters strict mode, or lowers the headroom in it, below ``min_headroom``."""
        sides = []
        if plan.request.runtime:
            sides.append(('at runtime', plan.runtime_before, plan.runtime_after))
        if plan.request.persistent:
            # Assume that the kernel computes the same reserves at the next boot.
            known = plan.runtime_before
            sides.append(('at the next boot', _filled(plan.boot_before, known), _filled(plan.boot_to_guard(), known)))
        for when, before, after in sides:
            _guard_side(plan, self.min_headroom, when, before, after)


def _filled(state: State, known: State) -> State:
    return {key: known[key] if value is None else value for key, value in state.items()}


def _tightens(key: str, before: State, after: State, host_state: HostState) -> bool:
    """Whether writing the key makes strict mode stricter."""
    if key in (ADMIN_RESERVE, USER_RESERVE):
        return (after[key] or 0) > (before[key] or 0)
    memory = host_state.memory
    return memory is not None and (commit_limit.compute_state_limit_kb(memory, after, host_state.page_kb)
                                   < commit_limit.compute_state_limit_kb(memory, before, host_state.page_kb))


# ------------------------------------------------------------------ commit_limit

def _pairs_for_limit(wanted: Amount, host_state: HostState, request: Request) -> Tuple[Pair, Pair]:
    """The pair for a CommitLimit, at runtime and at boot. A pair that is near enough stays.

    If one side must change, the other follows, so that both agree.
    """
    memory = host_state.memory
    if memory is None:
        raise Refusal('commit_limit needs /proc/meminfo to know RAM and swap, which is not there. Use kbytes or ratio.'
                      ' [OOMK-1304]')
    limit_kb = wanted.to_kb(memory.total_kb - memory.hugetlb_kb + memory.swap_total_kb)
    if host_state.is_for_another(request):
        _refuse_own_memory(wanted, limit_kb, memory.swap_total_kb)
    if limit_kb > GREATEST_KB:
        raise ConvertError(f'commit_limit: {limit_kb} kB is out of range; it must be {GREATEST_KB} kB or less'
                           ' [OOMK-1102]')
    kbytes = limit_kb - memory.swap_total_kb
    if kbytes < host_state.page_kb:
        raise Refusal(f'commit_limit: {limit_kb} kB is not above the swap of this machine (SwapTotal '
                      f'{memory.swap_total_kb} kB), and CommitLimit always holds all of swap. Ask for more than '
                      f'{memory.swap_total_kb + host_state.page_kb} kB, or take swap away. [OOMK-1303]')
    return _keep_near_pairs(host_state, request, limit_kb, kbytes)


def _keep_near_pairs(host_state: HostState, request: Request, limit_kb: int, kbytes: int) -> Tuple[Pair, Pair]:
    runtime, boot = get_limit_pair(host_state.runtime), get_limit_pair(host_state.boot(request).values)
    keeps = []
    if request.runtime:
        keeps.append((_is_near(host_state, runtime, limit_kb), runtime))
    if request.persistent:
        keeps.append((_is_near(host_state, boot, limit_kb) and _is_written(host_state, request), boot))
    if all(keep for keep, _pair in keeps):
        return runtime, boot
    # Huge pages shrink the limit of a ratio, so only kbytes are worth keeping.
    kept = [pair for keep, pair in keeps if keep and pair[1]]
    pair = kept[0] if kept else (0, kbytes)
    return pair, pair


def _refuse_own_memory(wanted: Amount, limit_kb: int, swap_kb: int) -> None:
    """Refuse a limit that depends on the memory of the host that builds an image."""
    if wanted.percent is not None:
        raise Refusal(f'commit_limit: {wanted.percent:g}% was asked for, which is {limit_kb} kB of the RAM and swap '
                      'of this machine, but this is a container or a chroot (runtime: false), and another machine '
                      'boots it. Use ratio, which is a part of its own RAM, or give kbytes. [OOMK-1301]')
    if swap_kb:
        raise Refusal(f'commit_limit: {limit_kb} kB was asked for, from which the swap of this machine (SwapTotal '
                      f'{swap_kb} kB) would be taken, but this is a container or a chroot (runtime: false), and '
                      'another machine boots it. Give kbytes, to which the kernel adds the swap of that machine, or '
                      'ratio. [OOMK-1301]')


def _is_near(host_state: HostState, pair: Pair, limit_kb: int) -> bool:
    if host_state.memory is None:
        return False
    found_kb = commit_limit.compute_limit_kb(host_state.memory, pair[0], pair[1], host_state.page_kb)
    return abs(found_kb - limit_kb) <= limit_kb * _TOLERANCE


def _is_written(host_state: HostState, request: Request) -> bool:
    """Whether our file already sets the limit."""
    found = file_edit.keys_in(host_state.host.read_text(request.sysctl_file) or '')
    return RATIO in found or KBYTES in found


# ------------------------------------------------------------------------ guard

def _guard_side(plan: Plan, min_headroom: Amount, when: str, before: State, after: State) -> None:
    host_state = plan.host_state
    if after.get(MEMORY) != NEVER or after == before:
        return
    memory = host_state.memory
    elsewhere = host_state.is_for_another(plan.request)
    if elsewhere or memory is None or memory.committed_kb is None:
        reason = ('this is a container or a chroot, and another machine boots it' if elsewhere
                  else '/proc/meminfo does not report Committed_AS here')
        plan.warnings.append(f'mode never {when}: whether the CommitLimit suffices could not be checked, because '
                             f'{reason} [OOMK-1305]')
    elif not plan.request.force:
        _check_headroom(host_state, memory, min_headroom, when, before, after)


def _check_headroom(host_state: HostState, memory: Memory, min_headroom: Amount, when: str, before: State,
                    after: State) -> None:
    headroom_kb = commit_limit.compute_headroom_kb(memory, after, host_state.page_kb)
    limit_kb = commit_limit.compute_state_limit_kb(memory, after, host_state.page_kb)
    least_kb = min_headroom.to_kb(limit_kb)
    headroom_before_kb = commit_limit.compute_headroom_kb(memory, before, host_state.page_kb)
    lowers = before.get(MEMORY) != NEVER or headroom_kb < headroom_before_kb
    if headroom_kb >= least_kb or not lowers:
        return
    raise Refusal(
        f'Refused, because programs could no longer start: mode never with {_limit_text(after)} gives {when} a '
        f'CommitLimit of {limit_kb} kB. Less Committed_AS {memory.committed_kb} kB, admin_reserve '
        f'{after.get(ADMIN_RESERVE) or 0} kB and user_reserve {after.get(USER_RESERVE) or 0} kB that is a headroom of '
        f'{headroom_kb} kB, and min_headroom wants {least_kb} kB. {_enough_text(host_state, after, min_headroom)}. '
        'force: true overrides this. [OOMK-1302]')


def _limit_text(state: State) -> str:
    return f'kbytes {state[KBYTES]}' if state.get(KBYTES) else f'ratio {state.get(RATIO) or 0}'


def needed_kb(memory: Memory, state: State, min_headroom: Amount) -> int:
    """The smallest CommitLimit that passes the guard with these reserves."""
    spent_kb = (memory.committed_kb or 0) + commit_limit.compute_reserves_kb(state)
    if min_headroom.size_kb is not None:
        return spent_kb + min_headroom.size_kb
    part = 1 - (min_headroom.percent or 0) / 100
    return int(-(-spent_kb // part)) if part > 0 else 2 ** 63


def _enough_text(host_state: HostState, state: State, min_headroom: Amount) -> str:
    """The ratio, kbytes or commit_limit that would be enough."""
    memory = host_state.memory
    if memory is None or (min_headroom.percent or 0) >= 100:
        return 'No limit is enough for that min_headroom'
    # One page more for each: the kernel cuts ratio and kbytes off to whole pages.
    wanted_kb = needed_kb(memory, state, min_headroom) + 2 * host_state.page_kb
    return (f'Enough would be ratio: {commit_limit.compute_ratio(memory, wanted_kb)}, or kbytes: '
            f'{max(wanted_kb - memory.swap_total_kb, host_state.page_kb)}, or commit_limit: {wanted_kb}K')
