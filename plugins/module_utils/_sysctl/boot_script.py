# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse a boot script: which files it passes to sysctl(8), and in which order.

Known forms are ``sysctl --system``, ``sysctl -p FILE``, and loops over ``FOLDER/*.conf`` with ``sysctl -p`` and tests
that skip files of one name. A script that mentions sysctl in another form is unknown. Sources: init.d/sysctl.in of
OpenRC, main/openrc of Alpine's aports, core-services/08-sysctl.sh of void-runit, debian/procps.init of Debian,
sv.d/sysctl of Artix's runit-rc.
"""

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from .._host.conf_files import EXISTING, NAMES, REGULAR, Source


# A command with the separator before it.
class _Command(NamedTuple):
    before: str
    words: List[str]


SYSCTL_CONF = '/etc/sysctl.conf'

_LONGEST = 32768
_DIRECT = '/proc/sys'  # in a script that writes the files directly
_COMMENT = re.compile(r'^[ \t]*#.*$', re.MULTILINE)
_ENDS_AT_ERRORS = re.compile(r'#![^\n]*[ \t]-[a-z]*e')  # `#!/bin/sh -e`: the script ends at the first error
# Functions that Linux does not run at boot.
_NOT_AT_BOOT = re.compile(r'^(?:BSD_\w+|(?:do_)?(?:stop|status|reload|restart)\w*)[ \t]*\(\)\s*\{'
                          r'(?:.*\}[ \t]*$|[ \t]*\n(?:[^}\n].*\n|\n)*\})', re.MULTILINE)
_DAEMON = re.compile(r'^DAEMON=([\w/]*/sysctl)$', re.MULTILINE)  # Debian's script has the program in a variable
_REDIRECTION = re.compile(r'[0-9]?>&[0-9]|&?[0-9]?>{1,2}[ \t]*[\w/$.]+')
_TOKEN = re.compile(r'''\n|;;|;|&&|\|\||[|&()]|(?:[^\s;&|()"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+''')
_SEPARATORS = ('\n', ';', ';;', '&&', '||', '|', '&', '(', ')')
_KEYWORDS = ('if', 'then', 'else', 'elif', 'fi', 'do', 'while', 'until', '{', '}', '!')
_FOLDER = re.compile(r'(/[\w./-]+)/\*\.conf\Z')
_FILE = re.compile(r'/[\w./-]+\Z')
_OPTION = re.compile(r'-[eqN]+\Z|--quiet\Z|\$\w+\Z')
_LOAD = re.compile(r'-[eqN]*p[eqN]*\Z|--load\Z')
_TALKERS = re.compile(r'(?:msg\w*|echo|printf|v?e(?:info|begin|end|warn|error)n?|log_\w+|stat_\w+|add_daemon)\Z')
_PROGRAMS = ('sysctl', '/sbin/sysctl', '/usr/sbin/sysctl', '/bin/sysctl', '/usr/bin/sysctl')
# The method that reads a command. Other commands must not run sysctl.
_READERS = {
    'for': '_read_for', 'done': '_read_done', 'case': '_read_case', 'esac': '_read_esac', 'continue': '_read_continue',
    '[': '_read_test', 'test': '_read_test', '[[': '_read_test', 'ln': '_read_link', 'set': '_read_set',
    **dict.fromkeys(('exit', 'return', 'break'), '_read_end'), **dict.fromkeys(_PROGRAMS, '_read_call')}
_FILE_TESTS = ('-e', '-f', '-r')
_TEST_WORDS = re.compile(r'(?:-[efrdxsao]|!|\]|/[\w./-]*(?:\$\{\w+##\*/\})?|\$\w+)\Z')


class _UnknownScript(Exception):
    """A script of unknown form."""


def parse_script(text: str, system: Source, knows_system: bool) -> Optional[List[Source]]:
    """The sources in reading order; None for an unknown script.

    ``system`` is what ``sysctl --system`` reads. ``knows_system``: this sysctl has that option.
    """
    if len(text) > _LONGEST or _ENDS_AT_ERRORS.match(text):
        return None
    reader, text = _Reader(system, knows_system), _normalized(text)
    try:
        for command in _commands(text) if _DIRECT not in text else ():
            reader.read(command)
        return reader.sources()
    except _UnknownScript:
        return None


def _normalized(text: str) -> str:
    """Remove comments and redirections, and unify spellings."""
    text = _NOT_AT_BOOT.sub('', _COMMENT.sub('', text).replace('\\\n', ' '))
    text = re.sub(r'\$\(basename "?\$\{?(\w+)\}?"?\)', r'${\1##*/}', text)
    text = re.sub(r'\$\{(\w+)\}', r'$\1', text)
    if _DIRECT not in text:
        text = _REDIRECTION.sub('', text)
    program = _DAEMON.search(text)
    return text if program is None else re.sub(r'\$DAEMON\b', program.group(1), _DAEMON.sub('', text))


def _commands(text: str) -> Iterator[_Command]:
    """The simple commands and keywords, each with the separator before it."""
    before = '\n'
    words: List[str] = []
    for token in _TOKEN.findall(text):
        word = token if token in _SEPARATORS else token.replace('"', '').replace("'", '')
        is_keyword = not words and word in _KEYWORDS
        if token in _SEPARATORS or is_keyword:
            if words:
                yield _Command(before, words)
                before = ''
            words = []
            if is_keyword:
                yield _Command(before, [word])
            before = token if token in _SEPARATORS else ''
        else:
            words.append(word)
    if words:
        yield _Command(before, words)


def _is_file_test(words: List[str]) -> bool:
    return words[0] in ('[', 'test', '[[') and all(_TEST_WORDS.match(word) for word in words[1:])


def _tested_paths(words: List[str]) -> List[str]:
    return [word for word in words if word.startswith('/') and '$' not in word]


class _Block:
    """An open ``if``, ``case`` or ``for`` block, with its condition."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.in_condition = kind == 'if'
        self.is_plain = True  # whether the condition only tests files
        self.tested: List[str] = []  # the files that it tests, without those of the loop
        self.shadow = ''      # the folder in which it tests for a file of the same name
        self.is_other = False  # after its `else`


class _Loop:
    """A ``for`` loop over files."""

    def __init__(self, variable: str, words: List[str]) -> None:
        self.variable, self.words = variable, words
        self.entries = EXISTING
        self.shadows: List[str] = []
        self.guard = self.target = ''  # a folder of links, in which the first file of a name wins
        self.has_run = False


class _Reader:
    """Follow the commands of one script."""

    def __init__(self, all_files: Source, knows_system: bool) -> None:
        self.all_files = all_files
        self.knows_system = knows_system
        self.blocks: List[_Block] = []
        self.loop: Optional[_Loop] = None
        self.collected: Dict[str, Tuple[str, ...]] = {}
        self.previous: List[str] = ['']
        self.has_probe = self.may_have_ended = self.is_conditional = False
        self.system: List[Source] = []  # of `sysctl --system`
        self.single: List[Source] = []  # of `sysctl -p`

    def sources(self) -> Optional[List[Source]]:
        """The sources that the script reads; None for none, or if --system and -p contradict."""
        if self.is_conditional:
            return None
        if self.has_probe:
            return (self.system if self.knows_system else self.single) or None
        if self.system and self.single:
            return None
        return self.system[:1] or self.single or None

    def read(self, command: _Command) -> None:
        """Interpret the next command. Raises _UnknownScript."""
        head = command.words[0]
        if head in _KEYWORDS:
            self._read_keyword(head)
            return
        if head in _READERS:
            getattr(self, _READERS[head])(command)
        else:
            self._check(self._runs_no_sysctl(command.words))
        self._note_condition(command.words)
        self.previous = command.words

    def _read_set(self, command: _Command) -> None:
        self._check(not any(re.match('-[a-z]*e', word) for word in command.words))
        self._check(self._runs_no_sysctl(command.words))

    def _read_end(self, command: _Command) -> None:
        """Note that later calls are uncertain, unless the script ends because sysctl is missing."""
        is_error = self.previous[0] in _PROGRAMS
        self._check(not (is_error and self.loop is not None and command.before in ('&&', '||')))
        asks_for_program = command.before == '||' and self.previous[1:-1] in [['-x', path] for path in _PROGRAMS]
        if not asks_for_program and all(block.kind != 'case' for block in self.blocks):
            self.may_have_ended = True

    @staticmethod
    def _check(is_known: bool) -> None:
        if not is_known:
            raise _UnknownScript()

    @staticmethod
    def _runs_no_sysctl(words: List[str]) -> bool:
        """Whether the command does not run sysctl."""
        if not any('sysctl' in word for word in words) or _TALKERS.match(words[0]):
            return True
        if words[0] in ('mkdir', 'rm', 'command', 'which', 'type'):
            return True
        return len(words) == 1 and re.match(r'\w+_sysctl\Z', words[0]) is not None  # a function

    def _read_keyword(self, word: str) -> None:
        if word in ('if', 'while', 'until'):
            self.blocks.append(_Block('if'))
        elif word in ('else', 'elif') and self.blocks:
            self.blocks[-1].is_other = True
            self.blocks[-1].in_condition = word == 'elif'
            self.blocks[-1].tested = []
        elif word in ('then', 'do') and self.blocks:
            self.blocks[-1].in_condition = False
        elif word == 'fi':
            self._leave('if')

    def _read_case(self, command: _Command) -> None:
        self.blocks.append(_Block('case'))

    def _read_esac(self, command: _Command) -> None:
        self._leave('case')

    def _leave(self, kind: str) -> None:
        self._check(bool(self.blocks) and self.blocks.pop().kind == kind)

    def _note_condition(self, words: List[str]) -> None:
        """Note the command as part of an ``if`` condition."""
        block = self.blocks[-1] if self.blocks else None
        if block is not None and block.in_condition:
            block.is_plain = block.is_plain and (_is_file_test(words) or words[1:] == ['-V'])
            block.tested.extend(_tested_paths(words))

    # ------------------------------------------------------------- loops

    def _read_for(self, command: _Command) -> None:
        is_ours = any('sysctl' in word for word in command.words)
        self._check(self.loop is None and (not is_ours or len(command.words) > 3 and command.words[2] == 'in'))
        self.loop = _Loop(command.words[1] if len(command.words) > 1 else '', command.words[3:])
        self.blocks.append(_Block('for'))

    def _read_done(self, command: _Command) -> None:
        self._check(bool(self.blocks))
        if self.blocks.pop().kind != 'for' or self.loop is None:
            return
        loop, self.loop = self.loop, None
        if loop.target:
            self._check(not loop.has_run and loop.guard == loop.target)
            self.collected[loop.target] = tuple(map(self._folder, loop.words))
        elif loop.has_run:
            self.single.extend(self._list_sources(loop))
        else:
            self._check(not any('sysctl' in word for word in loop.words))

    def _list_sources(self, loop: _Loop) -> Iterator[Source]:
        for word in loop.words:
            folder = _FOLDER.match(word)
            if folder is None:
                self._check(_FILE.match(word) is not None)
                yield Source((), word, (), NAMES, True)
            else:
                yield Source(self.collected.get(folder.group(1), (folder.group(1),)), '', tuple(loop.shadows),
                             loop.entries, True)

    def _folder(self, word: str) -> str:
        match = _FOLDER.match(word)
        if match is None:
            raise _UnknownScript()
        return match.group(1)

    def _read_test(self, command: _Command) -> None:
        """A test in a loop may choose among the files."""
        if self.loop is None:
            return
        loop, name = self.loop, '/${%s##*/}' % self.loop.variable
        for number, word in enumerate(command.words):
            test = command.words[number - 1]
            if word == '$' + loop.variable and test in _FILE_TESTS:
                loop.entries = REGULAR if test == '-f' else EXISTING
            elif word.endswith(name):
                self._check(test in ('-e', '-f'))
                if command.words[number - 2] == '!':
                    loop.guard = word[:-len(name)]
                else:
                    self._check(test == '-f' and bool(self.blocks))  # the same test as that of the file
                    self.blocks[-1].shadow = word[:-len(name)]

    def _read_continue(self, command: _Command) -> None:
        if self.loop is None:
            return
        shadow = self.blocks[-1].shadow
        self._check(bool(shadow) and not self.loop.has_run)
        self.loop.shadows.append(shadow)

    def _read_link(self, command: _Command) -> None:
        """``ln -s FILE FOLDER/NAME`` in a loop collects the files, the first of each name."""
        words = command.words
        if not any('sysctl' in word for word in words):
            return
        self._check(self.loop is not None)
        loop = self.loop or _Loop('', [])
        name = '/${%s##*/}' % loop.variable
        self._check(words[1:3] == ['-s', '$' + loop.variable] and len(words) == 4 and words[3].endswith(name))
        loop.target = words[3][:-len(name)]

    # ------------------------------------------------------------- calls of sysctl

    def _read_call(self, command: _Command) -> None:
        words = [word for word in command.words[1:] if not _OPTION.match(word) or self._is_loop_variable(word)]
        if words in (['-V'], ['--version']):
            self.has_probe = True
            return
        self._check_always_run(command, words[-1] if words else '')
        if words == ['--system']:
            self._add(self.system, self.all_files)
            return
        self._check(len(words) in (1, 2) and _LOAD.match(words[0]) is not None)
        self._load(words[1] if len(words) == 2 else SYSCTL_CONF)

    def _load(self, path: str) -> None:
        """``sysctl -p PATH``."""
        if self.loop is not None and self._is_loop_variable(path):
            self._check(all(not block.is_other for block in self.blocks) or self.has_probe)
            self.loop.has_run = True
            return
        self._check(_FILE.match(path) is not None and self.loop is None)
        self._add(self.single, Source((), path, (), NAMES, True))

    def _is_loop_variable(self, word: str) -> bool:
        return self.loop is not None and word == '$' + self.loop.variable

    def _check_always_run(self, command: _Command, path: str) -> None:
        """Raise _UnknownScript unless only the file, or the presence of sysctl, decides whether the command runs."""
        self._check(not self.may_have_ended and all(block.is_plain for block in self.blocks))
        self._check(command.before not in ('||', '|', '&', '('))
        tested = [word for block in self.blocks for word in block.tested]
        if command.before == '&&':
            self._check(_is_file_test(self.previous))
            tested += _tested_paths(self.previous)
        if any(word not in _PROGRAMS + (path,) for word in tested):
            self.is_conditional = True
        elif any(block.is_other for block in self.blocks):
            self.is_conditional = False  # the other branch does the same, see L(_add)

    def _add(self, sources: List[Source], source: Source) -> None:
        if any(block.is_other for block in self.blocks) and not self.has_probe:
            self._check(source in sources)  # both branches do the same
        elif source not in sources:
            sources.append(source)
