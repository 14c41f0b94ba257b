"""A figure with its interval, and the arithmetic that carries intervals through.

Interval arithmetic: sums and products take the ends that lie farthest apart. Every factor
appears once in each product here, so the interval of a footprint holds every value that the
figures and factors inside their own intervals can give, and no other; it is wider than one of
propagated variances, and no assumption of independence is in it.
Source: Moore, Kearfott, Cloud: Introduction to Interval Analysis (SIAM, 2009), chapters 2 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Range", "sum_known"]


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with the interval that it is expected to lie in.

    A figure that is known exactly has ``low == mid == high``. ``float()`` gives ``mid``.
    """

    low: float
    mid: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        """A figure that is known exactly."""
        return Range(value, value, value)

    @classmethod
    def within(cls, mid: float, relative: float) -> Range:
        """A figure with a relative half-width: 0.05 is ± 5 %."""
        spread = abs(mid) * relative
        return Range(mid - spread, mid, mid + spread)

    def __float__(self) -> float:
        return self.mid

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __mul__(self, factor: float | Range) -> Range:
        """The product; by a Range, all that the two intervals can give."""
        if isinstance(factor, Range):
            low, high = factor.low, factor.high
            if self.low >= 0.0 and low >= 0.0:
                return Range(self.low * low, self.mid * factor.mid, self.high * high)
            ends = (self.low * low, self.low * high, self.high * low, self.high * high)
            return Range(min(ends), self.mid * factor.mid, max(ends))
        if factor >= 0.0:
            return Range(self.low * factor, self.mid * factor, self.high * factor)
        return Range(self.high * factor, self.mid * factor, self.low * factor)

    def over(self, divisor: Range) -> Range:
        """The quotient by a figure that is above 0 in all of its interval.

        Raises:
            ValueError: the divisor may be 0 or negative.
        """
        if divisor.low <= 0.0:
            raise ValueError(f"divisor={divisor!r}: expected an interval above 0")
        return self * Range(1 / divisor.high, 1 / divisor.mid, 1 / divisor.low)


def sum_known(figures: Iterable[Range | None]) -> Range | None:
    """The sum; None where one of them is not known, and of none."""
    total: Range | None = None
    for figure in figures:
        if figure is None:
            return None
        total = figure if total is None else total + figure
    return total
