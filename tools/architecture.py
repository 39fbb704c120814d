# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of plugins/module_utils and their imports, which go down only.

``.venv/bin/python tools/architecture.py`` names each import that goes up or cannot be traced, and then exits with 1.
``tools/generated.py`` draws the picture in CONTRIBUTING.md.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
PLUGINS = CHECKOUT / 'plugins'
UTILS = PLUGINS / 'module_utils'
COLLECTION = 'ansible_collections.oomkit.linux.plugins.'
# From top to bottom: a package imports those below it only.
PACKAGES = {
    '_module': 'options, run, result',
    '_facts': 'facts of oom_facts',
    '_policy': 'plan, apply, roll back',
    '_forecast': 'who is killed next',
    '_daemon': 'OOM daemons',
    '_service': 'services and their oom_score_adj',
    '_sysctl': 'sysctl.d and the boot',
    '_process': 'processes',
    '_systemd': 'units',
    '_host': 'files, locks, helper process',
    '_kernel': 'what the kernel does, pure',
    '_core': 'text, numbers, errors',
}


def imported(path: Path, plugins: Path = PLUGINS) -> set[Path]:
    """The files of the collection that a file imports directly, also under TYPE_CHECKING: Ansible sends those too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            base = _base(node, path, plugins)
            if base is not None:
                files = [base.with_suffix('.py'), *(base / (alias.name + '.py') for alias in node.names)]
                found.update(file for file in files if file.is_file())
    return found


def _base(node: ast.ImportFrom, path: Path, plugins: Path) -> Path | None:
    """Where the names of an import come from; None if not from this collection."""
    parts = node.module.split('.') if node.module else []
    if node.level:
        return path.parents[node.level - 1].joinpath(*parts)
    name = '.'.join(parts)
    return plugins.joinpath(*name[len(COLLECTION):].split('.')) if name.startswith(COLLECTION) else None


def untraceable(plugins: Path = PLUGINS) -> list[str]:
    """Files outside the packages, and imports whose file the contract cannot find."""
    utils = plugins / 'module_utils'
    found = []
    for path in sorted(utils.rglob('*.py')):
        if path.parent.parent != utils or path.parent.name not in PACKAGES:
            found.append('%s is in no package' % path.relative_to(utils))
            continue
        found += ['%s:%d: %s' % (path.relative_to(utils), node.lineno, why)
                  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
                  for why in _hides(node, path, plugins)]
    return found


def _hides(node: ast.AST, path: Path, plugins: Path) -> Iterator[str]:
    """Why this imports something that L(imported) does not see."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ('__import__', 'exec', 'eval'):
        yield '%s hides an import' % ast.unparse(node.func)
    elif isinstance(node, ast.Import):
        roots = {alias.name.partition('.')[0] for alias in node.names}
        yield from ('write from … import' for root in roots if root == 'ansible_collections')
        yield from _foreign(roots - {'ansible_collections'}, path)
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, path, plugins)
        if base is None:
            yield from _foreign({(node.module or '').partition('.')[0]}, path)
        elif not base.with_suffix('.py').is_file():
            yield from ('%s is no file' % alias.name for alias in node.names
                        if not (base / (alias.name + '.py')).is_file())


def _foreign(roots: set[str], path: Path) -> Iterator[str]:
    """Targets have the standard library; Ansible's own is for the top package alone."""
    ansible = {'ansible'} if path.parent.name == [*PACKAGES][0] else set()
    known = sys.stdlib_module_names - {'importlib'} | ansible
    yield from ('%s may not be imported here' % root for root in sorted(roots - known))


def imports(plugins: Path = PLUGINS) -> Iterator[tuple[Path, Path]]:
    """(file, what it imports) for each import from one package of module_utils to another one, or out of it."""
    for path in sorted((plugins / 'module_utils').rglob('*.py')):
        for other in sorted(imported(path, plugins)):
            if other.parent != path.parent:
                yield path, other


def upward(plugins: Path = PLUGINS) -> list[str]:
    """Each import that does not go down."""
    order, utils = list(PACKAGES), plugins / 'module_utils'
    return ['%s imports %s' % (path.relative_to(utils), other.relative_to(plugins)) for path, other in imports(plugins)
            if utils not in other.parents or order.index(other.parent.name) <= order.index(path.parent.name)]


def cycles(plugins: Path = PLUGINS) -> list[str]:
    """Each file that imports itself, directly or not. An import inside a function counts."""
    below = {path: imported(path, plugins) for path in sorted((plugins / 'module_utils').rglob('*.py'))}
    return ['%s imports itself' % path.relative_to(plugins / 'module_utils') for path in below
            if path in _reached(path, below)]


def _reached(start: Path, below: dict[Path, set[Path]]) -> set[Path]:
    """All that an import of ``start`` brings."""
    seen: set[Path] = set()
    todo = list(below[start])
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += below.get(one, ())
    return seen


def picture() -> str:
    """The packages as a Mermaid graph, without the arrows that follow from others."""
    below: dict[Path, set[Path]] = {UTILS / name: set() for name in PACKAGES}
    for path, other in imports():
        below[path.parent].add(other.parent)
    lines = ['flowchart TD']
    lines += ['    %s["%s<br/>%s"]' % (name.strip('_'), name, subject) for name, subject in PACKAGES.items()]
    for package, others in below.items():
        follows = set().union(*(_reached(other, below) for other in others))
        lines += ['    %s --> %s' % (package.name.strip('_'), other.name.strip('_'))
                  for other in below if other in others - follows]
    return '\n'.join(lines)


def summaries() -> Iterator[tuple[str, str]]:
    """(package, a list of its files with what each holds) as Markdown, from top to bottom."""
    for name in PACKAGES:
        lines = []
        for path in sorted((UTILS / name).glob('*.py')):
            text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
            lines.append('- `%s`: %s' % (path.stem, ' '.join(text.partition('\n\n')[0].split())))
        yield name, '\n'.join(lines)


def markdown() -> str:
    """The picture and the lists for CONTRIBUTING.md."""
    parts = ['```mermaid\n%s\n```' % picture()]
    parts += ['**`%s`**: %s\n\n%s' % (name, PACKAGES[name], text) for name, text in summaries()]
    return '\n\n'.join(parts)


def main() -> None:
    """Name the imports that are wrong."""
    wrong = untraceable() or upward() + cycles()
    sys.exit('\n'.join(wrong) if wrong else 0)


if __name__ == '__main__':
    main()
