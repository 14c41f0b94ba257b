"""The footprint as it goes over the wire, inside ``usage`` of an OpenAI-compatible reply."""

from __future__ import annotations

import math
from typing import Any

from inferprint.flags import PROVISIONAL
from inferprint.ranges import Range
from inferprint.receipt import Receipt

__all__ = ["METHODOLOGY_VERSION", "footprint_of"]

METHODOLOGY_VERSION = "1"
"""Goes up when the same readings would give other figures."""


def footprint_of(receipt: Receipt) -> dict[str, Any]:
    """The object ``usage.footprint`` of a receipt, plain enough for ``json.dumps``.

    Args:
        receipt: settled, or from ``estimate()``.

    Returns:
        ``energy_joules``, ``active_joules`` and ``idle_joules`` are joules at the devices'
        meters; what the first has beyond the other two is its share of the waiting.
        ``carbon_grams`` has the ends of its interval; ``is_estimated`` says that the last
        windows of the request had not closed yet. What is not known is None, never 0.
    """
    energy, cost = receipt.energy, receipt.cost
    return {
        "request_id": receipt.request_id,
        "energy_joules": _mid(energy.total_j),
        "active_joules": _mid(energy.active_j),
        "idle_joules": _mid(energy.idle_j),
        "carbon_grams": _ends(receipt.carbon),
        "water_liters": _mid(receipt.water),
        "cost": None if cost is None else {"amount": _known(cost.mid), "currency": cost.currency},
        "attribution_method": receipt.attribution_method,
        "provenance": receipt.provenance,
        "is_estimated": PROVISIONAL in receipt.flags,
        "methodology_version": METHODOLOGY_VERSION,
    }


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mid(figure: Range | None) -> float | None:
    return None if figure is None else _known(figure.mid)


def _ends(figure: Range | None) -> dict[str, float | None] | None:
    if figure is None:
        return None
    return {end: _known(getattr(figure, end)) for end in ("low", "mid", "high")}
