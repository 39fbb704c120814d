# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets ``pytest tests/unit`` find the collection and the shared helpers, wherever the checkout lies."""

import importlib
import sys
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

importlib.import_module('collection').lay()


def pytest_configure(config):
    """Before any test is imported."""
    amounts = importlib.import_module('amounts')
    amounts.is_quick = config.option.markexpr == 'not thorough'
    settings.register_profile('amounts', max_examples=amounts.examples(100))
    settings.load_profile('amounts')


def pytest_collection_modifyitems(config, items):
    """After the deselection by marks."""
    amounts = importlib.import_module('amounts')
    if amounts.is_quick:
        kept = amounts.leave_few(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


@pytest.fixture
def machine(tmp_path):
    """A machine on disk."""
    from machine import Machine

    return Machine(tmp_path)


@pytest.fixture
def service_machine(tmp_path):
    """A machine on disk whose a.service runs as process 10."""
    from services_machine import ServiceMachine

    machine = ServiceMachine(tmp_path)
    machine.unit('a.service')
    machine.process(10, unit='a.service')
    return machine
