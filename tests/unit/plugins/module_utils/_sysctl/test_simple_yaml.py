# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Top-level keys of YAML: what is understood agrees with PyYAML, and what is not is said."""

import pytest
import yaml

from ansible_collections.oomkit.linux.plugins.module_utils._sysctl import simple_yaml

KEY = 'a'


def read(text):
    """By key, (text, is plain) of its scalars; None for a document that is not understood."""
    document = simple_yaml.read(text)
    if not document.is_understood:
        return None
    return {key: None if scalars is None else [tuple(one) for one in scalars] for key, scalars in document.entries}


@pytest.mark.parametrize('text, value', [
    ('a: true\n', [('true', True)]),
    ('a: true', [('true', True)]),
    ('a: true # no\n', [('true', True)]),
    ('a: true#no\n', [('true#no', True)]),
    ('a:   "true"  # yes\n', [('true', False)]),
    ("a: 'it''s'\n", [("it's", False)]),
    ('"a": true\n', [('true', True)]),
    ("'a' : true\n", [('true', True)]),
    ('a:\n', []),
    ('a: # nothing\n', []),
    ('a: x=y:z\n', [('x=y:z', True)]),
    ('---\na: true\n...\nb: "\n', [('true', True)]),
    ('%YAML 1.1\n---\na: true\n---\na: false\n', [('true', True)]),
    ('\ufeffa: true\r\n', [('true', True)]),
    ('a:\n- x\n- "y"\n', [('x', True), ('y', False)]),
    ('a:\n  - x # 1\n\n  # between\n  - y\nb: 1\n', [('x', True), ('y', True)]),
    ('a: [x, "y,z" , \'u\']\n', [('x', True), ('y,z', False), ('u', False)]),
    ('a: []\n', []),
    ('b: |\n  a: false\n  "open\na: true\n', [('true', True)]),
    ('b: >-\n    a: [\n\n     x\na: true\n', [('true', True)]),
    ('b:\n- |\n  a: [\n- y: |\n    [\n  z: 1\na: true\n', [('true', True)]),
    ('b:\n  a: false\na: true\n', [('true', True)]),
    ('b: {a: false}\na: true\n', [('true', True)]),
    ('b: [[1, 2], {a: "]"}]\na: true\n', [('true', True)]),
    ('b: "a: false"\na: true\n', [('true', True)]),
    ('b: &x 1\nc: *x\nd: !!str 5\na: true\n', [('true', True)]),
])
def test_what_is_understood_agrees_with_a_whole_reader(text, value):
    assert read(text)[KEY] == value
    expected = next(iter(yaml.safe_load_all(text)))[KEY]
    plain = [yaml.safe_load(one) if is_plain else one for one, is_plain in value]
    assert expected == (plain if isinstance(expected, list) else plain[0] if plain else None)


@pytest.mark.parametrize('text', [
    'a: &x true\n', 'a: *x\n', 'a: !!bool true\n', 'a: {x: 1}\n', 'a: {{ value }}\n', 'a: "tr\\x75e"\n',
    'a: |\n  true\n', 'a:\n  true\n', 'a: true\n  and more\n', 'a:\n  b: true\n', 'a:\n- x\n  y\n', 'a:\n- - x\n',
    'a:\n- b: 1\n', 'a: [x, [y]]\n', 'a: [b: c]\n', 'a:\n- [x]\n', 'a: true\n- x\n',
])
def test_a_value_that_is_not_understood(text):
    assert read(text + 'b: 1\n') == {'a': None, 'b': [('1', True)]}


@pytest.mark.parametrize('text', [
    'a: "x\ny"\n', "a: 'x\n", 'a: [x,\ny]\n', 'a: {x: 1,\n', 'b:\n  c: [1,\n2]\n', '<<: *x\n', '? a\n: true\n',
    '"\\x61": true\n', '{% if x %}\na: true\n', 'a\n', 'a: b: c\n', '\ta: true\n', '- a: true\n', '--- {a: true}\n',
    'a: true\nnonsense\n', '{a: true}\n', '{"a": true,}\n', '[' * 10000, '{"a":' * 10000,
    '&x a: true\n', '  a: true\n', 'a: "x" y\n', '!!map\na: true\n', '@a: b\n', 'a: @b\n',
])
def test_a_document_that_is_not_understood(text):
    assert read(text) is None


@pytest.mark.parametrize('text, value', [
    ('{"a": true, "b": {"a": false}}', [('true', True)]),
    ('\n{\n  "a": "true"\n}\n', [('true', False)]),
    ('{"a": null}', []),
    ('{"a": ["x", "y"]}', [('x', False), ('y', False)]),
    ('{"a": {"b": 1}}', None),
    ('{"a": true, "a": false}', [('false', True)]),
    ('{"a": %s}' % ('1' * 10000), [('1' * 10000, False)]),
])
def test_json(text, value):
    assert read(text)[KEY] == value


def test_keys_before_the_first_unknown_line_are_read():
    document = simple_yaml.read('a: 1\nb: 2\nc: "\n')
    assert [entry.key for entry in document.entries] == ['a', 'b'] and not document.is_understood
