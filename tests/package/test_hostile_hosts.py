# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A compromised host writes, reads and runs nothing on the controller: every playbook, the role, the callback
and the action against interpreters that answer hostile JSON and against a fact cache that holds it, on the oldest and
the newest ansible-core."""

import json
import re
import subprocess
from pathlib import Path

import commands
import fleet_facts
import hostile
import matrix
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
PLAYBOOKS = sorted(path.stem for path in (CHECKOUT / 'playbooks').glob('*.yml'))
CORES = [next(iter(matrix.CORES)), next(core for core in reversed(matrix.CORES) if matrix.core_environment(core))]
# What a playbook shows at last of a host.
END = {'audit': 'overcommit: never', 'demo': 'Nothing was changed.', 'apply': 'processes set: 1',
       'rollback': 'processes set: 1'}
# What a run may write where it is started.
EXPECTED = {'oom-fleet-report.html', 'x.csv'}
FILL_CACHE = '''
import json, sys
from ansible.plugins.loader import cache_loader, init_plugin_loader
init_plugin_loader([])
cache = cache_loader.get('jsonfile', _uri=sys.argv[1], _timeout=0, _prefix='')
for host, facts in json.load(open(sys.argv[2])).items():
    cache.set(host, facts)
'''


@pytest.fixture(scope='module')
def names():
    """All variables of the collection, without those that only hide functions of templates."""
    return hostile.variables(CHECKOUT) - hostile.FUNCTIONS


def test_the_variables_are_all_of_them(names):
    """One of each source."""
    assert names >= {'oom_policy_profile', 'oom_policy_result',
                     'fleet_report_html', 'oom_hosts', 'oom_serial', 'oom_top', 'oom_done', 'demo_overcommit', 'oom',
                     'demo_hosts', 'demo_panic_plan', 'ansible_play_batch', '__fleet_report'}


@pytest.fixture(params=CORES)
def core(request):
    """The bin folder of an environment with this ansible-core, made where it is missing."""
    found = matrix.core_environment(request.param)
    assert found, 'ansible-core %s needs Python %s' % (request.param, ' or '.join(matrix.CORES[request.param]))
    return found[1]


class Controller:
    """A controller with hosts that were commented out, and a folder in which nothing may ever happen."""

    def __init__(self, folder, core, names):
        self.core, self.work, self.bait = core, folder / 'work', folder / 'bait'
        self.work.mkdir()
        self.bait.mkdir()
        for name in ('secret', 'secret.yml'):
            (self.bait / name).write_text('oom_policy_panic: panic\n')
        self.hosts, self.cached = {}, {}
        self._add_hosts(folder, names)
        (folder / 'hosts.yml').write_text(yaml.safe_dump({'all': {'hosts': self.hosts}}))
        (folder / 'facts.json').write_text(json.dumps(self.cached))
        self.inventory = folder / 'hosts.yml'
        self.environment = dict(
            commands.environment(core), HOME=str(folder), ANSIBLE_HOME=str(folder / 'home'), ANSIBLE_FORKS='8',
            ANSIBLE_CACHE_PLUGIN='ansible.builtin.jsonfile', ANSIBLE_CACHE_PLUGIN_CONNECTION=str(folder / 'cache'),
            ANSIBLE_CALLBACKS_ENABLED='oomkit.linux.fleet_report', OOMKIT_FLEET_REPORT_HTML='oom-fleet-report.html')
        self.environment['PATH'] = '%s:%s' % (core, self.environment['PATH'])
        subprocess.run([core / 'python', '-c', FILL_CACHE, folder / 'cache', folder / 'facts.json'], check=True,
                       env=self.environment, timeout=60)
        self.watch = hostile.Watch(self.bait)

    def _add_hosts(self, folder, names):
        honest = hostile.answers(CHECKOUT)
        for kind, attack in hostile.attacks(self.bait).items():
            facts = {name: attack(name) for name in names}
            lying = hostile.replaced(honest, attack)
            # Facts with the answer of each module, which is else honest; hostile texts in it; facts of an earlier run.
            self._add(folder, 'facts-' + kind, {name: with_facts(answer, facts) for name, answer in honest.items()})
            self._add(folder, 'text-' + kind, lying)
            if kind != 'typed':  # Ansible refuses such an answer, so that it is in no cache
                self._add(folder, 'cached-' + kind, honest)
                self.cached['cached-' + kind] = dict(facts, oom=lying['oom_facts']['ansible_facts']['oom'])
        # One fact alone, because one that ends a task early would hide what another one does.
        for name in hostile.exposed(CHECKOUT):
            fact = {name: hostile.relative(self.bait)}
            self._add(folder, 'alone-' + name, {module: with_facts(answer, fact) for module, answer in honest.items()})
        for name in hostile.of_callbacks(CHECKOUT):
            self._add(folder, 'known-' + name, honest)
            self.cached['known-' + name] = {name: hostile.relative(self.bait), 'oom': fleet_facts.facts('h', 'db')}
        # Of Ansible's own variables some end the run of a module before it begins.
        own = dict.fromkeys(names - set(hostile.OF_ANSIBLE), hostile.STEERING)
        self._add(folder, 'known-own', honest)
        self.cached['known-own'] = dict(own, oom=hostile.replaced(fleet_facts.facts('h', 'db'), lambda _name: 'x'))
        functions = dict.fromkeys(hostile.FUNCTIONS, 'x')
        self._add(folder, 'functions', {name: with_facts(answer, functions) for name, answer in honest.items()})

    def _add(self, folder, name, answer):
        program = hostile.interpreter(folder / name, answer)
        self.hosts[name] = {'ansible_connection': 'local', 'ansible_python_interpreter': str(program),
                            'ansible_become': False}

    def play(self, playbook, *words):
        """Run a playbook: what it printed."""
        done = subprocess.run([self.core / 'ansible-playbook', '-i', self.inventory, playbook, *words], cwd=self.work,
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                              check=False)
        return (done.stdout + done.stderr).decode('utf-8')

    def files(self):
        return {path.name for path in self.work.iterdir()}


def with_facts(answer, facts):
    return dict(answer, ansible_facts=dict(facts, **answer.get('ansible_facts', {})))


@pytest.fixture
def controller(tmp_path, core, names):
    """The controller, and at the end the proof that nothing happened to it."""
    made = Controller(tmp_path, core, names)
    yield made
    events = made.watch.events()
    made.watch.close()
    assert events == set(), 'opened, written or run on the controller'
    assert made.files() <= EXPECTED


def is_sanitized(text):
    """Whether nothing in it steers a terminal."""
    return all(char.isprintable() or char == '\n' for char in text)


def check(controller, said):
    """Nothing was rendered, no internal error happened, and nothing that was printed or written steers a terminal."""
    assert 'PLAY RECAP' in said, said
    assert hostile.PRODUCT not in said and 'Traceback' not in said
    lines = [line for line in said.splitlines() if not is_sanitized(line)]
    assert not lines, lines
    for path in controller.work.iterdir():
        assert is_sanitized(path.read_text(encoding='utf-8')), path


@pytest.mark.parametrize('playbook', PLAYBOOKS)
def test_playbooks(controller, playbook):
    words = ['-e', 'demo_hosts=all'] if playbook == 'demo' else []
    if playbook in ('apply', 'rollback'):  # the first host that is refused ends them
        words = ['-e', 'oom_hosts=all oom_serial=100%', '--limit']
        check(controller, controller.play('oomkit.linux.' + playbook, *words, 'cached-*:known-own'))
        # Both play the same role, so that one of them does for the facts that come alone.
        limit = 'facts-*:text-*:functions' + (':alone-*:!alone-fleet_*' if playbook == 'apply' else '')
        check(controller, controller.play('oomkit.linux.' + playbook, *words, limit))
        words += ['text-*:!text-typed']  # no host of these fails, so that all come to the end
    said = controller.play('oomkit.linux.' + playbook, *words)
    check(controller, said)
    # Where hosts answer in the form of the modules, the playbook has to get to its end.
    assert said.count(END.get(playbook, '')) >= 4, said


def test_the_report_of_one_host(controller):
    """It runs for one host of a play only, the first one."""
    (controller.work.parent / 'play.yml').write_text(yaml.safe_dump([
        {'ansible.builtin.import_playbook': 'oomkit.linux.report', 'vars': {'oom_hosts': host}}
        for host in sorted(controller.cached, key=lambda host: host.startswith('cached'))]))
    said = controller.play(controller.work.parent / 'play.yml', '-e', 'fleet_report_csv=x.csv')
    check(controller, said)
    assert len(re.findall('1 host: 1 ok;', said)) == len(controller.cached)


def test_the_role(controller):
    """In a play of a user. What Ansible says of wrong arguments before the first task of a role is not ours."""
    (controller.work.parent / 'play.yml').write_text(yaml.safe_dump([{
        'hosts': 'text-*:facts-*', 'gather_facts': False, 'tasks': [
            {'ansible.builtin.include_role': {'name': 'oomkit.linux.oom_policy'},
             'vars': {'oom_policy_overcommit_mode': 'always', 'oom_policy_panic': 'kill'}},
            {'ansible.builtin.debug': {'var': 'oom_policy_result'}}]}]))
    said = controller.play(controller.work.parent / 'play.yml')
    check(controller, said)
    assert len(re.findall('FAILED! .*The host answered with facts that this module does not return', said)) >= 4
