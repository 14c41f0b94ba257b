"""When all sources are read together: every interval, at an offset that can be moved.

Pure: no clock, no I/O.
"""

from __future__ import annotations

# By what part of the interval the offset moves, and how often it may: eight such moves come by
# every tenth part of it or nearer.
_MOVE = 0.13
_MOST_MOVES = 8
# Ticks in a row beside which a counter had to be read on its own.
_PATIENCE = 20


class Ticks:
    """The instants, in nanoseconds on the monotonic clock.

    Args:
        interval_ns: from one to the next.
    """

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self._offset_ns = 0
        self._beside = self._moves = 0

    def after(self, at_ns: int) -> int:
        """The first one later than an instant."""
        interval_ns, offset_ns = self.interval_ns, self._offset_ns
        return ((at_ns - offset_ns) // interval_ns + 1) * interval_ns + offset_ns

    def seen(self, beside: bool) -> bool:
        """A tick has passed; whether the ones to come have been moved.

        Args:
            beside: whether a counter may step just then, so that it is read on its own: each
                such waking costs as much as all of a tick's readings.
        """
        self._beside = self._beside + 1 if beside else 0
        if self._beside < _PATIENCE or self._moves >= _MOST_MOVES:
            return False
        self._beside, self._moves = 0, self._moves + 1
        self._offset_ns = (self._offset_ns + round(_MOVE * self.interval_ns)) % self.interval_ns
        return True
