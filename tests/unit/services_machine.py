# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A systemd machine on disk: unit files, cgroups and processes as trees, and a manager that reads them.

Nothing here is answered by the code under test: unit files are read by unit_model.py, which is compared with the record
of what real systemds answer.
"""

import fnmatch
import shutil

import unit_model
from machine import Machine, with_codes

from ansible_collections.oomkit.linux.plugins.module_utils._module import score_adj as score_adj_module

LIB = '/usr/lib/systemd/system'
ETC = '/etc/systemd/system'
# What the administrator has set for every unit.
ADMIN = '20-admin.conf'
FOREIGN_ADJ = 15


def names_of(unit):
    """The unit, and its template where it is an instance."""
    return [unit] + ([unit.partition('@')[0] + '@.service'] if '@' in unit else [])


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

    def __init__(self, root, init='systemd', defaults=False):
        # With kill_allocating_task nobody can say whom the kernel kills, which is what most of these tests ask.
        super().__init__(root, init=init, **{'vm.oom_kill_allocating_task': 0})
        self.defaults = defaults
        self.put('/proc/uptime', '1000.00 2000.00\n')
        self.put('/proc/1/oom_score_adj', '0\n')
        self.process(1, parent=0, name='systemd')
        self.reloads = 0
        self.loaded = {}
        self.stale = set()  # units whose files somebody has changed without a daemon-reload
        self.after_reload = None

    # ------------------------------------------------------------ making it

    def unit(self, name, text='[Service]\nExecStart=/bin/x\n', folder=LIB):
        """A unit of a package, and what the administrator has set for it, unless the machine has ``defaults``."""
        self.put(f'{folder}/{name}', text)
        if not self.defaults:
            self.put(f'{ETC}/{name}.d/{ADMIN}', f'[Service]\nNice=5\nOOMScoreAdjust={FOREIGN_ADJ}\n')

    def without_admin(self, *units):
        """For these units the administrator has set nothing after all."""
        for unit in units:
            shutil.rmtree(self.base / f'{ETC[1:]}/{unit}.d')

    def process(self, pid, parent=1, adj=None, name='x', unit=None, start=100, uid=0, cmdline='x', rss_kb=100):
        """One that runs; without ``adj`` it has what its unit gives at a start."""
        if adj is None:
            adj = int((unit and self.at_start(unit, 'OOMScoreAdjust')) or 0)
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
        """proc_oom_score() of fs/proc/base.c, kernel 5.9 and later, with one page of page tables."""
        pages = (self.ram_kb + self.swap_kb) // 4
        badness = rss_kb // 4 + 1 + adj * (pages // 1000)
        return 0 if adj == -1000 else (1000 + int(badness * 1000 / pages)) * 2 // 3

    def end(self, pid):
        shutil.rmtree(self.base / f'proc/{pid}')

    def adj(self, pid):
        return int(self.get(f'/proc/{pid}/oom_score_adj'))

    def open_proc(self, path):
        return FakeFile(self.base / path.lstrip('/')) if path.startswith('/sys/fs/cgroup') else super().open_proc(path)

    def everything(self):
        """See Machine; scores and memory.oom.group too."""
        scores = {f'score of {path.parent.name}': path.read_bytes() for path in self.base.glob('proc/*/oom_score_adj')}
        groups = {f'group of {path.parent.name}': path.read_bytes()
                  for path in self.base.glob('sys/fs/cgroup/*/*/memory.oom.group')}
        return {**super().everything(), **scores, **groups}

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
        is_loaded = any((self.base / folder[1:] / name).exists() for folder in (ETC, LIB) for name in names_of(unit))
        value = self.at_start(unit, 'OOMScoreAdjust')
        procs = (self.read_text(f'/sys/fs/cgroup/system.slice/{unit}/cgroup.procs') or '').split()
        return {
            'Id': unit, 'LoadState': 'loaded' if is_loaded else 'not-found', 'Transient': 'no',
            'NeedDaemonReload': 'yes' if unit in self.stale else 'no',
            'MainPID': procs[0] if procs else '0', 'ControlGroup': f'/system.slice/{unit}',
            'OOMScoreAdjust': str(self.loaded.get(unit, value or 0)),
        }  # fmt: skip

    def at_start(self, unit, key):
        """What the unit files of this machine give a unit at its next start."""
        return unit_model.at_start(self._text, self.names, unit, key)

    def _text(self, path):
        """Links lead to places of this machine; one that leads nowhere is an empty file."""
        try:
            return self.read_text(path)
        except OSError:
            return ''

    def reload(self):
        self.reloads += 1
        if self.after_reload:
            self.after_reload()

    # --------------------------------------------------------------- a run

    def run(self, check=False, **params):
        options = dict(name=None, score_adj=None, oom_policy=None, services=None, process=None, state='present',
                       runtime=True, persistent=True, scope='inherited', missing='fail', exclusive=False,
                       conflicts='fail', force=False, forecast=5, protect=None)  # fmt: skip
        unknown = set(params) - set(options)
        assert not unknown, unknown
        options.update(params)
        if options['process'] is not None:
            names = ('pid', 'pidfile', 'comm', 'cmdline_regex', 'user')
            options['process'] = dict(dict.fromkeys(names), **options['process'])
        if check:
            return with_codes(lambda: score_adj_module.run(options, check, host=self, manager=self))
        with self.life.run(*self._subjects(options)) as results:
            results.append(with_codes(lambda: score_adj_module.run(options, check, host=self, manager=self)))
        return results[0]

    def policy(self, check=False, **params):
        """One run of oom_policy."""
        from ansible_collections.oomkit.linux.plugins.module_utils._module import options, policy

        spec = {**options.GROUP_OPTIONS, **policy.OPTIONS}
        params = {**{name: one.get('default') for name, one in spec.items()}, **params}
        assert set(params) == set(spec), set(params) - set(spec)
        for part in ('overcommit', 'panic'):
            if params[part] is not None:
                params[part] = {**dict.fromkeys(spec[part]['options']), **params[part]}
        if params['services'] is not None:
            names = spec['services']['options']
            params['services'] = [{**dict.fromkeys(names), **one} for one in params['services']]
        if check:
            return with_codes(lambda: policy.run(params, check, self, self))
        modules = {'overcommit': 'overcommit', 'panic': 'panic_on_oom'}
        subjects = [(module, side) for part, module in modules.items() if part in params['parts']
                    for side in ('runtime', 'persistent')]
        absent = params['state'] == 'absent'
        if 'services' in params['parts']:
            subjects += [one['name'] for one in params['services'] or []]
            subjects += [one for one in self.life.managed if absent and isinstance(one, str)]
        with self.life.run(subjects, absent) as results:
            results.append(with_codes(lambda: policy.run(params, check, self, self)))
        return results[0]

    def _subjects(self, options):
        """What a run sets, or reverts wholly, as Life wants to know it."""
        absent = options['state'] == 'absent'
        names = [one['name'] for one in options['services'] or []] + [options['name'] or str(options['process'])]
        if absent and not (options['runtime'] and options['persistent']):
            names = []
        elif absent and options['exclusive']:
            names = list(self.life.managed)
        return names, absent
