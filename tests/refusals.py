# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which texts of the collection are messages to its users, and whether the guide docs/errors.md has them.

The rule: **every constant text of the plugins that has two words or more is a message**, wherever it stands and however
it is put together with others; and every constant given to an exception that is raised, of one word too. So it does not
matter by which function, list or variable a message gets to the user. In YAML it is what ``assert`` and ``fail`` say,
and quoted texts of two words within templates. No messages are

- documentation, docstrings and regular expressions (arguments of functions of ``re``);
- what draws the table and the page of the fleet report (DRAWING);
- the texts in NOT_MESSAGES, with the reason.

An error or warning ends with its code: the heading in the guide below which it stands. What is below a heading "Texts
in …" is a part of results and has none.

A text is in the guide if its words stand in one of the guide's messages, one after the other, with anything where the
text has a placeholder. In the reverse every word of the guide's messages outside ``<placeholders>`` must come from the
code.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

GUIDE = 'docs/errors.md'
CODE = ('plugins/action/*.py', 'plugins/callback/*.py', 'plugins/filter/*.py', 'plugins/module_utils/**/*.py',
        'plugins/modules/*.py', 'plugins/plugin_utils/**/*.py', 'extensions/eda/plugins/**/*.py')
PLAYS = ('playbooks/**/*.yml', 'roles/*/tasks/*.yml', 'roles/*/handlers/*.yml', 'roles/*/vars/*.yml')
DRAWING = {'_fleet/chart.py', '_fleet/page.py', '_fleet/text.py'}
NOT_MESSAGES = {
    '# Made by the Ansible collection oomkit.linux, which deletes this file once its last setting is gone.': 'in files',
    '# Made by the Ansible collection oomkit.linux; its module oom_score_adj edits and removes it.': 'in files',
    '# Settings as it wrote them:': 'in files',
    'oomkit.linux.…: …': 'before a message',
    'runtime': 'heading of a diff',
    '… (others may not read it: settings of this collection only)': 'heading of a diff',
    '[… unchanged lines]': 'in a diff',
    'When memory runs out': 'heading of the page',
    'OOM FLEET REPORT': 'heading on the terminal',
    '… host…: …; …; overcommit …; … killed since boot': 'counts of the fleet report',
    'without facts': 'counts of the fleet report',
    '… with warnings': 'counts of the fleet report',
    '… in drift': 'counts of the fleet report',
    '… in conflict': 'counts of the fleet report',
    '… would hang': 'counts of the fleet report',
    'panic, HANGS': 'a cell of the fleet report',
    'panic, reboot': 'a cell of the fleet report',
    'panic, hangs for ever': 'a cell of the fleet report',
    'panic, then reboot': 'a cell of the fleet report',
    'the whole machine (panic)': 'a cell of the fleet report',
    'the allocating task': 'a cell of the fleet report',
}

ANY = '…'
_PLACEHOLDER = re.compile(r'%(?:\([^)]*\))?[-+#0]*[0-9]*(?:\.[0-9]+)?[a-zA-Z]|\{[^{}]*\}')
_CODE = re.compile(r' ?\[(OOMK-[0-9]{4})\]$')
_WORD = re.compile(r"[A-Za-z_][\w.'-]+")
_DOCUMENTATION = ('DOCUMENTATION', 'EXAMPLES', 'RETURN')
_QUOTED = re.compile(r"""'([^'\n]*)'|"([^"\n]*)\"""")
# What ends up as ``msg``, in ``warnings`` or in ``notes``.
_ERRORS = {'Refusal', 'ConvertError', 'ApplyError', 'ScoreAdjError', 'EventsError', 'ReportError', 'Unknown',
           'LogError', 'AnsibleActionFail', 'AnsibleFilterError'}
_LISTS = {'warnings', 'notes', 'doubts'}
_CALLS = {'warn', 'fail_json'}
_TEMPLATE = re.compile(r'\{\{.*?\}\}', re.DOTALL)
_SPEAKING = ('ansible.builtin.assert', 'ansible.builtin.fail', 'assert', 'fail')
_SPOKEN = ('msg', 'fail_msg')


@dataclass(frozen=True)
class Text:
    """A constant text of the code; placeholders are ANY, and blanks one blank."""

    text: str
    place: str  # FILE:LINE
    is_message: bool
    code: str = ''  # OOMK-NNNN
    needs_code: bool = False  # the end of an error or warning

    def __str__(self) -> str:
        return '%s: %s' % (self.place, self.text)


@dataclass(frozen=True)
class Entry:
    """Messages of the guide with one explanation."""

    line: int
    messages: list[str]  # as in Text
    explanation: str
    code: str  # empty below a heading "Texts in …": parts of results, and no errors or warnings


# ------------------------------------------------------------------------ the code

def texts_of_code(checkout: Path) -> list[Text]:
    """All constant texts of the collection, messages or not."""
    found: list[Text] = []
    for path in _files(checkout, CODE):
        if '%s/%s' % (path.parent.name, path.name) not in DRAWING:
            found += python_texts(path.read_text(encoding='utf-8'), str(path.relative_to(checkout)))
    for path in _files(checkout, PLAYS):
        found += yaml_texts(path.read_text(encoding='utf-8'), str(path.relative_to(checkout)))
    return found


def _files(checkout: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in checkout.glob(pattern))


def python_texts(source: str, name: str) -> Iterator[Text]:
    """The texts of one Python file."""
    tree = ast.parse(source)
    ignored, raised = _ignored(tree), _raised(tree)
    ends = set() if '/_daemon/' in name else _ends_of_messages(tree)  # notes of a daemon are parts of results
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and id(node) not in ignored:
            parts = [part.value if isinstance(part, ast.Constant) else ANY for part in node.values]
            ignored.update(map(id, node.values))
            yield _text(''.join(parts), '%s:%d' % (name, node.lineno), id(node) in raised, id(node) in ends)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in ignored:
            yield _text(_PLACEHOLDER.sub(ANY, node.value.replace('%%', '\0')).replace('\0', '%'),
                        '%s:%d' % (name, node.lineno), id(node) in raised, id(node) in ends)


def _ignored(tree: ast.Module) -> set[int]:
    """Constants that nobody reads when the code runs: documentation, docstrings, regular expressions."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(id(node.value))
        elif isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id in _DOCUMENTATION for target in node.targets):
            found.add(id(node.value))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith('re.'):
            found.update(id(part) for part in ast.walk(node))
    return found


def _raised(tree: ast.Module) -> set[int]:
    """The texts, formatted or not, that are given to an exception which is raised."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for argument in node.exc.args:
                found.add(id(argument.left if isinstance(argument, ast.BinOp) else argument))
    return found


def _ends_of_messages(tree: ast.Module) -> set[int]:
    """The texts with which an error or a warning ends."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in _ERRORS | _CALLS or _adds_to_list(node):
            for value in [*node.args, *(word.value for word in node.keywords)] if isinstance(node, ast.Call) else [
                    node.value]:
                found.update(map(id, _ends(value)))
    return found


def _adds_to_list(node: ast.AST) -> bool:
    if isinstance(node, ast.AugAssign):
        return _name(node.target) in _LISTS
    return (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr in ('append', 'extend') and _name(node.func.value) in _LISTS)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ''


def _ends(node: ast.AST) -> Iterator[ast.AST]:
    """The constant or formatted texts with which this expression can end."""
    if isinstance(node, (ast.Constant, ast.JoinedStr)):
        yield node
    elif isinstance(node, ast.BinOp):
        yield from _ends(node.left if isinstance(node.op, ast.Mod) else node.right)
    elif isinstance(node, ast.IfExp):
        yield from (*_ends(node.body), *_ends(node.orelse))
    elif isinstance(node, (ast.List, ast.Tuple)):
        for item in node.elts:
            yield from _ends(item)
    elif isinstance(node, (ast.ListComp, ast.GeneratorExp)):
        yield from _ends(node.elt)


def yaml_texts(source: str, name: str) -> Iterator[Text]:
    """The texts of a file of tasks or variables."""
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    for node, is_spoken in _scalars(root, False):
        place = '%s:%d' % (name, node.start_mark.line + 1)
        if is_spoken:
            yield _text(_TEMPLATE.sub(ANY, node.value), place, True)
        for template in _TEMPLATE.findall(node.value):
            for single, double in _QUOTED.findall(template):
                yield _text(single or double, place, False)


def _scalars(node: yaml.Node | None, is_spoken: bool) -> Iterator[tuple[yaml.ScalarNode, bool]]:
    """Each scalar, and whether it is what a task says when it fails."""
    if isinstance(node, yaml.ScalarNode):
        yield node, is_spoken
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item, False)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in _SPEAKING and isinstance(value, yaml.MappingNode):
                for option, said in value.value:
                    yield from _scalars(said, option.value in _SPOKEN)
            else:
                yield from _scalars(value, key.value in _SPEAKING)


def _text(text: str, place: str, is_raised: bool, is_end: bool = False) -> Text:
    shown = ' '.join(text.split())
    code = _CODE.search(shown)
    shown = _CODE.sub('', shown)
    words = len(_WORD.findall(shown))
    is_message = words >= 2 and ' ' in shown or is_raised and words > 0
    return Text(shown, place, is_message and shown not in NOT_MESSAGES, code.group(1) if code else '',
                is_end and words > 1 and not shown.endswith(ANY))


# ----------------------------------------------------------------------- the guide

def entries_of(guide: str) -> list[Entry]:
    """The guide's entries: list items that are one piece of code each, and the paragraph after them."""
    entries: list[Entry] = []
    code = ''
    for start, block in _blocks(guide):
        if block[0].startswith('#'):
            code = block[0].removeprefix('### ') if block[0].startswith('### OOMK-') else ''
        found = [re.fullmatch(r'- `([^`]+)`', line) for line in block]
        if any(found):
            entries.append(Entry(start, [message_of(match.group(1)) for match in found if match], '', code))
        elif entries and not entries[-1].explanation:
            entries[-1] = replace(entries[-1], explanation=' '.join(block))
    return entries


def _blocks(guide: str) -> Iterator[tuple[int, list[str]]]:
    """Lines without a blank one between them, each with the number of the first."""
    block: list[str] = []
    for number, line in enumerate([*guide.splitlines(), ''], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def message_of(text: str) -> str:
    """A message of the guide, with ANY for its placeholders."""
    return ' '.join(re.sub(r'<[^<>]*>', ANY, text).split())


# -------------------------------------------------------------------- one in the other

def missing(texts: list[Text], messages: list[str]) -> list[Text]:
    """The messages of the code that the guide does not have."""
    return [text for text in texts if text.is_message and not any(_pattern(text.text).search(one) for one in messages)]


def unknown(texts: list[Text], messages: list[str]) -> list[tuple[str, list[str]]]:
    """The messages of the guide that the code does not have, each with the words that come from nowhere."""
    known = {word for text in texts if not text.is_message for word in _bare_words(text.text)}
    found = []
    for message in messages:
        words = [word for word in _bare_words(_without(message, texts)) if word not in known]
        if words:
            found.append((message, words))
    return found


def wrong_codes(texts: list[Text], entries: list[Entry]) -> list[str]:
    """Codes of the code that the guide does not have for that text, and messages of the guide without their code."""
    coded = [text for text in texts if text.code]
    found = ['%s: ends without a code' % text for text in texts if text.needs_code and not text.code]
    found += ['%s: its code is not at its end' % text for text in texts if '[OOMK-' in text.text]
    found += ['%s: %s is not the code of this text' % (text, text.code) for text in coded
              if not any(text.code == entry.code and _is_in(text, message)
                         for entry in entries for message in entry.messages)]
    found += ['%s: nothing in the code has %s' % (message, entry.code) for entry in entries if entry.code
              for message in entry.messages
              if not any(text.code == entry.code and _is_in(text, message) for text in coded)]
    return found


def _is_in(text: Text, message: str) -> bool:
    """Whether the text is in the message. A code may stand alone, after a message from elsewhere."""
    return not text.text.strip(ANY) or bool(_pattern(text.text).search(message))


def _without(message: str, texts: list[Text]) -> str:
    """The message with ANY for all that is word for word that of a message in the code."""
    left = list(message)
    for text in texts:
        for match in _pattern(text.text).finditer(message) if text.is_message else ():
            for number in range(1, len(match.groups()) + 1):
                left[slice(*match.span(number))] = ANY * len(match.group(number))
    return ''.join(left)


def _pattern(text: str) -> re.Pattern[str]:
    """What a text looks like within a message: its constant parts in their order, each a group."""
    parts = [part for part in text.split(ANY) if part]
    return re.compile('.*?'.join('(%s)' % re.escape(part) for part in parts) or r'(?!)')


def _bare_words(text: str) -> list[str]:
    words = [word.strip('.,;:()[]"\'') for word in re.split(r'[\s%s]+' % ANY, text)]
    return [word for word in words if re.search(r'\w', word)]
