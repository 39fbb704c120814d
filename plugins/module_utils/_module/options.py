# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every module of the action group oomkit.linux.oom accepts."""

from typing import Any, Dict

GROUP_OPTIONS: Dict[str, Dict[str, Any]] = dict(
    state=dict(type='str', choices=['present', 'absent'], default='present'),
    runtime=dict(type='bool', default=True),
    persistent=dict(type='bool', default=True),
    conflicts=dict(type='str', choices=['fail', 'warn', 'comment_out'], default='fail'),
    force=dict(type='bool', default=False),
    sysctl_file=dict(type='path', default='/etc/sysctl.d/99-oomkit.conf'),
)
