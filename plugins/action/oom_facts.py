# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what the host answers to the module oom_facts; see plugin_utils/_result.py."""

from __future__ import annotations

from ansible_collections.oomkit.linux.plugins.plugin_utils._result import HostAction


class ActionModule(HostAction):
    """Runs the module on the host."""
