# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles merged with the options of the task."""

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._module.policy import OPTIONS
from ansible_collections.oomkit.linux.plugins.plugin_utils._profile import NAMES, NONE, merge_profile, read_profile


def test_names_of_the_module_and_the_files_agree():
    assert OPTIONS['profile']['choices'] == [NONE, *NAMES]


@pytest.mark.parametrize('name', NAMES)
def test_each_profile_has_only_options_of_the_module(name):
    profile = read_profile(name)
    assert any(profile.values())
    for part in ('overcommit', 'panic'):
        assert set(profile[part]) <= set(OPTIONS[part]['options'])
    assert all(set(one) <= set(OPTIONS['services']['options']) for one in profile['services'])


def test_options_replace_the_profile_key_by_key():
    merged = merge_profile({'profile': 'database', 'overcommit': {'ratio': 95, 'mode': None}, 'force': True})
    assert merged['overcommit'] == {'mode': 'never', 'admin_reserve_kbytes': 131072, 'ratio': 95}
    assert merged['panic'] == {'policy': 'kill'} and merged['force'] is True and 'profile' not in merged


@pytest.mark.parametrize('name', ['mysql', 'mysql.service'])
def test_services_replace_those_of_other_names_too(name):
    merged = merge_profile({'profile': 'database', 'services': [{'name': name, 'score_adj': 1}]})
    assert [one['name'] for one in merged['services']] == [name, 'postgresql@']


@pytest.mark.parametrize('args', [{}, {'profile': 'none'}, {'profile': None}, {'services': 'x', 'panic': 'y'}])
def test_without_a_profile_the_options_stay(args):
    assert merge_profile(args) == {key: value for key, value in args.items() if key != 'profile'}


@pytest.mark.parametrize('name', ['../../../../secret', 'nope', ['java'], 'java.yml/../java', True])
def test_a_name_that_is_no_profile_is_no_path(name):
    with pytest.raises(ConvertError, match='there is no profile'):
        merge_profile({'profile': name})


@pytest.mark.parametrize('option', ['overcommit', 'panic', 'services'])
def test_a_text_beside_a_profile_is_refused(option):
    with pytest.raises(ConvertError, match=f'{option}: .*merged with the profile'):
        merge_profile({'profile': 'database', option: 'ratio=80'})
