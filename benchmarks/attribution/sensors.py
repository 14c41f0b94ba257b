"""What the energy counters of real GPUs say of a known power.

Part of the sensors measured on NVIDIA GPUs: A100 and H100 sample 25 ms of each 100 ms
(Yang et al., SC'24), most since Ampere report an average over 1 s, and the gain of a board
is within 5 %. All of their counters advance in steps, here of 100 ms. The noise of 5 % is a
figure of ours.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

PERIOD_S = 0.1
GAIN_SPREAD = 0.05


@dataclass(frozen=True, slots=True)
class Sensor:
    """A counter that advances once in 100 ms.

    Args:
        seen_s: how much of each period it samples.
        mean_s: it reports the mean of the samples of this long.
        noise: standard deviation of a reading's relative error.
        late_s: a run reads each board a constant time after its steps, at most this long.
    """

    seen_s: float = PERIOD_S
    mean_s: float = PERIOD_S
    noise: float = 0.0
    late_s: float = 0.0


IDEAL = Sensor()
DUTY = Sensor(seen_s=0.025, noise=0.05)
AVERAGED = Sensor(mean_s=1.0, noise=0.05)
# The tracker's thread closes windows on a counter's steps to about 2 ms (its SEEK_EVERY_NS).
STEPPING = Sensor(noise=0.05, late_s=0.002)
# Nobody looks for the steps: the readings are a part of a step late.
BLIND = Sensor(noise=0.05, late_s=PERIOD_S)


class Meter:
    """A sensor on a board: takes power as it comes, counts joules in steps.

    Args:
        sensor: what it is like.
        gain: of this board: what it says over what is true.
        rng: for its noise, and for how late it is read.
    """

    def __init__(self, sensor: Sensor, gain: float, rng: random.Random) -> None:
        self.energy_j = 0.0
        self._sensor, self._gain, self._rng = sensor, gain, rng
        self._late_s = rng.uniform(0, sensor.late_s)
        self._samples: deque[float] = deque(maxlen=round(sensor.mean_s / PERIOD_S))
        self._seen_j = self._from_s = self._at_s = 0.0
        self._steps = 0

    def draw(self, watts: float, until_s: float) -> None:
        """The board draws so much up to then."""
        while (step_s := (self._steps + 1) * PERIOD_S - self._late_s) <= until_s:
            self._see(watts, step_s)
            self._step()
        self._see(watts, until_s)

    def _see(self, watts: float, until_s: float) -> None:
        seen_until_s = min(until_s, self._from_s + self._sensor.seen_s)
        self._seen_j += watts * max(0.0, seen_until_s - self._at_s)
        self._at_s = until_s

    def _step(self) -> None:
        """What it saw stands for the whole period."""
        self._samples.append(self._seen_j / self._sensor.seen_s)
        mean_w = sum(self._samples) / len(self._samples)
        self.energy_j += (
            mean_w * PERIOD_S * self._gain * (1 + self._rng.gauss(0, self._sensor.noise))
        )
        self._steps += 1
        self._from_s, self._seen_j = self._at_s, 0.0
