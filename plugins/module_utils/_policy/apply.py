# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply a plan: record, runtime, check, files, check. A failure rolls everything back in this same process.

Under strict overcommit no program can start once too much is committed, so no later task could repair the host. So the
rollback is opened and prepared before the first write.
"""

import errno
from typing import Dict, List, Optional, Set, Tuple

from .._core.errors import Refusal
from .._host import file_trust, leftovers
from .._host.host import sysctl_path
from .._host.spawn_probe import (
    ERRNO,
    NO_ANSWER,
    PRIVILEGED,
    SIGNAL,
    STARTED,
    SpawnOutcome,
    describe_outcome,
    probe_spawns,
)
from .._host.transaction import ApplyError, Done, Rollback, back_up_file, rollback_on_failure, write_file
from .._host.writable import ProcFile, WritableHost
from .._kernel import sysctls
from .._sysctl import saved_values
from .plan import Part, Plan, Write
from .planning import values_after_boot

_RUNTIME = 'the sysctls at runtime'
_NO_PART = Part()


def apply_plan(plan: Plan, part: Part = _NO_PART) -> Done:
    """Apply the plan and ``part``. Raises ApplyError after a rollback."""
    with rollback_on_failure(Refusal, *part.errors) as rollback:
        done = apply_within(plan, rollback, part)
        settle_record(plan, rollback)
        return done


def apply_within(plan: Plan, rollback: Rollback, part: Part = _NO_PART) -> Done:
    """Apply the plan, except for L(settle_record), as part of a larger change.

    ``part`` comes before a tightening and after everything else at runtime: it may have to start programs.
    """
    host, warnings = plan.host_state.host, []
    _put_record(plan, rollback)
    tightens = plan.policy.tightens(plan)
    if tightens:
        part.apply(rollback)
    if plan.writes:
        warnings = write_runtime(plan, rollback)
    if not tightens:
        part.apply(rollback)
    backups = [back_up_file(host, path, rollback) for path in plan.commented_out]
    for path, (before, after) in sorted(plan.files.items()):
        write_file(host, path, before, after, rollback)
    _check_boot(plan)
    return Done(backups, warnings + leftovers.remove_or_warn(host, plan.leftovers))


def _put_record(plan: Plan, rollback: Rollback) -> None:
    """Record what to revert to, before anything changes."""
    _replace_record(plan, plan.host_state.originals_data, plan.host_state.record, plan.record_meanwhile, rollback)


def settle_record(plan: Plan, rollback: Rollback) -> None:
    """Drop reverted settings and those of killed runs from the record, once everything is done."""
    found, meanwhile = plan.host_state, plan.record_meanwhile
    data = found.originals_data if meanwhile == found.record else saved_values.dump(meanwhile)
    _replace_record(plan, data, meanwhile, plan.record_after, rollback)


def _replace_record(plan: Plan, before_data: Optional[bytes], before: saved_values.Record, after: saved_values.Record,
                    rollback: Rollback) -> None:
    host = plan.host_state.host
    if after != before:
        data = saved_values.dump(after)
        file_trust.check_record_again(host, saved_values.FILE)
        write_file(host, saved_values.FILE, before_data, data, rollback)
        if data is None:
            kept = host.attributes(saved_values.FOLDER)
            if kept is not None:
                rollback.add(saved_values.FOLDER, lambda: host.make_folder_again(saved_values.FOLDER, kept))
            host.remove_folder(saved_values.FOLDER)


# --------------------------------------------------------------------- runtime

def write_runtime(plan: Plan, rollback: Rollback) -> List[str]:
    """Write the sysctls, read them back, and check that programs still start. Returns warnings."""
    host = plan.host_state.host
    strict = plan.runtime_after.get(sysctls.MEMORY) == 2
    before = _probe_before() if strict else {}
    back = plan.list_rollback_writes()
    opened: Dict[str, ProcFile] = {}
    try:
        for key in sorted({key for key, _value in plan.writes + back}):
            opened[key] = host.open_proc(sysctl_path(key))
        prepared = [(opened[key], b'%d\n' % value, _slot(key)) for key, value in back]
        done: Set[str] = set()
        rollback.add(_RUNTIME, lambda: _write_all(prepared, done))
        for key, value in plan.writes:
            _write_one(opened[key], key, value)
            done.add(_slot(key))
        _read_back(plan, host)
        warnings = _check_spawns(before) if strict else []
    except BaseException:
        # The rollback needs the open files.
        rollback.run()
        raise
    finally:
        for proc_file in opened.values():
            proc_file.close()
    rollback.replace_last(_RUNTIME, lambda: _write_again(host, plan.list_rollback_writes()))
    return warnings


def _probe_before() -> Dict[str, SpawnOutcome]:
    """Probe who can start programs before the change. A failure excuses the new limit, so it is probed twice."""
    before = probe_spawns()
    return probe_spawns() if any(map(_may_excuse, before.values())) else before


def _may_excuse(outcome: SpawnOutcome) -> bool:
    """Whether this outcome before the change excuses the same one after it. No answer excuses nothing."""
    return outcome != STARTED and outcome.kind not in (SIGNAL, NO_ANSWER)


def _slot(key: str) -> str:
    """The setting of a key: ratio and kbytes are one, because writing one changes the other."""
    return sysctls.RATIO if key == sysctls.KBYTES else key


def _write_all(writes: List[Tuple[ProcFile, bytes, str]], done: Set[str]) -> None:
    """Roll back what was written. What the kernel refused is unchanged."""
    for proc_file, data, slot in writes:
        if slot in done:
            proc_file.write(data)


def _write_again(host: WritableHost, writes: List[Write]) -> None:
    for key, value in writes:
        proc_file = host.open_proc(sysctl_path(key))
        try:
            proc_file.write(b'%d\n' % value)
        finally:
            proc_file.close()


def _write_one(proc_file: ProcFile, key: str, value: int) -> None:
    try:
        proc_file.write(b'%d\n' % value)
    except OSError as exc:
        raise ApplyError(f'{key}: the kernel refused the value {value} ({exc.strerror}) [OOMK-2308]') from exc


def _read_back(plan: Plan, host: WritableHost) -> None:
    for key, wanted in plan.runtime_after.items():
        if wanted is None:
            continue
        found = sysctls.parse_value(host.read_text(sysctl_path(key)))
        if found is None and not wanted and plan.runtime_before[key] is None:
            continue  # a counterpart that this kernel lacks counts as 0
        if found != wanted:
            raise ApplyError(f'{key} reads {found} after {wanted} was written; something else sets it, or the kernel '
                             'does not keep it [OOMK-2308]')


def _check_spawns(before: Dict[str, SpawnOutcome]) -> List[str]:
    """Check that programs still start. Returns warnings. Raises ApplyError.

    Only the same failure before the change excuses one.
    """
    warnings: List[str] = []
    for who, outcome in probe_spawns().items():
        if outcome == STARTED:
            continue
        if not _may_excuse(outcome) or outcome != before.get(who):
            text = _UNCLEAR if outcome.kind != ERRNO else _LIMIT if outcome.number == errno.ENOMEM else _OTHER_CAUSE
            raise ApplyError(text % (who, describe_outcome(outcome)))
        if outcome.kind == PRIVILEGED:
            warnings.append(_NOT_TRIED % (who, describe_outcome(outcome)))
    return warnings


_NOT_TRIED = ('whether %s can still start programs is unknown, because this module may not drop its privileges (%s)'
              ' [OOMK-2312]')
_LIMIT = ('with the new limit %s cannot start a program any more (%s): Committed_AS is too near to CommitLimit. Raise '
          'the ratio, kbytes or commit_limit, or lower the reserves [OOMK-2309]')
_OTHER_CAUSE = ('right after the change %s could not start a program (%s), and not for lack of memory. Remove the '
                'cause, such as too many processes (pids.max, TasksMax, ulimit -u), and run the task again [OOMK-2310]')
_UNCLEAR = ('right after the change a program did not start as it should for %s (%s), so that the new limit is not '
            'proven. Run the task again; if this comes back, raise the limit [OOMK-2311]')


# ------------------------------------------------------------------------ files

def _check_boot(plan: Plan) -> None:
    """Check that the files on disk give the planned values at boot."""
    if not plan.files:
        return
    found = plan.host_state.host.call(values_after_boot, plan.host_state, plan.request)
    for key in plan.policy.keys:
        if found[key] != plan.boot_after[key]:
            raise ApplyError(f'{key} would be {found[key]} at boot instead of {plan.boot_after[key]}: a file below '
                             'sysctl.d changed meanwhile [OOMK-2313]')
