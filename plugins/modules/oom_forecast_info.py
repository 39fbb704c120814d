#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r'''
module: oom_forecast_info
short_description: Forecast which process the kernel kills next when memory runs out, and what is killed with it
version_added: 0.1.0
description:
  - Lists the processes that the kernel would kill one after the other if memory ran out now, by the kernel's own
    rules and numbers.
  - Lists what else is killed with each victim, and whether the machine would panic instead.
  - Shows what a change would alter, such as another C(oom_score_adj) of a service, or a process that grows.
  - Changes nothing, and needs no privileges, though root sees more.
options:
  kills:
    description: How many kills in a row to forecast, 1 to 100.
    type: raw
    default: 5
  score_adj:
    description:
      - What if these had another C(oom_score_adj). Nothing is set.
      - A service is treated as M(oomkit.linux.oom_score_adj) would, so that processes that set their own value keep
        it.
    type: list
    elements: dict
    suboptions:
      service:
        description: The service, as C(systemctl) names it, with or without C(.service). Exactly one of this,
          O(score_adj[].pid) and O(score_adj[].comm) is required.
        type: str
      pid:
        description: The number of a process.
        type: raw
      comm:
        description: The name of processes, 15 bytes at most, since the kernel cuts names there.
        type: str
      value:
        description: The value, from V(-1000) to V(1000).
        type: raw
        required: true
  protect:
    description:
      - Services that should not be killed. If one would be, RV(violations) lists it. The module does not fail.
      - Takes the same names as M(oomkit.linux.oom_score_adj), including aliases, templates and instances. An unknown
        service is refused. With O(snapshot) only the names of the units in it count.
      - C(postgresql) means its instances too, as C(postgresql@15-main).
    type: list
    elements: str
  cgroup:
    description:
      - Forecast what happens when this cgroup reaches its own memory limit, instead of the whole machine.
      - The path as C(/proc/PID/cgroup) shows it, with or without C(/sys/fs/cgroup) before it.
    type: str
  nodes:
    description:
      - Forecast what happens when these NUMA nodes have no memory left, for a task that may use no other nodes because
        of a cpuset or a memory policy. Mutually exclusive with O(cgroup).
    type: list
    elements: int
  growing:
    description: What if this service or process first took so much more memory.
    type: dict
    suboptions:
      service:
        description: The service. Its process with the most memory grows. Exactly one of this and O(growing.pid) is
          required.
        type: str
      pid:
        description: The number of a process.
        type: raw
      size:
        description: How much more, with a unit, such as V(2G).
        type: raw
        required: true
  policy:
    description: What if C(vm.panic_on_oom) were this, V(kill), V(panic) or V(panic_always), or its number.
    type: raw
  kill_allocating_task:
    description: What if C(vm.oom_kill_allocating_task) were on or off.
    type: bool
  snapshot:
    description:
      - A RV(snapshot) that was returned before, on any machine. The forecast is made from it, and nothing is read from
        this machine.
      - It holds the processes that mattered for its own question. If it lacks processes for another question, the
        outcome is V(unknown).
    type: dict
extends_documentation_fragment:
  - oomkit.linux.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - The kernel counts memory in parts on each processor, and adds these parts up from time to time. C(/proc) shows the
    exact sum in some places. The badness of a process is therefore known within RV(kill_order[].error_pages), mostly
    less than a megabyte. Where two processes are closer than that, both are listed.
  - The process of the module itself is left out, since it is gone when the forecast is read.
  - The forecast does not know what a process does until the kill, except for O(growing).
  - The kernel does not kill if a process is ending already, and it kills C(swapoff) and the end of KSM first. The
    forecast ignores both.
  - Kernels up to 5.0 kill the largest child of the victim in its place. Where C(/proc/PID/oom_score) is on the scale
    of kernels before 5.9, that child is named as a possible victim too.
seealso:
  - module: oomkit.linux.oom_facts
  - module: oomkit.linux.oom_score_adj
  - name: proc_pid_oom_score(5)
    description: Manual page of oom_score and oom_score_adj.
    link: https://man7.org/linux/man-pages/man5/proc_pid_oom_score.5.html
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: Who would be killed, one after the other
  oomkit.linux.oom_forecast_info:
  register: forecast

- name: Show it
  ansible.builtin.debug:
    msg: "{{ item.victims | map(attribute='name') | join(' or ') }} ({{ item.service }}), frees {{ item.freed_kb }} kB"
  loop: "{{ forecast.kill_order }}"
  loop_control:
    label: "{{ item.rank }}"

- name: Is the database safe if the batch job takes four gigabytes more
  oomkit.linux.oom_forecast_info:
    growing:
      service: batch
      size: 4G
    protect: [postgresql]
  register: forecast

- name: Stop if it is not
  ansible.builtin.assert:
    that: forecast.violations | length == 0
    fail_msg: "These are killed: {{ forecast.violations | map(attribute='service') | join(', ') }}"

- name: What would change if the cache were killed first
  oomkit.linux.oom_forecast_info:
    kills: 3
    score_adj:
      - service: redis-server
        value: 500

- name: What is killed when this service reaches its MemoryMax
  oomkit.linux.oom_forecast_info:
    cgroup: /system.slice/batch.service

- name: Replay the snapshot of another machine
  oomkit.linux.oom_forecast_info:
    snapshot: "{{ lookup('ansible.builtin.file', 'snapshot.json') | from_json }}"
'''

RETURN = r'''
outcome:
  description:
    - V(kill) if processes are killed, as RV(kill_order) says.
    - V(panic) if C(vm.panic_on_oom) lets the kernel panic instead.
    - V(deadlock) if no process can be killed. On the whole machine the kernel then panics. In a
      cgroup, the allocating task gets ENOMEM from a system call, and retries a page fault without end.
    - V(no_kill) if C(memory.oom_control) of cgroup v1 disables kills there.
    - V(unknown) if it is unknown, with the RV(reason).
  returned: success
  type: str
  sample: kill
reason:
  description: Why there is no kill, or why it is unknown; C(null) for a kill.
  returned: success
  type: str
kill_order:
  description: The kills in their order, as many as O(kills), fewer where no process is left.
  returned: success
  type: list
  elements: dict
  contains:
    rank:
      description: Which kill it is, from 1.
      type: int
    victims:
      description: The victim, or several where any of them may be it, the likeliest first. At most 100 are listed.
      type: list
      elements: dict
      sample:
        - pid: 4242
          name: java
          unit: search.service
          cgroup: /system.slice/search.service
          badness_pages: 502113
          error_pages: 38
          oom_score: 998
          oom_score_adj: 0
    victims_count:
      description: How many processes may be the victim.
      type: int
    ambiguous:
      description: Whether there is more than one possible victim.
      type: bool
    margin_pages:
      description: By how many pages the likeliest victim is ahead of the next one, C(null) if there is no next one.
      type: int
    error_pages:
      description: By how many pages that margin may be wrong, at most.
      type: int
    badness_pages:
      description: The badness of the likeliest victim.
      type: int
    service:
      description: The unit of the likeliest victim, C(null) if it is in none.
      type: str
    freed_kb:
      description: The memory that the kill frees, swap included, with RV(kill_order[].collateral) and without memory
        that other processes share.
      type: int
    collateral:
      description:
        - What else is killed with the likeliest victim. C(why) is V(shares_memory) for processes that use the
          same memory, V(oom_group) where C(memory.oom.group) has the kernel kill a whole cgroup, and V(service_ends)
          where systemd ends the service then, because of C(OOMPolicy=) or because its main process is gone.
      type: list
      elements: dict
      sample:
        - pid: 4250
          name: java
          unit: search.service
          why: service_ends
violations:
  description:
    - The services of O(protect) that are killed. C(how) is V(victim) or V(collateral). C(certain) is false where the
      kill of another possible victim would spare it.
  returned: success
  type: list
  elements: dict
  sample:
    - service: postgresql
      rank: 2
      how: victim
      certain: true
      pid: 811
      name: postgres
      unit: postgresql@15-main.service
summary:
  description: The forecast in a few lines to read.
  returned: success
  type: list
  elements: str
  sample: ["1. java (PID 4242, search.service), and with it 1 process"]
notes:
  description: What limits this forecast, such as missing privileges.
  returned: success
  type: list
  elements: str
oom_daemons:
  description:
    - earlyoom, systemd-oomd and nohang where they run. They kill before the kernel has to, by their own rules.
    - C(thresholds) says when. All conditions of C(when) must hold, for C(for_s) seconds, and then C(action) is done,
      in the control groups of C(units) only (C(null) for the whole machine). C(text) says the same in words.
    - With C(dry_run) it never acts. C(reason) says why the thresholds are not known, and C(notes) what else counts.
      They name options and no other words of a command line.
  returned: success
  type: list
  elements: dict
  sample:
    - name: earlyoom
      pid: 702
      unit: earlyoom.service
      dry_run: false
      thresholds:
        - action: SIGTERM
          when:
            - what: available_memory
              below_percent: 10.0
            - what: free_swap
              below_percent: 10.0
          for_s: null
          units: null
          file: null
          text: SIGTERM when available memory is below 10 % and free swap is below 10 %
      notes: []
      reason: null
snapshot:
  description: Everything that the forecast was made from, for O(snapshot). It holds names of processes, and no
    command lines.
  returned: success
  type: dict
'''

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oomkit.linux.plugins.module_utils._module.forecast_info import run
from ansible_collections.oomkit.linux.plugins.module_utils._module.read_only import run_and_exit
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import Manager


def main() -> None:
    """Declare the options, look, and return the forecast."""
    who = dict(service=dict(type='str'), pid=dict(type='raw'))
    module = AnsibleModule(supports_check_mode=True, argument_spec=dict(
        kills=dict(type='raw', default=5),
        score_adj=dict(type='list', elements='dict', options=dict(
            who, comm=dict(type='str'), value=dict(type='raw', required=True))),
        protect=dict(type='list', elements='str'),
        cgroup=dict(type='str'),
        nodes=dict(type='list', elements='int'),
        growing=dict(type='dict', options=dict(who, size=dict(type='raw', required=True))),
        policy=dict(type='raw'),
        kill_allocating_task=dict(type='bool'),
        snapshot=dict(type='dict')))
    manager = Manager()
    run_and_exit(module, lambda host: run(module.params, host, manager), {'manager': manager})


if __name__ == '__main__':
    main()
