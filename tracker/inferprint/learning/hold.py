"""Evens out the sensor's noise: a window's energy is charged as far as it is expected.

What a window has more or less than expected of the work in it is held for the requests in
flight and charged over the time that follows, so a sensor that happened to look at a peak
does not put it on whoever ran just then. Nothing is held once no request is in flight.

How long that takes is the compromise of a Kalman filter: long where windows are off by
noise, short where they are off in the same way for long, since then it is the expectation
that is wrong. A small stock is kept meanwhile, because what was not measured yet can't be
charged: without it, only what is too much would be evened out, and not what is too little.
"""

from __future__ import annotations

import math

LONG_S = 30.0
"""Seconds in which what is held falls to 1/e, at most."""

MISFIT_S = 3.0
"""For how long an expectation is taken to be wrong in the same way, when it is."""

RARELY_EMPTY_S = 30.0
"""Where all requests have ended within this time, nothing is held: it would be charged to
those that end last."""

_PART_OF_BUSY = 0.25
_MEMORY_S = 600.0
_OUTLIER = 3.0
# Windows of white noise that are taken to have been seen at first.
_FIRST_WINDOWS = 300.0
_LEAST_SLOPE = 1e-3


class Hold:
    """What requests in flight have used and not been charged yet, on one device.

    Attributes:
        held_j: that.
        over_s: in which what is held falls to 1/e; 0: nothing is.
    """

    def __init__(self) -> None:
        self.held_j = self.over_s = 0.0
        # The mean of windows' deviations of late; what a regression on it adds up.
        self._late = self._agreed = self._squares = 0.0
        self._variance_w2s = 0.0
        self._busy_s, self._emptied = 0.0, 1.0

    def charge_j(
        self,
        active_j: float,
        expected_j: float | None,
        deviation_j: float,
        duration_s: float,
        running: int,
    ) -> float:
        """How much is charged for a window.

        Args:
            active_j: what the requests used in it.
            expected_j: what they were expected to use; None: not known.
            deviation_j: how far off the sensor may be.
            duration_s: the window's length.
            running: requests in flight at its end.

        Returns:
            Joules, not negative. All charges together and ``held_j``, which is not negative
            either, sum to all ``active_j``: nothing is charged before it was measured.
        """
        if expected_j is None or deviation_j <= 0:
            return self.release_j(active_j)
        self._follow((active_j - expected_j) / deviation_j, duration_s, running)
        over_s = min(self._until_wrong_s(duration_s), self._until_empty_s())
        self.over_s = over_s if over_s > duration_s else 0.0
        if not running or not self.over_s:
            return self.release_j(active_j)
        self._variance_w2s += (deviation_j**2 / duration_s - self._variance_w2s) * min(
            1.0, duration_s / LONG_S
        )
        # The deviation of what is held: of noise that is forgotten within that time.
        stock_j = math.sqrt(self._variance_w2s * over_s / 2)
        due_j = active_j + self.held_j
        spare_j = due_j - expected_j - stock_j
        charged_j = min(due_j, max(0.0, expected_j + spare_j * duration_s / over_s))
        self.held_j = due_j - charged_j
        return charged_j

    def release_j(self, active_j: float) -> float:
        """Charges for a window all that it used and all that was held."""
        due_j, self.held_j = active_j + self.held_j, 0.0
        return due_j

    def _follow(self, off: float, duration_s: float, running: int) -> None:
        off = max(-_OUTLIER, min(_OUTLIER, off))
        keep = math.exp(-duration_s / _MEMORY_S)
        self._agreed = keep * self._agreed + off * self._late
        self._squares = keep * self._squares + self._late**2
        self._late += min(1.0, duration_s / MISFIT_S) * (off - self._late)
        self._busy_s = keep * self._busy_s + duration_s
        self._emptied = keep * self._emptied + (not running)

    def _until_wrong_s(self, duration_s: float) -> float:
        """The time to even noise out over: of a filter whose misfit lasts for ``MISFIT_S`` and
        has, against the noise of a window, the variance that the regression tells.
        """
        part = min(1.0, duration_s / MISFIT_S)
        slope = self._agreed / (self._squares + _FIRST_WINDOWS * part / 2)
        slope = max(_LEAST_SLOPE, min(1.0, slope))
        # A mean of white noise of variance 1 has part / 2, and one of misfit all of its own.
        noise_to_misfit = (1 / slope - 1) * 2 / part
        return min(LONG_S, math.sqrt(MISFIT_S * duration_s * noise_to_misfit))

    def _until_empty_s(self) -> float:
        return _PART_OF_BUSY * (self._busy_s / self._emptied - RARELY_EMPTY_S)
