# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disposable Debian machine with a real kernel, under QEMU, for tests that a kernel must answer."""


class LabError(Exception):
    """Something that the lab needs is missing or went wrong; the message says what to do."""
