# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML file from page.html.j2: no script, nothing from a network, every value escaped."""

from __future__ import annotations

import itertools
import typing as t
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from .chart import WIDTH, build_chart
from .hosts import (
    LEVEL_NAMES,
    Fleet,
    describe_oom,
    describe_victim,
    describe_victim_group,
    find_level,
    find_problems,
    hangs,
)
from .record import Record
from .text import cut, format_percent, format_size

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


def render_html(fleet: Fleet, title: str) -> t.Iterator[str]:
    """The file in pieces, so that it is never in memory as a whole."""
    # Not Ansible's own templating, which has no autoescape.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(size=format_size, percent=format_percent, cut=cut)
    environment.globals.update(on_oom=describe_oom, victim=describe_victim, problems=find_problems, hangs=hangs)
    template = environment.from_string(_TEMPLATE.read_text(encoding='utf-8'))
    stream = template.stream(title=title, **_build_content(fleet))
    stream.enable_buffering(500)
    return stream


def _build_content(fleet: Fleet) -> dict[str, t.Any]:
    """What the template shows."""
    hosts = list(enumerate(fleet.list_worst_first()))
    moments = [record.gathered_at for _place, record in hosts if record.gathered_at]  # ISO texts in UTC
    return {
        'counts': fleet.count(),
        'charts': [
            ('CommitLimit is enforced (overcommit never)', build_chart(one for one in hosts if one[1].enforced)),
            ('CommitLimit is not enforced', build_chart(one for one in hosts if one[1].enforced is False)),
        ],
        'width': WIDTH,
        'levels': [(LEVEL_NAMES[key], list(group))
                   for key, group in itertools.groupby(hosts, key=lambda one: find_level(one[1]))],
        'open': _OPEN,
        **_build_sections(hosts),
        'silent': fleet.list_silent(),
        'gathered': (min(moments), max(moments)) if moments else None,
    }


def _build_sections(hosts: list[Placed]) -> dict[str, t.Any]:
    """The first groups of each section, and the number of the others."""
    sections = {
        'victims': _group_hosts((describe_victim_group(one[1]), one) for one in hosts),
        'drift': _group_hosts(((drift.key, drift.runtime, drift.boot, drift.file), one)
                              for one in hosts for drift in one[1].drift or ()),
        'conflicts': _group_hosts((conflict, one) for one in hosts for conflict in one[1].conflicts),
    }
    return {**{name: groups[:_GROUPS] for name, groups in sections.items()},
            **{'more_' + name: len(groups[_GROUPS:]) for name, groups in sections.items()}}


def _group_hosts(pairs: t.Iterable[tuple[t.Any, Placed]]) -> list[Group]:
    """The hosts by what they have in common, the most first."""
    found = defaultdict(list)
    for what, placed in pairs:
        found[what].append(placed)
    return [Group(what, len(hosts), hosts[:_HOSTS_OF_GROUP], hosts[_HOSTS_OF_GROUP:])
            for what, hosts in sorted(found.items(), key=lambda item: (-len(item[1]), str(item[0])))]
