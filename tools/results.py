# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage of the tests comes to, and how it is counted and told."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree


@dataclass
class Tally:
    """The outcome of a stage: how many checks passed, and each one that did not, by name and reason."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: 'Tally') -> None:
        """Add another's outcome, its seconds too."""
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips
        self.seconds += other.seconds

    def check(self, name: str, good: bool, reason: str = '') -> None:
        """Count one check."""
        if good:
            self.passed += 1
        else:
            self.failures.append('%s: %s' % (name, reason) if reason else name)


def save(path: Path, tally: Tally) -> None:
    """Keep an outcome for another process."""
    path.write_text(json.dumps(asdict(tally)), encoding='utf-8')


def load(path: Path) -> Tally:
    """The inverse of L(save). Raises OSError or ValueError where there is none or half of one."""
    return Tally(**json.loads(path.read_text(encoding='utf-8')))


def read_junit(path: Path) -> Tally:
    """The test cases of a JUnit file. Raises OSError or ParseError where there is none or half of one."""
    tally = Tally()
    for case in ElementTree.parse(path).iter('testcase'):
        name = '::'.join(part for part in (case.get('classname', ''), case.get('name', '')) if part)
        skipped = case.find('skipped')
        if skipped is not None:
            reason = skipped.get('message') or (skipped.text or '').strip() or 'no reason given'
            tally.skips.append('%s: %s' % (name, reason))
        else:
            bad = case.find('failure') is not None or case.find('error') is not None
            tally.check(name, not bad)
    return tally


def table(tallies: dict[str, Tally]) -> list[str]:
    """The closing lines: each skip and failure by name, a row for each stage, and the sum as the very last line."""
    lines = ['']
    for title, pick in (('skipped', lambda tally: tally.skips), ('FAILED', lambda tally: tally.failures)):
        lines += ['%s %s %s' % (title, stage, one) for stage, tally in tallies.items() for one in pick(tally)]
    lines += ['', '%-22s %7s %7s %8s %8s' % ('stage', 'passed', 'failed', 'skipped', 'seconds')]
    total = Tally()
    for stage, tally in tallies.items():
        lines.append(_row(stage, tally))
        total.add(tally)
    lines.append(_row('all', total))
    lines += ['', '%d passed, %d failed, %d skipped' % (total.passed, len(total.failures), len(total.skips))]
    return lines


def _row(stage: str, tally: Tally) -> str:
    counts = (tally.passed, len(tally.failures), len(tally.skips), tally.seconds)
    return '%-22s %7d %7d %8d %8.1f' % (stage, *counts)
