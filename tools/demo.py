# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo``: plays playbooks/demo.yml on this machine and shows its report, in colour on a terminal."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import commands

PLAYBOOK = 'playbooks/demo.yml'
LIMIT_S = 50
COLOURS = (
    (re.compile(r'\S.*'), '\033[1m'),  # a heading begins in the first column
    (re.compile(r' {4}\+ .*'), '\033[32m'),
    (re.compile(r' {4}- .*'), '\033[31m'),
    (re.compile(r' {2}(!|Note:) .*'), '\033[33m'),
)


def play(folder: Path) -> tuple[subprocess.CompletedProcess, list[str]]:
    """Run the playbook as a user would: its own output, for the case of a failure, and the lines of its report."""
    import task_log
    log = folder / 'tasks.log'
    command = ['ansible-playbook', '-i', 'localhost,', '-c', 'local', '-e',
               'ansible_python_interpreter={{ ansible_playbook_python }}', PLAYBOOK]
    # Ansible's own files too: some accounts have no home that they could write to.
    own = dict.fromkeys(('ANSIBLE_HOME', 'ANSIBLE_LOCAL_TEMP', 'ANSIBLE_REMOTE_TEMP'), str(folder))
    env = {**commands.environment(), **own, **task_log.variables(log)}
    played = subprocess.run(command, cwd=commands.CHECKOUT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)
    return played, [] if played.returncode else task_log.last_message(task_log.read(log))


def sanitize(text: str) -> str:
    """The text without characters that would steer a terminal."""
    return ''.join(char if char == '\n' or char.isprintable() else ascii(char)[1:-1] for char in text)


def coloured(line: str) -> str:
    """A line of the report as a terminal shows it best."""
    for pattern, colour in COLOURS:
        if pattern.fullmatch(line):
            return colour + line + '\033[0m'
    return line


def main() -> int:
    """Play and show; the exit code of ansible-playbook."""
    print('Asking this machine: ansible-playbook -i localhost, -c local %s\n' % PLAYBOOK, flush=True)
    with tempfile.TemporaryDirectory(prefix='oomkit-demo-') as folder:
        played, lines = play(Path(folder))
        if not lines:
            print(sanitize(played.stdout.decode(errors='replace')))
            return played.returncode or 1
    colour = sys.stdout.isatty() and not os.environ.get('NO_COLOR')
    print('\n'.join(coloured(line) if colour else line for line in map(sanitize, lines)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
