"""Observations that are not looked at one by one any more, and can still be fitted anew.

The law is not linear, so what an observation tells depends on the estimate that it is read
with, and first estimates are far off: summed up with such a one, it would mislead for as long
as it counts. So observations of about the same power are summed up as they are. Within so
little of the law it is a straight line, and where that line lies follows from the estimate of
now, with which the sums are read each time.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inferprint.learning.fit import Observed, Row
from inferprint.learning.law import bend_slope, saturated, slope
from inferprint.learning.linear import Vector

_BAND = 1.1
"""Ratio of the powers that a band ends and begins at."""

_LEAST_W = 1e-3


class Band:
    """The observations of about the same power: seconds busy and tokens against joules."""

    def __init__(self, size: int) -> None:
        self.told = Observed(size)
        # What a busy second of them was made of in the mean, and over how long that is.
        self._usual: Vector = [0.0] * size
        self._busy_s = 0.0

    def add(self) -> None:
        """Adds a parameter."""
        self.told.add()
        self._usual.append(0.0)

    def take(self, row: Row, busy_s: float, active_j: float, precision: float, keep: float) -> None:
        """Takes an observation; of those like it ``keep`` (0 to 1) stays."""
        self.told.replace(row, keep)
        self.told.observe(row, active_j, precision)
        self._busy_s = keep * self._busy_s + busy_s
        others = 1 - busy_s / self._busy_s
        self._usual = [others * value for value in self._usual]
        for i, value in row:
            self._usual[i] += value / self._busy_s

    def read(self, into: Observed, estimate: Sequence[float], fixed: int, bend: int) -> None:
        """Adds what they tell of the law's parameters, linear about an estimate."""
        drive_w, curve = max(0.0, _product(self._usual, estimate)), estimate[bend]
        steep = slope(drive_w, curve)
        # Near that drive the law is offset + steep * drive, and its derivative in the bend
        # level + twist * drive.
        offset = saturated(drive_w, curve) - steep * drive_w
        twist = -drive_w * steep
        level = bend_slope(drive_w, curve) - twist * drive_w
        in_bend = [twist * value for value in estimate]
        in_bend[bend] = 0.0
        in_bend[fixed] += level
        taken_off = [-curve * value for value in in_bend]
        taken_off[fixed] += offset
        known = self.told.information
        left = [
            moment - _product(line, taken_off)
            for moment, line in zip(self.told.moment, known, strict=True)
        ]
        crossed = [_product(line, in_bend) for line in known]
        for i, line in enumerate(known):
            target = into.information[i]
            for j, value in enumerate(line):
                target[j] += steep * steep * value
            target[bend] += steep * crossed[i]
            into.information[bend][i] += steep * crossed[i]
            into.moment[i] += steep * left[i]
        into.information[bend][bend] += _product(in_bend, crossed)
        into.moment[bend] += _product(in_bend, left)

    def state(self) -> dict[str, Any]:
        """What was observed, as plain values."""
        return {"told": self.told.state(), "usual": list(self._usual), "busy_s": self._busy_s}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Band:
        """The band that ``state`` was taken from."""
        band = cls(0)
        band.told = Observed.from_state(state["told"])
        band._usual = list(map(float, state["usual"]))
        band._busy_s = float(state["busy_s"])
        return band

    def check(self, size: int) -> None:
        """Makes sure that a state can be gone on with.

        Raises:
            ValueError: it is not of so many parameters, or a number is none.
        """
        self.told.check(size)
        if len(self._usual) != size or not all(map(math.isfinite, self._usual)):
            raise ValueError(f"what is usual is no {size} numbers")
        if not 0 < self._busy_s < math.inf:
            raise ValueError(f"busy for {self._busy_s} s")


class Past:
    """All that was observed for good, by power.

    Args:
        fixed, bend: the indices of these parameters.
    """

    def __init__(self, fixed: int, bend: int) -> None:
        self._fixed, self._bend = fixed, bend
        self._size = 0
        self._bands: dict[int, Band] = {}

    def add(self) -> None:
        """Adds a parameter."""
        self._size += 1
        for band in self._bands.values():
            band.add()

    def take(self, row: Row, target: tuple[float, float], expected_j: float, keep: float) -> None:
        """Takes an observation.

        Args:
            row: seconds busy, which are the first of it, and tokens.
            target: its active energy, and the precision of that.
            expected_j: what is expected of it; the power of that is its band.
            keep: how much of what is known of others like it stays, 0 to 1.
        """
        busy_s = row[0][1]
        number = round(math.log(max(_LEAST_W, expected_j / busy_s), _BAND))
        if number not in self._bands:
            self._bands[number] = Band(self._size)
        self._bands[number].take(row, busy_s, *target, keep)

    def forget(self, keep: float) -> None:
        """All that was observed counts ``keep`` (0 to 1) times as much from now on."""
        for band in self._bands.values():
            band.told.forget(keep)

    def read(self, estimate: Sequence[float]) -> Observed:
        """What is known of the parameters, linear about an estimate."""
        into = Observed(len(estimate))
        for band in self._bands.values():
            band.read(into, estimate, self._fixed, self._bend)
        return into

    def state(self) -> list[Any]:
        """What was observed, as plain values."""
        return [[number, band.state()] for number, band in self._bands.items()]

    def restore(self, state: Sequence[Any]) -> None:
        """Takes up what ``state`` gave.

        Raises:
            ValueError: it does not fit the parameters, or a number is not finite.
        """
        for number, plain in state:
            band = Band.from_state(plain)
            band.check(self._size)
            self._bands[int(number)] = band


def _product(one: Iterable[float], other: Iterable[float]) -> float:
    return math.fsum(map(operator.mul, one, other))
