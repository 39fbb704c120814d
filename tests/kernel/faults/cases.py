# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wishes of which every system call is made to fail, and the state of the machine before each."""

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
LATER = '/etc/sysctl.d/zz-later.conf'


def of(module, **params):
    return {'module': module, 'params': params}


CASES = [
    dict(of('overcommit', mode='never', ratio=300), name='overcommit: strict, and another ratio'),
    dict(of('overcommit', mode='never', kbytes=5000000, admin_reserve_kbytes=9000, conflicts='take_over'),
         name='overcommit: from strict by ratio to strict by kbytes, over a later file',
         setup=[of('overcommit', mode='never', ratio=300),
                f'printf "# theirs\\nvm.overcommit_memory = 1\\n" > {LATER}'],
         teardown=[f'rm -f {LATER}']),
    dict(of('overcommit', state='absent'), name='overcommit: everything back',
         setup=[of('overcommit', mode='never', ratio=300, admin_reserve_kbytes=9000)]),
    # All runs come by one connection, so that the second one finds the change waiting, and changes nothing.
    dict(of('overcommit', mode='never', ratio=300, admin_reserve_kbytes=9000, confirm_within=3600),
         name='overcommit: strict, to be confirmed', watchdog=True),
    dict(of('panic_on_oom', policy='panic', reboot_after=10, dump_tasks=False), name='panic_on_oom: panic and reboot'),
    dict(of('oom_score_adj', name='family', score_adj=321), name='oom_score_adj: a service', unit='family.service',
         setup=WITH_FAMILY, teardown=WITHOUT_FAMILY),
    dict(of('oom_score_adj', state='absent', exclusive=True), name='oom_score_adj: everything back',
         unit='family.service', setup=[*WITH_FAMILY, of('oom_score_adj', name='family', score_adj=-300)],
         teardown=WITHOUT_FAMILY),
    dict(of('oom_score_adj', process={'pidfile': '/run/target.pid'}, score_adj=77), name='oom_score_adj: a process',
         process=True, setup=['sleep 1000000 > /dev/null 2>&1 & echo $! > /run/target.pid'],
         teardown=['kill $(cat /run/target.pid)']),
]
