# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd machine on disk: unit files, cgroups and processes as trees, and a manager that reads them.

That the real systemd does the same is proven in tests/kernel.
"""

import fnmatch
import shutil

from machine import Machine

from ansible_collections.oomkit.linux.plugins.module_utils import _badness, _service_module
from ansible_collections.oomkit.linux.plugins.module_utils._unit_files import SCORE_ADJ, UnitFiles

LIB = '/usr/lib/systemd/system'
ETC = '/etc/systemd/system'


class FakeFile:
    """An open file of the cgroup tree."""

    def __init__(self, path):
        self.path = path

    def write(self, data):
        self.path.write_bytes(data)

    def close(self):
        pass


class ServiceMachine(Machine):
    """Machine with units and processes; it is its own manager."""

    def __init__(self, root, init='systemd'):
        super().__init__(root, init=init)
        self.put('/proc/uptime', '1000.00 2000.00\n')
        self.put('/proc/1/oom_score_adj', '0\n')
        self.process(1, parent=0, name='systemd')
        self.reloads = 0
        self.loaded = {}
        self.after_reload = None

    # ------------------------------------------------------------ making it

    def unit(self, name, text='[Service]\nExecStart=/bin/x\n', folder=LIB):
        self.put(f'{folder}/{name}', text)

    def process(self, pid, parent=1, adj=0, name='x', unit=None, start=100, uid=0, cmdline='x', rss_kb=100):
        base = f'/proc/{pid}'
        fields = ['S', str(parent)] + ['0'] * 17 + [str(start), '0', str(rss_kb // 4)] + ['0'] * 8
        self.put(f'{base}/stat', f'{pid} ({name}) ' + ' '.join(fields) + '\n')
        self.put(f'{base}/oom_score_adj', f'{adj}\n')
        self.put(f'{base}/comm', name + '\n')
        self.put(f'{base}/oom_score', f'{self._score(adj, rss_kb)}\n')
        self.put(f'{base}/cmdline', cmdline.replace(' ', '\0') + '\0')
        self.put(f'{base}/status', f'Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n'
                                   f'VmRSS:\t {rss_kb} kB\nRssAnon:\t {rss_kb} kB\nVmPTE:\t 4 kB\n'
                                   'VmSwap:\t 0 kB\n')  # fmt: skip
        cgroup = f'/system.slice/{unit}' if unit else '/init.scope'
        self.put(f'{base}/cgroup', f'0::{cgroup}\n')
        if unit:
            folder = self.base / f'sys/fs/cgroup{cgroup}'
            if not folder.exists():
                self.put(f'/sys/fs/cgroup{cgroup}/memory.oom.group', '0\n')
            with open(folder / 'cgroup.procs', 'a') as procs:
                procs.write(f'{pid}\n')

    def _score(self, adj, rss_kb):
        pages = (self.ram_kb + self.swap_kb) // 4
        terms = _badness.Terms((rss_kb // 4, 0, 1), adj)
        return 0 if adj == -1000 else _badness.score_of(_badness.badness_pages(terms, pages), pages, 'new')

    def end(self, pid):
        shutil.rmtree(self.base / f'proc/{pid}')

    def adj(self, pid):
        return int(self.get(f'/proc/{pid}/oom_score_adj'))

    def open_proc(self, path):
        return FakeFile(self.base / path.lstrip('/')) if path.startswith('/sys/fs/cgroup') else super().open_proc(path)

    # -------------------------------------------------------------- manager

    def show(self, names=None):
        """As systemctl show, of what is below the cgroup tree; as Machine.show without names."""
        if names is None:
            super().show()
            return None
        units = self.folders('/sys/fs/cgroup/system.slice')
        found = []
        for name in names:
            for unit in fnmatch.filter(units, name) or ([] if '*' in name else [name]):
                found.append(self._state(unit))
        return found

    def _state(self, unit):
        files = UnitFiles(self)
        real = files.find(unit)
        value = files.settings(real)[SCORE_ADJ].value
        procs = (self.read_text(f'/sys/fs/cgroup/system.slice/{unit}/cgroup.procs') or '').split()
        return {
            'Id': unit, 'LoadState': 'loaded' if real.state == 'loaded' else 'not-found', 'Transient': 'no',
            'NeedDaemonReload': 'no', 'MainPID': procs[0] if procs else '0', 'ControlGroup': f'/system.slice/{unit}',
            'OOMScoreAdjust': str(self.loaded.get(unit, value or 0)),
        }  # fmt: skip

    def reload(self):
        self.reloads += 1
        if self.after_reload:
            self.after_reload()

    # --------------------------------------------------------------- a run

    def run(self, check=False, **params):
        options = dict(name=None, score_adj=None, oom_policy=None, services=None, process=None, state='present',
                       runtime=True, persistent=True, scope='inherited', missing='fail', exclusive=False,
                       conflicts='fail', force=False, forecast=5, protect=None,
                       forecast_assuming=None)  # fmt: skip
        unknown = set(params) - set(options)
        assert not unknown, unknown
        options.update(params)
        if options['process'] is not None:
            names = ('pid', 'pidfile', 'comm', 'cmdline_regex', 'user')
            options['process'] = dict(dict.fromkeys(names), **options['process'])
        return _service_module.run(options, check, host=self, manager=self)
