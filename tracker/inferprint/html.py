"""Receipts, quotes and balances as HTML: small tables, and a badge for an answer.

Every text is escaped: a model's name is shown as what it is, and is never markup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from inferprint.errors import ConfigError
from inferprint.ranges import Range
from inferprint.readable import CARBON, UNKNOWN, figure, in_wh, word_rows
from inferprint.receipt import Receipt
from inferprint.wire import footprint_of

if TYPE_CHECKING:
    from inferprint.quote import Quote
    from inferprint.records import Balance

__all__ = ["Show", "badge", "balance_table", "record_table"]

Show = Literal["energy", "carbon", "cost"]
_SHOWN = ("energy", "carbon", "cost")

_TERMS = (
    ("used", "measured_j"),
    ("active", "requests_active_j"),
    ("idle", "requests_idle_j"),
    ("standing", "requests_standing_j"),
    ("not charged", "standing_j"),
    ("other processes", "other_processes_j"),
    ("unattributed", "unattributed_j"),
)


def badge(footprint: Receipt | Mapping[str, Any], show: Show = "energy") -> str:
    """What an answer cost, as ``<inferprint-badge>``, to be put beside it.

    The page that has it loads ``badge.js`` of ``inferprint_exporters.live``; where it does not,
    the figure is there as plain text.

    Args:
        footprint: the receipt, or what ``footprint_of`` made of it.
        show: ``energy``, ``carbon`` or ``cost``.

    Returns:
        HTML in which everything is escaped.

    Raises:
        ConfigError: ``show`` is none of these.
    """
    if show not in _SHOWN:
        raise ConfigError("show", show, " or ".join(map(repr, _SHOWN)))
    wire = footprint_of(footprint) if isinstance(footprint, Receipt) else footprint
    data = escape(json.dumps(wire, allow_nan=False))
    words = escape(_headline(wire, show))
    return f'<inferprint-badge show="{show}" footprint="{data}">{words}</inferprint-badge>'


def _headline(wire: Mapping[str, Any], show: Show) -> str:
    if show == "carbon":
        text = figure(_range(wire["carbon_grams"]), CARBON)
    elif show == "cost":
        cost = wire["cost"] or {}
        text = figure(cost.get("amount"), cost.get("currency", ""))
    else:
        text = in_wh(wire["energy_joules"])
    if text == UNKNOWN:
        return f"footprint {UNKNOWN}"
    return f"{text} · {wire['provenance']}" + (" so far" if wire["is_estimated"] else "")


def _range(ends: Mapping[str, float | None] | None) -> Range | None:
    if ends is None:
        return None
    low, mid, high = (ends[end] for end in ("low", "mid", "high"))
    return None if low is None or mid is None or high is None else Range(low, mid, high)


def record_table(record: Receipt | Quote) -> str:
    """A receipt or a quote: a line for each figure."""
    title = record.request_id if isinstance(record, Receipt) else "quote"
    rows = [*word_rows(record), ("provenance", record.provenance)]
    if record.flags:
        rows.append(("flags", ", ".join(sorted(record.flags))))
    return _table(f"{title} {record.model}", (), rows)


def balance_table(balance: Balance) -> str:
    """The books: a line for each device, whose first figure is the sum of the others."""
    rows = [
        (f"{key} ({device.provenance})", *(in_wh(getattr(device, term)) for _, term in _TERMS))
        for key, device in sorted(balance.devices.items())
    ]
    return _table("what each device used", ["device", *(name for name, _ in _TERMS)], rows)


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = [f"<tr>{head}</tr>"] if header else []
    lines += [
        f'<tr><th scope="row" style="text-align: left">{_indented(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    ]
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def _indented(name: str) -> str:
    own = name.lstrip()
    return "&emsp;" * bool(len(name) - len(own)) + escape(own)
