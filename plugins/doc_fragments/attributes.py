# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the attributes of this collection's modules."""


class ModuleDocFragment:
    """Fragments oomkit.linux.attributes and oomkit.linux.attributes.actiongroup_oom, .facts."""

    DOCUMENTATION = r'''
options: {}
attributes:
  check_mode:
    description: Can run in check mode and report what would change, without changing anything.
  diff_mode:
    description: Reports in diff mode what has changed, or in check mode would change.
  idempotent:
    description: A second run with the same options changes nothing.
  platform:
    description: Systems that the module works on.
    platforms: linux
    support: full
'''

    ACTIONGROUP_OOM = r'''
options: {}
attributes:
  action_group:
    description: Use C(group/oomkit.linux.oom) in C(module_defaults) to set options for all modules that change things.
    support: full
    membership:
      - oomkit.linux.oom
'''

    FACTS = r'''
options: {}
attributes:
  facts:
    description: Returns an C(ansible_facts) dictionary that joins the host's facts.
    support: full
'''
