# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the variables of the role oom_policy, and find the parts of the policy that tags select."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Collection, Iterable, Mapping

from ansible.errors import AnsibleActionFail

PARTS = ('overcommit', 'panic', 'services')
ROLE = 'oomkit.linux.oom_policy'
PREFIX = 'oom_policy_'
RESULT = PREFIX + 'result'
_MOST_EDITS = 2
_RESULT_KEYS = frozenset({'failed', 'changed', 'skipped', 'results'})  # of a registered result
_AS_FACTS = re.compile('_*oom_policy_|inventory_hostname$')
_ANY_TASK = frozenset({'all', 'tagged'})  # values of --tags that are not tags of a task


def refuse_facts(facts: t.Any) -> None:
    """Refuse facts that are named like variables of the role. Raises AnsibleActionFail.

    Facts outrank the inventory, and any module can return any fact: a compromised host could choose its own policy.
    """
    found = sorted(name for name in map(str, facts) if _AS_FACTS.match(name)) if isinstance(facts, Mapping) else []
    if found:
        raise AnsibleActionFail(
            f"The facts of this host hold {', '.join(map(_show, found))}, and facts outrank the inventory. Look at the "
            "host and its facts in the cache. Do not set variables of the role by set_fact with cacheable. [OOMK-3001]")


def check_names(variables: Mapping[str, t.Any], known: Collection[str]) -> list[str]:
    """Warnings about variables that the role does not have. Raises AnsibleActionFail for a likely misspelling."""
    unknown = sorted(name for name, value in variables.items() if name.startswith('oom')
                     and name not in known and not _is_result(name, value))
    for name in unknown:
        near = _list_near(name, known)
        if near:
            raise AnsibleActionFail(f"{_show(name)}: the role has no such variable, it has {', '.join(near)}. Nothing "
                                    "was changed. Correct the name. [OOMK-3013]")
    return [f'{_show(name)}: the role has no such variable, so it was ignored. Remove or rename it. [OOMK-3013]'
            for name in unknown if name.startswith(PREFIX)]


def count_edits(one: str, other: str) -> int:
    """The Levenshtein distance of two names."""
    row = list(range(len(other) + 1))
    for number, char in enumerate(one, 1):
        previous, row[0] = row[0], number
        for column, against in enumerate(other, 1):
            previous, row[column] = row[column], min(
                row[column] + 1, row[column - 1] + 1, previous + (char != against))
    return row[-1]


def select_parts(given: t.Any, task_tags: Iterable[str], run_tags: Iterable[str]) -> list[str]:
    """The parts of the policy that --tags selects; all that are given if another tag of the task selects it."""
    parts = list(PARTS) if given is None else given.split(',') if isinstance(given, str) else list(given)
    tags = set(run_tags)
    selected = {part for part in PARTS if PREFIX + part in tags}
    others = _ANY_TASK.union(task_tags) - {PREFIX + part for part in PARTS}
    return [part for part in parts if not selected or others & tags or part.strip() in selected]


def _list_near(name: str, known: Iterable[str]) -> list[str]:
    return sorted(one for one in known if count_edits(name, one) <= _MOST_EDITS)


def _is_result(name: str, value: t.Any) -> bool:
    """Whether a task registered it."""
    return name == RESULT or (isinstance(value, Mapping) and not _RESULT_KEYS.isdisjoint(value))


def _show(name: str) -> str:
    return re.sub('[^A-Za-z0-9_]', '?', name)
