"""Idle power: observed while the model is resident and no request runs, then held.

It is never a residual of a busy window. Only quiet windows count: no request, and nobody
else busy on the device. A single window may be far off, where the sensor is noisy or its
steps are longer than the window, so that once a second has been seen, only seconds count.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from math import fsum
from operator import itemgetter

from inferprint import flags
from inferprint.records import Device

# A change of level (a model loaded or unloaded) is taken over once it has held this long.
CONFIRM_S = 1.0
# How long what was seen of a level counts: a sensor's noise evens out, and a board warms up.
MEMORY_S = 30.0
# Means of one level lie within this of each other.
SAME_LEVEL = 0.1
# How far a tabled idle power may be off, as a standard deviation: other boards of the three
# models in ``data/gpu_idle.json`` were measured at 20 % more, 32 % more and 5 % less.
TABLED_ERROR = 0.22
# Above this share of the device's capacity in use by anybody, a window is not quiet.
QUIET_BUSY_SHARE = 0.05

_joules_of, _seconds_of = itemgetter(0), itemgetter(1)


class IdlePower:
    """The idle power of one device, as far as it is known.

    Args:
        device: gives a declared or a tabled idle power.
        set_w: set by hand; it then never changes.
    """

    def __init__(self, device: Device, set_w: float | None = None) -> None:
        declared = set_w if set_w is not None else device.idle_w
        self.watts = declared if declared is not None else device.tabled_idle_w
        self._fixed = declared is not None
        self._tabled = not self._fixed and self.watts is not None
        self._confirmed = False
        self._noise = device.noise
        self._quiet = Recent()
        self._busy = Recent()
        self._mean = LongMean()
        # How long the level has held, and when a second of it counts again.
        self._level_s = self._next_s = 0.0

    @property
    def deviation_w(self) -> float:
        """Its standard deviation: that of the mean of the windows it was seen in."""
        if self._fixed or self.watts is None:
            return 0.0
        if self._tabled:
            return TABLED_ERROR * self.watts
        # A window or two show no scatter yet: until a second was seen, the sensor's own counts.
        seen_w = self._mean.deviation_w
        return seen_w if self._confirmed else max(seen_w, self._noise * self.watts)

    @property
    def flag(self) -> str | None:
        """What a receipt must say of this idle power, if anything."""
        if self.watts is None:
            return flags.IDLE_UNKNOWN
        return flags.IDLE_MODELLED if self._tabled else None

    def observe(self, power_w: float, duration_s: float) -> None:
        """Takes the mean power of a quiet window."""
        if self._fixed:
            return
        recent = self._quiet
        recent.add(power_w, duration_s)
        self._level_s += duration_s
        alike = recent.whole and self._is(recent.mean_w)
        if not self._confirmed or (recent.whole and not alike and recent.steady):
            self._begin(recent)
        elif alike and self._level_s < CONFIRM_S:
            # Its first second may still hold some of the level before.
            self._mean = recent.long_mean()
        elif alike and self._level_s >= self._next_s and recent.steady:
            self._mean.add(recent.mean_w, recent.held_s)
            self._next_s = self._level_s + CONFIRM_S
        self.watts = self._mean.watts

    def _begin(self, recent: Recent) -> None:
        """What was seen last is the idle power now."""
        self._mean, self._confirmed, self._tabled = recent.long_mean(), recent.whole, False
        self._level_s, self._next_s = 0.0, 2 * CONFIRM_S

    def bound(self, power_w: float, duration_s: float) -> None:
        """Takes the mean power of a window with requests: idle power is no higher."""
        if self._fixed or self.watts is None:
            return
        self._busy.add(power_w, duration_s)
        busy_w = self._busy.mean_w
        if self._busy.whole and busy_w < self.watts and not self._is(busy_w):
            self._begin(self._busy)
            self.watts, self._quiet = busy_w, Recent()

    def _is(self, power_w: float) -> bool:
        return self.watts is not None and _same(power_w, self.watts)


class Recent:
    """The last windows of one kind, for ``CONFIRM_S`` together; the last one at least.

    Attributes:
        held_s: how long they are together.
    """

    def __init__(self) -> None:
        # Joules and seconds of each.
        self._windows: deque[tuple[float, float]] = deque()
        self.held_s = 0.0

    def add(self, power_w: float, duration_s: float) -> None:
        """Takes a window's mean power."""
        windows = self._windows
        windows.append((power_w * duration_s, duration_s))
        # Summed up anew each time: a running sum would drift over months.
        self.held_s = fsum(map(_seconds_of, windows))
        while self.held_s - windows[0][1] >= CONFIRM_S:
            self.held_s -= windows.popleft()[1]

    @property
    def whole(self) -> bool:
        """Whether they are long enough to judge by."""
        return self.held_s >= CONFIRM_S

    @property
    def mean_w(self) -> float:
        """Their mean power."""
        return _mean_w(self._windows)

    def long_mean(self) -> LongMean:
        """A mean that begins with these."""
        mean = LongMean()
        for joules, duration_s in self._windows:
            mean.add(joules / duration_s, duration_s)
        return mean

    @property
    def steady(self) -> bool:
        """Whether the older and the newer ones are of one level: not a burst, not a ramp."""
        windows = list(self._windows)
        half = len(windows) // 2
        return not half or _same(_mean_w(windows[:half]), _mean_w(windows[half:]))


class LongMean:
    """The mean power of the windows of one level, the last ``MEMORY_S`` of them above all."""

    def __init__(self) -> None:
        self.watts = 0.0
        self._seen_s = 0.0
        # Of the power of one second.
        self._variance = 0.0

    @property
    def deviation_w(self) -> float:
        """The standard deviation of the mean."""
        return math.sqrt(self._variance / self._seen_s) if self._seen_s else 0.0

    def add(self, power_w: float, duration_s: float) -> None:
        """Takes a window's mean power."""
        self._seen_s = min(MEMORY_S, self._seen_s + duration_s)
        part, off_w = min(1.0, duration_s / self._seen_s), power_w - self.watts
        self.watts += part * off_w
        # Not squared as it is: the mean has just moved towards it.
        self._variance += part * (off_w * (power_w - self.watts) * duration_s - self._variance)


def _same(power_w: float, level_w: float) -> bool:
    return abs(power_w - level_w) <= SAME_LEVEL * max(power_w, level_w)


def _mean_w(windows: Collection[tuple[float, float]]) -> float:
    return fsum(map(_joules_of, windows)) / fsum(map(_seconds_of, windows))
