# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action oom_policy checks for the role, and the parts that tags select."""

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.oomkit.linux.plugins.module_utils._module import policy
from ansible_collections.oomkit.linux.plugins.plugin_utils import _role

TAGS = ['oom_policy', 'oom_policy_overcommit', 'oom_policy_panic', 'oom_policy_services']
KNOWN = {'oom_policy_panic', 'oom_policy_parts', 'oom_policy_overcommit_mode'}


def test_the_parts_are_those_of_the_module():
    assert list(_role.PARTS) == policy.PARTS


@pytest.mark.parametrize('run, selected', [
    (['all'], _role.PARTS), (['tagged'], _role.PARTS), (['oom_policy'], _role.PARTS), ([], _role.PARTS),
    (['mine', 'oom_policy_panic'], _role.PARTS), (['always'], _role.PARTS), (['oom_policy_panic', 'x'], ['panic']),
    (['oom_policy_services', 'oom_policy_overcommit'], ['overcommit', 'services'])])
def test_parts_by_tags(run, selected):
    assert _role.select_parts(None, [*TAGS, 'mine'], run) == list(selected)


def test_parts_by_tags_and_option():
    assert _role.select_parts('overcommit, panic', TAGS, ['oom_policy_panic']) == [' panic']
    assert _role.select_parts(['overcommit'], TAGS, ['oom_policy_panic']) == []
    assert _role.select_parts(['overcommit'], TAGS, ['all']) == ['overcommit']


@pytest.mark.parametrize('name', ['oom_policy_panik', 'oom_polcy_panic', 'oom_policy_overcomit_mod', 'oompolicy_parts'])
def test_a_misspelling_is_refused(name):
    with pytest.raises(AnsibleActionFail, match=f'{name}: the role has no such variable, it has oom_policy_'):
        _role.check_names({name: 1}, KNOWN)


def test_other_unknown_names_are_warnings():
    names = ['oom_policy_panic', 'oom_policy_result', 'oom_policy_team_a\x1b', '__oom_policy_panik', 'oom_serial']
    given = dict.fromkeys(names, 1)
    warning, = _role.check_names(dict(given, oom_policy_panics={'failed': False, 'changed': True}), KNOWN)
    assert warning.startswith('oom_policy_team_a?: ')


@pytest.mark.parametrize('name, known, edits', [
    ('', 'abc', 3), ('abc', 'abc', 0), ('abc', 'abd', 1), ('abc', 'ac', 1), ('ab', 'ba', 2), ('kitten', 'sitting', 3)])
def test_edits(name, known, edits):
    assert _role.count_edits(name, known) == edits
    assert _role.count_edits(*reversed((name, known))) == edits


@pytest.mark.parametrize('name', ['oom_policy_panic', '__oom_policy_x\x1b', 'inventory_hostname'])
def test_facts_named_like_variables_are_refused(name):
    with pytest.raises(AnsibleActionFail, match='The facts of this host hold [a-z_?]+, and facts outrank'):
        _role.refuse_facts({name: 1, 'oom': {}})


@pytest.mark.parametrize('facts', [None, {}, {'oom': 1, 'my_oom_policy_x': 2}, 'text'])
def test_other_facts_may_be_any(facts):
    _role.refuse_facts(facts)
