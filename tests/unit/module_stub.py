# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for AnsibleModule."""

import re


class Module:
    """What of AnsibleModule an ending needs."""

    check_mode = True
    _diff = True

    def __init__(self):
        self.warnings = []

    def exit_json(self, **result):
        self.result = result

    def fail_json(self, **result):
        assert has_code(result['msg']), result
        raise Failed(result)

    def warn(self, text):
        assert has_code(text), text
        self.warnings.append(text)


def has_code(text):
    """Whether a message ends with its code."""
    return re.search(r' \[OOMK-[0-9]{4}\]\Z', text) is not None


class Failed(Exception):
    """As AnsibleModule ends the program there."""
