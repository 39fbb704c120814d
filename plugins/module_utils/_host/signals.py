# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block signals, restore handlers, and reset both in children."""

import contextlib
import signal
from typing import Iterable, Iterator

# A dropped connection must not leave the host between two states.
_BLOCKED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def block_signals() -> Iterator[None]:
    """Block these signals, and restore the mask at the end: the parent may have blocked some of them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def set_default_handler(number: int) -> Iterator[None]:
    """Give a signal its default handler, and restore the handler at the end."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        if before is not None:  # None: not installed from Python, so Python cannot restore it
            signal.signal(number, before)


def reset(blocked: Iterable[int] = ()) -> None:
    """In a child: default handlers for all signals, and a mask of exactly these."""
    for number in range(1, signal.NSIG):
        if signal.getsignal(number) not in (None, signal.SIG_DFL):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
