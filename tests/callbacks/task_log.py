# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a JSON line for each result of each task to the file OOMKIT_TASK_LOG names: what a play did, for tests."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = '''
name: task_log
type: aggregate
short_description: Log of tasks for the tests of oomkit.linux
description: Only for tests.
requirements:
  - OOMKIT_TASK_LOG in the environment
'''


class CallbackModule(CallbackBase):
    """Aggregate callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'aggregate'
    CALLBACK_NAME = 'task_log'
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, status, result):
        task = result._task
        line = {'status': status, 'action': task.action, 'task': task.get_name(), 'result': result._result}
        with open(os.environ['OOMKIT_TASK_LOG'], 'a', encoding='utf-8') as log:
            log.write(json.dumps(line, default=str) + '\n')

    def v2_runner_on_ok(self, result):
        self._write('ok', result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._write('failed', result)

    def v2_runner_on_skipped(self, result):
        self._write('skipped', result)

    def v2_runner_on_unreachable(self, result):
        self._write('unreachable', result)
