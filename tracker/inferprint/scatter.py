"""How much a sensor scatters, seen in neighbouring half-seconds in which the same requests ran.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math

# Over so long windows are put together: a sensor's error may last for a few of them.
_STRETCH_S = 0.5
# Worth so many stretches: what is expected before any are seen; and how many are remembered.
_FIRST_COUNTS = 5.0
_MEMORY = 100.0
# A jump of more than this many deviations is taken for a change of the power itself.
_MOST = 4.0
# A deviation is taken to be no less than this for that: one that stood still may scatter yet.
_LEAST = 0.01


class Scatter:
    """The relative standard deviation of the energy that one device counts.

    Args:
        expected: that of the sensor's noise over one second, before windows were seen.
    """

    def __init__(self, expected: float) -> None:
        self._expected = expected
        self._variance = expected * expected
        self._counts = _FIRST_COUNTS
        self._energy_j = self._length_s = 0.0
        self._before_w: float | None = None

    @property
    def relative(self) -> float:
        """Over one second; over another time it falls with the square root of that."""
        return math.sqrt(self._variance)

    def observe(self, energy_j: float, duration_s: float, alike: bool) -> None:
        """Takes a window.

        Args:
            energy_j: what the device used in it, idle and active.
            duration_s: its length.
            alike: the same requests ran in all of it as at the end of the one before.
        """
        if not alike:
            self.interrupt()
            return
        self._energy_j += energy_j
        self._length_s += duration_s
        if self._length_s < _STRETCH_S:
            return
        power_w, length_s = self._energy_j / self._length_s, self._length_s
        before_w, self._before_w = self._before_w, power_w
        self._energy_j = self._length_s = 0.0
        if before_w is not None and power_w + before_w > 0:
            # Two stretches of the same power differ by twice the variance of one.
            off = (power_w - before_w) / ((power_w + before_w) / 2)
            self._take(off * off / 2 * length_s)

    def interrupt(self) -> None:
        """What comes next does not follow on what was."""
        self._energy_j = self._length_s = 0.0
        self._before_w = None

    def _take(self, square: float) -> None:
        if self._counts > _FIRST_COUNTS + 1:
            least = max(self._expected, _LEAST) ** 2
            square = min(square, _MOST**2 * max(self._variance, least))
        self._counts = min(_MEMORY, self._counts + 1)
        self._variance += (square - self._variance) / self._counts
