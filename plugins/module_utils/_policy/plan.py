# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a request into a plan of all changes, before anything is changed.

Check mode and diff show the plan, and _apply executes it. The two modules differ only in their L(Policy): their keys,
the values that the options ask for, the order of writes, and what is refused.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .._core.errors import Refusal
from .._core.text import to_text
from .._host import conf_files, file_trust, leftovers
from .._host.container import detect_container
from .._host.environment import is_chroot
from .._host.host import Host, sysctl_path
from .._host.meminfo import get_page_kb, read_memory
from .._host.sysctl_access import check_place, check_writable
from .._kernel import sysctls
from .._sysctl import boot_facts, competing_writers, file_edit, loader, saved_values
from .._sysctl.boot import BootOutcome, simulate
from .._sysctl.boot_plan import BootPlan, plan_boot
from . import revert


# The options that all modules of the action group share.
class Request(NamedTuple):
    absent: bool
    runtime: bool
    persistent: bool
    sysctl_file: str
    conflicts: str
    force: bool
    check_mode: bool


Write = Tuple[str, int]
# By key, the value before and after a change at runtime; ratio and kbytes as a pair.
Unconfirmed = Dict[str, Tuple[Optional[int], Optional[int]]]


class HostState:
    """State of the host before the run."""

    def __init__(self, host: Host, unconfirmed: Optional[Unconfirmed] = None) -> None:
        """``unconfirmed`` are the sysctls of a change at runtime that was never confirmed.

        They are reverted as if they had been recorded.
        """
        self.host = host
        self.page_kb = get_page_kb()
        self.loader = loader.find_loader(host)
        self.memory = read_memory(host)
        # An unreadable sysctl raises, unlike one that the kernel lacks: its value to revert to would be unknown.
        self.runtime = {key: boot_facts.runtime_value(host, key) for key in sysctls.ALL_KEYS}
        self.originals_data = saved_values.read(host)
        self.record = saved_values.parse(self.originals_data)
        self.unconfirmed = unconfirmed or {}
        self.boot_defaults = dict(
            ((key, before) for key, (before, _after) in self.unconfirmed.items()
             if key in (sysctls.ADMIN_RESERVE, sysctls.USER_RESERVE) and before is not None),
            **saved_values.boot_defaults(self.record))
        self.container = detect_container(host)
        # In an image build, the kernel and the memory seen here are not those of the host that boots it.
        self.foreign_kernel = bool(self.container) or is_chroot(host)

    def is_for_another(self, request: Request) -> bool:
        """Whether this is an image build: another host boots the files, and nothing is set at runtime here."""
        return self.foreign_kernel and not request.runtime

    def boot(self, request: Request, overlay: Optional[conf_files.Overlay] = None) -> BootOutcome:
        """Simulate the next boot of the host that the request is for, with the files of the overlay.

        Another host's kernel command line and original values are unknown.
        """
        here = not self.is_for_another(request)
        return simulate(self.host, self.loader, self.boot_defaults if here else None, overlay, here)


class Policy:
    """What one module adds to the shared flow. All methods are pure."""

    keys: Tuple[str, ...] = ()
    desired: Any = None  # the options as a NamedTuple, converted

    def runtime_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """The requested values at runtime; ratio and kbytes always as a pair."""
        raise NotImplementedError

    def boot_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """The requested values after the next boot; ratio and kbytes always as a pair."""
        raise NotImplementedError

    def order(self, writes: List[Write], before: sysctls.State, after: sysctls.State,
              host_state: HostState) -> List[Write]:
        """Order the writes so that no state in between is more dangerous than before and after."""
        raise NotImplementedError

    def guard(self, plan: 'Plan') -> None:
        """Raise Refusal for a dangerous plan, and add warnings to it."""
        raise NotImplementedError


class Plan:
    """What a run would do. ``files`` maps real paths to (content before, content after), None for no file."""

    def __init__(self, host_state: HostState, request: Request, policy: Policy) -> None:
        self.host_state = host_state
        self.request = request
        self.policy = policy
        self.warnings: List[str] = []
        self.conflicts: List[Dict[str, Any]] = []
        self.files: Dict[str, Tuple[Optional[bytes], Optional[bytes]]] = {}
        self.commented_out: List[str] = []
        self.leftovers: List[str] = []
        self.managed = True  # whether this module has anything to revert
        self.record_meanwhile = host_state.record  # during the run, which may be killed
        self.record_after = host_state.record
        self.runtime_before = {key: host_state.runtime.get(key) for key in policy.keys}
        self.runtime_after = dict(self.runtime_before)
        self.runtime_back = self.runtime_before  # what is restored after a failure
        self.boot = host_state.boot(request)
        self.boot_before = {key: self.boot.values.get(key) for key in policy.keys}
        self.boot_after = dict(self.boot_before)
        self.boot_asked: Dict[str, int] = {}
        self.writes: List[Write] = []

    @property
    def changed(self) -> bool:
        """Whether the run would change anything that the user configures."""
        return bool(self.writes or self.files)

    @property
    def to_do(self) -> bool:
        """Whether the run has anything to write, our own record included."""
        return self.changed or self.record_changes or bool(self.leftovers)

    @property
    def record_changes(self) -> bool:
        """Whether the record changes."""
        return self.record_after != self.host_state.record

    def boot_to_guard(self) -> sysctls.State:
        """The values after the boot, and the requested ones where the boot cannot be predicted."""
        return self.boot_after if self.host_state.loader.is_known else dict(self.boot_after, **self.boot_asked)

    def changed_keys(self) -> List[str]:
        """The sysctls whose value or line the plan changes, at runtime or at boot."""
        return [key for key in self.policy.keys
                if self.runtime_before[key] != self.runtime_after[key]
                or self.boot_before[key] != self.boot_after[key]
                or any(_lines_for(key, before) != _lines_for(key, after) for before, after in self.files.values())]

    def written_keys(self) -> List[str]:
        """The sysctls that the plan or its rollback writes, in the order of the policy."""
        written = {key for key, _value in self.writes + (self.writes_back() if self.writes else [])}
        return [key for key in self.policy.keys if key in written]

    def writes_back(self) -> List[Write]:
        """The writes that roll L(writes) back, in a safe order."""
        back = writes_between(self.runtime_after, self.runtime_back)
        return self.policy.order(back, self.runtime_after, self.runtime_back, self.host_state)


def _lines_for(key: str, data: Optional[bytes]) -> List[str]:
    lines = conf_files.split_lines(to_text(data or b''))
    return [line for line in lines if (file_edit.line_setting(line) or ('', ''))[0] == key]


def make_plan(host_state: HostState, request: Request, policy: Policy) -> Plan:
    """Plan the whole run. Raises Refusal."""
    plan = Plan(host_state, request, policy)
    if saved_values.is_damaged(host_state.originals_data):
        plan.warnings.append(_DAMAGED % saved_values.FILE)
    if request.runtime:
        check_place(host_state.host, policy.keys, host_state.container, request.force)
    asked = _plan_absent(plan) if request.absent else _plan_present(plan)
    check_writable(host_state.host, plan.written_keys(), request.check_mode)
    plan.leftovers = _plan_leftovers(host_state, request)
    file_trust.check_files(host_state.host, plan.files)
    policy.guard(plan)
    if asked:
        overlay = {path: after for path, (_before, after) in plan.files.items()}
        found = competing_writers.find_writers(host_state.host, overlay=overlay)
        plan.warnings += competing_writers.contradictions(found, _said(asked), request.persistent)
    return plan


_DAMAGED = ('%s is damaged: unreadable entries count as never recorded, so values from before the first change may be '
            'lost. Compare the sysctls with what this host should have, then remove that file')


def _plan_present(plan: Plan) -> Dict[str, int]:
    """Plan what the options ask for. Returns the requested values."""
    host_state, request = plan.host_state, plan.request
    asked: Dict[str, int] = {}
    files = settled = host_state.record.files
    if request.persistent:
        target = plan.policy.boot_target(host_state, request)
        asked.update(target)
        plan.boot_asked = target
        boot_plan = plan_boot(host_state, request, plan.policy.keys, target)
        _take_boot_plan(plan, boot_plan)
        files, settled = boot_plan.record_meanwhile, boot_plan.record
    target = plan.policy.runtime_target(host_state, request) if request.runtime else {}
    asked.update(target)
    _take_runtime(plan, target)
    values = revert.values_after_present(plan, target)
    plan.record_meanwhile = saved_values.Record(values, files)
    plan.record_after = saved_values.Record(revert.without_earlier(values, target), settled)
    return asked


def _plan_absent(plan: Plan) -> Dict[str, int]:
    """Plan to revert what is recorded. Returns no requested values."""
    # Needed with persistent=false too: sysctls can be reverted to the boot value without our lines.
    boot_plan = plan_boot(plan.host_state, plan.request, plan.policy.keys, {})
    reverted = revert.revert_runtime(plan, boot_plan)
    plan.managed = reverted.managed or bool(boot_plan.files)
    files = plan.host_state.record.files
    if plan.request.persistent:
        _take_boot_plan(plan, boot_plan)
        files = boot_plan.record
    if plan.request.runtime:
        plan.warnings += reverted.warnings
        _take_runtime(plan, reverted.target)
    plan.record_after = saved_values.Record(reverted.values, files)
    return {}


def _take_runtime(plan: Plan, target: Dict[str, int]) -> None:
    _check_known(plan.host_state, target)
    plan.runtime_after.update((key, value) for key, value in target.items() if plan.runtime_before[key] is not None)
    plan.writes = plan.policy.order(writes_between(plan.runtime_before, plan.runtime_after),
                                    plan.runtime_before, plan.runtime_after, plan.host_state)


def look_and_plan(host: Host, request: Request, policy: Policy, unconfirmed: Optional[Unconfirmed] = None) -> Plan:
    """The plan for the present host state, for L(Host.call). Raises Refusal and OSError."""
    return make_plan(HostState(host, unconfirmed), request, policy)


def values_after_boot(host_state: HostState, request: Request) -> sysctls.State:
    """The values of the sysctls after the next boot, for L(Host.call). Raises OSError."""
    return host_state.boot(request).values


def _plan_leftovers(host_state: HostState, request: Request) -> List[str]:
    """Leftovers of killed runs, next to our file and next to the other files that the boot reads."""
    host = host_state.host
    paths = [request.sysctl_file] + conf_files.list_files(host, host_state.loader)
    folders = {os.path.dirname(host.real(path)) for path in paths}
    etc = [folder for folder in sorted(folders) if folder == '/etc' or folder.startswith('/etc/')]
    own = os.path.dirname(host.real(request.sysctl_file))
    found = [path for folder in sorted(set(etc + [own])) for path in leftovers.list_files(host, folder)]
    return found + leftovers.list_with_folder(host, saved_values.FOLDER)


def _said(asked: Dict[str, int]) -> Dict[str, int]:
    """The requested values, without the 0 that a ratio or kbytes has because the other one counts."""
    return {key: value for key, value in asked.items()
                if value or not asked.get(sysctls.SYSCTLS[key].counterpart or key)}


def _take_boot_plan(plan: Plan, boot_plan: BootPlan) -> None:
    plan.files = boot_plan.files
    plan.commented_out = boot_plan.commented_out
    plan.conflicts = boot_plan.conflicts
    plan.warnings += boot_plan.warnings
    plan.boot_after = {key: boot_plan.outcome.values.get(key) for key in plan.policy.keys}


# --------------------------------------------------------------------- runtime

def writes_between(before: sysctls.State, after: sysctls.State) -> List[Write]:
    """The writes that lead from one state to the other. A pair needs one write: it sets the other one to 0."""
    pair = (sysctls.RATIO, sysctls.KBYTES)
    writes = [(key, int(after[key] or 0)) for key in before
              if key not in pair and after[key] is not None and after[key] != before[key]]
    if any(key in before and (before[key] or 0) != (after[key] or 0) for key in pair):
        kbytes = after[sysctls.KBYTES] or 0
        # Writing the ratio, 0 too, is what sets kbytes to 0.
        writes.append((sysctls.KBYTES, kbytes) if kbytes else (sysctls.RATIO, int(after[sysctls.RATIO] or 0)))
    return writes


def _check_known(host_state: HostState, target: Dict[str, int]) -> None:
    for key, value in sorted(target.items()):
        # A counterpart that the kernel lacks (kbytes before 3.14) counts as 0.
        if host_state.runtime.get(key) is None and not (value == 0 and sysctls.SYSCTLS[key].counterpart):
            raise Refusal(f'{key} was to be set to {value}, but this kernel shows no {sysctl_path(key)}. Use runtime: '
                          'false to write the boot configuration only.')
