# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests about services one after the other, killed runs and restarts among them: in the end all is as it was.

memory.oom.group stands in no process and is set by systemd at a start only, so that a value which stays behind is
noticed when a whole service is killed. OOMKIT_SEQUENCES is the number of random sequences, and OOMKIT_FAULTS_SEED
chooses others.
"""

import contextlib
import os
import random

import amounts
import pytest
from services_machine import ETC, FakeFile, ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._host import transaction
from ansible_collections.oomkit.linux.plugins.module_utils._host.host import RUN_FOLDER
from ansible_collections.oomkit.linux.plugins.module_utils._process import handle

SEQUENCES = int(os.environ.get('OOMKIT_SEQUENCES', amounts.examples(40)))
SEED = os.environ.get('OOMKIT_FAULTS_SEED', '1')
NOTHING = {'state': 'absent', 'exclusive': True}
PIDS = {'a.service': (100, 101), 'b.service': (110,), 'foo@1.service': (120,), 'foo@2.service': (121,)}
OWN = f'{ETC}/foo@1.service.d/90-oomkit.conf'


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    monkeypatch.setattr(os, 'fsync', lambda _fd: None)


@pytest.fixture
def machine(tmp_path):
    return made(tmp_path / 'machine')


def made(root):
    """Services. Some have settings of somebody else."""
    machine = ServiceMachine(root)
    for name in ('a.service', 'b.service', 'foo@.service'):
        machine.unit(name)
    machine.put(f'{ETC}/b.service.d/zz.conf', '[Service]\nOOMScoreAdjust=8\nOOMPolicy=kill\n')
    machine.put(f'{ETC}/foo@2.service.d/zz.conf', '[Service]\nOOMScoreAdjust=7\n')
    for unit, pids in PIDS.items():
        for pid in pids:
            machine.process(pid, parent=1 if pid == pids[0] else pids[0], unit=unit)
        restart(machine, unit)
    return machine


def restart(machine, unit):
    """What systemd sets at a start."""
    for pid in PIDS[unit]:
        machine.put(f'/proc/{pid}/oom_score_adj', '%d\n' % int(machine.at_start(unit, 'OOMScoreAdjust') or 0))
    machine.put(group_file(unit), '%d\n' % (machine.at_start(unit, 'OOMPolicy') == 'kill'))


def group_file(unit):
    return f'/sys/fs/cgroup/system.slice/{unit}/memory.oom.group'


def group(machine, unit='a.service'):
    return int(machine.get(group_file(unit)))


def everything(machine):
    """All that a run can change, but for copies of files of others."""
    paths = [path for top in ('etc', 'run/oomkit') for path in (machine.base / top).rglob('*')
             if not path.name.endswith('~')]
    paths += [*machine.base.glob('proc/*/oom_score_adj'), *machine.base.glob('sys/fs/cgroup/*/*/memory.oom.group')]
    return {str(path.relative_to(machine.base)): path.read_text() if path.is_file() else None for path in paths}


def dying(real, left):
    def die(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(*args, **options)
    return die


def killed_at(count, machine, monkeypatch, desired):
    """Whether the run was killed before this change; as after SIGKILL nothing is done any more."""
    left = [count]
    with monkeypatch.context() as patched:
        for owner, name in ((os, 'rename'), (os, 'unlink'), (os, 'rmdir'), (os, 'mkdir'), (ServiceMachine, 'reload'),
                            (handle.ProcessHandle, 'write_score_adj'), (FakeFile, 'write')):
            patched.setattr(owner, name, dying(getattr(owner, name), left))
        patched.setattr(transaction.Rollback, 'run', lambda transaction: None)
        with contextlib.suppress(Killed):
            machine.run(**desired)
    return left[0] < 0


def run(machine, **desired):
    """The next run would change nothing."""
    result = machine.run(**desired)
    again = machine.run(**desired)
    assert not again['changed'], (desired, again['diff'])
    return result


# --------------------------------------------------------------------- one thing


@pytest.mark.thorough
@pytest.mark.parametrize('other', [{'oom_policy': 'continue'}, {'oom_policy': 'stop', 'persistent': False},
                                   {'state': 'absent'}, {'score_adj': 5}])
@pytest.mark.parametrize('name', ['a', 'b'])
def test_a_policy_of_ours_is_never_what_was_before(machine, monkeypatch, name, other):
    """The next run may be killed, and the one after it want anything."""
    before = everything(machine)
    first = {'name': name, 'oom_policy': 'kill' if name == 'a' else 'continue', 'conflicts': 'comment_out'}
    for count in range(100):
        run(machine, **first)
        was_killed = killed_at(count, machine, monkeypatch, dict(other, name=name, conflicts='comment_out'))
        for last in ({'name': name, 'state': 'absent'}, NOTHING):
            run(machine, **last)
            assert everything(machine) == before, (count, last)
        if not was_killed:
            break
    assert not was_killed


def test_policy_waiting_for_a_restart_is_reverted(machine):
    machine.run(name='a', oom_policy='kill')
    machine.run(name='a', state='absent', runtime=False)
    assert group(machine) == 1
    run(machine, name='a', state='absent')
    assert group(machine) == 0 and not machine.exists(RUN_FOLDER)


@pytest.mark.thorough
def test_instance_drop_in_reverts_the_template_policy(machine, monkeypatch):
    before, instance = everything(machine), {'name': 'foo@1', 'score_adj': 5}
    template = {'name': 'foo@', 'score_adj': -300, 'oom_policy': 'kill', 'conflicts': 'comment_out'}
    for count in range(100):
        run(machine, **template)
        was_killed = killed_at(count, machine, monkeypatch, instance)
        warnings = run(machine, **instance)['warnings']
        assert (group(machine, 'foo@1.service'), group(machine, 'foo@2.service')) == (0, 1), count
        assert not warnings or 'OOMPolicy of the template does not count' in warnings[0]
        run(machine, **NOTHING)
        assert everything(machine) == before, count
        if not was_killed:
            break
    run(machine, **template)
    assert 'hides that of its template' in machine.run(**instance)['warnings'][0]


def test_where_it_is_listed_beside_its_template_it_keeps_that(machine):
    before = everything(machine)
    for more in ({}, {'persistent': False}):
        run(machine, conflicts='comment_out', **more, services=[
            {'name': 'foo@1', 'score_adj': 5}, {'name': 'foo@', 'score_adj': -300, 'oom_policy': 'kill'}])
        assert (machine.adj(120), machine.adj(121)) == (5, -300)
        assert (group(machine, 'foo@1.service'), group(machine, 'foo@2.service')) == (1, 1)
        assert ('OOMPolicy=kill\n' in (machine.get(OWN) or '')) == (not more)
        run(machine, **NOTHING)
        assert everything(machine) == before


def test_template_policy_skips_instance_with_its_own(machine):
    run(machine, name='foo@1', oom_policy='stop')
    run(machine, name='foo@', oom_policy='kill')
    assert (group(machine, 'foo@1.service'), group(machine, 'foo@2.service')) == (0, 1)


def test_instance_that_hides_the_template_is_named(machine):
    run(machine, name='foo@1', score_adj=5)
    desired = {'name': 'foo@', 'oom_policy': 'kill'}
    text = f'{OWN} does not set OOMPolicy and hides the drop-in of foo@'
    for conflicts in ('fail', 'comment_out'):
        with pytest.raises(Refusal, match=text):
            machine.run(conflicts=conflicts, **desired)
    assert text in ' '.join(machine.run(conflicts='warn', check=True, **desired)['warnings'])
    run(machine, services=[{'name': 'foo@1', 'score_adj': 5}, desired])
    run(machine, **desired)


@pytest.mark.parametrize('more', [{}, {'persistent': False}, {'runtime': False}])
@pytest.mark.parametrize('alone', [{'score_adj': 5}, {'oom_policy': 'kill'}, {'score_adj': 5, 'oom_policy': 'stop'}])
@pytest.mark.parametrize('template', [{'score_adj': -300}, {'oom_policy': 'kill'}])
def test_instance_set_as_template_goes_can_be_reverted(machine, template, alone, more):
    before = everything(machine)
    run(machine, name='foo@', conflicts='comment_out', **template)
    run(machine, name='foo@1', conflicts='comment_out', exclusive=True, **alone, **more)
    run(machine, **NOTHING)
    assert everything(machine) == before


@pytest.mark.parametrize('more', [{}, {'persistent': False}, {'runtime': False}])
@pytest.mark.parametrize('alone', [{'score_adj': 5}, {'oom_policy': 'kill'}, {'score_adj': 5, 'oom_policy': 'stop'}])
@pytest.mark.parametrize('template', [{'score_adj': -300}, {'oom_policy': 'kill'},
                                      {'score_adj': -300, 'oom_policy': 'kill'}])
def test_instance_gone_as_template_is_set_can_be_reverted(machine, template, alone, more):
    before = everything(machine)
    run(machine, name='foo@1', conflicts='comment_out', **alone)
    run(machine, name='foo@', conflicts='comment_out', exclusive=True, **template, **more)
    run(machine, name='foo@1', state='absent')
    run(machine, **NOTHING)
    assert everything(machine) == before


@pytest.mark.parametrize('policy', [{}, {'oom_policy': 'stop'}])
def test_instance_reverts_to_its_own_drop_in_not_template(machine, policy):
    run(machine, name='foo@1', score_adj=5, oom_policy='kill', conflicts='comment_out')
    run(machine, name='foo@1', score_adj=7, oom_policy='stop', persistent=False, conflicts='comment_out')
    run(machine, name='foo@', score_adj=-300, exclusive=True, persistent=False, conflicts='comment_out', **policy)
    assert (machine.adj(120), group(machine, 'foo@1.service')) == (5, 1)


def test_instance_set_by_others_leaves_no_record(machine):
    run(machine, name='foo@', score_adj=-5, conflicts='comment_out')
    run(machine, name='foo@', state='absent')
    assert machine.adj(121) == 7 and not machine.exists(RUN_FOLDER)


# ------------------------------------------------------------------ many of them


def any_request(dice):
    names = dice.sample(['a', 'b', 'foo@', 'foo@1'], dice.choice([1, 1, 2]))
    desired = {'services': [any_service(dice, name) for name in names], 'conflicts': 'comment_out'}
    if dice.random() < 0.25:
        desired = {'name': names[0], 'state': 'absent'}
    if dice.random() < 0.2:
        desired['exclusive'] = True
    if dice.random() < 0.3:
        desired[dice.choice(['persistent', 'runtime'])] = False
    return desired


def any_service(dice, name):
    values = {'score_adj': dice.choice([-300, 5, 9]), 'oom_policy': dice.choice(['kill', 'kill', 'continue', 'stop'])}
    keys = dice.choice([['score_adj'], ['oom_policy'], ['score_adj', 'oom_policy']])
    return {'name': name, **{key: values[key] for key in keys}}


def step(machine, monkeypatch, dice):
    """One of what may happen; as text, for the report of a failure."""
    kind, desired = dice.random(), any_request(dice)
    if kind < 0.15:
        unit = dice.choice(sorted(PIDS))
        restart(machine, unit)
        return 'restart of ' + unit
    try:
        if kind < 0.45:
            return 'killed: %r, %r' % (desired, killed_at(dice.randrange(12), machine, monkeypatch, desired))
        run(machine, **desired)
    except Refusal as exc:
        assert 'hides the drop-in of foo@' in str(exc)
        return 'refused: %r' % desired
    return 'run: %r' % desired


def test_after_any_requests_all_can_be_reverted(tmp_path, monkeypatch):
    for number in range(SEQUENCES):
        dice = random.Random('%s %d' % (SEED, number))
        machine = made(tmp_path / str(number))
        before = everything(machine)
        steps = [step(machine, monkeypatch, dice) for _step in range(dice.choice([1, 2, 2, 3, 4]))]
        run(machine, **NOTHING)
        after = everything(machine)
        assert after == before, '\n'.join([str(number), *steps])
