"""A file of intensities that something else writes, read again when it has changed.

It holds one value, or values with their times:

- JSON: ``56.1``, or ``{"value": 56.1, "source": "...", "basis": "..."}``, or a list of
  ``{"time": "2026-03-01T00:00:00Z", "value": 56.1}``, or such a list as ``rows`` of an object;
- CSV: ``# key: value`` lines, then columns ``time`` and ``value``.

Both may have ``low`` and ``high``. A time is ISO 8601 with its offset, or Unix seconds.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from inferprint.impacts import Factor
from inferprint.intensity.feed import Fault
from inferprint.intensity.series import Slot
from inferprint.intensity.tables import HEAD, described, read_table, unix_s, valued
from inferprint.units import SECONDS_PER_HOUR

__all__ = ["LocalFile", "parse_file"]

_ROW = {"time", "value", "low", "high"}


class LocalFile:
    """The file.

    Args:
        path: where it is.
    """

    def __init__(self, path: str) -> None:
        self.name, self.basis = f"file:{path}", ""
        self._path = Path(path)
        self._seen: tuple[int, ...] = ()

    def fetch(self, now_s: float) -> Sequence[Slot] | None:
        """What it holds, where that has changed."""
        try:
            stat = os.stat(self._path)
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return None
            # One value holds at all times, until another one is seen.
            since_s = now_s if self._seen else -math.inf
            slots = parse_file(self._path.read_text("utf-8-sig"), self._path.name, since_s)
            self._check_basis(slots[0].factor.basis)
        except (OSError, ValueError, RecursionError) as error:
            self._seen = self._seen and (0,)
            raise Fault(f"{self._path} can't be used: {error}", "file", withdrawn=True) from None
        self._seen, self.basis = seen, slots[0].factor.basis
        return slots

    def _check_basis(self, basis: str) -> None:
        if self._seen and basis != self.basis:
            was = f"its basis was {self.basis!r} and is {basis!r}"
            raise ValueError(f"{was}: the two are never mixed; start anew to change it")


def parse_file(text: str, file: str, since_s: float = -math.inf) -> list[Slot]:
    """What a file says.

    Args:
        text: its content.
        file: its name, for the source where it gives none.
        since_s: from when one value holds that has no time.

    Raises:
        ValueError: it has no values, or one that can't be used; says which.
    """
    if text.lstrip()[:1] in tuple("{[-0123456789"):
        return _of_json(json.loads(text), file, since_s)
    table = read_table(text, ("time", "value"), ("low", "high"))
    factor = described(table.head, f"file {file}")
    return _slots(factor, [(f"line {n}", row) for n, row in table.rows])


def _of_json(found: Any, file: str, since_s: float) -> list[Slot]:
    if isinstance(found, list):
        found = {"rows": found}
    elif not isinstance(found, dict):
        found = {"value": found}
    one, rows = "value" in found, found.get("rows")
    if unknown := set(found) - HEAD - ({"value", "low", "high"} if one else {"rows"}):
        raise ValueError(f"unknown: {sorted(unknown)}")
    factor = described({key: found[key] for key in HEAD & set(found)}, f"file {file}")
    if one:
        factor = valued(factor, found["value"], found.get("low"), found.get("high"))
        return [Slot(since_s, math.inf, factor)]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it has neither a value nor rows of time and value")
    return _slots(factor, [(f"row {n}", row) for n, row in enumerate(rows, 1)])


def _slots(factor: Factor, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Slot]:
    values: dict[float, Factor] = {}
    for where, row in rows:
        try:
            if not {"time", "value"} <= set(row) <= _ROW:
                raise ValueError(f"it has {sorted(row)}; expected time and value")
            time_s = unix_s(row["time"])
            if time_s in values:
                raise ValueError(f"{row['time']!r} has a value already")
            values[time_s] = valued(factor, row["value"], row.get("low"), row.get("high"))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if not values:
        raise ValueError("it has no rows")
    starts = sorted(values)
    # The last value is of as long a time as the one before it.
    steps = [after - before for before, after in pairwise(starts)] or [SECONDS_PER_HOUR]
    ends = [*starts[1:], starts[-1] + steps[-1]]
    return [Slot(s, end, values[s]) for s, end in zip(starts, ends, strict=True)]
