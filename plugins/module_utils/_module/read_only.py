# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module that changes nothing: no lock, every failure as a message."""

from typing import Any, Callable, Dict

from ansible.module_utils.basic import AnsibleModule

from .._core.convert import ConvertError
from .._core.errors import Refusal
from .._core.sanitize import explain, internal_error, to_message
from .._host.helper import Helper
from .._host.host import Host


def run_and_exit(module: AnsibleModule, work: Callable[[Host], Dict[str, Any]], shared: Dict[str, Any]) -> None:
    """Do the work and exit with its result. Does not return.

    ``shared`` are further objects of the helper process, see L(Helper).
    """
    host = Host()
    try:
        host.helper = Helper(dict(shared, host=host))
        result = work(host)
    except (ConvertError, Refusal) as exc:
        module.fail_json(msg=to_message(str(exc)))
    except (OSError, MemoryError) as exc:
        module.fail_json(msg=to_message(f'{explain(exc)} [OOMK-2304]'))
    except Exception as exc:
        module.fail_json(msg=to_message(internal_error(exc)))
    module.exit_json(**result)
