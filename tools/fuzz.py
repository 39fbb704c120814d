# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the fuzzers of tests/unit/fuzz, and the faults on disk, for OOMKIT_FUZZ_S seconds, an hour by default.

They are the tests that every run of the unit tests has, with many more inputs, and other ones each time. It ends with
the first finding; what Hypothesis prints of it belongs into the tests as an example.
"""

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import commands

SECONDS = float(os.environ.get('OOMKIT_FUZZ_S', '3600'))
# So many for each fuzzer make a round of some minutes.
EXAMPLES = os.environ.get('OOMKIT_FUZZ_EXAMPLES', '2000')
# Of each request, calls that fail on machines on disk.
FAULTS = '100'
SEQUENCES = '400'
FUZZERS = ('tests/unit/fuzz', 'tests/unit/plugins/module_utils/_policy/test_faults.py::test_any_call_may_fail',
           'tests/unit/plugins/module_utils/_policy/test_service_sequences.py')
ROUND_LIMIT_S = 3600


def rounds(counts: Path) -> int:
    """Rounds until the time is over; the exit code of the last one."""
    begin = time.monotonic()
    code = 0
    while not code and time.monotonic() - begin < SECONDS:
        seed = random.SystemRandom().randrange(1 << 32)
        pytest = [commands.BIN / 'python', '-m', 'pytest', '-q', '-n', '2']
        code = commands.run([*pytest, *FUZZERS, '--hypothesis-seed=%d' % seed], ROUND_LIMIT_S, env={
            **commands.environment(), 'OOMKIT_FUZZ_EXAMPLES': EXAMPLES, 'OOMKIT_FUZZ_COUNT': str(counts),
            'OOMKIT_DISK_FAULTS': FAULTS, 'OOMKIT_SEQUENCES': SEQUENCES, 'OOMKIT_FAULTS_SEED': str(seed)})
        made = sum(map(int, counts.read_text(encoding='ascii').split()))
        print('seed %d: %d inputs in %d s so far, %s' % (
            seed, made, time.monotonic() - begin, 'A FINDING' if code else 'no finding'), flush=True)
    return code


def main() -> int:
    """0 where nothing was found."""
    # A stopped run ends what it started, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix='oomkit-fuzz-') as folder:
        return rounds(Path(folder) / 'counts')


if __name__ == '__main__':
    sys.exit(main())
