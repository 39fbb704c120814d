# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module oom_policy on a machine on disk: one plan, all or nothing."""

import errno

import pytest
from machine import OURS
from services_machine import ETC

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host.transaction import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._module import policy

WHOLE = {
    'overcommit': {'mode': 'never', 'ratio': 90},
    'panic': {'policy': 'panic', 'reboot_after': 20, 'kill_allocating_task': False},
    'services': [{'name': 'a', 'score_adj': -500}],
}
DROP_IN = ETC + '/a.service.d/90-oomkit.conf'


def everything(machine):
    return {name: value for name, value in machine.everything().items() if name != 'run/oomkit/lock'}


def test_one_call_sets_everything_and_absent_reverts_it(service_machine):
    machine = service_machine
    before = everything(machine)
    planned = machine.policy(check=True, conflicts='comment_out', **WHOLE)
    assert everything(machine) == before
    done = machine.policy(conflicts='comment_out', **WHOLE)
    for document in (planned, done):
        document.pop('backup_files', None)
    assert planned == done and done['changed'] and done['applied'] and done['reason'] is None
    assert (machine.state['vm.overcommit_memory'], machine.state['vm.panic_on_oom'], machine.adj(10)) == (2, 1, -500)
    assert 'kernel.panic = 20' in machine.get(OURS) and '-500' in machine.get(DROP_IN)
    again = machine.policy(conflicts='comment_out', **WHOLE)
    assert not again['changed'] and again['diff'] == []
    reverted = machine.policy(state='absent')
    assert reverted['changed'] and reverted['managed']
    assert not machine.policy(state='absent')['managed']


def test_a_conflict_of_one_part_stops_all_parts(service_machine):
    """Overcommit was strict by then when each part was a task of its own."""
    machine = service_machine
    machine.put('/etc/sysctl.d/zz.conf', 'kernel.panic=0\n')
    before = everything(machine)
    with pytest.raises(Refusal, match=r'zz\.conf'):
        machine.policy(**WHOLE)
    assert everything(machine) == before


def test_all_parts_that_refuse_are_named(service_machine):
    machine = service_machine
    before = everything(machine)
    request = {'overcommit': {'mode': 'never', 'kbytes': 4}, 'panic': {'policy': 'panic', 'reboot_after': 0},
               'services': [{'name': 'nope', 'score_adj': 5}]}
    with pytest.raises(Refusal) as refused:
        machine.policy(conflicts='comment_out', **request)
    messages = refused.value.messages
    assert len(messages) == 3 and all(message in str(refused.value) for message in messages)
    assert [word for word, message in zip(('CommitLimit', 'hang', 'nope'), messages, strict=True) if word in message]
    assert everything(machine) == before


@pytest.mark.parametrize('broken', ['vm.panic_on_oom', 'vm.overcommit_memory'])
def test_a_failed_sysctl_rolls_the_services_back(service_machine, broken):
    machine = service_machine
    before = everything(machine)
    machine.refuses[broken] = errno.EINVAL
    with pytest.raises(ApplyError, match='Everything was rolled back'):
        machine.policy(conflicts='comment_out', **WHOLE)
    assert {name: value for name, value in everything(machine).items() if not name.endswith('~')} == before


def test_a_failed_reload_rolls_the_sysctls_back(service_machine):
    machine = service_machine
    before = everything(machine)

    def fail():
        machine.after_reload = None
        raise OSError(errno.EIO, 'reload')

    machine.after_reload = fail
    request = dict(WHOLE, overcommit={'mode': 'always', 'ratio': 90})
    with pytest.raises(ApplyError, match='Everything was rolled back'):
        machine.policy(conflicts='comment_out', **request)
    assert {name: value for name, value in everything(machine).items() if not name.endswith('~')} == before


def test_services_are_set_before_a_tightening(service_machine):
    """daemon-reload starts a program, which the new limit may not allow."""
    machine, seen = service_machine, []
    machine.after_reload = lambda: seen.append(machine.state['vm.overcommit_memory'])
    machine.policy(conflicts='comment_out', **WHOLE)
    machine.policy(conflicts='comment_out', overcommit={'mode': 'always'}, services=[{'name': 'a', 'score_adj': -400}])
    assert seen == [1, 1]


def test_parts_select_what_is_set_and_reverted(service_machine):
    machine = service_machine
    machine.policy(conflicts='comment_out', parts=['panic'], **WHOLE)
    assert (machine.state['vm.overcommit_memory'], machine.state['vm.panic_on_oom'], machine.adj(10)) == (1, 1, 15)
    machine.policy(conflicts='comment_out', **WHOLE)
    machine.policy(state='absent', parts=['overcommit', 'services'])
    assert (machine.state['vm.overcommit_memory'], machine.state['vm.panic_on_oom'], machine.adj(10)) == (1, 1, 15)


@pytest.mark.parametrize('request_, message', [
    ({'overcommit': {'ratio': 'x'}}, 'ratio: '),
    ({'panic': {'policy': 'kil'}}, 'policy: '),
    ({'services': [{'name': 'a', 'score_adj': 2000}]}, r'services\[0\]\.score_adj: '),
    ({'services': [{'name': 'a'}]}, 'nothing is asked for a'),
    ({'overcommit': {'mode': 'always'}, 'runtime': False, 'persistent': False}, 'both false'),
    ({'services': [{'name': 'a', 'score_adj': 1}], 'confirm_within': 'soon'}, 'confirm_within: '),
    ({'forecast': -1}, 'forecast: '),
])  # fmt: skip
def test_a_wrong_value_is_refused_before_any_change(service_machine, request_, message):
    before = everything(service_machine)
    with pytest.raises(ConvertError, match=message):
        service_machine.policy(**request_)
    assert everything(service_machine) == before


@pytest.mark.parametrize('request_', [{}, {'overcommit': {}}, {'services': []}, dict(WHOLE, parts=[])])
def test_no_settings_are_a_warning(service_machine, request_):
    before = everything(service_machine)
    result = service_machine.policy(**request_)
    assert not result['changed'] and not result['applied'] and 'sets nothing' in result['reason']
    assert result['warnings'] == [result['reason']] and everything(service_machine) == before


def test_a_container_is_a_warning(service_machine):
    machine = service_machine
    machine.put('/run/.containerenv', 'engine="podman-4"\n')
    machine.put('/proc/1/environ', 'container=podman\0')
    before = everything(machine)
    result = machine.policy(**WHOLE)
    assert not result['applied'] and 'container' in result['reason'] and result['warnings'] == [result['reason']]
    assert everything(machine) == before


def test_the_forecast_sees_the_planned_panic_policy(service_machine):
    machine = service_machine
    result = machine.policy(check=True, forecast=1, conflicts='comment_out', **WHOLE)
    assert (result['forecast_before']['outcome'], result['forecast_after']['outcome']) == ('kill', 'panic')
    assert machine.policy(check=True, conflicts='comment_out', **WHOLE)['forecast_before'] is None


def test_a_protected_service_stops_the_whole_policy(service_machine):
    machine = service_machine
    before = everything(machine)
    with pytest.raises(Refusal, match='protect: '):
        machine.policy(overcommit={'mode': 'always'}, services=[{'name': 'a', 'score_adj': 900}], protect=['a'],
                       conflicts='comment_out')
    assert everything(machine) == before


def test_a_forecast_alone_sets_nothing(service_machine):
    result = service_machine.policy(forecast=1)
    assert not result['applied'] and 'sets nothing' in result['reason'] and result['forecast_after']


def test_facts_that_fail_leave_the_result_of_the_change(service_machine, monkeypatch):
    def fail(_host):
        raise OSError(errno.EIO, 'gone')

    monkeypatch.setattr(policy, '_look', fail)
    result = service_machine.policy(conflicts='comment_out', facts=True, **WHOLE)
    assert result['changed'] and 'could not be gathered' in result['warnings'][-1] and 'ansible_facts' not in result


def test_facts_are_gathered_after_the_change(service_machine):
    result = service_machine.policy(conflicts='comment_out', facts=True, **WHOLE)
    assert result['ansible_facts']['oom']['overcommit']['mode'] == 2
