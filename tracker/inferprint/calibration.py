"""Corrections of devices' gains, measured against a better meter and set by hand.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from inferprint.errors import ConfigError
from inferprint.records import Device, Reading

__all__ = ["Calibration", "calibrations", "check_devices"]

EXPECTED = (
    "DEVICE=FACTOR or DEVICE=FACTOR:ERROR, such as 'GPU-1f2e=1.03:0.01': a factor from 0.5 to 2, "
    "and its relative error from 0 to 0.5"
)
_FACTORS, _ERRORS = (0.5, 2.0), (0.0, 0.5)


class Calibration(NamedTuple):
    """How to correct one device.

    Args:
        factor: true joules for each that it counts.
        relative_error: half-width of the factor's error; None: as the device's own.
    """

    factor: float
    relative_error: float | None = None

    def device(self, device: Device) -> Device:
        """The device, whose readings are now off by the correction's error alone."""
        if self.relative_error is None:
            return device
        return replace(device, relative_error=self.relative_error)

    def reading(self, reading: Reading) -> Reading:
        """A reading of it, corrected."""
        return replace(reading, energy_j=reading.energy_j * self.factor)


def calibrations(texts: Iterable[str]) -> Mapping[str, Calibration]:
    """Corrections by device id.

    Raises:
        ConfigError: one is not as ``Config.calibration`` wants it, or a device has two.
    """
    found: dict[str, Calibration] = {}
    for text in texts:
        device_id, equals, numbers = text.rpartition("=")
        device_id = device_id.strip()
        if not equals or not device_id or device_id in found:
            raise ConfigError("calibration", text, EXPECTED)
        factor, colon, error = numbers.partition(":")
        found[device_id] = Calibration(
            _within(text, factor, _FACTORS), _within(text, error, _ERRORS) if colon else None
        )
    return found


def check_devices(found: Iterable[str], known: Collection[str]) -> None:
    """Raises ConfigError where a device that is to be corrected is not read."""
    for device_id in found:
        if device_id not in known:
            expected = f"a device that is read: one of {sorted(known)}"
            raise ConfigError("calibration", device_id, expected, "See `inferprint doctor`.")


def _within(text: str, number: str, limits: tuple[float, float]) -> float:
    try:
        value = float(number)
    except ValueError:
        raise ConfigError("calibration", text, EXPECTED) from None
    if not limits[0] <= value <= limits[1]:
        raise ConfigError("calibration", text, EXPECTED)
    return value
