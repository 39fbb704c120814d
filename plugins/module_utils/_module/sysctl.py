# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module that sets sysctls."""

from typing import Any, Dict, Optional, Sequence, Tuple, Type

from ansible.module_utils.basic import AnsibleModule

from .._policy.plan import Policy
from .._policy.run import Runner
from .._sysctl.records import list_sysctls
from .options import GROUP_OPTIONS
from .runner import run_and_exit


def run_module(policy: Type[Policy], run: Runner, more_options: Optional[Dict[str, Dict[str, Any]]] = None,
               mutually_exclusive: Sequence[Tuple[str, ...]] = ()) -> None:
    """Run the module of this policy and exit. Does not return.

    ``run`` is L(run_at_once) or _policy.confirm's.
    """
    options = {sysctl.option: dict(type='bool' if sysctl.is_switch else 'raw')
               for sysctl in list_sysctls(policy.module)}
    module = AnsibleModule(argument_spec=dict(GROUP_OPTIONS, **dict(options, **(more_options or {}))),
                           mutually_exclusive=mutually_exclusive, supports_check_mode=True)
    run_and_exit(module, lambda host: run(host, module.params, policy, module.check_mode))
