"""What a sensor that tells the mean of the last second has seen of the work."""

from __future__ import annotations

from collections import deque

from inferprint.learning.work import WindowWork, Work

# Windows that are this much short of the average together are as long as it: their lengths
# are sums of floats, and end on a counter's steps.
_ROUNDING_S = 0.01


class Lag:
    """The windows of the last so many seconds.

    Args:
        average_s: over which the sensor averages.
    """

    def __init__(self, average_s: float) -> None:
        self._average_s = average_s
        self._windows: deque[WindowWork] = deque()
        self._held_s = 0.0

    def seen(self, window: WindowWork, rested_s: float = 0.0) -> WindowWork:
        """The window's energy beside the work that it tells of: that of the last seconds, for
        as long as the window is.

        Args:
            window: the next in which anyone ran.
            rested_s: for how long nobody had run before it.
        """
        windows = self._windows
        rest = window._replace(busy_s=0.0, work={}, requests_s={}, prompt_squares={})
        for _ in range(round(min(rested_s, self._average_s) / window.duration_s)):
            windows.append(rest)
            self._held_s += rest.duration_s
        windows.append(window)
        self._held_s += window.duration_s
        while self._held_s - windows[0].duration_s >= self._average_s - _ROUNDING_S:
            self._held_s -= windows.popleft().duration_s
        all_of_them = windows[0]
        for one in list(windows)[1:]:
            all_of_them = all_of_them.plus(one)
        part = window.duration_s / all_of_them.duration_s
        return all_of_them._replace(
            duration_s=window.duration_s,
            busy_s=part * all_of_them.busy_s,
            active_j=window.active_j,
            idle_j=window.idle_j,
            work={m: Work(*(part * x for x in done)) for m, done in all_of_them.work.items()},
            requests_s={m: part * x for m, x in all_of_them.requests_s.items()},
            prompt_squares={m: part * x for m, x in all_of_them.prompt_squares.items()},
        )

    def drop(self) -> None:
        """A window is missing."""
        self._windows.clear()
        self._held_s = 0.0
