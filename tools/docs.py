# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the documentation site in .cache/docs/html: docs/*.md and the reference, by antsibull-docs and Sphinx.

A warning of either is an error.
"""

import shutil
import sys
import zlib
from pathlib import Path

import commands

BUILD = commands.CHECKOUT / '.cache' / 'docs'
SITE = BUILD / 'html'
LIMIT_S = 300
# What the reference mentions of Ansible's own documentation, with its place there. Sphinx would ask the network for it.
ANSIBLE_PAGES = {
    'action_plugins': 'plugins/action.html',
    'ansible_collections.ansible.builtin.meta_module': 'collections/ansible/builtin/meta_module.html',
    'ansible_configuration_settings': 'reference_appendices/config.html',
    'callback_plugins': 'plugins/callback.html',
    'common_return_values': 'reference_appendices/common_return_values.html',
}


def inventory(pages: dict[str, str]) -> bytes:
    """These labels as an inventory of Sphinx (version 2), with their last words as titles."""
    head = b'# Sphinx inventory version 2\n# Project: ansible-core\n# Version: devel\n# zlib\n'
    lines = ['%s std:label -1 %s# %s\n' % (label, page, label.rsplit('.', 1)[-1].replace('_', ' '))
             for label, page in sorted(pages.items())]
    return head + zlib.compress(''.join(lines).encode())


def build() -> int:
    """Make the site again; the exit code of what failed, or 0."""
    source = BUILD / 'source'
    shutil.rmtree(BUILD, ignore_errors=True)
    shutil.copytree(commands.CHECKOUT / 'docs', source)
    reference = source / 'reference'
    reference.mkdir()
    (source / 'ansible.inv').write_bytes(inventory(ANSIBLE_PAGES))
    steps: list[list[str | Path]] = [
        ['antsibull-docs', 'collection',
         '--use-current', '--squash-hierarchy', '--fail-on-error', '--dest-dir', reference, 'oomkit.linux'],
        ['sphinx-build', '-q', '-W', '--keep-going', '-n', '-b', 'html', source, SITE],
    ]
    for step in steps:
        code = commands.run([commands.BIN / step[0], *step[1:]], LIMIT_S)
        if code:
            return code
    print('Open %s' % (SITE / 'index.html').relative_to(commands.CHECKOUT), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(build())
