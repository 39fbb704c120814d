# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that the modules which set sysctls share."""


class ModuleDocFragment(object):
    """Fragments oomkit.linux.sysctl."""

    DOCUMENTATION = r'''
options:
  state:
    description:
      - V(present) sets what the other options ask for.
      - V(absent) takes back all settings of this module, whatever set them through it. Its lines leave
        O(sysctl_file), a file that this collection made is deleted once it is empty, and lines that
        O(conflicts=take_over) commented out come back. Run time takes what the next boot will give, from other
        files, else the kernel command line, else the kernel's default.
      - For what has no constant default (the two reserves and C(kernel.panic)) the value from before the first
        change is taken, which is recorded in C(/var/lib/oomkit/originals.json).
    type: str
    choices: [present, absent]
    default: present
  runtime:
    description:
      - Set the running kernel.
      - Use V(false) for chroots and image builds, and to let a change wait for the next boot.
    type: bool
    default: true
  persistent:
    description:
      - Write O(sysctl_file), so that the next boot sets the same.
      - O(runtime) and O(persistent) cannot both be V(false).
    type: bool
    default: true
  sysctl_file:
    description:
      - The file that holds the settings for the boot. It is edited line by line, lines of others stay byte for byte.
      - A file that the boot's loader does not read is refused, such as C(/etc/sysctl.conf) on a systemd machine
        without a link to it below C(/etc/sysctl.d).
    type: path
    default: /etc/sysctl.d/99-oomkit.conf
  conflicts:
    description:
      - What to do when a line of another file would win at boot. The boot is simulated write by write as
        systemd-sysctl (or procps, on other inits) does it.
      - V(fail) changes nothing and names file and line.
      - V(warn) goes on and warns.
      - V(take_over) comments that line out, marked C(# oomkit.linux:), keeps a backup beside the file, and
        looks again. It does so below C(/etc) only, and fails for a winner elsewhere.
    type: str
    choices: [fail, warn, take_over]
    default: fail
  force:
    description:
      - Carry out what is refused because it could lock people out or hang the machine. Whether programs can
        still be started is tested all the same, and everything is put back if not.
    type: bool
    default: false
'''
