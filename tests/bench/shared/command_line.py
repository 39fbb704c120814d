# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line and the exit code of every benchmark."""

import argparse
import json
import signal
import sys
from collections.abc import Callable


def build_parser(docstring: str) -> argparse.ArgumentParser:
    """A parser with the option --json; its description is the first line of the benchmark's docstring."""
    parser = argparse.ArgumentParser(description=docstring.partition('\n')[0])
    parser.add_argument('--json', action='store_true', help='print the result as JSON')
    return parser


def run_and_show(run: Callable[[], dict], show: Callable[[dict], None], as_json: bool) -> int:
    """Run a benchmark and print its result. Returns the exit code: 0 if all targets are met and no part failed.

    SIGTERM raises SystemExit, so that the benchmark removes what it made.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    result = run()
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    return 0 if result.get('met', True) and not result.get('failed') else 1
