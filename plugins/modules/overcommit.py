#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r'''
module: overcommit
short_description: Set how much memory the kernel commits
version_added: 0.1.0
description:
  - Sets the overcommit mode, the CommitLimit and the reserves of strict mode, at runtime and for the next
    boot, in one call.
  - Knows that C(vm.overcommit_ratio) and C(vm.overcommit_kbytes) erase each other, at runtime and in files,
    and which file wins at boot.
  - Refuses a strict limit that is below the memory already committed (see O(min_headroom)). After writing it
    reads back and starts a program, as root and as an ordinary user; if that fails, everything is rolled back.
options:
  mode:
    description:
      - C(vm.overcommit_memory), by name or by number.
      - V(heuristic) (0) refuses only a single request larger than RAM and swap together (kernels from 5.2).
      - V(always) (1) lets every request pass the accounting; other limits, such as RLIMIT_AS, still count.
      - V(never) (2) commits no more than the CommitLimit.
    type: raw
  ratio:
    description:
      - C(vm.overcommit_ratio), the part of RAM (without huge pages) in percent that goes into the CommitLimit,
        to which all of swap is added. 0 or more; more than 100 is valid.
      - Mutually exclusive with O(kbytes) and O(commit_limit). Whatever set the limit before is erased.
    type: raw
  kbytes:
    description:
      - C(vm.overcommit_kbytes), the same as an amount in kB. At least one page.
    type: raw
  commit_limit:
    description:
      - The CommitLimit wanted, as a size (V(28G), V(512M)) or as a percentage of MemTotal - Hugetlb + SwapTotal
        (V(90%)).
      - Written as C(vm.overcommit_kbytes), less the swap there is now. Nothing changes while the CommitLimit is
        within 0.1 % of it.
      - With O(runtime=false) in a container or a chroot a percentage is refused, and a size where there is swap, since
        the RAM and swap seen there are not those of the machine that boots the image. O(ratio) is a part of that
        machine's own RAM, and O(kbytes) does not depend on its swap.
      - Swap that appears only after this task, or later at boot than the sysctls (zram, a swap file mounted
        late), comes on top.
    type: raw
  admin_reserve_kbytes:
    description:
      - C(vm.admin_reserve_kbytes), what mode V(never) keeps for users with CAP_SYS_ADMIN, in kB.
    type: raw
  user_reserve_kbytes:
    description:
      - C(vm.user_reserve_kbytes), what mode V(never) keeps an ordinary user's single process from taking, in kB.
    type: raw
  min_headroom:
    description:
      - What must be left of the CommitLimit in mode V(never), after Committed_AS and both reserves, as a size
        or in percent of the CommitLimit.
      - A plan that ends below it is refused if it enters mode V(never) or lowers the headroom, at runtime or
        at the next boot. O(force=true) overrides this.
    type: raw
    default: 5%
  confirm_within:
    description:
      - The seconds, up to 3600, in which a change at runtime has to be confirmed. V(0) does everything at once.
      - At first nothing but runtime is written, no file. A watchdog is started before that. It rolls runtime back
        at the end of the time, and says so in the kernel log, unless the change was confirmed.
      - To confirm is to make the same call again over a new connection (C(reset_connection) of
        M(ansible.builtin.meta)). Only that writes O(sysctl_file), so a machine that is reset before comes up as it
        was. O(confirm_within) and O(confirm_changes) may differ, every other option has to be the same.
      - The same call over the connection that made the change confirms nothing and changes nothing. A connection is
        the ssh daemon's process among the ancestors, so C(ControlPersist) and C(become) by sudo or su do not make a
        new one. Where no ssh daemon is among them (ansible-pull, C(connection=local), C(docker exec),
        C(become_method=machinectl)), every call counts as a new connection.
      - A task with C(async) is cut off from its connection. Where a change would have to be confirmed, or be the
        confirmation, it is refused.
      - While a change waits, a call with another request is refused. O(state=absent) is carried out at once, and
        reverts what waits.
      - A value that something else has set at runtime meanwhile is skipped, and reported in the log. Then the change
        cannot be confirmed.
      - The watchdog is proof against hangup, the end of the login, logind's C(KillUserProcesses), the OOM killer, and
        a machine on which nothing can be started. It takes about 20 MB while it lives. SIGTERM makes it roll back at
        once.
    type: raw
    default: 0
  confirm_changes:
    description:
      - Which changes at runtime O(confirm_within) is for.
      - V(all) is every one.
      - V(tightening) is one that may keep programs from starting. It enters mode V(never), or leaves less of the
        CommitLimit in it after the reserves. Every other change is made at once.
    type: str
    choices: [all, tightening]
    default: all
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
  - module: oomkit.linux.panic_on_oom
  - module: oomkit.linux.oom_facts
  - name: Overcommit accounting
    description: What the kernel says about the three modes.
    link: https://docs.kernel.org/mm/overcommit-accounting.html
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: Commit no more than RAM and swap
  oomkit.linux.overcommit:
    mode: never
    ratio: 100

- name: A database host, 28 GB in all, and 64 MB kept for root
  oomkit.linux.overcommit:
    mode: never
    commit_limit: 28G
    admin_reserve_kbytes: 65536

- name: What Redis and many caches ask for
  oomkit.linux.overcommit:
    mode: always

- name: See what a stricter limit would do, and change nothing
  oomkit.linux.overcommit:
    mode: never
    commit_limit: 90%
    min_headroom: 10%
  check_mode: true
  diff: true

- name: Comment out the lines of other files below /etc that would win at boot
  oomkit.linux.overcommit:
    mode: heuristic
    conflicts: comment_out

- name: A limit that has to prove itself - runtime is rolled back in a minute unless the tasks below get through
  oomkit.linux.overcommit:
    mode: never
    ratio: 80
    confirm_within: 60
  register: limit

# In a file of its own, because "meta: reset_connection" ignores "when".
- name: Confirm it
  ansible.builtin.include_tasks: confirm_limit.yml
  when: limit.confirmation.state == 'pending' and not ansible_check_mode

# confirm_limit.yml
- name: Leave the connection that is open since before the change
  ansible.builtin.meta: reset_connection

- name: The same call over a new connection, which writes the file too
  oomkit.linux.overcommit:
    mode: never
    ratio: 80
    confirm_within: 60
  register: limit
  failed_when: limit is failed or limit.confirmation.state == 'pending'

- name: Build an image, where the running kernel is somebody else's
  oomkit.linux.overcommit:
    mode: never
    ratio: 90
    runtime: false

- name: Take all of it back
  oomkit.linux.overcommit:
    state: absent
'''

RETURN = r'''
before:
  description: The sysctls of this module as they were found, C(null) for one that the kernel lacks or computes
    at boot.
  returned: success
  type: dict
  contains: &state
    runtime:
      description: By full key, what the running kernel holds.
      type: dict
      sample: {"vm.overcommit_memory": 0, "vm.overcommit_ratio": 50, "vm.overcommit_kbytes": 0}
    boot:
      description: By full key, the value after reboot.
      type: dict
      sample: {"vm.overcommit_memory": 0, "vm.overcommit_ratio": 50, "vm.overcommit_kbytes": 0}
after:
  description:
    - The same after the run, in check mode as planned.
    - While RV(confirmation.state=pending) it is what will be after the confirmation, and so are RV(changed_keys) and
      the diff. Runtime is written, the boot is not.
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
  sample: [vm.overcommit_memory, vm.overcommit_ratio]
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
confirmation:
  description: What became of O(confirm_within).
  returned: success
  type: dict
  contains:
    state:
      description:
        - V(not_needed) when the call did everything at once.
        - V(pending) when runtime is written and the change waits for its confirmation. In check mode, when the
          run would not be V(not_needed).
        - V(confirmed) when this call confirmed the change. It counts as changed.
      type: str
      sample: pending
    within_s:
      description: The seconds that there are in all to confirm it.
      type: int
      sample: 60
    until:
      description: When runtime is rolled back unless it is confirmed, by the machine's clock in UTC. Else C(null).
      type: str
      sample: "2026-11-23T10:16:00Z"
    reason:
      description: Why nothing has to be confirmed, or what the change waits for. C(null) once it is confirmed.
      type: str
      sample: nothing changes at runtime
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
from ansible_collections.oomkit.linux.plugins.module_utils._policy.confirm import CONFIRM_OPTIONS, run
from ansible_collections.oomkit.linux.plugins.module_utils._policy.overcommit import OvercommitPolicy


def main() -> None:
    """Declare the options and run."""
    run_module(OvercommitPolicy, run,
               dict(CONFIRM_OPTIONS, commit_limit=dict(type='raw'), min_headroom=dict(type='raw', default='5%')),
               [('ratio', 'kbytes', 'commit_limit')])


if __name__ == '__main__':
    main()
