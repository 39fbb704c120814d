# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module runs whatever started it, and what it says at its end whatever the names of files are."""

import errno
import importlib
import json
import os
import signal

import pytest
from machine import Machine, run
from module_stub import Failed, Module

from ansible_collections.oomkit.linux.plugins.module_utils._core import sanitize
from ansible_collections.oomkit.linux.plugins.module_utils._core.convert import ConvertError
from ansible_collections.oomkit.linux.plugins.module_utils._core.errors import Refusal
from ansible_collections.oomkit.linux.plugins.module_utils._core.sanitize import explain
from ansible_collections.oomkit.linux.plugins.module_utils._host import spawn_probe
from ansible_collections.oomkit.linux.plugins.module_utils._host.transaction import ApplyError
from ansible_collections.oomkit.linux.plugins.module_utils._module import runner


def check_can_be_sent(result):
    """ansible-core decodes what a module writes as UTF-8, and refuses lone surrogates."""
    json.dumps(result, ensure_ascii=False).encode('utf-8')
    assert '\\u001b' not in json.dumps(result)


def test_programs_that_are_started_can_be_asked_how_they_ended():
    """The caller of the module may ignore SIGCHLD: then the kernel keeps no exit code (waitpid(2), ECHILD)."""
    module, old = Module(), signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        runner.run_and_exit(module, lambda _host: {'warnings': [], 'answers': spawn_probe.probe_spawns()})
    finally:
        signal.signal(signal.SIGCHLD, old)
    assert module.result['answers'] == {who: ['started', 0] for who in (spawn_probe.ROOT, spawn_probe.OTHERS)}


NAMES = ['zz-caf\udce9.conf', 'zz\x1b[2Jevil\n.conf', 'zz\u202e.conf']


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('conflicts', ['fail', 'warn', 'comment_out'])
def test_files_of_any_name_do_no_harm_to_what_is_said(tmp_path, name, conflicts):
    """ansible-core takes no result with such a name as it is: the run would fail after it had changed the host."""
    machine, module = Machine(tmp_path), Module()
    machine.put('/etc/sysctl.d/' + name, 'vm.panic_on_oom = 1\nkernel.panic = 5\n')
    try:
        runner.run_and_exit(module, lambda _host: run(machine, 'panic_on_oom', policy='kill', conflicts=conflicts))
    except Failed as exc:
        assert conflicts == 'fail'
        check_can_be_sent(exc.args[0])
        return
    assert conflicts != 'fail' and module.result['changed']
    check_can_be_sent([module.result, module.warnings])
    # They are reported anyway.
    assert '/etc/sysctl.d/zz' in json.dumps([module.result, module.warnings])


@pytest.mark.parametrize('error', [
    ConvertError('x: \udcff\x1b\n [OOMK-1101]'), Refusal('/\udcff\x1b [OOMK-1101]'), ApplyError('/\udcff [OOMK-2301]'),
    ValueError('\udcff\x1b'), OSError(errno.EIO, 'I/O error', '/\udcff\x1b'),
    OSError(errno.EIO, 'I/O error', b'/\xff\x1b'),
    PermissionError(errno.EACCES, 'denied', '/\ud800\x1b'), PermissionError(errno.EACCES, 'denied', 7)])
def test_messages_can_be_printed(error):
    def fail(_host):
        raise error

    with pytest.raises(Failed) as caught:
        runner.run_and_exit(Module(), fail)
    assert caught.value.args[0]['msg'].isprintable()


def test_unexpected_exception_is_reported_without_text():
    """It can quote a line of a file that others may not read."""
    def fail(_host):
        int('hunter2')

    with pytest.raises(Failed) as caught:
        runner.run_and_exit(Module(), fail)
    assert 'ValueError in _module/test_runner.py line' in caught.value.args[0]['msg']
    assert 'hunter2' not in str(caught.value)


def test_a_diff_is_returned_in_diff_mode_only():
    """Registered results, logs and other programs hold none otherwise."""
    for mode in (False, True):
        module = Module()
        module._diff = mode
        runner.run_and_exit(module, lambda _host: {'warnings': [], 'changed': True, 'diff': [{'before': 'a\n'}]})
        assert module.result == dict({'changed': True}, **({'diff': [{'before': 'a\n'}]} if mode else {}))


def test_the_content_of_files_keeps_its_lines():
    text = '# a\tb\r\n\nvm.x = 1 # caf\u00e9\n'
    diff = {'before': text, 'after': 'a\x1b\udcff\rb\n\tc\x00', 'before_header': '/a\nb'}
    result = {'diff': [diff], 'changed': True, 'none': None, 'pair': (1, 'a\nb'), 'a\x1b': 1}
    assert sanitize.sanitize_result(result) == {
        'diff': [{'before': text, 'after': 'a\\x1b\\xff\\x0db\n\tc\\x00', 'before_header': '/a\\x0ab'}],
        'changed': True, 'none': None, 'pair': [1, 'a\\x0ab'], 'a\\x1b': 1}


@pytest.mark.parametrize('file, said', [
    ('/x/\x1b\udcff', '/x/\\x1b\\xff: denied'), (b'/x\xff', '/x\\xff: denied'), (None, 'denied'), (7, 'denied')])
def test_what_others_than_root_see(monkeypatch, file, said):
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    assert explain(PermissionError(errno.EACCES, 'denied', file)) == said + '. Run the task as root (become: true)'


def no_memory(*_arguments):
    raise MemoryError


def break_down(*_arguments):
    return int('a secret')


@pytest.mark.parametrize('work, message', [
    (no_memory, 'Python found no memory'),
    (break_down, 'this is an internal error of the collection, please report it: '
                 'ValueError in _module/test_runner.py line'),
])  # fmt: skip
@pytest.mark.parametrize('name, function', [('oom_facts', 'gather_facts'), ('oom_forecast_info', 'run')])
def test_what_only_looks_ends_with_a_message_too(monkeypatch, name, function, work, message):
    """A helper sends back what it has met, and Ansible would show a traceback with its text."""
    main = importlib.import_module('ansible_collections.oomkit.linux.plugins.modules.' + name)
    module = Module()
    module.params = dict(gather_subset=['all'], top=10, cmdline=False)
    module.run_command = None
    monkeypatch.setattr(main, 'AnsibleModule', lambda **_options: module)
    monkeypatch.setattr(main, function, work)
    with pytest.raises(Failed) as caught:
        main.main()
    assert caught.value.args[0]['msg'].startswith(message)
