# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The thresholds of an OOM daemon, and the sentences that say them."""

from typing import Any, Dict, List, NamedTuple, Optional

from .._core.sanitize import sanitize, sanitize_optional
from .._host.host import Host
from .._host.meminfo import read_memory

# What is measured.
AVAILABLE_MEMORY, FREE_SWAP, USED_MEMORY, USED_SWAP = 'available_memory', 'free_swap', 'used_memory', 'used_swap'
USED_ZRAM, MEMORY_PRESSURE = 'used_zram', 'memory_pressure'
# What the daemon does.
TERM, KILL, WARNING = 'SIGTERM', 'SIGKILL', 'warning'

MAX_NUMBER_LENGTH = 40  # the time that an expression for numbers takes grows with the square of the length
MAX_KB = 1 << 62


class Condition(NamedTuple):
    what: str  # one of those above
    below_percent: Optional[float]  # None for a limit that does not count; all other limits must hold
    above_percent: Optional[float]
    below_kb: Optional[int]
    above_kb: Optional[int]


class Threshold(NamedTuple):
    action: str
    when: List[Condition]  # all must hold
    for_s: Optional[float]  # how long they must hold; None: the daemon acts at once
    units: Optional[List[str]]  # only in the control groups below these; None: on the whole machine
    file: Optional[str]  # where it is set; None: by an argument or by default


class DaemonSettings(NamedTuple):
    thresholds: List[Threshold]
    dry_run: bool  # the daemon only logs what it would do
    notes: List[str]  # what else decides when it kills, and which process


class Totals(NamedTuple):
    memory_kb: Optional[int]
    swap_kb: Optional[int]


class UnknownThresholds(Exception):
    """Why the thresholds are not known."""


def below(what: str, percent: Optional[float], kb: Optional[int] = None) -> Condition:
    """A condition that holds below the limits."""
    return Condition(what, percent, None, kb, None)


def above(what: str, percent: Optional[float], kb: Optional[int] = None) -> Condition:
    """A condition that holds above the limits."""
    return Condition(what, None, percent, None, kb)


def read_totals(host: Host) -> Totals:
    """The memory and swap of the machine."""
    memory = read_memory(host)
    return Totals(None, None) if memory is None else Totals(memory.total_kb, memory.swap_total_kb)


def note_missing_swap(totals: Totals) -> List[str]:
    """The note that the condition on free swap always holds."""
    return ['there is no swap now, which counts as no free swap'] if totals.swap_kb == 0 else []


def build_fact(threshold: Threshold) -> Dict[str, Any]:
    """The threshold as the module returns it."""
    units, path = threshold.units, threshold.file
    return {'action': threshold.action, 'when': [dict(one._asdict()) for one in threshold.when],
            'for_s': threshold.for_s, 'units': None if units is None else [sanitize(unit) for unit in units],
            'file': sanitize_optional(path), 'text': sanitize(describe(threshold))}


def describe(threshold: Threshold) -> str:
    """The threshold as an English sentence without its full stop."""
    text = f"{threshold.action} when {' and '.join(_describe_condition(one) for one in threshold.when)}"
    if threshold.for_s is not None:
        text += f' for {_format_number(threshold.for_s)} s'
    if threshold.units is None:
        return text
    units = ', '.join(threshold.units) or 'marked units (none is known)'
    return f'{text}, only in control groups below {units}'


def _describe_condition(one: Condition) -> str:
    limits = [(word, f'{_format_number(value)} {unit}') for word, value, unit in (
        ('below', one.below_kb, 'kB'), ('below', one.below_percent, '%'), ('above', one.above_kb, 'kB'),
        ('above', one.above_percent, '%')) if value is not None]
    text = f"{one.what.replace('_', ' ')} is {' '.join(limits[0])}"
    return text + ''.join(f' ({limit})' for _word, limit in limits[1:])


def _format_number(value: float) -> str:
    return str(value) if isinstance(value, int) else f'{value:.2f}'.rstrip('0').rstrip('.')
