# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that this project does not use, and the terms of the field that stand in their place.

``.venv/bin/python tools/terms.py [FILE...]`` names each one, and exits with 1 if there is one. Names count too, also of
files: ``take_over`` and ``TakeOver`` have the words ``take over``.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
# Regular expressions of whole words. A blank stands for an underscore too, and for the end of a line.
TERMS = {
    'knobs?': 'sysctl',
    r'wish(?!bone)\w*': 'desired state, request',
    'situations?': 'host state',
    'held process(?:es)?': 'process handle',
    'census|censuses': 'process scan',
    r'litter\w*': 'leftovers',
    'startable': 'spawn probe',
    'untold': 'unknown',
    r'way back|(?:put|puts|putting|take|takes|taken|took|taking)(?: \w+){0,2} back': 'roll back, rollback, revert',
    'foretells?|foretold|foretelling': 'forecast, predict',
    'promised? memory|memory promised?|what (?:of it )?is promised|(?:kB|MB|GB|memory) promised': 'committed',
    'run time': 'runtime',
    'is no (?:whole )?number': 'is not an integer',
    'courses': 'branches',
    'askers?': 'allocating task',
    'twins?': 'counterpart',
    r'(?:left|leave|leaves|leaving)(?: \w+)? alone': 'skipped',
    'tak(?:e|es|en|ing) over|took over|takeovers?': 'comment out',
    'the house|how the house is built': 'architecture',
    'killers': 'OOM daemons, or the kernel\'s OOM killer',
    'unless somebody who got in afterwards': 'unless a new connection confirms it',
    'whoever asks|who asks for memory': 'the task that triggered the OOM',
    '(?:go|goes|going|went|gone) down with': 'is killed with',
    'what the next boot gives': 'value after reboot',
    'from the start of the next one on': 'after a restart',
    'anew': 'again',
    'as ever': 'as before',
    'all the same': 'nevertheless, or nothing',
}
# They quote the words, or are history.
EXCEPT = ('tools/terms.py', 'tests/package/test_architecture.py', 'CHANGELOG.md', 'changelogs/', 'LICENSES/')
_CAMEL_CASE = re.compile('(?<=[a-z0-9])(?=[A-Z])')
_ANY = re.compile(r'(?<![A-Za-z])(?:%s)(?![A-Za-z])' % '|'.join(
    '(?P<t%d>%s)' % (number, words.replace(' ', r'[\s_#-]+')) for number, words in enumerate(TERMS)), re.IGNORECASE)


def files() -> list[Path]:
    """The texts of the project."""
    names = subprocess.run(['git', 'ls-files', '-z'], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [CHECKOUT / name for name in names.stdout.split('\0') if name and not name.startswith(EXCEPT)]


def found_in(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, word, term) of each word that has a better term."""
    terms = list(TERMS.values())
    text = _CAMEL_CASE.sub('_', text)
    for match in _ANY.finditer(text):
        number = int((match.lastgroup or 't0')[1:])
        yield text.count('\n', 0, match.start()) + 1, match.group(), terms[number]


def main() -> None:
    """Name the words."""
    count = 0
    for path in [Path(name) for name in sys.argv[1:]] or files():
        try:
            text = path.read_text(encoding='utf-8')
        except (UnicodeDecodeError, IsADirectoryError):
            continue
        name = str(path.resolve().relative_to(CHECKOUT))
        for line, word, term in [*found_in(text), *found_in(name)]:
            print('%s:%d: %s: write "%s"' % (name, line, ' '.join(word.split()), term))
            count += 1
    sys.exit('%d words that this project does not use' % count if count else 0)


if __name__ == '__main__':
    main()
