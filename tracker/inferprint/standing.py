"""Standing energy, what a device draws while no request runs, and who pays for it."""

from __future__ import annotations

import math
from typing import Protocol

from inferprint.records import IdlePolicyName
from inferprint.units import NS_PER_S

# A receipt's share is at most one in this many (plus one), so that the first request
# after a quiet night does not pay for the night alone.
SMOOTHING_REQUESTS = 8


class IdlePolicy(Protocol):
    """Who pays for idle energy.

    ``shares_idle`` says whether the requests in flight share the idle draw meanwhile, and
    ``draws`` whether arriving requests may take from the pool of standing energy.
    """

    shares_idle: bool
    draws: bool

    def due(self, pool_j: float, at_ns: int, after_quiet: bool) -> float:
        """How much a request that came at this instant would take, as ``draw`` says."""
        ...

    def draw(self, pool_j: float, at_ns: int, count: int, after_quiet: bool) -> float:
        """How much of the pool of standing energy ``count`` requests take together.

        Args:
            pool_j: standing energy not charged yet.
            at_ns: when they arrive, all at once; never earlier than in the call before.
            count: how many arrive, 1 or more.
            after_quiet: no request ran just before.
        """
        ...


class InFlight:
    """Idle while requests run is shared by those running; standing is charged to nobody."""

    shares_idle = True
    draws = False

    def due(self, pool_j: float, at_ns: int, after_quiet: bool) -> float:
        """Nothing."""
        return 0.0

    def draw(self, pool_j: float, at_ns: int, count: int, after_quiet: bool) -> float:
        """Nothing."""
        return 0.0


class Separate(InFlight):
    """No request pays for any idle energy: it is reported beside."""

    shares_idle = False


class SinceLast(InFlight):
    """The requests that end a quiet stretch pay for it."""

    draws = True

    def due(self, pool_j: float, at_ns: int, after_quiet: bool) -> float:
        """All of it after a quiet stretch, else nothing."""
        return pool_j if after_quiet else 0.0

    def draw(self, pool_j: float, at_ns: int, count: int, after_quiet: bool) -> float:
        """All of it after a quiet stretch, else nothing."""
        return pool_j if after_quiet else 0.0


class Amortised(InFlight):
    """Each arriving request takes one part in (those of the trailing horizon + 8).

    In steady traffic each request then pays, in the mean, the standing energy between two
    requests, and the pool holds what one horizon and eight requests are due.

    Args:
        horizon_s: time constant in which past arrivals are forgotten, exponentially.
    """

    draws = True

    def __init__(self, horizon_s: float) -> None:
        self._horizon_ns = horizon_s * NS_PER_S
        self._arrivals = 0.0
        self._at_ns: int | None = None

    def due(self, pool_j: float, at_ns: int, after_quiet: bool) -> float:
        """The pool's part that is due to one arrival."""
        return pool_j / (self._remembered(at_ns) + 1 + SMOOTHING_REQUESTS)

    def draw(self, pool_j: float, at_ns: int, count: int, after_quiet: bool) -> float:
        """The pool's part that is due to ``count`` arrivals."""
        self._arrivals = self._remembered(at_ns) + count
        self._at_ns = at_ns
        kept = 1 - 1 / (self._arrivals + SMOOTHING_REQUESTS)
        return float(pool_j * (1 - kept**count)) if count > 1 else pool_j * (1 - kept)

    def _remembered(self, at_ns: int) -> float:
        if self._at_ns is None:
            return 0.0
        return self._arrivals * math.exp(-(at_ns - self._at_ns) / self._horizon_ns)


def idle_policy(name: IdlePolicyName, horizon_s: float) -> IdlePolicy:
    """A new policy of this name; ``horizon_s`` is for ``amortised``."""
    if name == "amortised":
        return Amortised(horizon_s)
    return {"in_flight": InFlight, "since_last": SinceLast, "separate": Separate}[name]()
