# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that ends a run before anything is touched."""


class Refusal(Exception):
    """A wish that cannot or should not be carried out; the message says what was asked and found, and what to do."""
