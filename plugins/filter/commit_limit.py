# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter commit_limit."""

from __future__ import annotations

import typing as t

from ansible_collections.oomkit.linux.plugins.plugin_utils._planning import build_filter, commit_limit_kb

DOCUMENTATION = r'''
name: commit_limit
short_description: Compute the CommitLimit of a machine, also of a planned one
version_added: 0.1.0
description:
  - Computes CommitLimit, what the kernel commits at most in overcommit mode 2 (V(never)), from the size of a machine
    and the settings that are planned for it. It is the arithmetic of C(vm_commit_limit) in C(mm/util.c), in whole
    pages.
  - Sizes are numbers of kB, as in C(/proc/meminfo), or texts with a unit, such as V(64G).
positional: swap, ratio, kbytes, hugepages, page_kb
options:
  _input:
    description:
      - MemTotal, which is some percent less than what the machine was sold with, as a size.
      - Or C(ansible_facts.oom.memory) of a host, which holds swap and huge pages too.
    type: raw
    required: true
  swap:
    description:
      - All of swap, which is always added in full. 0 by default, or what the facts say.
    type: raw
  ratio:
    description:
      - C(vm.overcommit_ratio) in percent of RAM without huge pages. Without this and O(kbytes) it is 50, as in the
        kernel.
      - Mutually exclusive with O(kbytes), unless one of them is 0.
    type: raw
  kbytes:
    description:
      - C(vm.overcommit_kbytes), the same as a size. V(0) counts as not given, although writing
        0 would set the ratio to 0 too.
    type: raw
  hugepages:
    description:
      - Memory in huge pages of all sizes, as a size. It lowers a limit from O(ratio), and not one from O(kbytes).
        0 by default, or what the facts say.
    type: raw
  page_kb:
    description:
      - The size of a page in kB.
    type: raw
    default: 4
seealso:
  - module: oomkit.linux.overcommit
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: CommitLimit of a machine with 64 GB and 4 GB of swap at a ratio of 80 %
  ansible.builtin.debug:
    msg: "{{ '64G' | oomkit.linux.commit_limit(swap='4G', ratio=80) }} kB"
  # 57881392 kB

- name: Look at this host
  oomkit.linux.oom_facts:
    gather_subset: [memory]

- name: CommitLimit of this host at a ratio of 90 %, before anything is set
  ansible.builtin.debug:
    msg: "{{ ansible_facts.oom.memory | oomkit.linux.commit_limit(ratio=90) }} kB"

- name: Refuse a plan that is smaller than the database
  ansible.builtin.assert:
    that: planned | int >= 48 * 1024 * 1024
  vars:
    planned: "{{ '64G' | oomkit.linux.commit_limit(kbytes='50G', hugepages='32G') }}"
'''

RETURN = r'''
_value:
  description: CommitLimit in kB.
  type: int
  sample: 57881392
'''


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable]:
        """The filter by its name."""
        return {'commit_limit': build_filter('commit_limit', commit_limit_kb)}
