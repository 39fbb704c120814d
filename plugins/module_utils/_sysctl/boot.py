# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of our sysctls after a reboot: defaults, kernel command line, the loader's writes, then TuneD's.

"The last line wins" is not enough, so the writes are replayed as the kernel takes them. Writing overcommit_ratio erases
overcommit_kbytes and the reverse. systemd-sysctl keeps a later equal value at its earlier place.
"""

import errno
import os
import re
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from .._host import conf_files
from .._host.host import Host
from .._kernel import sysctls
from .._systemd import enabled
from . import parser
from .records import ALL_KEYS, KEYS_BY_PATH, SYSCTLS

if TYPE_CHECKING:
    from .tuned_start import Start

CMDLINE = '/proc/cmdline'


# The line that sets the value of a key.
class Cause(NamedTuple):
    path: str
    line: int


class BootOutcome(NamedTuple):
    values: sysctls.State  # None: the kernel computes it at boot
    causes: Dict[str, Optional[Cause]]  # None: the kernel's default
    by_tuned: Set[str]  # the keys that TuneD sets when it starts, after the loader


_Write = Tuple[str, Optional[str], Cause]


def initial_values(originals: Optional[Dict[str, int]] = None) -> sysctls.State:
    """The values that the kernel starts with: constants, and recorded values of those that it computes.

    kernel.panic defaults to CONFIG_PANIC_TIMEOUT, documented and nearly always 0. The reserves depend on free memory at
    boot and stay None unless recorded.
    """
    values: sysctls.State = {}
    for key, sysctl in SYSCTLS.items():
        if key in (originals or {}):
            values[key] = (originals or {})[key]
        else:
            values[key] = sysctl.default if sysctl.is_constant or key == sysctls.PANIC else None
    return values


def simulate(host: Host, loader: conf_files.Loader, originals: Optional[Dict[str, int]] = None,
             overlay: Optional[conf_files.Overlay] = None, here: bool = True) -> BootOutcome:
    """Replay the boot with the files as they are, or as the overlay would make them.

    ``here`` is False if another host boots these files: its kernel command line is unknown. All values are None if the
    loader is unknown.
    """
    outcome = BootOutcome(initial_values(originals), dict.fromkeys(ALL_KEYS), set())
    if not loader.is_known:
        return outcome._replace(values=dict.fromkeys(ALL_KEYS))
    writes = [] if loader.reason else [
        (KEYS_BY_PATH[entry.key], entry.value, Cause(entry.path, entry.line))
        for entry in parser.read_writes(host, loader, sorted(KEYS_BY_PATH), overlay)]
    cmdline = (host.read_text(CMDLINE) if here else None) or ''
    early = [(key, value, Cause(CMDLINE, 1)) for key, value in cmdline_writes(cmdline)]
    skips_negative = _kernel_version(host) < (6, 0)
    replay(outcome, early, False, skips_negative)
    if loader.dialect == conf_files.BUSYBOX:
        writes = _without_ended(outcome, writes, skips_negative)
    replay(outcome, writes, loader.skips_equal, skips_negative)
    with_systemd = loader.dialect == conf_files.SYSTEMD
    if enabled.starts_at_boot(host, 'tuned', with_systemd, ('tuned-ppd',)):
        _replay_tuned(host, outcome, overlay, here, skips_negative,
                      enabled.starts_at_boot(host, 'tuned-ppd', with_systemd))
    return outcome


def _without_ended(outcome: BootOutcome, writes: List[_Write], skips_negative: bool) -> List[_Write]:
    """Drop the writes after a refused one in the same file, where busybox exits (xwrite() of libbb/xfuncs_printf.c)."""
    values, ended, kept = dict(outcome.values), set(), []
    for write in writes:
        key, text, cause = write
        if cause.path in ended:
            continue
        kept.append(write)
        if text is not None and not SYSCTLS[key].apply_write(values, text, skips_negative):
            ended.add(cause.path)
    return kept


def _replay_tuned(host: Host, outcome: BootOutcome, overlay: Optional[conf_files.Overlay], here: bool,
                  skips_negative: bool, has_ppd: bool) -> None:
    """Replay the writes of TuneD's start. Raises PermissionError for an unreadable file of TuneD.

    A value that differs between possible starts is unknown.
    """
    # Imported here, because few hosts run TuneD: its configparser takes a tenth of a module's start time.
    from . import tuned_start
    denied: List[str] = []
    starts = tuned_start.plan_starts(host, denied, sorted(KEYS_BY_PATH), overlay, here, has_ppd=has_ppd)
    if denied:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), denied[0])
    _merge_starts(outcome, [_after_start(outcome, start, skips_negative, tuned_start.parse_assignment)
                            for start in starts])


def _merge_starts(outcome: BootOutcome, outcomes: List[BootOutcome]) -> None:
    """Merge the results of the possible starts into the outcome."""
    before = dict(outcome.causes)
    for key in outcome.values:
        # A start that changes the value names the cause.
        last = next((one for one in outcomes if one.values[key] != outcomes[0].values[key]), outcomes[0])
        if last is not outcomes[0]:
            causes = [one.causes[key] for one in (last, outcomes[0]) if one.causes[key] != before[key]]
            outcome.values[key], outcome.causes[key] = None, causes[0] if causes else before[key]
        else:
            outcome.values[key], outcome.causes[key] = last.values[key], last.causes[key]
    outcome.by_tuned.update(name for name in before if outcome.causes[name] != before[name])


def _after_start(outcome: BootOutcome, start: 'Start', skips_negative: bool,
                 parse_assignment: Callable[[str, Optional[int]], Optional[str]]) -> BootOutcome:
    """Copy the outcome, and apply the writes of one start of TuneD."""
    after = BootOutcome(dict(outcome.values), dict(outcome.causes), set())
    for write in start.writes:
        key, cause = KEYS_BY_PATH[write.key], Cause(write.file, write.line)
        text = write.value if write.is_reapplied else parse_assignment(write.value, after.values[key])
        if not write.is_known:
            for name in (key, SYSCTLS[key].counterpart or key):
                after.values[name], after.causes[name] = None, cause
        elif text is not None:
            replay(after, [(key, text, cause)], start.skips_equal, skips_negative)
    return after


def _kernel_version(host: Host) -> Tuple[int, ...]:
    """Parse 6.12.107+deb13-amd64 to (6, 12). An unreadable version counts as a new kernel."""
    match = re.match(r'([0-9]{1,9})\.([0-9]{1,9})', host.read_text('/proc/sys/kernel/osrelease') or '')
    return tuple(int(number) for number in match.groups()) if match else (99,)


def replay(outcome: BootOutcome, writes: Sequence[_Write], skips_equal: bool = False,
           skips_negative: bool = False) -> None:
    """Apply the writes to the outcome and note the cause of each value. The text None is a skipped write."""
    values, causes, _by_tuned = outcome
    for key, text, cause in writes:
        if text is None:
            causes[key] = causes[key] or cause
            continue
        if skips_equal and text == str(values[key]):
            # systemd skips an equal text, so the counterpart keeps its value
            # (WRITE_STRING_FILE_SUPPRESS_REDUNDANT_VIRTUAL, src/basic/sysctl-util.c).
            causes[key] = cause
            continue
        counterpart = SYSCTLS[key].counterpart
        counterpart_before = values.get(counterpart)
        if SYSCTLS[key].apply_write(values, text, skips_negative):
            causes[key] = cause
            if counterpart and counterpart_before != 0:
                causes[counterpart] = cause


def cmdline_writes(cmdline: str) -> List[Tuple[str, str]]:
    """(key, text) of ``sysctl.vm.x=1``, ``sysctl/vm/x=1`` and ``panic=10`` on the kernel command line.

    The kernel applies ``panic=`` early, and from 5.8 on ``sysctl.`` right before init (fs/proc/proc_sysctl.c).
    """
    early: List[Tuple[str, str]] = []
    late: List[Tuple[str, str]] = []
    for word in _words(cmdline):
        name, equals, value = word.partition('=')
        if not equals:
            continue
        if name == 'panic':
            early.append((sysctls.PANIC, value))
        elif re.match(r'sysctl[./]', name):
            key = KEYS_BY_PATH.get(name[len('sysctl.'):].replace('.', '/'))
            if key is not None:
                late.append((key, value))
    return early + late


def _words(cmdline: str) -> List[str]:
    """The parameters before ``--``, which ends them (kernel/params.c). Double quotes protect blanks."""
    words = [word.replace('"', '') for word in re.findall(r'(?:"[^"]*"|[^\s"])+', cmdline)]
    return words[:words.index('--')] if '--' in words else words
