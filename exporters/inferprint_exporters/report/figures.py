"""Figures for people: a unit that fits, and no more digits than there is meaning in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inferprint.units import JOULES_PER_WH

__all__ = ["NOT_KNOWN", "grams", "joules", "litres", "money", "number", "percent", "watt_hours"]

NOT_KNOWN = "unknown"
Steps = Sequence[tuple[float, str]]
WH: Steps = ((1e-9, "GWh"), (1e-6, "MWh"), (1e-3, "kWh"), (1.0, "Wh"), (1e3, "mWh"), (1e6, "µWh"))
GRAMS: Steps = ((1e-6, "t"), (1e-3, "kg"), (1.0, "g"), (1e3, "mg"), (1e6, "µg"), (1e9, "ng"))
LITRES: Steps = ((1e-3, "m³"), (1.0, "L"), (1e3, "mL"), (1e6, "µL"))
JOULES: Steps = ((1e-9, "GJ"), (1e-6, "MJ"), (1e-3, "kJ"), (1.0, "J"), (1e3, "mJ"))


def watt_hours(joules_: float | None, between: Mapping[str, float] | None = None) -> str:
    """Energy, with its range where it has one."""
    return _scaled(joules_, between, WH, 1 / JOULES_PER_WH)


def joules(value: float | None) -> str:
    """Energy of one request or token."""
    return _scaled(value, None, JOULES, 1.0)


def grams(value: float | None, between: Mapping[str, float] | None = None, of: str = "") -> str:
    """A mass, and of what."""
    text = _scaled(value, between, GRAMS, 1.0)
    return f"{text} {of}" if of and text != NOT_KNOWN else text


def litres(value: float | None, between: Mapping[str, float] | None = None) -> str:
    """Water."""
    return _scaled(value, between, LITRES, 1.0)


def money(value: float | None, currency: str | None) -> str:
    """Money in its currency."""
    return NOT_KNOWN if value is None else f"{number(value)} {currency}"


def percent(share: float | None) -> str:
    """A share."""
    return NOT_KNOWN if share is None else f"{share:.1%}"


def number(value: float | None) -> str:
    """Three digits; whole numbers from a thousand on."""
    if value is None:
        return NOT_KNOWN
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _scaled(
    value: float | None, between: Mapping[str, Any] | None, steps: Steps, scale: float
) -> str:
    if value is None:
        return NOT_KNOWN
    factor, unit = _step(abs(value) * scale, steps)
    text = f"{number(value * scale * factor)} {unit}"
    if between is None or between["low"] == between["high"]:
        return text
    low, high = (number(between[end] * scale * factor) for end in ("low", "high"))
    return text if low == high else f"{text} ({low} to {high})"


def _step(value: float, steps: Steps) -> tuple[float, str]:
    for factor, unit in steps:
        if value * factor >= 1.0:
            return factor, unit
    return (1.0, next(unit for factor, unit in steps if factor == 1.0)) if not value else steps[-1]
