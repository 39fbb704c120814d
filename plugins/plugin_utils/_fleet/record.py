# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report keeps of a host: a small record of facts that the host may have made up.

A host that was broken into can answer anything. So nothing is taken as it comes: each value is of the type it has to
be, or unknown (None); texts are printable and short, lists have an end. A record does not grow with the host.
"""

from __future__ import annotations

import math
import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from ...module_utils._core.sanitize import sanitize

TEXT_LENGTH = 120
WORD_LENGTH = 20  # of what is one of a few names on an honest host
MESSAGE_LENGTH = 300
_CODES, _MOST_CODES = re.compile(r'(?: \[OOMK-[0-9]{4}\])+\Z'), 60
LIST_LENGTH = 16
_MOMENT = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z', re.ASCII)
LARGEST = 2 ** 63  # beyond this nothing in a kernel counts

# What became of a host.
OK, FAILED, UNREACHABLE, NO_FACTS = 'ok', 'failed', 'unreachable', 'no_facts'


@dataclass(slots=True)
class Candidate:
    """A process that may be the victim; see the facts of oom_facts."""

    name: str | None
    unit: str | None
    pid: int | None
    oom_score: int | None
    oom_score_adj: int | None
    rss_kb: int | None
    swap_kb: int | None


@dataclass(slots=True)
class Drift:
    """A sysctl that the next boot will change."""

    key: str
    runtime: str | None
    boot: str | None
    file: str | None


@dataclass(slots=True)
class Record:
    """A host. Numbers are in the unit of their name; None is unknown."""

    host: str
    status: str = NO_FACTS
    message: str = ''
    seen: bool = False  # whether it reported anything
    gathered_at: str | None = None
    mode: str | None = None
    limit_kb: int | None = None
    committed_kb: int | None = None
    headroom_kb: int | None = None
    used_percent: float | None = None
    enforced: bool | None = None
    memory_total_kb: int | None = None
    memory_available_kb: int | None = None
    swap_total_kb: int | None = None
    swap_free_kb: int | None = None
    panic_policy: str | None = None
    reboot_after_s: int | None = None
    kill_allocating_task: bool | None = None
    candidates: list[Candidate] | None = None
    drift: list[Drift] | None = None
    conflicts: list[str] = field(default_factory=list)
    competing_writers: list[str] = field(default_factory=list)
    reapplied: list[tuple[str, str]] = field(default_factory=list)  # key and text, shown only with a drift
    oom_daemons: list[str] = field(default_factory=list)
    kills_total: int | None = None
    last_kill: str | None = None
    container: str | None = None
    warnings: list[str] = field(default_factory=list)
    policy_changed: bool | None = None
    policy_reason: str | None = None
    restart_needed: list[str] = field(default_factory=list)

    def take_facts(self, facts: t.Any, candidates: int) -> None:
        """Store ``ansible_facts.oom``. A key that is absent keeps its earlier value, see gather_subset."""
        found = _to_mapping(facts)
        for key, reader in _READERS.items():
            if key in found:
                reader(self, found[key])
        for key, names in _VALUES.items():
            for name, (attribute, convert) in names.items() if key in found else ():
                setattr(self, attribute, convert(_to_mapping(found[key]).get(name)))
        if 'candidates' in found:
            value = found['candidates']
            self.candidates = None if value is None else [
                _read_candidate(one) for one in _to_mappings(value, candidates)]
        self._list_reapplied()
        self.seen, self.status = True, OK

    def _list_reapplied(self) -> None:
        drifting = {one.key for one in self.drift or ()}
        every = {text for _key, text in self.reapplied}
        self.competing_writers = [one for one in self.competing_writers if one not in every]
        self.competing_writers += [text for key, text in self.reapplied if key in drifting]

    def take_policy(self, result: t.Any) -> None:
        """Store the result of the module oom_policy. Without ``facts`` there is nothing else."""
        found = _to_mapping(result)
        self.policy_changed = _to_boolean(found.get('changed'))
        self.policy_reason = clean(found.get('reason'), MESSAGE_LENGTH)
        self.conflicts = [_describe_conflict(one) for one in _to_mappings(found.get('conflicts'))]
        self.restart_needed = _to_texts(found.get('restart_needed'))
        self.seen, self.status = True, OK


def clean(value: t.Any, length: int = TEXT_LENGTH) -> str | None:
    """A text as one printable line of at most ``length`` characters; a number as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, int) and abs(value) > LARGEST:  # Python shows no number of thousands of digits
        return None
    text = sanitize(str(value)[:length + 1])
    if len(text) <= length:
        return text
    codes = find_codes(str(value))
    codes = codes if len(codes) < length // 2 else ''
    return text[:length - 1 - len(codes)] + '…' + codes


def find_codes(message: str) -> str:
    """The codes of docs/errors.md at the end of a message: what is cut keeps them."""
    found = _CODES.search(message[-_MOST_CODES:])
    return found.group() if found else ''


def to_json(record: Record) -> dict[str, t.Any]:
    """The record as JSON has it."""
    result: dict[str, t.Any] = {one.name: getattr(record, one.name) for one in fields(record)}
    for name in ('candidates', 'drift'):
        if result[name] is not None:
            result[name] = [{each.name: getattr(one, each.name) for each in fields(one)} for one in result[name]]
    for name in ('seen', 'reapplied'):
        del result[name]
    return result


# ------------------------------------------------------------------------ readers

def _read_overcommit(record: Record, value: t.Any) -> None:
    names = [clean(_to_mapping(value).get(key), WORD_LENGTH) for key in ('mode_name', 'mode')]
    record.mode = names[0] or names[1]


def _read_drift(record: Record, value: t.Any) -> None:
    record.drift = None if value is None else [
        Drift(clean(one.get('key')) or '?', clean(one.get('runtime'), WORD_LENGTH), clean(one.get('boot'), WORD_LENGTH),
              clean(one.get('file')))
        for one in _to_mappings(value)]


def _read_kills(record: Record, value: t.Any) -> None:
    kills = _to_mapping(value)
    record.kills_total = _to_integer(kills.get('total'))
    recent = kills.get('recent')
    last = _to_mapping(recent[-1]) if isinstance(recent, list) and recent else {}
    record.last_kill = ' '.join(filter(None, (clean(last.get('when')), clean(last.get('name'))))) or None


def _read_competing_writers(record: Record, value: t.Any) -> None:
    """Keep ``reapplies`` separate: TuneD writes the administrator's own value, which matters only with a drift."""
    found = []
    for one in _to_mappings(value):
        by, how, key, written = (clean(one.get(name)) or '?' for name in ('by', 'how', 'key', 'value'))
        found.append((how == 'reapplies', key, f'{by} {how} {key} = {written}'))
    record.competing_writers = [text for reapplies, _key, text in found if not reapplies]
    record.reapplied = [(key, text) for reapplies, key, text in found if reapplies]


def _read_oom_daemons(record: Record, value: t.Any) -> None:
    record.oom_daemons = [clean(one.get('name')) or '?' for one in _to_mappings(value)]


def _read_environment(record: Record, value: t.Any) -> None:
    record.container = clean(_to_mapping(value).get('container'))
    moment = clean(_to_mapping(value).get('gathered_at'))
    record.gathered_at = moment if moment and _MOMENT.match(moment) else None


def _read_warnings(record: Record, value: t.Any) -> None:
    record.warnings = _to_texts(value)


_READERS: dict[str, t.Callable[[Record, t.Any], None]] = {
    'overcommit': _read_overcommit, 'drift': _read_drift, 'kills': _read_kills, 'oom_daemons': _read_oom_daemons,
    'competing_writers': _read_competing_writers, 'environment': _read_environment, 'warnings': _read_warnings,
}


def _read_candidate(one: Mapping[t.Any, t.Any]) -> Candidate:
    return Candidate(
        clean(one.get('name')), clean(one.get('unit')), _to_integer(one.get('pid')), _to_integer(one.get('oom_score')),
        _to_integer(one.get('oom_score_adj')), _to_integer(one.get('rss_kb')), _to_integer(one.get('swap_kb')))


def _describe_conflict(one: Mapping[t.Any, t.Any]) -> str:
    """A line of another file that wins at boot: of a sysctl, or of a service's OOMScoreAdjust."""
    names = [clean(one.get(key)) for key in ('key', 'unit', 'setting')]
    found = clean(one.get('next_start' if 'unit' in one else 'boot'))
    text = f"{' '.join(filter(None, names)) or '?'} will be {found or 'reset'}, not {clean(one.get('wanted')) or '?'}"
    place = ':'.join(filter(None, (clean(one.get('file')), clean(one.get('line')))))
    return f'{text} ({place})' if place else text


# -------------------------------------------------------------------- plain values

def _to_mapping(value: t.Any) -> Mapping[t.Any, t.Any]:
    return value if isinstance(value, Mapping) else {}


def _to_mappings(value: t.Any, length: int = LIST_LENGTH) -> list[Mapping[t.Any, t.Any]]:
    return [one for one in value[:length] if isinstance(one, Mapping)] if isinstance(value, list) else []


def _to_texts(value: t.Any) -> list[str]:
    """The texts of a list, each as one line."""
    some = value[:LIST_LENGTH] if isinstance(value, list) else []
    return [text for text in (clean(one, MESSAGE_LENGTH) for one in some) if text]


def _to_word(value: t.Any) -> str | None:
    return clean(value, WORD_LENGTH)


def _to_integer(value: t.Any) -> int | None:
    """An integer of a size that a kernel has."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        return None
    return int(value)


def _to_number(value: t.Any) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
        return None
    return float(value) if math.isfinite(value) else None


def _to_boolean(value: t.Any) -> bool | None:
    return value if isinstance(value, bool) else None


# By fact and key: the attribute of the record, and what converts the value.
_VALUES: dict[str, dict[str, tuple[str, t.Callable[[t.Any], t.Any]]]] = {
    'commit': {'limit_kb': ('limit_kb', _to_integer), 'committed_kb': ('committed_kb', _to_integer),
               'headroom_kb': ('headroom_kb', _to_integer), 'used_percent': ('used_percent', _to_number),
               'enforced': ('enforced', _to_boolean)},
    'memory': {'total_kb': ('memory_total_kb', _to_integer), 'available_kb': ('memory_available_kb', _to_integer),
               'swap_total_kb': ('swap_total_kb', _to_integer), 'swap_free_kb': ('swap_free_kb', _to_integer)},
    'panic': {'policy': ('panic_policy', _to_word), 'reboot_after_s': ('reboot_after_s', _to_integer),
              'kill_allocating_task': ('kill_allocating_task', _to_boolean)},
}
