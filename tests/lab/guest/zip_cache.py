# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spares an emulated guest what Python does again for each module that Ansible sends it: compile what is in the zip.

``python3 zip_cache.py`` compiles every file beside it once, and has each Python of the guest import this file when it
starts. Code from a zip is then looked up by the hash of its source; what is not there is compiled as before. A run of a
module takes half as long, in a process and with an interpreter that are no others than without it.
"""

import marshal
import os
import zipimport
from _imp import _fix_co_filename, source_hash

HERE = os.path.dirname(os.path.abspath(__file__))
COMPILED = os.path.join(HERE, 'compiled')
NAME = 'oomkit_lab_zip_cache'


def entry(source):
    """Where the code of a source is kept."""
    return os.path.join(COMPILED, source_hash(len(source), source).hex())


def fill():
    """Compile all there is."""
    os.makedirs(COMPILED, exist_ok=True)
    for folder, _folders, names in os.walk(HERE):
        for name in names:
            if name.endswith('.py'):
                with open(os.path.join(folder, name), 'rb') as stream:
                    source = stream.read()
                with open(entry(source), 'wb') as stream:
                    marshal.dump(compile(source, name, 'exec', dont_inherit=True), stream)


def install():
    """Have each Python of this machine import this file."""
    import site
    folder = site.getsitepackages()[0]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, NAME + '.pth'), 'w') as stream:
        stream.write('import sys; sys.path.append(%r); import zip_cache; sys.path.remove(%r)\n' % (HERE, HERE))


def use():
    """From now on, of this process."""
    compiled = zipimport._compile_source

    def compile_source(path, source):
        try:
            with open(entry(source), 'rb') as stream:
                code = marshal.load(stream)
        except (OSError, ValueError, EOFError):
            return compiled(path, source)
        _fix_co_filename(code, path)
        return code

    zipimport._compile_source = compile_source


if __name__ == '__main__':
    fill()
    install()
else:
    use()
