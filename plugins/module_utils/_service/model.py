# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of services, and the machine as it was found: units, drop-ins, running instances."""

from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

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
    unit: str  # with its suffix; an alias perhaps
    score_adj: Optional[int]
    oom_policy: Optional[str]
    missing: Optional[str]  # what to do when it is not there; None for what the request says


class Request(NamedTuple):
    absent: bool
    runtime: bool
    persistent: bool
    scope: str
    missing: str
    exclusive: bool
    conflicts: str
    force: bool
    check_mode: bool


Causes = Dict[str, Cause]


class Running:
    """A unit that has processes now, and what is to become of them."""

    def __init__(self, unit: str, group: Group, processes: List[ProcessIdentity], main_pid: int, state: State) -> None:
        self.unit, self.group, self.processes, self.main_pid, self.state = unit, group, processes, main_pid, state
        self.targets: List[Target] = []
        self.to_change: List[ProcessIdentity] = []
        self.goals: Dict[int, int] = {}  # by PID, what those get
        self.ours: Tuple[int, ...] = ()  # the values that we have set here
        self.is_reverted = False  # whether all of ours that its processes have is reverted
        self.known_values: List[Given] = []  # the values of which no original is recorded
        self.skipped: List[Skipped] = []
        self.oom_group: Optional[OomGroup] = None
        self.next_start_before: Causes = {}
        self.next_start: Causes = {}
        self.is_own = False  # an instance that is seen as one of its template, and has a drop-in of ours for itself
        self.before: Optional[int] = self.leader().score_adj if processes else None
        self.after = self.before

    def aim(self, target: Target) -> None:
        """Decide that all that the target is about get its value."""
        self.targets = [target]
        self.to_change = target.find_to_change(self.processes)
        self.goals = {one.pid: target.wanted for one in self.to_change}
        self.skipped = target.find_skipped(self.processes)
        self.after = self.goals.get(self.leader().pid, self.before)

    def to_record(self, wanted: int) -> List[ProcessIdentity]:
        """The processes whose present value may have to be recorded: that are set, or have the value by themselves."""
        return [one for one in self.processes if one.pid in self.goals or one.score_adj == wanted]

    def ours_left(self, wanted: Optional[int]) -> List[int]:
        """The values of ours besides this one that its processes keep."""
        left = {process.score_adj for process in self.processes if process.pid not in self.goals}
        return [value for value in self.ours if value in left and value != wanted]

    def leader(self) -> ProcessIdentity:
        """The main process, the oldest one where the main one is not among them: its value stands for the unit's."""
        return min(self.processes, key=lambda one: (one.pid != self.main_pid, one.start_ticks, one.pid))


class OomGroup(NamedTuple):
    path: str
    before: int
    after: int
    original: Optional[int]  # what to go back to; None where it is what the files say


class Service:
    """One service of the plan."""

    def __init__(self, desired: DesiredState, unit: Unit, remove: bool, listed: bool = True) -> None:
        self.desired, self.unit, self.remove, self.listed = desired, unit, remove, listed
        self.is_transient = False
        self.listed_separately: Set[str] = set()  # instances of it that are asked for by themselves
        self.is_owned = False  # whether anything of ours is there that can be reverted
        self.running: List[Running] = []
        self.related: List[str] = []
        self.unread: List[int] = []  # processes that could not be looked at
        self.states: List[State] = []
        self.next_start_before: Causes = {}
        self.next_start: Causes = {}
        self.restart_needed = False
        self.notes: List[str] = []

    @property
    def name(self) -> str:
        """The unit's real name."""
        return self.unit.name

    @property
    def gone(self) -> bool:
        """Whether the unit is not there any more, and only something of ours is left of it."""
        return self.unit.state != unit_files.LOADED and self.unit.state != unit_files.MASKED

    @property
    def hides_policy(self) -> bool:
        """Whether a policy changes without being asked for: only where the drop-in of a template is hidden by ours."""
        return not self.remove and self.desired.oom_policy is None

    def wanted(self) -> Dict[str, Any]:
        """The settings of the unit file that are asked for."""
        pairs = ((unit_files.SCORE_ADJ, self.desired.score_adj), (unit_files.OOM_POLICY, self.desired.oom_policy))
        return {} if self.remove else {key: value for key, value in pairs if value is not None}


class HostState:
    """The machine as it was found. ``manager`` is None where no systemd runs."""

    def __init__(self, host: Host, manager: Optional[Manager] = None) -> None:
        self.host = host
        self.init = find_init(host)
        self.manager = manager if self.init == 'systemd' else None
        self.files = unit_files.UnitFiles(host)
        self.default = self.files.default_score_adj()
        self.ours = drop_in.all_ours(host)
        self.record_data = saved_scores.read(host)
        self.record = saved_scores.parse(self.record_data)

    def is_other_init(self, request: Request) -> bool:
        """Whether another init's services are meant: by what runs of them, and for OpenRC by its own files."""
        return self.manager is None and (request.runtime or self.init == 'openrc')

    def has_unit_files(self) -> bool:
        """Whether this is a systemd machine, be it only an image of one."""
        return any(self.host.exists(folder) for folder in ('/usr/lib/systemd/system', '/lib/systemd/system'))


def build_patterns(service: Service, files: unit_files.UnitFiles) -> List[str]:
    """What to ask the manager for: the unit, the instances of a template, and those a unit is the umbrella of."""
    name = service.name
    if unit_names.is_template(name):
        return [unit_names.build_instance(name, '*')]
    template = unit_names.build_template(name)
    if template and files.find(template).state == unit_files.LOADED:
        return [name, unit_names.build_instance(template, '*')]
    return [name]
