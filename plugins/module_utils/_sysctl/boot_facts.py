# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about the next boot: each sysctl's value, the line that causes it, and the drift from the runtime value."""

from typing import Any, Dict, List, Optional, Tuple

from .._host import conf_files
from .._host.host import Host, sysctl_path
from .._kernel import sysctls
from . import saved_values
from .boot import BootOutcome, simulate
from .loader import find_loader
from .records import ALL_KEYS

UNKNOWN_LOADER = 'which program sets the sysctls at boot is not known here (%s)'


def runtime_values(host: Host) -> sysctls.State:
    """The values at runtime; None for a key that this kernel lacks or hides."""
    values: sysctls.State = {}
    for key in ALL_KEYS:
        try:
            values[key] = runtime_value(host, key)
        except OSError:
            values[key] = None
    return values


def runtime_value(host: Host, key: str) -> Optional[int]:
    """The value at runtime; None for a key that this kernel lacks. Raises OSError if it is unreadable."""
    return sysctls.parse_value(host.read_text(sysctl_path(key)))


def boot_facts(host: Host,
               runtime: sysctls.State) -> Tuple[Dict[str, Any], List[Dict[str, Any]], conf_files.Loader]:
    """(by key: value, file, line; list of key, runtime, boot, file where they differ; the loader).

    A value is None if the kernel computes it at boot, or the loader is unknown; None is not a drift. Keys that
    the kernel does not show now are left out. Raises OSError for an unreadable file.
    """
    loader = find_loader(host)
    outcome = simulate(host, loader, saved_values.boot_defaults(saved_values.load(host)))
    boot = {key: _boot_fact(outcome, key) for key in ALL_KEYS if runtime[key] is not None}
    drift = [{'key': key, 'runtime': runtime[key], 'boot': boot[key]['value'], 'file': boot[key]['file']}
             for key in sorted(boot) if boot[key]['value'] not in (None, runtime[key])]
    return boot, drift, loader


def _boot_fact(outcome: BootOutcome, key: str) -> Dict[str, Any]:
    cause = outcome.causes[key]
    return {
        'value': outcome.values[key],
        'file': cause.path if cause else None,
        'line': cause.line if cause else None,
    }
