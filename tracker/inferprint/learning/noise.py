"""How far windows are from what is expected of them, and when that has changed for good.

The variance of a window's energy has two parts. A sensor's error is relative to all that it
sees (idle and active), and is independent from window to window. And a sensor that samples a
part of the time may see all or none of a prompt that was computed in an instant, so prompts
add the square of their own work. Of both, how much is learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

OUTLIER = 2.5
"""Deviations from which an observation counts less (Huber's rule)."""

# Taken at first, and worth so many observations.
_FIRST = 0.05
_FIRST_OF_PROMPTS = 1.0
_FIRST_COUNTS = 2
_LEAST = 0.01
_LEAST_OF_PROMPTS = 0.01
_ROUNDS = 3
# A cumulative sum (Page, Biometrika 41, 1954) of clipped deviations less half a one: it
# sees a lasting change of one deviation in about 24 observations, one of three in five.
_CLIP = 3.0
_SLACK = 0.5
_ALARM = 12.0


class Scatter(NamedTuple):
    """What the variance of an observation is made of, in square joules.

    Args:
        level_j2: of a sensor whose relative deviation over one second is 1.
        prompts_j2: of one that sees all or nothing of each prompt, with equal chance.
        edges_j2: of what is known beforehand.
    """

    level_j2: float
    prompts_j2: float
    edges_j2: float = 0.0


class Noise:
    """The deviation of a device's observations.

    Attributes:
        relative: of the energy in a second, relative to all that the sensor sees.
        prompts: of what it sees of a prompt, relative to that.
    """

    def __init__(self) -> None:
        self.relative = _FIRST
        self.prompts = _FIRST_OF_PROMPTS
        self._above = self._below = 0.0

    def variance_j2(self, scatter: Scatter) -> float:
        """The variance of the energy of a stretch, in square joules."""
        noise_j2 = self.relative**2 * scatter.level_j2 + self.prompts**2 * scatter.prompts_j2
        return noise_j2 + scatter.edges_j2

    def settle(self, seen: Iterable[tuple[float, Scatter]]) -> None:
        """Finds both parts from how far off (J) observations are, by least squares of the
        squares. Errors far out count as ``OUTLIER`` deviations.
        """
        seen = list(seen)
        for _ in range(_ROUNDS):
            level, prompts = self._fitted(seen)
            self.relative = max(_LEAST, math.sqrt(level))
            self.prompts = max(_LEAST_OF_PROMPTS, math.sqrt(prompts))

    def _fitted(self, seen: Iterable[tuple[float, Scatter]]) -> tuple[float, float]:
        level, prompts = self.relative**2, self.prompts**2
        aa, ab, bb = _FIRST_COUNTS / level**2, 0.0, _FIRST_COUNTS / prompts**2
        ay, by = aa * _FIRST**2, bb * _FIRST_OF_PROMPTS**2
        for off_j, scatter in seen:
            a, b, edges_j2 = scatter
            variance_j2 = level * a + prompts * b + edges_j2
            square_j2 = min(off_j * off_j, OUTLIER**2 * variance_j2) - edges_j2
            weight = variance_j2**-2
            aa += weight * a * a
            ab += weight * a * b
            bb += weight * b * b
            ay += weight * a * square_j2
            by += weight * b * square_j2
        determinant = aa * bb - ab * ab
        level, prompts = (bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant
        if level < 0:
            return 0.0, by / bb
        return (level, prompts) if prompts >= 0 else (max(0.0, ay / aa), 0.0)

    def changed(self, strange: float) -> bool:
        """Whether the device has changed for good, so that what was learned no longer holds.

        Args:
            strange: how many deviations the newest observation was off, with its sign.
        """
        clipped = max(-_CLIP, min(_CLIP, strange))
        self._above = max(0.0, self._above + clipped - _SLACK)
        self._below = max(0.0, self._below - clipped - _SLACK)
        if max(self._above, self._below) < _ALARM:
            return False
        self._above = self._below = 0.0
        return True
