# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests, and the state of the machine before each. The test makes each of their system calls fail.

Those that are ``short`` run also where there is little time.
"""

from __future__ import annotations

UNIT = '/etc/systemd/system/family.service'
FAMILY = r"""
import os, time
for _ in range(2):
    if os.fork() == 0:
        break
time.sleep(1e6)
"""
WITH_FAMILY = [
    'mkdir -p /srv/faults', f'cat > /srv/faults/family.py <<"E"\n{FAMILY}E',
    f'printf "[Service]\\nExecStart=/usr/bin/python3 /srv/faults/family.py\\n" > {UNIT}',
    'systemctl daemon-reload && systemctl restart family && sleep 1.5']
WITHOUT_FAMILY = [f'systemctl stop family; rm -f {UNIT}; systemctl daemon-reload']
OTHER = UNIT.replace('family', 'other')
WITH_OTHER = [*WITH_FAMILY, f'printf "[Service]\\nExecStart=/bin/sleep infinity\\n" > {OTHER}',
              'systemctl daemon-reload && systemctl restart other && sleep 0.5']
WITHOUT_OTHER = [*WITHOUT_FAMILY, f'systemctl stop other; rm -f {OTHER}; systemctl daemon-reload']
TEMPLATE = UNIT.replace('family', 'kin@')
WITH_KIN = [f'printf "[Service]\\nExecStart=/bin/sleep infinity\\n" > {TEMPLATE}',
            'systemctl daemon-reload && systemctl restart kin@1 kin@2 && sleep 0.5']
WITHOUT_KIN = [f'systemctl stop kin@1 kin@2; rm -rf {TEMPLATE} {TEMPLATE}.d; systemctl daemon-reload']
THEIRS = f'{UNIT}.d/zz-theirs.conf'
WITH_THEIRS = [f'mkdir -p {UNIT}.d && printf "[Service]\\nOOMScoreAdjust=7\\n" > {THEIRS}', *WITH_FAMILY]
WITHOUT_THEIRS = [*WITHOUT_FAMILY, f'rm -rf {UNIT}.d; systemctl daemon-reload']
WITH_TARGET = ['sleep 1000000 > /dev/null 2>&1 & echo $! > /run/target.pid']
WITHOUT_TARGET = ['kill $(cat /run/target.pid)']
LATER = '/etc/sysctl.d/zz-later.conf'


def of(module, **params):
    return {'module': module, 'params': params}


CASES = [
    dict(of('overcommit', mode='never', ratio=300), name='overcommit: strict, and another ratio'),
    dict(of('overcommit', mode='never', kbytes=5000000, admin_reserve_kbytes=9000, conflicts='comment_out'),
         name='overcommit: from strict by ratio to strict by kbytes, over a later file', short=True,
         setup=[of('overcommit', mode='never', ratio=300),
                f'printf "# theirs\\nvm.overcommit_memory = 1\\n" > {LATER}'],
         teardown=[f'rm -f {LATER}']),
    dict(of('overcommit', state='absent'), name='overcommit: everything back',
         setup=[of('overcommit', mode='never', ratio=300, admin_reserve_kbytes=9000)]),
    # All runs come by one connection, so that the second one finds the change waiting, and changes nothing.
    dict(of('overcommit', mode='never', ratio=300, admin_reserve_kbytes=9000, confirm_within=3600),
         name='overcommit: strict, to be confirmed', watchdog=True, short=True),
    dict(of('panic_on_oom', policy='panic', reboot_after=10, kill_allocating_task=True),
         name='panic_on_oom: panic and reboot', short=True),
    dict(of('oom_score_adj', name='family', score_adj=321), name='oom_score_adj: a service', units=['family.service'],
         short=True, setup=WITH_FAMILY, teardown=WITHOUT_FAMILY),
    dict(of('oom_score_adj', state='absent', exclusive=True), name='oom_score_adj: everything back',
         units=['family.service'], setup=[*WITH_FAMILY, of('oom_score_adj', name='family', score_adj=-300)],
         teardown=WITHOUT_FAMILY),
    dict(of('oom_score_adj', services=[{'name': 'family', 'score_adj': 5}], exclusive=True),
         name='oom_score_adj: one of two services from now on', units=['family.service', 'other.service'],
         setup=[*WITH_OTHER, of('oom_score_adj', services=[{'name': 'family', 'score_adj': -300},
                                                           {'name': 'other', 'score_adj': 200}])],
         teardown=WITHOUT_OTHER),
    dict(of('oom_score_adj', name='kin@', state='absent'), name='oom_score_adj: a template back',
         units=['kin@1.service', 'kin@2.service'],
         setup=[*WITH_KIN, of('oom_score_adj', name='kin@', score_adj=-300)], teardown=WITHOUT_KIN),
    dict(of('oom_score_adj', name='family', oom_policy='kill', score_adj=321), name='oom_score_adj: a policy',
         units=['family.service'], setup=WITH_FAMILY, teardown=WITHOUT_FAMILY),
    dict(of('oom_score_adj', name='family', state='absent'), name='oom_score_adj: a policy back',
         units=['family.service'], setup=[*WITH_FAMILY, of('oom_score_adj', name='family', oom_policy='kill')],
         teardown=WITHOUT_FAMILY),
    dict(of('oom_score_adj', name='family', score_adj=-300, conflicts='comment_out'),
         name='oom_score_adj: over a later drop-in', units=['family.service'], setup=WITH_THEIRS,
         teardown=WITHOUT_THEIRS),
    dict(of('oom_score_adj', name='family', state='absent'), name='oom_score_adj: a later drop-in back',
         units=['family.service'], teardown=WITHOUT_THEIRS,
         setup=[*WITH_THEIRS, of('oom_score_adj', name='family', score_adj=-300, conflicts='comment_out')]),
    dict(of('oom_score_adj', process={'pidfile': '/run/target.pid'}, score_adj=77), name='oom_score_adj: a process',
         short=True, process=True, setup=WITH_TARGET, teardown=WITHOUT_TARGET),
    dict(of('oom_score_adj', process={'pidfile': '/run/target.pid'}, state='absent'),
         name='oom_score_adj: a process back', process=True, teardown=WITHOUT_TARGET,
         setup=[*WITH_TARGET, of('oom_score_adj', process={'pidfile': '/run/target.pid'}, score_adj=77)]),
]
