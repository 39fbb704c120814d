# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options the messages of modules name, and whether each module that can say a message has them.

A module can say the texts of what it uses in the files that it imports, directly or not, at the top or later. What it
uses is found by name: whatever is defined under a name that the code it uses mentions. A text names an option where it
has ``option: value`` of any module of the collection, with a value that an option of that name takes.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import architecture
import yaml
from refusals import PLAYS, python_texts, yaml_texts

# What a sentence advises to use: names of options, one or several.
_NAMED = re.compile(r'\b(?:[uU]se|[gG]ive|[sS]et|[aA]dd|[tT]ake) (?:the option )?'
                    r'([a-z][a-z_]*(?:(?:, | or | and | with )[a-z][a-z_]*\b(?!:))*)\b(?!:)')
_ABOUT = re.compile(r'([a-z][a-z_]*)(?:\.|:|\[)')  # a message that begins with an option is about that
_PAIR = re.compile(r'\b([a-z][a-z_]*): (true|false|-?[0-9]+|[a-z_]+)\b')


def imported(path: Path, plugins: Path) -> set[Path]:
    """The file and all of the collection that it imports, directly or not."""
    found, todo = set(), [path]
    while todo:
        one = todo.pop()
        if one in found:
            continue
        found.add(one)
        todo += architecture.imported(one, plugins)
    return found


def used_lines(files: set[Path], module: Path) -> dict[Path, set[int]]:
    """The lines of each file that the module can come to, by the names in them."""
    defined: dict[str, list[tuple[Path, ast.AST]]] = {}
    todo: list[tuple[Path, ast.AST]] = []
    for path in files:
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            if path == module:
                todo.append((path, node))
            for name, part in _definitions(node):
                defined.setdefault(name, []).append((path, part))
    lines: dict[Path, set[int]] = {path: set() for path in files}
    seen: set[str] = set()
    while todo:
        path, node = todo.pop()
        parts = list(ast.walk(node))
        lines[path].update(part.lineno for part in parts if hasattr(part, 'lineno'))
        names = {part.id for part in parts if isinstance(part, ast.Name)}
        names |= {part.attr for part in parts if isinstance(part, ast.Attribute)}
        for name in names - seen:
            todo += defined.get(name, [])
        seen |= names
    return lines


def _definitions(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    """Functions, methods and constants by name; of a class its special methods are under its own name."""
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            name = getattr(part, 'name', node.name)
            yield node.name if name.startswith('__') else name, part
        for base in node.bases:
            yield node.name, base
    elif isinstance(node, ast.FunctionDef):
        yield node.name, node
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            for part in ast.walk(target):
                if isinstance(part, ast.Name):
                    yield part.id, node


def options_of(module: Path, plugins: Path) -> dict[str, list[dict]]:
    """Options by name, those of items too: several of one name may be there."""
    text, = (ast.literal_eval(node.value) for node in ast.parse(module.read_text(encoding='utf-8')).body
             if isinstance(node, ast.Assign) and node.targets[0].id == 'DOCUMENTATION')
    documents = [yaml.safe_load(text)]
    for name in documents[0].get('extends_documentation_fragment', []):
        file = plugins / 'doc_fragments' / (name.split('.')[2] + '.py')
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Assign) and node.targets[0].id == 'DOCUMENTATION':
                documents.append(yaml.safe_load(ast.literal_eval(node.value)))
    found: dict[str, list[dict]] = {}
    for document in documents:
        for name, option in _options(document.get('options') or {}):
            found.setdefault(name, []).append(option)
    return found


def _options(options: dict, key: str = 'suboptions') -> Iterator[tuple[str, dict]]:
    """``key`` is what holds the options of an option: another one in a role than in a module."""
    for name, option in options.items():
        yield name, option
        yield from _options(option.get(key) or {}, key)


def takes(options: list[dict], value: str) -> bool:
    """Whether one of these options takes the value."""
    for option in options:
        choices = [str(choice) for choice in option.get('choices') or []]
        if option.get('type') == 'bool':
            choices = ['true', 'false']
        if value in choices or (not choices and re.fullmatch('-?[0-9]+', value)):
            return True
    return False


def wrong_advice(plugins: Path) -> list[str]:
    """Each option that a message names and a module that can say the message does not have.

    What begins with an option is not said by modules without that.
    """
    modules = sorted(path for path in (plugins / 'modules').glob('*.py'))
    options = {module.stem: options_of(module, plugins) for module in modules}
    names = {name for one in options.values() for name in one}
    wrong = set()
    for module in modules:
        lines = used_lines(imported(module, plugins), module)
        for path in lines:
            for text in python_texts(path.read_text(encoding='utf-8'), path.name):
                if not text.is_message or int(text.place.rpartition(':')[2]) not in lines[path]:
                    continue
                for name, value in _PAIR.findall(text.text):
                    known = any(takes(one.get(name, []), value) for one in options.values())
                    if known and not takes(options[module.stem].get(name, []), value):
                        wrong.add('%s has no %s: %s, which it can advise (%s)' % (module.stem, name, value, text))
                about, own = _ABOUT.match(text.text), options[module.stem]
                if about and about.group(1) in names and about.group(1) not in own:
                    continue
                for name in names.intersection(_named(text.text)).difference(own):
                    wrong.add('%s has no %s, which it can advise (%s)' % (module.stem, name, text))
    return sorted(wrong)


def _named(text: str) -> set[str]:
    return {name for found in _NAMED.findall(text) for name in re.split(', | or | and | with ', found)}


def wrong_advice_of_role(checkout: Path) -> list[str]:
    """Each variable that a message of a role or a playbook names and the role does not have, with its value if any.

    Users of a role set its variables: a module's option is no advice for them, unless it is one of an item of a
    variable.
    """
    own: dict[str, list[dict]] = {}
    for path in checkout.glob('roles/*/meta/argument_specs.yml'):
        spec = yaml.safe_load(path.read_text(encoding='utf-8'))['argument_specs']['main']
        for name, option in _options(spec['options'], 'options'):
            own.setdefault(name, []).append(option)
    modules = {name for path in (checkout / 'plugins/modules').glob('*.py')
               for name in options_of(path, checkout / 'plugins')}
    wrong = set()
    for path in sorted(path for pattern in PLAYS for path in checkout.glob(pattern)):
        for text in yaml_texts(path.read_text(encoding='utf-8'), str(path.relative_to(checkout))):
            variables = set(re.findall(r'\b(?<!_)oom_policy_[a-z_]+', text.text)) if ' ' in text.text else set()
            named = _named(text.text) & modules if text.is_message else set()
            wrong.update('there is no %s (%s)' % (name, text) for name in (variables | named) - set(own))
            about = _ABOUT.match(text.text)
            for name, value in _PAIR.findall(text.text[about.end():] if about else text.text):
                known = own.get(name, [])
                is_any = any(option.get('type') == 'str' and not option.get('choices') for option in known)
                if text.is_message and name in modules | set(own) and not (is_any or takes(known, value)):
                    wrong.add('there is no %s: %s (%s)' % (name, value, text))
    return sorted(wrong)
