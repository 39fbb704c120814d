# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the filters compute: parse the sizes of a playbook, and compute as the modules do.

See L(_kernel.commit_limit) for the CommitLimit, and L(_kernel.badness) for the choice of a victim.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

from ..module_utils._core import convert
from ..module_utils._core.convert import ConvertError, quote
from ..module_utils._core.sanitize import sanitize
from ..module_utils._kernel import badness, commit_limit
from ..module_utils._kernel.meminfo import Memory

_MOST_KB = 2 ** 54  # all that 64 bits can address
_MOST_CHARACTERS = 100  # characters of the keys of a mapping
_PAGE_SIZES_KB = (4, 8, 16, 64, 256)  # arch/*/Kconfig


def build_filter(name: str, compute: t.Callable[..., int]) -> t.Callable[..., int]:
    """A filter that computes this, and raises AnsibleFilterError."""
    def run(*args: t.Any, **kwargs: t.Any) -> int:
        try:
            return compute(*args, **kwargs)
        except (ConvertError, TypeError) as exc:
            raise AnsibleFilterError(f'oomkit.linux.{name}: {exc}') from exc
    return run


def commit_limit_kb(memory: t.Any, swap: t.Any = None, ratio: t.Any = None, kbytes: t.Any = None,
                    hugepages: t.Any = None, page_kb: t.Any = 4) -> int:
    """CommitLimit in kB, as ``vm_commit_limit`` in mm/util.c computes it.

    Sizes are kB, or text with a unit. ``memory`` may be the facts of a host (``oom.memory``), which hold swap and huge
    pages too. Without a ratio and kbytes it is the kernel's own ratio, 50. Raises ConvertError.
    """
    found = _select_facts('memory', memory, {'total_kb': 'memory', 'swap_total_kb': 'swap', 'hugetlb_kb': 'hugepages'})
    sizes_kb = {name: _parse_size_kb(name, value if value is not None else found.get(name, 0))
                for name, value in (('memory', found['memory']), ('swap', swap), ('hugepages', hugepages))}
    if sizes_kb['hugepages'] > sizes_kb['memory']:
        raise ConvertError(f"hugepages: {sizes_kb['hugepages']} kB are more than the {sizes_kb['memory']} kB of memory"
                           " [OOMK-2803]")
    percent, amount_kb = _parse_limit(ratio, kbytes)
    whole = Memory(total_kb=sizes_kb['memory'], available_kb=None, swap_total_kb=sizes_kb['swap'], swap_free_kb=0,
                   hugetlb_kb=sizes_kb['hugepages'], commit_limit_kb=None, committed_kb=None)
    return commit_limit.compute_limit_kb(whole, percent, amount_kb, _parse_page_kb(page_kb))


def badness_pages(rss: t.Any, total: t.Any, score_adj: t.Any = None, swap: t.Any = None, page_tables: t.Any = None,
                  page_kb: t.Any = 4) -> int:
    """Badness in pages, as ``oom_badness`` in mm/oom_kill.c computes it (5.9 and later: it can be negative).

    Sizes are kB, or text with a unit. ``rss`` may be a candidate of the facts, which holds the rest too; ``total`` is
    RAM and swap, or the facts' ``oom.memory``. Raises ConvertError.
    """
    found = _select_facts('rss', rss, {'rss_kb': 'rss', 'swap_kb': 'swap', 'pagetables_kb': 'page_tables',
                                       'oom_score_adj': 'score_adj'})
    page = _parse_page_kb(page_kb)
    memory = tuple(_parse_size_kb(name, value if value is not None else found.get(name, 0)) // page
                   for name, value in (('rss', found['rss']), ('swap', swap), ('page_tables', page_tables)))
    adj = convert.to_score_adj('score_adj', found.get('score_adj', 0) if score_adj is None else score_adj)
    terms = badness.Terms(t.cast(badness.Memory, memory), adj)
    return badness.compute_badness_pages(terms, _parse_total_kb(total) // page)


def _select_facts(name: str, value: t.Any, keys: dict[str, str]) -> dict[str, t.Any]:
    """The facts in ``value`` by the filter's names; a plain value is that of ``name``. Raises ConvertError."""
    if not isinstance(value, Mapping):
        return {name: value}
    found = {own: value[key] for key, own in keys.items() if value.get(key) is not None}
    if name not in found:
        raise ConvertError(f"{name}: a mapping must hold {next(iter(keys))}, as the facts of oomkit.linux.oom_facts "
                           f"do; it has {_list_keys(value) or 'nothing'} [OOMK-2802]")
    return found


def _list_keys(value: Mapping[t.Any, t.Any]) -> str:
    text = ', '.join(sorted(sanitize(key) if isinstance(key, str) else quote(key) for key in value))
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + '...'


def _parse_size_kb(name: str, value: t.Any) -> int:
    """A number of kB, or a text with its unit such as ``64G``, in kB. Raises ConvertError."""
    has_unit = isinstance(value, str) and value.strip()[-1:].isalpha()
    try:
        size_kb = convert.to_amount(name, value).size_kb if has_unit else value
        return convert.to_integer(name, size_kb, 0, _MOST_KB)
    except ConvertError:
        raise ConvertError(f'{name}: {quote(value)} is neither a number of kB, 0 or more, nor a size with a unit such '
                           'as 64G [OOMK-2801]') from None


def _parse_total_kb(value: t.Any) -> int:
    """RAM and swap, from a size or from the facts of a host. Raises ConvertError."""
    found = _select_facts('total', value, {'total_kb': 'total', 'swap_total_kb': 'swap'})
    return _parse_size_kb('total', found['total']) + _parse_size_kb('swap', found.get('swap', 0))


def _parse_limit(ratio: t.Any, kbytes: t.Any) -> tuple[int, int]:
    """(overcommit_ratio, overcommit_kbytes) as the kernel would hold them: one of them is 0. Raises ConvertError."""
    amount_kb = 0 if kbytes is None else _parse_size_kb('kbytes', kbytes)
    if ratio is None:
        return (0 if amount_kb else 50), amount_kb
    percent = convert.to_integer('ratio', ratio, 0)
    if percent and amount_kb:
        raise ConvertError(f'ratio and kbytes: {percent} and {amount_kb} cannot both hold, the kernel sets the one to '
                           '0 when the other is set; give one of them [OOMK-2803]')
    return percent, amount_kb


def _parse_page_kb(value: t.Any) -> int:
    """The size of a page. Raises ConvertError."""
    page_kb = convert.to_integer('page_kb', value, 1)
    if page_kb not in _PAGE_SIZES_KB:
        raise ConvertError(f"page_kb: {page_kb} is not one of {', '.join(map(str, _PAGE_SIZES_KB))} [OOMK-2801]")
    return page_kb
