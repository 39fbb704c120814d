# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``ansible-test integration`` with this machine as its own target: those below tests/integration are harmless."""

from pathlib import Path

import commands
import results
import sanity

LIMIT_S = 600


def targets() -> list[str]:
    """The names of all targets."""
    return sorted(path.parent.name for path in (commands.CHECKOUT / 'tests' / 'integration').glob('targets/*/aliases'))


def run(folder: Path = commands.BIN) -> results.Tally:
    """All targets, by the ansible-test in ``folder`` and with its Python. Each is one check."""
    content = sanity.copied_collection()
    tally = results.Tally()
    for target in targets():
        code = commands.run([folder / 'ansible-test', 'integration', '--local', '--color', 'no', target], LIMIT_S,
                            content, commands.environment(folder))
        tally.check(target, code == 0, 'exit code %d' % code)
    return tally
