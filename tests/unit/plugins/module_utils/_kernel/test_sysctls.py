# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import kernel_model
import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._kernel.sysctls import KBYTES, MEMORY, PANIC, RATIO
from ansible_collections.oomkit.linux.plugins.module_utils._sysctl.records import SYSCTLS


@pytest.mark.parametrize(
    'key, text, number',
    [
        (RATIO, '80', 80),
        (RATIO, '80\n', 80),
        (RATIO, '  80 ', 80),
        (RATIO, '2 # strict', 2),
        (RATIO, '80 90', 80),
        (RATIO, '010', 8),
        (RATIO, '0x10', 16),
        (RATIO, '-1', -1),
        (KBYTES, '18446744073709551615', 2**64 - 1),
        (MEMORY, '002', 2),
        (PANIC, '-1', -1),
    ],
)
def test_what_the_kernel_takes(key, text, number):
    assert SYSCTLS[key].parse_written(text) == number


@pytest.mark.parametrize(
    'key, text',
    [
        (RATIO, ''),
        (RATIO, '\n'),
        (RATIO, 'abc'),
        (RATIO, '080'),
        (RATIO, '80abc'),
        (RATIO, '2#strict'),
        (RATIO, '+5'),
        (RATIO, '1.5'),
        (RATIO, '2147483648'),
        (RATIO, '000000000000000000050'),
        (KBYTES, '-5'),
        (KBYTES, '18446744073709551616'),
        (MEMORY, '3'),
        (MEMORY, '-1'),
        (RATIO, '٣'),
        (RATIO, '- 5'),
        (RATIO, '80\r'),
    ],
)
def test_what_the_kernel_refuses(key, text):
    assert SYSCTLS[key].parse_written(text) is None


def test_ratio_and_kbytes_erase_each_other_even_with_zero():
    state = {RATIO: 50, KBYTES: 0}
    assert SYSCTLS[KBYTES].apply_write(state, '900000')
    assert state == {RATIO: 0, KBYTES: 900000}
    assert SYSCTLS[RATIO].apply_write(state, '0')
    assert state == {RATIO: 0, KBYTES: 0}


def test_a_refused_write_changes_nothing():
    state = {RATIO: 50, KBYTES: 0}
    assert not SYSCTLS[KBYTES].apply_write(state, 'lots')
    assert state == {RATIO: 50, KBYTES: 0}


def test_every_key_has_a_record():
    assert set(SYSCTLS) == set(kernel_model.DEFAULTS)
