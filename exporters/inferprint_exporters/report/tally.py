"""Adds up rows of sums, and says of each figure how much of it is known."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, TypeVar

from inferprint.ranges import Range
from inferprint_exporters.report.reading import Row
from inferprint_exporters.store.tables import NO_CARBON, SUMS, known_of

__all__ = ["Figure", "Tally", "grouped", "ratio"]

PLACE = {name: place for place, name in enumerate(SUMS)}
Key = TypeVar("Key", bound=Hashable)


class Figure(NamedTuple):
    """The sum of a figure over the requests of which it is known.

    Args:
        range: low, middle and high.
        known: of how many requests.
        unknown: of how many it is not known, so that they are not in it.
    """

    range: Range
    known: int
    unknown: int


class Tally:
    """The sum of rows, all of one dimension, so that each request is in it once."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._sums = [sum(column) for column in zip(*(row.values for row in rows), strict=True)]

    def sum(self, name: str) -> float:
        """A sum; 0 of nothing."""
        return self._sums[PLACE[name]] if self._sums else 0

    @property
    def requests(self) -> int:
        """How many requests."""
        return int(self.sum("requests"))

    def figure(self, name: str) -> Figure | None:
        """A figure's sum; None: it is known of no request.

        Figures of which the ends are not kept are given without them: low, mid and high are
        the same.
        """
        known = int(self.sum(known_of(name)))
        if not known:
            return None
        ends = (f"{name}_low", name, f"{name}_high") if f"{name}_low" in PLACE else (name,) * 3
        return Figure(Range(*map(self.sum, ends)), known, self.requests - known)

    def mid(self, name: str) -> float | None:
        """The middle of a figure's sum; None: it is known of no request."""
        figure = self.figure(name)
        return None if figure is None else figure.range.mid

    @cached_property
    def by_basis(self) -> Mapping[str, Tally]:
        """What has carbon, by what the carbon counts: figures of two bases are never added."""
        return grouped([row for row in self.rows if row.basis != NO_CARBON], lambda r: r.basis)

    @cached_property
    def by_currency(self) -> Mapping[str, Tally]:
        """What has a cost, by its currency."""
        return grouped([row for row in self.rows if row.currency], lambda row: row.currency)

    @property
    def span_s(self) -> float:
        """Seconds from the start of the first request to the end of the last."""
        if not self.rows:
            return 0.0
        return max(row.last_s for row in self.rows) - min(row.first_s for row in self.rows)

    def part(self, keep: Callable[[Row], bool]) -> Tally:
        """The sum of some of the rows."""
        return Tally([row for row in self.rows if keep(row)])


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, Tally]:
    """A tally for each value of the key, in the order of the values."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {value: Tally(groups[value]) for value in sorted(groups, key=str)}


def ratio(figure: Range, by: float) -> Range | None:
    """A figure for each of something; None: there is none of it."""
    return figure * (1 / by) if by > 0 else None
