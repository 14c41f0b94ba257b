"""Which factors move a total most: each is varied alone over its own interval, or by a tenth up
and down where its source gives none, and the total computed again.

The total of a set of factors is U e p I + M t / (L u): each factor is in it once, above or below
the line, so that the total follows from its parts without the receipts. Where a machine is of
several pieces, what each contributes is not on a receipt: then the whole of the part is varied,
which is marked as ``at_most``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inferprint.impacts import Factor
from inferprint.ranges import Range
from inferprint_exporters.report.reading import Found
from inferprint_exporters.report.tally import Tally
from inferprint_exporters.report.used import used

__all__ = ["sensitivity"]

TENTH = 0.1

Total = Literal["carbon", "cost"]
# The part of the total that a factor is in, and whether it is below the line.
ROLES: Mapping[Total, Mapping[str, tuple[str, bool]]] = {
    "carbon": {
        "grid_carbon_intensity": ("carbon_operational_g", False),
        "pue": ("carbon_operational_g", False),
        "embodied_carbon": ("carbon_embodied_g", False),
        "lifetime": ("carbon_embodied_g", True),
        "utilisation": ("carbon_embodied_g", True),
    },
    "cost": {
        "electricity_price": ("cost_electricity", False),
        "pue": ("cost_electricity", False),
        "hardware_price": ("cost_hardware", False),
    },
}
BY_ENERGY = {"carbon": "carbon_operational_g", "cost": "cost_electricity"}


@dataclass(slots=True)
class Swing:
    """How far a total moves when one factor does."""

    value: float
    unit: str
    low: float
    high: float
    total_low: float = 0.0
    total_high: float = 0.0
    by: str = "its own interval"
    at_most: bool = False


def sensitivity(found: Found) -> list[dict[str, Any]]:
    """For each total that can be added up, the factors in the order of how far they move it."""
    sets = [row for row in found.rows if row.dimension == "factors"]
    together, ranked = Tally(sets), []
    for basis, tally in together.by_basis.items():
        ranked.append(_ranked("carbon", "gCO2e", {"basis": basis}, tally, found))
    for currency, tally in together.by_currency.items():
        ranked.append(_ranked("cost", currency, {"currency": currency}, tally, found))
    return ranked


def _ranked(
    total: Total, unit: str, of: Mapping[str, str], tally: Tally, found: Found
) -> dict[str, Any]:
    value = tally.mid("carbon_g" if total == "carbon" else "cost") or 0.0
    swings = _swings(total, tally, found)
    rows: list[dict[str, Any]] = [
        {
            "factor": name,
            "region": region,
            "value": swing.value,
            "unit": swing.unit,
            "low": swing.low,
            "high": swing.high,
            "varied_by": swing.by,
            "total_low": value + swing.total_low,
            "total_high": value + swing.total_high,
            "moves": swing.total_high - swing.total_low,
            "at_most": swing.at_most,
        }
        for (name, region), swing in swings.items()
    ]
    rows.sort(key=lambda row: row["moves"], reverse=True)
    return {"total": total, "unit": unit, **of, "value": value, "factors": rows}


def _swings(total: Total, tally: Tally, found: Found) -> dict[tuple[str, str], Swing]:
    swings = {("energy", "meters and shares"): _by_energy(total, tally)}
    for part, factors in used(found, tally.rows):
        several = {name for name, n in Counter(factor.name for factor in factors).items() if n > 1}
        for factor, name, below in _roles(total, factors):
            moved = part.mid(name)
            if moved is not None:
                identity = (factor.name, factor.region)
                swing = swings.setdefault(identity, _start(factor))
                _move(swing, factor, moved, below)
                swing.at_most |= factor.name in several
    return {identity: swing for identity, swing in swings.items() if swing is not None}


def _roles(total: Total, factors: Sequence[Factor]) -> Iterator[tuple[Factor, str, bool]]:
    for factor in factors:
        if factor.name in ROLES[total] and factor.value:
            yield (factor, *ROLES[total][factor.name])


def _by_energy(total: Total, tally: Tally) -> Swing:
    """The energy itself is as sure as its meters and the shares of it."""
    moved = tally.mid(BY_ENERGY[total]) or 0.0
    energy = tally.figure("energy_j")
    known = energy.range if energy else Range.exactly(0.0)
    swing = Swing(known.mid, "J", known.low, known.high, by="the intervals of receipts")
    if known.mid:
        swing.total_low = moved * (known.low / known.mid - 1)
        swing.total_high = moved * (known.high / known.mid - 1)
    return swing


def _start(factor: Factor) -> Swing:
    low, high, by = _interval(factor)
    return Swing(factor.value, factor.unit, low, high, by=by)


def _interval(factor: Factor) -> tuple[float, float, str]:
    if factor.low is not None and factor.high is not None and factor.low < factor.high:
        return factor.low, factor.high, "its own interval"
    spread = abs(factor.value) * TENTH
    low = max(1.0, factor.value - spread) if factor.name == "pue" else factor.value - spread
    return low, factor.value + spread, "± 10 %"


def _move(swing: Swing, factor: Factor, moved: float, below: bool) -> None:
    low, high, _ = _interval(factor)
    swing.low, swing.high = min(swing.low, low), max(swing.high, high)
    ends = [
        factor.value / end if below else end / factor.value
        for end in (low, high)
        if end or not below
    ]
    changes = [moved * (end - 1) for end in ends]
    swing.total_low += min(changes)
    swing.total_high += max(changes)
