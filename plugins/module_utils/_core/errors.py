# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that ends a run before anything is touched."""

from typing import Dict

# For whoever drives the modules: why it was refused, where another way of going on depends on it.
CONTAINER = 'container'  # the sysctls belong to the host, and this is a container
NOT_WRITABLE = 'not_writable'  # this is a host, and root may not write the sysctls
OTHER = 'other'


# Why advice is needed that differs by module.
NO_SERVICE, NO_UNIT_FILES, NO_SYSTEMD, NO_POLICY = 'service', 'unit_files', 'systemd', 'policy'


class Refusal(Exception):
    """A wish that cannot or should not be carried out; the message says what was asked and found, and what to do.

    ``code`` is one of the constants above.
    """

    def __init__(self, message: str, code: str = OTHER) -> None:
        super().__init__(message)
        self.code = code


class NeedsAdvice(Refusal):
    """A refusal without advice, of code that several modules share: each module adds what its user can do.

    ``cause`` is one of the constants above.
    """

    def __init__(self, message: str, cause: str = '') -> None:
        super().__init__(message)
        self.cause = cause

    def advised(self, advice: Dict[str, str]) -> Refusal:
        """The whole refusal, with the advice for its cause."""
        return Refusal(f'{self}. {advice[self.cause]}')
