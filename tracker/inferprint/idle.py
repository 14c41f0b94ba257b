"""Idle power: observed while the model is resident and no request runs, then held.

It is never a residual of a busy window. Only quiet windows count: no request, nobody else
busy on the device, and the sensor's own averaging time past.
"""

from __future__ import annotations

from collections import deque

from inferprint import flags
from inferprint.records import Device

# A change of level (a model loaded or unloaded) is taken over once it has held this long;
# a lower level at once, because nothing but idling draws less than idle.
CONFIRM_S = 1.0
# Readings of one level lie within this of each other.
SAME_LEVEL = 0.1
# Above this share of the device's capacity in use by anybody, a window is not quiet.
QUIET_BUSY_SHARE = 0.05


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
        self._level: deque[tuple[float, float]] = deque()

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
        if self._level and not _same(power_w, _mean(self._level)):
            self._level.clear()
        self._level.append((power_w, duration_s))
        held_s = sum(duration for _, duration in self._level)
        while held_s - self._level[0][1] >= CONFIRM_S:
            held_s -= self._level.popleft()[1]
        level_w = _mean(self._level)
        unseen = self.watts is None or self._tabled
        if unseen or level_w < self.watts or held_s >= CONFIRM_S:  # type: ignore[operator]
            self.watts, self._tabled = level_w, False

    def bound(self, power_w: float) -> None:
        """Takes the mean power of a window with requests: idle power is no higher."""
        observed = not self._fixed and self.watts is not None
        if observed and power_w < (1 - SAME_LEVEL) * self.watts:  # type: ignore[operator]
            self.watts = power_w


def _same(power_w: float, level_w: float) -> bool:
    return abs(power_w - level_w) <= SAME_LEVEL * max(power_w, level_w)


def _mean(level: deque[tuple[float, float]]) -> float:
    joules = sum(power_w * duration_s for power_w, duration_s in level)
    return joules / sum(duration_s for _, duration_s in level)
