# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Panic policy: what the options of module panic_on_oom ask for, in which order to write it, and when to refuse.

Sources: ``check_panic_on_oom`` in mm/oom_kill.c, ``panic`` in kernel/panic.c, Documentation/admin-guide/sysctl/vm.rst.
"""

from typing import Any, Dict, List, NamedTuple, Optional

from .._core.convert import POLICIES, to_choice, to_integer
from .._core.errors import Refusal
from .._kernel import sysctls
from .._kernel.sysctls import DUMP_TASKS, KILL_ALLOCATING_TASK, PANIC, PANIC_ON_OOM
from .plan import HostState, Plan, Policy, Request, Write


class DesiredState(NamedTuple):
    policy: Optional[int]
    reboot_after_s: Optional[int]
    kill_allocating_task: Optional[bool]
    dump_tasks: Optional[bool]


_NAMES = {number: name for name, number in POLICIES.items()}
_KDUMP = '/sys/kernel/kexec_crash_loaded'


# The options that say what to set.
VALUES = ('policy', 'reboot_after', 'kill_allocating_task', 'dump_tasks')


def policy_of(params: Dict[str, Any]) -> 'PanicPolicy':
    """The module's options, converted. Raises ConvertError."""
    policy, seconds = params['policy'], params['reboot_after']
    return PanicPolicy(DesiredState(
        policy=None if policy is None else to_choice('policy', policy, POLICIES),
        reboot_after_s=None if seconds is None else to_integer('reboot_after', seconds),
        kill_allocating_task=params['kill_allocating_task'],
        dump_tasks=params['dump_tasks']))


class PanicPolicy(Policy):
    """The keys of module panic_on_oom."""

    keys = sysctls.PANIC_KEYS

    def __init__(self, desired: DesiredState) -> None:
        self.desired = desired

    def runtime_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """See Policy."""
        return self._target(host_state.runtime)

    def boot_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """See Policy."""
        return self._target(host_state.boot(request).values)

    def _target(self, found: sysctls.State) -> Dict[str, int]:
        wanted = {PANIC_ON_OOM: self.desired.policy, PANIC: self.desired.reboot_after_s}
        for key, switch in ((KILL_ALLOCATING_TASK, self.desired.kill_allocating_task),
                            (DUMP_TASKS, self.desired.dump_tasks)):
            if switch is not None:
                # To the kernel every number but 0 means on: leave one that already does.
                wanted[key] = found[key] if switch and found.get(key) else int(switch)
        return {key: value for key, value in wanted.items() if value is not None}

    def order(self, writes: List[Write], before: sysctls.State, after: sysctls.State,
              host_state: HostState) -> List[Write]:
        """kernel.panic before panic_on_oom when a panic gets enabled, after it when disabled."""
        policy = [write for write in writes if write[0] == PANIC_ON_OOM]
        rest = [write for write in writes if write[0] != PANIC_ON_OOM]
        return rest + policy if after[PANIC_ON_OOM] else policy + rest

    def guard(self, plan: Plan) -> None:
        """Refuse a panic that would never reboot."""
        if plan.request.runtime:
            self._guard_side(plan, 'at runtime', plan.runtime_after)
        if plan.request.persistent:
            self._guard_side(plan, 'after the next boot', plan.boot_to_guard())
        self._warn(plan)

    def _guard_side(self, plan: Plan, when: str, after: sysctls.State) -> None:
        # state=absent restores what the administrator had, which is no reason to keep our settings.
        concerned = self.desired.policy is not None or self.desired.reboot_after_s is not None
        # One that is not known (an image, a file that holds no number) is taken for the kernel's own default, 0.
        if not concerned or not after[PANIC_ON_OOM] or after[PANIC] or plan.request.force:
            return
        raise Refusal(
            f'Refused, because the machine would hang forever: {when} panic_on_oom would be '
            f'{_NAMES.get(after[PANIC_ON_OOM] or 0)} while kernel.panic is 0, so a panic never reboots. Give '
            'reboot_after, such as reboot_after: 10 (seconds; negative: at once). force: true overrides this.')

    def _warn(self, plan: Plan) -> None:
        afters = ([plan.runtime_after] if plan.request.runtime else []) + (
            [plan.boot_to_guard()] if plan.request.persistent else [])
        policies = [after[PANIC_ON_OOM] for after in afters]
        if not plan.request.absent and POLICIES['panic_always'] in policies:
            plan.warnings.append('panic_always: a single container or service that reaches its own memory limit panics '
                                 'the whole host; panic does so only when the machine itself is out of memory')
        if not plan.request.absent and any(policies) and (plan.host_state.host.read_text(_KDUMP) or '').strip() == '1':
            plan.warnings.append('a kdump kernel is loaded: at a panic it runs first, and reboot_after does not count '
                                 'until it is done')
