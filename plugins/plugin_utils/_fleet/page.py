# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML file, page.html.j2: no script, nothing from a network, all that is put in escaped."""

from __future__ import annotations

import itertools
import typing as t
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from .chart import WIDTH, chart
from .hosts import LEVEL_NAMES, Fleet, hangs, level, on_oom, problems, victim, victim_group
from .record import Record
from .text import cut, percent, size

_TEMPLATE = Path(__file__).with_name('page.html.j2')
_GROUPS = 40  # at most in a section; what is left out stands with each host
_HOSTS_OF_GROUP = 3
_OPEN = 50  # a group of so many hosts at most is unfolded

Placed = tuple[int, Record]  # a host with its place in the list


@dataclass(frozen=True, slots=True)
class Group:
    """What some hosts have in common; the first of them, and the rest, which is folded away."""

    what: t.Any
    count: int
    first: list[Placed]
    rest: list[Placed]


def html(fleet: Fleet, title: str) -> t.Iterator[str]:
    """The file in pieces, so that it is never in memory as a whole."""
    # Not Ansible's own templating, which has no autoescape.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(size=size, percent=percent, cut=cut)
    environment.globals.update(on_oom=on_oom, victim=victim, problems=problems, hangs=hangs)
    template = environment.from_string(_TEMPLATE.read_text(encoding='utf-8'))
    stream = template.stream(title=title, **_content(fleet))
    stream.enable_buffering(500)
    return stream


def _content(fleet: Fleet) -> dict[str, t.Any]:
    """What the template shows."""
    told = list(enumerate(fleet.worst_first()))
    counts = fleet.counts()
    victims = _groups((victim_group(record), (place, record)) for place, record in told)
    drift = _groups(((one.key, one.runtime, one.boot, one.file), (place, record))
                    for place, record in told for one in record.drift or ())
    conflicts = _groups((one, (place, record)) for place, record in told for one in record.conflicts)
    return {
        'counts': counts,
        'charts': [
            ('CommitLimit is enforced (overcommit never)', chart(one for one in told if one[1].enforced)),
            ('CommitLimit is not enforced', chart(one for one in told if one[1].enforced is False)),
        ],
        'width': WIDTH,
        'levels': [(LEVEL_NAMES[key], list(group))
                   for key, group in itertools.groupby(told, key=lambda one: level(one[1]))],
        'open': _OPEN,
        'victims': victims[:_GROUPS],
        'more_victims': len(victims[_GROUPS:]),
        'drift': drift[:_GROUPS],
        'more_drift': len(drift[_GROUPS:]),
        'conflicts': conflicts[:_GROUPS],
        'more_conflicts': len(conflicts[_GROUPS:]),
        'silent': fleet.silent(),
        'gathered': _span([record.gathered_at for _place, record in told if record.gathered_at]),
    }


def _groups(pairs: t.Iterable[tuple[t.Any, Placed]]) -> list[Group]:
    """The hosts by what they have in common, the most first."""
    found = defaultdict(list)
    for what, placed in pairs:
        found[what].append(placed)
    return [Group(what, len(hosts), hosts[:_HOSTS_OF_GROUP], hosts[_HOSTS_OF_GROUP:])
            for what, hosts in sorted(found.items(), key=lambda item: (-len(item[1]), str(item[0])))]


def _span(moments: list[str]) -> tuple[str, str] | None:
    """The first and the last moment of ISO texts in UTC."""
    return (min(moments), max(moments)) if moments else None
