# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the boot configuration: edit our file, find the line that wins at boot, settle conflicts with other files."""

import os
import stat
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from .._core.errors import Refusal
from .._core.request import Request
from .._core.sanitize import sanitize
from .._core.text import to_bytes, to_text
from .._host import conf_files
from .._host.file_draft import Draft, is_below_etc, settle
from .._host.host import Host
from .._host.transaction import LINE_LEFT, MARKER
from .._kernel import sysctls
from . import boot, boot_facts, file_edit, parser, saved_values
from .records import SYSCTLS
from .state import HostState


class BootPlan(NamedTuple):
    outcome: boot.BootOutcome
    files: Dict[str, Tuple[Optional[bytes], Optional[bytes]]]
    commented_out: List[str]  # real paths of the files of others that the plan changes
    conflicts: List[Dict[str, Any]]
    warnings: List[str]
    record: Dict[str, saved_values.File]  # files with our lines after the run
    record_meanwhile: Dict[str, saved_values.File]  # files with our lines during the run, removed lines included


# TuneD reads these below /etc, also where the loader does not.
_TUNED_READS = conf_files.build_loader('tuned', conf_files.PROCPS, ('/etc/sysctl.d',), '/etc/sysctl.conf')


class _Draft(Draft):
    """The files of the plan."""

    def __init__(self, host_state: HostState, request: Request, keys: Sequence[str]) -> None:
        super().__init__(host_state.host)
        self.host_state = host_state
        self.loader = host_state.loader
        self.request = request
        self.keys = keys
        self.ours = self.host.real(request.sysctl_file)
        self.by_tuned: Set[str] = set()

    def text(self, path: str) -> Optional[str]:
        """The drafted text of a file; None for no file."""
        data = self.read(path)
        return None if data is None else to_text(data)

    def put_text(self, path: str, text: Optional[str]) -> None:
        """Draft a new text; None removes the file."""
        self.put(self.host.real(path), None if text is None else to_bytes(text))

    def outcome(self) -> boot.BootOutcome:
        """Simulate the boot with the drafted files."""
        outcome = self.host_state.boot(self.request, self.overlay)
        self.by_tuned = outcome.by_tuned
        return outcome


def plan_boot(host_state: HostState, request: Request, keys: Sequence[str], target: Dict[str, int]) -> BootPlan:
    """Plan the files from which the next boot sets ``target``; for state absent, files without our lines.

    Raises Refusal for a file that the loader does not read, and for conflicts that the request does not allow.
    """
    draft = _Draft(host_state, request, keys)
    if request.absent:
        record, warnings = _draft_absent(draft)
        return BootPlan(draft.outcome(), draft.changes(), draft.commented_out, [], warnings, record,
                        host_state.record.files)
    record, meanwhile = _draft_present(draft, target)
    _check_is_read(draft)
    if not draft.loader.is_known:
        warnings = [_UNKNOWN % (boot_facts.UNKNOWN_LOADER % sanitize(draft.loader.reason), request.sysctl_file)]
        return BootPlan(draft.outcome(), draft.changes(), [], [], warnings, record, meanwhile)
    conflicts = _settle(draft, target)
    warnings = [f'{_conflict_text(draft, conflict)} [OOMK-1401]' for conflict in conflicts]
    warnings += _losing_counterparts(draft, target, conflicts)
    return BootPlan(draft.outcome(), draft.changes(), draft.commented_out, conflicts, warnings, record, meanwhile)


_UNKNOWN = ('%s, so that neither the effect of %s nor a conflict with another file could be predicted. Look at the '
            'sysctls after a reboot [OOMK-1409]')


def _lines(target: Dict[str, int]) -> Dict[str, Optional[int]]:
    """One line for each key. A pair gets only one, because writing one sets the other to 0."""
    lines: Dict[str, Optional[int]] = dict(target)
    if sysctls.RATIO in lines:
        lines[sysctls.RATIO if lines[sysctls.KBYTES] else sysctls.KBYTES] = None
    return lines


# ---------------------------------------------------------------------- our lines

def files_of_ours(host_state: HostState, sysctl_file: str) -> Dict[str, saved_values.File]:
    """Find the files with our lines, recorded or with our header, by real path. Raises OSError.

    A file with our header but no record was made in an image, or copied here.
    """
    host, recorded = host_state.host, host_state.record.files
    found = {path: entry for path, entry in recorded.items() if not _is_replaced(host, path)}
    for path in _list_candidates(host_state) + [sysctl_file]:
        real = host.real(path)
        if real not in found:
            lines = file_edit.implied_lines(conf_files.read_file(host, real))
            if lines:
                found[real] = saved_values.File(True, lines)
    return found


def _is_replaced(host: Host, path: str) -> bool:
    """Whether a link (a mask), a folder or a pipe has replaced a file, known by its real path."""
    info = host.lstat(path)
    return host.real(path) != path or (info is not None and not stat.S_ISREG(info.st_mode))


def _list_candidates(host_state: HostState) -> List[str]:
    """The files below /etc that the loader or TuneD reads: only these can have our lines."""
    paths = conf_files.list_files(host_state.host, host_state.loader)
    paths += [path for path in conf_files.list_files(host_state.host, _TUNED_READS) if path not in paths]
    return [path for path in paths if is_below_etc(host_state.host, path)]


def _draft_present(draft: _Draft, target: Dict[str, int]) -> Tuple[Dict[str, saved_values.File],
                                                                   Dict[str, saved_values.File]]:
    """Draft the lines in our file. Returns the files to record after the run, and during the run."""
    before = draft.text(draft.request.sysctl_file)
    recorded = dict(draft.host_state.record.files)
    known = files_of_ours(draft.host_state, draft.request.sysctl_file).get(draft.ours, saved_values.File(False, {}))
    made = before is None or known.made and file_edit.HEADER in before
    after, lines = file_edit.edit(before, _lines(target), known.lines, made)
    draft.put_text(draft.request.sysctl_file, after)
    # In an image the header marks the file as ours, so no record is needed.
    is_marked_by_header = draft.host_state.is_for_another(draft.request) and lines == file_edit.implied_lines(after)
    if is_marked_by_header:
        recorded.pop(draft.ours, None)
        return recorded, recorded
    meanwhile = dict(recorded)
    if after != before:
        recorded[draft.ours] = saved_values.File(made, lines)
        # A run that is killed before it writes the file leaves the old lines there.
        meanwhile[draft.ours] = saved_values.File(made, file_edit.with_lines_in(before or '', known.lines, lines))
    elif draft.ours in recorded:
        recorded[draft.ours] = known._replace(lines=file_edit.without_gone(before or '', known.lines))
    return recorded, meanwhile


def _draft_absent(draft: _Draft) -> Tuple[Dict[str, saved_values.File], List[str]]:
    """Draft all files without our lines and comment marks. Returns the record afterwards, and warnings."""
    known = files_of_ours(draft.host_state, draft.request.sysctl_file)
    record, warnings = dict(draft.host_state.record.files), []
    stays = {key for entry in known.values() for key in entry.lines} - set(draft.keys)
    others = map(draft.host.real, _list_candidates(draft.host_state))
    for path in sorted(set(known).union(record, others, [draft.ours])):
        text = None if _is_replaced(draft.host, path) else draft.text(path)
        entry = known.get(path, saved_values.File(False, {}))
        if text is not None:
            warnings += _draft_without_ours(draft, path, text, entry, stays)
        lines = {key: line for key, line in entry.lines.items() if key in stays}
        _note(record, path, entry, {} if text is None else lines)
    return record, warnings


def _draft_without_ours(draft: _Draft, path: str, text: str, entry: saved_values.File, stays: Set[str]) -> List[str]:
    """Draft a file without our lines. Returns warnings for our lines that somebody has changed."""
    if MARKER not in text and not set(draft.keys).intersection(entry.lines):
        return []
    reverted = file_edit.revert(text, draft.keys, entry.lines, entry.made, stays)
    draft.put_text(path, reverted.text)
    return [LINE_LEFT % (path, line.strip()) for line in reverted.foreign]


def _note(record: Dict[str, saved_values.File], path: str, entry: saved_values.File,
          lines: Dict[str, List[str]]) -> None:
    """Keep a file's remaining lines in the record, or drop the file from it."""
    if path in record and lines:
        record[path] = entry._replace(lines=lines)
    else:
        record.pop(path, None)


# ----------------------------------------------------------------------- our file

def _check_is_read(draft: _Draft) -> None:
    """Refuse a sysctl_file that the loader does not read."""
    path, loader = draft.request.sysctl_file, draft.loader
    if loader.is_known and loader.reason:
        raise Refusal(f'sysctl_file {path} would not be read at boot: {sanitize(loader.reason)}. Change that, or use '
                      'persistent: false. [OOMK-1407]')
    if draft.ours.startswith(('/run/', '/dev/')):
        raise Refusal(f'sysctl_file {path} leads to {draft.ours}, which is lost at reboot or is a mask. Use a file '
                      'such as /etc/sysctl.d/99-oomkit.conf. [OOMK-1410]')
    read = conf_files.list_files(draft.host, loader, draft.overlay)
    if not loader.is_known or draft.ours in [draft.host.real(name) for name in read]:
        return
    masks = [f'{name} masks it' for name in read if os.path.basename(name) == os.path.basename(path)]
    why = (masks + ['it reads ' + conf_files.describe_sources(loader.sources)])[0]
    raise Refusal(f'sysctl_file {path} is not read by {loader.name}, which sets the sysctls of this machine at boot: '
                  f'{why}. Use a file such as /etc/sysctl.d/99-oomkit.conf. [OOMK-1406]')


# ---------------------------------------------------------------------- conflicts

def _settle(draft: _Draft, target: Dict[str, int]) -> List[Dict[str, Any]]:
    """Settle the conflicts. Returns those that remain with ``conflicts: warn``. Raises Refusal."""
    return settle(draft.request.conflicts, lambda: _conflicts(draft, target),
                  lambda conflict: _comment_out(draft, conflict),
                  lambda conflict: _conflict_text(draft, conflict), _WOULD_WIN)


_WOULD_WIN = ('Another file would win at boot: %s. Remove that line, choose a sysctl_file that is read later, or use '
              'conflicts: comment_out (comments the line out, below /etc only) or conflicts: warn. [OOMK-1401]')


def _conflicts(draft: _Draft, target: Dict[str, int]) -> List[Dict[str, Any]]:
    """The keys that miss their target at boot with the drafted files, each with the deciding line."""
    outcome = draft.outcome()
    result: List[Dict[str, Any]] = []
    for key in sorted(target, key=lambda name: not target[name]):
        value, cause = outcome.values[key], outcome.causes[key]
        # One line that erases a pair is one conflict, reported for the requested key.
        if value == target[key] or (cause and cause in [(one['file'], one['line']) for one in result]):
            continue
        result.append({'key': key, 'wanted': target[key], 'boot': value,
                       'file': cause.path if cause else None, 'line': cause.line if cause else None})
    return result


def _conflict_text(draft: _Draft, conflict: Dict[str, Any]) -> str:
    where = f"{conflict['file']} line {conflict['line']}" if conflict['file'] else "the kernel's own default"
    where += ', which TuneD applies when it starts' if conflict['key'] in draft.by_tuned else ''
    return (f"{conflict['key']} would be {'unknown' if conflict['boot'] is None else conflict['boot']} at boot instead "
            f"of {conflict['wanted']}, because of {where}")


def _comment_out(draft: _Draft, conflict: Dict[str, Any]) -> None:
    """Comment out the deciding line in the draft. Raises Refusal for files outside /etc and for TuneD profiles."""
    path = conflict['file']
    if not is_below_etc(draft.host, path):
        raise Refusal(f'conflicts: comment_out changes files below /etc only, but {_conflict_text(draft, conflict)}. '
                      f'Choose a sysctl_file that is read later than it, such as {_late_file(draft.loader)}.'
                      ' [OOMK-1402]')
    if conflict['key'] in draft.by_tuned and path != _TUNED_READS.sources[0].last_file and not _is_in_sysctl_d(path):
        raise Refusal(f'conflicts: comment_out changes files of sysctl.d only, but {_conflict_text(draft, conflict)}. '
                      'Change the profile, or use conflicts: warn. [OOMK-1403]')
    text = file_edit.comment_out(draft.text(path) or '', conflict['line'])
    if draft.host.real(path) == draft.ours:
        draft.put_text(path, text)
    else:
        draft.put_commented(draft.host.real(path), to_bytes(text))


def _late_file(loader: conf_files.Loader) -> str:
    """A file below /etc that the loader reads last."""
    for source in reversed(loader.sources):
        if '/etc/sysctl.d' in source.folders:
            break
        if source.last_file == '/etc/sysctl.conf':
            return source.last_file
    return '/etc/sysctl.d/zz-oomkit.conf'


def _is_in_sysctl_d(path: str) -> bool:
    return os.path.basename(os.path.dirname(path)) == 'sysctl.d'


def _losing_counterparts(draft: _Draft, target: Dict[str, int], conflicts: List[Dict[str, Any]]) -> List[str]:
    """Warn of lines of others that set the counterpart of a requested key, and lose at boot now."""
    if sysctls.RATIO not in target or conflicts:
        return []
    counterpart = sysctls.RATIO if target[sysctls.KBYTES] else sysctls.KBYTES
    return [f'{setting.path} line {setting.line} sets {counterpart}, which erases '
            f'{SYSCTLS[counterpart].counterpart} wherever it is '
            'written later; it loses at boot now, but should go [OOMK-1405]'
            for setting in parser.read_settings(draft.host, draft.loader, draft.overlay)
            if setting.key == counterpart.replace('.', '/') and setting.value is not None
            and draft.host.real(setting.path) != draft.ours]
