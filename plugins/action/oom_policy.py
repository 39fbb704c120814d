# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges the profile, and confirms over a new connection; see plugin_utils/_confirm.py."""

from __future__ import annotations

from ansible_collections.oomkit.linux.plugins.plugin_utils._confirm import PolicyAction


class ActionModule(PolicyAction):
    """Runs the module on the host, twice if the change has to be confirmed."""
