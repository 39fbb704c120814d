# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply a plan for services: record, drop-ins, daemon-reload, running processes. A failure rolls everything back."""

import errno
import os
import stat
from typing import Any, Callable, ContextManager, Dict, Iterable, List, Tuple

from .._host import file_trust, leftovers
from .._host.host import RUN_FOLDER, RUN_FOLDER_MODE
from .._host.transaction import ApplyError, Undo, backup, put, undone_on_failure
from .._host.writable import WritableHost
from .._process.handle import Seen
from .._process.score_adj import Given, LiveError, Target
from .._service import saved_scores
from .._service.model import Causes, OomGroup
from .._systemd import drop_in, unit_files
from .._systemd.manager import ManagerError

_GONE = (errno.ENOENT, errno.ENODEV)


def undone() -> ContextManager[Undo]:
    """The context of all changes: a failure rolls them back and becomes an ApplyError."""
    return undone_on_failure(ManagerError, LiveError)


def apply_plan(plan: Any, result_of: Callable[[List[str]], Dict[str, Any]]) -> Dict[str, Any]:
    """Apply the plan, and build the result from the backups of files of others.

    Raises ApplyError after a rollback, also where the result cannot be built.
    """
    with undone() as undo:
        return result_of(_apply(plan, undo))


def _apply(plan: Any, undo: Undo) -> List[str]:
    """Apply the plan. A rollback goes in reverse: files, daemon-reload, processes, and last the marks of a run."""
    situation = plan.situation
    host, manager = situation.host, situation.manager
    put_record(host, situation.record_data, _meanwhile(plan), undo)
    # Before anything is written there, the copies of files of others too.
    marks = [leftovers.mark(host, folder, undo) for folder in _drop_in_folders(plan.files)]
    for target in plan.targets:
        # Once more after systemd has the old files again: what starts until then starts with the new value.
        _remember(host, target, undo)
    if plan.reload:
        undo.add('daemon-reload', manager.reload)
    # Before the files that tell of it, because a run that is killed after them would not be completed by the next.
    _write_groups(plan, [service for service in plan.services if service.hides_policy], undo)
    backups = [backup(host, path, undo) for path in plan.taken_over]
    for path, (before, after) in sorted(plan.files.items(), key=_place):
        put(host, path, before, after, undo)
    if plan.reload:
        manager.reload()
    _set_running(plan, undo)
    _write_groups(plan, plan.services, undo)
    _check_boot(plan)
    put_record(host, saved_scores.read(host), plan.record_after, undo)
    emptied = _drop_in_folders([path for path, (_before, after) in plan.files.items() if after is None])
    _clear(host, emptied, undo)
    plan.warnings += leftovers.clear_after_others(host, plan.litter)
    # By the mark of an earlier run the next one finds what could not be cleared away now.
    _clear(host, [mark for mark in marks if mark not in plan.litter], undo)
    return backups


def _set_running(plan: Any, undo: Undo) -> None:
    """Set the processes, and record originals of those that have started since the plan was made."""
    for service in plan.services:
        for one in service.running:
            for target in one.targets:
                if not service.remove:
                    target.before_round = lambda left, one=one: _record_round(plan, one, left, undo)
                set_live(plan.situation.host, target, undo)
                target.before_round = None  # the plan goes to the helper process again
    for one in plan.loose:
        for target in one.targets:
            set_live(plan.situation.host, target, undo)


def _record_round(plan: Any, one: Any, left: List[Seen], undo: Undo) -> None:
    host, wanted = plan.situation.host, one.targets[0].wanted
    data = saved_scores.read(host)
    put_record(host, data, saved_scores.with_processes(saved_scores.parse(data), left, one.explained, wanted), undo)
    plan.record_after = saved_scores.with_processes(plan.record_after, left, one.explained, wanted)


def _place(item: Tuple[str, Any]) -> Tuple[int, str]:
    """The order of files: our drop-in is written first and removed last, because a later run finds the rest by it."""
    path, (_before, after) = item
    if os.path.basename(path) != drop_in.NAME:
        return 1, path
    return 0 if drop_in.is_ours(after) else 2, path


def _drop_in_folders(paths: Iterable[str]) -> List[str]:
    folders = {os.path.dirname(path) for path in paths}
    return sorted(folder for folder in folders if os.path.dirname(folder) == unit_files.ETC)


def _meanwhile(plan: Any) -> saved_scores.Record:
    """The record during the run: the old and the new values both count as given by the unit.

    The old value is in a unit file that is about to be replaced. After a killed run the next one would otherwise take
    the values of running processes for their own.
    """
    record = saved_scores.both(plan.situation.record, plan.record_after)
    is_other_init = plan.situation.is_other_init(plan.request)
    for service in plan.services:
        for one in service.running:
            record = saved_scores.both(record, _of_unit(one, service.remove, is_other_init))
    return record


def _of_unit(one: Any, remove: bool, is_other_init: bool) -> saved_scores.Record:
    """The values that a running unit has and will have; for a revert the latter is the original."""
    record = saved_scores.EMPTY
    if one.to_change:
        target = one.targets[-1]  # of a revert: the processes without an original of their own
        values = target.given + [Given(target.wanted, None)]
        ours = one.ours if remove else one.ours + (target.wanted,)
        record = record._replace(units={one.unit: tuple(values)}, ours={one.unit: ours} if ours else {})
        if remove and is_other_init:
            record = record._replace(originals={target.label: target.wanted})
    if one.oom_group is not None and one.oom_group.original is not None:
        record = record._replace(groups={one.unit: one.oom_group.original})
    return record


def put_record(host: WritableHost, before: Any, record: saved_scores.Record, undo: Undo) -> None:
    """Write the record, or remove the file of an empty one."""
    data = saved_scores.dump(record)
    if data == before:
        return
    file_trust.check_record_again(host, saved_scores.FILE)
    put(host, saved_scores.FILE, before, data, undo, saved_scores.FILE_MODE, RUN_FOLDER_MODE)
    if data is None:
        undo.add(RUN_FOLDER, lambda: host.make_folder(RUN_FOLDER, RUN_FOLDER_MODE))
        host.remove_folder(RUN_FOLDER)


def set_live(host: WritableHost, target: Target, undo: Undo) -> None:
    """Set one group of processes, with its rollback registered before."""
    _remember(host, target, undo)
    target.apply(host)


def _remember(host: WritableHost, target: Target, undo: Undo) -> None:
    undo.add('oom_score_adj of ' + target.label, lambda: target.undo(host))


def _clear(host: WritableHost, paths: List[str], undo: Undo) -> None:
    """Remove what is not needed any more, folders as far as nothing is in them.

    This comes last because a folder cannot be taken back as it was: made anew it is another one.
    """
    for path in paths:
        info = host.look(path)
        kept = host.attributes(path) if info is not None and stat.S_ISDIR(info.st_mode) else None  # no link to one
        if kept is not None:
            undo.add(path, lambda path=path, kept=kept: host.make_folder_again(path, kept))
        leftovers.clear(host, [path])


def _write_groups(plan: Any, services: Iterable[Any], undo: Undo) -> None:
    for service in services:
        for one in service.running:
            if one.oom_group is not None:
                _write(plan.situation.host, one.oom_group, undo)


def _write(host: WritableHost, change: OomGroup, undo: Undo) -> None:
    """memory.oom.group of a running unit's cgroup."""
    undo.add(change.path, lambda: _write_number(host, change.path, change.before))
    _write_number(host, change.path, change.after)


def _write_number(host: WritableHost, path: str, value: int) -> None:
    """Write the number, unless the unit has stopped and its cgroup is gone."""
    try:
        file = host.open_proc(path)
        try:
            file.write(b'%d\n' % value)
        finally:
            file.close()
    except OSError as exc:
        if exc.errno not in _GONE:
            raise


def _check_boot(plan: Any) -> None:
    """Check that the unit files on disk give what was planned."""
    if not plan.files:
        return
    for service, found in zip(plan.services, plan.situation.host.call(_settings_of_all, plan)):
        for key, cause in found.items():
            if cause.value != service.boot_after[key].value:
                raise ApplyError(f'{key} of {service.name} would be {cause.value} at the next start instead of '
                                 f'{service.boot_after[key].value}: a unit file changed meanwhile')


def _settings_of_all(plan: Any) -> List[Causes]:
    """The settings of each service in the unit files as they are now, for L(Host.call)."""
    files = unit_files.UnitFiles(plan.situation.host)
    return [_settings(plan, service, files) for service in plan.services]


def _settings(plan: Any, service: Any, files: unit_files.UnitFiles) -> Causes:
    if not plan.situation.is_other_init(plan.request):
        return files.settings(service.unit)
    from .._service import openrc, other_init
    name = other_init.name_of(service)
    return {unit_files.SCORE_ADJ: openrc.cause_of(name, plan.situation.host.read_bytes(openrc.path_of(name)))}
