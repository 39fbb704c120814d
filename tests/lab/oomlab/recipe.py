# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines there are, and what goes into their images."""

import hashlib
import json
from dataclasses import asdict, dataclass

# Raise it when image.py builds differently from the same recipe.
FORMAT = 1

_BASE_PACKAGES = ('udev', 'openssh-server', 'python3', 'procps', 'strace', 'iproute2', 'kmod', 'initramfs-tools')
_PACKAGES = ('systemd', 'systemd-sysv', 'dbus', *_BASE_PACKAGES)

# Run in the new root by /bin/sh, with $1 as the root directory.
_SETUP = r'''
set -e
echo lab > "$1/etc/hostname"
echo '127.0.0.1 localhost lab' > "$1/etc/hosts"
mkdir -p "$1/root/.ssh" "$1/etc/ssh/sshd_config.d"
chmod 700 "$1/root/.ssh"
printf 'UseDNS no\nPasswordAuthentication no\nMaxStartups 100\nPrintMotd no\n' > "$1/etc/ssh/sshd_config.d/lab.conf"
# An sshd that finds no memory crashes, and from 9.8 on keeps its callers out for minutes after that.
if grep -q persourcepenalties "$1/usr/sbin/sshd"; then
    echo 'PerSourcePenalties no' >> "$1/etc/ssh/sshd_config.d/lab.conf"
fi
chroot "$1" useradd -m -s /bin/sh tester
mkdir -p "$1/home/tester/.ssh"
printf 'MODULES=list\nCOMPRESS=gzip\n' > "$1/etc/initramfs-tools/conf.d/lab"
printf 'virtio_pci\nvirtio_blk\nvirtio_net\next4\n' >> "$1/etc/initramfs-tools/modules"
chroot "$1" update-initramfs -u -k all
'''
_SYSTEMD = r'''
cat > "$1/etc/systemd/network/10-lab.network" <<EOF
[Match]
Name=e*
[Network]
Address=10.0.2.15/24
LinkLocalAddressing=no
IPv6AcceptRA=no
EOF
chroot "$1" systemctl enable systemd-networkd.service
# TuneD costs no time at boot: tests start it.
if [ -e "$1/usr/sbin/tuned" ]; then
    chroot "$1" systemctl disable tuned.service
fi
chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    systemd-networkd-wait-online.service getty@tty1.service systemd-firstboot.service
'''

# Debian's other inits: the init of sysvinit-core, which runs the scripts of /etc/init.d in order, or OpenRC.
_OTHER_INIT = ('sysvinit-core', 'initscripts', 'orphan-sysvinit-scripts', 'ifupdown', 'cron', *_BASE_PACKAGES)
_IFUPDOWN = r'''
printf '/dev/vda / ext4 defaults 0 0\n' > "$1/etc/fstab"
printf 'auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet static\n address 10.0.2.15/24\n' \
    > "$1/etc/network/interfaces"
'''

# What people run, from Debian's packages, with logind, whose sessions are scopes of their own. TuneD depends on it.
_SERVICES = ('postgresql', 'redis-server', 'nginx', 'cron', 'libpam-systemd', 'tuned')


@dataclass(frozen=True)
class Recipe:
    """An image: everything that decides its content."""

    name: str
    suite: str
    kernel: str                # how `uname -r` begins
    python: str
    backports_kernel: bool = False
    packages: tuple = _PACKAGES
    setup: str = _SETUP + _SYSTEMD
    format: int = FORMAT

    def key(self) -> str:
        """The same for the same content, wherever it is computed."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


RECIPES = {recipe.name: recipe for recipe in (
    Recipe('bullseye', 'bullseye', '5.10', '3.9'),
    Recipe('bookworm', 'bookworm', '6.1', '3.11'),
    Recipe('trixie', 'trixie', '6.12', '3.13'),
    Recipe('trixie-backports', 'trixie', '7.', '3.13', backports_kernel=True),
    Recipe('services', 'trixie', '6.12', '3.13', packages=_PACKAGES + _SERVICES),
    Recipe('sysvinit', 'trixie', '6.12', '3.13', packages=(*_OTHER_INIT, 'sysv-rc'), setup=_SETUP + _IFUPDOWN),
    Recipe('openrc', 'trixie', '6.12', '3.13', packages=(*_OTHER_INIT, 'openrc'), setup=_SETUP + _IFUPDOWN),
)}
ALIASES = {'11': 'bullseye', '12': 'bookworm', '13': 'trixie', '13-backports': 'trixie-backports'}
DEFAULT = 'trixie'


def recipe_of(name: str) -> Recipe:
    """The recipe of that name or alias. Raises KeyError with the names there are."""
    found = RECIPES.get(ALIASES.get(name, name))
    if found is None:
        raise KeyError(f'{name}: no such machine; there are {", ".join(RECIPES)} and {", ".join(ALIASES)}')
    return found
