# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
import yaml

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import (
    ConvertError,
    to_amount,
    to_choice,
    to_integer,
)

MODES = {'heuristic': 0, 'always': 1, 'never': 2}

# What a user types, as YAML hands it over.
NOT_A_NUMBER = [
    'yes',
    'no',
    'true',
    'false',
    'on',
    '1.0',
    '1.5',
    '"0x10"',
    '"010"',
    '"1e3"',
    '"1_000"',
    '""',
    '" "',
    '"50%"',
    '"²"',
    '"٣"',
    '[1]',
    '{}',
    '.nan',
    '"+5"',
    '"--5"',
    '"5 6"',
    '"5\\n6"',
]


@pytest.mark.parametrize('text', NOT_A_NUMBER)
def test_what_yaml_makes_of_no_number_is_refused(text):
    value = yaml.safe_load(text)
    with pytest.raises(ConvertError, match='^ratio: '):
        to_integer('ratio', value)


@pytest.mark.parametrize(
    'text, number', [('50', 50), ('"50"', 50), ('" 50 "', 50), ('0', 0), ('"0"', 0), ('-1', -1), ('"-1"', -1)]
)
def test_plain_numbers_are_taken(text, number):
    result = to_integer('ratio', yaml.safe_load(text))
    assert result == number and isinstance(result, int)


def test_bounds_are_named():
    with pytest.raises(ConvertError, match='-1 is out of range; it must be from 0 to 100'):
        to_integer('ratio', -1, 0, 100)
    with pytest.raises(ConvertError, match='it must be 4 or more'):
        to_integer('kbytes', 3, 4, None)
    with pytest.raises(ConvertError, match='out of range'):
        to_integer('reboot_after', 2**31)
    with pytest.raises(ConvertError, match='it must be 5 or less'):
        to_integer('x', 6, None, 5)


@pytest.mark.parametrize('text, number', [('never', 2), ('"2"', 2), ('2', 2), ('heuristic', 0), ('0', 0)])
def test_choices_by_name_and_number(text, number):
    assert to_choice('mode', yaml.safe_load(text), MODES) == number


@pytest.mark.parametrize('text', ['yes', 'no', 'true', '1.0', '3', '"3"', 'Never', '"02"', '""', '[never]', '-1'])
def test_unknown_choice_is_refused_with_valid_choices(text):
    with pytest.raises(ConvertError, match=r'^mode: .* is not one of heuristic \(0\), always \(1\), never \(2\)'):
        to_choice('mode', yaml.safe_load(text), MODES)


def test_a_boolean_is_called_one():
    with pytest.raises(ConvertError, match='the boolean True'):
        to_choice('mode', True, MODES)


@pytest.mark.parametrize(
    'text, size_kb',
    [
        ('28G', 28 * 1024**2),
        ('512M', 512 * 1024),
        ('512 MiB', 512 * 1024),
        ('1k', 1),
        ('1TB', 1024**3),
        ('0', 0),
        ('"0"', 0),
    ],
)
def test_sizes(text, size_kb):
    assert to_amount('commit_limit', yaml.safe_load(text)).to_kb(123) == size_kb


@pytest.mark.parametrize('text, of_1000_kb', [('5%', 50), ('12.5%', 125), ('100 %', 1000), ('0%', 0), ('120%', 1200)])
def test_percentages(text, of_1000_kb):
    assert to_amount('min_headroom', yaml.safe_load(text)).to_kb(1000) == of_1000_kb


@pytest.mark.parametrize('text', ['yes', '28', '"28"', '28.5', '1.5G', '-1G', '-5%', 'G', '"%"', '""', '28X', '[28G]'])
def test_an_amount_without_a_unit_or_sense_is_refused(text):
    value = yaml.safe_load(text)
    with pytest.raises(ConvertError, match='neither a size with a unit'):
        to_amount('commit_limit', value)
