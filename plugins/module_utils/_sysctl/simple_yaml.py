# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The top-level keys of a YAML or JSON file whose values are scalars, or lists of scalars on one line or one per line.

Hosts have no YAML library. Anchors, tags, escapes, templates and values over several lines are reported as unknown,
never guessed. Sources: YAML 1.1 and 1.2, and what go-yaml v2 accepts.
"""

import re
from typing import Any, List, NamedTuple, Optional, Tuple


class Scalar(NamedTuple):
    text: str
    is_plain: bool  # not quoted: true is a boolean, "true" is a string


class Entry(NamedTuple):
    key: str
    scalars: Optional[List[Scalar]]  # all items of a list; empty for null; None if not understood


class Document(NamedTuple):
    entries: List[Entry]  # in file order; a key can occur twice
    is_understood: bool  # False: there may be further keys, and later ones win


_EMPTY, _SCALARS, _BLOCK, _OPAQUE, _OPEN = 'empty', 'scalars', 'block', 'opaque', 'open'
# Opaque: not understood, but ends here. Open: not YAML, or may continue in the next line. Block: the head of a block
# scalar.
_Value = Tuple[str, List[Scalar]]

_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|\'[^\']*(?:\'\'[^\']*)*\'')
_FLOW = re.compile(_QUOTED.pattern + r'|["\'\[\]{}]|[^"\'\[\]{}]+')
_ITEM = re.compile(r'[ \t]*(?:(' + _QUOTED.pattern + r')[ \t]*|([^\s,"\'&*!|>%@`#?:\[\]{}][^,"\'#:\[\]{}]*))(?:,|\Z)')
_DASHES = re.compile(r'(?:-(?:[ \t]+|\Z)){1,8}')
_KEY_END = re.compile(r':(?=[ \t]|\Z)')
_BLOCK_HEAD = re.compile(r'[|>][-+0-9]{0,2}\Z')
_COMMENT = re.compile(r'[ \t]#')


def read(text: str) -> Document:
    """Read the first document of the text. Never raises."""
    text = text[1:] if text.startswith('\ufeff') else text
    if text.lstrip().startswith('{'):
        return _read_json(text)
    return _Reader().read(text)


def _read_json(text: str) -> Document:
    import json  # imported here, because few hosts have such a file
    try:
        # Numbers stay text: int() of a million digits takes minutes in old versions of Python.
        found = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
        return Document([Entry(key, _of_json(value)) for key, value in found], True)
    except (ValueError, TypeError, RecursionError):
        return Document([], False)


def _of_json(value: Any) -> Optional[List[Scalar]]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [Scalar(str(value).lower(), True)]
    if isinstance(value, str):
        return [Scalar(value, False)]
    texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return [Scalar(one, False) for one in value] if texts else None


class _Reader:
    """Reader of the lines of one document."""

    def __init__(self) -> None:
        self._entries: List[Entry] = []
        self._block: Optional[int] = None  # lines with a larger indent belong to a block scalar
        self._items: Optional[int] = None  # indent of the last key's list; -1 before its first item

    def read(self, text: str) -> Document:
        """Read all lines."""
        for raw in text.split('\n'):
            line = raw.rstrip('\r \t')
            if line in ('...', '---') and self._entries:
                break
            if not self._takes(line):
                return Document(self._entries, False)
        return Document(self._entries, True)

    def _takes(self, line: str) -> bool:
        """Read a line; False if it is not understood."""
        body = line.lstrip(' ')
        indent = len(line) - len(body)
        if not body or (self._block is not None and indent > self._block):
            return True
        self._block = None
        if body.startswith('#') or self._is_before_document(line):
            return True
        if body[0] == '\t' or line.startswith(('---', '...')):
            return False
        dashes = _DASHES.match(body)
        return self._takes_body(body[dashes.end():] if dashes else body, indent, dashes.group() if dashes else '')

    def _is_before_document(self, line: str) -> bool:
        return not self._entries and (line == '---' or line.startswith('%'))

    def _takes_body(self, body: str, indent: int, dashes: str) -> bool:
        key, rest = _split_key(body)
        kind, scalars = _parse_value(body if key is None else rest)
        if kind == _OPEN:
            return False
        if kind == _BLOCK:
            self._block = indent + (0 if key is None else len(dashes))
        if not indent and not dashes:
            return self._takes_key(key, kind, scalars)
        self._add_item(scalars if key is None and dashes.rstrip() == '-' and body[:1] != '[' else [], indent)
        return bool(self._entries)  # none: the document is a list

    def _takes_key(self, key: Optional[str], kind: str, scalars: List[Scalar]) -> bool:
        if key is None or key == '<<':
            return False
        self._entries.append(Entry(key, None if kind in (_BLOCK, _OPAQUE) else scalars))
        self._items = -1 if kind == _EMPTY else None
        return True

    def _add_item(self, scalars: List[Scalar], indent: int) -> None:
        """Add a line below the last key: an item of its list. Any other line makes the value unknown."""
        if not self._entries:
            return
        last = self._entries[-1]
        if len(scalars) != 1 or self._items is None or self._items not in (-1, indent) or last.scalars is None:
            self._entries[-1] = last._replace(scalars=None)
            self._items = None
        else:
            last.scalars.append(scalars[0])
            self._items = indent


def _split_key(body: str) -> Tuple[Optional[str], str]:
    """(key, rest) of a line with a key; (None, '') for other lines."""
    quoted = _QUOTED.match(body)
    if quoted:
        rest = body[quoted.end():].lstrip(' \t')
        scalar = _unquoted(quoted.group())
        # A key with escapes could be any key.
        return (scalar, rest[1:]) if scalar is not None and _KEY_END.match(rest) else (None, '')
    end = _KEY_END.search(body)
    comment = _COMMENT.search(body)
    if end is None or body[:1] in tuple('"\'[]{}#&*!|>@`%?') or (comment and comment.start() < end.start()):
        return None, ''
    return body[:end.start()].rstrip(' \t'), body[end.end():]


def _unquoted(text: str) -> Optional[str]:
    """The text without its quotes; None if it has escapes."""
    inner = text[1:-1]
    if text[0] == '"':
        return None if '\\' in inner else inner
    return inner.replace("''", "'")


def _parse_value(text: str) -> _Value:
    text = text.strip(' \t')
    first = text[:1]
    if first in ('', '#'):
        return _EMPTY, []
    if first in ('"', "'"):
        return _parse_quoted(text)
    if first in ('[', '{'):
        return _parse_flow(text)
    return _parse_plain(_COMMENT.split(text, 1)[0].rstrip(' \t'))


def _parse_quoted(text: str) -> _Value:
    match = _QUOTED.match(text)
    if match is None or not _is_comment(text[match.end():]):
        return _OPEN, []
    scalar = _unquoted(match.group())
    return (_OPAQUE, []) if scalar is None else (_SCALARS, [Scalar(scalar, False)])


def _parse_plain(text: str) -> _Value:
    """A value without quotes and brackets."""
    first = text[0]
    if first in '|>':
        return (_BLOCK if _BLOCK_HEAD.match(text) else _OPEN), []
    if first in '&*!':
        return (_OPEN if re.search(r'[\[{"\'|>]', text) else _OPAQUE), []
    if first in '@`%?,]}' or _KEY_END.search(text):
        return _OPEN, []
    return _SCALARS, [Scalar(text, True)]


def _is_comment(rest: str) -> bool:
    left = rest.lstrip(' \t')
    return not left or (left[0] == '#' and left != rest)


def _parse_flow(text: str) -> _Value:
    """A value in brackets; open if it does not end in this line."""
    depth = end = 0
    for match in _FLOW.finditer(text):
        token = match.group()
        if token in ('"', "'"):
            return _OPEN, []
        depth += (token in ('[', '{')) - (token in (']', '}'))
        end = match.end()
        if depth <= 0:
            break
    if depth or not _is_comment(text[end:]):
        return _OPEN, []
    return _parse_items(text[1:end - 1]) if text[0] == '[' else (_OPAQUE, [])


def _parse_items(text: str) -> _Value:
    text = text.strip(' \t')
    found: List[Scalar] = []
    at = 0
    while at < len(text):
        match = _ITEM.match(text, at)
        if match is None:
            return _OPAQUE, []
        quoted, plain = match.groups()
        scalar = _unquoted(quoted) if quoted else plain.rstrip(' \t')
        if scalar is None:
            return _OPAQUE, []
        found.append(Scalar(scalar, not quoted))
        at = match.end()
    return _SCALARS, found
