# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that set sysctls share: the run itself, the options checked, and the result."""

import os
from typing import Any, Callable, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oomkit.linux.plugins.module_utils import _knobs, _originals
from ansible_collections.oomkit.linux.plugins.module_utils._action_group import GROUP_OPTIONS
from ansible_collections.oomkit.linux.plugins.module_utils._apply import apply_plan
from ansible_collections.oomkit.linux.plugins.module_utils._convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._ending import end_with
from ansible_collections.oomkit.linux.plugins.module_utils._file_diff import describe_files
from ansible_collections.oomkit.linux.plugins.module_utils._plan import Plan, Policy, Request, look_and_plan
from ansible_collections.oomkit.linux.plugins.module_utils._writable_host import WritableHost

PolicyOf = Callable[[Dict[str, Any]], Policy]
# One run, see L(run_at_once).
Runner = Callable[[WritableHost, Dict[str, Any], PolicyOf, tuple, bool], Dict[str, Any]]


def run_module(value_options: Dict[str, Dict[str, Any]], mutually_exclusive: list, policy_of: PolicyOf,
               values: tuple, run: Runner) -> None:
    """The whole of a module that sets sysctls.

    ``values`` are the options that say what to set, ``run`` is L(run_at_once) or that of _confirm.
    """
    module = AnsibleModule(argument_spec=dict(GROUP_OPTIONS, **value_options), supports_check_mode=True,
                           mutually_exclusive=mutually_exclusive)
    end_with(module, lambda host: run(host, module.params, policy_of, values, module.check_mode))


def run_at_once(host: WritableHost, params: Dict[str, Any], policy_of: PolicyOf, values: tuple,
                check_mode: bool) -> Dict[str, Any]:
    """One run: the result, with its warnings. Raises ConvertError, Refusal, ApplyError, OSError."""
    request, policy = request_of(params, values, check_mode), policy_of(params)
    plan = host.call(look_and_plan, host, request, policy)
    result = result_of(plan, [])  # before anything is done: nothing that fails in it may come after
    if plan.to_do and not check_mode:
        add_backups(result, apply_plan(plan))
    return result


def request_of(params: Dict[str, Any], values: tuple, check_mode: bool) -> Request:
    """The shared options, checked. Raises ConvertError."""
    given = [name for name in values if params[name] is not None]
    absent = params['state'] == 'absent'
    if not params['runtime'] and not params['persistent']:
        raise ConvertError('runtime and persistent are both false, so there is nothing to do; leave at least one true')
    if absent and given:
        raise ConvertError('state: absent takes away all settings of this module and takes no value; remove %s'
                           % ', '.join(given))
    if not absent and not given:
        raise ConvertError('nothing is asked for: give at least one of %s, or state: absent' % ', '.join(values))
    path = params['sysctl_file']
    if not path.startswith('/') or path != os.path.normpath(path):
        raise ConvertError('sysctl_file: %r is not an absolute, plain path such as /etc/sysctl.d/99-oomkit.conf' % path)
    return Request(absent=absent, runtime=params['runtime'], persistent=params['persistent'], sysctl_file=path,
                   conflicts=params['conflicts'], force=params['force'], check_mode=check_mode)


def result_of(plan: Plan, backups: list) -> Dict[str, Any]:
    """What the module returns, and its warnings.

    The diff holds configured values and files only, so that check mode and the real run agree. L(_ending) returns it
    in diff mode only.
    """
    keys = [key for key in plan.policy.keys if key in plan.changed_keys()]
    diff = describe_files(plan.situation.host, plan.files)
    if plan.writes:
        diff.insert(0, {
            'before_header': 'run time', 'after_header': 'run time',
            'before': _knobs.render(plan.runtime_before, keys), 'after': _knobs.render(plan.runtime_after, keys)})
    result = {
        'changed': plan.changed,
        'changed_keys': keys,
        'before': {'runtime': plan.runtime_before, 'boot': plan.boot_before},
        'after': {'runtime': plan.runtime_after, 'boot': plan.boot_after},
        'conflicts': plan.conflicts,
        'warnings': plan.warnings,
        'diff': diff,
    }
    if plan.request.absent:
        result['managed'] = plan.managed
        if not plan.managed:
            result['msg'] = _NOT_MANAGED % _originals.FILE
    add_backups(result, backups)
    return result


_NOT_MANAGED = ('Nothing was changed: %s holds no sysctl of this module, and no file below /etc holds a line that this '
                'collection wrote')


def add_backups(result: Dict[str, Any], backups: List[str]) -> None:
    """The copies that were made, where any were."""
    if backups:
        result['backup_files'] = backups
