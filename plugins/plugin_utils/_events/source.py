# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OOM kills as they happen, from the kernel's own log or from a file that a syslog daemon writes.

Sources: Documentation/ABI/testing/dev-kmsg (a record a read, EPIPE where records were overwritten); RFC 3164 and the
formats of rsyslog. L(_kernel.kill_log) parses the kills, for the facts too.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import socket
import stat
import time
import typing as t
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timezone

from ...module_utils._core.convert import quote
from ...module_utils._core.sanitize import sanitize
from ...module_utils._host.kmsg import KMSG_NUMBER, RECORD_BYTES
from ...module_utils._kernel.kill_log import (
    LONGEST_MESSAGE_BYTES,
    STARTS,
    KillParser,
    LoggedKill,
    build_kill_fact,
    parse_record,
    unescape,
)
from .log_file import LONGEST_LINE_BYTES, NO_LOG, LogError, LogFile

KMSG = '/dev/kmsg'
_MOST_AT_ONCE = 100  # records, before others may run
_MOST_HOSTS = 1000  # of a central log, each with a parser of its own
_PENDING = 200  # kills that wait to be taken, per host
# The tag right after the host is the kernel's; a stamp is "Nov 23 10:00:00" or ISO 8601.
_HEAD = (br'(?:<[0-9]{1,4}>)?([A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^\s]{1,40}) '
         br'([^\s]{1,255}) kernel: (?:\[ *[0-9]{1,12}\.[0-9]{1,9}\] )?')
_LINE = re.compile(_HEAD + br'(.*)\Z', re.DOTALL)
# A line that can be a kill or its reason. One expression over the whole block is fast: such lines are rare.
_KERNEL_LINE = re.compile(
    br'\n(?=[<A-Z0-9][0-9a-z])' + _HEAD +
    br'((?:oom-kill:constraint=CONSTRAINT_[A-Z_]+,[^\n]*,uid=|Tasks? in [^\n]* killed |'
    br'(?:(?:Out of memory|Memory cgroup out of memory)(?: \([a-z_]{1,40}\))?: )?'
    br'Kill(?:ed)? process [0-9]{1,10} \([^\n]{0,60}\)(?=[ ,])(?:, UID [0-9]{1,20})?,? '
    br'(?:total-vm:[0-9]{1,20}kB, anon|score ))[^\n]*)')
_OCTAL = re.compile(br'#([0-3][0-7]{2})')  # rsyslog writes control characters so
_OCTAL_BYTES = {b'%03o' % code: bytes([code]) for code in range(256)}
_ISO = re.compile(r'[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}')
Event = dict[str, t.Any]


class EventsError(Exception):
    """Why the log cannot be followed; the message says what to do."""


@dataclass(frozen=True)
class SourceRequest:
    """What is to be followed, and how."""

    path: str = KMSG
    replay: bool = False
    poll_interval_s: float = 0.5


def parse_request(args: t.Mapping[str, t.Any]) -> SourceRequest:
    """The options of the source as they were given. Raises EventsError."""
    unknown = sorted(quote(name) for name in set(args) - {'path', 'replay', 'poll_interval_s'})
    if unknown:
        raise EventsError(f"{', '.join(unknown)}: there is no such option; path, replay and poll_interval_s are"
                          " [OOMK-2901]")
    path, replay = args.get('path', KMSG), args.get('replay', False)
    if not _is_absolute(path):
        raise EventsError(f'path: {quote(path)} is not an absolute path; give {KMSG} or a log file [OOMK-2901]')
    if not isinstance(replay, bool):
        raise EventsError(f'replay: {quote(replay)} is neither true nor false [OOMK-2901]')
    interval_s = args.get('poll_interval_s', SourceRequest.poll_interval_s)
    if isinstance(interval_s, bool) or not isinstance(interval_s, (int, float)) or not 0.05 <= interval_s <= 60:
        raise EventsError(f'poll_interval_s: {quote(interval_s)} is not a number of seconds from 0.05 to 60'
                          ' [OOMK-2901]')
    return SourceRequest(path, replay, float(interval_s))


def _is_absolute(path: t.Any) -> bool:
    try:
        return isinstance(path, str) and path.startswith('/') and b'\0' not in os.fsencode(path)
    except UnicodeError:
        return False


async def follow(request: SourceRequest) -> t.AsyncGenerator[Event, None]:
    """An event for each kill, without end. Raises EventsError where the log cannot be read, before anything else."""
    if _is_device(request.path):
        batches: t.AsyncGenerator[list[Event], None] = follow_records(_open(request.path), request.replay)
    else:
        batches = follow_file(request)
    try:
        async for events in batches:
            for event in events:
                yield event
    finally:
        await batches.aclose()


def _is_device(path: str) -> bool:
    """Whether this is /dev/kmsg and no file. Raises EventsError, also for what is neither.

    Nothing else is opened: a pipe or another device may send data without end, or none.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        # A log may come with its first line, but not without its folder.
        if os.path.isdir(os.path.dirname(path)):
            return False
        raise EventsError(f'path: {sanitize(path)} is not there, nor is its folder [OOMK-2903]') from None
    except OSError as exc:
        raise EventsError(f'path: {sanitize(path)} cannot be read ({exc.strerror}) [OOMK-2904]') from exc
    is_kmsg = stat.S_ISCHR(status.st_mode) and status.st_rdev == KMSG_NUMBER
    if not is_kmsg and not stat.S_ISREG(status.st_mode):
        raise EventsError(f'path: {sanitize(path)} {NO_LOG}')
    return is_kmsg


def _open(path: str) -> int:
    """A descriptor for reading. Raises EventsError; FileNotFoundError where nothing is there."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as exc:
        hint = '; it takes root or CAP_SYSLOG, unless kernel.dmesg_restrict is 0' if path == KMSG else ''
        raise EventsError(f'path: {sanitize(path)} cannot be read ({exc.strerror}){hint} [OOMK-2904]') from exc


def _sanitize_name(name: bytes | str) -> str:
    """A sanitized name that is not a template.

    ansible-rulebook hands events to playbooks as extra variables, where Ansible runs templates, and any user can name a
    cgroup ``{{ ... }}``, as a container can its host.
    """
    return sanitize(name).replace('{', '\\x7b')


class HostMessages:
    """Turns the kernel messages of one host into events."""

    def __init__(self, host: str, lost: bool = False) -> None:
        """``lost``: messages from before the first one are missing."""
        self._host = host
        self._parser = KillParser(_PENDING)
        self._lost = lost

    def lose(self) -> None:
        """Note that messages are missing here."""
        self._lost = True

    def feed(self, since_boot_us: int, message: bytes, when: t.Callable[[LoggedKill], str]) -> list[Event]:
        """One message; the events that it completes."""
        self._parser.feed(since_boot_us, message)
        return self._build_events(when) if self._parser.kills else []

    def _build_events(self, when: t.Callable[[LoggedKill], str]) -> list[Event]:
        events = []
        while self._parser.kills:
            events.append(self._build_event(self._parser.kills.popleft(), when))
            self._lost = False
        return events

    def _build_event(self, kill: LoggedKill, when: t.Callable[[LoggedKill], str]) -> Event:
        fact = build_kill_fact(kill, 0, lambda _seconds: when(kill), _sanitize_name)
        return dict(fact, host=self._host, lost_records=self._lost)


# --------------------------------------------------------------------------- /dev/kmsg


async def follow_records(fd: int, replay: bool, read: t.Callable[[int, int], bytes] = os.read
                         ) -> t.AsyncGenerator[list[Event], None]:
    """The kills in the records of /dev/kmsg, as they come. Closes ``fd``."""
    messages = HostMessages(_sanitize_name(socket.gethostname()))
    try:
        if not replay:
            with contextlib.suppress(OSError):
                os.lseek(fd, 0, os.SEEK_END)
        while True:
            events, paused = _read_some(fd, messages, read)
            if events:
                yield events
            if paused:
                await _wait_until_readable(fd)
            else:
                await asyncio.sleep(0)  # a rulebook has other sources, and a user who can write to the log can flood it
    finally:
        os.close(fd)


async def _wait_until_readable(fd: int) -> None:
    """Wait until there is something to read.

    The loop looks at the descriptor no longer than that: it would come back at once, again and again, for as long as a
    record is unread, and a rulebook that carries out an action takes none.
    """
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


def _read_some(fd: int, messages: HostMessages, read: t.Callable[[int, int], bytes]) -> tuple[list[Event], bool]:
    """(The kills of some records, up to the first ones; whether the log holds no more for now). Raises EventsError."""
    for _number in range(_MOST_AT_ONCE):
        try:
            record = read(fd, RECORD_BYTES)
        except BlockingIOError:
            return [], True
        except BrokenPipeError:
            messages.lose()  # the next read begins with the oldest record that is left
            continue
        except OSError as exc:
            raise EventsError(f'the kernel log cannot be read any more ({exc.strerror}) [OOMK-2905]') from exc
        if not record:
            raise EventsError('the kernel log has ended [OOMK-2905]')
        parsed = parse_record(record)
        events = messages.feed(*parsed, when=_format_kill_time) if parsed else []
        if events:
            return events, False
    return [], False


def _format_kill_time(kill: LoggedKill) -> str:
    """The time of the kill by this machine's clock, as in the facts."""
    return _format_utc(time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + kill.since_boot_us / 1e6)


@functools.lru_cache(maxsize=16)
def _format_utc(seconds: float) -> str:
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(seconds))


# --------------------------------------------------------------------------- a log file


async def follow_file(request: SourceRequest) -> t.AsyncGenerator[list[Event], None]:
    """The kills in the lines of a log, over its rotation, as often as the request says."""
    log = None
    try:
        log, hosts = LogFile(request.path, request.replay, select=find_kernel_lines), Hosts()
        while True:
            for lines in log.read_chunks():
                if log.was_cut():
                    hosts.lose()
                events = [event for line in lines for event in hosts.feed_parts(*line)]
                if events:
                    yield events
                await asyncio.sleep(0)  # a rulebook has other sources, and this file may be long
            await asyncio.sleep(request.poll_interval_s)
    except LogError as exc:
        raise EventsError(f'path: {sanitize(request.path)} {exc}') from exc
    finally:
        if log is not None:
            log.close()


class Hosts:
    """Turns the lines of a log into events. A central log mixes the lines of many hosts."""

    def __init__(self) -> None:
        self._hosts: OrderedDict[bytes, HostMessages] = OrderedDict()
        self._lost = False

    def lose(self) -> None:
        """Note that lines are missing here, of any host."""
        self._lost = True
        for messages in self._hosts.values():
            messages.lose()

    def feed(self, line: bytes) -> list[Event]:
        """One line; the events that it completes. A line that is not the kernel's is passed over."""
        match = _LINE.match(line) if len(line) <= LONGEST_LINE_BYTES else None
        return [] if match is None else self.feed_parts(*match.groups())

    def feed_parts(self, stamp: bytes, host: bytes, message: bytes) -> list[Event]:
        """The parts of one line; see L(Hosts.feed)."""
        if len(message) > LONGEST_MESSAGE_BYTES or not message.startswith(STARTS):
            return []
        messages = self._hosts.get(host)
        if messages is None:
            messages = self._hosts[host] = HostMessages(_sanitize_name(host), self._lost)
            if len(self._hosts) > _MOST_HOSTS:
                self._hosts.popitem(last=False)
        else:
            self._hosts.move_to_end(host)
        return messages.feed(0, unescape(message, _OCTAL, _OCTAL_BYTES), lambda _kill: _parse_stamp(stamp))


def find_kernel_lines(block: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """(stamp, host, message) of the lines that can belong to a kill."""
    return _KERNEL_LINE.findall(b'\n' + block)


def _parse_stamp(stamp: bytes) -> str:
    """The stamp of a line in UTC; the current time where the stamp has no year."""
    text = stamp.decode('ascii', 'replace')
    if _ISO.match(text):
        with contextlib.suppress(ValueError, OverflowError):
            when = datetime.fromisoformat(text.replace('Z', '+00:00'))
            return when.astimezone(timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')
    return _format_utc(int(time.time()))
