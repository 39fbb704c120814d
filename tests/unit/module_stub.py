# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for AnsibleModule."""


class Module:
    """What of AnsibleModule an ending needs."""

    check_mode = True
    _diff = True

    def __init__(self):
        self.warnings = []

    def exit_json(self, **result):
        self.result = result

    def fail_json(self, **result):
        raise Failed(result)

    def warn(self, text):
        self.warnings.append(text)


class Failed(Exception):
    """As AnsibleModule ends the program there."""
