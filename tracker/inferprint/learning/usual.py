"""What is usual: a ratio of two sums that forgets."""

from __future__ import annotations

import math
from collections.abc import Sequence

_MEMORY = 100.0
"""How many requests what is usual is a mean over, weighted by their age."""


BUSY = 10.0
"""Requests' worth of a busy second, where a ratio is to be over the last ten of them."""


class Ratio:
    """A ratio of sums over the last hundred or so requests."""

    __slots__ = ("over", "total")

    def __init__(self, total: float = 0.0, over: float = 0.0) -> None:
        self.total, self.over = total, over

    def add(self, value: float, over: float = 1.0, requests: float = 1.0) -> None:
        """Adds to both sums.

        Args:
            value: to the one above.
            over: to the one below.
            requests: how many requests' worth that is.
        """
        keep = math.exp(-requests / _MEMORY)
        self.total = keep * self.total + value
        self.over = keep * self.over + over

    def state(self) -> list[float]:
        """Both sums."""
        return [self.total, self.over]

    @classmethod
    def from_state(cls, state: Sequence[float]) -> Ratio:
        """The ratio that ``state`` was taken from.

        Raises:
            ValueError: they are not two sums of 0 or more.
        """
        total, over = map(float, state)
        if total < 0 or over < 0:
            raise ValueError(f"a sum is negative: {state}")
        return cls(total, over)

    @property
    def value(self) -> float | None:
        """The ratio; None where there is none yet."""
        return self.total / self.over if self.over > 0 else None
