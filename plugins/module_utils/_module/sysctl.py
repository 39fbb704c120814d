# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of a module that sets sysctls."""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from .._policy.run import PolicyOf, Runner
from .options import GROUP_OPTIONS
from .runner import run_and_exit


def run_module(value_options: Dict[str, Dict[str, Any]], mutually_exclusive: list, policy_of: PolicyOf,
               values: tuple, run: Runner) -> None:
    """The whole of a module that sets sysctls.

    ``values`` are the options that say what to set, ``run`` is L(run_at_once) or that of _confirm.
    """
    module = AnsibleModule(argument_spec=dict(GROUP_OPTIONS, **value_options), supports_check_mode=True,
                           mutually_exclusive=mutually_exclusive)
    run_and_exit(module, lambda host: run(host, module.params, policy_of, values, module.check_mode))
