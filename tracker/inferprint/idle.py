"""Idle power: observed while the model is resident and no request runs, then held.

It is never a residual of a busy window. Only quiet windows count: no request, and nobody
else busy on the device. A single window may be far off, where the sensor is noisy or its
steps are longer than the window, so that once a second has been seen, only seconds count,
and the middle half of those of one level: a second alone is still off by a third of what a
window is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from math import fsum
from operator import itemgetter

from inferprint import flags
from inferprint.records import Device

# A change of level (a model loaded or unloaded) is taken over once it has held this long.
CONFIRM_S = 1.0
# Seconds of a level that are looked at.
MOST_SECONDS = 30
# Means of one level lie within this of each other.
SAME_LEVEL = 0.1
_ROUNDING_S = 1e-6
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
        self._quiet = Recent()
        self._busy = Recent()
        # Mean power of the seconds of the present level, and of how much quiet since the last.
        self._seconds_w: deque[float] = deque(maxlen=MOST_SECONDS)
        self._since_s = 0.0

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
        mean_w, whole = recent.mean_w, recent.whole
        same = self._confirmed and whole and self._is(mean_w)
        if same:
            self._go_on(mean_w, duration_s)
        elif not self._confirmed or (whole and recent.steady):
            self.watts, self._tabled, self._confirmed = mean_w, False, whole
            self._begin_level(mean_w)

    def _go_on(self, mean_w: float, duration_s: float) -> None:
        self._since_s += duration_s
        if len(self._seconds_w) == 1:
            self._seconds_w[0] = mean_w  # the first second of a level may reach back before it
        if self._since_s >= CONFIRM_S - _ROUNDING_S:
            self._since_s = 0.0
            self._seconds_w.append(mean_w)
        self.watts = _middle(self._seconds_w)

    def _begin_level(self, mean_w: float) -> None:
        self._seconds_w.clear()
        self._seconds_w.append(mean_w)
        self._since_s = 0.0

    def bound(self, power_w: float, duration_s: float) -> None:
        """Takes the mean power of a window with requests: idle power is no higher."""
        if self._fixed or self.watts is None:
            return
        self._busy.add(power_w, duration_s)
        busy_w = self._busy.mean_w
        if self._busy.whole and busy_w < self.watts and not self._is(busy_w):
            self.watts = busy_w
            self._quiet = Recent()
            self._begin_level(busy_w)

    def _is(self, power_w: float) -> bool:
        return self.watts is not None and _same(power_w, self.watts)


class Recent:
    """The last windows of one kind, for ``CONFIRM_S`` together; the last one at least."""

    def __init__(self) -> None:
        # Joules and seconds of each.
        self._windows: deque[tuple[float, float]] = deque()
        self._held_s = 0.0

    def add(self, power_w: float, duration_s: float) -> None:
        """Takes a window's mean power."""
        windows = self._windows
        windows.append((power_w * duration_s, duration_s))
        # Summed up anew each time: a running sum would drift over months.
        self._held_s = fsum(map(_seconds_of, windows))
        while self._held_s - windows[0][1] >= CONFIRM_S:
            self._held_s -= windows.popleft()[1]

    @property
    def whole(self) -> bool:
        """Whether they are long enough to judge by."""
        return self._held_s >= CONFIRM_S

    @property
    def mean_w(self) -> float:
        """Their mean power."""
        return _mean_w(self._windows)

    @property
    def steady(self) -> bool:
        """Whether the older and the newer ones are of one level: not a burst, not a ramp."""
        windows = list(self._windows)
        half = len(windows) // 2
        return not half or _same(_mean_w(windows[:half]), _mean_w(windows[half:]))


def _middle(means_w: Collection[float]) -> float:
    """The mean of the middle half."""
    ordered, cut = sorted(means_w), len(means_w) // 4
    middle = ordered[cut : len(ordered) - cut]
    return fsum(middle) / len(middle)


def _same(power_w: float, level_w: float) -> bool:
    return abs(power_w - level_w) <= SAME_LEVEL * max(power_w, level_w)


def _mean_w(windows: Collection[tuple[float, float]]) -> float:
    return fsum(map(_joules_of, windows)) / fsum(map(_seconds_of, windows))
