# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of plugins/ that are too large: ``.venv/bin/python tools/functions.py``.

Ruff's C901 does not count boolean operators and comprehensions, radon does.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from radon.complexity import ComplexityVisitor
from radon.visitors import Function

CHECKOUT = Path(__file__).resolve().parent.parent
MOST_COMPLEXITY, MOST_LINES = 10, 40


def functions(source: str) -> Iterator[Function]:
    """All functions and methods, however deep they lie. Their decorators belong to them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            one, = ComplexityVisitor.from_ast(ast.Module([node], []), no_assert=True).functions
            yield one._replace(lineno=min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]))


def too_large(path: Path) -> Iterator[str]:
    """Each function of the file that is too large, with its numbers."""
    for one in functions(path.read_text(encoding='utf-8')):
        lines = one.endline - one.lineno + 1
        if one.complexity > MOST_COMPLEXITY or lines > MOST_LINES:
            yield '%s:%d: %s: complexity %d of at most %d, %d lines of at most %d' % (
                path.relative_to(CHECKOUT), one.lineno, one.name, one.complexity, MOST_COMPLEXITY, lines, MOST_LINES)


def main() -> None:
    """Name the functions."""
    found = [text for path in sorted((CHECKOUT / 'plugins').rglob('*.py')) for text in too_large(path)]
    sys.exit('\n'.join(found) if found else 0)


if __name__ == '__main__':
    main()
