# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to a plan: everything a run would do, decided once, before anything is touched.

Check mode and diff show the plan, the real run carries it out (_apply). The two modules differ only in their
L(Policy): which keys they own, what the options ask of them, in which order to write, and what is too dangerous.
"""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.oomkit.linux.plugins.module_utils import (
    _boot,
    _boot_facts,
    _conf_files,
    _enforcers,
    _knobs,
    _litter,
    _originals,
    _revert,
    _sysctl_file,
    _sysctl_loader,
    _trust,
)
from ansible_collections.oomkit.linux.plugins.module_utils._boot_plan import BootPlan, plan_boot
from ansible_collections.oomkit.linux.plugins.module_utils._container import container
from ansible_collections.oomkit.linux.plugins.module_utils._environment import is_chroot
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host, sysctl_path, to_text
from ansible_collections.oomkit.linux.plugins.module_utils._meminfo import read_memory
from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._writable import check_place, check_writable

# The options that all modules of the action group share.
Request = NamedTuple('Request', [
    ('absent', bool),
    ('runtime', bool),
    ('persistent', bool),
    ('sysctl_file', str),
    ('conflicts', str),
    ('force', bool),
    ('check_mode', bool),
])

Write = Tuple[str, int]
# By key, the value before and after a change at runtime; ratio and kbytes as a pair.
Unconfirmed = Dict[str, Tuple[Optional[int], Optional[int]]]


class Situation(object):
    """The machine as it was found."""

    def __init__(self, host: Host, unconfirmed: Optional[Unconfirmed] = None) -> None:
        """``unconfirmed`` are the sysctls of a change at runtime that was never confirmed.

        They are reverted as if they had been recorded.
        """
        self.host = host
        self.page_kb = os.sysconf('SC_PAGE_SIZE') // 1024
        self.loader = _sysctl_loader.find_loader(host)
        self.memory = read_memory(host)
        # One that cannot be read is none that this kernel lacks: what to go back to would not be known.
        self.runtime = dict((key, _boot_facts.runtime_value(host, key)) for key in _knobs.ALL_KEYS)
        self.originals_data = _originals.read(host)
        self.record = _originals.parse(self.originals_data)
        self.unconfirmed = unconfirmed or {}
        self.boot_defaults = dict(
            ((key, before) for key, (before, _after) in self.unconfirmed.items()
             if key in (_knobs.ADMIN_RESERVE, _knobs.USER_RESERVE) and before is not None),
            **_originals.boot_defaults(self.record))
        self.container = container(host)
        # Where an image is made, the kernel and the memory seen here are not those of the machine that boots it.
        self.foreign_kernel = bool(self.container) or is_chroot(host)

    def is_for_another(self, request: Request) -> bool:
        """Whether an image is made here: another machine boots what is written, and this one's run time stays."""
        return self.foreign_kernel and not request.runtime

    def boot(self, request: Request, overlay: Optional[_conf_files.Overlay] = None) -> _boot.Outcome:
        """The next boot of the machine that the request is for, with the files as they are, or as the overlay has them.

        Of another machine neither the kernel command line nor the values from before the first change are known.
        """
        here = not self.is_for_another(request)
        return _boot.simulate(self.host, self.loader, self.boot_defaults if here else None, overlay, here)


class Policy(object):
    """What one module adds to the shared flow. All answers are pure."""

    keys = ()  # type: Tuple[str, ...]
    wish: Any = None  # the options as a NamedTuple, converted

    def runtime_target(self, situation: Situation, request: Request) -> Dict[str, int]:
        """The values wanted at run time; ratio and kbytes always as a pair."""
        raise NotImplementedError

    def boot_target(self, situation: Situation, request: Request) -> Dict[str, int]:
        """The values wanted after the next boot; ratio and kbytes always as a pair."""
        raise NotImplementedError

    def order(self, writes: List[Write], before: _knobs.State, after: _knobs.State,
              situation: Situation) -> List[Write]:
        """The writes in an order in which no moment in between is worse than both ends."""
        raise NotImplementedError

    def guard(self, plan: 'Plan') -> None:
        """Raise Refusal for a plan that could lock people out; add warnings to the plan."""
        raise NotImplementedError


class Plan(object):
    """What a run would do. ``files`` maps real paths to (content before, content after), None for no file."""

    def __init__(self, situation: Situation, request: Request, policy: Policy) -> None:
        self.situation = situation
        self.request = request
        self.policy = policy
        self.warnings = []  # type: List[str]
        self.conflicts = []  # type: List[Dict[str, Any]]
        self.files = {}  # type: Dict[str, Tuple[Optional[bytes], Optional[bytes]]]
        self.taken_over = []  # type: List[str]
        self.litter = []  # type: List[str]
        self.managed = True  # whether anything of this module is there to be reverted
        self.record_meanwhile = situation.record  # while the run is under way, which may be killed
        self.record_after = situation.record
        self.runtime_before = dict((key, situation.runtime.get(key)) for key in policy.keys)
        self.runtime_after = dict(self.runtime_before)
        self.runtime_back = self.runtime_before  # what a failure goes back to
        self.boot = situation.boot(request)
        self.boot_before = dict((key, self.boot.values.get(key)) for key in policy.keys)
        self.boot_after = dict(self.boot_before)
        self.boot_asked = {}  # type: Dict[str, int]
        self.writes = []  # type: List[Write]

    @property
    def changed(self) -> bool:
        """Whether the real run would touch anything that the user configures."""
        return bool(self.writes or self.files)

    @property
    def to_do(self) -> bool:
        """Whether the real run has anything to write, our own record included."""
        return self.changed or self.record_changes or bool(self.litter)

    @property
    def record_changes(self) -> bool:
        """Whether the values to go back to are recorded, or no longer needed."""
        return self.record_after != self.situation.record

    def boot_to_guard(self) -> _knobs.State:
        """The values after the boot; those that were asked for where the boot is not predicted."""
        return self.boot_after if self.situation.loader.is_known else dict(self.boot_after, **self.boot_asked)

    def changed_keys(self) -> List[str]:
        """The sysctls whose value or line the plan changes, at run time or for the boot."""
        return [key for key in self.policy.keys
                if self.runtime_before[key] != self.runtime_after[key]
                or self.boot_before[key] != self.boot_after[key]
                or any(_lines_for(key, before) != _lines_for(key, after) for before, after in self.files.values())]

    def written_keys(self) -> List[str]:
        """The sysctls that the plan writes, or that its undo would, in the order of the policy."""
        written = set(key for key, _value in self.writes + (self.writes_back() if self.writes else []))
        return [key for key in self.policy.keys if key in written]

    def writes_back(self) -> List[Write]:
        """The writes that undo L(writes), in a safe order."""
        back = writes_between(self.runtime_after, self.runtime_back)
        return self.policy.order(back, self.runtime_after, self.runtime_back, self.situation)


def _lines_for(key: str, data: Optional[bytes]) -> List[str]:
    lines = _conf_files.split_lines(to_text(data or b''))
    return [line for line in lines if (_sysctl_file.line_setting(line) or ('', ''))[0] == key]


def make_plan(situation: Situation, request: Request, policy: Policy) -> Plan:
    """Decide everything. Raises Refusal, with a message that says what was asked, what was found and what to do."""
    plan = Plan(situation, request, policy)
    if _originals.is_damaged(situation.originals_data):
        plan.warnings.append(_DAMAGED % _originals.FILE)
    if request.runtime:
        check_place(situation.host, policy.keys, situation.container, request.force)
    asked = _plan_absent(plan) if request.absent else _plan_present(plan)
    check_writable(situation.host, plan.written_keys(), request.check_mode)
    plan.litter = _plan_litter(situation, request)
    _trust.check(situation.host, plan.files)
    policy.guard(plan)
    if asked:
        overlay = dict((path, after) for path, (_before, after) in plan.files.items())
        found = _enforcers.enforced(situation.host, overlay=overlay)
        plan.warnings += _enforcers.contradictions(found, _said(asked), request.persistent)
    return plan


_DAMAGED = ('%s is damaged: what it does not tell counts as never recorded, so values from before the first change may '
            'be lost. Compare the sysctls with what this host should have, then remove that file')


def _plan_present(plan: Plan) -> Dict[str, int]:
    """Plan what the options ask for; the values that are asked for."""
    situation, request = plan.situation, plan.request
    asked = {}  # type: Dict[str, int]
    files = settled = situation.record.files
    if request.persistent:
        target = plan.policy.boot_target(situation, request)
        asked.update(target)
        plan.boot_asked = target
        boot_plan = plan_boot(situation, request, plan.policy.keys, target)
        _take_boot_plan(plan, boot_plan)
        files, settled = boot_plan.record_meanwhile, boot_plan.record
    target = plan.policy.runtime_target(situation, request) if request.runtime else {}
    asked.update(target)
    _take_runtime(plan, target)
    values = _revert.values_after_present(plan, target)
    plan.record_meanwhile = _originals.Record(values, files)
    plan.record_after = _originals.Record(_revert.without_earlier(values, target), settled)
    return asked


def _plan_absent(plan: Plan) -> Dict[str, int]:
    """Plan to revert what is recorded; nothing is asked for."""
    # For the runtime too: what the boot would give without our lines.
    boot_plan = plan_boot(plan.situation, plan.request, plan.policy.keys, {})
    reverted = _revert.revert_runtime(plan, boot_plan)
    plan.managed = reverted.managed or bool(boot_plan.files)
    files = plan.situation.record.files
    if plan.request.persistent:
        _take_boot_plan(plan, boot_plan)
        files = boot_plan.record
    if plan.request.runtime:
        plan.warnings += reverted.warnings
        _take_runtime(plan, reverted.target)
    plan.record_after = _originals.Record(reverted.values, files)
    return {}


def _take_runtime(plan: Plan, target: Dict[str, int]) -> None:
    _check_known(plan.situation, target)
    plan.runtime_after.update((key, value) for key, value in target.items() if plan.runtime_before[key] is not None)
    plan.writes = plan.policy.order(writes_between(plan.runtime_before, plan.runtime_after),
                                    plan.runtime_before, plan.runtime_after, plan.situation)


def look_and_plan(host: Host, request: Request, policy: Policy, unconfirmed: Optional[Unconfirmed] = None) -> Plan:
    """The plan for this machine as it is now, for L(Host.call). Raises Refusal and OSError."""
    return make_plan(Situation(host, unconfirmed), request, policy)


def values_after_boot(situation: Situation, request: Request) -> _knobs.State:
    """The sysctls that the files give at the next boot, for L(Host.call). Raises OSError."""
    return situation.boot(request).values


def _plan_litter(situation: Situation, request: Request) -> List[str]:
    """What a killed run has left beside our file, or beside another one of the boot that it was to change."""
    host = situation.host
    paths = [request.sysctl_file] + _conf_files.list_files(host, situation.loader)
    folders = set(os.path.dirname(host.real(path)) for path in paths)
    etc = [folder for folder in sorted(folders) if folder == '/etc' or folder.startswith('/etc/')]
    own = os.path.dirname(host.real(request.sysctl_file))
    found = [path for folder in sorted(set(etc + [own])) for path in _litter.in_folder(host, folder)]
    return found + _litter.of_folder(host, _originals.FOLDER)


def _said(asked: Dict[str, int]) -> Dict[str, int]:
    """What was asked for, without the 0 of a ratio or kbytes that only says that the other one counts."""
    return dict((key, value) for key, value in asked.items()
                if value or not asked.get(_knobs.KNOBS[key].twin or key))


def _take_boot_plan(plan: Plan, boot_plan: BootPlan) -> None:
    plan.files = boot_plan.files
    plan.taken_over = boot_plan.taken_over
    plan.conflicts = boot_plan.conflicts
    plan.warnings += boot_plan.warnings
    plan.boot_after = dict((key, boot_plan.outcome.values.get(key)) for key in plan.policy.keys)


# --------------------------------------------------------------------- run time

def writes_between(before: _knobs.State, after: _knobs.State) -> List[Write]:
    """The writes that lead from one state to the other; one of ratio and kbytes stands for both."""
    pair = (_knobs.RATIO, _knobs.KBYTES)
    writes = [(key, int(after[key] or 0)) for key in before
              if key not in pair and after[key] is not None and after[key] != before[key]]
    if any(key in before and (before[key] or 0) != (after[key] or 0) for key in pair):
        kbytes = after[_knobs.KBYTES] or 0
        # Writing the ratio, 0 too, is what sets kbytes to 0.
        writes.append((_knobs.KBYTES, kbytes) if kbytes else (_knobs.RATIO, int(after[_knobs.RATIO] or 0)))
    return writes


def _check_known(situation: Situation, target: Dict[str, int]) -> None:
    for key, value in sorted(target.items()):
        # A twin that the kernel lacks (kbytes before 3.14) is as good as 0.
        if situation.runtime.get(key) is None and not (value == 0 and _knobs.KNOBS[key].twin):
            raise Refusal('%s was to be set to %d, but this kernel shows no %s. Use runtime: false to write the boot '
                          'configuration only.' % (key, value, sysctl_path(key)))
