"""The latest values of a figure, and their quantiles."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence

MOST = 300
"""Values that are kept: as many requests as what is usual is a mean over, twice over."""


class Latest:
    """The latest values, also in the order of size.

    Args:
        values: in the order in which they came.
        expected: stand in until there are values: each value takes the place of one of them,
            the nearest to 0 first, so that what is far out is given up last.
    """

    def __init__(self, values: Iterable[float] = (), expected: Iterable[float] = ()) -> None:
        self._came: deque[float] = deque()
        self._sorted: list[float] = sorted(expected)
        self._expected = deque(sorted(self._sorted, key=abs))
        for value in values:
            self.add(value)

    def __len__(self) -> int:
        """How many values have come and are kept."""
        return len(self._came)

    @property
    def values(self) -> Sequence[float]:
        """Those that came and are kept, the oldest first."""
        return list(self._came)

    def add(self, value: float) -> None:
        """Takes a value; the oldest of many is dropped."""
        insort(self._sorted, value)
        self._came.append(value)
        if self._expected:
            self._drop(self._expected.popleft())
        if len(self._came) > MOST:
            self._drop(self._came.popleft())

    def _drop(self, value: float) -> None:
        del self._sorted[bisect_left(self._sorted, value)]

    def at(self, part: float) -> float:
        """The value that ``part`` of those to come will not exceed, as far as can be told: one
        in n + 1 is below the least of n (Weibull, 1939; Vovk et al., Algorithmic Learning in a
        Random World, 2005, for intervals).

        Raises:
            IndexError: there is neither a value nor an expected one.
        """
        place = part * (len(self._sorted) + 1) - 1
        below = max(0, min(len(self._sorted) - 1, int(place)))
        above = min(len(self._sorted) - 1, below + 1)
        low, high = self._sorted[below], self._sorted[above]
        return low + (high - low) * max(0.0, min(1.0, place - below))
