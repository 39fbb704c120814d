# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the host before a run."""

from typing import Dict, Optional, Tuple

from .._core.request import Request
from .._host import conf_files
from .._host.container import detect_container
from .._host.environment import is_chroot
from .._host.meminfo import get_page_kb, read_memory
from .._host.writable import WritableHost
from .._kernel import sysctls
from . import boot_facts, loader, saved_values
from .boot import BootOutcome, simulate
from .records import ALL_KEYS

# By key, the value before and after a change at runtime; ratio and kbytes as a pair.
Unconfirmed = Dict[str, Tuple[Optional[int], Optional[int]]]


class HostState:
    """State of the host before the run."""

    def __init__(self, host: WritableHost, unconfirmed: Optional[Unconfirmed] = None) -> None:
        """Read the state. ``unconfirmed`` are sysctls of a change that nobody confirmed.

        They are reverted like recorded ones.
        """
        self.host = host
        self.page_kb = get_page_kb()
        self.loader = loader.find_loader(host)
        self.memory = read_memory(host)
        # An unreadable sysctl raises, unlike a missing one: its value to revert to would be unknown.
        self.runtime = {key: boot_facts.runtime_value(host, key) for key in ALL_KEYS}
        self.originals_data = saved_values.read(host)
        self.record = saved_values.parse(self.originals_data)
        self.unconfirmed = unconfirmed or {}
        self.boot_defaults = {
            **{key: before for key, (before, _after) in self.unconfirmed.items()
               if key in (sysctls.ADMIN_RESERVE, sysctls.USER_RESERVE) and before is not None},
            **saved_values.boot_defaults(self.record)}
        self.container = detect_container(host)
        # In an image build, the kernel and the memory seen here are not those of the host that boots it.
        self.foreign_kernel = bool(self.container) or is_chroot(host)

    def is_for_another(self, request: Request) -> bool:
        """Whether this is an image build: another host boots the files, and nothing is set at runtime here."""
        return self.foreign_kernel and not request.runtime

    def boot(self, request: Request, overlay: Optional[conf_files.Overlay] = None) -> BootOutcome:
        """Simulate the next boot of the host that the request is for, with the files of the overlay.

        Another host's kernel command line and original values are unknown.
        """
        here = not self.is_for_another(request)
        return simulate(self.host, self.loader, self.boot_defaults if here else None, overlay, here)
