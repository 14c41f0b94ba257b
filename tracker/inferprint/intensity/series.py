"""A carbon intensity that steps from one value to the next, and means over it.

A value holds from its start to the start of the next one. Past its own end it is old: after
``STALE_AFTER_S`` that is flagged, and ``UNKNOWN_AFTER_S`` later it says nothing any more.
Before the first value nothing is known.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from inferprint.errors import ConfigError
from inferprint.flags import INTENSITY_STALE
from inferprint.impacts import Factor, mean_factor
from inferprint.intensity.known import Known

__all__ = ["STALE_AFTER_S", "UNKNOWN_AFTER_S", "Series", "Slot"]

# Grids are published by the hour or finer: a value that is past its end by one is not of its
# hour, and one that is past it by a day more has gone through all hours of a day.
STALE_AFTER_S = 3_600.0
UNKNOWN_AFTER_S = 86_400.0

_NOTHING = Known(None)
_STALE = frozenset({INTENSITY_STALE})


class Slot(NamedTuple):
    """One value.

    Args:
        start_s, end_s: the time that it is of, Unix time, without its end.
        factor: it.
    """

    start_s: float
    end_s: float
    factor: Factor


class Series:
    """Values over time. It does not change.

    Args:
        slots: the values, in any order; of two with the same start, the later one counts.
        renewed_until_s: up to when they are in force, as somebody looked whether there are
            newer ones; past it they are old.

    Raises:
        ConfigError: they have more than one basis, or more than one unit.
    """

    def __init__(self, slots: Iterable[Slot] = (), renewed_until_s: float = math.inf) -> None:
        by_start = {slot.start_s: slot for slot in slots}
        self.slots: Sequence[Slot] = [by_start[start_s] for start_s in sorted(by_start)]
        self.renewed_until_s = renewed_until_s
        self._starts = [slot.start_s for slot in self.slots]
        self._known = [Known(slot.factor) for slot in self.slots]
        _check_same("basis", {slot.factor.basis for slot in self.slots})
        _check_same("unit", {slot.factor.unit for slot in self.slots})

    def over(self, start_s: float, end_s: float) -> Known:
        """The mean over a span, weighed by time; not known where a part of it is not.

        Args:
            start_s: its start, Unix time.
            end_s: its end; the same: an instant.
        """
        first = bisect_right(self._starts, start_s) - 1
        if first < 0:
            return _NOTHING
        last = max(first, bisect_left(self._starts, end_s) - 1)
        ends = [*self._starts[first + 1 : last + 1], max(start_s, end_s)]
        old_s = max(end - self._old_from_s(i) for i, end in enumerate(ends, first))
        if old_s > UNKNOWN_AFTER_S:
            return Known(None, _STALE)
        known = self._known[first] if first == last else self._mean(first, start_s, ends)
        return known._replace(flags=_STALE) if old_s > 0 else known

    def with_slots(self, slots: Sequence[Slot], since_s: float, renewed_until_s: float) -> Series:
        """With these values in place of all that start with them or after them.

        Args:
            slots: the newer values, at least one.
            since_s: what ended before it is forgotten, but for the latest.
            renewed_until_s: as for the class.

        Raises:
            ConfigError: they have another basis or unit.
        """
        first_s = min(slot.start_s for slot in slots)
        older = (s._replace(end_s=min(s.end_s, first_s)) for s in self.slots if s.start_s < first_s)
        every = [*older, *slots]
        latest = max(every, key=lambda slot: slot.start_s)
        return Series([s for s in every if s.end_s > since_s or s is latest], renewed_until_s)

    def renewed(self, until_s: float) -> Series:
        """The same values, in force up to another time."""
        return Series(self.slots, until_s)

    def _old_from_s(self, index: int) -> float:
        return min(self.slots[index].end_s + STALE_AFTER_S, self.renewed_until_s)

    def _mean(self, first: int, start_s: float, ends: Sequence[float]) -> Known:
        starts = [start_s, *ends]
        held = [end - start for start, end in zip(starts, ends, strict=False)]
        slots = self.slots[first : first + len(held)]
        return Known(mean_factor((slot.factor, s) for s, slot in zip(held, slots, strict=True)))


def _check_same(what: str, found: set[str]) -> None:
    if len(found) > 1:
        expected = "one for all values of a series: average and marginal, location- and "
        raise ConfigError(what, sorted(found), expected + "market-based are never mixed")
