"""How many requests a request runs beside: now, and in the mean."""

from __future__ import annotations

import math
from typing import NamedTuple

from inferprint.units import seconds

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
        dispersion: variance of the number in flight over its mean: 1 for arrivals at random, 0
            where a fixed number of clients each wait for their answer; at most 1.
    """

    running: int = 0
    others: float = 0.0
    residence_s: float = 0.0
    followed_s: float = 0.0
    dispersion: float = 1.0

    def share_s(self, duration_s: float) -> float:
        """The expected integral of 1/n over a request that starts now, n in flight.

        Those beside it now leave as others do, and as many as usual come: with arrivals at
        random (M/G/infinity, with residence taken as exponential) the number beside it tends
        from now's to the mean's, and its variance from 0 to its mean, times the dispersion.
        1/n is expanded to the second order about the mean.
        """
        step_s = duration_s / _POINTS
        return step_s * sum(self._share((i + 0.5) * step_s) for i in range(_POINTS))

    def _share(self, after_s: float) -> float:
        stay = math.exp(-after_s / self.residence_s) if self.residence_s > _LEAST_S else 0.0
        mean = self.others + (self.running - self.others) * stay
        variance = self.dispersion * (1 - stay) * (self.running * stay + self.others)
        return (1 + variance / (1 + mean) ** 2) / (1 + mean)


class Load:
    """Means of the number in flight over the recent past."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._at_ns = self._arrival_ns = 0
        # As they were given last; and, fading, the integrals of 1, n and n² and the arrivals.
        self._seen = (0.0, 0.0, 0)
        self._sums = [0.0, 0.0, 0.0, 0.0]

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
        if self._since_ns is None:
            if not arrived:
                return Crowd(running)
            self._since_ns = self._at_ns = at_ns
        passed_s = seconds(max(0, at_ns - self._at_ns))
        self._at_ns = max(self._at_ns, at_ns)
        if arrived > self._seen[2]:
            self._arrival_ns = at_ns
        now = (request_s, pair_s, arrived)
        news = [passed_s, *(new - old for new, old in zip(now, self._seen, strict=True))]
        keep = math.exp(-passed_s / HORIZON_S)
        self._sums = [keep * old + new for old, new in zip(self._sums, news, strict=True)]
        self._seen = now
        return self._crowd(running)

    def _crowd(self, running: int) -> Crowd:
        time_s, requests_s, pairs_s, arrivals = self._sums
        if min(time_s, requests_s, arrivals) <= _LEAST_S:
            return Crowd(running)
        # Where none comes any more, there will be none to be beside.
        fresh = math.exp(-seconds(self._at_ns - self._arrival_ns) / HORIZON_S)
        # A request sees the others in flight as time does, weighted by how many see it.
        seen = pairs_s / requests_s
        return Crowd(
            running,
            fresh * max(0.0, seen - 1),
            requests_s / arrivals,
            seconds(self._at_ns - (self._since_ns or 0)),
            max(0.0, min(1.0, seen - requests_s / time_s)),
        )
