# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the module oom_policy, and confirm its change over a new connection to the same host.

The host compares connections itself (module_utils/_policy/connection.py). So this only has to drop the open one.
"""

from __future__ import annotations

import time
import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleActionFail, AnsibleError

from ..module_utils._core.convert import ConvertError, to_integer
from ..module_utils._core.sanitize import sanitize
from ..module_utils._policy.confirm import MAX_S, NO_TIME
from ._profile import merge_profile
from ._result import HostAction
from ._role import ROLE, check_names, refuse_facts, select_parts

DEFAULT_S = 60
# Connection plugins whose every new connection is a login.
_LOGINS = frozenset({'ssh', 'paramiko', 'paramiko_ssh', 'libssh', 'ansible.netcommon.libssh'})
_MARGIN_S = 5  # the watchdog rolls back right after the deadline
_RETRY_S = 5

# What the second call finds changed already.
_OF_FIRST = ('before', 'after', 'changed_keys', 'diff', 'forecast_before')

Result = dict[str, t.Any]


class PolicyAction(HostAction):
    """Runs the module on the host, and again over a new connection if its change has to be confirmed."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        """Run the module. Raises AnsibleActionFail."""
        known = task_vars or {}
        refuse_facts(known.get('ansible_facts'))
        warnings = self._check_role(known)
        why_not = self._find_obstacle()
        is_default = self._set_options(why_not)
        result = super().run(tmp, task_vars)
        if why_not and is_default and _get(result, 'reason') == NO_TIME:
            warnings.append(_UNCONFIRMED % why_not)
        if _get(result, 'state') == 'pending' and not self._task.check_mode:
            result = self._confirm(result, tmp, task_vars)
        return dict(result, warnings=[*result.get('warnings', []), *warnings]) if warnings else result

    def _set_options(self, why_not: str | None) -> bool:
        """Merge the profile, and set confirm_within. Returns whether that is the default. Raises AnsibleActionFail."""
        try:
            args = merge_profile(self._task.args)
            given = args.get('confirm_within')
            within_s = DEFAULT_S if given is None else to_integer('confirm_within', given, 0, MAX_S)
        except ConvertError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        if why_not and within_s and given is not None:
            raise AnsibleActionFail(_NO_LOGIN % (within_s, why_not))
        self._task.args = dict(args, confirm_within=0 if why_not else within_s)
        return given is None

    def _check_role(self, variables: dict[str, t.Any]) -> list[str]:
        """Check the variables of the role if this is its task, and set the parts. Returns warnings."""
        role = getattr(self._task, '_role', None)
        if role is None or role.get_name() != ROLE:
            return []
        parts = select_parts(self._task.args.get('parts'), self._task.tags, variables.get('ansible_run_tags') or ())
        self._task.args = dict(self._task.args, parts=parts)
        return check_names(variables, role.get_default_vars())

    def _find_obstacle(self) -> str | None:
        """Why no new connection can prove that one can still log in; None if one can."""
        if self._task.async_val:
            return 'async'
        name = str(getattr(self._connection, 'transport', None) or self._connection.__class__.__module__)
        return None if name.rpartition('.')[2] in _LOGINS or name in _LOGINS else f'connection {name}'

    def _confirm(self, first: Result, tmp: t.Any, task_vars: dict[str, t.Any] | None) -> Result:
        """Call the module again over a new connection. If none comes, report what the host did.

        The time is ours: a host could name one that never ends.
        """
        end = time.monotonic() + self._task.args['confirm_within']
        try:
            self._connection.reset()
            second = super().run(tmp, task_vars)
        except AnsibleError as exc:  # also sudo or a transfer that does not work any more
            return self._report(first, task_vars, end, str(exc))
        if second.get('failed'):
            return dict(second, changed=False, msg=f"{second.get('msg', '')} {_ROLLS_BACK % _get(first, 'until')}")
        if _get(second, 'state') == 'pending':
            # Too late: this call has made the change again, with a time of its own.
            end = time.monotonic() + self._task.args['confirm_within']
            return self._report(first, task_vars, end, str(_get(second, 'reason')))
        kept = {key: first[key] for key in _OF_FIRST if key in first}
        warnings = [*first.get('warnings', []), *second.get('warnings', [])]
        return dict(second, changed=True, **kept, **({'warnings': list(dict.fromkeys(warnings))} if warnings else {}))

    def _report(self, first: Result, task_vars: dict[str, t.Any] | None, end: float, reason: str) -> Result:
        """Wait for the deadline, connect again, and report the sysctls that are found."""
        found = None
        time.sleep(max(0.0, end - time.monotonic()) + _MARGIN_S)
        last = time.monotonic() + self._task.args['confirm_within']
        while found is None:
            try:
                found = self._execute_module(
                    module_name='oomkit.linux.oom_facts', task_vars=task_vars,
                    module_args={'gather_subset': ['overcommit', 'panic']})
            except AnsibleError:
                if time.monotonic() > last:
                    raise
                time.sleep(_RETRY_S)
        mode = _look_up(found, 'ansible_facts', 'oom', 'overcommit', 'mode')
        return {
            'failed': True, 'changed': False, 'confirmation': first['confirmation'],
            'msg': f'The change was not confirmed over a new connection ({sanitize(reason)}). Its time is over, and '
                   f'vm.overcommit_memory is {sanitize(str(mode))} now. Raise the limit or free memory. [OOMK-3006]',
        }


_NO_LOGIN = ('confirm_within: %s s were asked for, but with %s no new connection proves that one can still log in. '
             'Nothing was changed. Leave confirm_within out, or set it to 0. [OOMK-3012]')
_UNCONFIRMED = 'with %s no new connection can confirm the change, so it takes effect at once [OOMK-3012]'
_ROLLS_BACK = 'The host rolls the sysctls back at %s. [OOMK-3006]'


def _get(result: Result, key: str) -> t.Any:
    """A value of ``confirmation``."""
    return _look_up(result, 'confirmation', key)


def _look_up(value: t.Any, *keys: str) -> t.Any:
    """A value within mappings; None where the host answered with something else."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
