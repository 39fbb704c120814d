# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of systemd by its files, as distributions lay them out."""

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._systemd.version import find_version

NEEDS = b'\x7fELF\0libsystemd-shared-%s.so\0libc.so.6\0'


@pytest.mark.parametrize(('path', 'version'), [
    ('/lib/systemd/libsystemd-shared-237.so', 237),                                     # Ubuntu 18.04
    ('/usr/lib/systemd/libsystemd-shared-239.so', 239),                                 # RHEL 8
    ('/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so', 252),                # Debian 12
    ('/usr/lib/aarch64-linux-gnu/systemd/libsystemd-shared-257.so', 257),               # Debian 13
    ('/usr/lib64/systemd/libsystemd-shared-255.4-1.fc40.so', 255),                      # Fedora 40
    ('/usr/lib/systemd/libsystemd-shared-256.5-1.so', 256),                             # Arch
    ('/usr/lib/systemd/libsystemd-shared-258~rc1.so', 258),
    ('/usr/lib/systemd/libsystemd-shared.so', None),
])  # fmt: skip
def test_the_name_of_the_library(machine, path, version):
    machine.put(path, '')
    assert find_version(machine) == version


def test_of_several_libraries_the_one_that_the_program_loads(machine):
    machine.put('/usr/lib/systemd/libsystemd-shared-249.so', '')
    machine.put('/usr/lib/systemd/libsystemd-shared-252.so', '')
    assert find_version(machine) == 252
    machine.put('/usr/lib/systemd/systemd', NEEDS % b'249')
    assert find_version(machine) == 249


def test_one_without_a_library_says_its_version_when_it_starts(machine):
    """As RHEL 7."""
    machine.put('/usr/lib/systemd/systemd', b'\x7fELF\0systemd 219 running in %ssystem mode. (+PAM)\0')
    assert find_version(machine) == 219


def test_where_init_leads(machine):
    """As on NixOS."""
    machine.put('/nix/store/x-systemd-256/lib/systemd/systemd', NEEDS % b'256')
    machine.put('/nix/store/x-systemd-256/lib/systemd/libsystemd-shared-256.so', '')
    machine.put('/sbin/other', '')
    machine.link('/sbin/init', '/nix/store/x-systemd-256/lib/systemd/systemd')
    assert find_version(machine) == 256


def test_an_unknown_version(machine):
    assert find_version(machine) is None
    machine.put('/usr/lib/systemd/systemd', b'\x7fELF\0')
    machine.put('/sbin/other', '')
    machine.link('/sbin/init', 'init')
    assert find_version(machine) is None
    (machine.base / 'lib/systemd/systemd').mkdir(parents=True)
    assert find_version(machine) is None
