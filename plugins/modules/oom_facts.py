#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r'''
module: oom_facts
short_description: Gather what happens when memory runs out, and which processes the kernel would kill
version_added: 0.1.0
description:
  - Gathers the overcommit and panic settings, CommitLimit and what is committed, the processes that the kernel
    would kill first, the kills that have happened, and what the next boot will set.
  - Works without root, in containers and on old kernels. What cannot be read there is C(null) or absent, and
    C(oom.warnings) says why.
  - Candidates are ranked by the kernel's own badness, which is resident memory, swap and page tables in pages, and what
    C(oom_score_adj) adds to them. The coarse C(oom_score) does not decide.
  - Names of processes, units, cgroups and users, command lines and file names are sanitized. Control characters and
    bytes that are not UTF-8 become C(\x1b). Other invisible characters, and those that change the direction of text,
    become C(\u202e). A backslash stays as it is, since names of units hold some, so the text cannot be decoded.
options:
  top:
    description:
      - How many of the most likely victims to return in C(oom.candidates). V(0) returns all.
    type: raw
    default: 10
  gather_subset:
    description:
      - The keys of C(oom) to gather, such as V(commit), or V(all).
      - A key with C(!) before it, such as V(!candidates), is left out. If there are only such keys, everything else is
        gathered.
      - An unknown key is an error.
    type: list
    elements: str
    default: [all]
  cmdline:
    description:
      - Add the command line to each candidate, at most 4096 bytes of it.
      - Facts may be kept in a cache, and command lines may hold passwords. That is why this is off.
    type: bool
    default: false
extends_documentation_fragment:
  - oomkit.linux.attributes
  - oomkit.linux.attributes.facts
attributes:
  check_mode:
    support: full
    details:
      - This module never changes anything.
  diff_mode:
    support: N/A
    details:
      - This module never changes anything.
  idempotent:
    support: full
notes:
  - The module's own process, and those of Ansible where it runs on the same machine, are candidates like all others.
  - Badness takes the memory of the whole machine as its measure. When a container reaches a limit of its own, the
    victim is chosen among its own processes only, against that limit.
  - From kernel 6.2 on the kernel reads its counters with an error of some dozens of pages on small machines and more on
    large ones. Candidates whose C(badness_pages) are closer than that can come in either order.
seealso:
  - module: oomkit.linux.overcommit
  - module: oomkit.linux.panic_on_oom
  - name: proc_pid_oom_score(5)
    description: Manual page of oom_score and oom_score_adj.
    link: https://man7.org/linux/man-pages/man5/proc_pid_oom_score.5.html
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: Gather everything
  oomkit.linux.oom_facts:

- name: Show who would be killed first
  ansible.builtin.debug:
    msg: "{{ victim.name }} (PID {{ victim.pid }}) with {{ victim.rss_kb }} kB"
  vars:
    victim: "{{ ansible_facts.oom.candidates | first }}"
  when: ansible_facts.oom.candidates | default([], true) | length > 0

- name: Gather only what a report on overcommit needs
  oomkit.linux.oom_facts:
    gather_subset: [overcommit, commit, warnings]

- name: Stop when more than nine tenths of the limit are committed
  ansible.builtin.assert:
    that: ansible_facts.oom.commit.used_percent < 90
    fail_msg: >-
      {{ ansible_facts.oom.commit.committed_kb }} of {{ ansible_facts.oom.commit.limit_kb }} kB are committed

- name: Gather all but the processes
  oomkit.linux.oom_facts:
    gather_subset: ["!candidates", "!unkillable", "!oom_daemons"]

- name: Rank all processes, with their command lines
  oomkit.linux.oom_facts:
    gather_subset: [candidates]
    top: 0
    cmdline: true

- name: Find out what other programs set on their own
  oomkit.linux.oom_facts:
    gather_subset: [competing_writers]

- name: Find out what the next boot will change
  oomkit.linux.oom_facts:
    gather_subset: [drift]

- name: Show it
  ansible.builtin.debug:
    msg: "{{ item.key }} is {{ item.runtime }} now, and {{ item.file or 'the kernel' }} makes it {{ item.boot }}"
  loop: "{{ ansible_facts.oom.drift | default([], true) }}"
'''

RETURN = r'''
ansible_facts:
  description: Facts for the host.
  returned: always
  type: dict
  contains:
    oom:
      description: The facts of this module. A key that O(gather_subset) leaves out is absent.
      type: dict
      contains:
        overcommit:
          description: The C(vm.overcommit_*) sysctls and the two reserves of the running kernel.
          type: dict
          sample:
            mode: 2
            mode_name: never
            ratio: 80
            kbytes: 0
            admin_reserve_kbytes: 8192
            user_reserve_kbytes: 131072
        commit:
          description:
            - C(limit_kb) and C(committed_kb) are CommitLimit and Committed_AS of C(/proc/meminfo).
            - C(headroom_kb) is how much an ordinary user can still commit, the limit less what is committed and less
              both reserves. It can be negative.
            - C(used_percent) is the committed part of the limit, and C(enforced) is true in mode 2 (V(never)).
          type: dict
          sample:
            limit_kb: 3223448
            committed_kb: 845120
            headroom_kb: 2239064
            used_percent: 26.2
            enforced: true
        memory:
          description:
            - MemTotal, MemAvailable, SwapTotal, SwapFree and the memory in huge pages of all sizes, as C(/proc/meminfo)
              says.
          type: dict
          sample:
            total_kb: 4029312
            available_kb: 3401220
            swap_total_kb: 0
            swap_free_kb: 0
            hugetlb_kb: 0
        panic:
          description:
            - The panic sysctls. C(policy) is V(kill), V(panic) or V(panic_always).
            - C(reboot_after_s) is C(kernel.panic), where 0 hangs for ever and a negative number reboots at once.
          type: dict
          sample:
            panic_on_oom: 0
            policy: kill
            reboot_after_s: 10
            kill_allocating_task: false
            dump_tasks: true
        candidates:
          description:
            - The O(top) most likely victims, most likely first. Processes that can never be chosen are not among them.
            - C(cgroup) is the cgroup that limits the memory, and C(unit) the unit of the host's
              systemd as C(systemctl) names it.
            - Processes below a user's systemd have its unit, such as C(user@1000.service). Processes in a container
              have the unit of the container, or null if it has none.
            - C(uid) and C(user) are the effective ones, and C(started) is in UTC.
            - C(cmdline) is there only with O(cmdline=true).
          type: list
          elements: dict
          sample:
            - rank: 1
              pid: 4242
              name: java
              unit: search.service
              cgroup: /system.slice/search.service
              user: search
              uid: 998
              badness_pages: 502113
              oom_score: 998
              oom_score_adj: 0
              rss_kb: 2001332
              swap_kb: 0
              pagetables_kb: 7120
              started: "2026-11-20T07:14:52Z"
        unkillable:
          description: Processes whose C(oom_score_adj) is -1000, by PID.
          type: list
          elements: dict
          sample:
            - pid: 611
              name: sshd
              unit: ssh.service
        kills:
          description:
            - C(total) counts the kills since boot. C(recent) holds the last 20 that the kernel log still holds,
              oldest first.
            - C(when) is in UTC, and less exact if the machine slept since. C(constraint) is V(none) when the whole
              machine was out of memory, V(memcg) for a cgroup at its limit, V(cpuset) or V(memory_policy).
          type: dict
          sample:
            total: 1
            recent:
              - when: "2026-11-21T03:00:12Z"
                pid: 977
                name: stress
                cgroup: /system.slice/batch.service
                constraint: memcg
                oom_score_adj: 0
                rss_kb: 524288
        pressure:
          description: C(/proc/pressure/memory), averages in percent of time and totals in microseconds.
          type: dict
          sample:
            some: {"avg10": 0.0, "avg60": 0.12, "avg300": 0.05, "total": 183220}
            full: {"avg10": 0.0, "avg60": 0.1, "avg300": 0.03, "total": 120411}
        boot:
          description:
            - By full key, the C(value) after reboot, and the C(file) and C(line) that cause it.
            - File and line are C(null) for the kernel's own default. The value is C(null) where the kernel computes it
              at boot. The values include what an enabled TuneD applies when it starts. Where TuneD computes a value
              then, the value is C(null), and the file is the one that may change it.
            - The files are read in the order of the program that applies them at boot. Known are systemd-sysctl with
              SUSE's file for each kernel, C(sysctl --system) of procps, and the scripts of Alpine, OpenRC, sysvinit,
              void-runit and Artix. With any other program all values are C(null), and the module warns.
          type: dict
          sample:
            vm.overcommit_memory: {"value": 2, "file": /etc/sysctl.d/99-oomkit.conf, "line": 2}
            vm.panic_on_oom: {"value": 0, "file": null, "line": null}
        drift:
          description: The sysctls that will be different after the next boot, as far as C(boot) knows.
          type: list
          elements: dict
          sample:
            - key: vm.overcommit_ratio
              runtime: 50
              boot: 80
              file: /etc/sysctl.d/99-oomkit.conf
        competing_writers:
          description:
            - Sysctls that a running program sets whenever it starts, after C(sysctl.d) at boot. It overwrites other
              values. Known are the kubelet (alone or in k3s, RKE2 and MicroK8s), TuneD, kdump-tools, and lines such as
              C(sysctl vm.overcommit_memory=1) in an executable C(rc.local), or in C(/etc/local.d/*.start) with OpenRC.
            - C(how) is V(sets); V(yields) where a line for the key in C(/etc/sysctl.d), C(/run/sysctl.d) or
              C(/etc/sysctl.conf) would win; V(reapplies) where TuneD writes such a line again; or V(requires) where the
              program sets nothing but does not start with another value. It is C(null) where the configuration cannot
              be read or is not understood.
            - The kubelet, k3s, RKE2 and MicroK8s each have their own configuration. A kubelet reads C(--config), then
              C(--config-dir), then arguments. k3s and RKE2 read C(config.yaml) and C(config.yaml.d), arguments in the
              unit, and C(agent/etc/kubelet.conf.d) below their data directory.
            - C(value) is text as the program has it. For TuneD V(>80) only raises and V(<80) only lowers, and what
              begins with V(${f:) is known to TuneD alone.
            - C(file) is where it can be changed. It is C(null) where the program has no option for it, where
              C(how) is not known, and where only a command line names the file.
          type: list
          elements: dict
          sample:
            - key: vm.overcommit_memory
              value: "1"
              by: kubelet
              how: sets
              file: null
            - key: kernel.panic
              value: "5"
              by: tuned
              how: yields
              file: /etc/tuned/database/tuned.conf
        oom_daemons:
          description:
            - earlyoom, systemd-oomd and nohang, where running. They kill before the kernel has to, by their own rules.
            - They run as root, or as services of the system that hold C(CAP_KILL). Processes that only have such a name
              are left out, with a warning.
          type: list
          elements: dict
          sample:
            - name: earlyoom
              pid: 702
              unit: earlyoom.service
        environment:
          description:
            - C(container) names the container manager, or is V(unknown) where the container has no known one. It is
              C(null) on a host and in a chroot.
            - C(writable) is true where C(vm.*) can be set from here.
            - C(pid_namespace) is V(init) or V(nested), C(cgroup) is V(v1), V(v2) or V(hybrid), C(init) is V(systemd),
              V(openrc) or V(other).
            - C(gathered_at) is the time of the host's clock in UTC. It shows the age of facts from a cache.
          type: dict
          sample:
            container: null
            writable: true
            pid_namespace: init
            cgroup: v2
            init: systemd
            gathered_at: "2026-11-23T09:30:00Z"
        warnings:
          description: What could not be read, and why, each beginning with the key that it is about.
          type: list
          elements: str
          sample:
            - "kills: the kernel log cannot be read (Operation not permitted), so recent kills are unknown [OOMK-2504]"
'''

import functools
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import to_integer
from ansible_collections.oomkit.linux.plugins.module_utils._facts.gather import Request, gather_facts, select_keys
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import Host
from ansible_collections.oomkit.linux.plugins.module_utils._module.read_only import run_and_exit


def _gather(params: Dict[str, Any], host: Host) -> Dict[str, Any]:
    request = Request(select_keys(params['gather_subset']), to_integer('top', params['top'], minimum=0),
                      params['cmdline'])
    return {'ansible_facts': {'oom': host.call(gather_facts, host, request)}}


def main() -> None:
    """Declare the options, look, and return the facts."""
    module = AnsibleModule(
        argument_spec=dict(
            top=dict(type='raw', default=10),
            gather_subset=dict(type='list', elements='str', default=['all']),
            cmdline=dict(type='bool', default=False),
        ),
        supports_check_mode=True,
    )
    run_and_exit(module, functools.partial(_gather, module.params), {})


if __name__ == '__main__':
    main()
