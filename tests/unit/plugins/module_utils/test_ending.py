# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module runs whoever started it."""

import os
import signal

from ansible_collections.oomkit.linux.plugins.module_utils import _ending, _startable


class Module:
    """What of AnsibleModule an ending needs."""

    check_mode = True

    def exit_json(self, **result):
        self.result = result

    def warn(self, text):
        raise AssertionError(text)


def test_programs_that_are_started_can_be_asked_how_they_ended():
    """Whoever started the module may have ignored SIGCHLD: then the kernel keeps no exit code (waitpid(2), ECHILD)."""
    module, old = Module(), signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        _ending.end_with(module, lambda _host: {'warnings': [], 'answers': _startable.probe()})
    finally:
        signal.signal(signal.SIGCHLD, old)
    assert os.geteuid() or set(module.result['answers'].values()) == {0}
