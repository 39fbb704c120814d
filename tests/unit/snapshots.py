# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots for the tests of the forecast, in few words."""

from ansible_collections.oomkit.linux.plugins.module_utils._forecast import snapshot as forecast_snapshot
from ansible_collections.oomkit.linux.plugins.module_utils._kernel import badness

TOTAL_PAGES = 250_000


def process(pid, pages, adj=0, **other):
    """A process; older ones have lower numbers."""
    values = dict(
        pid=pid, start_ticks=pid, name=f'p{pid}', cgroup=f'/system.slice/s{pid}.service', unit=f's{pid}.service',
        oom_score=0 if adj == -1000 else 700, oom_score_adj=adj, memory_pages=pages, error_pages=0, freed_pages=pages,
        never=None, nodes=None)
    return forecast_snapshot.Process(**dict(values, **other))


def relations(**other):
    """No process is killed with it."""
    values = dict(sharers=[], sharers_known=True, children=[], group=None, group_members=[], unit_members=[])
    return forecast_snapshot.Relations(**dict(values, **other))


def snapshot(*processes, related=None, cgroup=None, limit_pages=None, **other):
    """The processes, and their relations by PID."""
    settings = dict(page_kb=4, total_pages=TOTAL_PAGES, scale=badness.SCALE_NEW, panic_on_oom=0,
                    kill_allocating_task=False)
    settings.update((name, other.pop(name)) for name in list(other) if name in settings)
    kill_disabled, nodes = other.pop('kill_disabled', False), other.pop('nodes', None)
    known = {one.pid: relations() for one in processes}
    known.update(related or {})
    return forecast_snapshot.Snapshot(
        settings=forecast_snapshot.Settings(**settings),
        domain=forecast_snapshot.Domain(cgroup, limit_pages or settings['total_pages'], kill_disabled, nodes),
        processes={one.pid: one for one in processes}, relations=known,
        **dict(dict(left_out=0, left_out_pages=None, unknown=None, notes=[]), **other))
