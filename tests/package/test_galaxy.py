# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Galaxy, ansible-builder and the documentation of Ansible make of the collection."""

import importlib
import os
import re

import code_blocks
import pytest
import yaml


@pytest.fixture(scope='module')
def importer():
    """The bin folder of the environment that Galaxy's importer is in."""
    return importlib.import_module('environment').beside('galaxy')


def test_the_importer_has_no_warning(command, importer, tarball, tmp_path):
    done = command('python', '-m', 'galaxy_importer.main', tarball, cwd=tmp_path, limit_s=300, HOME=str(tmp_path),
                   PATH='%s:%s' % (importer, os.environ['PATH']))
    reported = done.stdout + done.stderr
    # It ends with 0 whatever it found.
    assert 'Importer processing completed successfully' in reported
    assert not re.findall(r'^.*(?:WARNING|ERROR).*$', reported, re.MULTILINE)
    assert '...ansible-lint run complete' in reported


def test_an_importer_that_finds_something_is_noticed(command, importer, tarball, tmp_path):
    bad = tmp_path / 'oomkit-linux-9.9.9.tar.gz'
    bad.write_bytes(tarball.read_bytes())
    done = command('python', '-m', 'galaxy_importer.main', bad, cwd=tmp_path, check=False, HOME=str(tmp_path),
                   PATH='%s:%s' % (importer, os.environ['PATH']))
    assert 'ERROR' in done.stdout + done.stderr


def test_documented_execution_environment_is_created(command, installed, tarball, tmp_path):
    text, = [one.text for one in code_blocks.blocks()
             if one.file == 'docs/install.md' and one.text.startswith('version: 3')]
    wanted = yaml.safe_load(text)
    # The one thing that differs: the collection comes from the tarball, since it is not on Galaxy yet.
    wanted['dependencies']['galaxy']['collections'] = [{'name': str(tarball), 'type': 'file'}]
    (tmp_path / 'execution-environment.yml').write_text(yaml.safe_dump(wanted))
    done = command('ansible-builder', 'create', cwd=tmp_path)
    assert 'Complete!' in done.stdout
    recipe, = (tmp_path / 'context').glob('*file')  # Dockerfile where docker is installed, else Containerfile
    assert 'requirements.yml' in recipe.read_text()
    reported = command('ansible-builder', 'introspect', installed, cwd=tmp_path).stdout
    found = yaml.safe_load(reported.partition('---\n')[2])
    assert 'openssh-client [platform:dpkg]  # from collection oomkit.linux' in found['system']
    assert not found['python']


def test_the_documentation_of_the_collection_is_clean(command):
    done = command('antsibull-docs', 'lint-collection-docs', '--plugin-docs', '--check-extra-docs-refs',
                   '--validate-collection-refs', 'self', '.')
    assert not done.stdout.strip() and not done.stderr.strip()


def test_site_builds_without_warning_with_every_guide(checkout):
    docs = importlib.import_module('docs')
    assert docs.build() == 0
    start = (docs.SITE / 'index.html').read_text()
    for page in (checkout / 'docs').glob('*.md'):
        assert (docs.SITE / (page.stem + '.html')).is_file()
        assert page.stem == 'index' or 'href="%s.html"' % page.stem in start, page
    assert 'href="../events.html"><span class="doc">oom_kills' in (docs.SITE / 'reference' / 'index.html').read_text()
    linked = re.findall(r'href="(?!https?:|mailto:|#)([^"#]+)', ''.join(
        page.read_text() for page in docs.SITE.glob('*.html')))
    assert linked and not [name for name in set(linked) if not (docs.SITE / name.partition('?')[0]).exists()]
