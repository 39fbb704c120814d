# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action oom_policy: when it confirms, over which connection, and what it says if it cannot."""

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError

from ansible_collections.oomkit.linux.plugins.plugin_utils import _confirm
from ansible_collections.oomkit.linux.plugins.plugin_utils._confirm import PolicyAction

PENDING = {'changed': True, 'before': 1, 'after': 2, 'changed_keys': ['a'], 'services': ['old'], 'diff': ['runtime'],
           'confirmation': {'state': 'pending', 'within_s': 60, 'until': 'T', 'reason': 'same connection'}}
CONFIRMED = {'changed': True, 'before': 2, 'after': 2, 'changed_keys': [], 'services': ['new'], 'diff': [],
             'confirmation': {'state': 'confirmed', 'within_s': 60, 'until': None, 'reason': None}}
DONE = {'changed': True, 'confirmation': {'state': 'not_needed', 'reason': 'confirm_within is 0'}}


class Action(PolicyAction):
    """Its host gives these answers, one for each call of the module; exceptions are raised."""

    def __init__(self, answers, transport='ssh', check=False, **args):
        self.answers, self.calls, self.slept_s = list(answers), [], 0
        self._task = SimpleNamespace(args=args, async_val=0, check_mode=check, action='oomkit.linux.oom_policy')
        self._connection = SimpleNamespace(transport=transport, reset=lambda: self.calls.append('reset'))

    def answer(self, _tmp=None, _task_vars=None):
        self.calls.append(self._task.args['confirm_within'])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _execute_module(self, **_arguments):
        self.calls.append('facts')
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {'ansible_facts': {'oom': {'overcommit': {'mode': answer}}}}


@pytest.fixture
def act(monkeypatch):
    """Runs the action; the time that it waits for passes at once."""
    clock = [0.0]
    monkeypatch.setattr(_confirm, 'time', SimpleNamespace(
        monotonic=lambda: clock[0], sleep=lambda seconds: clock.__setitem__(0, clock[0] + seconds)))
    monkeypatch.setattr(_confirm.HostAction, 'run', lambda self, tmp, task_vars: self.answer(tmp, task_vars))

    def run(*answers, **options):
        action = Action(answers, **options)
        action.result = action.run()
        action.clock_s = clock[0]
        assert not action.answers
        return action
    return run


def test_a_pending_change_is_confirmed_over_a_new_connection(act):
    action = act(PENDING, CONFIRMED)
    assert action.calls == [60, 'reset', 60]
    assert action.result == dict(CONFIRMED, before=1, changed_keys=['a'], diff=['runtime'])
    both = act(dict(PENDING, warnings=['a', 'b'], forecast_before='kill'),
               dict(CONFIRMED, warnings=['b'], forecast_before='panic')).result
    assert both['warnings'] == ['a', 'b'] and both['forecast_before'] == 'kill'


@pytest.mark.parametrize('answer, options', [(DONE, {}), (PENDING, {'check': True})])
def test_nothing_is_confirmed_that_does_not_wait(act, answer, options):
    action = act(answer, **options)
    assert action.calls == [60] and action.result == answer


def test_without_a_new_login_the_default_is_0_and_a_warning(act):
    action = act(DONE, transport='local')
    assert action.calls == [0] and 'no new connection can confirm' in action.result['warnings'][0]
    nothing = dict(DONE, confirmation={'state': 'not_needed', 'reason': 'nothing changes at runtime'})
    assert 'warnings' not in act(nothing, transport='community.docker.docker').result
    assert 'warnings' not in act(DONE, transport='local', confirm_within=0).result


def test_without_a_new_login_an_explicit_time_is_refused(act):
    with pytest.raises(AnsibleActionFail, match='Nothing was changed'):
        act(transport='local', confirm_within=60)


@pytest.mark.parametrize('args', [{'confirm_within': 'soon'}, {'confirm_within': 3601}, {'profile': 'nope'}])
def test_a_wrong_option_is_refused_before_the_host_is_asked(act, args):
    with pytest.raises(AnsibleActionFail, match=next(iter(args)) + ': '):
        act(**args)


def test_a_refused_confirmation_fails_and_says_when(act):
    result = act(PENDING, {'failed': True, 'msg': 'Not confirmed'}).result
    assert result['failed'] and result['msg'].startswith('Not confirmed') and 'at T' in result['msg']


@pytest.mark.parametrize('lost', [AnsibleConnectionFailure('no route\x1b'), AnsibleError('sudo: no route\x1b')])
def test_a_lost_host_is_waited_for_and_reported(act, lost):
    action = act(PENDING, lost, lost, 0)
    assert action.calls == [60, 'reset', 60, 'facts', 'facts'] and action.clock_s >= 60
    assert action.result['failed'] and 'no route\\x1b' in action.result['msg']
    assert 'vm.overcommit_memory is 0 now' in action.result['msg']


def test_a_host_that_stays_away_is_unreachable(act):
    lost = AnsibleConnectionFailure('no route')
    with pytest.raises(AnsibleConnectionFailure):
        act(PENDING, *[lost] * 30)


def test_the_same_connection_confirms_nothing(act):
    result = act(PENDING, PENDING, 1).result
    assert result['failed'] and 'same connection' in result['msg']


@pytest.mark.parametrize('confirmation', [{'state': 'pending'}, {'state': 'pending', 'within_s': 10**9, 'reason': []}])
def test_a_host_cannot_stall_the_controller(act, confirmation):
    answer = {'changed': True, 'confirmation': confirmation}
    action = act(answer, answer, {'mode': 2})
    assert action.result['failed'] and action.clock_s < 120


@pytest.mark.parametrize('confirmation', [None, 'pending', ['pending'], 5])
def test_an_answer_in_another_form_is_no_confirmation(act, confirmation):
    assert act({'changed': True, 'confirmation': confirmation}).calls == [60]
