"""Histograms that are cheap to observe: one bisection and two additions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.core import Exemplar
from prometheus_client.utils import floatToGoString

__all__ = [
    "DURATION_BOUNDS_S",
    "ENERGY_BOUNDS_J",
    "FIRST_TOKEN_BOUNDS_S",
    "QUOTE_ERROR_BOUNDS",
    "Histogram",
    "Trace",
]

# Three a decade, the steps of prometheus_client's default buckets, from 1 mJ to 100 kJ.
ENERGY_BOUNDS_J = (*(float(f"{m}e{e}") for e in range(-3, 5) for m in (1, 2.5, 5)), 1e5)

# OpenTelemetry semantic conventions for generative AI metrics (2025), the boundaries of
# gen_ai.server.request.duration and of gen_ai.server.time_to_first_token.
DURATION_BOUNDS_S = tuple(0.01 * 2**n for n in range(14))
FIRST_TOKEN_BOUNDS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)

# A quote is right at 1. Steps widen by about the same factor on both sides.
QUOTE_ERROR_BOUNDS = (0.25, 0.5, 0.67, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 4.0)

_Bucket = tuple[str, float] | tuple[str, float, Exemplar]

Trace = tuple[str, str, float]
"""What an exemplar points to: its label's name, its value, and the wall time in seconds."""


class Histogram:
    """Counts by bucket, the sum, and each bucket's latest exemplar.

    Args:
        bounds: upper bounds of the buckets, ascending; one without bound is added.
    """

    __slots__ = ("_bounds", "_counts", "_exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: dict[int, tuple[float, Trace]] = {}
        self.sum = 0.0

    def observe(self, value: float, trace: Trace | None = None) -> None:
        """Counts one value, which belongs to ``trace``."""
        bucket = bisect_left(self._bounds, value)
        self._counts[bucket] += 1
        self.sum += value
        if trace is not None:
            self._exemplars[bucket] = (value, trace)

    def copy(self) -> Histogram:
        """A copy that later observations do not change."""
        copy = Histogram(self._bounds)
        copy._counts = self._counts.copy()
        copy._exemplars = self._exemplars.copy()
        copy.sum = self.sum
        return copy

    def buckets(self) -> list[_Bucket]:
        """Upper bound, cumulative count and exemplar of each bucket, the last one ``+Inf``."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        named = zip(names, accumulate(self._counts), strict=True)
        return [self._bucket(index, name, n) for index, (name, n) in enumerate(named)]

    def _bucket(self, index: int, name: str, cumulative: int) -> _Bucket:
        if index not in self._exemplars:
            return name, cumulative
        value, (label, id_, unix_s) = self._exemplars[index]
        return name, cumulative, Exemplar({label: id_}, value, unix_s)
