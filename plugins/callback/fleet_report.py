# -*- coding: utf-8 -*-
# Copyright: (c) 2026, oomkit contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture of all hosts at the end of a run."""

from __future__ import annotations

DOCUMENTATION = r'''
name: fleet_report
type: aggregate
short_description: One report of all hosts at the end of a run, on the terminal and as a page
version_added: 0.1.0
description:
  - Follows the results of M(oomkit.linux.oom_facts) and of the role P(oomkit.linux.oom_policy#role), in playbooks and
    in ad-hoc runs. At the end it shows a table of the hosts, the worst first, and writes an HTML page, and JSON lines
    and CSV where that is asked for.
  - Hosts that failed or could not be reached are listed as such. The counts are those of Ansible's own statistics.
  - A run in which no module of this collection takes part is skipped.
  - It keeps a small record for each host and nothing else, so that thousands of hosts are no burden.
  - For C(ansible) itself, ad hoc, C(bin_ansible_callbacks = true) in the section C([defaults]) of C(ansible.cfg), or
    C(ANSIBLE_LOAD_CALLBACK_PLUGINS=1), is needed too.
  - It can also be the C(stdout_callback). Then the report is all that is shown.
requirements:
  - C(oomkit.linux.fleet_report) in C(callbacks_enabled)
options:
  html:
    description:
      - Where to write the page. An empty text writes none.
      - A file that is there already is replaced, in one step.
    type: str
    default: oom-fleet-report.html
    ini:
      - section: callback_fleet_report
        key: html
    env:
      - name: OOMKIT_FLEET_REPORT_HTML
    vars:
      - name: fleet_report_html
  json_lines:
    description: Where to write a JSON object for each host, a line each. Nowhere by default.
    type: str
    default: ''
    ini:
      - section: callback_fleet_report
        key: json_lines
    env:
      - name: OOMKIT_FLEET_REPORT_JSON_LINES
    vars:
      - name: fleet_report_json_lines
  csv:
    description:
      - Where to write a CSV file, a row for each host. Nowhere by default.
      - A text that a spreadsheet would take for a formula gets an apostrophe before it.
    type: str
    default: ''
    ini:
      - section: callback_fleet_report
        key: csv
    env:
      - name: OOMKIT_FLEET_REPORT_CSV
    vars:
      - name: fleet_report_csv
  title:
    description: The heading of the page.
    type: str
    default: When memory runs out
    ini:
      - section: callback_fleet_report
        key: title
    env:
      - name: OOMKIT_FLEET_REPORT_TITLE
    vars:
      - name: fleet_report_title
  rows:
    description: How many hosts the table on the terminal shows at most. V(0) shows all.
    type: int
    default: 50
    ini:
      - section: callback_fleet_report
        key: rows
    env:
      - name: OOMKIT_FLEET_REPORT_ROWS
    vars:
      - name: fleet_report_rows
  candidates:
    description: How many candidates of each host the page and the JSON lines hold at most, up to 100.
    type: int
    default: 5
    ini:
      - section: callback_fleet_report
        key: candidates
    env:
      - name: OOMKIT_FLEET_REPORT_CANDIDATES
    vars:
      - name: fleet_report_candidates
notes:
  - Variables count when they are given on the command line or for a play, not for single hosts. Facts never count.
  - Those of a play count if a module of this collection or the role takes part in it.
  - In a folder that others can write to, a link and a file of somebody else are not written to.
seealso:
  - module: oomkit.linux.fleet_report
author:
  - oomkit contributors (@oomkit)
'''

import typing as t
from collections.abc import Mapping

from ansible.plugins.callback import CallbackBase
from ansible.template import Templar

from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.hosts import Fleet
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.record import FAILED, NO_FACTS, UNREACHABLE
from ansible_collections.oomkit.linux.plugins.plugin_utils._fleet.report import ReportError, ReportRequest, format_lines

_OPTIONS = ('html', 'json_lines', 'csv', 'title', 'rows', 'candidates')
_FACTS = 'oomkit.linux.oom_facts'
_POLICY = 'oomkit.linux.oom_policy'
# A run with one of these is ours.
_MODULES = {_FACTS, _POLICY, 'oomkit.linux.oom_forecast_info', 'oomkit.linux.oom_score_adj',
            'oomkit.linux.overcommit', 'oomkit.linux.panic_on_oom'}


class CallbackModule(CallbackBase):
    """Collects the facts of the hosts, and reports at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'aggregate'
    CALLBACK_NAME = 'oomkit.linux.fleet_report'
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._fleet: Fleet | None = None
        self._takes_part = False
        self._given: dict[str, t.Any] = {}  # by the play that runs

    # -------------------------------------------------------------------- events

    def v2_playbook_on_play_start(self, play):
        """Take the options that are given as variables, in which templates may stand. Facts of hosts are none."""
        manager = play.get_variable_manager()
        known = manager.get_vars(play=play)
        names = ['fleet_report_' + option for option in _OPTIONS]
        self._given = {name: Templar(loader=play.get_loader(), variables=known).template(known[name])
                       for name in names if name in known}

    def v2_runner_on_ok(self, result):
        """Facts, or what the module oom_policy did."""
        answer = _get(result, 'result')
        facts = answer.get('ansible_facts') if isinstance(answer, Mapping) else None
        facts = facts if isinstance(facts, Mapping) else {}
        action = _find_action(result)
        if action in _MODULES:
            self._take_part()
        if action == _FACTS and 'results' not in answer:
            self._take_facts(_find_host(result), facts)
        elif action == _POLICY and 'results' not in answer:
            self._get_fleet().take_policy(_find_host(result), answer)
            if 'oom' in facts:
                self._take_facts(_find_host(result), facts)

    def v2_runner_item_on_ok(self, result):
        """One turn of a loop, such as one that delegates to other hosts."""
        self.v2_runner_on_ok(result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """Whether a failure counts in the end, because nothing ignored or rescued it, is settled at the end."""
        answer = _get(result, 'result')
        self._lose(result, FAILED, answer.get('msg') or answer.get('module_stderr') or 'no message')

    def v2_runner_on_unreachable(self, result):
        """A host that could not be reached."""
        self._lose(result, UNREACHABLE, _get(result, 'result').get('msg') or 'no message')

    def v2_runner_on_skipped(self, result):
        """A host whose facts were not asked for."""
        if _find_action(result) == _FACTS:
            self._without_facts(_get(result, 'host').get_name(), 'skipped')

    def v2_playbook_on_stats(self, stats):
        """The report."""
        if not self._takes_part:
            return
        fleet = self._get_fleet()
        fleet.settle(stats.failures, stats.dark)
        try:
            request = self._build_request()
        except ReportError as exc:
            self._display.warning(f'No fleet report: {exc}')
            return
        self._display.banner('OOM FLEET REPORT')
        for line in format_lines(fleet, request.rows):
            self._display.display(line)
        for path, write in request.files():
            try:
                write(fleet)
                self._display.display(f'written: {path}')
            except ReportError as exc:
                self._display.warning(str(exc))

    # ------------------------------------------------------------------- the fleet

    def _take_part(self) -> None:
        """Note that the collection takes part in this run, so that the options of this play count."""
        self._takes_part = True
        if self._given:
            self.set_options(var_options=self._given)
            self._given = {}
            self._get_fleet().candidates = self._limit_candidates()

    def _build_request(self) -> ReportRequest:
        """The options. Raises ReportError."""
        return ReportRequest(**{option: self.get_option(option) for option in _OPTIONS})

    def _get_fleet(self) -> Fleet:
        """The hosts so far. How much of each is kept is known when the first one comes."""
        if self._fleet is None:
            self._fleet = Fleet(self._limit_candidates())
        return self._fleet

    def _limit_candidates(self) -> int:
        return max(0, self.get_option('candidates'))

    def _take_facts(self, host: str, facts: Mapping) -> None:
        if isinstance(facts.get('oom'), Mapping):
            self._get_fleet().take_facts(host, facts['oom'])
        else:
            self._without_facts(host, 'the task reported no facts, as with no_log')

    def _without_facts(self, host: str, reason: str) -> None:
        self._take_part()
        record = self._get_fleet().get_record(host)
        if not record.seen and record.status == NO_FACTS:  # keep a failure over a later skip
            self._get_fleet().lose(host, NO_FACTS, reason)

    def _lose(self, result: t.Any, status: str, message: t.Any) -> None:
        if _find_action(result) in _MODULES:
            self._take_part()
        self._get_fleet().lose(_get(result, 'host').get_name(), status, message if isinstance(message, str) else '?')


def _get(result: t.Any, name: str) -> t.Any:
    """The host, task or result of a task's result. Their public names exist from ansible-core 2.19 on."""
    try:
        return getattr(result, name)
    except AttributeError:
        return getattr(result, '_' + name)


def _find_action(result: t.Any) -> str:
    """The full name of the module."""
    task = _get(result, 'task')
    return getattr(task, 'resolved_action', None) or task.action


def _find_host(result: t.Any) -> str:
    """The host of the facts. Where a task delegates, the fields hold the host of this result."""
    task = _get(result, 'task')
    if task.delegate_facts and task.delegate_to:
        fields = getattr(result, '_task_fields', {})
        return str(fields.get('delegate_to') or task.delegate_to)
    return _get(result, 'host').get_name()
