# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the documentation, run as they stand against a machine that has the services they speak of."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import code_blocks
import collection
import pytest
import yaml
from service_units import install

BIN = Path(sys.executable).parent
# As large as the others are small: victims are found among these.
LARGE = ('batch', 'batch-worker', 'nginx', 'redis-server')
SMALL = ('postgresql@', 'postgresql', 'my-service', 'cron')
FILE = re.compile(r'^# (\w+\.yml)\n', re.MULTILINE)


@pytest.fixture
def hosts(fresh, tmp_path):
    """Runs commands in a folder with an inventory of the fresh machine."""
    install(fresh, *LARGE, start=False, directives='MemoryMax=200M\n')
    for name in SMALL:
        fresh.write_file(f'/etc/systemd/system/{name}.service', b'[Service]\nExecStart=/bin/sleep infinity\n')
    fresh.run('systemctl daemon-reload')
    for name in LARGE:
        fresh.write_file(f'/srv/{name}.py', b'import time\nheld = bytearray(25000000)\ntime.sleep(1e6)\n')
    fresh.run('systemctl start postgresql@15-main ' + ' '.join(name for name in LARGE + SMALL if '@' not in name))
    settings = fresh.inventory().split(None, 1)[1]
    (tmp_path / 'inventory').write_text(f'[databases]\ndb1 {settings}\n[web:children]\ndatabases\n')
    (tmp_path / 'ansible.cfg').write_text('')  # nobody's own settings

    def run(*words, expect=0, **more):
        env = dict(os.environ, PATH=f'{BIN}:{os.environ["PATH"]}', ANSIBLE_COLLECTIONS_PATH=str(collection.root()),
                   ANSIBLE_HOME=str(tmp_path / 'home'), ANSIBLE_CONFIG=str(tmp_path / 'ansible.cfg'),
                   ANSIBLE_INVENTORY=str(tmp_path / 'inventory'), ANSIBLE_GATHERING='explicit',
                   ANSIBLE_PIPELINING='true', **more)
        done = subprocess.run(words, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=580, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    run.machine = fresh
    run.folder = tmp_path
    return run


def book(folder, *blocks):
    """Write blocks as one playbook, each after the one before it; files that a block names beside it."""
    plays = []
    for block in blocks:
        texts = FILE.split(block.text)
        for name, text in zip(texts[1::2], texts[2::2], strict=True):
            # They are run in their place too; more than two would revert what the rest of the block sets.
            (folder / name).write_text(yaml.safe_dump(yaml.safe_load(text)[:2], sort_keys=False))
        plays += code_blocks.plays(block)
    (folder / 'play.yml').write_text(yaml.safe_dump(plays, sort_keys=False))


def part_of(file):
    """Every block belongs to exactly one part: what a newcomer copies first, the plugins' own examples, or the rest."""
    if file in ('README.md', 'docs/index.md', 'docs/recipes.md'):
        return 'first'
    return 'plugins' if file.startswith('plugins/') else 'guides'


def blocks_of(part, language):
    return [block for block in code_blocks.run_in(code_blocks.LAB, language) if part_of(block.file) == part]


def test_first_things(hosts):
    """Those of README and of the start page."""
    play(hosts, blocks_of('first', 'yaml'), 4)


@pytest.mark.long
def test_guides(hosts):
    """Those of the other guides and of the role."""
    play(hosts, blocks_of('guides', 'yaml'), 15)


@pytest.mark.long
def test_examples(hosts):
    """Those of the plugins' own documentation."""
    play(hosts, blocks_of('plugins', 'yaml'), 7)
    # The last of them revert everything.
    assert hosts.machine.run('ls /etc/sysctl.d | grep -c oomkit', check=False).stdout.strip() == '0'


def play(hosts, blocks, at_least):
    """All of them as one playbook, in order."""
    assert len(blocks) >= at_least
    snapshot = hosts.machine.module('oom_forecast_info')['snapshot']
    (hosts.folder / 'snapshot.json').write_text(json.dumps(snapshot))
    book(hosts.folder, *blocks)
    reported = hosts('ansible-playbook', 'play.yml', ANSIBLE_CACHE_PLUGIN='ansible.builtin.jsonfile',
                     ANSIBLE_CACHE_PLUGIN_CONNECTION=str(hosts.folder / 'cache'))
    assert 'failed=0' in reported and 'ignored=0' in reported


@pytest.mark.long
def test_commands(hosts):
    """Those of README and the recipes."""
    assert commands(hosts, blocks_of('first', 'console')) > 5


@pytest.mark.long
def test_commands_of_guides(hosts):
    assert commands(hosts, blocks_of('guides', 'console')) > 4


def commands(hosts, blocks):
    """How many different commands of these ran, in order."""
    variables, = [block for block in code_blocks.blocks()
                  if block.file == 'docs/roll_out.md' and block.language == 'yaml']
    (hosts.folder / 'group_vars').mkdir()
    (hosts.folder / 'group_vars' / 'databases.yml').write_text(variables.text)
    ran = set()
    for block in blocks:
        variables, lines = code_blocks.environment_and_commands(block)
        for words in lines:
            if tuple(words) not in ran:
                reported = hosts(*words, **variables)
                assert 'SUCCESS' in reported or 'CHANGED' in reported or 'failed=0' in reported, (block.place, reported)
            ran.add(tuple(words))
    return len(ran)


def test_moving_ends_in_the_same_state(hosts):
    before, after = [block for block in code_blocks.blocks() if block.file == 'docs/moving.md'
                     and code_blocks.start(block) in ('# before', '# after')]
    wanted = {item['name']: int(item['value']) for item in yaml.safe_load(before.text)[0]['loop']}
    book(hosts.folder, after)
    hosts('ansible-playbook', 'play.yml')
    assert {key: hosts.machine.sysctl(key) for key in wanted} == wanted
