# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry a plan for services out: record, drop-ins, daemon-reload, running processes; or put everything back."""

import os
from typing import Any, ContextManager, List

from ansible_collections.oomkit.linux.plugins.module_utils import _adj_record, _litter, _unit_files
from ansible_collections.oomkit.linux.plugins.module_utils._host import RUN_FOLDER, RUN_FOLDER_MODE, Host
from ansible_collections.oomkit.linux.plugins.module_utils._live import LiveError, Target
from ansible_collections.oomkit.linux.plugins.module_utils._services import Causes, OomGroup
from ansible_collections.oomkit.linux.plugins.module_utils._systemctl import ManagerError
from ansible_collections.oomkit.linux.plugins.module_utils._undo import ApplyError, Undo, backup, put, undone_on_failure


def undone() -> ContextManager[Undo]:
    """What everything here is done in: a failure puts it all back and is an ApplyError."""
    return undone_on_failure(ManagerError, LiveError)


def apply_plan(plan: Any) -> List[str]:
    """Do what the plan says; the backups made of files of others. Raises ApplyError with everything put back."""
    with undone() as undo:
        return _apply(plan, undo)


def _apply(plan: Any, undo: Undo) -> List[str]:
    situation = plan.situation
    host, manager = situation.host, situation.manager
    put_record(host, situation.record_data, _meanwhile(plan), undo)
    if plan.reload:
        undo.add('daemon-reload', manager.reload)  # undone after the files are back
    backups = [backup(host, path, undo) for path in plan.taken_over]
    marks = []
    for path, (before, after) in sorted(plan.files.items()):
        folder = os.path.dirname(path)
        of_drop_ins = os.path.dirname(folder) == _unit_files.ETC
        if of_drop_ins:
            marks.append(_litter.mark(host, folder, undo))
        put(host, path, before, after, undo)
        if of_drop_ins and after is None:
            _remove_folder(host, folder, undo)
    if plan.reload:
        manager.reload()
    for target in plan.targets:
        set_live(host, target, undo)
    for one in plan.running():
        if one.oom_group is not None:
            _write(host, one.oom_group, undo)
    _check_boot(plan)
    put_record(host, host.read_bytes(_adj_record.FILE), plan.record_after, undo)
    _litter.clear(host, plan.litter + marks)
    return backups


def _meanwhile(plan: Any) -> _adj_record.Record:
    """The record until all is done: what was and what will be both count as given by the unit.

    What was stands in a unit file that is about to be written over. A run that is killed after that would leave
    processes behind whose value nothing explains, and that the next run would take for their own.
    """
    record = _adj_record.both(plan.situation.record, plan.record_after)
    for one in plan.running():
        if one.to_change:
            record = _adj_record.both(record, _adj_record.EMPTY._replace(units={one.unit: tuple(one.target.given)}))
    return record


def put_record(host: Host, before: Any, record: _adj_record.Record, undo: Undo) -> None:
    """Write the record, or remove the file of an empty one."""
    data = _adj_record.dump(record)
    if data == before:
        return
    put(host, _adj_record.FILE, before, data, undo, _adj_record.FILE_MODE, RUN_FOLDER_MODE)
    if data is None:
        host.remove_folder(RUN_FOLDER)


def set_live(host: Host, target: Target, undo: Undo) -> None:
    """Set one group of processes, with the way back remembered before."""
    undo.add('oom_score_adj of ' + target.label, lambda: target.undo(host))
    target.apply(host)


def _remove_folder(host: Host, folder: str, undo: Undo) -> None:
    undo.add(folder, lambda: host.make_folder(folder))
    host.remove_folder(folder)


def _write(host: Host, change: OomGroup, undo: Undo) -> None:
    """memory.oom.group of a running unit's cgroup."""
    undo.add(change.path, lambda: _write_number(host, change.path, change.before))
    _write_number(host, change.path, change.after)


def _write_number(host: Host, path: str, value: int) -> None:
    file = host.open_proc(path)
    try:
        file.write(b'%d\n' % value)
    finally:
        file.close()


def _check_boot(plan: Any) -> None:
    """The unit files as they now lie on the disk must give what was planned."""
    if not plan.files:
        return
    files = _unit_files.UnitFiles(plan.situation.host)
    for service in plan.services:
        for key, cause in _settings(plan, service, files).items():
            if cause.value != service.boot_after[key].value:
                raise ApplyError('%s of %s would be %s at the next start instead of %s: a unit file changed meanwhile'
                                 % (key, service.name, cause.value, service.boot_after[key].value))


def _settings(plan: Any, service: Any, files: _unit_files.UnitFiles) -> Causes:
    if not plan.situation.is_other_init(plan.request):
        return files.settings(service.unit)
    from ansible_collections.oomkit.linux.plugins.module_utils import _openrc, _other_init
    name = _other_init.name_of(service)
    return {_unit_files.SCORE_ADJ: _openrc.cause_of(name, plan.situation.host.read_bytes(_openrc.path_of(name)))}
