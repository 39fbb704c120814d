# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemctl answers arrives whole; a script stands for systemctl."""

import pytest

from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._systemd.manager import Manager, ManagerError


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A manager whose systemctl is this script."""
    def with_script(script):
        program = tmp_path / 'systemctl'
        program.write_text('#!/bin/sh\n' + script)
        program.chmod(0o755)
        return Manager()

    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    return with_script


def test_much_of_both_outputs(manager):
    much = manager('i=0; while test $i -lt 3000; do echo Id=$i.service; echo; echo "warning: $i" >&2; i=$((i+1)); done')
    assert len(much.show(['*'])) == 3000
    with pytest.raises(ManagerError, match='failed: a warning: 0.*2999'):
        manager('i=0; while test $i -lt 3000; do echo "a warning: $i" >&2; i=$((i+1)); done; exit 1').reload()


def test_an_answer_that_lacks_a_service_is_none(service_machine, monkeypatch):
    monkeypatch.setattr(service_machine, 'show', lambda names=None: [])
    with pytest.raises(Refusal, match='did not report a.service. Nothing was changed'):
        service_machine.run(name='a', score_adj=-5)
    assert service_machine.adj(10) == 15
