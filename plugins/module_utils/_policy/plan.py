# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run. Check mode and diff show it, and L(apply) executes it.

The modules differ only in their L(Policy): the requested values, the order of writes, and the refusals.
"""

from typing import Any, Dict, List, Optional, Tuple, Type

from .._core.convert import to_choice, to_integer
from .._core.request import Request
from .._core.text import to_text
from .._host.conf_files import split_lines
from .._host.transaction import Rollback
from .._kernel.sysctls import KBYTES, RATIO, State, Sysctl
from .._sysctl.file_edit import line_setting
from .._sysctl.records import SYSCTLS, list_sysctls
from .._sysctl.state import HostState

Write = Tuple[str, int]
# A pair (ratio, kbytes), one of which is 0.
Pair = Tuple[int, int]
# Fits in the kernel's unsigned long, and is more than any host has.
GREATEST_KB = 2 ** 63 - 1


class Policy:
    """What one module adds to the shared flow. All methods are pure.

    The first sysctl of a module is its mode; the others depend on it.
    """

    module = ''
    other_options: Tuple[str, ...] = ()  # further options that say what to set

    def __init__(self, desired: Dict[str, int]) -> None:
        """``desired`` are the requested values by key."""
        self.desired = desired
        self.keys = tuple(sysctl.key for sysctl in list_sysctls(self.module))

    @classmethod
    def parse(cls, params: Dict[str, Any]) -> 'Policy':
        """Convert the module's options. Raises ConvertError."""
        return cls(parse_values(cls.module, params))

    @classmethod
    def list_options(cls) -> List[str]:
        """The options that say what to set."""
        return [sysctl.option for sysctl in list_sysctls(cls.module)] + list(cls.other_options)

    def describe_desired(self) -> Dict[str, Any]:
        """The requested values in JSON types, to compare two calls."""
        return dict(self.desired)

    def runtime_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """The requested values at runtime; ratio and kbytes always as a pair."""
        return self._target(host_state.runtime)

    def boot_target(self, host_state: HostState, request: Request) -> Dict[str, int]:
        """The requested values after the next boot; ratio and kbytes always as a pair."""
        return self._target(host_state.boot(request).values)

    def _target(self, found: State) -> Dict[str, int]:
        """The requested values. A switch that is on with another number than 1 keeps it."""
        return {key: (SYSCTLS[key].is_switch and value and found.get(key)) or value
                for key, value in self.desired.items()}

    def order(self, writes: List[Write], before: State, after: State, host_state: HostState) -> List[Write]:
        """Order the writes so that no state in between is more dangerous than before and after."""
        mode = [write for write in writes if write[0] == self.keys[0]]
        rest = [write for write in writes if write[0] != self.keys[0]]
        return rest + mode if self.is_strict(after) else mode + rest

    def is_strict(self, state: State) -> bool:
        """Whether the mode of this state makes the other sysctls dangerous."""
        raise NotImplementedError

    def tightens(self, plan: 'Plan') -> bool:
        """Whether the change at runtime can keep a program from starting that could start before."""
        return False

    def guard(self, plan: 'Plan') -> None:
        """Raise Refusal for a dangerous plan, and add warnings to it."""
        raise NotImplementedError


class Part:
    """Changes in the same transaction as those of the sysctls. This one has none."""

    errors: Tuple[Type[Exception], ...] = ()  # expected while it is applied
    sets_something = False  # whether it is requested at all
    has_work = False  # whether it writes anything, our record included

    def describe(self) -> Any:
        """The request in JSON types, to compare two calls."""
        return None

    def plan(self, runtime_after: State) -> None:
        """Plan it for the sysctls as they will be at runtime. Raises Refusal."""

    def apply(self, rollback: Rollback) -> None:
        """Carry it out."""


def parse_values(module: str, params: Dict[str, Any]) -> Dict[str, int]:
    """The converted options of a module's sysctls, by key. Raises ConvertError."""
    return {sysctl.key: _convert(sysctl, params[sysctl.option]) for sysctl in list_sysctls(module)
            if params[sysctl.option] is not None}


def _convert(sysctl: Sysctl, value: Any) -> int:
    if sysctl.is_switch:
        return int(value)
    if sysctl.names:
        return to_choice(sysctl.option, value, sysctl.names)
    return to_integer(sysctl.option, value, sysctl.least, min(sysctl.maximum, GREATEST_KB))


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

    def boot_to_guard(self) -> State:
        """The values after the boot; the requested ones if the boot cannot be predicted."""
        return self.boot_after if self.host_state.loader.is_known else dict(self.boot_after, **self.boot_asked)

    def changed_keys(self) -> List[str]:
        """The sysctls whose value or line the plan changes, at runtime or at boot."""
        return [key for key in self.policy.keys
                if self.runtime_before[key] != self.runtime_after[key]
                or self.boot_before[key] != self.boot_after[key]
                or any(_lines_for(key, before) != _lines_for(key, after) for before, after in self.files.values())]

    def written_keys(self) -> List[str]:
        """The sysctls that the plan or its rollback writes, in the order of the policy."""
        written = {key for key, _value in self.writes + (self.list_rollback_writes() if self.writes else [])}
        return [key for key in self.policy.keys if key in written]

    def list_rollback_writes(self) -> List[Write]:
        """The writes that roll L(writes) back, in a safe order."""
        back = writes_between(self.runtime_after, self.runtime_back)
        return self.policy.order(back, self.runtime_after, self.runtime_back, self.host_state)


def _lines_for(key: str, data: Optional[bytes]) -> List[str]:
    lines = split_lines(to_text(data or b''))
    return [line for line in lines if (line_setting(line) or ('', ''))[0] == key]


def writes_between(before: State, after: State) -> List[Write]:
    """The writes that lead from one state to the other. A pair needs one write: it sets the counterpart to 0."""
    changed = [(key, after[key]) for key in before if after[key] != before[key] and not SYSCTLS[key].counterpart]
    writes = [(key, value) for key, value in changed if value is not None]
    if get_limit_pair(before) != get_limit_pair(after):
        ratio, kbytes = get_limit_pair(after)
        # Only a write to the ratio, even of 0, sets kbytes to 0.
        writes.append((KBYTES, kbytes) if kbytes else (RATIO, ratio))
    return writes


def get_limit_pair(state: State) -> Pair:
    """The pair of a state; 0 for a value that is unknown."""
    return state.get(RATIO) or 0, state.get(KBYTES) or 0
