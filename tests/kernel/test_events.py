# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source against the kernel's own log: each kill once, at once, with the right victim."""

import json
import re
import time
from pathlib import Path

import pytest
from oomlab.guest import HOME

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCE = 'extensions/eda/plugins/event_source/oom_kills.py'
THERE = f'{HOME}/ansible_collections/oomkit/linux/{SOURCE}'  # beside the plugins, which the lab brings over
# As ansible-rulebook does: the file is run by its path, and main is called with a queue. Each event with the clock of
# the kernel's log when it arrived.
DRIVER = """
import asyncio, json, runpy, sys, time
class Queue:
    async def put(self, event):
        print(json.dumps([time.clock_gettime(time.CLOCK_MONOTONIC), event]), flush=True)
print('ready', flush=True)
asyncio.run(runpy.run_path(sys.argv[1])['main'](Queue(), json.loads(sys.argv[2])))
"""
HOG = ('systemd-run --quiet --wait --unit={unit} -p MemoryMax={limit} -p MemorySwapMax=0 -p OOMPolicy={policy} '
       '/usr/bin/python3 -c "{code}" || true')
EAT = 'x = bytearray(80000000)'
LATEST_S = 2


class Source:
    """The source running in a machine."""

    def __init__(self, machine):
        self.machine = machine
        machine.write_file(THERE, (CHECKOUT / SOURCE).read_bytes())
        machine.write_file('/srv/events/driver.py', DRIVER.encode())

    def start(self, user='root', **args):
        self.machine.run(f'rm -f /srv/events/out; setsid choom -n -1000 -- runuser -u {user} -- '
                         f"/usr/bin/python3 /srv/events/driver.py {THERE} "
                         f"'{json.dumps(args)}' > /srv/events/out 2>&1 < /dev/null & "
                         'until grep -q ready /srv/events/out; do sleep 0.1; done; sleep 1')

    def signal(self, number):
        self.machine.run(f'pkill -{number} -f /srv/events/driver.py')

    def output(self):
        return self.machine.run('cat /srv/events/out').stdout.splitlines()[1:]

    def events(self, wanted):
        """All events so far, once there are as many as wanted, or after a while."""
        for _try in range(40):
            lines = self.output()
            if len(lines) >= wanted:
                break
            time.sleep(0.25)
        return [json.loads(line) for line in lines]

    def kills(self):
        """What the kernel's own log says: (seconds since boot, PID) of each kill."""
        return [(float(seconds), int(pid)) for seconds, pid in re.findall(
            r'^\[ *([0-9.]+)\].*Killed process (\d+) ', self.machine.run('dmesg').stdout, re.MULTILINE)]


@pytest.fixture
def source(fresh):
    return Source(fresh)


def eat(machine, unit, policy='continue', limit='30M', code=EAT):
    machine.run(HOG.format(unit=unit, policy=policy, limit=limit, code=code))


def test_each_kill_is_one_event_within_two_seconds(source):
    source.start()
    eat(source.machine, 'one')
    eat(source.machine, 'two')
    source.machine.run('systemd-run --quiet --unit=big -p Type=exec -p OOMScoreAdjust=900 /usr/bin/sleep 1000; '
                       'echo f > /proc/sysrq-trigger; sleep 1')
    events, kills = source.events(3), source.kills()
    assert [event['pid'] for _arrived, event in events] == [pid for _when, pid in kills] and len(kills) == 3
    late_s = [arrived - when for (arrived, _event), (when, _pid) in zip(events, kills, strict=True)]
    print('seconds from the kernel\'s line to the event: ' + ', '.join('%.3f' % one for one in late_s))
    assert all(-0.5 < one < LATEST_S for one in late_s), late_s
    one, two, whole = (event for _arrived, event in events)
    assert (one['cgroup'], one['constraint'], one['name']) == ('/system.slice/one.service', 'memcg', 'python3')
    assert (two['cgroup'], two['lost_records']) == ('/system.slice/two.service', False)
    assert (whole['cgroup'], whole['constraint']) == ('/system.slice/big.service', 'none')
    assert whole['host'] == source.machine.run('hostname').stdout.strip()
    assert whole['when'] == source.machine.module('oom_facts', gather_subset=['kills'])[
        'ansible_facts']['oom']['kills']['recent'][-1]['when']


def test_a_group_is_an_event_for_each_process(source):
    source.start()
    eat(source.machine, 'team', 'kill', '60M', "import os, time; [os.fork() for _ in '12']; x = bytearray(30000000); "
        'time.sleep(60)')
    kills = source.kills()
    events = source.events(len(kills))
    assert len(kills) > 1
    assert [event['pid'] for _arrived, event in events] == [pid for _when, pid in kills]
    assert {event['cgroup'] for _arrived, event in events} == {'/system.slice/team.service'}


def test_an_overrun_is_reported_and_survived(source):
    source.start()
    source.signal('STOP')
    source.machine.run("/usr/bin/python3 -c \"\nlog = open('/dev/kmsg', 'wb', 0)\nfor n in range(20000): "
                       "log.write(b'<14>' + b'x' * 200)\n\"", timeout=600)
    source.signal('CONT')
    eat(source.machine, 'late')
    events = source.events(1)
    assert [(event['cgroup'], event['lost_records']) for _arrived, event in events] == [
        ('/system.slice/late.service', True)]


def test_replay_reports_what_the_log_still_holds(source):
    eat(source.machine, 'early')
    source.start(replay=True)
    assert [event['cgroup'] for _arrived, event in source.events(1)] == ['/system.slice/early.service']


def test_without_the_right_to_read_it_says_what_is_missing(source):
    source.machine.run('sysctl -qw kernel.dmesg_restrict=1; rm -f /srv/events/out')
    source.start(user='tester')
    reported = '\n'.join(source.output())
    assert 'EventsError: path: /dev/kmsg cannot be read (' in reported and 'CAP_SYSLOG' in reported


def test_what_somebody_writes_into_the_log_is_no_kill(source):
    source.start()
    source.machine.run('echo "<3>Out of memory: Killed process 1 (init) total-vm:9kB, anon-rss:9kB, file-rss:9kB, '
                       'shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0" > /dev/kmsg')
    eat(source.machine, 'real')
    assert [event['cgroup'] for _arrived, event in source.events(1)] == ['/system.slice/real.service']
