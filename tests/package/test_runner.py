# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner counts what it is given, and keeps no skip to itself."""

import results
import run_tests

JUNIT = '''<?xml version="1.0"?>
<testsuites><testsuite name="x" tests="4">
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="no"/></testcase>
<testcase classname="a" name="broken"><error message="no"/></testcase>
<testcase classname="a" name="left"><skipped message="no kernel"/></testcase>
</testsuite></testsuites>'''


def test_counts_and_names(tmp_path):
    (tmp_path / 'x.xml').write_text(JUNIT)
    tally = results.read_junit(tmp_path / 'x.xml')
    assert tally.passed == 1
    assert tally.failures == ['a::bad', 'a::broken']
    assert tally.skips == ['a::left: no kernel']
    lines = results.table({'one': tally, 'two': results.Tally(passed=3)})
    assert lines[-1] == '4 passed, 2 failed, 1 skipped'
    assert 'skipped one a::left: no kernel' in lines


def test_a_stage_that_breaks_is_a_failure(monkeypatch):
    def broken():
        raise OSError('gone')
    monkeypatch.setitem(run_tests.STAGES, 'unit', broken)
    assert run_tests.run_stage('unit').failures == ['the stage broke: OSError: gone']
    assert run_tests.main(['unit']) == 1


def test_an_unknown_stage_is_an_error():
    assert run_tests.main(['unit', 'nonsense']) == 2
    assert run_tests.main([]) == 2


def test_a_run_of_pytest_without_tests_fails(tmp_path):
    (tmp_path / 'test_none.py').write_text('')
    assert run_tests.pytest('none', str(tmp_path), limit_s=60).failures == ['pytest ended with exit code 5']


def test_stage_beside_another_is_counted_from_its_tally(monkeypatch):
    """This one is unknown to the process that is started for it, so that it ends at once and leaves nothing."""
    monkeypatch.setitem(run_tests.STAGES, 'unit', lambda: results.Tally(passed=1))
    tallies = run_tests.run_beside(['unit', 'nonsense'])
    assert tallies['unit'].passed == 1 and 'ended with exit code 2' in tallies['nonsense'].failures[0]
    with run_tests.started('unit') as process:
        assert process.poll() is None
    assert process.poll() is not None


def test_a_tally_survives_a_file(tmp_path):
    tally = results.Tally(passed=2, failures=['x'], skips=['y: z'], seconds=1.5)
    results.save(tmp_path / 'tally', tally)
    assert results.load(tmp_path / 'tally') == tally
