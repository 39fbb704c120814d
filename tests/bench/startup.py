# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module costs before it does anything: the bytes that Ansible sends to the host, and the time to start.

Ansible sends a module as a program that holds a zip of all that the module imports, directly or not, and the host
compiles it again in every run. So every import costs time on every host, even one within a function.

Each module is compared with an empty one: no options, no work. Ansible itself builds all the programs, in one play on
this machine that keeps them (ANSIBLE_KEEP_REMOTE_FILES), which works the same way in all its versions. Every task gets
an option that no module knows, so that each program ends right after its imports, when it looks at its options. The
programs are then run in turn, and the median of the rounds counts. The bytes have ceilings. The time has none, since it
is another one on each machine.

An import that is never used costs the same, so there must be none in what is sent.
"""

import ast
import base64
import binascii
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / 'shared'), str(HERE.parent), str(HERE.parent.parent / 'tools')]

import command_line  # noqa: E402
import commands  # noqa: E402

PLUGINS = commands.CHECKOUT / 'plugins'
COLLECTION = 'oomkit.linux'
OURS = 'ansible_collections/oomkit/linux/plugins/'

# For a module without a ceiling of its own.
MOST_BYTES = 61_500
CEILINGS = {
    # The helper process with its deadlines takes 11,000 bytes in each module. Finding out whose a program or record is
    # takes 10,000.
    # The value after a reboot takes 40,000: the loaders of other inits (13,000) and TuneD (18,000) with what they read.
    # Only hosts that have them compile them. The configuration of the kubelet, k3s and RKE2 takes 13,000, and the
    # evidence for a container 4,000.
    'oom_facts': 136_000,
    # confirm_within: the watchdog and the change that waits take 20,000 bytes, which no other module has.
    # What writes also carries the lock, the look at who else could write there, the rollback of files, folders and
    # attributes, the proof that programs still start (8,000), diffs that show no private line (5,000), and the record
    # of each value and line that was changed, by which exactly these are reverted (8,000).
    'overcommit': 182_000,
    # It looks for a change that waits for its confirmation, as oom_policy can leave one: 1,300 bytes.
    'panic_on_oom': 159_000,
    # All of it in one: less than half of what its parts send one after the other.
    'oom_policy': 302_000,
    # The forecast and what it looks at take 53,000 bytes, finding the processes of services for which a value is
    # assumed 30,000 (OpenRC's are 5,000 of these), and the settings of earlyoom, systemd-oomd and nohang 10,000.
    'oom_forecast_info': 154_500,
    # The same forecast, 60,000 bytes and more to plan, set, record and revert unit files, drop-ins and running
    # processes, and 15,000 for the guards against values that logins inherit.
    'oom_score_adj': 180_500,
}

EMPTY = 'oomkit_bench_empty'
EMPTY_SOURCE = '''\
from ansible.module_utils.basic import AnsibleModule

AnsibleModule(argument_spec={}).exit_json()
'''
# No module has it, and a module says so only once everything is imported.
UNKNOWN_OPTION = 'oomkit_bench_no_such_option'


# --------------------------------------------------------------------- what is sent

def modules() -> list[str]:
    """The names of our modules that are sent to hosts: those that import code of ours."""
    return sorted(path.stem for path in (PLUGINS / 'modules').glob('*.py')
                  if 'plugins.module_utils.' in path.read_text(encoding='utf-8'))


def build(folder: Path) -> dict[str, Path]:
    """By name, the program that Ansible sends for each module of ours, and for the empty one."""
    library, kept, play = folder / 'library', folder / 'kept', folder / 'play.json'
    library.mkdir()
    (library / (EMPTY + '.py')).write_text(EMPTY_SOURCE, encoding='utf-8')
    names = {EMPTY: EMPTY, **{name: '%s.%s' % (COLLECTION, name) for name in modules()}}
    tasks = [{full_name: {UNKNOWN_OPTION: 1}, 'ignore_errors': True} for full_name in names.values()]
    play.write_text(json.dumps([{'hosts': 'localhost', 'connection': 'local', 'gather_facts': False, 'tasks': tasks,
                                 'vars': {'ansible_python_interpreter': sys.executable}}]), encoding='utf-8')
    env = dict(commands.environment(), ANSIBLE_HOME=str(folder / 'home'), ANSIBLE_LIBRARY=str(library),
               ANSIBLE_REMOTE_TMP=str(kept), ANSIBLE_KEEP_REMOTE_FILES='1', ANSIBLE_PIPELINING='0')
    done = subprocess.run([commands.BIN / 'ansible-playbook', play], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    programs = {name: list(kept.glob('*/AnsiballZ_%s.py' % name)) for name in names}
    if any(len(found) != 1 for found in programs.values()):
        sys.exit('Ansible did not keep one program for each module:\n%s\n%s' % (done.stdout, done.stderr))
    return {name: found[0] for name, found in programs.items()}


def archive_of(program: Path) -> bytes:
    """The zip that the program holds: its longest literal, in base64, whatever the version of Ansible calls it."""
    tree = ast.parse(program.read_bytes())
    literals = [node.value for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))]
    try:
        return base64.b64decode(max(literals, key=len))
    except (binascii.Error, ValueError) as exc:
        sys.exit('%s holds no zip in base64: %s' % (program.name, exc))


def files_of(archive: bytes) -> list[str]:
    """The files of ours in the zip, without those that only make a folder a package."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return [entry.filename for entry in opened.infolist() if entry.filename.startswith(OURS) and entry.file_size]


# ------------------------------------------------------------------- unused imports

def unused_imports() -> list[str]:
    """``file:line: name`` of each import below plugins that no name in its file uses."""
    return ['%s:%d: %s' % (path.relative_to(commands.CHECKOUT), line, name)
            for path in sorted(PLUGINS.rglob('*.py')) for line, name in unused_in(path.read_text(encoding='utf-8'))]


def unused_in(source: str) -> Iterator[tuple[int, str]]:
    """(line, name) of each import whose name is not used. A name that stands in a comment only is not."""
    tree = ast.parse(source)
    used = {node.id for part in (tree, *quoted_annotations(tree)) for node in ast.walk(part)
            if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and getattr(node, 'module', '') != '__future__':
            for alias in node.names:
                if (alias.asname or alias.name.partition('.')[0]) not in used:
                    yield node.lineno, alias.asname or alias.name


def quoted_annotations(tree: ast.Module) -> Iterator[ast.AST]:
    """The annotations that are strings: they name what is imported only under TYPE_CHECKING."""
    for node in ast.walk(tree):
        for name in ('annotation', 'returns'):
            quoted = getattr(node, name, None)
            if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str):
                yield ast.parse(quoted.value, mode='eval')


# ------------------------------------------------------------------------- start-up

def start_ms(program: Path) -> float:
    """One run of the program, up to its refusal of the option that it does not know."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    elapsed_ms = (time.perf_counter() - begin) * 1000
    if UNKNOWN_OPTION not in done.stdout:
        sys.exit('%s did not come as far as its options:\n%s' % (program.name, done.stdout))
    return elapsed_ms


def times_ms(programs: dict[str, Path], rounds: int) -> dict[str, list[float]]:
    """By name, the time of each run; all take turns."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            elapsed_ms = start_ms(program)
            if turn:  # the first round warms up
                times[name].append(elapsed_ms)
    return times


def ratio(ours: list[float], empty: list[float]) -> float:
    """The median of the ratios of the rounds: a machine that is busy for a while slows both down."""
    return statistics.median(one / other for one, other in zip(ours, empty, strict=True))


# -------------------------------------------------------------------------- results

def run(rounds: int) -> dict:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix='oomkit-bench-') as name:
        programs = build(Path(name))
        archives = {name: archive_of(program) for name, program in programs.items()}
        times = times_ms(programs, rounds)
    measured = {}
    for name in modules():
        size = len(archives[name]) - len(archives[EMPTY])
        ceiling = CEILINGS.get(name, MOST_BYTES)
        measured[name] = {
            'bytes': size,
            'ceiling_bytes': ceiling,
            'files': len(files_of(archives[name])),
            'start_ms': round(statistics.median(times[name]), 1),
            'start_to_empty': round(ratio(times[name], times[EMPTY]), 2),
            'met': size <= ceiling,
        }
    unused = unused_imports()
    return {
        'ansible': ansible_version(),
        'python': '%d.%d' % sys.version_info[:2],
        'rounds': rounds,
        'empty': {'bytes': len(archives[EMPTY]), 'start_ms': round(statistics.median(times[EMPTY]), 1)},
        'modules': measured,
        'unused_imports': unused,
        'met': not unused and all(one['met'] for one in measured.values()),
    }


def ansible_version() -> str:
    """Of the Ansible that built the programs."""
    return subprocess.run([sys.executable, '-c', 'import ansible.release; print(ansible.release.__version__)'],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def show(result: dict) -> None:
    """The result for people."""
    print('ansible-core %s, Python %s, median of %d rounds in turn' % (
        result['ansible'], result['python'], result['rounds']))
    print('  %-22s %10s %10s %6s %10s %9s' % ('', 'bytes', 'at most', 'files', 'start', 'to empty'))
    print('  %-22s %10d %10s %6s %7.0f ms' % (
        'an empty module', result['empty']['bytes'], '', '', result['empty']['start_ms']))
    for name, one in result['modules'].items():
        print('  %-22s %+10d %10d %6d %7.0f ms %8.2fx%s' % (
            name, one['bytes'], one['ceiling_bytes'], one['files'], one['start_ms'], one['start_to_empty'],
            '' if one['met'] else '  MISSED'))
    print('Unused imports: %s' % ('; '.join(result['unused_imports']) or 'none'))
    print('Targets (bytes over the empty module, no unused import): %s' % ('met' if result['met'] else 'MISSED'))


def main() -> int:
    """0 when the targets are met."""
    parser = command_line.build_parser(__doc__)
    parser.add_argument('--rounds', type=int, default=15, help='rounds to take the median of (15)')
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error('--rounds must be at least 1')
    return command_line.run_and_show(lambda: run(options.rounds), show, options.json)


if __name__ == '__main__':
    os.environ['LC_ALL'] = 'C.UTF-8'
    sys.exit(main())
