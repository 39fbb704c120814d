# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the guest: JSON lines in, JSON lines out, one forked child for each module run.

``runner.py`` serves its standard input, ``runner.py PORT`` a port of the machine, whose other end comes and goes.
Arguments are handed over as ansible.module_utils.testing does it, which is what AnsiballZ's wrapper does too.
"""

import importlib
import json
import os
import pwd
import runpy
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from ansible.module_utils import basic  # noqa: F401  pylint: disable=wrong-import-position,unused-import
from ansible.module_utils.testing import patch_module_args  # pylint: disable=wrong-import-position

UTILS = 'ansible_collections.oomkit.linux.plugins.module_utils'


def run(request):
    """Fork, run the module with its output in files, wait."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            pid = os.fork()
        except OSError as exc:
            answer = json.dumps({'failed': True, 'msg': 'runner: fork: %s' % exc})
            return {'rc': -1, 'stdout': answer, 'stderr': '', 'seconds': 0}
        if pid == 0:
            child(request, out, err)
        status = os.waitpid(pid, 0)[1]
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode('utf-8', 'replace'))
    return {'rc': status, 'stdout': texts[0], 'stderr': texts[1], 'seconds': time.monotonic() - begin}


def child(request, out, err):
    """Never returns."""
    code = 1
    try:
        null = os.open('/dev/null', os.O_RDONLY)
        for source, target in ((null, 0), (out.fileno(), 1), (err.fileno(), 2)):
            os.dup2(source, target)
        if request['user'] != 'root':
            entry = pwd.getpwnam(request['user'])
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            os.environ['HOME'] = entry.pw_dir
        with patch_module_args(request['params']):
            runpy.run_module(request['module'], run_name='__main__', alter_sys=True)
    except SystemExit as exc:
        code = exc.code or 0
    except BaseException:  # pylint: disable=broad-except
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def answer(line):
    """What is asked by a line, as a line."""
    return json.dumps(run(json.loads(line))) + '\n'


def serve_input():
    """Serve until the connection ends."""
    for line in sys.stdin:
        sys.stdout.write(answer(line))
        sys.stdout.flush()


def serve_port(path):
    """Serve the other end of the port until it asks to end. What modules import is there already when they start."""
    for folder, _folders, names in os.walk(os.path.join(sys.path[0], *UTILS.split('.'))):
        for name in sorted(name for name in names if name.endswith('.py')):
            module = os.path.relpath(os.path.join(folder, name[:-3]), sys.path[0])
            importlib.import_module(module.replace(os.sep, '.'))
    port, rest = os.open(path, os.O_RDWR | os.O_CLOEXEC), b''
    while True:
        found = os.read(port, 65536)
        if not found:  # nobody is there
            rest = b''
            time.sleep(0.02)
        *lines, rest = (rest + found).split(b'\n')
        for line in lines:
            serve_line(port, line)


def serve_line(port, line):
    """Answer a line from the port: a clock to set, an end, or a module to run."""
    asked = json.loads(line.decode())
    if 'clock' in asked:
        time.clock_settime(time.CLOCK_REALTIME, asked['clock'])
    text = answer(line.decode()) if 'module' in asked else '{}\n'
    left = text.encode()
    while left:
        left = left[os.write(port, left):]
    if 'end' in asked:
        sys.exit()


if len(sys.argv) > 1:
    serve_port(sys.argv[1])
else:
    serve_input()
