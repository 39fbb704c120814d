# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply a plan for services: record, drop-ins, daemon-reload, running processes. A failure rolls everything back."""

import contextlib
import errno
import functools
import os
import stat
from typing import Any, Callable, ContextManager, Dict, Iterable, List, Optional, Tuple

from .._host import file_trust, leftovers
from .._host.host import RUN_FOLDER, RUN_FOLDER_MODE
from .._host.transaction import ApplyError, Done, Rollback, back_up_file, rollback_on_failure, write_file
from .._host.writable import WritableHost
from .._process.handle import ProcessIdentity
from .._process.score_adj import Given, ScoreAdjError, Target
from .._service import saved_scores
from .._service.model import Causes, OomGroup, Plan, Running, Service
from .._systemd import drop_in, unit_files
from .._systemd.manager import ManagerError

_GONE = (errno.ENOENT, errno.ENODEV)
# Processes of a unit that started after planning.
Round = Tuple[List[ProcessIdentity], Running]


def rollback_services() -> ContextManager[Rollback]:
    """The context of all changes: a failure rolls them back and raises an ApplyError."""
    return rollback_on_failure(ManagerError, ScoreAdjError)


def apply_plan(host: WritableHost, plan: Plan, build_result: Callable[[Done], Dict[str, Any]]) -> Dict[str, Any]:
    """Apply the plan, and build the result.

    Raises ApplyError after a rollback, also if only the result fails.
    """
    with rollback_services() as rollback:
        return build_result(apply_within(host, plan, rollback))


def apply_within(host: WritableHost, plan: Plan, rollback: Rollback) -> Done:
    """Apply the plan as part of a larger change.

    A rollback runs in reverse: files, daemon-reload, processes, and last the marks of a run.
    """
    put_record(host, plan.host_state.record_data, _build_meanwhile(plan), rollback)
    # Mark the folders before the first write there, which includes backups.
    marks = [leftovers.mark_folder(host, folder, rollback) for folder in _list_drop_in_folders(plan.files)]
    for target in plan.targets:
        # Set again after the reload of a rollback: processes that start before it have the new value.
        _add_rollback(host, target, rollback)
    backups = _write_files(host, plan, rollback)
    record = _set_running(host, plan, rollback)
    _write_groups(host, plan.services, rollback)
    _check_next_start(plan)
    put_record(host, saved_scores.read(host), record, rollback)
    removed = [path for path, (_before, after) in plan.files.items() if after is None]
    _clear(host, _list_drop_in_folders(removed), rollback)
    warnings = leftovers.remove_or_warn(host, plan.leftovers)
    # If something cannot be removed now, the next run finds it by an earlier run's mark.
    _clear(host, [mark for mark in marks if mark not in plan.leftovers], rollback)
    return Done(backups, warnings)


def _write_files(host: WritableHost, plan: Plan, rollback: Rollback) -> List[str]:
    """Write the files, with backups of those of others, and reload systemd."""
    manager = plan.host_state.manager if plan.needs_reload else None
    if manager is not None:
        rollback.add('daemon-reload', manager.reload)
    # Before the files: if a run is killed after writing them, the next run does not write the groups.
    _write_groups(host, [service for service in plan.services if service.hides_policy], rollback)
    backups = [back_up_file(host, path, rollback) for path in plan.commented_out]
    for path, (before, after) in sorted(plan.files.items(), key=_find_place):
        write_file(host, path, before, after, rollback)
    if manager is not None:
        manager.reload()
    return backups


def _set_running(host: WritableHost, plan: Plan, rollback: Rollback) -> saved_scores.Record:
    """Set the processes. Returns the planned record, with originals of those that started after planning."""
    rounds: List[Round] = []
    for one in plan.running:
        for target in one.targets:
            if not one.is_reverted:
                target.before_round = functools.partial(_record_round, host, one, rounds, rollback)
            set_live(host, target, rollback)
            target.before_round = None  # the plan goes to the helper process again
    record = plan.record_after
    for left, one in rounds:
        record = saved_scores.with_processes(record, left, one.known_values, one.targets[0].wanted)
    return record


def _record_round(host: WritableHost, one: Running, rounds: List[Round], rollback: Rollback,
                  left: List[ProcessIdentity]) -> None:
    rounds.append((left, one))
    data = saved_scores.read(host)
    record = saved_scores.with_processes(saved_scores.parse(data), left, one.known_values, one.targets[0].wanted)
    put_record(host, data, record, rollback)


def _find_place(item: Tuple[str, Any]) -> Tuple[int, str]:
    """Sort files: our drop-in is written first and removed last, because a later run finds the rest by it."""
    path, (_before, after) = item
    if os.path.basename(path) != drop_in.NAME:
        return 1, path
    return 0 if drop_in.is_ours(after) else 2, path


def _list_drop_in_folders(paths: Iterable[str]) -> List[str]:
    folders = {os.path.dirname(path) for path in paths}
    return sorted(folder for folder in folders if os.path.dirname(folder) == unit_files.ETC)


def _build_meanwhile(plan: Plan) -> saved_scores.Record:
    """The record during the run: the old and the new values both count as given by the unit.

    The run replaces the unit file that holds the old value. If it is killed, the next run must not take the values of
    running processes for their own.
    """
    record = saved_scores.merge(plan.host_state.record, plan.record_after)
    is_other_init = plan.host_state.is_other_init(plan.request)
    for service in plan.services:
        for one in service.running:
            record = saved_scores.merge(record, _build_record(one, is_other_init))
    return record


def _build_record(one: Running, is_other_init: bool) -> saved_scores.Record:
    """The values that a running unit has and will have. For a revert, the new value is the original."""
    record = saved_scores.EMPTY
    if one.goals:
        target = one.targets[-1]  # of a revert: the processes without an original of their own
        values = target.given + [Given(target.wanted, None)]
        ours = one.ours if one.is_reverted else one.ours + (target.wanted,)
        record = record._replace(units={one.unit: tuple(values)}, ours={one.unit: ours} if ours else {})
        if one.is_reverted and is_other_init:
            record = record._replace(originals={target.label: target.wanted})
    if one.oom_group is not None and one.oom_group.original is not None:
        record = record._replace(groups={one.unit: one.oom_group.original})
    return record


def put_record(host: WritableHost, before: Optional[bytes], record: saved_scores.Record, rollback: Rollback) -> None:
    """Write the record, or remove the file of an empty one."""
    data = saved_scores.dump(record)
    if data == before:
        return
    file_trust.check_record_again(host, saved_scores.FILE)
    write_file(host, saved_scores.FILE, before, data, rollback, saved_scores.FILE_MODE, RUN_FOLDER_MODE)
    if data is None:
        rollback.add(RUN_FOLDER, lambda: host.make_folder(RUN_FOLDER, RUN_FOLDER_MODE))
        host.remove_folder(RUN_FOLDER)


def set_live(host: WritableHost, target: Target, rollback: Rollback) -> None:
    """Set one group of processes. Registers its rollback first."""
    _add_rollback(host, target, rollback)
    target.apply(host)


def _add_rollback(host: WritableHost, target: Target, rollback: Rollback) -> None:
    rollback.add('oom_score_adj of ' + target.label, lambda: target.rollback(host))


def _clear(host: WritableHost, paths: List[str], rollback: Rollback) -> None:
    """Remove files and empty folders.

    This comes last, because a rollback can only make a new folder of the same name.
    """
    for path in paths:
        info = host.lstat(path)
        kept = host.attributes(path) if info is not None and stat.S_ISDIR(info.st_mode) else None  # not a link
        if kept is not None:
            rollback.add(path, functools.partial(host.make_folder_again, path, kept))
        leftovers.remove(host, [path])


def _write_groups(host: WritableHost, services: Iterable[Service], rollback: Rollback) -> None:
    """Write memory.oom.group of running units."""
    for service in services:
        for one in service.running:
            if one.oom_group is not None:
                _write_group(host, one.oom_group, rollback)


def _write_group(host: WritableHost, change: OomGroup, rollback: Rollback) -> None:
    rollback.add(change.path, lambda: _write_number(host, change.path, change.before))
    _write_number(host, change.path, change.after)


def _write_number(host: WritableHost, path: str, value: int) -> None:
    """Write the number, unless the unit has stopped and its cgroup is gone."""
    try:
        with contextlib.closing(host.open_proc(path)) as file:
            file.write(b'%d\n' % value)
    except OSError as exc:
        if exc.errno not in _GONE:
            raise


def _check_next_start(plan: Plan) -> None:
    """Check that the unit files on disk give what was planned."""
    if not plan.files:
        return
    for service, found in zip(plan.services, plan.host_state.host.call(_read_settings, plan)):
        for key, cause in found.items():
            if cause.value != service.next_start[key].value:
                raise ApplyError(f'{key} of {service.name} would be {cause.value} at the next start instead of '
                                 f'{service.next_start[key].value}: a unit file changed meanwhile [OOMK-2313]')


def _read_settings(plan: Plan) -> List[Causes]:
    """The settings of each service in the unit files as they are now, for L(Host.call)."""
    host = plan.host_state.host
    if not plan.host_state.is_other_init(plan.request):
        files = unit_files.UnitFiles(host)
        return [files.read_settings(service.unit) for service in plan.services]
    from .._service import openrc
    return [{unit_files.SCORE_ADJ: openrc.find_cause(name, host.read_bytes(openrc.build_path(name)))}
            for name in (service.short_name for service in plan.services)]
