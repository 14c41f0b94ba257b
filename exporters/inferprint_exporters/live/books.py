"""The books of the devices over time, as the live page draws them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inferprint.units import JOULES_PER_KWH
from inferprint_exporters.live.rows import rounded, shortened

if TYPE_CHECKING:
    from inferprint import Balance, DeviceBalance, Factor
    from inferprint.factors import Factors

__all__ = ["History", "device_rows"]

MOST_SAMPLES = 600
"""Ten minutes, at one a second."""


class History:
    """Joules that the devices have used so far, at instants of the monotonic clock.

    They only ever go up, so between two samples, however far apart, nothing is lost.
    """

    def __init__(self) -> None:
        self.samples: deque[list[float | None]] = deque(maxlen=MOST_SAMPLES)
        self._changed: dict[str, tuple[float, float]] = {}

    def add(self, at_s: float, balance: Balance, factors: Factors) -> list[float | None]:
        """Takes a sample: seconds; active, idle and standing joules; PUE, grams and money for a
        joule of the devices, None where they are not known.
        """
        devices = balance.devices.values()
        sample = [
            at_s,
            math.fsum(device.requests_active_j for device in devices),
            math.fsum(device.requests_idle_j for device in devices),
            math.fsum(device.requests_standing_j + device.standing_j for device in devices),
            None if factors.pue is None else factors.pue.value,
            _per_joule(factors.carbon_intensity),
            _per_joule(factors.electricity_price),
        ]
        self.samples.append([rounded(value) for value in sample])
        for key, device in balance.devices.items():
            if self._changed.get(key, (at_s, math.nan))[1] != device.measured_j:
                self._changed[key] = (at_s, device.measured_j)
        return self.samples[-1]

    def silent_s(self, device: str, now_s: float) -> float:
        """Seconds for which a device has told of no energy."""
        return round(now_s - self._changed.get(device, (now_s, 0.0))[0], 1)


def _per_joule(per_kwh: Factor | None) -> float | None:
    return None if per_kwh is None else per_kwh.value / JOULES_PER_KWH


def device_rows(balance: Balance, history: History, now_s: float) -> list[dict[str, Any]]:
    """The line of each device: its books in joules, its power, and since when it is silent."""
    return [
        {"id": key, **_plain(device), "silent_s": history.silent_s(key, now_s)}
        for key, device in sorted(balance.devices.items())
    ]


def _plain(device: DeviceBalance) -> dict[str, Any]:
    plain = asdict(device)
    numbers = {key: rounded(value) for key, value in plain.items() if isinstance(value, float)}
    return plain | numbers | {"name": shortened(device.name)}
