"""Another process on the same boards: when it runs, and what the driver tells of it."""

from __future__ import annotations

import random

from benchmarks.attribution.hardware import BOARD_LIMIT_W, H100_IDLE_W, CoTenant

LOOK_S = 1.0
"""The tracker's NVML source looks once a second, and holds what it saw until the next look."""


class Presence:
    """When it runs: from ``quiet_s`` on, stretches on and off in turn.

    Args:
        tenant: what it is like; None: there is none.
        quiet_s: it does not run before.
        rng: for the lengths of the stretches.
    """

    def __init__(self, tenant: CoTenant | None, quiet_s: float, rng: random.Random) -> None:
        self._tenant = tenant
        self._rng = rng
        self._on = False
        self.next_s = quiet_s if tenant else float("inf")

    @property
    def active_w(self) -> float:
        """What it draws now on each board."""
        return self._tenant.active_w if self._tenant and self._on else 0.0

    def advance(self, at_s: float) -> None:
        """It is ``at_s`` now, which is at most ``next_s``."""
        if self._tenant and at_s >= self.next_s:
            self._on = not self._on
            self.next_s += self._rng.expovariate(1 / self._tenant.mean_s)


class Usage:
    """Busy seconds of a board, everybody's and the server's, as the driver tells them.

    A process uses the share of the board that its power is of the board's active power at
    its limit: the kindest reading of a utilisation, told in whole percents of the second
    before.
    """

    def __init__(self) -> None:
        self.busy_s = self.own_s = 0.0
        self._own_j = self._other_j = 0.0
        self._own_rate = self._other_rate = 0.0
        self._looks = 1

    def draw(self, own_w: float, other_w: float, seconds: float) -> None:
        """Both processes draw so much for so long."""
        self._own_j += own_w * seconds
        self._other_j += other_w * seconds

    def read(self, at_s: float, since_s: float) -> None:
        """The counters rise up to now at the rates of the last look, and there may be a look."""
        self.own_s += self._own_rate * (at_s - since_s)
        self.busy_s += (self._own_rate + self._other_rate) * (at_s - since_s)
        if at_s >= self._looks * LOOK_S:
            self._looks += 1
            self._own_rate, self._other_rate = _share(self._own_j), _share(self._other_j)
            self._own_j = self._other_j = 0.0


def _share(joules: float) -> float:
    full_j = (BOARD_LIMIT_W - H100_IDLE_W) * LOOK_S
    return min(100, round(100 * joules / full_j)) / 100
