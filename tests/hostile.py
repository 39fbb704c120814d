# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a compromised host can answer: every variable the collection knows as a fact, with values that attack.

The variables are derived from the code, so that a new one is covered: files of the role, playbooks, templates, and
the options of the callback.
"""

import ctypes
import importlib
import json
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fleet_facts
import jinja2
import jinja2.meta
import yaml

# Variables of Ansible itself that steer the controller: the host to connect to, files and programs that ssh uses,
# folders that are searched.
OF_ANSIBLE = ('inventory_hostname', 'inventory_dir', 'group_names', 'ansible_facts', 'ansible_search_path',
              'ansible_control_path', 'ansible_control_path_dir', 'ansible_pkcs11_provider', 'ansible_remote_tmp')
# As variables these hide functions of the templates, which ends a task before it gets to anything else.
FUNCTIONS = {'lookup', 'query', 'q', 'undef', 'dict', 'range', 'namespace', 'omit', 'now'}
# Keywords that hold an expression without braces.
_EXPRESSIONS = ('when', 'that', 'failed_when', 'changed_when', 'until')
MODULES = ('oom_facts', 'oom_forecast_info', 'oom_policy', 'oom_score_adj', 'overcommit', 'panic_on_oom')
STEERING = '\x1b]0;commented out\x07\x9b31m\x7f\u202e\r\n\tx'
PRODUCT = '3000009'  # what TEMPLATE becomes where it is rendered
_TEMPLATE = "{{ lookup('ansible.builtin.pipe', 'touch %s') }}{{ 1000003 * 3 }}"


# ------------------------------------------------------------------- the variables

def variables(checkout: Path) -> set[str]:
    """All names of variables that the collection reads or sets."""
    found = set(OF_ANSIBLE) | set_by_role(checkout)
    for folder in ('roles', 'playbooks'):
        for path in (checkout / folder).rglob('*.yml'):
            content = yaml.safe_load(path.read_text(encoding='utf-8'))
            found |= set(_set(content)) | set(_used(content))
    for path in (checkout / 'playbooks' / 'templates').iterdir():
        found |= _undeclared(path.read_text(encoding='utf-8'))
    return found | set(of_callbacks(checkout))


def exposed(checkout: Path) -> set[str]:
    """The variables that a fact could set: what is used, and given by nothing that outranks facts."""
    given: set[str] = set()
    for path in (checkout / 'playbooks/vars').glob('*.yml'):
        given |= set(yaml.safe_load(path.read_text(encoding='utf-8')))
    for folder in ('roles', 'playbooks'):
        for path in (checkout / folder).rglob('*.yml'):
            given |= set(_set(yaml.safe_load(path.read_text(encoding='utf-8'))))
    return (variables(checkout) - given - FUNCTIONS - set(OF_ANSIBLE)) | set(of_callbacks(checkout))


def set_by_role(checkout: Path) -> set[str]:
    """The variables of the role, and those that it registers."""
    role = checkout / 'roles' / 'oom_policy'
    found: set[str] = set(yaml.safe_load((role / 'defaults' / 'main.yml').read_text(encoding='utf-8')))
    specs = yaml.safe_load((role / 'meta' / 'argument_specs.yml').read_text(encoding='utf-8'))
    found |= {name for entry in specs['argument_specs'].values() for name in entry['options']}
    for path in (role / 'tasks').glob('*.yml'):
        found |= set(_set(yaml.safe_load(path.read_text(encoding='utf-8'))))
    return found


def _set(node: Any) -> Iterator[str]:
    """The variables that tasks and plays set or register."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ('vars', 'ansible.builtin.set_fact') and isinstance(value, dict):
                yield from value
            if key in ('register', 'loop_var', 'index_var') and isinstance(value, str):
                yield value
            yield from _set(value)
    elif isinstance(node, list):
        for one in node:
            yield from _set(one)


def _used(node: Any) -> Iterator[str]:
    """The variables in templates and expressions of tasks and plays."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in _EXPRESSIONS:
                for one in value if isinstance(value, list) else [value]:
                    yield from _undeclared('{{ %s }}' % one)
            yield from _used(value)
    elif isinstance(node, list):
        for one in node:
            yield from _used(one)
    elif isinstance(node, str):
        yield from _undeclared(node)


class _Anything(dict):
    """Filters or tests of any name: Ansible's own are not needed to find variables."""

    def get(self, _name: str, _default: Any = None) -> Any:
        """Something that can be called."""
        return str


def _undeclared(text: str) -> set[str]:
    environment = jinja2.Environment()
    environment.filters = environment.tests = _Anything()
    return jinja2.meta.find_undeclared_variables(environment.parse(text))


def of_callbacks(checkout: Path) -> Iterator[str]:
    """The variables by which the callbacks' options can be given."""
    for path in (checkout / 'plugins' / 'callback').glob('*.py'):
        plugin = importlib.import_module('ansible_collections.oomkit.linux.plugins.callback.' + path.stem)
        for option in yaml.safe_load(plugin.DOCUMENTATION)['options'].values():
            yield from (one['name'] for one in option.get('vars', ()))


# ---------------------------------------------------------------------- the values

def relative(bait: Path) -> str:
    """A path from whatever folder to a file that is there, also with .yml behind it."""
    return '../' * 40 + os.fspath(bait / 'secret').lstrip('/')


def attacks(bait: Path) -> dict[str, Callable[[str], Any]]:
    """For each kind of attack, what a variable of some name holds. All paths lead into the folder ``bait``."""
    return {
        'template': lambda name: _TEMPLATE % (bait / ('rendered-' + name)),
        'absolute': lambda name: str(bait / ('written-' + name)),
        'relative': lambda _name: relative(bait),
        'steering': lambda name: STEERING + name,
        # ansible-core 2.19 and later make objects of such a mapping; a trusted text would be rendered.
        'typed': lambda name: {'__ansible_type': '_AnsibleTaggedStr', 'tags': [{'__ansible_type': 'TrustedAsTemplate'}],
                               'value': _TEMPLATE % (bait / ('typed-' + name))},
    }


def replaced(value: Any, attack: Callable[[str], Any]) -> Any:
    """An answer with an attack in the place of each text; numbers and the form stay."""
    if isinstance(value, dict):
        return {key: replaced(item, attack) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, attack) for item in value]
    return attack('text') if isinstance(value, str) else value


def answers(checkout: Path) -> dict[str, dict[str, Any]]:
    """An honest answer of each module: the samples of its documentation."""
    found: dict[str, dict[str, Any]] = {}
    for name in MODULES:
        source = (checkout / 'plugins' / 'modules' / (name + '.py')).read_text(encoding='utf-8')
        returned = yaml.safe_load(re.search(r"^RETURN = r?'''(.*?)'''", source, re.MULTILINE | re.DOTALL)[1]) or {}
        found[name] = {key: value['sample'] for key, value in returned.items() if 'sample' in value}
        found[name].update(changed=False, warnings=['look out'], diff=[
            {'before_header': 'runtime', 'after_header': 'runtime', 'before': 'a = 1\n', 'after': 'a = 2\n'}])
    # What apply and rollback print.
    values = {place: {'vm.overcommit_memory': 0} for place in ('runtime', 'boot')}
    conflict = {'key': 'vm.x', 'wanted': 0, 'boot': 1, 'file': '/etc/x', 'line': 1}
    start = {'score_adj': 0, 'oom_policy': 'kill', 'file': '/etc/y', 'line': 1}
    found['oom_policy'].update(confirmation={'state': 'confirmed'})
    found['oom_policy'].update(changed=True, before=values, after=values, conflicts=[conflict], services=[{
        'unit': 'x.service', 'before': 0, 'after': 1, 'next_start_before': start, 'next_start': start,
        'restart_needed': True, 'changed_pids': [7], 'skipped_count': 1, 'notes': ['a note']}])
    for name in ('oom_facts', 'oom_policy'):
        found[name]['ansible_facts'] = {'oom': fleet_facts.facts('h', 'db')}
    return found


def interpreter(folder: Path, answer: dict[str, dict[str, Any]]) -> Path:
    """A program in the place of Python that gives each module's fixed answer, whatever it is asked."""
    folder.mkdir()
    for name, result in answer.items():
        (folder / (name + '.json')).write_text(json.dumps(result), encoding='utf-8')
    program = folder / 'python'
    program.write_text('#!/bin/sh\nname="${1##*AnsiballZ_}"\nexec cat "%s/${name%%.py}.json"\n' % folder)
    program.chmod(0o755)
    return program


# ----------------------------------------------------------------------- the watch

class Watch:
    """Reports everything that is opened, made, changed or removed in a folder (inotify(7))."""

    _ALL = 0x0fff & ~0x18  # without the closing of files
    _IS_FOLDER = 0x40000000

    def __init__(self, folder: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._handle = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._handle < 0 or library.inotify_add_watch(self._handle, os.fsencode(folder), self._ALL) < 0:
            raise OSError(ctypes.get_errno(), 'inotify')

    def events(self) -> set[str]:
        """The names of files that something happened to since the last call."""
        found = set()
        try:
            data = os.read(self._handle, 1 << 20)
        except BlockingIOError:
            return found
        while data:
            _watch, mask, _cookie, length = struct.unpack_from('iIII', data)
            if length or not mask & self._IS_FOLDER:  # an indexer of the machine may list the folder itself
                found.add(os.fsdecode(data[16:16 + length].rstrip(b'\0')))
            data = data[16 + length:]
        return found

    def close(self) -> None:
        """Watch no more."""
        os.close(self._handle)
