# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo``: plays playbooks/demo.yml on this machine and shows its report, in colour on a terminal."""

import json
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


def play(report: Path) -> subprocess.CompletedProcess:
    """Run the playbook as a user would, its own output kept for the case of a failure."""
    command = ['ansible-playbook', '-i', 'localhost,', '-c', 'local', '-e', json.dumps({'demo_report': str(report)}),
               '-e', 'ansible_python_interpreter={{ ansible_playbook_python }}', PLAYBOOK]
    # Ansible's own files too: some accounts have no home that they could write to.
    own = dict.fromkeys(('ANSIBLE_HOME', 'ANSIBLE_LOCAL_TEMP', 'ANSIBLE_REMOTE_TEMP'), str(report.parent))
    return subprocess.run(command, cwd=commands.CHECKOUT, env=dict(commands.environment(), **own),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S,
                          check=False)


def harmless(text: str) -> str:
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
        report = Path(folder) / 'report.txt'
        played = play(report)
        if played.returncode or not report.exists():
            print(harmless(played.stdout.decode(errors='replace')))
            return played.returncode or 1
        lines = harmless(report.read_text(encoding='utf-8')).splitlines()
    colour = sys.stdout.isatty() and not os.environ.get('NO_COLOR')
    print('\n'.join(coloured(line) if colour else line for line in lines))
    return 0


if __name__ == '__main__':
    sys.exit(main())
