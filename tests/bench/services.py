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

import argparse
import contextlib
import datetime
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / 'lab'), str(HERE.parent.parent / 'tools')]

import collection  # noqa: E402
import commands  # noqa: E402
from oomlab.machine import Machine  # noqa: E402

SERVICES = 50
PEER_SERVICES = 3
PEER_SYSCTLS = 2
LEAST_RATIO = 10.0
FLAVOUR = 'trixie'
# Holds ansible.posix 2.1; the last one for Python 3.11.
PEERS = 'ansible==12.3.0'
PEERS_COLLECTION = 'ansible_collections/ansible/posix/'

SYSCTLS = {'vm.overcommit_memory': 2, 'vm.overcommit_ratio': 95, 'vm.admin_reserve_kbytes': 16384,
           'vm.user_reserve_kbytes': 32768, 'vm.panic_on_oom': 1, 'kernel.panic': 10}
SYSCTL_TASKS = {'ansible.posix.sysctl', 'oomkit.linux.overcommit', 'oomkit.linux.panic_on_oom'}
UNIT = '[Service]\nExecStart=/usr/bin/sleep infinity\n'


def peers() -> Path:
    """A collections path that holds ansible.posix, taken out of the package and kept in .cache."""
    folder = commands.CHECKOUT / '.cache' / 'peers' / hashlib.sha256(PEERS.encode()).hexdigest()[:16]
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        print('Fetching %s for the comparison ...' % PEERS, flush=True)
        pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q']
        done = subprocess.run([*pip, 'download', '--no-deps',
                               '--only-binary', ':all:', '-d', name, PEERS], check=False)
        if done.returncode:
            sys.exit('The benchmark compares with ansible.posix, and pip could not fetch %s.' % PEERS)
        wheel, = Path(name).glob('*.whl')
        with zipfile.ZipFile(wheel) as package:
            package.extractall(Path(name) / 'taken', [entry for entry in package.namelist()
                                                      if entry.startswith(PEERS_COLLECTION)])
        (Path(name) / 'taken').rename(folder)
    return folder


# -------------------------------------------------------------------------- the two ways

def service(number: int) -> str:
    """The name of a service."""
    return 'bench-%02d' % number


def score(number: int) -> int:
    """What it is to have."""
    return 100 + 10 * number


def peers_tasks(count: int, sysctls: int) -> list[dict]:
    """The usual way, as people write it: a loop for each kind of file, and a reload."""
    services = [{'name': service(number), 'score': score(number)} for number in range(count)]
    return [
        {'ansible.posix.sysctl': {'name': '{{ item.key }}', 'value': '{{ item.value }}', 'sysctl_set': True,
                                  'sysctl_file': '/etc/sysctl.d/99-bench.conf'},
         'loop': [{'key': key, 'value': str(value)} for key, value in list(SYSCTLS.items())[:sysctls]]},
        {'ansible.builtin.file': {'path': '/etc/systemd/system/{{ item.name }}.service.d', 'state': 'directory',
                                  'mode': '0755'}, 'loop': services},
        {'ansible.builtin.copy': {'dest': '/etc/systemd/system/{{ item.name }}.service.d/90-oom.conf', 'mode': '0644',
                                  'content': '[Service]\nOOMScoreAdjust={{ item.score }}\n'},
         'loop': services, 'register': 'drop_ins'},
        {'ansible.builtin.systemd': {'daemon_reload': True}, 'when': 'drop_ins is changed'},
    ]


def our_tasks(count: int) -> list[dict]:
    """Our way."""
    services = [{'name': service(number), 'score_adj': score(number)} for number in range(count)]
    return [
        {'oomkit.linux.overcommit': {'mode': 'never', 'ratio': SYSCTLS['vm.overcommit_ratio'],
                                     'admin_reserve_kbytes': SYSCTLS['vm.admin_reserve_kbytes'],
                                     'user_reserve_kbytes': SYSCTLS['vm.user_reserve_kbytes']}},
        {'oomkit.linux.panic_on_oom': {'policy': 'panic', 'reboot_after': SYSCTLS['kernel.panic']}},
        {'oomkit.linux.oom_score_adj': {'services': services}},
    ]


class Bench:
    """One machine, and what is run against it."""

    def __init__(self, machine: Machine, folder: Path, peers_path: Path) -> None:
        self.machine = machine
        self.folder = folder
        (folder / 'hosts').write_text(machine.inventory() + '\n', encoding='utf-8')
        self.env = dict(commands.environment(), ANSIBLE_HOME=str(folder / 'home'),
                        ANSIBLE_COLLECTIONS_PATH='%s:%s' % (collection.root(), peers_path),
                        ANSIBLE_STDOUT_CALLBACK='ansible.posix.json',
                        # The lab's own kept connection, which it drops when it goes back to a snapshot.
                        ANSIBLE_SSH_CONTROL_PATH='%s/cm-%%%%r' % machine.folder)

    def prepare(self, count: int) -> None:
        """Running services and a snapshot."""
        script = ''.join('printf %%s %s > /etc/systemd/system/%s.service\n' % (shlex.quote(UNIT), service(number))
                         for number in range(count))
        self.machine.run(script + "systemctl daemon-reload; systemctl start %s"
                         % ' '.join(service(number) for number in range(count)))
        self.machine.save('fresh')

    def play(self, tasks: list[dict]) -> dict:
        """Run the tasks as one play: its seconds and those of each task, what was executed and what was changed."""
        named = [dict(task, name=next(iter(task))) for task in tasks]
        play = self.folder / 'play.json'
        play.write_text(json.dumps([{'hosts': 'all', 'gather_facts': False, 'tasks': named}]), encoding='utf-8')
        begin = time.perf_counter()
        done = subprocess.run([commands.BIN / 'ansible-playbook', '-i', self.folder / 'hosts', play], env=self.env,
                              cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begin
        if done.returncode:
            sys.exit('A play failed:\n%s\n%s' % (done.stdout, done.stderr))
        return dict(read_report(done.stdout), seconds=seconds)

    def both_runs(self, way: str, tasks: list[dict], check: Callable[[], None]) -> dict[str, dict]:
        """From the snapshot: a first run that changes something by every task, ``check``, and one that changes none."""
        self.machine.restore('fresh')
        # The connection that the plays share, and what the emulator has to translate anew after a restore: otherwise
        # the first items of a loop take longer than the rest, which multiplying would count for all.
        for _round in range(2):
            self.play([{'ansible.builtin.ping': {}}])
        first = self.play(tasks)
        check()
        steady = self.play(tasks)
        unchanged = set(first['executed']) - set(first['changed']) - {'ansible.builtin.systemd'}  # that never says so
        if unchanged or steady['changed']:
            sys.exit('%s: the first run left unchanged: %s; the second changed: %s'
                     % (way, sorted(unchanged), steady['changed']))
        print('%s: %.1f s, then %.1f s' % (way, first['seconds'], steady['seconds']), flush=True)
        return {'first': first, 'steady': steady}

    def check_state(self, services: int, sysctls: int, live: bool) -> None:
        """Both ways must have reached what was asked for: sysctls, what systemd will start with, and ours live too."""
        for key, value in list(SYSCTLS.items())[:sysctls]:
            expect(key, self.machine.sysctl(key), value)
        text = self.machine.run('systemctl show -p Id,OOMScoreAdjust,NeedDaemonReload,MainPID %s'
                                % ' '.join(map(service, range(services)))).stdout
        units = [dict(line.split('=', 1) for line in block.splitlines()) for block in text.strip().split('\n\n')]
        values = self.machine.run('cat ' + ' '.join('/proc/%s/oom_score_adj' % unit['MainPID'] for unit in units))
        found = [(unit['Id'], int(unit['OOMScoreAdjust']), unit['NeedDaemonReload'], int(value))
                 for unit, value in zip(units, values.stdout.split(), strict=True)]
        for number, one in enumerate(found):
            expect('systemd', one, (service(number) + '.service', score(number), 'no', score(number) if live else 0))
        expect('services', len(found), services)


def expect(what: str, found: object, wanted: object) -> None:
    """End the run when a way did not do its work."""
    if found != wanted:
        sys.exit('%s: found %s where %s was wanted' % (what, found, wanted))


def read_report(text: str) -> dict:
    """What the callback ansible.posix.json tells of a play."""
    executed, changed, task_s = [], [], {}
    for task in json.loads(text)['plays'][0]['tasks']:
        name, (result,) = task['task']['name'], task['hosts'].values()
        if result.get('skipped'):
            continue
        executed.append(name)
        changed += [name] if result['changed'] else []
        start, end = (datetime.datetime.fromisoformat(task['task']['duration'][word].rstrip('Z'))
                      for word in ('start', 'end'))
        task_s[name] = (end - start).total_seconds()
    return {'executed': executed, 'changed': changed, 'task_s': task_s}


# ------------------------------------------------------------------------------ results

def full_s(one: dict, factors: dict[str, float], sysctls: bool) -> float:
    """The seconds of a play, each loop multiplied by its factor, with or without the tasks for sysctls."""
    seconds = one['seconds'] + sum((factors.get(name, 1) - 1) * task_s for name, task_s in one['task_s'].items())
    if not sysctls:
        seconds -= sum(factors.get(name, 1) * task_s for name, task_s in one['task_s'].items() if name in SYSCTL_TASKS)
    return seconds


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
    machine = Machine('services-bench-%d' % os.getpid(), FLAVOUR)
    with tempfile.TemporaryDirectory(prefix='oomkit-bench-') as name, contextlib.ExitStack() as stack:
        bench_peers = peers()
        stack.callback(machine.stop)
        machine.start()
        bench = Bench(machine, Path(name), bench_peers)
        bench.prepare(services)
        ours = bench.both_runs('One call for %d services, and two for sysctls' % services, our_tasks(services),
                               lambda: bench.check_state(services, len(SYSCTLS), live=True))
        theirs = bench.both_runs('The usual way for %d services and %d sysctls' % (peer_services, peer_sysctls),
                                 peers_tasks(peer_services, peer_sysctls),
                                 lambda: bench.check_state(peer_services, peer_sysctls, live=False))
        where = describe(machine)
    factors = {'ansible.builtin.file': services / peer_services, 'ansible.builtin.copy': services / peer_services,
               'ansible.posix.sysctl': len(SYSCTLS) / peer_sysctls}
    result = compare(ours, theirs, factors)
    multiplied = {name: factor for name, factor in factors.items() if factor != 1}
    return {'machine': where, 'count': services, 'multiplied': multiplied, **result,
            'met': all(result['services'][kind]['ratio'] >= LEAST_RATIO for kind in ('first', 'steady'))}


def describe(machine: Machine) -> str:
    """What it was measured on."""
    told = machine.settings()
    return 'Debian 13, kernel %s, %d processors and %d MB in QEMU (%s), on %d processors with a load of %.1f' % (
        machine.run('uname -r').stdout.strip(), told['cpus'], told['memory_mb'], told['accelerator'],
        len(os.sched_getaffinity(0)), os.getloadavg()[0])


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
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--services', type=int, default=SERVICES, help='services for our way (%d)' % SERVICES)
    parser.add_argument('--peer-services', type=int, default=PEER_SERVICES,
                        help='services that the usual way really sets (%d)' % PEER_SERVICES)
    parser.add_argument('--peer-sysctls', type=int, default=PEER_SYSCTLS,
                        help='sysctls that the usual way really sets (%d)' % PEER_SYSCTLS)
    parser.add_argument('--json', action='store_true', help='print the result as JSON')
    options = parser.parse_args()
    if not (0 < options.peer_services <= options.services and 0 < options.peer_sysctls <= len(SYSCTLS)):
        parser.error('--peer-services must be between 1 and --services, --peer-sysctls between 1 and %d' % len(SYSCTLS))
    if not shutil.which('ssh'):
        sys.exit('The benchmark drives its machine over ssh. As root: apt-get install openssh-client')
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    result = run(options.services, options.peer_services, options.peer_sysctls)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    return 0 if result['met'] else 1


if __name__ == '__main__':
    sys.exit(main())
