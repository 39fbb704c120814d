# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data of services: the desired state, the host state, and the plan with units and running processes."""

from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from .._core.request import Request
from .._host.environment import find_init
from .._host.host import Host
from .._process.groups import Group
from .._process.handle import ProcessIdentity
from .._process.inheritance import Skipped
from .._process.score_adj import Given, Target
from .._systemd import drop_in, unit_files, unit_names
from .._systemd.manager import Manager, State
from .._systemd.unit_files import Cause, Unit
from . import saved_scores


class DesiredState(NamedTuple):
    asked: str  # as the user wrote it
    unit: str  # with its suffix; perhaps an alias
    score_adj: Optional[int]
    oom_policy: Optional[str]
    missing: Optional[str]  # what to do if it does not exist; None: as in the request


Causes = Dict[str, Cause]


class OomGroup(NamedTuple):
    path: str
    before: int
    after: int
    original: Optional[int]  # the value to revert to; None: as in the files


class Running:
    """A unit with running processes, and the plan for them."""

    def __init__(self, unit: str, group: Group, processes: List[ProcessIdentity], main_pid: int, state: State) -> None:
        self.unit, self.group, self.processes, self.main_pid, self.state = unit, group, processes, main_pid, state
        self.targets: List[Target] = []
        self.goals: Dict[int, int] = {}  # new values by PID
        self.ours: Tuple[int, ...] = ()  # values that we set here
        self.is_reverted = False  # whether all our values on its processes are reverted
        self.known_values: List[Given] = []  # values without a recorded original
        self.skipped: List[Skipped] = []
        self.oom_group: Optional[OomGroup] = None
        self.next_start_before: Causes = {}
        self.next_start: Causes = {}
        self.has_own_drop_in = False  # an instance with our own drop-in, planned with its template

    def set_target(self, target: Target) -> None:
        """Plan the target's value for all its processes."""
        self.targets = [target]
        self.goals = {one.pid: target.wanted for one in target.find_to_change(self.processes)}
        self.skipped = target.find_skipped(self.processes)

    @property
    def to_change(self) -> List[ProcessIdentity]:
        """The processes that get another value."""
        return [one for one in self.processes if one.pid in self.goals]

    @property
    def before(self) -> Optional[int]:
        """The value of the main process; None without processes."""
        return self.find_leader().score_adj if self.processes else None

    @property
    def after(self) -> Optional[int]:
        """The planned value of the main process; None without processes."""
        return self.goals.get(self.find_leader().pid, self.before) if self.processes else None

    def list_to_record(self, wanted: int) -> List[ProcessIdentity]:
        """List processes whose present value may be an original: those to set, and those with the value already."""
        return [one for one in self.processes if one.pid in self.goals or one.score_adj == wanted]

    def list_ours_left(self, wanted: Optional[int]) -> List[int]:
        """List our other values that its processes keep."""
        left = {process.score_adj for process in self.processes if process.pid not in self.goals}
        return [value for value in self.ours if value in left and value != wanted]

    def find_leader(self) -> ProcessIdentity:
        """Find the main process, or the oldest one if it is not among them. Its value stands for the unit's."""
        return min(self.processes, key=lambda one: (one.pid != self.main_pid, one.start_ticks, one.pid))


class Service:
    """One service of the plan."""

    def __init__(self, desired: DesiredState, unit: Unit, is_reverted: bool) -> None:
        self.desired, self.unit, self.is_reverted = desired, unit, is_reverted
        self.is_transient = False
        self.listed_separately: Set[str] = set()  # instances requested by their own names
        self.is_owned = False  # whether we have anything to revert
        self.running: List[Running] = []
        self.related: List[str] = []
        self.unread: List[int] = []  # processes that could not be read
        self.states: List[State] = []
        self.next_start_before: Causes = {}
        self.next_start: Causes = {}
        self.restart_needed = False
        self.notes: List[str] = []

    @property
    def name(self) -> str:
        """The real name of the unit."""
        return self.unit.name

    @property
    def short_name(self) -> str:
        """The name without its suffix, as inits other than systemd use it."""
        return self.name[:-len(unit_names.SERVICE)]

    @property
    def hides_policy(self) -> bool:
        """Whether a policy changes only because our drop-in hides the template's."""
        return not self.is_reverted and self.desired.oom_policy is None

    def build_settings(self) -> Dict[str, Any]:
        """The requested settings of the unit file."""
        pairs = ((unit_files.SCORE_ADJ, self.desired.score_adj), (unit_files.OOM_POLICY, self.desired.oom_policy))
        return {} if self.is_reverted else {key: value for key, value in pairs if value is not None}


class HostState:
    """The host state before the run. ``manager`` is None without systemd."""

    def __init__(self, host: Host, manager: Optional[Manager] = None) -> None:
        self.host = host
        self.init = find_init(host)
        self.manager = manager if self.init == 'systemd' else None
        self.files = unit_files.UnitFiles(host)
        self.default = self.files.find_default_score_adj()
        self.ours = drop_in.read_all_ours(host)
        self.record_data = saved_scores.read(host)
        self.record = saved_scores.parse(self.record_data)

    def is_other_init(self, request: Request) -> bool:
        """Whether the request is for services of another init: their processes, and with OpenRC its files."""
        return self.manager is None and (request.runtime or self.init == 'openrc')

    def has_unit_files(self) -> bool:
        """Whether this is a host with systemd, or its image."""
        return any(self.host.exists(folder) for folder in ('/usr/lib/systemd/system', '/lib/systemd/system'))

    def find_score_at_start(self, causes: Causes) -> int:
        """Find the oom_score_adj of a start with these settings."""
        value = causes[unit_files.SCORE_ADJ].value
        return int(self.default.value if value is None else value)


class Plan:
    """The changes of a run to services. A forecast plans only running processes."""

    def __init__(self, host_state: HostState, request: Request) -> None:
        self.host_state = host_state
        self.request = request
        self.services: List[Service] = []
        self.other_processes: List[Running] = []  # those of no service
        self.warnings: List[str] = []
        self.record_after = host_state.record
        self.files: Dict[str, Tuple[Optional[bytes], Optional[bytes]]] = {}  # by path, before and after; None: no file
        self.commented_out: List[str] = []
        self.conflicts: List[Dict[str, Any]] = []
        self.orphans: List[str] = []
        self.leftovers: List[str] = []
        self.needs_reload = False
        self.is_stale = False  # whether systemd has not read changed files yet

    @property
    def running(self) -> List[Running]:
        """All running units of the plan."""
        return [one for service in self.services for one in service.running] + self.other_processes

    @property
    def targets(self) -> List[Target]:
        """The groups of processes that are to be set."""
        return [target for one in self.running for target in one.targets]

    @property
    def score_adj(self) -> Dict[int, int]:
        """oom_score_adj by PID, of the running processes that the plan would set."""
        return {pid: value for one in self.running for pid, value in one.goals.items()}

    @property
    def has_changes(self) -> bool:
        """Whether the run changes anything that the user sees."""
        return bool(self.files or self.is_stale or any(one.goals or one.oom_group for one in self.running))

    @property
    def is_managed(self) -> bool:
        """Whether this collection has set anything that the plan covers, as far as recorded."""
        return self.has_changes or bool(self.other_processes) or any(one.is_owned for one in self.services)

    @property
    def has_work(self) -> bool:
        """Whether the run writes anything, our record included."""
        return self.has_changes or self.record_after != self.host_state.record or bool(self.leftovers)
