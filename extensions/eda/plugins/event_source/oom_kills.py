# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source oom_kills of Event-Driven Ansible."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from typing import Any

DOCUMENTATION = r'''
name: oom_kills
short_description: Report every process that the kernel kills because memory ran out
version_added: 0.1.0
description:
  - Follows the kernel log and emits an event for each kill as it happens, with the fields of C(kills.recent) of
    M(oomkit.linux.oom_facts), the host, and whether records of the log were lost before it.
  - It reads the log of the machine that C(ansible-rulebook) runs on, or a file into which a syslog daemon writes the
    messages of that machine or of many.
options:
  path:
    description:
      - The log. C(/dev/kmsg) takes root or CAP_SYSLOG, unless C(kernel.dmesg_restrict) is 0.
      - Or a file in the formats of rsyslog and of RFC 3164. It is followed when it is renamed, cut, removed and made
        again. Programs can write to such a log under the kernel's name; only C(/dev/kmsg) is proof against that.
    type: str
    default: /dev/kmsg
  replay:
    description:
      - Begin with the kills that the log still holds, and not with the next one.
    type: bool
    default: false
  poll_interval_s:
    description:
      - How often a file is read, in seconds from 0.05 to 60. C(/dev/kmsg) needs no polling.
    type: float
    default: 0.5
author:
  - oomkit contributors (@oomkit)
'''

EXAMPLES = r'''
- name: Follow this machine
  oomkit.linux.oom_kills:

- name: Follow the log that all machines send their messages to
  oomkit.linux.oom_kills:
    path: /var/log/remote/kern.log
    poll_interval_s: 1
'''

# ansible-rulebook runs this file by its path, and does not know collections as packages of Python.
_ROOT = os.path.abspath(__file__).rsplit(os.sep, 8)[0]


def events_module() -> Any:
    """The part of the collection that does the work. Raises ImportError where this file lies outside of it."""
    if os.path.isdir(os.path.join(_ROOT, 'ansible_collections')) and _ROOT not in sys.path:
        sys.path.append(_ROOT)
    return importlib.import_module('ansible_collections.oomkit.linux.plugins.plugin_utils._events.source')


async def main(queue: asyncio.Queue, args: dict[str, Any]) -> None:
    """Put an event into the queue for each kill, until cancelled. Raises EventsError with what to do."""
    events = events_module()
    # What the rulebook engine adds for itself begins with its name.
    request = events.parse_request({name: value for name, value in args.items()
                                    if not (isinstance(name, str) and name.startswith('eda_'))})
    following = events.follow(request)
    try:
        async for event in following:
            await queue.put(event)
    finally:
        await following.aclose()


if __name__ == '__main__':
    class Screen:
        """Shows what would go to the rulebook."""

        async def put(self, event: dict[str, Any]) -> None:
            """One event."""
            print(event, flush=True)

    asyncio.run(main(Screen(), dict(word.split('=', 1) for word in sys.argv[1:])))
