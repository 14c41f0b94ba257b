"""Puts windows together into observations to learn from.

Tokens are told a little before or after the energy that they took is counted. Over a long
stretch that evens out, so stretches are long while the load is steady: there, such errors
are larger than the changes of the load, and would drown them. While the load changes they
are short, since what changes is what there is to learn from.
"""

from __future__ import annotations

from inferprint.learning.work import WindowWork

# Tried on the simulated servers of benchmarks/attribution: with stretches of 0.3 s alone the
# error at 250 in flight was twice this, with 1 s alone the first minute was a half worse.
SHORT_S = 0.3
LONG_S = 1.0
CHANGE = 0.1
_ROUNDING_S = 0.01


class Rows:
    """Puts the windows of one device together."""

    def __init__(self) -> None:
        self._row: WindowWork | None = None
        self._concurrency = 0.0

    def push(self, window: WindowWork) -> WindowWork | None:
        """Takes a window in which requests ran; returns an observation when one is complete."""
        if self._row is None:
            self._row, self._concurrency = window, window.concurrency
        else:
            self._row = self._row.plus(window)
        row = self._row
        change = abs(window.concurrency - self._concurrency)
        enough_s = SHORT_S if change > CHANGE * self._concurrency else LONG_S
        if row.duration_s < enough_s - _ROUNDING_S:
            return None
        self._row = None
        return row

    def drop(self) -> None:
        """A window is missing: what came before it is not continued."""
        self._row = None
