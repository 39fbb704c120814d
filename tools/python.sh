#!/bin/sh
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# usage: tools/python.sh ARGUMENT...    runs a Python that ansible-core can be installed for (3.11 to 3.13) with these arguments
#
# Takes python3 if it is one, else the newest other one on PATH or among pyenv's. As root on Debian and Ubuntu it installs
# one if there is none; OOMKIT_INSTALL=0 forbids that.
set -eu

# The interpreter itself, not a pyenv shim or an active virtual environment, which answer differently elsewhere.
real_path() {
    "$1" -c 'import os, sys; ok = (3, 11) <= sys.version_info < (3, 14); print(os.path.realpath(sys.executable) if ok else "")' 2>/dev/null || true
}

find_python() {
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1; then
            found=$(real_path "$name")
            [ -z "$found" ] || { echo "$found"; return; }
        fi
    done
    command -v pyenv >/dev/null 2>&1 || return 0
    for minor in 13 12 11; do
        for candidate in "$(pyenv root)"/versions/3."$minor".*/bin/python3; do
            [ -x "$candidate" ] || continue
            found=$(real_path "$candidate")
            [ -z "$found" ] || { echo "$found"; return; }
        done
    done
}

python=$(find_python)
if [ -z "$python" ]; then
    command='apt-get update && apt-get install -y --no-install-recommends python3 python3-venv'
    if [ "$(id -u)" = 0 ] && [ "${OOMKIT_INSTALL:-1}" != 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "No Python 3.11 to 3.13 found: $command" >&2
        DEBIAN_FRONTEND=noninteractive sh -c "$command" >&2 </dev/null
        python=$(find_python)
    fi
    if [ -z "$python" ]; then
        echo "No Python 3.11, 3.12 or 3.13 found. On Debian 12 or later, as root: $command" >&2
        exit 1
    fi
fi
exec "$python" "$@"
