#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r'''
module: fleet_report
short_description: One report of all hosts from cached facts, without touching them
version_added: 0.1.0
description:
  - Makes the report of the callback P(oomkit.linux.fleet_report#callback) again, from the facts that
    M(oomkit.linux.oom_facts) left in Ansible's fact cache. No host is contacted.
  - It needs a cache that outlives a run, such as C(fact_caching = ansible.builtin.jsonfile) in C(ansible.cfg).
  - All is done on the controller, in one go for all hosts of the play. So use it with C(run_once).
  - The same facts make the same files, byte for byte.
options:
  hosts:
    description:
      - The hosts to report on.
      - By default all hosts of the play.
    type: list
    elements: str
  html:
    description: Where to write the page, on the controller. An empty text writes none.
    type: str
    default: oom-fleet-report.html
  json_lines:
    description: Where to write a JSON object for each host, a line each.
    type: str
    default: ''
  csv:
    description: Where to write a CSV file, a row for each host.
    type: str
    default: ''
  title:
    description: The heading of the page.
    type: str
    default: When memory runs out
  rows:
    description: How many hosts RV(table) has at most. V(0) is all.
    type: int
    default: 50
  candidates:
    description: How many candidates of each host the page and the JSON lines hold at most, up to 100.
    type: int
    default: 5
extends_documentation_fragment:
  - oomkit.linux.attributes
attributes:
  check_mode:
    support: full
    details:
      - The table is made, and no file is written.
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - In a folder that others can write to, a link and a file of somebody else are refused. Give no path that comes from
    facts of a host.
  - Facts that are older than C(fact_caching_timeout) are not in the cache any more. Their hosts are listed as without
    facts.
  - The role P(oomkit.linux.oom_policy#role) leaves its facts there too, but not what it did.
seealso:
  - module: oomkit.linux.oom_facts
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: Write the report on all hosts of the play
  oomkit.linux.fleet_report:
    html: fleet.html
    csv: fleet.csv
  run_once: true
  register: report

- name: Show it
  ansible.builtin.debug:
    msg: "{{ report.table }}"
  run_once: true
'''

RETURN = r'''
table:
  description: What the callback shows on a terminal, as lines.
  returned: success
  type: list
  elements: str
  sample:
    - "    HOST   USED    LIMIT     OVERCOMMIT  WHEN OUT      NEXT VICTIM                DRIFT  KILLS"
    - "!!  db-1   98.2 %  15.2 GiB  never       panic, HANGS  the whole machine (panic)      -      -"
    - "    web-1  31.0 %  3.7 GiB   heuristic   kill          java (search.service)          -      -"
    - ""
    - "2 hosts: 2 ok; 1 critical, 0 with warnings, 1 fine, 0 in drift, 1 would hang; overcommit 1 never, 1 heuristic"
files:
  description: The files that were asked for.
  returned: success
  type: list
  elements: str
  sample: [oom-fleet-report.html]
hosts:
  description: How many hosts the report is about.
  returned: success
  type: int
  sample: 2
without_facts:
  description: How many of them have no facts in the cache.
  returned: success
  type: int
  sample: 0
'''
