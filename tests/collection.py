# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays the path ``ansible_collections/oomkit/linux`` for a checkout that lies in any folder.

Python, Ansible and ansible-lint find a collection only below such a path. A link in the checkout's own .cache folder
gives it to them; a checkout that lies there already is used as it is.
"""

import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
NAME = ('ansible_collections', 'oomkit', 'linux')


def root() -> Path:
    """The folder above ansible_collections, for sys.path and ANSIBLE_COLLECTIONS_PATH. Makes the link if it must."""
    if CHECKOUT.parts[-3:] == NAME:
        return CHECKOUT.parents[2]
    collections = CHECKOUT / '.cache' / 'collections'
    link = collections.joinpath(*NAME)
    if not (link.is_symlink() and link.resolve() == CHECKOUT):
        _link(link)
    return collections


def _link(link: Path) -> None:
    """Put the link in place in one step: several test processes may do so at once."""
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name('.%s.%d' % (link.name, os.getpid()))
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(CHECKOUT)
    fresh.replace(link)


def lay() -> Path:
    """Make the collection importable in this process and in the Ansible commands it starts; returns the root."""
    path = root()
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    os.environ['ANSIBLE_COLLECTIONS_PATH'] = str(path)
    return path


if __name__ == '__main__':
    print(root())
