# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in docs/ is made from the code, so that it is right: ``.venv/bin/python tools/generated.py`` makes it again.

``facts.md`` comes from the RETURN documentation of oom_facts, the picture of the CommitLimit from the filter
commit_limit, and the packages in CONTRIBUTING.md from the code itself. tests/package/test_docs.py fails where they are
not up to date.
"""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import architecture
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

CHECKOUT = Path(__file__).resolve().parent.parent
DOCS = CHECKOUT / 'docs'
sys.path.insert(0, str(CHECKOUT / 'tests'))

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


def pages() -> Iterator[tuple[Path, str]]:
    """Each file that is made, with its text."""
    templates = Environment(loader=FileSystemLoader(CHECKOUT / 'tools' / 'templates'), undefined=StrictUndefined,
                            trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    templates.filters.update(sentences=sentences, example=example)
    yield DOCS / 'facts.md', templates.get_template('facts.md.j2').render(facts=facts_documentation())
    yield DOCS / 'images' / 'commit_limit.svg', templates.get_template('commit_limit.svg.j2').render(
        bars=bars(), ram_gib=RAM_KB // GIB_KB, swap_gib=SWAP_KB // GIB_KB, gib_kb=GIB_KB)
    guide = CHECKOUT / 'CONTRIBUTING.md'
    yield guide, with_part(guide.read_text(encoding='utf-8'), 'architecture', architecture.markdown())


def with_part(text: str, name: str, part: str) -> str:
    """The text with the part between its two marks replaced. Raises ValueError where there are no marks."""
    begin, end = '<!-- %s: tools/generated.py writes this -->\n' % name, '\n<!-- end of %s -->' % name
    before, rest = text.split(begin)
    return before + begin + part + end + rest.split(end.lstrip('\n'))[1]


def main() -> None:
    """Write them."""
    for path, text in pages():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding='utf-8')
        print(path.relative_to(CHECKOUT))


if __name__ == '__main__':
    main()
