"""Reads files of factors: TOML tables of figures, each with its unit and its source.

A file has sources, ``[source.KEY]`` with ``title``, ``url`` and ``licence``, and factors,
``[[factor]]`` with ``name``, ``value``, ``unit``, ``source`` (a key) and, where they apply,
``region``, ``year``, ``low`` and ``high``, ``note``. One without a source is refused.
"""

from __future__ import annotations

import functools
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from inferprint.errors import ConfigError
from inferprint.impacts import Factor

__all__ = ["UNITS", "Tables", "load", "shipped"]

UNITS: Mapping[str, str] = {
    "pue": "ratio",
    "wue_site": "L/kWh",
    "water_grid": "L/kWh",
    "adpe_grid": "kgSbeq/kWh",
    "primary_energy_grid": "MJ/kWh",
    "embodied_carbon": "kgCO2eq",
    "embodied_adpe": "kgSbeq",
    "embodied_primary_energy": "MJ",
    "lifetime": "year",
    "utilisation": "ratio",
    "grid_carbon_intensity": "gCO2e/kWh",
    "electricity_price": "CURRENCY/kWh",
    "hardware_price": "CURRENCY/h",
}
"""The factors that there are, and the unit of each; CURRENCY stands for an ISO 4217 code."""

_MAY_BE_NEGATIVE = {"electricity_price", "grid_carbon_intensity"}
_KEYS = {"name", "region", "value", "low", "high", "unit", "year", "source", "note", "basis"}
_SHIPPED = Path(__file__).parent / "data" / "factors"


class Tables:
    """Factors by name and region.

    Args:
        factors: in rising order of precedence: a later one of the same name and region wins.
    """

    def __init__(self, factors: Iterable[Factor] = ()) -> None:
        self._factors = {(one.name, one.region.lower()): one for one in factors}

    def find(self, name: str, *regions: str) -> Factor | None:
        """The factor of the first of these regions that has one; None: none has."""
        for region in regions:
            if found := self._factors.get((name, region.lower())):
                return found
        return None

    def all(self) -> tuple[Factor, ...]:
        """Every factor."""
        return tuple(self._factors.values())


def shipped(user_file: str | None = None) -> Tables:
    """The factors that the package has, and a user's own, which win over them.

    Args:
        user_file: a file of the same form; None: none.

    Raises:
        ConfigError: the user's file can't be read or has a factor that can't be used.
    """
    own = load(Path(user_file)) if user_file else ()
    return Tables([*_of_package(), *own])


@functools.cache
def _of_package() -> tuple[Factor, ...]:
    return tuple(factor for path in sorted(_SHIPPED.glob("*.toml")) for factor in load(path))


def load(path: Path) -> list[Factor]:
    """The factors of one file.

    Raises:
        ConfigError: it can't be read, is no TOML, or has a factor without a source or with a
            wrong unit or value; names which.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        expected = f"a TOML file of factors that can be read ({error})"
        raise ConfigError("factors_path", str(path), expected) from error
    rows, sources = tables.get("factor", []), tables.get("source", {})
    if not isinstance(rows, list) or not isinstance(sources, dict):
        raise ConfigError("factors_path", str(path), "tables [[factor]] and [source.KEY]")
    return [_factor(row, sources, f"{path.name}, factor {n}") for n, row in enumerate(rows, 1)]


def _factor(row: Mapping[str, Any], sources: Mapping[str, Any], where: str) -> Factor:
    _refuse_unknown(row, where)
    name, unit = str(row.get("name")), str(row.get("unit"))
    _check_unit(name, unit, where)
    source = _source(row, sources, where)
    value, low, high = _interval(row, where)
    return Factor(
        name,
        value,
        unit,
        str(source["title"]),
        str(row.get("region", "")),
        row.get("year"),
        low,
        high,
        str(source["licence"]),
        str(row.get("basis", "")),
    )


def _refuse_unknown(row: Mapping[str, Any], where: str) -> None:
    for key in row:
        if key not in _KEYS:
            raise ConfigError(f"{key} ({where})", row[key], "one of " + ", ".join(sorted(_KEYS)))


def _check_unit(name: str, unit: str, where: str) -> None:
    expected = UNITS.get(name)
    if expected is None:
        raise ConfigError(f"name ({where})", name, "one of " + ", ".join(UNITS))
    if not re.fullmatch(expected.replace("CURRENCY", "[A-Z]{3}"), unit):
        raise ConfigError(f"unit of {name} ({where})", unit, expected)


def _source(row: Mapping[str, Any], sources: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    source = sources.get(str(row.get("source")))
    if not isinstance(source, dict) or not source.get("title") or not source.get("licence"):
        expected = "the key of a [source.KEY] of this file that has a title and a licence"
        raise ConfigError(f"source of {row['name']} ({where})", row.get("source"), expected)
    return source


def _interval(row: Mapping[str, Any], where: str) -> tuple[float, float | None, float | None]:
    name, value = row["name"], row.get("value")
    numbers = [value, row.get("low", value), row.get("high", value)]
    least = -math.inf if name in _MAY_BE_NEGATIVE else 1.0 if name == "pue" else 0.0
    if any(not _is_number(number) for number in numbers) or min(numbers) < least:
        limit = f" of at least {least:g}" if least > -math.inf else ""
        raise ConfigError(f"value of {name} ({where})", numbers, f"finite numbers{limit}")
    if not numbers[1] <= numbers[0] <= numbers[2]:
        raise ConfigError(f"low and high of {name} ({where})", numbers[1:], "low <= value <= high")
    if ("low" in row) != ("high" in row):
        raise ConfigError(f"low and high of {name} ({where})", numbers[1:], "both or neither")
    return float(numbers[0]), row.get("low"), row.get("high")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
