# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When OOM daemons kill before the kernel's OOM killer does: the thresholds of earlyoom, systemd-oomd and nohang.

All daemons read their settings when they start. A file that was edited since then is reported as it is now. Files are
those of this machine, also for a daemon in a container.
"""

from typing import Any, Dict, List, Tuple

from .._core.sanitize import sanitize, sanitize_optional
from .._core.text import to_text
from .._host.host import Host
from .._process import credentials
from .._process.table import ProcessTable
from .model import DaemonSettings, UnknownThresholds, build_fact

_MAX_ARGUMENT_BYTES = 1 << 14  # a few regular expressions; the time of getopt grows with the square


def read_thresholds(host: Host, processes: ProcessTable, running: List[Tuple[int, str]]) -> List[Dict[str, Any]]:
    """For each daemon its name, pid, unit and thresholds, and C(reason) where these are not known. Never raises.

    ``running`` are the processes of L(_process.scan.OOM_DAEMONS) as L(Proc.find_programs) finds them.
    """
    return [_build_daemon_fact(host, processes, pid, name) for pid, name in running]


def _build_daemon_fact(host: Host, processes: ProcessTable, pid: int, name: str) -> Dict[str, Any]:
    unit = processes.find_cgroup_and_unit(pid)[1]
    settings, reason = DaemonSettings([], False, []), None
    try:
        doubt = credentials.doubt_oom_daemon(processes, pid)
        if doubt is not None:
            raise UnknownThresholds(doubt)
        settings = _READERS[name](host, _read_arguments(processes, pid))
    except UnknownThresholds as exc:
        reason = sanitize(str(exc))
    except OSError as exc:
        # Without the path, which may be a word of its command line.
        reason = f'its settings cannot be read: {exc.strerror or type(exc).__name__}'
    return {'name': name, 'pid': pid, 'unit': sanitize_optional(unit), 'dry_run': settings.dry_run,
            'thresholds': [build_fact(one) for one in settings.thresholds],
            'notes': [sanitize(note) for note in settings.notes], 'reason': reason}


def _read_arguments(processes: ProcessTable, pid: int) -> List[str]:
    """The command line, the program first."""
    data = processes.read(f'{pid}/cmdline', _MAX_ARGUMENT_BYTES + 1)
    if not data or len(data) > _MAX_ARGUMENT_BYTES:
        raise UnknownThresholds('its command line cannot be read, or is too long')
    return to_text(data[:-1] if data.endswith(b'\0') else data).split('\0')


# Each reader imports its file late: most hosts run none of these daemons, the others one.

def _read_earlyoom(host: Host, arguments: List[str]) -> DaemonSettings:
    from .earlyoom import read_settings
    return read_settings(host, arguments)


def _read_nohang(host: Host, arguments: List[str]) -> DaemonSettings:
    from .nohang import read_settings
    return read_settings(host, arguments)


def _read_systemd_oomd(host: Host, arguments: List[str]) -> DaemonSettings:
    from .systemd_oomd import read_settings
    return read_settings(host, arguments)


# By the names of L(_process.scan.OOM_DAEMONS).
_READERS = {'earlyoom': _read_earlyoom, 'nohang': _read_nohang, 'systemd-oomd': _read_systemd_oomd}
