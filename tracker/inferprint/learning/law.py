"""How power saturates: g(x) = cap (1 - exp(-x / cap)), written with bend = 1 / cap.

With bend 0 power is affine, g(x) = x. The law has one parameter, rises everywhere and
never passes the cap, as a GPU under its power limit; other concave laws would do.
"""

from __future__ import annotations

import math

# Below this product the series is exact to a double and the closed form is not.
_SERIES_BELOW = 1e-4


def saturated(drive_w: float, bend: float) -> float:
    """Active watts at a drive (fixed and own work together) of ``drive_w``."""
    z = drive_w * bend
    if z < _SERIES_BELOW:
        return drive_w * (1 - z / 2 + z * z / 6)
    return -math.expm1(-z) / bend


def slope(drive_w: float, bend: float) -> float:
    """The derivative of ``saturated`` in the drive."""
    return math.exp(-drive_w * bend)


def bend_slope(drive_w: float, bend: float) -> float:
    """The derivative of ``saturated`` in the bend, in square watts; never positive."""
    z = drive_w * bend
    if z < _SERIES_BELOW:
        return drive_w * drive_w * (z / 3 - 0.5)
    return (drive_w * math.exp(-z) + math.expm1(-z) / bend) / bend
