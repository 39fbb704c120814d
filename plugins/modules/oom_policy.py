#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r'''
module: oom_policy
short_description: Decide in one task what a machine does when memory runs out
version_added: 0.1.0
description:
  - Sets overcommit, the panic policy and the OOM settings of services as one transaction. The whole policy is planned
    and checked before anything changes. If a step fails, everything is rolled back, sysctls, services and files.
  - Runs one module on the host, two if a change has to be confirmed (see O(confirm_within)).
  - In a container it changes nothing and warns, because the policy belongs to the host, unless O(runtime=false) or
    O(force=true).
  - M(oomkit.linux.overcommit), M(oomkit.linux.panic_on_oom) and M(oomkit.linux.oom_score_adj) set single parts.
options:
  overcommit:
    description: How much memory the kernel commits. See M(oomkit.linux.overcommit).
    type: dict
    suboptions:
      # overcommit: tools/generated.py writes this
      mode:
        description: C(vm.overcommit_memory), V(heuristic), V(always) or V(never),
          see C(mode) of M(oomkit.linux.overcommit).
        type: raw
      ratio:
        description: C(vm.overcommit_ratio) in percent,
          see C(ratio) of M(oomkit.linux.overcommit).
        type: raw
      kbytes:
        description: C(vm.overcommit_kbytes) in kB,
          see C(kbytes) of M(oomkit.linux.overcommit).
        type: raw
      admin_reserve_kbytes:
        description: C(vm.admin_reserve_kbytes) in kB,
          see C(admin_reserve_kbytes) of M(oomkit.linux.overcommit).
        type: raw
      user_reserve_kbytes:
        description: C(vm.user_reserve_kbytes) in kB,
          see C(user_reserve_kbytes) of M(oomkit.linux.overcommit).
        type: raw
      # end of overcommit
      commit_limit:
        description: The CommitLimit, as a size (V(28G)) or in percent of RAM and swap (V(90%)). Mutually exclusive with
          O(overcommit.ratio) and O(overcommit.kbytes).
        type: raw
      min_headroom:
        description: What must be left of the CommitLimit in mode V(never), as a size or in percent. V(5%) if not given.
        type: raw
  panic:
    description: Whether the kernel kills or panics. See M(oomkit.linux.panic_on_oom).
    type: dict
    suboptions:
      # panic: tools/generated.py writes this
      policy:
        description: C(vm.panic_on_oom), V(kill), V(panic) or V(panic_always),
          see C(policy) of M(oomkit.linux.panic_on_oom).
        type: raw
      reboot_after:
        description: C(kernel.panic) in seconds,
          see C(reboot_after) of M(oomkit.linux.panic_on_oom).
        type: raw
      kill_allocating_task:
        description: C(vm.oom_kill_allocating_task),
          see C(kill_allocating_task) of M(oomkit.linux.panic_on_oom).
        type: bool
      dump_tasks:
        description: C(vm.oom_dump_tasks),
          see C(dump_tasks) of M(oomkit.linux.panic_on_oom).
        type: bool
      # end of panic
  services:
    description: Which service the OOM killer takes first and which last. See M(oomkit.linux.oom_score_adj).
    type: list
    elements: dict
    suboptions:
      name:
        description: The service, as C(systemctl) names it.
        type: str
        required: true
      score_adj:
        description: Its C(oom_score_adj), from V(-1000) (never killed) to V(1000) (first).
        type: raw
      oom_policy:
        description: Its C(OOMPolicy=).
        type: str
        choices: [stop, continue, kill]
      missing:
        description: What to do if this service does not exist. The default is O(missing).
        type: str
        choices: [fail, warn, ignore]
  exclusive:
    description: Also revert what was set for services that are not listed.
    type: bool
    default: false
  missing:
    description: What to do if a service does not exist.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  scope:
    description: The processes of a service that are set at runtime, as C(scope) of M(oomkit.linux.oom_score_adj).
    type: str
    choices: [inherited, main, all]
    default: inherited
  profile:
    description:
      - A named policy to start from. The other options replace its settings, key by key, and services of the same name.
      - The profiles are data files with comments, in the folder C(roles/oom_policy/profiles) of this collection.
    type: str
    choices: [none, database, cache, kubernetes_node, java, desktop]
    default: none
  parts:
    description: The parts of the policy to set, or to revert with O(state=absent).
    type: list
    elements: str
    choices: [overcommit, panic, services]
    default: [overcommit, panic, services]
  protect:
    description: Services that must not be among the first O(forecast) to be killed after the change. If one would be,
      the task fails before anything is changed. The forecast assumes the planned panic policy.
    type: list
    elements: str
  forecast:
    description: The number of kills to forecast, before and after the change. V(0) makes no forecast, and counts as
      V(5) with O(protect).
    type: raw
    default: 0
  confirm_within:
    description:
      - The seconds, up to 3600, within which a change of the sysctls at runtime has to be confirmed over a new
        connection. The task does that itself. It resets the connection of the host and calls the module again.
      - Until then only the running kernel has the new sysctls. Services and files change with the confirmation. Without
        one, a watchdog on the host rolls back.
      - The default is V(60) where a new connection is possible, over ssh, and V(0) elsewhere. A value other than V(0)
        is refused where none is possible (C(connection=local), C(docker exec), C(async)).
    type: raw
  confirm_changes:
    description: The changes that O(confirm_within) is for, V(all), or V(tightening) for those that can keep programs
      from starting.
    type: str
    choices: [all, tightening]
    default: tightening
  facts:
    description: Return the facts of M(oomkit.linux.oom_facts) after the change, gathered in the same run.
    type: bool
    default: false
  state:
    description:
      - V(present) sets the policy.
      - V(absent) reverts everything that this collection changed on the host in O(parts), and nothing else. It ignores
        O(overcommit), O(panic), O(services), O(profile) and O(protect).
    type: str
    choices: [present, absent]
    default: present
  conflicts:
    description: What to do when a line of another file would win at boot, or at the next start of a service.
    type: str
    choices: [fail, warn, comment_out]
    default: fail
extends_documentation_fragment:
  - oomkit.linux.sysctl
  - oomkit.linux.attributes
  - oomkit.linux.attributes.actiongroup_oom
  - oomkit.linux.attributes.facts
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: oomkit.linux.overcommit
  - module: oomkit.linux.panic_on_oom
  - module: oomkit.linux.oom_score_adj
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: A database host
  oomkit.linux.oom_policy:
    overcommit:
      mode: never
      commit_limit: 90%
    panic:
      policy: kill
    services:
      - name: cron
        score_adj: -100
    missing: warn

- name: The profile of a cache, and what would be killed first
  oomkit.linux.oom_policy:
    profile: cache
    forecast: 3
  check_mode: true
  diff: true

- name: Revert everything
  oomkit.linux.oom_policy:
    state: absent
'''

RETURN = r'''
applied:
  description: Whether the policy holds, in check mode whether it would. V(false) where nothing was done, for the
    reason in RV(reason).
  returned: success
  type: bool
  sample: true
reason:
  description: Why nothing was done, else C(null). It is a warning too.
  returned: success
  type: str
  sample: null
before:
  description: The sysctls of the parts before the run, C(null) for one that the kernel lacks or computes at boot.
  returned: success
  type: dict
  contains: &state
    runtime:
      description: By full key, the value at runtime.
      type: dict
      sample: {"vm.overcommit_memory": 0, "vm.panic_on_oom": 0}
    boot:
      description: By full key, the value after reboot.
      type: dict
      sample: {"vm.overcommit_memory": 0, "vm.panic_on_oom": 0}
after:
  description: The same after the run, in check mode as planned.
  returned: success
  type: dict
  contains: *state
changed_keys:
  description: The sysctls whose value or line changed, at runtime or for the boot.
  returned: success
  type: list
  elements: str
  sample: [vm.overcommit_memory, vm.overcommit_ratio]
services:
  description: The services, as RV(services) of M(oomkit.linux.oom_score_adj).
  returned: success
  type: list
  elements: dict
  sample: [{"name": "cron", "unit": "cron.service", "before": 0, "after": -100}]
restart_needed:
  description: Units that keep their old value until a restart.
  returned: success
  type: list
  elements: str
  sample: []
conflicts:
  description: The lines of other files that win over those of the policy; only with O(conflicts=warn).
  returned: success
  type: list
  elements: dict
  sample: []
orphans:
  description: Drop-ins of this collection whose unit does not exist any more, as found before this run.
  returned: success
  type: list
  elements: str
  sample: []
backup_files:
  description: Copies of files of others that O(conflicts=comment_out) changed.
  returned: when a line was commented out
  type: list
  elements: str
  sample: [/etc/sysctl.d/10-vendor.conf.oomkit-20261123T101500~]
confirmation:
  description: What became of O(confirm_within).
  returned: success
  type: dict
  contains:
    state:
      description: V(not_needed), V(confirmed), or in check mode V(pending) for a change that has to be confirmed.
      type: str
      sample: confirmed
    within_s:
      description: The seconds that there are in all to confirm it.
      type: int
      sample: 60
    until:
      description: When the sysctls are rolled back unless it is confirmed, in UTC. Else C(null).
      type: str
      sample: null
    reason:
      description: Why nothing has to be confirmed. C(null) once it is confirmed.
      type: str
      sample: null
forecast_before:
  description: The forecast before the change, as RV(forecast_before) of M(oomkit.linux.oom_score_adj). C(null) without
    O(forecast) and O(protect).
  returned: success
  type: dict
  sample: {"outcome": "kill", "summary": ["1. mariadbd (PID 812, mariadb.service)"]}
forecast_after:
  description: The forecast after the change. C(null) without O(forecast) and O(protect).
  returned: success
  type: dict
  sample: {"outcome": "kill", "summary": ["1. python3 (PID 977, batch.service)"]}
managed:
  description: V(false) where O(state=absent) finds no record of this collection on the host.
  returned: success
  type: bool
  sample: true
refusal:
  description: Why nothing was done, V(not_writable) where root may not write the sysctls, else V(other).
  returned: failure, when it is a refusal
  type: str
  sample: other
refusals:
  description: The messages of all parts that refuse.
  returned: failure, when several parts refuse
  type: list
  elements: str
ansible_facts:
  description: The facts of M(oomkit.linux.oom_facts).
  returned: success, with O(facts=true)
  type: dict
  contains:
    oom:
      description: See RV(ansible_facts.oom) of M(oomkit.linux.oom_facts).
      type: dict
diff:
  description: What changes, as before and after.
  returned: in diff mode
  type: list
  elements: dict
'''

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oomkit.linux.plugins.module_utils._module.options import GROUP_OPTIONS
from ansible_collections.oomkit.linux.plugins.module_utils._module.policy import OPTIONS, run
from ansible_collections.oomkit.linux.plugins.module_utils._module.runner import run_and_exit
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import Manager


def main() -> None:
    """Declare the options and run."""
    module = AnsibleModule(argument_spec=dict(GROUP_OPTIONS, **OPTIONS), supports_check_mode=True)
    manager = Manager()
    run_and_exit(module, lambda host: run(module.params, module.check_mode, host, manager), {'manager': manager})


if __name__ == '__main__':
    main()
