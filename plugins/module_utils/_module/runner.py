# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module that changes the host: one run at a time, every failure as a message."""

import signal
from typing import Any, Callable, Dict, Optional

from ansible.module_utils.basic import AnsibleModule

from .._core.convert import ConvertError
from .._core.errors import Refusal
from .._core.sanitize import explain, internal_error, sanitize_result, to_message
from .._host import lock, signals
from .._host.helper import Helper
from .._host.transaction import ApplyError
from .._host.writable import WritableHost

Work = Callable[[WritableHost], Dict[str, Any]]


def run_and_exit(module: AnsibleModule, work: Work, shared: Optional[Dict[str, Any]] = None) -> None:
    """Do the work and exit with its result. Does not return.

    Holds the lock, except in check mode. ``shared`` are further objects of the helper process, see L(Helper).
    """
    # If the signal is ignored, wait(2) returns no exit status.
    with signals.set_default_handler(signal.SIGCHLD):
        _run(module, work, shared)


def _run(module: AnsibleModule, work: Work, shared: Optional[Dict[str, Any]]) -> None:
    host = WritableHost()
    try:
        host.helper = Helper(dict(shared or {}, host=host))
        result = _work(host, module.check_mode, work)
    except Refusal as exc:
        more = {'refusals': [to_message(one) for one in exc.messages]} if len(exc.messages) > 1 else {}
        module.fail_json(msg=to_message(str(exc)), refusal=exc.code, **more)
    except (ConvertError, ApplyError) as exc:
        module.fail_json(msg=to_message(str(exc)))
    except (OSError, MemoryError) as exc:
        # A failure after the first change is an ApplyError.
        module.fail_json(msg=to_message(f'{explain(exc)}. Nothing was changed. [OOMK-2304]'))
    except Exception as exc:
        module.fail_json(msg=to_message(f'Nothing was changed: {internal_error(exc)}'))
    result['warnings'] += host.unread()
    if not module._diff:
        result.pop('diff', None)
    result = sanitize_result(result)
    # Ansible shows and returns warnings; passing them to exit_json is deprecated in core 2.19.
    for warning in result.pop('warnings'):
        module.warn(to_message(warning))
    module.exit_json(**result)


def _work(host: WritableHost, check_mode: bool, work: Work) -> Dict[str, Any]:
    if check_mode:
        return work(host)
    with lock.hold_lock(host):
        return work(host)
