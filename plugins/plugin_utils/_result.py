# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check and sanitize the answer of a host to a module, for the controller.

Ansible makes a variable of each fact of each module, and facts override the inventory. So a compromised host could
choose where the next task connects to, or which file a playbook writes. The modules of this collection return no fact
except ``oom``: an answer with other facts is refused, and none of its facts becomes a variable.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleActionFail
from ansible.module_utils.json_utils import _filter_non_json_lines
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._core.convert import quote
from ..module_utils._core.sanitize import sanitize, sanitize_lines

_FACTS = {'oomkit.linux.oom_facts': 'oom', 'oomkit.linux.oom_policy': 'oom'}
# Ansible adds the path of Python itself.
_OF_ANSIBLE = 'discovered_interpreter_'
# As a fact it would decide where Ansible connects to.
_HOST_NAME = 'inventory_hostname'
# Texts that have lines. All others are one line.
_WITH_LINES = ('before', 'after', 'module_stdout', 'module_stderr', 'exception')
_MOST_NAMED = 3


class HostAction(NormalAction):  # type: ignore[misc]  # ansible-core has no types
    """Runs a module on the host as Ansible does, and checks its answer."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module. Raises AnsibleActionFail."""
        known = (task_vars or {}).get('ansible_facts')
        if isinstance(known, Mapping) and _HOST_NAME in known:
            raise AnsibleActionFail(
                'The facts of this host hold inventory_hostname, which decides where Ansible connects to. Nothing was '
                'done. Look at the host, and remove its facts from the cache. [OOMK-3002]')
        name = getattr(self._task, 'resolved_action', None) or self._task.action
        return check_answer(super().run(tmp, task_vars), _FACTS.get(name))

    def _parse_returned_data(self, res: dict[str, t.Any], *args: t.Any, **kwargs: t.Any) -> t.Any:
        """Sanitize first: ansible-core 2.21 prints the module's warnings, and all cores the text around the answer."""
        return super()._parse_returned_data(dict(res, stdout=sanitize_output(res['stdout'])), *args, **kwargs)


def sanitize_output(stdout: str) -> str:
    """The output of the module without control characters, also in escapes of JSON."""
    try:
        answer, _around = _filter_non_json_lines(stdout, objects_only=True)
        return json.dumps(sanitize_answer(json.loads(answer)))
    except (ValueError, RecursionError):  # no answer: Ansible says so, and shows it
        return sanitize_lines(stdout)


def check_answer(result: dict[str, t.Any], allowed: str | None) -> dict[str, t.Any]:
    """The sanitized answer; a failure where it holds facts that the module does not return."""
    facts = result.get('ansible_facts')
    foreign = _list_foreign(facts, allowed)
    if foreign:
        result = {key: value for key, value in result.items() if key != 'ansible_facts'}
        result.update(failed=True, msg=(
            f"The host answered with facts that this module does not return ({', '.join(foreign)}). They are not "
            "used. Look at the host: somebody may have taken it over. [OOMK-3002]"))
    safe: dict[str, t.Any] = wrap_var(sanitize_answer(result))
    return safe


def _list_foreign(facts: t.Any, allowed: str | None) -> list[str]:
    """The first names of facts that the module does not return."""
    if facts is None:
        return []
    if not isinstance(facts, Mapping):
        return [type(facts).__name__]
    found = sorted(quote(str(name)) for name in facts
                   if name != allowed and not (isinstance(name, str) and name.startswith(_OF_ANSIBLE)))
    return found[:_MOST_NAMED] + ['...'] * (len(found) > _MOST_NAMED)


def sanitize_answer(value: t.Any, lines: bool = False) -> t.Any:
    """The answer without control characters. With ``lines`` a text keeps its line ends and tabs."""
    if isinstance(value, str):
        return sanitize_lines(value) if lines else sanitize(value)
    if isinstance(value, Mapping):
        return {sanitize_answer(key): sanitize_answer(item, key in _WITH_LINES) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [sanitize_answer(item) for item in value]
    return _sanitize_message(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _sanitize_message(message: t.Any) -> t.Any:
    """An error or a warning: dataclasses from core 2.19 on, which check their types. Tracebacks have lines."""
    fields = {one.name: getattr(message, one.name) for one in dataclasses.fields(message) if one.init}
    clean = {name: sanitize_answer(value, lines=True) for name, value in fields.items()}
    return dataclasses.replace(message, **{
        name: tuple(clean[name]) if isinstance(value, tuple) else clean[name] for name, value in fields.items()})
