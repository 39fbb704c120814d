# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide docs/errors.md has every message of the collection and no other; tests/refusals.py is the rule."""

import re

import pytest
from advice import wrong_advice, wrong_advice_of_role
from refusals import (
    DRAWING,
    GUIDE,
    NOT_MESSAGES,
    Text,
    entries_of,
    message_of,
    missing,
    python_texts,
    texts_of_code,
    unknown,
    wrong_codes,
    yaml_texts,
)

MADE_UP = '''
"""A docstring is no message."""
import re
DOCUMENTATION = 'documentation is no message'
_NAME = re.compile('regular expressions are none')


class Refusal(Exception):
    """Nor is this."""


def check(plan, value):
    advice = 'use less of it' if value else 'use %d%% more' % value
    plan.notes.append('%s is %s today' % (value, advice))
    if value > 3:
        raise Refusal('Too much: %s '
                      'is asked for (%r). %s.' % (value, value, advice))
    raise Refusal('fork: %s' % value) from None
'''
DOCUMENTED = ['Too much: <number> is asked for (<value>). use less of it.', '<value> is use <number>% more today',
              'fork: <reason>']

MADE_UP_PLAY = '''
- name: A name is no message
  ansible.builtin.assert:
    that: value == 'some value'
    fail_msg: >-
      It is {{ value | default('not there') }} and should
      be more.
- name: "{{ 'This is said ' ~ value }}"
  debug:
    msg: no message of ours
'''


@pytest.fixture(scope='module')
def texts(checkout):
    """All constant texts of the collection."""
    return texts_of_code(checkout)


@pytest.fixture(scope='module')
def guide(checkout):
    """The guide's text."""
    return (checkout / GUIDE).read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def messages(guide):
    """All messages in the guide."""
    return [message for entry in entries_of(guide) for message in entry.messages]


def test_the_guide_has_every_message_of_the_code(texts, messages):
    assert len(texts) > 500
    left = missing(texts, messages)
    assert not left, 'not in %s:\n%s' % (GUIDE, '\n'.join(map(str, left)))


def test_the_code_has_every_message_of_the_guide(texts, messages):
    assert len(messages) > 100
    left = unknown(texts, messages)
    assert not left, 'in %s, but not in the code:\n%s' % (
        GUIDE, '\n'.join('%s (%s)' % (message, ', '.join(words)) for message, words in left))


def test_every_entry_says_why_and_what_to_do(guide):
    for entry in entries_of(guide):
        assert re.match(r'\*\*Why\.\*\* \S', entry.explanation), (entry.line, entry.messages)
        assert entry.explanation.count('**What to do.** ') == 1, (entry.line, entry.messages)


def test_code_and_guide_agree_about_the_codes(texts, guide):
    """Each message ends with the code under which the guide explains it."""
    wrong = wrong_codes(texts, entries_of(guide))
    assert not wrong, '\n'.join(wrong)


def test_each_entry_has_a_code_of_its_section(guide):
    """Except for texts that are parts of results."""
    section, codes = 10, []
    for heading in re.findall(r'^##+ .+$', guide, re.MULTILINE):
        section += heading.startswith('## ')
        assert heading.startswith(('## ', '### Texts in ')) or re.fullmatch(f'### OOMK-{section}[0-9]{{2}}', heading)
        codes += [heading] if heading.startswith('### ') else []
    assert sorted(set(codes)) == sorted(codes)
    headings = {heading.removeprefix('### ') for heading in codes}
    assert {entry.code for entry in entries_of(guide)} - {''} == {one for one in headings if one.startswith('OOMK-')}
    below = re.split(r'^##+ ', guide, flags=re.MULTILINE)
    assert all(part.startswith(('OOMK-', 'Texts in ')) for part in below if re.search(r'^- `', part, re.MULTILINE))


def test_no_message_is_told_twice(messages):
    assert sorted(messages) == sorted(set(messages))


def test_the_table_of_contents_has_every_section(guide):
    headings = re.findall(r'^## (.+)$', guide, re.MULTILINE)
    anchors = [anchor(heading) for heading in headings]
    assert re.findall(r'^[0-9]+\. \[(.+?)\]\(#(.+?)\)$', guide, re.MULTILINE) == list(
        zip(headings, anchors, strict=True))
    assert set(re.findall(r'\]\(#(.+?)\)', guide)) <= set(map(anchor, re.findall('^##+ (.+)$', guide, re.MULTILINE)))


def anchor(heading):
    """The name of a heading in a link."""
    return re.sub(r'[^\w -]', '', heading.lower()).replace(' ', '-')


def test_what_is_left_out_is_there(checkout, texts):
    assert set(NOT_MESSAGES) <= {text.text for text in texts}
    assert all((checkout / 'plugins/plugin_utils' / name).is_file() for name in DRAWING)


def test_a_module_advises_only_what_it_has(checkout):
    """By the files that it imports: what several modules share gives no advice that one of them cannot follow."""
    assert wrong_advice(checkout / 'plugins') == []


def test_advice_that_cannot_be_followed_is_found(tmp_path):
    (tmp_path / 'modules').mkdir()
    (tmp_path / 'module_utils').mkdir()
    for name, options in (('one', 'missing: {type: str, choices: [fail, warn]}'), ('two', 'force: {type: bool}')):
        (tmp_path / 'modules' / (name + '.py')).write_text(
            f"DOCUMENTATION = 'options: {{{options}}}'\n"
            'from ansible_collections.oomkit.linux.plugins.module_utils import _shared\n_shared.find()\n')
    (tmp_path / 'module_utils/_shared.py').write_text(
        "TEXT = 'There is none. Use missing: warn, or force: 7.'\n"
        'def find():\n    raise ValueError(TEXT)\n'
        "def unused():\n    raise ValueError('Use missing: fail')\n")
    wrong, = wrong_advice(tmp_path)
    assert wrong.startswith('two has no missing: warn, which it can advise (_shared.py:1: There is none.')


def test_an_option_that_a_message_says_to_use_is_found(tmp_path):
    (tmp_path / 'modules').mkdir()
    for name, options in (('one', 'process: {}, pid: {}, user: {}'), ('two', 'force: {}, pid: {}')):
        (tmp_path / 'modules' / (name + '.py')).write_text(
            f"DOCUMENTATION = 'options: {{{options}}}'\n"
            "raise ValueError('It is none; use process with pid or user')\n"
            "raise ValueError('process.pid: this is not a number, so use user')\n")
    assert [text.partition(', which')[0] for text in wrong_advice(tmp_path)] == [
        'two has no process', 'two has no user']


def test_role_and_playbooks_advise_existing_variables(checkout):
    assert wrong_advice_of_role(checkout) == []


def test_advice_of_a_role_that_cannot_be_followed_is_found(tmp_path):
    for path, text in {
        'plugins/modules/one.py': "DOCUMENTATION = 'options: {force: {type: bool}, score_adj: {}, runtime: {}}'\n",
        'roles/a/meta/argument_specs.yml': 'argument_specs: {main: {options: {oom_policy_force: {type: bool}, '
                                           'oom_policy_services: {options: {score_adj: {type: int}}}}}}\n',
        'roles/a/tasks/main.yml': "- ansible.builtin.fail: {msg: 'Set oom_policy_forse, or use score_adj: 5.'}\n"
                                  "- ansible.builtin.fail: {msg: 'Use runtime: false.'}\n"
                                  "- ansible.builtin.fail: {msg: 'Set oom_policy_force: true, not 3.'}\n",
        'playbooks/x.yml': "- ansible.builtin.fail: {msg: 'Set oom_policy_force: 3.'}\n"
                           "- ansible.builtin.fail: {msg: 'Use force or leave it.'}\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert [text.partition(' (')[0] for text in wrong_advice_of_role(tmp_path)] == [
        'there is no force', 'there is no oom_policy_force: 3', 'there is no oom_policy_forse',
        'there is no runtime: false']


# ------------------------------------------------------- the rule itself, on made-up code

def made_up(*more):
    """The texts of the made-up code and of more lines."""
    return list(python_texts(MADE_UP + '\n'.join(more), 'made_up.py'))


def documented():
    """The made-up guide's messages."""
    return [message_of(text) for text in DOCUMENTED]


def test_messages_are_found_wherever_they_stand():
    assert {text.text for text in made_up() if text.is_message} == {
        'use less of it', 'use …% more', '… is … today', 'Too much: … is asked for (…). ….', 'fork: …'}


def test_what_is_documented_is_not_missing():
    assert missing(made_up(), documented()) == []
    assert unknown(made_up(), documented()) == []


@pytest.mark.parametrize('line', [
    "raise Refusal('Too little: %s' % value)",
    "plan.warnings.append('Too little of it')",
    "def advise(more): return 'give ' + 'a little more'",
    "fail_json(msg=f'{value} was far too little')",
    "raise Refusal('Little')",
])
def test_a_new_message_is_missing(line):
    new, = missing(made_up(line), documented())
    assert 'ittle' in new.text
    assert new.place.startswith('made_up.py:') and str(new).startswith(new.place)


GUIDE_WITH_CODES = """
### OOMK-1101

- `Too much: <number>`
- `<value> is gone`

**Why.** x
**What to do.** y

### Texts in results

- `it is small`
"""


@pytest.mark.parametrize('code', [
    "raise Refusal('Too much: %s [OOMK-1101]' % x)\nplan.notes.append(f'{x} is gone [OOMK-1101]')",
    "def f(x): return 'Too much: %s' % x\nraise Refusal(f'{f(x)} [OOMK-1101]')\nnotes += [f'{x} is gone [OOMK-1101]']",
])
def test_messages_that_end_with_their_codes_are_right(code):
    assert wrong_codes(list(python_texts(code, 'made_up.py')), entries_of(GUIDE_WITH_CODES)) == []


@pytest.mark.parametrize('line', [
    "raise ConvertError('%s is gone' % x)",
    "raise Refusal('Too much: %s [OOMK-1101]' % x + '. Nothing was changed.')",
    "self.warnings += [text + ' is gone' for text in found]",
    "plan.notes.append(f'{x} is gone')",
    "doubts.extend(['it is gone'] if x else [])",
    "module.warn('it is gone')",
    "module.fail_json(msg=f'{x} is gone')",
    "TEXT = '%s [OOMK-1101] is gone'",
    "TEXT = 'it is small [OOMK-1101]'",
    "TEXT = 'it is gone [OOMK-1102]'",
])
def test_a_message_without_its_code_is_found(line):
    right = "raise Refusal('Too much: %s [OOMK-1101]' % x)\nplan.notes.append(f'{x} is gone [OOMK-1101]')\n"
    wrong = wrong_codes(list(python_texts(right + line, 'made_up.py')), entries_of(GUIDE_WITH_CODES))
    assert wrong and all('made_up.py:3' in one for one in wrong)


def test_a_word_more_or_less_is_another_message():
    for wrong in ('Too much: <number> is asked (<value>). use less of it.',
                  'Too much: <number> is really asked for (<value>). use less of it.'):
        left = missing(made_up(), [message_of(wrong), *documented()[1:]])
        assert [text.text for text in left] == ['Too much: … is asked for (…). ….'], wrong


def test_a_message_that_is_gone_from_the_code_is_unknown():
    gone = message_of('Too much: <number> is asked for (<value>). Take <number> instead.')
    assert unknown(made_up(), [*documented(), gone]) == [(gone, ['Take', 'instead'])]


def test_messages_of_plays_are_found():
    texts = list(yaml_texts(MADE_UP_PLAY, 'play.yml'))
    assert [text for text in texts if text.is_message] == [
        Text('It is … and should be more.', 'play.yml:5', True), Text('not there', 'play.yml:5', True),
        Text('This is said', 'play.yml:8', True)]


def test_entries_are_read_as_they_are_written():
    first, second = entries_of('# Title\n\n- `a <b> c`\n- `d`\n\n**Why.** e\nf\n\nMore.\n\n- `g`\n- [a link](#h)\n')
    assert (first.line, first.messages, first.explanation) == (3, ['a … c', 'd'], '**Why.** e f')
    assert (second.messages, second.explanation) == (['g'], '')
