# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site: these Markdown files and the reference that antsibull-docs makes, built by ``make docs`` (tools/docs.py).

The Markdown files are read on code hosts too, where a link to a file of the repository is right. Here it leads to the
page of the reference that the file is the source of, or to the repository.
"""

import re
from pathlib import Path

project = 'oomkit.linux'
author = 'oomkit contributors'
copyright = '2026, oomkit contributors'
extensions = ['myst_parser', 'sphinx.ext.intersphinx', 'sphinx_antsibull_ext', 'sphinx_copybutton',
              'sphinx_design']
source_suffix = {'.md': 'markdown', '.rst': 'restructuredtext'}
myst_heading_anchors = 4
myst_enable_extensions = ['colon_fence']
nitpicky = True
# The labels of Ansible's documentation that the reference mentions lie beside this file, so that no network is needed.
intersphinx_mapping = {'ansible': ('https://docs.ansible.com/ansible-core/devel/', 'ansible.inv')}
highlight_language = 'text'
copybutton_prompt_text = '$ '

html_theme = 'furo'
html_title = 'oomkit.linux'
html_static_path = ['_static']
html_css_files = ['site.css']
html_show_sphinx = False
html_copy_source = False

REPOSITORY = 'https://github.com/oomkit/oomkit.linux/blob/main/'
_OUTSIDE = re.compile(r'\]\(\.\./([^)#]*)(#[^)]*)?\)')
_PLUGIN = re.compile(r'plugins/(modules|callback|filter)/([a-z_]+)\.py')
_KINDS = {'modules': 'module'}
_CONTENTS = re.compile(r'^\.\. contents::\n(?: +:.*\n)+', re.MULTILINE)
_ENTRY = re.compile(r'^( {4})(\w+)_(module|callback|filter|role)$', re.MULTILINE)
# antsibull-docs knows no event sources: this goes before the roles.
_ROLES = '.. _role_plugins_in_oomkit.linux:'
_EVENT_SOURCES = '''\
Event Sources
~~~~~~~~~~~~~

* :doc:`oom_kills event source <../events>` -- Report every process that the kernel kills because memory ran out, for
  Event-Driven Ansible; with a rulebook of the same name

'''


def outside(match: re.Match) -> str:
    """The link of the site for one that leads out of docs/."""
    path, anchor = match.group(1), match.group(2) or ''
    plugin = _PLUGIN.fullmatch(path)
    if plugin:
        kind = _KINDS.get(plugin.group(1), plugin.group(1))
        return '](reference/%s_%s.rst)' % (plugin.group(2), kind)
    if path.startswith('roles/oom_policy') and not path.endswith(('.yml', 'profiles')):
        return '](reference/oom_policy_role.rst)'
    return '](%s%s%s)' % (REPOSITORY, path, anchor)


def translate(app, name, source):
    """Before Sphinx reads a page."""
    if (Path(app.srcdir) / (name + '.md')).exists():
        source[0] = _OUTSIDE.sub(outside, source[0])
    elif name.startswith('reference/'):
        # The theme shows the contents of a page beside it, and short names are enough there.
        source[0] = _ENTRY.sub(r'\1\2 (\3) <\2_\3>', _CONTENTS.sub('', source[0]))
        if name == 'reference/index':
            before, label, after = source[0].partition(_ROLES)
            source[0] = before + _EVENT_SOURCES + label + after


def setup(app):
    """Called by Sphinx."""
    app.connect('source-read', translate)
