# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exception that ends a run before it changes anything."""

import contextlib
from typing import Dict, Iterator, List

# Causes that a caller may react to.
CONTAINER = 'container'  # the sysctls belong to the host, and this is a container
NOT_WRITABLE = 'not_writable'  # this is a host, and root may not write the sysctls
OTHER = 'other'

# Causes for which each module has its own advice.
NO_SERVICE, NO_UNIT_FILES, NO_SYSTEMD, NO_POLICY = 'service', 'unit_files', 'systemd', 'policy'


class Refusal(Exception):
    """A request that the module does not carry out. The message says what was requested and found, and what to do."""

    def __init__(self, message: str, code: str = OTHER) -> None:
        """``code`` is CONTAINER, NOT_WRITABLE or OTHER."""
        super().__init__(message)
        self.code = code
        self.messages = [message]  # several if several parts of a policy refuse


class NeedsAdvice(Refusal):
    """A refusal in code that several modules share. Each module adds its own advice."""

    def __init__(self, message: str, cause: str = '') -> None:
        """``cause`` is NO_SERVICE, NO_UNIT_FILES, NO_SYSTEMD or NO_POLICY. Pickle calls this without it."""
        super().__init__(message)
        self.cause = cause

    def add_advice(self, advice: Dict[str, str]) -> Refusal:
        """The refusal with the advice for its cause."""
        return Refusal(f'{self}. {advice[self.cause]}')


@contextlib.contextmanager
def collect_refusals(refusals: List[Refusal]) -> Iterator[None]:
    """Add a refusal of the block to the list, and go on after the block."""
    try:
        yield
    except Refusal as exc:
        refusals.append(exc)


def raise_refusals(refusals: List[Refusal]) -> None:
    """Raise all of them as one, if there are any."""
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        codes = [refusal.code for refusal in refusals if refusal.code != OTHER] + [OTHER]
        whole = Refusal(' '.join(str(refusal) for refusal in refusals), codes[0])
        whole.messages = [message for refusal in refusals for message in refusal.messages]
        raise whole
