# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sysctls that this collection changed at runtime, and the values to revert them to. Reads only.

A setting is one sysctl, or the pair of ratio and kbytes: writing one of them sets the other to 0.
"""

from typing import Dict, Iterable, List, NamedTuple, Set, Tuple

from .._kernel import sysctls
from .._sysctl import file_edit, saved_values
from .._sysctl.boot_plan import BootPlan, files_of_ours
from .._sysctl.records import ALL_KEYS, SYSCTLS
from .plan import Plan

Setting = Tuple[str, ...]
# The values of a setting; 0 for one that the kernel lacks.
Numbers = Tuple[int, ...]
Values = Dict[str, saved_values.Value]


class Reverted(NamedTuple):
    target: Dict[str, int]  # what to set at runtime
    values: Values  # the record afterwards
    warnings: List[str]
    managed: bool  # whether anything of these sysctls is ours


def group_settings(keys: Iterable[str]) -> List[Setting]:
    """Group keys into settings."""
    both = (sysctls.RATIO, sysctls.KBYTES)
    return [both if key == sysctls.RATIO else (key,) for key in keys if key != sysctls.KBYTES]


def get_values(state: sysctls.State, setting: Setting) -> Numbers:
    """The values of a setting; 0 for one that the kernel lacks."""
    return tuple(state.get(key) or 0 for key in setting)


def values_after_present(plan: Plan, target: Dict[str, int]) -> Values:
    """The record after a run that sets ``target`` at runtime, with the values before a first change."""
    host_state = plan.host_state
    look = _Look(plan)
    values = dict(look.values)
    if host_state.is_for_another(plan.request):
        return values
    concerned = set(values).union(plan.changed_keys())
    for setting in filter(look.is_known, group_settings(plan.policy.keys)):
        if concerned.isdisjoint(setting):
            continue
        first = look.first_seen(setting, look.found(setting))
        is_set = setting[0] in target or setting[-1] in target
        if is_set and _is_first_write(plan, setting, values) and look.found(setting) not in look.ours(setting):
            values.update(first)  # only our line was recorded so far, and something else has set the value since
        values = dict(first, **values)
        if is_set:
            values.update(_with_ours(values, setting, plan.runtime_after))
    return values


def _is_first_write(plan: Plan, setting: Setting, values: Values) -> bool:
    """Whether this is the first recorded run that changes the setting at runtime."""
    return (all(values[key].ours is None for key in setting if key in values)
            and get_values(plan.runtime_before, setting) != get_values(plan.runtime_after, setting))


def _with_ours(values: Values, setting: Setting, after: sysctls.State) -> Values:
    """Record the runtime values of a setting as ours."""
    changed = {key: number for key, number in zip(setting, get_values(after, setting)) if values[key].ours != number}
    return {key: values[key]._replace(ours=number, earlier=values[key].ours) for key, number in changed.items()}


def without_earlier(values: Values, target: Dict[str, int]) -> Values:
    """The record once ``target`` is set, without the values that this replaced."""
    done = {key for setting in group_settings(ALL_KEYS) if set(setting).intersection(target) for key in setting}
    return {key: value._replace(earlier=None) if key in done else value for key, value in values.items()}


def revert_runtime(plan: Plan, boot_plan: BootPlan) -> Reverted:
    """Find what to revert at runtime. ``boot_plan`` is the boot without our lines."""
    look = _Look(plan)
    reverted = Reverted({}, dict(look.values), [], any(look.is_ours(one) for one in group_settings(plan.policy.keys)))
    for setting in filter(look.is_ours, group_settings(plan.policy.keys)):
        found, ours = look.found(setting), look.ours(setting)
        goal, guess = _goal(look, setting, boot_plan)
        is_left = found != goal and found in ours
        if is_left and look.is_known(setting):
            reverted.target.update(zip(setting, goal))
            reverted.warnings.extend(guess)
        elif found != goal and ours and look.is_known(setting):
            reverted.warnings.append(_VALUE_LEFT % (_text(setting, found), _text(setting, max(ours))))
        _record(plan, look, setting, is_left, reverted.values)
    return reverted


_VALUE_LEFT = ('%s stays at runtime, because something else set it after this collection set %s. Set it by hand if it '
               'is not wanted [OOMK-1309]')


def _record(plan: Plan, look: '_Look', setting: Setting, is_left: bool, values: Values) -> None:
    """Keep in ``values`` what a later revert of the other side needs. ``is_left``: our value is set at runtime."""
    request = plan.request
    kept = {key: values.pop(key, saved_values.UNKNOWN) for key in setting}
    if request.runtime and not request.persistent and setting[0] in look.values and look.has_line(setting):
        values.update((key, value._replace(ours=None, earlier=None)) for key, value in kept.items())
    elif is_left and not (request.runtime or plan.host_state.is_for_another(request)):
        values.update(map(lambda key, number: (key, kept[key]._replace(ours=number)), setting, look.found(setting)))


def _goal(look: '_Look', setting: Setting, boot_plan: BootPlan) -> Tuple[Numbers, List[str]]:
    """The values to revert to, and a warning if only the documented defaults are known."""
    first, originals = look.values.get(setting[0]), look.originals(setting)
    if first is not None and not first.from_boot:
        return originals, []
    outcome, key = boot_plan.outcome, setting[0]
    is_decided = look.host_state.loader.is_known and (
        SYSCTLS[key].is_constant or outcome.causes[key] is not None)
    if is_decided and outcome.values[key] is not None:
        return get_values(outcome.values, setting), []
    if first is not None and first.original is not None:
        return originals, []
    defaults = tuple(look.documented_default(name) for name in setting)
    return defaults, [_DEFAULT % (key, saved_values.FILE, defaults[0])]


_DEFAULT = ('%s: its value before the first change is not recorded in %s, so the documented default %d is taken; the '
            'next boot may compute another [OOMK-1306]')


def _text(setting: Setting, numbers: Numbers) -> str:
    pairs = list(zip(setting, numbers))
    return ', '.join(f'{key} = {number}' for key, number in ([pair for pair in pairs if pair[1]] or pairs[:1]))


class _Look:
    """The record of a plan's sysctls, with what an unconfirmed change adds."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.host_state = plan, plan.host_state
        self.files = files_of_ours(plan.host_state, plan.request.sysctl_file)
        self.values = dict(self.host_state.record.values)
        unconfirmed = self.host_state.unconfirmed
        for setting in group_settings(plan.policy.keys):
            if setting[0] in unconfirmed and setting[0] not in self.values:
                self.values.update(self.first_seen(setting, tuple(unconfirmed[key][0] or 0 for key in setting)))

    def found(self, setting: Setting) -> Numbers:
        """The values at runtime."""
        return get_values(self.host_state.runtime, setting)

    def is_known(self, setting: Setting) -> bool:
        """Whether the kernel shows the setting."""
        return any(self.host_state.runtime.get(key) is not None for key in setting)

    def first_seen(self, setting: Setting, found: Numbers) -> Values:
        """The record of a setting that had these values before its first change."""
        if found in self._lines(setting):  # our line set them: the values before it are unknown
            return dict.fromkeys(setting, saved_values.UNKNOWN)
        boot = self.plan.boot.values
        from_boot = self.host_state.loader.is_known and all(
            boot.get(key) in (None, number) for key, number in zip(setting, found))
        return {key: saved_values.Value(number, from_boot, None, None) for key, number in zip(setting, found)}

    def is_ours(self, setting: Setting) -> bool:
        """Whether this collection changed its value or its lines."""
        return setting[0] in self.values or self.has_line(setting)

    def originals(self, setting: Setting) -> Numbers:
        """The recorded values before the first change."""
        return get_values({key: value.original for key, value in self.values.items()}, setting)

    def has_line(self, setting: Setting) -> bool:
        """Whether a line of ours sets it."""
        return bool(self._lines(setting))

    def ours(self, setting: Setting) -> Set[Numbers]:
        """The values that are ours: last set at runtime, by our line at boot, or by an unconfirmed change."""
        states: List[sysctls.State] = [{key: value.ours for key, value in self.values.items()},
                                       {key: value.earlier for key, value in self.values.items()},
                                       {key: after for key, (_before, after) in self.host_state.unconfirmed.items()}]
        found = {get_values(state, setting) for state in states if state.get(setting[0]) is not None}
        return found.union(self._lines(setting))

    def _lines(self, setting: Setting) -> Set[Numbers]:
        found: Set[Numbers] = set()
        for entry in self.files.values():
            for key in setting:
                values = [file_edit.parse_last_value([line]) for line in entry.lines.get(key, [])]
                found.update(tuple(value if name == key else 0 for name in setting)
                             for value in values if value is not None)
        return found

    def documented_default(self, key: str) -> int:
        """The documented default of a sysctl whose default the kernel computes."""
        value, memory = SYSCTLS[key].default, self.host_state.memory
        if key in (sysctls.ADMIN_RESERVE, sysctls.USER_RESERVE) and memory is not None:
            value = min(value, memory.total_kb // 32)
        return value
