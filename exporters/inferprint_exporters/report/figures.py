"""Figures for people, as ``inferprint.readable`` writes them, from a report's plain values."""

from __future__ import annotations

from collections.abc import Mapping

from inferprint.ranges import Range
from inferprint.readable import CARBON, MATERIALS, UNKNOWN, figure, in_wh

__all__ = [
    "UNKNOWN",
    "carbon",
    "joules",
    "litres",
    "materials",
    "money",
    "number",
    "percent",
    "watts",
    "wh",
]

Ends = Mapping[str, float] | None


def wh(joules_: float | None, ends: Ends = None) -> str:
    """Energy, with its interval where it has one."""
    return in_wh(_range(joules_, ends), interval=True)


def joules(value: float | None) -> str:
    """Energy of one request or token."""
    return figure(value, "J")


def carbon(value: float | None, ends: Ends = None) -> str:
    """Grams of CO2 equivalent."""
    return figure(_range(value, ends), CARBON, interval=True)


def materials(value: float | None, ends: Ends = None) -> str:
    """Grams of antimony equivalent."""
    return figure(_range(value, ends), MATERIALS, interval=True)


def litres(value: float | None, ends: Ends = None) -> str:
    """Water."""
    return figure(_range(value, ends), "L", interval=True)


def money(value: float | None, currency: str | None) -> str:
    """Money in its currency."""
    return figure(value, currency or "")


def watts(value: float | None) -> str:
    """Power."""
    return figure(value, "W")


def percent(share: float | None) -> str:
    """A share."""
    return UNKNOWN if share is None else f"{share:.1%}"


def number(value: float | None) -> str:
    """Three digits; whole numbers from a thousand on."""
    if value is None:
        return UNKNOWN
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _range(value: float | None, ends: Ends) -> Range | float | None:
    return value if value is None or ends is None else Range(ends["low"], value, ends["high"])
