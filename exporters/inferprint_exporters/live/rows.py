"""A receipt as the live page lists it: one small object, with what is unknown as null."""

from __future__ import annotations

import math
from typing import Any

from inferprint.ranges import Range
from inferprint.receipt import Receipt

__all__ = ["MOST_NAME", "row_of", "shortened", "triple"]

MOST_NAME = 200
"""Letters of a name that are listed; the receipt has them all."""

_DIGITS = 9


def row_of(receipt: Receipt, number: int) -> dict[str, Any]:
    """The line of one receipt.

    Args:
        receipt: settled.
        number: its place among all that the server has had, from 1.
    """
    energy, cost, tokens = receipt.energy, receipt.cost, receipt.tokens
    assert receipt.started_at is not None, "a tracker's receipts have their time"
    return {
        "n": number,
        "id": receipt.request_id,
        "model": shortened(receipt.model),
        "outcome": receipt.outcome,
        "at": receipt.started_at.timestamp() + (receipt.duration_s or 0.0),
        "s": rounded(receipt.duration_s),
        "input": tokens.input,
        "output": tokens.output,
        "total": triple(energy.total_j),
        "active": triple(energy.active_j),
        "idle": triple(energy.idle_j),
        "standing": triple(energy.standing_j),
        "overhead": triple(energy.overhead_j),
        "carbon": triple(receipt.carbon),
        "cost": triple(cost),
        "currency": "" if cost is None else cost.currency,
        "provenance": receipt.provenance,
        "flags": sorted(receipt.flags),
        "quoted": triple(None if receipt.quote is None else receipt.quote.energy.total_j),
        "ratio": rounded(receipt.quote_error_ratio),
    }


def triple(figure: Range | None) -> list[float] | None:
    """Low, middle and high; None where one of them is no number that JSON has."""
    if figure is None:
        return None
    ends = [rounded(end) for end in (figure.low, figure.mid, figure.high)]
    return None if None in ends else [end for end in ends if end is not None]


def rounded(value: float | None) -> float | None:
    """A number with as many digits as anything on the page can show, to keep the page light."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def shortened(name: str) -> str:
    """A name that fits on the page."""
    return name if len(name) <= MOST_NAME else name[:MOST_NAME] + "…"
