"""A country's intensity from the CSV file of Ember's yearly electricity data.

Both releases are read. The long format has the columns ``Area``, ``ISO 3 code`` (``Country
code`` up to 2024), ``Year``, ``Variable``, ``Unit`` and ``Value``, and rows of the variable ``CO2
intensity`` in gCO2/kWh, which the later release calls gCO2e/kWh: there, the column ``Emissions
intensity (gCO2e/kWh)`` of rows whose ``Electricity source`` is ``Total generation``.
Source: Ember, Yearly Electricity Data, https://ember-energy.org/data/yearly-electricity-data/.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from inferprint.errors import ConfigError
from inferprint.grid import LIFE_CYCLE, NAME, UNIT, locate
from inferprint.impacts import Factor
from inferprint.intensity.naming import SETTING
from inferprint.intensity.tables import number

__all__ = ["read_ember"]

SOURCE = "Ember, Yearly Electricity Data"
LICENCE = "CC BY 4.0"

_CODES = ("ISO 3 code", "Country code")
_WIDE = "Emissions intensity (gCO2e/kWh)"


class _Row(NamedTuple):
    area: str
    code: str
    year: int
    value: float


def read_ember(path: str, location: str | None) -> Factor:
    """The intensity of the latest year that the file has for a place.

    Args:
        path: the file, as it is downloaded.
        location: a code or a name of the file, an ISO country code, or a cloud region.

    Raises:
        ConfigError: the file can't be read or is none of Ember's, or has no such place.
    """
    if location is None:
        raise ConfigError("location", None, "a country such as 'FRA' for Ember's data")
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(csv.reader(file)))
    except (OSError, ValueError, csv.Error) as error:
        expected = f"a CSV file of Ember's yearly electricity data, but {error}"
        raise ConfigError(SETTING, f"ember:{path}", expected) from None
    found = _of(rows, location) or _of(rows, _country(location, path))
    if not found:
        raise _no_such_place(location, path)
    row = max(found, key=lambda row: row.year)
    region = row.code or row.area
    return Factor(
        NAME, row.value, UNIT, SOURCE, region, row.year, licence=LICENCE, basis=LIFE_CYCLE
    )


def _rows(lines: Iterator[Sequence[str]]) -> Iterator[_Row]:
    header = [name.strip() for name in next(lines, [])]
    code = next((name for name in _CODES if name in header), _CODES[0])
    wide = _WIDE in header
    what, unit, value = ("Electricity source", "", _WIDE) if wide else ("Variable", "Unit", "Value")
    needed = ["Area", code, "Year", what, *([] if wide else [unit]), value]
    if missing := [name for name in needed if name not in header]:
        raise ValueError(f"it has no column {', '.join(missing)}")
    area_at, code_at, year_at, what_at, value_at = (
        header.index(name) for name in ("Area", code, "Year", what, value)
    )
    unit_at = None if wide else header.index(unit)
    wanted = "total generation" if wide else "co2 intensity"
    for line, row in enumerate(lines, 2):
        # A row that is cut short is of a file that was not downloaded to its end.
        if row and len(row) != len(header):
            raise ValueError(f"line {line} has {len(row)} cells, and {len(header)} columns")
        if not row or row[what_at].lower() != wanted or not row[value_at]:
            continue
        if unit_at is not None and row[unit_at] not in ("gCO2/kWh", "gCO2e/kWh"):
            continue
        yield _Row(row[area_at], row[code_at], int(row[year_at]), number(row[value_at]))


def _of(rows: Sequence[_Row], place: str) -> list[_Row]:
    name = place.strip().lower()
    return [row for row in rows if name and name in (row.code.lower(), row.area.lower())]


def _country(location: str, path: str) -> str:
    try:
        return locate(location).country
    except ConfigError:
        raise _no_such_place(location, path) from None


def _no_such_place(location: str, path: str) -> ConfigError:
    expected = f"a place that {path} has a CO2 intensity in gCO2/kWh for, such as 'FRA'"
    return ConfigError("location", location, expected)
