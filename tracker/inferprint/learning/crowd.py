"""How many requests a request runs beside: now, and in the mean."""

from __future__ import annotations

import math
from typing import NamedTuple

HORIZON_S = 120.0
"""Time constant in which the load is forgotten."""

_POINTS = 6
_LEAST_S = 1e-9


class Crowd(NamedTuple):
    """The load of now.

    Args:
        running: requests in flight now.
        others: how many others a request has beside it in the mean.
        residence_s: how long a request is in flight in the mean.
        followed_s: for how long the load has been followed.
    """

    running: int = 0
    others: float = 0.0
    residence_s: float = 0.0
    followed_s: float = 0.0

    def share_s(self, duration_s: float) -> float:
        """The expected integral of 1/n over a request that starts now, n in flight.

        Those beside it now leave as others do, and as many as usual come: with arrivals at
        random (M/G/infinity, with residence taken as exponential) the number beside it tends
        from now's to the mean's, and its variance from 0 to its mean. 1/n is expanded to the
        second order about the mean.
        """
        step_s = duration_s / _POINTS
        return step_s * sum(self._share((i + 0.5) * step_s) for i in range(_POINTS))

    def _share(self, after_s: float) -> float:
        stay = math.exp(-after_s / self.residence_s) if self.residence_s > _LEAST_S else 0.0
        mean = self.others + (self.running - self.others) * stay
        variance = (1 - stay) * (self.running * stay + self.others)
        return (1 + variance / (1 + mean) ** 2) / (1 + mean)


class Load:
    """Means of the number in flight over the recent past."""

    def __init__(self) -> None:
        self._at_ns = 0
        self._since_ns: int | None = None
        self._arrival_ns = 0
        self._seen = (0.0, 0.0, 0)
        self._sums = [0.0, 0.0, 0.0]

    def crowd(
        self, at_ns: int, running: int, request_s: float, pair_s: float, arrived: int
    ) -> Crowd:
        """Takes how the load went on since the last call.

        Args:
            at_ns: now.
            running: requests in flight.
            request_s: integral of the number in flight, so far.
            pair_s: integral of its square, so far.
            arrived: requests that have arrived, so far.
        """
        keep = math.exp(-max(0, at_ns - self._at_ns) / 1e9 / HORIZON_S)
        self._at_ns = max(self._at_ns, at_ns)
        seen = (request_s, pair_s, arrived)
        for i in range(3):
            self._sums[i] = keep * self._sums[i] + seen[i] - self._seen[i]
        if arrived > self._seen[2]:
            self._arrival_ns = at_ns
        self._seen = seen
        requests_s, pairs_s, arrivals = self._sums
        if requests_s <= _LEAST_S or arrivals <= _LEAST_S:
            return Crowd(running)
        if self._since_ns is None:
            self._since_ns = at_ns
        # A request sees the others in flight as time does, weighted by how many see it. Where
        # none comes any more, there will be none to see.
        fresh = math.exp(-(at_ns - self._arrival_ns) / 1e9 / HORIZON_S)
        others = max(0.0, pairs_s / requests_s - 1) * fresh
        return Crowd(running, others, requests_s / arrivals, (at_ns - self._since_ns) / 1e9)
