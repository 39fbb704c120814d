# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of what this collection changed, kept in /var/lib/oomkit until all of it is reverted.

It holds each changed sysctl with its value before the first change, and each line written to a file.
"""

import json
from typing import Any, Dict, List, NamedTuple, Optional

from .._core.errors import Refusal
from .._host import file_trust
from .._host.host import Host
from .records import SYSCTLS

FOLDER = '/var/lib/oomkit'
FILE = FOLDER + '/originals.json'


class Value(NamedTuple):
    original: Optional[int]  # at runtime before the first change; None: unknown, our file had set it
    from_boot: bool  # whether the boot set the original, as far as is known
    ours: Optional[int]  # the value that this collection last set at runtime; None: none
    earlier: Optional[int]  # the one that it set before that, still set if a run was killed


class File(NamedTuple):
    made: bool  # whether this collection made the file
    lines: Dict[str, List[str]]  # by key, the lines that it wrote


class Record(NamedTuple):
    values: Dict[str, Value]  # by key; ratio and kbytes always as a pair
    files: Dict[str, File]  # by real path


EMPTY = Record({}, {})
UNKNOWN = Value(None, True, None, None)


def parse(data: Optional[bytes]) -> Record:
    """Parse the record. Damaged or foreign entries count as not recorded."""
    try:
        found = json.loads((data or b'').decode('utf-8'))
    except (ValueError, RecursionError, OverflowError):
        return EMPTY
    if not isinstance(found, dict):
        return EMPTY
    return Record(_whole_pairs(_parse_values(found.get('values'))), _parse_files(found.get('files')))


def is_damaged(data: Optional[bytes]) -> bool:
    """Whether the file holds anything that L(parse) does not accept."""
    try:
        known = dump(parse(data))
        return data is not None and (known is None or json.loads(data.decode('utf-8')) != json.loads(known))
    except (ValueError, RecursionError, OverflowError):
        return True


def _parse_values(found: Any) -> Dict[str, Value]:
    values = ((key, _parse_value(key, entry)) for key, entry in _items(found) if key in SYSCTLS)
    return {key: value for key, value in values if value}


def _parse_files(found: Any) -> Dict[str, File]:
    files = ((path, _parse_file(entry)) for path, entry in _items(found) if _is_path(path))
    return {path: entry for path, entry in files if entry and entry.lines}


def _whole_pairs(values: Dict[str, Value]) -> Dict[str, Value]:
    """Drop a key whose counterpart is not recorded: half a pair cannot be restored."""
    return {key: value for key, value in values.items()
            if not SYSCTLS[key].counterpart or SYSCTLS[key].counterpart in values}


def _items(found: Any) -> Any:
    return found.items() if isinstance(found, dict) else ()


def _is_path(path: str) -> bool:
    return path.startswith('/') and '\0' not in path


def _parse_value(key: str, entry: Any) -> Optional[Value]:
    if not isinstance(entry, dict) or not isinstance(entry.get('from_boot'), bool):
        return None
    numbers = [entry.get('original'), entry.get('ours'), entry.get('earlier')]
    if not all(number is None or _is_valid(key, number) for number in numbers):
        return None
    return Value(numbers[0], entry['from_boot'], numbers[1], numbers[2])


def _is_valid(key: str, number: Any) -> bool:
    return (isinstance(number, int) and not isinstance(number, bool)
            and SYSCTLS[key].minimum <= number <= SYSCTLS[key].maximum)


def _parse_file(entry: Any) -> Optional[File]:
    if not isinstance(entry, dict) or not isinstance(entry.get('made'), bool):
        return None
    return File(entry['made'], {key: lines for key, lines in _items(entry.get('lines'))
                                if key in SYSCTLS and _are_lines(lines)})


def _are_lines(lines: Any) -> bool:
    return isinstance(lines, list) and bool(lines) and all(isinstance(line, str) for line in lines)


def load(host: Host) -> Record:
    """The record of this host; empty if it is unreadable or not trusted."""
    try:
        return parse(read(host))
    except (OSError, Refusal):
        return EMPTY


def read(host: Host) -> Optional[bytes]:
    """The file's content, None for no file. Raises OSError, and Refusal if others could have written it."""
    return file_trust.read_record(host, FILE)


def doubt(host: Host) -> Optional[str]:
    """Why the record is not trusted; None if it is trusted, missing or unreadable."""
    try:
        return file_trust.doubt_record(host, FILE)
    except OSError:
        return None


def dump(record: Record) -> Optional[bytes]:
    """The file's content, None for an empty record."""
    if record == EMPTY:
        return None
    content = {'values': {key: value._asdict() for key, value in record.values.items()},
               'files': {path: entry._asdict() for path, entry in record.files.items()}}
    return (json.dumps(content, sort_keys=True, indent=1) + '\n').encode('utf-8')


def boot_defaults(record: Record) -> Dict[str, int]:
    """The recorded boot values of the sysctls without a constant default.

    The kernel computes the reserves from free memory and takes kernel.panic from its configuration. After a change,
    only the record holds the old values.
    """
    return {key: value.original for key, value in record.values.items()
            if not SYSCTLS[key].is_constant and value.from_boot and value.original is not None}
