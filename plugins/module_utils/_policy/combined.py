# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sysctls of several modules in one plan."""

from typing import Any, Dict, List

from .._core.errors import Refusal, collect_refusals, raise_refusals
from .._core.request import Request
from .._kernel.sysctls import State
from .._sysctl.state import HostState
from .plan import Plan, Policy, Write


class CombinedPolicy(Policy):
    """Several policies as one: one simulated boot, one edit of each file, one rollback."""

    def __init__(self, policies: List[Policy]) -> None:
        self.policies = policies
        self.desired = {key: value for policy in policies for key, value in policy.desired.items()}
        self.keys = tuple(key for policy in policies for key in policy.keys)

    def describe_desired(self) -> Dict[str, Any]:
        """See Policy."""
        return {policy.module: policy.describe_desired() for policy in self.policies}

    def runtime_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """See Policy."""
        return {key: value for policy in self.policies
                for key, value in policy.runtime_target(host_state, request).items()}

    def boot_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """See Policy."""
        return {key: value for policy in self.policies
                for key, value in policy.boot_target(host_state, request).items()}

    def order(self, writes: List[Write], before: State, after: State, host_state: HostState) -> List[Write]:
        """Write what loosens before what tightens, and each policy in its own order."""
        return [write for policy in sorted(self.policies, key=lambda one: one.is_strict(after))
                for write in policy.order([one for one in writes if one[0] in policy.keys], before, after, host_state)]

    def is_strict(self, state: State) -> bool:
        """See Policy."""
        return any(policy.is_strict(state) for policy in self.policies)

    def tightens(self, plan: Plan) -> bool:
        """See Policy."""
        return any(policy.tightens(plan) for policy in self.policies)

    def guard(self, plan: Plan) -> None:
        """See Policy. Raises the refusals of all policies together."""
        refusals: List[Refusal] = []
        for policy in self.policies:
            with collect_refusals(refusals):
                policy.guard(plan)
        raise_refusals(refusals)
