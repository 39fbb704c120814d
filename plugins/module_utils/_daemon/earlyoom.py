# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""earlyoom: the thresholds in its arguments.

Sources: earlyoom(1) of 1.6 to 1.8 and its README, tried with earlyoom 1.7.
"""

import getopt
import math
import re
from typing import Dict, List, Optional, Tuple

from .._host.host import Host
from . import model
from .model import DaemonSettings, Threshold, Totals, UnknownThresholds

_SHORT_OPTIONS = 'm:s:M:S:kingN:P:dvr:phw:'
_LONG_OPTIONS = ['prefer=', 'avoid=', 'ignore=', 'dryrun', 'ignore-root-user', 'sort-by-rss', 'syslog', 'debug', 'help']
_DEFAULT_PERCENT = (10.0, 5.0)
_MOST_PERCENT = {'-m': 99.0, '-s': 100.0}
_C_NUMBER = re.compile(r'[ \t\n\v\f\r]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\Z')
_NOTES = (
    ('--prefer', 'it prefers to kill processes whose name matches its option --prefer'),
    ('--avoid', 'it avoids killing processes whose name matches its option --avoid'),
    ('--ignore', 'it never kills processes whose name matches its option --ignore'),
    ('--dryrun', '--dryrun: it never kills'),
    ('--ignore-root-user', 'it never kills processes of root'),
    ('--sort-by-rss', 'it kills the process with the largest RSS, whatever the oom_score'),
    ('-g', 'it kills all processes of the same process group'),
)


def read_settings(host: Host, arguments: List[str]) -> DaemonSettings:
    """The settings in its arguments, to which the unit has added those of /etc/default/earlyoom."""
    options, totals = parse_options(arguments[1:]), model.read_totals(host)
    # Only the names of options: command lines hold secrets.
    notes = model.note_missing_swap(totals) + [text for name, text in _NOTES if name in options]
    return DaemonSettings(build_thresholds(options, totals), '--dryrun' in options, notes)


def parse_options(arguments: List[str]) -> Dict[str, str]:
    """The options by name, the last one counts. Raises UnknownThresholds for what earlyoom would refuse."""
    try:
        options, rest = getopt.gnu_getopt(arguments, _SHORT_OPTIONS, _LONG_OPTIONS)
    except getopt.GetoptError:
        raise UnknownThresholds('its arguments are not understood: an unknown option, or one that lacks its '
                                'value') from None
    if rest:
        raise UnknownThresholds('its arguments are not understood: a word that is not an option')
    return dict(options)


def build_thresholds(options: Dict[str, str], totals: Totals) -> List[Threshold]:
    """The thresholds for SIGTERM and SIGKILL. Memory and swap must both be low; no swap counts as low swap.

    earlyoom turns sizes into percentages of the total when it starts, and of -m and -M the lower one counts (since
    1.5). The percentages of 1.8 are of MemAvailable plus AnonPages, those of earlier releases of MemTotal.
    """
    term, kill = [Threshold(action, [
        _build_condition(model.AVAILABLE_MEMORY, options, ('-m', '-M'), totals.memory_kb, step),
        _build_condition(model.FREE_SWAP, options, ('-s', '-S'), totals.swap_kb, step),
    ], None, None, None) for step, action in enumerate((model.TERM, model.KILL))]
    return [kill] if term.when == kill.when else [term, kill]


def _build_condition(what: str, options: Dict[str, str], names: Tuple[str, str], total_kb: Optional[int],
                     step: int) -> model.Condition:
    """The limit of an option in percent and of its counterpart in kB; ``step`` 0 is for SIGTERM, 1 for SIGKILL."""
    percents, sizes = [_parse_pair(name, options) for name in names]
    if sizes is None:
        return model.below(what, (percents or _DEFAULT_PERCENT)[step])
    size_kb, percent = int(sizes[step]), percents[step] if percents else None
    if not total_kb:
        return model.below(what, percent, size_kb)
    share_percent = 100.0 * sizes[step] / total_kb
    if percent is not None and percent <= share_percent:
        return model.below(what, percent)
    return model.below(what, round(share_percent, 2), size_kb)


def _parse_pair(name: str, options: Dict[str, str]) -> Optional[Tuple[float, float]]:
    """The two values of one option: SIGKILL's is half of SIGTERM's by default, and never above it."""
    if name not in options:
        return None
    most = _MOST_PERCENT.get(name, float(model.MAX_KB))
    words = options[name].split(',')
    numbers = [_parse_number(word) for word in words]
    values = [number for number in numbers if number is not None and 0 <= number <= most]
    if len(values) != len(words) or len(words) > 2 or not any(values):
        raise UnknownThresholds(f'its arguments are not understood: the value of {name}')
    term, kill = (values + [values[0] / 2])[:2]
    return max(term, kill), kill


def _parse_number(text: str) -> Optional[float]:
    """The number as strtod(3) reads it, where an empty text is 0. Hexadecimal numbers are refused."""
    match = _C_NUMBER.match(text) if len(text) <= model.MAX_NUMBER_LENGTH else None
    if match is None:
        return None if text else 0.0
    number = float(match.group(1))
    return number if math.isfinite(number) else None
