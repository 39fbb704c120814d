# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What molecule would pass over in silence is counted: moments without a test, steps without a playbook."""

import pytest
import scenarios
import yaml

SHIPPED = [path.parent.name for path in sorted(scenarios.FOLDER.glob('*/molecule.yml'))]
REPORT = '<testsuite><testcase classname="a" name="b"/></testsuite>'
EMPTY = '<testsuite></testsuite>'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A scenario with two moments at which it verifies."""
    monkeypatch.setattr(scenarios, 'FOLDER', tmp_path)
    (tmp_path / 'one' / 'reports').mkdir(parents=True)
    (tmp_path / 'one' / 'molecule.yml').write_text(yaml.safe_dump(
        {'scenario': {'test_sequence': ['create', 'verify', 'converge', 'verify ../later']}}))
    return tmp_path / 'one'


def report(folder, *texts):
    for number, text in enumerate(texts):
        (folder / 'reports' / f'{number:02}-x.xml').write_text(text)


def test_every_test_and_the_scenario_count(folder):
    report(folder, REPORT, REPORT)
    tally = scenarios.tally_of('one', 0, folder)
    assert tally.passed == 3 and not tally.failures


@pytest.mark.parametrize('texts', [[], [REPORT], [REPORT, EMPTY]])
def test_a_moment_without_a_test_fails_the_scenario(folder, texts):
    report(folder, *texts)
    assert scenarios.tally_of('one', 0, folder).failures == [
        'scenario one: exit code 0, tests ran at %d of 2 moments' % texts.count(REPORT)]


def test_a_failed_call_of_molecule_fails_the_scenario(folder):
    report(folder, REPORT, REPORT)
    assert scenarios.tally_of('one', 1, folder).failures == ['scenario one: exit code 1, tests ran at 2 of 2 moments']


def test_an_unknown_scenario_is_refused(folder, monkeypatch):
    monkeypatch.setenv('OOMKIT_SCENARIOS', 'one two')
    with pytest.raises(ValueError, match='no such scenario: two; there are one'):
        scenarios.names()
    monkeypatch.setenv('OOMKIT_SCENARIOS', '')
    assert scenarios.names() == ['one']


@pytest.mark.parametrize('name', [name for name in SHIPPED if name != scenarios.OWNER])
def test_every_scenario_has_all_steps_and_each_step_is_there(name):
    steps = scenarios.sequence(name)
    for wanted in ('create', 'prepare', 'converge', 'idempotence', 'verify', 'cleanup', 'destroy'):
        assert wanted in steps
    if name not in ('profiles', 'reboot'):  # of these policy plans the same
        assert steps.index('check') + 1 == steps.index('verify ../common/untouched') == steps.index('converge') - 1
    for step in steps:
        action, _blank, argument = step.partition(' ')
        if action == 'side_effect':
            assert (scenarios.FOLDER / name / argument).is_file(), step
        elif action == 'verify':
            assert list((scenarios.FOLDER / name / (argument or 'tests')).glob('test_*.py')), step


def test_the_scenarios_of_the_issue_are_there():
    assert SHIPPED == ['default', 'inclusion', 'policy', 'profiles', 'reboot', 'undo']
