"""What takes as much energy: driving a car some metres, lighting a lamp for some seconds.

Nothing shows these unless it is asked for: a comparison can mislead as well as explain.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferprint.errors import ConfigError
from inferprint.ranges import Range
from inferprint.readable import figure
from inferprint.units import JOULES_PER_KWH, JOULES_PER_WH

__all__ = ["Equivalence", "alike", "load", "shipped"]

_METRES_PER_100_KM = 100_000
_UNITS: Mapping[tuple[str, str], float] = {
    ("kWh/100 km", "m"): JOULES_PER_KWH / _METRES_PER_100_KM,
    ("W", "s"): 1.0,
    ("Wh/charge", "charges"): JOULES_PER_WH,
    ("kJ/L", "L"): 1_000.0,
}
"""What a value is given per, the unit it is told in, and how many joules per unit that makes."""

_SHIPPED = Path(__file__).parent / "data" / "equivalences.toml"


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Something else that takes energy.

    Args:
        name: a short constant word.
        says: the words around the amount, which ``{}`` stands for.
        unit: of the amount.
        joules_per_unit: joules for each.
        source, year, url, licence: who published that, for which year, where, how it is licensed.
        note: how the figure was made from what was published.
    """

    name: str
    says: str
    unit: str
    joules_per_unit: Range
    source: str
    year: int
    url: str
    licence: str
    note: str = ""

    def of(self, joules: Range | float) -> str:
        """The amount of it that takes this energy, in words."""
        known = joules if isinstance(joules, Range) else Range.exactly(joules)
        return self.says.format(figure(known.over(self.joules_per_unit), self.unit))


def alike(
    joules: Range | float | None, equivalences: Iterable[Equivalence] | None = None
) -> list[str]:
    """What takes as much energy, a line for each.

    Args:
        joules: the energy. None: not known, so nothing is like it.
        equivalences: what to compare with; None: those that ship.
    """
    if joules is None:
        return []
    return [one.of(joules) for one in (shipped() if equivalences is None else equivalences)]


@functools.cache
def shipped() -> tuple[Equivalence, ...]:
    """The equivalences that the package has."""
    return load(_SHIPPED)


def load(path: Path) -> tuple[Equivalence, ...]:
    """The equivalences of one TOML file.

    Raises:
        ConfigError: it can't be read, or one has no source, year, url or licence, or a value
            or unit that can't be used; names which.
    """
    try:
        rows = tomllib.loads(path.read_text("utf-8")).get("equivalence", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        expected = f"a TOML file of equivalences that can be read ({error})"
        raise ConfigError("equivalences", str(path), expected) from error
    return tuple(
        _equivalence(row, f"{path.name}, equivalence {n}") for n, row in enumerate(rows, 1)
    )


def _equivalence(row: Mapping[str, Any], where: str) -> Equivalence:
    for key in ("name", "says", "unit", "per", "source", "url", "licence"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ConfigError(f"{key} ({where})", row.get(key), "a text")
    if not isinstance(row.get("year"), int):
        raise ConfigError(f"year ({where})", row.get("year"), "the year that it holds for")
    return Equivalence(
        row["name"],
        row["says"],
        row["unit"],
        _interval(row, where) * _joules(row, where),
        row["source"],
        row["year"],
        row["url"],
        row["licence"],
        row.get("note", ""),
    )


def _joules(row: Mapping[str, Any], where: str) -> float:
    found = _UNITS.get((row["per"], row["unit"]))
    if found is None:
        known = " or ".join(f"per = {per!r} with unit = {unit!r}" for per, unit in _UNITS)
        raise ConfigError(f"per and unit ({where})", (row["per"], row["unit"]), known)
    return found


def _interval(row: Mapping[str, Any], where: str) -> Range:
    value = row.get("value")
    ends = [row.get("low", value), value, row.get("high", value)]
    if not all(isinstance(end, int | float) and 0.0 < end < math.inf for end in ends):
        raise ConfigError(f"value ({where})", ends, "finite numbers above 0")
    low, mid, high = map(float, ends)
    if not low <= mid <= high:
        raise ConfigError(f"low and high ({where})", [low, high], "low <= value <= high")
    return Range(low, mid, high)
