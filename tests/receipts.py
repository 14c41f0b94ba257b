"""Receipts made by hand, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from inferprint.impacts import Carbon, Cost
from inferprint.ranges import Range
from inferprint.receipt import Receipt
from inferprint.records import Component, ComponentEnergy, Energy, Outcome, Tokens

STARTED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def component(
    active_j: float | None = None,
    idle_j: float | None = None,
    standing_j: float | None = None,
    *,
    total_j: float | None = None,
) -> ComponentEnergy:
    """One component's energy; its total is the sum of its parts unless it is given."""
    parts = [part for part in (active_j, idle_j, standing_j) if part is not None]
    total = sum(parts) if total_j is None and parts else total_j
    return ComponentEnergy(
        exactly(active_j), exactly(idle_j), exactly(standing_j), exactly(total), "measured"
    )


def receipt(
    model: str = "llama-3-8b",
    *,
    request_id: str = "req-1",
    labels: Mapping[str, str] | None = None,
    outcome: Outcome = "ok",
    duration_s: float = 2.0,
    time_to_first_token_s: float | None = None,
    tokens: Tokens | None = None,
    parts: Mapping[Component, ComponentEnergy] | None = None,
    carbon: Carbon | None = None,
    water: Range | None = None,
    cost: Cost | None = None,
    quote_error_ratio: float | None = None,
) -> Receipt:
    """A settled receipt whose energy is the sum of its components' ``parts``."""
    return Receipt(
        request_id=request_id,
        model=model,
        labels=labels or {},
        outcome=outcome,
        started_at=STARTED_AT,
        duration_s=duration_s,
        time_to_first_token_s=time_to_first_token_s,
        tokens=tokens or Tokens(),
        energy=energy(parts or {}),
        idle_policy="amortised",
        attribution_method="equal-time",
        provenance="measured" if parts else "unknown",
        carbon=carbon,
        water=water,
        cost=cost,
        quote_error_ratio=quote_error_ratio,
    )


def energy(parts: Mapping[Component, ComponentEnergy]) -> Energy:
    """The energy of these components: a part is unknown where one component's is."""
    columns = ("active_j", "idle_j", "standing_j", "total_j")
    sums = {column: _sum([getattr(part, column) for part in parts.values()]) for column in columns}
    return Energy(**sums, overhead_j=None, by_component=parts)


def exactly(value: float | None) -> Range | None:
    """A figure that is known exactly, or is not known."""
    return None if value is None else Range.exactly(value)


def _sum(ranges: list[Range | None]) -> Range | None:
    known = [range_ for range_ in ranges if range_ is not None]
    if not known or len(known) < len(ranges):
        return None
    return sum(known[1:], start=known[0])
