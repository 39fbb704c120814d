# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole policy costs by the role oom_policy, beside the same state by sysctl, file, copy and systemd tasks.

The policy: six sysctls, the scores of 20 services, and facts. Here it is the role, which confirms the tightened
overcommit over a new connection, sets the running processes and gathers the facts. There it is ansible.posix.sysctl,
file, copy and systemd, without facts (there are none to have), without the running processes, and without a second
connection. Both ways are one play against the same lab machine, over the same kept ssh connection with pipelining, from
the same snapshot: a first run, then one with nothing left to change. Reported are the modules executed on the machine,
the whole time of ansible-playbook, and the bytes that the machine's network cards received.

By default only a few items of the usual way's loops are run, and what they take is multiplied: every item runs the same
modules. The bytes of each loop are then read in between, by raw tasks whose own time and bytes are taken off again.
With ``--peer-services 20 --peer-sysctls 6`` nothing is multiplied, and nothing is read in between.

The ways take turns, and the best of all rounds counts: what others do on the machine only ever makes a run slower.
The same is then done with Mitogen, nothing multiplied, which makes the usual way much cheaper. The targets are for
Ansible as it comes. With ``--quick`` a single item of each loop stands for all, so that a fifth less will do.
"""

import argparse
import collections
import contextlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / 'shared'))

import command_line
import lab_plays
from lab_plays import SYSCTLS, Bench, Machine

SERVICES = 20
LEAST_RATIO = {'first': 5.0, 'steady': 10.0}
QUICK_SHARE = 0.8
LINEAR = 'linear'
MITOGEN = 'mitogen_linear'
MITOGEN_PACKAGE = 'mitogen==0.3.54'
MITOGEN_CORES = ((2, 19), (2, 21))
MEASURES = ('seconds', 'bytes', 'executed')
OUR_CHANGES = {'oomkit.linux.oom_policy'}
RAW = 'ansible.builtin.raw'
READ = {RAW: lab_plays.RECEIVED, 'changed_when': False}


# -------------------------------------------------------------------------- the two ways

def our_play(bench: Bench, count: int) -> dict:
    """Our way."""
    desired = {'oom_policy_overcommit_mode': 'never', 'oom_policy_overcommit_ratio': SYSCTLS['vm.overcommit_ratio'],
               'oom_policy_admin_reserve_kbytes': SYSCTLS['vm.admin_reserve_kbytes'],
               'oom_policy_user_reserve_kbytes': SYSCTLS['vm.user_reserve_kbytes'], 'oom_policy_panic': 'panic',
               'oom_policy_reboot_after': SYSCTLS['kernel.panic'], 'oom_policy_services': lab_plays.our_services(count)}
    roles = [{'role': 'oomkit.linux.oom_policy', 'vars': desired}]
    return measured(bench, lambda: bench.play([], roles=roles))


def peers_play(bench: Bench, tasks: list[dict], factors: dict[str, float]) -> dict:
    """The usual way, each loop multiplied by its factor."""
    multiplied = any(factor != 1 for factor in factors.values())
    if multiplied:
        tasks = [READ, READ, *(one for task in tasks for one in (task, READ))]
    report = measured(bench, lambda: bench.play(tasks))
    parts_bytes = {}
    if multiplied:
        # The first two readings show what one costs, the others come after a task each.
        before, *read = map(lab_plays.received_bytes, report['printed'])
        cost_bytes = read[0] - before
        names = [name for name in map(next, map(iter, tasks)) if name != RAW]
        parts_bytes = {name: end - start - cost_bytes
                       for name, start, end in zip(names, read, read[1:], strict=False)}
        report['bytes'] -= cost_bytes * len(report['printed'])
        report['seconds'] -= report['task_s'][RAW]
    return {'seconds': lab_plays.full(report['seconds'], report['task_s'], factors),
            'bytes': lab_plays.full(report['bytes'], parts_bytes, factors),
            'executed': collections.Counter({name: round(count * factors.get(name, 1))
                                             for name, count in report['executed'].items()}),
            'changed': report['changed']}


def measured(bench: Bench, play: Callable[[], dict]) -> dict:
    """A play with the bytes that it sent to the machine, and its count of modules compared with Ansible's own log."""
    log = bench.folder / 'log'
    log.unlink(missing_ok=True)
    first, before = bench.received_bytes(), bench.received_bytes()
    report = play()
    report['bytes'] = bench.received_bytes() - before - (before - first)
    raws = report['executed'].pop(RAW, 0)
    if 'ANSIBLE_LOG_PATH' in bench.env:
        lines = log.read_text(encoding='utf-8').splitlines()
        logged = sum('Using module file' in line for line in lines)
        lab_plays.expect('modules, besides %d raw commands' % raws, report['executed'].total(), logged)
    return report


# ----------------------------------------------------------------------------- strategies

def mitogen_variables() -> dict[str, str] | str:
    """The environment that has ansible-playbook use Mitogen, or why there is none."""
    core = importlib.metadata.version('ansible-core')
    least, most = MITOGEN_CORES
    if not least <= tuple(map(int, core.split('.')[:2])) <= most:
        return '%s is for ansible-core %d.%d to %d.%d, not %s' % (MITOGEN_PACKAGE, *least, *most, core)
    folder = lab_plays.fetched(MITOGEN_PACKAGE, ('mitogen/', 'ansible_mitogen/'))
    if folder is None:
        return 'pip could not fetch %s' % MITOGEN_PACKAGE
    # It opens one connection of its own for a play, which reset_connection closes. Through the lab's kept one it would
    # not be a new one that confirms the tightening. The lab's machines have no host key that anybody knows.
    return {'ANSIBLE_STRATEGY': MITOGEN, 'ANSIBLE_SSH_ARGS': '-C -o ControlPath=none',
            # Longer than its 10 s: an emulated machine on busy processors takes as long to let anybody in.
            'ANSIBLE_HOST_KEY_CHECKING': 'False', 'ANSIBLE_TIMEOUT': '120',
            'ANSIBLE_STRATEGY_PLUGINS': str(folder / 'ansible_mitogen' / 'plugins' / 'strategy')}


def variables_of(strategy: str, folder: Path) -> dict[str, str] | str:
    """What a strategy takes in the environment, or why it cannot be had."""
    if strategy == MITOGEN:
        return mitogen_variables()
    # Every module that Ansible sends is named in its log; Mitogen does not log them.
    return {'ANSIBLE_STRATEGY': LINEAR, 'ANSIBLE_LOG_PATH': str(folder / 'log'), 'ANSIBLE_LOG_VERBOSITY': '3'}


# ------------------------------------------------------------------------------ results

def compare(ours: dict[str, dict], theirs: dict[str, dict]) -> dict:
    """By run and measure: theirs, ours, and the ratio."""
    result = {}
    for kind in ('first', 'steady'):
        for one in (ours[kind], theirs[kind]):
            one['executed'] = one['executed'].total()
        result[kind] = {name: {'theirs': round(theirs[kind][name], 1), 'ours': round(ours[kind][name], 1),
                               'ratio': round(theirs[kind][name] / ours[kind][name], 1)} for name in MEASURES}
    return result


def both_ways(bench: Bench, strategy: str, options: argparse.Namespace) -> dict:
    """One strategy: our way and the usual way in turn, the best runs of each."""
    services, sysctls = options.peer_services, options.peer_sysctls
    if strategy == MITOGEN:
        # It sends a module with the first item of a loop only, which multiplying would count for all.
        services, sysctls = options.services, len(SYSCTLS)
    factors = lab_plays.peers_factors(options.services, services, sysctls)
    tasks = lab_plays.peers_tasks(services, sysctls)
    ours, theirs = [], []
    for _round in range(options.rounds):
        ours.append(bench.both_runs(
            '%s: the role for %d services and %d sysctls' % (strategy, options.services, len(SYSCTLS)),
            lambda: our_play(bench, options.services), OUR_CHANGES,
            lambda: bench.check_state(options.services, len(SYSCTLS), live=True)))
        theirs.append(bench.both_runs(
            '%s: the usual way, from %d services and %d sysctls' % (strategy, services, sysctls),
            lambda: peers_play(bench, tasks, factors), set(lab_plays.PEERS_LOOPS),
            lambda: bench.check_state(services, sysctls, live=False)))
    return compare(best(ours), best(theirs))


def best(rounds: list[dict[str, dict]]) -> dict[str, dict]:
    """The fastest first run, and the fastest second one."""
    return {kind: min((one[kind] for one in rounds), key=lambda run: run['seconds']) for kind in ('first', 'steady')}


def run(options: argparse.Namespace) -> dict:
    """All of it."""
    machine = Machine('policy-bench-%d' % os.getpid(), lab_plays.FLAVOUR)
    results, failed = {}, {}
    with tempfile.TemporaryDirectory(prefix='oomkit-bench-') as name, contextlib.ExitStack() as stack:
        bench_peers = lab_plays.peers()
        strategies = options.strategy or ((LINEAR,) if options.quick else (LINEAR, MITOGEN))
        wanted = {one: variables_of(one, Path(name)) for one in strategies}
        left_out = {one: reason for one, reason in wanted.items() if isinstance(reason, str)}
        if options.strategy and left_out:
            sys.exit('; '.join(left_out.values()))
        stack.callback(machine.stop)
        machine.start()
        bench = Bench(machine, Path(name), bench_peers)
        bench.prepare(options.services)
        plain = bench.env
        for strategy in (one for one in wanted if one not in left_out):
            bench.env = {**plain, **wanted[strategy]}
            try:
                results[strategy] = both_ways(bench, strategy, options)
            except SystemExit as exc:
                # A way that did not do its work fails the run, but what was measured before is shown anyway.
                if not results or not isinstance(exc.code, str):
                    raise
                failed[strategy] = exc.code
        where = lab_plays.describe(machine)
    factors = lab_plays.peers_factors(options.services, options.peer_services, options.peer_sysctls)
    least = {kind: ratio * (QUICK_SHARE if options.quick else 1) for kind, ratio in LEAST_RATIO.items()}
    result = {'machine': where, 'count': options.services, 'rounds': options.rounds, 'strategies': results,
              'left_out': left_out, 'failed': failed, 'least': least,
              'multiplied': {name: factor for name, factor in factors.items() if factor != 1}}
    if LINEAR in results:
        result['met'] = all(results[LINEAR][kind]['seconds']['ratio'] >= ratio for kind, ratio in least.items())
    return result


def show(result: dict) -> None:
    """The result for people."""
    print(result['machine'])
    for strategy, found in result['strategies'].items():
        title = '%d services, 6 sysctls, %s, best of %d' % (result['count'], strategy, result['rounds'])
        print('%-58s %12s %12s %8s' % (title, 'usual way', 'role', 'ratio'))
        for name, label in zip(MEASURES, ('seconds with the start of Ansible', 'bytes sent to the host',
                                          'modules executed on the host'), strict=True):
            numbers = '%12.1f %12.1f' if name == 'seconds' else '%12d %12d'
            for kind, run_name in (('first', 'first run'), ('steady', 'second run')):
                one = found[kind][name]
                row = '  %-56s ' + numbers + ' %8.1f'
                print(row % ('%s, %s' % (label, run_name), one['theirs'], one['ours'], one['ratio']))
    for name, factor in result['multiplied'].items() if LINEAR in result['strategies'] else ():
        print('Not all items of %s were run with linear: what it takes was multiplied by %.4g.' % (name, factor))
    for strategy, reason in result['left_out'].items():
        print('Not measured with %s: %s.' % (strategy, reason))
    for strategy, reason in result['failed'].items():
        print('FAILED with %s: %s' % (strategy, reason))
    if 'met' in result:
        print('Targets (times as fast, strategy linear: first run at least %.0f, second at least %.0f): %s' % (
            result['least']['first'], result['least']['steady'], 'met' if result['met'] else 'MISSED'))


def main() -> int:
    """0 when the targets are met."""
    parser = lab_plays.arguments(__doc__, SERVICES)
    parser.add_argument('--strategy', choices=(LINEAR, MITOGEN), action='append',
                        help='only with this strategy (both; %s if it is to be had, and not with --quick)' % MITOGEN)
    parser.add_argument('--rounds', type=int, default=1, help='rounds to take the best runs of (1)')
    options = lab_plays.parsed(parser)
    if options.rounds < 1:
        parser.error('--rounds must be at least 1')
    return command_line.run_and_show(lambda: run(options), show, options.json)


if __name__ == '__main__':
    sys.exit(main())
