# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine on disk whose /proc/sys behaves as the kernel's: a tree for Host, not a mock.

The kernel and the boot's loader are those of kernel_model.py, which is compared with the record of real ones.
"""

import contextlib
import errno
import os
import re
from pathlib import Path

import kernel_model
from module_stub import has_code

from ansible_collections.oomkit.linux.plugins.module_utils._host.writable import WritableHost

OURS = '/etc/sysctl.d/99-oomkit.conf'
# What others have set: a kubelet and an administrator at runtime, where no file has it, and files of others.
FOREIGN = {
    'vm.overcommit_memory': 1,
    'vm.overcommit_ratio': 70,
    'vm.admin_reserve_kbytes': 6000,
    'vm.user_reserve_kbytes': 20_000,
    'vm.panic_on_oom': 0,
    'kernel.panic': 10,
    'vm.oom_kill_allocating_task': 1,
    'vm.oom_dump_tasks': 0,
}
FOREIGN_FILES = {
    '/usr/lib/sysctl.d/20-vendor.conf': '# as packaged\nkernel.panic_on_oops = 1\nvm.oom_dump_tasks = 0\n',
    '/etc/sysctl.d/30-cache.conf': 'vm.swappiness=10\nvm.overcommit_memory = 0   # for the cache\nvm.dirty_ratio=5\n'
                                   'vm/overcommit_ratio=60\nvm.admin_reserve_kbytes = 5000\nkernel.panic=20',
}  # fmt: skip
# What is nobody's setting: copies of files of others, which stay, and the lock.
PASSING = re.compile(r'\.oomkit-[^/]*~$|^run/oomkit/lock$')
# Sysctls beside ours that nobody here may write.
NEIGHBOURS = {'vm.swappiness': 10, 'vm.dirty_ratio': 5, 'vm.min_free_kbytes': 67_584, 'kernel.panic_on_oops': 1}


class FakeProcFile:
    """An open file of /proc/sys."""

    def __init__(self, machine, path):
        self.machine = machine
        self.key = path[len('/proc/sys/') :].replace('/', '.')

    def write(self, data):
        self.machine.kernel_write(self.key, data.decode())

    def close(self):
        pass


class Life:
    """What was there before this collection managed a machine, to compare with what is there when all is reverted."""

    def __init__(self, machine):
        self.machine = machine
        self.before = self.left = None
        self.managed = set()
        self.is_compared = True

    @contextlib.contextmanager
    def run(self, subjects, absent):
        """A run that manages these subjects, or reverts them. Its result is to be put into the list."""
        found = self._look()
        if not self.managed:
            self.before = None if any(is_ours(*item) for item in found.items()) else found
        elif found != self.left:
            self.before = None  # others have changed it since
        if not absent:
            self.managed.update(subjects)
        results = []
        try:
            yield results
        finally:
            self.left = self._look()
        if results[0].get('confirmation', {}).get('state') == 'pending':
            self.before = None  # from here on the watchdog changes it
        elif absent:
            self.managed.difference_update(subjects)
            if not self.managed and self.before is not None:
                names = [name for name in {**self.before, **self.left} if self.before.get(name) != self.left.get(name)
                         and not (name.startswith('score of') and name not in self.before)]  # fmt: skip
                assert not names, [(name, self.before.get(name), self.left.get(name)) for name in names]

    def _look(self):
        if not self.is_compared:
            return {}
        return {name: value for name, value in self.machine.everything().items() if not PASSING.search(name)}


def is_ours(name, value):
    """Whether this is a trace of a run before."""
    return isinstance(value, bytes) and (b'oomkit' in value or 'oomkit/' in name or name.endswith('originals.json'))


class Machine(WritableHost):
    """Host on a directory, with sysctls that accept, refuse and erase each other as the kernel does."""

    def __init__(
        self,
        root,
        init='systemd',
        ram_kb=4 * 1024**2,
        swap_kb=0,
        hugetlb_kb=0,
        committed_kb=200_000,
        defaults=False,
        **start,
    ):
        """Others have set their values, unless ``defaults``: the kernel's and no file. ``start`` are single values."""
        super().__init__(str(root))
        self.base = Path(root)
        self.ram_kb, self.swap_kb, self.hugetlb_kb, self.committed_kb = ram_kb, swap_kb, hugetlb_kb, committed_kb
        self.refuses = {}
        self.log = []
        self.init = init
        self.state = dict(kernel_model.DEFAULTS)
        for folder in ('etc/sysctl.d', 'run', 'usr/lib/sysctl.d', 'proc/self', 'proc/1', 'sbin', 'var/lib', 'dev'):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        if init == 'systemd':
            (self.base / 'run/systemd/system').mkdir(parents=True, exist_ok=True)
        self.put('/dev/null', '')
        self.put('/proc/cmdline', 'root=/dev/vda ro quiet\n')
        self.put('/proc/self/uid_map', '         0          0 4294967295\n')
        self.put('/proc/self/mountinfo', '26 1 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n')
        self.life = Life(self)
        if not defaults:
            self.state.update(FOREIGN)
            for path, text in FOREIGN_FILES.items():
                self.put(path, text)
        for key, value in NEIGHBOURS.items():
            self.put('/proc/sys/' + key.replace('.', '/'), f'{value}\n')
        self.state.update(start)
        self.show()

    def put(self, path, text):
        """Write a file of the machine, in bytes or text."""
        target = self.base / path.lstrip('/')
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    def link(self, path, target):
        """Make a symbolic link."""
        link = self.base / path.lstrip('/')
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        return link

    def get(self, path):
        """A file of the machine as text, None when there is none."""
        target = self.base / path.lstrip('/')
        return target.read_text() if target.exists() else None

    def tree(self):
        """Everything configured: all files outside /proc, with content."""
        return {
            str(path.relative_to(self.base)): path.read_bytes()
            for path in sorted(self.base.rglob('*'))
            if path.is_file() and 'proc' not in path.parts
        }

    def everything(self):
        """All that a run may have to revert: by name the values, and the bytes of files that are not huge."""
        files = {}
        for top in ('etc', 'usr', 'var', 'srv', 'run'):
            for path in (self.base / top).rglob('*'):
                name = str(path.relative_to(self.base))
                if path.is_symlink():
                    files[name] = os.readlink(path).encode()
                elif path.is_file() and path.stat().st_size < 2**20:
                    files[name] = path.read_bytes()
        return {**files, **self.state}

    def commit_limit_kb(self):
        return kernel_model.commit_limit_kb(self.ram_kb, self.swap_kb, self.hugetlb_kb, self.state)

    def show(self):
        """Bring /proc up to date with the state."""
        for key, value in self.state.items():
            if value is not None:
                self.put('/proc/sys/' + key.replace('.', '/'), '%d\n' % value)
        self.put(
            '/proc/meminfo',
            (
                'MemTotal: %d kB\nMemAvailable: %d kB\nSwapTotal: %d kB\nSwapFree: %d kB\nCommitLimit: %d kB\n'
                'Committed_AS: %d kB\nHugetlb: %d kB\n'
            )
            % (
                self.ram_kb,
                self.ram_kb // 2,
                self.swap_kb,
                self.swap_kb,
                self.commit_limit_kb(),
                self.committed_kb,
                self.hugetlb_kb,
            ),
        )

    def kernel_write(self, key, text):
        if key in self.refuses:
            raise OSError(self.refuses[key], os.strerror(self.refuses[key]))
        if not kernel_model.write(self.state, key, text):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.log.append((key, int(text)))
        self.show()

    def open_proc(self, path):
        if not self.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return FakeProcFile(self, path)

    def reboot(self):
        """Start with the kernel's defaults, whatever was set at runtime, and let the loader of this init write."""
        self.state = {key: value for key, value in kernel_model.DEFAULTS.items() if key in self.state}
        kernel_model.boot(self.base, self.state, systemd=257 if self.init == 'systemd' else 0)
        self.show()


def run(machine, module, check=False, **params):
    """One run of a module's logic on the machine: the result as the module returns it. Raises what it reports."""
    from ansible_collections.oomkit.linux.plugins.module_utils._policy import confirm
    from ansible_collections.oomkit.linux.plugins.module_utils._policy.overcommit import OvercommitPolicy
    from ansible_collections.oomkit.linux.plugins.module_utils._policy.panic import PanicPolicy
    from ansible_collections.oomkit.linux.plugins.module_utils._policy.run import run_at_once

    policy, way = {
        'overcommit': (OvercommitPolicy, confirm.run),
        'panic_on_oom': (PanicPolicy, run_at_once),
    }[module]
    options = dict(
        state='present',
        runtime=True,
        persistent=True,
        conflicts='fail',
        force=False,
        sysctl_file=OURS,
        **dict.fromkeys(policy.list_options()),
    )
    if module == 'overcommit':
        options.update(min_headroom='5%', confirm_within=0, confirm_changes='all')
    unknown = set(params) - set(options)
    assert not unknown, unknown
    options.update(params)
    if check:
        return with_codes(lambda: way(machine, options, policy, check))
    sides = [(module, side) for side in ('runtime', 'persistent') if options[side]]
    with machine.life.run(sides, options['state'] == 'absent') as results:
        results.append(with_codes(lambda: way(machine, options, policy, check)))
    return results[0]


def with_codes(work):
    """The result of a module; each of its warnings and notes, and what it raises, has a code."""
    from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
    from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
    from ansible_collections.oomkit.linux.plugins.module_utils._core.sanitize import to_message
    from ansible_collections.oomkit.linux.plugins.module_utils._host.transaction import ApplyError

    try:
        result = work()
    except (Refusal, ConvertError, ApplyError) as exc:
        assert has_code(to_message(str(exc))), exc
        raise
    texts = result['warnings'] + [note for one in result.get('services', []) for note in one['notes']]
    assert all(has_code(to_message(text)) for text in texts), texts
    return result
