# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of inits other than systemd: found by their PID file or name, and set live only.

Sources: openrc-run(8) and /run/openrc/daemons, start-stop-daemon(8), runsv(8) (supervise/pid), the Linux Standard
Base (/run/NAME.pid).
"""

import re
from typing import Any, Dict, List

from ansible_collections.oomkit.linux.plugins.module_utils import _unit_files, _unit_names
from ansible_collections.oomkit.linux.plugins.module_utils._convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._groups import Group
from ansible_collections.oomkit.linux.plugins.module_utils._held import Held, ancestors
from ansible_collections.oomkit.linux.plugins.module_utils._host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._live import Given, Target
from ansible_collections.oomkit.linux.plugins.module_utils._refusal import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._services import Running, Service, Wish

_SCRIPTS = ('/etc/init.d/%s', '/etc/sv/%s', '/etc/service/%s', '/var/service/%s', '/etc/s6/sv/%s')
_PID_FILES = ('/run/%s.pid', '/run/%s/%s.pid', '/run/%sd.pid', '/run/%s/pid')
_SUPERVISED = ('/etc/service/%s/supervise/pid', '/var/service/%s/supervise/pid', '/run/service/%s/supervise/pid')
_DAEMONS = '/run/openrc/daemons'


class TreeGroup(Group):
    """A process and all that descends from it."""

    def __init__(self, host: Host, top_pid: int) -> None:
        self.host, self.top_pid = host, top_pid

    def pids(self) -> List[int]:
        """See Group."""
        children: Dict[int, List[int]] = {}
        for name in self.host.names('/proc'):
            if name.isdigit():
                with Held(self.host, int(name)) as held:
                    seen = held.look()
                if seen is not None:
                    children.setdefault(seen.parent, []).append(seen.pid)
        found, todo = [], [self.top_pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return sorted(set(found))

    def holds(self, held: Held) -> bool:
        """See Group."""
        seen = held.look()
        return seen is not None and (held.pid == self.top_pid or self.top_pid in ancestors(self.host, seen.parent))


def plan_services(plan: Any, wishes: List[Wish]) -> List[Wish]:
    """Fill the plan with what runs; the wishes whose service is not there. Raises ConvertError and Refusal."""
    situation, missing = plan.situation, []
    seen = set()
    for wish in wishes:
        name = wish.unit[:-len(_unit_names.SERVICE)]
        if name in seen:
            raise ConvertError('%s is named twice; name it once' % name)
        seen.add(name)
        if wish.oom_policy is not None:
            raise Refusal('%s: oom_policy is a setting of systemd, and the init here is %s. Leave it out.'
                          % (name, situation.init))
        pid = main_pid(situation.host, name)
        if not pid and not any(situation.host.exists(path % name) for path in _SCRIPTS):
            missing.append(wish)
        else:
            plan.services.append(_service(plan, wish, name, pid))
    if plan.request.exclusive:
        for name in sorted(set(situation.record.originals) - seen):
            wish = Wish(name, name + _unit_names.SERVICE, None, None, None)
            plan.services.append(_service(plan, wish, name, main_pid(situation.host, name), listed=False))
    _plan_record(plan)
    return missing


def _service(plan: Any, wish: Wish, name: str, pid: int, listed: bool = True) -> Service:
    unit = _unit_files.Unit(wish.unit, _unit_files.LOADED, None)
    service = Service(wish, unit, plan.request.absent or not listed, listed)
    originals = plan.situation.record.originals
    service.owned = name in originals
    if not pid:
        service.notes.append('%s does not run, and with this init (%s) only running processes can be set'
                             % (name, plan.situation.init))
        return service
    group = TreeGroup(plan.situation.host, pid)
    one = Running(wish.unit, group, group.look(plan.situation.host), pid, {})
    if not one.processes:
        return service
    service.running = [one]
    wanted = originals.get(name) if service.remove else wish.score_adj
    if wanted is not None:
        given = (Given(one.leader().score_adj, None),) + plan.situation.record.units.get(wish.unit, ())
        one.target = Target(name, group, wanted, plan.request.scope, given, pid)
        one.to_change = one.target.to_change(one.processes)
        one.left_alone = one.target.left_alone(one.processes)
        one.after = wanted if one.leader() in one.to_change else one.before
    if not service.remove:
        plan.warnings.append('%s: only its running processes are set; its next start will lose it, because the init '
                             'here is %s. %s' % (name, plan.situation.init, _advice(plan.situation.init, wanted)))
    return service


def _advice(init: str, wanted: Any) -> str:
    if init == 'openrc':
        return 'export SSD_OOM_SCORE_ADJ=%s in its file below /etc/conf.d keeps it (OpenRC 0.45 or newer)' % wanted
    return 'Starting it by "choom -n %s -- COMMAND" keeps it' % wanted


def _plan_record(plan: Any) -> None:
    """Remember the value from before our first change, for state absent."""
    record = plan.situation.record
    originals, units = dict(record.originals), dict(record.units)
    for service in plan.services:
        units.pop(service.name, None)  # what a run left that was killed in the middle of it
        name = service.name[:-len(_unit_names.SERVICE)]
        if service.remove:
            originals.pop(name, None)
        elif service.running and service.running[0].before is not None:
            originals.setdefault(name, service.running[0].before)
    plan.record_after = record._replace(originals=originals, units=units)


def main_pid(host: Host, name: str) -> int:
    """The main process of a service, from what its supervisor or the service itself has written down; 0 for none."""
    paths = [path.replace('%s', name) for path in _SUPERVISED] + _openrc_pid_files(host, name)
    paths += [path.replace('%s', name) for path in _PID_FILES]
    for path in paths:
        text = (host.read_text(path) or '').strip()
        if re.match(r'[0-9]{1,10}\Z', text) and host.exists('/proc/%s/stat' % text):
            return int(text)
    return _by_name(host, name)


def _openrc_pid_files(host: Host, name: str) -> List[str]:
    folder = '%s/%s' % (_DAEMONS, name)
    texts = [host.read_text(folder + '/' + entry) or '' for entry in host.names(folder)]
    return [match for text in texts for match in re.findall(r'^pidfile=(/.+)$', text, re.MULTILINE)]


def _by_name(host: Host, name: str) -> int:
    """The process of that name whose parent has another name; 0 unless there is exactly one."""
    named = {}
    for entry in host.names('/proc'):
        if entry.isdigit():
            with Held(host, int(entry)) as held:
                seen = held.look()
            if seen is not None and seen.name == name.encode('utf-8', 'surrogateescape')[:15]:
                named[seen.pid] = seen.parent
    tops = [pid for pid, parent in named.items() if parent not in named]
    return tops[0] if len(tops) == 1 else 0
