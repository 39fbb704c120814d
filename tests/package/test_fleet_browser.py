# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the fleet report in a real browser: names from hosts harm nothing, thousands of hosts are readable."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import environment
import pytest
import yaml

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
OPTIONS = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--hide-scrollbars',
           '--disable-background-networking', '--disable-component-update', '--disable-sync')
# Whatever runs puts itself into the document; 15 bytes are what the kernel keeps of a process's name.
HOST = '<script>document.documentElement.id = "owned"</script>'
PROCESS = '"><img src=x>'
CONTROL = '<!DOCTYPE html><title>x</title><p>' + HOST + '<img src=x onerror="document.body.id=\'owned\'">'


def installed_browser():
    """The path of a browser, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope='session')
def browser(command, tmp_path_factory):
    """Runs a headless browser on a file."""
    found = installed_browser()
    if found is None and environment.may_install():
        # Where the system has no such package there is no browser either; the reason below says so.
        with contextlib.suppress(subprocess.CalledProcessError):
            environment.apt_install('chromium', 'fonts-dejavu-core')
        found = installed_browser()
    if found is None:
        pytest.skip('no browser on this machine (none of %s), and none was installed. On Debian, as root: '
                    'apt-get install chromium' % ', '.join(BROWSERS))
    profile = tmp_path_factory.mktemp('profile')

    def run(page: Path, *options: str) -> str:
        return command(found, *OPTIONS, '--user-data-dir=%s' % profile, *options, page.as_uri()).stdout
    return run


@contextlib.contextmanager
def process_named(name, folder):
    """A sleeping process of this name that is the likeliest victim of all."""
    program = folder / name
    shutil.copy2(shutil.which('sleep'), program)
    with subprocess.Popen([program, '300']) as process:
        try:
            Path('/proc/%d/oom_score_adj' % process.pid).write_text('1000')
            yield
        finally:
            process.kill()


@pytest.fixture(scope='module')
def hostile_page(command, tmp_path_factory):
    """The page of a real run on hosts with hostile names. One of them cannot be reached."""
    folder = tmp_path_factory.mktemp('hostile')
    local = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable}
    dead = {'ansible_connection': 'ssh', 'ansible_host': '127.0.0.1', 'ansible_port': 1}
    (folder / 'hosts.yml').write_text(yaml.safe_dump({'all': {'hosts': {HOST: local, HOST + '2': dead}}}))
    with process_named(PROCESS, folder):
        command('ansible', 'all', '-i', folder / 'hosts.yml', '-m', 'oomkit.linux.oom_facts', cwd=folder, check=False,
                ANSIBLE_CALLBACKS_ENABLED='oomkit.linux.fleet_report', ANSIBLE_LOAD_CALLBACK_PLUGINS='1',
                OOMKIT_FLEET_REPORT_TITLE=HOST)
    return folder / 'oom-fleet-report.html'


def test_the_browser_would_show_harm(browser, tmp_path):
    """Otherwise the next test could not fail."""
    (tmp_path / 'control.html').write_text(CONTROL)
    shown = browser(tmp_path / 'control.html', '--virtual-time-budget=2000', '--dump-dom')
    assert shown.count('id="owned"') == 2


@pytest.mark.parametrize('policy', ['as it is', 'without its content security policy'])
def test_hostile_names_harm_nothing(browser, hostile_page, tmp_path, policy):
    text = hostile_page.read_text()
    meta = re.compile('<meta http-equiv=Content-Security-Policy[^>]*>')
    assert len(meta.findall(text)) == 1
    page = tmp_path / 'page.html'
    page.write_text(text if policy == 'as it is' else meta.sub('', text))
    shown = browser(page, '--virtual-time-budget=2000', '--dump-dom')
    assert 'id="owned"' not in shown
    elements = {name.lower() for name in re.findall(r'<([a-zA-Z0-9]+)', shown)}
    assert not elements & {'script', 'img'} and {'details', 'svg', 'rect'} <= elements
    assert '"&gt;&lt;img src=x&gt;' in shown and '&lt;script&gt;' in shown


def pixels(path):
    """Width and height of a PNG."""
    header = path.read_bytes()[:24]
    assert header.startswith(b'\x89PNG')
    return int.from_bytes(header[16:20], 'big'), int.from_bytes(header[20:24], 'big')


@pytest.mark.parametrize('hosts', [3, 500, 10000])
def test_fleets_of_all_sizes_can_be_looked_at(command, browser, checkout, tmp_path, hosts):
    """The pictures are left in .cache/results for people; here only that the browser draws them, and all hosts."""
    command(sys.executable, checkout / 'tests' / 'fleet_facts.py', tmp_path, str(hosts))
    command('ansible-playbook', '-i', tmp_path / 'hosts.ini', 'oomkit.linux.report', cwd=tmp_path,
            ANSIBLE_CACHE_PLUGIN='ansible.builtin.jsonfile', ANSIBLE_CACHE_PLUGIN_CONNECTION=str(tmp_path / 'cache'))
    page = tmp_path / 'oom-fleet-report.html'
    picture = checkout / '.cache' / 'results' / ('fleet-%d.png' % hosts)
    picture.parent.mkdir(parents=True, exist_ok=True)
    browser(page, '--window-size=1240,1800', '--screenshot=%s' % picture)
    assert pixels(picture) == (1240, 1800) and os.stat(picture).st_size > 50000
    dom = browser(page, '--dump-dom')
    assert dom.count('<details class="h"') == hosts
    assert '%d hosts: %d ok; ' % (hosts, hosts) in dom
