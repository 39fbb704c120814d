# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code block of the documentation, and by which test it is covered.

A block is run as it stands: YAML as a playbook and commands line by line, those that change nothing on this
machine (``HERE``), all others in the lab (``LAB``). What cannot be run like that is named in code_blocks.yml, each
with the test that covers it in another way.
"""

import ast
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from markdown_it import MarkdownIt

CHECKOUT = Path(__file__).resolve().parent.parent
DOCUMENTS = ('README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'docs/*.md', 'roles/*/README.md', 'extensions/*/README.md',
             'tests/lab/README.md')
PLUGINS = ('plugins/modules/*.py', 'plugins/filter/*.py', 'extensions/eda/plugins/event_source/*.py')
HERE = 'tests/package/test_code_blocks.py'
LAB = 'tests/kernel/test_code_blocks.py'
# Reads only, wherever it runs.
HARMLESS_MODULES = {'oomkit.linux.oom_facts', 'ansible.builtin.debug'}
HARMLESS_PLAYBOOKS = {'oomkit.linux.audit', 'oomkit.linux.demo'}


@dataclass(frozen=True)
class Block:
    """One code block: its file, its line there, its language and its text."""

    file: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """How a test names it."""
        return '%s:%d' % (self.file, self.line)


def blocks() -> list[Block]:
    """All of them, in order."""
    found = []
    for pattern in DOCUMENTS:
        for path in sorted(CHECKOUT.glob(pattern)):
            found += _of_document(path)
    for pattern in PLUGINS:
        for path in sorted(CHECKOUT.glob(pattern)):
            found += _of_plugin(path)
    return found


def _of_document(path: Path) -> Iterator[Block]:
    name = str(path.relative_to(CHECKOUT))
    yield from _fences(name, path.read_text(encoding='utf-8'), 0)


def _fences(name: str, text: str, above: int) -> Iterator[Block]:
    """The blocks of a text; those that Sphinx takes as its own (``{...}``) count no more than what is in them."""
    for token in MarkdownIt().parse(text):
        if token.type not in ('fence', 'code_block'):
            continue
        line = above + token.map[0] + 1
        if token.info.startswith('{'):
            continue
        yield Block(name, line, token.info.strip(), token.content)


def _of_plugin(path: Path) -> Iterator[Block]:
    """Its EXAMPLES."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == 'EXAMPLES':
            yield Block(str(path.relative_to(CHECKOUT)), node.lineno, 'yaml', ast.literal_eval(node.value))


def plays(block: Block) -> list[dict] | None:
    """A block of YAML as plays: as it stands, or its tasks in a play for all hosts. None where it is neither."""
    document = yaml.safe_load(block.text)
    if not (isinstance(document, list) and document and all(isinstance(one, dict) for one in document)):
        return None
    if all('hosts' in one or 'import_playbook' in one for one in document):
        return document
    if any('hosts' in one for one in document):
        return None
    return [{'name': block.place, 'hosts': 'all', 'become': True, 'gather_facts': False, 'tasks': document}]


def commands(block: Block) -> list[str]:
    """The commands of a block: what stands behind each prompt."""
    return [line[2:] for line in block.text.splitlines() if line.startswith('$ ')]


def is_harmless(command: str) -> bool:
    """Whether a command only reads."""
    words = shlex.split(command, comments=True)
    if words[0] == 'export':
        return True
    if words[0] == 'ansible' and '-m' in words:
        return words[words.index('-m') + 1] in HARMLESS_MODULES
    return words[0] == 'ansible-playbook' and bool(HARMLESS_PLAYBOOKS & set(words))


def exceptions() -> dict[tuple[str, str], str]:
    """By file and first line: the test that covers a block otherwise."""
    listed = yaml.safe_load((CHECKOUT / 'tests' / 'code_blocks.yml').read_text(encoding='utf-8'))
    return {(file, start): test for file, starts in listed.items() for start, test in starts.items()}


def start(block: Block) -> str:
    """The first line, by which an exception names a block."""
    return block.text.strip().splitlines()[0].strip()


def coverage() -> dict[Block, str]:
    """Each block with the test that covers it; an empty text where none does."""
    known = exceptions()
    return {block: known.get((block.file, start(block))) or known.get((block.file, '*' + block.language))
            or runs_in(block) for block in blocks()}


def run_in(place: str, language: str) -> list[Block]:
    """The blocks of a language that are run as they stand in HERE or LAB; of those with the same text the first."""
    found = {block.text: block for block, test in reversed(coverage().items())
             if test == place and block.language == language}
    return list(reversed(found.values()))


def environment_and_commands(block: Block) -> tuple[dict[str, str], list[list[str]]]:
    """What a block exports, and the words of its other commands."""
    variables, others = {}, []
    for command in commands(block):
        words = shlex.split(command, comments=True)
        if words[0] == 'export':
            variables.update(word.split('=', 1) for word in words[1:])
        else:
            others.append(words)
    return variables, others


def runs_in(block: Block) -> str:
    """Where a block is run as it stands; an empty text where it cannot be."""
    if block.language == 'yaml':
        return LAB if plays(block) else ''
    if block.language != 'console' or not commands(block):
        return ''
    if all(command.startswith(('ansible ', 'ansible-playbook ', 'export ')) for command in commands(block)):
        return HERE if all(map(is_harmless, commands(block))) else LAB
    return ''


if __name__ == '__main__':
    for one, test in coverage().items():
        print('%-40s %-8s %-45s %s' % (one.place, one.language, test or 'NOT COVERED', start(one)[:70]))
