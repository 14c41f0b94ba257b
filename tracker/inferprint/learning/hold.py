"""Evens out the sensor's noise: a window's energy is charged as far as it is expected.

What a window has more or less than expected of the work in it is held for the requests in
flight and charged over the following seconds, so a sensor that happened to look at a peak
does not put it on whoever ran just then. Nothing is held once no request is in flight.
"""

from __future__ import annotations

HOLD_S = 3.0
"""Seconds in which what is held falls to 1/e."""


class Hold:
    """What requests in flight have used and not been charged yet, on one device."""

    def __init__(self) -> None:
        self.held_j = 0.0

    def charge_j(
        self, active_j: float, expected_j: float | None, duration_s: float, running: int
    ) -> float:
        """How much is charged for a window.

        Args:
            active_j: what the requests used in it.
            expected_j: what they were expected to use; None: not known.
            duration_s: the window's length.
            running: requests in flight at its end.

        Returns:
            Joules, not negative. All charges together and ``held_j``, which is not negative
            either, sum to all ``active_j``: nothing is charged before it was measured.
        """
        if not running or expected_j is None:
            return self.release_j(active_j)
        due_j = active_j + self.held_j
        if running == 1:
            expected_j = active_j  # what it uses alone is its own, whatever was expected
        part = min(1.0, duration_s / HOLD_S)
        charged_j = min(due_j, max(0.0, expected_j + part * (due_j - expected_j)))
        self.held_j = due_j - charged_j
        return charged_j

    def release_j(self, active_j: float) -> float:
        """Charges for a window all that it used and all that was held."""
        due_j, self.held_j = active_j + self.held_j, 0.0
        return due_j
