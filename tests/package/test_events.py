# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source in ansible-rulebook itself, and its documentation."""

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import code_blocks
import pytest
import yaml

KILL = (b'2026-11-23T10:00:00+00:00 web1 kernel: [ 12.5] oom-kill:constraint=CONSTRAINT_MEMCG,'
        b'nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/%(group)s,task_memcg=/%(group)s,task=%(name)s,pid=%(pid)d,uid=0\n'
        b'2026-11-23T10:00:00+00:00 web1 kernel: [ 12.6] Memory cgroup out of memory: Killed process %(pid)d '
        b'(%(name)s) total-vm:9999kB, anon-rss:4000kB, file-rss:80kB, shmem-rss:16kB, '
        b'UID:0 pgtables:100kB oom_score_adj:7\n')
PATIENCE_S = 60


def java_version():
    """The major version of the Java on PATH or in JAVA_HOME; 0 without one."""
    program = shutil.which('java', path='%s/bin' % os.environ['JAVA_HOME']) if 'JAVA_HOME' in os.environ else None
    program = program or shutil.which('java')
    if program is None:
        return 0
    reported = subprocess.run([program, '-version'], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', reported)
    return int(found.group(1)) if found else 0


@pytest.fixture(scope='module')
def rulebook():
    """The path of ansible-rulebook in an environment of its own."""
    if java_version() < 17:
        pytest.skip('ansible-rulebook needs Java 17 or newer, and this machine has %s' % (java_version() or 'none'))
    return importlib.import_module('environment').beside('eda') / 'ansible-rulebook'


def wait_for(path, words, process):
    """Until a file has all these words."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        text = path.read_text()
        if all(word in text for word in words):
            return text
        time.sleep(0.2)
    raise AssertionError('%s are not in:\n%s' % (words, path.read_text()))


def wait_until_open(path, out, process):
    """Until the process follows a file: what is written before is not new to it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        for fd in Path('/proc/%d/fd' % process.pid).iterdir():
            with contextlib.suppress(OSError):
                if fd.readlink() == path:
                    return
        time.sleep(0.1)
    raise AssertionError('%s was not opened:\n%s' % (path, out.read_text()))


def test_the_rulebook_of_the_collection_fires_once_for_each_kill(rulebook, installed, tmp_path):
    log, out = tmp_path / 'kern.log', tmp_path / 'out'
    log.write_bytes(b'')
    (tmp_path / 'inventory').write_text('localhost ansible_connection=local ansible_python_interpreter=%s\n'
                                        % sys.executable)
    (tmp_path / 'vars.yml').write_text('oom_log: %s\n' % log)
    env = importlib.import_module('commands').environment(rulebook.parent)
    env.update(ANSIBLE_COLLECTIONS_PATH=str(installed), PATH='%s:%s' % (rulebook.parent, env['PATH']))
    with out.open('wb') as screen:
        process = subprocess.Popen(
            [rulebook, '-i', 'inventory', '-r', 'oomkit.linux.oom_kills', '--vars', 'vars.yml', '--verbose'],
            cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=screen, stderr=screen, start_new_session=True)
    try:
        wait_until_open(log, out, process)
        for pid in (11, 12):
            with log.open('ab') as lines:
                lines.write(KILL % {b'group': b'batch.service', b'name': b'stress', b'pid': pid})
        wait_for(out, ['stress (11)', 'stress (12)'], process)
        log.rename(tmp_path / 'kern.log.1')
        log.write_bytes(KILL % {b'group': b'system-postgresql.slice', b'name': b'postgres', b'pid': 13})
        # The rule for databases plays a playbook of the collection.
        text = wait_for(out, ["'pid': 13", 'PLAY RECAP'], process)
    finally:
        importlib.import_module('commands').end(process)
    said = [line for line in text.splitlines() if 'was killed in' in line]
    assert ['stress (11)' in line for line in said] == [True, False], text
    assert 'failed=0' in text


def test_the_documented_rulebook_is_the_one_that_is_shipped(checkout):
    shipped = (checkout / 'extensions' / 'eda' / 'rulebooks' / 'oom_kills.yml').read_text()
    shown = [block.text for block in blocks('yaml') if 'rules:' in block.text]
    assert shown == [shipped[shipped.index('- name: When memory runs out'):]]


def test_the_documented_event_has_the_fields_of_an_event(checkout):
    text, = [block.text for block in blocks('json')]
    facts = importlib.import_module('generated').facts_documentation()
    assert set(json.loads(text)) == set(facts['kills']['sample']['recent'][0]) | {'host', 'lost_records'}


def test_the_documented_sources_have_options_that_exist(source_documentation):
    examples = yaml.safe_load(source_documentation['EXAMPLES'])
    examples += [source for block in blocks('yaml') if block.text.startswith('sources:')
                 for source in yaml.safe_load(block.text)['sources']]
    options = yaml.safe_load(source_documentation['DOCUMENTATION'])['options']
    assert len(examples) == 3
    for example in examples:
        assert set(example['oomkit.linux.oom_kills'] or {}) <= set(options)
    module = importlib.import_module('ansible_collections.oomkit.linux.plugins.plugin_utils._events.source')
    assert {name: option['default'] for name, option in options.items()} == dataclasses.asdict(module.parse_request({}))


@pytest.fixture
def source_documentation(checkout):
    """DOCUMENTATION and EXAMPLES of the event source."""
    path = checkout / 'extensions' / 'eda' / 'plugins' / 'event_source' / 'oom_kills.py'
    spec = importlib.util.spec_from_file_location('oom_kills', path)
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    return vars(source)


def blocks(language):
    """The code blocks of the guide."""
    return [block for block in code_blocks.blocks() if block.file == 'docs/events.md' and block.language == language]
