# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as sanitized text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.oomkit.linux.plugins.module_utils._core.sanitize import sanitize, to_message


@pytest.mark.parametrize('name, text', [
    (b'sshd', 'sshd'),
    (b'\n\x1b[31m', '\\x0a\\x1b[31m'),
    (b'\xff\xfe', '\\xff\\xfe'),
    (b'caf\xc3', 'caf\\xc3'),
    ('caf\u00e9 \u6f22'.encode(), 'caf\u00e9 \u6f22'),
    (b'a\x7fb', 'a\\x7fb'),
    ('\x9b31m'.encode(), '\\u009b31m'),
    ('a\u202eb'.encode(), 'a\\u202eb'),
    ('a\u2028b'.encode(), 'a\\u2028b'),
    ('a\U000e0041b'.encode(), 'a\\U000e0041b'),
    ('\udc80\ud800', '\\x80\\ud800'),
    (b'\xed\xa0\x80', '\\xed\\xa0\\x80'),
    (br'dev-disk-by\x2dlabel.swap', r'dev-disk-by\x2dlabel.swap'),
    (b'', ''),
])
def test_known(name, text):
    assert sanitize(name) == text


@given(st.binary(max_size=64))
def test_any_bytes_are_printable_and_valid_json(name):
    text = sanitize(name)
    assert text.isprintable()
    assert json.loads(json.dumps(text).encode('ascii')) == text
    text.encode('utf-8')


@given(st.text(st.characters(), max_size=64))
def test_printable_text_stays_as_it_is(name):
    text = sanitize(name)
    assert text.isprintable()
    if name.isprintable():
        assert text == name


def test_each_code_stands_once_and_at_the_end():
    said = to_message('\x1b: it ended [OOMK-1102]. Everything was rolled back. [OOMK-2301], and it ended [OOMK-1102]')
    assert said == '\\x1b: it ended. Everything was rolled back., and it ended [OOMK-1102] [OOMK-2301]'
