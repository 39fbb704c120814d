# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build Ansible diffs of files: the changed lines, or only our settings if others may not read the file.

Users register, log and forward results, and a file can hold passwords.
Source: acl(5).
"""

import os
import re
import stat
from typing import Dict, Iterator, List, Pattern, Sequence, Tuple

from .._core.text import to_text
from . import file_trust
from .host import Host
from .transaction import MARKER, Files

_CONTEXT = 3
_UNCHANGED = '[%d unchanged lines]\n'
_ONLY_OURS = '%s (others may not read it: settings of this collection only)'
_CUT = ' [...]'

# systemd ends a line at each of these.
_LINE_ENDS = re.compile('[\r\n\0]')

Hunk = Tuple[int, int, int, int]  # lines from, to of the first text; of the second text

_ACL_USER_OBJ = 0x01


def describe_files(host: Host, files: Files, keys: Sequence[str] = ()) -> List[Dict[str, str]]:
    """The changes of files. Call it before the files change: it checks who may read them now.

    ``keys`` are the sysctls whose lines count as settings of this collection.
    """
    setting = _build_setting_pattern(keys)
    return [_describe(host, path, to_text(before or b''), to_text(after or b''), setting)
            for path, (before, after) in sorted(files.items())]


def _build_setting_pattern(keys: Sequence[str]) -> Pattern[str]:
    """One of our settings at the start of a line. The diff omits the rest."""
    any_key = '|'.join(re.escape(key).replace(r'\.', '[./]') for key in keys) or '(?!)'
    return re.compile(r'''(?:%s)*[ \t]*(?:
        -?(?:%s)[ \t]*=[ \t]*[-+]?[0-9a-fA-Fx]{1,22}(?![^ \t#;])
        | (?:OOMScoreAdjust|OOMPolicy)[ \t]*=[ \t]*(?:[-+]?[0-9]{1,4}|stop|kill|continue)?(?![^ \t])
        | export[ ]SSD_OOM_SCORE_ADJ=-?[0-9]{1,4}[ ]{2}\#[ ]oomkit\.linux(?:[ ]\+[0-2])?
        | \[Service\]
        | \#[ ]Made[ ]by[ ]the[ ]Ansible[ ]collection[ ]oomkit\.linux[a-z_;, ]*\.
    )''' % (re.escape(MARKER), any_key), re.VERBOSE)


def _describe(host: Host, path: str, before: str, after: str, setting: Pattern[str]) -> Dict[str, str]:
    header = path
    if before and not others_may_read(host, path):
        header = _ONLY_OURS % path
        before, after = _our_changes(_LINE_ENDS.split(before), _LINE_ENDS.split(after), setting)
    else:
        before, after = _changes(before.splitlines(True), after.splitlines(True))
    return {'before_header': header, 'after_header': header, 'before': before, 'after': after}


# ----------------------------------------------------------------------- lines

def _changes(before: List[str], after: List[str]) -> Tuple[str, str]:
    """Both texts with the changed lines, and some lines around them."""
    texts: Tuple[List[str], List[str]] = ([], [])
    shown = 0
    for first, last, other_first, other_last in _hunks(before, after, _CONTEXT):
        gap = [_UNCHANGED % (first - shown)] if first > shown else []
        texts[0].extend(gap + before[first:last])
        texts[1].extend(gap + after[other_first:other_last])
        shown = last
    if 0 < shown < len(before):
        for text in texts:
            text.append(_UNCHANGED % (len(before) - shown))
    return ''.join(texts[0]), ''.join(texts[1])


def _our_changes(before: List[str], after: List[str], setting: Pattern[str]) -> Tuple[str, str]:
    """Both texts with our settings among the changed lines."""
    texts: Tuple[List[str], List[str]] = ([], [])
    for first, last, other_first, other_last in _hunks(before, after, 0):
        for text, lines in zip(texts, (before[first:last], after[other_first:other_last])):
            matches = [match for match in map(setting.match, lines) if match is not None]
            text.extend(f"{match.group()}{_CUT if match.string[match.end():].strip() else ''}\n" for match in matches)
    return ''.join(texts[0]), ''.join(texts[1])


def _hunks(before: List[str], after: List[str], context: int) -> Iterator[Hunk]:
    """The changed lines, with up to C(context) equal lines around them."""
    if before == after:
        return
    # Imported late: most runs change no file.
    import difflib
    for group in difflib.SequenceMatcher(None, before, after).get_grouped_opcodes(context):
        yield group[0][1], group[-1][2], group[0][3], group[-1][4]


# --------------------------------------------------------------- who may read it

def others_may_read(host: Host, path: str) -> bool:
    """Whether mode, access control lists and folders let every user read the file."""
    try:
        real, passed = host.walk(path)
        folders = [folder for folder in passed if folder != real and not _is_link(host, folder)]
        return _allows(host, real, stat.S_IROTH) and all(_allows(host, folder, stat.S_IXOTH) for folder in folders)
    except OSError:
        return False


def _is_link(host: Host, path: str) -> bool:
    info = host.lstat(path)
    return info is not None and stat.S_ISLNK(info.st_mode)


def _allows(host: Host, path: str, right: int) -> bool:
    """Whether group, others and each entry of the access control list have this right (of S_IRWXO)."""
    mode = os.stat(host.locate(path)).st_mode
    if not (mode & right and mode >> 3 & right):
        return False
    entries = file_trust.acl_entries(host.locate(path))
    return all(rights & right for tag, rights, _who in entries if tag != _ACL_USER_OBJ)
