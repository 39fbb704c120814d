# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Panic policy: when module panic_on_oom refuses or warns.

Sources: ``check_panic_on_oom`` in mm/oom_kill.c, ``panic`` in kernel/panic.c, Documentation/admin-guide/sysctl/vm.rst.
"""

from .._core.convert import POLICIES
from .._core.errors import Refusal
from .._kernel.sysctls import PANIC, PANIC_ON_OOM, State
from .plan import Plan, Policy

_NAMES = {number: name for name, number in POLICIES.items()}
_KDUMP = '/sys/kernel/kexec_crash_loaded'


class PanicPolicy(Policy):
    """The sysctls of module panic_on_oom. A panic without a reboot hangs the host."""

    module = 'panic_on_oom'

    def is_strict(self, state: State) -> bool:
        """Whether an OOM panics the host."""
        return bool(state[PANIC_ON_OOM])

    def guard(self, plan: Plan) -> None:
        """Refuse a panic that would never reboot."""
        if plan.request.runtime:
            self._guard_side(plan, 'at runtime', plan.runtime_after)
        if plan.request.persistent:
            self._guard_side(plan, 'after the next boot', plan.boot_to_guard())
        self._warn(plan)

    def _guard_side(self, plan: Plan, when: str, after: State) -> None:
        # state: absent restores the administrator's values, so it is not refused.
        concerned = PANIC_ON_OOM in self.desired or PANIC in self.desired
        # An unknown value (image, file without a number) counts as the kernel's default, 0.
        if not concerned or not after[PANIC_ON_OOM] or after[PANIC] or plan.request.force:
            return
        raise Refusal(
            f'Refused, because the machine would hang forever: {when} panic_on_oom would be '
            f'{_NAMES.get(after[PANIC_ON_OOM] or 0)} while kernel.panic is 0, so a panic never reboots. Give '
            'reboot_after, such as reboot_after: 10 (seconds; negative: at once). force: true overrides this.'
            ' [OOMK-1601]')

    def _warn(self, plan: Plan) -> None:
        afters = ([plan.runtime_after] if plan.request.runtime else []) + (
            [plan.boot_to_guard()] if plan.request.persistent else [])
        policies = [after[PANIC_ON_OOM] for after in afters]
        if not plan.request.absent and POLICIES['panic_always'] in policies:
            plan.warnings.append('panic_always: a single container or service that reaches its own memory limit panics '
                                 'the whole host; panic does so only when the machine itself is out of memory'
                                 ' [OOMK-1602]')
        if not plan.request.absent and any(policies) and (plan.host_state.host.read_text(_KDUMP) or '').strip() == '1':
            plan.warnings.append('a kdump kernel is loaded: at a panic it runs first, and reboot_after does not count '
                                 'until it is done [OOMK-1603]')
