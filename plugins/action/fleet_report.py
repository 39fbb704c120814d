# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet report from the fact cache; see plugins/modules/fleet_report.py."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import cache_loader

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import quote
from ansible_collections.oomkit.linux.plugins.module_utils._core.sanitize import sanitize
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.hosts import Fleet
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.record import NO_FACTS
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.report import ReportError, ReportRequest, format_lines

# A cache keeps all that it ever read: a fresh one after so many hosts keeps the memory of the run small.
_CHUNK = 200
_MISSING = 'no facts in the cache: run oomkit.linux.oom_facts on it, or see fact_caching_timeout'
_DAMAGED = 'its facts in the cache cannot be read (%s): remove them, and run oomkit.linux.oom_facts on it'


class ActionModule(ActionBase):
    """Runs on the controller alone."""

    _requires_connection = False

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Report on the hosts. Raises AnsibleActionFail."""
        result = super().run(tmp, task_vars)
        _validated, params = self.validate_argument_spec(argument_spec=dict(
            hosts=dict(type='list', elements='str'),
            html=dict(type='str', default='oom-fleet-report.html'),
            json_lines=dict(type='str', default=''),
            csv=dict(type='str', default=''),
            title=dict(type='str', default='When memory runs out'),
            rows=dict(type='int', default=50),
            candidates=dict(type='int', default=5),
        ))
        hosts = params.pop('hosts')
        try:
            request = ReportRequest(**params)
            play_hosts = (task_vars or {}).get('ansible_play_hosts_all', [])
            fleet = _read_fleet(play_hosts if hosts is None else hosts, request)
            files = request.files()
            changes = [] if self._task.check_mode else [write(fleet) for _path, write in files]
        except ReportError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        return dict(result, changed=any(changes), files=[path for path, _write in files], hosts=len(fleet),
                    without_facts=len(fleet.list_silent()), table=format_lines(fleet, request.rows))


def _read_fleet(hosts: list[str], request: ReportRequest) -> Fleet:
    """What the cache knows of the hosts. Raises ReportError."""
    fleet = Fleet(request.candidates)
    broken = []
    for host, oom, error in _read_cache(hosts):
        if oom is None:
            fleet.lose(host, NO_FACTS, _DAMAGED % error if error else _MISSING)
            broken += [error] if error else []
        else:
            fleet.take_facts(host, oom)
    if broken and len(broken) == len(hosts):  # no damaged record, but a server that is down: spare the last report
        raise ReportError(f"The fact cache could not be read for any host: {sanitize(broken[0]).rstrip('.')}."
                          " [OOMK-2706]")
    return fleet


def _outlives_a_run(cache: t.Any) -> bool:
    """Whether a cache is more than memory; plugins say so themselves from 2.19 on."""
    return getattr(cache, '_persistent', C.CACHE_PLUGIN.rpartition('.')[2] != 'memory')


def _check_names(hosts: list[str]) -> None:
    """Caches make names of files of them. Raises ReportError."""
    for host in hosts:
        if '\0' in host or any(0xd800 <= ord(char) <= 0xdfff for char in host):
            raise ReportError(f'hosts: {quote(host)} cannot be the name of a host. [OOMK-2702]')


def _read_cache(hosts: list[str]) -> Iterator[tuple[str, Mapping | None, str]]:
    """Each host with its facts or None, and why these could not be read. Raises ReportError."""
    _check_names(hosts)
    for start in range(0, len(hosts), _CHUNK):
        cache = cache_loader.get(C.CACHE_PLUGIN)
        if cache is None or not _outlives_a_run(cache):
            raise ReportError(f'Facts are kept in {C.CACHE_PLUGIN}, which does not outlive a run. Set fact_caching in '
                              'ansible.cfg, such as to ansible.builtin.jsonfile with fact_caching_connection = '
                              'FOLDER, and run oomkit.linux.oom_facts on the hosts once. [OOMK-2705]')
        for host in hosts[start:start + _CHUNK]:
            yield host, *_read_facts(cache, host)


def _read_facts(cache: t.Any, host: str) -> tuple[Mapping | None, str]:
    """What the cache has of one host, and the error where it could not be read."""
    try:
        # Some versions warn of what is not there when it is asked for at once.
        facts = cache.get(host) if cache.contains(host) else None
    except KeyError:
        facts = None
    except Exception as exc:  # one damaged record must not cost the others
        return None, str(exc) or type(exc).__name__
    oom = facts.get('oom') if isinstance(facts, Mapping) else None
    return oom if isinstance(oom, Mapping) else None, ''
