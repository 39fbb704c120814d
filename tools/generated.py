# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is generated from the code: ``.venv/bin/python tools/generated.py`` writes it.

``facts.md`` comes from the RETURN documentation of oom_facts, the picture of the CommitLimit from the filter
commit_limit, the packages in CONTRIBUTING.md from the code itself, and the role's variables from the records of the
sysctls. tests/package/test_docs.py fails where they are not up to date.
"""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import architecture
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / 'docs'
sys.path.insert(0, str(CHECKOUT / 'tests'))

# The role's variable of an option, where it is not oom_policy_OPTION.
VARIABLES = {'mode': 'overcommit_mode', 'ratio': 'overcommit_ratio', 'kbytes': 'overcommit_kbytes', 'policy': 'panic'}
GIB_KB = 1024 ** 2
RAM_KB, SWAP_KB = 64 * GIB_KB, 8 * GIB_KB
# The rows of the picture: what is set, and the options of the filter. None: no limit.
SETTINGS: tuple[tuple[str, str, dict | None], ...] = (
    ('heuristic or always', 'the sum is not limited', None),
    ('never, as it comes', 'ratio 50', {}),
    ('never, half of RAM in huge pages', 'ratio 50', {'hugepages': RAM_KB // 2}),
    ('never, by ratio', 'ratio 90', {'ratio': 90}),
    ('never, all there is', 'ratio 100', {'ratio': 100}),
    ('never, by amount', 'kbytes 50 GiB', {'kbytes': 50 * GIB_KB}),
    ('never, both keys set to 0', 'swap alone', {'ratio': 0, 'kbytes': 0}),
)


def bars() -> list[dict]:
    """The rows of the picture, in kB."""
    importlib.import_module('collection').lay()
    planning = importlib.import_module('ansible_collections.oomkit.linux.plugins.plugin_utils._planning')
    return [{'name': name, 'setting': setting, 'limit_kb': None if options is None else
             planning.commit_limit_kb(RAM_KB, swap=SWAP_KB, **options)} for name, setting, options in SETTINGS]


def facts_documentation() -> dict:
    """RETURN of oom_facts, for the facts themselves: each key with description, type and sample."""
    importlib.import_module('collection').lay()
    module = importlib.import_module('ansible_collections.oomkit.linux.plugins.modules.oom_facts')
    return yaml.safe_load(module.RETURN)['ansible_facts']['contains']['oom']['contains']


def sentences(description: str | list[str]) -> list[str]:
    """A description as a list, with the markup of Ansible as Markdown."""
    texts = [description] if isinstance(description, str) else description
    return [' '.join(_plain(text).split()) for text in texts]


def _plain(text: str) -> str:
    markup = importlib.import_module('antsibull_docs_parser.parser')
    shown = importlib.import_module('antsibull_docs_parser.md')
    paragraphs = markup.parse(text, markup.Context())
    return re.sub('</?code>', '`', re.sub('</?strong>', '', shown.to_md(paragraphs))).replace('\\', '')


def example(sample: object) -> str:
    """The sample as it stands in the facts."""
    return json.dumps(sample, indent=2, ensure_ascii=False)


# By the end of a fact's name.
UNITS = {'ratio': ' in percent', 'kbytes': ' in kB', '_s': ' in seconds'}


def role_variables() -> dict[str, Any]:
    """By the role's variable, the record of each sysctl."""
    importlib.import_module('collection').lay()
    records = importlib.import_module('ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records')
    return {f'oom_policy_{VARIABLES.get(one.option, one.option)}': one for one in records.SYSCTLS.values()}


def role_parts() -> Iterator[tuple[str, str, list[str]]]:
    """(file, name of the part, lines) of what the role and its guide have for each sysctl."""
    variables = role_variables()
    yield 'roles/oom_policy/defaults/main.yml', 'sysctls', [f'{name}: null' for name in variables]
    yield 'roles/oom_policy/meta/argument_specs.yml', 'sysctls', [
        line for name, one in variables.items() for line in _describe_option(name, one)]
    for module, part in (('overcommit', 'overcommit'), ('panic_on_oom', 'panic')):
        yield 'plugins/modules/oom_policy.py', part, [
            line for one in variables.values() if one.module == module for line in _describe_option(one.option, one)]
        yield 'roles/oom_policy/tasks/main.yml', part, [
            f'{one.option}: "{{{{ omit if {name} is none else {name} }}}}"'
            for name, one in variables.items() if one.module == module]
    yield 'docs/oom_policy.md', 'sysctls', ['', '| variable | default | sysctl | option |', '|---|---|---|---|', *(
        f'| `{name}` | null | [`{one.key}`]({kernel_page(one.key)}){_words(one, ", `%s`", " or `%s`")} '
        f'| `{one.option}` of [`{one.module}`](../plugins/modules/{one.module}.py) |'
        for name, one in variables.items()), '']


def _describe_option(name: str, sysctl: Any) -> list[str]:
    """The documentation of an option that sets the sysctl."""
    return [f'{name}:', f'  description: C({sysctl.key}){_words(sysctl, ", V(%s)", " or V(%s)")},',
            f'    see C({sysctl.option}) of M(oomkit.linux.{sysctl.module}).',
            f'  type: {"bool" if sysctl.is_switch else "raw"}']


def _words(sysctl: Any, middle: str, last: str) -> str:
    """The words that the option takes for the values, or the unit of its number."""
    words = list(sysctl.names or ())
    if not words:
        return ''.join(text for end, text in UNITS.items() if sysctl.fact.endswith(end))
    return ''.join((last if word == words[-1] else middle) % word for word in words)


def kernel_page(key: str) -> str:
    """The section on a sysctl in the kernel's documentation."""
    page, name = key.split('.')
    return f'https://docs.kernel.org/admin-guide/sysctl/{page}.html#{name.replace("_", "-")}'


def pages() -> Iterator[tuple[Path, str]]:
    """Each file that is made, with its text."""
    templates = Environment(loader=FileSystemLoader(CHECKOUT / 'tools' / 'templates'), undefined=StrictUndefined,
                            trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    templates.filters.update(sentences=sentences, example=example)
    yield DOCS / 'facts.md', templates.get_template('facts.md.j2').render(facts=facts_documentation())
    yield DOCS / 'images' / 'commit_limit.svg', templates.get_template('commit_limit.svg.j2').render(
        bars=bars(), ram_gib=RAM_KB // GIB_KB, swap_gib=SWAP_KB // GIB_KB, gib_kb=GIB_KB)
    parts = [('CONTRIBUTING.md', 'architecture', architecture.markdown().split('\n')), *role_parts()]
    texts: dict[Path, str] = {}
    for name, part, lines in parts:
        path = CHECKOUT / name
        texts[path] = with_part(texts.get(path) or path.read_text(encoding='utf-8'), part, lines)
    yield from texts.items()


def with_part(text: str, name: str, lines: list[str]) -> str:
    """The text with the lines between the two marks of this name. Raises ValueError where there are no marks."""
    marks = re.compile(rf'(?P<begin>(?P<indent> *)(?:#|<!--) {name}: tools/generated.py writes this.*\n)'
                       rf'(?:.*\n)*?(?P<end> *(?:#|<!--) end of {name}\b)')
    match = marks.search(text)
    if match is None:
        raise ValueError(f'there are no marks of {name}')
    part = ''.join(f"{match['indent']}{line}".rstrip() + '\n' for line in lines)
    return f"{text[:match.start()]}{match['begin']}{part}{match['end']}{text[match.end():]}"


def main() -> None:
    """Write them."""
    for path, text in pages():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding='utf-8')
        print(path.relative_to(CHECKOUT))


if __name__ == '__main__':
    main()
