# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a machine on disk, with all files that a look at a process reads."""

STATUS = ('Name:\tx\nState:\tS (sleeping)\nUid:\t%d\t%d\t%d\t%d\nVmRSS:\t%8d kB\nVmPTE:\t%8d kB\nVmSwap:\t%8d kB\n'
          'Threads:\t1\n')


def add_process(box, pid, score, adj=0, rss_kb=4000, name=b'daemon', cgroup=b'0::/\n', start_ticks=500, uid=0):
    """A process of a machine on disk."""
    folder = '/proc/%d/' % pid
    box.put(folder + 'oom_score', '%d\n' % score)
    box.put(folder + 'oom_score_adj', '%d\n' % adj)
    box.put(folder + 'status', STATUS % (uid, uid, uid, uid, rss_kb, 64, 0))
    box.put(folder + 'stat', '%d (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 1 1\n' % (pid, start_ticks))
    box.put(folder + 'comm', name + b'\n')
    box.put(folder + 'uid_map', box.get('/proc/self/uid_map'))
    box.put(folder + 'cgroup', cgroup)
    box.put(folder + 'cmdline', b'/usr/sbin/daemon\0--password\0se\ncret\0')
