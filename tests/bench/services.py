# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast one call of oom_score_adj sets 50 services, beside the same state by file, copy, systemd and sysctl tasks.

Both ways are one play against the same lab machine, over the same kept ssh connection with pipelining, from the same
snapshot: a first run, then a second one with nothing left to change. Each play also sets six sysctls, there by six runs
of ansible.posix.sysctl, here by one call each of overcommit and panic_on_oom. The claim is about services alone: the
whole play, the start of ansible-playbook included, less the tasks for sysctls.

The usual way runs three modules for each service, which takes 10 to 20 minutes for 50 on an emulated machine. So by
default only a few items of its loops are run, and their time is multiplied: every item runs the same modules. With
``--peer-services 50 --peer-sysctls 6`` nothing is multiplied. The usual way does not change running processes, which
would take a restart of each service; ours does, and that is in its time.
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / 'shared'))

import command_line
import lab_plays
from lab_plays import Bench, Machine

SERVICES = 50
LEAST_RATIO = 10.0
SYSCTL_TASKS = {'ansible.posix.sysctl', 'oomkit.linux.overcommit', 'oomkit.linux.panic_on_oom'}
OUR_CHANGES = {'oomkit.linux.overcommit', 'oomkit.linux.panic_on_oom', 'oomkit.linux.oom_score_adj'}


def our_tasks(count: int) -> list[dict]:
    """Our way."""
    sysctls = lab_plays.SYSCTLS
    return [
        {'oomkit.linux.overcommit': {'mode': 'never', 'ratio': sysctls['vm.overcommit_ratio'],
                                     'admin_reserve_kbytes': sysctls['vm.admin_reserve_kbytes'],
                                     'user_reserve_kbytes': sysctls['vm.user_reserve_kbytes']}},
        {'oomkit.linux.panic_on_oom': {'policy': 'panic', 'reboot_after': sysctls['kernel.panic']}},
        {'oomkit.linux.oom_score_adj': {'services': lab_plays.our_services(count)}},
    ]


# ------------------------------------------------------------------------------ results

def full_s(one: dict, factors: dict[str, float], sysctls: bool) -> float:
    """The seconds of a play, each loop multiplied by its factor, with or without the tasks for sysctls."""
    left_out = {} if sysctls else {name: task_s for name, task_s in one['task_s'].items() if name in SYSCTL_TASKS}
    return (lab_plays.full(one['seconds'], one['task_s'], factors)
            - sum(factors.get(name, 1) * task_s for name, task_s in left_out.items()))


def compare(ours: dict[str, dict], theirs: dict[str, dict], factors: dict[str, float]) -> dict:
    """Times in seconds and ratios, for the first run and the second, with and without sysctls."""
    result = {}
    for kind in ('first', 'steady'):
        for case, sysctls in (('services', False), ('with_sysctls', True)):
            our_s, their_s = full_s(ours[kind], {}, sysctls), full_s(theirs[kind], factors, sysctls)
            result.setdefault(case, {})[kind] = {'ours_s': round(our_s, 1), 'theirs_s': round(their_s, 1),
                                                 'ratio': round(their_s / our_s, 1)}
    return result


def run(services: int, peer_services: int, peer_sysctls: int) -> dict:
    """All of it."""
    machine = Machine('services-bench-%d' % os.getpid(), lab_plays.FLAVOUR)
    with tempfile.TemporaryDirectory(prefix='oomkit-bench-') as name, contextlib.ExitStack() as stack:
        bench_peers = lab_plays.peers()
        stack.callback(machine.stop)
        machine.start()
        bench = Bench(machine, Path(name), bench_peers)
        bench.prepare(services)
        ours = bench.both_runs('One call for %d services, and two for sysctls' % services,
                               lambda: bench.play(our_tasks(services)), OUR_CHANGES,
                               lambda: bench.check_state(services, len(lab_plays.SYSCTLS), live=True))
        peers_tasks = lab_plays.peers_tasks(peer_services, peer_sysctls)
        theirs = bench.both_runs('The usual way for %d services and %d sysctls' % (peer_services, peer_sysctls),
                                 lambda: bench.play(peers_tasks), set(lab_plays.PEERS_LOOPS),
                                 lambda: bench.check_state(peer_services, peer_sysctls, live=False))
        where = lab_plays.describe(machine)
    factors = lab_plays.peers_factors(services, peer_services, peer_sysctls)
    result = compare(ours, theirs, factors)
    multiplied = {name: factor for name, factor in factors.items() if factor != 1}
    return {'machine': where, 'count': services, 'multiplied': multiplied, **result,
            'met': all(result['services'][kind]['ratio'] >= LEAST_RATIO for kind in ('first', 'steady'))}


def show(result: dict) -> None:
    """The result for people."""
    print(result['machine'])
    print('  %-56s %10s %10s' % ('seconds, with the start of ansible-playbook', 'first run', 'second'))
    for case, texts in (('services', ('%d services: file, copy, daemon_reload', '%d services: one call, live too')),
                        ('with_sysctls', ('%d services and 6 sysctls: with ansible.posix.sysctl',
                                          '%d services and 6 sysctls: three calls'))):
        for text, name in zip(texts, ('theirs_s', 'ours_s'), strict=True):
            times = tuple(result[case][kind][name] for kind in ('first', 'steady'))
            print('  %-56s %10.1f %10.1f' % (text % result['count'], *times))
        print('  %-56s %10.1f %10.1f' % ('  times as fast', *(result[case][kind]['ratio'] for kind in result[case])))
    for name, factor in result['multiplied'].items():
        print('Not all items of %s were run: its time was multiplied by %.4g.' % (name, factor))
    print('Target (services, both runs: at least %.0f times as fast): %s' % (
        LEAST_RATIO, 'met' if result['met'] else 'MISSED'))


def main() -> int:
    """0 when the target is met."""
    options = lab_plays.parsed(lab_plays.arguments(__doc__, SERVICES))
    counts = options.services, options.peer_services, options.peer_sysctls
    return command_line.run_and_show(lambda: run(*counts), show, options.json)


if __name__ == '__main__':
    sys.exit(main())
