#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r'''
module: oom_score_adj
short_description: Set oom_score_adj and OOMPolicy of services and processes
version_added: 0.1.0
description:
  - Sets C(oom_score_adj) of services, on their running processes without a restart, and for every later start by a
    drop-in of the unit.
  - Takes any number of services in one call, with at most one C(systemctl daemon-reload). The whole list is checked
    before anything is changed. If a step fails, everything is rolled back.
  - Skips processes that manage their own value, such as C(sshd), its sessions and the back ends of PostgreSQL
    (see O(scope)).
  - Sets processes that are not services as well (see O(process)).
options:
  name:
    description:
      - The service, as C(systemctl) names it, with or without C(.service). Aliases lead to the real unit.
      - A template (V(postgresql@)) stands for all its instances, an instance (V(postgresql@15-main)) for itself.
      - Slices, sockets, scopes and units of users are refused with the reason.
      - Mutually exclusive with O(services) and O(process).
    type: str
  score_adj:
    description:
      - Added to the badness, in thousandths of RAM and swap, from V(-1000) (never killed) to V(1000).
      - With O(state=present), at least one of this and O(oom_policy) is required for each service.
    type: raw
  oom_policy:
    description:
      - C(OOMPolicy=) of the unit. It says what systemd does when the kernel has killed a process of the unit.
      - V(stop) stops the service, V(continue) lets it go on, V(kill) has the kernel kill its other processes too.
      - On cgroup v2, C(memory.oom.group) of the running unit is set accordingly.
    type: str
    choices: [stop, continue, kill]
  services:
    description:
      - Many services in one call.
      - An instance that is listed with its template inherits the values that it does not set. In a call without the
        template, the drop-in of the instance hides that of the template, and the module warns.
    type: list
    elements: dict
    suboptions:
      name:
        description: The service, see O(name).
        type: str
        required: true
      score_adj:
        description: See O(score_adj).
        type: raw
      oom_policy:
        description: See O(oom_policy).
        type: str
        choices: [stop, continue, kill]
      missing:
        description: What to do if this service does not exist. The default is O(missing).
        type: str
        choices: [fail, warn, ignore]
  process:
    description:
      - Running processes that are not services, selected by exactly one of the suboptions, or by O(process.comm) or
        O(process.cmdline_regex) together with O(process.user). All that match are set, at runtime only.
      - The module itself, its ancestors and kernel threads never match.
      - Any user can choose the name and the arguments of a program. So the module refuses a negative O(score_adj) for a
        process of a user who logs in, unless O(process.user) or O(force=true) asks for it. Users who log in have a
        user ID above 999, except C(nobody) and those of C(DynamicUser=), or the cgroup of a login session.
      - The module refuses -1000 without O(force=true) for a process whose value login sessions inherit, such as sshd.
        It warns of other negative values.
    type: dict
    suboptions:
      pid:
        description: The PID.
        type: raw
      pidfile:
        description: A file that begins with the PID. If a user can write it, the process must belong to that user.
        type: path
      comm:
        description: The name as C(ps -o comm) shows it. The kernel keeps its first 15 bytes.
        type: str
      cmdline_regex:
        description:
          - A Python regular expression to search for in the command line, with blanks between the arguments.
          - Only the first 4096 bytes of the command line are searched. The expression has at most 1024 bytes.
        type: str
      user:
        description: The real and the effective user, by name or number.
        type: str
  state:
    description:
      - V(present) sets the requested values.
      - V(absent) reverts what this module did for the named services, whatever O(scope) was. It removes its drop-ins,
        and restores lines that O(conflicts=comment_out) commented out.
      - A running process with a value of this module gets its original value, if that was not the value of its unit.
        Other processes with a value of this module get the value that a start of the unit gives now.
      - Values that something else has changed since are skipped and reported in RV(services[].skipped).
      - Where this module has set nothing, V(absent) changes nothing and returns RV(managed=false).
      - V(absent) with O(exclusive=true) and without any name reverts everything, processes set by O(process) too.
    type: str
    choices: [present, absent]
    default: present
  runtime:
    description:
      - Set the running processes.
      - V(false) writes drop-ins only, for image builds, chroots, or changes that apply after a restart.
    type: bool
    default: true
  persistent:
    description:
      - Write C(/etc/systemd/system/UNIT.d/90-oomkit.conf), so that every later start gives the same values. With OpenRC
        write a line of C(/etc/conf.d/SERVICE).
      - O(runtime) and O(persistent) cannot both be V(false).
    type: bool
    default: true
  scope:
    description:
      - The processes of a service that are set at runtime.
      - V(inherited) does what a restart would do. It sets the processes whose value is the one that the unit gave them.
        It skips and reports processes that have set their own value, and those that inherited it from them. Examples
        are C(sshd), which sets -1000 on itself, its sessions, the back ends of PostgreSQL, and browsers.
      - V(main) sets the main process only, V(all) every process of the unit.
      - O(state=absent) ignores this option.
    type: str
    choices: [inherited, main, all]
    default: inherited
  missing:
    description:
      - What to do if a service does not exist, or if O(process) matches nothing.
      - Also what to do about O(oom_policy) if the init is not systemd. With V(warn) and V(ignore) the module warns and
        sets O(score_adj) only.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  exclusive:
    description: Also revert what this module did for services that are not listed in this call.
    type: bool
    default: false
  forecast:
    description: The number of kills in a row to forecast, before and after the change, in RV(forecast_before) and
      RV(forecast_after). V(0) makes no forecast. See M(oomkit.linux.oom_forecast_info).
    type: raw
    default: 5
  protect:
    description:
      - Services that must not be among the first O(forecast) to be killed after the change. If one would be, the module
        fails before anything is changed, in check mode too.
      - Takes the same names as O(services[].name), including aliases, templates and instances. Unknown names are
        refused.
      - V(postgresql) means its instances too, such as V(postgresql@15-main).
    type: list
    elements: str
  conflicts:
    description:
      - What to do if a line of another drop-in would win over ours at the next start.
      - V(fail) changes nothing and reports file and line.
      - V(warn) warns and goes on.
      - V(comment_out) comments the line out with C(# oomkit.linux:), keeps a backup beside the file, and looks for the
        next such line. It changes files below C(/etc) only, and fails for lines of other files.
    type: str
    choices: [fail, warn, comment_out]
    default: fail
  sysctl_file:
    description: Accepted as a default of the action group, but not used. This module sets no sysctl.
    type: path
    default: /etc/sysctl.d/99-oomkit.conf
  force:
    description: Allow what the module refuses because it endangers the machine, which is -1000 for C(ssh) and the like.
    type: bool
    default: false
extends_documentation_fragment:
  - oomkit.linux.attributes
  - oomkit.linux.attributes.actiongroup_oom
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The diff holds configured values and lines of files, and no PIDs.
  idempotent:
    support: full
notes:
  - Each new login session inherits a negative value of C(ssh), which then protects everything that its user starts. The
    module warns of negative values of services that start sessions, containers or jobs of others. It refuses -1000
    without O(force=true) if login sessions would inherit it. sshd protects its own listening process.
  - With OpenRC the next start is set by C(SSD_OOM_SCORE_ADJ) in C(/etc/conf.d/SERVICE), where the script of the
    service is one of openrc-run. With other inits only running processes are set. The next start of the service loses
    that, and the module warns.
  - Without systemd the module finds a service by the PID that its supervisor keeps, by its PID file, or by the only
    process of its name. A PID file in a folder of a user names processes of that user only. By name, processes of
    users who log in (above 999) do not count.
  - Lowering a value needs C(CAP_SYS_RESOURCE), which root has except in most containers.
  - Until the next boot, C(/run/oomkit) records the values set on running processes, and their original values if these
    are not those of their units.
seealso:
  - module: oomkit.linux.oom_facts
  - module: oomkit.linux.overcommit
  - module: oomkit.linux.panic_on_oom
  - name: systemd.exec(5)
    description: What systemd says about OOMScoreAdjust=.
    link: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: Kill redis last, now and after every restart
  oomkit.linux.oom_score_adj:
    name: redis-server
    score_adj: -500

- name: Set all services of a host in one call
  oomkit.linux.oom_score_adj:
    services:
      - name: postgresql@
        score_adj: -900
      - name: redis-server
        score_adj: -500
      - name: nginx
        score_adj: 100
        oom_policy: continue
    missing: warn
    exclusive: true

- name: Show what would change
  oomkit.linux.oom_score_adj:
    name: nginx
    score_adj: 300
  check_mode: true
  diff: true

- name: Change nothing if the database would still be among the first three to be killed
  oomkit.linux.oom_score_adj:
    services:
      - {name: batch, score_adj: 500}
    protect: [postgresql]
    forecast: 3

- name: Set all processes of a unit until the next restart, also those that manage their own value
  oomkit.linux.oom_score_adj:
    name: cron
    score_adj: 500
    scope: all
    persistent: false

- name: Write the drop-in in an image build
  oomkit.linux.oom_score_adj:
    name: nginx
    score_adj: 300
    runtime: false

- name: Kill the processes of a user first
  oomkit.linux.oom_score_adj:
    process:
      user: nobody
    score_adj: 800
    missing: ignore

- name: Protect smartd, but no program of other users with that name
  oomkit.linux.oom_score_adj:
    process:
      comm: smartd
      user: root
    score_adj: -500
    missing: ignore

- name: Revert one service
  oomkit.linux.oom_score_adj:
    name: nginx
    state: absent

- name: Revert everything that this module did here
  oomkit.linux.oom_score_adj:
    state: absent
    exclusive: true
'''

RETURN = r'''
services:
  description: One entry for each service, and with O(exclusive=true) one for each that is reverted.
  returned: success, unless O(process) is used
  type: list
  elements: dict
  contains:
    name:
      description: The requested name.
      type: str
      sample: redis
    unit:
      description: The real unit.
      type: str
      sample: redis-server.service
    before:
      description: C(oom_score_adj) of the running main process before this run, C(null) if nothing runs.
      type: int
      sample: 0
    after:
      description: The same after this run, in check mode as planned.
      type: int
      sample: -500
    running:
      description: The running units, which for a template are its instances.
      type: list
      elements: str
      sample: [redis-server.service]
    next_start_before:
      description: The settings of the next start before this run, with the keys of RV(services[].next_start).
      type: dict
    next_start:
      description: The settings of the next start.
      type: dict
      contains:
        score_adj:
          description: The C(oom_score_adj) of a new process.
          type: int
          sample: -500
        oom_policy:
          description: C(OOMPolicy=) as set in a file, C(null) for the default of the manager.
          type: str
          sample: continue
        file:
          description: The file that sets C(score_adj), C(null) if none does.
          type: str
          sample: /etc/systemd/system/redis-server.service.d/90-oomkit.conf
        line:
          description: The line in it, from 1.
          type: int
          sample: 3
    restart_needed:
      description: Whether running processes keep an old value until the service is restarted.
      type: bool
      sample: false
    changed_pids:
      description: The processes that were set, in check mode those that would be set.
      type: list
      elements: int
      sample: [611]
    skipped:
      description: Processes that keep another value, at most 100, each with C(pid), C(name), C(oom_score_adj) and
        the C(reason).
      type: list
      elements: dict
      sample:
        - pid: 702
          name: postgres
          oom_score_adj: 0
          reason: it sets its own value [OOMK-1906]
    skipped_count:
      description: The number of skipped processes.
      type: int
      sample: 1
    notes:
      description: Settings that apply only later, or only until a restart, and why.
      type: list
      elements: str
      sample: ["nginx is not running: it counts from its next start [OOMK-1808]"]
processes:
  description: The processes that match O(process), or all that it has set if everything is reverted.
  returned: success, when O(process) is used, and when there are some to revert
  type: list
  elements: dict
  contains:
    pid:
      description: The PID.
      type: int
      sample: 4242
    name:
      description: Its name, sanitized.
      type: str
      sample: java
    before:
      description: C(oom_score_adj) before this run.
      type: int
      sample: 0
    after:
      description: The same after this run, in check mode as planned.
      type: int
      sample: 800
conflicts:
  description: The lines of other drop-ins that win over ours, only with O(conflicts=warn).
  returned: success, unless O(process) is used
  type: list
  elements: dict
  contains:
    unit:
      description: The unit.
      type: str
    setting:
      description: C(OOMScoreAdjust) or C(OOMPolicy).
      type: str
    wanted:
      description: The requested value.
      type: raw
    next_start:
      description: The value that the next start gives instead, C(null) for a reset.
      type: raw
    file:
      description: The file that causes it.
      type: str
    line:
      description: The line in it, from 1.
      type: int
forecast_before:
  description: The processes that the kernel would kill if memory ran out now, in order, with the keys of
    M(oomkit.linux.oom_forecast_info). C(summary) holds lines to read. C(null) if no forecast is possible.
  returned: success, unless O(forecast=0)
  type: dict
  sample:
    outcome: kill
    summary: ["1. postgres (PID 811, postgresql@15-main.service), and with it 7 processes"]
forecast_after:
  description: The same after the change, in check mode as planned, from the same snapshot of the machine.
  returned: success, unless O(forecast=0)
  type: dict
  sample:
    outcome: kill
    summary: ["1. python3 (PID 977, batch.service)"]
orphans:
  description: Drop-ins of this collection whose unit does not exist any more, as found before this run.
  returned: success, unless O(process) is used
  type: list
  elements: str
  sample: [/etc/systemd/system/old.service.d/90-oomkit.conf]
managed:
  description:
    - Whether this collection had set anything here, as far as recorded. V(false) means that nothing was changed, and
      RV(msg) says so. V(true) without a change means that something else has changed all of it since.
    - C(null) for O(process) if the task may not read the record, because only root may.
  returned: success, with O(state=absent)
  type: bool
  sample: true
msg:
  description: States that there was nothing to revert.
  returned: with O(state=absent), when RV(managed=false)
  type: str
backup_files:
  description: Copies of files of others that O(conflicts=comment_out) changed.
  returned: when a line was commented out
  type: list
  elements: str
refusal:
  description: Why nothing was done, V(container) inside a container, else V(other).
  returned: failure, when it is a refusal
  type: str
  sample: other
diff:
  description:
    - The changes, as before and after; of a file the changed lines, with three lines around them.
    - Of a file that others may not read, by mode, access control list or folder, only settings of this collection.
  returned: in diff mode
  type: list
  elements: dict
'''

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oomkit.linux.plugins.module_utils._module.options import GROUP_OPTIONS
from ansible_collections.oomkit.linux.plugins.module_utils._module.runner import run_and_exit
from ansible_collections.oomkit.linux.plugins.module_utils._module.score_adj import run
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import Manager


def main() -> None:
    """Declare the options and run."""
    values = dict(score_adj=dict(type='raw'), oom_policy=dict(type='str', choices=['stop', 'continue', 'kill']))
    missing = dict(type='str', choices=['fail', 'warn', 'ignore'])
    service = dict(values, name=dict(type='str', required=True), missing=missing)
    process = dict(pid=dict(type='raw'), pidfile=dict(type='path'), comm=dict(type='str'),
                   cmdline_regex=dict(type='str'), user=dict(type='str'))
    module = AnsibleModule(supports_check_mode=True, argument_spec=dict(
        GROUP_OPTIONS, name=dict(type='str'), services=dict(type='list', elements='dict', options=service),
        process=dict(type='dict', options=process),
        scope=dict(type='str', choices=['inherited', 'main', 'all'], default='inherited'),
        missing=dict(missing, default='fail'),
        exclusive=dict(type='bool', default=False),
        forecast=dict(type='raw', default=5), protect=dict(type='list', elements='str'),
        **values))
    manager = Manager()
    run_and_exit(module, lambda host: run(module.params, module.check_mode, host, manager), {'manager': manager})


if __name__ == '__main__':
    main()
