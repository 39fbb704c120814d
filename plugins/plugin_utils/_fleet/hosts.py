# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All hosts of a report: what is wrong with each, the worst first, and the counts."""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from dataclasses import dataclass

from .record import FAILED, MESSAGE_LENGTH, NO_FACTS, OK, UNREACHABLE, Record, clean

FINE, WARNING, CRITICAL = 0, 1, 2
LEVEL_NAMES = {FINE: 'fine', WARNING: 'warning', CRITICAL: 'critical'}
FULL_PERCENT = 90.0  # of an enforced CommitLimit
SCARCE_PERCENT = 5.0  # of memory that is available

_INSTANCE = re.compile(r'@.+(?=\.service\Z)', re.DOTALL)
_DIGITS = re.compile(r'([0-9]+)')


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that an operator should look at."""

    level: int
    text: str


def panics(record: Record) -> bool:
    """Whether the kernel panics when the machine is out of memory (vm.panic_on_oom 1 or 2)."""
    return record.panic_policy in ('panic', 'panic_always')


def hangs(record: Record) -> bool:
    """Whether it does not reboot after that panic (kernel.panic 0)."""
    return panics(record) and record.reboot_after_s == 0


def describe_oom(record: Record) -> str:
    """What happens when memory runs out, in a word or two."""
    if not panics(record):
        return record.panic_policy or '?'
    seconds = record.reboot_after_s
    if seconds is None:
        return 'panic'
    return 'panic, HANGS' if seconds == 0 else 'panic, reboot' if seconds < 0 else f'panic, {seconds} s'


def find_problems(record: Record) -> list[Problem]:
    """All that is wrong with a host, the worst first."""
    found = []
    if hangs(record):
        found.append(Problem(CRITICAL, 'panics when memory runs out, and hangs for ever (kernel.panic is 0)'))
    found += _limit_problems(record)
    if record.drift:
        found.append(Problem(WARNING, f"the next boot changes {', '.join(one.key for one in record.drift)}"))
    if record.conflicts:
        found.append(Problem(WARNING, f"other files win at boot: {'; '.join(record.conflicts)}"))
    if record.restart_needed:
        found.append(Problem(WARNING, f"to be restarted: {', '.join(record.restart_needed)}"))
    if record.kills_total:
        last = f' (the last one: {record.last_kill})' if record.last_kill else ''
        found.append(Problem(WARNING, f'killed since boot: {record.kills_total}{last}'))
    return sorted(found, key=lambda one: -one.level)


def _limit_problems(record: Record) -> t.Iterator[Problem]:
    """CommitLimit where it is enforced, free memory where it is not."""
    if record.enforced:
        if record.headroom_kb is not None and record.headroom_kb <= 0:
            yield Problem(CRITICAL, 'CommitLimit is used up: ordinary users can start no more programs')
        elif record.used_percent is not None and record.used_percent >= FULL_PERCENT:
            yield Problem(WARNING, f'{record.used_percent:.1f} % of CommitLimit are committed')
    elif record.memory_total_kb and record.memory_available_kb is not None:
        percent = 100.0 * record.memory_available_kb / record.memory_total_kb
        if percent < SCARCE_PERCENT:
            yield Problem(WARNING, f'only {percent:.1f} % of memory are available')


def find_level(record: Record) -> int:
    """The worst of its problems."""
    return max((one.level for one in find_problems(record)), default=FINE)


def describe_victim(record: Record) -> str:
    """The next victim for a table: name and unit of the first candidate, unless a sysctl decides otherwise."""
    rule = _apply_rules(record)
    if rule:
        return rule
    if not record.candidates:
        return '?' if record.candidates is None else 'nobody'
    first = record.candidates[0]
    return f"{first.name or '?'} ({first.unit})" if first.unit else first.name or '?'


def describe_victim_group(record: Record) -> str:
    """The next victim for counting: its service, with all instances of a template as one, or else its name."""
    rule = _apply_rules(record)
    if rule or not record.candidates:
        return rule or describe_victim(record)
    first = record.candidates[0]
    if first.unit and first.unit.endswith('.service'):
        return _INSTANCE.sub('@', first.unit)
    return first.name or '?'


def _apply_rules(record: Record) -> str | None:
    """The victim that does not depend on badness."""
    if panics(record):
        return 'the whole machine (panic)'
    return 'the allocating task' if record.kill_allocating_task else None


def build_natural_key(name: str) -> list[tuple[int, int, str]]:
    """A sort key by which web2 comes before web10."""
    return [(0, int(part), '') if part.isdecimal() and part.isascii() and len(part) < 19 else (1, 0, part)
            for part in _DIGITS.split(name)]


class Fleet:
    """The hosts, as they come in."""

    def __init__(self, candidates: int) -> None:
        self.candidates = candidates
        self._records: dict[str, Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def get_record(self, host: str) -> Record:
        """The record of a host, a new one at first."""
        if host not in self._records:
            self._records[host] = Record(clean(host) or '?')
        return self._records[host]

    def take_facts(self, host: str, facts: t.Any) -> None:
        """What oom_facts found."""
        self.get_record(host).take_facts(facts, self.candidates)

    def take_policy(self, host: str, result: t.Any) -> None:
        """Store what the module oom_policy did."""
        self.get_record(host).take_policy(result)

    def lose(self, host: str, status: str, message: t.Any) -> None:
        """A host that failed, was not reached, or reported no facts. Its earlier facts are kept."""
        record = self.get_record(host)
        record.status = status
        record.message = clean(message, MESSAGE_LENGTH) or ''

    def settle(self, failed: t.Collection[str], unreachable: t.Collection[str]) -> None:
        """Read from Ansible's statistics who failed: an ignored or rescued failure does not count."""
        for host, record in self._records.items():
            if host in unreachable:
                record.status = UNREACHABLE
            elif host in failed:
                record.status = FAILED
            elif record.seen:
                record.status, record.message = OK, ''
            elif record.status == FAILED:
                record.status = NO_FACTS

    def list_worst_first(self) -> list[Record]:
        """The hosts that reported facts, the worst first; equals by name."""
        return sorted((record for record in self._records.values() if record.seen), key=_rank)

    def list_silent(self) -> list[Record]:
        """The hosts that reported none, by name."""
        return sorted((record for record in self._records.values() if not record.seen),
                      key=lambda record: build_natural_key(record.host))

    def count(self) -> Counts:
        """The numbers of the report."""
        return Counts(list(self._records.values()))


def _rank(record: Record) -> tuple[t.Any, ...]:
    found = find_problems(record)
    levels = Counter(one.level for one in found)
    used_percent = record.used_percent or 0.0
    return (-max(levels, default=FINE), -levels[CRITICAL], -levels[WARNING],
            -(used_percent if record.enforced else 0.0), -(record.kills_total or 0), -used_percent,
            build_natural_key(record.host))


class Counts:
    """What is counted. Statuses add up to all hosts; levels, modes, policies and victims to those with facts."""

    def __init__(self, records: list[Record]) -> None:
        seen = [record for record in records if record.seen]
        self.hosts = len(records)
        self.seen = len(seen)
        self.statuses = Counter(record.status for record in records)
        self.levels = Counter(map(find_level, seen))
        self.modes = Counter(record.mode or '?' for record in seen)
        self.policies = Counter(map(_describe_policy, seen))
        self.victims = Counter(map(describe_victim_group, seen))
        self.drifting = sum(bool(record.drift) for record in seen)
        self.conflicting = sum(bool(record.conflicts) for record in seen)
        self.hanging = sum(map(hangs, seen))
        self.kills = sum(filter(None, (record.kills_total for record in seen)))

    def summary(self) -> str:
        """One line."""
        names = {OK: 'ok', FAILED: 'failed', UNREACHABLE: 'unreachable', NO_FACTS: 'without facts'}
        statuses = [f'{self.statuses[status]} {name}' for status, name in names.items()
                    if self.statuses[status] or status == OK]
        rest = [f'{self.levels[CRITICAL]} critical', f'{self.levels[WARNING]} with warnings',
                f'{self.levels[FINE]} fine', f'{self.drifting} in drift']
        if self.conflicting:
            rest.append(f'{self.conflicting} in conflict')
        if self.hanging:
            rest.append(f'{self.hanging} would hang')
        modes = [f'{count} {mode}' for mode, count in self.modes.most_common()]
        return (f"{self.hosts} host{'' if self.hosts == 1 else 's'}: {', '.join(statuses)}; {', '.join(rest)}; "
                f"overcommit {', '.join(modes) or 'unknown'}; {self.kills} killed since boot")


def _describe_policy(record: Record) -> str:
    """How a host takes running out of memory, for counting."""
    if not panics(record):
        return record.panic_policy or '?'
    if record.reboot_after_s is None:
        return 'panic'
    return 'panic, hangs for ever' if hangs(record) else 'panic, then reboot'
