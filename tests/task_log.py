# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a play did, task by task, as tests/callbacks/task_log.py wrote it down."""

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / 'callbacks'
# What Ansible does without a module on the host.
ON_CONTROLLER = ('meta', 'set_fact', 'include_tasks', 'include_role', 'debug', 'assert', 'validate_argument_spec')


def variables(log):
    """The environment that has a play logged to this file."""
    return {
        'ANSIBLE_CALLBACK_PLUGINS': str(FOLDER),
        'ANSIBLE_CALLBACKS_ENABLED': 'task_log',
        'OOMKIT_TASK_LOG': str(log),
    }


def read(log):
    """The results, in order; none where no task ran."""
    return [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()] if log.exists() else []


def on_the_host(tasks):
    """The tasks that ran a module on the host."""
    return [
        task['action'].rpartition('.')[2]
        for task in tasks
        if task['status'] != 'skipped' and task['action'].rpartition('.')[2] not in ON_CONTROLLER
    ]


def last_message(tasks):
    """What the last debug task of the play showed."""
    return [task['result']['msg'] for task in tasks if task['action'].endswith('debug')][-1]
