# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes a request means, whatever it holds."""

import pytest
from services_machine import ServiceMachine

from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._process import selector

HOSTILE = ['a{99999999999999999999}', '(' * 3000 + ')' * 3000, '(?a)(?L)x', 'a{%s}' % ('9' * 5000), '[', '\ud800']


@pytest.mark.parametrize('pattern', HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_regular_expression_is_said_in_a_line(tmp_path, pattern):
    with pytest.raises(ConvertError, match='process.cmdline_regex: ') as caught:
        selector.build_group(ServiceMachine(tmp_path), {'cmdline_regex': pattern})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize('user', ['1_0', '\u0663', ' 0 ', '-5', '+7', '0\n'])
def test_a_user_is_a_name_or_a_plain_number(tmp_path, user):
    with pytest.raises(ConvertError, match='there is no user'):
        selector.build_group(ServiceMachine(tmp_path), {'user': user})


@pytest.mark.parametrize('text', ['1_0', '+10', '-1', '10x'])
def test_a_pid_file_holds_a_plain_number(tmp_path, text):
    machine = ServiceMachine(tmp_path)
    machine.put('/run/x.pid', text)
    with pytest.raises(ConvertError, match='does not begin with a process number'):
        selector.build_group(machine, {'pidfile': '/run/x.pid'})
