#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r'''
module: panic_on_oom
short_description: Decide whether the kernel kills or panics when memory runs out
version_added: 0.1.0
description:
  - Sets whether an out-of-memory state kills a process or panics the machine, how long after a panic it
    reboots, and two details of the kill, at runtime and for the next boot, in one call.
  - Refuses a panic that would never reboot.
options:
  policy:
    description:
      - C(vm.panic_on_oom), by name or by number.
      - V(kill) (0) kills a process.
      - V(panic) (1) panics when the whole machine is out of memory, and kills when only a container, a cpuset
        or a memory policy is.
      - V(panic_always) (2) panics then too. One container that reaches its own limit takes the host down.
    type: raw
  reboot_after:
    description:
      - C(kernel.panic), the seconds from a panic to the reboot. V(0) hangs for ever, a negative number reboots
        at once.
      - Holds for every panic, not only for those of O(policy).
    type: raw
  kill_allocating_task:
    description:
      - C(vm.oom_kill_allocating_task), kill the task that asked for memory instead of the one with the highest
        badness.
    type: bool
  dump_tasks:
    description:
      - C(vm.oom_dump_tasks), write the table of all tasks to the kernel log at each kill.
    type: bool
extends_documentation_fragment:
  - oomkit.linux.sysctl
  - oomkit.linux.attributes
  - oomkit.linux.attributes.actiongroup_oom
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: oomkit.linux.overcommit
  - module: oomkit.linux.oom_facts
  - name: Documentation of /proc/sys/vm
    description: What the kernel says about panic_on_oom.
    link: https://docs.kernel.org/admin-guide/sysctl/vm.html
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: A node of a cluster - rather reboot than limp
  oomkit.linux.panic_on_oom:
    policy: panic
    reboot_after: 10

- name: Kill, and write down which tasks there were
  oomkit.linux.panic_on_oom:
    policy: kill
    dump_tasks: true

- name: See what would change, and change nothing
  oomkit.linux.panic_on_oom:
    policy: panic
    reboot_after: 30
  check_mode: true
  diff: true

- name: Take all of it back
  oomkit.linux.panic_on_oom:
    state: absent
'''

RETURN = r'''
before:
  description: The sysctls of this module as they were found, C(null) for one that the kernel lacks.
  returned: success
  type: dict
  contains: &state
    runtime:
      description: By full key, what the running kernel holds.
      type: dict
      sample: {"vm.panic_on_oom": 0, "kernel.panic": 0, "vm.oom_kill_allocating_task": 0, "vm.oom_dump_tasks": 1}
    boot:
      description: By full key, the value after reboot.
      type: dict
      sample: {"vm.panic_on_oom": 0, "kernel.panic": 0, "vm.oom_kill_allocating_task": 0, "vm.oom_dump_tasks": 1}
after:
  description: The same after the run, in check mode as planned.
  returned: success
  type: dict
  contains: *state
managed:
  description:
    - Whether this module had anything to revert. With V(false) nothing was changed, and C(msg) says so.
  returned: success, with O(state=absent)
  type: bool
  sample: true
changed_keys:
  description: The sysctls whose value or line changed, at runtime or for the boot.
  returned: success
  type: list
  elements: str
  sample: [vm.panic_on_oom, kernel.panic]
conflicts:
  description: The lines that win over ours at boot; only with O(conflicts=warn), because the others fail or
    settle them.
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: The sysctl.
      type: str
    wanted:
      description: What was asked for.
      type: int
    boot:
      description: The value after reboot instead.
      type: int
    file:
      description: The file that causes it.
      type: str
    line:
      description: The line in it, from 1.
      type: int
backup_files:
  description: Copies of the files of others that O(conflicts=comment_out) changed.
  returned: when a line was commented out
  type: list
  elements: str
  sample: [/etc/sysctl.d/10-vendor.conf.oomkit-20261123T101500~]
refusal:
  description:
    - Why it was refused, for the callers of the module.
    - V(container) in a container, where these sysctls belong to the host. V(not_writable) on a host where root cannot
      write them. V(other) for every other refusal.
  returned: failure, when it is a refusal
  type: str
  sample: container
diff:
  description:
    - What changes, as before and after; of a file the lines that change, with three lines around them.
    - Of a file that others may not read, by mode, access control list or folder, only settings of this collection.
  returned: in diff mode
  type: list
  elements: dict
'''

from ansible_collections.oomkit.linux.plugins.module_utils._module.sysctl import run_module
from ansible_collections.oomkit.linux.plugins.module_utils._policy.panic import PanicPolicy
from ansible_collections.oomkit.linux.plugins.module_utils._policy.run import run_at_once


def main() -> None:
    """Declare the options and run."""
    run_module(PanicPolicy, run_at_once)


if __name__ == '__main__':
    main()
