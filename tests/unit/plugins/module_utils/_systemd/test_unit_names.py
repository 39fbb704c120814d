# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._systemd import unit_names


@pytest.mark.parametrize('name, unit', [
    ('redis', 'redis.service'), ('redis.service', 'redis.service'), ('php8.2-fpm', 'php8.2-fpm.service'),
    ('postgresql@', 'postgresql@.service'), ('postgresql@15-main', 'postgresql@15-main.service'),
    ('system-x\\x2dy', 'system-x\\x2dy.service'), ('-x', '-x.service'), ('a' * 247, 'a' * 247 + '.service'),
])  # fmt: skip
def test_what_is_a_service(name, unit):
    assert unit_names.to_unit('name', name) == unit


@pytest.mark.parametrize('name', [
    None, '', 5, '.', '..', '..service', '...service',
    True, '.service', '@x', '../x', 'a/b', 'a b', 'a\n', 'a\x1b', 'ä', 'a' * 248, 'x%i', 'x.slice',
    'x.socket', 'x.scope', 'x.timer', 'x.mount', 'x.target', 'x.swap', 'x.path', 'x.device', 'x.automount',
])  # fmt: skip
def test_what_is_none(name):
    with pytest.raises(ConvertError, match=r'^services\[2\]\.name: '):
        unit_names.to_unit('services[2].name', name)


@pytest.mark.parametrize('name', ['x' * 5000, 'x' * 5000 + '.slice', '/' * 5000, ['x' * 5000], '\x1b' * 5000])
def test_what_is_reported_is_short(name):
    with pytest.raises(ConvertError) as caught:
        unit_names.to_unit('name', name)
    assert len(str(caught.value)) < 300 and str(caught.value).isprintable()


def test_templates_and_instances():
    assert unit_names.parse_template('a@b@c.service') == 'a@.service'
    assert unit_names.parse_template('a@.service') is None and unit_names.parse_template('a.service') is None
    assert unit_names.is_template('a@.service') and not unit_names.is_template('a@b.service')
    assert unit_names.build_instance('a@.service', 'x-y') == 'a@x-y.service'


# As unit_file_find_dirs() of systemd's src/shared/dropin.c visits them, each the first time.
@pytest.mark.parametrize('name, names', [
    ('a', ['a']), ('a-b-c', ['a-b-c', 'a-b-', 'a-']), ('a-', ['a-']), ('-a', ['-a']), ('-', ['-']), ('--', ['--']),
    ('-a-b', ['-a-b', '-a-']), ('--a', ['--a', '--']),
    # A trailing dash is cut off once.
    ('a--b', ['a--b', 'a--', 'a-']), ('a--', ['a--', 'a-']), ('a---', ['a---', 'a--', 'a-']), ('a-b-', ['a-b-', 'a-']),
    ('a.b-c', ['a.b-c', 'a.b-']), ('x\\x2dy-z', ['x\\x2dy-z', 'x\\x2dy-']),
    ('a@', ['a@']), ('a@i-j', ['a@i-j', 'a@']), ('a-b@', ['a-b@', 'a-']),
    ('a-b@i-j', ['a-b@i-j', 'a-b@', 'a-', 'a-@i-j', 'a-@']),
    ('a-b-c@i', ['a-b-c@i', 'a-b-c@', 'a-b-', 'a-', 'a-b-@i', 'a-b-@', 'a-@i', 'a-@']),
    ('a@b-c@d', ['a@b-c@d', 'a@']),
])  # fmt: skip
def test_whose_drop_ins_count(name, names):
    assert unit_names.list_drop_in_names(name + '.service') == [one + '.service' for one in names]
