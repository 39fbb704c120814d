# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile inputs: what anybody may write into a file, call a process, or give as an option.

OOMKIT_FUZZ_EXAMPLES is how many inputs each fuzzer makes: a few by default, many in ``make fuzz``.
"""

import functools
import inspect
import os

import amounts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get('OOMKIT_FUZZ_EXAMPLES', amounts.examples(40)))
made = 0

# What parsers of numbers, names, quotes, escapes, paths and terminals trip over.
PIECES = [
    b'', b'0', b'-0', b'-1', b'+1', b'00', b'010', b'0x7f', b'1e3', b'1_000', b'1.5', b'nan', b'inf', b'9' * 19,
    b'-' + b'9' * 25, b'9' * 5000, '\u0661\u0662'.encode(), '\u00b2'.encode(), b'18446744073709551616', b'\x00',
    b'\n', b'\r', b'\r\n', b'\x0b', b'\x0c', b'\x1c', b'\x85', '\u2028'.encode(), b'\x1b[2J\x1b]0;x\x07', b'\xff\xfe',
    b'\xed\xa0\x80', b'\xc3', '\u202e'.encode(), b' ', b'\t', b'  ', b'=', b':', b';', b',', b'.', b'-', b'/', b'..',
    b'../../etc/passwd', b'/' * 300, b'a' * 300, b'*', b'?', b'[', b'[[:alpha:]', b'[!]', b'{', b'}', b'{{ 7 * 7 }}',
    b'%', b'%n', b'%s%s%s', b'%i', b'\\', b'\\x2d', b'\\n', b'\\x', b'\\x{', b'\'', b'"', b'"unfinished', b'#', b'; x',
    b'\\\n', b'kB', b' kB', b'(', b')', b') S 1', b'()', b'((', b'<', b'>&1', b'$(id)', b'`id`', b'&', b'|', b'@',
    b'a@b@c.service', b'@.service', b'.service', b'service', b'[Service]', b'[Service', b']', b'OOMScoreAdjust=',
    b'OOMScoreAdjust=-1000', b'vm.overcommit_memory=2', b'-vm/overcommit_ratio', b'0::', b'1:name=systemd:/', b'null',
    b'true', b'[]', b'{}', b'{"units": 1}', b'[[[[[[[[[[', b'1e400',
]

hostile_bytes = st.one_of(
    st.sampled_from(PIECES), st.binary(max_size=40),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=6).map(b''.join))
hostile_text = st.one_of(
    hostile_bytes.map(lambda data: data.decode('utf-8', 'surrogateescape')), st.text(max_size=20))
# What YAML or JSON can make of an option.
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.integers(-2000, 2000), st.floats(), hostile_text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(hostile_text, inner, max_size=4)),
    max_leaves=6)


def changed(sample):
    """Strategy: the sample with some of its pieces replaced, doubled, swapped, cut or mixed with hostile ones."""
    return st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1 << 16), hostile_bytes), min_size=1, max_size=6).map(
        lambda steps: functools.reduce(_step, steps, sample))


def _step(data, step):
    kind, where, piece = step
    lines = data.split(b'\n')
    at = where % len(lines)
    if kind == 0:  # in the place of a word
        words = lines[at].split(b' ')
        words[where % len(words)] = piece
        lines[at] = b' '.join(words)
    elif kind == 1:
        lines[at] = piece
    elif kind == 2:
        lines.insert(at, lines[where % 7 % len(lines)])
    elif kind == 3:
        del lines[at]
    elif kind == 4:
        return data[:where % (len(data) + 1)] + piece + data[where % (len(data) + 1):]
    else:
        return data[:where % (len(data) + 1)]
    return b'\n'.join(lines)


def fuzz(*strategies, weight=1.0):
    """A test with inputs of these strategies; ``weight`` makes them fewer where one takes long."""
    def decorate(test):
        @functools.wraps(test)
        def counted(*args):
            global made
            made += 1
            test(*args)

        del counted.__wrapped__
        counted.__signature__ = inspect.signature(test)
        return settings(max_examples=max(1, int(EXAMPLES * weight)), deadline=None, print_blob=True,
                        suppress_health_check=list(HealthCheck))(given(*strategies)(counted))
    return decorate


def texts(value):
    """All texts in a result, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            for one in pair:
                yield from texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from texts(one)


def is_plain(value):
    """Whether every text in a result can be printed anywhere and sent as JSON."""
    return all(line.isprintable() for text in texts(value) for line in text.split('\n'))
