"""How far windows are from what is expected of them, and when that has changed for good.

Errors of windows are taken as independent, so the variance of a stretch's mean falls with
its length. What is followed is the deviation over one second, relative to all that the
sensor saw (idle and active): a sensor's error is relative to that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

OUTLIER = 2.5
"""Deviations from which an observation counts less (Huber's rule)."""

# Taken at first, and worth so many observations.
_FIRST = 0.05
_FIRST_COUNTS = 5
_LEAST = 0.002
# A cumulative sum (Page, Biometrika 41, 1954) of clipped deviations less half a one: it
# sees a lasting change of one deviation in about 24 observations, one of three in five.
_CLIP = 3.0
_SLACK = 0.5
_ALARM = 12.0


class Noise:
    """The deviation of a device's observations."""

    def __init__(self) -> None:
        self.relative = _FIRST
        self._above = self._below = 0.0

    def deviation_j(self, level_j: float, duration_s: float) -> float:
        """Standard deviation of the energy of a stretch, in joules.

        Args:
            level_j: idle and active energy expected in it.
            duration_s: its length.
        """
        return self.relative * level_j / math.sqrt(duration_s)

    def settle(self, errors: Iterable[float]) -> None:
        """Takes how far off observations are, relative to their level, over one second.

        Errors far out count as ``OUTLIER`` deviations.
        """
        most = (OUTLIER * self.relative) ** 2
        squares = [min(most, error * error) for error in errors]
        total = _FIRST_COUNTS * _FIRST**2 + sum(squares)
        self.relative = max(_LEAST, math.sqrt(total / (_FIRST_COUNTS + len(squares))))

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
