"""What the energy counters of real GPUs say of a known power.

Part of the sensors measured on NVIDIA GPUs: A100 and H100 sample 25 ms of each 100 ms
(Yang et al., SC'24), most since Ampere report an average over 1 s, and the gain of a board
is within 5 %.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

PERIOD_S = 0.1


@dataclass(frozen=True, slots=True)
class Sensor:
    """A counter that advances once in 100 ms.

    Args:
        name: for tables.
        seen_s: how much of each period it samples.
        mean_s: it reports the mean of the samples of this long.
        noise: standard deviation of a reading's relative error.
        gain_spread: the board's gain is uniform within ± this.
    """

    name: str
    seen_s: float = PERIOD_S
    mean_s: float = PERIOD_S
    noise: float = 0.0
    gain_spread: float = 0.0


IDEAL = Sensor("ideal")
DUTY = Sensor("25-of-100", seen_s=0.025, noise=0.05)
AVERAGED = Sensor("1 s mean", mean_s=1.0, noise=0.05)
STEPPING = Sensor("stepping", noise=0.05)


class Meter:
    """A sensor on a board: takes power as it comes, gives joules as they are counted."""

    def __init__(self, sensor: Sensor, rng: random.Random) -> None:
        self._sensor = sensor
        self._rng = rng
        self._gain = 1 + rng.uniform(-sensor.gain_spread, sensor.gain_spread)
        self._samples: deque[float] = deque(maxlen=round(sensor.mean_s / PERIOD_S))
        self._seen_j = 0.0
        self._from_s = 0.0
        self._at_s = 0.0

    @property
    def next_s(self) -> float:
        """When the counter steps next."""
        return self._from_s + PERIOD_S

    def draw(self, watts: float, until_s: float) -> None:
        """The board draws ``watts`` up to ``until_s``, which is at most ``next_s``."""
        seen_until_s = min(until_s, self._from_s + self._sensor.seen_s)
        self._seen_j += watts * max(0.0, seen_until_s - self._at_s)
        self._at_s = until_s

    def step(self) -> float:
        """The joules that the counter advances by, at ``next_s``."""
        self._samples.append(self._seen_j / self._sensor.seen_s)
        self._from_s += PERIOD_S
        self._seen_j = 0.0
        mean_w = sum(self._samples) / len(self._samples)
        return mean_w * PERIOD_S * self._gain * (1 + self._rng.gauss(0, self._sensor.noise))
