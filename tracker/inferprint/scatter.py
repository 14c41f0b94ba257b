"""How much a sensor scatters, seen in neighbouring windows in which the same requests ran.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import math

# Worth so many windows: what is expected before any are seen; and how many are remembered.
_FIRST_COUNTS = 5.0
_MEMORY = 100.0
# A jump of more than this many deviations is taken for a change of the power itself.
_MOST = 4.0


class Scatter:
    """The relative standard deviation of the energy that one device counts.

    Args:
        expected: that of the sensor's noise over one second, before windows were seen.
    """

    def __init__(self, expected: float) -> None:
        self._expected = expected
        self._variance = expected * expected
        self._counts = _FIRST_COUNTS
        self._last: tuple[float, float] | None = None

    @property
    def relative(self) -> float:
        """Over one second; over another time it falls with the square root of that."""
        return math.sqrt(self._variance)

    def observe(self, power_w: float, duration_s: float, alike: bool) -> None:
        """Takes a window's mean power.

        Args:
            power_w: watts, idle and active.
            duration_s: the window's length.
            alike: the same requests ran in all of it as at the end of the one before.
        """
        last, self._last = self._last, (power_w, duration_s)
        if not alike or last is None:
            return
        mean_w, length_s = (power_w + last[0]) / 2, (duration_s + last[1]) / 2
        if mean_w <= 0:
            return
        # Two windows of the same power differ by twice the variance of one.
        square = ((power_w - last[0]) / mean_w) ** 2 / 2 * length_s
        if self._counts > _FIRST_COUNTS + 1:
            square = min(square, _MOST**2 * max(self._variance, self._expected**2))
        self._counts = min(_MEMORY, self._counts + 1)
        self._variance += (square - self._variance) / self._counts

    def interrupt(self) -> None:
        """The next window does not follow on the last."""
        self._last = None
