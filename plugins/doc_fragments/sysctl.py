# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options that the modules which set sysctls share."""


class ModuleDocFragment:
    """Fragments oomkit.linux.sysctl."""

    DOCUMENTATION = r'''
options:
  state:
    description:
      - V(present) sets what the other options ask for.
      - V(absent) reverts what this module changed on the host, as recorded in C(/var/lib/oomkit/originals.json). On a
        host where it changed nothing it changes nothing, and returns RV(managed=false).
      - Its lines leave every file that it wrote to, not only O(sysctl_file). Lines that it made comments count again.
        A file that it made is deleted once it is empty. A file with its header counts as a record of its lines, as in
        an image made with O(runtime=false).
      - At runtime, a value that equalled the one after reboot when it was first changed takes the value after reboot
        of now. Any other value is restored. A file made in an image has no record of earlier values, and then the
        reserves take their documented default, with a warning.
      - A value or a line of this module that something else changed later is left as it is, with a warning.
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
      - A line of others that sets the same sysctl to another value becomes a comment, marked C(# oomkit.linux:), which
        O(state=absent) restores.
      - A file that the boot's loader does not read is refused, such as C(/etc/sysctl.conf) on a systemd machine
        without a link to it below C(/etc/sysctl.d).
    type: path
    default: /etc/sysctl.d/99-oomkit.conf
  conflicts:
    description:
      - What to do when a line of another file would win at boot. The boot is simulated write by write as
        systemd-sysctl, or the script of another init, does it. Where that script is not known, a warning says so,
        and no conflict is looked for.
      - V(fail) changes nothing and names file and line.
      - V(warn) goes on and warns.
      - V(comment_out) comments that line out, marked C(# oomkit.linux:), keeps a backup beside the file, and
        looks again. It does so below C(/etc) only, and fails for a winner elsewhere.
    type: str
    choices: [fail, warn, comment_out]
    default: fail
  force:
    description:
      - Carry out what is refused because it could lock people out or hang the machine. Whether programs can
        still be started is tested anyway, and everything is rolled back if not.
    type: bool
    default: false
'''
