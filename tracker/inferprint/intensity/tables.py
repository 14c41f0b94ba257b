"""Reads text files of intensities: ``# key: value`` lines, then CSV with a header."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from inferprint.grid import NAME, UNIT
from inferprint.impacts import Factor

__all__ = ["HEAD", "Table", "described", "number", "read_table", "unix_s", "valued"]

HEAD = frozenset({"source", "basis", "licence", "region", "unit", "year"})
"""What a file can say of all of its values."""

_HEAD_LINE = re.compile(r"#\s*(\w+)\s*:\s*(.*)")


class Table(NamedTuple):
    """A file's content.

    Args:
        head: its ``# key: value`` lines.
        rows: number of the line, and its cells by column, of each row.
    """

    head: Mapping[str, str]
    rows: list[tuple[int, dict[str, str]]]


def read_table(text: str, needed: Collection[str], optional: Collection[str]) -> Table:
    """Reads a file.

    Args:
        text: its content.
        needed: the columns that it must have.
        optional: those that it may have.

    Raises:
        ValueError: a column is missing or unknown, or a row is too long; says which.
    """
    head: dict[str, str] = {}
    lines = list(enumerate(text.splitlines(), 1))
    for _, line in lines:
        if found := _HEAD_LINE.match(line.strip()):
            head[found[1].lower()] = found[2].strip()
    data = [(n, line) for n, line in lines if line.strip() and not line.lstrip().startswith("#")]
    cells = list(csv.reader(line for _, line in data))
    columns = [name.strip().lower() for name in cells[0]] if cells else []
    missing, unknown = set(needed) - set(columns), set(columns) - {*needed, *optional}
    if missing or unknown or len(set(columns)) < len(columns):
        raise ValueError(
            f"its columns are {columns}; expected {', '.join(needed)}"
            f" and, where they apply, {', '.join(optional)}"
        )
    return Table(head, [_row(n, columns, row) for (n, _), row in zip(data, cells, strict=True)][1:])


def _row(line: int, columns: list[str], cells: list[str]) -> tuple[int, dict[str, str]]:
    if len(cells) != len(columns):
        raise ValueError(f"line {line} has {len(cells)} cells, and {len(columns)} columns")
    return line, {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}


def described(head: Mapping[str, Any], source: str) -> Factor:
    """What a file says of all of its values, as a factor without one.

    Args:
        head: some of ``HEAD``.
        source: where it names none.

    Raises:
        ValueError: a key is unknown, the unit is another, or a basis names nothing.
    """
    if unknown := set(head) - HEAD:
        raise ValueError(f"unknown: {sorted(unknown)}; known: {sorted(HEAD)}")
    if head.get("unit", UNIT) != UNIT:
        raise ValueError(f"its unit is {head['unit']!r}; expected {UNIT!r}")
    year = str(head.get("year", ""))
    if year and not re.fullmatch(r"\d{4}", year):
        raise ValueError(f"its year is {year!r}; expected four digits")
    return Factor(
        NAME,
        math.nan,
        UNIT,
        str(head.get("source") or source),
        str(head.get("region", "")),
        int(year) if year else None,
        licence=str(head.get("licence", "")),
        basis=_basis(str(head.get("basis", ""))),
    )


def _basis(text: str) -> str:
    words = set(re.findall(r"[\w-]+", text))
    one_of = ({"average", "marginal"}, {"location-based", "market-based"})
    if text and any(len(words & pair) != 1 for pair in one_of):
        raise ValueError(
            f"its basis is {text!r}; expected average or marginal, and location-based or "
            "market-based, such as 'average, location-based, life-cycle'"
        )
    return text


def valued(factor: Factor, value: object, low: object = None, high: object = None) -> Factor:
    """A factor with a value, and its interval where there is one.

    Raises:
        ValueError: they are no intensities, or not in order.
    """
    mid = number(value)
    if low in (None, "") and high in (None, ""):
        return replace(factor, value=mid, low=None, high=None)
    ends = number(low), number(high)
    if not ends[0] <= mid <= ends[1]:
        raise ValueError(f"low, value and high are {low}, {value}, {high}: expected to rise")
    return replace(factor, value=mid, low=ends[0], high=ends[1])


def number(value: object) -> float:
    """Grams per kWh.

    Raises:
        ValueError: it is no finite number of at least 0.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not 0.0 <= found < math.inf:
        raise ValueError(f"{value!r} is no finite number of at least 0")
    return found


def unix_s(value: object) -> float:
    """A time as Unix seconds.

    Args:
        value: ISO 8601 with its offset, or Unix seconds.

    Raises:
        ValueError: it is neither.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = _iso_s(str(value))
    if not math.isfinite(found):
        raise ValueError(f"{value!r} is no time such as '2026-03-01T00:00:00Z' or Unix seconds")
    return found


def _iso_s(text: str) -> float:
    try:
        time = datetime.fromisoformat(text)
        return time.timestamp() if time.tzinfo is not None else math.nan
    except (ValueError, OverflowError):
        return math.nan
