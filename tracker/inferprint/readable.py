"""Figures as people read them: in a unit that keeps them short, with the digits that they carry.

The last digit that is shown is worth at most half, and more than a twentieth, of the half-width
of the figure's interval: rounding moves it by less than a quarter of what it may be off by, and
no digit is shown that nothing stands behind. There are three digits at most, and one at least.
A figure that is known exactly has three, without zeros at their end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from inferprint.ranges import Range, sum_known
from inferprint.units import JOULES_PER_MEGAJOULE, JOULES_PER_WH

if TYPE_CHECKING:
    from inferprint.quote import Quote
    from inferprint.receipt import Receipt
    from inferprint.records import Energy

__all__ = [
    "CARBON",
    "MATERIALS",
    "UNKNOWN",
    "Scale",
    "energy_line",
    "figure",
    "in_wh",
    "in_words",
    "number",
    "scale_of",
    "site_energy",
    "word_rows",
]

UNKNOWN = "unknown"
CARBON, MATERIALS = "g CO2e", "g Sb eq"
"""The units of carbon and of materials; those of the others are ``J``, ``Wh``, ``L``, ``s``, ``m``,
``W``, and an ISO 4217 code for money."""

_MOST_DIGITS = 3
# Beyond these a number is written with a power of ten: nobody counts so many zeros.
_LEAST, _MOST = 1e-6, 1e15


class Scale(NamedTuple):
    """A unit as it is written, such as ``mWh``.

    Args:
        begins: the least figure that it is used for.
        size: how much it is. Both are in the unit without a prefix.
        name: how it is written.
    """

    begins: float
    size: float
    name: str


def _si(unit: str, prefixes: str) -> tuple[Scale, ...]:
    """The unit with these prefixes; ``-`` is none."""
    sizes = {"n": 1e-9, "µ": 1e-6, "m": 1e-3, "-": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    return tuple(_scale(sizes[p], p.replace("-", "") + unit) for p in prefixes)


def _scale(size: float, name: str) -> Scale:
    # 0.24 Wh reads better than 240 mWh, and 240 J better than 0.24 kJ.
    return Scale(size if size > 1.0 else size / 10, size, name)


_SCALES: Mapping[str, tuple[Scale, ...]] = {
    "J": _si("J", "nµm-kMGT"),
    "Wh": _si("Wh", "nµm-kMGT"),
    "W": _si("W", "-kM"),
    "L": (*_si("L", "nµm-"), _scale(1e3, "m³")),
    "m": _si("m", "µm-k"),
    "s": (
        *_si("s", "µm-"),
        Scale(120.0, 60.0, "min"),
        Scale(7_200.0, 3_600.0, "h"),
        Scale(172_800.0, 86_400.0, "days"),
    ),
    CARBON: (*_si(CARBON, "nµm-k"), _scale(1e6, "t CO2e"), _scale(1e9, "kt CO2e")),
    MATERIALS: (*_si(MATERIALS, "nµm-k"), _scale(1e6, "t Sb eq")),
}


def figure(value: Range | float | None, unit: str, *, interval: bool = False) -> str:
    """A figure for people, such as ``0.24 Wh``; the same in every locale.

    Args:
        value: in ``unit``. None: not known.
        unit: without a prefix; one that is not known here is written as it is, without prefixes.
        interval: adds the interval, as in ``0.24 Wh (0.21 to 0.27)``, where there is one.
    """
    if value is None:
        return UNKNOWN
    scale = scale_of(value, unit)
    text = f"{number(value, scale)} {scale.name}"
    if not interval or not isinstance(value, Range) or value.low == value.high:
        return text
    place = _place(value, scale)
    low, high = (_end(end / scale.size, place) for end in (value.low, value.high))
    return text if low == high else f"{text} ({low} to {high})"


def in_wh(joules: Range | float | None, *, interval: bool = False) -> str:
    """Energy in Wh; arguments as for ``figure``, in joules."""
    wh = None if joules is None else _range(joules) * (1.0 / JOULES_PER_WH)
    return figure(wh, "Wh", interval=interval)


def scale_of(value: Range | float, unit: str) -> Scale:
    """How the unit of a figure is written; to write others in the same, use it with ``number``."""
    scales = _SCALES.get(unit, (Scale(0.0, 1.0, unit),))
    mid = abs(_range(value).mid)
    if not 0.0 < mid < math.inf:
        return next((scale for scale in scales if scale.size == 1.0), scales[0])
    found = _fitting(scales, mid)
    # Rounding can carry it over: 999.9 J is 1 kJ.
    rounded = abs(float(number(value, found))) * found.size
    return _fitting(scales, rounded)


def _fitting(scales: Sequence[Scale], mid: float) -> Scale:
    return next((scale for scale in reversed(scales) if mid >= scale.begins), scales[0])


def _range(value: Range | float) -> Range:
    return value if isinstance(value, Range) else Range.exactly(value)


def number(value: Range | float, scale: Scale) -> str:
    """The figure as a number of this scale, without its name."""
    known = _range(value)
    text = _written(known.mid / scale.size, _place(known, scale))
    digits, power, exponent = text.partition("e")
    if known.low == known.high and "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return digits + power + exponent


def _place(value: Range | float, scale: Scale) -> int:
    """The power of ten of the last digit to show."""
    known = _range(value)
    half = (known.high - known.low) / scale.size / 2
    first = _first(known.mid / scale.size)
    if not 0.0 < half < math.inf:
        return min(0, (0 if first is None else first) - _MOST_DIGITS + 1)
    return _within_digits(math.floor(math.log10(half / 2)), first)


def _first(value: float) -> int | None:
    """The power of ten of the first digit; None: it has none."""
    return math.floor(math.log10(abs(value))) if 0.0 < abs(value) < math.inf else None


def _end(value: float, place: int) -> str:
    """The end of an interval, to the place of its middle; what is not 0 does not read as 0."""
    return _written(value, _within_digits(place, _first(value)))


def _within_digits(place: int, first: int | None) -> int:
    """The place, moved so that one digit is shown at least, and three at most."""
    return place if first is None else min(max(place, first - _MOST_DIGITS + 1), first)


def _written(value: float, place: int) -> str:
    if not math.isfinite(value):
        return str(value)
    if value and not _LEAST <= abs(value) < _MOST:
        digits, _, exponent = f"{value:.{max(0, (_first(value) or 0) - place)}e}".partition("e")
        return f"{digits}e{int(exponent)}"
    text = f"{round(value, -place):.{max(0, -place)}f}"
    return text if float(text) else "0"


def site_energy(energy: Energy) -> Range | None:
    """Joules with the site's overhead, where that is known; else those of the devices alone."""
    return sum_known((energy.total_j, energy.overhead_j)) or energy.total_j


def energy_line(energy: Energy) -> str:
    """Energy in joules with its interval and its parts, in one line."""
    total = energy.total_j
    if total is None:
        return f"energy {UNKNOWN}"
    scale = scale_of(total, "J")
    named = (("active", energy.active_j), ("idle", energy.idle_j), ("standing", energy.standing_j))
    listed = [f"{name} {number(part, scale)}" for name, part in named if part is not None]
    if energy.active_j is None:
        listed.insert(0, "active and idle not told apart")
    return f"{figure(total, 'J', interval=True)} = " + " + ".join(listed)


def in_words(record: Receipt | Quote, alike: Sequence[str] = ()) -> str:
    """A receipt or a quote for people: a line for each figure, with its interval.

    Args:
        record: of what is not known of it, energy and carbon alone have a line.
        alike: what takes as much energy, as ``equivalences.alike`` tells it; none by default.
    """
    said = [*word_rows(record), *(("as much as", text) for text in alike)]
    width = max(len(name) for name, _ in said)
    return "\n".join(f"{name:{width}}  {text}" for name, text in said)


def word_rows(record: Receipt | Quote) -> list[tuple[str, str]]:
    """The name and the text of each figure; names of parts are indented."""
    energy = record.energy
    rows = [
        ("energy", _energy_known(record)),
        ("  active", in_wh(energy.active_j)),
        ("  idle", in_wh(energy.idle_j)),
        ("  standing", in_wh(energy.standing_j)),
        ("site overhead", in_wh(energy.overhead_j, interval=True)),
        ("carbon", figure(record.carbon, CARBON, interval=True)),
        *_other_impacts(record),
        ("duration", figure(record.duration_s, "s", interval=True)),
    ]
    return [row for row in rows if row[1] != UNKNOWN or row[0] == "carbon"]


def _energy_known(record: Receipt | Quote) -> str:
    """The energy and how it is known, or why it is not."""
    if record.energy.total_j is None:
        return f"not known: {record.reason}" if record.reason else "not known"
    return f"{in_wh(record.energy.total_j, interval=True)}, {record.provenance}"


def _other_impacts(record: Receipt | Quote) -> list[tuple[str, str]]:
    primary, cost = record.primary_energy, record.cost
    joules = None if primary is None else primary * float(JOULES_PER_MEGAJOULE)
    return [
        ("water", figure(record.water, "L", interval=True)),
        ("materials", figure(record.materials, MATERIALS, interval=True)),
        ("primary energy", figure(joules, "J", interval=True)),
        ("cost", figure(cost, cost.currency if cost is not None else "", interval=True)),
    ]
