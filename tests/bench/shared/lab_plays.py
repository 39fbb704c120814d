# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What services.py and policy.py share: a lab machine with services, plays against it, and the usual way of others.

It lies in a folder of its own, because every program right below tests/bench is run as a benchmark.
"""

import argparse
import collections
import datetime
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS / 'lab'), str(TESTS.parent / 'tools')]

import collection  # noqa: E402
import command_line  # noqa: E402
import commands  # noqa: E402
import task_log  # noqa: E402
from oomlab.machine import Machine  # noqa: E402

PEER_SERVICES = 3
PEER_SYSCTLS = 2
FLAVOUR = 'trixie'
# Holds ansible.posix 2.1; the last one for Python 3.11.
PEERS = 'ansible==12.3.0'
PEERS_COLLECTION = 'ansible_collections/ansible/posix/'

SYSCTLS = {'vm.overcommit_memory': 2, 'vm.overcommit_ratio': 95, 'vm.admin_reserve_kbytes': 16384,
           'vm.user_reserve_kbytes': 32768, 'vm.panic_on_oom': 1, 'kernel.panic': 10}
UNIT = '[Service]\nExecStart=/usr/bin/sleep infinity\n'
RECEIVED = 'cd /sys/class/net && grep . */statistics/rx_bytes'
# The modules of the usual way that change something, each in a loop of its own.
PEERS_LOOPS = ('ansible.posix.sysctl', 'ansible.builtin.file', 'ansible.builtin.copy')


def fetched(package: str, take: tuple[str, ...]) -> Path | None:
    """A folder in .cache with what begins so in a package; None when pip cannot fetch it, having said why."""
    folder = commands.CHECKOUT / '.cache' / 'peers' / hashlib.sha256(package.encode()).hexdigest()[:16]
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        print('Fetching %s for the comparison ...' % package, file=sys.stderr, flush=True)
        pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q']
        done = subprocess.run([*pip, 'download', '--no-deps', '--only-binary', ':all:', '-d', name, package],
                              stdout=sys.stderr, check=False)
        if done.returncode:
            return None
        wheel, = Path(name).glob('*.whl')
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(Path(name) / 'taken', [entry for entry in archive.namelist() if entry.startswith(take)])
        (Path(name) / 'taken').rename(folder)
    return folder


def peers() -> Path:
    """A collections path that holds ansible.posix, taken out of the package and kept in .cache."""
    folder = fetched(PEERS, (PEERS_COLLECTION,))
    if folder is None:
        sys.exit('The benchmark compares with ansible.posix, and pip could not fetch %s.' % PEERS)
    return folder


# -------------------------------------------------------------------------- what is asked for

def service(number: int) -> str:
    """The name of a service."""
    return 'bench-%02d' % number


def score(number: int) -> int:
    """What it is to have."""
    return 100 + 10 * number


def our_services(count: int) -> list[dict]:
    """The services as our module and our role take them."""
    return [{'name': service(number), 'score_adj': score(number)} for number in range(count)]


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


def peers_factors(services: int, peer_services: int, peer_sysctls: int) -> dict[str, float]:
    """By module, what to multiply its loop by when it ran over some items only."""
    return {'ansible.builtin.file': services / peer_services, 'ansible.builtin.copy': services / peer_services,
            'ansible.posix.sysctl': len(SYSCTLS) / peer_sysctls}


# ---------------------------------------------------------------------------------- the plays

class Bench:
    """One machine, and what is run against it."""

    def __init__(self, machine: Machine, folder: Path, peers_path: Path) -> None:
        self.machine = machine
        self.folder = folder
        (folder / 'hosts').write_text(machine.inventory() + '\n', encoding='utf-8')
        self.env = dict(commands.environment(), ANSIBLE_HOME=str(folder / 'home'),
                        ANSIBLE_COLLECTIONS_PATH='%s:%s' % (collection.root(), peers_path),
                        ANSIBLE_STDOUT_CALLBACK='ansible.posix.json',
                        # The lab's own kept connection, which it drops when it restores a snapshot.
                        ANSIBLE_SSH_CONTROL_PATH='%s/cm-%%%%r' % machine.folder)

    def prepare(self, count: int) -> None:
        """Running services and a snapshot."""
        script = ''.join('printf %%s %s > /etc/systemd/system/%s.service\n' % (shlex.quote(UNIT), service(number))
                         for number in range(count))
        self.machine.run(script + "systemctl daemon-reload; systemctl start %s"
                         % ' '.join(service(number) for number in range(count)))
        self.machine.save('fresh')

    def play(self, tasks: list[dict], **more: object) -> dict:
        """Run the tasks as one play: its seconds, and what read_report returns for it."""
        named = [dict(task, name=next(iter(task))) for task in tasks]
        play = self.folder / 'play.json'
        play.write_text(json.dumps([{'hosts': 'all', 'gather_facts': False, 'tasks': named, **more}]), encoding='utf-8')
        begin = time.perf_counter()
        done = subprocess.run([commands.BIN / 'ansible-playbook', '-i', self.folder / 'hosts', play], env=self.env,
                              cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begin
        if done.returncode:
            sys.exit('A play failed:\n%s\n%s' % (done.stdout, done.stderr))
        return dict(read_report(done.stdout), seconds=seconds)

    def received_bytes(self) -> int:
        """What the machine's network cards have received since its boot."""
        return received_bytes(self.machine.run(RECEIVED).stdout)

    def both_runs(self, way: str, play: Callable[[], dict], changes: set[str], check: Callable[[], None],
                  ) -> dict[str, dict]:
        """From the snapshot: a first run in which all these modules change something, then one that changes nothing."""
        self.machine.restore('fresh')
        # The plays' connection is opened by Ansible, as it opens one, not by the lab; and what the emulator has to
        # translate again after a restore is done here: otherwise the first items of a loop take longer than the rest,
        # which multiplying would count for all.
        for _round in range(2):
            self.play([{'ansible.builtin.meta': 'reset_connection'}, {'ansible.builtin.ping': {}}])
        first = play()
        check()
        steady = play()
        unchanged = changes - set(first['changed'])
        if unchanged or steady['changed']:
            sys.exit('%s: the first run left unchanged: %s; the second changed: %s'
                     % (way, sorted(unchanged), steady['changed']))
        print('%s: %.1f s, then %.1f s' % (way, first['seconds'], steady['seconds']), file=sys.stderr, flush=True)
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


def received_bytes(text: str) -> int:
    """The sum over the cards, from what RECEIVED prints."""
    lines = [line.partition('/statistics/rx_bytes:') for line in text.split()]
    return sum(int(count) for card, _word, count in lines if card != 'lo')


def expect(what: str, found: object, wanted: object) -> None:
    """End the run when a way did not do its work."""
    if found != wanted:
        sys.exit('%s: found %s where %s was wanted' % (what, found, wanted))


def read_report(text: str) -> dict:
    """What the callback ansible.posix.json reports of a play: by module what was executed, how often, and how long.

    ``changed`` holds the modules that changed something, ``printed`` what raw commands printed.
    """
    executed, changed, printed, task_s = collections.Counter(), [], [], collections.Counter()
    for task in json.loads(text)['plays'][0]['tasks']:
        for result in task['hosts'].values():  # one host, or none where Ansible itself did something
            name = result['action']
            start, end = (datetime.datetime.fromisoformat(task['task']['duration'][word].rstrip('Z'))
                          for word in ('start', 'end'))
            task_s[name] += (end - start).total_seconds()
            if result.get('skipped') or name.rpartition('.')[2] in task_log.ON_CONTROLLER:
                continue
            # copy asks for the file's checksum first; then it copies, or has the module file look at the modes.
            executed[name] += len(result.get('results', [None])) * (2 if name == 'ansible.builtin.copy' else 1)
            changed += [name] if result['changed'] else []
            printed += [result['stdout']] if name == 'ansible.builtin.raw' else []
    return {'executed': executed, 'changed': changed, 'printed': printed, 'task_s': task_s}


def full(total: float, parts: dict[str, float], factors: dict[str, float]) -> float:
    """What a whole play takes of something, each loop's part multiplied by its factor."""
    return total + sum((factors.get(name, 1) - 1) * part for name, part in parts.items())


# ----------------------------------------------------------------------------------- programs

def describe(machine: Machine) -> str:
    """What it was measured on."""
    reported = machine.settings()
    return 'Debian 13, kernel %s, %d processors and %d MB in QEMU (%s), on %d processors with a load of %.1f' % (
        machine.run('uname -r').stdout.strip(), reported['cpus'], reported['memory_mb'], reported['accelerator'],
        len(os.sched_getaffinity(0)), os.getloadavg()[0])


def arguments(docstring: str, services: int) -> argparse.ArgumentParser:
    """The options that both programs have."""
    parser = command_line.build_parser(docstring)
    parser.add_argument('--services', type=int, default=services, help='services for our way (%d)' % services)
    parser.add_argument('--peer-services', type=int, default=PEER_SERVICES,
                        help='services that the usual way really sets (%d)' % PEER_SERVICES)
    parser.add_argument('--peer-sysctls', type=int, default=PEER_SYSCTLS,
                        help='sysctls that the usual way really sets (%d)' % PEER_SYSCTLS)
    parser.add_argument('--quick', action='store_true', help='the usual way really sets one service and one sysctl')
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, found to make sense on a machine that can run the benchmark."""
    options = parser.parse_args()
    if options.quick:
        options.peer_services = options.peer_sysctls = 1
    if not (0 < options.peer_services <= options.services and 0 < options.peer_sysctls <= len(SYSCTLS)):
        parser.error('--peer-services must be between 1 and --services, --peer-sysctls between 1 and %d' % len(SYSCTLS))
    if not shutil.which('ssh'):
        sys.exit('The benchmark drives its machine over ssh. As root: apt-get install openssh-client')
    return options
