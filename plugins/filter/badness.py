# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter badness."""

from __future__ import annotations

import typing as t

from ansible_collections.oomkit.linux.plugins.plugin_utils._planning import badness_pages, build_filter

DOCUMENTATION = r'''
name: badness
short_description: Compute the badness of a process, by which the kernel chooses a victim
version_added: 0.1.0
description:
  - Computes the badness of a process in pages. When memory runs out the kernel kills the process with the highest one.
    It is resident memory, swap and page tables, and C(oom_score_adj) thousandths of all memory, as C(oom_badness) in
    C(mm/oom_kill.c) adds them up from kernel 5.9 on. It can be negative.
  - Sizes are numbers of kB, or texts with a unit, such as V(6G).
  - A process at -1000 is never chosen, whatever its badness.
positional: total, score_adj, swap, page_tables, page_kb
options:
  _input:
    description:
      - Resident memory of the process, as a size.
      - Or a candidate of C(ansible_facts.oom.candidates), which holds all but O(total). What is given besides
        counts instead.
    type: raw
    required: true
  total:
    description:
      - RAM and swap together, as a size, or C(ansible_facts.oom.memory) of a host.
      - For a cgroup that reaches its limit, C(memory.max) and what it may use of swap.
    type: raw
    required: true
  score_adj:
    description:
      - Its C(oom_score_adj), from -1000 to 1000. 0 by default, or that of the candidate.
    type: raw
  swap:
    description:
      - What of it is swapped out, as a size. 0 by default, or that of the candidate.
    type: raw
  page_tables:
    description:
      - Its page tables, as a size. 0 by default, or those of the candidate. Roughly a 500th of what it uses.
    type: raw
  page_kb:
    description:
      - The size of a page in kB.
    type: raw
    default: 4
seealso:
  - module: oomkit.linux.oom_forecast_info
  - module: oomkit.linux.oom_score_adj
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: Would a batch job of 2 GB at 500 go before a database of 24 GB at -500, on 32 GB
  ansible.builtin.assert:
    that: batch | int > database | int
  vars:
    batch: "{{ '2G' | oomkit.linux.badness('32G', score_adj=500) }}"
    database: "{{ '24G' | oomkit.linux.badness('32G', score_adj=-500) }}"

- name: Look at this host
  oomkit.linux.oom_facts:
    gather_subset: [memory, candidates]

- name: How the likeliest victim would be rated at 300
  ansible.builtin.debug:
    msg: "{{ ansible_facts.oom.candidates[0] | oomkit.linux.badness(ansible_facts.oom.memory, score_adj=300) }} pages"
'''

RETURN = r'''
_value:
  description: Badness in pages.
  type: int
  sample: 4718288
'''


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable]:
        """The filter by its name."""
        return {'badness': build_filter('badness', badness_pages)}
